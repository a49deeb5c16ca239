-- What the hotel offers to others: three operations, each of another kind.
local nexus = require "temporal.nexus"
local temporal = require "temporal"

local price_of_night = { single = 80, double = 120 }

-- Over at once: its result is what it returns, its failure what it raises.
local quote = nexus.sync_operation(function(wish)
  local price = price_of_night[wish.room]
  if not price then
    error(nexus.handler_error { type = "bad_request", message = ("there is no '%s' room"):format(tostring(wish.room)) })
  elseif wish.nights > 14 then
    error(nexus.operation_error { state = "failed", type = "FullyBooked", message = "no room for so many nights" })
  end
  return { price = price * wish.nights }
end)

-- Goes on for days: a workflow stands behind it. When the request is made again, it finds the workflow by its id.
local stay = nexus.workflow_run_operation(function(booking)
  return nexus.start_workflow("Stay", { id = "stay-" .. booking.id }, booking)
end)

-- Talks to a workflow that runs already.
local note = nexus.sync_operation(function(request)
  local handle = nexus.client():get_workflow_handle("stay-" .. request.id)
  return handle:execute_update("note", {}, request.text)
end, { input = temporal.model { name = "Note", fields = {
  id = { type = "string", required = true }, text = { type = "string", required = true },
} } })

return nexus.service("hotel", { quote = quote, stay = stay, note = note })
