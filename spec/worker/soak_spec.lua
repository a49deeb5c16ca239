-- Goal: a worker process that does all it can, and takes changed scripts meanwhile, loses nothing and keeps nothing:
-- no memory, no open file, no thread, no child process stays of what has ended.
-- Method: a server and a worker process. Each workflow has an activity of every kind (thread, process, coroutine, C,
-- local), one that is cancelled, a Nexus operation, a timer, an update, a query and a signal; the cache is small, so
-- runs are evicted and replayed. What the process holds is counted when nothing runs: after some reloads, and after all
-- of them. No assertion is about time. TEMPORAL_LUA_LONG=1: a quarter of an hour with a reload every ten seconds.
local core = require "temporal.core"
local helper = require "spec.helper"
local reloads = require "spec.worker.reloads"
local temporal = require "temporal"

local long = os.getenv "TEMPORAL_LUA_LONG" == "1"
local RELOADS, SECONDS_EACH, WARM = long and 90 or 4, long and 10 or 1, long and 10 or 2
local AT_ONCE = 12
local MEMORY_KB = 24 * 1024 -- arenas and caches that the last rounds have made
local SLACK = 6             -- files and threads: sockets of a process, threads of the transport
local PROCESSES = 2

local flows = [[
  local workflow = require "temporal.workflow"
  local shop = workflow.nexus_client { endpoint = "soak", service = "Shop" }
  local once = { start_to_close_timeout = "60s", retry_policy = { maximum_attempts = 1 } }
  return {
    workflow.define("Ship", function(x) workflow.sleep(0.01) return x end),
    workflow.define("Soak", function(n)
      local sum, go = 0, false
      workflow.set_update_handler("add", function(x) sum = sum + x return sum end)
      workflow.set_query_handler("sum", function() return sum end)
      workflow.set_signal_handler("go", function() go = true end)
      local patient = workflow.start_activity("patient", {
        start_to_close_timeout = "60s", heartbeat_timeout = "1s", cancellation_type = "wait_cancellation_completed",
      })
      for _, name in ipairs { "in_thread", "in_process", "in_coroutine", "c.echo" } do
        sum = sum + workflow.execute_activity(name, once, n)
      end
      sum = sum + workflow.execute_local_activity("in_thread", once, n)
      sum = sum + shop:execute_operation("ship", { schedule_to_close_timeout = "60s" }, n)
      workflow.sleep(0.02)
      patient:cancel()
      if pcall(patient.result, patient) then
        error "it was not cancelled"
      end
      workflow.wait_condition(function() return go end)
      return sum
    end),
  } -- %s
]]

local acts = [[
  local activity = require "temporal.activity"
  local function same(n) return n end
  return {
    activity.define("in_thread", same, { kind = "thread" }),
    activity.define("in_process", same, { kind = "process" }),
    activity.define("in_coroutine", function(n) activity.sleep(0.01) return n end, { kind = "coroutine" }),
    activity.define("patient", function()
      while true do
        activity.heartbeat()
        activity.sleep(0.05)
      end
    end, { kind = "coroutine" }),
  } -- %s
]]

local services = [[
  local nexus = require "temporal.nexus"
  return nexus.service("Shop", {
    ship = nexus.workflow_run_operation(function(n)
      return nexus.start_workflow("Ship", { id = "ship-" .. nexus.info().request_id }, n)
    end),
  })
]]

local c_module = [[
  #include "temporal_lua.h"
  static const tlua_host_api *host;
  static void echo(tlua_activity *a, void *ud) {
      tlua_payload in;
      (void)ud;
      if (host->input(a, 0, &in) == TLUA_OK) {
          host->put_json(a, TLUA_RESULT, in.data.data, in.data.size);
      }
  }
  int tlua_module_v1(const tlua_host_api *api, tlua_module *m) {
      host = api;
      return api->register_activity(m, "c.echo", echo, NULL);
  }
]]

local script = [[
  local temporal = require "temporal"
  return temporal.worker {
    task_queue = "soak", workflows = { "flows.*" }, activities = { "acts.*", native = { "%s/libsoak.so" } },
    nexus_services = { "services.*" }, roots = { "%s" }, max_cached_workflows = 6,
    max_concurrent_workflow_task_polls = 4,
    activity_executor = { kind = "processes", size = %d, default = false }, max_concurrent_activities = 60,
  }
]]

local function project()
  local p = reloads.project()
  os.execute(("rm %s/flows/* %s/acts/*; mkdir %s/services"):format(p.root, p.root, p.root))
  reloads.write(p.root .. "/services/shop.lua", services)
  reloads.write(p.root .. "/soak.c", c_module)
  local code, _, errors = helper.run(("cc -std=c11 -fPIC -shared -Ihost/include -o %s/libsoak.so %s/soak.c"):format(
    p.root, p.root))
  assert(code == 0, errors)
  reloads.write(p.root .. "/main.lua", script:format(p.root, p.root, PROCESSES))
  function p.change(version)
    reloads.write(p.root .. "/flows/soak.lua", flows:format(version))
    reloads.write(p.root .. "/acts/soak.lua", acts:format(version))
  end
  p.change "zero"
  return p
end

--- What a process holds: memory, open files, threads, children. Threads of pools stay once there was work for them.
local function held(pid)
  local function count(command)
    return math.tointeger(tonumber((select(2, helper.run(command)))))
  end
  local file <close> = assert(io.open("/proc/" .. pid .. "/status"))
  return {
    kb = math.tointeger(tonumber(file:read "a":match "VmRSS:%s*(%d+)")),
    threads = count(("cat /proc/%s/task/*/comm | grep -cvE '^(activity|nexus)-'"):format(pid)),
    files = count(("ls /proc/%s/fd | wc -l"):format(pid)),
    children = count(("cat /proc/%s/task/*/children | wc -w"):format(pid)),
  }
end

local pause = { sleep = function(_, seconds) os.execute("sleep " .. seconds) end }

describe("a worker that does all it can", function()
  it("keeps nothing of what has ended", function()
    local p <close> = project()
    local server <close> = helper.start_server()
    local client <close> = temporal.connect { address = server.address }
    client:create_nexus_endpoint("soak", { task_queue = "soak" })
    local worker <close> = helper.spawn(("worker run %s/main.lua --address %s"):format(p.root, server.address),
      "XDG_RUNTIME_DIR=" .. p.root)
    assert.matches("is running", worker.pipe:read "l")
    local function ask(command)
      local _, text, errors = helper.run(("XDG_RUNTIME_DIR=%s %s worker %s"):format(p.root, helper.binary, command))
      return text .. errors
    end
    local count = 0
    local function some_runs()
      local handles = {}
      for i = 1, AT_ONCE do
        count = count + 1
        handles[i] = client:start_workflow("Soak", { id = "soak-" .. count, task_queue = "soak" }, i)
      end
      for i, handle in ipairs(handles) do
        handle:execute_update("add", nil, 1000)
        assert.is_true(handle:query "sum" >= 1000)
        handle:signal "go"
        assert.equal(1000 + 6 * i, handle:result { timeout = "120s" })
      end
    end
    --- What is held when nothing runs any more.
    local function at_rest()
      helper.eventually(pause, function() return select(2, ask "builds":gsub("\n", "\n")) == 2 end, 120)
      local last
      helper.eventually(pause, function() -- pools and children of old builds have gone when two looks agree
        local now = held(worker.id)
        local same = last and now.files == last.files and now.threads == last.threads and now.children == last.children
        last = now
        pause:sleep(0.5)
        return same
      end, 120)
      return last
    end
    some_runs()
    local warm
    for i = 1, RELOADS do
      p.change("v" .. i)
      assert.matches("promoted: ", ask "reload")
      local began = core.mono_ns()
      repeat
        some_runs()
      until core.mono_ns() - began >= SECONDS_EACH * 1000000000
      warm = i == WARM and at_rest() or warm
    end
    local now = at_rest()
    local figures = ("%d runs, %d reloads; %d kB, %d files, %d threads, %d children; "
      .. "after %d reloads %d kB, %d files, %d threads, %d children"):format(
      count, RELOADS, now.kb, now.files, now.threads, now.children,
      WARM, warm.kb, warm.files, warm.threads, warm.children)
    print("# figures: " .. figures)
    assert.is_true(now.files <= warm.files + SLACK, figures)
    assert.is_true(now.threads <= warm.threads + SLACK, figures)
    assert.is_true(now.children <= 2 * PROCESSES, figures) -- of the current build and the one before
    assert.is_true(helper.sanitized or now.kb <= warm.kb + MEMORY_KB, figures)
    assert.is_nil(worker:errors():match "workflow_task%.failed[^\n]*")
    local children = select(2, helper.run(("cat /proc/%s/task/*/children"):format(worker.id)))
    assert.equal(0, worker:stop())
    for pid in children:gmatch "%d+" do
      assert.is_nil(io.open("/proc/" .. pid .. "/status"))
    end
  end)
end)
