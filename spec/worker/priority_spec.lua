-- Goal: priorities and fairness keys order what a busy worker does: activities and workflows by priority, keys of one
-- priority by their weights; what is wrong with a priority is told at the call.
-- Method: one slot that a first activity holds while the others are scheduled, so that they wait together.
local helper = require "helper"

local source = [[
local workflow = require "temporal.workflow"
return {
  workflow.define("Fans", function(options)
    local first = workflow.start_activity("hold", { start_to_close_timeout = 60 })
    local futures = {}
    for i, o in ipairs(options) do
      futures[i] = workflow.start_activity("note", { start_to_close_timeout = 60, priority = o.priority }, o.name)
    end
    first:result()
    for _, f in ipairs(futures) do f:result() end
  end),
  workflow.define("Child", function(name)
    return workflow.execute_activity("note", { start_to_close_timeout = 60 }, name)
  end),
  workflow.define("Parent", function(name)
    workflow.execute_child_workflow("Child", { priority = { priority_key = 2 } }, name)
    workflow.execute_activity("note", { start_to_close_timeout = 60 }, name)
  end),
  workflow.define("Continues", function(name, again)
    workflow.execute_activity("note", { start_to_close_timeout = 60 }, name)
    if again then workflow.continue_as_new(nil, name, false) end
  end),
}
]]

local function environment(log)
  local activity = require "temporal.activity"
  return helper.environment(source, {
    activities = {
      hold = function() activity.sleep(1) end,
      note = function(name) log[#log + 1] = { name = name, priority = activity.info().priority } end,
    },
    worker = {
      max_concurrent_activities = 1, max_concurrent_activity_task_polls = 1, disable_eager_activity_execution = true,
    },
  })
end

local function names(log)
  local list = {}
  for i, entry in ipairs(log) do
    list[i] = entry.name
  end
  return list
end

describe("a priority", function()
  it("puts activities that wait in order", function()
    local log = {}
    local env <close> = environment(log)
    local options = {}
    for i, key in ipairs { 5, 3, 1, 4, 2, 1 } do
      options[i] = { name = i, priority = { priority_key = key } }
    end
    options[7] = { name = 7 } -- as 3
    env:execute_workflow("Fans", nil, options)
    assert.are.same({ 3, 6, 5, 2, 7, 4, 1 }, names(log))
  end)

  it("shares turns between fairness keys by weight", function()
    local log = {}
    local env <close> = environment(log)
    local options = {}
    for i = 1, 24 do
      local heavy = i > 12
      options[i] = {
        name = heavy and "heavy" or "light",
        priority = { fairness_key = heavy and "b" or "a", fairness_weight = heavy and 3 or 1 },
      }
    end
    env:execute_workflow("Fans", nil, options)
    local heavy = 0
    for i = 1, 12 do
      heavy = heavy + (log[i].name == "heavy" and 1 or 0)
    end
    assert.is_true(heavy >= 8 and heavy <= 10, "of the first 12 turns the key of weight 3 had " .. heavy)
    assert.are.equal(24, #log)
  end)

  it("is taken over by activities, children and the next run", function()
    local log = {}
    local env <close> = environment(log)
    local priority = { priority_key = 4, fairness_key = "tenant", fairness_weight = 2 }
    env.client:start_workflow("Parent", { id = "p", task_queue = env.task_queue, priority = priority }, "p"):result()
    assert.are.same({ priority_key = 2, fairness_key = "tenant", fairness_weight = 2 }, log[1].priority)
    assert.are.same(priority, log[2].priority)
    env.client:start_workflow("Continues", { id = "c", task_queue = env.task_queue, priority = priority }, "c", true)
      :result()
    assert.are.same(priority, log[3].priority)
    assert.are.same(priority, log[4].priority)
    assert.are.equal(4, #log)
  end)

  it("that cannot be is refused where it is given", function()
    local env <close> = environment {}
    local function start(priority)
      local ok, err = pcall(function()
        env.client:start_workflow("Child", { id = "bad", task_queue = env.task_queue, priority = priority }, "x")
      end)
      assert.is_false(ok)
      return tostring(err)
    end
    assert.matches("priority key can't be negative", start { priority_key = -1 })
    assert.matches("fairness key length exceeds limit", start { fairness_key = ("k"):rep(65) })
    assert.matches("must be greater than zero", start { fairness_weight = -1 })
    assert.matches("priority_key", start { priority_kay = 1 })
  end)
end)
