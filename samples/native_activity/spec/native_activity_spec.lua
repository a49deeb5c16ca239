local helper = require "helper"
local temporal = require "temporal"
local testing = require "temporal.testing"

local root = debug.getinfo(1, "S").source:match "^@(.*)/spec/[^/]*$"

--- The path of a module that the build made.
local function made(name)
  return ("%s/samples/%s"):format(helper.build, name)
end

local function environment(...)
  return testing.environment { roots = { root }, workflows = { "workflows.texts" }, activities = { native = { ... } } }
end

describe("native_activity", function()
  it("sums bytes in C and counts words in C++", function()
    local env <close> = environment(made "libchecksum.so", made "libwords.so")
    assert.are.same({ checksum = 97 + 32 + 98, words = 2 }, env:execute_workflow("Measure", nil, "a b"))
    local long = ("x"):rep(200000)
    assert.are.same({ checksum = 200000 * 120, words = 1 }, env:execute_workflow("Measure", nil, long))
  end)

  it("turns what goes wrong into failures", function()
    local source = [[
      local workflow = require "temporal.workflow"
      return workflow.define("Asks", function(name, value)
        return workflow.execute_activity(name, { start_to_close_timeout = "10s" }, value)
      end)]]
    local env <close> = helper.environment(source, {
      activities = { native = { made "libchecksum.so", made "libwords.so" } },
    })
    for name, message in pairs { checksum = "checksum wants bytes", words = "words wants one text" } do
      local ok, err = pcall(env.execute_workflow, env, "Asks", nil, name, 12)
      assert.is_false(ok)
      assert.is_true(temporal.is_failure(err, "BadRequest"))
      assert.matches(message, err.cause.cause.message)
    end
  end)

  it("runs Rust", function()
    if not os.execute "command -v rustc >/dev/null" then
      pending "rustc is not installed"
      return
    end
    local folder = os.tmpname()
    os.remove(folder)
    os.execute("mkdir " .. folder)
    local built = os.execute(("unset LD_PRELOAD; rustc --crate-type cdylib -O %s/native/shout.rs -o %s/libshout.so")
      :format(root, folder))
    assert.is_true(built)
    local env <close> = environment(folder .. "/libshout.so")
    assert.are.equal("LOUD", env:execute_workflow("Shout", nil, "loud"))
    os.execute("rm -r " .. folder)
  end)
end)
