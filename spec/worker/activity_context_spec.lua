--- temporal.activity: what a running activity sees and may do.
local helper = require "helper"
local temporal = require "temporal"
local activity = require "temporal.activity"

local source = [[
  local workflow = require "temporal.workflow"
  return {
    workflow.define("Runs", function(options, ...)
      return workflow.execute_activity("act", options, ...)
    end),
    workflow.define("Cancels", function()
      local handle = workflow.start_activity("act", {
        start_to_close_timeout = 60, heartbeat_timeout = 0.5, cancellation_type = "wait_cancellation_completed",
      })
      workflow.sleep(0.05)
      handle:cancel()
      local ok, result = pcall(handle.result, handle)
      return ok, ok and result or tostring(result)
    end),
    workflow.define("Waits", function()
      local got
      workflow.set_signal_handler("go", function(value) got = value end)
      workflow.wait_condition(function() return got ~= nil end)
      return got
    end),
  }
]]

local once = { start_to_close_timeout = 10, retry_policy = { maximum_attempts = 1 } }

local function lines_of(path)
  local file <close> = assert(io.open(path))
  local lines = {}
  for line in file:lines() do
    lines[#lines + 1] = line
  end
  return lines
end

local function waits_for(path, n)
  local deadline = os.time() + 20
  while #lines_of(path) < n do
    assert(os.time() < deadline, "the activity does not begin")
    os.execute "sleep 0.02"
  end
end

--- Until the server has told of the cancellation, which it does in the answer to a heartbeat.
local function beat_until_cancelled()
  activity.shield(function()
    repeat
      activity.heartbeat()
    until activity.wait_for_cancelled(0.05)
  end)
end

describe("the context of an activity", function()
  it("tells the retry policy and the priority that the server uses", function()
    local info
    local env <close> = helper.environment(source, { activities = { act = function() info = activity.info() end } })
    env:execute_workflow("Runs", nil, {
      start_to_close_timeout = 10,
      priority = { priority_key = 2, fairness_key = "tenant", fairness_weight = 1.5 },
      retry_policy = {
        initial_interval = 3, backoff_coefficient = 1.5, maximum_interval = 30, maximum_attempts = 4,
        non_retryable_error_types = { "Fatal" },
      },
    })
    assert.are.same({
      initial_interval = 3, backoff_coefficient = 1.5, maximum_interval = 30, maximum_attempts = 4,
      non_retryable_error_types = { "Fatal" },
    }, info.retry_policy)
    assert.are.same({ priority_key = 2, fairness_key = "tenant", fairness_weight = 1.5 }, info.priority)
    assert.is_true(info.in_workflow)
    assert.is_false(info.is_local)
  end)

  it("exists in an activity only", function()
    assert.is_false(activity.in_activity())
    for _, name in ipairs { "info", "heartbeat", "is_cancelled", "cancellation_details", "sleep", "shield", "client",
      "is_worker_shutdown", "wait_for_worker_shutdown", "wait_for_cancelled", "complete_async" } do
      local ok, message = pcall(activity[name], 1)
      assert.is_false(ok)
      assert.matches("activity%." .. name .. " can only be used inside a running activity", message)
    end
    local inside
    local env <close> = helper.environment(source, { activities = { act = function()
      inside = activity.in_activity()
    end } })
    env:execute_workflow("Runs", nil, once)
    assert.is_true(inside)
  end)

  it("tells why the activity should stop", function()
    local before, after
    local env <close> = helper.environment(source, { activities = { act = function()
      before = activity.cancellation_details()
      beat_until_cancelled()
      after = activity.cancellation_details()
      return "stopped"
    end } })
    local handle = env:start_workflow("Cancels")
    handle:result()
    assert.is_nil(before)
    assert.are.same({
      cancel_requested = true, not_found = false, paused = false, reset = false, timed_out = false,
      worker_shutdown = false,
    }, after)
  end)

  it("shields a part of the activity from cancellation", function()
    local inside, sum, after
    local env <close> = helper.environment(source, { activities = { act = function()
      beat_until_cancelled()
      sum = activity.shield(function(a, b)
        activity.heartbeat("still here")
        activity.sleep(0.01)
        inside = activity.shield(activity.is_cancelled)
        activity.heartbeat "nested shields end one by one"
        return a + b
      end, 2, 3)
      local ok, message = pcall(activity.shield, error, "out", 0)
      assert(not ok and message == "out")
      after = select(2, pcall(activity.heartbeat))
      return "cleaned up"
    end } })
    local handle = env:start_workflow("Cancels")
    handle:result()
    assert.are.equal(5, sum)
    assert.is_true(inside)
    assert.is_true(temporal.is_cancelled(after))
  end)

  it("refuses a span that is none", function()
    local messages = {}
    local env <close> = helper.environment(source, { activities = { act = function()
      for i, name in ipairs { "sleep", "wait_for_cancelled", "wait_for_worker_shutdown" } do
        messages[i] = select(2, pcall(activity[name], "soon"))
      end
    end } })
    env:execute_workflow("Runs", nil, once)
    assert.matches("activity%.sleep: .*soon", messages[1])
    assert.matches("activity%.wait_for_cancelled: .*soon", messages[2])
    assert.matches("activity%.wait_for_worker_shutdown: .*soon", messages[3])
  end)

  it("gives a client with the worker's connection", function()
    local namespace
    local env <close> = helper.environment(source, { activities = { act = function(id)
      local client = activity.client()
      namespace = client.namespace
      client:get_workflow_handle(id):signal("go", "from an activity")
      client:close()
      return client ~= nil
    end } })
    local waiting = env:start_workflow("Waits")
    assert.is_true(env:execute_workflow("Runs", nil, once, waiting.id))
    assert.are.equal("from an activity", waiting:result())
    assert.are.equal("default", namespace)
  end)

  it("tells of the worker's shutdown before its grace is over, and cancels after it", function()
    for _, mode in ipairs { "notice", "cancel" } do
      local log <close> = helper.file ""
      local env <close> = helper.environment(source, {
        activities = { "shutdown_activity" }, roots = { "spec/fixtures/lua" },
        worker = { graceful_shutdown_timeout = mode == "notice" and 60 or 0.05 }, replay = false,
      })
      local handle = env:start_workflow("Runs", nil, once, log.name, mode)
      waits_for(log.name, 1)
      env.worker:shutdown()
      local lines = lines_of(log.name)
      assert.are.equal("begins false", lines[1])
      assert.are.equal(mode == "notice" and "notice true true false" or "cancelled true false", lines[2])
      local event = helper.event(handle, mode == "notice" and "activity_task_completed" or "activity_task_failed")
      assert.is_truthy(event)
    end
  end)
end)
