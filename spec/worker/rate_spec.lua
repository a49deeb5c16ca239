-- Rate limits of activities, end to end: of a worker alone, and of a task queue whoever polls it.
local core = require "temporal.core"
local helper = require "helper"
local temporal = require "temporal"

local source = [[
  local workflow = require "temporal.workflow"
  return workflow.define("Many", function(count)
    local handles = {}
    for i = 1, count do
      handles[i] = workflow.start_activity("act", { start_to_close_timeout = "60s" })
    end
    workflow.wait_all(handles)
  end)
]]

local folder

setup(function()
  folder = helper.module_folder()
  folder.module("quick_activity", [[return { act = function() return 1 end }]])
end)

teardown(function() folder:close() end)

--- Seconds that twelve activities take which do nothing; `workers` of them share the queue.
local function seconds(options, workers)
  local client <close> = temporal.connect {}
  local made = {}
  for i = 1, workers or 1 do
    local o = {
      client = client, task_queue = "q", workflows = { { name = "many", source = source } },
      activities = { "quick_activity" }, roots = { folder.name },
    }
    for name, value in pairs(options) do
      o[name] = value
    end
    made[i] = temporal.worker(o):start()
  end
  local begin = core.mono_ns()
  client:execute_workflow("Many", { task_queue = "q" }, 12)
  local took = (core.mono_ns() - begin) / 1e9
  local activities = 0
  for _, worker in ipairs(made) do
    worker:shutdown(0)
    activities = activities + worker:stats().activities_completed
  end
  assert.are.equal(12, activities)
  return took
end

-- A second's worth may come at once: of twelve at four in a second the last eight take two seconds.
describe("a rate limit", function()
  it("of a queue holds for all its workers, whatever comes with completions", function()
    local took = seconds({ max_task_queue_activities_per_second = 4 }, 2)
    assert.is_true(took > 1.6, took)
    assert.is_true(took < 20, took)
  end)

  it("of a worker holds for itself", function()
    local took = seconds { max_activities_per_second = 4 }
    assert.is_true(took > 1.6, took)
    assert.is_true(took < 20, took)
  end)

  it("is none by default", function()
    assert.is_true(seconds {} < 1.6)
  end)
end)
