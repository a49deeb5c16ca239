--- temporal.nexus: Nexus services and their operations, for workers, and the context of the request that is
--- answered. What workflows call is `workflow.nexus_client`.
local core = require "temporal.core"
local errors = require "temporal.internal.nexus_errors"
local logger = require "temporal.internal.logger"
local model = require "temporal.model"
local nexus_client = require "temporal.internal.nexus_client"
local options = require "temporal.internal.options"
local services = require "temporal.internal.nexus_services"
local token = require "temporal.internal.nexus_token"

local nexus = {}

-- Definitions ----------------------------------------------------------------------------------------

---@class temporal.NexusOperation
---@field start fun(input: any): any
---@field cancel? fun(token: string)
local Operation = services.Operation

local bind_spec = { input = { kind = "any" }, result = { kind = "any" } }

local function check_function(where, fn, level)
  if type(fn) ~= "function" then
    error(("%s wants a function, got %s"):format(where, type(fn)), level + 1)
  end
end

--- The function with input and result checked by the models of the options.
local function bound(where, fn, opts, level)
  check_function(where, fn, level + 1)
  local o = options.check(where, bind_spec, opts, level + 1)
  local ok, checked = pcall(model.bind, where, fn, o.input ~= nil and { o.input } or nil, o.result)
  if not ok then
    error(checked, level + 1)
  end
  return checked
end

--- An operation that is over when its function returns: what that returns is the result. It may use
--- nexus.client() to signal, query or update workflows.
---@param fn fun(input: any): any
---@param opts? { input?: any, result?: any } models
---@return temporal.NexusOperation
function nexus.sync_operation(fn, opts)
  local run = bound("nexus.sync_operation", fn, opts, 2)
  return setmetatable({ start = function(input)
    local result = run(input)
    if services.is_backing(result) then
      error("a sync_operation returns its result; what goes on is a workflow_run_operation, a temporal_operation or "
        .. "an operation of its own", 0)
    end
    return result
  end }, Operation)
end

--- A client of the namespace of what a token names.
local function client_of(named, message)
  if not named then
    error(errors.handler("NOT_FOUND", message), 0)
  end
  local client = nexus.client()
  if named.namespace ~= client.namespace then
    error(errors.handler("NOT_FOUND", ("the operation token is of namespace '%s', this worker's is '%s'"):format(
      named.namespace, client.namespace)), 0)
  end
  return client
end

--- Asks for the end of the workflow that the token names.
local function cancel_workflow(text)
  local workflow, message = token.workflow(text)
  client_of(workflow, message):get_workflow_handle(workflow.workflow_id):cancel()
end

--- Asks for the end of what stands behind the operation.
local function cancel_backing(text)
  if not token.names_activity(text) then
    return cancel_workflow(text)
  end
  local activity, message = token.activity(text)
  client_of(activity, message):get_activity_handle(activity.activity_id, activity.run_id):cancel()
end

--- An operation that a workflow stands behind: its function starts it with nexus.start_workflow and returns
--- what that returned. The end of the workflow is the operation's, its cancellation cancels the workflow.
---@param fn fun(input: any): temporal.NexusWorkflowHandle
---@param opts? { input?: any } a model
---@return temporal.NexusOperation
function nexus.workflow_run_operation(fn, opts)
  local run = bound("nexus.workflow_run_operation", fn, opts, 2)
  return setmetatable({ start = function(input)
    local handle = run(input)
    if not services.is_handle(handle) then
      error(("a workflow_run_operation returns what nexus.start_workflow returned, got a %s"):format(
        services.type_name(handle)), 0)
    end
    return handle
  end, cancel = cancel_workflow }, Operation)
end

--- An operation that decides when it is asked: its function returns the result, or what nexus.start_workflow or
--- nexus.start_activity returned when a workflow or an activity stands behind it.
---@param fn fun(input: any): any
---@param opts? { input?: any } a model
---@return temporal.NexusOperation
function nexus.temporal_operation(fn, opts)
  local run = bound("nexus.temporal_operation", fn, opts, 2)
  return setmetatable({ start = run, cancel = cancel_backing }, Operation)
end

local operation_spec = {
  start = { kind = "function", required = true }, cancel = { kind = "function" },
  input = { kind = "any" }, result = { kind = "any" },
}

--- An operation of its own kind: `start(input)` returns the result, or nexus.async_result(token) when it goes on
--- (its end has to reach the callback of nexus.info()), or what nexus.start_workflow or nexus.start_activity returned.
--- `cancel(token)` is asked for its cancellation.
---@param given { start: function, cancel?: function, input?: any, result?: any }
---@return temporal.NexusOperation
function nexus.operation(given)
  local where = "nexus.operation"
  local o = options.check(where, operation_spec, given)
  local run = bound(where, o.start, { input = o.input, result = o.result }, 2)
  return setmetatable({ start = run, cancel = o.cancel }, Operation)
end

--- What `start` of an operation returns when the operation goes on.
---@param operation_token string names it in a cancellation
---@return temporal.NexusAsyncResult
function nexus.async_result(operation_token)
  if type(operation_token) ~= "string" or operation_token == "" then
    error("nexus.async_result: the token must be a string that is not empty", 2)
  end
  return services.async(operation_token)
end

---@class temporal.NexusService
---@field name string
---@field operations table<string, temporal.NexusOperation>

--- A service of operations, for the option nexus_services of a worker. A plain function is a sync_operation.
---@param name string
---@param operations table<string, temporal.NexusOperation|function>
---@return temporal.NexusService
function nexus.service(name, operations)
  if type(name) ~= "string" or name == "" then
    error("nexus.service: the name must be a non-empty string", 2)
  elseif type(operations) ~= "table" or next(operations) == nil then
    error(("nexus.service: '%s' wants a table of operations by their names"):format(name), 2)
  end
  local checked = {}
  for key, value in pairs(operations) do
    if type(key) ~= "string" or key == "" then
      error(("nexus.service: '%s': the names of operations are non-empty strings, got a %s"):format(name, type(key)), 2)
    elseif type(value) == "function" then
      value = nexus.sync_operation(value)
    elseif getmetatable(value) ~= Operation then
      error(("nexus.service: operation '%s' of '%s' must be made by nexus.sync_operation, workflow_run_operation, "
        .. "temporal_operation or operation, got a %s"):format(key, name, type(value)), 2)
    end
    checked[key] = value
  end
  return setmetatable({ name = name, operations = checked }, services.Service)
end

-- Errors ---------------------------------------------------------------------------------------------

--- An error that refuses the request: `type` ("not_found", "bad_request", ...) says whether it is made again,
--- unless `retryable` does; `message`, `cause`.
nexus.handler_error = errors.new_handler_error

--- An error that ends the operation: `state` is "failed" or "canceled"; `message`, `type`, `details`, `cause`.
nexus.operation_error = errors.new_operation_error

-- Context --------------------------------------------------------------------------------------------

local function context(name, level)
  local info = core.nexus_info()
  if not info then
    error(("nexus.%s can only be used while a Nexus request is answered"):format(name), level or 3)
  end
  return info
end

--- Whether the caller answers a Nexus request.
---@return boolean
function nexus.in_operation()
  return core.nexus_info() ~= nil
end

---@class temporal.NexusInfo
---@field endpoint string
---@field namespace string of the worker
---@field task_queue string of the worker
---@field service string
---@field operation string
---@field headers table<string, string> their names are in lower case
---@field deadline? number seconds since the epoch: when the server gives the request up
---@field request_id? string of a start: the same when it is made again
---@field callback_url? string of a start
---@field callback_headers? table<string, string> of a start
---@field links? { url: string, type: string }[] of a start: to the caller
---@field operation_token? string of a cancellation

--- Facts of the request.
---@return temporal.NexusInfo
function nexus.info()
  return context "info"
end

--- A client with the worker's connection. What it starts and signals is linked with the caller; its calls end with
--- the request's time. It lives as long as the request.
---@return temporal.Client
function nexus.client()
  context "client"
  return nexus_client.open(services.client_hooks())
end

---@class temporal.NexusWorkflowHandle
---@field namespace string
---@field workflow_id string
---@field run_id? string

--- Starts what stands behind the operation. `start` is the client's method. Returns the client and its handle.
local function start_backing(where, start, refused, what, opts, ...)
  local info = context(where, 4)
  local o = options.copy(opts)
  local problem = info.operation_token and "this request asks for a cancellation, it starts nothing"
    or (type(o.id) ~= "string" or o.id == "")
      and "option 'id' is required: a request that is made again has to find what it started"
    or o.request_id and "option 'request_id' is refused: it is the request's own"
  for name, why in pairs(refused) do
    problem = problem or o[name] and ("option '%s' is refused: %s"):format(name, why)
  end
  if problem then
    error(("nexus.%s: %s"):format(where, problem), 3)
  end
  o.task_queue = o.task_queue or info.task_queue
  local client = nexus_client.open(services.client_hooks(), true)
  local ok, handle = pcall(client[start], client, what, o, ...)
  if not ok then -- what is wrong with the options is the caller's
    local text = type(handle) == "string" and "nexus." .. handle:gsub("^[^:]+:%d+: ", "")
    error(text or handle, text and 3 or 0)
  end
  return client, handle
end

local refused_of_workflows = {
  start_signal = "such a start takes no callback, the operation would never end. Send the signal by nexus.client()",
}

--- Starts the workflow that stands behind the operation: its end is told to the caller. Options and arguments as
--- for client:start_workflow; `id` is required, `task_queue` is the worker's when it is left out. A request that
--- is made again finds what it started.
---@param workflow string|table type name or definition
---@param opts table
---@param ... any
---@return temporal.NexusWorkflowHandle
function nexus.start_workflow(workflow, opts, ...)
  local client, handle = start_backing("start_workflow", "start_workflow", refused_of_workflows, workflow, opts, ...)
  return services.handle(client.namespace, handle.id, handle.first_execution_run_id)
end

--- Starts the activity that stands behind the operation, without a workflow: its end is told to the caller, a
--- cancellation of the operation asks for the activity's. Options and arguments as for client:start_activity; `id` is
--- required, `task_queue` is the worker's when it is left out. A request that is made again finds what it started.
---@param activity string|table type name or definition
---@param opts table
---@param ... any
---@return temporal.NexusActivityHandle
function nexus.start_activity(activity, opts, ...)
  local client, handle = start_backing("start_activity", "start_activity", {}, activity, opts, ...)
  return services.activity_handle(client.namespace, handle.id, handle.run_id)
end

--- The workflow that an operation token names; raises a handler error of type NOT_FOUND when it names none.
---@param operation_token string
---@return temporal.NexusWorkflowHandle
function nexus.workflow_of_token(operation_token)
  local workflow, message = token.workflow(operation_token)
  if not workflow then
    error(errors.handler("NOT_FOUND", message), 0)
  end
  return services.handle(workflow.namespace, workflow.workflow_id)
end

--- The activity that an operation token names; raises a handler error of type NOT_FOUND when it names none.
---@param operation_token string
---@return temporal.NexusActivityHandle
function nexus.activity_of_token(operation_token)
  local activity, message = token.activity(operation_token)
  if not activity then
    error(errors.handler("NOT_FOUND", message), 0)
  end
  return services.activity_handle(activity.namespace, activity.activity_id, activity.run_id)
end

--- A link that goes with the answer, to what the handler made.
---@param link { url: string, type: string }
function nexus.add_link(link)
  context "add_link"
  local o = options.check("nexus.add_link", {
    url = { kind = "string", required = true }, type = { kind = "string", required = true },
  }, link)
  core.nexus_add_link(o.url, o.type)
end

local function span_ns(where, time)
  local ns, message = options.duration_ns(time)
  if not ns then
    error(("nexus.%s: %s"):format(where, message), 3)
  end
  return ns
end

--- Whether the request should be answered no more: its time is over, or the grace of the worker's shutdown is.
---@return boolean
function nexus.is_cancelled()
  context "is_cancelled"
  return core.nexus_cancel_reason() ~= nil
end

--- Why: "timed_out" or "worker_shutdown"; nil while it should.
---@return string?
function nexus.cancellation_reason()
  context "cancellation_reason"
  return core.nexus_cancel_reason()
end

--- Waits until then or until the time is over; returns whether it has come.
---@param timeout? number|string nil: as long as it takes
---@return boolean
function nexus.wait_for_cancelled(timeout)
  context "wait_for_cancelled"
  return core.nexus_wait_cancelled(timeout and span_ns("wait_for_cancelled", timeout)) ~= nil
end

--- Sleeps; a request that should be answered no more ends the sleep with CancelledError.
---@param time number|string
function nexus.sleep(time)
  context "sleep"
  local reason = core.nexus_wait_cancelled(span_ns("sleep", time))
  if reason then
    error(core.make_failure {
      kind = "CancelledError", type = "CancelledError",
      message = reason == "timed_out" and "the time of the Nexus request is over" or "the worker is shutting down",
    }, 0)
  end
end

--- Whether the worker has begun to shut down.
---@return boolean
function nexus.is_worker_shutdown()
  context "is_worker_shutdown"
  return core.nexus_wait_shutdown(0)
end

--- Waits until the worker begins to shut down or the time is over; returns whether it has.
---@param timeout? number|string nil: wait for ever
---@return boolean
function nexus.wait_for_worker_shutdown(timeout)
  context "wait_for_worker_shutdown"
  return core.nexus_wait_shutdown(timeout and span_ns("wait_for_worker_shutdown", timeout))
end

--- Log lines that carry service, operation, endpoint, namespace and task queue:
--- `nexus.log.info("charged", { amount = 12 })`.
nexus.log = logger.new("nexus.log", function(level, message, fields)
  core.nexus_log(level, message, fields)
end)
nexus.logger = nexus.log

--- The meter of the worker's runtime, with the attributes namespace, task_queue, nexus_service and nexus_operation.
---@return temporal.MetricMeter
function nexus.metric_meter()
  context "metric_meter"
  return core.nexus_meter()
end

return nexus
