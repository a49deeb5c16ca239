-- temporal-lua worker run worker.lua --db-filename orders.db
local temporal = require "temporal"

return temporal.worker {
  task_queue = "orders",
  workflows = { "workflows.order" },
  activities = { "activities.payment", native = { os.getenv "ORDER_SHIPPING" or "build/samples/libshipping.so" } },
}
