-- The same workflows on the real Temporal server and on ours, histories compared event by event and
-- field by field. TAP on stdout.
--   lua5.4 spec/interop/real_server.lua build/temporal-lua
-- TEMPORAL_REAL_SERVER names the server's executable (go install go.temporal.io/server/cmd/server@v1.32.0);
-- without it every case is skipped.
package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path
local binary = arg[1] or "build/temporal-lua"
package.cpath = binary:match "^(.*)/[^/]*$" .. "/?.so;" .. package.cpath

local executable = os.getenv "TEMPORAL_REAL_SERVER"
local address = "127.0.0.1:28233"

local cases = {
  { name = "order_with_activities_signal_timer_and_retry", workflow = "Order", signal = "approve",
    input = { id = "order-003", amount = 12, weight_g = 100, packing_time = "200ms" } },
  { name = "order_declined_fails", workflow = "Order", input = { id = "order-004", amount = 5000 } },
  { name = "order_without_approval_times_out_and_refunds", workflow = "Order",
    input = { id = "order-005", amount = 12, patience = "500ms" } },
  { name = "order_cancelled_refunds", workflow = "Order", cancel = true, input = { id = "order-007", amount = 12 } },
  { name = "versioned_worker_reloads_on_the_real_server", check = "reload" },
  { name = "eager_start_and_cancellation_by_command_on_the_real_server", check = "eager" },
}

-- Fields that differ between any two servers or runs, and why.
local allowed = {
  { "eventTime$", "clocks" }, { "Time$", "clocks" }, { "taskId$", "a counter of the server" },
  { "[rR]unId$", "run ids are random" }, { "RunId$", "run ids are random" }, { "requestId$", "random" },
  { "identity$", "process and host" }, { "historySizeBytes$", "sizes of ids and clocks" },
  { "taskQueue%.name$", "the sticky queue names a worker process" },
  { "stackTrace$", "paths of the machine" },
}

print("1.." .. #cases)
if not executable then
  for i, case in ipairs(cases) do
    print(("ok %d - %s # SKIP TEMPORAL_REAL_SERVER is not set"):format(i, case.name))
  end
  os.exit(0)
end

local temporal = require "temporal"
local core = require "temporal.core"

local function spawn(command)
  local pipe = assert(io.popen(command .. " >/dev/null 2>&1 & echo $!"))
  local pid = pipe:read "l"
  pipe:close()
  return setmetatable({}, { __close = function() os.execute("kill " .. pid .. " 2>/dev/null") end })
end

local function connect_patiently(options)
  for _ = 1, 60 do
    local ok, client = pcall(temporal.connect, options)
    if ok then
      return client
    end
    os.execute "sleep 0.5"
  end
  error("no server at " .. options.address)
end

local folder = os.tmpname()
os.remove(folder)
assert(os.execute(("mkdir -p %s && cp spec/interop/real_server.yaml %s/real.yaml"):format(folder, folder)))
local _ <close> = spawn(("%s --root %s --config . --env real --allow-no-auth start"):format(executable, folder))
local _ <close> = setmetatable({}, { __close = function() os.execute("rm -rf " .. folder) end })

local real = connect_patiently { address = address, connect_timeout = "2s" }
pcall(real.call, real, "RegisterNamespace", {
  namespace = "default", workflow_execution_retention_period = { seconds = 86400 },
})
local ours = temporal.connect { db_filename = folder .. "/ours.db" }

-- The namespace of the real server is known to all its parts only after some seconds.
local function start(client, case)
  local last
  for _ = 1, 60 do
    local ok, handle = pcall(client.start_workflow, client, case.workflow, {
      id = case.name, task_queue = case.queue or "orders", request_eager_start = case.eager,
    }, case.input)
    if ok then
      return handle
    end
    last = handle
    os.execute "sleep 0.5"
  end
  error(last)
end

local function history(client, case)
  rawset(arg, 0, "samples/order/worker.lua") -- modules are looked for beside the script
  local worker <close> = dofile "samples/order/worker.lua"
  worker.client = client
  local handle = start(client, case)
  worker:start()
  if case.signal or case.cancel then
    local status
    repeat -- so that the signal comes at the same place in both histories
      local ok, answer = pcall(handle.query, handle, "status")
      status = ok and answer.status
    until status == "waiting for approval"
    if case.signal then
      handle:signal(case.signal, "ann")
    else
      handle:cancel()
    end
  end
  pcall(handle.result, handle)
  return core.json_decode(handle:fetch_history_json()).events
end

local function flatten(value, path, out)
  if type(value) == "table" then
    for k, v in pairs(value) do
      flatten(v, path .. "." .. tostring(k), out)
    end
  else
    out[path] = value
  end
  return out
end

local function is_allowed(path)
  for _, row in ipairs(allowed) do
    if path:find(row[1]) then
      return true
    end
  end
  return false
end

local function differences(a, b)
  local out = {}
  if #a ~= #b then
    out[1] = ("%d events there, %d here"):format(#a, #b)
  end
  for i = 1, math.min(#a, #b) do
    local left, right = flatten(a[i], "", {}), flatten(b[i], "", {})
    for path in pairs(right) do
      left[path] = left[path] == nil and false or left[path]
    end
    for path, value in pairs(left) do
      local other = right[path] == nil and false or right[path]
      if value ~= other and not is_allowed(path) then
        out[#out + 1] = ("event %d %s: %s there, %s here"):format(i, path, tostring(value), tostring(other))
      end
    end
  end
  table.sort(out)
  return out
end

local function expect(want, got, what)
  if want ~= got then
    error(("%s: %s expected, got %s"):format(what, tostring(want), tostring(got)), 0)
  end
end

--- The first task comes with the start; later a running activity that never heartbeats hears of its cancellation.
local function eager_start_and_command()
  local file <close> = assert(io.open(folder .. "/stays.lua", "w"))
  file:write [[
    local activity = require "temporal.activity"
    return { stays = function() activity.wait_for_cancelled() error "told to stop" end }
  ]]
  file:flush()
  local source = [[
    local workflow = require "temporal.workflow"
    return workflow.define("Stays", function()
      workflow.execute_activity("stays", {
        start_to_close_timeout = 300, cancellation_type = "wait_cancellation_completed",
        retry_policy = { maximum_attempts = 1 },
      })
    end)
  ]]
  local worker <close> = temporal.worker {
    client = real, task_queue = "commands", workflows = { { name = "staying", source = source } },
    activities = { "stays" }, roots = { folder },
  }
  worker:start()
  local handle
  for i = 1, 20 do -- it is ready when it polls
    handle = start(real, { workflow = "Stays", name = "stays-" .. i, queue = "commands", eager = true })
    if handle.eagerly_started then
      break
    end
    handle:terminate()
    os.execute "sleep 0.5"
  end
  expect(true, handle.eagerly_started, "eagerly_started")
  repeat
    local pending = handle:describe().pending_activities
  until pending and pending[1] and pending[1].state == "started"
  handle:cancel()
  local ok, err = pcall(handle.result, handle, { timeout = 30 }) -- nothing heartbeats
  expect(false, ok, "the workflow's success")
  expect(false, handle:describe().status == "running", "running after " .. tostring(err))
  expect(1, worker:stats().workflow_tasks_eager, "eager tasks")
end

--- What the embedded server is tested with by spec/worker/version_reload_spec.lua holds there too: the real
--- one learns of versions and of routing a moment later.
local function versioned_reload()
  package.path = "./?.lua;" .. package.path
  local reloads = require "spec.worker.reloads"
  local project <close> = reloads.project()
  local worker <close> = reloads.start(project, {
    client = real,
    deployment_config = {
      name = "shop", build_id = "v+{hash}", use_worker_versioning = true, default_versioning_behavior = "pinned",
    },
  })
  local function patiently(fn, ...)
    local ok, result
    for _ = 1, 60 do
      ok, result = pcall(fn, ...)
      if ok then
        return result
      end
      os.execute "sleep 0.5"
    end
    error(result, 0)
  end
  local deployment = real:get_worker_deployment_handle "shop"
  local first = worker:build().id
  patiently(deployment.set_current_version, deployment, { build_id = first })
  local old = patiently(reloads.begin, worker, "old")
  project.workflow("two", "workflow.sleep(0.01)")
  local second, text = worker:reload()
  expect("string", type(second), text)
  local new = patiently(reloads.begin, worker, "new")
  expect("two", reloads.finish(new), "result of a new run")
  expect("one", reloads.finish(old), "result of the pinned run")
  expect(first, table.concat(reloads.builds_of(old), " "), "builds of the pinned run")
  expect(second, table.concat(reloads.builds_of(new), " "), "builds of the new run")
  expect(first, worker:rollback(), "rollback")
  -- The real server's task queues learn of a new routing a moment after it was set.
  local tries = 0
  repeat
    tries = tries + 1
    local result = reloads.finish(patiently(reloads.begin, worker, "again-" .. tries))
  until result == "one" or tries == 20
  expect(true, tries < 20, "new runs are on the first version after the rollback")
  expect(0, worker:stats().workflow_tasks_failed, "failed workflow tasks")
end

local checks = { reload = versioned_reload, eager = eager_start_and_command }

local function compare(case)
  if case.check then
    return checks[case.check]()
  end
  local found = differences(history(real, case), history(ours, case))
  if #found > 0 then
    error(table.concat(found, "\n"), 0)
  end
end

local failed = 0
for i, case in ipairs(cases) do
  local ok, message = pcall(compare, case)
  failed = failed + (ok and 0 or 1)
  print(("%s %d - %s"):format(ok and "ok" or "not ok", i, case.name))
  for line in (ok and "" or tostring(message)):gmatch "[^\n]+" do
    print("# " .. line)
  end
end
real:close()
ours:close()
os.exit(failed == 0 and 0 or 1, true)
