--- What of a client's connection may change while it is in use: its API key and its headers.
local connection = require "temporal.internal.connection"
local core = require "temporal.core"

local function remote(self, where)
  if not self.address then
    error(("Client:%s: the embedded server takes none; this is for a client with an address"):format(where), 3)
  end
  return self.connection
end

--- Adds the methods to the class of clients.
---@param Client table
return function(Client)
  --- Replaces the API key: calls that start from now on, also those of workers of this client, carry it.
  ---@param api_key string?
  function Client:set_api_key(api_key)
    connection.check_api_key("Client:set_api_key", api_key, 2)
    core.set_api_key(remote(self, "set_api_key"), api_key)
  end

  --- Replaces the headers of `metadata` in the same way.
  ---@param metadata table<string, string>?
  function Client:set_metadata(metadata)
    connection.check_metadata("Client:set_metadata", metadata or {}, 2)
    core.set_metadata(remote(self, "set_metadata"), metadata or {})
  end
end
