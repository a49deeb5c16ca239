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
  for _, wire_name in pairs(search_attributes.types) do
    if name == wire_name then
      return name
    end
  end
  local names = options.sorted_keys(search_attributes.types)
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

local Update = { __name = "temporal.SearchAttributeUpdate", __metatable = false }

---@class temporal.SearchAttributeKey
---@field name string
---@field type temporal.SearchAttributeType
local Key = { __name = "temporal.SearchAttributeKey", __metatable = false }
Key.__index = Key

local function fits(type_name, value)
  if type_name == "Int" then
    return math.type(value) == "integer"
  elseif type_name == "Double" then
    return type(value) == "number"
  end
  return type(value) == ({ Bool = "boolean", KeywordList = "table" })[type_name] or
    (type_name ~= "Bool" and type_name ~= "KeywordList" and type(value) == "string")
end

--- A change of the attribute, for lists in `search_attributes` and upserts.
---@param value any of the key's type
function Key:value_set(value)
  local type_name = search_attributes.types[self.type]
  if not fits(type_name, value) then
    error(("search attribute %s is of type %s, got a %s"):format(self.name, self.type, type(value)), 2)
  end
  return setmetatable({ name = self.name, value = setmetatable({ type = type_name, value = value }, Typed) }, Update)
end

--- Removes the attribute.
function Key:value_unset()
  return setmetatable({ name = self.name, value = core.null }, Update)
end

--- The attribute's value among others; the default when it is not there.
---@param attributes table<string, any>
---@param default? any
function Key:get(attributes, default)
  local value = attributes[self.name]
  if value == nil then
    return default
  end
  return value
end

--- A name with its type.
---@param name string
---@param type_name temporal.SearchAttributeType
---@return temporal.SearchAttributeKey
function search_attributes.key(name, type_name)
  if type(name) ~= "string" then
    error("temporal.search_attribute_key: the name must be a string, got " .. type(name), 2)
  end
  local wire = search_attributes.type_name("temporal.search_attribute_key", type_name, 2)
  for lua_name, wire_name in pairs(search_attributes.types) do
    if wire_name == wire then
      return setmetatable({ name = name, type = lua_name }, Key)
    end
  end
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
    if math.type(name) == "integer" and debug.getmetatable(value) == Update then
      name, value = value.name, value.value
    end
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

--- The groups of a count: how many each has, and the values that it stands for.
---@param response table
---@return { count: integer, values: any[] }[]
function search_attributes.groups(response)
  local groups = {}
  for i, group in ipairs(response.groups or {}) do
    local values = {}
    for j, bytes in ipairs(group.group_values) do
      values[j] = core.decode_one(bytes)
    end
    groups[i] = { count = group.count, values = values }
  end
  return groups
end

return search_attributes
