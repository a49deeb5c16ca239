--- Modules of a worker's `activities`: patterns such as "activities.*" become the modules that they find.
local core = require "temporal.core"

local discovery = {}

local function is_pattern(entry)
  return entry == "*" or entry:sub(-2) == ".*"
end

--- The modules of a list of names and patterns, sorted, each once. Raises for a pattern that finds none.
---@param where string the option, for messages
---@param list string[]
---@param roots string[]
---@return string[]
function discovery.expand(where, list, roots)
  local seen, modules = {}, {}
  for _, entry in ipairs(list) do
    local found, message = { entry }, nil
    if is_pattern(entry) then
      found, message = core.find_modules(roots, entry)
    end
    if not found then
      error(("%s: %s"):format(where, message), 0)
    end
    for _, name in ipairs(found) do
      if not seen[name] then
        seen[name] = true
        modules[#modules + 1] = name
      end
    end
  end
  table.sort(modules)
  return modules
end

--- Why a module cannot be loaded when there is none of that name, with the near one; nil when it is there.
---@param name string
---@param roots string[]
---@return string?
function discovery.missing(name, roots)
  if package.loaded[name] or package.preload[name] then
    return nil
  end
  for _, searcher in ipairs(package.searchers) do
    if type((searcher(name))) == "function" then -- one of them returns nothing for a name without dots
      return nil
    end
  end
  return core.missing_module(roots, name)
end

--- What was raised, as text: a table without a text of its own is what it holds.
local function text_of(raised)
  local mt = getmetatable(raised)
  if type(raised) == "table" and not (type(mt) == "table" and mt.__tostring) then
    local ok, json = pcall(core.json_encode, raised)
    return ok and json or tostring(raised)
  end
  return tostring(raised)
end

--- Loads a module; an error names it, whatever it raised.
---@param option string
---@param name string
---@return any
function discovery.load(option, name)
  local ok, value = pcall(require, name)
  if not ok then
    error(("%s: module '%s': %s"):format(option, name, text_of(value)), 0)
  end
  return value
end

return discovery
