--- Payload codecs served over HTTP, for who has not the codecs: the web page, command lines, other programs.
local converter = require "temporal.converter"
local core = require "temporal.core"
local options = require "temporal.internal.options"

---@class temporal.CodecServer
---@field port integer
local CodecServer = {}
CodecServer.__index = CodecServer
CodecServer.__name = "temporal.CodecServer"

--- Takes no more requests and returns when those under way are answered; `<close>` and the garbage collector do it too.
function CodecServer:close()
  if self.handle then
    core.codec_server_close(self.handle)
    self.handle = nil
  end
end

CodecServer.__close = CodecServer.close

---@class temporal.CodecServerOptions
---@field data_converter temporal.DataConverter
---@field ip? string
---@field port? integer
---@field origins? string[]
---@field auth? string
---@field namespace? string

--- The fields of temporal.CodecServerOptions.
local spec = {
  data_converter = { kind = "any", required = true },
  ip = { kind = "string" },
  port = { kind = "integer" },
  origins = { kind = "table" },
  auth = { kind = "string" },
  namespace = { kind = "string" },
}

local function check_origins(given)
  local origins = {}
  for i, origin in ipairs(given or {}) do
    if type(origin) ~= "string" or not origin:find "^https?://[^/%s]+$" then
      error(("codec.serve: origins[%d] is the scheme and host of a page, as https://cloud.temporal.io, got %s"):format(
        i, tostring(origin)), 3)
    end
    origins[i] = origin
  end
  if #origins > 32 then
    error(("codec.serve: at most 32 origins, got %d"):format(#origins), 3)
  end
  return origins
end

--- Serves the payload codecs (and the external storage) of a data converter: POST of payloads as JSON to /encode and
--- /decode below any path, as the codec servers of other SDKs. It answers on threads of its own while this script does
--- what it does. Options: `ip` (default: localhost), `port` (default: any free one, see the field `port`), `origins`
--- (the pages that may ask from a browser), `auth` (what the header Authorization must be), `namespace` (told to codecs
--- that want one, default: "default").
---@param opts temporal.CodecServerOptions
---@return temporal.CodecServer
return function(opts)
  local o = options.check("codec.serve", spec, opts)
  local port = o.port or 0
  if port < 0 or port > 65535 then
    error(("codec.serve: port is from 0 to 65535, got %d"):format(port), 2)
  end
  local handle, found = core.codec_server({
    ip = o.ip or "localhost", port = port, origins = check_origins(o.origins), auth = o.auth,
    namespace = o.namespace or "default",
  }, converter.check("codec.serve", o.data_converter, 2))
  return setmetatable({ handle = handle, port = found }, CodecServer)
end
