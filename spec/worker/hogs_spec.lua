local helper = require "helper"
local temporal = require "temporal"

local source = [[
local workflow = require "temporal.workflow"
local options = { start_to_close_timeout = "60s" }

return {
  workflow.define("Good", function(n) return workflow.execute_activity("double", options, n) end),
  workflow.define("Computes", function(rounds)
    local sum = 0
    for i = 1, rounds do sum = (sum * 31 + i) % 1000003 end
    return sum
  end),
  workflow.define("Spins", function() while true do pcall(function() while true do end end) end end),
  workflow.define("Eats", function()
    local eaten = {}
    while true do eaten[#eaten + 1] = ("x"):rep(1 << 16) .. #eaten end
  end),
}
]]

local function failed_task(handle)
  local deadline = os.time() + 120
  while os.time() < deadline do
    local attributes = helper.event(handle, "workflow_task_failed")
    if attributes then
      return require("temporal.core").decode_failure(attributes.failure)
    end
    os.execute "sleep 0.05"
  end
  error(handle.id .. ": no task failed")
end

describe("workflows that never yield", function()
  it("fail their own tasks only, however many they are", function()
    local server <close> = helper.start_server "--headless"
    local client <close> = temporal.connect { address = server.address }
    local worker <close> = temporal.worker {
      client = client, task_queue = "hogs", workflows = { { name = "hogs", source = source } },
      activities = { double = function(n) return 2 * n end },
      workflow_cpu_limit = "50ms", max_workflow_memory = 1 << 20, max_concurrent_workflow_tasks = 8,
    }
    worker:start()
    local function start(workflow, count, ...)
      local handles = {}
      for i = 1, count do
        handles[i] = client:start_workflow(workflow, {
          id = workflow .. i, task_queue = "hogs", task_timeout = "2m",
        }, ...)
      end
      return handles
    end
    -- More hogs than there are slots for workflow tasks.
    local spinning, eating = start("Spins", 20), start("Eats", 2)
    local good, computing = start("Good", 40, 21), start("Computes", 4, 300000)
    for _, handle in ipairs(good) do
      assert.are.equal(42, handle:result())
    end
    for _, handle in ipairs(computing) do
      assert.are.equal("integer", math.type(handle:result()))
    end
    for _, handles in ipairs { good, computing } do
      for _, handle in ipairs(handles) do
        assert.is_nil(helper.event(handle, "workflow_task_failed"), handle.id)
        assert.is_nil(helper.event(handle, "workflow_task_timed_out"), handle.id)
      end
    end
    for _, handle in ipairs(spinning) do
      assert.matches("potential deadlock", failed_task(handle).message)
      handle:terminate()
    end
    for _, handle in ipairs(eating) do
      assert.matches("more memory than its limit", failed_task(handle).message)
      handle:terminate()
    end
    assert.is_true(worker:stats().killed_runs >= 22)
  end)
end)
