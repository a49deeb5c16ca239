-- temporal-lua worker run --watch worker.lua
local temporal = require "temporal"

return temporal.worker {
  task_queue = "counting",
  workflows = { "workflows.count" },
  activities = { "activities.say" },
  deployment_config = { build_id = "sample+{hash}" },
  reload = { histories = 20, timeout = "10s" },
}
