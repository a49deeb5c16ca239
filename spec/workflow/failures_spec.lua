-- How workflows fail: which errors, with what, and what of it arrives.
local helper = require "helper"
local temporal = require "temporal"

local head = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
  local opts = { start_to_close_timeout = 10, retry_policy = { maximum_attempts = 1 } }
]]

local function open(body, options)
  return helper.environment(head .. body, options)
end

--- The error that execute_workflow raises: a WorkflowFailureError around the workflow's own.
local function failure(env, type, ...)
  local ok, err = pcall(env.execute_workflow, env, type, nil, ...)
  assert.is_false(ok)
  return err.cause
end

describe("failures", function()
  it("carry type, message, details, category, retry delay and a chain of causes", function()
    local env <close> = open [[
      return workflow.define("W", function()
        local inner = temporal.failure { type = "Inner", message = "i", details = { 1, { a = true } } }
        error(temporal.failure {
          type = "Outer", message = "o", non_retryable = true, category = "benign", cause = inner,
          next_retry_delay = "90s", details = { "x" },
        })
      end)]]
    local err = failure(env, "W")
    assert.are.same({ "Outer", "o", "benign", 90.0, true }, {
      err.type, err.message, err.category, err.next_retry_delay, err.non_retryable })
    assert.are.same({ "x" }, err.details)
    assert.are.same({ "Inner", "i" }, { err.cause.type, err.cause.message })
    assert.are.same({ 1, { a = true } }, err.cause.details)
    assert.is_true(temporal.is_failure(err, "Inner"))
    assert.matches("spec.lua:%d+", err.stack_trace)
  end)
end)

describe("plain errors", function()
  it("fail the task, whatever value they are", function()
    for value, message in pairs {
      ['"text"'] = "text", ["nil"] = "nil", ["42"] = "42", ["true"] = "true", ["{}"] = "table",
      ["setmetatable({}, { __tostring = function() return 'told' end })"] = "told",
      ["{ type = 'Own', message = 'mine' }"] = "mine",
    } do
      local source = [[return workflow.define("W", function() error(%s, 0) end)]]
      local env <close> = open(source:format(value), { replay = false })
      local handle = env:start_workflow("W", { id = "w" })
      local err = helper.task_failure(env, handle)
      assert.matches(message, err.message)
      handle:terminate()
    end
  end)

  it("fail the workflow when its definition says so", function()
    local env <close> = open([[
      local function of(name, types)
        return workflow.define { name = name, failure_error_types = types, run = function(value)
          if value then error(value) end
          local t = nil
          return t.x
        end }
      end
      return { of("Any", { "LuaError" }), of("Own", { "Declined", "Other" }), of("None") }]], { replay = false })
    local err = failure(env, "Any")
    assert.are.equal("LuaError", err.type)
    assert.matches("spec.lua:8: attempt to index a nil value", err.message)
    assert.matches("stack traceback", err.stack_trace)
    err = failure(env, "Own", { type = "Declined", message = "no funds" })
    assert.are.same({ "Declined", "no funds" }, { err.type, err.message })
    for _, type in ipairs { "Own", "None" } do -- not in the list
      local handle = env:start_workflow(type, { id = type })
      assert.matches("attempt to index", helper.task_failure(env, handle).message)
      handle:terminate()
    end
  end)

  it("fail the workflow when the worker says so, and a handler's error likewise", function()
    local env <close> = open([[
      return { workflow.define("W", function() error { type = "Declined" } end),
        workflow.define("H", function()
          workflow.set_signal_handler("s", function() error "in the handler" end)
          workflow.sleep "1h"
        end) }]], { worker = { workflow_failure_error_types = { "Declined", "LuaError" } } })
    assert.are.equal("Declined", failure(env, "W").type)
    local handle = env:start_workflow("H", { id = "h" })
    handle:signal "s"
    local ok, err = pcall(handle.result, handle)
    assert.is_false(ok)
    assert.matches("in the handler", err.cause.message)
  end)

  it("of other types still fail the task", function()
    local env <close> = open([[return workflow.define("W", function() error "text" end)]],
      { replay = false, worker = { workflow_failure_error_types = { "Declined" } } })
    local handle = env:start_workflow("W", { id = "w" })
    assert.matches("text", helper.task_failure(env, handle).message)
    handle:terminate()
  end)

  it("types are lists of strings", function()
    local ok, message = pcall(open, [[
      return workflow.define { name = "W", run = print, failure_error_types = { 1 } }]])
    assert.is_false(ok)
    assert.matches("failure_error_types must be a list of error types", message)
    ok, message = pcall(temporal.worker, { task_queue = "q", workflow_failure_error_types = { "a,b" } })
    assert.is_false(ok)
    assert.matches("must be a list of error types", message)
  end)
end)

describe("activity options", function()
  it("carry priority, fairness and a summary", function()
    local env <close> = open([[
      return workflow.define("W", function()
        return workflow.execute_activity("echo", {
          start_to_close_timeout = 10, summary = "what it does",
          priority = { priority_key = 2, fairness_key = "tenant", fairness_weight = 1.5 },
        }, 1)
      end)]], { activities = { echo = function(x) return x end } })
    local handle = env:start_workflow("W", { id = "w" })
    assert.are.equal(1, handle:result())
    local attributes, event = helper.event(handle, "activity_task_scheduled")
    assert.are.same({ 2, "tenant", 1.5 }, {
      attributes.priority.priority_key, attributes.priority.fairness_key, attributes.priority.fairness_weight })
    assert.matches("what it does", event.user_metadata.summary)
  end)
end)
