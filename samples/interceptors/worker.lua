local temporal = require "temporal"
local shop = require "plugin"

local client = temporal.connect {
  db_filename = os.getenv "SHOP_DB",
  plugins = { shop { tenant = os.getenv "SHOP_TENANT" or "acme", spans = os.getenv "SHOP_SPANS" or "spans.jsonl" } },
}

return temporal.worker {
  client = client,
  task_queue = "orders",
  workflows = { "workflows.*" },
  activities = { "activities.payment" },
}
