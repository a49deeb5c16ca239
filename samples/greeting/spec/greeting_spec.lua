local testing = require "temporal.testing"

local root = debug.getinfo(1, "S").source:match "^@(.*)/spec/[^/]*$"

describe("greeting", function()
  local function environment(activities)
    return testing.environment {
      roots = { root }, workflows = { "workflows.greeting" }, activities = activities,
    }
  end

  it("greets with the real activity", function()
    local env <close> = environment { "activities.greet" }
    assert.are.equal("Hello, Ada!", env:execute_workflow("Greeting", nil, "Ada"))
  end)

  it("greets with a mock", function()
    local env <close> = environment { greet = function(name) return name:upper() end }
    local handle = env:start_workflow("Greeting", { id = "g-1" }, "ada")
    assert.workflow(handle).completed_with("ADA")
    assert.workflow(handle).has_activity("greet", 1)
  end)

  it("runs as one file", function()
    local lua = os.getenv "TEMPORAL_LUA_BIN" or "build/temporal-lua"
    local out = assert(io.popen(("%s run %s/single.lua Grace"):format(lua, root)))
    local text = out:read "a"
    assert.is_true(out:close())
    assert.are.equal("Hello, Grace!\n", text)
  end)
end)
