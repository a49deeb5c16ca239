--- Nexus operations without a workflow in the client: start, result, description, cancellation, lists.
local core = require "temporal.core"
local data_of = require "temporal.internal.data_of"
local interceptors = require "temporal.internal.interceptors"
local listing = require "temporal.internal.listing"
local options = require "temporal.internal.options"
local search_attributes = require "temporal.internal.search_attributes"
local start_options = require "temporal.internal.start_options"

local client_nexus = {}

local duration, string_kind, boolean = { kind = "duration" }, { kind = "string" }, { kind = "boolean" }
local table_kind = { kind = "table" }

local reuse_policy = {
  kind = "enum",
  prefix = "NEXUS_OPERATION_ID_REUSE_POLICY_",
  values = { "allow_duplicate", "allow_duplicate_failed_only", "reject_duplicate" },
}
local conflict_policy = {
  kind = "enum",
  prefix = "NEXUS_OPERATION_ID_CONFLICT_POLICY_",
  values = { "fail", "use_existing" },
}

local target_spec = {
  endpoint = { kind = "string", required = true }, service = { kind = "string", required = true },
}

--- The fields of temporal.StartNexusOperationOptions.
local start_spec = {
  id = string_kind,
  schedule_to_close_timeout = duration,
  schedule_to_start_timeout = duration,
  start_to_close_timeout = duration,
  id_reuse_policy = reuse_policy,
  id_conflict_policy = conflict_policy,
  search_attributes = table_kind,
  summary = string_kind,
  headers = table_kind,
  request_id = string_kind,
  rpc_timeout = duration,
}

local second_ns = 1000000000
local long_poll_ns = 65 * second_ns

-- Handles --------------------------------------------------------------------------------------------

---@class temporal.NexusOperationHandle
---@field id string
---@field run_id? string nil: whatever run is current
---@field endpoint? string of a handle that start_operation returned
---@field service? string
---@field operation? string
local Handle = {}
Handle.__index = Handle
Handle.__name = "temporal.NexusOperationHandle"

local function new_handle(client, id, run_id, target)
  local self = setmetatable({ client = client, id = id, run_id = run_id }, Handle)
  for name, value in pairs(target or {}) do
    self[name] = value
  end
  return self
end

local function check_reason(where, reason)
  if reason ~= nil and type(reason) ~= "string" then
    error(("%s: the reason must be a string, got %s"):format(where, type(reason)), 3)
  end
end

--- Calls the hooks of this name around a request about the handle's execution.
local function intercepted(self, hook, input, last)
  input.operation_id, input.run_id = self.id, self.run_id
  return interceptors.call(self.client.hooks, hook, input, function(i) return last(self.client, i) end)
end

--- What every request about one execution says, after the hooks.
local function about(client, input, fields)
  fields.namespace = client.namespace
  fields.operation_id, fields.run_id = input.operation_id, input.run_id or ""
  return fields
end

--- The description or list entry with its search attributes as values; what has ended has no state.
local function readable(info)
  info.state = info.state ~= "unspecified" and info.state or nil
  info.search_attributes = search_attributes.values(info.search_attributes)
  return info
end

local function failure_of(data, failure)
  return core.make_failure {
    kind = "NexusOperationFailureError",
    type = "NexusOperationFailureError",
    message = "the Nexus operation did not succeed",
    cause = data:decode_failure(failure),
  }
end

--- One long poll for the end; nil when it has not come yet.
local function poll_end(client, input, timeout_ns)
  local response = client:call("PollNexusOperationExecution", about(client, input, {
    wait_stage = "NEXUS_OPERATION_WAIT_STAGE_CLOSED",
  }), timeout_ns)
  return response.wait_stage == 2 and response or nil
end

--- Waits for the end and returns the operation's result; raises NexusOperationFailureError with the cause otherwise.
--- Options: `timeout`.
---@param opts? { timeout?: temporal.Duration }
---@return any
function Handle:result(opts)
  local o = options.check("NexusOperationHandle:result", { timeout = duration }, opts)
  local deadline = o.timeout and core.mono_ns() + o.timeout
  local env = self.client.testing
  local _ <close> = env and env:unlock_while_waiting()
  local data = data_of.nexus(self.client, self)
  return intercepted(self, "get_nexus_operation_result", {}, function(client, input)
    while true do
      local wait = deadline and deadline - core.mono_ns() or long_poll_ns
      if wait <= 0 then
        error(core.make_failure {
          kind = "TimeoutError", type = "TimeoutError", message = "the operation has not ended within the timeout",
        }, 0)
      end
      local response = poll_end(client, input, math.min(wait, long_poll_ns))
      if response and response.failure then
        error(failure_of(data, response.failure), 0)
      elseif response then
        return response.result and data:decode_one(response.result)
      end
    end
  end)
end

local describe_spec = { include_input = boolean, include_outcome = boolean, rpc_timeout = duration }

local function cancellation_of(data, info)
  if not info then
    return nil
  end
  info.last_attempt_failure = info.last_attempt_failure and data:decode_failure(info.last_attempt_failure)
  return info
end

--- What the server knows of the execution: the fields of NexusOperationExecutionInfo (enums as words, times and
--- durations as seconds, failures as errors, `search_attributes` as values, `static_summary`), and as asked for:
--- `input`, and `outcome` ({ result = value } or { failure = error }, once it has ended).
---@param opts? { include_input?: boolean, include_outcome?: boolean, rpc_timeout?: temporal.Duration }
---@return table
function Handle:describe(opts)
  local where = "NexusOperationHandle:describe"
  options.check(where, describe_spec, opts)
  local input = options.copy(opts)
  return intercepted(self, "describe_nexus_operation", input, function(client, i)
    local o = options.check(where, describe_spec, interceptors.options(i, "operation_id", "run_id"), 0)
    local response = client:call("DescribeNexusOperationExecution", about(client, i, {
      include_input = o.include_input, include_outcome = o.include_outcome,
    }), o.rpc_timeout, true)
    local info = readable(response.info)
    local data = data_of.nexus(client, info)
    info.input = response.input and data:decode_one(response.input)
    info.last_attempt_failure = info.last_attempt_failure and data:decode_failure(info.last_attempt_failure)
    info.cancellation_info = cancellation_of(data, info.cancellation_info)
    local summary = info.user_metadata and info.user_metadata.summary
    info.static_summary = summary and data:decode_one(summary)
    if response.failure then
      info.outcome = { failure = data:decode_failure(response.failure) }
    elseif response.result then
      info.outcome = { result = data:decode_one(response.result) }
    end
    return info
  end)
end

local function end_request(self, hook, method, reason)
  intercepted(self, hook, { reason = reason }, function(client, i)
    client:call(method, about(client, i, {
      identity = client.identity, request_id = core.uuid(), reason = i.reason,
    }))
  end)
end

--- Asks the operation's handler to cancel it; how it ends is the handler's.
---@param reason? string
function Handle:cancel(reason)
  check_reason("NexusOperationHandle:cancel", reason)
  end_request(self, "cancel_nexus_operation", "RequestCancelNexusOperationExecution", reason)
end

--- Ends the execution at once. Its handler does not hear of it.
---@param reason? string
function Handle:terminate(reason)
  check_reason("NexusOperationHandle:terminate", reason)
  end_request(self, "terminate_nexus_operation", "TerminateNexusOperationExecution", reason)
end

--- Deletes the execution; one that has not ended is terminated first.
function Handle:delete()
  self.client:call("DeleteNexusOperationExecution", {
    namespace = self.client.namespace, operation_id = self.id, run_id = self.run_id or "",
  })
end

---@class temporal.StartNexusOperationOptions
---@field id? string default: a random one
---@field schedule_to_close_timeout? temporal.Duration
---@field schedule_to_start_timeout? temporal.Duration
---@field start_to_close_timeout? temporal.Duration
---@field id_reuse_policy? "allow_duplicate"|"allow_duplicate_failed_only"|"reject_duplicate"
---@field id_conflict_policy? "fail"|"use_existing"
---@field search_attributes? table<string, any>
---@field summary? string
---@field headers? table<string, string>
---@field request_id? string
---@field rpc_timeout? temporal.Duration

-- Starts ---------------------------------------------------------------------------------------------

---@class temporal.NexusServiceClient
---@field endpoint string
---@field service string
local ServiceClient = {}
ServiceClient.__index = ServiceClient
ServiceClient.__name = "temporal.NexusServiceClient"

local function texts(where, headers)
  for name, value in pairs(headers or {}) do
    if type(name) ~= "string" or type(value) ~= "string" then
      error(where .. ": headers: names and values are texts", 4)
    end
  end
  return headers
end

local function start_now(client, target, o, input)
  local where, data = "start_operation", data_of.nexus(client, target)
  local request = {
    namespace = client.namespace,
    identity = client.identity,
    request_id = o.request_id or core.uuid(),
    operation_id = o.id or core.uuid(),
    endpoint = target.endpoint, service = target.service, operation = target.operation,
    input = input ~= nil and data:encode_one(input) or nil,
    schedule_to_close_timeout = options.duration_message(o.schedule_to_close_timeout),
    schedule_to_start_timeout = options.duration_message(o.schedule_to_start_timeout),
    start_to_close_timeout = options.duration_message(o.start_to_close_timeout),
    id_reuse_policy = options.enum_name(reuse_policy, o.id_reuse_policy),
    id_conflict_policy = options.enum_name(conflict_policy, o.id_conflict_policy),
    search_attributes = search_attributes.message(where, o.search_attributes),
    user_metadata = start_options.user_metadata(data, o.summary),
    nexus_header = texts(where, o.headers),
  }
  local response = client:call("StartNexusOperationExecution", request, o.rpc_timeout)
  return new_handle(client, request.operation_id, response.run_id, target)
end

local function no_other(where, n)
  if n > 1 then
    error(("%s: an operation has one input, got %d: put them in a table"):format(where, n), 3)
  end
end

local function start(self, where, operation, opts, ...)
  if type(operation) ~= "string" or operation == "" then
    error(("%s: the operation's name is expected, got %s"):format(where, type(operation)), 3)
  end
  no_other(where, select("#", ...))
  local o = options.check(where, start_spec, opts, 3)
  local client, target = self.client, { endpoint = self.endpoint, service = self.service, operation = operation }
  if not (client.hooks and client.hooks.start_nexus_operation) then
    return start_now(client, target, o, (...))
  end
  local input = options.copy(opts)
  input.id, input.arg, input.headers = input.id or core.uuid(), (...), input.headers or {}
  for name, value in pairs(target) do
    input[name] = value
  end
  return interceptors.call(client.hooks, "start_nexus_operation", input, function(i)
    local names = { endpoint = i.endpoint, service = i.service, operation = i.operation }
    local again = options.check(where, start_spec,
      interceptors.options(i, "endpoint", "service", "operation", "arg"), 0)
    return start_now(client, names, again, i.arg)
  end)
end

--- Starts an operation and returns a handle to it, as soon as the server has it: the endpoint's workers hear of it
--- later. Options: `id` (default: a random one), `schedule_to_close_timeout`, `schedule_to_start_timeout`,
--- `start_to_close_timeout`, `id_reuse_policy`, `id_conflict_policy`, `search_attributes`, `summary`,
--- `headers` (texts).
---@param operation string
---@param opts? temporal.StartNexusOperationOptions
---@param input? any
---@return temporal.NexusOperationHandle
function ServiceClient:start_operation(operation, opts, input, ...)
  if select("#", ...) > 0 then
    no_other("start_operation", 1 + select("#", ...))
  end
  return start(self, "start_operation", operation, opts, input)
end

--- Starts an operation and waits for its result.
---@param operation string
---@param opts? temporal.StartNexusOperationOptions
---@param input? any
---@return any
function ServiceClient:execute_operation(operation, opts, input, ...)
  if select("#", ...) > 0 then
    no_other("execute_operation", 1 + select("#", ...))
  end
  return start(self, "execute_operation", operation, opts, input):result()
end

-- Lists ----------------------------------------------------------------------------------------------

local operations = {
  name = "list_nexus_operations", rpc = "ListNexusOperationExecutions", items = "operations", read = readable,
}

---@param Client table
function client_nexus.install(Client)
  --- A client of a Nexus service, for operations without a workflow; nothing is looked up.
  ---@param target { endpoint: string, service: string }
  ---@return temporal.NexusServiceClient
  function Client:nexus_client(target)
    local o = options.check("nexus_client", target_spec, target)
    if o.endpoint == "" or o.service == "" then
      error(("nexus_client: %s is required"):format(o.endpoint == "" and "endpoint" or "service"), 2)
    end
    return setmetatable({ client = self, endpoint = o.endpoint, service = o.service }, ServiceClient)
  end

  --- A handle to an operation without a workflow that was started before; nothing is asked of the server yet.
  ---@param id string
  ---@param run_id? string nil: whatever run is current
  ---@return temporal.NexusOperationHandle
  function Client:get_nexus_operation_handle(id, run_id)
    if type(id) ~= "string" or id == "" then
      error("get_nexus_operation_handle: the id must be a string that is not empty", 2)
    elseif run_id ~= nil and type(run_id) ~= "string" then
      error("get_nexus_operation_handle: the run id must be a string, got " .. type(run_id), 2)
    end
    return new_handle(self, id, run_id ~= "" and run_id or nil)
  end

  --- Iterates over operations without a workflow: `for info in client:list_nexus_operations("Endpoint = 'pay'") do`.
  --- Options as for list_workflows.
  ---@param query? string list filter
  ---@param opts? temporal.ListOptions
  ---@return fun(): table?
  function Client:list_nexus_operations(query, opts)
    return listing.list(self, operations, query, opts)
  end

  --- How many operations without a workflow match the filter; with `GROUP BY ExecutionStatus` in it, the groups too.
  ---@param query? string
  ---@return integer
  ---@return { count: integer, values: any[] }[]? groups
  function Client:count_nexus_operations(query)
    return listing.count(self, "count_nexus_operations", "CountNexusOperationExecutions", query)
  end
end

return client_nexus
