--- Tests with busted (or plain Lua): an environment with server, worker and clock in this process.
--- Time stands still for workflows until somebody waits for a result; then it jumps from deadline to
--- deadline, so that days pass in milliseconds. When an environment is closed, the history of every
--- workflow that was started through it is replayed against the same scripts.
local core = require "temporal.core"
local activity_environment = require "temporal.internal.activity_environment"
local client = require "temporal.client"
local history = require "temporal.history"
local module_roots = require "temporal.internal.roots"
local options = require "temporal.internal.options"
local replayer = require "temporal.replayer"
local search_attributes = require "temporal.internal.search_attributes"
local time_skipping = require "temporal.internal.time_skipping"
local worker = require "temporal.worker"

local testing = {}

---@class temporal.TestEnvironment
---@field client temporal.Client
---@field worker temporal.Worker
local Environment = {}
Environment.__index = Environment

--- The fields of temporal.TestEnvironmentOptions.
local env_spec = {
  client = { kind = "table" },
  workflows = { kind = "table", required = true },
  activities = { kind = "table" },
  nexus_services = { kind = "table" },
  child_workflows = { kind = "table" },
  roots = { kind = "table" },
  task_queue = { kind = "string" },
  namespace = { kind = "string" },
  db_filename = { kind = "string" },
  time_skipping = { kind = "any" },
  search_attributes = { kind = "table" },
  data_converter = { kind = "any" },
  interceptors = { kind = "table" },
  plugins = { kind = "table" },
  worker = { kind = "table" },
  runtime = { kind = "any" },
  replay = { kind = "any" },
}

-- The clock cannot know of a worker that has not polled yet, and would jump over what waits for it.
local function await_polls(self)
  local kinds = {}
  local has_activities, has_services, has_workflows = core.worker_serves(self.worker.handle)
  kinds[#kinds + 1] = has_workflows and "TASK_QUEUE_TYPE_WORKFLOW" or nil
  kinds[#kinds + 1] = has_activities and "TASK_QUEUE_TYPE_ACTIVITY" or nil
  kinds[#kinds + 1] = has_services and "TASK_QUEUE_TYPE_NEXUS" or nil
  for _, kind in ipairs(kinds) do
    local request = { namespace = self.client.namespace, task_queue = { name = self.task_queue },
      task_queue_type = kind }
    local patience = os.time() + 10
    while #(self.client:call("DescribeTaskQueue", request).pollers or {}) == 0 do
      if os.time() > patience then
        self.replay = false
        self:close()
        error("testing.environment: the worker does not poll", 3)
      end
    end
  end
end

-- A child that the spec plays: a workflow of the type, which asks the spec's function by an activity. What
-- the parent does and its history are those of a real child.
local mock_source = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
  return workflow.define(%q, function(...)
    local result = table.pack(pcall(workflow.execute_activity, %q, {
      start_to_close_timeout = "1h", retry_policy = { maximum_attempts = 1 } }, ...))
    if result[1] then return table.unpack(result, 2, result.n) end
    error(temporal.is_cancelled(result[2]) and result[2] or result[2].cause, 0)
  end)
]]

--- Workflows and activities with the mocks of children among them.
local function with_mocks(workflows, activities, mocks)
  if not mocks then
    return workflows, activities
  end
  local all, functions = table.move(workflows, 1, #workflows, 1, {}), {}
  for name, value in pairs(activities or {}) do
    functions[name] = value
  end
  for name, fn in pairs(mocks) do
    if type(name) ~= "string" or type(fn) ~= "function" then
      error("testing.environment: child_workflows wants { Type = function }", 3)
    end
    local activity = "child workflow " .. name
    all[#all + 1] = { name = "mock." .. name, source = mock_source:format(name, activity) }
    functions[activity] = fn
  end
  return all, functions
end

--- true, false or "caches"; where the option is not given, TEMPORAL_LUA_TEST_REPLAY may say "caches".
local function replay_mode(given)
  if given == nil then
    return os.getenv "TEMPORAL_LUA_TEST_REPLAY" == "caches" and "caches" or true
  elseif type(given) ~= "boolean" and given ~= "caches" then
    error('testing.environment: option \'replay\' must be true, false or "caches"', 3)
  end
  return given
end

--- What an environment around somebody else's client cannot be told: it is the client's, or its server's.
local of_client = { "namespace", "db_filename", "search_attributes", "data_converter", "interceptors", "plugins",
  "runtime" }

--- The client given, or one of a server of the environment's own, whose clock stands still.
local function open_client(o)
  if o.client then
    for _, name in ipairs(of_client) do
      if o[name] ~= nil then
        error(("testing.environment: client and %s exclude each other"):format(name), 4)
      end
    end
    return o.client
  end
  local server = core.server_open {
    time_skipping = not o.time_skipping, run_time_skipping = true,
    namespace = o.namespace or "default", db_filename = o.db_filename,
    search_attributes = search_attributes.declarations("testing.environment", o.search_attributes),
  }
  return client.connect {
    server = server, namespace = o.namespace or "default", data_converter = o.data_converter,
    interceptors = o.interceptors, plugins = o.plugins, runtime = o.runtime,
  }, server
end

---@class temporal.TestEnvironmentOptions
---@field workflows (string|table)[] as for temporal.worker
---@field activities? table as for temporal.worker; functions are mocks that run in the spec itself
---@field nexus_services? table as for temporal.worker; services made by nexus.service are mocks
---@field child_workflows? table<string, function> plays children: gets the arguments, returns or raises
---@field client? temporal.Client of a server whose time runs as ever; nil: a server of its own that skips time
---@field roots? string[] default: { "." }
---@field task_queue? string default: "test"
---@field namespace? string default: "default"
---@field db_filename? string nil: in memory
---@field time_skipping? boolean|temporal.TimeSkippingConfig each workflow has its own clock; nil: one for all
---@field search_attributes? table<string, temporal.SearchAttributeType> registered: name = type
---@field data_converter? temporal.DataConverter
---@field interceptors? (string|table)[]
---@field plugins? temporal.Plugin[]
---@field runtime? temporal.Runtime
---@field worker? temporal.WorkerOptions further options of the worker
---@field replay? boolean|"caches" false: no replay at the end; "caches": Replayer:check_caches too; nil: a replay

--- A client that is a view of another one: the workflows that are started with it skip time, each by its own
--- clock, on a server where that is switched on (`frontend.WorkflowTimeSkippingEnabled`).
---@param its_client temporal.Client
---@param config? temporal.TimeSkippingConfig of the workflows to come
---@return temporal.TimeSkipper
function testing.time_skipper(its_client, config)
  return time_skipping.skipper("testing.time_skipper", its_client, config)
end

--- Opens an environment: a server, a client and a worker.
---@param given temporal.TestEnvironmentOptions
---@return temporal.TestEnvironment
function testing.environment(given)
  local o = options.check("testing.environment", env_spec, given)
  local workflows, activities = with_mocks(o.workflows, o.activities, o.child_workflows)
  module_roots.extend(o.roots or { "." })
  local its_client, server = open_client(o)
  local skipper = time_skipping.skipper("testing.environment", its_client,
    type(o.time_skipping) == "table" and o.time_skipping or nil)
  local own_clocks = o.time_skipping ~= nil and o.time_skipping ~= false
  local self = setmetatable({
    server = server,
    skipper = skipper,
    own_clocks = own_clocks,
    handles = {},
    replay = replay_mode(o.replay),
    task_queue = o.task_queue or "test",
    client = own_clocks and skipper.client or its_client,
    own_client = its_client,
    stopped = 0,
    open = true,
  }, Environment)
  if server and not own_clocks then
    self.client.testing = self
  end
  local worker_options = { task_queue = self.task_queue, client = self.client,
    workflows = workflows, activities = activities, nexus_services = o.nexus_services, roots = o.roots or { "." } }
  for name, value in pairs(o.worker or {}) do
    worker_options[name] = value
  end
  self.worker = worker.new(worker_options):start()
  await_polls(self)
  return self
end

--- The options with the environment's task queue, unless they name another.
local function on_queue(self, where, opts)
  if opts ~= nil and type(opts) ~= "table" then
    error(("environment:%s: options must be a table, got %s"):format(where, type(opts)), 3)
  end
  local o = { task_queue = self.task_queue }
  for k, v in pairs(opts or {}) do
    o[k] = v
  end
  return o
end

--- Starts a workflow on the environment's task queue.
---@param name string|table
---@param opts? table options of client:start_workflow; task_queue is filled in
---@param ... any
---@return temporal.WorkflowHandle
function Environment:start_workflow(name, opts, ...)
  local handle = self.client:start_workflow(name, on_queue(self, "start_workflow", opts), ...)
  self.handles[#self.handles + 1] = handle
  return handle
end

--- Starts a workflow and waits for its result; time is skipped.
function Environment:execute_workflow(name, opts, ...)
  return self:start_workflow(name, opts, ...):result()
end

--- Whether time is skipped: not where the environment was made of a client, without `time_skipping`.
---@return boolean
function Environment:supports_time_skipping()
  return self.server ~= nil or self.own_clocks
end

--- Lets this much time pass for one workflow as fast as it can, and waits for it; without a duration, until the
--- run has ended.
---@param handle temporal.WorkflowHandle
---@param duration? temporal.Duration
---@return boolean # whether the time has passed; false: the workflow ended before
function Environment:fast_forward(handle, duration)
  return self.skipper:fast_forward(handle, duration)
end

--- What the server tells of the time of one workflow; nil when it never skipped any by itself.
---@param handle temporal.WorkflowHandle
---@return temporal.TimeSkippingInfo?
function Environment:get_time_skipping_info(handle)
  return self.skipper:get_time_skipping_info(handle)
end

--- Starts an activity without a workflow on the environment's task queue.
---@param activity string|table
---@param opts table options of client:start_activity; task_queue is filled in
---@param ... any
---@return temporal.ActivityHandle
function Environment:start_activity(activity, opts, ...)
  return self.client:start_activity(activity, on_queue(self, "start_activity", opts), ...)
end

--- Starts an activity without a workflow and waits for its result; time is skipped.
function Environment:execute_activity(activity, opts, ...)
  return self:start_activity(activity, opts, ...):result()
end

--- Lets time pass, skipping what nobody needs.
---@param duration number|string
function Environment:sleep(duration)
  local ns, message = options.duration_ns(duration)
  if not ns then
    error("environment:sleep: " .. message, 2)
  end
  if self.own_clocks then
    error("environment:sleep: each workflow has a clock of its own: use env:fast_forward(handle, duration)", 2)
  end
  if not self.server or self.stopped > 0 then
    core.worker_pause(self.worker.handle, ns)
    return
  end
  self.client:call("UnlockTimeSkippingWithSleep", { duration = options.duration_message(ns) }, 600 * 1000000000)
end

--- Seconds since the epoch on the environment's clock; with a handle, on that of the workflow.
---@param handle? temporal.WorkflowHandle
---@return number
function Environment:now(handle)
  local info = handle and time_skipping.info(handle)
  if info then
    return info.current_time
  elseif self.own_clocks and not handle then
    error("environment:now: each workflow has a clock of its own: name a handle", 2)
  elseif not self.server then
    return core.time_ns() / 1e9
  end
  return core.time_now(self.server) / 1e9
end

--- Used by handles: the clock runs free while this value lives.
function Environment:unlock_while_waiting()
  if self.stopped > 0 then
    return nil
  end
  core.time_unlock(self.server)
  return setmetatable({}, { __close = function() core.time_lock(self.server) end })
end

--- No time is skipped while this value lives (`local _ <close> = env:with_time_skipping_disabled()`): waiting for
--- results and env:sleep take as long as they take. Where each workflow has its own clock: those do not skip that
--- are started meanwhile.
---@return table
function Environment:with_time_skipping_disabled()
  if self.own_clocks then
    return self.skipper:with_time_skipping_disabled()
  end
  self.stopped = self.stopped + 1
  return setmetatable({}, { __close = function() self.stopped = self.stopped - 1 end })
end

--- The replayer of the environment's scripts, made when first needed.
local function replayer_of(self)
  self.replayer = self.replayer or replayer.of_worker(self.worker, self.client.namespace)
  return self.replayer
end

--- Replays the history of a handle against the environment's workflows; raises what does not fit.
---@param handle temporal.WorkflowHandle
function Environment:check_replay(handle)
  local result = replayer_of(self):replay_workflow(handle:history(), { raise_on_replay_failure = false })
  if result.replay_failure then
    error(tostring(result.replay_failure), 0)
  end
  return result
end

--- The histories of what came of the workflows that were started through the environment: their later and
--- earlier runs, and the children that run on its task queue.
local function descendants(self)
  -- The server of somebody's client may have more workflows than one would read.
  local query = not self.server and ("TaskQueue = '%s'"):format(self.task_queue:gsub("'", "''")) or nil
  local started, infos = {}, self.client:list_workflows(query)
  for _, handle in ipairs(self.handles) do
    started[handle.id] = true
  end
  return function()
    for info in infos do
      local root = info.root_id or info.id
      local child = root ~= info.id
      if started[root] and (not child or info.task_queue == self.task_queue) then
        return self.client:get_workflow_handle(info.id, info.run_id), child
      end
    end
  end
end

--- Replays everything; returns the first failure.
local function replay_all(self)
  local failure
  local function check(handle, optional)
    local ok, h = pcall(handle.history, handle)
    local result = ok and replayer_of(self):replay_workflow(h, { raise_on_replay_failure = false })
    local found = not ok and h or result.replay_failure
    if not found and self.replay == "caches" then
      found = replayer_of(self):check_caches(h)
    end
    if found and not (optional and found.type == "WorkflowNotRegisteredError") then
      failure = failure or tostring(found)
    end
  end
  for _, handle in ipairs(self.handles) do
    check(handle)
  end
  for handle, child in descendants(self) do
    check(handle, child)
  end
  return failure
end

--- Ends worker and server after replaying what was started, the runs that followed and their children.
--- Errors of the replay are raised.
function Environment:close()
  if not self.open then
    return
  end
  self.open = false
  local ok, failure = true, nil
  if self.replay and #self.handles > 0 then
    ok, failure = pcall(replay_all, self)
  end
  self.worker:shutdown(0)
  if self.server then
    self.own_client:close()
    core.server_close(self.server)
    self.server = nil
  end
  if not ok or failure then
    error(failure, 0)
  end
end

function Environment:__close(err)
  if err ~= nil then
    self.replay = false -- the spec has failed already; its own error is the one to show
  end
  self:close()
end

--- Replays one history (JSON text) against workflow modules: event count, or nil and the report.
---@param workflows table as for temporal.worker
---@param text string
---@param roots? string[]
---@return integer?, string?
function testing.replay(workflows, text, roots)
  local result = replayer.new({ workflows = workflows, roots = roots or { "." } }):replay_workflow(
    history.from_json(nil, text), { raise_on_replay_failure = false })
  if result.replay_failure then
    return nil, result.replay_failure.text
  end
  return result.event_count
end

-- Assertions -----------------------------------------------------------------------------------

local function deep_equal(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return a == b
  end
  for k, v in pairs(a) do
    if not deep_equal(v, b[k]) then
      return false
    end
  end
  for k in pairs(b) do
    if a[k] == nil then
      return false
    end
  end
  return true
end

local function show(value)
  local ok, text = pcall(core.json_encode, value)
  return ok and text or tostring(value)
end

local Check = {}
Check.__index = Check

local function fail(message)
  error(message, 3)
end

--- The workflow ended with these results.
function Check.completed_with(self, ...)
  local want, got = table.pack(...), table.pack(pcall(self.handle.result, self.handle))
  if not got[1] then
    fail("the workflow did not complete: " .. tostring(got[2]))
  end
  for i = 1, want.n do
    if not deep_equal(want[i], got[i + 1]) then
      fail(("result %d is %s, expected %s"):format(i, show(got[i + 1]), show(want[i])))
    end
  end
end

--- The workflow failed and the failure, or a cause of it, has this type.
function Check.failed_with(self, type_name)
  local got = table.pack(pcall(self.handle.result, self.handle))
  if got[1] then
    fail("the workflow completed with " .. show(got[2]) .. ", expected the failure " .. type_name)
  elseif not core.is_failure(got[2], type_name) then
    fail(("the workflow failed with %s, expected the failure %s"):format(tostring(got[2]), type_name))
  end
end

local function scheduled(handle, type_name)
  local count, names = 0, {}
  for _, event in ipairs(handle:fetch_history()) do
    local a = event.activity_task_scheduled_event_attributes
    if a then
      names[#names + 1] = a.activity_type.name
      count = count + (a.activity_type.name == type_name and 1 or 0)
    end
  end
  return count, table.concat(names, ", ")
end

--- The workflow scheduled an activity of this type (`times` times, when given).
function Check.has_activity(self, type_name, times)
  local count, names = scheduled(self.handle, type_name)
  if times and count ~= times or count == 0 then
    names = names == "" and "none" or names
    fail(("activity '%s' was scheduled %d times; scheduled: %s"):format(type_name, count, names))
  end
end

--- The workflow scheduled no activity of this type.
function Check.has_no_activity(self, type_name)
  local count, names = scheduled(self.handle, type_name)
  if count ~= 0 then
    fail(("activity '%s' was scheduled %d times; scheduled: %s"):format(type_name, count, names))
  end
end

--- `assert.workflow(handle).completed_with(...)` in busted; `testing.check(handle)` elsewhere.
---@param handle temporal.WorkflowHandle
function testing.check(handle)
  local self = { handle = handle }
  return setmetatable({}, {
    __index = function(_, name)
      local method = Check[name] or error("no workflow assertion named " .. tostring(name), 2)
      return function(...)
        return method(self, ...)
      end
    end,
  })
end

local has_luassert, luassert = pcall(require, "luassert")
if has_luassert then
  rawset(luassert, "workflow", testing.check)
end

--- An environment that plays worker and server for single activities: see temporal.ActivityEnvironment.
testing.activity_environment = activity_environment.new
--- What activity.info() gives there, to be changed and given as its `info`.
testing.default_activity_info = activity_environment.default_info

return testing
