--- What of a client's connection may change while it is in use: its API key and its headers.
local connection = require "temporal.internal.connection"
local core = require "temporal.core"

local function remote(self, where)
  if not self.address then
    error(("Client:%s: the embedded server takes none; this is for a client with an address"):format(where), 3)
  end
  return self.connection
end

local REFRESH, AGAIN = 60 * 1000000000, 5 * 1000000000

--- Clients whose key a function tells: { ask, every, due, failing }. A client that nobody holds is forgotten.
local asked = setmetatable({}, { __mode = "k" })
local renew_due

--- Calls renew_due when the first of them is due, inside a call that waits.
local function arm()
  local first
  for _, entry in pairs(asked) do
    first = math.min(first or entry.due, entry.due)
  end
  core.set_alarm(first and renew_due, first)
end

local function renew(client, entry)
  local key, message = connection.ask_api_key(entry.ask)
  if key then
    local ok, why = pcall(core.set_api_key, client.connection, key)
    message = not ok and tostring(why) or nil
  end
  if message and not entry.failing then
    core.log_warn("client.api_key_kept", message)
  elseif not message and entry.failing then
    core.log_info("client.api_key_renewed", client.address)
  end
  entry.failing = message ~= nil
  entry.due = core.mono_ns() + (message and math.min(AGAIN, entry.every) or entry.every)
end

function renew_due()
  local now = core.mono_ns()
  for client, entry in pairs(asked) do
    if not client.connection then
      asked[client] = nil
    elseif entry.due <= now then
      renew(client, entry)
    end
  end
  arm()
end

local credentials = {}

--- The function is asked for the key again and again, while the script is inside a call that waits.
---@param client temporal.Client
---@param fn fun(): string
---@param every? integer nanoseconds; nil: a minute
function credentials.keep_asking(client, fn, every)
  asked[client] = { ask = fn, every = every or REFRESH, due = core.mono_ns() + (every or REFRESH) }
  arm()
end

--- Adds the methods to the class of clients.
---@param Client table
function credentials.add_to(Client)
  --- Replaces the API key: calls that start from now on, also those of workers of this client, carry it.
  ---@param api_key string?
  function Client:set_api_key(api_key)
    connection.check_api_key("Client:set_api_key", api_key, 2)
    asked[self] = nil -- whom a function told: this one stands from now on
    core.set_api_key(remote(self, "set_api_key"), api_key)
  end

  --- Replaces the headers of `metadata` in the same way.
  ---@param metadata table<string, string>?
  function Client:set_metadata(metadata)
    connection.check_metadata("Client:set_metadata", metadata or {}, 2)
    core.set_metadata(remote(self, "set_metadata"), metadata or {})
  end
end

return credentials
