-- An activity may do anything: files, sockets, clocks.
local activity = require "temporal.activity"

return activity.define("greet", function(name)
  if type(name) ~= "string" or name == "" then
    error("greet: a name, please", 0)
  end
  return "Hello, " .. name .. "!"
end)
