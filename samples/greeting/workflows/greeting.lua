-- The smallest workflow: one activity, its result returned.
local workflow = require "temporal.workflow"
local greet = require "activities.greet" -- a proxy here: the code of the activity runs in the worker

return workflow.define("Greeting", function(name)
  return workflow.execute_activity(greet, { start_to_close_timeout = "10s" }, name)
end)
