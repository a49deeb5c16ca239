--- Tokens of operations that a workflow stands behind, in the form of the other SDKs: base64url of a JSON object
--- with t (the kind, 1: a workflow), ns and wid. So one SDK's handler can cancel what another one's has started.
local core = require "temporal.core"
local proto_json = require "temporal.proto_json"

local token = {}

local WORKFLOW = 1
local kinds = { [2] = "an activity", [3] = "an update" }

---@param namespace string
---@param workflow_id string
---@return string
function token.of_workflow(namespace, workflow_id)
  local text = core.json_encode { t = WORKFLOW, ns = namespace, wid = workflow_id }
  return (proto_json.to_base64(text):gsub("=+$", ""):gsub("+", "-"):gsub("/", "_"))
end

local function decode(text)
  return core.json_decode(proto_json.from_base64(text, "the operation token"))
end

--- The workflow that a token names, or nil and why it names none.
---@param text string
---@return { namespace: string, workflow_id: string }?
---@return string? message
function token.workflow(text)
  if type(text) ~= "string" or text == "" then
    return nil, "the operation token is empty"
  end
  local ok, fields = pcall(decode, text)
  if not ok or type(fields) ~= "table" or math.type(fields.t) ~= "integer" then
    return nil, "the operation token is none of a workflow: it was not made by a Temporal SDK"
  elseif fields.t ~= WORKFLOW then
    return nil, ("the operation token is none of a workflow: it names %s"):format(kinds[fields.t] or "something else")
  elseif fields.v ~= nil and fields.v ~= core.null and fields.v ~= 0 then
    return nil, "the operation token has a version that is not known here"
  elseif type(fields.ns) ~= "string" or type(fields.wid) ~= "string" or fields.wid == "" then
    return nil, "the operation token names no workflow"
  end
  return { namespace = fields.ns, workflow_id = fields.wid }
end

return token
