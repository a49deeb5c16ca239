--- Activities with kind = "coroutine": one event loop, one Lua state, thousands at once.
local helper = require "helper"
local temporal = require "temporal"
local testing = require "temporal.testing"

local workflows = [[
  local workflow = require "temporal.workflow"
  local once = { maximum_attempts = 1 }
  return {
    workflow.define("Runs", function(name, ...)
      return workflow.execute_activity(name, { start_to_close_timeout = 60, retry_policy = once }, ...)
    end),
    workflow.define("RunsLocal", function(name, ...)
      return workflow.execute_local_activity(name, { start_to_close_timeout = 60, retry_policy = once }, ...)
    end),
    workflow.define("Fan", function(name, n, ...)
      local futures = {}
      for i = 1, n do
        futures[i] = workflow.start_activity(name, { start_to_close_timeout = 60, retry_policy = once }, ...)
      end
      workflow.wait_all(futures)
      local sum = 0
      for _, future in ipairs(futures) do
        sum = sum + future:result()
      end
      return sum
    end),
    workflow.define("Cancels", function(name)
      local handle = workflow.start_activity(name, {
        start_to_close_timeout = 60, heartbeat_timeout = 0.5, cancellation_type = "wait_cancellation_completed",
      })
      workflow.sleep(0.05)
      handle:cancel()
      local ok, result = pcall(handle.result, handle)
      return ok, ok and result or tostring(result)
    end),
  }
]]

local head = [[
  local activity = require "temporal.activity"
  local function coroutine_of(name, fn, options)
    options = options or {}
    options.kind = "coroutine"
    return activity.define(name, fn, options)
  end
]]

--- An environment whose activity module is given as text. Its folder goes with it.
local function environment(text, options)
  local root = os.tmpname()
  os.remove(root)
  os.execute(("mkdir -p '%s/activities'"):format(root))
  local function write(name, content)
    local file <close> = assert(io.open(root .. "/" .. name, "w"))
    file:write(content)
  end
  write("activities/loop.lua", head .. text)
  local given = { roots = { root }, workflows = { { name = "flows", source = workflows } },
    activities = { "activities.*" }, worker = options }
  local ok, env = pcall(testing.environment, given)
  os.execute(("rm -rf '%s'"):format(root)) -- all is loaded: later states load what the first one has read
  assert(ok, env)
  return env
end

--- Waits until its activity runs.
local function is_started(env, handle)
  helper.eventually(env, function()
    local pending = handle:describe().pending_activities
    return pending and pending[1] and pending[1].state == "started"
  end)
end

--- The failure of the activity that "Runs" runs.
local function failure(env, ...)
  local ok, err = pcall(env.execute_workflow, env, "Runs", nil, ...)
  assert.is_false(ok)
  while err.cause do
    err = err.cause
  end
  return err
end

describe("coroutine activities", function()
  it("take turns where they wait: many at once on one thread", function()
    local env <close> = environment([[
      local running, most = 0, 0
      return {
        coroutine_of("naps", function()
          running = running + 1
          most = math.max(most, running)
          activity.sleep(0.3)
          running = running - 1
          return 1
        end),
        coroutine_of("most", function() return most end),
      }
    ]], { max_concurrent_activities = 500 })
    assert.are.equal(400, env:execute_workflow("Fan", nil, "naps", 400))
    assert.is_true(env:execute_workflow("Runs", nil, "most") > 50)
  end)

  it("have the whole context", function()
    local env <close> = environment [[
      return coroutine_of("act", function(a, b)
        local info = activity.info()
        activity.heartbeat "half way"
        activity.sleep(0.01)
        assert(activity.in_activity() and not activity.is_cancelled() and not activity.is_worker_shutdown())
        assert(not activity.wait_for_cancelled(0.01) and not activity.wait_for_worker_shutdown(0.01))
        activity.shield(activity.sleep, 0.01)
        return info.activity_type, info.attempt, a + b, select("#", activity.heartbeat_details())
      end)
    ]]
    assert.are.same({ "act", 1, 5, 0 }, { env:execute_workflow("Runs", nil, "act", 2, 3) })
  end)

  it("run as local activities, too", function()
    local env <close> = environment [[
      return coroutine_of("act", function(x) activity.sleep(0.02) return x, activity.info().is_local end)
    ]]
    assert.are.same({ "x", true }, { env:execute_workflow("RunsLocal", nil, "act", "x") })
  end)

  it("fail with what they raise, with its line and stack", function()
    local env <close> = environment [[
      local temporal = require "temporal"
      local function inner() activity.sleep(0.01) error "out of order" end
      return {
        coroutine_of("text", function() inner() end),
        coroutine_of("typed", function()
          activity.sleep(0.01)
          error(temporal.failure { type = "Broken", message = "m" })
        end),
        coroutine_of("result", function() return print end),
      }
    ]]
    local err = failure(env, "text")
    assert.are.equal("LuaError", err.type)
    assert.matches("loop.lua:%d+: out of order", err.message)
    assert.matches("in upvalue 'inner'", err.stack_trace)
    assert.are.equal("Broken", failure(env, "typed").type)
    assert.matches("function", failure(env, "result").message)
  end)

  it("close what is to be closed when they fail", function()
    local env <close> = environment [[
      local closed = 0
      return {
        coroutine_of("fails", function()
          local guard <close> = setmetatable({}, { __close = function() closed = closed + 1 end })
          activity.sleep(0.01)
          error "now"
        end),
        coroutine_of("closed", function() return closed end),
      }
    ]]
    failure(env, "fails")
    assert.are.equal(1, env:execute_workflow("Runs", nil, "closed"))
  end)

  it("say what goes wrong with other waits", function()
    local env <close> = environment [[
      return {
        coroutine_of("yields", function() coroutine.yield(1) end),
        coroutine_of("inner", function() coroutine.wrap(function() activity.sleep(1) end)() end),
        coroutine_of("in_c", function() table.sort({ 3, 2, 1 }, function() activity.sleep(1) end) end),
        coroutine_of("generator", function()
          local sum = 0
          for i in coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) do
            activity.sleep(0.001)
            sum = sum + i
          end
          return sum
        end),
        activity.define("thread", function() require("temporal.net").connect("127.0.0.1", 1) end),
      }
    ]]
    assert.matches("yields only inside temporal.activity", failure(env, "yields").message)
    assert.matches("own coroutine only", failure(env, "inner").message)
    assert.matches("not possible inside of a C function", failure(env, "in_c").message)
    assert.are.equal(6, env:execute_workflow("Runs", nil, "generator"))
    assert.matches('only activities with kind = "coroutine"', failure(env, "thread").message)
  end)

  it("hear of cancellation where they wait", function()
    local env <close> = environment [[
      local cleaned = {}
      local function beats() while true do activity.heartbeat() activity.sleep(0.05) end end
      return {
        coroutine_of("sleeps", function() while true do activity.heartbeat() activity.sleep(60) end end,
          { heartbeat_timeout = 0.5 }),
        coroutine_of("cleans", function()
          local ok, err = pcall(beats)
          activity.shield(activity.sleep, 0.02)
          return "cleaned up"
        end),
        coroutine_of("waits", function()
          activity.shield(function() repeat activity.heartbeat() until activity.wait_for_cancelled(0.05) end)
          return activity.cancellation_details().cancel_requested
        end),
      }
    ]]
    assert.are.same({ true, "cleaned up" }, { env:execute_workflow("Cancels", nil, "cleans") })
    assert.are.same({ true, true }, { env:execute_workflow("Cancels", nil, "waits") })
  end)

  it("are cancelled when the worker's grace is over", function()
    local env <close> = environment([[
      return coroutine_of("sleeps", function() activity.sleep(600) end)
    ]], { graceful_shutdown_timeout = 0.1 })
    local handle = env:start_workflow("Runs", nil, "sleeps")
    is_started(env, handle)
    local begin = os.time()
    env.worker:shutdown()
    assert.is_true(os.time() - begin < 20)
    handle:terminate "enough"
  end)

  it("hear of the worker's shutdown", function()
    local env <close> = environment([[
      return coroutine_of("waits", function() return activity.wait_for_worker_shutdown(60) end)
    ]], { graceful_shutdown_timeout = 30 })
    local handle = env:start_workflow("Runs", nil, "waits")
    is_started(env, handle)
    local begin = os.time()
    env.worker:shutdown()
    assert.is_true(os.time() - begin < 20)
    assert.is_truthy(helper.event(handle, "activity_task_completed"))
    handle:terminate "enough"
  end)

  it("are set up and torn down in the loop's state, apart from the threads'", function()
    local env <close> = environment [[
      local sum = 0
      return {
        setup = function() sum = 100 end,
        coroutine_of("add", function(n) sum = sum + n return sum end),
        activity.define("of_thread", function() return sum end),
      }
    ]]
    assert.are.equal(101, env:execute_workflow("Runs", nil, "add", 1))
    assert.are.equal(103, env:execute_workflow("Runs", nil, "add", 2))
    assert.are.equal(100, env:execute_workflow("Runs", nil, "of_thread"))
  end)

  it("tell at the start what is wrong with the setup", function()
    local ok, message = pcall(environment, [[
      return { setup = function() error "no loop for you" end, coroutine_of("act", function() end) }
    ]])
    assert.is_false(ok)
    assert.matches("setup of activity module 'activities%.loop': .*no loop for you", tostring(message))
  end)

  it("may be left open", function()
    local env <close> = environment [[
      return coroutine_of("open", function() activity.sleep(0.01) return activity.complete_async() end)
    ]]
    local handle = env:start_workflow("Runs", { id = "open" }, "open")
    is_started(env, handle)
    local activity = env.client:get_async_activity_handle { workflow_id = "open",
      activity_id = handle:describe().pending_activities[1].activity_id }
    helper.eventually(env, function() return (pcall(activity.complete, activity, "from elsewhere")) end)
    assert.are.equal("from elsewhere", handle:result())
  end)

  it("of the script's own state are refused", function()
    local activity = require "temporal.activity"
    local ok, message = pcall(temporal.worker, { task_queue = "test", activities = {
      activity.define("act", function() end, { kind = "coroutine" }),
    } })
    assert.is_false(ok)
    assert.matches("activity 'act' has kind = 'coroutine'.*put it into a module", message)
    assert.has_error(function() activity.define("act", function() end, { kind = "fibre" }) end)
  end)
end)

describe("a coroutine activity that computes", function()
  it("is reported while it holds the loop, and when it lets go", function()
    local root = os.tmpname()
    os.remove(root)
    os.execute(("mkdir -p '%s/activities'"):format(root))
    for name, content in pairs {
      ["main.lua"] = [[
        local temporal = require "temporal"
        return temporal.worker { task_queue = "busy", workflows = { "flows" }, activities = { "activities.*" },
          activity_block_limit = 0.05 }
      ]],
      ["flows.lua"] = workflows,
      ["activities/loop.lua"] = head .. [[
        return coroutine_of("computes", function(seconds)
          local stop = os.clock() + seconds
          repeat until os.clock() > stop
          return "done"
        end)
      ]],
    } do
      local file <close> = assert(io.open(root .. "/" .. name, "w"))
      file:write(content)
    end
    local server <close> = helper.start_server()
    local process <close> = helper.spawn(("worker run --address %s %s/main.lua"):format(server.address, root))
    process.pipe:read "l"
    local client = temporal.connect { address = server.address }
    assert.are.equal("done", client:execute_workflow("Runs", { id = "busy", task_queue = "busy" }, "computes", 0.4))
    process:stop()
    assert.matches("activity%.blocks_the_loop.*computes", process:errors())
    assert.matches("activity%.blocked_the_loop.*computes", process:errors())
    os.execute(("rm -rf '%s'"):format(root))
  end)
end)

describe("activity.await", function()
  it("returns what the callback was given", function()
    local env <close> = environment [[
      local dones = {}
      return {
        coroutine_of("waits", function(name)
          return activity.await(function(done) dones[name] = done end)
        end),
        coroutine_of("tells", function(name, ...)
          while not dones[name] do activity.sleep(0.01) end
          dones[name](...)
          dones[name] "too late"
        end),
        coroutine_of("at_once", function() return activity.await(function(done) done(1, nil, 3) end) end),
        coroutine_of("wrong", function() activity.await "x" end),
      }
    ]]
    assert.are.equal(3, select("#", env:execute_workflow("Runs", nil, "at_once")))
    local handle = env:start_workflow("Runs", nil, "waits", "a")
    env:execute_workflow("Runs", nil, "tells", "a", "b", 7)
    assert.are.same({ "b", 7 }, { handle:result() })
    assert.matches("it wants a function", failure(env, "wrong").message)
  end)

  it("gives up when the activity is cancelled", function()
    local env <close> = environment([[
      local given_up
      return coroutine_of("waits", function()
        local ok, err = pcall(activity.await, function(done)
          return function() given_up = true end
        end)
        return given_up, err.type
      end)
    ]], { graceful_shutdown_timeout = 0.1 })
    local handle = env:start_workflow("Runs", nil, "waits")
    is_started(env, handle)
    env.worker:shutdown()
    local completed = helper.event(handle, "activity_task_completed")
    assert.are.same({ true, "CancelledError" }, { require("temporal.core").decode(completed.result) })
    handle:terminate "enough"
  end)

  local test = package.searchpath("luv", package.cpath) and it or pending
  test("waits for luv, which works on the same loop", function()
    local env <close> = environment [[
      return {
        coroutine_of("timer", function()
          local uv = require "luv"
          local timer = uv.new_timer()
          return activity.await(function(done)
            timer:start(20, 0, function() timer:close() done "rung" end)
            return function() timer:close() end
          end)
        end),
        coroutine_of("runs", function() require("luv").run() end),
        coroutine_of("walks", function() require("luv").walk(print) end),
        coroutine_of("callback", function()
          local uv = require "luv"
          local timer = uv.new_timer()
          timer:start(1, 0, function() timer:close() error "in a callback" end)
          activity.sleep(0.05)
          return "still here"
        end),
        coroutine_of("leaves", function()
          local uv = require "luv"
          uv.new_timer():start(60000, 60000, function() end)
          return "left open"
        end),
      }
    ]]
    assert.are.equal("rung", env:execute_workflow("Runs", nil, "timer"))
    assert.matches("uv.run: the loop belongs to the worker", failure(env, "runs").message)
    assert.matches("uv.walk: the loop belongs to the worker", failure(env, "walks").message)
    assert.are.equal("still here", env:execute_workflow("Runs", nil, "callback"))
    assert.are.equal("left open", env:execute_workflow("Runs", nil, "leaves"))
  end)
end)

describe("temporal.net", function()
  it("speaks TCP and HTTP", function()
    local server <close> = helper.start_server "--http-port 0"
    local env <close> = environment [[
      local net = require "temporal.net"
      return {
        coroutine_of("get", function(url)
          local answer = net.request { url = url }
          return answer.status, answer.headers["content-type"], #answer.body > 0
        end),
        coroutine_of("post", function(url)
          local answer = net.request { url = url, method = "POST", body = "{}", headers = { ["X-Test"] = "1" } }
          return answer.status
        end),
        coroutine_of("lines", function(host, port)
          local c <close> = net.connect(host, port)
          c:write("GET /nowhere HTTP/1.1\r\n", "Host: localhost\r\nConnection: close\r\n\r\n")
          local first = c:read_line()
          return first, c:read(1) ~= nil, #c:read_all() > 0, c:read()
        end),
      }
    ]]
    local port = math.tointeger(tonumber(server.ports.http))
    local base = "http://127.0.0.1:" .. port
    local status, kind, body = env:execute_workflow("Runs", nil, "get", base .. "/api/v1/namespaces")
    assert.are.same({ 200, true }, { status, body })
    assert.matches("json", kind)
    assert.are.equal(404, (env:execute_workflow("Runs", nil, "post", base .. "/api/v1/none")))
    local first, more, rest, after = env:execute_workflow("Runs", nil, "lines", "localhost", port)
    assert.matches("^HTTP/1.1 404", first)
    assert.are.same({ true, true }, { more, rest })
    assert.is_nil(after)
  end)

  it("says what is wrong", function()
    local env <close> = environment [[
      local net = require "temporal.net"
      return {
        coroutine_of("request", function(given) return net.request(given) end),
        coroutine_of("connect", function(...) return net.connect(...) end),
        coroutine_of("closed", function(host, port)
          local ok, problem = pcall(function()
            local c = net.connect(host, port)
            c:close()
            c:write "x"
          end)
          return problem
        end),
      }
    ]]
    assert.matches("connecting to 127.0.0.1:1: connection refused", failure(env, "connect", "127.0.0.1", 1).message)
    assert.matches("looking up no.such.host.invalid", failure(env, "connect", "no.such.host.invalid", 80).message)
    assert.matches("a port is a number from 1 to 65535", failure(env, "connect", "127.0.0.1", 70000).message)
    assert.matches("unknown option 'timout', did you mean 'timeout'",
      failure(env, "connect", "h", 1, { timout = 1 }).message)
    assert.matches("there is http only, no https", failure(env, "request", { url = "https://a/" }).message)
    assert.matches("'nothing' is no URL", failure(env, "request", { url = "nothing" }).message)
    assert.matches("a line end in a header",
      failure(env, "request", { url = "http://127.0.0.1:1/", headers = { a = "b\r\nc: d" } }).message)
  end)

  it("gives up a peer that says nothing, or more than was asked for", function()
    local server <close> = helper.start_server "--http-port 0"
    local env <close> = environment [[
      local net = require "temporal.net"
      return {
        coroutine_of("silent", function(port)
          local c <close> = net.connect("127.0.0.1", port, { timeout = 0.2 })
          return c:read_line()
        end),
        coroutine_of("long", function(url) return net.request { url = url, max_bytes = 10 } end),
      }
    ]]
    local port = math.tointeger(tonumber(server.ports.http))
    assert.matches("reading from 127.0.0.1:%d+: nothing for 0.2 s", failure(env, "silent", port).message)
    assert.matches("max_bytes", failure(env, "long", ("http://127.0.0.1:%d/api/v1/namespaces"):format(port)).message)
  end)
end)
