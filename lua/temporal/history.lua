--- Histories as values: read from files, from JSON, from encoded messages or from a server, and given to
--- temporal.replayer.
local core = require "temporal.core"

local history = {}

---@class temporal.WorkflowHistory
---@field workflow_id string
---@field run_id string the run it was recorded for, "" when the history does not say
---@field workflow_type? string nil when it does not begin with the run's start
---@field event_count integer
---@field bytes string the encoded temporal.api.history.v1.History
local History = {}
History.__index = History
History.__name = "temporal.WorkflowHistory"

local function make(where, id, text, run_id)
  if type(text) ~= "string" then
    error(("%s: the history must be a string, got %s"):format(where, type(text)), 3)
  elseif id ~= nil and type(id) ~= "string" then
    error(("%s: the workflow id must be a string, got %s"):format(where, type(id)), 3)
  end
  local bytes, about = core.history_read(text)
  if not bytes then
    error(("%s: %s"):format(where, about), 3)
  end
  return setmetatable({
    workflow_id = id or about.workflow_id or "",
    run_id = run_id or about.run_id or "",
    workflow_type = about.workflow_type,
    event_count = about.events,
    bytes = bytes,
  }, History)
end

--- A history from the JSON that Temporal's tools export, in any of their spellings, or from the same as a
--- table. nil for id: the one that the history says.
---@param id? string workflow id
---@param json string|table
---@return temporal.WorkflowHistory
function history.from_json(id, json)
  if type(json) == "table" then
    json = core.json_encode(json)
  end
  return make("history.from_json", id, json)
end

--- A history from an encoded temporal.api.history.v1.History.
---@param id? string workflow id
---@param bytes string
---@return temporal.WorkflowHistory
function history.from_protobuf(id, bytes)
  return make("history.from_protobuf", id, bytes)
end

--- A history from a file, JSON or encoded.
---@param path string
---@return temporal.WorkflowHistory
function history.from_file(path)
  local file, message = io.open(path, "rb")
  if not file then
    error("history.from_file: " .. message, 2)
  end
  local text = file:read "a"
  file:close()
  if not text then
    error("history.from_file: cannot read " .. path, 2)
  end
  local h = make("history.from_file: " .. path, nil, text)
  if h.workflow_id == "" then
    h.workflow_id = (path:match "([^/]+)$" or path):gsub("%.%w+$", "")
  end
  return h
end

--- What a server answered: encoded, for this workflow and run.
function history.received(id, run_id, bytes)
  return make("history", id, bytes, run_id)
end

--- Whether a value is one.
function history.is(value)
  return getmetatable(value) == History
end

--- The events as tables under their proto names: enums as words, times as seconds since the epoch, durations as
--- seconds, payloads and failures encoded.
---@return table[]
function History:events()
  return core.decode_message("temporal.api.history.v1.History", self.bytes, true).events
end

--- As Temporal's tools export it.
---@return string
function History:to_json()
  return core.history_to_json(self.bytes)
end

--- The encoded message.
---@return string
function History:to_protobuf()
  return self.bytes
end

return history
