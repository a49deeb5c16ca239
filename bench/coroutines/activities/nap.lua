local activity = require "temporal.activity"

local running, most = 0, 0

return activity.define("nap", function(seconds)
  running = running + 1
  most = math.max(most, running)
  activity.sleep(seconds)
  running = running - 1
  return most
end, { kind = "coroutine" })
