-- The worker of bench/coroutines.lua: temporal-lua worker run bench/coroutines/worker.lua --address ...
local temporal = require "temporal"

local workflows = [[
local workflow = require "temporal.workflow"
local options = { start_to_close_timeout = "10m" }

return workflow.define("Naps", function(n, seconds)
  local futures, most = {}, 0
  for i = 1, n do
    futures[i] = workflow.start_activity("nap", options, seconds)
  end
  for _, future in ipairs(futures) do
    most = math.max(most, future:result())
  end
  return most
end)
]]

return temporal.worker {
  task_queue = "coroutines",
  workflows = { { name = "naps", source = workflows } },
  activities = { "activities.nap" },
  max_concurrent_activities = 10000,
  activity_task_poller_behavior = 20,
}
