-- Interceptors: around workflows, activities and clients; what they are given, in which order, and what goes wrong.
local core = require "temporal.core"
local temporal = require "temporal"
local helper = require "helper"

local head = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
]]

--- A module that notes each hook of a workflow, with its label, in a header of what goes out and in the result.
local notes = [[
  local workflow = require "temporal.workflow"
  return function(config)
    local seen = {}
    local passing = { handle_query = true, handle_update_validator = true } -- they may not change the run
    local function note(name)
      return function(input, next)
        if not passing[name] then seen[#seen + 1] = config.label .. ":" .. name end
        if input.headers then input.headers[config.label] = name end
        return next(input)
      end
    end
    local hooks = {}
    for _, name in ipairs { "handle_signal", "handle_query", "handle_update_validator", "handle_update_handler",
        "start_activity", "start_local_activity", "start_child_workflow", "signal_child_workflow",
        "signal_external_workflow" } do
      hooks[name] = note(name)
    end
    function hooks.execute_workflow(input, next)
      seen[#seen + 1] = config.label .. ":execute_workflow " .. input.type
      local result = next(input)
      return { result = result, seen = seen }
    end
    return { name = config.label, workflow = hooks }
  end]]

local function notes_of(label)
  return { module = "notes", source = notes, config = { label = label } }
end

describe("interceptors of workflows", function()
  it("stand around what comes in and what goes out, the first one outside", function()
    local env <close> = helper.environment(head .. [[
      local go
      return workflow.define {
        name = "W",
        run = function(n)
          local a = workflow.execute_activity("echo", { start_to_close_timeout = "10s" }, n)
          local b = workflow.start_local_activity("echo", { start_to_close_timeout = "10s" }, n + 1):result()
          workflow.wait_condition(function() return go end)
          return { a, b }
        end,
        signals = { go = function(v) go = v end },
        queries = { q = function(v) return v end },
        updates = { u = { handler = function(v) return v end, validator = function() end } },
      }]], {
      activities = { echo = function(v) return v end },
      worker = { interceptors = { notes_of "one", notes_of "two" } },
    })
    local handle = env:start_workflow("W", nil, 1)
    assert.are.equal(5, handle:query("q", 5))
    assert.are.equal(6, handle:execute_update("u", nil, 6))
    handle:signal("go", true)
    local outer = handle:result()
    local inner = outer.result
    assert.are.same({ 1, 2 }, inner.result)
    local wanted = { "execute_workflow W", "start_activity", "start_local_activity", "handle_update_handler",
      "handle_signal" }
    local function labelled(label)
      local out = {}
      for i, name in ipairs(wanted) do
        out[i] = label .. ":" .. name
      end
      return out
    end
    local function sorted(list)
      table.sort(list)
      return list
    end
    assert.are.same(sorted(labelled "one"), sorted(outer.seen))
    assert.are.same(sorted(labelled "two"), sorted(inner.seen))
  end)

  it("may change arguments, options, headers and results", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function(n)
        local proxy = workflow.activity("told", { start_to_close_timeout = "10s", headers = { mine = 1 } })
        return proxy(n)
      end)]], {
      activities = { echo = function(v)
        local info = require "temporal.activity".info()
        return { v, info.activity_id, info.headers }
      end },
      worker = { interceptors = { { module = "change", source = [[
        return { workflow = {
          execute_workflow = function(input, next)
            input.args[1] = input.args[1] + 1
            local r = next(input)
            r[4] = "out"
            return r
          end,
          start_activity = function(input, next)
            assert(input.activity == "told" and input.start_to_close_timeout == "10s" and input.args.n == 1)
            input.activity, input.activity_id, input.args = "echo", "renamed", { input.args[1] * 10 }
            input.headers.theirs = { "x" }
            return next(input)
          end,
        } }]] } } },
    })
    assert.are.same({ 20, "renamed", { mine = 1, theirs = { "x" } }, "out" }, env:execute_workflow("W", nil, 1))
  end)

  it("sees children, their signals, external signals and continue-as-new", function()
    local env <close> = helper.environment(head .. [[
      local child = workflow.define("Child", function()
        local who
        workflow.set_signal_handler("hi", function(v) who = v end)
        workflow.wait_condition(function() return who end)
        return who, workflow.info().headers
      end)
      local parent = workflow.define("W", function(again)
        if again then workflow.continue_as_new({ headers = { own = true } }, nil) end
        local h = workflow.start_child_workflow(child, { id = "c" })
        h:signal("hi", "ann")
        local who, headers = h:result()
        local pending = workflow.start_child_workflow("Child", { id = "d", headers = { own = 2 } })
        workflow.external_workflow("d"):signal_with({ headers = { sent = 1 } }, "hi", "bob")
        local second, own = pending:result()
        return { who, headers, second, own, workflow.info().headers }
      end)
      return { child, parent }]], {
      worker = { interceptors = { { module = "trace", source = [[
        return { workflow = {
          start_child_workflow = function(input, next) input.headers.from = input.workflow return next(input) end,
          signal_child_workflow = function(input, next)
            assert(input.child_workflow_id == "c" and input.signal == "hi")
            input.args[1] = input.args[1] .. "!"
            return next(input)
          end,
          signal_external_workflow = function(input, next)
            assert(input.workflow_id == "d" and input.headers.sent == 1)
            input.args[1] = input.args[1] .. "?"
            return next(input)
          end,
          continue_as_new = function(input, next)
            assert(input.workflow == "W" and input.args.n == 1)
            input.headers.again = 1
            return next(input)
          end,
        } }]] } } },
    })
    assert.are.same({ "ann!", { from = "Child" }, "bob?", { from = "Child", own = 2 }, { own = true, again = 1 } },
      env:execute_workflow("W", nil, true))
  end)

  it("see timers and the cancellation of other workflows, and change them", function()
    local env <close> = helper.environment(head .. [[
      local target = workflow.define("Target", function()
        pcall(workflow.wait_condition, function() return false end)
        return workflow.cancellation_reason()
      end)
      return { target, workflow.define("W", function()
        local began = workflow.now()
        workflow.sleep("1h", { summary = "nap" })
        workflow.start_timer(7200):result()
        local slept = workflow.now() - began
        workflow.sleep(0)
        local child = workflow.start_child_workflow("Target", { id = "target" })
        workflow.external_workflow("elsewhere", { run_id = "r" }):cancel("mine")
        return slept, child:result()
      end) }]], {
      worker = { interceptors = { { module = "timers", source = [[
        local seen = {}
        return { workflow = {
          start_timer = function(input, next)
            assert(input.headers == nil and input.args.n == 0)
            seen[#seen + 1] = input.call .. " " .. input.duration .. " " .. tostring(input.summary)
            input.duration = input.call == "sleep" and "1m" or input.duration
            return next(input)
          end,
          cancel_external_workflow = function(input, next)
            assert(input.workflow_id == "elsewhere" and input.workflow_run_id == "r", "target")
            input.workflow_id, input.workflow_run_id, input.reason = "target", nil, input.reason .. ", changed"
            return next(input)
          end,
          execute_workflow = function(input, next)
            local result = table.pack(next(input))
            if input.type ~= "W" then return table.unpack(result, 1, result.n) end
            return result[1], result[2], seen
          end,
        } }]] } } },
    })
    local slept, reason, seen = env:execute_workflow("W")
    assert.are.equal(7260, slept // 1)
    assert.are.equal("mine, changed", reason)
    assert.are.same({ "sleep 1h nap", "start_timer 7200 nil" }, seen)
  end)

  it("see the timers of timeouts, where they cannot wait", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function()
        local began = workflow.now()
        local in_time = workflow.wait_condition(function() return false end,
          { timeout = "1h", timeout_summary = "soon" })
        local any = workflow.wait_any({ workflow.future() }, { timeout = 5 })
        local scope, err = pcall(workflow.scope, { timeout = "2h" }, function() workflow.sleep("1d") end)
        local channel = workflow.channel()
        local got = channel:receive { timeout = 7 }
        local lock = workflow.lock()
        lock:acquire()
        local missed = not lock:acquire { timeout = 8 }
        return { in_time, any == nil, scope, err.type, got == nil, missed, (workflow.now() - began) // 1 }
      end)]], {
      worker = { interceptors = { { module = "timeouts", source = [[
        local workflow = require "temporal.workflow"
        local seen = {}
        return { workflow = {
          start_timer = function(input, next)
            local refused = input.call ~= "sleep" and not pcall(workflow.sleep, 1)
            seen[#seen + 1] = { input.call, input.duration, input.summary or "", refused }
            if input.call == "wait_condition" then input.duration = "1m" end
            return next(input)
          end,
          execute_workflow = function(input, next) return next(input), seen end,
        } }]] } } },
    })
    local result, seen = env:execute_workflow("W")
    assert.are.same({ false, true, false, "TimeoutError", true, true }, table.move(result, 1, 6, 1, {}))
    assert.are.equal(60 + 5 + 7200 + 7 + 8, result[7])
    local calls = {}
    for i, row in ipairs(seen) do
      calls[i] = row[1] .. " " .. tostring(row[2])
      assert.are.equal(row[1] ~= "sleep", row[#row], row[1])
    end
    assert.are.same({ "wait_condition 3600.0", "wait_any 5.0", "scope 7200.0", "sleep 1d", "channel:receive 7.0",
      "lock:acquire 8.0" }, calls)
    assert.are.equal("soon", seen[1][3])
  end)

  it("do not see timeouts that a history passed before", function()
    local source = head .. [[
      return workflow.define("W", function()
        return workflow.wait_condition(function() return false end, { timeout = 60 })
      end)]]
    local env <close> = helper.environment(source)
    local handle = env:start_workflow "W"
    assert.is_false(handle:result())
    local made = temporal.replayer { workflows = { { name = "spec", source = source } }, interceptors = {
      { module = "boom", source = "return { workflow = { start_timer = function() error 'boom' end } }" } } }
    assert.is_nil(made:replay_workflow(handle:history(), { raise_on_replay_failure = false }).replay_failure)
  end)

  it("of timers that give nothing back, or a wrong duration, fail the workflow task", function()
    for source, message in pairs {
      ["function() end"] = "must return what next(input) returned",
      ['function(input, next) input.duration = "soon" return next(input) end'] = "duration",
      ["function(input, next) input.duration = nil return next(input) end"] = "input with a duration expected",
    } do
      local env <close> = helper.environment(head .. [[
        return workflow.define("W", function() workflow.sleep(60) end)]], {
        replay = false,
        worker = { interceptors = { { module = "bad",
          source = "return { workflow = { start_timer = " .. source .. " } }" } } },
      })
      local failure = helper.task_failure(env, env:start_workflow("W"))
      assert.is_truthy(failure.message:find(message, 1, true), failure.message)
    end
  end)

  it("may wait, refuse an update and answer a query without the handler", function()
    local env <close> = helper.environment(head .. [[
      local done
      return workflow.define { name = "W",
        run = function() workflow.wait_condition(function() return done end) return done end,
        signals = { done = function(v) done = v end },
        queries = { q = function() return "handler" end },
        updates = { u = function() return "handler" end } }]], {
      worker = { interceptors = { { module = "gate", source = [[
        local temporal = require "temporal"
        local workflow = require "temporal.workflow"
        return { workflow = {
          handle_signal = function(input, next) workflow.sleep("1h") return next(input) end,
          handle_query = function(input, next)
            return input.args[1] == "own" and "hook" or next(input)
          end,
          handle_update_handler = function(input, next)
            if input.args[1] == "no" then error(temporal.failure { type = "Refused", message = input.update }) end
            return next(input)
          end,
        } }]] } } },
    })
    local handle = env:start_workflow("W")
    local began = env:now()
    assert.are.equal("hook", handle:query("q", "own"))
    assert.are.equal("handler", handle:query "q")
    assert.are.equal("handler", handle:execute_update "u")
    local ok, err = pcall(handle.execute_update, handle, "u", nil, "no")
    assert.is_false(ok)
    assert.are.equal("Refused", err.cause.type)
    handle:signal("done", 7)
    assert.are.equal(7, handle:result())
    assert.is_true(env:now() - began >= 3600)
  end)

  it("changes what workflow.info tells", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function() return workflow.info().attempt, workflow.info().tenant end)]], {
      worker = { interceptors = { { module = "tenant", source = [[
        return { workflow = { info = function(input, next)
          local info = next(input)
          info.tenant = info.headers.tenant
          return info
        end } }]] } } },
    })
    local handle = env:start_workflow("W", { headers = { tenant = "acme" } })
    assert.are.same({ 1, "acme" }, { handle:result() })
  end)

  local patching = head .. [[
    return workflow.define("W", function(n)
      local first = workflow.patched "new-way"
      workflow.sleep(1)
      return first, workflow.patched "new-way", workflow.patched "other", workflow.random(1, n or 1)
    end)]]

  local function gated(body)
    return { { module = "gate", source = head .. "return { workflow = { patched = function(input, next) " .. body ..
      " end } }" } }
  end

  it("hold a patch back that no task of the run has met", function()
    local gate = gated [[
      workflow.random(1, 10) -- leaves no trace: the hook is not asked again on replay
      return input.patch_id ~= "new-way" and next(input)]]
    local plain = helper.environment(patching)
    local handle = plain:start_workflow "W"
    assert.are.same({ true, true, true, 1 }, { handle:result() })
    local history = handle:fetch_history_json()
    plain:close()
    for _, cached in ipairs { 100, 0 } do
      local env <close> = helper.environment(patching, {
        replay = "caches", worker = { interceptors = gate, max_cached_workflows = cached } })
      local held = env:start_workflow("W", { id = "held" }, 1)
      assert.are.same({ false, false, true, 1 }, { held:result() })
      -- A run that has met the patch keeps it, whatever the hook says now.
      local replayed = temporal.replayer({ workflows = { { name = "spec", source = patching } }, interceptors = gate })
        :replay_workflow(temporal.history.from_json(nil, history))
      assert.is_true(replayed.finished)
    end
  end)

  it("are told when the hook of a patch does what it may not", function()
    for body, wanted in pairs {
      ["return 1"] = "the hook patched must return true or false, got a number",
      ["workflow.sleep(1)"] = "the hook patched",
      ["error 'the gate is shut'"] = "the gate is shut",
    } do
      local env <close> = helper.environment(patching, { replay = false, worker = { interceptors = gated(body) } })
      local handle = env:start_workflow "W"
      assert.has_match(wanted, helper.task_failure(env, handle), 1, true)
    end
  end)

  local function refused(source, wanted)
    local ok, err = pcall(helper.environment, head .. [[return workflow.define("W", function() end)]], {
      worker = { interceptors = { { module = "bad", source = source } } } })
    assert.is_false(ok)
    assert.matches(wanted, tostring(err))
  end

  it("are refused when the worker is made, with what is wrong", function()
    refused("return 1", "interceptor bad: the module gives a number")
    refused("return { workflows = {} }", "unknown option 'workflows'.*did you mean 'workflow'")
    refused("return { workflow = { start_activty = print } }", "unknown option 'start_activty'.*'start_activity'")
    refused("return { workflow = { info = 1 } }", "info must be a function")
    refused("return {", "bad")
    local ok, err = pcall(temporal.worker, { task_queue = "q", interceptors = { { workflow = {} } } })
    assert.is_false(ok)
    assert.matches("section 'workflow' runs in Lua states of its own", tostring(err))
    ok, err = pcall(temporal.worker, { task_queue = "q", interceptors = { { moduel = "x" } } })
    assert.is_false(ok)
    assert.matches("did you mean 'module'", tostring(err))
    ok, err = pcall(temporal.worker, { task_queue = "q", interceptors = { 5 } })
    assert.is_false(ok)
    assert.matches("must be the name of a module or a table", tostring(err))
    ok, err = pcall(helper.environment, head .. [[return workflow.define("W", function() end)]], {
      worker = { interceptors = { "no.such.module" } } })
    assert.is_false(ok)
    assert.matches("no.such.module", tostring(err))
  end)

  it("that give the wrong thing back fail the workflow task", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function()
        return workflow.execute_activity("echo", { start_to_close_timeout = "10s" }) end)]], {
      replay = false, activities = { echo = function() end },
      worker = { interceptors = { { module = "bad", source = [[
        return { workflow = { start_activity = function(input, next) next(input) end } }]] } } },
    })
    local handle = env:start_workflow "W"
    assert.matches("must return what next%(input%) returned", helper.task_failure(env, handle).message)
  end)
end)

describe("interceptors of activities", function()
  local guard = [[
    local activity = require "temporal.activity"
    return function(config)
      return { activity = {
        execute_activity = function(input, next)
          input.args[1] = config.prefix .. input.args[1]
          return next(input) .. "|" .. tostring(input.headers.tenant)
        end,
        info = function(input, next)
          local info = next(input)
          info.tenant = info.headers.tenant
          return info
        end,
        heartbeat = function(input, next)
          input.details[1] = "beat " .. input.details[1]
          return next(input)
        end,
      } }
    end]]

  it("stand around functions and modules, with info and heartbeats", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function()
        local o = { start_to_close_timeout = "10s", headers = { tenant = "acme" },
          retry_policy = { maximum_attempts = 2 } }
        return workflow.execute_activity("mock", o, "a"), workflow.execute_activity("said", o, "b")
      end)]], {
      activities = {
        "intercepted_activity",
        mock = function(v)
          local activity = require "temporal.activity"
          if activity.info().attempt == 1 then
            activity.heartbeat "one"
            error "again"
          end
          return v .. "," .. activity.info().tenant .. "," .. activity.heartbeat_details()
        end,
      },
      roots = { "spec/fixtures/lua" },
      worker = { interceptors = { { module = "guard", source = guard, config = { prefix = ">" } } } },
    })
    assert.are.same({ ">a,acme,beat one|acme", ">b said|acme" }, { env:execute_workflow "W" })
  end)

  it("may fail an activity without calling it", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function()
        local ok, err = pcall(workflow.execute_activity, "mock", { start_to_close_timeout = "10s" })
        return ok, err.cause.type
      end)]], {
      activities = { mock = function() error "was called" end },
      worker = { interceptors = { { module = "deny", source = [[
        local temporal = require "temporal"
        return { activity = { execute_activity = function()
          error(temporal.failure { type = "Denied", message = "no", non_retryable = true })
        end } }]] } } },
    })
    assert.are.same({ false, "Denied" }, { env:execute_workflow "W" })
  end)
end)

describe("interceptors of clients", function()
  it("see every call with its input", function()
    local seen = {}
    local hooks = {}
    for _, name in ipairs { "start_workflow", "signal_workflow", "query_workflow", "start_workflow_update",
      "cancel_workflow", "terminate_workflow", "describe_workflow", "fetch_workflow_history_events",
      "list_workflows", "count_workflows", "start_update_with_start_workflow" } do
      hooks[name] = function(input, next)
        seen[#seen + 1] = name
        return next(input)
      end
    end
    local env <close> = helper.environment(head .. [[
      return workflow.define { name = "W", run = function() workflow.wait_condition(function() return false end) end,
        signals = { s = function() end }, queries = { q = function() return 1 end },
        updates = { u = function() return 2 end } }]],
      { interceptors = { { client = hooks } }, replay = false })
    local handle = env:start_workflow("W", { id = "w" })
    handle:signal "s"
    handle:query "q"
    handle:execute_update "u"
    handle:describe()
    handle:fetch_history()
    env.client:count_workflows()
    for _ in env.client:list_workflows() do end
    handle:cancel()
    env:start_workflow("W", { id = "x" }):terminate "done"
    env.client:execute_update_with_start_workflow("u", { start_workflow = {
      workflow = "W", id = "y", task_queue = "test", id_conflict_policy = "fail" } })
    assert.are.same({ "start_workflow", "signal_workflow", "query_workflow", "start_workflow_update",
      "describe_workflow", "fetch_workflow_history_events", "count_workflows", "list_workflows", "cancel_workflow",
      "start_workflow", "terminate_workflow", "start_update_with_start_workflow" }, seen)
  end)

  it("change what is sent: ids, arguments, headers", function()
    local function stamp(field)
      return function(input, next)
        input.headers.by = field
        input.args[1] = (input.args[1] or "") .. field
        return next(input)
      end
    end
    local env <close> = helper.environment(head .. [[
      local log = {}
      return workflow.define { name = "W",
        run = function(v)
          log[#log + 1] = v .. "/" .. workflow.info().headers.by
          workflow.wait_condition(function() return #log == 3 end)
          return log
        end,
        signals = { s = function(v) log[#log + 1] = v end },
        updates = { u = function(v) log[#log + 1] = v return workflow.info().workflow_id end },
        queries = { q = function(v) return v end } }]],
      { interceptors = { { client = {
          start_workflow = function(input, next)
            input.id = "tenant-" .. input.id
            return stamp "start" (input, next)
          end,
          signal_workflow = stamp "signal", query_workflow = stamp "query", start_workflow_update = stamp "update",
        } } },
      worker = { interceptors = { { module = "check", source = [[
        local function check(name)
          return function(input, next)
            assert(input.headers.by == name, name)
            return next(input)
          end
        end
        return { workflow = { handle_signal = check "signal", handle_query = check "query",
          handle_update_handler = check "update", execute_workflow = check "start" } }]] } } } })
    local handle = env:start_workflow("W", { id = "w" }, "a-")
    assert.are.equal("tenant-w", handle.id)
    assert.are.equal("query", handle:query "q")
    handle:signal("s", "b-")
    assert.are.equal("tenant-w", handle:execute_update("u", nil, "c-"))
    assert.are.same({ "a-start/start", "b-signal", "c-update" }, handle:result())
  end)

  it("are inherited by workers, first and once", function()
    local module = notes_of "one"
    local w = temporal.worker {
      task_queue = "q", client = setmetatable({}, { __index = temporal.connect { interceptors = { module } } }),
      workflows = { { name = "w", source = "return nil" } }, interceptors = { notes_of "two", module },
    }
    local labels = {}
    for i, entry in ipairs(w.plan.interceptors) do
      labels[i] = core.json_decode(entry.config).label
    end
    assert.are.same({ "one", "two" }, labels)
  end)

  it("check what the hooks made of an input", function()
    local env <close> = helper.environment(head .. [[return workflow.define("W", function() end)]], {
      interceptors = { { client = { start_workflow = function(input, next)
        input.no_such_option = 1
        return next(input)
      end } } } })
    local ok, err = pcall(env.start_workflow, env, "W")
    assert.is_false(ok)
    assert.matches("no_such_option", tostring(err))
    ok, err = pcall(temporal.connect, { interceptors = { { client = { start_workflw = print } } } })
    assert.is_false(ok)
    assert.matches("start_workflow", tostring(err))
  end)
end)

describe("extern functions", function()
  local host = [[
    return function(config)
      local calls = 0
      return { extern_functions = {
        add = function(a, b) calls = calls + 1 return a + b, calls, config.name end,
        fail = function() error "out of order" end,
        env = function() return os.getenv "HOME" ~= nil, type(io.open) end,
      } }
    end]]

  it("are called outside of the sandbox, with copies", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function()
        local x = workflow.extern_functions()
        local sum, calls, name = x.add(2, 3)
        local ok, err = pcall(x.fail)
        local bad, why = pcall(x.add, print)
        return { sum, math.type(calls), name, ok, tostring(err), bad, tostring(why), { x.env() } }
      end)]], {
      replay = false, worker = { interceptors = { { module = "host", source = host, config = { name = "n" } } } } })
    local r = env:execute_workflow "W"
    assert.are.same({ 5, "integer", "n", false }, { r[1], r[2], r[3], r[4] })
    assert.matches("extern function 'fail'.*out of order", r[5])
    assert.is_false(r[6])
    assert.matches("argument of an extern function", r[7])
    assert.are.same({ true, "function" }, r[8])
  end)

  it("are called again on replay, and are empty without interceptors", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function()
        local x = workflow.extern_functions()
        workflow.sleep((x.add(2, 3)))
        return next(x) == nil
      end)]], { worker = { interceptors = { { module = "host", source = host } } } })
    assert.is_false(env:execute_workflow "W")
    local other <close> = helper.environment(head .. [[
      return workflow.define("W", function() return next(workflow.extern_functions()) == nil end)]])
    assert.is_true(other:execute_workflow "W")
  end)

  it("must be functions under names, and stay in their module", function()
    local function refused(source, wanted)
      local ok, err = pcall(helper.environment, head .. [[return workflow.define("W", function() end)]], {
        worker = { interceptors = { { module = "bad", source = source } } } })
      assert.is_false(ok)
      assert.matches(wanted, tostring(err))
    end
    refused("return { extern_functions = { x = 1 } }", "maps names to functions")
    refused("return { extern_functions = { print } }", "maps names to functions")
  end)
end)

describe("headers", function()
  --- What the server keeps of the header `secret`: of the start and of the activity.
  local function encodings(behavior)
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function()
        local seen = workflow.execute_activity("told", { start_to_close_timeout = "10s", headers = { secret = 2 } })
        return { workflow.info().headers.secret, seen.secret }
      end)]], {
      activities = { told = function() return require "temporal.activity".info().headers end },
      data_converter = temporal.data_converter {
        payload_codecs = { temporal.codec.aes_gcm { keys = { one = ("k"):rep(32) }, active = "one" } },
        header_codec_behavior = behavior,
      },
    })
    local handle = env:start_workflow("W", { id = "w", headers = { secret = 1 } })
    assert.are.same({ 1, 2 }, handle:result())
    local raw <close> = temporal.connect { server = env.server }
    local found = {}
    for _, event in ipairs(raw:get_workflow_handle("w"):fetch_history()) do
      for _, name in ipairs { "workflow_execution_started", "activity_task_scheduled" } do
        local attributes = event[name .. "_event_attributes"]
        if attributes then
          found[#found + 1] = type(core.decode_one(attributes.header.fields.secret)) == "number" and "plain" or "coded"
        end
      end
    end
    return found
  end

  it("are coded as header_codec_behavior says, and read by workflows and activities either way", function()
    assert.are.same({ "plain", "plain" }, encodings "no_codec")
    assert.are.same({ "coded", "coded" }, encodings "codec")
    assert.are.same({ "plain", "coded" }, encodings "workflow_only_codec")
  end)
end)

describe("interceptors of Nexus", function()
  local nexus = require "temporal.nexus"

  --- A module whose hooks double the input of an operation on its way out and write what they see into its result.
  local around = { module = "around", source = [[
    local seen = {}
    return {
      workflow = { start_nexus_operation = function(input, next)
        assert(input.endpoint == "shop" and input.service == "Shop" and input.args.n <= 1)
        input.headers.by = "hook"
        input.args[1] = (input.args[1] or 0) * 2
        if input.operation == "other" then input.operation = "go" end
        return next(input)
      end },
      nexus = {
        execute_nexus_operation_start = function(input, next)
          local result = next({ input = input.input + 1, service = input.service })
          if type(result) ~= "table" or result.token then return result end
          result.seen = { input.service, input.operation, input.headers.by, #input.request_id > 0 }
          return result
        end,
        execute_nexus_operation_cancel = function(input, next)
          return next({ token = input.token .. "!" })
        end,
      },
    }]] }

  local function environment(services, interceptors, replay)
    local env = helper.environment(head .. [[
      local shop = workflow.nexus_client { endpoint = "shop", service = "Shop" }
      workflow.define("Caller", function(operation, input)
        local first = shop:execute_operation(operation, {}, input)
        local second = shop:start_operation(operation, nil, input)
        return { first, second:result() }
      end)
      workflow.define("Cancels", function()
        local handle = shop:start_operation("later", { cancellation_type = "wait_requested" })
        handle:cancel()
        return (pcall(handle.result, handle))
      end)
      workflow.define("Lost", function() return shop:execute_operation("go") end)]],
      { nexus_services = services, worker = { interceptors = interceptors }, replay = replay })
    env.client:create_nexus_endpoint("shop", { task_queue = env.task_queue })
    return env
  end

  it("stand around what workflows ask for and what handlers do", function()
    local cancelled
    local env <close> = environment({ nexus.service("Shop", {
      go = function(n) return { n = n } end,
      later = nexus.operation {
        start = function() return nexus.async_result "token" end, cancel = function(token) cancelled = token end,
      },
    }) }, { around })
    local result = { n = 11, seen = { "Shop", "go", "hook", true } }
    assert.are.same({ result, result }, env:execute_workflow("Caller", nil, "other", 5))
    assert.is_false(env:execute_workflow "Cancels")
    assert.are.equal("token!", cancelled)
  end)

  it("are checked", function()
    local function refused(message, source)
      local ok, err = pcall(environment, { nexus.service("Shop", { go = function() end }) },
        { { module = "wrong", source = source } })
      assert.is_false(ok)
      assert.matches(message, tostring(err), 1, true)
    end
    refused("unknown option 'execute_nexus_operation_strt', did you mean 'execute_nexus_operation_start'?",
      "return { nexus = { execute_nexus_operation_strt = print } }")
    local env <close> = environment({ nexus.service("Shop", { go = function() end }) }, { { module = "loses", source =
      "return { workflow = { start_nexus_operation = function(input, next) next(input) end } }" } }, false)
    local handle = env:start_workflow("Lost", { id = "lost" })
    assert.matches("must return what next(input) returned", helper.task_failure(env, handle).message, 1, true)
    handle:terminate()
  end)
end)
