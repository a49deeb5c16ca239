-- Histories that bite: what real servers write and an engine gets wrong where it guesses, event by event. And
-- histories that no server writes, which are refused with an error that names the event.
local helper = require "helper"
local temporal = require "temporal"

--- Builds a history: ids count up, one second passes with each event.
local Builder = {}
Builder.__index = Builder

function Builder:add(type, attributes, more)
  local id = #self.events + 1
  local name = type:gsub("%u", function(c) return "_" .. c:lower() end):sub(2)
  local event = { event_id = id, event_type = type, event_time = ("2026-01-02T03:04:%02dZ"):format(id % 60),
    [name .. "_event_attributes"] = attributes or {} }
  for k, v in pairs(more or {}) do
    event[k] = v
  end
  self.events[id] = event
  return id
end

function Builder:started()
  self.scheduled = self:add("WorkflowTaskScheduled", { task_queue = { name = "q" }, attempt = 1 })
  self.start = self:add("WorkflowTaskStarted", { scheduled_event_id = self.scheduled })
  return self.start
end

function Builder:completed()
  self.done = self:add("WorkflowTaskCompleted", {
    scheduled_event_id = self.scheduled, started_event_id = self.start,
    sdk_metadata = { sdk_name = "temporal-lua", sdk_version = "1", core_used_flags = { 1, 2, 3 },
      lang_used_flags = { 1, 2 } },
  })
  return self.done
end

function Builder:task()
  self:started()
  return self:completed()
end

function Builder:timer(id)
  return self:add("TimerStarted", { timer_id = id, start_to_fire_timeout = "5s",
    workflow_task_completed_event_id = self.done })
end

function Builder:fired(id, started)
  return self:add("TimerFired", { timer_id = id, started_event_id = started })
end

function Builder:activity(id, type)
  return self:add("ActivityTaskScheduled", { activity_id = id, activity_type = { name = type },
    task_queue = { name = "q" }, workflow_task_completed_event_id = self.done })
end

function Builder:activity_done(scheduled)
  local started = self:add("ActivityTaskStarted", { scheduled_event_id = scheduled, attempt = 1 })
  return self:add("ActivityTaskCompleted", { scheduled_event_id = scheduled, started_event_id = started })
end

function Builder:signal(name)
  return self:add("WorkflowExecutionSignaled", { signal_name = name })
end

function Builder:ends()
  return self:add("WorkflowExecutionCompleted", { workflow_task_completed_event_id = self.done })
end

local function new()
  local b = setmetatable({ events = {} }, Builder)
  b:add("WorkflowExecutionStarted", { workflow_type = { name = "W" }, task_queue = { name = "q" }, workflow_id = "w",
    original_execution_run_id = "run-1", first_execution_run_id = "run-1", attempt = 1 })
  return b
end

local function replay(b, body)
  local source = ([[
    local workflow = require "temporal.workflow"
    local opts = { start_to_close_timeout = 10, cancellation_type = "wait_cancellation_completed" }
    return workflow.define("W", function()
      %s
    end)]]):format(body)
  local ok, h = pcall(temporal.history.from_json, "w", { events = b.events })
  if not ok then -- reading it has found out
    return { replay_failure = { type = "InvalidHistoryError", message = h } }
  end
  return temporal.replayer({ workflows = { { name = "w", source = source } } }):replay_workflow(
    h, { raise_on_replay_failure = false })
end

local function fits(b, body, finished)
  local result = replay(b, body)
  assert.are.equal("", result.replay_failure and result.replay_failure.text or "")
  assert.are.equal(finished ~= false, result.finished)
  return result
end

local function refused(b, body, type, message)
  local failure = assert(replay(b, body).replay_failure, "it was accepted")
  assert.are.equal(type, failure.type)
  assert.matches(message, failure.message)
end

local sleep = "workflow.sleep(5)"

describe("a workflow task", function()
  for _, how in ipairs { "WorkflowTaskFailed", "WorkflowTaskTimedOut" } do
    it(("that ended with %s is one with its retry"):format(how), function()
      local b = new()
      b:started()
      b:add(how, { scheduled_event_id = b.scheduled, started_event_id = b.start })
      b:signal "go" -- is told with the retry
      b:task()
      local timer = b:timer "1"
      b:fired("1", timer)
      b:task()
      b:ends()
      fits(b, [[
        local at
        workflow.set_signal_handler("go", function() at = workflow.info().history_length end)
        workflow.sleep(5)
        assert(at == 7, at)]])
    end)
  end

  it("that was completed and did nothing ends a history", function()
    local b = new()
    b:task()
    local timer = b:timer "1"
    b:signal "nobody handles it"
    b:task()
    fits(b, sleep, false)
    b:fired("1", timer)
    b:task()
    b:ends()
    fits(b, sleep)
  end)

  it("that has been started only is run and held to nothing", function()
    local b = new()
    b:task()
    b:fired("1", b:timer "1")
    b:started()
    fits(b, sleep .. " workflow.sleep(99)", false)
  end)

  it("that is reset gives other random numbers from there on", function()
    local function history(reset)
      local b = new()
      b:task()
      b:fired("1", b:timer "1")
      b:started()
      if reset then
        b:add("WorkflowTaskFailed", { scheduled_event_id = b.scheduled, started_event_id = b.start,
          cause = "WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW", base_run_id = "run-1", new_run_id = "run-2" })
        b:task()
      else
        b:completed()
      end
      b:timer "2"
      return b
    end
    local function numbers(reset)
      local failure = replay(history(reset), [[
        local before = math.random(1 << 40)
        workflow.sleep(5)
        error(before .. " " .. math.random(1 << 40))]]).replay_failure
      return failure.message:match "(%d+) (%d+)"
    end
    local before, after = numbers(false)
    local reset_before, reset_after = numbers(true)
    assert.are.equal(before, reset_before)
    assert.are_not.equal(after, reset_after)
  end)
end)

describe("several ends in one task", function()
  it("count as the first", function()
    local b = new()
    b:task()
    b:fired("1", b:timer "1")
    b:signal "go"
    b:task()
    b:ends()
    -- The end comes of the timer; what the other coroutine does behind it is nothing any more.
    fits(b, [[
      workflow.spawn(function()
        workflow.wait_condition(function() return workflow.info().history_length > 8 end)
        workflow.execute_activity("late", opts)
      end)
      workflow.sleep(5)]])
  end)
end)

describe("an activity", function()
  local swallow = [[
    local ok, err = pcall(workflow.execute_activity, "slow", opts)
    assert(not ok and require("temporal").is_cancelled(err))
    workflow.sleep(5)]]

  it("whose cancellation is swallowed lets the workflow go on", function()
    local b = new()
    b:task()
    local slow = b:activity("1", "slow")
    b:add "WorkflowExecutionCancelRequested"
    b:task()
    b:add("ActivityTaskCancelRequested", { scheduled_event_id = slow, workflow_task_completed_event_id = b.done })
    local started = b:add("ActivityTaskStarted", { scheduled_event_id = slow, attempt = 1 })
    b:add("ActivityTaskCanceled", { scheduled_event_id = slow, started_event_id = started })
    b:task()
    b:fired("1", b:timer "1")
    b:task()
    b:ends()
    fits(b, swallow)
  end)

  for _, first in ipairs { "the end", "the request" } do
    it("that ends in the task of its cancellation has ended: first " .. first, function()
      local b = new()
      b:task()
      local slow = b:activity("1", "slow")
      if first == "the request" then
        b:add "WorkflowExecutionCancelRequested"
      end
      b:activity_done(slow)
      if first == "the end" then
        b:add "WorkflowExecutionCancelRequested"
      end
      b:task()
      b:add("ActivityTaskCancelRequested", { scheduled_event_id = slow, workflow_task_completed_event_id = b.done })
      local slow_activity = "workflow.execute_activity('slow', opts)"
      -- Whatever the order, the engine tells both in one activation: no request is made of what has ended, and its
      -- result is what the code gets.
      refused(b, slow_activity, "NondeterminismError", "ActivityTaskCancelRequested")
      b.events[#b.events] = nil
      b:add("WorkflowExecutionCanceled", { workflow_task_completed_event_id = b.done })
      refused(b, slow_activity, "NondeterminismError", "CompleteWorkflowExecution")
      b.events[#b.events] = nil
      b:ends()
      fits(b, slow_activity)
    end)
  end
end)

describe("an event of a type that this version does not know", function()
  local function history(more)
    local b = new()
    b:task()
    local timer = b:timer "1"
    b.events[#b.events + 1] = { event_id = #b.events + 1, event_type = 999, event_time = "2026-01-02T03:05:00Z" }
    for k, v in pairs(more) do
      b.events[#b.events][k] = v
    end
    b:fired("1", timer)
    b:task()
    b:ends()
    return b
  end

  it("is passed over when the server says so, and refused when not", function()
    fits(history { worker_may_ignore = true }, sleep)
    refused(history {}, sleep, "InvalidHistoryError", "event 6")
  end)
end)

describe("an update", function()
  local handler = [[
    workflow.set_update_handler("add", function(n)
      workflow.sleep(5)
      return n + 1
    end)]]

  local one = { metadata = { encoding = helper.base64 "json/plain" }, data = helper.base64 "1" }

  local function accepted(b, id)
    return b:add("WorkflowExecutionUpdateAccepted", { protocol_instance_id = id,
      accepted_request_message_id = id .. "/request", accepted_request_sequencing_event_id = b.scheduled - 1,
      accepted_request = { meta = { update_id = id, identity = "x" }, input = { name = "add",
        args = { payloads = { one } } } } })
  end

  local function answered(b, id, event)
    return b:add("WorkflowExecutionUpdateCompleted", { meta = { update_id = id }, accepted_event_id = event,
      outcome = { success = {} } })
  end

  it("is accepted in one task and completed in another", function()
    local b = new()
    b:task()
    local first = accepted(b, "u-1")
    local timer = b:timer "1"
    b:fired("1", timer)
    b:task()
    answered(b, "u-1", first)
    b:ends()
    fits(b, handler .. " workflow.wait_condition(function() return workflow.info().history_length > 4 " ..
      "and workflow.all_handlers_finished() end)")
  end)

  it("that the workflow ends before does not hold it", function()
    local b = new()
    b:task()
    accepted(b, "u-1")
    b:timer "1"
    b:ends()
    fits(b, handler .. " workflow.sleep(0)")
  end)
end)

describe("a marker of Go whose inner values cannot be read", function()
  it("is no end of the process", function()
    local b = new()
    b:task()
    local function payload(encoding, data, message_type)
      return { data = helper.base64(data), metadata = { encoding = helper.base64(encoding),
        messageType = message_type and helper.base64(message_type) } }
    end
    b:add("MarkerRecorded", { marker_name = "MutableSideEffect", workflow_task_completed_event_id = b.done, details = {
      ["side-effect-id"] = { payloads = { payload("json/plain", '"limit"') } },
      data = { payloads = { payload("json/plain", '"limit"'),
        payload("binary/protobuf", "\255\255", "temporal.api.common.v1.Payloads") } },
    } })
    b:ends()
    fits(b, "workflow.mutable_side_effect('limit', function() return 1 end)") -- as of a marker without values
    refused(b, "workflow.sleep(5)", "NondeterminismError", "MarkerRecorded")
  end)
end)

describe("a history that no server writes", function()
  local function good()
    local b = new()
    b:task()
    b:fired("1", b:timer "1")
    b:task()
    b:ends()
    return b
  end

  it("with all its events is accepted", function()
    fits(good(), sleep)
  end)

  it("without its beginning names what is missing", function()
    local b = good()
    table.remove(b.events, 1)
    refused(b, sleep, "InvalidHistoryError", "does not begin with WorkflowExecutionStarted")
  end)

  it("with an event missing, twice or out of order gives an error and no crash, at every place", function()
    local count = #good().events
    for i = 2, count do
      local missing, twice, swapped = good(), good(), good()
      table.remove(missing.events, i)
      table.insert(twice.events, i, twice.events[i])
      swapped.events[i - 1], swapped.events[i] = swapped.events[i], swapped.events[i - 1]
      for what, b in pairs { missing = missing, twice = twice, swapped = swapped } do
        local failure = replay(b, sleep).replay_failure
        if what == "missing" and i == count then -- the command of a completed task has no event
          assert.are.equal("NondeterminismError", failure and failure.type)
        else
          assert.are.equal("InvalidHistoryError", failure and failure.type, what .. " " .. i)
          assert.matches("has the id %d+, not %d+", failure.message)
        end
      end
    end
  end)

  it("with an event missing, twice or out of order and the ids put right is looked through by the engine", function()
    local accepted = {}
    for i = 2, #good().events do
      local missing, twice, swapped = good(), good(), good()
      table.remove(missing.events, i)
      local copy = {}
      for k, v in pairs(twice.events[i]) do
        copy[k] = v
      end
      table.insert(twice.events, i, copy)
      swapped.events[i - 1], swapped.events[i] = swapped.events[i], swapped.events[i - 1]
      for what, b in pairs { missing = missing, twice = twice, swapped = swapped } do
        for id, event in ipairs(b.events) do
          event.event_id = id
        end
        local failure = replay(b, sleep).replay_failure
        if failure then
          assert.is_true(failure.type == "InvalidHistoryError" or failure.type == "NondeterminismError",
            what .. " " .. i .. ": " .. failure.type)
        else
          accepted[#accepted + 1] = what .. " " .. i
        end
      end
    end
    table.sort(accepted)
    assert.are.same({ "missing 9" }, accepted) -- WorkflowTaskCompleted: the event of its command says as much
  end)

  it("with events of one type and attributes of another names the event", function()
    local b = good()
    b.events[5].timer_started_event_attributes = nil
    b.events[5].timer_fired_event_attributes = { timer_id = "1", started_event_id = 5 }
    refused(b, sleep, "InvalidHistoryError", "event 5")
  end)
end)
