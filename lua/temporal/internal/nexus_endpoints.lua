--- Nexus endpoints in the client: which task queue serves what callers name.
local core = require "temporal.core"
local listing = require "temporal.internal.listing"
local options = require "temporal.internal.options"

local nexus_endpoints = {}

---@class temporal.NexusEndpoint
---@field id string
---@field name string
---@field version integer
---@field namespace? string of the task queue
---@field task_queue? string
---@field url? string of an endpoint that is served elsewhere
---@field description? string

---@class temporal.NexusEndpointOptions
---@field task_queue? string
---@field namespace? string of the task queue; default: the client's
---@field description? string|false Markdown; false, in updates: none from now on
---@field rpc_timeout? temporal.Duration

local text, duration = { kind = "string" }, { kind = "duration" }
local create_spec = {
  task_queue = { kind = "string", required = true }, namespace = text, description = text, rpc_timeout = duration,
}
local update_spec = { task_queue = text, namespace = text, description = { kind = "any" }, rpc_timeout = duration }
local list_spec = { page_size = { kind = "integer" }, rpc_timeout = duration }
local plain_spec = { rpc_timeout = duration }

local function check_name(where, name)
  if type(name) ~= "string" or name == "" then
    error(("%s wants the name of a Nexus endpoint, got %s"):format(where, tostring(name)), 3)
  end
end

---@return temporal.NexusEndpoint
local function plain(endpoint)
  local spec = endpoint.spec
  local target = spec.target or {}
  return {
    id = endpoint.id, version = endpoint.version, name = spec.name,
    namespace = target.worker and target.worker.namespace,
    task_queue = target.worker and target.worker.task_queue,
    url = target.external and target.external.url,
    description = spec.description and core.decode_one(spec.description),
  }
end

--- The endpoint of this name as the service tells it, or nothing.
local function find(client, name, timeout)
  local answer = client:call("ListNexusEndpoints", { name = name, page_size = 1 }, timeout)
  return (answer.endpoints or {})[1]
end

local function need(where, client, name, timeout)
  local endpoint = find(client, name, timeout)
  if not endpoint then
    error(("%s: there is no Nexus endpoint '%s'"):format(where, name), 3)
  end
  return endpoint
end

--- Adds the functions to clients.
function nexus_endpoints.install(Client)
  --- Makes a Nexus endpoint that a task queue serves.
  ---@param name string
  ---@param opts temporal.NexusEndpointOptions task_queue is required
  ---@return temporal.NexusEndpoint
  function Client:create_nexus_endpoint(name, opts)
    check_name("create_nexus_endpoint", name)
    local o = options.check("create_nexus_endpoint", create_spec, opts)
    return plain(self:call("CreateNexusEndpoint", {
      spec = {
        name = name,
        description = o.description and core.encode_one(o.description),
        target = { worker = { namespace = o.namespace or self.namespace, task_queue = o.task_queue } },
      },
    }, o.rpc_timeout).endpoint)
  end

  --- The Nexus endpoint of this name; nil: there is none.
  ---@param name string
  ---@param opts? { rpc_timeout?: temporal.Duration }
  ---@return temporal.NexusEndpoint?
  function Client:get_nexus_endpoint(name, opts)
    check_name("get_nexus_endpoint", name)
    local endpoint = find(self, name, options.check("get_nexus_endpoint", plain_spec, opts).rpc_timeout)
    return endpoint and plain(endpoint)
  end

  --- Iterates over the Nexus endpoints of the service.
  ---@param opts? { page_size?: integer, rpc_timeout?: temporal.Duration }
  ---@return fun(): temporal.NexusEndpoint?
  function Client:list_nexus_endpoints(opts)
    local o = options.check("list_nexus_endpoints", list_spec, opts)
    return listing.pages(function(token)
      local answer = self:call("ListNexusEndpoints", { page_size = o.page_size, next_page_token = token },
        o.rpc_timeout)
      return answer.endpoints, answer.next_page_token
    end, nil, plain)
  end

  --- Changes what is given, unless somebody else changes the endpoint meanwhile.
  ---@param name string
  ---@param opts temporal.NexusEndpointOptions
  ---@return temporal.NexusEndpoint
  function Client:update_nexus_endpoint(name, opts)
    check_name("update_nexus_endpoint", name)
    local o = options.check("update_nexus_endpoint", update_spec, opts)
    if o.description and type(o.description) ~= "string" then
      error("update_nexus_endpoint: option 'description' must be a string, or false for none", 2)
    end
    local endpoint = need("update_nexus_endpoint", self, name, o.rpc_timeout)
    local spec = endpoint.spec
    if o.task_queue or o.namespace then
      local now = spec.target.worker or {}
      spec.target = { worker = {
        namespace = o.namespace or now.namespace or self.namespace,
        task_queue = o.task_queue or now.task_queue,
      } }
    end
    if o.description ~= nil then
      spec.description = o.description and core.encode_one(o.description) or nil
    end
    return plain(self:call("UpdateNexusEndpoint", { id = endpoint.id, version = endpoint.version, spec = spec },
      o.rpc_timeout).endpoint)
  end

  --- Operations that callers have under way there fail, new ones fail the callers' workflow tasks.
  ---@param name string
  ---@param opts? { rpc_timeout?: temporal.Duration }
  function Client:delete_nexus_endpoint(name, opts)
    check_name("delete_nexus_endpoint", name)
    local o = options.check("delete_nexus_endpoint", plain_spec, opts)
    local endpoint = need("delete_nexus_endpoint", self, name, o.rpc_timeout)
    self:call("DeleteNexusEndpoint", { id = endpoint.id, version = endpoint.version }, o.rpc_timeout)
  end
end

return nexus_endpoints
