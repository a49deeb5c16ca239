--- Nexus services as the host runs them: a handler for each operation, which reads the request, calls what the user
--- defined inside the interceptors' hooks, and answers. Calling the module loads the services of modules.
local core = require "temporal.core"
local discovery = require "temporal.internal.discovery"
local errors = require "temporal.internal.nexus_errors"
local interceptors = require "temporal.internal.interceptors"
local options = require "temporal.internal.options"
local token = require "temporal.internal.nexus_token"

--- Metatables of what temporal.nexus defines.
local services = {
  Service = { __name = "temporal.NexusService" },
  Operation = { __name = "temporal.NexusOperation" },
}

-- What handlers return -------------------------------------------------------------------------------

---@class temporal.NexusAsyncResult
---@field token string
local Async = { __name = "temporal.NexusAsyncResult" }
local Handle = { __name = "temporal.NexusWorkflowHandle" }
Handle.__index = Handle

function services.async(operation_token)
  return setmetatable({ token = operation_token }, Async)
end

function services.is_async(value)
  return getmetatable(value) == Async
end

function services.handle(namespace, workflow_id, run_id)
  return setmetatable({ namespace = namespace, workflow_id = workflow_id, run_id = run_id }, Handle)
end

--- The token of the operation that the workflow stands behind.
---@return string
function Handle:to_token()
  return token.of_workflow(self.namespace, self.workflow_id)
end

function services.is_handle(value)
  return getmetatable(value) == Handle
end

---@class temporal.NexusActivityHandle
---@field namespace string
---@field activity_id string
---@field run_id? string
local ActivityHandle = { __name = "temporal.NexusActivityHandle" }
ActivityHandle.__index = ActivityHandle

function services.activity_handle(namespace, activity_id, run_id)
  return setmetatable({ namespace = namespace, activity_id = activity_id, run_id = run_id }, ActivityHandle)
end

--- The token of the operation that the activity stands behind.
---@return string
function ActivityHandle:to_token()
  return token.of_activity(self.namespace, self.activity_id, self.run_id)
end

--- Whether the value stands for what goes on behind an operation.
function services.is_backing(value)
  local mt = getmetatable(value)
  return mt == Handle or mt == ActivityHandle or mt == Async
end

--- For messages: the name of a metatable where the value has one.
function services.type_name(value)
  local mt = getmetatable(value)
  return type(mt) == "table" and mt.__name or type(value)
end

-- Requests -------------------------------------------------------------------------------------------

-- Hooks of `client` for the client of the request that is answered; a state answers one at a time, or one inside
-- another.
local current_client_hooks

function services.client_hooks()
  return current_client_hooks
end

local function decode_input()
  local ok, value = pcall(core.nexus_input)
  if not ok then
    error(errors.handler("BAD_REQUEST", "the input cannot be decoded: " .. tostring(value), false), 0)
  end
  return value
end

local function start(operation, hooks, info)
  return interceptors.call(hooks, "execute_nexus_operation_start", {
    service = info.service, operation = info.operation, headers = info.headers, request_id = info.request_id,
    input = decode_input(),
  }, function(input)
    return operation.start(input.input)
  end)
end

local function cancel(operation, hooks, info)
  interceptors.call(hooks, "execute_nexus_operation_cancel", {
    service = info.service, operation = info.operation, headers = info.headers, token = info.operation_token,
  }, function(input)
    if not operation.cancel then
      error(errors.handler("NOT_IMPLEMENTED", ("operation '%s' of service '%s' cannot be cancelled"):format(
        info.operation, info.service)), 0)
    end
    operation.cancel(input.token)
  end)
end

local function answer(starts, result)
  if not starts then
    core.nexus_cancel_taken()
  elseif services.is_backing(result) then
    core.nexus_started(result.token or result:to_token())
  else
    core.nexus_complete(result)
  end
end

local function handler(operation, hooks, client_hooks)
  return function()
    local before = current_client_hooks
    local _ <close> = setmetatable({}, { __close = function() current_client_hooks = before end })
    current_client_hooks = client_hooks
    local info = core.nexus_info()
    local starts = info.operation_token == nil
    local ok, result = xpcall(starts and start or cancel, errors.describe, operation, hooks, info)
    if ok then
      ok, result = pcall(answer, starts, result)
    end
    if not ok then
      errors.tell(result, starts)
    end
  end
end

-- Lists ----------------------------------------------------------------------------------------------

--- The handlers of services, in an order that is the same in every state; `entries` are interceptors.
---@param list temporal.NexusService[]
---@param entries temporal.InterceptorEntry[]
---@return { service: string, operation: string, run: function }[]
function services.handlers(list, entries)
  local by_name, handlers = {}, {}
  for _, service in ipairs(list) do
    if by_name[service.name] then
      error(("service '%s' is given twice"):format(service.name), 0)
    end
    by_name[service.name] = service
  end
  local hooks = next(by_name) and interceptors.hooks(entries, "nexus")
  local client_hooks = next(by_name) and interceptors.hooks(entries, "client")
  for _, service in ipairs(options.sorted_keys(by_name)) do
    local operations = by_name[service].operations
    for _, name in ipairs(options.sorted_keys(operations)) do
      handlers[#handlers + 1] = {
        service = service, operation = name, run = handler(operations[name], hooks, client_hooks),
      }
    end
  end
  return handlers
end

function services.is_service(value)
  return getmetatable(value) == services.Service
end

--- A module returns a service or a list of services.
local function collect(list, module, roots)
  local missing = discovery.missing(module, roots)
  if missing then
    error("nexus_services: " .. missing, 0)
  end
  local value = discovery.load("nexus_services", module)
  local found = services.is_service(value) and { value } or value
  if type(found) ~= "table" or #found == 0 then
    error(("module '%s' returns no Nexus service: return nexus.service(...), or a list of them"):format(module), 0)
  end
  for i, service in ipairs(found) do
    if not services.is_service(service) then
      error(("module '%s': entry %d of what it returns is no Nexus service, it is a %s"):format(
        module, i, type(service)), 0)
    end
    list[#list + 1] = service
  end
end

--- `plan` is JSON: the interceptors whose hooks stand around each handler, roots.
return setmetatable(services, { __call = function(_, modules, plan)
  plan = core.json_decode(plan)
  local list = {}
  for _, module in ipairs(modules) do
    collect(list, module, plan.roots)
  end
  return services.handlers(list, plan.interceptors)
end })
