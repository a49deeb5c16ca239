local activity = require "temporal.activity"

return {
  charge = activity.define("charge", function(amount)
    return ("charged %d for %s"):format(amount, activity.info().tenant)
  end),
}
