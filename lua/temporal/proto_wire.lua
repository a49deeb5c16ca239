--- The binary form of protobuf messages, by the descriptors of temporal.proto.
local M = {}

local DEPTH_MAX = 100

local function fail(text, ...)
  error(text:format(...), 0)
end

-- Reading ----------------------------------------------------------------------------------------

local function read_varint(s, at)
  local value, shift = 0, 0
  repeat
    local byte = s:byte(at)
    if not byte or shift > 63 then
      fail "the message is cut off, or is none"
    end
    value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
  until byte < 128
  return value, at
end

--- Iterates over the fields of an encoded message: number, value (an integer for numbers of fixed size), wire type.
function M.fields(s)
  local at = 1
  if type(s) ~= "string" then
    fail "the message is cut off, or is none"
  end
  return function()
    if at > #s then
      return nil
    end
    local key, value
    key, at = read_varint(s, at)
    local number, kind = key >> 3, key & 7
    if kind == 0 then
      value, at = read_varint(s, at)
    elseif kind == 2 then
      local n
      n, at = read_varint(s, at)
      if n < 0 or n > #s - at + 1 then
        fail "the message is cut off, or is none"
      end
      value, at = s:sub(at, at + n - 1), at + n
    elseif (kind == 1 or kind == 5) and #s - at + 1 >= (kind == 1 and 8 or 4) then
      value, at = string.unpack(kind == 1 and "<i8" or "<I4", s, at)
    else
      fail "the message is cut off, or is none"
    end
    if number == 0 then
      fail "the message has a field of number 0"
    end
    return number, value, kind
  end
end

local function signed32(v)
  v = v & 0xffffffff
  return v >= 0x80000000 and v - 0x100000000 or v
end

local function unzigzag(v)
  return v >> 1 ~ -(v & 1)
end

--- Wire type and the value of the integer that was read.
local scalars = {
  int32 = { 0, signed32 }, sint32 = { 0, function(v) return signed32(unzigzag(v & 0xffffffff)) end },
  uint32 = { 0, function(v) return v & 0xffffffff end }, int64 = { 0, function(v) return v end },
  uint64 = { 0, function(v) return v end }, sint64 = { 0, unzigzag },
  bool = { 0, function(v) return v ~= 0 end },
  fixed32 = { 5, function(v) return v end }, sfixed32 = { 5, signed32 },
  float = { 5, function(v) return (string.unpack("<f", string.pack("<I4", v))) end },
  fixed64 = { 1, function(v) return v end }, sfixed64 = { 1, function(v) return v end },
  double = { 1, function(v) return (string.unpack("<d", string.pack("<i8", v))) end },
}

local decode

local function read_value(f, value, depth)
  if f.type == "message" then
    return decode(f.kind, value, depth + 1)
  elseif f.type == "enum" then
    return f.kind.names[signed32(value)] or signed32(value)
  elseif f.type == "string" and not utf8.len(value) then
    fail("%s is not UTF-8", f.name)
  elseif f.type == "string" or f.type == "bytes" then
    return value
  end
  return scalars[f.type][2](value)
end

local function wire_type(f)
  return f.type == "enum" and 0 or scalars[f.type] and scalars[f.type][1] or 2
end

local function read_packed(f, list, bytes)
  local at, kind = 1, wire_type(f)
  while at <= #bytes do
    local value
    if kind == 0 then
      value, at = read_varint(bytes, at)
    elseif #bytes - at + 1 < (kind == 1 and 8 or 4) then
      fail "the message is cut off, or is none"
    else
      value, at = string.unpack(kind == 1 and "<i8" or "<I4", bytes, at)
    end
    list[#list + 1] = read_value(f, value, 0)
  end
end

local function zero(f)
  if f.type == "string" or f.type == "bytes" then
    return ""
  elseif f.type == "bool" then
    return false
  elseif f.type == "enum" then
    return f.kind.names[0] or 0
  elseif f.type == "message" then
    return {}
  end
  return (f.type == "double" or f.type == "float") and 0.0 or 0
end

--- Fields that have no presence get their default.
function M.fill(message, out)
  for _, f in ipairs(message.fields) do
    if f.repeated then
      out[f.name] = out[f.name] or {}
    elseif out[f.name] == nil and not f.presence then
      out[f.name] = zero(f)
    end
  end
  return out
end

--- A member of a oneof takes the others' place.
function M.set(message, out, f, value)
  if f.oneof then
    for _, other in ipairs(message.fields) do
      if other.oneof == f.oneof then
        out[other.name] = nil
      end
    end
  end
  out[f.name] = value
end

local function read_map(f, out, value, depth)
  local entry = decode(f.kind, value, depth + 1)
  local key, item = f.kind.by_number[1], f.kind.by_number[2]
  local k, v = entry[key.name], entry[item.name]
  out[k == nil and zero(key) or k] = v == nil and zero(item) or v
end

function decode(message, bytes, depth)
  if depth > DEPTH_MAX then
    fail "the message is nested too deeply"
  end
  local out = {}
  for number, value, kind in M.fields(bytes) do
    local f = message.by_number[number]
    if f and f.repeated then
      local list = out[f.name] or {}
      out[f.name] = list
      if f.map and kind == 2 then
        read_map(f, list, value, depth)
      elseif kind == 2 and wire_type(f) ~= 2 then
        read_packed(f, list, value)
      elseif kind == wire_type(f) then
        list[#list + 1] = read_value(f, value, depth)
      end
    elseif f and kind == wire_type(f) then
      M.set(message, out, f, read_value(f, value, depth))
    end
  end
  return M.fill(message, out)
end

--- The table of an encoded message. Raises what is wrong with it.
function M.decode(message, bytes)
  local ok, out = pcall(decode, message, bytes, 1)
  if not ok then
    error(("%s: %s"):format(message.name, out), 0)
  end
  return out
end

-- Writing ----------------------------------------------------------------------------------------

local function varint(v)
  local out = {}
  while v & ~127 ~= 0 do
    out[#out + 1] = string.char(v & 127 | 128)
    v = v >> 7
  end
  return table.concat(out) .. string.char(v)
end

local ranges = {
  int32 = { -0x80000000, 0x7fffffff }, sint32 = { -0x80000000, 0x7fffffff }, sfixed32 = { -0x80000000, 0x7fffffff },
  uint32 = { 0, 0xffffffff }, fixed32 = { 0, 0xffffffff }, enum = { -0x80000000, 0x7fffffff },
}

local function shown(v)
  return type(v) == "number" and tostring(v) or type(v) == "string" and ("'%s'"):format(v:sub(1, 40)) or type(v)
end

--- The value as the field holds it; raises when it cannot. Names of enums become numbers. Bytes may be a
--- temporal.bytes.
function M.check(f, v, path)
  if f.type == "string" or f.type == "bytes" then
    if f.type == "bytes" and type(v) == "userdata" then
      v = tostring(v)
    end
    if type(v) ~= "string" then
      fail("%s must be a string, got %s", path, shown(v))
    elseif f.type == "string" and not utf8.len(v) then
      fail("%s is not UTF-8", path)
    end
    return v
  elseif f.type == "bool" or f.type == "double" or f.type == "float" then
    local want = f.type == "bool" and "boolean" or "number"
    if type(v) ~= want then
      fail("%s must be a %s, got %s", path, want, shown(v))
    end
    return v
  elseif f.type == "enum" and type(v) == "string" then
    return f.kind.numbers[v] or fail("%s: %s is no value of %s", path, shown(v), f.type_name)
  end
  local n = type(v) == "number" and math.tointeger(v)
  local range = ranges[f.type]
  if not n then
    fail("%s must be an integer, got %s", path, shown(v))
  elseif range and (n < range[1] or n > range[2]) then
    fail("%s: %d does not fit %s", path, n, f.type)
  end
  return n
end

local encode

local function write_scalar(f, v)
  local t = f.type
  if t == "string" or t == "bytes" then
    return varint(#v) .. v
  elseif t == "bool" then
    return v and "\1" or "\0"
  elseif t == "double" then
    return string.pack("<d", v)
  elseif t == "float" then
    return string.pack("<f", v)
  elseif t == "fixed64" or t == "sfixed64" then
    return string.pack("<i8", v)
  elseif t == "fixed32" or t == "sfixed32" then
    return string.pack("<I4", v & 0xffffffff)
  elseif t == "sint32" or t == "sint64" then
    return varint(v << 1 ~ -(v >> 63 & 1))
  end
  return varint(v)
end

local function write_one(f, v, path, depth)
  if f.type == "message" then
    local bytes = encode(f.kind, v, path, depth + 1)
    return varint(#bytes) .. bytes
  end
  return write_scalar(f, M.check(f, v, path))
end

local function tag(f)
  return varint(f.number << 3 | wire_type(f))
end

--- Keys of a map in an order of their own: numbers, then texts, then booleans.
function M.sorted_keys(t)
  local keys = {}
  for k in pairs(t) do
    keys[#keys + 1] = k
  end
  table.sort(keys, function(a, b)
    if type(a) ~= type(b) then
      return type(a) < type(b)
    elseif type(a) == "boolean" then
      return not a and b
    end
    return a < b
  end)
  return keys
end

local function write_repeated(f, v, path, depth)
  local out = {}
  if type(v) ~= "table" then
    fail("%s must be a table, got %s", path, shown(v))
  elseif f.map then
    local key, item = f.kind.by_number[1], f.kind.by_number[2]
    for _, k in ipairs(M.sorted_keys(v)) do
      local at = ("%s[%s]"):format(path, tostring(k))
      local entry = tag(key) .. write_one(key, k, at, depth) .. tag(item) .. write_one(item, v[k], at, depth)
      out[#out + 1] = tag(f) .. varint(#entry) .. entry
    end
    return table.concat(out)
  end
  for i = 1, #v do
    out[i] = write_one(f, v[i], ("%s[%d]"):format(path, i), depth)
  end
  local prefix = tag(f)
  if wire_type(f) ~= 2 and #v > 0 then -- packed
    local bytes = table.concat(out)
    return varint(f.number << 3 | 2) .. varint(#bytes) .. bytes
  end
  for i, bytes in ipairs(out) do
    out[i] = prefix .. bytes
  end
  return table.concat(out)
end

--- Checks the keys of a value; returns the fields that are set, by name. A default without presence is not set.
function M.set_fields(message, v, path)
  local set, oneofs = {}, {}
  if type(v) ~= "table" then
    fail("%s must be a table for %s, got %s", path == "" and "the value" or path, message.name, shown(v))
  end
  local null = require "temporal".null
  for _, name in ipairs(M.sorted_keys(v)) do
    local f = message.by_name[name]
    if not f then
      fail("%sno field is named '%s'", path == "" and "" or path .. ": ", tostring(name))
    end
    local value = v[name]
    if value ~= null then
      if f.oneof and oneofs[f.oneof] then
        fail("%s%s and %s exclude each other", path == "" and "" or path .. ": ", oneofs[f.oneof], f.name)
      elseif f.oneof then
        oneofs[f.oneof] = f.name
      end
      if f.presence or f.repeated or value ~= zero(f) and value ~= 0 then
        set[f.name] = value
      end
    end
  end
  return set
end

function encode(message, v, path, depth)
  if depth > DEPTH_MAX then
    fail("%s is nested too deeply", path)
  end
  local set, out = M.set_fields(message, v, path), {}
  for _, f in ipairs(message.fields) do
    local value = set[f.name]
    if value ~= nil then
      local at = path == "" and f.name or path .. "." .. f.name
      out[#out + 1] = f.repeated and write_repeated(f, value, at, depth) or tag(f) .. write_one(f, value, at, depth)
    end
  end
  return table.concat(out)
end

--- The encoded message of a table. Raises what is wrong with it, with the path.
function M.encode(message, v)
  local ok, out = pcall(encode, message, v, "", 1)
  if not ok then
    error(("%s: %s"):format(message.name, out), 0)
  end
  return out
end

return M
