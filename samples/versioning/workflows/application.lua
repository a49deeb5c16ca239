-- Pinned: an application is decided by the rules under which it was made, however long that takes.
local workflow = require "temporal.workflow"

local LIMIT = 1000

return workflow.define("Application", function(amount)
  local papers = false
  workflow.set_signal_handler("papers", function() papers = true end)
  workflow.set_query_handler("limit", function() return LIMIT end)
  workflow.wait_condition(function() return papers end)
  return amount <= LIMIT and "granted" or "refused"
end)
