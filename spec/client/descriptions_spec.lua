-- What a client tells of executions: descriptions, entries of lists and events have words, seconds and values where
-- the protocol has numbers, messages and payloads.
local core = require "temporal.core"
local helper = require "spec.helper"
local temporal = require "temporal"

local source = [[
  local workflow = require "temporal.workflow"
  local opts = { start_to_close_timeout = "90s", heartbeat_timeout = "30s" }
  return {
    workflow.define("Child", function() workflow.sleep "1h" end),
    workflow.define("Parent", function()
      workflow.start_child_workflow("Child", { id = "child", parent_close_policy = "abandon" })
      return (workflow.execute_activity("work", opts))
    end),
    workflow.define("Fails", function() error(require("temporal").failure { type = "No", message = "no" }) end),
    workflow.define("Again", function(n) if n > 0 then workflow.continue_as_new({}, n - 1) end end),
    workflow.define("Waits", function()
      local go
      workflow.set_signal_handler("go", function() go = true end)
      workflow.wait_condition(function() return go end)
      return "gone"
    end),
  }
]]

local function environment(activities)
  return helper.environment(source, {
    activities = activities or { work = function() return "done" end }, search_attributes = { Note = "Keyword" },
  })
end

local function open_activity()
  local activity = require "temporal.activity"
  if activity.info().attempt == 1 then
    activity.heartbeat(40, "percent")
    error(temporal.failure { type = "Busy", message = "not now" })
  end
  return activity.complete_async()
end

describe("a description", function()
  it("has the fields of the execution as values", function()
    local env <close> = environment()
    local began = env:now()
    local handle = env:start_workflow("Waits", { id = "w", memo = { sum = { cents = 5 }, note = "n" },
      search_attributes = { Note = "k" }, static_summary = "a summary", static_details = "the details" })
    local told = handle:describe()
    assert.are.same({ "w", handle.result_run_id, "default", "Waits", "test", "running" },
      { told.id, told.run_id, told.namespace, told.workflow_type, told.task_queue, told.status })
    assert.are.same({ sum = { cents = 5 }, note = "n" }, told.memo)
    assert.are.equal("k", told.search_attributes.Note)
    assert.are.same({ "a summary", "the details" }, { told.static_summary, told.static_details })
    assert.is_true(told.start_time >= began - 1 and told.execution_time == told.start_time)
    assert.is_nil(told.close_time)
    assert.is_true(told.history_length >= 2 and told.history_size_bytes > 100)
    assert.is_nil(told.parent_id)
    assert.are.equal(10, told.execution_config.default_workflow_task_timeout)
    env:sleep "2m"
    handle:signal "go"
    assert.are.equal("gone", handle:result())
    told = handle:describe()
    assert.are.equal("completed", told.status)
    assert.is_true(told.close_time - told.start_time >= 120)
  end)

  it("has every status as a word", function()
    local env <close> = environment()
    local function status(type, options, ...)
      local handle = env:start_workflow(type, options, ...)
      if options.after then
        options.after(handle)
      end
      pcall(handle.result, handle)
      return env.client:get_workflow_handle(handle.id, handle.result_run_id):describe().status
    end
    assert.are.equal("failed", status("Fails", { id = "failed" }))
    assert.are.equal("continued_as_new", status("Again", { id = "again" }, 1))
    assert.are.equal("timed_out", status("Waits", { id = "late", run_timeout = "1m" }))
    local canceled = env:start_workflow("Waits", { id = "canceled" })
    local ended = env:start_workflow("Waits", { id = "ended" })
    canceled:cancel()
    ended:terminate()
    pcall(canceled.result, canceled)
    assert.are.same({ "canceled", "terminated" }, { canceled:describe().status, ended:describe().status })
  end)

  it("tells of activities and children under way", function()
    local env <close> = environment { work = open_activity }
    local handle = env:start_workflow("Parent", { id = "p" })
    local told
    helper.eventually(env, function()
      told = handle:describe()
      local pending = told.pending_activities[1]
      return pending and pending.attempt == 2 and pending.state == "started" and #told.pending_children == 1
    end)
    local pending, child = told.pending_activities[1], told.pending_children[1]
    assert.are.same({ "work", "1", 90, 30 }, { pending.activity_type, pending.activity_id,
      pending.activity_options.start_to_close_timeout, pending.activity_options.heartbeat_timeout })
    assert.are.same({ 40, "percent", n = 2 }, pending.heartbeat_details)
    assert.are.same({ "Busy", "not now" }, { pending.last_failure.type, pending.last_failure.message })
    assert.is_true(pending.scheduled_time > told.start_time - 1)
    assert.are.same({ "child", "Child", "abandon" },
      { child.workflow_id, child.workflow_type_name, child.parent_close_policy })
    local of_child = env.client:get_workflow_handle("child"):describe()
    assert.are.same({ "p", handle.result_run_id, "p", handle.result_run_id },
      { of_child.parent_id, of_child.parent_run_id, of_child.root_id, of_child.root_run_id })
    env.client:get_async_activity_handle { workflow_id = "p", activity_id = "1" }:complete "done"
    assert.are.equal("done", handle:result())
  end)

  it("has a run that follows another as a root of its own", function()
    local env <close> = environment()
    local handle = env:start_workflow("Again", { id = "a" }, 1)
    handle:result()
    local last = env.client:get_workflow_handle("a"):describe()
    assert.are_not.equal(handle.result_run_id, last.run_id)
    assert.are.same({ "a", last.run_id }, { last.root_id, last.root_run_id })
    for execution in env.client:list_workflows(("RootRunId = '%s'"):format(last.run_id)) do
      assert.are.same({ last.run_id, last.run_id }, { execution.run_id, execution.root_run_id })
    end
    assert.are.equal(1, env.client:count_workflows(("RootRunId = '%s'"):format(last.run_id)))
  end)

  it("refuses options that it does not have, and times out", function()
    local env <close> = environment()
    local handle = env.client:get_workflow_handle "x"
    assert.has_error(function() handle:describe { rpc_timeut = 1 } end,
      "WorkflowHandle:describe: unknown option 'rpc_timeut', did you mean 'rpc_timeout'?")
    local ok, err = pcall(handle.describe, handle, { rpc_timeout = "3s" })
    assert.are.same({ false, "NOT_FOUND" }, { ok, err.status })
  end)
end)

describe("a list of executions", function()
  it("has the same fields, and keeps what it cannot read", function()
    local env <close> = environment()
    local client = env.client
    env:execute_workflow("Again", { id = "a", memo = { n = 1 } }, 0)
    client:call("StartWorkflowExecution", {
      namespace = "default", workflow_id = "strange", request_id = core.uuid(), workflow_type = { name = "Waits" },
      task_queue = { name = "nobody" },
      memo = { fields = { bad = { metadata = { encoding = "json/plain" }, data = "{" } } },
    })
    local found = {}
    for execution in client:list_workflows() do
      found[execution.id] = execution
    end
    assert.are.same({ "completed", "Again", 1 }, { found.a.status, found.a.workflow_type, found.a.memo.n })
    assert.is_true(found.a.close_time >= found.a.start_time)
    assert.are.same({ "running", "nobody" }, { found.strange.status, found.strange.task_queue })
    assert.are.same({ metadata = { encoding = "json/plain" }, data = "{" }, found.strange.memo.bad)
  end)
end)

describe("events", function()
  it("have words and seconds, and are the same in a history as a value", function()
    local env <close> = environment()
    local handle = env:start_workflow("Waits", { id = "w", execution_timeout = "1h" })
    handle:signal "go"
    handle:result()
    local first = handle:fetch_history()[1]
    assert.are.equal("workflow_execution_started", first.event_type)
    assert.is_true(math.abs(first.event_time - handle:describe().start_time) < 1)
    assert.are.equal(3600, first.workflow_execution_started_event_attributes.workflow_execution_timeout)
    assert.are.same(handle:fetch_history(), handle:history():events())
  end)

  it("can be the last one alone", function()
    local env <close> = environment()
    local handle = env:start_workflow("Again", { id = "a" }, 0)
    handle:result()
    local events = handle:fetch_history { event_filter_type = "close_event", skip_archival = true, rpc_timeout = "5s" }
    assert.are.same({ 1, "workflow_execution_completed" }, { #events, events[1].event_type })
    assert.is_true(#handle:fetch_history { event_filter_type = "all_event" } > 1)
    assert.has_error(function() handle:fetch_history { event_filter_type = "last" } end)
    assert.has_error(function() handle:fetch_history { page_size = 5 } end)
  end)

  it("come page by page, and as they happen", function()
    local asked = 0
    local env <close> = helper.environment(source, { activities = {}, interceptors = { {
      client = { fetch_workflow_history_events = function(input, next)
        asked = asked + 1
        assert.are.equal("w", input.id)
        return next(input)
      end } } } })
    local handle = env:start_workflow("Waits", { id = "w" })
    helper.eventually(env, function() return #handle:fetch_history() == 4 end)
    local seen = {}
    for event in handle:fetch_history_events { page_size = 1 } do
      seen[#seen + 1] = event.event_id
    end
    assert.are.same({ 1, 2, 3, 4 }, seen)
    seen = {}
    for event in handle:fetch_history_events { wait_new_event = true, page_size = 3 } do
      seen[#seen + 1] = event.event_type
      if event.event_id == 4 then -- what follows happens while the loop waits for it
        handle:signal "go"
      end
    end
    assert.are.equal("workflow_execution_completed", seen[#seen])
    assert.is_true(asked >= 3)
    assert.has_error(function() handle:fetch_history_events { page_size = 0 } end,
      "WorkflowHandle:fetch_history_events: page_size wants a number from 1 up, got 0")
  end)
end)
