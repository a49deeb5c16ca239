--- Loads activity modules in an activity state and collects what they define: their functions, what runs
--- them, and what is set up and torn down around them.
local activity = require "temporal.activity"
local core = require "temporal.core"
local discovery = require "temporal.internal.discovery"
local interceptors = require "temporal.internal.interceptors"

---@class temporal.LoadedActivities
---@field functions table<string, function> by activity type
---@field kinds table<string, string> those that say what runs them: "thread", "coroutine" or "process"
---@field private modules table[] in the order of loading: name, kinds of its activities, hooks
---@field private config any
---@field private ready table[] hooks that have been set up
local Loaded = {}
Loaded.__index = Loaded

local hook_names = { setup = true, teardown = true }

local function add(self, module, name, value)
  local given = activity.is_definition(value)
  local run = given and value.run or value
  local owner = self.owners[name]
  if owner == module.name then
    error(("activity '%s' of module '%s' is defined twice"):format(name, owner), 0)
  elseif owner then
    error(("activity '%s' is defined by two modules: %s and %s"):format(name, owner, module.name), 0)
  end
  local kind = given and value.kind or self.default_kind
  self.owners[name], self.functions[name], self.kinds[name] = module.name, run, kind
  module.kinds[kind], module.any = true, true
end

local function add_object(self, module, object)
  for name, definition in pairs(object.activities) do
    add(self, module, name, definition)
  end
  module.hooks[#module.hooks + 1] = object
end

--- A hook is a function; a definition or an object under its name is none, but an activity.
local function need_function(where, hook)
  if hook ~= nil and type(hook) ~= "function" and not activity.is_definition(hook) and not activity.is_object(hook) then
    error(("%s must be a function, got %s"):format(where, type(hook)), 0)
  end
end

--- A module returns one definition, an object, a list of them, or a table name -> function, definition or object;
--- its functions `setup` and `teardown` are no activities.
local function collect(self, module, value)
  if activity.is_definition(value) then
    add(self, module, value.name, value)
  elseif activity.is_object(value) then
    add_object(self, module, value)
  elseif type(value) == "table" then
    for key, entry in pairs(value) do
      if activity.is_definition(entry) then
        add(self, module, entry.name, entry)
      elseif activity.is_object(entry) then
        add_object(self, module, entry)
      elseif type(key) == "string" and type(entry) == "function" and not hook_names[key] then
        add(self, module, key, entry)
      end
    end
    for hook in pairs(hook_names) do
      need_function(("module '%s': %s"):format(module.name, hook), value[hook])
    end
    if type(value.setup) == "function" or type(value.teardown) == "function" then
      local own = { setup = value.setup, teardown = value.teardown }
      table.insert(module.hooks, 1, { -- before its objects
        setup = own.setup and function(_, config) return own.setup(config) end,
        teardown = own.teardown and function() return own.teardown() end,
      })
    end
  end
end

--- Runs the `setup` of the modules that have activities of this kind. When one fails, what has been set up is
--- torn down again and the error names the module.
---@param kind string
function Loaded:setup(kind)
  for _, module in ipairs(self.modules) do
    for _, hook in ipairs(module.kinds[kind] and module.hooks or {}) do
      local ok, message = true, nil
      if hook.setup then
        ok, message = pcall(hook.setup, hook.self, self.config)
      end
      if not ok then
        self:teardown()
        error(("setup of activity module '%s': %s"):format(module.name, tostring(message)), 0)
      end
      self.ready[#self.ready + 1] = { hook = hook, module = module.name }
    end
  end
end

--- Tears down what has been set up, last first. What fails is logged and does not stop the others.
function Loaded:teardown()
  for i = #self.ready, 1, -1 do
    local hook, module = self.ready[i].hook, self.ready[i].module
    self.ready[i] = nil
    if hook.teardown then
      local ok, message = pcall(hook.teardown, hook.self)
      if not ok then
        core.log_warn("activity_module.teardown_failed", ("%s: %s"):format(module, tostring(message)))
      end
    end
  end
end

--- `plan` is JSON: interceptors whose hooks stand around each activity, config for setup, roots, default_kind.
---@param modules string[]
---@param plan string
---@return temporal.LoadedActivities
return function(modules, plan)
  plan = core.json_decode(plan)
  local self = setmetatable({
    functions = {}, kinds = {}, owners = {}, modules = {}, ready = {}, config = plan.config,
    default_kind = plan.default_kind or "thread",
  }, Loaded)
  local wrap = interceptors.activities(plan.interceptors, true)
  for _, name in ipairs(modules) do
    local missing = discovery.missing(name, plan.roots)
    if missing then
      error("activities: " .. missing, 0)
    end
    local module = { name = name, kinds = {}, hooks = {} }
    self.modules[#self.modules + 1] = module
    collect(self, module, discovery.load("activities", name))
    if not module.any then
      local message = "module '%s' returns no activity: return activity.define(...), "
        .. "a list of definitions, or a table of functions"
      error(message:format(name), 0)
    end
  end
  for name, run in pairs(self.functions) do
    self.functions[name] = wrap(run)
  end
  return self
end
