-- Tuners: how many tasks are in work at once, and what is refused.
local helper = require "helper"
local temporal = require "temporal"
local activity = require "temporal.activity"

local tuner = temporal.tuner

local source = [[
  local workflow = require "temporal.workflow"
  return workflow.define("Many", function(count, ...)
    local handles = {}
    for i = 1, count do
      handles[i] = workflow.start_activity("act", { start_to_close_timeout = 60 }, i, ...)
    end
    local sum = 0
    for _, handle in ipairs(handles) do
      sum = sum + handle:result()
    end
    return sum
  end)
]]

local function message(fn, given)
  local ok, err = pcall(fn, given)
  assert.is_false(ok)
  return err
end

describe("a tuner", function()
  local tuners = {
    fixed = function() return tuner.fixed { workflow_slots = 2, activity_slots = 3, local_activity_slots = 1 } end,
    resource_based = function()
      return tuner.resource_based {
        target_memory_usage = 0.99, target_cpu_usage = 0.99, workflow_config = { minimum_slots = 2 },
        activity_config = { minimum_slots = 1, maximum_slots = 4, ramp_throttle = "1ms" },
      }
    end,
    composite = function()
      return tuner.composite {
        workflow_supplier = tuner.supplier { slots = 2 }, local_activity_supplier = tuner.supplier { slots = 1 },
        activity_supplier = tuner.supplier { target_memory_usage = 0.99, target_cpu_usage = 0.99, maximum_slots = 4 },
      }
    end,
  }

  for name, make in pairs(tuners) do
    it("of the form " .. name .. " lets a worker work", function()
      local env <close> = helper.environment(source, {
        activities = { act = function(i)
          assert(activity.info().attempt == 1)
          return i
        end },
        worker = { tuner = make() },
      })
      assert.are.equal(210, env:execute_workflow("Many", nil, 20))
    end)
  end

  --- How many activities ran at the same time.
  local function most_at_once(given)
    local log <close> = helper.file ""
    local env <close> = helper.environment(source, {
      activities = { "logged_activity" }, roots = { "spec/fixtures/lua" }, worker = { tuner = given },
    })
    assert.are.equal(36, env:execute_workflow("Many", nil, 8, log.name))
    local file <close> = assert(io.open(log.name))
    local running, most = 0, 0
    for mark in file:read("a"):gmatch "." do
      running = running + (mark == "+" and 1 or -1)
      most = math.max(most, running)
    end
    return most
  end

  it("bounds what runs at once", function()
    assert.is_true(most_at_once(tuner.fixed { activity_slots = 1 }) == 1)
    assert.is_true(most_at_once(tuner.fixed { activity_slots = 8 }) > 1)
    local one = tuner.supplier { slots = 2 }
    assert.are.equal(1, most_at_once(tuner.composite {
      workflow_supplier = one, local_activity_supplier = one,
      activity_supplier = tuner.supplier {
        target_memory_usage = 1e-9, target_cpu_usage = 1, minimum_slots = 1, maximum_slots = 8,
      },
    })) -- nothing beyond the minimum: the memory in use is above its target
  end)

  it("is checked where it is made", function()
    assert.matches("did you mean 'activity_slots'", message(tuner.fixed, { activity_slot = 1 }))
    assert.matches("'target_cpu_usage' is required", message(tuner.resource_based, { target_memory_usage = 0.5 }))
    assert.matches("did you mean 'minimum_slots'", message(tuner.resource_based, {
      target_memory_usage = 0.5, target_cpu_usage = 0.5, workflow_config = { minimum_slot = 1 },
    }))
    assert.matches("either slots, or", message(tuner.supplier, {}))
    assert.matches("means nothing beside slots", message(tuner.supplier, { slots = 1, minimum_slots = 1 }))
    local one = tuner.supplier { slots = 1 }
    assert.matches("activity_supplier' is required", message(tuner.composite, {
      workflow_supplier = one, local_activity_supplier = one,
    }))
    assert.matches("wants a temporal.tuner.supplier", message(tuner.composite, {
      workflow_supplier = one, local_activity_supplier = one, activity_supplier = {},
    }))
    assert.matches("the same target_cpu_usage", message(tuner.composite, {
      workflow_supplier = tuner.supplier { target_memory_usage = 0.5, target_cpu_usage = 0.5 },
      activity_supplier = tuner.supplier { target_memory_usage = 0.5, target_cpu_usage = 0.6 },
      local_activity_supplier = one,
    }))
  end)

  it("excludes the options that it replaces, and its limits are the worker's", function()
    local function worker(given)
      given.task_queue, given.activities = "q", { act = function() end }
      local made = temporal.worker(given)
      return made:prepare()
    end
    for _, name in ipairs { "max_concurrent_workflow_tasks", "max_concurrent_activities",
      "max_concurrent_local_activities" } do
      assert.matches(name .. "' and 'tuner' exclude each other", message(worker, {
        tuner = tuner.fixed {}, [name] = 5,
      }))
    end
    assert.matches("wants a tuner", message(worker, { tuner = { workflow = {} } }))
    assert.matches("at least 2", message(worker, { tuner = tuner.fixed { workflow_slots = 1 } }))
    assert.matches("slots of activities must be from 1", message(worker, {
      tuner = tuner.fixed { activity_slots = 0 },
    }))
    assert.matches("target_memory_usage must be above 0", message(worker, {
      tuner = tuner.resource_based { target_memory_usage = 80, target_cpu_usage = 0.5 },
    }))
  end)
end)
