-- Order fulfilment: charge the card (with retries), wait for approval, ship with a native activity,
-- and give the money back if anything after the charge fails.
local temporal = require "temporal"
local workflow = require "temporal.workflow"
local payment = require "activities.payment"

return workflow.define("Order", function(order)
  local status, approved_by = "new", nil
  workflow.set_query_handler("status", function()
    return { status = status, approved_by = approved_by }
  end)
  workflow.set_signal_handler("approve", function(who)
    approved_by = who
  end)

  local charge = workflow.activity(payment.charge, {
    start_to_close_timeout = "10s",
    retry_policy = {
      initial_interval = "100ms",
      backoff_coefficient = 2,
      maximum_attempts = 5,
      non_retryable_error_types = { "CardDeclined" },
    },
  })
  local refund = workflow.activity(payment.refund, { start_to_close_timeout = "10s" })

  status = "charging"
  -- The key is the same in every attempt and after every crash, so a shop can tell a repetition.
  local receipt = charge { order_id = order.id, amount = order.amount, key = "charge-" .. order.id }
  local _ <close> = workflow.defer(function(err)
    if err then
      refund { order_id = order.id, amount = order.amount, key = "refund-" .. order.id }
    end
  end)

  status = "waiting for approval"
  local approved = workflow.wait_condition(function()
    return approved_by ~= nil
  end, { timeout = order.patience or "2d" })
  if not approved then
    error(temporal.failure {
      type = "NotApproved",
      message = "no approval for order " .. order.id,
      non_retryable = true,
      details = { order.id },
    })
  end

  status = "packing"
  workflow.sleep(order.packing_time or "1s")

  status = "shipping"
  local shipped = workflow.execute_activity(
    "ship", -- written in C: native/shipping.c
    { start_to_close_timeout = "10s", retry_policy = { maximum_attempts = 3 } },
    { order_id = order.id, weight_g = order.weight_g or 500 }
  )
  status = "done"
  return { receipt = receipt, tracking = shipped.tracking, approved_by = approved_by }
end)
