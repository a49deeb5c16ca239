--- temporal.activity: definitions, and the context of the activity that runs.
local core = require "temporal.internal.activity_core"
local interceptors = require "temporal.internal.interceptors"
local logger = require "temporal.internal.logger"
local model = require "temporal.model"
local options = require "temporal.internal.options"

local activity = {}

---@class temporal.ActivityDefinition
---@field name string
---@field run function
---@field kind? string what runs it: "thread", "coroutine" or "process"
local Definition = { __name = "temporal.ActivityDefinition" }
Definition.__index = Definition

function Definition:__call(...)
  return self.run(...)
end

local spec = {
  start_to_close_timeout = { kind = "any" },
  schedule_to_close_timeout = { kind = "any" },
  schedule_to_start_timeout = { kind = "any" },
  heartbeat_timeout = { kind = "any" },
  retry_policy = { kind = "table" },
  task_queue = { kind = "string" },
  args = { kind = "table" },
  result = { kind = "any" },
  kind = { kind = "enum", values = { "thread", "coroutine", "process" }, prefix = "" },
}

local dynamic_spec = {
  dynamic = { kind = "boolean", required = true },
  run = { kind = "function", required = true },
  kind = spec.kind,
}

--- activity.define { dynamic = true, run = fn }: takes every type that no other takes; fn gets the type,
--- then the arguments.
local function define_dynamic(given)
  local checked = options.check("activity.define", dynamic_spec, given)
  if not checked.dynamic then
    error("activity.define: a table is for dynamic = true; else call define(name, fn, options)", 3)
  end
  local function run(...)
    return checked.run(activity.info().activity_type, ...)
  end
  return setmetatable({ name = "", run = run, kind = checked.kind }, Definition)
end

--- Defines an activity. Options become the defaults of the proxies that workflows get; `kind` says what runs it: a
--- thread of the worker's pool, a coroutine on its event loop, or a child process.
---@param name string
---@param run function
---@param opts? table
---@return temporal.ActivityDefinition
---@overload fun(dynamic: { dynamic: true, run: fun(type: string, ...): any ... }): temporal.ActivityDefinition
function activity.define(name, run, opts)
  if type(name) == "table" then
    return define_dynamic(name)
  end
  if type(name) ~= "string" or name == "" then
    error("activity.define: the name must be a non-empty string", 2)
  elseif type(run) ~= "function" then
    error(("activity.define: '%s' wants a function, got %s"):format(name, type(run)), 2)
  end
  local o = options.check("activity.define", spec, opts)
  local ok, bound = pcall(model.bind, ("activity '%s'"):format(name), run, o.args, o.result)
  if not ok then
    error(bound, 2)
  end
  return setmetatable({
    name = name, run = bound, options = opts, kind = o.kind, method = run, args = o.args, result = o.result,
  }, Definition)
end

---@class temporal.ActivityObject
---@field name string
---@field self table
---@field activities table<string, temporal.ActivityDefinition> by type
local Object = { __name = "temporal.ActivityObject" }

function Object:__index(key)
  return self.activities[self.name .. "." .. tostring(key)]
end

local function methods_of(object)
  local methods, class = {}, object
  for _ = 1, 16 do -- own methods first, then those of the classes above
    for key, value in pairs(class) do
      if type(key) == "string" and key:sub(1, 1) ~= "_" and methods[key] == nil then
        methods[key] = value
      end
    end
    local meta = getmetatable(class)
    class = type(meta) == "table" and rawget(meta, "__index") or nil
    if type(class) ~= "table" then
      break
    end
  end
  return methods
end

--- Makes activities of an object's methods: `object.charge` becomes the activity "<name>.charge", called with the
--- object first. Names that begin with "_" are left out. `setup(self, config)` and `teardown(self)` are called once
--- in each state that runs activities of the object: what they put into it is shared by the activities of that
--- state, and by no others.
---@param name string
---@param object table methods are functions, or definitions where they have options
---@return temporal.ActivityObject
function activity.object(name, object)
  if type(name) ~= "string" or name == "" then
    error("activity.object: the name must be a non-empty string", 2)
  elseif type(object) ~= "table" then
    error(("activity.object: '%s' wants a table with methods, got %s"):format(name, type(object)), 2)
  end
  local activities, methods, any = {}, methods_of(object), false
  for _, hook in ipairs { "setup", "teardown" } do
    if methods[hook] ~= nil and type(methods[hook]) ~= "function" then
      error(("activity.object: %s of '%s' must be a function, got %s"):format(hook, name, type(methods[hook])), 2)
    end
  end
  for key, value in pairs(methods) do
    local given = getmetatable(value) == Definition and value or { method = value }
    local method = given.method
    if type(method) == "function" and key ~= "setup" and key ~= "teardown" then
      local full = name .. "." .. key
      local function run(...)
        return method(object, ...)
      end
      activities[full] = setmetatable({
        name = full, options = given.options, kind = given.kind,
        run = model.bind(("activity '%s'"):format(full), run, given.args, given.result),
      }, Definition)
      any = true
    end
  end
  if not any then
    error(("activity.object: '%s' has no methods"):format(name), 2)
  end
  return setmetatable({
    name = name, self = object, activities = activities, setup = methods.setup, teardown = methods.teardown,
  }, Object)
end

--- Whether `value` was made by activity.object.
function activity.is_object(value)
  return getmetatable(value) == Object
end

--- Whether `value` was made by activity.define.
function activity.is_definition(value)
  return getmetatable(value) == Definition
end

local function context(name)
  local info = core.activity_info()
  if not info then
    error(("activity.%s can only be used inside a running activity"):format(name), 3)
  end
  return info
end

--- Whether the caller is inside a running activity.
---@return boolean
function activity.in_activity()
  return core.activity_info() ~= nil
end

--- Facts of the running activity: activity_id, activity_type, attempt, workflow_id, workflow_run_id, workflow_type
--- (without a workflow these three are nil, and there is activity_run_id), namespace, task_queue, task_token,
--- retry_policy, priority, in_workflow, is_local, headers, times (seconds since the epoch), timeouts (seconds).
---@return table
function activity.info()
  local info = context "info"
  return interceptors.in_activity("info", {}, function() return info end)
end

local function raise_if_cancelled(reasons)
  if reasons ~= 0 and core.activity_shield(0) == 0 then
    error(core.make_failure {
      kind = "CancelledError", type = "CancelledError", message = core.cancel_text(reasons),
    }, 0)
  end
end

--- Raises CancelledError when the activity should stop.
function activity.check_cancelled()
  context "check_cancelled"
  raise_if_cancelled(core.activity_cancel_reasons())
end

--- Waits, in a coroutine activity, for something that calls back: `start(done)` begins it and may return a function
--- that gives it up; what `done(...)` is called with is returned. A cancellation gives it up and raises CancelledError.
---@param start fun(done: fun(...)): function?
---@return any ...
function activity.await(start)
  context "await"
  if type(start) ~= "function" then
    error("activity.await: it wants a function that begins what is waited for, got " .. type(start), 2)
  end
  local parker, results = core.activity_parker(), nil
  local give_up = start(function(...)
    results = results or table.pack(...)
    core.activity_unpark(parker)
  end)
  while not results do
    local ok, problem = pcall(activity.check_cancelled)
    if not ok then
      if give_up then
        give_up()
      end
      error(problem, 0)
    end
    core.activity_park()
  end
  return table.unpack(results, 1, results.n)
end

--- Reports progress; the details are given to the next attempt. Raises CancelledError when the
--- activity should stop.
---@param ... any
function activity.heartbeat(...)
  context "heartbeat"
  interceptors.in_activity("heartbeat", { details = table.pack(...) }, function(input)
    local details = input.details
    raise_if_cancelled(core.activity_heartbeat(table.unpack(details, 1, math.max(details.n or 0, #details))))
  end)
end

--- The details of the last heartbeat of the previous attempt.
---@return any ...
function activity.heartbeat_details()
  context "heartbeat_details"
  return core.activity_heartbeat_details()
end

---@return boolean
function activity.is_cancelled()
  context "is_cancelled"
  return core.activity_cancel_reasons() ~= 0
end

---@class temporal.ActivityCancellationDetails
---@field cancel_requested boolean by the workflow
---@field not_found boolean the server does not know the task any more
---@field paused boolean
---@field reset boolean
---@field timed_out boolean
---@field worker_shutdown boolean the worker's grace is over

--- Why the activity should stop; nil while it should not.
---@return temporal.ActivityCancellationDetails?
function activity.cancellation_details()
  context "cancellation_details"
  local set = core.activity_cancel_reasons()
  if set == 0 then
    return nil
  end
  local details = {}
  for name, bit in pairs(core.reasons) do
    details[name] = set & bit ~= 0
  end
  return details
end

local function span_ns(where, time)
  local ns, message = options.duration_ns(time)
  if not ns then
    error(("activity.%s: %s"):format(where, message), 3)
  end
  return ns
end

--- Waits until the activity is cancelled or the time is over; returns whether it was cancelled.
---@param timeout? number|string nil: wait for ever
---@return boolean
function activity.wait_for_cancelled(timeout)
  context "wait_for_cancelled"
  return core.activity_wait_cancelled(timeout and span_ns("wait_for_cancelled", timeout)) ~= 0
end

--- Whether the worker has begun to shut down; the activity has the rest of its grace to end.
---@return boolean
function activity.is_worker_shutdown()
  context "is_worker_shutdown"
  return core.activity_wait_shutdown(0)
end

--- Waits until the worker begins to shut down or the time is over; returns whether it has.
---@param timeout? number|string nil: wait for ever
---@return boolean
function activity.wait_for_worker_shutdown(timeout)
  context "wait_for_worker_shutdown"
  return core.activity_wait_shutdown(timeout and span_ns("wait_for_worker_shutdown", timeout))
end

--- Sleeps; a cancellation ends the sleep with CancelledError.
---@param time number|string
function activity.sleep(time)
  context "sleep"
  local ns = span_ns("sleep", time)
  if core.activity_shield(0) > 0 then
    core.activity_sleep(ns)
  else
    raise_if_cancelled(core.activity_wait_cancelled(ns))
  end
end

--- Calls fn(...) and returns what it returns; until then no call of this module raises CancelledError.
--- A cancellation that came meanwhile is raised by the next heartbeat or sleep after it.
---@param fn function
---@param ... any
---@return any ...
function activity.shield(fn, ...)
  context "shield"
  core.activity_shield(1)
  local results = table.pack(pcall(fn, ...))
  core.activity_shield(-1)
  if not results[1] then
    error(results[2], 0)
  end
  return table.unpack(results, 2, results.n)
end

---@class temporal.activity.PayloadConverter
local PayloadConverter = { __name = "temporal.activity.PayloadConverter" }
PayloadConverter.__index = PayloadConverter

--- The value as a payload, { metadata = { encoding = text, ... }, data = text }.
---@param value any
---@return table
function PayloadConverter:to_payload(value) -- luacheck: ignore self
  context "payload_converter"
  return core.activity_to_payload(value)
end

---@param payload table
---@return any
function PayloadConverter:from_payload(payload) -- luacheck: ignore self
  context "payload_converter"
  return core.activity_from_payload(payload)
end

--- What converts the activity's arguments and results, with the payload converters of the worker's client.
---@return temporal.activity.PayloadConverter
function activity.payload_converter()
  context "payload_converter"
  return PayloadConverter
end

--- A client with the connection of the worker that runs this activity. It lives as long as the activity
--- may run; make it anew in each activity.
---@return temporal.Client
function activity.client()
  context "client"
  if core.played_client then
    return core.played_client
  end
  return require "temporal.client".of_connection(core.activity_client())
end

--- Leaves the activity open: it is completed later, by its token or its ids, from anywhere. Must be
--- the last thing the activity does: `return activity.complete_async()`.
function activity.complete_async()
  context "complete_async"
  core.activity_complete_async()
end

--- Log lines that carry the activity's ids: `activity.log.info("charged", { amount = 12 })`.
activity.log = logger.new("activity.log", function(level, message, fields)
  core.activity_log(level, message, fields)
end)
activity.logger = activity.log

--- The meter of the worker's runtime, with the attributes namespace, task_queue and activity_type.
---@return temporal.MetricMeter
function activity.metric_meter()
  context "metric_meter"
  return core.activity_meter()
end

return activity
