-- What a workflow knows of itself.
local helper = require "helper"
local temporal = require "temporal"
local core = require "temporal.core"

local head = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
]]

describe("workflow.info", function()
  it("has the start's options", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function() workflow.sleep(1) return workflow.info() end)]])
    local info = env:execute_workflow("W", {
      id = "w", execution_timeout = "2h", run_timeout = "1h", task_timeout = "20s", memo = { k = 1 },
      retry_policy = { maximum_attempts = 3, initial_interval = "2s", non_retryable_error_types = { "T" } },
    })
    assert.are.same({ "w", "W", "test", "default", 1 }, {
      info.workflow_id, info.workflow_type, info.task_queue, info.namespace, info.attempt })
    assert.are.same({ 7200.0, 3600.0, 20.0 }, {
      info.workflow_execution_timeout, info.workflow_run_timeout, info.workflow_task_timeout })
    assert.are.equal(info.run_id, info.first_execution_run_id)
    assert.are.same({ 3, 2.0, "T" }, { info.retry_policy.maximum_attempts,
      info.retry_policy.initial_interval, info.retry_policy.non_retryable_error_types[1] })
    assert.are.same({ k = 1 }, info.memo)
    assert.is_true(info.history_length >= 8 and info.history_size > 0)
    assert.is_false(info.continue_as_new_suggested)
    assert.are.same({}, info.continue_as_new_suggested_reasons)
    assert.is_false(info.target_worker_deployment_version_changed)
    assert.matches("^%x+$", info.current_build_id)
    assert.is_nil(info.parent)
    assert.is_nil(info.current_deployment_version)
  end)

  it("names the deployment version", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function() return workflow.info() end)]], {
      replay = false, worker = { deployment_name = "d", build_id = "b1" } })
    local info = env:execute_workflow "W"
    assert.are.equal("b1", info.current_build_id)
    assert.are.same({ deployment_name = "d", build_id = "b1" }, info.current_deployment_version)
  end)
end)

describe("memo", function()
  it("is read whole or by key, and upserted", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function()
        local before = workflow.memo_value "k"
        workflow.upsert_memo { k = temporal.null, n = { 1 } }
        return before, workflow.memo(), workflow.memo_value("k", "none"), workflow.memo_value "k" == nil
      end)]])
    assert.are.same({ "v", { n = { 1 } }, "none", true },
      { env:execute_workflow("W", { id = "w", memo = { k = "v" } }) })
  end)
end)

describe("details", function()
  it("are set and read", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function()
        local none = workflow.get_current_details()
        workflow.set_current_details "half way"
        return none == nil, workflow.get_current_details()
      end)]])
    assert.are.same({ true, "half way" }, { env:execute_workflow "W" })
  end)
end)

describe("chance and time", function()
  it("are the run's own, and streams with names do not move each other", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function()
        local a, b = workflow.new_random "a", workflow.new_random "b"
        local first = a(1000000)
        math.random()
        local same = workflow.new_random "a"(1000000) == first
        local own = workflow.new_random()
        workflow.sleep(1)
        return same, b(1000000) ~= first, math.type(own(5)), math.type(own()), math.type(workflow.random_seed()),
          workflow.time_ns() // 1000000000 == workflow.time(), workflow.uuid7(), workflow.in_workflow()
      end)]])
    local same, other, int, float, seed, time, uuid, inside = env:execute_workflow "W"
    assert.are.same({ true, true, "integer", "float", "integer", true, true },
      { same, other, int, float, seed, time, inside })
    assert.matches("^%x+%-%x+%-7%x+%-[89ab]%x+%-%x+$", uuid)
    assert.is_false(require "temporal.workflow".in_workflow())
  end)
end)

describe("workflow.unsafe", function()
  it("tells where the code is", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function()
        local in_predicate
        workflow.wait_condition(function() in_predicate = workflow.unsafe.is_read_only() return true end)
        workflow.set_query_handler("q", function()
          return workflow.unsafe.is_read_only(), workflow.unsafe.is_replaying_history_events()
        end)
        workflow.sleep "1m"
        return in_predicate, workflow.unsafe.is_read_only()
      end)]])
    local handle = env:start_workflow("W", { id = "w" })
    assert.are.same({ true, false }, { handle:query "q" })
    assert.are.same({ true, false }, { handle:result() })
  end)
end)

describe("is_failure_error", function()
  it("tells which errors would fail the workflow", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define { name = "W", failure_error_types = { "Own" }, run = function()
        local is = workflow.is_failure_error
        return is(temporal.failure "x"), is "x", is { type = "Own" }, is { type = "Other" }
      end }]])
    assert.are.same({ true, false, true, false }, { env:execute_workflow "W" })
  end)
end)

describe("a chain of runs", function()
  it("tells each run where it stands", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function(n, seen)
        local info = workflow.info()
        seen[#seen + 1] = {
          run_id = info.run_id, first = info.first_execution_run_id, continued = info.continued_run_id,
          original = info.original_run_id, start_time = info.start_time, cron = info.cron_schedule,
        }
        workflow.sleep(10)
        if n > 0 then workflow.continue_as_new({}, n - 1, seen) end
        return seen
      end)]])
    local seen = env:execute_workflow("W", { id = "w" }, 1, temporal.array {})
    assert.are.equal(seen[1].run_id, seen[1].first)
    assert.are.equal(seen[1].run_id, seen[1].original)
    assert.is_nil(seen[1].continued)
    assert.are.equal(seen[1].run_id, seen[2].first)
    assert.are.equal(seen[1].run_id, seen[2].continued)
    assert.are.equal(seen[2].run_id, seen[2].original)
    assert.is_nil(seen[2].cron)
    assert.is_true(seen[2].start_time >= seen[1].start_time + 10)
  end)
end)

describe("is_replaying", function()
  it("is false where code runs first, true when it runs again, and true in queries", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function()
        local first = workflow.unsafe.is_replaying()
        workflow.set_query_handler("replaying", function()
          return first, workflow.unsafe.is_replaying(), workflow.unsafe.is_replaying_history_events()
        end)
        workflow.sleep "1h"
        return first
      end)]], { worker = { max_cached_workflows = 0 }, replay = true }) -- its result depends on the cache
    local handle = env:start_workflow("W", { id = "w" })
    helper.eventually(env, function() return #handle:fetch_history() >= 5 end)
    -- Without a cache the query comes to a run that was made again from its history.
    assert.are.same({ true, true, false }, { handle:query "replaying" })
    assert.is_true(handle:result())
  end)
end)

describe("workflow.instance", function()
  it("is what init returned, and nil without one", function()
    local env <close> = helper.environment(head .. [[
      return {
        workflow.define { name = "Has", init = function(x) return { x = x } end,
          run = function(self) return workflow.instance() == self, workflow.instance().x end },
        workflow.define("Has not", function() return workflow.instance() == nil end),
      }]])
    assert.are.same({ true, 7 }, { env:execute_workflow("Has", {}, 7) })
    assert.is_true(env:execute_workflow "Has not")
  end)
end)

describe("a callback for the random seed", function()
  --- Runs the last workflow task again: what was before it keeps the old seed.
  local function reset(env, handle)
    local completed
    for _, event in ipairs(handle:fetch_history()) do
      completed = event.workflow_task_completed_event_attributes and event.event_id or completed
    end
    env.client:call("ResetWorkflowExecution", {
      namespace = "default", workflow_execution = { workflow_id = handle.id, run_id = handle.first_execution_run_id },
      reason = "again", workflow_task_finish_event_id = completed, request_id = "reset",
    })
  end

  local body = [[
    return workflow.define("W", function()
      local first, heard = workflow.random_seed(), {}
      workflow.register_random_seed_callback(function(seed) heard[#heard + 1] = seed %s end)
      workflow.register_random_seed_callback(function() heard.second = true end)
      workflow.sleep(1)
      return first, heard[1], heard.second or false, workflow.random_seed()
    end)]]

  it("is called after a reset, with the new seed", function()
    local env <close> = helper.environment(head .. body:format "")
    local handle = env:start_workflow("W", { id = "w" })
    local first, none, second, same = handle:result()
    assert.is_nil(none)
    assert.is_false(second)
    assert.are.equal(first, same)
    reset(env, handle)
    local old, heard, again, now = env.client:get_workflow_handle "w":result()
    assert.are.equal(first, old)
    assert.are.equal("integer", math.type(heard))
    assert.is_true(again)
    assert.are.equal(heard, now)
    assert.are_not.equal(old, now)
  end)

  it("fails the task when it raises, and when it is no function", function()
    local env <close> = helper.environment(head .. body:format "error 'not today'", { replay = false })
    local handle = env:start_workflow("W", { id = "w" })
    handle:result()
    reset(env, handle)
    local failed = helper.eventually(env, function()
      for _, event in ipairs(env.client:get_workflow_handle "w":fetch_history()) do
        local a = event.workflow_task_failed_event_attributes
        if a and a.failure and tostring(core.decode_failure(a.failure).message):find "not today" then return true end
      end
    end)
    assert.is_true(failed)
    env.client:get_workflow_handle "w":terminate()
    local other <close> = helper.environment(head .. [[
      return workflow.define("N", function() return pcall(workflow.register_random_seed_callback, 5) end)]])
    assert.is_false((other:execute_workflow "N"))
  end)
end)
