-- What an idle cached run costs a worker: growth of its process over many runs that wait for an activity of a
-- queue that nobody polls. Server and load are processes of their own.
local core = require "temporal.core"
local client = require "temporal.client"
local processes = require "processes"

local WARM, RUNS = 500, 10000

--- How many activities wait in the queue, which is how many runs have got that far.
local function waiting(connection)
  local answer = connection:call("DescribeTaskQueue", {
    namespace = "default", task_queue = { name = "nobody" }, task_queue_type = "TASK_QUEUE_TYPE_ACTIVITY",
    report_stats = true,
  })
  return tonumber(answer.stats.approximate_backlog_count or 0)
end

local function start(connection, workflow, from, to, before)
  for i = from, to do
    connection:start_workflow(workflow, { id = workflow .. i, task_queue = "cached" }, { amount = i, id = "order" })
  end
  local deadline = core.mono_ns() + 120 * 1000000000
  while waiting(connection) < before + to do
    assert(core.mono_ns() < deadline, "the runs do not get to their activity")
    os.execute "sleep 0.05"
  end
end

--- Calls tell(name, bytes of each run, "bytes") for both scripts.
return function(binary, address, tell)
  local connection <close> = client.connect { address = address }
  local words = { binary, "worker", "run", "bench/cached/worker.lua", "--address", address, "--log-level", "error" }
  local before = 0
  for _, workflow in ipairs { "Order", "LargeOrder" } do
    local worker <close> = processes.start(words)
    start(connection, workflow, 1, WARM, before)
    local least = worker:megabytes()
    start(connection, workflow, WARM + 1, WARM + RUNS, before)
    tell(("cached run, %s"):format(workflow == "Order" and "small script" or "460 lines, three modules"),
      (worker:megabytes() - least) * 1e6 / RUNS, "bytes")
    before = waiting(connection)
  end
end
