--- Activities in child processes: activity_executor = { kind = "processes", size = n }.
local helper = require "helper"
local temporal = require "temporal"
local testing = require "temporal.testing"

local workflows = [[
  local workflow = require "temporal.workflow"
  return {
    workflow.define("Runs", function(name, ...)
      return workflow.execute_activity(name, { start_to_close_timeout = 60, heartbeat_timeout = 30,
        retry_policy = { maximum_attempts = 1 } }, ...)
    end),
    workflow.define("Retries", function(name, ...)
      return workflow.execute_activity(name, { start_to_close_timeout = 60,
        retry_policy = { maximum_attempts = 3, initial_interval = 0.01 } }, ...)
    end),
    workflow.define("RunsLocal", function(name, ...)
      return workflow.execute_local_activity(name, { start_to_close_timeout = 60 }, ...)
    end),
    workflow.define("Both", function(name, ...)
      local options = { start_to_close_timeout = 60 }
      local a, b = workflow.start_activity(name, options, ...), workflow.start_activity(name, options, ...)
      return a:result(), b:result()
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
  local function pid()
    local file <close> = assert(io.open "/proc/self/stat")
    return math.tointeger(tonumber(file:read "a":match "^%d+"))
  end
]]

local function folder(text)
  local root = os.tmpname()
  os.remove(root)
  os.execute(("mkdir -p '%s/activities'"):format(root))
  local self = { root = root }
  function self.write(name, content)
    local file <close> = assert(io.open(root .. "/" .. name, "w"))
    file:write(content)
  end
  function self.read(name)
    local file <close> = io.open(root .. "/" .. name)
    return file and file:read "a" or ""
  end
  self.write("activities/apart.lua", head .. text)
  return setmetatable(self, { __close = function() os.execute(("rm -rf '%s'"):format(root)) end })
end

local function environment(dir, options, runtime)
  local worker = { activity_executor = { kind = "processes", size = 2 } }
  for name, value in pairs(options or {}) do
    worker[name] = value
  end
  return testing.environment { roots = { dir.root }, workflows = { { name = "flows", source = workflows } },
    activities = { "activities.*" }, worker = worker, runtime = runtime }
end

local function failure(env, ...)
  local ok, err = pcall(env.execute_workflow, env, "Runs", nil, ...)
  assert.is_false(ok)
  while err.cause do
    err = err.cause
  end
  return err
end

local function is_alive(pid)
  return os.execute(("kill -0 %d 2>/dev/null"):format(pid)) == true
end

describe("activity processes", function()
  it("run activities apart from the worker, with the whole context", function()
    local dir <close> = folder [[
      return {
        pid = pid,
        context = function(a, b)
          local info = activity.info()
          activity.heartbeat("half way", { n = 1 })
          activity.sleep(0.01)
          assert(activity.in_activity() and not activity.is_cancelled() and not activity.is_worker_shutdown())
          assert(not activity.wait_for_cancelled(0.01) and not activity.wait_for_worker_shutdown(0.01))
          return info.activity_type, info.task_queue, info.namespace, info.attempt, a, b
        end,
        ["nil"] = function() end,
      }
    ]]
    local env <close> = environment(dir)
    local own <close> = assert(io.open "/proc/self/stat")
    assert.are_not.equal(math.tointeger(tonumber(own:read "a":match "^%d+")), env:execute_workflow("Runs", nil, "pid"))
    assert.are.same({ "context", "test", "default", 1, 1.5, { x = "y" } },
      { env:execute_workflow("Runs", nil, "context", 1.5, { x = "y" }) })
    assert.is_nil(env:execute_workflow("Runs", nil, "nil"))
    assert.are.equal(1.5, (select(5, env:execute_workflow("RunsLocal", nil, "context", 1.5))))
  end)

  it("measure for their worker", function()
    local dir <close> = folder [[
      local kept
      return { measures = function(n)
        local meter = activity.metric_meter()
        meter:create_counter("parcels", "how many", "pieces"):add(n, { vip = true })
        meter:with_additional_attributes({ shop = "7th" }):create_gauge_float("load"):set(n / 4)
        kept = kept or meter:create_histogram_timedelta "nap"
        kept:record "250ms"
        local ok, err = pcall(meter.create_counter, meter, "no name")
        assert(not ok and err:find "no name of a metric")
        meter:create_gauge("parcels"):set(1) -- of another kind: left out
        return "measured"
      end }
    ]]
    local runtime <close> = temporal.runtime { telemetry = { metrics = {}, attach_service_name = false } }
    local env <close> = environment(dir, nil, runtime)
    for i = 1, 3 do
      assert.are.equal("measured", (env:execute_workflow("Runs", nil, "measures", i)))
    end
    local own = 'activity_type="measures",namespace="default",'
    local page = runtime:metrics()
    assert.matches("\nparcels{" .. own .. 'task_queue="test",vip="true"} 6\n', page, 1, true)
    assert.matches("\nload{" .. own .. 'shop="7th",task_queue="test"} 0.75\n', page, 1, true)
    assert.matches("\nnap_count{" .. own .. 'task_queue="test"} 3\n', page, 1, true)
    assert.matches("\n# HELP parcels how many\n", page, 1, true)
  end)

  it("work side by side, as many as the size", function()
    local dir <close> = folder [[
      return { nap = function() activity.sleep(0.3) return pid() end }
    ]]
    local env <close> = environment(dir)
    assert.are.equal(2, env.worker.options.max_concurrent_activities)
    local a, b = env:execute_workflow("Both", nil, "nap")
    assert.are_not.equal(a, b)
    local again = env:execute_workflow("Runs", nil, "nap")
    assert.is_true(again == a or again == b)
  end)

  it("give heartbeat details to the next attempt, and errors to the workflow", function()
    local dir <close> = folder [[
      local temporal = require "temporal"
      return {
        beats = function()
          if activity.info().attempt == 1 then
            activity.heartbeat("at", 7)
            error "once more"
          end
          return activity.heartbeat_details()
        end,
        typed = function() error(temporal.failure { type = "Declined", message = "no", non_retryable = true }) end,
      }
    ]]
    local env <close> = environment(dir)
    assert.are.same({ "at", 7 }, { env:execute_workflow("Retries", nil, "beats") })
    assert.are.equal("Declined", failure(env, "typed").type)
  end)

  it("that crash, exit or are killed fail one attempt, and are replaced", function()
    local dir <close> = folder [[
      return {
        pid = pid,
        crashes = function() os.execute("kill -ABRT " .. pid()) activity.sleep(10) end,
        killed = function() os.execute("kill -KILL " .. pid()) activity.sleep(10) end,
        exits = function() os.exit(3) end,
        once = function() if activity.info().attempt == 1 then os.exit(0) end return "second attempt" end,
      }
    ]]
    local env <close> = environment(dir, { activity_executor = { kind = "processes", size = 1 } })
    local first = env:execute_workflow("Runs", nil, "pid")
    local crashed = failure(env, "crashes")
    assert.are.equal("ActivityProcessDied", crashed.type)
    assert.matches("was killed by signal 6 %(Aborted%) while it ran the activity", crashed.message)
    assert.is_falsy(crashed.non_retryable)
    assert.matches("signal 9 %(Killed%), perhaps because the system ran out of memory", failure(env, "killed").message)
    assert.matches("exited with code 3", failure(env, "exits").message)
    assert.are.equal("second attempt", env:execute_workflow("Retries", nil, "once"))
    local last = env:execute_workflow("Runs", nil, "pid")
    assert.are_not.equal(first, last)
    os.execute("kill -KILL " .. last) -- while it is idle
    -- a task that it is given while it is still dying fails, retryably
    assert.are_not.equal(last, env:execute_workflow("Retries", nil, "pid"))
  end)

  it("hear of cancellation", function()
    local dir <close> = folder [[
      return { waits = function()
        local ok, err = pcall(function() while true do activity.heartbeat() activity.sleep(0.05) end end)
        return err.type
      end }
    ]]
    local env <close> = environment(dir)
    assert.are.same({ true, "CancelledError" }, { env:execute_workflow("Cancels", nil, "waits") })
  end)

  it("are set up, torn down, and gone when the worker has ended", function()
    local dir <close> = folder ""
    dir.write("activities/apart.lua", head .. ([[
      local function note(text)
        local file <close> = assert(io.open(%q, "a"))
        file:write(text, "\n")
      end
      return { setup = function(config) note("setup " .. config.name) end, teardown = function() note "teardown" end,
        pid = pid }
    ]]):format(dir.root .. "/notes"))
    local process
    do
      local env <close> = environment(dir, { activity_config = { name = "db" } })
      process = env:execute_workflow("Runs", nil, "pid")
      assert.is_true(is_alive(process))
    end
    assert.is_false(is_alive(process))
    assert.are.equal("setup db\nteardown\n", dir.read "notes")
  end)

  it("tell at the start what is wrong with the setup", function()
    local dir <close> = folder [[ return { setup = function() error "no database" end, act = function() end } ]]
    local ok, message = pcall(environment, dir)
    assert.is_false(ok)
    assert.matches("setup of activity module 'activities%.apart': .*no database", tostring(message))
  end)

  it("that do not heed the end of the grace are killed", function()
    local dir <close> = folder [[
      return { deaf = function() while true do pcall(activity.sleep, 1) end end }
    ]]
    local env <close> = environment(dir, { graceful_shutdown_timeout = 0.1 })
    local handle = env:start_workflow("Retries", nil, "deaf")
    helper.eventually(env, function()
      local pending = handle:describe().pending_activities
      return pending and pending[1] and pending[1].state == "started"
    end)
    local begin = os.time()
    env.worker:shutdown()
    assert.is_true(os.time() - begin < 30)
    handle:terminate "enough"
  end)

  it("stand beside threads and coroutines", function()
    local dir <close> = folder [[
      return {
        activity.define("apart", pid, { kind = "process" }),
        activity.define("thread", pid),
        activity.define("loop", pid, { kind = "coroutine" }),
      }
    ]]
    local env <close> = environment(dir, { activity_executor = { kind = "processes", size = 1, default = false } })
    local apart, thread = env:execute_workflow("Runs", nil, "apart"), env:execute_workflow("Runs", nil, "thread")
    assert.are_not.equal(apart, thread)
    assert.are.equal(thread, env:execute_workflow("Runs", nil, "loop"))
  end)

  it("are refused where they cannot be", function()
    local dir <close> = folder [[ return activity.define("apart", pid, { kind = "process" }) ]]
    local function problem(executor)
      local ok, message = pcall(function()
        temporal.worker { task_queue = "test", roots = { dir.root }, activities = { "activities.*" },
          activity_executor = executor }:prepare()
      end)
      assert.is_false(ok)
      return tostring(message)
    end
    assert.matches("activity 'apart' has kind = 'process': .*activity_executor", problem(nil))
    assert.matches("kind.*'threads' or 'processes'", problem { kind = "fibres" })
    assert.matches("size", problem { kind = "processes" })
    assert.matches("size.* from 1 to 1000", problem { kind = "processes", size = 0 })
    assert.matches("unknown option 'sice', did you mean 'size'", problem { kind = "processes", sice = 2 })
    assert.matches("'/bin/sh' cannot be started as an activity process",
      problem { kind = "processes", size = 1, program = "/bin/sh" })
  end)

  it("run in the binary as well", function()
    local dir <close> = folder [[ return { pid = pid } ]]
    dir.write("main.lua", [[
      local temporal = require "temporal"
      return temporal.worker { task_queue = "apart", workflows = { "flows" }, activities = { "activities.*" },
        activity_executor = { kind = "processes", size = 1 } }
    ]])
    dir.write("flows.lua", workflows)
    local server <close> = helper.start_server()
    local process <close> = helper.spawn(("worker run --address %s %s/main.lua"):format(server.address, dir.root))
    process.pipe:read "l"
    local client = temporal.connect { address = server.address }
    local pid = client:execute_workflow("Runs", { id = "apart", task_queue = "apart" }, "pid")
    local command <close> = assert(io.open(("/proc/%d/cmdline"):format(pid)))
    assert.matches("temporal%-lua.activity%-process", command:read "a")
    assert.are.equal(0, process:stop())
    assert.is_false(is_alive(pid))
    local code, _, errors = helper.run(helper.binary .. " activity-process </dev/null 3<&-")
    assert.are.equal(1, code)
    assert.matches("started by a worker", errors)
  end)

  it("end when their worker is killed", function()
    local dir <close> = folder [[
      return { nap = function() local file <close> = io.open(activity.info().headers.file or "/dev/null") end,
        pid = pid }
    ]]
    dir.write("main.lua", [[
      local temporal = require "temporal"
      return temporal.worker { task_queue = "apart", workflows = { "flows" }, activities = { "activities.*" },
        activity_executor = { kind = "processes", size = 1 } }
    ]])
    dir.write("flows.lua", workflows)
    local server <close> = helper.start_server()
    local process <close> = helper.spawn(("worker run --address %s %s/main.lua"):format(server.address, dir.root))
    process.pipe:read "l"
    local client = temporal.connect { address = server.address }
    local pid = client:execute_workflow("Runs", { id = "apart", task_queue = "apart" }, "pid")
    process:stop "KILL"
    local deadline = os.time() + 10
    while is_alive(pid) do
      assert(os.time() < deadline, "it lives on")
      os.execute "sleep 0.05"
    end
  end)
end)
