local activity = require "temporal.activity"

return {
  interest = activity.define("interest", function(balance)
    return balance * 2 // 100
  end),
}
