--- What temporal.connect takes, and how a client comes of it: over the network, or of an embedded server.
local core = require "temporal.core"
local connection = require "temporal.internal.connection"
local converter = require "temporal.converter"
local credentials = require "temporal.internal.credentials"
local interceptors = require "temporal.internal.interceptors"
local options = require "temporal.internal.options"
local plugins = require "temporal.internal.plugins"
local roots = require "temporal.internal.roots"
local runtime = require "temporal.runtime"
local search_attributes = require "temporal.internal.search_attributes"
local rpc_error = require "temporal.internal.rpc_error"

local string_kind, any, table_kind = { kind = "string" }, { kind = "any" }, { kind = "table" }

local connect_spec = {
  address = string_kind,
  namespace = string_kind,
  identity = string_kind,
  db_filename = string_kind,
  namespaces = table_kind,
  sqlite_pragmas = table_kind,
  search_attributes = table_kind,
  server = any,
  data_converter = any,
  interceptors = table_kind,
  plugins = table_kind,
  runtime = any,
  default_workflow_query_reject_condition = connection.query_reject_condition,
}
for name, row in pairs(connection.spec) do
  connect_spec[name] = row
end

---@class temporal.ConnectOptions
---@field address? string host:port of a Temporal server; nil: TEMPORAL_ADDRESS, else the embedded server
---@field api_key? string|fun(): string a function is asked now, and again every api_key_refresh
---@field api_key_path? string its file instead; read again when it changes
---@field api_key_refresh? temporal.Duration nil: 1 min
---@field tls? boolean|temporal.TLSOptions default: true with an api_key
---@field metadata? table<string, string> headers sent with every call
---@field lazy? boolean connect with the first call, not now
---@field connect_timeout? number|string how long the first answer of the server is waited for
---@field keepalive? boolean|temporal.KeepAliveOptions
---@field retry? temporal.RetryOptions
---@field authority? string sent as :authority; nil: the address
---@field http_connect_proxy? temporal.ProxyOptions connects through an HTTP proxy's CONNECT
---@field grpc_compression? "none"|"gzip" of what is sent; nil: none
---@field dns_load_balancing? boolean|{ resolution_interval?: number|string } calls go round all addresses of the name
---@field namespace? string
---@field identity? string
---@field runtime? temporal.Runtime nil: temporal.runtime.default()
---@field db_filename? string
---@field namespaces? string[]
---@field sqlite_pragmas? string[]
---@field search_attributes? table<string, temporal.SearchAttributeType> registered by the embedded server: name = type
---@field server? any
---@field data_converter? temporal.DataConverter
---@field interceptors? (string|table)[] modules or tables of hooks, outermost first
---@field plugins? temporal.Plugin[]
---@field default_workflow_query_reject_condition? "none"|"not_open"|"not_completed_cleanly" of queries that name none

local embedded_only = { "db_filename", "namespaces", "sqlite_pragmas", "search_attributes", "server" }

--- The address to use, or nil for the embedded server. The environment counts only where the options
--- ask for neither.
local function find_address(o)
  local embedded
  for _, name in ipairs(embedded_only) do
    embedded = embedded or (o[name] ~= nil and name)
  end
  if o.address and embedded then
    error(("temporal.connect: address and %s exclude each other"):format(embedded), 3)
  end
  local address = o.address or (not embedded and connection.environment "TEMPORAL_ADDRESS") or nil
  for name in pairs(connection.spec) do
    if o[name] ~= nil and not address then
      error(("temporal.connect: %s needs an address"):format(name), 3)
    end
  end
  return address
end

local unimplemented = 12

--- Asks the server once, so that a wrong address is told here and not by the first call.
local function check_server(self, address, timeout)
  local response, status, message, details =
    core.call(self.connection, "GetSystemInfo", {}, timeout or 10 * 1000000000)
  if not response and status ~= unimplemented then
    self:close()
    error(rpc_error.new(status, ("cannot connect to %s: %s"):format(address, message), details), 3)
  end
end

--- The fields that every client has.
local function fields_of(o, open)
  return {
    connection = open,
    namespace = o.namespace,
    identity = o.identity,
    data = o.data,
    runtime = o.runtime,
    payload_converters = o.payload_converters,
    query_reject_condition = o.default_workflow_query_reject_condition,
    interceptors = o.interceptors,
    hooks = interceptors.hooks(o.interceptors, "client"),
  }
end

local function connect_address(Client, address, o, given)
  local fields = connection.fields(address, o, 3)
  local ok, open = pcall(core.connect_address, fields, o.data_converter, o.runtime)
  if not ok then -- it names the option; a place in this file would say nothing
    error(open, 0)
  end
  local self = setmetatable(fields_of(o, open), Client)
  self.address, self.given = address, given
  if type(o.api_key) == "function" then
    credentials.keep_asking(self, o.api_key, o.api_key_refresh)
  end
  if not o.lazy then
    check_server(self, address, o.connect_timeout)
  end
  return self
end

local function connect_now(Client, given)
  local o = options.check("temporal.connect", connect_spec, given)
  local address = find_address(o)
  o.namespace = o.namespace or connection.environment "TEMPORAL_NAMESPACE" or "default"
  o.identity = o.identity or core.identity()
  o.runtime = runtime.handle_of("temporal.connect", o.runtime)
  o.payload_converters = converter.payload_converters(o.data_converter)
  o.data_converter = converter.check("temporal.connect", o.data_converter, 2)
  o.data = core.data(o.payload_converters)
  if o.interceptors then
    roots.extend { roots.of_script() }
  end
  o.interceptors = interceptors.entries("temporal.connect", o.interceptors)
  if address then
    return connect_address(Client, address, o, given)
  end
  o.search_attributes = search_attributes.declarations("temporal.connect", o.search_attributes)
  local server = o.server or core.server_open(o)
  local self = fields_of(o, core.connect(server, o.namespace, o.identity, o.data_converter, o.runtime))
  self.own_server = not o.server and server or nil
  self.embedded, self.given = server, given
  return setmetatable(self, Client)
end

--- A copy of options that connects again to what they opened: an embedded server is named by itself.
local function config_of(opts, self)
  local copy = options.copy(opts)
  if self.embedded then
    for _, name in ipairs(embedded_only) do
      copy[name] = nil
    end
    copy.server = self.embedded
  end
  return copy
end

--- Makes temporal.connect for a class of clients.
---@param Client table
---@return fun(opts?: temporal.ConnectOptions): temporal.Client
return function(Client)
  --- The options the client was made with, for another like it: `temporal.connect(client:config())`. Those of an
  --- embedded server are replaced by the server itself, which must stay open meanwhile.
  ---@return temporal.ConnectOptions
  function Client:config()
    return config_of(self.given, self)
  end

  return function(opts)
    local list = plugins.list("temporal.connect", type(opts) == "table" and opts.plugins or nil)
    if #list == 0 then
      return connect_now(Client, opts)
    end
    local self = plugins.around(list, "connect_service_client", function(config)
      return connect_now(Client, config)
    end, plugins.configure(list, "configure_client", opts))
    self.plugins, self.given = list, opts
    return self
  end
end
