--- The options that lead to a Temporal server elsewhere: their check, what the environment adds, and
--- the table that temporal.core takes.
local options = require "temporal.internal.options"

local connection = {}

local duration, string_kind = { kind = "duration" }, { kind = "string" }
local boolean, table_kind = { kind = "boolean" }, { kind = "table" }

--- What only a server elsewhere can be told, as rows of temporal.connect's options.
---@type table<string, temporal.OptionSpec>
connection.spec = {
  api_key = { kind = "any" },
  api_key_path = string_kind,
  api_key_refresh = duration,
  tls = { kind = "any" },
  metadata = table_kind,
  lazy = boolean,
  connect_timeout = duration,
  keepalive = { kind = "any" },
  retry = table_kind,
  authority = string_kind,
  http_connect_proxy = table_kind,
  grpc_compression = { kind = "enum", prefix = "", values = { "none", "gzip" } },
  dns_load_balancing = { kind = "any" },
}

--- When a query is refused for the state of its workflow; words of client and handles.
---@type temporal.OptionSpec
connection.query_reject_condition = {
  kind = "enum",
  prefix = "QUERY_REJECT_CONDITION_",
  values = { "none", "not_open", "not_completed_cleanly" },
}

--- The fields of temporal.TLSOptions.
local tls_spec = {
  client_cert = string_kind,
  client_cert_path = string_kind,
  client_private_key = string_kind,
  client_private_key_path = string_kind,
  server_root_ca_cert = string_kind,
  server_root_ca_cert_path = string_kind,
  domain = string_kind,
  disable_host_verification = boolean,
}

--- The fields of temporal.KeepAliveOptions.
local keepalive_spec = { interval = duration, timeout = duration }

--- The fields of temporal.RetryOptions.
local retry_spec = {
  initial_interval = duration,
  randomization_factor = { kind = "number" },
  multiplier = { kind = "number" },
  max_interval = duration,
  max_elapsed_time = duration,
  max_retries = { kind = "integer" },
}

--- The fields of temporal.ProxyOptions.
local proxy_spec = { target_host = { kind = "string", required = true }, basic_auth = table_kind }
local dns_spec = { resolution_interval = duration }

---@class temporal.ProxyOptions
---@field target_host string host:port of the proxy
---@field basic_auth? { [1]: string, [2]: string } user and password

---@class temporal.TLSOptions
---@field client_cert? string PEM text of the client's certificate
---@field client_cert_path? string its file, instead of the text
---@field client_private_key? string PEM text of the key
---@field client_private_key_path? string its file
---@field server_root_ca_cert? string PEM text of the authorities; nil: the system's
---@field server_root_ca_cert_path? string their file
---@field domain? string name expected in the server's certificate; nil: the host of the address
---@field disable_host_verification? boolean takes any certificate: for tests only

---@class temporal.KeepAliveOptions
---@field interval? number|string silence before a ping; nil: 30 s
---@field timeout? number|string until the connection counts as dead; nil: 15 s

---@class temporal.RetryOptions
---@field initial_interval? number|string pause after the first failure; nil: 100 ms
---@field randomization_factor? number share of a pause that is random, 0 to 1; nil: 0.2
---@field multiplier? number of a pause over the one before; nil: 1.7
---@field max_interval? number|string longest pause; nil: 5 s
---@field max_elapsed_time? number|string of a call with all its attempts; nil: 30 s
---@field max_retries? integer attempts after the first; nil: as many as the time allows

--- A variable of the environment; an empty one counts as none.
---@param name string
---@return string?
function connection.environment(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

local environment = connection.environment

--- What is said about one PEM hides all that the environment says about it.
local function from_environment(out, name, variable)
  if out[name] == nil and out[name .. "_path"] == nil then
    out[name], out[name .. "_path"] = environment(variable .. "_DATA"), environment(variable .. "_PATH")
  end
end

local function truth(text)
  return text == "true" or text == "1"
end

--- A table of TLS options for what is no Temporal server: checked, without what the environment says of that one.
---@param where string
---@param given table?
---@param level integer as error's, counted from the caller
---@return temporal.TLSOptions?
function connection.tls_table(where, given, level)
  return given and options.check(where .. ": tls", tls_spec, given, level + 1)
end

--- tls = true, false or a table; the environment fills in what is not said.
local function tls_fields(given, api_key, level)
  if given == nil then
    local text = environment "TEMPORAL_TLS"
    given = api_key ~= nil
    if text then
      given = truth(text)
    end
  end
  if given == false then
    return { tls = false }
  end
  local out = given == true and {} or options.check("temporal.connect: tls", tls_spec, given, level + 1)
  from_environment(out, "client_cert", "TEMPORAL_TLS_CLIENT_CERT")
  from_environment(out, "client_private_key", "TEMPORAL_TLS_CLIENT_KEY")
  from_environment(out, "server_root_ca_cert", "TEMPORAL_TLS_SERVER_CA_CERT")
  out.domain = out.domain or environment "TEMPORAL_TLS_SERVER_NAME"
  if out.disable_host_verification == nil then
    out.disable_host_verification = truth(environment "TEMPORAL_TLS_DISABLE_HOST_VERIFICATION")
  end
  out.tls = true
  return out
end

--- What a function told: its key, and why it is none.
---@param fn fun(): string
---@return string? key
---@return string? message
function connection.ask_api_key(fn)
  local ok, key = pcall(fn)
  if not ok then
    return nil, "the function that tells the API key failed: " .. tostring(key)
  elseif type(key) ~= "string" or key == "" then
    return nil, ("the function that tells the API key returned %s, not a string"):format(
      key == "" and "an empty one" or type(key))
  end
  return key
end

--- The key of the options: a text, or what a function tells; nil where a file has it, or nobody.
local function first_api_key(o, level)
  local given = o.api_key
  if given ~= nil and o.api_key_path then
    error("temporal.connect: api_key and api_key_path exclude each other", level + 1)
  elseif o.api_key_refresh and type(given) ~= "function" then
    error("temporal.connect: api_key_refresh goes with a function as api_key", level + 1)
  elseif o.api_key_refresh and o.api_key_refresh <= 0 then
    error("temporal.connect: api_key_refresh wants more than 0", level + 1)
  elseif type(given) == "function" then
    local key, message = connection.ask_api_key(given)
    return key or error("temporal.connect: " .. message, level + 1)
  end
  connection.check_api_key("temporal.connect", given, level + 1)
  return given or (not o.api_key_path and environment "TEMPORAL_API_KEY") or nil
end

--- Checks an API key; the level is error's, counted from the caller.
---@param where string
---@param value any
---@param level integer
function connection.check_api_key(where, value, level)
  if value ~= nil and type(value) ~= "string" then
    error(("%s: an API key is a string, got %s; a function tells temporal.connect one, client:set_api_key changes it")
      :format(where, type(value)), level + 1)
  end
end

--- Checks headers: texts under lower-case names.
---@param where string
---@param metadata table
---@param level integer
function connection.check_metadata(where, metadata, level)
  for name, value in pairs(metadata) do
    if type(name) ~= "string" or type(value) ~= "string" then
      error(("%s: metadata holds texts under names, got %s = %s"):format(where, tostring(name), tostring(value)),
        level + 1)
    end
  end
end

local function positive(where, o, level)
  for name, value in pairs(o) do
    if type(value) == "number" and value <= 0 then
      error(("%s: option '%s' must be more than 0"):format(where, name), level + 1)
    end
  end
end

local function keepalive_fields(out, given, level)
  if given == false then
    out.keepalive_ms = -1
  elseif given ~= nil and given ~= true then
    local k = options.check("temporal.connect: keepalive", keepalive_spec, given, level + 1)
    positive("temporal.connect: keepalive", k, level + 1)
    out.keepalive_ms = k.interval and math.max(1, k.interval // 1000000)
    out.keepalive_timeout_ms = k.timeout and math.max(1, k.timeout // 1000000)
  end
end

local function retry_fields(out, given, level)
  if not given then
    return
  end
  local r = options.check("temporal.connect: retry", retry_spec, given, level + 1)
  local where = "temporal.connect: retry"
  if r.randomization_factor and not (r.randomization_factor >= 0 and r.randomization_factor <= 1) then
    error(where .. ": option 'randomization_factor' is from 0 to 1", level + 1)
  elseif r.multiplier and not (r.multiplier >= 1 and r.multiplier <= 1000) then
    error(where .. ": option 'multiplier' is from 1 to 1000", level + 1)
  elseif r.max_retries and (r.max_retries < 0 or r.max_retries > 1000000) then
    error(where .. ": option 'max_retries' is from 0 to 1000000", level + 1)
  end
  if r.randomization_factor == 0 then
    r.randomization_factor = -1 -- the core's word for none
  end
  for name, value in pairs(r) do
    out["retry_" .. name] = value
  end
end

--- The proxy as the user information, host and port of a URL; its characters are for core to check.
local function proxy_fields(out, given, level)
  if not given then
    return
  end
  local where = "temporal.connect: http_connect_proxy"
  local p = options.check(where, proxy_spec, given, level + 1)
  if p.basic_auth then
    local user, password = p.basic_auth[1], p.basic_auth[2]
    if type(user) ~= "string" or type(password) ~= "string" then
      error(where .. ": basic_auth is a list of a user and a password", level + 1)
    end
    out.proxy_user, out.proxy_password = user, password
  end
  out.proxy = p.target_host
end

local function dns_fields(out, given, level)
  if given == nil or given == false then
    return
  elseif given ~= true and type(given) ~= "table" then
    error(("temporal.connect: option 'dns_load_balancing' must be a boolean or a table, got %s"):format(type(given)),
      level + 1)
  end
  local where = "temporal.connect: dns_load_balancing"
  local d = options.check(where, dns_spec, given == true and {} or given, level + 1)
  positive(where, d, level + 1)
  out.round_robin = true
  out.resolution_ms = d.resolution_interval and math.max(1, d.resolution_interval // 1000000)
end

--- The table of core.connect_address, from checked options of temporal.connect.
---@param address string
---@param o table
---@param level integer as error's, counted from the caller
---@return table
function connection.fields(address, o, level)
  local api_key = first_api_key(o, level + 1)
  local out = tls_fields(o.tls, api_key or o.api_key_path, level + 1)
  keepalive_fields(out, o.keepalive, level + 1)
  retry_fields(out, o.retry, level + 1)
  proxy_fields(out, o.http_connect_proxy, level + 1)
  dns_fields(out, o.dns_load_balancing, level + 1)
  if out.proxy and out.round_robin then
    error("temporal.connect: dns_load_balancing and http_connect_proxy exclude each other: the proxy finds the address",
      level + 1)
  end
  connection.check_metadata("temporal.connect", o.metadata or {}, level + 1)
  out.compress = o.grpc_compression == "gzip" or nil
  out.address, out.api_key, out.metadata, out.authority = address, api_key, o.metadata, o.authority
  out.api_key_path = o.api_key_path
  out.namespace, out.identity = o.namespace, o.identity
  return out
end

return connection
