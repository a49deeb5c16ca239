-- temporal-lua worker run worker.lua
local temporal = require "temporal"
local connection = require "connection"

return temporal.worker {
  client = temporal.connect(connection "worker"),
  task_queue = "mtls",
  workflows = { "workflows.transfer" },
  activities = { "activities.ledger" },
}
