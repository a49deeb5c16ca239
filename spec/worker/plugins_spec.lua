-- Plugins: what they configure, in which order, and how they stand around the life of workers and replayers.
local temporal = require "temporal"
local testing = require "temporal.testing"

local source = { name = "w", source = [[
  local workflow = require "temporal.workflow"
  return workflow.define("W", function()
    return workflow.execute_activity("told", { start_to_close_timeout = "10s" })
  end)]] }

local function noting(name, log)
  local function note(what)
    log[#log + 1] = name .. " " .. what
  end
  return temporal.plugin {
    name = name,
    configure_client = function(config) note("client " .. tostring(config.identity)) config.identity = name end,
    connect_service_client = function(config, next)
      note "connect"
      local client = next(config)
      note "connected"
      return client
    end,
    configure_worker = function(config) note "worker" config.max_concurrent_activities = #log end,
    run_worker = function(worker, next)
      note("run " .. worker.task_queue)
      next(worker)
      note "ran"
    end,
    configure_replayer = function(config) note "replayer" return config end,
    run_replayer = function(replayer, histories, next)
      note "replay"
      return next(replayer, histories)
    end,
  }
end

describe("temporal.plugin", function()
  it("configures clients and their workers, in order, and surrounds their running", function()
    local log = {}
    local one, two = noting("one", log), noting("two", log)
    local client <close> = temporal.connect { plugins = { one, two } }
    assert.are.equal("two", client.identity)
    local worker = temporal.worker { client = client, task_queue = "q", workflows = { source },
      activities = { told = function() return 7 end }, plugins = { two, one } }
    assert.are.same({ "one client nil", "two client one", "one connect", "two connect", "two connected",
      "one connected", "one worker", "two worker" }, log)
    assert.are.equal(8, worker:config().max_concurrent_activities)
    log[#log + 1] = "start"
    local seven = worker:run_until(function()
      log[#log + 1] = "inside"
      return client:execute_workflow("W", { task_queue = "q" })
    end)
    worker:shutdown()
    assert.are.equal(7, seven)
    assert.are.same({ "start", "one run q", "two run q", "inside", "two ran", "one ran" }, { table.unpack(log, 9) })
  end)

  it("surrounds workers that are started in the background and ended by <close>", function()
    local log = {}
    do
      local client <close> = temporal.connect {}
      local worker <close> = temporal.worker { client = client, task_queue = "q", workflows = { source },
        plugins = { noting("one", log) } }
      worker:start()
      assert.are.same({ "one worker", "one run q" }, log)
    end
    assert.are.same({ "one worker", "one run q", "one ran" }, log)
  end)

  it("configures replayers and surrounds what they replay", function()
    local log = {}
    local history
    do
      local env <close> = testing.environment { workflows = { source },
        activities = { told = function() return 7 end } }
      local handle = env:start_workflow "W"
      handle:result()
      history = handle:history()
    end
    local replayer = temporal.replayer { workflows = { source }, plugins = { noting("one", log) } }
    assert.are.equal(1, replayer:replay_workflows({ history }).count)
    assert.is_nil(replayer:replay_workflow(history).replay_failure)
    for result in replayer:workflow_replay_iterator { history } do
      assert.is_nil(result.replay_failure)
    end
    assert.are.same({ "one replayer", "one replay", "one replay", "one replay" }, log)
  end)

  it("says what is wrong", function()
    local function refused(wanted, fn, ...)
      local ok, err = pcall(fn, ...)
      assert.is_false(ok)
      assert.matches(wanted, tostring(err))
    end
    refused("did you mean 'configure_worker'", temporal.plugin, { name = "x", configure_workr = print })
    refused("'name' is required", temporal.plugin, {})
    refused("plugins%[1%] must be made by temporal.plugin", temporal.connect, { plugins = { {} } })
    refused("plugins must be a list", temporal.worker, { task_queue = "q", plugins = temporal.plugin { name = "x" } })
    refused("plugin x: configure_client must return the configuration", temporal.connect, { plugins = {
      temporal.plugin { name = "x", configure_client = function() return 1 end } } })
    local client <close> = temporal.connect {}
    local worker = temporal.worker { client = client, task_queue = "q", workflows = { source }, plugins = {
      temporal.plugin { name = "x", run_worker = function() end } } }
    refused("without calling next", worker.start, worker)
    assert.is_false(worker:is_running())
    local failing = temporal.worker { client = client, task_queue = "q", workflows = { source }, plugins = {
      temporal.plugin { name = "x", run_worker = function() error "no licence" end } } }
    refused("no licence", failing.start, failing)
  end)
end)

describe("temporal.simple_plugin", function()
  it("adds workflows, activities, interceptors and a context", function()
    local log = {}
    local plugin = temporal.simple_plugin {
      name = "all",
      workflows = { source },
      activities = { told = function() return 3 end },
      interceptors = { { module = "twice", source = [[
        return { activity = { execute_activity = function(input, next) return 2 * next(input) end } }]] } },
      workflow_failure_error_types = { "LuaError" },
      run_context = function()
        log[#log + 1] = "before"
        return function() log[#log + 1] = "after" end
      end,
    }
    local client <close> = temporal.connect { plugins = { plugin } }
    local worker = temporal.worker { client = client, task_queue = "q",
      workflows = { { name = "other", source = [[
        return require "temporal.workflow".define("Other", function() error "plain" end)]] } } }
    local six, failed = worker:run_until(function()
      local ok = pcall(client.execute_workflow, client, "Other", { task_queue = "q" })
      return client:execute_workflow("W", { task_queue = "q" }), ok
    end)
    assert.are.same({ 6, false }, { six, failed })
    assert.are.same({ "before", "after" }, log)
  end)

  it("does not replace an activity that is there", function()
    local plugin = temporal.simple_plugin { name = "all", activities = { told = print } }
    local ok, err = pcall(temporal.worker, { task_queue = "q", workflows = { source },
      activities = { told = print }, plugins = { plugin } })
    assert.is_false(ok)
    assert.matches("plugin all: activities: 'told' is given by the plugin and already there", tostring(err))
  end)
end)
