-- Reads tools/gen/parity_rows.txt, the table behind docs/parity.md. A line is
--   names there | names here, "-" or "missing" | specs, separated by commas | note
-- and "## title" opens a section. "{a,b}" stands for one row each; "*" on the right stands for the last
-- part of the name on the left. What is "missing" or "-" has no specs: "missing | note".
local table_of_parity = {}

table_of_parity.path = "tools/gen/parity_rows.txt"

--- All texts that "x{a,b}{c,d}" stands for; braces without a comma are text.
local function expand(text)
  local before, list, after = text:match "^(.-)(%b{})(.*)$"
  if not before then
    return { text }
  end
  local out = {}
  for _, tail in ipairs(expand(after)) do
    if list:find(",", 1, true) then
      for item in list:sub(2, -2):gmatch "[^,]+" do
        out[#out + 1] = { item = before .. item, tail = tail }
      end
    else
      out[#out + 1] = { item = before .. list, tail = tail }
    end
  end
  -- The first group changes slowest, as one reads.
  local ordered, seen = {}, {}
  for _, pair in ipairs(out) do
    if not seen[pair.item] then
      seen[pair.item] = true
      for _, other in ipairs(out) do
        if other.item == pair.item then
          ordered[#ordered + 1] = other.item .. other.tail
        end
      end
    end
  end
  return ordered
end

--- What "*" stands for: the option in brackets, else what follows the last dot.
local function last_part(name)
  return name:match "%(([%w_]+)%)$" or name:match "([%w_]+)$"
end

--- "workflow/info" is a spec, "unit/core_task" a unit test, "interop/x.py" what its path says.
function table_of_parity.spec_path(short)
  if short:match "^unit/" then
    return ("host/test/unit/test_%s.c"):format(short:sub(6))
  elseif short:match "%.%w+$" then
    return "spec/" .. short
  end
  return ("spec/%s_spec.lua"):format(short)
end

local function split(line)
  local parts = {}
  for part in (line .. "|"):gmatch "%s*(.-)%s*|" do
    parts[#parts + 1] = part
  end
  return parts
end

local function add(section, line, number)
  local parts = split(line)
  local theirs, ours = expand(parts[1]), parts[2]
  assert(ours and ours ~= "", ("%s:%d: no second column"):format(table_of_parity.path, number))
  local there = ours ~= "-" and ours ~= "missing"
  local specs, note = {}, there and parts[4] or not there and parts[3] or nil
  if there then
    for short in (parts[3] or ""):gmatch "[^, ]+" do
      specs[#specs + 1] = table_of_parity.spec_path(short)
    end
  end
  for i, name in ipairs(theirs) do
    local names = {}
    if there then
      local all = expand((ours:gsub("%*", last_part(name) or "*")))
      if #theirs == 1 then
        names = all
      else
        assert(#all == 1 or #all == #theirs, ("%s:%d: %d names there and %d here"):format(
          table_of_parity.path, number, #theirs, #all))
        names = { all[#all == 1 and 1 or i] }
      end
    end
    section.rows[#section.rows + 1] = {
      name = name, ours = names, specs = specs, note = note ~= "" and note or nil, line = number,
      state = there and "there" or ours == "-" and "needless" or "missing",
    }
  end
end

--- All sections: { title =, rows = { { name =, ours =, specs =, note =, state =, line = } } }.
---@param path? string
function table_of_parity.read(path)
  local sections, number = {}, 0
  for line in io.lines(path or table_of_parity.path) do
    number = number + 1
    local title = line:match "^## (.+)$"
    if title then
      sections[#sections + 1] = { title = title, rows = {} }
    elseif line ~= "" and not line:match "^#" then
      add(sections[#sections], line, number)
    end
  end
  return sections
end

--- The word of a name here that its specs have to hold: `client:start_workflow{id}` is tested where `id` is.
---@param name string
function table_of_parity.word(name)
  return name:match "{([%w_]+)}$" or name:match '"([%w_]+)"' or name:match "([%w_]+)$"
end

return table_of_parity
