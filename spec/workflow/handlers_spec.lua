-- Handlers of signals and queries, dynamic workflows and activities.
local helper = require "helper"

local head = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
  local opts = { start_to_close_timeout = 10 }
]]

local function open(body, options)
  return helper.environment(head .. body, options)
end

describe("handlers", function()
  it("of the definition table may be tables, with descriptions and the dynamic one", function()
    local env <close> = open [[
      return workflow.define {
        name = "W",
        init = function() return { seen = {} } end,
        run = function(self)
          workflow.wait_condition(function() return #self.seen == 2 end)
          return self.seen
        end,
        signals = {
          add = { handler = function(self, x) table.insert(self.seen, x) end, description = "Adds one." },
        },
        dynamic_signal = function(self, name, x) table.insert(self.seen, name .. x) end,
        queries = { count = { handler = function(self) return #self.seen end, description = "How many." } },
        dynamic_query = function(self, name, x) return name, x end,
      }]]
    local handle = env:start_workflow("W", { id = "w" })
    assert.are.equal(0, handle:query "count")
    local meta = handle:query "__temporal_workflow_metadata"
    assert.are.equal("W", meta.definition.type)
    assert.are.same({ { name = "add", description = "Adds one." }, {} }, meta.definition.signalDefinitions)
    assert.are.same({ name = "count", description = "How many." }, meta.definition.queryDefinitions[1])
    assert.are.same({ "other", 7 }, { handle:query("other", 7) })
    handle:signal("add", 1)
    handle:signal("more", 2)
    assert.are.same({ 1, "more2" }, handle:result())
  end)

  it("can be read back, replaced and removed while the workflow runs", function()
    local env <close> = open [[
      return workflow.define("W", function()
        local got = {}
        local function first(x) got[#got + 1] = "first" .. x end
        workflow.set_signal_handler("s", first)
        local same = workflow.get_signal_handler "s" == first and workflow.get_signal_handler "t" == nil
        workflow.wait_condition(function() return #got == 1 end)
        workflow.set_signal_handler("s", nil)
        local gone = workflow.get_signal_handler "s" == nil
        workflow.set_query_handler("ready", function() return true end)
        workflow.sleep "1m"
        local early = #got
        workflow.set_dynamic_signal_handler { handler = function(name, x) got[#got + 1] = name .. x end }
        workflow.wait_condition(function() return #got == 3 end)
        return same, gone, early, workflow.get_dynamic_signal_handler() ~= nil, got
      end)]]
    local handle = env:start_workflow("W", { id = "w" })
    handle:signal("s", 1)
    helper.eventually(env, function()
      return pcall(handle.query, handle, "ready")
    end)
    handle:signal("s", 2)
    handle:signal("s", 3)
    assert.are.same({ true, true, 1, true, { "first1", "s2", "s3" } }, { handle:result() })
  end)

  it("refuse bad options with the handler's name", function()
    local env <close> = open [[
      return workflow.define("W", function()
        local function message(...) return select(2, pcall(...)) end
        return message(workflow.set_signal_handler, "s", { handlr = print }),
          message(workflow.set_signal_handler, "s", {}),
          message(workflow.set_signal_handler, "s", 5),
          message(workflow.set_query_handler, "q", { handler = print, unfinished_policy = "abandon" }),
          message(workflow.set_signal_handler, "__temporal_x", print),
          message(workflow.set_signal_handler, "s", { handler = print, unfinished_policy = "leave" })
      end)]]
    local a, b, c, d, e, f = env:execute_workflow "W"
    assert.matches("set_signal_handler: unknown option 'handlr' %(did you mean 'handler'%?%)", a)
    assert.matches("needs handler", b)
    assert.matches("a handler is a function or a table with field handler, got a number", c)
    assert.matches("unknown option 'unfinished_policy'", d)
    assert.matches("__temporal_x is reserved", e)
    assert.matches("warn_and_abandon", f)
  end)

  it("are not lost behind a definition's function", function()
    for _, definition in ipairs {
      [[workflow.define("W", print, { versioning_behavior = "pinned" })]],
      [[workflow.define({ name = "W", run = print }, print)]],
    } do
      local ok, message = pcall(open, "return " .. definition)
      assert.is_false(ok)
      assert.matches("takes a name and a function, or one table with name, run and the options", message)
    end
  end)

  it("are refused in a definition under their place", function()
    local ok, message = pcall(open, [[
      return workflow.define { name = "W", run = print, signals = { s = { handle = print } } }]])
    assert.is_false(ok)
    assert.matches("workflow.define: signals.s: unknown option 'handle'", message)
  end)
end)

describe("dynamic handlers", function()
  it("of queries and updates are set, read back, replaced and removed", function()
    local env <close> = helper.environment [[
      local workflow = require "temporal.workflow"
      return workflow.define("W", function()
        local unset = workflow.get_dynamic_query_handler() == nil and workflow.get_dynamic_update_handler() == nil
        local function asked(name, ...) return name, ... end
        workflow.set_dynamic_query_handler(asked)
        workflow.set_query_handler("known", function() return "known" end)
        workflow.set_dynamic_update_handler {
          handler = function(name, n) return name .. n end,
          validator = function(_, n) assert(n > 0, "too small") end,
        }
        local same = workflow.get_dynamic_query_handler() == asked and workflow.get_query_handler "known"() == "known"
        local called = workflow.get_dynamic_update_handler()("direct", 1)
        local done = false
        workflow.set_signal_handler("end", function() done = true end)
        workflow.wait_condition(function() return done end)
        workflow.set_dynamic_query_handler(nil)
        workflow.set_dynamic_update_handler(nil)
        return unset, same, called, workflow.get_dynamic_query_handler() == nil,
          workflow.get_dynamic_update_handler() == nil
      end)]]
    local handle = env:start_workflow("W", { id = "w" })
    assert.are.same({ "any", 7 }, { handle:query("any", 7) })
    assert.are.equal("known", handle:query "known")
    assert.are.equal("more2", handle:execute_update("more", nil, 2))
    local ok, err = pcall(handle.execute_update, handle, "more", nil, 0)
    assert.is_false(ok)
    assert.matches("too small", tostring(err.cause))
    handle:signal "end"
    assert.are.same({ true, true, "direct1", true, true }, { handle:result() })
    assert.are.equal("WorkflowQueryFailedError", select(2, pcall(handle.query, handle, "any")).type)
  end)
end)

describe("the enhanced stack trace", function()
  it("names files and lines of all coroutines, with the sources", function()
    local env <close> = open [[
      local function inner() workflow.sleep "1h" end
      return workflow.define("W", function()
        workflow.set_query_handler("ready", function() return true end)
        workflow.spawn(function() coroutine.wrap(function() workflow.sleep "30m" end)() end)
        inner()
      end)]]
    local handle = env:start_workflow("W", { id = "w" })
    assert.is_true(handle:query "ready")
    local trace = handle:query "__enhanced_stack_trace"
    assert.are.equal("temporal-lua", trace.sdk.name)
    assert.are.equal(2, #trace.stacks)
    local place = trace.stacks[1].locations[1]
    assert.are.same({ "spec.lua", "inner", 4 }, { place.filePath, place.functionName, place.line })
    assert.are.equal(2, #trace.stacks[2].locations) -- the coroutine and who resumed it
    assert.matches("local function inner", trace.sources["spec.lua"].content)
    handle:terminate()
  end)
end)

describe("dynamic workflows", function()
  it("take the types without a definition, and get the type first", function()
    local env <close> = open [[
      local known = workflow.define("Known", function() return "known" end)
      return { known, workflow.define { dynamic = true, run = function(type, a, b)
        workflow.sleep(1)
        return type, workflow.info().workflow_type, a, b
      end } }]]
    assert.are.equal("known", (env:execute_workflow "Known"))
    assert.are.same({ "Some.Type", "Some.Type", 1, 2 }, { env:execute_workflow("Some.Type", nil, 1, 2) })
    assert.are.equal("Other", (env:execute_workflow "Other"))
  end)

  it("continue as new under their own type, with self before the type", function()
    local env <close> = open [[
      return workflow.define { dynamic = true,
        init = function(type, n) return { type = type, n = n } end,
        run = function(self, type, n)
          if n > 0 then workflow.continue_as_new({}, n - 1) end
          return self.type, type, self.n
        end }]]
    assert.are.same({ "Countdown", "Countdown", 0 }, { env:execute_workflow("Countdown", nil, 2) })
  end)

  it("have no name, and there is one at most", function()
    local ok, message = pcall(open, [[return workflow.define { dynamic = true, name = "W", run = print }]])
    assert.is_false(ok)
    assert.matches("has no name of its own", message)
    ok, message = pcall(open, [[
      return { workflow.define { dynamic = true, run = print }, workflow.define { dynamic = true, run = print } }]])
    assert.is_false(ok)
    assert.matches("the dynamic workflow is defined twice", message)
  end)
end)

describe("dynamic activities", function()
  it("take the types that no other takes", function()
    local activity = require "temporal.activity"
    local env <close> = open([[
      return workflow.define("W", function()
        return workflow.execute_activity("anything", opts, 1), workflow.execute_activity("echo", opts, 2)
      end)]], {
      activities = {
        echo = function(x) return "echo" .. x end,
        activity.define { dynamic = true, run = function(type, x) return type .. x end },
      },
    })
    assert.are.same({ "anything1", "echo2" }, { env:execute_workflow "W" })
  end)

  it("are not defined by half", function()
    local activity = require "temporal.activity"
    assert.has_error(function() activity.define { dynamic = true } end,
      "activity.define: option 'run' is required")
    assert.is_false((pcall(activity.define, { dynamic = false, run = print })))
  end)
end)

describe("names", function()
  it("that do not exist are told with the nearest one", function()
    local env <close> = open [[
      return workflow.define("W", function()
        local function message(fn) return select(2, pcall(fn)) end
        return message(function() return workflow.execute_activty end),
          message(function() return temporal.failur end),
          message(function() return workflow.log.wrn end),
          message(function() return workflow.qqqqqqqqqqqqq end),
          table.nope == nil
      end)]]
    local a, b, c, d, e = env:execute_workflow "W"
    assert.matches("workflow has no 'execute_activty' %(did you mean 'execute_activity'%?%)", a)
    assert.matches("temporal has no 'failur' %(did you mean 'failure'%?%)", b)
    assert.matches("workflow.log has no 'wrn' %(did you mean 'warn'%?%)", c)
    assert.matches("workflow has no 'qqqqqqqqqqqqq'$", d)
    assert.is_true(e)
  end)
end)
