-- Workflows outside of the sandbox: what they reach then, and what stays as it was.
local helper = require "helper"
local temporal = require "temporal"

local head = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
]]

local function definition(body, fields)
  return head .. ("return workflow.define { name = 'W', %s run = function(name) %s end }"):format(
    fields or "sandboxed = false,", body)
end

local function run(body, ...)
  local env <close> = helper.environment(definition(body))
  return env:execute_workflow("W", nil, ...)
end

describe("a workflow with sandboxed = false", function()
  it("reads and writes files, runs programs, sees the environment", function()
    local file <close> = helper.file "one\ntwo\n"
    local lines, added, code, home, gone, in_sandbox = run([[
      local lines = {}
      for line in io.lines(name) do lines[#lines + 1] = line end
      local to <close> = assert(io.open(name .. ".new", "w"))
      to:write("three ", 4, "\n")
      to:close()
      local from = io.open(name .. ".new")
      local added = from:read "a"
      from:close()
      os.rename(name .. ".new", name .. ".newer")
      os.remove(name .. ".newer")
      return lines, added, select(3, os.execute "exit 3"), os.getenv "HOME" ~= nil, io.open(name .. ".newer") == nil,
        workflow.unsafe.in_sandbox()
    ]], file.name)
    assert.are.same({ { "one", "two" }, "three 4\n", 3, true, true, false },
      { lines, added, code, home, gone, in_sandbox })
  end)

  it("still has the workflow's time, random numbers, ids and order of keys", function()
    local env <close> = helper.environment(definition [[
      local before = os.time()
      workflow.sleep(3600)
      local keys = {}
      for k in pairs { b = 1, a = 2, c = 3 } do keys[#keys + 1] = k end
      return os.time() - before, math.random(1 << 40), workflow.uuid4(), tostring({}), keys, os.clock() >= 3600
    ]])
    local handle = env:start_workflow "W"
    local passed, _, _, text, keys, clock = handle:result()
    assert.are.equal(3600, passed)
    assert.are.same({ "a", "b", "c" }, keys)
    assert.matches("^table: #", text)
    assert.is_true(clock)
    assert.is_nil(env:check_replay(handle).replay_failure) -- its result, with these numbers, is the same
  end)

  for name, message in pairs {
    ["os.exit()"] = "os.exit is not available",
    ["os.setlocale('C')"] = "os.setlocale is not available",
    ["io.popen('true')"] = "io.popen is not available",
    ["debug.getregistry()"] = "debug.getregistry is not available",
    ["package.loadlib('x', 'y')"] = "package.loadlib is not available",
    ["dofile('x')"] = "dofile is not available",
    ["setmetatable({}, { __gc = print })"] = "__gc",
    ["string.dump(print)"] = "string.dump is not available",
  } do
    it("is still refused " .. name, function()
      local err = run("local ok, err = pcall(function() " .. name .. " end) assert(not ok) return tostring(err)")
      assert.is_truthy(err:find(message, 1, true), err)
    end)
  end

  it("is stopped when it computes for ever or takes too much memory, and nothing else is", function()
    for body, options in pairs {
      ["while true do end"] = { type = "DeadlockError", worker = { workflow_cpu_limit = 0.05 } },
      ["local t = {} for i = 1, 1e9 do t[i] = { i } end"] = { type = "MemoryLimitError" },
    } do
      local env <close> = helper.environment(definition("local f <close> = io.open('/dev/null') " .. body),
        { replay = false, worker = options.worker })
      local failure = helper.task_failure(env, env:start_workflow "W")
      assert.are.equal(options.type, failure.type)
    end
  end)

  it("leaves no file open when it is evicted or ends", function()
    local env <close> = helper.environment(definition [[
      local files = {}
      for i = 1, 50 do files[i] = assert(io.open("/dev/zero")) end
      files[1]:close()
      files[2]:read(10)
      workflow.sleep(1)
      return #files
    ]], { worker = { max_cached_workflows = 1 } })
    local function open()
      local n = 0
      for _ in assert(io.popen("ls -l /proc/$PPID/fd | grep /dev/zero")):lines() do n = n + 1 end
      return n
    end
    for _ = 1, 4 do
      assert.are.equal(50, env:execute_workflow "W")
    end
    assert.is_true(open() <= 50, open() .. " are open")
  end)

  it("does not free the others of its module", function()
    local env <close> = helper.environment(head .. [[
      local free = workflow.define { name = "Free", sandboxed = false,
        run = function() return os.getenv "HOME" ~= nil end }
      local other = workflow.define("Other", function()
        return pcall(function() return os.getenv "HOME" end), workflow.unsafe.in_sandbox()
      end)
      return { free, other }]])
    assert.is_true(env:execute_workflow "Free")
    assert.are.same({ false, true }, { env:execute_workflow "Other" })
  end)
end)

describe("a worker with workflow_runner = 'unsandboxed'", function()
  it("frees all its workflows, and their modules while they load", function()
    local file <close> = helper.file "7"
    local source = head .. ([[
      local from <close> = assert(io.open(%q))
      local seven = from:read "n"
      return workflow.define("W", function() return seven, workflow.unsafe.in_sandbox() end)]]):format(file.name)
    local env <close> = helper.environment(source, { worker = { workflow_runner = "unsandboxed" } })
    local handle = env:start_workflow "W"
    assert.are.same({ 7, false }, { handle:result() })
    local replayer = temporal.replayer {
      workflows = { { name = "spec", source = source } }, workflow_runner = "unsandboxed",
    }
    assert.is_nil(replayer:replay_workflow(handle:history()).replay_failure)
    assert.has_error(function()
      temporal.replayer { workflows = { { name = "spec", source = source } } }
    end)
  end)

  it("refuses other runners", function()
    for message, call in pairs {
      ["wants one of sandboxed, unsandboxed"] = function()
        temporal.worker { task_queue = "q", workflow_runner = "free" }
      end,
      ["says it"] = function() temporal.replayer { workflows = {}, unsandboxed_workflow_runner = true } end,
    } do
      local ok, err = pcall(call)
      assert.is_false(ok)
      assert.is_truthy(tostring(err):find(message, 1, true), tostring(err))
    end
  end)
end)
