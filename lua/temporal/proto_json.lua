--- The JSON form of protobuf messages, by the descriptors of temporal.proto.
local wire = require "temporal.proto_wire"

local M = {}

local DEPTH_MAX = 100

local function fail(text, ...)
  error(text:format(...), 0)
end

-- Base64 -----------------------------------------------------------------------------------------

local digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local values = {}
for i = 1, 64 do
  values[digits:byte(i)] = i - 1
end
values[("-"):byte()], values[("_"):byte()] = 62, 63 -- the form for addresses is read too

function M.to_base64(bytes)
  local out = {}
  for i = 1, #bytes, 3 do
    local a, b, c = bytes:byte(i, i + 2)
    local n = a << 16 | (b or 0) << 8 | (c or 0)
    local four = ""
    for shift = 18, 0, -6 do
      local d = (n >> shift & 63) + 1
      four = four .. digits:sub(d, d)
    end
    out[#out + 1] = c and four or b and four:sub(1, 3) .. "=" or four:sub(1, 2) .. "=="
  end
  return table.concat(out)
end

--- Either alphabet is read, with or without padding; raises that `path` is none.
function M.from_base64(text, path)
  local out, bits, count = {}, 0, 0
  for i = 1, #(text:gsub("=+$", "")) do
    local v = values[text:byte(i)] or fail("%s is no base64", path)
    bits, count = (bits << 6 | v) & 0xffffff, count + 6
    if count >= 8 then
      count = count - 8
      out[#out + 1] = string.char(bits >> count & 255)
    end
  end
  return table.concat(out)
end

-- Times ------------------------------------------------------------------------------------------

--- Days since 1970-01-01, and back; proleptic Gregorian.
local function days_of(y, m, d)
  y = m <= 2 and y - 1 or y
  local era = y // 400
  local yoe = y - era * 400
  local doy = (153 * (m + (m > 2 and -3 or 9)) + 2) // 5 + d - 1
  return era * 146097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - 719468
end

local function date_of(days)
  days = days + 719468
  local era = days // 146097
  local doe = days - era * 146097
  local yoe = (doe - doe // 1460 + doe // 36524 - doe // 146096) // 365
  local doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
  local mp = (5 * doy + 2) // 153
  local m = mp + (mp < 10 and 3 or -9)
  return yoe + era * 400 + (m <= 2 and 1 or 0), m, doy - (153 * mp + 2) // 5 + 1
end

local function fraction(nanos)
  if nanos == 0 then
    return ""
  end
  local text = ("%09d"):format(nanos)
  return "." .. (text:sub(7) ~= "000" and text or text:sub(4) ~= "000000" and text:sub(1, 6) or text:sub(1, 3))
end

local function nanos_of(text)
  return text == "" and 0 or math.tointeger(tonumber((text:sub(2) .. "000000000"):sub(1, 9)))
end

local special = {} -- message name -> how it is written and read

special["google.protobuf.Timestamp"] = {
  write = function(v, path)
    local s, n = v.seconds or 0, v.nanos or 0
    if math.type(s) ~= "integer" or math.type(n) ~= "integer" or s < -62135596800 or s > 253402300799 or n < 0
      or n > 999999999 then
      fail("%s is out of the range of a timestamp", path)
    end
    local y, m, d = date_of(s // 86400)
    local rest = s % 86400
    return ("%04d-%02d-%02dT%02d:%02d:%02d%sZ"):format(y, m, d, rest // 3600, rest // 60 % 60, rest % 60, fraction(n))
  end,
  read = function(v, path)
    local y, m, d, h, min, s, part, zone =
      tostring(v):match "^(%d%d%d%d)-(%d%d)-(%d%d)[Tt](%d%d):(%d%d):(%d%d)(%.?%d*)([Zz+-].*)$"
    local sign, zh, zm = (zone or ""):match "^([+-])(%d%d):(%d%d)$"
    if not y or not (zone == "Z" or zone == "z" or sign) then
      fail("%s is no time as 2026-01-31T10:00:00Z", path)
    end
    local offset = sign and (tonumber(zh) * 3600 + tonumber(zm) * 60) * (sign == "-" and -1 or 1) or 0
    return {
      seconds = math.tointeger(days_of(tonumber(y), tonumber(m), tonumber(d)) * 86400 + tonumber(h) * 3600
        + tonumber(min) * 60 + tonumber(s) - offset),
      nanos = nanos_of(part),
    }
  end,
}

special["google.protobuf.Duration"] = {
  write = function(v)
    local s, n = v.seconds or 0, v.nanos or 0
    return ("%s%d%ss"):format((s < 0 or n < 0) and "-" or "", math.abs(s), fraction(math.abs(n)))
  end,
  read = function(v, path)
    local sign, s, part = tostring(v):match "^(-?)(%d+)(%.?%d*)s$"
    if not s then
      fail("%s is no duration as 1.5s", path)
    end
    local factor = sign == "-" and -1 or 1
    return { seconds = math.tointeger(tonumber(s)) * factor, nanos = nanos_of(part) * factor }
  end,
}

special["google.protobuf.FieldMask"] = {
  write = function(v)
    local paths = {}
    for i, p in ipairs(v.paths or {}) do
      paths[i] = p:gsub("_(%l)", string.upper)
    end
    return table.concat(paths, ",")
  end,
  read = function(v)
    local paths = {}
    for p in tostring(v):gmatch "[^,]+" do
      paths[#paths + 1] = p:gsub("%u", function(c) return "_" .. c:lower() end)
    end
    return { paths = paths }
  end,
}

special["google.protobuf.Any"] = {
  write = function(_, path)
    fail("%s is a google.protobuf.Any, which travels in binary form only (proto_encoding = 'binary')", path)
  end,
  read = function(_, path)
    fail("%s is a google.protobuf.Any, which is read in binary form only", path)
  end,
}

-- google.protobuf.Struct and its parts: in Lua as the message says (fields, values, string_value ...).
local function null()
  return require "temporal".null
end

local function is_list(v)
  return #v > 0 or getmetatable(v) == false -- the mark of an empty list, which is protected
end

local write_struct, write_list, read_struct, read_list

local function write_any_value(v, path)
  if v.struct_value then
    return write_struct(v.struct_value, path)
  elseif v.list_value then
    return write_list(v.list_value, path)
  end
  for _, name in ipairs { "number_value", "string_value", "bool_value" } do
    if v[name] ~= nil then
      return v[name]
    end
  end
  return null()
end

function write_struct(v, path)
  local out = {}
  for k, item in pairs(v.fields or {}) do
    out[k] = write_any_value(item, path .. "." .. k)
  end
  return out
end

function write_list(v, path)
  local out = require "temporal".array {}
  for i, item in ipairs(v.values or {}) do
    out[i] = write_any_value(item, path)
  end
  return out
end

local function read_any_value(v)
  if v == null() then
    return { null_value = "NULL_VALUE" }
  elseif type(v) == "table" then
    return is_list(v) and { list_value = read_list(v) } or { struct_value = read_struct(v) }
  elseif type(v) == "number" then
    return { number_value = v + 0.0 }
  end
  return type(v) == "boolean" and { bool_value = v } or { string_value = v }
end

function read_struct(v)
  local fields = {}
  for k, item in pairs(v) do
    fields[k] = read_any_value(item)
  end
  return { fields = fields }
end

function read_list(v)
  local list = {}
  for i, item in ipairs(v) do
    list[i] = read_any_value(item)
  end
  return { values = list }
end

special["google.protobuf.Struct"] = { write = write_struct, read = read_struct }
special["google.protobuf.ListValue"] = { write = write_list, read = read_list }
special["google.protobuf.Value"] = { write = write_any_value, read = read_any_value, null = true }

local wrappers = {}
for _, name in ipairs { "Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes" } do
  wrappers["google.protobuf." .. name .. "Value"] = true
end

-- Writing ----------------------------------------------------------------------------------------

local write_message

local wide = { int64 = true, uint64 = true, sint64 = true, fixed64 = true, sfixed64 = true }

local function unsigned_text(v)
  local tens = (v >> 1) // 5
  return v >= 0 and tostring(v) or ("%d%d"):format(tens, v - tens * 10)
end

local function write_one(f, v, path, depth)
  if f.type == "message" then
    return write_message(f.kind, v, path, depth + 1)
  end
  v = wire.check(f, v, path)
  if f.type == "bytes" then
    return M.to_base64(v)
  elseif f.type == "enum" then
    return f.kind.names[v] or v
  elseif f.type == "uint64" or f.type == "fixed64" then
    return unsigned_text(v)
  elseif wide[f.type] then
    return tostring(v)
  elseif (f.type == "double" or f.type == "float") and (v ~= v or v == math.huge or v == -math.huge) then
    return v ~= v and "NaN" or v > 0 and "Infinity" or "-Infinity"
  end
  return v
end

local function write_repeated(f, v, path, depth)
  local out = {}
  if type(v) ~= "table" then
    fail("%s must be a table, got %s", path, type(v))
  elseif f.map then
    local key, item = f.kind.by_number[1], f.kind.by_number[2]
    for _, k in ipairs(wire.sorted_keys(v)) do
      local at = ("%s[%s]"):format(path, tostring(k))
      out[tostring(wire.check(key, k, at))] = write_one(item, v[k], at, depth)
    end
    return out
  end
  for i = 1, #v do
    out[i] = write_one(f, v[i], ("%s[%d]"):format(path, i), depth)
  end
  return out
end

function write_message(message, v, path, depth)
  if depth > DEPTH_MAX then
    fail("%s is nested too deeply", path)
  end
  local set, out = wire.set_fields(message, v, path), {}
  if special[message.name] then
    return special[message.name].write(set, path)
  elseif wrappers[message.name] then
    local f = message.by_number[1]
    return write_one(f, v.value == nil and wire.fill(message, {}).value or v.value, path, depth)
  end
  for _, f in ipairs(message.fields) do
    local value = set[f.name]
    if value ~= nil and not (f.repeated and next(value) == nil) then
      local at = path == "" and f.name or path .. "." .. f.name
      out[f.json_name] = (f.repeated and write_repeated or write_one)(f, value, at, depth)
    end
  end
  return out
end

-- Reading ----------------------------------------------------------------------------------------

local read_message

local function read_integer(f, v, path)
  local n = type(v) == "string" and v:match "^-?%d+$" and math.tointeger(tonumber(v)) or v
  if type(v) == "string" and math.type(n) ~= "integer" and (f.type == "uint64" or f.type == "fixed64") then
    n = 0
    for digit in v:gmatch "%d" do
      n = n * 10 + math.tointeger(tonumber(digit)) -- modulo 2^64
    end
  end
  return wire.check(f, n, path)
end

local function read_one(f, v, path, depth)
  if f.type == "message" then
    return read_message(f.kind, v, path, depth + 1)
  elseif f.type == "bytes" then
    return M.from_base64(type(v) == "string" and v or fail("%s is no base64", path), path)
  elseif f.type == "enum" then
    local n = wire.check(f, v, path)
    return f.kind.names[n] or n
  elseif f.type == "double" or f.type == "float" then
    local odd = { NaN = 0 / 0, Infinity = math.huge, ["-Infinity"] = -math.huge }
    return wire.check(f, (odd[v] or tonumber(v) or v), path) + 0.0
  elseif f.type == "string" or f.type == "bool" then
    return wire.check(f, v, path)
  end
  return read_integer(f, v, path)
end

local function map_key(f, k, path)
  if f.type == "bool" then
    return k == "true" or k ~= "false" and fail("%s must be true or false", path)
  end
  return f.type == "string" and k or read_integer(f, k, path)
end

local function read_repeated(f, v, path, depth)
  local out = {}
  if type(v) ~= "table" then
    fail("%s must be a table, got %s", path, type(v))
  elseif f.map then
    local key, item = f.kind.by_number[1], f.kind.by_number[2]
    for k, value in pairs(v) do
      local at = ("%s[%s]"):format(path, k)
      out[map_key(key, k, at)] = read_one(item, value, at, depth)
    end
    return out
  end
  for i = 1, #v do
    out[i] = read_one(f, v[i], ("%s[%d]"):format(path, i), depth)
  end
  return out
end

function read_message(message, v, path, depth)
  if depth > DEPTH_MAX then
    fail("%s is nested too deeply", path)
  elseif special[message.name] then
    return special[message.name].read(v, path)
  elseif wrappers[message.name] then
    return { value = read_one(message.by_number[1], v, path, depth) }
  elseif type(v) ~= "table" then
    fail("%s must be an object for %s, got %s", path == "" and "the value" or path, message.name, type(v))
  end
  local out = {}
  for k, value in pairs(v) do
    local f = message.by_name[k]
    local nullable = f and f.kind and special[f.kind.name] and special[f.kind.name].null
    if f and (value ~= null() or nullable) then
      local at = path == "" and f.name or path .. "." .. f.name
      wire.set(message, out, f, (f.repeated and read_repeated or read_one)(f, value, at, depth))
    end
  end
  return wire.fill(message, out)
end

-- The two ----------------------------------------------------------------------------------------

local function named(message, fn, ...)
  local ok, out = pcall(fn, ...)
  if not ok then
    error(("%s: %s"):format(message.name, tostring(out)), 0)
  end
  return out
end

--- JSON text of a table. Raises what is wrong with it, with the path.
function M.encode(message, v)
  return named(message, function()
    return require "temporal".json.encode(write_message(message, v, "", 1))
  end)
end

--- The table of JSON text; unknown fields are left out.
function M.decode(message, text)
  return named(message, function()
    return read_message(message, require "temporal".json.decode(text), "", 1)
  end)
end

return M
