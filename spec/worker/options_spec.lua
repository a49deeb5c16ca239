-- What a worker takes and refuses, and the forms of its life.
local helper = require "helper"
local temporal = require "temporal"
local core = require "temporal.core"

local function noop() end

local function make(options)
  local o = { task_queue = "q", activities = { noop = noop } }
  for k, v in pairs(options) do
    o[k] = v
  end
  local worker = temporal.worker(o)
  return worker
end

local function message(options)
  local ok, err = pcall(function() return make(options):prepare() end)
  assert.is_false(ok)
  return err
end

describe("options of a worker", function()
  it("each have their range, which errors name", function()
    for _, row in ipairs(core.worker_options()) do
      local bound = row.max and row.max + 1
      if row.kind == "integer" and bound < 2 ^ 53 then
        assert.matches(row.name .. " must be from", message { [row.name] = math.tointeger(bound) }, 1, true)
      elseif row.kind == "duration" then
        assert.matches(row.name .. " must be from", message { [row.name] = bound / 1000 + 1 }, 1, true)
      elseif row.kind == "real" then
        assert.matches(row.name .. " must be from", message { [row.name] = 0 / 0 }, 1, true)
      elseif row.kind == "poller" then
        assert.matches(row.name .. ".maximum must be from", message { [row.name] = math.tointeger(bound) }, 1, true)
      end
    end
  end)

  it("each have a test that their page names, and that sets them", function()
    local page <close> = assert(io.open "docs/worker_options.md")
    local files, rows = {}, 0
    for name, link in page:read "a":gmatch "\n| `([%w_]+)` |[^\n]-%]%(%.%./([^)]+)%) |" do
      local handle <close> = assert(io.open(link))
      local flag = "%-%-" .. name:gsub("_", "%%-")
      local text = handle:read "a"
      assert.is_true(text:find(name .. "%f[^%w_]") ~= nil or text:find(flag) ~= nil, name .. " in " .. link)
      files[name], rows = link, rows + 1
    end
    for _, row in ipairs(core.worker_options()) do
      assert.is_true(row.kind == "none" or files[row.name] ~= nil, row.name)
    end
    assert.is_true(rows > 30)
  end)

  it("of other SDKs that mean nothing here are refused with the reason", function()
    local seen = 0
    for _, row in ipairs(core.worker_options()) do
      if row.kind == "none" then
        seen = seen + 1
        local err = message { [row.name] = {} }
        assert.matches(("option '%s' does not exist here: %s"):format(row.name, row.text), err, 1, true)
        assert.matches("options_spec.lua", err) -- the caller's line
      end
    end
    assert.is_true(seen >= 4)
    assert.matches("did you mean 'max_cached_workflows'", message { max_cached_workflow = 3 })
  end)

  it("say how many polls there are, fixed or following the load", function()
    local name = "workflow_task_poller_behavior"
    for _, good in ipairs { 4, { kind = "simple_maximum", maximum = 4 }, { kind = "autoscaling" },
      { kind = "autoscaling", minimum = 3, maximum = 3 }, { kind = "autoscaling", maximum = 2 } } do
      make({ [name] = good }):prepare()
    end
    for wanted, bad in pairs {
      ["simple_maximum"] = "many", ["autoscaling"] = { kind = "automatic" },
      ["maximum' is required"] = { kind = "simple_maximum" },
      ["unknown option 'minimum'"] = { kind = "simple_maximum", maximum = 3, minimum = 1 },
      ["minimum must be from 1 to 4"] = { kind = "autoscaling", minimum = 5, maximum = 4, initial = 4 },
      ["initial must be from 2 to 4"] = { kind = "autoscaling", minimum = 2, maximum = 4, initial = 1 },
    } do
      assert.matches(wanted, message { [name] = bad }, 1, true)
    end
    assert.matches("at least 2", message { [name] = 1 })
    assert.matches("at least 2", message { max_concurrent_workflow_task_polls = 1 })
  end)

  it("come back from config()", function()
    local given = { graceful_shutdown_timeout = "2s", on_fatal_error = noop }
    local worker = make(given)
    local config = worker:config()
    assert.are.equal("q", config.task_queue)
    assert.are.equal(noop, config.activities.noop)
    assert.are.equal(noop, config.on_fatal_error)
    assert.are.equal(2000000000, config.graceful_shutdown_timeout)
    config.task_queue = "other"
    assert.are.equal("q", worker:config().task_queue)
  end)

  it("are taken with values inside their ranges, and come back as given", function()
    local given = {
      debug_mode = true, default_heartbeat_throttle_interval = "10s", max_heartbeat_throttle_interval = "20s",
      disable_eager_activity_execution = true, disable_payload_error_limit = true,
      max_task_queue_activities_per_second = 2.5, sticky_queue_schedule_to_start_timeout = "5s",
      max_activities_per_second = 7, nonsticky_to_sticky_poll_ratio = 0.5, no_remote_activities = true,
    }
    local config = make(given):config()
    for name, value in pairs(given) do
      local seconds = type(value) == "string" and tonumber(value:match "^(%d+)s$")
      assert.are.equal(seconds and seconds * 1000000000 or value, config[name], name)
    end
  end)
end)

describe("a fatal error of a worker", function()
  local function lost(on_fatal_error)
    local client = temporal.connect { namespace = "default" }
    local stranger = temporal.connect { server = client.embedded, namespace = "nowhere" }
    return make { client = stranger, on_fatal_error = on_fatal_error }, client
  end

  it("is raised by run, told to on_fatal_error once, and raised again by shutdown", function()
    local told = {}
    local worker = lost(function(err) told[#told + 1] = err end)
    local ok, err = pcall(worker.run, worker)
    assert.is_false(ok)
    assert.matches("nowhere", err)
    assert.is_true(worker:is_shutdown())
    assert.is_false(worker:is_running())
    assert.are.same({ err }, told)
    assert.is_false(pcall(worker.shutdown, worker))
    assert.are.equal(1, #told)
  end)

  it("ends the call that the function of run_until waits in", function()
    local worker, client = lost()
    local ok, err = pcall(worker.run_until, worker, function()
      return client:execute_workflow("Nobody", { id = "x", task_queue = "nobody" })
    end)
    assert.is_false(ok)
    assert.matches("nowhere", err)
    local info = client:get_workflow_handle("x"):describe() -- the client lives on
    assert.are.equal("running", info.status)
  end)

  it("is raised at the end of a block, unless that fails itself", function()
    local function block(fail)
      local worker <close> = lost()
      worker:start()
      while not worker:is_shutdown() do
        pcall(worker.run, worker)
      end
      if fail then
        error("own", 0)
      end
    end
    local ok, err = pcall(block)
    assert.is_false(ok)
    assert.matches("nowhere", err)
    assert.are.equal("own", select(2, pcall(block, true)))
  end)
end)

describe("run_until", function()
  it("returns what the function returns and raises what it raises", function()
    local worker = make { client = temporal.connect {} }
    assert.are.same({ 1, nil, 3 }, { worker:run_until(function(...) return ... end, 1, nil, 3) })
    assert.is_true(worker:is_shutdown())
    worker = make { client = temporal.connect {} }
    local thrown = { code = 7 }
    local ok, err = pcall(worker.run_until, worker, function() error(thrown) end)
    assert.is_false(ok)
    assert.are.equal(thrown, err)
    assert.is_true(worker:is_shutdown())
    worker:shutdown() -- idempotent
  end)
end)

describe("TEMPORAL_DEBUG", function()
  it("lifts the limit of CPU time", function()
    local script <close> = helper.file [[
      local temporal = require "temporal"
      local source = "return require('temporal.workflow').define('Busy', function()"
        .. " local t = 0 for i = 1, 3000000 do t = t + i % 7 end return 'done' end)"
      local worker = temporal.worker {
        task_queue = "q", workflows = { { name = "busy", source = source } }, workflow_cpu_limit = "10ms",
        client = temporal.connect {},
      }
      print(worker:run_until(function()
        local handle = worker.client:start_workflow("Busy", { id = "b", task_queue = "q" })
        local ok, result = pcall(handle.result, handle, { timeout = 3 })
        return ok and result or "not done"
      end))
      os.exit(true)
    ]]
    local command = ("TEMPORAL_DEBUG=%s %s run %s")
    local _, output, errors = helper.run(command:format("1", helper.binary, script.name))
    assert.are.equal("done\n", output, errors)
    _, output = helper.run(command:format("", helper.binary, script.name))
    assert.are.equal("not done\n", output)
  end)
end)
