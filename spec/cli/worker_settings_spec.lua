-- `worker run`: options by flags and by a file of settings, and the line on the terminal.
local helper = require "helper"

local script, settings

--- A worker whose only activity tells the options it runs with.
local source = [[
  local temporal = require "temporal"
  local w = temporal.worker {
    task_queue = "orders", activities = { hello = function() end }, max_concurrent_activities = 7,
    max_cached_workflows = 11, max_concurrent_activity_task_polls = 3, %s
  }
  local start = w.start
  function w:start()
    start(self)
    local config = self:config()
    for _, name in ipairs { "max_concurrent_activities", "max_cached_workflows", "graceful_shutdown_timeout",
      "no_remote_activities", "max_activities_per_second", "identity", "max_concurrent_activity_task_polls",
      "max_loaded_builds", "debug_mode", "activity_threads", "nexus_threads", "workflow_threads",
      "activity_thread_name_prefix", "nexus_thread_name_prefix", "workflow_thread_name_prefix" } do
      io.stderr:write(name, "=", tostring(config[name]), "\n")
    end
    for _, kind in ipairs { "workflow", "nexus" } do
      local behavior = config[kind .. "_task_poller_behavior"]
      io.stderr:write(kind, "=", tostring(behavior and behavior.maximum), "\n")
    end
    local polls = config.activity_task_poller_behavior
    local text = polls and ("%%s %%s-%%s-%%s"):format(polls.kind, polls.minimum, polls.maximum, polls.initial)
    io.stderr:write("polls=", text or "none", "\n")
    self:shutdown()
    return self
  end
  return w
]]

local function write(file, text)
  local handle <close> = assert(io.open(file, "w"))
  handle:write(text)
end

setup(function()
  script, settings = os.tmpname(), os.tmpname()
  write(script, source:format "")
end)
teardown(function()
  os.remove(script)
  os.remove(settings)
end)

--- What a worker that starts and stops says of its options.
local function run(flags, text)
  write(settings, text or "return {}")
  local code, _, errors = helper.run(("timeout 30 %s worker run --log-level error --config %s %s %s"):format(
    helper.binary, settings, flags, script))
  return code, errors
end

local function options_of(flags, text)
  local code, errors = run(flags, text)
  assert.are.equal(0, code, errors)
  local found = {}
  for name, value in errors:gmatch "([%w_]+)=([^\n]*)\n" do
    found[name] = value
  end
  return found
end

local function fails(flags, text)
  local code, errors = run(flags, text)
  assert.are_not.equal(0, code)
  return errors
end

describe("worker run", function()
  it("has the script's options, those of --config above them, and flags above all", function()
    assert.are.equal("7", options_of("").max_concurrent_activities)
    local file = [[return {
      max_concurrent_activities = 20, graceful_shutdown_timeout = "5s", identity = "from-file",
      task_queues = { orders = { max_cached_workflows = 12, identity = "of-orders" } },
    }]]
    local found = options_of("--max-concurrent-activities 30 --max-activities-per-second 2.5", file)
    assert.are.equal("30", found.max_concurrent_activities)
    assert.are.equal("12", found.max_cached_workflows)
    assert.are.equal("5000000000", found.graceful_shutdown_timeout)
    assert.are.equal("of-orders", found.identity)
    assert.are.equal("2.5", found.max_activities_per_second)
    found = options_of("--activity-threads 3 --nexus-threads 4 --workflow-threads 2 "
      .. "--activity-thread-name-prefix pay --nexus-thread-name-prefix shop --workflow-thread-name-prefix flow")
    assert.are.same({ "3", "4", "2", "pay", "shop", "flow" }, {
      found.activity_threads, found.nexus_threads, found.workflow_threads, found.activity_thread_name_prefix,
      found.nexus_thread_name_prefix, found.workflow_thread_name_prefix,
    })
    found = options_of("--max-loaded-builds 3 --debug-mode --workflow-task-poller-behavior 4 "
      .. "--nexus-task-poller-behavior 2")
    assert.are.same({ "3", "true", "4", "2" },
      { found.max_loaded_builds, found.debug_mode, found.workflow, found.nexus })
    assert.are.equal("90000000000", options_of("--graceful-shutdown-timeout 90s").graceful_shutdown_timeout)
    assert.are.equal("2000000000", options_of("--graceful-shutdown-timeout 2").graceful_shutdown_timeout)
  end)

  it("takes poller behaviours, over the older option of the script", function()
    local found = options_of "--activity-task-poller-behavior 9"
    assert.are.equal("simple_maximum nil-9-nil", found.polls)
    assert.are.equal("nil", found.max_concurrent_activity_task_polls)
    assert.are.equal("autoscaling 2-20-4", options_of("--activity-task-poller-behavior autoscaling:2-20:4").polls)
    assert.are.equal("autoscaling 1-100-5", options_of("--activity-task-poller-behavior autoscaling").polls)
  end)

  it("names what is wrong", function()
    assert.matches("max%-concurrent%-activities", fails "--max-concurrent-activites 3")
    assert.matches("worker run: option 'max_concurrent_activities' wants an integer, got 'many'",
      fails "--max-concurrent-activities many")
    local errors = fails "--max-concurrent-activities 0"
    assert.matches("^temporal%-lua: worker run: max_concurrent_activities must be from 1 to 10000, not 0\n$", errors)
    assert.matches("worker run: default_versioning_behavior must be \"pinned\" or \"auto_upgrade\", not 'pined'\n$",
      fails "--default-versioning-behavior pined --deployment-name d --use-worker-versioning --build-id b")
    assert.matches("%-%-config: %S+: max_loaded_builds must be from 2 to 1000, not 1\n$",
      fails("--max-concurrent-activities 3", "return { max_loaded_builds = 1 }"))
    assert.matches("worker run: option 'max_concurrent_activities' wants an integer, got ''\n$",
      fails "--max-concurrent-activities ''")
    assert.matches("worker run: activity_task_poller_behavior wants a number of polls .*, got 'lots'\n$",
      fails "--activity-task-poller-behavior lots")
    assert.matches("exclude each other",
      fails "--activity-task-poller-behavior 5 --max-concurrent-activity-task-polls 5")
    assert.matches("'max_cached_workflow'.-max_cached_workflows", fails("", "return { max_cached_workflow = 1 }"))
    assert.matches("shared_state_manager' does not exist here: activities share a process",
      fails("", "return { shared_state_manager = 1 }"))
    assert.matches("activity_task_poller_behavior wants a number of polls",
      fails "--activity-task-poller-behavior autoscaling:2")
    assert.matches("wants an integer, got '1x'", fails "--activity-threads 1x")
    assert.matches("must return a table, got nil", fails("", "local x = 1"))
    assert.matches("unexpected symbol near", fails("", "return {"))
    assert.matches("attempt to index a nil value %(global 'os'%)", fails("", "return { identity = os.getenv 'X' }"))
    assert.matches("no worker has the task queue 'order', did you mean 'orders'",
      fails("", "return { task_queues = { order = {} } }"))
    assert.matches("'workflows'", fails("", "return { workflows = {} }"))
    write(script, source:format "tuner = temporal.tuner.fixed {}," :gsub("max_concurrent_activities = 7,", ""))
    assert.matches("'max_concurrent_activities' and the script's 'tuner' exclude each other",
      fails "--max-concurrent-activities 3")
    write(script, source:format "")
  end)
end)

describe("the status of worker run", function()
  --- What a terminal shows of a worker that runs for two seconds.
  local function on_terminal(flags, before)
    local worker <close> = helper.file [[
      local temporal = require "temporal"
      return temporal.worker { task_queue = "orders", activities = { hello = function() end } }
    ]]
    local typescript = os.tmpname()
    local command = ("timeout -s TERM 4 %s worker run %s %s"):format(
      helper.binary, flags, worker.name)
    helper.run(("timeout 30 script -qec '%s' %s </dev/null"):format((before or "") .. command, typescript))
    local handle <close> = assert(io.open(typescript))
    local text = handle:read "a"
    os.remove(typescript)
    return text
  end

  it("is a line on a terminal", function()
    local text = on_terminal "--log-level error"
    assert.matches("\r\27%[Korders: workflow tasks 0/s, activities 0/s | in work 0 | polls 5 | cached 0 |",
      text)
    assert.is_nil(on_terminal("--log-level error --no-status"):find("in work", 1, true))
  end)

  it("gives way to lines of the log, and fits the window, also when that changes", function()
    local text = on_terminal("--log-level info",
      "stty -F /dev/tty cols 60; (sleep 2; stty -F /dev/tty cols 30) & ")
    assert.matches("\r\27%[K[%d%-T:.]+Z info  worker.stopping", text)
    local widths = {}
    for line in text:gmatch "\r\27%[K(orders: [^\r]*)\r" do
      widths[#widths + 1] = #line
    end
    assert.are.equal(59, widths[1])
    assert.are.equal(29, widths[#widths])
  end)

  it("is not written into a pipe", function()
    local worker <close> = helper.file [[
      local temporal = require "temporal"
      return temporal.worker { task_queue = "orders", activities = { hello = function() end } }
    ]]
    local _, output = helper.run(("timeout -s TERM 3 %s worker run --log-level error %s"):format(
      helper.binary, worker.name))
    assert.matches("worker on task queue 'orders' is running", output)
    assert.is_nil(output:find("in work", 1, true))
  end)
end)
