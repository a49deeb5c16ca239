--- Connection settings from a TOML file with profiles and from the environment, as the other SDKs and the
--- official command line keep them.
---
---   local temporal = require "temporal"
---   local envconfig = require "temporal.envconfig"
---   local client = temporal.connect(envconfig.load_client_connect_config { profile = "prod" })
local core = require "temporal.core"
local options = require "temporal.internal.options"

local envconfig = {}

---@class temporal.ProfileSource
---@field profile? string nil: TEMPORAL_PROFILE, else "default"
---@field config_file? string nil: TEMPORAL_CONFIG_FILE, else temporalio/temporal.toml of the user's settings
---@field config_source? string the text itself instead of a file
---@field disable_file? boolean
---@field disable_env? boolean
---@field config_file_strict? boolean keys that are not known are errors

local source_spec = {
  profile = { kind = "string" },
  config_file = { kind = "string" },
  config_source = { kind = "string" },
  disable_file = { kind = "boolean" },
  disable_env = { kind = "boolean" },
  config_file_strict = { kind = "boolean" },
}

---@class temporal.ClientConfigProfile
---@field address? string
---@field namespace? string
---@field api_key? string
---@field tls? { disabled?: boolean, [string]: string|boolean }
---@field grpc_meta table<string, string>
---@field codec_endpoint? string
---@field codec_auth? string
local Profile = {}
Profile.__index = Profile
Profile.__name = "temporal.ClientConfigProfile"

--- Names of the file's table tls and of temporal.connect's.
local tls_names = {
  client_cert_path = "client_cert_path",
  client_cert_data = "client_cert",
  client_key_path = "client_private_key_path",
  client_key_data = "client_private_key",
  server_ca_cert_path = "server_root_ca_cert_path",
  server_ca_cert_data = "server_root_ca_cert",
  server_name = "domain",
  disable_host_verification = "disable_host_verification",
}

local function load_profile(where, source)
  local o = options.check(where, source_spec, source, 3)
  if o.config_file and o.config_source then
    error(("%s: config_file and config_source exclude each other"):format(where), 3)
  end
  o.strict, o.config_file_strict = o.config_file_strict, nil
  local found, message = core.load_profile(o)
  if not found then
    error(("%s: %s"):format(where, message), 3)
  end
  local self = setmetatable({ grpc_meta = found.grpc_meta }, Profile)
  for _, name in ipairs { "address", "namespace", "api_key", "codec_endpoint", "codec_auth" } do
    self[name] = found[name]
  end
  for name in pairs(tls_names) do
    if found[name] ~= nil then
      self.tls = self.tls or {}
      self.tls[name] = found[name]
    end
  end
  if found.tls ~= nil then
    self.tls = self.tls or {}
    self.tls.disabled = not found.tls
  end
  return self
end

--- The settings of one profile.
---@param source? temporal.ProfileSource
---@return temporal.ClientConfigProfile
function Profile.load(source)
  return load_profile("ClientConfigProfile.load", source)
end

--- The options of temporal.connect that the profile stands for. TLS is on with a table tls that does not
--- say `disabled`, or with an API key.
---@return temporal.ConnectOptions
function Profile:to_client_connect_config()
  local out = { address = self.address, namespace = self.namespace, api_key = self.api_key }
  if next(self.grpc_meta) then
    out.metadata = self.grpc_meta
  end
  local tls = self.tls
  if tls and tls.disabled then
    out.tls = false
  elseif tls and (tls.disabled == false or next(tls)) then
    out.tls = {}
    for name, ours in pairs(tls_names) do
      out.tls[ours] = tls[name]
    end
  elseif self.api_key then
    out.tls = true
  end
  return out
end

envconfig.ClientConfigProfile = Profile

---@class temporal.ClientConfig
---@field profiles table<string, temporal.ClientConfigProfile> by name
local Config = {}
Config.__index = Config
Config.__name = "temporal.ClientConfig"

--- All profiles of a file, without what the environment says of one. Options: `config_file`, `config_source`,
--- `config_file_strict`.
---@param source? { config_file?: string, config_source?: string, config_file_strict?: boolean }
---@return temporal.ClientConfig
function Config.load(source)
  local where = "ClientConfig.load"
  local o = options.check(where, {
    config_file = source_spec.config_file, config_source = source_spec.config_source,
    config_file_strict = source_spec.config_file_strict,
  }, source)
  if o.config_file and o.config_source then
    error(("%s: config_file and config_source exclude each other"):format(where), 2)
  end
  local names, message = core.profile_names(o)
  if not names then
    error(("%s: %s"):format(where, message), 2)
  end
  local self = setmetatable({ profiles = {} }, Config)
  for _, name in ipairs(names) do
    self.profiles[name] = load_profile(where, {
      profile = name, config_file = o.config_file, config_source = o.config_source, disable_env = true,
      config_file_strict = o.config_file_strict,
    })
  end
  return self
end

envconfig.ClientConfig = Config

--- ClientConfigProfile.load and to_client_connect_config in one. Without an address anywhere it is
--- "localhost:7233".
---@param source? temporal.ProfileSource
---@return temporal.ConnectOptions
function envconfig.load_client_connect_config(source)
  local out = load_profile("load_client_connect_config", source):to_client_connect_config()
  out.address = out.address or "localhost:7233"
  return out
end

return envconfig
