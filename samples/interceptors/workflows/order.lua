-- Knows nothing of tenants and traces: the interceptors do.
local workflow = require "temporal.workflow"
local payment = require "activities.payment"

local charge = workflow.activity(payment.charge, { start_to_close_timeout = "30s" })

return workflow.define("Order", function(order)
  local approved = false
  workflow.set_signal_handler("approve", function() approved = true end)
  workflow.wait_condition(function() return approved end)
  return charge(order.amount)
end)
