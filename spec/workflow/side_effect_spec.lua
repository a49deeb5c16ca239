-- Side effects: recorded once, read from history on replay.
local helper = require "helper"
local core = require "temporal.core"
local testing = require "temporal.testing"

local head = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
]]

--- Runs W on a worker without a cache, so that each task replays; returns the handle's results and the
--- history.
local function run(body, ...)
  local env <close> = helper.environment(head .. body, { worker = { max_cached_workflows = 0 } })
  local handle = env:start_workflow("W", nil, ...)
  return table.pack(handle:result()), handle:fetch_history_json(), handle
end

local function replay(body, history)
  return testing.replay({ { name = "spec", source = head .. body } }, history)
end

--- The message of the failed workflow task of a workflow that cannot go on.
local function task_failure(body, ...)
  local env <close> = helper.environment(head .. body)
  env.replay = false
  local handle = env:start_workflow("W", nil, ...)
  local failure = helper.task_failure(env, handle)
  handle:terminate()
  return failure.message
end

local function markers(handle, name)
  local list = {}
  for _, event in ipairs(handle:fetch_history()) do
    local a = event.marker_recorded_event_attributes
    if a and a.marker_name == name then
      list[#list + 1] = a
    end
  end
  return list
end

describe("workflow.side_effect", function()
  local body = [[
    return workflow.define("W", function()
      local first = workflow.side_effect(function() %s end, { summary = "which" })
      workflow.sleep(1)
      local a, b = workflow.side_effect(function() return 1.0, { x = "y" } end)
      workflow.sleep(1)
      return first, math.type(a), b.x
    end)]]

  it("keeps its values; on replay the function is not called", function()
    local got, history = run(body:format "return 'recorded'")
    assert.are.same({ "recorded", "float", "y", n = 3 }, got)
    local events, message = replay(body:format "error('called on replay')", history)
    assert.is_nil(message)
    assert.is_true(events > 10)
  end)

  it("is a SideEffect marker with its number and values", function()
    local env <close> = helper.environment(head .. body:format "return 'recorded'")
    local handle = env:start_workflow("W")
    handle:result()
    local list = markers(handle, "SideEffect")
    assert.are.equal(2, #list)
    assert.are.equal(1, (core.decode(list[1].details["side-effect-id"])))
    assert.are.equal(2, (core.decode(list[2].details["side-effect-id"])))
    assert.are.equal("recorded", (core.decode(list[1].details.data)))
    assert.are.same({ 1.0, { x = "y" } }, { core.decode(list[2].details.data) })
  end)

  it("draws random numbers that do not move those of the workflow", function()
    local draws = [[
      return workflow.define("W", function(with)
        if with then
          workflow.side_effect(function() return math.random(1000000), tostring({}) end)
        end
        return math.random(1000000), tostring({})
      end)]]
    -- The run's numbers come from its run id, so the two cannot be compared; the replay of each can.
    local _, history = run(draws, true)
    assert.is_not_nil((replay(draws, history)))
  end)

  it("fails the workflow task when the function raises, past any pcall", function()
    local message = task_failure [[
      return workflow.define("W", function()
        pcall(workflow.side_effect, function() error "no such luck" end)
        return "went on"
      end)]]
    assert.truthy(message:find("no such luck", 1, true), message)
  end)

  it("refuses awaits and commands inside the function", function()
    for _, call in ipairs { "workflow.sleep(1)", "workflow.start_timer(1)", "workflow.side_effect(print)",
      "workflow.version('x', 1, 2)", "workflow.execute_activity('a', { start_to_close_timeout = 1 })" } do
      local message = task_failure([[
        return workflow.define("W", function()
          workflow.side_effect(function() ]] .. call .. [[ end)
        end)]])
      assert.truthy(message:find("side_effect", 1, true), message)
    end
  end)

  it("says what is wrong with its arguments", function()
    local function message(call)
      return task_failure("return workflow.define('W', function() " .. call .. " end)")
    end
    assert.truthy(message("workflow.side_effect(1)"):find("function expected", 1, true))
    assert.truthy(message("workflow.side_effect(print, { sumary = 'x' })"):find("did you mean 'summary'", 1, true))
    assert.truthy(message("workflow.side_effect(function() return print end)"):find("side effect", 1, true))
    assert.truthy(message("workflow.mutable_side_effect('', print)"):find("has an id", 1, true))
    assert.truthy(message("workflow.mutable_side_effect('x', print, 1)"):find("function expected", 1, true))
  end)

  it("that history does not have is non-determinism", function()
    local _, history = run "return workflow.define('W', function() workflow.sleep(1) end)"
    local events, message = replay([[
      return workflow.define("W", function()
        workflow.side_effect(function() return 1 end)
        workflow.sleep(1)
      end)]], history)
    assert.is_nil(events)
    assert.truthy(message:find("SideEffect", 1, true), message)
  end)

  it("that the code no longer has is non-determinism", function()
    local _, history = run [[
      return workflow.define("W", function() workflow.side_effect(function() return 1 end) workflow.sleep(1) end)]]
    local events, message = replay("return workflow.define('W', function() workflow.sleep(1) end)", history)
    assert.is_nil(events)
    assert.truthy(message:find("SideEffect", 1, true), message)
  end)
end)

describe("workflow.mutable_side_effect", function()
  local body = [[
    local values = %s
    return workflow.define("W", function()
      local got = {}
      for i = 1, 5 do
        got[i] = workflow.mutable_side_effect("limit", function() return values[i] end)
        workflow.sleep(1)
      end
      return got
    end)]]

  it("records a value when it is another one, and reads it back", function()
    local env <close> = helper.environment(head .. body:format "{ 5, 5, 7, 7, 5 }")
    local handle = env:start_workflow "W"
    assert.are.same({ 5, 5, 7, 7, 5 }, handle:result())
    local list = markers(handle, "MutableSideEffect")
    assert.are.equal(3, #list)
    assert.are.equal(3, (core.decode(list[2].details["mutable-side-effect-call-counter"])))
    assert.are.equal("limit", (core.decode(list[2].details["side-effect-id"])))
    local events, message = replay(body:format "{}", handle:fetch_history_json())
    assert.is_nil(message)
    assert.is_true(events > 0)
  end)

  it("replays on a worker without a cache", function()
    local got = run(body:format "{ 1, 2, 2, 2, 3 }")
    assert.are.same({ 1, 2, 2, 2, 3 }, got[1])
  end)

  it("leaves the comparison to a function", function()
    local got = run [[
      local values = { 10, 11, 30 }
      return workflow.define("W", function()
        local got = {}
        for i = 1, 3 do
          got[i] = workflow.mutable_side_effect("about", function() return values[i] end,
            function(old, new) return math.abs(new - old) < 5 end)
          workflow.sleep(1)
        end
        return got
      end)]]
    assert.are.same({ 10, 10, 30 }, got[1])
  end)

  it("keeps ids apart", function()
    local got = run [[
      return workflow.define("W", function()
        local a = workflow.mutable_side_effect("a", function() return "A" end)
        local b = workflow.mutable_side_effect("b", function() return "B" end)
        workflow.sleep(1)
        return a .. b .. workflow.mutable_side_effect("a", function() return "A" end)
      end)]]
    assert.are.equal("ABA", got[1])
  end)
end)
