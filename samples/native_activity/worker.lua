local temporal = require "temporal"

return temporal.worker {
  task_queue = "native",
  workflows = { "workflows.texts" },
  activities = { native = { "libchecksum.so", "libwords.so" } },
}
