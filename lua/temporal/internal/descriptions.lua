--- What a client tells of executions of workflows: the server's words as values.
local core = require "temporal.core"
local data_of = require "temporal.internal.data_of"
local search_attributes = require "temporal.internal.search_attributes"

local descriptions = {}

---@alias temporal.WorkflowStatus
---| "running"|"completed"|"failed"|"canceled"|"terminated"|"continued_as_new"|"timed_out"|"paused"

--- An execution of a list. It has the other fields of temporal.api.workflow.v1.WorkflowExecutionInfo, too: enums as
--- words, times as seconds since the epoch, durations as seconds.
---@class temporal.WorkflowExecution
---@field id string
---@field run_id string
---@field namespace string
---@field workflow_type string
---@field status temporal.WorkflowStatus
---@field task_queue string
---@field start_time number
---@field execution_time? number when its first workflow task was due: later than its start with a delay or cron
---@field close_time? number nil while it is open
---@field history_length integer
---@field parent_id? string
---@field parent_run_id? string
---@field root_id? string the workflow above all its parents, itself without one
---@field root_run_id? string
---@field memo table<string, any> a value that the client's converters cannot read stays { metadata =, data = }
---@field search_attributes table<string, any>

--- It has the other fields of DescribeWorkflowExecutionResponse, too.
---@class temporal.WorkflowDescription: temporal.WorkflowExecution
---@field static_summary? string
---@field static_details? string
---@field pending_activities table[] `activity_type` is a text, `heartbeat_details` a list, `last_failure` an error
---@field pending_children table[]
---@field pending_nexus_operations table[]
---@field callbacks table[]

--- A list never stops at one value: what cannot be read stays a payload.
local function value_of(data, bytes)
  local ok, value = pcall(data.decode_one, data, bytes)
  if ok then
    return value
  end
  local payload = core.decode_message("temporal.api.common.v1.Payload", bytes)
  return { metadata = payload.metadata, data = payload.data }
end

local function memo_of(data, memo)
  local values = {}
  for name, bytes in pairs(memo and memo.fields or {}) do
    values[name] = value_of(data, bytes)
  end
  return values
end

--- An entry of a list, made of a WorkflowExecutionInfo in words.
---@param info table is changed
---@param client temporal.Client
---@return temporal.WorkflowExecution
function descriptions.execution(info, client)
  local parent, root = info.parent_execution, info.root_execution
  info.id, info.run_id = info.execution.workflow_id, info.execution.run_id
  info.namespace, info.workflow_type = client.namespace, info.type.name
  info.parent_id, info.parent_run_id = parent and parent.workflow_id, parent and parent.run_id
  info.root_id, info.root_run_id = root and root.workflow_id, root and root.run_id
  info.memo = memo_of(data_of.workflow(client, info.id), info.memo)
  info.search_attributes = search_attributes.values(info.search_attributes)
  info.execution, info.type, info.parent_execution, info.root_execution = nil, nil, nil, nil
  return info
end

local function with_errors(data, list)
  for _, item in ipairs(list or {}) do
    for _, part in pairs { item, item.cancellation_info } do
      part.last_attempt_failure = part.last_attempt_failure and data:decode_failure(part.last_attempt_failure)
    end
  end
end

local function read_activities(client, description)
  for _, pending in ipairs(description.pending_activities or {}) do
    pending.activity_type = pending.activity_type and pending.activity_type.name
    local data = data_of.activity(client, {
      workflow_id = description.id, activity_id = pending.activity_id, activity_type = pending.activity_type,
    })
    pending.heartbeat_details = pending.heartbeat_details and table.pack(data:decode(pending.heartbeat_details))
    pending.last_failure = pending.last_failure and data:decode_failure(pending.last_failure)
  end
end

--- What the answer of DescribeWorkflowExecution says, in words: the execution's fields and the answer's on one level.
---@param client temporal.Client
---@param answer table is changed
---@return temporal.WorkflowDescription
function descriptions.description(client, answer)
  local description = descriptions.execution(answer.workflow_execution_info, client)
  answer.workflow_execution_info = nil
  for name, value in pairs(answer) do
    description[name] = value
  end
  local data = data_of.workflow(client, description.id)
  local metadata = description.execution_config and description.execution_config.user_metadata or {}
  description.static_summary = metadata.summary and value_of(data, metadata.summary)
  description.static_details = metadata.details and value_of(data, metadata.details)
  read_activities(client, description)
  with_errors(data, description.pending_nexus_operations)
  with_errors(data, description.callbacks)
  return description
end

return descriptions
