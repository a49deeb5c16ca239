-- Writes the files of a descriptor set (protoc --descriptor_set_out --include_imports) as a C table for
-- server reflection: each file's FileDescriptorProto, what it imports, and the symbols it defines
-- (host/rpc/descriptors.h). Options are left out: they are protobuf-c's, which no client knows.
-- usage: lua5.4 descriptors.lua INPUT.fds OUTPUT.c
local input, output = arg[1], arg[2]
local OPTIONS_IMPORT = "protobuf-c/protobuf-c.proto"
-- Numbers of fields in google.protobuf's descriptor messages.
local FILE = { name = 1, package = 2, dependency = 3, message = 4, enum = 5, service = 6, options = 8 }
local MESSAGE = { name = 1, field = 2, nested = 3, enum = 4, oneof = 8 }
local ENUM = { name = 1, value = 2 }
local SERVICE = { name = 1, method = 2 }

local function varint(text, at)
  local value, shift = 0, 0
  repeat
    local byte = text:byte(at)
    value = value | (byte & 0x7f) << shift
    at, shift = at + 1, shift + 7
  until byte < 0x80
  return value, at
end

--- The fields of a message in order: number, value (the bytes of length-delimited ones), and the whole
--- field as it stands.
local function fields(text)
  local at = 1
  return function()
    if at > #text then
      return nil
    end
    local start = at
    local tag, value
    tag, at = varint(text, at)
    if tag & 7 == 0 then
      value, at = varint(text, at)
    elseif tag & 7 == 2 then
      local n
      n, at = varint(text, at)
      value, at = text:sub(at, at + n - 1), at + n
    else
      error("a wire type that descriptors do not have: " .. (tag & 7))
    end
    return tag >> 3, value, text:sub(start, at - 1)
  end
end

local function name_of(text)
  for number, value in fields(text) do
    if number == 1 then
      return value
    end
  end
end

local symbols = {}
local function add(symbol, file)
  symbols[#symbols + 1] = { symbol, file }
end

local function each(text, wanted, fn)
  for number, value in fields(text) do
    if number == wanted then
      fn(value)
    end
  end
end

-- The values of an enum are siblings of the enum.
local function add_enum(text, scope, file)
  add(scope .. name_of(text), file)
  each(text, ENUM.value, function(value) add(scope .. name_of(value), file) end)
end

local function add_message(text, scope, file)
  local name = scope .. name_of(text)
  add(name, file)
  for _, part in ipairs { MESSAGE.field, MESSAGE.oneof } do
    each(text, part, function(value) add(name .. "." .. name_of(value), file) end)
  end
  each(text, MESSAGE.nested, function(value) add_message(value, name .. ".", file) end)
  each(text, MESSAGE.enum, function(value) add_enum(value, name .. ".", file) end)
end

local handle = assert(io.open(input, "rb"))
local set = handle:read "a"
handle:close()

local files, index = {}, {}
for _, text in fields(set) do
  local kept, deps, package = {}, {}, ""
  for number, value, whole in fields(text) do
    if number == FILE.dependency and value ~= OPTIONS_IMPORT then
      deps[#deps + 1] = value
    elseif number == FILE.package then
      package = value .. "."
    end
    if number ~= FILE.options and not (number == FILE.dependency and value == OPTIONS_IMPORT) then
      kept[#kept + 1] = whole
    end
  end
  local name = name_of(text)
  if name ~= OPTIONS_IMPORT and name ~= "google/protobuf/descriptor.proto" then
    local file = #files
    files[file + 1] = { name = name, bytes = table.concat(kept), deps = deps }
    index[name] = file
    each(text, FILE.message, function(value) add_message(value, package, file) end)
    each(text, FILE.enum, function(value) add_enum(value, package, file) end)
    each(text, FILE.service, function(value)
      local service = package .. name_of(value)
      add(service, file)
      each(value, SERVICE.method, function(method) add(service .. "." .. name_of(method), file) end)
    end)
  end
end
table.sort(symbols, function(a, b) return a[1] < b[1] end)

local function literal(bytes)
  local rows = {}
  for i = 1, #bytes, 32 do
    rows[#rows + 1] = '    "' .. bytes:sub(i, i + 31):gsub(".", function(c)
      return ("\\%03o"):format(c:byte())
    end):gsub("\n", "\\012") .. '"'
  end
  return table.concat(rows, "\n")
end

local out = {
  "/* generated from proto/ by tools/gen/descriptors.lua - do not edit */",
  '#include "rpc/descriptors.h"',
  "",
}
for i, file in ipairs(files) do
  local numbers = {}
  for _, dep in ipairs(file.deps) do
    numbers[#numbers + 1] = assert(index[dep], dep)
  end
  numbers[#numbers + 1] = -1
  out[#out + 1] = ("static const char bytes_%d[] =\n%s;"):format(i, literal(file.bytes))
  out[#out + 1] = ("static const int deps_%d[] = {%s};"):format(i, table.concat(numbers, ", "))
end
out[#out + 1] = "\nconst struct tl_descriptor_file tl_descriptor_files[] = {"
for i, file in ipairs(files) do
  out[#out + 1] = ('    {"%s", {bytes_%d, %d}, deps_%d},'):format(file.name, i, #file.bytes, i)
end
out[#out + 1] = "};"
out[#out + 1] = ("const size_t tl_descriptor_file_count = %d;\n"):format(#files)
out[#out + 1] = "const struct tl_descriptor_symbol tl_descriptor_symbols[] = {"
for _, symbol in ipairs(symbols) do
  out[#out + 1] = ('    {"%s", %d},'):format(symbol[1], symbol[2])
end
out[#out + 1] = "};"
out[#out + 1] = ("const size_t tl_descriptor_symbol_count = %d;\n"):format(#symbols)
handle = assert(io.open(output, "wb"))
handle:write(table.concat(out, "\n"))
handle:close()
