-- The commands on settings in files: connection profiles and the older environments. commands.lua calls it
-- with the pieces that commands share.

---@param parts table
---@return cli.Command[]
return function(parts)
  --- Commands about settings in files, which talk to no service.
  local function settings(names, ...)
    local named = {}
    for _, o in ipairs(parts.with_address {}) do
      if o.name == names[1] or o.name == names[2] then
        named[#named + 1] = o
      end
    end
    return parts.join(named, parts.printing, parts.logging, ...)
  end
  local function profile_settings(...)
    return settings({ "config-file", "profile" }, ...)
  end
  local function env_settings(...)
    return settings({ "env", "env-file" }, ...)
  end
  local function property(required)
    return {
      name = "prop",
      short = "p",
      kind = "string",
      required = required,
      help = "Property as address, tls.server_name, grpc_meta.NAME" .. (required and "" or "; all without it"),
    }
  end
  local env_key = { name = "key", short = "k", kind = "string", help = "Name of the option" }
  local value = { name = "value", short = "v", kind = "string", help = "Its value" }
  local required_value = { name = "value", short = "v", kind = "string", required = true, help = value.help }

  return {
    {
      path = "config delete",
      summary = "Take a property out of a profile of the configuration file",
      handler = "config_delete",
      options = profile_settings { property(true) },
    },
    {
      path = "config delete-profile",
      summary = "Take a profile out of the configuration file",
      handler = "config_delete_profile",
      options = profile_settings(),
    },
    {
      path = "config get",
      summary = "Show the properties of a profile of the configuration file",
      handler = "config_get",
      options = profile_settings { property(false) },
    },
    {
      path = "config list",
      summary = "List the profiles of the configuration file",
      handler = "config_list",
      options = profile_settings(),
    },
    {
      path = "config set",
      summary = "Set a property in a profile of the configuration file",
      handler = "config_set",
      options = profile_settings { property(true), required_value },
    },
    {
      path = "env delete",
      summary = "Take a value, or a whole environment, out of the file of environments",
      handler = "env_delete",
      args = "[ENV[.KEY]]",
      options = env_settings { env_key },
    },
    {
      path = "env get",
      summary = "Show the values of an environment",
      handler = "env_get",
      args = "[ENV[.KEY]]",
      options = env_settings { env_key },
    },
    {
      path = "env list",
      summary = "List the environments",
      handler = "env_list",
      options = env_settings(),
    },
    {
      path = "env set",
      summary = "Set the value of an option in an environment",
      handler = "env_set",
      args = "[ENV.KEY VALUE...]",
      options = env_settings { env_key, value },
    },
  }
end
