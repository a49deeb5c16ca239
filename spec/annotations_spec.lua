-- Options that a function takes and the LuaLS class that editors complete them from have the same names. A table of
-- options is tied to its class by a comment above it: "--- The fields of temporal.StartWorkflowOptions."
local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

local texts = {}
do
  local pipe <close> = assert(io.popen "find lua -name '*.lua' | sort")
  for path in pipe:lines() do
    texts[path] = read(path)
  end
end

--- Names of the fields of each class; whether a field may be absent.
local function classes()
  local found = {}
  for _, text in pairs(texts) do
    local class
    for line in text:gmatch "[^\n]*" do
      local name = line:match "^%-%-%-@class ([%w_.]+)"
      if name then
        class = found[name] or {}
        found[name] = class
      end
      local field, absent = line:match "^%-%-%-@field ([%w_]+)(%??) "
      if field and class then
        class[field] = absent == "?" and "optional" or "required"
      elseif not line:find "^%-%-%-" then
        class = nil
      end
    end
  end
  return found
end

--- A row's own table without commas, so that those left part the rows.
local function flat(inner)
  return (inner:gsub("[,\n]", " "):gsub("kind = ", ""):gsub("prefix = ", ""):gsub("values = ", ""))
end

--- Tables of options with their marker: class, and its keys as they stand in the source.
local function tables()
  local found = {}
  for path, text in pairs(texts) do
    for class, body in text:gmatch "%-%-%- The fields of ([%w_.]+)%.\n[%w_. ]+ = (%b{})" do
      local fields = {}
      for name, value in (body:sub(2, -2):gsub("(%b{})", flat)):gmatch "([%a_][%w_]*) = ([^,]*)" do
        fields[name] = value:find "required = true" and "required" or "optional"
      end
      found[#found + 1] = { class = class, fields = fields, path = path }
    end
  end
  return found
end

describe("the annotations of options", function()
  local all = classes()

  for _, entry in ipairs(tables()) do
    it("have the names of " .. entry.path .. ": " .. entry.class, function()
      local class = assert(all[entry.class], "no such class")
      assert.is_truthy(next(entry.fields))
      for name, kind in pairs(entry.fields) do
        assert.is_truthy(class[name], ("%s has no field %s"):format(entry.class, name))
        if kind == "required" then
          assert.are.equal("required", class[name], entry.class .. "." .. name)
        end
      end
    end)
  end

  it("name nothing that is not taken", function()
    local taken = {}
    for _, entry in ipairs(tables()) do
      taken[entry.class] = taken[entry.class] or {}
      for name in pairs(entry.fields) do
        taken[entry.class][name] = true
      end
    end
    assert.is_truthy(taken["temporal.StartWorkflowOptions"])
    for class, names in pairs(taken) do
      for name in pairs(all[class]) do
        assert.is_truthy(names[name], ("%s.%s is taken by no table"):format(class, name))
      end
    end
  end)

  it("are there for each set of options in the library", function()
    local marked = {}
    for _, entry in ipairs(tables()) do
      marked[entry.class] = true
    end
    local by_hand = { -- put together from several tables
      ["temporal.ConnectOptions"] = true, ["temporal.UpdateActivityOptions"] = true,
      ["temporal.NexusEndpointOptions"] = true,
    }
    for path, text in pairs(texts) do
      if not path:find "/meta/" then
        for class in text:gmatch "%-%-%-@class (temporal%.%w+Options)\n" do
          assert.is_truthy(marked[class] or by_hand[class], ("%s in %s is tied to no table"):format(class, path))
        end
      end
    end
  end)

  it("of workers have all options", function()
    local core = require "temporal.core"
    local class = all["temporal.WorkerOptions"]
    local count = 0
    for _, row in ipairs(core.worker_options()) do
      if row.kind ~= "none" then
        count = count + 1
        assert.is_truthy(class[row.name], "temporal.WorkerOptions has no field " .. row.name)
      end
    end
    for _, row in ipairs(require "temporal.internal.worker_fields") do
      count = count + 1
      assert.is_truthy(class[row.name], "temporal.WorkerOptions has no field " .. row.name)
    end
    local fields = 0
    for _ in pairs(class) do
      fields = fields + 1
    end
    assert.are.equal(count, fields)
  end)
end)
