-- temporal-lua worker --watch worker.lua --address localhost:7233
local temporal = require "temporal"

return temporal.worker {
  task_queue = "loans",
  workflows = { "workflows.*" },
  activities = { "activities.rates" },
  deployment_config = {
    name = "loans",
    build_id = "loans+{hash}",
    use_worker_versioning = true,
    default_versioning_behavior = "pinned",
  },
  reload = { set_current = true }, -- without it an operator makes the first version current
}
