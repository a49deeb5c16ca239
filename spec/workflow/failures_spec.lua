-- How workflows fail: which errors, with what, and what of it arrives.
local helper = require "helper"
local temporal = require "temporal"
local testing = require "temporal.testing"

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
  it("are made alike in workflows and in scripts", function()
    local forms = [[
      local temporal = require "temporal"
      local function message(...) return (select(2, pcall(temporal.failure, ...))) end
      local function fields(err) return { err.kind, err.type, err.message, err.non_retryable or false } end
      return {
        fields(temporal.failure "text"), fields(temporal.failure {}),
        fields(temporal.failure("text", { type = "Refused", non_retryable = true })),
      }, {
        message(), message(5), message("text", "Refused"), message("text", { message = "other" }),
        message { typ = "x" }, message { type = 5 }, message { message = {} },
        message { non_retryable = "yes" }, message { category = "bening" },
        message { next_retry_delay = "soon" }, message { next_retry_delay = -1 },
      }
    ]]
    local env <close> = helper.environment("local workflow = require 'temporal.workflow'\n"
      .. "return workflow.define('W', function()" .. forms .. "end)")
    local good, bad = load(forms)()
    local good_there, bad_there = env:execute_workflow("W")
    assert.same({
      { "ApplicationError", "ApplicationError", "text", false }, { "ApplicationError", "ApplicationError", "", false },
      { "ApplicationError", "Refused", "text", true },
    }, good)
    local said = {
      "a message or a table expected, got nil", "a message or a table expected, got number",
      "a table of fields after the message expected, got string", "the message is given twice",
      "unknown field 'typ'", "type must be a string, got number", "message must be a string, got table",
      "non_retryable must be a boolean, got string", 'category must be "benign", got bening',
      "next_retry_delay: .*soon",
      "next_retry_delay must be a duration, got %-1",
    }
    for i, text in ipairs(said) do
      assert.matches(text, bad[i])
      assert.matches(text, bad_there[i])
    end
    assert.same(good, good_there)
  end)

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

describe("NUL bytes", function()
  local source = [[
    return workflow.define("W", function(where)
      if where == "task" then error "a\\0b" end
      if where == "own" then error(temporal.failure { type = "T\\0", message = "\u{fc}\\0" }) end
      if where == "spawned" then workflow.spawn(function() error "a\\0b" end):result() end
      local _, err = pcall(workflow["execute_" .. where], "fails", opts)
      return err.cause.message, tostring(err.cause), err.cause.type
    end)]]
  local activities = { fails = function() error("a\0b", 0) end }

  it("stand in the text of errors escaped, and cut nothing off", function()
    local env <close> = open(source, { activities = activities })
    for _, where in ipairs { "activity", "local_activity" } do
      local message, text, type = env:execute_workflow("W", nil, where)
      assert.are.same({ [[a\0b]], [[LuaError: a\0b]], "LuaError" }, { message, text, type }, where)
    end
    local err = failure(env, "W", "own")
    assert.are.same({ [[T\0]], "\u{fc}" .. [[\0]] }, { err.type, err.message })
  end)

  it("do so in failed workflow tasks", function()
    local env <close> = open(source, { activities = activities, replay = false })
    for _, where in ipairs { "task", "spawned" } do
      local handle = env:start_workflow("W", { id = where }, where)
      assert.matches([[a\0b$]], helper.task_failure(env, handle).message)
      handle:terminate()
    end
  end)
end)

describe("tracebacks", function()
  it("call a function by the name that was called", function()
    local env <close> = open([[
      return workflow.define("W", function(name) workflow[name](nil) end)]], { replay = false })
    for _, name in ipairs { "spawn", "async" } do
      local handle = env:start_workflow("W", { id = name }, name)
      local err = helper.task_failure(env, handle)
      assert.matches("function expected, got nil", err.message)
      assert.matches("in function 'workflow." .. name .. "'", err.stack_trace, 1, true)
      handle:terminate()
    end
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

describe("code that does not fit the history", function()
  local function source(call, types)
    return { name = "spec", source = head .. ([[
      return workflow.define { name = "W", failure_error_types = %s, run = function() %s end }]]):format(types, call) }
  end

  --- Begins a run with a timer, goes on with code that starts an activity instead; returns the handle.
  local function changed(name, types, worker)
    do
      local env <close> = testing.environment { workflows = { source("workflow.sleep(3600)", "{}") },
        db_filename = name, replay = false }
      env:start_workflow("W", { id = "w" })
      helper.eventually(env, function()
        return #env.client:get_workflow_handle "w":fetch_history() >= 5
      end)
    end
    local env = testing.environment { workflows = { source("workflow.execute_activity('a', opts)", types) },
      db_filename = name, replay = false, worker = worker }
    local handle = env.client:get_workflow_handle "w"
    handle:signal "anything" -- the next task meets the other code
    return handle, env
  end

  for place, given in pairs {
    ["its definition"] = { "{ 'NondeterminismError' }", nil },
    ["the worker"] = { "{}", { workflow_failure_error_types = { "Other", "NondeterminismError" } } },
  } do
    it("fails the workflow when " .. place .. " says so", function()
      local name = os.tmpname()
      os.remove(name)
      local handle, env = changed(name, table.unpack(given, 1, 2))
      local ok, err = pcall(handle.result, handle)
      assert.is_false(ok)
      assert.are.equal("NondeterminismError", err.cause.type)
      assert.matches("event 5 TimerStarted.*the code made ScheduleActivityTask here", err.cause.message)
      env:close()
      os.execute(("rm -f '%s' '%s-wal' '%s-shm'"):format(name, name, name))
    end)
  end

  it("fails its task otherwise", function()
    local name = os.tmpname()
    os.remove(name)
    local handle, env = changed(name, "{ 'LuaError' }")
    local _, attributes = helper.task_failure(env, handle)
    assert.are.equal("non_deterministic_error", attributes.cause)
    handle:terminate()
    env:close()
    os.execute(("rm -f '%s' '%s-wal' '%s-shm'"):format(name, name, name))
  end)
end)
