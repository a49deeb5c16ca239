--- Loads activity modules in an activity state and collects what they define: name -> function.
local activity = require "temporal.activity"
local core = require "temporal.core"
local interceptors = require "temporal.internal.interceptors"

local function add(found, module, name, value)
  local run = activity.is_definition(value) and value.run or value
  if type(run) ~= "function" then
    return false
  end
  if found[name] then
    error(("activity '%s' of module '%s' is defined twice"):format(name, module), 0)
  end
  found[name] = run
  return true
end

--- A module returns one definition, a list of definitions, or a table name -> function or definition.
local function collect(found, module, value)
  if activity.is_definition(value) then
    return add(found, module, value.name, value)
  elseif type(value) ~= "table" then
    return false
  end
  local any = false
  for key, entry in pairs(value) do
    if activity.is_definition(entry) then
      any = add(found, module, entry.name, entry) or any
    elseif type(key) == "string" and type(entry) == "function" then
      any = add(found, module, key, entry) or any
    end
  end
  return any
end

--- `given` is the JSON of a plan's interceptors, whose hooks stand around each activity.
---@param modules string[]
---@param given string
---@return table<string, function>
return function(modules, given)
  local found = {}
  local wrap = interceptors.activities(core.json_decode(given))
  for _, module in ipairs(modules) do
    if not collect(found, module, require(module)) then
      local message = "module '%s' returns no activity: return activity.define(...), "
        .. "a list of definitions, or a table of functions"
      error(message:format(module), 0)
    end
  end
  for name, run in pairs(found) do
    found[name] = wrap(run)
  end
  return found
end
