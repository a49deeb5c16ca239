-- Cancellation: what it reaches, what it passes through, and that clean-up runs.
local helper = require "helper"

local head = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
  local opts = { start_to_close_timeout = 10 }
]]

local function open(body, options)
  return helper.environment(head .. body, options)
end

local function run(body, options)
  local env <close> = open(body, options)
  return env:execute_workflow "W"
end

--- Starts W, waits until it answers the query "ready", cancels it, and returns how it ended.
local function cancelled(body, options)
  local env <close> = open(body, options)
  local handle = env:start_workflow("W", { id = "w" })
  helper.eventually(env, function()
    return select(2, pcall(handle.query, handle, "ready")) == true
  end)
  handle:cancel()
  local ok, result = pcall(handle.result, handle)
  return ok, ok and result or result.cause, handle:fetch_history(), env
end

local function count(history, attributes)
  local n = 0
  for _, event in ipairs(history) do
    n = n + (event[attributes .. "_event_attributes"] and 1 or 0)
  end
  return n
end

local ready = [[ workflow.set_query_handler("ready", function() return true end) ]]

describe("a cancelled run", function()
  it("ends cancelled after it has compensated, by activities too", function()
    local undone
    local ok, err, history = cancelled(([[
      return workflow.define("W", function()
        local _ <close> = workflow.defer(function(err)
          if err then workflow.execute_activity("undo", opts, temporal.is_cancelled(err)) end
        end)
        %s
        workflow.sleep "1h"
      end)]]):format(ready), { activities = { undo = function(why) undone = why end } })
    assert.is_false(ok)
    assert.are.equal("CancelledError", err.type)
    assert.is_true(undone)
    assert.are.equal(1, count(history, "timer_canceled"))
    assert.are.equal(1, count(history, "workflow_execution_canceled"))
  end)

  it("knows the reason that was given, and none before", function()
    local env <close> = open(([[
      return workflow.define("W", function()
        %s
        local before = workflow.cancellation_reason()
        pcall(workflow.sleep, "1h")
        return before == nil, workflow.is_cancel_requested(), workflow.cancellation_reason()
      end)]]):format(ready))
    local handle = env:start_workflow("W", { id = "w" })
    assert.is_true(handle:query "ready")
    assert.has_error(function() handle:cancel { reason = "x" } end)
    handle:cancel "sold out"
    assert.are.same({ true, true, "sold out" }, { handle:result() })
  end)

  it("may go on when the code that caught it does, and hears of it once", function()
    local ok, result = cancelled(([[
      return workflow.define("W", function()
        %s
        local ok, err = pcall(workflow.sleep, "1h")
        workflow.sleep "1m"
        return { ok, err.type, workflow.is_cancel_requested(), workflow.execute_activity("echo", opts, "after") }
      end)]]):format(ready), { activities = { echo = function(x) return x end } })
    assert.is_true(ok)
    assert.are.same({ false, "CancelledError", true, "after" }, result)
  end)

  it("leaves coroutines and handlers alone that the workflow function does not wait for", function()
    local ok, result = cancelled(([[
      return workflow.define("W", function()
        %s
        local aside = workflow.spawn(function() workflow.sleep "2m" return "slept" end)
        pcall(workflow.sleep, "1h")
        return aside:result()
      end)]]):format(ready))
    assert.is_true(ok)
    assert.are.equal("slept", result)
  end)

  it("is told after a shielded part", function()
    local ok, result = cancelled(([[
      return workflow.define("W", function()
        %s
        local kept = workflow.shield(function() workflow.sleep "1m" return "kept" end)
        local ok, err = pcall(workflow.sleep, 1)
        return { kept, ok, err.type }
      end)]]):format(ready))
    assert.is_true(ok)
    assert.are.same({ "kept", false, "CancelledError" }, result)
  end)
end)

describe("a cancellation goes", function()
  it("through wait_all, to all that is pending", function()
    local ok, err, history = cancelled(([[
      return workflow.define("W", function()
        %s
        workflow.wait_all { workflow.start_timer "1h", workflow.start_timer "2h" }
      end)]]):format(ready))
    assert.is_false(ok)
    assert.are.equal("CancelledError", err.type)
    assert.are.equal(2, count(history, "timer_canceled"))
  end)

  it("not through wait_any, as_completed and select", function()
    for _, wait in ipairs {
      "workflow.wait_any { timer }", "workflow.as_completed { timer } ()", "workflow.select { { timer } }",
      "workflow.wait_condition(function() return timer:done() end)",
    } do
      local ok, result, history = cancelled(([[
        return workflow.define("W", function()
          local timer = workflow.start_timer "5m"
          %s
          local ok, err = pcall(function() %s end)
          timer:result()
          return { ok, err.type }
        end)]]):format(ready, wait:gsub("^workflow.as_completed { timer } %(%)$", "workflow.as_completed { timer }()")))
      assert.is_true(ok)
      assert.are.same({ false, "CancelledError" }, result)
      assert.are.equal(0, count(history, "timer_canceled"))
    end
  end)

  it("to handles: timers, coroutines, activities of each kind", function()
    assert.are.same({ "CancelledError", "CancelledError", "ActivityError", "CancelledError", true }, { run([[
      return workflow.define("W", function()
        local function of(future)
          local _, err = pcall(future.result, future)
          return err.type, err.cause and err.cause.type
        end
        local timer = workflow.start_timer "1h"
        local fiber = workflow.spawn(workflow.sleep, "1h")
        local activity = workflow.start_activity("waits", {
          start_to_close_timeout = 10, cancellation_type = "abandon" })
        timer:cancel() fiber:cancel() activity:cancel()
        local a, b = of(timer), of(fiber)
        local c, d = of(activity)
        return a, b, c, d, timer:done()
      end)]], { activities = { waits = function() end } }) })
  end)
end)

describe("scopes", function()
  it("end at their timeout, inner ones first", function()
    -- In tens of seconds: the clock goes on while the machine works, and a busy one works long.
    assert.are.same({ "TimeoutError", 6, "TimeoutError", 12 }, { run [[
      return workflow.define("W", function()
        local began = workflow.now()
        local function elapsed() return math.floor((workflow.now() - began) / 10) end
        local inner, took
        local ok, err = pcall(workflow.scope, { timeout = "2m" }, function()
          local _, e = pcall(workflow.scope, { timeout = "1m" }, workflow.sleep, "1h")
          inner, took = e.type, elapsed()
          workflow.sleep "1h"
        end)
        return inner, took, err.type, elapsed()
      end)]] })
  end)

  it("return what their function returns, and stop their timer", function()
    local env <close> = open [[
      return workflow.define("W", function()
        return workflow.scope({ timeout = "1h" }, function(a, b) workflow.sleep(1) return b, a end, 1, 2)
      end)]]
    local handle = env:start_workflow("W", { id = "w" })
    assert.are.same({ 2, 1 }, { handle:result() })
    assert.are.equal(1, count(handle:fetch_history(), "timer_canceled"))
  end)

  it("as objects are cancelled from anywhere, also before they run", function()
    local env <close> = open [[
      return workflow.define("W", function()
        local scope = workflow.cancel_scope { timeout = "1h" }
        workflow.set_signal_handler("stop", function() scope:cancel() end)
        local ok, err = pcall(scope.run, scope, function() workflow.sleep "30m" end)
        local early = workflow.cancel_scope()
        early:cancel()
        local reached = false
        local _, second = pcall(early.run, early, function() reached = true workflow.sleep(1) end)
        local again = select(2, pcall(scope.run, scope, print))
        return ok, err.type, scope:cancelled(), reached, second.type, again
      end)]]
    local handle = env:start_workflow("W", { id = "w" })
    handle:signal "stop"
    local ok, err, was, reached, second, again = handle:result()
    assert.are.same({ false, "CancelledError", true, true, "CancelledError" }, { ok, err, was, reached, second })
    assert.matches("a scope is run once", again)
  end)
end)

describe("Lua", function()
  it("keeps its rules for pcall, error, close and coroutines around waits", function()
    assert.are.same({ "e", "b2 a1 e", true, "dead", "x", 3 }, { run [[
      return workflow.define("W", function()
        local log = {}
        local function closing(name)
          return setmetatable({}, { __close = function(_, err)
            workflow.sleep(1) -- may wait
            log[#log + 1] = name .. (err and "" or "!")
          end })
        end
        local ok, err = pcall(function()
          local a <close> = closing "a1"
          local b <close> = closing "b2"
          workflow.sleep(1)
          error("e", 0)
        end)
        log[#log + 1] = err
        local co = coroutine.create(function() workflow.sleep(1) return "x" end)
        local alive, value = coroutine.resume(co)
        local handled = xpcall(function() workflow.sleep(1) error "y" end, function() return 3 end)
        local third = select(2, xpcall(function() error "y" end, function() return 3 end))
        return err, table.concat(log, " "), alive and not handled and not ok, coroutine.status(co), value, third
      end)]] })
  end)

  it("runs nothing of a run that is evicted", function()
    local closed = 0
    local env <close> = open([[
      return workflow.define("W", function(n)
        local _ <close> = workflow.defer(function() workflow.execute_activity("closed", opts) end)
        workflow.sleep(n)
        return n
      end)]], { activities = { closed = function() closed = closed + 1 end },
      worker = {
        max_cached_workflows = 2, max_concurrent_workflow_tasks = 2, max_concurrent_workflow_task_polls = 2,
      } })
    local handles = {}
    for i = 1, 8 do
      handles[i] = env:start_workflow("W", { id = "w" .. i }, 60 + i)
    end
    for i, handle in ipairs(handles) do
      assert.are.equal(60 + i, handle:result())
    end
    assert.are.equal(8, closed) -- once each, though most were dropped and replayed between
    assert.is_true(env.worker:stats().evictions > 0)
  end)
end)
