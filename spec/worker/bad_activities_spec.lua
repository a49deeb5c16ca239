-- What activities do wrong, on threads, as coroutines, in processes and as functions of the script: the workflow hears
-- what it was, and the worker goes on.
local helper = require "helper"

local source = [[
  local workflow = require "temporal.workflow"
  return workflow.define("Runs", function(kind, case)
    return workflow.execute_activity("bad_" .. kind, {
      start_to_close_timeout = 20, retry_policy = { maximum_attempts = 1 },
    }, case)
  end)
]]

--- The activity, which goes wrong as its argument says.
local bad = [[
  local activity = require "temporal.activity"
  local cases = {}
  function cases.text() error "plain text" end
  function cases.text_of_a_line() error("at level one", 1) end
  function cases.number() error(42, 0) end
  function cases.boolean() error(false, 0) end
  function cases.nothing() error(nil, 0) end
  function cases.table_of_no_kind() error({ code = 7 }, 0) end
  function cases.fn() error(print, 0) end
  function cases.raises_again() error(setmetatable({}, { __tostring = function() error "no name" end }), 0) end
  function cases.names_a_number() error(setmetatable({}, { __tostring = function() return 7 end }), 0) end
  function cases.index_of_nil() local t; return t.x end
  function cases.stack() local function f() return 1 + f() end return f() end
  function cases.cycle_in_details()
    local t = {}
    t.t = t
    error(require "temporal".failure { type = "Odd", message = "with a cycle", details = { t } }, 0)
  end
  function cases.returns_function() return print end
  function cases.returns_nested_function() return { list = { 1, { f = print } } } end
  function cases.returns_cycle() local t = { 1 } t[2] = t return t end
  function cases.returns_thread() return coroutine.create(print) end
  function cases.returns_file() return io.stdout end
  function cases.returns_nan() return { x = 0 / 0 } end
  function cases.returns_mixed_keys() return { 1, 2, x = 3 } end
  function cases.returns_too_deep()
    local t = {}
    for _ = 1, 3000 do t = { t } end
    return t
  end
  function cases.returns_too_much() return ("x"):rep(3 * 1024 * 1024) end
  function cases.raises_too_much() error(("y"):rep(5 * 1024 * 1024), 0) end
  function cases.heartbeats_function() activity.heartbeat(print) end
  function cases.good() return "good" end
  return function(case) return cases[case]() end
]]

--- What the message of each has to say.
local expected = {
  text = "plain text", text_of_a_line = "at level one", number = "42", boolean = "false", nothing = "nil",
  table_of_no_kind = '{"code":7}', fn = "function", raises_again = "cannot be sent", names_a_number = "7",
  index_of_nil = "index a nil value", stack = "stack overflow", cycle_in_details = "cannot be sent",
  returns_function = "function", returns_nested_function = "function", returns_cycle = "contains itself",
  returns_thread = "thread", returns_file = "userdata", returns_nan = "nan", returns_mixed_keys = "named fields",
  returns_too_deep = "[1][1]", returns_too_much = "bytes", raises_too_much = "exceeds size limit",
  heartbeats_function = "function",
}

local names = {}
for name in pairs(expected) do
  names[#names + 1] = name
end
table.sort(names)

--- The message of the activity's failure.
local function message_of(env, kind, case)
  local handle = env:start_workflow("Runs", nil, kind, case)
  local ok, err = pcall(handle.result, handle, { timeout = 60 })
  assert.is_false(ok, kind .. " " .. case .. " did not fail")
  assert.are.equal("ActivityError", err.cause and err.cause.type or tostring(err), case)
  return err.cause.cause.message
end

local function check(env, kind)
  for _, case in ipairs(names) do
    local message = message_of(env, kind, case)
    assert.are.equal("string", type(message), case)
    assert.is_truthy(message:lower():find(expected[case], 1, true),
      ("%s %s: %s"):format(kind, case, message:sub(1, 300)))
    assert.is_true(#message > 0 and #message < 64 * 1024, ("%s %s: %d bytes"):format(kind, case, #message))
    assert.are.equal("good", (env:execute_workflow("Runs", nil, kind, "good")))
  end
  assert.are.equal(0, env.worker:stats().workflow_tasks_failed)
  assert.is_true(env.worker:is_running())
end

describe("a bad activity", function()
  local folder

  setup(function()
    folder = helper.module_folder()
    folder.module("bad_cases", bad)
    for _, kind in ipairs { "thread", "coroutine", "process" } do
      folder.module("bad_" .. kind, ([[
        return require "temporal.activity".define("bad_%s", require "bad_cases", { kind = "%s" })
      ]]):format(kind, kind))
    end
  end)

  teardown(function() folder:close() end)

  for _, kind in ipairs { "thread", "coroutine", "process" } do
    it("of kind " .. kind .. " fails itself and nothing else", function()
      local env <close> = helper.environment(source, {
        activities = { "bad_" .. kind }, roots = { folder.name }, replay = false,
        worker = kind == "process" and { activity_executor = { kind = "processes", size = 1, default = false } } or nil,
      })
      check(env, kind)
    end)
  end

  it("cannot end the process that it shares with the worker", function()
    folder.module("bad_exit", [[
      local activity = require "temporal.activity"
      local function run(case)
        if case == "good" then
          return "good"
        end
        return os.exit(case == "close", case == "close")
      end
      return { activity.define("bad_exits", run), activity.define("bad_coexits", run, { kind = "coroutine" }) }
    ]])
    local env <close> = helper.environment(source, { activities = { "bad_exit" }, roots = { folder.name } })
    for _, kind in ipairs { "exits", "coexits" } do
      for _, case in ipairs { "plain", "close" } do
        assert.matches("os.exit would end the whole worker", message_of(env, kind, case), 1, true)
      end
      assert.are.equal("good", (env:execute_workflow("Runs", nil, kind, "good")))
    end
  end)

  it("that is a function of the script fails itself and nothing else", function()
    local env <close> = helper.environment(source, {
      activities = { bad_script = assert(load(bad))() }, replay = false,
    })
    check(env, "script")
  end)

  it("says near names where it has none", function()
    local env <close> = helper.environment(source, { activities = { "bad_thread" }, roots = { folder.name } })
    local message = message_of(env, "tread", "good")
    assert.matches("bad_tread", message)
    assert.matches("bad_thread", message)
  end)
end)

describe("a heartbeat", function()
  it("of an activity that has ended is refused, and nothing else is disturbed", function()
    local kept
    local env <close> = helper.environment(source, {
      activities = { bad_async = function(case)
        local activity = require "temporal.activity"
        if case == "good" then
          return "good"
        end
        kept = activity.info().task_token
        activity.complete_async()
      end },
    })
    local handle = env:start_workflow("Runs", nil, "async", "open")
    local token = helper.eventually(env, function() return kept end)
    local open = env.client:get_async_activity_handle { task_token = token }
    open:heartbeat(1)
    open:complete "done"
    assert.are.equal("done", (handle:result()))
    local ok, err = pcall(open.heartbeat, open, 2)
    assert.is_false(ok)
    assert.are.equal("NOT_FOUND", err.status)
    ok, err = pcall(require "temporal.activity".heartbeat, 3) -- no activity runs here
    assert.is_false(ok)
    assert.matches("can only be used inside a running activity", tostring(err))
    assert.are.equal("good", (env:execute_workflow("Runs", nil, "async", "good")))
  end)
end)
