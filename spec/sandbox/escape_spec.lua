-- Published ways out of Lua sandboxes, tried in a workflow: each gets an error or something harmless, and
-- the next run of the same worker sees nothing of it.
local helper = require "helper"

local source = [[
  local workflow = require "temporal.workflow"
  return workflow.define("W", function(code)
    local fn, message = load(code, "=attempt")
    if not fn then return false, message end
    local got = table.pack(pcall(fn))
    for i = 2, got.n do
      if type(got[i]) ~= "string" and type(got[i]) ~= "number" and type(got[i]) ~= "boolean" then
        got[i] = tostring(got[i])
      end
    end
    return table.unpack(got, 1, got.n)
  end)
]]

-- Attempt -> what it gives: text is part of an error, a table its results.
local attempts = {
  { "the metatable of strings", 'getmetatable("").__index.upper = function() return "owned" end', "boolean value" },
  { "string methods through a value", '("").upper = nil', "index a string value" },
  { "the registry", "return debug.getregistry()", "debug.getregistry is not available" },
  { "upvalues of a library function", "return debug.getupvalue(pairs, 1)", "debug.getupvalue is not available" },
  { "upvalues of wrap", "return debug.setupvalue(coroutine.wrap(print), 1, 1)", "debug.setupvalue is not available" },
  { "metatables of other types", "return debug.setmetatable(1, {})", "debug.setmetatable is not available" },
  { "the loaded modules", "return package.loaded.os", "package.loaded is not available" },
  { "C loaders", 'return package.loadlib("libc.so.6", "system")', "package.loadlib is not available" },
  { "require by path", 'return require("../../etc/passwd")', "../../etc/passwd" },
  { "require of a C module", 'return require("temporal.core")', "temporal.core" },
  { "bytecode through load",
    'return select(2, load("\\27LuaT\\0\\25\\147\\r\\n"))', { true, "attempt to load a binary chunk" } },
  { "bytecode made by string.dump", "return string.dump(function() end)", "string.dump is not available" },
  { "an environment with real names",
    "return load('return os.execute', 'x', 't', _G)()", "os.execute is not available" },
  { "names of an empty environment", "return tostring(load('return os', 'x', 't', {})())", { true, "nil" } },
  { "files", 'return io.open("/etc/passwd")', "io.open is not available" },
  { "lines of a file", 'for l in io.lines("/etc/passwd") do return l end', "io.lines is not available" },
  { "the environment of the process", 'return os.getenv("HOME")', "os.getenv is not available" },
  { "ending the process", "os.exit(0)", "os.exit is not available" },
  { "replacing a global function", "pairs = next", "'pairs'" },
  { "replacing it raw", "rawset(_G, 'pairs', next)", "read-only" },
  { "filling a library", "string.owned = true", "the library string is read-only" },
  { "a metatable for a library", "return setmetatable(string, {})", "cannot change a protected metatable" },
  { "the metatable of _G", "return getmetatable(_G)", { true, false } },
  { "table.insert into a library", "table.insert(string, 1)", "read-only" },
  { "table.move into a library", "table.move({ 1, 2 }, 1, 2, 1, math)", "read-only" },
  { "sorting a library", "table.sort(table)", "read-only" },
  { "finalizers", "setmetatable({}, { __gc = os.exit })", "is not available" },
  { "finalizers added later",
    "local mt = {} setmetatable({}, mt) mt.__gc = error for i = 1, 1e4 do local t = {} end return 1",
    { true, 1 } },
  { "an error object that names the host", "error(setmetatable({}, { __tostring = function() return 7 end }))", nil },
  { "__name as text", "return tostring(setmetatable({}, { __name = ('x'):rep(10) }))", { true, "xxxxxxxxxx: #" } },
  { "a close handler that fails",
    "local x <close> = setmetatable({}, { __close = function() error('late', 0) end })", "late" },
  { "endless nesting of pcall", "local function f() return pcall(f) end return f()", { true } },
  { "endless nesting of gsub", "local function f() return (('x'):gsub('x', f)) end return f()", "overflow" },
  { "endless nesting of metamethods",
    "local t = setmetatable({}, {}) getmetatable(t).__index = function(u, k) return u[k .. 1] end return t.x",
    "overflow" },
  { "endless nesting of coroutines", "local function f() return coroutine.wrap(f)() end return f()", "overflow" },
  { "deep parentheses", "return load(('('):rep(5000) .. '1' .. (')'):rep(5000))", { true, "nil" } },
  { "deep tables for the parser", "return load('return ' .. ('{'):rep(5000) .. ('}'):rep(5000))", { true, "nil" } },
  { "deep tables for JSON", "local j = require 'temporal.json' return j.decode(('['):rep(100000))", "" },
  { "a cycle for JSON", "local j = require 'temporal.json' local t = {} t[1] = t return j.encode(t)", "" },
  { "pattern with a stray capture", "return ('x'):find('%1')", "capture" },
  { "pattern nested too deep", "return ('x'):find(('('):rep(100))", "capture" },
  { "format with a long width", "return ('%1000d'):format(1)", "invalid conversion" },
  { "format of an address", "return ('%p'):format({})", "%p" },
  { "string.rep beyond memory", "return ('x'):rep(1 << 60)", "resulting string too large" },
  { "unpack of everything", "return table.unpack({}, 1, 1e8)", "too many results" },
  { "goto over a close variable", "goto e do local x <close> = nil ::e:: end", nil },
  { "closing the running coroutine", "return coroutine.close(coroutine.running())", "cannot close" },
  { "yielding out of the workflow", "coroutine.yield(1)", "outside a coroutine" },
  { "integer for loop without an end", "for i = math.maxinteger - 1, math.maxinteger do end return 1", { true, 1 } },
}

describe("escapes", function()
  local env

  setup(function()
    env = helper.environment(source)
  end)

  teardown(function()
    env:close()
  end)

  for _, attempt in ipairs(attempts) do
    local name, code, wanted = attempt[1], attempt[2], attempt[3]
    it(name, function()
      local got = table.pack(env:execute_workflow("W", { run_timeout = "20s" }, code))
      if type(wanted) == "table" then
        for i, value in ipairs(wanted) do
          if type(value) == "string" then
            assert.are.equal(value, tostring(got[i]):sub(1, #value))
          else
            assert.are.equal(value, got[i])
          end
        end
      else
        assert.is_false(got[1])
        if wanted then
          assert.is_truthy(tostring(got[2]):find(wanted, 1, true), tostring(got[2]))
        end
      end
      -- The next run has all its functions.
      local ok, text = env:execute_workflow("W", nil,
        "local s = '' for k in pairs { b = 1, a = 2 } do s = s .. k end return ('x'):upper() .. s .. type(_G.owned)")
      assert.is_true(ok)
      assert.are.equal("Xabnil", text)
    end)
  end
end)

describe("runs", function()
  it("share no module, no global and no cached proxy", function()
    local env <close> = helper.environment([[
      local workflow = require "temporal.workflow"
      local seen = {}
      local echo = workflow.activity("echo", { start_to_close_timeout = 10 })
      return workflow.define("W", function(mine)
        seen[#seen + 1] = mine
        rawset(_G, "mine", mine)
        local back = echo(mine)
        workflow.sleep(1)
        return #seen, _G.mine == mine and back == mine
      end)]], { activities = { echo = function(v) return v end } })
    local handles = {}
    for i = 1, 20 do
      handles[i] = env:start_workflow("W", nil, "run " .. i)
    end
    for i = 1, 20 do
      local count, same = handles[i]:result()
      assert.are.equal(1, count)
      assert.is_true(same)
    end
  end)
end)

describe("runs that take too much", function()
  local cases = {
    { "recursion without an end",
      "local function f() return 1 + f() end return f()", "needs more memory than its limit" },
    { "memory, behind pcall", "local t = {} while true do pcall(function() t[#t + 1] = ('x'):rep(1e6) .. #t end) end",
      "needs more memory than its limit" },
    { "the processor, behind pcall",
      "while true do pcall(function() while true do end end) end", "potential deadlock", "50ms" },
    { "the processor, in a pattern", "return ('a'):rep(200):find('.-.-.-.-b')", "potential deadlock", "50ms" },
  }
  for _, case in ipairs(cases) do
    it("fail their task and nobody else's: " .. case[1], function()
      local env <close> = helper.environment(source, { replay = false,
        worker = { workflow_cpu_limit = case[4] or "10s", max_workflow_memory = 8 * 1024 * 1024 } })
      local hog = env:start_workflow("W", nil, case[2])
      local failure = helper.task_failure(env, hog)
      assert.is_truthy(failure.message:find(case[3], 1, true), failure.message)
      local ok, value = env:execute_workflow("W", nil, "return 42")
      assert.is_true(ok)
      assert.are.equal(42, value)
      hog:terminate("enough")
    end)
  end
end)
