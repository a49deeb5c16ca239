local workflow = require "temporal.workflow"
local ledger = require "activities.ledger"

return workflow.define("Transfer", function(amount)
  workflow.execute_activity(ledger, { start_to_close_timeout = "10s" }, "from", -amount)
  return workflow.execute_activity(ledger, { start_to_close_timeout = "10s" }, "to", amount)
end)
