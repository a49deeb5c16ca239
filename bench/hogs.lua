-- Workflows that never yield or never stop growing beside good ones, on one worker; then legal computing on a
-- starved machine. Times are the server's own, read from the histories.
local core = require "temporal.core"
local client = require "temporal.client"
local processes = require "processes"

local GOOD, SPINNING, EATING, COMPUTING = 1000, 100, 5, 40

local function start(connection, workflow, from, to, ...)
  local handles = {}
  for i = from, to do
    handles[#handles + 1] = connection:start_workflow(workflow, {
      id = workflow .. i, task_queue = "hogs", task_timeout = "2m",
    }, ...)
  end
  return handles
end

local function quantile(values, q)
  table.sort(values)
  return values[math.max(1, math.ceil(#values * q))]
end

--- Waits for all; returns their durations in ms and how many of their workflow tasks timed out or failed.
local function ended(handles)
  local took, timeouts, failures = {}, 0, 0
  for _, handle in ipairs(handles) do
    handle:result()
    local events = handle:fetch_history()
    took[#took + 1] = (events[#events].event_time - events[1].event_time) * 1e3
    for _, e in ipairs(events) do
      timeouts = timeouts + (e.workflow_task_timed_out_event_attributes and 1 or 0)
      failures = failures + (e.workflow_task_failed_event_attributes and 1 or 0)
    end
  end
  return took, timeouts, failures
end

--- The failure, encoded, with which the first task of a hog failed.
local function first_failure(handle)
  local deadline = core.mono_ns() + 120 * 1000000000
  while core.mono_ns() < deadline do
    for _, e in ipairs(handle:fetch_history()) do
      if e.workflow_task_failed_event_attributes then
        return e.workflow_task_failed_event_attributes.failure
      end
    end
    os.execute "sleep 0.1"
  end
  error(handle.id .. ": its task does not fail")
end

local function beside_hogs(connection, tell)
  local spinning = start(connection, "Spins", 1, SPINNING)
  local eating = start(connection, "Eats", 1, EATING)
  local good = start(connection, "Good", 1, GOOD, 21)
  local took, timeouts, failures = ended(good)
  tell("hogs: good_p50", quantile(took, 0.5), "ms")
  tell("hogs: good_p99", quantile(took, 0.99), "ms")
  tell("hogs: good_timeouts", timeouts, "tasks")
  tell("hogs: good_failures", failures, "tasks")
  local budgets = {}
  for _, handle in ipairs(spinning) do
    local had, budget = first_failure(handle):match "(%d+) ms of a budget of (%d+) ms"
    budgets[#budgets + 1] = had / budget
  end
  tell("hogs: cpu_hog_budgets_p99", quantile(budgets, 0.99), "budgets")
  local alone = 0
  for _, handle in ipairs(eating) do
    alone = alone + (first_failure(handle):find "more memory" and 1 or 0)
  end
  tell("hogs: memory_hogs_failed", alone, ("of %d"):format(EATING))
  for _, handles in ipairs { spinning, eating } do
    for _, handle in ipairs(handles) do
      handle:terminate "the bench is over"
    end
  end
end

local function starved(connection, tell)
  local loops, cores = {}, tonumber((processes.output { "nproc" }))
  for i = 1, 2 * cores do
    loops[i] = processes.start { "sh", "-c", "while :; do :; done" }
  end
  local _, timeouts, failures = ended(start(connection, "Computes", 1, COMPUTING, 1000000))
  for _, loop in ipairs(loops) do
    loop:__close()
  end
  tell("hogs: starved_false_deadlocks", failures, "tasks")
  tell("hogs: starved_timeouts", timeouts, "tasks")
end

return function(binary, address, tell)
  local connection <close> = client.connect { address = address }
  local worker <close> = processes.start {
    binary, "worker", "run", "bench/hogs/worker.lua", "--address", address, "--log-level", "never",
  }
  start(connection, "Good", 0, 0, 1)[1]:result() -- it is there
  beside_hogs(connection, tell)
  starved(connection, tell)
  assert(worker.pid)
end
