--- The conversions of a client, of values of something: its payload converters are told of what.
local data_of = {}

---@param client temporal.Client
---@param id string
function data_of.workflow(client, id)
  return client.data:with_context { kind = "workflow", namespace = client.namespace, workflow_id = id }
end

--- Of an activity known by ids, or by a token, which tells nothing.
---@param client temporal.Client
---@param by { workflow_id?: string, activity_id?: string }
function data_of.activity(client, by)
  return client.data:with_context {
    kind = "activity", namespace = client.namespace, workflow_id = by.workflow_id, activity_id = by.activity_id,
  }
end

return data_of
