local workflow = require 'temporal.workflow'
local temporal = require 'temporal'
local options = { start_to_close_timeout = '10s', retry_policy = { maximum_attempts = 1 } }
local Greeting = workflow.define('Greeting', function(name)
  return workflow.execute_activity('compose', options, name)
end)
local Gate = workflow.define('Gate', function()
  local who
  workflow.set_query_handler('who', function(default) return who or default end)
  workflow.set_signal_handler('open', function(name) who = name end)
  workflow.wait_condition(function() return who ~= nil end)
  return who
end)
return { Greeting, Gate }
