--- Log functions by level, for what runs under a context of its own: activities, Nexus handlers.
local logger = {}

local levels = { "trace", "debug", "info", "warn", "error" }

local function joined(base, fields)
  if not base then
    return fields
  end
  local all = {}
  for _, part in ipairs { base, type(fields) == "table" and fields or {} } do
    for name, value in pairs(part) do
      all[name] = value
    end
  end
  return all
end

--- `base` are fields of every line.
local function make(name, write, base)
  local self = {}
  for _, level in ipairs(levels) do
    self[level] = function(message, fields)
      write(level, message, joined(base, fields))
    end
  end
  --- A logger whose lines all carry these fields.
  function self.with(fields)
    if type(fields) ~= "table" then
      error(("%s.with wants a table of fields, got %s"):format(name, type(fields)), 2)
    end
    return make(name, write, joined(base, fields))
  end
  return setmetatable(self, {
    __index = function(_, level)
      error(("%s has no '%s': there are trace, debug, info, warn, error and with"):format(name, tostring(level)), 2)
    end,
  })
end

--- A logger.
---@param name string as errors name it: "activity.log"
---@param write fun(level: string, message: string, fields: table?) writes one line
---@return table
function logger.new(name, write)
  return make(name, write)
end

return logger
