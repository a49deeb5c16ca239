-- Change the step or the greeting while it counts: this run goes on as it began, the next one is new.
local workflow = require "temporal.workflow"
local say = require "activities.say"

local STEP = 1

return workflow.define("Count", function(upto)
  local speak = workflow.activity(say.number, { start_to_close_timeout = "10s" })
  local said = {}
  for i = STEP, upto, STEP do
    said[#said + 1] = speak(i)
    workflow.sleep "1s"
  end
  return said
end)
