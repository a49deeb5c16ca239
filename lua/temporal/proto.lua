--- Protobuf values of the user's own messages: read from a FileDescriptorSet, written as json/protobuf or
--- binary/protobuf payloads. The same file serves host scripts and, as part of bundles that use it,
--- workflows.
---
--- Values are tables of fields under their proto names; 64-bit numbers are integers, bytes are strings, enums
--- are names, a number where the name is not known.
local wire = require "temporal.proto_wire"
local json = require "temporal.proto_json"

local M = {}

local function fail(text, ...)
  error(text:format(...), 0)
end

-- Descriptors ------------------------------------------------------------------------------------

local type_names = {
  "double", "float", "int64", "uint64", "int32", "fixed64", "fixed32", "bool", "string", "group", "message",
  "bytes", "uint32", "enum", "sfixed32", "sfixed64", "sint32", "sint64",
}

local function text(value)
  return type(value) == "string" and value or fail "it is no descriptor set"
end

local function read_field(bytes)
  local f = { label = 1 }
  for number, value in wire.fields(bytes) do
    if number == 1 then
      f.name = text(value)
    elseif number == 3 then
      f.number = value
    elseif number == 4 then
      f.label = value
    elseif number == 5 then
      f.type = type_names[value]
    elseif number == 6 then
      f.type_name = text(value):gsub("^%.", "")
    elseif number == 9 then
      f.oneof = value
    elseif number == 10 then
      f.json_name = text(value)
    elseif number == 17 then
      f.presence = value ~= 0
    end
  end
  if not f.name or math.type(f.number) ~= "integer" or f.number < 1 or not f.type or f.type == "group" then
    fail("the field '%s' has an unknown type", f.name or "?")
  end
  f.repeated = f.label == 3
  f.json_name = f.json_name or f.name:gsub("_(%l)", string.upper)
  return f
end

local function read_enum(bytes)
  local e = { names = {}, numbers = {} }
  for number, value in wire.fields(bytes) do
    if number == 1 then
      e.name = text(value)
    elseif number == 2 then
      local name, at = "", 0
      for n, v in wire.fields(value) do
        if n == 1 then
          name = text(v)
        elseif n == 2 then
          at = math.type(v) == "integer" and v or fail "it is no descriptor set"
        end
      end
      e.numbers[name] = at
      e.names[at] = e.names[at] or name
    end
  end
  return e
end

local read_message

local function add_nested(schema, prefix, messages, enums)
  for _, bytes in ipairs(messages) do
    read_message(schema, prefix, bytes)
  end
  for _, bytes in ipairs(enums) do
    local e = read_enum(bytes)
    schema.enums[prefix .. (e.name or fail "an enum has no name")] = e
  end
end

function read_message(schema, prefix, bytes)
  local m = { fields = {}, by_name = {}, by_number = {} }
  local nested, enums = {}, {}
  for number, value in wire.fields(bytes) do
    if number == 1 then
      m.name = prefix .. text(value)
    elseif number == 2 then
      m.fields[#m.fields + 1] = read_field(value)
    elseif number == 3 then
      nested[#nested + 1] = value
    elseif number == 4 then
      enums[#enums + 1] = value
    elseif number == 7 then
      for n, v in wire.fields(value) do
        m.map_entry = m.map_entry or n == 7 and v ~= 0
      end
    end
  end
  if not m.name then
    fail "a message has no name"
  end
  table.sort(m.fields, function(a, b) return a.number < b.number end)
  for _, f in ipairs(m.fields) do
    m.by_name[f.name], m.by_number[f.number] = f, f
    m.by_name[f.json_name] = m.by_name[f.json_name] or f
  end
  schema.messages[m.name] = m
  add_nested(schema, m.name .. ".", nested, enums)
end

local function read_file(schema, bytes)
  local package, messages, enums, syntax = "", {}, {}, "proto2"
  for number, value in wire.fields(bytes) do
    if number == 2 then
      package = text(value) .. "."
    elseif number == 4 then
      messages[#messages + 1] = value
    elseif number == 5 then
      enums[#enums + 1] = value
    elseif number == 12 then
      syntax = value
    end
  end
  local before = {}
  for name in pairs(schema.messages) do
    before[name] = true
  end
  add_nested(schema, package, messages, enums)
  for name, m in pairs(schema.messages) do
    m.proto2 = before[name] and m.proto2 or not before[name] and syntax ~= "proto3" or false
  end
end

local function link(schema)
  for name, m in pairs(schema.messages) do
    for _, f in ipairs(m.fields) do
      if f.type == "message" or f.type == "enum" then
        f.kind = (f.type == "message" and schema.messages or schema.enums)[f.type_name]
        if not f.kind then
          fail("it lacks %s, the type of %s.%s: make it with protoc --include_imports -o",
            f.type_name, name, f.name)
        end
        f.map = f.type == "message" and f.kind.map_entry or false
      end
      f.presence = f.presence or f.oneof ~= nil or f.type == "message" or (m.proto2 and not f.repeated) or false
    end
  end
end

--- The messages of an encoded google.protobuf.FileDescriptorSet.
---@param bytes string as `protoc --include_imports -o` writes it
function M.schema(bytes)
  local schema = { messages = {}, enums = {} }
  local ok, problem = pcall(function()
    for number, value in wire.fields(bytes) do
      if number == 1 then
        read_file(schema, value)
      end
    end
    link(schema)
  end)
  if not ok then
    error("the descriptor set cannot be used: " .. tostring(problem), 2)
  elseif next(schema.messages) == nil then
    error("the descriptor set has no messages", 2)
  end
  return schema
end

-- Values -----------------------------------------------------------------------------------------

local metatables = {}

local function metatable_of(name)
  local mt = metatables[name]
  if not mt then
    mt = {
      __name = name,
      __proto = name,
      __to_payload = function()
        error(("a value of %s was met without its descriptors: name their file in proto_types of the data converter")
          :format(name), 0)
      end,
    }
    metatables[name] = mt
  end
  return mt
end

--- A value of a message: the fields of the table under their proto names. It is checked when it is encoded.
---@param name string "shop.v1.Order"
---@param fields? table
---@return table
function M.new(name, fields)
  if type(name) ~= "string" then
    error(("temporal.proto: the message's full name is expected, got %s"):format(type(name)), 2)
  elseif fields ~= nil and type(fields) ~= "table" then
    error(("temporal.proto: the fields of %s are a table, got %s"):format(name, type(fields)), 2)
  end
  local copy = {}
  for k, v in pairs(fields or {}) do
    copy[k] = v
  end
  return setmetatable(copy, metatable_of(name))
end

--- The full name of a value's message, nil when it is none.
---@param value any
---@return string?
function M.type_of(value)
  local mt = type(value) == "table" and getmetatable(value)
  return type(mt) == "table" and mt.__proto or nil
end

--- Payload converters for the messages of a descriptor set. Values are written as JSON, or in binary form where
--- `binary` says so; both are read. A payload of another message stays as it is.
---@param bytes string
---@param binary? boolean
---@return table[]
function M.converters(bytes, binary)
  local schema = M.schema(bytes)

  local function message_of(value)
    local name = M.type_of(value)
    if name and not schema.messages[name] then
      error(("the descriptors of the data converter have no message %s"):format(name), 0)
    end
    return name and schema.messages[name]
  end

  local function converter(encoding, encode, decode, writes)
    return {
      encoding = encoding,
      to_payload = function(value)
        local message = writes and message_of(value)
        if message then
          return { data = encode(message, value), metadata = { messageType = message.name } }
        end
      end,
      from_payload = function(payload)
        local message = schema.messages[payload.metadata.messageType or ""]
        return message and setmetatable(decode(message, payload.data), metatable_of(message.name)) or payload
      end,
    }
  end

  return {
    converter("json/protobuf", json.encode, json.decode, not binary),
    converter("binary/protobuf", wire.encode, wire.decode, binary),
  }
end

--- The converters that a name of a data converter's list stands for: "proto:json:PATH" or "proto:binary:PATH".
---@param name string
---@return table[]
function M.of_name(name)
  local form, path = name:match "^proto:(%l+):(.+)$"
  local file <close> = assert(io.open(path, "rb"))
  return M.converters(file:read "a", form == "binary")
end

return M
