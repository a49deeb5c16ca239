local helper = require "helper"
local temporal = require "temporal"
local testing = require "temporal.testing"

local root = debug.getinfo(1, "S").source:match "^@(.*)/spec/[^/]*$"

local function environment(...)
  local modules = {}
  for i, name in ipairs { ... } do
    modules[i] = name:find "/" and name or ("%s/samples/%s"):format(helper.build, name)
  end
  return testing.environment { roots = { root }, workflows = { "workflows.texts" }, activities = { native = modules } }
end

describe("native_activity", function()
  it("sums bytes in C and counts words in C++", function()
    local env <close> = environment("libchecksum.so", "libwords.so")
    assert.are.same({ checksum = 97 + 32 + 98, words = 2 }, env:execute_workflow("Measure", nil, "a b"))
    local long = ("x"):rep(200000)
    assert.are.same({ checksum = 200000 * 120, words = 1 }, env:execute_workflow("Measure", nil, long))
  end)

  it("turns what goes wrong into failures", function()
    local env <close> = environment("libchecksum.so", "libwords.so")
    local ok, err = pcall(env.execute_workflow, env, "Measure", nil, 12)
    assert.is_false(ok)
    assert.is_true(temporal.is_failure(err, "BadRequest") or tostring(err):find "bytes" ~= nil)
  end)

  it("runs Rust", function()
    if not os.execute "command -v rustc >/dev/null" then
      pending "rustc is not installed"
      return
    end
    local folder = os.tmpname()
    os.remove(folder)
    os.execute("mkdir " .. folder)
    local built = os.execute(("rustc --crate-type cdylib -O %s/native/shout.rs -o %s/libshout.so"):format(root, folder))
    assert.is_true(built)
    local env <close> = environment(folder .. "/libshout.so")
    assert.are.equal("LOUD", env:execute_workflow("Shout", nil, "loud"))
    os.execute("rm -r " .. folder)
  end)
end)
