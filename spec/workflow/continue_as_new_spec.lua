-- Continue as new: what the next run gets, and what a run knows of the one before.
local helper = require "helper"

local head = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
]]

local function open(body, options)
  return helper.environment(head .. body, options)
end

describe("continue_as_new", function()
  it("sends every option", function()
    local env <close> = open([[
      return workflow.define("W", function()
        workflow.continue_as_new({
          workflow_type = "Next", task_queue = "other", workflow_run_timeout = "1h", workflow_task_timeout = "30s",
          backoff_start_interval = "5s", retry_policy = { maximum_attempts = 7 }, memo = { m = 1 },
          initial_versioning_behavior = "auto_upgrade", versioning_intent = "compatible",
        }, "a", nil, 3)
      end)]], { replay = false }) -- nobody takes the next run
    local handle = env:start_workflow("W", { id = "w", memo = { old = true } })
    local first = env.client:get_workflow_handle("w", handle.first_execution_run_id)
    local event = helper.eventually(env, function()
      return (helper.event(first, "workflow_execution_continued_as_new"))
    end)
    assert.are.same({ "Next", "other", 3600 }, {
      event.workflow_type.name, event.task_queue.name, event.workflow_run_timeout })
    assert.matches('"a"', event.input)
    assert.are.equal("auto_upgrade", event.initial_versioning_behavior)
    assert.are.equal(30, event.workflow_task_timeout)
    assert.are.equal(5, event.backoff_start_interval)
    env.client:get_workflow_handle("w"):terminate()
  end)

  it("lets the next run use the ramping version", function()
    local env <close> = open([[
      return workflow.define("W", function()
        workflow.continue_as_new { task_queue = "other", initial_versioning_behavior = "use_ramping_version" }
      end)]], { replay = false })
    local handle = env:start_workflow("W", { id = "w" })
    local first = env.client:get_workflow_handle("w", handle.first_execution_run_id)
    local event = helper.eventually(env, function()
      return (helper.event(first, "workflow_execution_continued_as_new"))
    end)
    assert.are.equal("use_ramping_version", event.initial_versioning_behavior)
    env.client:get_workflow_handle("w"):terminate()
  end)

  it("keeps what is not given, and leaves from any depth, past pcall", function()
    local env <close> = open [[
      return workflow.define("W", function(n)
        if n == 0 then
          local info = workflow.info()
          return info.continued_run_id ~= nil, info.first_execution_run_id ~= info.run_id, workflow.memo_value "k",
            info.workflow_task_timeout
        end
        local function deep() pcall(workflow.continue_as_new, {}, n - 1) error "not reached" end
        coroutine.wrap(function() xpcall(deep, print) end)()
        return "not reached"
      end)]]
    assert.are.same({ true, true, "v", 25.0 },
      { env:execute_workflow("W", { id = "w", memo = { k = "v" }, task_timeout = "25s" }, 2) })
  end)

  it("may be called by a signal handler", function()
    local env <close> = open [[
      return workflow.define("W", function(value)
        if value then return value end
        workflow.set_signal_handler("next", function(v) workflow.continue_as_new({}, v) end)
        workflow.sleep "1h"
      end)]]
    local handle = env:start_workflow("W", { id = "w" })
    handle:signal("next", "v")
    assert.are.equal("v", (handle:result()))
  end)

  it("names a wrong option", function()
    local env <close> = open [[
      return workflow.define("W", function()
        return select(2, pcall(workflow.continue_as_new, { initial_versioning_behavior = "pinned" })),
          select(2, pcall(workflow.continue_as_new, { run_timeut = 1 }))
      end)]]
    local a, b = env:execute_workflow "W"
    assert.matches("initial_versioning_behavior", a)
    assert.matches("unknown option 'run_timeut'", b)
  end)
end)

describe("the run before", function()
  it("leaves its failure to the next attempt", function()
    local env <close> = open [[
      return workflow.define("W", function()
        local attempt = workflow.info().attempt
        if attempt == 1 then error(temporal.failure { type = "First", message = "no" }) end
        return attempt, workflow.get_last_failure().type, workflow.has_last_completion_result(),
          workflow.get_last_completion_result() == nil
      end)]]
    assert.are.same({ 2, "First", false, true },
      { env:execute_workflow("W", { id = "w", retry_policy = { initial_interval = 1 } }) })
  end)
end)
