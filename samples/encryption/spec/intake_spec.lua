local temporal = require "temporal"
local testing = require "temporal.testing"

local root = debug.getinfo(1, "S").source:match "^@(.*)/spec/[^/]*$"

describe("intake", function()
  local converter

  setup(function()
    converter = dofile(root .. "/converter.lua")
  end)

  local function environment()
    return testing.environment {
      roots = { root }, workflows = { "workflows.intake" }, activities = { "activities.records" },
      data_converter = converter,
    }
  end

  --- The history as the server keeps it.
  local function stored(env, handle)
    local plain <close> = temporal.connect { server = env.server }
    return plain:get_workflow_handle(handle.id):fetch_history_json()
  end

  it("stores records, and the server reads none of it", function()
    local env <close> = environment()
    local handle = env:start_workflow("Intake", { id = "i-1" }, { name = "Grace Hopper", consent = true })
    assert.are.same({ id = "record-12", name = "Grace Hopper" }, handle:result())
    local json = stored(env, handle)
    assert.is_nil(json:find("Grace", 1, true))
    assert.is_nil(json:find("R3JhY2U", 1, true)) -- the same in base64
    assert.is_truthy(json:find("YmluYXJ5L2VuY3J5cHRlZA", 1, true)) -- binary/encrypted
    assert.is_truthy(handle:fetch_history_json():find("R3JhY2U", 1, true))
  end)

  it("hides messages of errors", function()
    local env <close> = environment()
    local handle = env:start_workflow("Intake", { id = "i-2" }, { name = "Ada", consent = false })
    local ok, err = pcall(handle.result, handle)
    assert.is_false(ok)
    assert.are.same({ "NoConsent", "Ada has not agreed", { "Ada" } },
      { err.cause.type, err.cause.message, err.cause.details })
    local json = stored(env, handle)
    assert.is_nil(json:find("has not agreed", 1, true))
    assert.is_truthy(json:find("Encoded failure", 1, true))
  end)
end)
