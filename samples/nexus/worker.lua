-- Two teams in one process: in life each has a worker, a task queue and often a namespace of its own.
local temporal = require "temporal"

return {
  temporal.worker { task_queue = "trips", workflows = { "workflows.trip" } },
  temporal.worker { task_queue = "hotel", workflows = { "workflows.stay" }, nexus_services = { "services.hotel" } },
}
