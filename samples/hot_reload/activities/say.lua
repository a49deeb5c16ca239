-- An activity runs on the newest build, also for runs of an older one.
local activity = require "temporal.activity"

return {
  number = activity.define("number", function(n)
    return ("now at %d"):format(n)
  end),
}
