-- Goal: a worker that is told to stop under load ends or hands back what it has: no activity and no workflow task is
-- left with the server as under way, where only a timeout would bring it back. A second signal stops it at once.
-- Method: processes. Activities end by themselves, give way when they are cancelled, or neither; the server is asked
-- what is under way after the worker has left, and a second worker ends all runs.
local helper = require "helper"
local temporal = require "temporal"

local workflows = [[
local workflow = require "temporal.workflow"
local retries = { initial_interval = 0.01, maximum_interval = 0.01 }
local options = { start_to_close_timeout = "10m", retry_policy = retries }
return {
  workflow.define("Short", function()
    for i = 1, 3 do workflow.execute_activity("short", options, i) end
    return workflow.execute_local_activity("short", options, 4)
  end),
  workflow.define("Patient", function() return workflow.execute_activity("patient", options) end),
  workflow.define("Deaf", function() return workflow.execute_activity("deaf", options) end),
}
]]

local activities = [[
local activity = require "temporal.activity"
local folder = os.getenv "SPEC_FOLDER"

local function exists(name)
  local file <close> = io.open(folder .. "/" .. name)
  return file ~= nil
end

return {
  short = function(n)
    activity.sleep(0.03)
    return n
  end,
  patient = function()
    while not exists "second" do
      activity.sleep(0.05) -- raises when the worker's grace is over
    end
    return "patient"
  end,
  deaf = function()
    local file <close> = io.open(folder .. "/deaf", "w")
    while not exists "second" do os.execute "sleep 0.05" end
    return "deaf"
  end,
}
]]

local worker = [[
local temporal = require "temporal"
return temporal.worker {
  task_queue = "spec", workflows = { "flows" }, activities = { "acts" },
  max_concurrent_activities = 20, graceful_shutdown_timeout = os.getenv "SPEC_GRACE",
}
]]

local function write(path, text)
  local file <close> = assert(io.open(path, "wb"))
  file:write(text)
end

local function place()
  local folder = helper.folder()
  write(folder.name .. "/flows.lua", workflows)
  write(folder.name .. "/acts.lua", activities)
  write(folder.name .. "/worker.lua", worker)
  return folder
end

local wall = { sleep = function(_, seconds) os.execute(("sleep %g"):format(math.min(seconds, 0.1))) end }

local function start_worker(at, server, grace)
  local run = helper.spawn(("worker run --address %s %s/worker.lua"):format(server.address, at.name),
    ("SPEC_FOLDER=%s SPEC_GRACE=%s"):format(at.name, grace))
  assert.matches("is running", run.pipe:read "l")
  return run
end

--- Of all open runs: activities that have started, workflow tasks that have started.
local function under_way(client)
  local started, tasks = 0, 0
  for info in client:list_workflows "ExecutionStatus = 'Running'" do
    local described = client:get_workflow_handle(info.id):describe()
    for _, activity in ipairs(described.pending_activities or {}) do
      started = started + (activity.state == "started" and 1 or 0)
    end
    local task = described.pending_workflow_task
    tasks = tasks + (task and task.state == "started" and 1 or 0)
  end
  return started, tasks
end

--- What went wrong in the histories, by the kind of the event and its reason.
local function accidents(handles)
  local found = {}
  for _, handle in ipairs(handles) do
    for _, event in ipairs(handle:fetch_history()) do
      for _, kind in ipairs { "activity_task_timed_out", "workflow_task_timed_out", "workflow_task_failed" } do
        local attributes = event[kind .. "_event_attributes"]
        if attributes then
          local name = ("%s %s"):format(kind, attributes.timeout_type or attributes.cause or "")
          found[name] = (found[name] or 0) + 1
        end
      end
    end
  end
  return found
end

describe("a worker that is told to stop", function()
  it("under load leaves nothing that has to time out", function()
    local at <close> = place()
    local server <close> = helper.start_server()
    local client <close> = temporal.connect { address = server.address }
    local first <close> = start_worker(at, server, "1s")
    local handles = {}
    for i = 1, 120 do
      local kind = i % 20 == 0 and "Patient" or "Short"
      handles[i] = client:start_workflow(kind, { id = "run-" .. i, task_queue = "spec" })
    end
    -- In the middle of it: some have ended, many are under way.
    helper.eventually(wall, function() return client:count_workflows "ExecutionStatus = 'Completed'" >= 20 end, 60)
    assert.are.equal(0, first:stop(), first:errors())
    assert.is_true(client:count_workflows "ExecutionStatus = 'Running'" >= 6)
    local started, tasks = under_way(client)
    assert.are.same({ 0, 0 }, { started, tasks })

    write(at.name .. "/second", "")
    local second <close> = start_worker(at, server, "1s")
    for i, handle in ipairs(handles) do
      assert.are.equal(i % 20 == 0 and "patient" or 4, handle:result { timeout = 60 })
    end
    assert.are.same({}, accidents(handles))
    assert.are.equal(0, second:stop())
  end)

  it("goes on until then when nobody reads its output any more", function()
    local at <close> = helper.folder()
    write(at.name .. "/worker.lua", ([=[
      local temporal = require "temporal"
      local activity = require "temporal.activity"
      local client = temporal.connect {}
      client:start_workflow("Prints", { id = "w", task_queue = "spec" })
      return temporal.worker { task_queue = "spec", client = client,
        workflows = { { name = "prints", source = [[
          local workflow = require "temporal.workflow"
          return workflow.define("Prints", function()
            workflow.sleep(0.5)
            workflow.execute_activity("print", { start_to_close_timeout = 5 })
          end)]] } },
        activities = { print = function()
          for i = 1, 100 do print("line", i) end
          assert(io.open("%s/printed", "w")):close()
        end },
      }]=]):format(at.name))
    local command = "sh -c '{ timeout --preserve-status 4 %s worker run %s/worker.lua; echo code $? >&2; } | head -n 1'"
    local _, output, errors = helper.run(command:format(helper.binary, at.name))
    assert.matches("^worker on task queue 'spec' is running[^\n]*\n$", output)
    local file <close> = io.open(at.name .. "/printed")
    assert.is_truthy(file, errors)
    assert.matches("code 0\n", errors)
  end)

  it("while its script is still loaded ends at once", function()
    local at <close> = helper.folder()
    -- Sanitizers deliver signals at calls of the system alone.
    local call = helper.sanitized and "io.open('/dev/null'):close()" or ""
    write(at.name .. "/worker.lua", ("io.stderr:write 'loading' while true do %s end"):format(call))
    local command = "timeout --preserve-status --kill-after=20 1 %s worker run %s/worker.lua"
    local code, _, errors = helper.run(command:format(helper.binary, at.name))
    assert.matches("loading", errors)
    assert.are.equal(128 + 15, code, errors)
  end)

  it("waits for its grace, and not when it is told again", function()
    local at <close> = place()
    local server <close> = helper.start_server()
    local client <close> = temporal.connect { address = server.address }
    local run <close> = start_worker(at, server, "1h")
    client:start_workflow("Deaf", { id = "deaf", task_queue = "spec" })
    helper.eventually(wall, function()
      local file <close> = io.open(at.name .. "/deaf")
      return file ~= nil
    end, 60)
    os.execute("kill -TERM " .. run.id)
    helper.eventually(wall, function() return run:errors():find("worker.stopping", 1, true) end, 60)
    assert.is_true(os.execute(("kill -0 %s"):format(run.id))) -- it has an hour
    assert.are.equal(15, run:stop()) -- the signal ended it
  end)

  it("says what it waits for when its grace is over", function()
    local at <close> = place()
    local server <close> = helper.start_server()
    local client <close> = temporal.connect { address = server.address }
    local run <close> = start_worker(at, server, "0")
    client:start_workflow("Deaf", { id = "deaf", task_queue = "spec" })
    helper.eventually(wall, function()
      local file <close> = io.open(at.name .. "/deaf")
      return file ~= nil
    end, 60)
    os.execute("kill -TERM " .. run.id)
    helper.eventually(wall, function()
      return run:errors():find("worker.waits task_queue=spec activities=1 local_activities=0", 1, true)
    end, 60)
    assert.are.equal(15, run:stop())
  end)
end)
