-- Upgrades by itself: an account lives for years and is to have the newest code. It goes on from where it is,
-- so what changes the order of its steps needs workflow.patched.
local workflow = require "temporal.workflow"
local rates = require "activities.rates"

return workflow.define {
  name = "Account",
  versioning_behavior = "auto_upgrade",
  run = function(balance)
    local closed = false
    workflow.set_signal_handler("close", function() closed = true end)
    workflow.set_signal_handler("interest", function()
      balance = balance + workflow.execute_activity(rates.interest, { start_to_close_timeout = "10s" }, balance)
    end)
    workflow.set_query_handler("balance", function() return balance end)
    workflow.wait_condition(function() return closed and workflow.all_handlers_finished() end)
    return balance
  end,
}
