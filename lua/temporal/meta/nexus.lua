---@meta
-- Nexus operations of workflows. The rest of the module is in workflow.lua.

---@alias temporal.workflow.NexusCancellationType "wait_completed"|"wait_requested"|"try_cancel"|"abandon"

---@class temporal.workflow.NexusOptions
---@field schedule_to_close_timeout? temporal.Duration the whole of it; default: the workflow's own
---@field schedule_to_start_timeout? temporal.Duration until the handler has started it
---@field start_to_close_timeout? temporal.Duration from then on
---@field cancellation_type? temporal.workflow.NexusCancellationType default: "wait_completed"
---@field headers? table<string, string> for the handler
---@field summary? string

---@class temporal.workflow.NexusHandle: temporal.workflow.Future
---@field operation_token? string none when the handler answered at once

---@class temporal.workflow.NexusClient
---@field endpoint string
---@field service string
local nexus_client = {}

--- Waits until the operation has started; raises a NexusOperationError when it cannot.
---@async
---@param operation string
---@param options? temporal.workflow.NexusOptions
---@param input? any
---@return temporal.workflow.NexusHandle
function nexus_client:start_operation(operation, options, input) end

--- Runs the operation; raises a NexusOperationError when it has failed for good.
---@async
---@param operation string
---@param options? temporal.workflow.NexusOptions
---@param input? any
---@return any result
function nexus_client:execute_operation(operation, options, input) end

---@class temporal.workflow
local workflow = {}

--- A client of a Nexus service. Nothing is looked up.
---@param client { endpoint: string, service: string }
---@return temporal.workflow.NexusClient
---@nodiscard
function workflow.nexus_client(client) end
