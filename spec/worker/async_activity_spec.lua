--- Activities that are left open and ended by a client: by token and by ids.
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
    workflow.define("Cancels", function()
      local handle = workflow.start_activity("act", {
        start_to_close_timeout = 60, cancellation_type = "wait_cancellation_completed",
      })
      workflow.sleep(0.1) -- time is not skipped while an activity is open
      handle:cancel()
      local ok, err = pcall(handle.result, handle)
      return ok, temporal.is_cancelled(err)
    end),
  }
]]

local patient = { start_to_close_timeout = 600, retry_policy = { maximum_attempts = 1 } }

--- An environment; a function that starts a workflow and returns its handle and the open activity's info; one
--- that tells the info of the newest attempt.
local function open_environment(workflow, options)
  local info
  local env = helper.environment(source, { activities = { act = function()
    info = activity.info()
    info.details = activity.heartbeat_details()
    return activity.complete_async()
  end } })
  return env, function()
    info = nil
    local handle = env:start_workflow(workflow or "Runs", nil, options or patient)
    helper.eventually(env, function() return info end)
    return handle, info
  end, function() return info end
end

local function by_token(env, info)
  return env.client:get_async_activity_handle { task_token = info.task_token }
end

local function by_ids(env, info)
  return env.client:get_async_activity_handle {
    workflow_id = info.workflow_id, activity_id = info.activity_id,
  }
end

describe("an activity left open", function()
  it("is completed by token and by ids", function()
    local env, start = open_environment()
    local _ <close> = env
    for _, by in ipairs { by_token, by_ids } do
      local handle, info = start()
      by(env, info):complete("done", { n = 2 })
      assert.are.equal("done", (handle:result()))
    end
  end)

  it("fails as if its function had raised the error", function()
    local env, start = open_environment()
    local _ <close> = env
    for _, by in ipairs { by_token, by_ids } do
      local handle, info = start()
      by(env, info):fail(temporal.failure { type = "Declined", message = "no", details = { 51 } })
      local ok, err = pcall(handle.result, handle)
      assert.is_false(ok)
      assert.is_true(temporal.is_failure(err, "Declined"))
    end
  end)

  it("is tried again, with the heartbeat details that the failure carries", function()
    local env, start, newest = open_environment("Runs", {
      start_to_close_timeout = 600, retry_policy = { initial_interval = 1, maximum_attempts = 2 },
    })
    local _ <close> = env
    local handle, info = start()
    by_token(env, info):fail("once more", { last_heartbeat_details = { "half way" } })
    helper.eventually(env, function() return newest().attempt == 2 end)
    assert.are.equal("half way", newest().details)
    by_token(env, newest()):complete("second")
    assert.are.equal("second", handle:result())
  end)

  it("beats, and hears of its cancellation then", function()
    local env, start = open_environment("Cancels")
    local _ <close> = env
    local handle, info = start()
    local open = by_ids(env, info)
    open:heartbeat("begun")
    local err = helper.eventually(env, function()
      local ok, message = pcall(open.heartbeat, open, 1)
      return not ok and message
    end)
    assert.are.equal("AsyncActivityCancelledError", err.type)
    assert.are.same({ cancel_requested = true, paused = false, reset = false }, err.details[1])
    open:report_cancellation("cleaned")
    local ok, cancelled = handle:result()
    assert.is_false(ok)
    assert.is_true(cancelled)
  end)

  it("cannot be reported as cancelled when nobody asked for it", function()
    local env, start = open_environment()
    local _ <close> = env
    local handle, info = start()
    local open = by_token(env, info)
    local ok, err = pcall(open.report_cancellation, open)
    assert.is_false(ok)
    assert.are.equal("INVALID_ARGUMENT", err.status)
    open:complete()
    handle:result()
  end)

  it("knows nothing of an activity that has ended", function()
    local env, start = open_environment()
    local _ <close> = env
    local handle, info = start()
    by_token(env, info):complete(1)
    handle:result()
    for _, by in ipairs { by_token, by_ids } do
      for _, name in ipairs { "complete", "fail", "heartbeat", "report_cancellation" } do
        local open = by(env, info)
        local ok, err = pcall(open[name], open, "late")
        assert.is_false(ok)
        assert.are.equal("NOT_FOUND", err.status)
      end
    end
  end)
end)

describe("get_async_activity_handle", function()
  it("wants a token or ids", function()
    local env <close> = helper.environment(source)
    local function message(by)
      return select(2, pcall(env.client.get_async_activity_handle, env.client, by))
    end
    assert.matches("task_token and ids exclude each other", message { task_token = "x", workflow_id = "w" })
    assert.matches("wants task_token, or activity_id", message {})
    assert.matches("wants task_token, or activity_id", message { workflow_id = "w" })
    assert.matches("did you mean 'task_token'", message { task_tokn = "x" })
  end)
end)
