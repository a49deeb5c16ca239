-- Goal: the sample does what its README says. Method: a copy of its folder, edited while it runs.
local temporal = require "temporal"

local root = debug.getinfo(1, "S").source:match "^@(.*)/spec/[^/]*$"

local function edit(path, from, to)
  local file <close> = assert(io.open(path))
  local text, n = file:read("a"):gsub(from, to)
  assert.are.equal(1, n)
  local out <close> = assert(io.open(path, "w"))
  out:write(text)
end

describe("hot_reload", function()
  it("changes the words at once, and the steps of new runs only", function()
    local copy = os.tmpname()
    os.remove(copy)
    assert(os.execute(("cp -r %s %s"):format(root, copy)))
    local worker <close> = temporal.worker {
      task_queue = "counting", roots = { copy }, workflows = { "workflows.count" }, activities = { "activities.say" },
    }
    worker:start()
    local function count(id)
      return worker.client:start_workflow("Count", { id = id, task_queue = "counting" }, 2)
    end
    local old = count "old"
    repeat -- its first task belongs to the scripts as they were
      local events = old:fetch_history()
    until #events > 4
    edit(copy .. "/activities/say.lua", "now at", "here is")
    edit(copy .. "/workflows/count.lua", "local STEP = 1", "local STEP = 2")
    local id, text = worker:reload { replay = false }
    assert.is_string(id, text)
    local new = count "new"
    assert.are.same({ "here is 2" }, new:result())
    assert.are.equal("here is 2", old:result()[2])
    os.execute("rm -rf " .. copy)
  end)
end)
