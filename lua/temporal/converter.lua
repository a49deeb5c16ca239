--- Data converters: what happens to values between the program and the service. The payload codecs of
--- a client's converter work on everything that the client, its workers and its testing environments
--- send and get.
local options = require "temporal.internal.options"

local converter = { codec = {} }

---@class temporal.Codec
---@field kind string
local Codec = {}
Codec.__name = "temporal.Codec"

---@class temporal.DataConverter
---@field payload_converters string[]
---@field codecs temporal.Codec[]
---@field threads integer
---@field headers string
---@field encode_common_attributes boolean
local DataConverter = {}
DataConverter.__name = "temporal.DataConverter"

local aes_spec = {
  keys = { kind = "table", required = true },
  active = { kind = "string", required = true },
}

--- AES-GCM: payloads are encrypted with the active key and decrypted with the key that they name, so
--- that keys can be changed while workflows run. Keys have 16, 24 or 32 bytes.
---@param opts { keys: table<string, string>, active: string }
---@return temporal.Codec
function converter.codec.aes_gcm(opts)
  local o = options.check("codec.aes_gcm", aes_spec, opts)
  local keys, count = {}, 0
  for id, key in pairs(o.keys) do
    if type(id) ~= "string" or type(key) ~= "string" then
      error(("codec.aes_gcm: keys holds texts under their ids, got a %s under %s"):format(type(key), tostring(id)), 2)
    elseif #key ~= 16 and #key ~= 24 and #key ~= 32 then
      error(("codec.aes_gcm: key '%s' has %d bytes, AES takes 16, 24 or 32"):format(id, #key), 2)
    end
    keys[id], count = key, count + 1
  end
  if count > 64 then
    error(("codec.aes_gcm: at most 64 keys, got %d"):format(count), 2)
  elseif not keys[o.active] then
    error(("codec.aes_gcm: no key has the active id '%s'"):format(o.active), 2)
  end
  return setmetatable({ kind = "aes_gcm", keys = keys, active = o.active }, Codec)
end

local zlib_spec = { level = { kind = "integer" }, min_size = { kind = "integer" } }

--- Compression of payloads from `min_size` bytes up (default 256), where it makes them smaller.
--- `level` is 1 (fast) to 9 (small), default 6.
---@param opts? { level?: integer, min_size?: integer }
---@return temporal.Codec
function converter.codec.zlib(opts)
  local o = options.check("codec.zlib", zlib_spec, opts)
  local level, min_size = o.level or 6, o.min_size or 256
  if level < 1 or level > 9 then
    error(("codec.zlib: level is from 1 to 9, got %d"):format(level), 2)
  elseif min_size < 0 then
    error(("codec.zlib: min_size is not negative, got %d"):format(min_size), 2)
  end
  return setmetatable({ kind = "zlib", level = level, min_size = min_size }, Codec)
end

local remote_spec = {
  endpoint = { kind = "string", required = true },
  auth = { kind = "string" },
  headers = { kind = "table" },
  timeout = { kind = "duration" },
}

--- A codec server that other programs use too: payloads are posted to `endpoint`/encode and `endpoint`/decode
--- as JSON. "{namespace}" in the endpoint is replaced; the namespace also goes as X-Namespace, `auth` as
--- Authorization, `headers` as they are. `timeout` of a request: default 30 s.
---@param opts { endpoint: string, auth?: string, headers?: table<string, string>, timeout?: number|string }
---@return temporal.Codec
function converter.codec.remote(opts)
  local o = options.check("codec.remote", remote_spec, opts)
  local headers = {}
  for name, value in pairs(o.headers or {}) do
    if type(name) ~= "string" or type(value) ~= "string" or (name .. value):find "[\r\n]" or name:find ":" then
      error(("codec.remote: headers holds lines of text under names, got a %s under %s"):format(
        type(value), tostring(name)), 2)
    end
    headers[#headers + 1] = name .. ": " .. value
  end
  table.sort(headers)
  if not o.endpoint:find "^https?://." then
    error(("codec.remote: endpoint begins with http:// or https://, got '%s'"):format(o.endpoint), 2)
  elseif #headers > 60 then
    error(("codec.remote: at most 60 headers, got %d"):format(#headers), 2)
  elseif o.timeout and o.timeout < 1000000 then
    error("codec.remote: timeout is at least a millisecond", 2)
  elseif o.auth and o.auth:find "[\r\n]" then
    error("codec.remote: auth is one line", 2)
  end
  return setmetatable({
    kind = "remote", endpoint = o.endpoint, auth = o.auth or "", headers = headers,
    timeout_ms = (o.timeout or 30 * 1000000000) // 1000000,
  }, Codec)
end

local converter_spec = {
  payload_converters = { kind = "table" },
  payload_codecs = { kind = "table" },
  failure_converter = { kind = "table" },
  header_codec_behavior = { kind = "enum", prefix = "", values = { "no_codec", "codec", "workflow_only_codec" } },
  codec_threads = { kind = "integer" },
}
local failure_spec = { encode_common_attributes = { kind = "boolean" } }

local function codec_of(i, entry)
  if getmetatable(entry) == Codec then
    return entry
  elseif type(entry) == "string" then
    return setmetatable({ kind = "lua", module = entry }, Codec)
  end
  local hint = type(entry) == "table" and " (a codec with functions of this program cannot be used: codecs run on"
    .. " threads of their own and are loaded there by module name)" or ""
  local message = "temporal.data_converter: payload_codecs[%d] is one of temporal.codec or a module name, got %s%s"
  error(message:format(i, type(entry), hint), 4)
end

--- Checks that a table is a list of at most `most` entries; returns what `read(i, entry)` makes of them.
local function list_of(name, given, most, read)
  local out = {}
  for i, entry in ipairs(given or {}) do
    out[i] = read(i, entry)
  end
  for key in pairs(given or {}) do
    if math.type(key) ~= "integer" or key < 1 or key > #out then
      error(("temporal.data_converter: %s is a list, got the key %s"):format(name, tostring(key)), 3)
    end
  end
  if #out > most then
    error(("temporal.data_converter: at most %d %s, got %d"):format(most, name, #out), 3)
  end
  return out
end

local function converter_of(i, entry)
  if type(entry) == "string" then
    return entry
  end
  local message = "temporal.data_converter: payload_converters[%d] is a module name, got %s (workflows load it too, in"
    .. " their own states)"
  error(message:format(i, type(entry)), 4)
end

--- A data converter for temporal.connect. Options: `payload_converters`, a list of names of modules that
--- return a table of `encoding`, `to_payload` and `from_payload`, asked in this order before the converters
--- that are built in; `payload_codecs`, a list of built-in codecs
--- (temporal.codec) and names of modules with functions `encode` and `decode`, applied last to first
--- when payloads are sent; `failure_converter = { encode_common_attributes = true }` to send messages
--- and stack traces of failures as payloads; `header_codec_behavior`; `codec_threads` (default 2).
---@param opts? temporal.DataConverterOptions
---@return temporal.DataConverter
function converter.data_converter(opts)
  local o = options.check("temporal.data_converter", converter_spec, opts)
  local failure = options.check("temporal.data_converter: failure_converter", failure_spec, o.failure_converter)
  local codecs = list_of("payload_codecs", o.payload_codecs, 16, codec_of)
  local threads = o.codec_threads or 2
  if threads < 1 or threads > 64 then
    error(("temporal.data_converter: codec_threads is from 1 to 64, got %d"):format(threads), 2)
  end
  return setmetatable({
    payload_converters = list_of("payload_converters", o.payload_converters, 64, converter_of),
    codecs = codecs,
    threads = threads,
    headers = o.header_codec_behavior or "no_codec",
    encode_common_attributes = failure.encode_common_attributes or false,
  }, DataConverter)
end

--- Checks the option `data_converter` of a function; returns what temporal.core takes.
---@param where string
---@param given any
---@param level integer as error's, counted from the caller
---@return temporal.DataConverter?
function converter.check(where, given, level)
  if given ~= nil and getmetatable(given) ~= DataConverter then
    error(("%s: data_converter is made by temporal.data_converter, got %s"):format(where, type(given)), level + 1)
  end
  local plain = given and #given.codecs == 0 and not given.encode_common_attributes
  return not plain and given or nil
end

--- The modules of the payload converters of a checked data converter, or of none.
---@param given? temporal.DataConverter
---@return string[]
function converter.payload_converters(given)
  return given and given.payload_converters or {}
end

---@class temporal.DataConverterOptions
---@field payload_converters? string[]
---@field payload_codecs? (temporal.Codec|string)[]
---@field failure_converter? { encode_common_attributes?: boolean }
---@field header_codec_behavior? "no_codec"|"codec"|"workflow_only_codec"
---@field codec_threads? integer

return converter
