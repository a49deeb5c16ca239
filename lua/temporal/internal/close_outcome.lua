--- What became of a workflow, from the event that closed it.
local core = require "temporal.core"

local function failed(message, cause)
  return core.make_failure {
    kind = "WorkflowFailureError",
    type = "WorkflowFailureError",
    message = message,
    cause = cause,
  }
end

--- Close events by the name of their attributes: the value, or an error to raise, or the next run.
local closers = {
  workflow_execution_completed_event_attributes = function(a)
    return true, a.result or ""
  end,
  workflow_execution_failed_event_attributes = function(a, data)
    return false, failed("workflow failed", data:decode_failure(a.failure))
  end,
  workflow_execution_canceled_event_attributes = function(a, data)
    return false, failed("workflow cancelled", core.make_failure {
      kind = "CancelledError", type = "CancelledError", message = "workflow cancelled",
      details = a.details and table.pack(data:decode(a.details)) or nil,
    })
  end,
  workflow_execution_terminated_event_attributes = function(a)
    return false, failed("workflow terminated", core.make_failure {
      kind = "TerminatedError", type = "TerminatedError",
      message = a.reason ~= "" and a.reason or "workflow terminated",
    })
  end,
  workflow_execution_timed_out_event_attributes = function()
    return false, failed("workflow timed out", core.make_failure {
      kind = "TimeoutError", type = "TimeoutError", message = "workflow timed out",
    })
  end,
  workflow_execution_continued_as_new_event_attributes = function()
    return false, failed("workflow continued as new", core.make_failure {
      kind = "ContinuedAsNewError",
      type = "ContinuedAsNewError",
      message = "workflow continued as new",
    })
  end,
}

--- Whether the run gave values, these or the error to raise, and the run that follows, if any.
---@param event table a close event
---@param data table what decodes the client's payloads
---@return boolean ok
---@return any outcome encoded values, or an error
---@return string? next_run
return function(event, data)
  for name, read in pairs(closers) do
    if event[name] then
      local ok, outcome = read(event[name], data)
      return ok, outcome, event[name].new_execution_run_id
    end
  end
  error("the server sent a close event of an unknown kind: " .. tostring(event.event_type), 0)
end
