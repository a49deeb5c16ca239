local activity = require "temporal.activity"

return activity.define("same", function(n) return n end)
