--- Handles of activities that were left open with activity.complete_async: from any program, by task
--- token or by ids.
local core = require "temporal.core"
local data_of = require "temporal.internal.data_of"
local interceptors = require "temporal.internal.interceptors"
local options = require "temporal.internal.options"

---@class temporal.AsyncActivityHandle
local AsyncActivity = {}
AsyncActivity.__index = AsyncActivity
AsyncActivity.__name = "temporal.AsyncActivityHandle"

local string_kind = { kind = "string" }
local spec = {
  task_token = string_kind,
  workflow_id = string_kind,
  run_id = string_kind,
  activity_id = string_kind,
}

--- The call by token or by ids, with the fields that both have.
local function call(input, client, method, fields)
  local by = input.id_or_token
  fields.namespace, fields.identity = client.namespace, client.identity
  if by.task_token then
    fields.task_token = by.task_token
    return client:call(method, fields)
  end
  fields.workflow_id, fields.run_id, fields.activity_id = by.workflow_id, by.run_id, by.activity_id
  return client:call(method .. "ById", fields)
end

--- The values of an input, encoded as the client's are.
local function encoded(self, input)
  return data_of.activity(self.client, input.id_or_token):encode(interceptors.args(input))
end

local function intercepted(self, hook, input, last)
  return interceptors.call(self.client.hooks, hook, input, last)
end

--- Completes the activity with these results.
---@param ... any
function AsyncActivity:complete(...)
  intercepted(self, "complete_async_activity", interceptors.input(nil, "id_or_token", self.by, ...), function(input)
    call(input, self.client, "RespondActivityTaskCompleted", { result = encoded(self, input) })
  end)
end

local fail_spec = { last_heartbeat_details = { kind = "table" } }

--- Fails the activity as an error raised in it would: it is tried again if its retry policy allows.
---@param err any a temporal.failure, a text, ...
---@param opts? { last_heartbeat_details?: table } a list: what the next attempt gets as heartbeat details
function AsyncActivity:fail(err, opts)
  local o = options.check("AsyncActivityHandle:fail", fail_spec, opts)
  intercepted(self, "fail_async_activity", {
    id_or_token = self.by, error = err, last_heartbeat_details = o.last_heartbeat_details,
  }, function(input)
    local details, data = input.last_heartbeat_details, data_of.activity(self.client, input.id_or_token)
    call(input, self.client, "RespondActivityTaskFailed", {
      failure = data:encode_failure(input.error),
      last_heartbeat_details = details and data:encode(table.unpack(details, 1, details.n)) or nil,
    })
  end)
end

--- Ends the activity as cancelled. The server takes it only when its cancellation was asked for.
---@param ... any details
function AsyncActivity:report_cancellation(...)
  local hook = "report_cancellation_async_activity"
  intercepted(self, hook, interceptors.input(nil, "id_or_token", self.by, ...), function(input)
    call(input, self.client, "RespondActivityTaskCanceled", { details = encoded(self, input) })
  end)
end

--- Reports progress. Raises AsyncActivityCancelledError when the activity should stop; its `details`
--- hold one table: cancel_requested, paused, reset.
---@param ... any
function AsyncActivity:heartbeat(...)
  local hook = "heartbeat_async_activity"
  local r = intercepted(self, hook, interceptors.input(nil, "id_or_token", self.by, ...), function(input)
    return call(input, self.client, "RecordActivityTaskHeartbeat", { details = encoded(self, input) })
  end)
  if r.cancel_requested or r.activity_paused or r.activity_reset then
    error(core.make_failure {
      kind = "AsyncActivityCancelledError",
      type = "AsyncActivityCancelledError",
      message = r.cancel_requested and "the activity was cancelled"
        or r.activity_paused and "the activity was paused"
        or "the activity was reset",
      details = { {
        cancel_requested = r.cancel_requested or false,
        paused = r.activity_paused or false,
        reset = r.activity_reset or false,
      } },
    }, 0)
  end
end

--- See Client:get_async_activity_handle, which this is.
---@param client temporal.Client
---@param given table
---@return temporal.AsyncActivityHandle
return function(client, given)
  local where = "get_async_activity_handle"
  local by = options.check(where, spec, given, 3)
  if by.task_token and (by.workflow_id or by.run_id or by.activity_id) then
    error(where .. ": task_token and ids exclude each other", 3)
  elseif not by.task_token and not by.activity_id then
    error(where .. ": wants task_token, or activity_id with the workflow_id if it is a workflow's", 3)
  end
  return setmetatable({ client = client, by = by }, AsyncActivity)
end
