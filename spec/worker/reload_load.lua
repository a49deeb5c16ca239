--- Reloads in a row under load, for reload_spec.lua: they lose nothing, no workflow task fails, no activity is
--- lost, no run changes its build, and what the builds took is given back.
-- Method: a server and a worker process; `temporal-lua bench` starts workflows at a fixed rate while the worker is
-- asked to reload again and again. Each workflow compares its build before and after an activity and a timer; the
-- activity is tried once, so one that was lost fails its workflow. TEMPORAL_LUA_LONG=1 is the long form: 50 reloads
-- under 1,000 starts a second.
local assert = require "luassert"
local core = require "temporal.core"
local helper = require "spec.helper"
local reloads = require "spec.worker.reloads"
local temporal = require "temporal"

local long = os.getenv "TEMPORAL_LUA_LONG" == "1"
local RELOADS, SECONDS, RATE = long and 50 or 6, long and 60 or 3, long and 1000 or 60
local LOAD_SECONDS = long and 120 or SECONDS -- the load is there until the last of them
local WARM = RELOADS // 5 -- the load has all its threads and arenas then; what comes later is of builds
local MEMORY_KB = (long and 12 or 48) * 1024 -- by so much may the peaks of the load differ

local function write_workflow(p, version)
  reloads.write(p.root .. "/flows/greet.lua", ([[
    local temporal = require "temporal"
    local workflow = require "temporal.workflow"
    local version = "%s"
    return workflow.define("Load", function()
      local before = workflow.info().current_build_id
      local once = { start_to_close_timeout = "60s", retry_policy = { maximum_attempts = 1 } }
      workflow.execute_activity("tell", once)
      workflow.sleep(0.3)
      if workflow.info().current_build_id ~= before then
        error(temporal.failure("the build has changed"))
      end
      return version
    end)
  ]]):format(version))
end

local function resident_kb(pid)
  local file <close> = assert(io.open("/proc/" .. pid .. "/status"))
  return tonumber(file:read("a"):match "VmRSS:%s*(%d+)")
end

--- Starts workflows in a process of its own; returns a function that waits for its end, which is that of the last
--- workflow, and gives its figures by name.
local function load_beside(server)
  local pipe = assert(io.popen(("%s bench --address %s --only start --workflow-type Load --task-queue reload --json"
    .. " --duration %ds --rate %d --in-flight 128 2>&1"):format(helper.binary, server.address, LOAD_SECONDS, RATE)))
  return function()
    local text <const> = pipe:read "a"
    assert(pipe:close(), text)
    local figures = {}
    for line in text:gmatch "[^\n]+" do
      local figure = core.json_decode(line)
      figures[figure.name] = figure.value
    end
    return figures
  end
end

local function counted(client, status)
  return client:count_workflows(("WorkflowType = 'Load' AND ExecutionStatus = '%s'"):format(status))
end

local function loaded_builds(p)
  local _, text = helper.run(("XDG_RUNTIME_DIR=%s %s worker builds"):format(p.root, helper.binary))
  return select(2, text:gsub("\n", "\n"))
end

local pause = { sleep = function(_, seconds) os.execute("sleep " .. (seconds or 0.1)) end }

--- The whole form; `options` is text that goes into the worker's script.
return function(options)
  local p <close> = reloads.project()
  write_workflow(p, "zero")
  p.script("max_cached_workflows = 20000, " .. options)
  local server <close> = helper.start_server(
    "--dynamic-config-value matching.wv.VersionDrainageStatusVisibilityGracePeriod=500ms"
    .. " --dynamic-config-value matching.wv.VersionDrainageStatusRefreshInterval=500ms")
  local worker <close> = helper.spawn(("worker run %s/main.lua --address %s"):format(p.root, server.address),
    "XDG_RUNTIME_DIR=" .. p.root)
  assert.matches("is running", worker.pipe:read "l")
  local client <close> = temporal.connect { address = server.address }
  local load_ended = load_beside(server)
  local began, memory = core.mono_ns(), nil
  for i = 1, RELOADS do
    write_workflow(p, "v" .. i)
    p.activity("v" .. i)
    local _, text, errors = helper.run(("XDG_RUNTIME_DIR=%s %s worker reload"):format(p.root, helper.binary))
    assert.matches("promoted: ", text .. errors)
    memory = i == WARM and resident_kb(worker.id) or memory
    local due = began + i * SECONDS * 1000000000 // (RELOADS + 1) -- the load goes on beside all of them
    pause.sleep(nil, math.max(0, (due - core.mono_ns()) / 1e9))
  end
  local seconds = (core.mono_ns() - began) / 1e9
  assert.is_true(not long or seconds < LOAD_SECONDS, ("%.0f s for the reloads, the load was over"):format(seconds))
  local figures = load_ended()
  local count = math.tointeger(figures.starts_count)
  helper.eventually(pause, function() return counted(client, "Running") == 0 end, 120)
  assert.equal(count, counted(client, "Completed"))
  assert.is_nil(worker:errors():match "workflow_task%.failed[^\n]*")
  assert.is_nil(worker:errors():match "workflow_task%.refused[^\n]*")
  helper.eventually(pause, function() return loaded_builds(p) == 2 end, 120)
  assert.is_true(helper.sanitized or resident_kb(worker.id) <= memory + MEMORY_KB,
    ("%d kB resident, %d after %d reloads"):format(resident_kb(worker.id), memory, WARM))
  if long then
    print(("# figures: %d reloads in %.0f s, %d starts, %.0f a second, %d kB resident, %d after %d reloads"):format(
      RELOADS, seconds, count, figures.starts, resident_kb(worker.id), memory, WARM))
  end
  assert.equal(0, worker:stop())
end
