--- Data converters: what happens to values between the program and the service. The payload codecs of
--- a client's converter work on everything that the client, its workers and its testing environments
--- send and get.
local connection = require "temporal.internal.connection"
local options = require "temporal.internal.options"

local converter = { codec = {}, storage = {} }

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
  tls = { kind = "table" },
}

local function check_endpoint(where, endpoint)
  if not endpoint:find "^https?://." then
    error(("%s: endpoint begins with http:// or https://, got '%s'"):format(where, endpoint), 3)
  end
  return endpoint
end

--- Headers as a sorted list of lines.
local function header_lines(where, headers)
  local lines = {}
  for name, value in pairs(headers or {}) do
    if type(name) ~= "string" or type(value) ~= "string" or (name .. value):find "[\r\n]" or name:find ":" then
      error(("%s: headers holds lines of text under names, got a %s under %s"):format(
        where, type(value), tostring(name)), 3)
    end
    lines[#lines + 1] = name .. ": " .. value
  end
  if #lines > 60 then
    error(("%s: at most 60 headers, got %d"):format(where, #lines), 3)
  end
  table.sort(lines)
  return lines
end

local function timeout_ms(where, ns)
  if ns and ns < 1000000 then
    error(where .. ": timeout is at least a millisecond", 3)
  end
  return (ns or 30 * 1000000000) // 1000000
end

local function tls_of(where, o)
  if o.tls and not o.endpoint:find "^https:" then
    error(("%s: tls is for an endpoint with https://, got '%s'"):format(where, o.endpoint), 3)
  end
  return connection.tls_table(where, o.tls, 3)
end

--- A codec server that other programs use too: payloads are posted to `endpoint`/encode and `endpoint`/decode
--- as JSON. "{namespace}" in the endpoint is replaced; the namespace also goes as X-Namespace, `auth` as
--- Authorization, `headers` as they are. `timeout` of a request: default 30 s. `tls`: as of temporal.connect.
---@param opts { endpoint: string, auth?: string, headers?: table, timeout?: number|string, tls?: temporal.TLSOptions }
---@return temporal.Codec
function converter.codec.remote(opts)
  local o = options.check("codec.remote", remote_spec, opts)
  if o.auth and o.auth:find "[\r\n]" then
    error("codec.remote: auth is one line", 2)
  end
  return setmetatable({
    kind = "remote", endpoint = check_endpoint("codec.remote", o.endpoint), auth = o.auth or "",
    headers = header_lines("codec.remote", o.headers), timeout_ms = timeout_ms("codec.remote", o.timeout),
    tls = tls_of("codec.remote", o),
  }, Codec)
end

---@class temporal.StorageDriver
---@field kind string
---@field name string
local Driver = {}
Driver.__name = "temporal.StorageDriver"

local function driver(where, kind, name, fields)
  if not name:find "^[%w%._%-]+$" or #name > 100 then
    error(("%s: a driver's name is made of letters, digits, '.', '_' and '-', got '%s'"):format(where, name), 3)
  end
  fields.kind, fields.name = kind, name
  return setmetatable(fields, Driver)
end

local file_spec = { folder = { kind = "string", required = true }, name = { kind = "string" } }

--- Files in a folder that all programs share, named by the SHA-256 of their content.
---@param opts { folder: string, name?: string }
---@return temporal.StorageDriver
function converter.storage.file(opts)
  local o = options.check("storage.file", file_spec, opts)
  return driver("storage.file", "file", o.name or "file", { folder = o.folder })
end

local http_spec = {
  endpoint = { kind = "string", required = true },
  bucket = { kind = "string", required = true },
  name = { kind = "string" },
  headers = { kind = "table" },
  timeout = { kind = "duration" },
  tls = { kind = "table" },
}

--- An object store over HTTP: HEAD, PUT and GET of endpoint/bucket/key. The default name and the claims are those
--- of the Python SDK's driver for S3. `tls`: as of temporal.connect.
---@param opts { endpoint: string, bucket: string, name?: string, headers?: table, timeout?: number, tls?: table }
---@return temporal.StorageDriver
function converter.storage.http(opts)
  local o = options.check("storage.http", http_spec, opts)
  return driver("storage.http", "http", o.name or "aws.s3driver", {
    endpoint = check_endpoint("storage.http", o.endpoint), bucket = o.bucket,
    headers = header_lines("storage.http", o.headers), timeout_ms = timeout_ms("storage.http", o.timeout),
    tls = tls_of("storage.http", o),
  })
end

local module_spec = { module = { kind = "string", required = true }, name = { kind = "string", required = true } }

--- A driver written in Lua: a module with `store(bytes, context)`, which returns a claim (a table of texts), and
--- `retrieve(claim, context)`, which returns the bytes. The context tells whose payload it is.
---@param opts { module: string, name: string }
---@return temporal.StorageDriver
function converter.storage.module(opts)
  local o = options.check("storage.module", module_spec, opts)
  return driver("storage.module", "lua", o.name, { module = o.module })
end

---@class temporal.ExternalStorage
local ExternalStorage = {}
ExternalStorage.__name = "temporal.ExternalStorage"

local storage_spec = {
  drivers = { kind = "table", required = true },
  driver_selector = { kind = "string" },
  payload_size_threshold = { kind = "integer" },
}

--- Keeps payloads from `payload_size_threshold` bytes up (default 256 KiB, after codecs) in external storage
--- and sends references in their place. With several drivers `driver_selector` names a module with
--- `select{ size =, metadata =, context = }`, which returns a driver's name, or nil to leave the payload where it is.
---@param opts { drivers: temporal.StorageDriver[], driver_selector?: string, payload_size_threshold?: integer }
---@return temporal.ExternalStorage
function converter.external_storage(opts)
  local where = "temporal.external_storage"
  local o = options.check(where, storage_spec, opts)
  local seen, drivers = {}, {}
  for i, entry in ipairs(o.drivers) do
    if getmetatable(entry) ~= Driver then
      error(("%s: drivers[%d] is one of temporal.storage, got %s"):format(where, i, type(entry)), 2)
    elseif seen[entry.name] then
      error(("%s: two drivers have the name '%s'"):format(where, entry.name), 2)
    end
    seen[entry.name], drivers[i] = true, entry
  end
  local threshold = o.payload_size_threshold or 262144
  if #drivers == 0 or #drivers > 16 then
    error(("%s: drivers is a list of 1 to 16, got %d"):format(where, #drivers), 2)
  elseif #drivers > 1 and not o.driver_selector then
    error(where .. ": several drivers need a driver_selector", 2)
  elseif threshold < 0 then
    error(("%s: payload_size_threshold is not negative, got %d"):format(where, threshold), 2)
  end
  return setmetatable({ drivers = drivers, selector = o.driver_selector or "", threshold = threshold },
    ExternalStorage)
end

--- The fields of temporal.DataConverterOptions.
local converter_spec = {
  external_storage = { kind = "any" },
  payload_converters = { kind = "table" },
  proto_types = { kind = "string" },
  proto_encoding = { kind = "enum", prefix = "", values = { "json", "binary" } },
  payload_codecs = { kind = "table" },
  failure_converter = { kind = "table" },
  header_codec_behavior = { kind = "enum", prefix = "", values = { "no_codec", "codec", "workflow_only_codec" } },
  codec_threads = { kind = "integer" },
}
local failure_spec = { encode_common_attributes = { kind = "boolean" }, module = { kind = "string" } }

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

--- The names of the converters, with one for the descriptors in proto_types.
local function all_converters(o, failure_module)
  local names = list_of("payload_converters", o.payload_converters, 63, converter_of)
  if o.proto_encoding and not o.proto_types then
    error("temporal.data_converter: proto_encoding without proto_types", 3)
  elseif o.proto_types then
    local file, message = io.open(o.proto_types, "rb")
    if not file then
      error("temporal.data_converter: proto_types: " .. message, 3)
    end
    file:close()
    names[#names + 1] = ("proto:%s:%s"):format(o.proto_encoding or "json", o.proto_types)
  end
  names[#names + 1] = failure_module
  return names
end

--- A data converter for temporal.connect. Options: `payload_converters`, a list of names of modules that
--- return a table of `encoding`, `to_payload` and `from_payload`, asked in this order before the converters
--- that are built in; `external_storage`, made by temporal.external_storage; `payload_codecs`, a list of
--- built-in codecs (temporal.codec) and names of modules with functions `encode` and `decode`, applied last to first
--- when payloads are sent; `failure_converter = { encode_common_attributes = true }` to send messages
--- and stack traces of failures as payloads, and `module`, a module with `to_failure` and `from_failure`, which get
--- errors on their way out and in; `header_codec_behavior`; `codec_threads` (default 2).
---@param opts? temporal.DataConverterOptions
---@return temporal.DataConverter
function converter.data_converter(opts)
  local o = options.check("temporal.data_converter", converter_spec, opts)
  local failure = options.check("temporal.data_converter: failure_converter", failure_spec, o.failure_converter)
  local codecs = list_of("payload_codecs", o.payload_codecs, 16, codec_of)
  local threads = o.codec_threads or 2
  if o.external_storage ~= nil and getmetatable(o.external_storage) ~= ExternalStorage then
    error("temporal.data_converter: external_storage is made by temporal.external_storage, got "
      .. type(o.external_storage), 2)
  end
  if threads < 1 or threads > 64 then
    error(("temporal.data_converter: codec_threads is from 1 to 64, got %d"):format(threads), 2)
  end
  return setmetatable({
    payload_converters = all_converters(o, failure.module),
    codecs = codecs,
    storage = o.external_storage,
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
  local plain = given and #given.codecs == 0 and not given.storage and not given.encode_common_attributes
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
---@field proto_types? string
---@field proto_encoding? "json"|"binary"
---@field external_storage? temporal.ExternalStorage
---@field payload_codecs? (temporal.Codec|string)[]
---@field failure_converter? { encode_common_attributes?: boolean, module?: string }
---@field header_codec_behavior? "no_codec"|"codec"|"workflow_only_codec"
---@field codec_threads? integer

return converter
