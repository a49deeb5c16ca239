-- A program of table operations made of its number: what it sees of the tables is its result.
local workflow = require "temporal.workflow"

local words = { "a", "key", "count", "é", ("long"):rep(20), "n1", "n2", "n3", "", "z" }

--- Keys of every kind that a table may have here.
local function key(random)
  local kind = random(6)
  if kind <= 2 then
    return random(12)
  elseif kind == 3 then
    return words[random(#words)]
  elseif kind == 4 then
    return words[random(#words)] .. random(5)
  elseif kind == 5 then
    return random(20) / 4 - 2
  end
  return random(2) == 1
end

local operations = {
  function(t, random) t[key(random)] = random(99) end,
  function(t, random) t[key(random)] = nil end,
  function(t, random) t[#t + 1] = random(99) end,
  function(t) t[#t] = nil end,
  function(t, random) table.insert(t, math.min(random(4), #t + 1), random(99)) end,
  function(t) return table.remove(t) end,
  function(t, random) return #t, t[key(random)] end,
  function(t) return next(t) end,
  function(t)
    local out = {}
    for k, v in pairs(t) do
      out[#out + 1] = tostring(k) .. "=" .. tostring(v)
    end
    return table.concat(out, ",")
  end,
  function(t)
    local sum = 0
    for i, v in ipairs(t) do
      sum = sum + i * v
    end
    return sum
  end,
  function(t) return table.unpack(t, 1, #t) end,
  function(t) return #table.move(t, 1, #t, 3, {}) end,
  function(t)
    for k in pairs(t) do
      if type(k) == "string" then
        t[k] = nil
      end
    end
  end,
  function(t)
    local list = table.pack(table.unpack(t, 1, #t))
    table.sort(list, function(a, b) return a % 5 < b % 5 end)
    return table.concat(list, " ")
  end,
}

return workflow.define("Tables", function(number)
  local random = workflow.new_random("program " .. number)
  local tables, out = { {}, { 1, 2, 3, nil, 5 }, { x = 1, y = 2, z = 3, [1] = 1, [2.5] = 2 } }, {}
  for i = 1, 60 do
    local which = random(#operations)
    local got = table.pack(pcall(operations[which], tables[random(#tables)], random))
    for j = 1, got.n do
      got[j] = tostring(got[j])
    end
    out[i] = which .. ":" .. table.concat(got, " ", 1, got.n)
  end
  return table.concat(out, "\n")
end)
