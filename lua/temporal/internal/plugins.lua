--- Plugins: one value that configures clients, workers and replayers and stands around their running.
local options = require "temporal.internal.options"

local plugins = {}

---@class temporal.Plugin
---@field name string
---@field configure_client? fun(config: table): table? changes the options of temporal.connect, or returns others
---@field connect_service_client? fun(config: table, next: fun(config: table): temporal.Client): temporal.Client
---@field configure_worker? fun(config: table): table?
---@field run_worker? fun(worker: temporal.Worker, next: fun(worker: temporal.Worker)) around the worker's life
---@field configure_replayer? fun(config: table): table?
---@field run_replayer? fun(replayer: temporal.Replayer, histories: table|function, next: function): function
local Plugin = {}
Plugin.__index = Plugin
Plugin.__name = "temporal.Plugin"

local fn = { kind = "function" }
local spec = {
  name = { kind = "string", required = true },
  configure_client = fn, connect_service_client = fn, configure_worker = fn, run_worker = fn,
  configure_replayer = fn, run_replayer = fn,
}

--- Makes a plugin of its hooks; only `name` is needed.
---@param given temporal.Plugin
---@return temporal.Plugin
function plugins.new(given)
  return setmetatable(options.check("temporal.plugin", spec, given), Plugin)
end

--- Lists of a configuration joined; named entries (functions of activities) may not clash.
local function join(where, before, more)
  local out = {}
  for _, part in ipairs { before or {}, more or {} } do
    for key, value in pairs(part) do
      if math.type(key) == "integer" then
        goto continue
      elseif key == "native" then
        local both = type(value) == "string" and { value } or value
        out.native = out.native or {}
        table.move(both, 1, #both, #out.native + 1, out.native)
      elseif out[key] ~= nil then
        error(("%s: '%s' is given by the plugin and already there"):format(where, key), 0)
      else
        out[key] = value
      end
      ::continue::
    end
    table.move(part, 1, #part, #out + 1, out)
  end
  return out
end

local simple_spec = {
  name = { kind = "string", required = true },
  data_converter = { kind = "any" }, interceptors = { kind = "table" }, activities = { kind = "table" },
  workflows = { kind = "table" }, nexus_services = { kind = "table" },
  workflow_failure_error_types = { kind = "table" }, run_context = fn,
}

--- A plugin of what it adds: `data_converter` (a value, or a function of the one that is there), `interceptors`,
--- `workflows`, `activities`, `nexus_services`, `workflow_failure_error_types`, and `run_context`, which is called
--- before a worker or replayer runs and may return a function to be called afterwards.
---@param given table
---@return temporal.Plugin
function plugins.simple(given)
  local o = options.check("temporal.simple_plugin", simple_spec, given)
  local where = "plugin " .. o.name
  local function add(config, ...)
    for _, name in ipairs { ... } do
      if o[name] then
        config[name] = join(where .. ": " .. name, config[name], o[name])
      end
    end
  end
  local function convert(config)
    if type(o.data_converter) == "function" then
      config.data_converter = o.data_converter(config.data_converter)
    elseif o.data_converter ~= nil then
      config.data_converter = o.data_converter
    end
  end
  local function within(run)
    local done = o.run_context and o.run_context()
    local _ <close> = setmetatable({}, { __close = function()
      if done then
        done()
      end
    end })
    return run()
  end
  return plugins.new {
    name = o.name,
    configure_client = function(config)
      convert(config)
      add(config, "interceptors")
    end,
    configure_worker = function(config)
      add(config, "interceptors", "workflows", "activities", "nexus_services", "workflow_failure_error_types")
    end,
    configure_replayer = function(config)
      convert(config)
      add(config, "interceptors", "workflows", "workflow_failure_error_types")
    end,
    run_worker = function(worker, next)
      within(function() next(worker) end)
    end,
    run_replayer = function(replayer, histories, next)
      local done = o.run_context and o.run_context()
      local results = next(replayer, histories)
      return function()
        local result = results()
        if result == nil and done then
          done()
          done = nil
        end
        return result
      end
    end,
  }
end

--- Checks an option `plugins`: its entries behind those of `inherited`. The same plugin counts once.
---@param where string
---@param given? table
---@param inherited? temporal.Plugin[]
---@param level? integer
---@return temporal.Plugin[]
function plugins.list(where, given, inherited, level)
  local list, seen = {}, {}
  if given ~= nil and type(given) ~= "table" or getmetatable(given) == Plugin then
    error(where .. ": plugins must be a list", (level or 2) + 1)
  end
  for _, part in ipairs { inherited or {}, given or {} } do
    for i, plugin in ipairs(part) do
      if getmetatable(plugin) ~= Plugin then
        error(("%s: plugins[%d] must be made by temporal.plugin or temporal.simple_plugin, got a %s"):format(
          where, i, type(plugin)), (level or 2) + 1)
      end
      if not seen[plugin] then
        seen[plugin] = true
        list[#list + 1] = plugin
      end
    end
  end
  return list
end

--- The options after the plugins' hook, in order; the caller's table stays as it is.
---@param list temporal.Plugin[]
---@param hook string
---@param given table
---@return table
function plugins.configure(list, hook, given)
  if #list == 0 or type(given) ~= "table" then
    return given
  end
  local config = {}
  for name, value in pairs(given) do
    config[name] = value
  end
  config.plugins = nil
  for _, plugin in ipairs(list) do
    if plugin[hook] then
      local changed = plugin[hook](config)
      if changed ~= nil and type(changed) ~= "table" then
        error(("plugin %s: %s must return the configuration, a table, or nothing; got a %s"):format(
          plugin.name, hook, type(changed)), 0)
      end
      config = changed or config
    end
  end
  return config
end

--- Calls the hooks around last(...), the first plugin outside.
---@param list temporal.Plugin[]
---@param hook string
---@param last function
---@return any ...
function plugins.around(list, hook, last, ...)
  for i = #list, 1, -1 do
    local run, next = list[i][hook], last
    if run then
      last = function(...)
        local args = table.pack(...)
        args[args.n + 1] = next
        return run(table.unpack(args, 1, args.n + 1))
      end
    end
  end
  return last(...)
end

--- Runs the hooks run_worker up to the worker's start. Returns the function that runs what comes behind it,
--- when the worker has ended: with true, or false and its error, which `next` raises.
---@param list temporal.Plugin[]
---@param worker temporal.Worker
---@param start fun(worker: temporal.Worker)
---@return fun(ok: boolean, err: any)
function plugins.open_worker(list, worker, start)
  if #list == 0 then
    start(worker)
    return function(ok, err)
      if not ok then
        error(err, 0)
      end
    end
  end
  local life = coroutine.create(function()
    plugins.around(list, "run_worker", function(w)
      start(w)
      local ok, err = coroutine.yield()
      if not ok then
        error(err, 0)
      end
    end, worker)
  end)
  local function resume(...)
    local ok, err = coroutine.resume(life, ...)
    if not ok then
      error(err, 0)
    end
  end
  resume()
  if coroutine.status(life) == "dead" then
    error("a plugin's run_worker returned without calling next(worker): the worker does not run", 0)
  end
  return function(ok, err)
    if coroutine.status(life) == "suspended" then
      resume(ok, err)
    elseif not ok then
      error(err, 0)
    end
  end
end

return plugins
