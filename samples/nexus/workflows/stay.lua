-- The hotel's workflow: nobody outside of it knows that there is one.
local temporal = require "temporal"
local workflow = require "temporal.workflow"

return workflow.define("Stay", function(booking)
  local notes = {}
  workflow.set_update_handler("note", function(text)
    notes[#notes + 1] = text
    return #notes
  end)
  local ok, err = pcall(workflow.sleep, ("%dd"):format(booking.nights))
  if not ok and temporal.is_cancelled(err) then
    workflow.log.info("the guest does not come: the room is free again")
  end
  if not ok then
    error(err, 0)
  end
  return { room = booking.room, paid = booking.price, notes = notes }
end)
