--- Errors of Nexus handlers: those that handlers make, and what becomes of those that they raise.
local core = require "temporal.core"
local options = require "temporal.internal.options"

local errors = {}

local handler_types = {
  "bad_request", "unauthenticated", "unauthorized", "not_found", "request_timeout", "conflict", "resource_exhausted",
  "internal", "not_implemented", "unavailable", "upstream_timeout",
}
local handler_spec = {
  type = { kind = "enum", prefix = "", values = handler_types, required = true },
  message = { kind = "string" }, retryable = { kind = "boolean" }, cause = { kind = "any" },
}
local operation_spec = {
  state = { kind = "enum", prefix = "", values = { "failed", "canceled" }, required = true },
  message = { kind = "string" }, type = { kind = "string" }, details = { kind = "table" }, cause = { kind = "any" },
}

local function as_cause(value)
  if value == nil or core.is_failure(value) then
    return value
  end
  local kind = type(value) == "table" and type(value.type) == "string" and value.type or "LuaError"
  return core.make_failure { type = kind, message = tostring(value) }
end

---@param type string "NOT_FOUND"
---@param message string
---@param retryable? boolean nil: as the type says
---@param cause? any
local function handler_error(type, message, retryable, cause)
  local err = core.make_failure {
    kind = "NexusHandlerError", type = "NexusHandlerError", message = message, cause = as_cause(cause),
  }
  err.handler_type = type
  if retryable ~= nil then
    err.retry_behavior = retryable and "retryable" or "non_retryable"
  end
  return err
end

errors.handler = handler_error

--- The error that refuses a request: nexus.handler_error { type = "not_found", message = , retryable = , cause = }.
---@param given table
---@return table
function errors.new_handler_error(given)
  local o = options.check("nexus.handler_error", handler_spec, given)
  return handler_error(o.type:upper(), o.message or o.type, o.retryable, o.cause)
end

--- The error that ends an operation: nexus.operation_error { state = "failed", message = , type = , details = ,
--- cause = }.
---@param given table
---@return table
function errors.new_operation_error(given)
  local o = options.check("nexus.operation_error", operation_spec, given)
  local canceled = o.state == "canceled"
  local err = core.make_failure {
    kind = canceled and "CancelledError" or "ApplicationError", message = o.message or "operation " .. o.state,
    details = o.details, cause = as_cause(o.cause), type = canceled and "CancelledError" or o.type or "OperationError",
  }
  err.non_retryable = not canceled or nil
  err.ends_operation = true
  return err
end

--- For xpcall: a text becomes an error that says where it came from.
function errors.describe(err)
  if type(err) ~= "string" then
    return err
  end
  local described = core.make_failure { type = "LuaError", message = err }
  described.stack_trace = debug.traceback(nil, 2)
  return described
end

-- What a failed call of the service means for the caller, who did not make it: as in the other SDKs. Not to be
-- let in is this worker's fault, not the caller's.
local of_status = {
  INVALID_ARGUMENT = { "BAD_REQUEST" }, ALREADY_EXISTS = { "INTERNAL", false },
  FAILED_PRECONDITION = { "INTERNAL", false }, OUT_OF_RANGE = { "INTERNAL", false },
  ABORTED = { "UNAVAILABLE" }, UNAVAILABLE = { "UNAVAILABLE" },
  NOT_FOUND = { "NOT_FOUND" }, RESOURCE_EXHAUSTED = { "RESOURCE_EXHAUSTED" }, UNIMPLEMENTED = { "NOT_IMPLEMENTED" },
  DEADLINE_EXCEEDED = { "UPSTREAM_TIMEOUT" },
}

--- The handler error that stands for whatever a handler raised.
local function as_handler_error(err)
  if type(err) ~= "table" then
    return handler_error("INTERNAL", "the handler failed: " .. tostring(err), nil, err)
  elseif err.kind == "NexusHandlerError" then
    return err
  elseif type(err.status) == "string" then -- a temporal.RPCError
    local row = of_status[err.status] or { "INTERNAL" }
    return handler_error(row[1], tostring(err.message), row[2], err)
  end
  local application = core.is_failure(err) and (err.kind == nil or err.kind == "ApplicationError")
  if application and err.non_retryable and err.type == "InvalidArgumentError" then -- what does not fit a model
    return handler_error("BAD_REQUEST", tostring(err.message), false, err)
  end
  local retryable = nil
  if application then
    retryable = not err.non_retryable
  end
  return handler_error("INTERNAL", "the handler failed: " .. tostring(err.message or err), retryable, err)
end

--- Answers the request with what its handler raised.
---@param err any
---@param starts boolean the request started an operation
function errors.tell(err, starts)
  local reason = core.nexus_cancel_reason()
  if reason and core.is_failure(err, "CancelledError") then
    if reason == "timed_out" then
      core.nexus_drop() -- the server has given it up already
    else
      core.nexus_refuse(handler_error("UNAVAILABLE", "the worker shut down before the request was answered"))
    end
  elseif starts and type(err) == "table" and rawget(err, "ends_operation") then
    core.nexus_fail(err)
  else
    core.nexus_refuse(as_handler_error(err))
  end
end

return errors
