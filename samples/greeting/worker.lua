-- temporal-lua worker run worker.lua
local temporal = require "temporal"

return temporal.worker {
  task_queue = "greetings",
  workflows = { "workflows.greeting" },
  activities = { "activities.greet" },
}
