-- A caller: it knows the hotel by the name of an endpoint and of a service.
local temporal = require "temporal"
local workflow = require "temporal.workflow"

local hotel = workflow.nexus_client { endpoint = "hotel", service = "hotel" }

return workflow.define("Trip", function(wish)
  local offer = hotel:execute_operation("quote", { schedule_to_close_timeout = "1m" }, wish)
  if offer.price > wish.budget then
    return { booked = false, price = offer.price }
  end
  local stay = hotel:start_operation("stay", { summary = "a room in " .. wish.town }, {
    id = workflow.info().workflow_id, room = wish.room, nights = wish.nights, price = offer.price,
  })
  hotel:execute_operation("note", {}, { id = workflow.info().workflow_id, text = "vegetarian" })
  local changed_my_mind = workflow.wait_condition(function() return wish.cancel end, { timeout = "1h" })
  if changed_my_mind then
    stay:cancel()
  end
  local ok, result = pcall(stay.result, stay)
  if not ok and temporal.is_cancelled(result) then
    return { booked = false, cancelled = true }
  elseif not ok then
    error(result, 0)
  end
  return { booked = true, stay = result }
end)
