-- The worker beside which hogs run: temporal-lua worker run bench/hogs/worker.lua --address ...
local temporal = require "temporal"

local workflows = [[
local workflow = require "temporal.workflow"
local options = { start_to_close_timeout = "30s" }

return {
  workflow.define("Good", function(n)
    return workflow.execute_activity("double", options, n)
  end),
  -- Computes for a while, well below its budget.
  workflow.define("Computes", function(rounds)
    local sum = 0
    for i = 1, rounds do
      sum = (sum * 31 + i) % 1000003
    end
    return sum
  end),
  workflow.define("Spins", function()
    while true do
      pcall(function() while true do end end)
    end
  end),
  workflow.define("Eats", function()
    local eaten = {}
    while true do
      eaten[#eaten + 1] = ("x"):rep(1 << 20) .. #eaten
    end
  end),
}
]]

return temporal.worker {
  task_queue = "hogs",
  workflows = { { name = "hogs", source = workflows } },
  activities = { double = function(n) return 2 * n end },
  workflow_cpu_limit = "200ms",
  max_workflow_memory = 8 << 20,
}
