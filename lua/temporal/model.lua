--- Models: tables with declared fields, for arguments and results of workflows and activities. This file is
--- the same in host scripts and, as part of every bundle that uses it, in workflows.
local M = {}

local Model = { __name = "temporal.Model" }

local words = {}

function words.string(v)
  return type(v) == "string" and v or nil
end

function words.integer(v)
  return type(v) == "number" and math.tointeger(v) or nil
end

function words.number(v)
  return type(v) == "number" and v or nil
end

function words.boolean(v)
  if type(v) == "boolean" then
    return v
  end
end

function words.table(v)
  return type(v) == "table" and v or nil
end

function words.any(v)
  return v
end

local word_list = "string, integer, number, boolean, table, any"

local function is_null(v)
  return v == nil or v == require "temporal".null
end

local function shown(v)
  return v == nil and "nil" or is_null(v) and "null" or type(v)
end

local function sorted_keys(t)
  local keys = {}
  for k in pairs(t) do
    keys[#keys + 1] = tostring(k)
  end
  table.sort(keys)
  return keys
end

--- Raises what is wrong with a value: caught by `convert`, which knows of whom.
local Problem = {}

local function fail(path, text)
  error(setmetatable({ path = path, text = text }, Problem), 0)
end

local read

local readers = {
  word = function(kind, v, path)
    local out = words[kind.word](v)
    if out == nil and kind.word ~= "any" then
      fail(path, ("must be %s, got %s"):format(
        kind.word == "integer" and "an integer" or "a " .. kind.word,
        kind.word == "integer" and type(v) == "number" and tostring(v) or shown(v)))
    end
    return out
  end,
  list = function(kind, v, path)
    if type(v) ~= "table" then
      fail(path, "must be a list, got " .. shown(v))
    end
    local out = {}
    for i = 1, #v do
      out[i] = read(kind.items, v[i], ("%s[%d]"):format(path, i))
    end
    for k in pairs(v) do
      if math.type(k) ~= "integer" or k < 1 or k > #v then
        fail(path, ("must be a list, got the key %s"):format(tostring(k)))
      end
    end
    return #out == 0 and require "temporal".array(out) or out
  end,
  map = function(kind, v, path)
    if type(v) ~= "table" then
      fail(path, "must be a table, got " .. shown(v))
    end
    for k in pairs(v) do
      if type(k) ~= "string" then
        fail(path, ("must be a table with names, got the key %s"):format(tostring(k)))
      end
    end
    local out = {}
    for _, k in ipairs(sorted_keys(v)) do
      out[k] = read(kind.values, v[k], path .. "." .. k)
    end
    return out
  end,
}

local function run_check(check, v, path)
  local ok, good, message = pcall(check, v)
  if not ok then
    fail(path, tostring(good):gsub("^[^:]+:%d+: ", ""))
  elseif not good then
    fail(path, message or "is refused by its check")
  end
end

function readers.model(kind, v, path)
  local model = kind.model
  if type(v) ~= "table" then
    fail(path, ("must be a table for %s, got %s"):format(model.name, shown(v)))
  end
  local out = {}
  for _, key in ipairs(sorted_keys(v)) do
    if not model.fields[key] then
      if not model.additional_fields then
        fail(path .. "." .. key, ("is no field of %s"):format(model.name))
      end
      out[key] = v[key]
    end
  end
  for _, name in ipairs(model.field_names) do
    local field, value = model.fields[name], v[name]
    local at = path .. "." .. name
    if not is_null(value) then
      out[name] = read(field, value, at)
    elseif field.default ~= nil then
      out[name] = read(field, type(field.default) == "function" and field.default() or field.default, at)
    elseif field.required then
      fail(at, "is required")
    end
  end
  setmetatable(out, model.instances)
  if model.check then
    run_check(model.check, out, path)
  end
  return out
end

function readers.custom(kind, v, path)
  local ok, out = pcall(kind.from_payload, kind.type, v)
  if not ok then
    fail(path, tostring(out):gsub("^[^:]+:%d+: ", ""))
  end
  return out
end

function read(kind, v, path)
  local out = readers[kind.reader](kind, v, path)
  if kind.check then
    run_check(kind.check, out, path)
  end
  return out
end

local field_keys = { type = true, items = true, values = true, required = true, default = true, check = true }

--- What a type means: a word, a model, a table with __from_payload, or a table of `type` and more.
local function kind_of(where, given)
  if type(given) == "string" then
    if given == "list" or given == "map" then
      given = { type = given }
    elseif words[given] then
      return { reader = "word", word = given }
    else
      error(("%s: a type is a model or one of %s, list, map; got '%s'"):format(where, word_list, given), 0)
    end
  end
  if type(given) ~= "table" then
    error(("%s: a type is a model or one of %s, list, map; got %s"):format(where, word_list, type(given)), 0)
  elseif getmetatable(given) == Model then
    return { reader = "model", model = given }
  elseif given.__from_payload then
    return { reader = "custom", from_payload = given.__from_payload, type = given }
  end
  for _, key in ipairs(sorted_keys(given)) do
    if not field_keys[key] then
      error(("%s: unknown option '%s'; it takes check, default, items, required, type, values"):format(where, key), 0)
    end
  end
  local kind
  if given.type == "list" then
    kind = { reader = "list", items = kind_of(where .. ": items", given.items or "any") }
  elseif given.type == "map" then
    kind = { reader = "map", values = kind_of(where .. ": values", given.values or "any") }
  else
    kind = kind_of(where, given.type == nil and "any" or given.type)
  end
  if given.check ~= nil and type(given.check) ~= "function" then
    error(("%s: check must be a function, got %s"):format(where, type(given.check)), 0)
  end
  kind.required, kind.default, kind.check = given.required or false, given.default, given.check
  return kind
end

--- Reads a value; returns it, or nil and what is wrong with the path to it.
local function convert(kind, v, path)
  local ok, out = pcall(read, kind, v, path)
  if ok then
    return out, nil
  elseif getmetatable(out) == Problem then
    return nil, ("%s %s"):format(out.path, out.text)
  end
  error(out, 0)
end

local options = { name = "string", fields = "table", check = "function", additional_fields = "boolean" }

--- Makes a model: `name`, `fields` = name -> type or { type =, required =, default =, check = },
--- `check(instance)` and `additional_fields = true`, which keeps fields that are not declared. Calling the model
--- with a table gives an instance, or raises what is wrong; methods are functions of the model.
---@param given table
---@return temporal.Model
function M.new(given)
  if type(given) ~= "table" then
    error(("temporal.model: a table is expected, got %s"):format(type(given)), 2)
  end
  for _, key in ipairs(sorted_keys(given)) do
    if not options[key] then
      error(("temporal.model: unknown option '%s'; it takes additional_fields, check, fields, name"):format(key), 2)
    elseif type(given[key]) ~= options[key] then
      error(("temporal.model: %s must be a %s, got %s"):format(key, options[key], type(given[key])), 2)
    end
  end
  if not given.name or not given.fields then
    error("temporal.model: name and fields are required", 2)
  end
  local model = {
    name = given.name, check = given.check, additional_fields = given.additional_fields or false,
    fields = {}, field_names = sorted_keys(given.fields),
  }
  for _, name in ipairs(model.field_names) do
    local ok, kind = pcall(kind_of, ("temporal.model: %s.%s"):format(given.name, name), given.fields[name])
    if not ok then
      error(kind, 2)
    end
    model.fields[name] = kind
  end
  model.instances = { __index = model, __name = given.name }
  return setmetatable(model, Model)
end

function Model:__call(value)
  local out, problem = convert({ reader = "model", model = self }, value, "")
  if problem then
    error(("%s: %s"):format(self.name, problem:gsub("^ ", "")), 2)
  end
  return out
end

--- Whether a value is an instance of the model.
function M.is_instance(value, model)
  return type(value) == "table" and getmetatable(value) == model.instances
end

local function kinds_of(where, list)
  local kinds = {}
  if list ~= nil and type(list) ~= "table" then
    error(("%s must be a list of types, got %s"):format(where, type(list)), 0)
  end
  for i = 1, #(list or {}) do
    kinds[i] = kind_of(("%s[%d]"):format(where, i), list[i])
  end
  for _, key in ipairs(sorted_keys(list or {})) do
    if not (math.tointeger(tonumber(key)) and tonumber(key) >= 1 and tonumber(key) <= #kinds) then
      error(("%s must be a list of types, got the key %s"):format(where, key), 0)
    end
  end
  return kinds
end

local function optional(list, i)
  return type(list[i]) == "table" and getmetatable(list[i]) ~= Model and list[i].required == false
end

--- The function with its arguments and its result checked by the types in `args` and `result`.
---@param what string "workflow 'Order'"
---@param fn function
---@param args? table list of types, one for each argument
---@param result? any type of the first result
---@return function
function M.bind(what, fn, args, result)
  if args == nil and result == nil then
    return fn
  end
  local kinds = kinds_of(what .. ": args", args)
  local result_kind = result ~= nil and kind_of(what .. ": result", result) or nil

  local function check_arguments(...)
    local given = table.pack(...)
    if args ~= nil and given.n > #kinds then
      return nil, ("%d arguments are too many, %d are declared"):format(given.n, #kinds)
    end
    for i, kind in ipairs(kinds) do
      if is_null(given[i]) and (optional(args, i) or kind.default ~= nil) then
        given[i] = kind.default
      else
        local value, problem = convert(kind, given[i], "argument " .. i)
        if problem then
          return nil, problem
        end
        given[i] = value
      end
    end
    given.n = math.max(given.n, #kinds)
    return given
  end

  local function check_result(first, ...)
    if result_kind then
      local value, problem = convert(result_kind, first, "the result")
      if problem then
        error(("%s: %s"):format(what, problem), 0)
      end
      return value, ...
    end
    return first, ...
  end

  return function(...)
    local given, problem = check_arguments(...)
    if not given then
      error(require "temporal".failure {
        type = "InvalidArgumentError", message = ("%s: %s"):format(what, problem), non_retryable = true }, 0)
    end
    if not result_kind then
      return fn(table.unpack(given, 1, given.n))
    end
    return check_result(fn(table.unpack(given, 1, given.n)))
  end
end

---@class temporal.Model
---@field name string
---@field fields table

return M
