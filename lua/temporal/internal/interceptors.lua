--- Interceptors outside of the sandbox: what an entry of an option `interceptors` means, and the chains of
--- hooks around clients, activities and handlers of Nexus operations. Hooks of workflows run in the sandbox
--- (host/luart/intercept.c).
---
--- A hook is called as hook(input, next); next(input) calls the next one, the last one does the thing itself.
local core = require "temporal.core"
local options = require "temporal.internal.options"

local interceptors = {}

local fn = { kind = "function" }

--- The hooks of each section; those of `workflow` are the sandbox's to check.
local hooks = {
  client = {
    start_workflow = fn, signal_workflow = fn, query_workflow = fn, start_workflow_update = fn,
    start_update_with_start_workflow = fn, cancel_workflow = fn, terminate_workflow = fn, describe_workflow = fn,
    fetch_workflow_history_events = fn, list_workflows = fn, count_workflows = fn, heartbeat_async_activity = fn,
    start_activity = fn, describe_activity = fn, cancel_activity = fn, terminate_activity = fn, pause_activity = fn,
    unpause_activity = fn, reset_activity = fn, update_activity_options = fn, list_activities = fn,
    count_activities = fn,
    start_nexus_operation = fn, get_nexus_operation_result = fn, describe_nexus_operation = fn,
    cancel_nexus_operation = fn, terminate_nexus_operation = fn, list_nexus_operations = fn,
    count_nexus_operations = fn,
    update_worker_build_id_compatibility = fn, get_worker_build_id_compatibility = fn,
    get_worker_task_reachability = fn,
    complete_async_activity = fn, fail_async_activity = fn, report_cancellation_async_activity = fn,
  },
  activity = { execute_activity = fn, heartbeat = fn, info = fn },
  nexus = { execute_nexus_operation_start = fn, execute_nexus_operation_cancel = fn },
}

local table_kind = { kind = "table" }
local section_spec = {
  name = { kind = "string" }, client = table_kind, workflow = table_kind, activity = table_kind,
  extern_functions = table_kind, nexus = table_kind,
}
local entry_spec = {
  module = { kind = "string" }, source = { kind = "string" }, config = table_kind, name = { kind = "string" },
  client = table_kind,
}

---@class temporal.InterceptorEntry
---@field module? string the module that has the hooks
---@field source? string its text, instead of a file
---@field config? string JSON of what the module's function is given
---@field client? table<string, function> hooks of this script

local function check_client(where, section, level)
  return options.check(where .. ": client", hooks.client, section, level + 1)
end

local function read(where, given, level)
  if type(given) == "string" then
    return { module = given }
  elseif type(given) ~= "table" then
    error(("%s must be the name of a module or a table, got a %s"):format(where, type(given)), level + 1)
  end
  for _, section in ipairs { "workflow", "activity", "nexus", "extern_functions" } do
    if given[section] ~= nil then
      error(("%s: section '%s' runs in Lua states of its own: put it into a module, and name that"):format(
        where, section), level + 1)
    end
  end
  local o = options.check(where, entry_spec, given, level + 1)
  if not o.module and not o.client then
    error(where .. " has neither module nor client", level + 1)
  elseif (o.source or o.config) and not o.module then
    error(where .. ": source and config belong to a module", level + 1)
  end
  return {
    module = o.module, source = o.source, client = o.client and check_client(where, o.client, level + 1),
    config = o.config and core.json_encode(o.config),
  }
end

--- Checks an option `interceptors` and returns its entries, behind those of `inherited`, without those that
--- are there already.
---@param where string
---@param given? table
---@param inherited? temporal.InterceptorEntry[]
---@param level? integer
---@return temporal.InterceptorEntry[]
function interceptors.entries(where, given, inherited, level)
  local list, seen = {}, {}
  local function add(entry, value)
    local key = entry.module and not entry.client and entry.module .. "\0" .. (entry.config or "") or value
    if not seen[key] then
      seen[key] = true
      entry.value = value
      list[#list + 1] = entry
    end
  end
  for _, entry in ipairs(inherited or {}) do
    add(entry, entry.value)
  end
  for i, value in ipairs(given or {}) do
    add(read(("%s: interceptors[%d]"):format(where, i), value, (level or 2) + 1), value)
  end
  return list
end

local function load_module(entry)
  if not entry.source then
    return require(entry.module)
  end
  return assert(load(entry.source, "@" .. entry.module, "t"))(entry.module)
end

--- What the entry's module gives in this state.
local function sections_of(entry)
  local value = load_module(entry)
  if type(value) == "function" then
    local given = entry.config ~= nil and entry.config ~= ""
    value = value(given and core.json_decode(entry.config) or {})
  end
  if type(value) ~= "table" then
    error(("interceptor %s: the module gives a %s; it returns a table with sections (client, workflow, activity, "
      .. "nexus), or a function that makes one of its configuration"):format(entry.module, type(value)), 0)
  end
  return options.check("interceptor " .. entry.module, section_spec, value, 0)
end

--- Hooks of one section by name, each a list, outermost first; nil when there are none.
---@param entries temporal.InterceptorEntry[]
---@param section "client"|"activity"|"nexus"|"extern_functions"
---@return table<string, function[]>?
function interceptors.hooks(entries, section)
  local all
  local function add(found)
    for name, hook in pairs(found) do
      all = all or {}
      all[name] = all[name] or {}
      table.insert(all[name], hook)
    end
  end
  for _, entry in ipairs(entries or {}) do
    if section == "client" and entry.client then
      add(entry.client)
    end
    local found = entry.module and sections_of(entry)[section]
    if found then
      local where = ("interceptor %s: %s"):format(entry.module, section)
      add(hooks[section] and options.check(where, hooks[section], found, 0) or found)
    end
  end
  return all
end

local function bind(hook, next)
  return function(input)
    return hook(input, next)
  end
end

--- Calls the hooks of this name around last(input).
---@param all table<string, function[]>?
---@param name string
---@param input table
---@param last fun(input: table): any ...
function interceptors.call(all, name, input, last)
  local list = all and all[name]
  for i = list and #list or 0, 1, -1 do
    last = bind(list[i], last)
  end
  return last(input)
end

--- The values of input.args; a list that a hook made needs no n.
function interceptors.args(input)
  local args = input.args
  if type(args) ~= "table" then
    error("interceptor: input.args must be a list, got a " .. type(args), 0)
  end
  return table.unpack(args, 1, math.max(args.n or 0, #args))
end

--- A flat input: the options, `key` = subject, args with n, and headers of its own.
---@return table
function interceptors.input(opts, key, subject, ...)
  local input = options.copy(opts)
  input[key], input.args, input.headers = subject, table.pack(...), options.copy(input.headers)
  return input
end

--- The options in such an input, without the names given.
---@return table
function interceptors.options(input, ...)
  local opts = options.copy(input)
  opts.args = nil
  for _, name in ipairs { ... } do
    opts[name] = nil
  end
  return opts
end

--- A header message of a table name -> value; nil for an empty one.
---@param client temporal.Client
---@param headers? table<string, any>
---@return table?
function interceptors.header(client, headers)
  if not headers or next(headers) == nil then
    return nil
  end
  local fields = {}
  for name, value in pairs(headers) do
    if type(name) ~= "string" then
      error("the names of headers are strings, got a " .. type(name), 0)
    end
    fields[name] = client.data:encode_one(value)
  end
  return { fields = fields }
end

--- The text of a module that came with the library or is installed; nil: there is no such module.
local function installed_text(module)
  local path = package.searchpath(module, package.path)
  local file <close> = path and io.open(path, "rb")
  return file and file:read "a" or core.embedded_text(module)
end

--- What a worker's plan holds of them: the modules with configuration, and the text of those that do not lie
--- below its roots.
---@param entries temporal.InterceptorEntry[]
---@param roots string[]
---@return table[]
function interceptors.plan(entries, roots)
  local list, templates = {}, {}
  for i, root in ipairs(roots) do
    templates[i] = root .. "/?.lua;" .. root .. "/?/init.lua"
  end
  for _, entry in ipairs(entries) do
    if entry.module then
      local text = entry.source
      if not text and not package.searchpath(entry.module, table.concat(templates, ";")) then
        text = installed_text(entry.module)
      end
      list[#list + 1] = { module = entry.module, config = entry.config or "", text = text or "", source = entry.source }
    end
  end
  return list
end

--- The functions that interceptors give to workflows, by name, nil when there are none; in the state of their own
--- in which they run. `given` is the JSON of a plan's interceptors, `sources` what the first such state has loaded
--- (empty in the first one), which is returned second.
---@param given string
---@param sources string
---@return table<string, function>?
---@return string
function interceptors.open_extern(given, sources)
  local build_sources = require "temporal.internal.build_sources"
  if sources ~= "" then
    build_sources.install(sources)
  end
  local functions
  for name, list in pairs(interceptors.hooks(core.json_decode(given), "extern_functions") or {}) do
    functions = functions or {}
    functions[name] = list[#list]
  end
  if functions and sources == "" then
    core.log_warn("interceptors.extern_functions", "workflows can call functions of the host, which are called again "
      .. "on replay and must not decide what a workflow does: " .. table.concat(options.sorted_keys(functions), ", "))
  end
  return functions, build_sources.collect()
end

-- The hooks of the activity that runs in this state; a state runs one at a time, or one inside another.
local current

--- Wraps the functions of activities in their hooks. `own_state`: no others run in this state, so that it need not
--- be told whose hooks count, even where the activities are coroutines that take turns.
---@param entries temporal.InterceptorEntry[]
---@param own_state? boolean
---@return fun(run: function): function
function interceptors.activities(entries, own_state)
  local all = interceptors.hooks(entries, "activity")
  current = own_state and all or current
  return function(run)
    if not all then
      return run
    end
    local function last(input)
      return run(interceptors.args(input))
    end
    return function(...)
      local before = current
      local _ <close> = setmetatable({}, { __close = function() current = own_state and all or before end })
      current = all
      local info = core.activity_info()
      return interceptors.call(all, "execute_activity", {
        activity = info.activity_type, fn = run, args = table.pack(...), headers = info.headers,
      }, last)
    end
  end
end

--- Calls last(input) inside the hooks of the running activity.
function interceptors.in_activity(name, input, last)
  return interceptors.call(current, name, input, last)
end

return interceptors
