-- Local activities on the whole system: each environment replays every workflow at its end.
local core = require "temporal.core"
local helper = require "helper"
local testing = require "temporal.testing"

local head = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
  local opts = { start_to_close_timeout = 10 }
]]

local function environment(body, activities, worker)
  return helper.environment(head .. body, { activities = activities, worker = worker })
end

local function run(body, activities, ...)
  local env <close> = environment(body, activities)
  local handle = env:start_workflow("W", nil, ...)
  return table.pack(handle:result()), handle:fetch_history(), handle
end

--- The message of the failed workflow task of a workflow that cannot go on.
local function task_failure(body)
  local env <close> = environment(body, { echo = function(...) return ... end })
  env.replay = false
  local handle = env:start_workflow "W"
  local failure = helper.task_failure(env, handle)
  handle:terminate()
  return failure.message
end

local function markers(events)
  local list = {}
  for _, event in ipairs(events) do
    local a = event.marker_recorded_event_attributes
    if a and a.marker_name == "core_local_activity" then
      list[#list + 1] = { data = core.decode(a.details.data), result = a.details.result, failure = a.failure }
    end
  end
  return list
end

local function count(events, attributes)
  local n = 0
  for _, event in ipairs(events) do
    n = n + (event[attributes .. "_event_attributes"] and 1 or 0)
  end
  return n
end

local echo = { echo = function(...) return ... end }

describe("a local activity", function()
  it("runs on the worker and is recorded as the official core's marker", function()
    local got, events = run([[
      return workflow.define("W", function()
        return workflow.execute_local_activity("echo", opts, "a", 2)
      end)]], echo)
    assert.are.same({ "a", 2, n = 2 }, got)
    assert.are.equal(0, count(events, "activity_task_scheduled"))
    local list = markers(events)
    assert.are.equal(1, #list)
    assert.are.same({ "a", 2 }, { core.decode(list[1].result) })
    local data = list[1].data
    assert.are.equal(1, data.seq)
    assert.are.equal(1, data.attempt)
    assert.are.equal("1", data.activity_id)
    assert.are.equal("echo", data.activity_type)
    assert.is_true(data.complete_time.seconds > 1600000000)
    assert.is_true(data.original_schedule_time.seconds > 1600000000)
    assert.are.equal(1, count(events, "workflow_task_completed"))
  end)

  it("may be awaited in any order, beside other ones", function()
    local got = run([[
      return workflow.define("W", function()
        local a = workflow.start_local_activity("echo", opts, "a")
        local remote = workflow.start_activity("echo", opts, "r")
        local b = workflow.start_local_activity("echo", opts, "b")
        local done = workflow.wait_all { a, b, remote }
        return b:result(), remote:result(), a:result(), done.n
      end)]], echo)
    assert.are.same({ "b", "r", "a", 3, n = 4 }, got)
  end)

  it("is called through proxies, with the options of the definition", function()
    local got = run([[
      local proxy = workflow.local_activity("echo", opts)
      return workflow.define("W", function()
        local later = proxy:start("later")
        return proxy("now"), later:result()
      end)]], echo)
    assert.are.same({ "now", "later", n = 2 }, got)
  end)

  it("sees that it is local, and its heartbeats do nothing", function()
    local activity = require "temporal.activity"
    local got = run([[
      return workflow.define("W", function()
        return workflow.execute_local_activity("look", { schedule_to_close_timeout = 20, activity_id = "mine" })
      end)]], {
      look = function()
        activity.heartbeat(1)
        local info = activity.info()
        return info.is_local, info.activity_id, info.workflow_type, info.attempt
      end,
    })
    assert.are.same({ true, "mine", "W", 1, n = 4 }, got)
  end)

  it("is tried again on the worker", function()
    local tries = 0
    local got, events = run([[
      return workflow.define("W", function()
        return workflow.execute_local_activity("flaky", { start_to_close_timeout = 5,
          retry_policy = { initial_interval = 0.01, backoff_coefficient = 1 } })
      end)]], {
      flaky = function()
        tries = tries + 1
        if tries < 3 then error("not yet", 0) end
        return tries
      end,
    })
    assert.are.same({ 3, n = 1 }, got)
    assert.are.equal(3, markers(events)[1].data.attempt)
    assert.are.equal(0, count(events, "timer_started"))
  end)

  it("leaves a long pause to a timer of the workflow", function()
    local tries = 0
    local got, events = run([[
      return workflow.define("W", function()
        return workflow.execute_local_activity("flaky", { start_to_close_timeout = 5,
          local_retry_threshold = 1, retry_policy = { initial_interval = 3600, maximum_interval = 7200 } })
      end)]], {
      flaky = function()
        tries = tries + 1
        if tries < 3 then error("not yet", 0) end
        return tries
      end,
    })
    assert.are.same({ 3, n = 1 }, got)
    local list = markers(events)
    assert.are.equal(3, #list)
    assert.are.equal(3600, list[1].data.backoff.seconds)
    assert.are.equal(7200, list[2].data.backoff.seconds)
    assert.are.same({ 1, 2, 3 }, { list[1].data.attempt, list[2].data.attempt, list[3].data.attempt })
    assert.are.equal(list[1].data.original_schedule_time.seconds, list[3].data.original_schedule_time.seconds)
    assert.are.equal(2, count(events, "timer_started"))
  end)

  it("fails with an ActivityError when its attempts are used up", function()
    local got, events = run([[
      return workflow.define("W", function()
        local ok, err = pcall(workflow.execute_local_activity, "bad", { start_to_close_timeout = 5,
          retry_policy = { initial_interval = 0.01, maximum_attempts = 2 } })
        local _, listed = pcall(workflow.execute_local_activity, "bad", { start_to_close_timeout = 5,
          retry_policy = { non_retryable_error_types = { "LuaError" } } })
        return ok, err.kind, err.cause.message, listed.cause.message
      end)]], { bad = function() error("no", 0) end })
    assert.are.same({ false, "ActivityError", "no", "no", n = 4 }, got)
    assert.are.equal(2, markers(events)[1].data.attempt)
    assert.are.equal(1, markers(events)[2].data.attempt)
  end)

  it("that nobody registered fails and names what is there", function()
    local got = run([[
      return workflow.define("W", function()
        local _, err = pcall(workflow.execute_local_activity, "missing", { start_to_close_timeout = 5,
          retry_policy = { maximum_attempts = 1 } })
        return err.cause.message
      end)]], echo)
    assert.truthy(got[1]:find("'missing' is not registered", 1, true), got[1])
  end)

  it("keeps the workflow's time going", function()
    local got = run([[
      return workflow.define("W", function()
        local before = workflow.now()
        workflow.execute_local_activity("echo", opts)
        return workflow.now() >= before
      end)]], echo)
    assert.are.same({ true, n = 1 }, got)
  end)

  it("replays on a worker without a cache", function()
    local env <close> = environment([[
      return workflow.define("W", function()
        local got = {}
        for i = 1, 4 do
          got[i] = workflow.execute_local_activity("echo", opts, i)
          if i % 2 == 0 then workflow.sleep(60) end
        end
        return got
      end)]], echo, { max_cached_workflows = 0 })
    assert.are.same({ 1, 2, 3, 4 }, env:execute_workflow "W")
  end)

  it("longer than its workflow task has the task renewed", function()
    local env <close> = environment([[
      return workflow.define("W", function()
        local before = workflow.info().history_length
        local slept = workflow.execute_local_activity("sleep", opts)
        return slept, before, workflow.info().history_length
      end)]], { sleep = function() os.execute "sleep 1.5" return "slept" end })
    local handle = env:start_workflow("W", { task_timeout = 1 })
    local slept, before, after = handle:result()
    local events = handle:fetch_history()
    assert.are.equal("slept", slept)
    assert.are.same({ 3, 3 }, { before, after })
    assert.is_true(count(events, "workflow_task_completed") >= 2)
    assert.are.equal(0, count(events, "workflow_task_timed_out"))
    assert.are.equal(1, #markers(events))
  end)

  it("that takes too long is timed out, and tried again as long as there is time", function()
    local got, events = run([[
      return workflow.define("W", function()
        local _, once = pcall(workflow.execute_local_activity, "sleep", { start_to_close_timeout = 0.05,
          retry_policy = { maximum_attempts = 1 } })
        local _, total = pcall(workflow.execute_local_activity, "bad", { schedule_to_close_timeout = 5,
          retry_policy = { initial_interval = 0.1, backoff_coefficient = 100 } })
        return once.cause.kind, total.cause.message
      end)]], {
      sleep = function() os.execute "sleep 0.3" end,
      bad = function() error("no", 0) end,
    })
    assert.are.same({ "TimeoutError", "no", n = 2 }, got)
    assert.are.equal(2, markers(events)[2].data.attempt)
  end)

  it("waits for a slot, and no longer than its schedule_to_start_timeout", function()
    local env <close> = environment([[
      return workflow.define("W", function()
        local first = workflow.start_local_activity("sleep", opts)
        local second = workflow.start_local_activity("sleep", { start_to_close_timeout = 5,
          schedule_to_start_timeout = 0.1 })
        local third = workflow.start_local_activity("sleep", opts)
        local ok, err = pcall(second.result, second)
        return first:result(), third:result(), ok, err.cause.kind
      end)]], { sleep = function() os.execute "sleep 0.4" return "done" end },
      { max_concurrent_local_activities = 1 })
    assert.are.same({ "done", "done", false, "TimeoutError", n = 4 },
      table.pack(env:execute_workflow "W"))
  end)

  it("cannot be completed later", function()
    local activity = require "temporal.activity"
    local got = run([[
      return workflow.define("W", function()
        local _, err = pcall(workflow.execute_local_activity, "later", opts)
        return err.cause.message
      end)]], { later = function() return activity.complete_async() end })
    assert.truthy(got[1]:find("cannot be completed later", 1, true), got[1])
  end)

  it("does not keep its worker from shutting down", function()
    local env = environment([[
      return workflow.define("W", function()
        return workflow.execute_local_activity("bad", { start_to_close_timeout = 60,
          retry_policy = { initial_interval = 5, backoff_coefficient = 1 } })
      end)]], { bad = function() error("no", 0) end })
    env.replay = false
    local handle = env:start_workflow "W"
    handle:fetch_history()
    local began = core.mono_ns()
    env:close()
    assert.is_true(core.mono_ns() - began < 4000000000)
  end)

  it("that the code no longer has, or has under another name, is non-determinism", function()
    local source = [[
      return workflow.define("W", function() %s workflow.sleep(1) end)]]
    local env <close> = environment(source:format 'workflow.execute_local_activity("echo", opts)', echo)
    local handle = env:start_workflow "W"
    handle:result()
    local history = handle:fetch_history_json()
    for _, body in ipairs { "", 'workflow.execute_local_activity("other", opts)',
      'workflow.execute_activity("echo", opts)' } do
      local events, message = testing.replay({ { name = "spec", source = head .. source:format(body) } }, history)
      assert.is_nil(events)
      assert.truthy(message:find("local", 1, true) or message:find("echo", 1, true), message)
    end
  end)
end)

describe("cancelling a local activity", function()
  for _, kind in ipairs { "try_cancel", "wait_cancellation_completed", "abandon" } do
    it("with " .. kind .. " before it has begun tells the code at once", function()
      local got, events = run([[
        return workflow.define("W", function()
          local future = workflow.start_local_activity("echo", {
            start_to_close_timeout = 30, cancellation_type = "]] .. kind .. [[" })
          future:cancel()
          local ok, err = pcall(future.result, future)
          return ok, temporal.is_cancelled(err), err.kind
        end)]], echo)
      assert.are.same({ false, true, "ActivityError", n = 3 }, got)
      assert.are.equal("Activity cancelled", core.decode_failure(markers(events)[1].failure).message)
    end)
  end

  it("between two attempts ends the pause", function()
    local got, events = run([[
      return workflow.define("W", function()
        local future = workflow.start_local_activity("bad", { start_to_close_timeout = 5,
          local_retry_threshold = 1, retry_policy = { initial_interval = 3600 } })
        workflow.sleep(60)
        future:cancel()
        local ok, err = pcall(future.result, future)
        return ok, temporal.is_cancelled(err)
      end)]], { bad = function() error("no", 0) end })
    assert.are.same({ false, true, n = 2 }, got)
    assert.are.equal(1, count(events, "timer_canceled"))
  end)

  it("is what the workflow's own cancellation does", function()
    local env <close> = environment([[
      return workflow.define("W", function()
        workflow.execute_local_activity("bad", { start_to_close_timeout = 5,
          local_retry_threshold = 1, retry_policy = { initial_interval = 3600 } })
      end)]], { bad = function() error("no", 0) end })
    local handle = env:start_workflow "W"
    helper.eventually(env, function() return (helper.event(handle, "timer_started")) end)
    handle:cancel()
    local ok, err = pcall(handle.result, handle)
    assert.is_false(ok)
    assert.truthy(tostring(err):lower():find("cancel"), tostring(err))
  end)
end)

describe("a history of the official core", function()
  local function read(name)
    local file <close> = assert(io.open("spec/fixtures/histories/" .. name))
    return file:read "a"
  end

  -- Recorded by the Python SDK: two at once, a heartbeat, back-off by timers, failure, timeout, cancellation.
  local source = [[
    return workflow.define("Locals", function()
      local long = { start_to_close_timeout = 30 }
      local got = { (workflow.execute_local_activity("echo", long, "a")) }
      local nap = workflow.start_local_activity("nap", long, 0.3)
      got[2] = workflow.start_local_activity("echo", long, "b"):result()
      local remote = workflow.start_activity("echo", long, "remote")
      got[3], got[4] = nap:result(), remote:result()
      got[5] = workflow.execute_local_activity("nap", long, 2.5)
      got[6] = workflow.execute_local_activity("%s", long)
      local _, err = pcall(workflow.execute_local_activity, "bad", long)
      got[7] = err.cause.message
      _, err = pcall(workflow.execute_local_activity, "hang", { start_to_close_timeout = 0.2 })
      got[8] = err.cause.kind
      local hang = workflow.start_local_activity("hang", long)
      workflow.sleep(0.1)
      hang:cancel()
      _, err = pcall(hang.result, hang)
      got[9] = err.cause.kind
      local want = "a b slept 0.3 remote slept 2.5 third never TimeoutError CancelledError"
      if table.concat(got, " ") ~= want then error(table.concat(got, " ")) end
      return got
    end)]]

  it("replays with the same values", function()
    local events, message = testing.replay({ { name = "spec", source = head .. source:format "flaky" } },
      read "local_activities_python.json")
    assert.is_nil(message)
    assert.are.equal(42, events)
  end)

  it("does not fit other activities", function()
    local events, message = testing.replay({ { name = "spec", source = head .. source:format "firm" } },
      read "local_activities_python.json")
    assert.is_nil(events)
    assert.truthy(message:find("flaky", 1, true), message)
  end)
end)

describe("the options of a local activity", function()
  it("are checked at the call", function()
    for call, text in pairs {
      ['workflow.execute_local_activity("echo")'] = "needs start_to_close_timeout",
      ['workflow.execute_local_activity("echo", { retry_policy = {} })'] = "needs start_to_close_timeout",
      ['workflow.execute_local_activity("echo", { start_to_close_timeout = 0 })'] = "needs start_to_close_timeout",
      ['workflow.start_local_activity("echo", { start_to_close_timout = 1 })'] = "did you mean",
      ['workflow.start_local_activity("echo", { heartbeat_timeout = 1 })'] = "unknown option 'heartbeat_timeout'",
      ['workflow.start_local_activity("echo", { task_queue = "q" })'] = "unknown option 'task_queue'",
      ['workflow.start_local_activity("echo", { cancellation_type = "no" })'] = "try_cancel",
      ['workflow.start_local_activity("echo", opts, print)'] = "argument 1",
      ['workflow.start_local_activity(1, opts)'] = "the activity is a name",
      ['workflow.local_activity("echo", { nope = 1 })'] = "unknown option 'nope'",
    } do
      local message = task_failure("return workflow.define('W', function() " .. call .. " end)")
      assert.truthy(message:find(text, 1, true), call .. ": " .. message)
    end
  end)
end)
