--- Failed calls as error tables with the type a program tests for.
local core = require "temporal.core"

local rpc_error = {}

local status_names = {
  [1] = "CANCELLED", [2] = "UNKNOWN", [3] = "INVALID_ARGUMENT", [4] = "DEADLINE_EXCEEDED",
  [5] = "NOT_FOUND", [6] = "ALREADY_EXISTS", [7] = "PERMISSION_DENIED", [8] = "RESOURCE_EXHAUSTED",
  [9] = "FAILED_PRECONDITION", [10] = "ABORTED", [11] = "OUT_OF_RANGE", [12] = "UNIMPLEMENTED",
  [13] = "INTERNAL", [14] = "UNAVAILABLE", [15] = "DATA_LOSS", [16] = "UNAUTHENTICATED",
}

--- Error type by the name of the detail message that the server attaches.
local types_by_detail = {
  ["temporal.api.errordetails.v1.WorkflowExecutionAlreadyStartedFailure"] = "WorkflowAlreadyStartedError",
  ["temporal.api.errordetails.v1.ActivityExecutionAlreadyStartedFailure"] = "ActivityAlreadyStartedError",
  ["temporal.api.errordetails.v1.NexusOperationExecutionAlreadyStartedFailure"] = "NexusOperationAlreadyStartedError",
  ["temporal.api.errordetails.v1.QueryFailedFailure"] = "WorkflowQueryFailedError",
  ["temporal.api.errordetails.v1.NamespaceNotFoundFailure"] = "NamespaceNotFoundError",
}

local mt = { __name = "temporal.RPCError" }
mt.__index = mt

function mt:__tostring()
  return ("%s: %s (%s)"):format(self.type, self.message, self.status)
end

--- The first known detail of a list of google.protobuf.Any, as a table with its type name.
local function first_detail(list)
  for _, any in ipairs(list or {}) do
    local name = any.type_url:match "([^/]+)$"
    local detail = name and core.decode_message(name, any.value)
    if detail then
      return detail, name
    end
  end
end

---@class temporal.RPCError
---@field type string "RPCError", or one of types_by_detail
---@field status string the gRPC status by name
---@field message string
---@field detail? table what the server attached

---@param status integer
---@param message string
---@param details string encoded google.rpc.Status or ""
---@return temporal.RPCError
function rpc_error.new(status, message, details)
  local decoded = details ~= "" and core.decode_message("google.rpc.Status", details) or nil
  return rpc_error.of_details(status, message, decoded and decoded.details)
end

---@param status integer
---@param message string
---@param details? { type_url: string, value: string }[]
---@return temporal.RPCError
function rpc_error.of_details(status, message, details)
  local detail, name = first_detail(details)
  return setmetatable({
    type = types_by_detail[name] or "RPCError",
    status = status_names[status] or tostring(status),
    message = message,
    detail = detail,
    run_id = detail and detail.run_id,
  }, mt)
end

return rpc_error
