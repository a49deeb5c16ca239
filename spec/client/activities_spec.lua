--- Activities without a workflow, from the client to the worker and back.
local helper = require "helper"
local temporal = require "temporal"
local activity = require "temporal.activity"
local testing = require "temporal.testing"

local unused = "return require('temporal.workflow').define('Unused', function() end)"
local brief = { start_to_close_timeout = 60 }

--- The options above with others.
local function with(more)
  local o = {}
  for _, list in ipairs { brief, more or {} } do
    for name, value in pairs(list) do
      o[name] = value
    end
  end
  return o
end

local function environment(activities, options)
  local o = { workflows = next(activities) and {} or { { name = "spec", source = unused } }, activities = activities }
  for name, value in pairs(options or {}) do
    o[name] = value
  end
  return testing.environment(o)
end

local function error_of(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return err
end

describe("an activity without a workflow", function()
  it("gives its values back", function()
    local env <close> = environment { add = function(a, b) return a + b, "sum" end }
    local handle = env:start_activity("add", with { id = "sum-1" }, 3, 4)
    assert.are.equal("sum-1", handle.id)
    assert.are.equal(36, #handle.run_id)
    assert.are.same({ 7, "sum" }, { handle:result() })
    assert.are.same({ 7, "sum" }, { env.client:get_activity_handle("sum-1"):result() })
    assert.are.same({ 7, "sum" }, { env.client:get_activity_handle("sum-1", handle.run_id):result() })
    assert.are.equal(9, (env:execute_activity("add", brief, 4, 5)))
  end)

  it("knows that it has no workflow", function()
    local info
    local env <close> = environment { who = function() info = activity.info() end }
    local handle = env:start_activity("who", with { id = "w" })
    handle:result()
    assert.is_nil(info.workflow_id)
    assert.is_nil(info.workflow_run_id)
    assert.is_nil(info.workflow_type)
    assert.is_false(info.in_workflow)
    assert.are.equal(handle.run_id, info.activity_run_id)
    assert.are.equal("w", info.activity_id)
    assert.are.equal("who", info.activity_type)
    assert.are.equal("default", info.namespace)
    assert.are.equal(60, info.start_to_close_timeout)
  end)

  it("is tried again and tells why it failed", function()
    local attempts = 0
    local env <close> = environment { flaky = function(last)
      attempts = attempts + 1
      if attempts < last then
        error("try again", 0)
      end
      error(temporal.failure { type = "Broken", message = "it broke", details = { 5 }, non_retryable = true }, 0)
    end }
    local handle = env:start_activity("flaky", brief, 3)
    local err = error_of(handle.result, handle)
    assert.are.equal("ActivityFailureError", err.type)
    assert.are.equal("Broken", err.cause.type)
    assert.are.equal("it broke", err.cause.message)
    assert.are.same({ 5 }, err.cause.details)
    assert.are.equal(3, attempts)
    local d = handle:describe { include_outcome = true, include_input = true, include_last_failure = true }
    assert.are.equal("failed", d.status)
    assert.are.equal(3, d.attempt)
    assert.are.equal("non_retryable_failure", d.outcome.retry_state)
    assert.are.equal("it broke", d.outcome.failure.message)
    assert.are.equal("it broke", d.last_failure.message)
    assert.are.same({ n = 1, 3 }, d.input)
  end)

  it("times out", function()
    local env <close> = environment({}, { worker = { no_remote_activities = true } })
    local handle = env:start_activity("nobody", with { schedule_to_start_timeout = "10m" })
    local err = error_of(handle.result, handle)
    assert.are.equal("TimeoutError", err.cause.kind)
    assert.are.equal("schedule_to_start", err.cause.timeout_type)
    assert.are.equal("timed_out", handle:describe().status)
  end)

  it("waits for its start delay", function()
    local env <close> = environment { at = function() return activity.info().started_time end }
    local before = env:now()
    local at = env:execute_activity("at", with { start_delay = "1h" })
    assert.is_true(at - before >= 3600 and at - before < 3700)
  end)

  it("hears of its cancellation", function()
    local handle
    local env <close> = environment { endless = function()
      handle:cancel "not needed"
      for beats = 1, 1000 do
        activity.heartbeat(beats)
        activity.sleep(0.05)
      end
    end }
    handle = env:start_activity("endless", with { heartbeat_timeout = 1 })
    local err = error_of(handle.result, handle)
    assert.are.equal("CancelledError", err.cause.kind)
    local d = handle:describe { include_heartbeat_details = true }
    assert.are.equal("canceled", d.status)
    assert.are.equal("not needed", d.canceled_reason)
    assert.is_true(d.heartbeat_details[1] > 0)
  end)

  it("is terminated and deleted", function()
    local env <close> = environment({}, { worker = { no_remote_activities = true } })
    local handle = env:start_activity("nobody", brief)
    handle:terminate "enough"
    local err = error_of(handle.result, handle)
    assert.are.equal("TerminatedError", err.cause.kind)
    assert.are.equal("enough", err.cause.message)
    handle:delete()
    assert.are.equal("NOT_FOUND", error_of(handle.describe, handle).status)
  end)

  it("is completed by its id", function()
    local opened
    local env <close> = environment { left_open = function()
      opened = true
      return activity.complete_async()
    end }
    local handle = env:start_activity("left_open", with { id = "open" })
    helper.eventually(env, function() return opened end)
    env.client:get_async_activity_handle { activity_id = "open" }:heartbeat "half"
    env.client:get_async_activity_handle { activity_id = "open", run_id = handle.run_id }:complete "whole"
    assert.are.equal("whole", handle:result())
  end)

  it("has an id of its own", function()
    local env <close> = environment({}, { worker = { no_remote_activities = true } })
    local first = env:start_activity("nobody", with { id = "one", id_reuse_policy = "allow_duplicate" })
    local err = error_of(env.start_activity, env, "nobody", with { id = "one", id_conflict_policy = "fail" })
    assert.are.equal("ActivityAlreadyStartedError", err.type)
    assert.are.equal("ALREADY_EXISTS", err.status)
    assert.are.equal(first.run_id, err.run_id)
    local same = env:start_activity("nobody", with { id = "one", id_conflict_policy = "use_existing" })
    assert.are.equal(first.run_id, same.run_id)
    first:cancel()
    err = error_of(env.start_activity, env, "nobody", with { id = "one", id_reuse_policy = "reject_duplicate" })
    assert.are.equal("ActivityAlreadyStartedError", err.type)
    local second = env:start_activity("nobody", with { id = "one", id_reuse_policy = "allow_duplicate_failed_only" })
    assert.are_not.equal(first.run_id, second.run_id)
    second:cancel()
    env:start_activity("nobody", with { id = "one", id_reuse_policy = "allow_duplicate", id_conflict_policy = "fail" })
  end)

  it("is listed and counted", function()
    local env <close> = environment({ ok = function() end }, { search_attributes = { Team = "keyword" } })
    for i = 1, 3 do
      env:execute_activity("ok", with { id = "ok-" .. i, search_attributes = { Team = i < 3 and "a" or "b" } })
    end
    local waits = env:start_activity("later", with { id = "later", start_delay = "2h", summary = "waits" })
    local ids = {}
    for info in env.client:list_activities("Team = 'a'", { page_size = 1 }) do
      ids[#ids + 1] = info.activity_id
      assert.are.equal("completed", info.status)
      assert.are.equal("a", info.search_attributes.Team)
    end
    assert.are.same({ "ok-2", "ok-1" }, ids)
    assert.are.equal(4, env.client:count_activities())
    local n, groups = env.client:count_activities "GROUP BY ExecutionStatus"
    assert.are.equal(4, n)
    table.sort(groups, function(a, b) return a.values[1] < b.values[1] end)
    assert.are.same({ { count = 3, values = { "Completed" } }, { count = 1, values = { "Running" } } }, groups)
    assert.are.equal(0, env.client:count_workflows())
    assert.are.equal("INVALID_ARGUMENT", error_of(env.client.count_activities, env.client, "WorkflowId = 'x'").status)
    assert.are.equal("running", waits:describe().status)
  end)

  it("is paused, changed and reset", function()
    local runs = 0
    local env <close> = environment { counts = function() runs = runs + 1 return runs end }
    local handle = env:start_activity("counts", with { start_delay = "1h" })
    handle:pause "wait"
    assert.are.equal("paused", handle:describe().status)
    local options = handle:update_options {
      start_to_close_timeout = "2m", retry_policy = { maximum_attempts = 3 }, start_delay = temporal.null,
    }
    assert.are.equal(120, options.start_to_close_timeout)
    assert.are.equal(3, options.retry_policy.maximum_attempts)
    options = handle:restore_original_options()
    assert.are.equal(60, options.start_to_close_timeout)
    assert.are.equal(0, options.retry_policy.maximum_attempts)
    handle:update_options { start_delay = temporal.null }
    handle:reset { keep_paused = true }
    assert.are.equal("paused", handle:describe().run_state)
    handle:unpause { reason = "go", jitter = 0.01 }
    assert.are.equal(1, handle:result())
  end)

  it("refuses what it cannot take", function()
    local env <close> = environment({}, { worker = { no_remote_activities = true } })
    local client = env.client
    for want, call in pairs {
      ["option 'task_queue' is required"] = function() client:start_activity("x", brief) end,
      ["did you mean 'heartbeat_timeout'"] = function() env:start_activity("x", with { heartbeat_timout = 5 }) end,
      ["one of fail, use_existing"] = function() env:start_activity("x", with { id_conflict_policy = "never" }) end,
      ["must be a type name or a definition"] = function() env:start_activity(5, brief) end,
      ["options must be a table"] = function() env:start_activity("x", "y") end,
      ["a valid StartToCloseTimeout or ScheduleToCloseTimeout"] = function() env:start_activity("x", {}) end,
      ["id must be a string that is not empty"] = function() client:get_activity_handle "" end,
      ["the reason must be a string"] = function() client:get_activity_handle("x"):cancel(5) end,
      ["names no option"] = function() client:get_activity_handle("x"):update_options {} end,
      ["wants a number from 1 up"] = function() client:list_activities("", { limit = 0 }) end,
      ["option 'heartbeat_timeout'"] = function()
        client:get_activity_handle("x"):update_options { heartbeat_timeout = "soon" }
      end,
    } do
      local err = error_of(call)
      assert.is_truthy(tostring(err):find(want, 1, true), want .. ": " .. tostring(err))
    end
    local none = client:get_activity_handle "none"
    assert.are.equal("NOT_FOUND", error_of(none.result, none).status)
    local waits = env:start_activity("x", brief)
    assert.matches("within the timeout", error_of(waits.result, waits, { timeout = 0.05 }).message)
  end)

  it("passes the hooks of interceptors", function()
    local seen = {}
    local hooks = setmetatable({}, { __index = function() end })
    for _, name in ipairs {
      "start_activity", "describe_activity", "cancel_activity", "terminate_activity", "pause_activity",
      "unpause_activity", "reset_activity", "update_activity_options", "list_activities", "count_activities",
    } do
      hooks[name] = function(input, next)
        seen[#seen + 1] = name
        if name == "start_activity" then
          input.args = { 20 }
          input.headers.tenant = "acme"
        end
        return next(input)
      end
    end
    local headers
    local env <close> = environment({ twice = function(n)
      headers = activity.info().headers
      return 2 * n
    end }, { interceptors = { { client = setmetatable(hooks, nil) } } })
    assert.are.equal(40, env:execute_activity("twice", brief, 5))
    assert.are.equal("acme", headers.tenant)
    local handle = env:start_activity("twice", with { start_delay = "1h" }, 5)
    handle:pause()
    handle:update_options { heartbeat_timeout = 5 }
    handle:unpause()
    handle:reset()
    handle:describe { rpc_timeout = "5s" }
    handle:cancel()
    env:start_activity("twice", with { start_delay = "1h" }, 5):terminate()
    assert.are.equal(3, env.client:count_activities())
    assert.is_truthy(env.client:list_activities()())
    assert.are.same({
      "start_activity", "start_activity", "pause_activity", "update_activity_options", "unpause_activity",
      "reset_activity", "describe_activity", "cancel_activity", "start_activity", "terminate_activity",
      "count_activities", "list_activities",
    }, seen)
  end)
end)
