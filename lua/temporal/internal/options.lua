--- Checks of option tables: unknown keys raise at the caller's line with the nearest known name,
--- values are converted by kind. One table per function says what it takes.
local core = require "temporal.core"

local options = {}

---@class temporal.OptionSpec
---@field kind "string"|"boolean"|"integer"|"number"|"duration"|"table"|"enum"|"function"|"any"
---@field values? string[] the words of an enum, lower_snake
---@field prefix? string what the wire puts before an enum word
---@field required? boolean

--- Edits needed to turn a into b, counted up to 3.
local function distance(a, b)
  if math.abs(#a - #b) > 2 then
    return 3
  end
  local previous = {}
  for j = 0, #b do
    previous[j] = j
  end
  for i = 1, #a do
    local row = { [0] = i }
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j) and 0 or 1
      row[j] = math.min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + same)
    end
    previous = row
  end
  return previous[#b]
end

--- The nearest of `names` to `name`, or nil when none is near.
---@param name string
---@param names string[]
---@return string?
function options.near(name, names)
  local best, best_distance
  for _, candidate in ipairs(names) do
    local d = distance(name, candidate)
    if d <= 2 and (not best_distance or d < best_distance) then
      best, best_distance = candidate, d
    end
  end
  return best
end

--- The keys of a table in the order of their texts.
---@param t table<string, any>
---@return string[]
function options.sorted_keys(t)
  local keys = {}
  for k in pairs(t) do
    keys[#keys + 1] = k
  end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return keys
end

--- A table with the same fields; an empty one for nil.
---@param opts? table
---@return table
function options.copy(opts)
  local copy = {}
  for name, value in pairs(opts or {}) do
    copy[name] = value
  end
  return copy
end

--- A value as an error shows it: text in quotes and its beginning only, of a table and its like what it is.
---@param value any
---@return string
function options.shown(value)
  if type(value) == "string" then
    return ("'%s'"):format(#value > 60 and value:sub(1, 60) .. "..." or value)
  end
  return (type(value) == "number" or type(value) == "boolean") and tostring(value) or type(value)
end

local function wrong(where, name, want, value, level)
  -- text where a table belongs may be a key or a header: it stays untold
  local shown = want == "a table" and type(value) or options.shown(value)
  error(("%s: option '%s' wants %s, got %s"):format(where, name, want, shown), level + 2)
end

--- A duration in seconds or as text ("90s", "1h30m") to nanoseconds.
---@param value number|string
---@return integer? nanoseconds
---@return string? message when it is not a duration
function options.duration_ns(value)
  return core.duration(value)
end

local function enum_word(spec, value)
  local word = value:gsub("(%l)(%u)", "%1_%2"):lower()
  local prefix = spec.prefix:lower()
  if word:sub(1, #prefix) == prefix then
    word = word:sub(#prefix + 1)
  end
  for _, known in ipairs(spec.values) do
    if known == word then
      return known
    end
  end
end

local convert = {}

function convert.duration(where, name, _, value, level)
  local ns, message = options.duration_ns(value)
  if not ns then
    error(("%s: option '%s': %s"):format(where, name, message), level + 1)
  end
  return ns
end

function convert.enum(where, name, spec, value, level)
  local word = type(value) == "string" and enum_word(spec, value)
  if not word then
    wrong(where, name, "one of " .. table.concat(spec.values, ", "), value, level)
  end
  return word
end

function convert.integer(where, name, _, value, level)
  local n = math.type(value) and math.tointeger(value)
  if not n then
    wrong(where, name, "an integer", value, level)
  end
  return n
end

convert["function"] = function(where, name, _, value, level)
  if type(value) ~= "function" then
    wrong(where, name, "a function", value, level)
  end
  return value
end

function convert.any(_, _, _, value)
  return value
end

local function plain(want)
  return function(where, name, _, value, level)
    if type(value) ~= want then
      wrong(where, name, "a " .. want, value, level)
    end
    return value
  end
end

convert.string, convert.boolean, convert.table = plain "string", plain "boolean", plain "table"
convert.number = plain "number"

--- Returns a new table with the checked values: durations in nanoseconds, enums as lower_snake words.
---@param where string the function, for messages
---@param spec table<string, temporal.OptionSpec>
---@param given table?
---@param level? integer as error's, counted from the caller of check (2: the caller of the API)
---@return table
function options.check(where, spec, given, level)
  level = (level or 2) + 1
  local out = {}
  if given == nil then
    given = {}
  elseif type(given) ~= "table" then
    error(("%s: options must be a table, got %s (arguments come after the options)"):format(where, type(given)), level)
  end
  for name, value in pairs(given) do
    local row = spec[name]
    if not row then
      local names = options.sorted_keys(spec)
      local near = options.near(tostring(name), names)
      error(
        ("%s: unknown option '%s'%s"):format(
          where,
          tostring(name),
          near and (", did you mean '%s'?"):format(near) or "; it takes " .. table.concat(names, ", ")
        ),
        level
      )
    end
    out[name] = convert[row.kind](where, name, row, value, level)
  end
  for _, name in ipairs(options.sorted_keys(spec)) do
    if spec[name].required and out[name] == nil then
      error(("%s: option '%s' is required"):format(where, name), level)
    end
  end
  return out
end

--- The wire's name of a checked enum word.
---@param spec temporal.OptionSpec
---@param word string?
---@return string?
function options.enum_name(spec, word)
  return word and spec.prefix .. word:upper()
end

--- Nanoseconds as the table of a google.protobuf.Duration.
---@param ns integer?
---@return table?
function options.duration_message(ns)
  return ns and { seconds = ns // 1000000000, nanos = ns % 1000000000 }
end

return options
