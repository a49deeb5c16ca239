--- Worker: polls one task queue and runs workflows from the script bundle and activities from modules,
--- native modules and functions.
local core = require "temporal.core"
local client = require "temporal.client"
local interceptors = require "temporal.internal.interceptors"
local nexus_services = require "temporal.internal.nexus_services"
local options = require "temporal.internal.options"
local plugins = require "temporal.internal.plugins"
local roots_of = require "temporal.internal.roots"
local session_worker = require "temporal.internal.session_worker"
local reloading = require "temporal.internal.reload"
local tuner = require "temporal.internal.tuner"
local worker_executors = require "temporal.internal.worker_executors"
local worker_fields = require "temporal.internal.worker_fields"
local worker_sources = require "temporal.internal.worker_sources"
local versions = require "temporal.internal.versions"

local worker = {}

---@class temporal.Worker
---@field client temporal.Client
---@field task_queue string
local Worker = {}
Worker.__index = Worker
Worker.__name = "temporal.Worker"

local kinds = {
  integer = "integer", duration = "duration", real = "number", boolean = "boolean", text = "string", poller = "any",
}

local refused, pollers = {}, {} -- names of options: to the reason; in a list

--- What a worker takes: what belongs to Lua alone and the rows of the host's option table.
local function build_spec()
  local spec = {}
  for _, field in ipairs(worker_fields) do
    spec[field.name] = field.kind
  end
  for _, row in ipairs(core.worker_options()) do
    if row.kind == "none" then
      refused[row.name] = row.text
    else
      spec[row.name] = { kind = kinds[row.kind] }
    end
    if row.kind == "poller" then
      pollers[#pollers + 1] = row.name
    end
  end
  spec.task_queue.required = true
  spec.workflow_failure_error_types.kind = "any"
  return spec
end

local spec = build_spec()

--- Those of the host's table alone; the queue stays what the script says.
local override_spec = {}
for _, row in ipairs(core.worker_options()) do
  override_spec[row.name] = row.name ~= "task_queue" and spec[row.name] or nil
end

--- Options of other SDKs that have no meaning here say so, instead of being unknown.
local function refuse(given)
  for name in pairs(type(given) == "table" and given or {}) do
    if refused[name] then
      error(("temporal.worker: option '%s' does not exist here: %s"):format(name, refused[name]), 3)
    end
  end
end

local behaviors = {
  simple_maximum = { kind = { kind = "string" }, maximum = { kind = "integer", required = true } },
  autoscaling = {
    kind = { kind = "string" }, minimum = { kind = "integer" }, maximum = { kind = "integer" },
    initial = { kind = "integer" },
  },
}

--- A poller behaviour: a number, or a table with its kind. Autoscaling has the SDKs' defaults.
local function poller_behavior(where, name, given)
  where = where .. ": " .. name
  if math.type(given) == "integer" then
    given = { kind = "simple_maximum", maximum = given }
  end
  local kind = type(given) == "table" and given.kind
  if not behaviors[kind] then
    local message = "%s wants a number of polls or a table with kind = 'simple_maximum' or 'autoscaling', got %s"
    error(message:format(where, options.shown(given)), 3)
  end
  local o = options.check(where, behaviors[kind], given, 3)
  if kind == "autoscaling" then
    o.autoscaling = true
    o.minimum = o.minimum or 1
    o.maximum = o.maximum or math.max(100, o.minimum)
    o.initial = o.initial or math.max(o.minimum, math.min(5, o.maximum))
  end
  return o
end

local reload_spec = {
  replay = { kind = "boolean" },
  histories = { kind = "integer" },
  timeout = { kind = "duration" },
  check_command = { kind = "string" },
  set_current = { kind = "boolean" },
}

local deployment_spec = {
  name = { kind = "string" },
  build_id = { kind = "string" },
  use_worker_versioning = { kind = "boolean" },
  default_versioning_behavior = { kind = "string" },
}

--- deployment_config = { name, build_id, use_worker_versioning, default_versioning_behavior }: the host's
--- options of these names, the name under deployment_name.
local function apply_deployment(o)
  if o.deployment_config then
    local given = options.check("temporal.worker: deployment_config", deployment_spec, o.deployment_config)
    if given.use_worker_versioning and not given.name then
      error("temporal.worker: use_worker_versioning needs deployment_config.name (deployment_name)", 4)
    end
    for name, value in pairs(given) do
      local target = name == "name" and "deployment_name" or name
      if o[target] ~= nil then
        error(("temporal.worker: %s is given twice, beside deployment_config.%s"):format(target, name), 4)
      end
      o[target] = value
    end
  end
  o.deployment_config = nil
end

local function reload_options(given)
  local o = options.check("temporal.worker: reload", reload_spec, given or {})
  for name, value in pairs(reloading.defaults) do
    if o[name] == nil then
      o[name] = value
    end
  end
  if o.histories < 0 then
    error("temporal.worker: reload.histories wants a number from 0 up", 4)
  end
  return o
end

--- A list of error types as the text that the host's option is.
local function error_types(given)
  if given == nil or type(given) == "string" then
    return given
  end
  local ok = type(given) == "table"
  for _, entry in ipairs(ok and given or {}) do
    ok = ok and type(entry) == "string" and not entry:find ","
  end
  if not ok then
    error("temporal.worker: workflow_failure_error_types must be a list of error types", 3)
  end
  return table.concat(given, ",")
end

--- The plugins of its client, then its own.
local function plugins_of(given)
  if type(given) ~= "table" then
    return {}
  end
  return plugins.list("temporal.worker", given.plugins, given.client and given.client.plugins, 3)
end

--- Makes a worker; `worker:run()` or `temporal-lua worker run` starts it. An option that does not exist, and options
--- that exclude each other, raise an error that names them.
---@param given temporal.WorkerOptions
---@return temporal.Worker
function worker.new(given)
  local list = plugins_of(given)
  return worker.configured(plugins.configure(list, "configure_worker", given), list)
end

--- The same once the plugins have had their say.
---@param given temporal.WorkerOptions
---@param list temporal.Plugin[]
---@return temporal.Worker
function worker.configured(given, list)
  refuse(given)
  local o = options.check("temporal.worker", spec, given)
  for _, name in ipairs(pollers) do
    o[name] = o[name] ~= nil and poller_behavior("temporal.worker", name, o[name]) or nil
  end
  local roots = o.roots or { roots_of.of_script() }
  roots_of.extend(roots)
  local modules, texts = worker_sources.workflows(o.workflows)
  local activity_modules, functions, native = worker_sources.activities(o.activities, roots)
  local nexus_modules, services = worker_sources.nexus_services(o.nexus_services, roots)
  if o.tuner then
    o.tuner = tuner.flatten(o.tuner)
    for _, name in ipairs(tuner.replaces) do
      if o[name] ~= nil then
        error(("temporal.worker: '%s' and 'tuner' exclude each other"):format(name), 2)
      end
    end
  end
  local unsandboxed = o.workflow_runner == "unsandboxed"
  o.workflow_runner = nil
  local shared = worker_sources.passthrough_modules(o.passthrough_modules)
  o.passthrough_modules = nil
  local failing = error_types(o.workflow_failure_error_types)
  o.workflow_failure_error_types = failing
  apply_deployment(o)
  local session_max = session_worker.take(o)
  local gate, given_workflows, given_activities = reload_options(o.reload), o.workflows, o.activities
  local config = worker_sources.activity_config(o.activity_config)
  local executor = worker_executors.plan(o)
  if executor.default_kind and not o.tuner and not o.max_concurrent_activities then
    o.max_concurrent_activities = executor.process_count
  end
  o.activity_executor = nil
  local block_limit = o.activity_block_limit or 500 * 1000000
  if block_limit <= 0 then
    error("temporal.worker: activity_block_limit wants more than 0", 2)
  end
  o.reload, o.activity_config, o.activity_block_limit = nil, nil, nil
  local own, on_fatal_error = o.client, o.on_fatal_error
  o.client, o.workflows, o.activities, o.roots, o.on_fatal_error, o.nexus_services = nil, nil, nil, nil, nil, nil
  local self = setmetatable({
    task_queue = o.task_queue, client = own, options = o, given = given, on_fatal_error = on_fatal_error,
    session_max = session_max,
  }, Worker)
  self.gate, self.given_workflows, self.given_activities, self.plugins = gate, given_workflows, given_activities, list
  self.interceptors = interceptors.entries("temporal.worker", o.interceptors, own and own.interceptors)
  o.interceptors, o.plugins = nil, nil
  local wrap = interceptors.activities(next(functions) and self.interceptors or {})
  for name, run in pairs(functions) do
    functions[name] = wrap(run)
  end
  local served, handlers = pcall(nexus_services.handlers, services, self.interceptors)
  if not served then
    error("temporal.worker: nexus_services: " .. tostring(handlers), 2)
  end
  self.plan = {
    nexus_modules = nexus_modules, nexus_handlers = handlers,
    interceptors = interceptors.plan(self.interceptors, roots), roots = roots,
    workflow_modules = modules, workflow_texts = texts,
    activity_modules = activity_modules, functions = functions, native = native, activity_config = config,
    activity_block_limit = block_limit, default_kind = executor.default_kind,
    process_count = executor.process_count, process_program = executor.process_program,
    failure_error_types = failing, converter_modules = own and own.payload_converters or {},
    unsandboxed = unsandboxed, passthrough_modules = shared, package_path = package.path,
  }
  return self
end

--- What stands for the same: the newer form and the older one, which wins where both are given.
local same = {
  workflow_task_poller_behavior = "max_concurrent_workflow_task_polls",
  activity_task_poller_behavior = "max_concurrent_activity_task_polls",
}

--- Options of docs/worker_options.md that go above those a worker was made with; before it is prepared.
---@param self temporal.Worker
---@param given table
---@param where string what errors begin with
function worker.override(self, given, where)
  for name in pairs(given) do
    if refused[name] then
      error(("%s: option '%s' does not exist here: %s"):format(where, name, refused[name]), 2)
    end
  end
  local o = options.check(where, override_spec, given, 2)
  for _, name in ipairs(pollers) do
    o[name] = o[name] ~= nil and poller_behavior(where, name, o[name]) or nil
  end
  for _, name in ipairs(tuner.replaces) do
    if o[name] ~= nil and self.options.tuner then
      error(("%s: '%s' and the script's 'tuner' exclude each other"):format(where, name), 2)
    end
  end
  o.workflow_failure_error_types = error_types(o.workflow_failure_error_types)
  self.plan.failure_error_types = o.workflow_failure_error_types or self.plan.failure_error_types
  local before = {} -- the script's table stays the script's
  for name, value in pairs(self.given) do
    before[name] = value
  end
  for newer, older in pairs(same) do
    if o[newer] ~= nil and o[older] ~= nil then
      error(("%s: '%s' and '%s' exclude each other"):format(where, newer, older), 2)
    elseif o[newer] ~= nil then
      self.options[older], before[older] = nil, nil
    end
  end
  self.given = before
  self.places = self.places or {}
  for name, value in pairs(o) do
    self.options[name], self.places[name] = value, where
  end
end

--- Calls core[name](...); what it says is wrong stands without a place in this file, which nobody wrote, but with
--- that of the option which it begins with.
local function told(self, name, ...)
  local ok, result = pcall(core[name], ...)
  if not ok and type(result) == "string" then
    local place = self.places and self.places[result:match "^[%a_]+"]
    error(("%s: %s"):format(place or "temporal.worker", result), 0)
  elseif not ok then
    error(result, 0)
  end
  return result
end

--- The native worker; made when first needed, so that a script can be inspected without a server.
local function native(self)
  if not self.handle then
    self.client = self.client or client.connect {}
    self.handle = told(self, "worker_new", self.client.connection, self.options, self.plan)
  end
  return self.handle
end

--- The workers of its sessions, made when first needed; none: it takes none.
local function beside(self)
  if self.session_max and not self.companions then
    local list, queue = session_worker.options(self)
    self.companions, self.session_queue = {}, queue
    for i, given in ipairs(list) do
      local companion = worker.configured(given, {})
      for name in pairs(override_spec) do -- also those of the command line
        if companion.options[name] == nil and not (i == 1 and name == "activity_task_poller_behavior") then
          companion.options[name] = self.options[name]
        end
      end
      companion.client = self.client
      self.companions[i] = companion
    end
  end
  return self.companions or {}
end

--- Loads scripts and modules and reports what is wrong with them; starts nothing.
function Worker:prepare()
  native(self)
  for _, companion in ipairs(beside(self)) do
    native(companion)
  end
  return self
end

--- Starts polling in the background; functions given as activities run while this script waits inside
--- a temporal call.
function Worker:start()
  local function start()
    told(self, "worker_start", native(self))
    local companions = beside(self)
    if self.session_queue then
      core.session_room(self.session_queue, self.session_max)
    end
    for _, companion in ipairs(companions) do
      companion:start()
    end
  end
  if self.started then
    start()
  else
    self.ended = plugins.open_worker(self.plugins, self, start)
  end
  self.started = true
  return self
end

--- Waits for the end. A fatal error is raised, by each call that waits; `on_fatal_error` hears of it once.
local function wait(self)
  local ok, err = pcall(core.worker_wait, self.handle)
  local ended = self.ended
  if ended then -- what plugins do behind the worker's life comes once
    self.ended = nil
    ok, err = pcall(ended, ok, err)
  end
  if not ok then
    local tell = self.on_fatal_error
    self.on_fatal_error = nil
    if tell then
      tell(err)
    end
    error(err, 0)
  end
end

--- The workers of its sessions end with it; new sessions go elsewhere first.
local function end_beside(self, grace)
  for _, companion in ipairs(self.companions or {}) do
    companion:shutdown(grace)
  end
  if self.session_queue then
    core.session_room(self.session_queue, 0)
  end
end

--- Starts and waits until the worker is shut down. A fatal error is raised.
function Worker:run()
  if not self.started then
    self:start()
  end
  local ok, err = pcall(wait, self) -- it may have been shut down since
  end_beside(self)
  if not ok then
    error(err, 0)
  end
end

--- Runs the worker while `fn` runs, then shuts it down; returns what fn returned. A fatal error of the
--- worker ends the call that fn waits in and is raised instead of what came of it.
function Worker:run_until(fn, ...)
  self:start()
  core.worker_watch(self.handle, true)
  local results = table.pack(pcall(fn, ...))
  core.worker_watch(self.handle, false)
  self:shutdown()
  if not results[1] then
    error(results[2], 0)
  end
  return table.unpack(results, 2, results.n)
end

--- Stops polling, lets tasks end within the grace period and waits for it. Idempotent.
---@param grace? number|string default: graceful_shutdown_timeout
function Worker:shutdown(grace)
  if self.handle then
    local ns = grace and assert(options.duration_ns(grace))
    end_beside(self, grace)
    core.worker_shutdown(self.handle, ns and ns // 1000000 or -1)
    wait(self)
  end
end

--- At the end of a block that fails already, its error goes first.
function Worker:__close(err)
  local ok, fatal = pcall(self.shutdown, self)
  if not ok and err == nil then
    error(fatal, 0)
  end
end

function Worker:is_running()
  return self.handle ~= nil and core.worker_state(self.handle) == "running"
end

function Worker:is_shutdown()
  return self.handle ~= nil and core.worker_state(self.handle) == "stopped"
end

--- Loads the scripts again and makes them the current build, once they have passed the gate: new runs begin
--- on it, running ones finish on theirs. Whatever goes wrong, the running build stays. Returns the build ID
--- and a text, or nil and why it was refused.
--- `opts.replay = false` leaves out the replay; `opts.worker` is a worker made of the new scripts when not
--- only modules have changed.
---@param opts? { replay?: boolean, worker?: temporal.Worker }
---@return string? build_id
---@return string text
---@return table? report
function Worker:reload(opts)
  local o = options.check("Worker:reload", { replay = { kind = "boolean" }, worker = { kind = "table" } }, opts or {})
  local gate = setmetatable({ replay = o.replay }, { __index = self.gate })
  native(self)
  return reloading.promote(self, function()
    if o.worker then
      return o.worker.plan
    end
    local plan = {}
    for name, value in pairs(self.plan) do
      plan[name] = value
    end
    plan.workflow_modules, plan.workflow_texts = worker_sources.workflows(self.given_workflows)
    plan.activity_modules = worker_sources.activities(self.given_activities, plan.roots)
    plan.nexus_modules = worker_sources.nexus_services(self.given.nexus_services, plan.roots)
    return plan
  end, gate)
end

--- Routes the deployment of a versioned worker to the build that is current here, whoever it was routed to.
--- Returns its ID, or nil and why not.
---@return string? build_id
---@return string? message
function Worker:set_current_version()
  local handle = native(self)
  if not versions.deployment_of(self) then
    error("Worker:set_current_version: this worker has no versions (deployment_config.use_worker_versioning)", 2)
  elseif not self.started then
    error("Worker:set_current_version: start the worker first, the server learns of a version by its polls", 2)
  end
  local id = core.worker_builds(handle)
  id = id[#id].id
  local outcome, message = versions.route(self, id, self.gate, true)
  return outcome and id, not outcome and message or nil
end

--- The server is told first: it sends no more runs to the version that is left.
local function rollback_version(self, build_id)
  for _, build in ipairs(self:builds()) do
    if build.id == build_id or (not build_id and build.previous) then
      local outcome, message = versions.route(self, build.id, self.gate, true)
      return outcome and build.id, not outcome and message or nil
    end
  end
  return nil, build_id and ("build '%s' is not loaded"):format(build_id) or "there is no build before this one"
end

--- Makes the build before the current one, or a loaded one by its ID, current again; a versioned worker
--- routes its deployment there. Returns its ID, or nil and why not.
---@param build_id? string
---@return string? build_id
---@return string? message
function Worker:rollback(build_id)
  local handle = native(self)
  if versions.deployment_of(self) then
    return rollback_version(self, build_id)
  end
  local ok, message = core.worker_select_build(handle, build_id or "")
  if not ok then
    return nil, message
  end
  return self:build().id
end

--- The loaded builds, the current one last: id, digest, current, previous, retired (a version that has
--- drained), users (runs with state, activity threads, polls of a version), parked_runs (open runs that are
--- not cached).
---@return table[]
function Worker:builds()
  return core.worker_builds(native(self))
end

--- The build that new runs begin on.
function Worker:build()
  local list = self:builds()
  return list[#list]
end

--- The build ID that these options give the scripts as they are now; nothing is started and no server asked.
---@return string
function Worker:default_build_id()
  return core.build_id(core.build_open(self.plan), self.options.build_id)
end

--- The options it was made with, checked and with durations in nanoseconds; changing them changes nothing.
function Worker:config()
  local copy = {}
  for _, from in ipairs { self.given, self.options } do
    for k, v in pairs(from) do
      copy[k] = v
    end
  end
  copy.client = self.client
  return copy
end

--- Counters: tasks completed and failed, cache hits, slots in use.
---@return table
function Worker:stats()
  return core.worker_stats(native(self))
end

--- The build ID of scripts: `scripts` are the options `workflows`, `activities`, `nexus_services`, `roots` and
--- `passthrough_modules` of a worker.
---@param scripts { workflows?: table, activities?: table, nexus_services?: table, roots?: string[] }
---@return string
function worker.default_build_id(scripts)
  local known = { workflows = true, activities = true, nexus_services = true, roots = true, passthrough_modules = true }
  local o = { task_queue = "none" }
  for name, value in pairs(scripts) do
    if not known[name] then
      error(("temporal.worker.default_build_id: unknown option '%s'; there are workflows, activities, nexus_services, "
        .. "roots and passthrough_modules"):format(tostring(name)), 2)
    end
    o[name] = value
  end
  return worker.new(o):default_build_id()
end

return setmetatable(worker, { __call = function(_, given) return worker.new(given) end })
