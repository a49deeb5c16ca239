--- The client of a handler of Nexus operations: what it starts and signals is linked with the caller, and its
--- calls take no longer than the request has time.
local core = require "temporal.core"
local token = require "temporal.internal.nexus_token"

local nexus_client = {}

--- Calls that carry the links of the request, and where their answers have one of their own.
local linked = {
  StartWorkflowExecution = "link", SignalWithStartWorkflowExecution = "signal_link", SignalWorkflowExecution = "link",
  StartActivityExecution = "link",
}
--- What can stand behind an operation: the token that names it before it has a run.
local backing_token = {
  StartWorkflowExecution = function(request) return token.of_workflow(request.namespace, request.workflow_id) end,
  StartActivityExecution = function(request) return token.of_activity(request.namespace, request.activity_id) end,
}

local function cancelled(message)
  error(core.make_failure { kind = "CancelledError", type = "CancelledError", message = message }, 0)
end

--- Nanoseconds that the request has left; nil when nobody said how much.
local function time_left(info)
  return info.deadline and math.floor((info.deadline - core.time_ns() / 1e9) * 1e9)
end

--- What this call starts stands behind the operation: the server tells the caller of its end.
local function attach(method, request, info, links)
  local headers = {}
  for name, value in pairs(info.callback_headers) do
    headers[name] = value
  end
  headers["nexus-operation-token"] = backing_token[method](request)
  request.request_id = info.request_id
  request.completion_callbacks = info.callback_url
    and { { nexus = { url = info.callback_url, header = headers }, links = links } } or nil
end

local function with_links(method, request, info, backing)
  local links = core.nexus_request_links()
  request.links = links
  if not backing_token[method] then
    return
  end
  if backing then
    attach(method, request, info, links)
  end
  if #links > 0 or request.completion_callbacks then
    request.on_conflict_options = {
      attach_request_id = true, attach_completion_callbacks = true, attach_links = true,
    }
  end
end

--- The link to what was started, of servers that give none.
local function link_of(method, request, response)
  if method == "StartActivityExecution" then
    return { activity = {
      namespace = request.namespace, activity_id = request.activity_id, run_id = response.run_id,
    } }
  end
  return { workflow_event = {
    namespace = request.namespace, workflow_id = request.workflow_id, run_id = response.run_id,
    event_ref = { event_id = 1, event_type = "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED" },
  } }
end

local function note_link(method, request, response)
  local link = response[linked[method]]
  if not link and backing_token[method] then
    link = link_of(method, request, response)
  end
  if link then
    core.nexus_add_response_link(link)
  end
end

--- A client of the request that is answered. `backing`: what it starts stands behind the operation.
---@param hooks? table<string, function[]> of interceptors, around its calls
---@param backing? boolean
---@return temporal.Client
function nexus_client.open(hooks, backing)
  local self = require "temporal.client".of_connection(core.nexus_client())
  local info, call = core.nexus_info(), self.call
  local starts = info.operation_token == nil
  self.hooks = hooks
  function self.call(_, method, request, timeout_ns)
    local left = time_left(info)
    if left and left <= 0 then
      cancelled "the time of the Nexus request is over"
    end
    if starts and linked[method] then
      with_links(method, request, info, backing)
    end
    timeout_ns = math.min(timeout_ns or 10 * 1000000000, left or math.maxinteger)
    local response = call(self, method, request, timeout_ns)
    if starts and linked[method] then
      note_link(method, request, response)
    end
    return response
  end
  return self
end

return nexus_client
