--- Histories in the client: the events of a workflow as tables, as JSON, and as values for temporal.replayer.
local core = require "temporal.core"
local history = require "temporal.history"
local interceptors = require "temporal.internal.interceptors"
local listing = require "temporal.internal.listing"
local options = require "temporal.internal.options"
local rpc_error = require "temporal.internal.rpc_error"

local histories = {}

local boolean, duration = { kind = "boolean" }, { kind = "duration" }

local filter = { kind = "enum", prefix = "HISTORY_EVENT_FILTER_TYPE_", values = { "all_event", "close_event" } }

--- The fields of temporal.FetchHistoryOptions.
local fetch_spec = { event_filter_type = filter, skip_archival = boolean, rpc_timeout = duration }
--- The fields of temporal.FetchHistoryEventsOptions.
local events_spec = { page_size = { kind = "integer" }, wait_new_event = boolean }
for name, row in pairs(fetch_spec) do
  events_spec[name] = row
end

---@class temporal.FetchHistoryOptions
---@field event_filter_type? "all_event"|"close_event"
---@field skip_archival? boolean
---@field rpc_timeout? temporal.Duration

---@class temporal.FetchHistoryEventsOptions: temporal.FetchHistoryOptions
---@field page_size? integer events asked for at a time
---@field wait_new_event? boolean wait for events to come until the workflow ends

local long_poll_ns = 65 * 1000000000

--- One page: its events and the token of the next one.
local function ask(client, input, o, token)
  local env = o.wait_new_event and client.testing
  local _ <close> = env and env:unlock_while_waiting()
  local response = client:call("GetWorkflowExecutionHistory", {
    namespace = client.namespace,
    execution = { workflow_id = input.id, run_id = input.run_id or "" },
    next_page_token = token,
    maximum_page_size = o.page_size,
    wait_new_event = o.wait_new_event,
    history_event_filter_type = options.enum_name(filter, o.event_filter_type),
    skip_archival = o.skip_archival,
  }, o.rpc_timeout or (o.wait_new_event and long_poll_ns or nil), true)
  return response.history and response.history.events, response.next_page_token
end

local function events_of(client, where, input)
  local o = options.check(where, events_spec, interceptors.options(input, "id", "run_id"), 0)
  return listing.pages(function(token) return ask(client, input, o, token) end)
end

--- The history so far as an encoded message.
local function encoded(client, id, run_id, level)
  local parts, token = {}, ""
  repeat
    local bytes, next_token, message, details = core.history_page(client.connection, id, run_id, token)
    if not bytes then
      error(rpc_error.new(next_token, message, details), level + 1)
    end
    parts[#parts + 1], token = bytes, next_token
  until token == ""
  return table.concat(parts)
end

local function intercepted(handle, where, opts)
  local input = options.copy(opts)
  input.id, input.run_id = handle.id, handle.run_id
  return interceptors.call(handle.client.hooks, "fetch_workflow_history_events", input, function(i)
    return events_of(handle.client, where, i)
  end)
end

---@param Client table
---@param Handle table of workflows
function histories.install(Client, Handle)
  --- Iterates over the events, oldest first, and asks for them page by page. With `wait_new_event` the loop goes on
  --- with those that come, until the workflow has ended.
  ---@param opts? temporal.FetchHistoryEventsOptions
  ---@return fun(): table?
  function Handle:fetch_history_events(opts)
    local where = "WorkflowHandle:fetch_history_events"
    local o = options.check(where, events_spec, opts)
    if o.page_size and o.page_size < 1 then
      error(("%s: page_size wants a number from 1 up, got %d"):format(where, o.page_size), 2)
    end
    return intercepted(self, where, opts)
  end

  --- All events so far, oldest first.
  ---@param opts? temporal.FetchHistoryOptions
  ---@return table[]
  function Handle:fetch_history(opts)
    local where, events = "WorkflowHandle:fetch_history", {}
    options.check(where, fetch_spec, opts)
    for event in intercepted(self, where, opts) do
      events[#events + 1] = event
    end
    return events
  end

  --- The history so far as JSON text, as Temporal's tools export it.
  ---@return string
  function Handle:fetch_history_json()
    return core.history_to_json(encoded(self.client, self.id, self.run_id or "", 2))
  end

  --- The history so far as a value for temporal.replayer.
  ---@return temporal.WorkflowHistory
  function Handle:history()
    return history.received(self.id, self.run_id, encoded(self.client, self.id, self.run_id or "", 2))
  end

  --- Iterates over the histories of executions that a list filter selects, each fetched when its turn comes.
  --- Options as for list_workflows. Executions that are deleted meanwhile are left out.
  ---@param query? string list filter
  ---@param opts? temporal.ListOptions
  ---@return fun(): temporal.WorkflowHistory?
  function Client:fetch_histories(query, opts)
    options.check("fetch_histories", listing.spec, opts, 2)
    local next_info = self:list_workflows(query, opts)
    return function()
      for info in next_info do
        local ok, bytes = pcall(encoded, self, info.id, info.run_id, 2)
        if ok then
          return history.received(info.id, info.run_id, bytes)
        elseif type(bytes) ~= "table" or bytes.status ~= "NOT_FOUND" then
          error(bytes, 2)
        end
      end
    end
  end
end

return histories
