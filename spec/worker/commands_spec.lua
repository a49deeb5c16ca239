-- Goal: an activity that never heartbeats hears at once, by a command of the server to its worker, that its workflow
-- has cancelled it or has ended; and only by heartbeats on a server that sends none, which is the default.
-- Method: development servers with and without the two settings, a worker process, files as what an activity tells.
local helper = require "helper"
local temporal = require "temporal"

local keys = "--dynamic-config-value frontend.WorkerCommandsEnabled=true "
  .. "--dynamic-config-value system.enableCancelActivityWorkerCommand=true"

local activities = [[
local activity = require "temporal.activity"
local folder = os.getenv "SPEC_FOLDER"

local function tell(name, text)
  local path = folder .. "/" .. name
  local file <close> = assert(io.open(path .. ".new", "w"))
  file:write(text)
  file:close()
  os.rename(path .. ".new", path)
end

local function tell_why(id)
  local details = activity.cancellation_details() or {}
  tell(id .. "-told", details.cancel_requested and "cancel_requested" or "nothing")
  activity.sleep(0) -- raises when it is cancelled
end

return {
  deaf = function(id)
    tell(id .. "-runs", "")
    activity.wait_for_cancelled "60s"
    tell_why(id)
  end,
  beats = function(id)
    tell(id .. "-runs", "")
    repeat
      activity.heartbeat()
    until activity.wait_for_cancelled "50ms"
    tell_why(id)
  end,
}
]]

local workflows = [[
local temporal = require "temporal"
local workflow = require "temporal.workflow"
return workflow.define("Holds", function(name, id)
  local done = false
  workflow.set_signal_handler("stop", function() done = "stop" end)
  workflow.set_signal_handler("leave", function() done = "leave" end)
  local running = workflow.start_activity(name, {
    start_to_close_timeout = "5m", heartbeat_timeout = name == "beats" and "2s" or nil,
    cancellation_type = "wait_cancellation_completed",
  }, id)
  workflow.wait_condition(function() return done end)
  if done == "leave" then
    return "left"
  end
  running:cancel()
  local ok, err = pcall(running.result, running)
  return ok and "went on" or temporal.is_cancelled(err) and "cancelled" or "failed"
end)
]]

local worker = [[
return require("temporal").worker { task_queue = "spec", workflows = { "flows" }, activities = { "acts" } }
]]

local function write(path, text)
  local file <close> = assert(io.open(path, "wb"))
  file:write(text)
end

local function start_worker(folder, server)
  write(folder.name .. "/acts.lua", activities)
  write(folder.name .. "/flows.lua", workflows)
  write(folder.name .. "/worker.lua", worker)
  local run = helper.spawn(("worker run --address %s %s/worker.lua"):format(server.address, folder.name),
    "SPEC_FOLDER=" .. folder.name)
  assert.matches("is running", run.pipe:read "l")
  return run
end

--- What is in a file of the folder, once it is there; nil when that takes longer than `seconds`.
local function told(folder, name, seconds)
  local core = require "temporal.core"
  local deadline = core.mono_ns() + seconds * 1000000000
  repeat
    local file <close> = io.open(folder.name .. "/" .. name)
    if file then
      return file:read "a"
    end
    os.execute "sleep 0.02"
  until core.mono_ns() > deadline
  return nil
end

local function hold(client, folder, name, id)
  local handle = client:start_workflow("Holds", { id = id, task_queue = "spec" }, name, id)
  assert.are.equal("", told(folder, id .. "-runs", 30), id)
  return handle
end

-- Nothing else wakes the activity before a minute is over.
local SOON = 20

describe("an activity that never heartbeats", function()
  it("hears by a command that it is cancelled, or that its run has ended", function()
    local folder <close> = helper.folder()
    local server <close> = helper.start_server(keys)
    local client <close> = temporal.connect { address = server.address }
    local capabilities = client:call("DescribeNamespace", { namespace = "default" }).namespace_info.capabilities
    assert.is_true(capabilities.worker_commands)
    local run <close> = start_worker(folder, server)

    local cancelled = hold(client, folder, "deaf", "cancelled")
    cancelled:signal "stop"
    assert.are.equal("cancel_requested", told(folder, "cancelled-told", SOON))
    assert.are.equal("cancelled", cancelled:result { timeout = 30 })

    local terminated = hold(client, folder, "deaf", "terminated")
    terminated:terminate()
    assert.are.equal("cancel_requested", told(folder, "terminated-told", SOON))

    local left = hold(client, folder, "deaf", "left")
    left:signal "leave"
    assert.are.equal("left", left:result { timeout = 30 })
    assert.are.equal("cancel_requested", told(folder, "left-told", SOON))

    local metrics = helper.eventually({ sleep = function() os.execute "sleep 0.05" end }, function()
      local _, body = helper.http(server.ports.metrics, "GET /metrics")
      return body:match 'worker_commands_sent{namespace="default",outcome="success",command_type="cancel_activity"} 3'
    end)
    assert.is_string(metrics)
    assert.are.equal(0, run:stop())
  end)

  it("hears nothing of a server that sends no commands, where one that heartbeats does", function()
    local folder <close> = helper.folder()
    local server <close> = helper.start_server()
    local client <close> = temporal.connect { address = server.address }
    local capabilities = client:call("DescribeNamespace", { namespace = "default" }).namespace_info.capabilities
    assert.is_falsy(capabilities.worker_commands)
    local run <close> = start_worker(folder, server)
    local deaf = hold(client, folder, "deaf", "deaf")
    local beats = hold(client, folder, "beats", "beats")
    deaf:signal "stop"
    beats:signal "stop"
    assert.are.equal("cancelled", beats:result { timeout = 30 })
    assert.are.equal("cancel_requested", told(folder, "beats-told", 30))
    assert.is_nil(told(folder, "deaf-told", 1.5))
    deaf:terminate()
    assert.is_nil(told(folder, "deaf-told", 1.5))
    run:stop "KILL"
  end)
end)
