-- Workflow primitives on the whole system: each environment replays every workflow at its end.
local helper = require "helper"
local temporal = require "temporal"

local head = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
  local opts = { start_to_close_timeout = 10 }
]]

local function run(body, activities, ...)
  local env <close> = helper.environment(head .. body, { activities = activities })
  return env:execute_workflow("W", nil, ...)
end

local echo = {
  echo = function(...)
    return ...
  end,
}

describe("futures", function()
  it("run activities side by side and are awaited in any order", function()
    local a, b, c = run([[
      return workflow.define("W", function()
        local fa = workflow.start_activity("echo", opts, "a")
        local fb = workflow.start_activity("echo", opts, "b")
        local fc = workflow.start_activity("echo", opts, "c")
        return fc:result(), fb:result(), fa:result()
      end)]], echo)
    assert.are.same({ "c", "b", "a" }, { a, b, c })
  end)

  it("of wait_any: the timer that is due first wins", function()
    local first, done = run [[
      return workflow.define("W", function()
        local slow, quick = workflow.start_timer "2h", workflow.start_timer "1m"
        local first = workflow.wait_any { slow, quick }
        return first == quick, slow:done()
      end)]]
    assert.is_true(first)
    assert.is_false(done)
  end)

  it("of wait_all collect results and raise the first error", function()
    local sum, message = run([[
      return workflow.define("W", function()
        local list = {}
        for i = 1, 10 do list[i] = workflow.start_activity("echo", opts, i) end
        local results, sum = workflow.wait_all(list), 0
        for i = 1, results.n do sum = sum + results[i] end
        local bad = workflow.start_activity("fails", {
          start_to_close_timeout = 10, retry_policy = { maximum_attempts = 1 } })
        local ok, err = pcall(workflow.wait_all, { workflow.start_activity("echo", opts, 1), bad })
        return sum, not ok and err.cause.message
      end)]], { echo = echo.echo, fails = function() error("no", 0) end })
    assert.are.equal(55, sum)
    assert.are.equal("no", message)
  end)

  it("of as_completed come in the order in which they are done", function()
    local order = run [[
      return workflow.define("W", function()
        local minutes, order = {}, {}
        local timers = {}
        for i, m in ipairs { 30, 10, 20 } do
          timers[i] = workflow.start_timer(m * 60)
          minutes[i] = m
        end
        for future in workflow.as_completed(timers) do
          for i = 1, 3 do
            if timers[i] == future then order[#order + 1] = minutes[i] end
          end
        end
        return order
      end)]]
    assert.are.same({ 10, 20, 30 }, order)
  end)
end)

describe("waiting", function()
  it("for a condition ends with true, or false at the timeout", function()
    local first, second, waited = run [[
      return workflow.define("W", function()
        local flag = false
        workflow.spawn(function() workflow.sleep "10m" flag = true end)
        local first = workflow.wait_condition(function() return flag end, { timeout = "1h" })
        local began = workflow.time()
        local second = workflow.wait_condition(function() return false end, { timeout = "1h" })
        return first, second, workflow.time() - began
      end)]]
    assert.is_true(first)
    assert.is_false(second)
    assert.is_true(waited >= 3600)
  end)

  it("passes through pcall, iterators and user coroutines", function()
    local sum = run([[
      return workflow.define("W", function()
        local function each()
          return coroutine.wrap(function()
            for i = 1, 3 do coroutine.yield(workflow.execute_activity("echo", opts, i)) end
          end)
        end
        local sum = 0
        for v in each() do
          local ok, w = pcall(workflow.execute_activity, "echo", opts, v * 10)
          sum = sum + w
        end
        return sum
      end)]], echo)
    assert.are.equal(60, sum)
  end)
end)

describe("signals and queries", function()
  it("keep signals that come before their handler, in order", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function()
        workflow.sleep "1m"
        local got = {}
        workflow.set_signal_handler("s", function(x) got[#got + 1] = x end)
        workflow.wait_condition(function() return #got == 3 end)
        return got
      end)]])
    local handle = env:start_workflow("W", { id = "w" })
    for i = 1, 3 do
      handle:signal("s", i)
    end
    assert.are.same({ 1, 2, 3 }, handle:result())
  end)

  it("let a handler run activities beside the workflow", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function()
        local sum = 0
        workflow.set_signal_handler("add", function(x)
          local got = workflow.execute_activity("echo", opts, x) -- before sum is read
          sum = sum + got
        end)
        workflow.set_query_handler("sum", function() return sum end)
        workflow.wait_condition(function() return sum >= 6 end)
        workflow.wait_condition(workflow.all_handlers_finished)
        return sum
      end)]], { activities = echo })
    local handle = env:start_workflow("W", { id = "w" })
    handle:signal("add", 1)
    handle:signal("add", 2)
    assert.matches("spec.lua:%d+", handle:query "__stack_trace")
    handle:signal("add", 3)
    assert.are.equal(6, handle:result())
    assert.are.equal(6, handle:query "sum")
  end)

  it("refuse commands in a query and leave the workflow as it was", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function()
        workflow.set_query_handler("bad", function() workflow.sleep(1) end)
        workflow.sleep "1d"
        return "slept"
      end)]])
    local handle = env:start_workflow("W", { id = "w" })
    local ok, err = pcall(handle.query, handle, "bad")
    assert.is_false(ok)
    assert.are.equal("WorkflowQueryFailedError", err.type)
    assert.are.equal("slept", handle:result())
  end)
end)

describe("cancellation", function()
  local function cancelled(body, activities)
    local env <close> = helper.environment(head .. body, { activities = activities })
    local handle = env:start_workflow("W", { id = "w" })
    env:sleep(1)
    handle:cancel()
    return pcall(handle.result, handle)
  end

  it("arrives once where the workflow waits; what follows may wait again", function()
    local ok, result = cancelled([[
      return workflow.define("W", function()
        local ok, err = pcall(workflow.sleep, "1d")
        local cleaned = workflow.execute_activity("echo", opts, "cleaned")
        return { ok, temporal.is_cancelled(err), cleaned }
      end)]], echo)
    assert.is_true(ok)
    assert.are.same({ false, true, "cleaned" }, result)
  end)

  it("let through ends the workflow as cancelled, after its deferred clean-up", function()
    local cleaned = false
    local ok, err = cancelled([[
      return workflow.define("W", function()
        local undo <close> = workflow.defer(function(e)
          if e then workflow.execute_activity("clean", opts) end
        end)
        workflow.sleep "1d"
      end)]], { clean = function() cleaned = true end })
    assert.is_false(ok)
    assert.is_true(temporal.is_cancelled(err))
    assert.is_true(cleaned)
  end)

  it("waits outside a shield", function()
    local ok, result = cancelled([[
      return workflow.define("W", function()
        local inside = workflow.shield(function()
          workflow.sleep "1h"
          return "whole"
        end)
        local ok, err = pcall(workflow.sleep, 1)
        return { inside, ok, temporal.is_cancelled(err) }
      end)]])
    assert.is_true(ok)
    assert.are.same({ "whole", false, true }, result)
  end)

  it("of a scope by its timeout leaves the workflow alive", function()
    local timed_out, after = run([[
      return workflow.define("W", function()
        local ok, err = pcall(workflow.scope, { timeout = "1m" }, function() workflow.sleep "1h" end)
        return not ok and temporal.is_failure(err, "TimeoutError"), workflow.execute_activity("echo", opts, 5)
      end)]], echo)
    assert.is_true(timed_out)
    assert.are.equal(5, after)
  end)
end)

describe("a run", function()
  it("continues as new from any depth, through pcall", function()
    local n = run([[
      return workflow.define("W", function(n)
        if n < 3 then
          pcall(function() workflow.continue_as_new({}, n + 1) end)
          return "never"
        end
        return n
      end)]], nil, 0)
    assert.are.equal(3, n)
  end)

  it("gets the same random numbers, ids and times again on replay", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function()
        local before = { workflow.uuid4(), math.random(1, 1000000), os.time() }
        workflow.sleep "1h"
        local after = { workflow.uuid4(), math.random(1, 1000000), os.time() }
        workflow.execute_activity("echo", opts, before, after)
        return before[1] ~= after[1], after[3] - before[3]
      end)]], { activities = echo, worker = { max_cached_workflows = 0 } })
    local differs, seconds = env:execute_workflow("W", { id = "w" })
    assert.is_true(differs)
    assert.are.equal(3600, seconds)
  end)

  it("fails its task, not itself, for a plain error, and goes on when the code is mended", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function() local x = nil; return x.field end)
    ]], { replay = false })
    local handle = env:start_workflow("W", { id = "w" })
    local failure = helper.task_failure(env, handle)
    assert.matches("nil value", failure.message)
    assert.are.equal("running", handle:describe().status)
    handle:terminate "seen"
  end)

  it("takes the old way on replay of a history without the patch", function()
    local old = head .. [[
      return workflow.define("W", function()
        workflow.execute_activity("echo", opts, 1)
        workflow.sleep "1h"
        return "old"
      end)]]
    local new = head .. [[
      return workflow.define("W", function()
        if workflow.patched "two" then workflow.execute_activity("echo", opts, 2) end
        workflow.execute_activity("echo", opts, 1)
        workflow.sleep "1h"
        return "new"
      end)]]
    local testing = require "temporal.testing"
    local history
    do
      local env <close> = helper.environment(old, { activities = echo })
      local handle = env:start_workflow("W", { id = "w" })
      assert.are.equal("old", handle:result())
      history = handle:fetch_history_json()
    end
    assert.is_truthy(testing.replay({ { name = "spec", source = new } }, history))
    local wrong = new:gsub('if workflow.patched "two" then (.-) end', "%1")
    local events, report = testing.replay({ { name = "spec", source = wrong } }, history)
    assert.is_nil(events)
    assert.matches("echo", report)
  end)
end)
