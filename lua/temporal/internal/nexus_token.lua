--- Tokens of operations that a workflow or an activity stands behind, in the form of the other SDKs: base64url of a
--- JSON object with t (the kind), ns, and wid, or aid and rid. So one SDK's handler can cancel what another one's has
--- started.
local core = require "temporal.core"
local proto_json = require "temporal.proto_json"

local token = {}

local WORKFLOW, ACTIVITY = 1, 2
local kinds = { "a workflow", "an activity", "an update" }

local function encode(fields)
  return (proto_json.to_base64(core.json_encode(fields)):gsub("=+$", ""):gsub("+", "-"):gsub("/", "_"))
end

---@param namespace string
---@param workflow_id string
---@return string
function token.of_workflow(namespace, workflow_id)
  return encode { t = WORKFLOW, ns = namespace, wid = workflow_id }
end

---@param namespace string
---@param activity_id string
---@param run_id? string nil: not known yet
---@return string
function token.of_activity(namespace, activity_id, run_id)
  return encode { t = ACTIVITY, ns = namespace, aid = activity_id, rid = run_id }
end

local function decode(text)
  return core.json_decode(proto_json.from_base64(text, "the operation token"))
end

--- What a token holds, or nil and why it holds nothing.
local function read(text, wanted)
  if type(text) ~= "string" or text == "" then
    return nil, "the operation token is empty"
  end
  local ok, fields = pcall(decode, text)
  if not ok or type(fields) ~= "table" or math.type(fields.t) ~= "integer" then
    return nil, ("the operation token is none of %s: it was not made by a Temporal SDK"):format(wanted)
  elseif fields.v ~= nil and fields.v ~= core.null and fields.v ~= 0 then
    return nil, "the operation token has a version that is not known here"
  end
  return fields
end

--- Whether the token is one of an activity.
---@param text string
---@return boolean
function token.names_activity(text)
  local fields = read(text, "an activity")
  return fields ~= nil and fields.t == ACTIVITY
end

local function text_of(value)
  return type(value) == "string" and value ~= "" and value or nil
end

--- The fields of a token of this kind, or nil and why it is none; `id` is the field that names what stands behind.
local function fields_of(text, kind, id)
  local wanted = kinds[kind]
  local fields, message = read(text, wanted)
  if not fields then
    return nil, message
  elseif fields.t ~= kind then
    return nil, ("the operation token is none of %s: it names %s"):format(wanted, kinds[fields.t] or "something else")
  elseif type(fields.ns) ~= "string" or not text_of(fields[id]) then
    return nil, "the operation token names no " .. wanted:match "%a+$"
  end
  return fields
end

--- The workflow that a token names, or nil and why it names none.
---@param text string
---@return { namespace: string, workflow_id: string }?
---@return string? message
function token.workflow(text)
  local fields, message = fields_of(text, WORKFLOW, "wid")
  return fields and { namespace = fields.ns, workflow_id = fields.wid }, message
end

--- The activity that a token names, or nil and why it names none.
---@param text string
---@return { namespace: string, activity_id: string, run_id: string? }?
---@return string? message
function token.activity(text)
  local fields, message = fields_of(text, ACTIVITY, "aid")
  return fields and { namespace = fields.ns, activity_id = fields.aid, run_id = text_of(fields.rid) }, message
end

return token
