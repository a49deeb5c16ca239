local temporal = require "temporal"
local workflow = require "temporal.workflow"

local options = { start_to_close_timeout = "1m", heartbeat_timeout = "10s", retry_policy = { maximum_attempts = 3 } }

--- Sums up the bytes of a text in C and counts its words in C++.
local Measure = workflow.define("Measure", function(text)
  local sum = workflow.start_activity("checksum", options, temporal.bytes(text))
  local words = workflow.start_activity("words", options, text)
  return { checksum = sum:result(), words = words:result() }
end)

local Shout = workflow.define("Shout", function(text)
  return workflow.execute_activity("shout", options, text)
end)

return { Measure, Shout }
