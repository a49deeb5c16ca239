-- Pause: what stands still, what goes on, and that nothing is lost.
local helper = require "helper"

local source = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
  local opts = { start_to_close_timeout = 10 }
  return {
    workflow.define("Waits", function()
      local seen = temporal.array {}
      workflow.set_signal_handler("add", function(x) seen[#seen + 1] = x end)
      workflow.set_query_handler("seen", function() return seen end)
      workflow.set_update_handler("add", function(x) seen[#seen + 1] = x return #seen end)
      local timer = workflow.start_timer "1h"
      workflow.wait_condition(function() return #seen >= 2 and timer:done() end)
      return seen
    end),
    workflow.define("Acts", function()
      return workflow.execute_activity("first", opts), workflow.execute_activity("second", opts)
    end),
    workflow.define("Retries", function()
      return workflow.execute_activity("flaky", {
        start_to_close_timeout = 10, retry_policy = { initial_interval = 60, backoff_coefficient = 1 } })
    end),
  }
]]

local function status(handle)
  return handle:describe().status
end

local function types(handle)
  local list = {}
  for i, event in ipairs(handle:fetch_history()) do
    list[i] = event.event_type
  end
  return list
end

local function count(list, type)
  local n = 0
  for _, t in ipairs(list) do
    n = n + (t == type and 1 or 0)
  end
  return n
end

local SCHEDULED, SIGNALED, FIRED = "workflow_task_scheduled", "workflow_execution_signaled", "timer_fired"
local PAUSE, UNPAUSE = "workflow_execution_paused", "workflow_execution_unpaused"

describe("a paused workflow", function()
  it("records signals and timers, takes no task, and goes on where it was", function()
    local env <close> = helper.environment(source)
    local handle = env:start_workflow("Waits", { id = "w" })
    assert.are.same({}, handle:query "seen")
    handle:pause "maintenance"
    assert.are.equal("paused", status(handle))
    local info = handle:describe().workflow_extended_info.pause_info
    assert.are.same({ "maintenance", env.client.identity }, { info.reason, info.identity })
    assert.is_true(info.paused_time > 0)
    local tasks = count(types(handle), SCHEDULED)
    handle:signal("add", 1)
    handle:signal("add", 2)
    env:sleep "2h"
    local list = types(handle)
    assert.are.same({ 2, 1, 1 }, { count(list, SIGNALED), count(list, FIRED), count(list, PAUSE) })
    assert.are.equal(tasks, count(list, SCHEDULED))
    handle:unpause()
    assert.are.same({ 1, 2 }, handle:result())
    assert.are.equal(1, count(types(handle), UNPAUSE))
    assert.is_nil(handle:describe().workflow_extended_info.pause_info)
  end)

  it("refuses queries and updates, and takes them again afterwards", function()
    local env <close> = helper.environment(source)
    local handle = env:start_workflow("Waits", { id = "w" })
    assert.are.same({}, handle:query "seen")
    handle:pause()
    local ok, err = pcall(handle.query, handle, "seen")
    assert.is_false(ok)
    assert.are.equal("WorkflowQueryRejectedError", err.type)
    ok, err = pcall(handle.execute_update, handle, "add", nil, 1)
    assert.is_false(ok)
    assert.are.equal("FAILED_PRECONDITION", err.status)
    assert.matches("Workflow is paused", err.message)
    handle:unpause()
    assert.are.equal(1, (handle:execute_update("add", nil, 1)))
    assert.are.same({ 1 }, handle:query "seen")
    handle:terminate()
  end)

  it("starts no activity; one that runs may end", function()
    local ran, handle = {}, nil
    local env <close> = helper.environment(source, { activities = {
      first = function()
        ran[#ran + 1] = "first"
        handle:pause() -- while it runs
        return 1
      end,
      second = function() ran[#ran + 1] = "second" return 2 end,
    } })
    handle = env:start_workflow("Acts", { id = "a" })
    helper.eventually(env, function() return #ran == 1 and status(handle) == "paused" end)
    helper.eventually(env, function() return count(types(handle), "activity_task_completed") == 1 end)
    env:sleep "1h"
    assert.are.same({ "first" }, ran)
    handle:unpause()
    assert.are.same({ 1, 2 }, { handle:result() })
    assert.are.same({ "first", "second" }, ran)
  end)

  it("holds the next attempt of an activity back", function()
    local attempts = 0
    local env <close> = helper.environment(source, { activities = { flaky = function()
      attempts = attempts + 1
      if attempts == 1 then error("not yet", 0) end
      return attempts
    end } })
    local handle = env:start_workflow("Retries", { id = "r" })
    helper.eventually(env, function() return attempts == 1 end)
    handle:pause()
    env:sleep "10m"
    assert.are.equal(1, attempts)
    handle:unpause()
    assert.are.equal(2, handle:result())
  end)

  it("is found by lists", function()
    local env <close> = helper.environment(source)
    local client = env.client
    local handle = env:start_workflow("Waits", { id = "w" })
    handle:pause "stock-taking"
    for _, query in ipairs { "ExecutionStatus = 'Paused'", "TemporalPauseInfo = 'Reason:stock-taking'",
      "TemporalPauseInfo = 'Workflow:w'" } do
      assert.are.equal(1, client:count_workflows(query), query)
    end
    assert.are.equal(0, client:count_workflows "ExecutionStatus = 'Running'")
    handle:unpause()
    assert.are.equal(1, client:count_workflows "ExecutionStatus = 'Running'")
    assert.are.equal(0, client:count_workflows "TemporalPauseInfo = 'Workflow:w'")
    handle:terminate()
  end)

  it("may be paused before its first task, cancelled, terminated, and not twice", function()
    local env <close> = helper.environment(source)
    local handle = env:start_workflow("Waits", { id = "w", start_delay = "1h" })
    handle:pause()
    env:sleep "2h"
    assert.are.equal(0, count(types(handle), SCHEDULED))
    local ok, err = pcall(handle.pause, handle)
    assert.is_false(ok)
    assert.are.same({ "FAILED_PRECONDITION", "workflow is already paused." }, { err.status, err.message })
    handle:cancel()
    assert.are.equal("paused", status(handle))
    handle:unpause()
    ok, err = pcall(handle.result, handle)
    assert.is_false(ok)
    assert.are.equal("CancelledError", err.cause.type)
    ok, err = pcall(handle.pause, handle)
    assert.is_false(ok)
    assert.are.equal("NOT_FOUND", err.status)
    handle = env:start_workflow("Waits", { id = "t" })
    ok, err = pcall(handle.unpause, handle)
    assert.is_false(ok)
    assert.are.same({ "FAILED_PRECONDITION", "workflow is not paused." }, { err.status, err.message })
    handle:pause()
    handle:terminate()
    assert.are_not.equal("paused", status(handle))
    assert.has_error(function() handle:pause { reason = "x" } end)
    ok, err = pcall(handle.pause, handle, ("x"):rep(1001))
    assert.is_false(ok)
    assert.are.same({ "INVALID_ARGUMENT", "reason is too long." }, { err.status, err.message })
  end)

  it("stays paused over a restart of the server", function()
    local name = os.tmpname()
    os.remove(name)
    do
      local env <close> = helper.environment(source, { db_filename = name, replay = false })
      local handle = env:start_workflow("Waits", { id = "w" })
      handle:query "seen"
      handle:pause "night"
      handle:signal("add", 1)
    end
    do
      local env <close> = helper.environment(source, { db_filename = name })
      local handle = env.client:get_workflow_handle "w"
      assert.are.equal("paused", status(handle))
      assert.are.equal("night", handle:describe().workflow_extended_info.pause_info.reason)
      handle:signal("add", 2)
      handle:unpause()
      assert.are.same({ 1, 2 }, handle:result())
    end
    for _, suffix in ipairs { "", "-wal", "-shm" } do
      os.remove(name .. suffix)
    end
  end)
end)

describe("DescribeNamespace", function()
  it("says that workflows can be paused", function()
    local env <close> = helper.environment(source)
    local answer = env.client:call("DescribeNamespace", { namespace = "default" })
    assert.is_true(answer.namespace_info.capabilities.workflow_pause)
  end)
end)
