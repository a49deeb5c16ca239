--- Search attributes of host scripts: their types, and the names an embedded server registers.
local core = require "temporal.core"
local options = require "temporal.internal.options"

local search_attributes = {}

--- Spelling in Lua to spelling in the protocol.
search_attributes.types = {
  text = "Text", keyword = "Keyword", int = "Int", double = "Double", bool = "Bool", datetime = "Datetime",
  keyword_list = "KeywordList",
}

--- "keyword" or "Keyword" as the protocol spells it; raises what is neither.
---@param where string
---@param name any
---@param level integer
function search_attributes.type_name(where, name, level)
  local known = type(name) == "string" and search_attributes.types[name]
  if known then
    return known
  end
  local names = {}
  for lua_name, wire_name in pairs(search_attributes.types) do
    if name == wire_name then
      return name
    end
    names[#names + 1] = lua_name
  end
  table.sort(names)
  local near = type(name) == "string" and options.near(name, names)
  error(("%s: '%s' is no type of search attributes (%s)%s"):format(where, tostring(name),
    table.concat(names, ", "), near and ("; did you mean '%s'?"):format(near) or ""), level + 1)
end

--- { CustomerId = "keyword" } as the list { "CustomerId=Keyword" } that the embedded server takes.
---@param where string
---@param given? table<string, string>
---@return string[]
function search_attributes.declarations(where, given)
  local list = {}
  for name, type_name in pairs(given or {}) do
    if type(name) ~= "string" then
      error(where .. ": search_attributes wants { Name = type }", 3)
    end
    list[#list + 1] = name .. "=" .. search_attributes.type_name(
      ("%s: search_attributes.%s"):format(where, name), type_name, 3)
  end
  table.sort(list)
  return list
end

local Typed = { __name = "temporal.SearchAttribute", __metatable = false }

--- A value with its type, for types that a Lua value does not tell.
---@param type_name temporal.SearchAttributeType
---@param value any
---@return temporal.SearchAttribute
function search_attributes.typed(type_name, value)
  local known = search_attributes.type_name("temporal.search_attribute", type_name, 2)
  if value == nil then
    error("temporal.search_attribute: the value is missing (temporal.null removes an attribute)", 2)
  end
  return setmetatable({ type = known, value = value }, Typed)
end

local inferred = { boolean = "Bool", string = "Keyword", table = "KeywordList" }

--- The message for { Name = value }; nil for nil.
---@param where string
---@param given? table<string, any>
function search_attributes.message(where, given)
  if not given then
    return nil
  end
  local fields = {}
  for name, value in pairs(given) do
    if type(name) ~= "string" then
      error(where .. ": search_attributes wants { Name = value }", 3)
    end
    -- An untyped text is left to the server, which knows whether the name is of a Keyword, a Text or a time.
    local kind = math.type(value) == "integer" and "Int" or math.type(value) == "float" and "Double"
      or type(value) ~= "string" and inferred[type(value)] or nil
    if debug.getmetatable(value) == Typed then
      kind, value = value.type, value.value
    end
    if type(value) == "function" or type(value) == "thread" then
      error(("%s: search attribute %s: a %s has no search attribute type"):format(where, name, type(value)), 3)
    end
    fields[name] = core.encode_search_attribute(value, value ~= core.null and kind or nil)
  end
  return { indexed_fields = fields }
end

--- What a server answered, as { Name = value }: times stay texts, lists are tables.
---@param message? table
---@return table<string, any>
function search_attributes.values(message)
  local values = {}
  for name, bytes in pairs(message and message.indexed_fields or {}) do
    values[name] = core.decode_one(bytes)
  end
  return values
end

return search_attributes
