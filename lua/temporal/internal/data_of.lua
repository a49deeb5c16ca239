--- The conversions of a client, of values of something: its payload converters are told of what.
local data_of = {}

---@param client temporal.Client
---@param id string
function data_of.workflow(client, id)
  return client.data:with_context { kind = "workflow", namespace = client.namespace, workflow_id = id }
end

--- Of an activity known by ids, or by a token, which tells nothing; without a workflow also by its type.
---@param client temporal.Client
---@param by { workflow_id?: string, activity_id?: string, activity_type?: string, activity_task_queue?: string }
function data_of.activity(client, by)
  return client.data:with_context {
    kind = "activity", namespace = client.namespace, workflow_id = by.workflow_id, activity_id = by.activity_id,
    activity_type = by.activity_type, activity_task_queue = by.activity_task_queue,
    is_local = by.activity_type and false,
  }
end

--- Of a Nexus operation without a workflow; nothing is told where it is not known which it is.
---@param client temporal.Client
---@param of { endpoint?: string, service?: string, operation?: string }
function data_of.nexus(client, of)
  return not of.operation and client.data or client.data:with_context {
    kind = "nexus", namespace = client.namespace, endpoint = of.endpoint, service = of.service,
    operation = of.operation,
  }
end

return data_of
