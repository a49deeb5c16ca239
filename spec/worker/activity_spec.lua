local helper = require "helper"
local temporal = require "temporal"
local activity = require "temporal.activity"

local source = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
  return {
    workflow.define("Runs", function(options, ...)
      return workflow.execute_activity("act", options, ...)
    end),
    workflow.define("CancelsActivity", function()
      local handle = workflow.start_activity("act", {
        start_to_close_timeout = 60, heartbeat_timeout = 0.5, cancellation_type = "wait_cancellation_completed",
      })
      workflow.sleep(0.05) -- time is not skipped while an activity runs
      handle:cancel()
      local ok, err = pcall(handle.result, handle)
      return ok, temporal.is_cancelled(err)
    end),
  }
]]

local once = { start_to_close_timeout = 10, retry_policy = { maximum_attempts = 1 } }

describe("activities", function()
  it("see their context", function()
    local info
    local env <close> = helper.environment(source, { activities = { act = function(x)
      info = activity.info()
      return x
    end } })
    assert.are.equal(5, env:execute_workflow("Runs", { id = "ctx" }, once, 5))
    assert.are.equal("act", info.activity_type)
    assert.are.equal("ctx", info.workflow_id)
    assert.are.equal(1, info.attempt)
    assert.are.equal(10, info.start_to_close_timeout)
  end)

  it("fail with what they raise: text, failure tables, and anything else", function()
    local raise
    local env <close> = helper.environment(source, { activities = { act = function() error(raise, 0) end } })
    local function outcome(value)
      raise = value
      local ok, err = pcall(env.execute_workflow, env, "Runs", nil, once)
      assert.is_false(ok)
      return err.cause.cause
    end
    local text = outcome("plain text")
    assert.are.equal("plain text", text.message)
    assert.matches("traceback", text.stack_trace)
    local failure = outcome(temporal.failure { type = "Special", message = "special", details = { 7 } })
    assert.are.equal("Special", failure.type)
    assert.are.same({ 7 }, failure.details)
    assert.matches("42", outcome(42).message)
    assert.is_truthy(outcome({ 1, 2 }).message)
  end)

  it("cannot return what has no JSON form, and the worker goes on", function()
    local value
    local env <close> = helper.environment(source, { activities = { act = function() return value end } })
    local cycle = {}
    cycle.self = { cycle }
    for text, wrong in pairs { ["function"] = print, thread = coroutine.create(print), ["contains itself"] = cycle } do
      value = wrong
      local ok, err = pcall(env.execute_workflow, env, "Runs", nil, once)
      assert.is_false(ok)
      assert.matches(text, err.cause.cause.message)
    end
    value = "fine"
    assert.are.equal("fine", env:execute_workflow("Runs", nil, once))
  end)

  it("are retried with backoff until they succeed, and give heartbeat details to the next attempt", function()
    local attempts, last = 0, nil
    local env <close> = helper.environment(source, { activities = { act = function()
      attempts = attempts + 1
      last = activity.heartbeat_details()
      activity.heartbeat(attempts)
      if attempts < 3 then
        error("not yet", 0)
      end
      return attempts
    end } })
    local began = env:now()
    local result = env:execute_workflow("Runs", nil, {
      start_to_close_timeout = 10,
      heartbeat_timeout = 5,
      retry_policy = { initial_interval = 10, backoff_coefficient = 3 },
    })
    assert.are.equal(3, result)
    assert.are.equal(2, last)
    assert.is_true(env:now() - began >= 40)
  end)

  it("are not retried for a non-retryable type, and next_retry_delay wins", function()
    local attempts, fail = 0, nil
    local env <close> = helper.environment(source, { activities = { act = function()
      attempts = attempts + 1
      if attempts < 3 then
        error(temporal.failure(fail), 0)
      end
      return attempts
    end } })
    fail = { type = "Fatal", message = "x" }
    local ok = pcall(env.execute_workflow, env, "Runs", nil, {
      start_to_close_timeout = 10, retry_policy = { non_retryable_error_types = { "Fatal" } },
    })
    assert.is_false(ok)
    assert.are.equal(1, attempts)
    attempts, fail = 0, { type = "Slow", message = "x", next_retry_delay = 1000 }
    local began = env:now()
    assert.are.equal(3, env:execute_workflow("Runs", nil, { start_to_close_timeout = 10 }))
    assert.is_true(env:now() - began >= 1000)
  end)

  it("time out", function()
    local env <close> = helper.environment(source, {
      task_queue = "nobody-polls-activities",
      worker = { no_remote_activities = true },
    })
    local began = env:now()
    local ok, err = pcall(env.execute_workflow, env, "Runs", nil, {
      schedule_to_start_timeout = 30,
      start_to_close_timeout = 10,
    })
    assert.is_false(ok)
    assert.is_true(temporal.is_failure(err, "TimeoutError"))
    assert.is_true(env:now() - began >= 30)
  end)

  it("hear of their cancellation at a heartbeat", function()
    local env <close> = helper.environment(source, {
      activities = { "spec_activities" },
      roots = { "spec/fixtures/lua" },
    })
    local ok, cancelled = env:execute_workflow("CancelsActivity")
    assert.is_false(ok)
    assert.is_true(cancelled)
  end)

  it("can wait for their cancellation", function()
    local first, last
    local env <close> = helper.environment(source, { activities = { act = function()
      first = activity.wait_for_cancelled(0.01)
      repeat
        pcall(activity.heartbeat) -- without it the heartbeat timeout would end the attempt
        last = activity.wait_for_cancelled "100ms"
      until last
      activity.heartbeat()
    end } })
    local ok, cancelled = env:execute_workflow "CancelsActivity"
    assert.is_false(ok)
    assert.is_true(cancelled)
    assert.are.same({ false, true }, { first, last })
  end)

  it("of modules run in states of their own", function()
    local env <close> = helper.environment([[
      local workflow = require "temporal.workflow"
      return workflow.define("M", function()
        return workflow.execute_activity("add", { start_to_close_timeout = 5 }, 2, 3)
      end)
    ]], { activities = { "spec_activities" }, roots = { "spec/fixtures/lua" } })
    assert.are.equal(5, env:execute_workflow("M"))
  end)

  it("written in C run from a shared object, and a wrong one is refused", function()
    local env <close> = helper.environment([[
      local workflow = require "temporal.workflow"
      return workflow.define("Ships", function(order)
        return workflow.execute_activity("ship", {
          start_to_close_timeout = 5,
          retry_policy = { maximum_attempts = 1 },
        }, order)
      end)
    ]], { activities = { native = { helper.build .. "/samples/libshipping.so" } } })
    assert.are.same({ tracking = "TL-o-9" }, env:execute_workflow("Ships", nil, { order_id = "o-9", weight_g = 100 }))
    local ok, err = pcall(env.execute_workflow, env, "Ships", nil, { order_id = "o-9", weight_g = 100000 })
    assert.is_false(ok)
    assert.is_true(temporal.is_failure(err, "TooHeavy"))
    local message
    ok, message = pcall(helper.environment, source, { activities = { native = { "libmissing.so" } } })
    assert.is_false(ok)
    assert.matches("libmissing.so", message)
    ok, message = pcall(helper.environment, source, { activities = { native = { "libm.so.6" } } })
    assert.is_false(ok)
    assert.matches("tlua_module_v1", message)
  end)
end)

describe("activities that come together", function()
  it("do not wait for each other while there are slots", function()
    for _ = 1, 5 do
      local log <close> = helper.file ""
      local env <close> = helper.environment([[
        local workflow = require "temporal.workflow"
        return workflow.define("Many", function(count, path)
          local handles = {}
          for i = 1, count do
            handles[i] = workflow.start_activity("act", { start_to_close_timeout = 60 }, i, path)
          end
          return workflow.wait_all(handles).n
        end)]], { activities = { "logged_activity" }, roots = { "spec/fixtures/lua" } })
      assert.are.equal(6, env:execute_workflow("Many", nil, 6, log.name))
      local file <close> = assert(io.open(log.name))
      assert.matches("^%+%+", file:read "a") -- the second begins before the first ends
    end
  end)
end)
