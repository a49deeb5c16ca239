-- Everything a user can get wrong at first: each gives a clear error at the right place, and nothing else
-- suffers from it.
local helper = require "helper"
local temporal = require "temporal"
local testing = require "temporal.testing"

local good = [[
  local workflow = require "temporal.workflow"
  return workflow.define("Good", function(x) return x end)
]]

local function still_works(env)
  assert.are.equal(7, env:execute_workflow("Good", nil, 7))
end

describe("bad input", function()
  it("an unknown workflow type fails its task and names the near match", function()
    local env <close> = helper.environment(good, { replay = false })
    local handle = env:start_workflow("Goood", { id = "unknown" })
    local failure = helper.task_failure(env, handle)
    assert.matches("Goood", failure.message)
    assert.matches("Good", failure.message)
    still_works(env)
    handle:terminate "wrong type"
  end)

  it("an unknown activity type fails the activity and lists what there is", function()
    local env <close> = helper.environment([[
      local workflow = require "temporal.workflow"
      return workflow.define("Calls", function()
        return workflow.execute_activity("chrage", {
          start_to_close_timeout = 5,
          retry_policy = { maximum_attempts = 1 },
        })
      end)
    ]], { activities = { charge = function() end } })
    local ok, err = pcall(env.execute_workflow, env, "Calls")
    assert.is_false(ok)
    assert.is_true(temporal.is_failure(err, "NotFoundError"))
    assert.matches("charge", tostring(err.cause.cause.message))
  end)

  it("a script with a syntax error is refused with file and line", function()
    local broken = "local workflow = require 'temporal.workflow'\nreturn workflow.define('X', function( end)"
    local ok, message = pcall(helper.environment, broken)
    assert.is_false(ok)
    assert.matches("spec", message)
    assert.matches(":2:", message)
  end)

  it("a missing module is refused by name", function()
    local ok, message = pcall(testing.environment, { workflows = { "workflows.missing" }, roots = { "spec" } })
    assert.is_false(ok)
    assert.matches("workflows.missing", message)
  end)

  it("a forbidden call fails the task and says what to use instead", function()
    local env <close> = helper.environment(good .. "", {
      replay = false,
      workflows = { { name = "good", source = good }, { name = "bad", source = [[
        local workflow = require "temporal.workflow"
        return workflow.define("Forbidden", function() return os.getenv "HOME" end)
      ]] } },
    })
    local handle = env:start_workflow("Forbidden", { id = "forbidden" })
    local failure = helper.task_failure(env, handle)
    assert.matches("os.getenv", failure.message)
    assert.matches("activity", failure.message)
    still_works(env)
    handle:terminate "forbidden"
  end)

  it("an endless loop is stopped, and others go on", function()
    local env <close> = helper.environment(good, {
      replay = false,
      worker = { workflow_cpu_limit = "100ms" },
      workflows = { { name = "good", source = good }, { name = "bad", source = [[
        local workflow = require "temporal.workflow"
        return workflow.define("Endless", function()
          while true do pcall(function() while true do end end) end
        end)
      ]] } },
    })
    local handle = env:start_workflow("Endless", { id = "endless" })
    local failure = helper.task_failure(env, handle)
    assert.matches("CPU", failure.message)
    still_works(env)
    handle:terminate "endless"
  end)

  it("a memory hog is stopped, and others go on", function()
    local env <close> = helper.environment(good, {
      replay = false,
      worker = { max_workflow_memory = 4 * 1024 * 1024 },
      workflows = { { name = "good", source = good }, { name = "bad", source = [[
        local workflow = require "temporal.workflow"
        return workflow.define("Hog", function()
          local t = {}
          while true do pcall(function() t[#t + 1] = ("x"):rep(1000) .. #t end) end
        end)
      ]] } },
    })
    local handle = env:start_workflow("Hog", { id = "hog" })
    local failure = helper.task_failure(env, handle)
    assert.matches("memory", failure.message)
    still_works(env)
    handle:terminate "hog"
  end)

  it("a value that is not JSON is refused where it is given, with its path", function()
    local env <close> = helper.environment(good)
    local ok, message = pcall(env.start_workflow, env, "Good", { id = "x" }, { list = { 1, { f = print } } })
    assert.is_false(ok)
    assert.matches("function", tostring(message))
    assert.matches("list", tostring(message))
    ok, message = pcall(env.start_workflow, env, "Good", { id = "x" }, "\xff\xfe")
    assert.is_false(ok)
    assert.matches("temporal.bytes", tostring(message))
    still_works(env)
  end)

  it("an oversized payload is refused with the limit", function()
    local env <close> = helper.environment(good)
    local ok, err = pcall(env.start_workflow, env, "Good", { id = "large" }, ("x"):rep(3 * 1024 * 1024))
    assert.is_false(ok)
    assert.are.equal("INVALID_ARGUMENT", err.status)
    still_works(env)
  end)

  it("a wrong namespace is named", function()
    local env <close> = helper.environment(good)
    local client = temporal.connect { server = env.server, namespace = "nowhere" }
    local ok, err = pcall(client.start_workflow, client, "Good", { task_queue = "test" })
    assert.is_false(ok)
    assert.are.equal("NamespaceNotFoundError", err.type)
    assert.matches("nowhere", err.message)
    client:close()
  end)

  it("a database file that is none is refused by name and left as it was", function()
    local file <close> = helper.file(("not a database\n"):rep(100))
    local ok, message = pcall(temporal.connect, { db_filename = file.name })
    assert.is_false(ok)
    assert.matches(file.name, message, 1, true)
    local handle = assert(io.open(file.name))
    assert.are.equal(("not a database\n"):rep(100), handle:read "a")
    handle:close()
  end)

  it("a database that another process holds is refused", function()
    local name = os.tmpname()
    os.remove(name)
    local client = temporal.connect { db_filename = name }
    local command = ("%s workflow show --db-filename %s --workflow-id x"):format(helper.binary, name)
    local code, _, errors = helper.run(command)
    assert.are.equal(1, code)
    assert.matches("in use by another server", errors)
    client:close()
    for _, suffix in ipairs { "", "-wal", "-shm", ".lock" } do
      os.remove(name .. suffix)
    end
  end)

  it("unknown options are named with the near match, at the caller's line", function()
    local ok, message = pcall(function() temporal.worker { task_queu = "x" } end)
    assert.is_false(ok)
    assert.matches("task_queue", message)
    assert.matches("bad_input_spec.lua", message)
    ok, message = pcall(function()
      temporal.worker { task_queue = 42 }
    end)
    assert.is_false(ok)
    assert.matches("bad_input_spec.lua", message)
    local env <close> = helper.environment(good)
    ok, message = pcall(env.start_workflow, env, "Good", { run_timeot = "5s" })
    assert.is_false(ok)
    assert.matches("run_timeout", message)
    ok, message = pcall(env.start_workflow, env, "Good", { run_timeout = "5 parsecs" })
    assert.is_false(ok)
    assert.matches("5 parsecs", message)
  end)
end)
