-- Payload converters of the user: the same module in the client, in activities and in workflows.
local helper = require "helper"
local temporal = require "temporal"
local testing = require "temporal.testing"

local head = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
]]

local money = [[
  local Money = {}
  Money.__index = Money
  function Money.new(cents) return setmetatable({ cents = cents }, Money) end
  function Money:double() return Money.new(self.cents * 2) end
  return {
    Money = Money,
    encoding = "text/money",
    to_payload = function(value)
      if type(value) == "table" and getmetatable(value) == Money then
        return { data = value.cents .. " ct", metadata = { note = "kept" } }
      end
    end,
    from_payload = function(payload)
      assert(payload.metadata.note == "kept")
      return Money.new(math.tointeger(payload.data:match "^(%d+) ct$"))
    end,
  }]]

describe("the payload converter of a workflow", function()
  it("makes payloads as arguments have them, which may be arguments themselves", function()
    local env <close> = helper.environment([[
      local temporal = require "temporal"
      local workflow = require "temporal.workflow"
      return workflow.define("W", function()
        local converter = workflow.payload_converter()
        local p = converter:to_payload({ 1, "two" })
        local null, bytes = converter:to_payload(nil), converter:to_payload(temporal.bytes "x")
        local echoed = workflow.execute_activity("echo", { start_to_close_timeout = 10 }, p)
        local made = converter:from_payload { metadata = { encoding = "json/plain" }, data = "[3]" }
        local messages = {}
        for i, bad in ipairs { {}, { data = "x" }, { data = 1, metadata = {} } } do
          messages[i] = select(2, pcall(converter.from_payload, converter, bad))
        end
        return p.metadata.encoding, p.data, null.metadata.encoding, bytes.metadata.encoding, echoed,
          converter:from_payload(p), made, messages
      end)]], { activities = { echo = function(v) return v end } })
    local encoding, data, null, bytes, echoed, back, made, messages = env:execute_workflow "W"
    assert.are.same({ "json/plain", '[1,"two"]', "binary/null", "binary/plain" }, { encoding, data, null, bytes })
    assert.are.same({ { 1, "two" }, { 1, "two" }, { 3 } }, { echoed, back, made })
    assert.are.equal(3, #messages)
    for _, message in ipairs(messages) do
      assert.matches("a payload is a table with the text 'data'", message)
    end
  end)
end)

describe("a payload converter", function()
  local modules, folder, module

  setup(function()
    modules = helper.module_folder()
    folder, module = modules.name, modules.module
  end)

  teardown(function() modules:close() end)

  local function environment(source, converters, more)
    local o = {
      workflows = { { name = "spec", source = head .. source } }, roots = { folder },
      data_converter = temporal.data_converter { payload_converters = converters },
    }
    for k, v in pairs(more or {}) do
      o[k] = v
    end
    return testing.environment(o)
  end

  it("converts in clients, workflows, activity modules and functions, and on replay", function()
    module("money", money)
    module("acts", [[
      local activity = require "temporal.activity"
      return { twice = activity.define("twice", function(m)
        assert(m.double, "the activity got no Money")
        activity.heartbeat(m)
        local asked = activity.client():get_workflow_handle(activity.info().workflow_id):query("ask", m)
        assert(asked.cents == 2 * m.cents)
        return m:double()
      end) }]])
    local Money = require "money".Money
    local env <close> = environment([[
      local Money = require "money".Money
      return workflow.define("W", function(m)
        assert(getmetatable(m) == Money, "the workflow got no Money")
        local got
        workflow.set_signal_handler("more", function(v) got = v end)
        workflow.set_query_handler("ask", function(v) return v:double() end)
        workflow.set_update_handler("set", function(v) return v:double() end)
        local a = workflow.execute_activity("twice", { start_to_close_timeout = "10s" }, m)
        local b = workflow.execute_activity("here", { start_to_close_timeout = "10s" }, a)
        local c = workflow.execute_local_activity("here", { start_to_close_timeout = "10s" }, b)
        local side = workflow.side_effect(function() return Money.new(1) end)
        workflow.upsert_memo { side = side }
        workflow.wait_condition(function() return got end)
        local sum = m.cents + a.cents + b.cents + c.cents + side.cents + got.cents
        return Money.new(sum), workflow.memo().side, { plain = true }
      end)]], { "money" }, { activities = { "acts", here = function(m) return m:double() end } })
    local handle = env:start_workflow("W", { memo = { first = Money.new(3) } }, Money.new(10))
    assert.are.equal(8, handle:query("ask", Money.new(4)).cents)
    assert.are.equal(14, handle:execute_update("set", nil, Money.new(7)).cents)
    handle:signal("more", Money.new(1000))
    local sum, side, rest = handle:result()
    assert.are.same({ 10 + 20 + 40 + 80 + 1 + 1000, 1, { plain = true } }, { sum.cents, side.cents, rest })
    assert.are.equal(Money, getmetatable(sum))
    local plain = temporal.connect { server = env.server }
    local raw = plain:get_workflow_handle(handle.id):result()
    assert.are.same({ "1151 ct", "text/money", "kept" }, { raw.data, raw.metadata.encoding, raw.metadata.note })
    plain:close()
    -- a replayer of its own
    local replayer = temporal.replayer {
      workflows = { { name = "spec", source = env.worker.given.workflows[1].source } }, roots = { folder },
      activities = { "acts" }, data_converter = temporal.data_converter { payload_converters = { "money" } },
    }
    assert.is_nil(replayer:replay_workflow(handle:history()).replay_failure)
  end)

  it("may stand in for one that is built in, and gives way to those before it", function()
    module("shout", [[
      return {
        { encoding = "text/upper", to_payload = function(v)
            if type(v) == "string" and v:find "^up" then return { data = v:upper() } end end,
          from_payload = function(p) return p.data:lower() end },
        { encoding = "json/plain", to_payload = function(v)
            if type(v) == "string" then return { data = '"<' .. v .. '>"' } end end,
          from_payload = function(p) return p.data end },
      }]])
    local env <close> = environment([[
      return workflow.define("W", function(...) return { ... } end)]], { "shout" })
    -- "a" is written by the second one and read as its JSON text; the table goes the built-in way.
    assert.are.equal([==[["upper","\"<a>\""]]==], env:execute_workflow("W", nil, "upper", "a"))
    assert.are.equal("{}", env:execute_workflow("W", nil, nil)) -- nil is nobody's
  end)

  it("has to do with failures' details and not with search attributes", function()
    module("tagged", [[
      return { encoding = "text/tagged",
        to_payload = function(v) if type(v) == "string" then return { data = v } end end,
        from_payload = function(p) return "tagged " .. p.data end }]])
    local env <close> = environment([[
      return workflow.define("W", function()
        workflow.upsert_search_attributes { Note = "n" }
        error(temporal.failure { message = "m", type = "T",
          details = { "d", tostring(workflow.info().search_attributes.Note) } })
      end)]], { "tagged" }, { search_attributes = { Note = "keyword" } })
    local handle = env:start_workflow "W"
    local _, err = pcall(handle.result, handle)
    assert.are.same({ "m", { "tagged d", "tagged n" } }, { err.cause.message, err.cause.details })
    assert.are.equal("n", handle:describe().search_attributes.Note)
  end)

  it("draws random numbers of its own and can neither await nor command", function()
    module("drawing", [[
      return { encoding = "text/x",
        to_payload = function(v)
          if v == "draw" then return { data = tostring(math.random(1000000)) } end
          local workflow = require "temporal.workflow"
          if v == "sleep" then workflow.sleep(1) end
          if v == "timer" then workflow.start_timer(1) end
        end,
        from_payload = function(p) return p.data end }]])
    local env <close> = environment([[
      return workflow.define("W", function(way)
        workflow.upsert_memo { a = way }
        workflow.upsert_memo { b = way }
        return workflow.memo()
      end)]], { "drawing" }, { replay = false })
    local memo = env:execute_workflow("W", nil, "draw")
    assert.matches("^%d+$", memo.a)
    assert.are.equal(memo.a, memo.b)
    for _, way in ipairs { "sleep", "timer" } do
      local plain = temporal.connect { server = env.server }
      local handle = plain:start_workflow("W", { task_queue = "test" }, way)
      local failure = helper.task_failure(env, handle)
      assert.matches("cannot be used in a payload converter", failure.message)
      plain:close()
    end
  end)

  it("that raises fails the workflow task, the activity or the call with its message", function()
    module("raising", [[
      return { encoding = "text/raising",
        to_payload = function(v)
          if v == "bad to" then error "to on purpose" end
          if v == "no data" then return { metadata = {} } end
          if v == "other" then return { data = "", metadata = { encoding = "e" } } end
          if v == "from" then return { data = "f" } end
        end,
        from_payload = function() error "from on purpose" end }]])
    local env <close> = environment([[
      return workflow.define("W", function(way)
        if way == "activity" then
          return workflow.execute_activity("bad", {
            start_to_close_timeout = "1s", retry_policy = { maximum_attempts = 1 } })
        end
        return way:gsub("^give ", ""), nil
      end)]], { "raising" }, { replay = false, activities = { bad = function() return "bad to" end } })
    for way, message in pairs {
      ["bad to"] = "to on purpose",
      ["no data"] = "converter of 'text/raising': to_payload must return a table with the text 'data'",
      ["other"] = "to_payload gave a payload with the encoding 'e'",
    } do
      assert.error_matches(function() env:start_workflow("W", nil, way) end, message)
      local failure = helper.task_failure(env, env:start_workflow("W", nil, "give " .. way))
      assert.matches(message, failure.message)
    end
    local failure = helper.task_failure(env, env:start_workflow("W", nil, "from"))
    assert.matches("raising.lua:%d+: from on purpose", failure.message)
    local handle = env:start_workflow("W", nil, "activity")
    local _, err = pcall(handle.result, handle)
    assert.matches("to on purpose", err.cause.cause.message)
  end)

  it("that is none is told when it is loaded", function()
    local function connecting(name)
      return function()
        temporal.connect { data_converter = temporal.data_converter { payload_converters = { name } } }
      end
    end
    assert.error_matches(connecting "not.there", "module 'not.there' not found")
    assert.error_matches(connecting(module("half", "return { encoding = 'x' }")),
      "payload converter 'half': 'to_payload' must be a function, got nil")
    assert.error_matches(connecting(module("text", "return 'x'")),
      "payload converter 'text': the module must return a converter or a list of them, got string")
    assert.error_matches(connecting(module("items", "return { 1 }")), "item 1 of the list must be a table, got number")
    local one = "{ encoding = 'x', to_payload = print, from_payload = print }"
    assert.error_matches(connecting(module("twice", ("return { %s, %s }"):format(one, one))),
      "the encoding 'x' has a converter already")
    local given = temporal.data_converter
    assert.error_matches(function() given { payload_converters = { {} } } end,
      "payload_converters%[1%] is a module name, got table")
    assert.error_matches(function() given { payload_converters = { a = "x" } } end, "is a list, got the key a")
    -- one that the workflow sandbox cannot load
    module("native", "assert(io.open) return " .. one)
    package.loaded.native = nil
    module("uses_io", "io.open 'x' return " .. one)
    assert.error_matches(function()
      local c = temporal.connect { data_converter = given { payload_converters = { "uses_io" } } }
      temporal.worker { task_queue = "q", client = c, roots = { folder },
        workflows = { { name = "spec", source = head .. "return workflow.define('W', print)" } } }:prepare()
    end, "io.open is not available in a workflow")
  end)
end)

describe("a payload of JSON", function()
  it("without data is no value", function()
    local client <close> = require("temporal").connect {}
    local ok, message = pcall(function()
      return client.data:decode_one "\x0a\x16\x0a\x08encoding\x12\x0ajson/plain"
    end)
    assert.is_false(ok)
    assert.matches("invalid JSON at byte 1: a value is missing", message)
  end)
end)
