--- What a worker measures, and where it can be read.
local helper = require "spec.helper"
local temporal = require "temporal"

local source = [[
  local workflow = require "temporal.workflow"
  local temporal = require "temporal"
  local function quick(kind, name, ...)
    return workflow[kind](name, { start_to_close_timeout = 10, retry_policy = { maximum_attempts = 1 } }, ...)
  end
  return {
    workflow.define("Good", function(n)
      quick("execute_local_activity", "double", n)
      return quick("execute_activity", "double", n)
    end),
    workflow.define("Bad", function(activity, category)
      pcall(quick, "execute_activity", activity)
      pcall(quick, "execute_local_activity", activity)
      error(temporal.failure { message = "no", type = "Bad", category = category })
    end),
    workflow.define("Again", function(more)
      if more then workflow.continue_as_new(nil, false) end
    end),
    workflow.define("Waits", function() workflow.sleep("1000d") end),
    workflow.define("Stops", function() -- a local activity, cancelled in the pause before its second attempt
      local future = workflow.start_local_activity("fails",
        { start_to_close_timeout = 10, retry_policy = { initial_interval = "5s" }, local_retry_threshold = "1m" })
      quick("execute_local_activity", "double", 1)
      future:cancel()
      local _, err = pcall(future.result, future)
      return temporal.is_cancelled(err)
    end),
    workflow.define("Broken", function()
      if not broken then error("a bug") end
    end),
    workflow.define("Echo", function()
      local last
      workflow.set_query_handler("last", function() return last end)
      workflow.set_signal_handler("say", function(word) last = word end)
      workflow.wait_condition(function() return last == "end" end)
    end),
  }]]

local activities = {
  double = function(n) return 2 * n end,
  fails = function() error(temporal.failure { message = "no", type = "Declined" }) end,
  benign = function() error(temporal.failure { message = "no", type = "Declined", category = "benign" }) end,
}

local seen = {} -- names of metrics in all pages that were read here

--- Values by "name{labels}" with sorted labels; those of the queue and of every page are left out.
local function parse(text)
  local values = {}
  for name in text:gmatch "# TYPE ([%w_]+) " do
    seen[name] = true
  end
  for line in text:gmatch "[^\n]+" do
    local name, labels, value = line:match "^([%w_]+){(.*)} (%S+)$"
    if not name and not line:find "^#" then
      name, value = line:match "^([%w_]+) (%S+)$"
      labels = ""
      assert(name, line)
    end
    if name then
      local list = {}
      for key, text_of in labels:gmatch '([%w_]+)="(.-)"' do
        if key ~= "service_name" and key ~= "namespace" and key ~= "task_queue" then
          list[#list + 1] = key .. "=" .. text_of
        end
      end
      table.sort(list)
      values[name .. "{" .. table.concat(list, ",") .. "}"] = tonumber(value)
    end
  end
  return values
end

--- Waits until the page has these values, and returns all of them: a worker counts what it did when the server
--- has answered it, which may be after the client has heard of it.
local function expect(env, runtime, wanted)
  local values, wrong
  pcall(helper.eventually, env, function()
    values, wrong = parse(runtime:metrics()), nil
    for key, value in pairs(wanted) do
      wrong = values[key] ~= value and ("%s is %s, not %s"):format(key, values[key], value) or wrong
    end
    return not wrong
  end, 10)
  assert.is_nil(wrong)
  return values
end

local function environment(runtime, more)
  local o = { activities = activities, runtime = runtime }
  for key, value in pairs(more or {}) do
    o[key] = value
  end
  return helper.environment(source, o)
end

local function measured(config)
  return temporal.runtime { telemetry = { metrics = config or {} } }
end

describe("metrics of a worker", function()
  it("count workflows by how they end, and how long they took", function()
    local runtime <close> = measured()
    local env <close> = environment(runtime)
    env:execute_workflow("Good", nil, 3)
    pcall(env.execute_workflow, env, "Bad", nil, "fails")
    pcall(env.execute_workflow, env, "Bad", nil, "fails", "benign")
    env:execute_workflow("Again", nil, true)
    local waits = env:start_workflow "Waits"
    waits:cancel()
    pcall(waits.result, waits)
    local v = expect(env, runtime, {
      ["temporal_workflow_completed{workflow_type=Good}"] = 1,
      ["temporal_workflow_completed{workflow_type=Again}"] = 1,
      ["temporal_workflow_continue_as_new{workflow_type=Again}"] = 1,
      ["temporal_workflow_canceled{workflow_type=Waits}"] = 1,
      ["temporal_workflow_endtoend_latency_count{workflow_type=Bad}"] = 2,
      ["temporal_workflow_endtoend_latency_count{workflow_type=Again}"] = 2,
    })
    assert.are.equal(1, v["temporal_workflow_failed{workflow_type=Bad}"]) -- the benign one is none
    assert.is_true(v["temporal_workflow_task_execution_latency_count{workflow_type=Good}"] >= 2)
    assert.is_true(v["temporal_workflow_task_queue_poll_succeed{}"] >= 5)
    assert.is_true(v["temporal_workflow_task_schedule_to_start_latency_count{}"] >= 5)
  end)

  it("count activities, their failures but benign ones, and types that nobody has", function()
    local runtime <close> = measured()
    local env <close> = environment(runtime)
    env:execute_workflow("Good", nil, 3)
    for _, name in ipairs { "fails", "benign", "unknown" } do
      pcall(env.execute_workflow, env, "Bad", nil, name)
    end
    local v = expect(env, runtime, {
      ["temporal_workflow_failed{workflow_type=Bad}"] = 3,
      ["temporal_unregistered_activity_invocation{activity_type=unknown,workflow_type=Bad}"] = 2,
    })
    local good, bad = "activity_type=double,workflow_type=Good", "activity_type=fails,workflow_type=Bad"
    local failed = "activity_type=fails,failure_reason=ActivityError,workflow_type=Bad"
    assert.are.equal(1, v["temporal_activity_execution_latency_count{" .. good .. "}"])
    assert.are.equal(1, v["temporal_activity_succeed_endtoend_latency_count{" .. good .. "}"])
    for name in pairs(v) do
      assert.not_matches("execution_failed{activity_type=[db]", name) -- of double and of benign there is none
    end
    assert.are.equal(1, v["temporal_activity_execution_failed{" .. failed .. "}"])
    assert.is_nil(v["temporal_activity_succeed_endtoend_latency_count{" .. bad .. "}"])
    assert.are.equal(4, v["temporal_activity_schedule_to_start_latency_count{}"])
    local received = 0
    for _, eager in ipairs { "true", "false" } do
      received = received + (v["temporal_activity_task_received{activity_type=double,eager=" .. eager ..
        ",workflow_type=Good}"] or 0)
    end
    assert.are.equal(1, received)
    assert.are.equal(1, v["temporal_local_activity_total{" .. good .. "}"])
    assert.are.equal(1, v["temporal_local_activity_execution_latency_count{" .. good .. "}"])
    assert.are.equal(1, v["temporal_local_activity_succeed_endtoend_latency_count{" .. good .. "}"])
    assert.are.equal(1, v["temporal_local_activity_execution_failed{" .. failed .. "}"])
  end)

  it("tell a failing workflow task, hits and misses of the cache, and replays", function()
    local runtime <close> = measured()
    local env <close> = environment(runtime, { worker = { max_cached_workflows = 1 }, replay = false })
    local broken = env:start_workflow "Broken"
    helper.task_failure(env, broken)
    broken:terminate "seen"
    local one, two = env:start_workflow "Echo", env:start_workflow "Echo"
    for _, handle in ipairs { one, two, one, two } do
      handle:signal("say", "a word")
      assert.are.equal("a word", handle:query "last")
    end
    one:signal("say", "end")
    two:signal("say", "end")
    one:result()
    two:result()
    local v = expect(env, runtime, { ["temporal_workflow_completed{workflow_type=Echo}"] = 2 })
    assert.is_true(v["temporal_workflow_task_execution_failed{failure_reason=WorkflowError,workflow_type=Broken}"] >= 1)
    assert.is_true(v["temporal_sticky_cache_hit{workflow_type=Echo}"] >= 1)
    assert.is_true(v["temporal_sticky_cache_miss{}"] >= 1)
    assert.is_true(v["temporal_sticky_cache_total_forced_eviction{}"] >= 2)
    assert.is_true(v["temporal_workflow_task_replay_latency_count{workflow_type=Echo}"] >= 1)
    assert.is_nil(v["temporal_workflow_task_replay_latency_count{workflow_type=Broken}"])
  end)

  it("tell slots, polls and the cache as they are now, of all workers of a queue, until they end", function()
    local runtime <close> = measured()
    do
      local env <close> = environment(runtime, { worker = { max_concurrent_activities = 7 }, replay = false })
      local handle = env:start_workflow "Waits"
      helper.eventually(env, function() return parse(runtime:metrics())["temporal_sticky_cache_size{}"] == 1 end)
      local v = expect(env, runtime, { -- once the first task is answered
        ["temporal_worker_task_slots_available{worker_type=ActivityWorker}"] = 7,
        ["temporal_worker_task_slots_used{worker_type=ActivityWorker}"] = 0,
        ["temporal_worker_task_slots_available{worker_type=WorkflowWorker}"] = 100,
        ["temporal_worker_task_slots_used{worker_type=WorkflowWorker}"] = 0,
        ["temporal_num_pollers{poller_type=activity_task}"] = 5,
      })
      assert.is_true(v["temporal_num_pollers{poller_type=workflow_task}"] >= 1)
      assert.is_true(v["temporal_num_pollers{poller_type=sticky_workflow_task}"] >= 1)
      assert.are.equal(1, v["temporal_worker_start{}"])
      local second <close> = temporal.worker {
        task_queue = env.task_queue, client = env.client, activities = { double = activities.double },
        max_concurrent_activities = 3,
      }
      second:start()
      expect(env, runtime, { ["temporal_worker_task_slots_available{worker_type=ActivityWorker}"] = 10 })
      handle:terminate "seen"
    end
    collectgarbage()
    local v = parse(runtime:metrics())
    assert.are.equal(0, v["temporal_worker_task_slots_available{worker_type=WorkflowWorker}"])
    assert.are.equal(0, v["temporal_num_pollers{poller_type=workflow_task}"])
  end)

  it("tell what a resource-based tuner sees, and no number of free slots then", function()
    local runtime <close> = measured()
    local env <close> = environment(runtime, {
      worker = { tuner = temporal.tuner.resource_based { target_memory_usage = 0.8, target_cpu_usage = 0.9 } },
    })
    env:execute_workflow("Good", nil, 1)
    local v = parse(runtime:metrics())
    assert.is_true(v["temporal_resource_slots_mem_usage{}"] > 0 and v["temporal_resource_slots_mem_usage{}"] <= 100)
    assert.is_not_nil(v["temporal_resource_slots_cpu_usage{}"])
    assert.is_nil(v["temporal_worker_task_slots_available{worker_type=ActivityWorker}"])
    assert.are.equal(0, v["temporal_worker_task_slots_used{worker_type=ActivityWorker}"])
  end)

  it("count calls to the service, long polls apart, and failures by their status", function()
    local runtime <close> = measured()
    local env <close> = environment(runtime)
    env:execute_workflow("Good", nil, 1)
    pcall(function() env.client:get_workflow_handle("nobody"):describe() end)
    local v = parse(runtime:metrics())
    assert.are.equal(1, v["temporal_request{operation=StartWorkflowExecution}"])
    assert.are.equal(1, v["temporal_request_latency_count{operation=StartWorkflowExecution}"])
    assert.is_nil(v["temporal_request_failure{operation=StartWorkflowExecution,status_code=OK}"])
    assert.are.equal(1, v["temporal_request_failure{operation=DescribeWorkflowExecution,status_code=NOT_FOUND}"])
    assert.is_true(v["temporal_long_request{operation=PollWorkflowTaskQueue}"] >= 1)
    assert.is_true(v["temporal_long_request_latency_count{operation=PollWorkflowTaskQueue}"] >= 1)
    assert.is_nil(v["temporal_request{operation=PollWorkflowTaskQueue}"])
    assert.is_true(v["temporal_long_request{operation=GetWorkflowExecutionHistory}"] >= 1)
    local text = runtime:metrics()
    assert.matches('temporal_request{namespace="default",operation="StartWorkflowExecution",task_queue="test",'
      .. 'service_name="temporal%-lua"} 1\n', text)
    assert.matches('temporal_request{operation="GetSystemInfo",service_name="temporal%-lua"} %d+\n', text)
  end)

  it("are nothing without a runtime that measures", function()
    local runtime <close> = temporal.runtime {}
    local env <close> = environment(runtime)
    env:execute_workflow("Good", nil, 1)
    assert.are.equal("", runtime:metrics())
  end)
end)

describe("docs/metrics.md", function()
  -- Where the numbers of Nexus tasks are looked at.
  local elsewhere = { "host/test/unit/test_worker_nexus.c" }

  it("names what is really told", function()
    local runtime <close> = measured()
    do
      local env <close> = environment(runtime, { replay = false })
      pcall(function() env.client:get_workflow_handle("nobody"):result() end) -- a long poll that fails
      assert.is_true(env:execute_workflow "Stops")
    end -- the polls that were out come back empty
    parse(runtime:metrics())
    local tests = {}
    for _, path in ipairs(elsewhere) do
      local file <close> = assert(io.open(path))
      tests[#tests + 1] = file:read "a"
    end
    local others, count = table.concat(tests), 0
    for line in io.lines "docs/metrics.md" do
      local name = line:match "^| `([%w_]+)` |"
      if name then
        count = count + 1
        assert.is_true(seen["temporal_" .. name] or others:find("\\n" .. name, 1, true) ~= nil, name)
      end
    end
    assert.is_true(count > 40)
  end)
end)

describe("temporal.runtime", function()
  it("writes names, units, labels and bounds as it was told", function()
    local runtime <close> = temporal.runtime { telemetry = {
      metrics = {
        counters_total_suffix = true, unit_suffix = true, durations_as_seconds = true,
        histogram_bucket_overrides = { activity_execution = { 0.25, 2.5 } },
      },
      global_tags = { region = "eu", shop = 'a"b' }, attach_service_name = false, metric_prefix = "acme_",
    } }
    local env <close> = environment(runtime)
    env:execute_workflow("Good", nil, 1)
    expect(env, runtime, { ["acme_workflow_completed_total{region=eu,shop=a\\,workflow_type=Good}"] = 1 })
    local text = runtime:metrics()
    assert.matches('\nacme_workflow_completed_total{namespace="default",task_queue="test",workflow_type="Good",'
      .. 'region="eu",shop="a\\"b"} 1\n', text)
    assert.matches('\nacme_activity_execution_latency_seconds_bucket{[^}]*le="0.25"} 1\n', text)
    assert.matches('le="2.5"} 1\n', text)
    assert.matches('\nacme_workflow_endtoend_latency_seconds_bucket{[^}]*le="0.1"}', text)
    assert.not_matches("temporal_", text)
    assert.not_matches("service_name", text)
  end)

  it("refuses what it cannot do, by its name", function()
    for message, given in pairs {
      ["unknown option 'telemetri', did you mean 'telemetry'"] = { telemetri = {} },
      ["'worker_heartbeat_interval' does not exist here: it is an option of each worker"] =
        { worker_heartbeat_interval = 5 },
      ["'url' does not exist here: metrics are for Prometheus"] = { telemetry = { metrics = { url = "x" } } },
      ["'buffer_size' does not exist here"] = { telemetry = { metrics = { buffer_size = 5 } } },
      ["'forwarding' does not exist here"] = { telemetry = { logging = { forwarding = {} } } },
      ["'nowhere' is no address"] = { telemetry = { metrics = { bind_address = "nowhere" } } },
      ["'localhost:99999' is no address"] = { health = { bind_address = "localhost:99999" } },
      ["option 'bind_address' is required"] = { health = {} },
      ["'latency' wants a list of 1 to 24 ascending numbers"] =
        { telemetry = { metrics = { histogram_bucket_overrides = { latency = { 2, 1 } } } } },
      ["global_tags wants texts under names"] = { telemetry = { global_tags = { ["a b"] = "c" } } },
      ["metric_prefix is made of letters"] = { telemetry = { metric_prefix = "a-b" } },
      ["core_level wants trace, debug, info"] = { telemetry = { logging = { filter = { core_level = "loud" } } } },
      ["format wants text or json"] = { telemetry = { logging = { format = "xml" } } },
    } do
      local ok, err = pcall(temporal.runtime, given)
      assert.is_false(ok, message)
      assert.is_truthy(tostring(err):find(message, 1, true), message .. " in " .. tostring(err))
    end
    local ok, err = pcall(temporal.connect, { runtime = {} })
    assert.is_false(ok)
    assert.matches("option 'runtime' wants what temporal.runtime returned", tostring(err))
  end)

  it("says which port it cannot have", function()
    local first <close> = measured { bind_address = "127.0.0.1:0" }
    local ok, err = pcall(measured, { bind_address = "127.0.0.1:" .. first.metrics_port })
    assert.is_false(ok)
    assert.matches("temporal.runtime: metrics", tostring(err))
    first:close()
    local again <close> = measured { bind_address = "127.0.0.1:" .. first.metrics_port }
    assert.are.equal(first.metrics_port, again.metrics_port)
  end)

  it("serves metrics, health and readiness", function()
    collectgarbage() -- workers of the specs above
    collectgarbage()
    local runtime <close> = temporal.runtime {
      telemetry = { metrics = { bind_address = "127.0.0.1:0" } }, health = { bind_address = "127.0.0.1:0" },
    }
    local function get(port, path)
      local status, body = helper.http(port, "GET " .. path)
      return status, body
    end
    for _, port in ipairs { runtime.metrics_port, runtime.health_port } do
      assert.are.equal(200, (get(port, "/healthz")))
      local status, body = get(port, "/readyz")
      assert.are.equal(503, status)
      assert.are.equal("no worker has started\n", body)
    end
    do
      local env <close> = environment(runtime)
      env:execute_workflow("Good", nil, 1)
      assert.are.equal(200, (get(runtime.health_port, "/readyz")))
      expect(env, runtime, { ["temporal_workflow_completed{workflow_type=Good}"] = 1 })
      local status, body = get(runtime.metrics_port, "/metrics")
      assert.are.equal(200, status)
      assert.matches('temporal_workflow_completed{[^}]*workflow_type="Good"', body)
      assert.are.equal(404, (get(runtime.health_port, "/metrics")))
      assert.are.equal(404, (get(runtime.metrics_port, "/other")))
      assert.are.equal(405, (helper.http(runtime.health_port, "POST /readyz", "x")))
      env.worker:shutdown()
      status, body = get(runtime.health_port, "/readyz")
      assert.are.equal(503, status)
      assert.are.equal("a worker shuts down\n", body)
      assert.are.equal(200, (get(runtime.health_port, "/healthz")))
    end
  end)

  it("is not well when a worker cannot go on", function()
    collectgarbage()
    local runtime <close> = temporal.runtime { health = { bind_address = "127.0.0.1:0" } }
    local client = temporal.connect { runtime = runtime }
    local wrong = temporal.connect { server = client.embedded, namespace = "absent", runtime = runtime }
    local worker = temporal.worker { task_queue = "q", client = wrong, activities = activities }
    assert.is_false(pcall(worker.run, worker))
    local status, body = helper.http(runtime.health_port, "GET /healthz")
    assert.are.equal(503, status)
    assert.matches("cannot go on", body)
    client:close()
  end)
end)

describe("temporal-lua worker run --metrics-address", function()
  local script = [[
    local temporal = require "temporal"
    return temporal.worker { task_queue = "q", activities = { noop = function() end } }]]

  it("serves the workers of the process, and is not ready while it shuts down", function()
    local file <close> = helper.file(script)
    local run <close> = helper.spawn(
      "worker run --metrics-address 127.0.0.1:0 --health-address localhost:0 " .. file.name)
    local ports = {}
    for _ = 1, 2 do
      local what, port, path = run.pipe:read "l":match "^(%a+): http://%S-:(%d+)/(%a+)$"
      ports[what .. "/" .. path] = port
    end
    assert.matches("^worker on task queue 'q' is running", run.pipe:read "l")
    local port = assert(ports["Metrics/metrics"])
    local status
    for _ = 1, 100 do
      status = helper.http(assert(ports["Health/healthz"]), "GET /readyz")
      if status == 200 then break end
    end
    assert.are.equal(200, status)
    local _, body = helper.http(port, "GET /metrics")
    assert.matches('temporal_num_pollers{[^}]*poller_type="activity_task"[^}]*} 5\n', body)
    assert.are.equal(0, run:stop "TERM")
  end)

  it("ends with what is wrong with an address", function()
    local file <close> = helper.file(script)
    local code, _, errors = helper.run(helper.binary .. " worker run --metrics-address 9464 " .. file.name)
    assert.are.equal(1, code)
    assert.matches("'9464' is no address; it wants host:port", errors)
  end)
end)
