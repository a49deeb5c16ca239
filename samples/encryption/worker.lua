local temporal = require "temporal"

return temporal.worker {
  client = temporal.connect { data_converter = require "converter", address = os.getenv "TEMPORAL_ADDRESS" },
  task_queue = "intake",
  workflows = { "workflows.intake" },
  activities = { "activities.records" },
}
