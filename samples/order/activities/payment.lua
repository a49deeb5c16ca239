-- The payment provider of the sample: a ledger file. Each line is one attempt that reached the
-- provider: kind, idempotency key, order, amount, attempt. ORDER_LEDGER names the file.
local temporal = require "temporal"
local activity = require "temporal.activity"

local function ledger(kind, request)
  local path = os.getenv "ORDER_LEDGER"
  if not path then
    return
  end
  local file = assert(io.open(path, "a"))
  file:setvbuf "full"
  file:write(("%s %s %s %d %d\n"):format(kind, request.key, request.order_id, request.amount, activity.info().attempt))
  file:close()
end

local charge = activity.define("charge", function(request)
  if request.amount > 1000 then
    error(temporal.failure { type = "CardDeclined", message = "the card does not allow " .. request.amount })
  end
  -- Every third order meets a provider that is busy at first; the retry policy deals with it.
  local number = tonumber(request.order_id:match "(%d+)$") or 0
  if number % 3 == 0 and activity.info().attempt == 1 then
    error("the payment provider is busy", 0)
  end
  ledger("charge", request)
  return { id = "receipt-" .. request.order_id, amount = request.amount }
end)

local refund = activity.define("refund", function(request)
  ledger("refund", request)
end)

return { charge = charge, refund = refund }
