--- What a worker runs: its lists of workflows, activities and Nexus services, and what belongs to them, as modules,
--- texts and functions. Errors name the line that called `temporal.worker`.
local core = require "temporal.core"
local discovery = require "temporal.internal.discovery"
local nexus_services = require "temporal.internal.nexus_services"

local worker_sources = {}

local function module_name_of(file)
  return (file:match "([^/]+)$" or file):gsub("%.lua$", "")
end

local function read_file(file)
  local handle, message = io.open(file, "rb")
  if not handle then
    error("temporal.worker: cannot read the file of a workflow definition: " .. message, 4)
  end
  local text = handle:read "a"
  handle:close()
  return text
end

--- workflows = { "workflows.order", "workflows.*", definition }: module names, patterns, or definitions
--- made in this program, whose file is loaded again in the sandbox.
---@param given? table
---@return string[] modules
---@return { name: string, text: string }[] texts
function worker_sources.workflows(given)
  local modules, texts, seen = {}, {}, {}
  for i, entry in ipairs(given or {}) do
    if type(entry) == "string" then
      modules[#modules + 1] = entry
    elseif type(entry) == "table" and entry.file and not seen[entry.file] then
      seen[entry.file] = true
      texts[#texts + 1] = { name = module_name_of(entry.file), text = read_file(entry.file) }
    elseif type(entry) == "table" and entry.name and entry.source then
      texts[#texts + 1] = { name = entry.name, text = entry.source }
    elseif type(entry) ~= "table" or not entry.file then
      local message = "temporal.worker: workflows[%d] must be a module name or a definition, got %s"
      error(message:format(i, type(entry)), 4)
    end
  end
  return modules, texts
end

local function add_function(functions, name, fn)
  if functions[name] then
    error(("temporal.worker: activity '%s' is registered twice"):format(name), 5)
  end
  functions[name] = fn
end

local function add_definition(functions, definition)
  if definition.kind and definition.kind ~= "thread" then
    error(("temporal.worker: activity '%s' has kind = '%s', which runs in a Lua state of its own: put it into a module "
      .. "and name the module"):format(definition.name, definition.kind), 6)
  end
  add_function(functions, definition.name, definition.run)
end

--- A native module is looked for beside the script first, then by the dynamic loader.
local function native_path(roots, name)
  for _, root in ipairs(roots) do
    local path = root .. "/" .. name
    local handle = io.open(path, "rb")
    if handle then
      handle:close()
      return path
    end
  end
  return name
end

--- activities = { "activities.payment", "activities.*", definition, native = { "libpay.so" }, name = function }.
---@param given? table
---@param roots string[]
---@return string[] modules
---@return table<string, function> functions
---@return string[] native paths of native modules
function worker_sources.activities(given, roots)
  local modules, functions = {}, {}
  for key, entry in pairs(given or {}) do
    if key == "native" then
      goto continue
    elseif type(key) == "number" and type(entry) == "string" then
      modules[#modules + 1] = entry
    elseif type(entry) == "table" and type(entry.run) == "function" and entry.name then
      add_definition(functions, entry)
    elseif type(entry) == "table" and type(entry.activities) == "table" and entry.self then
      if entry.setup or entry.teardown then
        error(("temporal.worker: object '%s' has a setup or teardown, which belong to the states of a module: put it "
          .. "into a module and name the module"):format(entry.name), 4)
      end
      for _, definition in pairs(entry.activities) do
        add_definition(functions, definition)
      end
    elseif type(key) == "string" and type(entry) == "function" then
      add_function(functions, key, entry)
    else
      local message = "temporal.worker: activities[%s] must be a module name, a definition or a function, got %s"
      error(message:format(tostring(key), type(entry)), 4)
    end
    ::continue::
  end
  local native = given and given.native or {}
  if type(native) == "string" then
    native = { native }
  end
  local paths = {}
  for i, name in ipairs(native) do
    paths[i] = native_path(roots, name)
  end
  return discovery.expand("temporal.worker: activities", modules, roots), functions, paths
end

--- nexus_services = { "services.payments", service }: names of modules, and services made in this program.
---@param given? table
---@param roots string[]
---@return string[] modules
---@return temporal.NexusService[] services
function worker_sources.nexus_services(given, roots)
  local modules, list = {}, {}
  for key, entry in pairs(given or {}) do
    if math.type(key) ~= "integer" or type(entry) ~= "string" and not nexus_services.is_service(entry) then
      local message = "temporal.worker: nexus_services[%s] must be a module name or made by nexus.service, got a %s"
      error(message:format(tostring(key), type(entry)), 4)
    elseif type(entry) == "string" then
      modules[#modules + 1] = entry
    else
      list[#list + 1] = entry
    end
  end
  return discovery.expand("temporal.worker: nexus_services", modules, roots), list
end

--- Modules whose values all runs share, as a list of names and patterns.
---@param given? table
---@return string[]
function worker_sources.passthrough_modules(given)
  local out = {}
  for key, name in pairs(given or {}) do
    if type(key) ~= "number" or type(name) ~= "string" then
      error("temporal.worker: passthrough_modules must be a list of modules, named as in require", 3)
    end
    out[key] = name
  end
  return out
end

--- What `setup` of activity modules gets: plain values, for it goes to other Lua states.
---@param given any
---@return any
function worker_sources.activity_config(given)
  local ok, text = pcall(core.json_encode, given)
  if not ok then
    error("temporal.worker: activity_config must be plain values (it goes to other Lua states): " .. text, 3)
  end
  return given ~= nil and core.json_decode(text) or nil
end

return worker_sources
