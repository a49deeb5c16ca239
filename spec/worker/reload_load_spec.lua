-- Goal: reloads in a row under load lose nothing: no workflow task fails, no activity is lost, no run
-- changes its build, and what the builds took is given back.
-- Method: a server and a worker process; this process starts workflows without pause while another asks the
-- worker to reload. Each workflow compares its build before and after an activity and a timer; the activity
-- is tried once, so one that was lost fails its workflow. TEMPORAL_LUA_LONG=1 is the long form: 50 reloads.
local helper = require "spec.helper"
local reloads = require "spec.worker.reloads"
local temporal = require "temporal"

local long = os.getenv "TEMPORAL_LUA_LONG" == "1"
local RELOADS, STARTS_BETWEEN = long and 50 or 6, long and 1000 or 60
local MEMORY_KB = 48 * 1024 -- what may be left: arenas and threads that the load has made, not builds

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

local function exists(path)
  local file <close> = io.open(path)
  return file ~= nil
end

--- Starts workflows until the reload that runs beside is over, at least `least` of them.
local function load_beside(client, p, count, least)
  local report = p.root .. "/reload.txt"
  os.remove(report)
  assert(os.execute(("(XDG_RUNTIME_DIR=%s %s worker reload >%s.part 2>&1; mv %s.part %s) &"):format(
    p.root, helper.binary, report, report, report)))
  local enough = count + least
  repeat
    count = count + 1
    client:start_workflow("Load", { id = "load-" .. count, task_queue = "reload" })
  until count >= enough and exists(report)
  local file <close> = assert(io.open(report))
  return count, file:read "a"
end

local function counted(client, status)
  return client:count_workflows(("WorkflowType = 'Load' AND ExecutionStatus = '%s'"):format(status))
end

local function loaded_builds(p)
  local _, text = helper.run(("XDG_RUNTIME_DIR=%s %s worker builds"):format(p.root, helper.binary))
  return select(2, text:gsub("\n", "\n"))
end

local pause = { sleep = function() os.execute "sleep 0.1" end }

local function run(options)
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
  local count, memory
  local began = os.time()
  for i = 0, RELOADS do
    write_workflow(p, "v" .. i)
    p.activity("v" .. i)
    local text
    count, text = load_beside(client, p, count or 0, STARTS_BETWEEN)
    assert.matches("promoted: ", text)
    memory = memory or resident_kb(worker.id)
  end
  local seconds = os.time() - began
  helper.eventually(pause, function() return counted(client, "Running") == 0 end, 120)
  assert.equal(count, counted(client, "Completed"))
  assert.is_nil(worker:errors():match "workflow_task%.failed[^\n]*")
  assert.is_nil(worker:errors():match "workflow_task%.refused[^\n]*")
  helper.eventually(pause, function() return loaded_builds(p) == 2 end, 120)
  assert.is_true(resident_kb(worker.id) <= memory + MEMORY_KB,
    ("%d kB resident, %d at the first reload"):format(resident_kb(worker.id), memory))
  if long then
    print(("# %d reloads, %d starts in %d s, %d kB resident, %d at the first reload"):format(
      RELOADS + 1, count, seconds, resident_kb(worker.id), memory))
  end
  assert.equal(0, worker:stop())
end

describe("reloads under load", function()
  it("lose nothing without versions", function()
    run ""
  end)

  it("lose nothing with versions", function()
    run [[reload = { set_current = true }, deployment_config = { name = "shop", use_worker_versioning = true,
      default_versioning_behavior = "pinned" }]]
  end)
end)
