-- activity pause, unpause, reset and update-options, against a server with a worker whose activities wait for
-- their second attempt.
local helper = require "helper"
local temporal = require "temporal"

local server, client, worker

local _, ok, fails = helper.commands_at(function() return server end)

setup(function()
  server = helper.start_server()
  client = temporal.connect { address = server.address }
  worker = temporal.worker {
    client = client, task_queue = "q",
    workflows = { { name = "spec", source = [[
      local workflow = require "temporal.workflow"
      return workflow.define("Waits", function()
        local options = { start_to_close_timeout = 60, retry_policy = { initial_interval = 3600 } }
        local a = workflow.start_activity("act", options)
        local b = workflow.start_activity("other", options)
        return a:result() .. b:result()
      end)]] } },
    activities = {
      act = function() error "not yet" end,
      other = function() error "not yet" end,
    },
  }
  worker:start()
end)

teardown(function()
  worker:shutdown()
  client:close()
  server:stop()
end)

--- The pending activities of a workflow by type, once both wait for their second attempt.
local function pending(handle, when)
  local deadline = os.time() + 20
  repeat
    assert(os.time() < deadline, "the activities do not come to that")
    local by_type, good = {}, 0
    for _, a in ipairs(handle:describe().pending_activities or {}) do
      by_type[a.activity_type] = a
      good = good + (when(a) and 1 or 0)
    end
    if good == 2 then
      return by_type
    end
    client:call("GetSystemInfo", {}) -- activities of this script run meanwhile
  until false
end

local function start(id)
  local handle = client:start_workflow("Waits", { id = id, task_queue = "q" })
  pending(handle, function(a) return a.attempt == 2 and a.state == "scheduled" end)
  return handle
end

local function now(handle)
  return pending(handle, function() return true end)
end

describe("activity", function()
  it("pause and unpause: by id and by type", function()
    local handle = start "paused"
    local id = now(handle).act.activity_id
    assert.are.equal("", ok("activity pause -w paused -a %s --reason 'too hot' --identity me", id))
    local a = now(handle).act
    assert.is_true(a.paused)
    assert.are.equal("paused", a.state)
    assert.are.equal("me", a.pause_info.manual.identity)
    assert.are.equal("too hot", a.pause_info.manual.reason)
    assert.matches("already paused", fails(1, "activity pause -w paused -a %s", id))
    ok "activity pause -w paused --activity-type other"
    assert.is_true(now(handle).other.paused)
    ok "activity unpause -w paused --match-all --reset-attempts --jitter 1h"
    for _, activity in pairs(now(handle)) do
      assert.is_falsy(activity.paused)
      assert.are.equal(1, activity.attempt)
    end
    handle:terminate()
  end)

  it("reset starts the attempts anew", function()
    local handle = start "reset"
    local id = now(handle).act.activity_id
    assert.are.equal("  KeepPaused       false\n  ResetHeartbeats  true\n  ServerResponse   true\n",
      ok("activity reset -w reset -a %s --reset-heartbeats --jitter 10h", id))
    assert.are.equal('{"keepPaused":false,"resetHeartbeats":false}\n',
      ok("activity reset -w reset -a %s --jitter 10h -o jsonl", id))
    local by_type = now(handle)
    assert.are.equal(1, by_type.act.attempt)
    assert.are.equal(2, by_type.other.attempt)
    handle:terminate()
  end)

  it("update-options changes what is given, and takes it back", function()
    local handle = start "options"
    local id = now(handle).act.activity_id
    local card = ok("activity update-options -w options -a %s --start-to-close-timeout 7m "
      .. "--retry-maximum-attempts 9 --retry-backoff-coefficient 1.5", id)
    assert.matches("StartToCloseTimeout +7m0s\n", card)
    assert.matches("BackoffCoefficient +1.5\n", card)
    assert.matches("MaximumAttempts +9\n", card)
    assert.matches("InitialInterval +1h0m0s\n", card)
    local a = now(handle).act
    assert.are.equal(420, a.activity_options.start_to_close_timeout)
    assert.are.equal(9, a.maximum_attempts)
    assert.matches('"StartToCloseTimeout": 60000000000,.*"BackoffCoefficient": 2,.*"MaximumAttempts": 0\n',
      ok("activity update-options -w options -a %s --restore-original-options -o json", id))
    assert.are.equal(60, now(handle).act.activity_options.start_to_close_timeout)
    handle:terminate()
  end)

  it("unpause, reset and update-options take a query", function()
    local handles = { start "batch-1", start "batch-2" }
    for _, handle in ipairs(handles) do
      ok("activity pause -w %s --activity-type act", handle.id)
    end
    local query = "-q \"WorkflowId STARTS_WITH 'batch-'\" --yes"
    local job = ok("activity unpause %s --activity-type act --jitter 1h", query):match "job ID: (%S+)"
    assert.is_string(job)
    for _, handle in ipairs(handles) do
      pending(handle, function(a) return not a.paused end)
    end
    assert.matches("UnpauseActivity", ok("batch describe --job-id %s", job))
    ok("activity update-options %s --match-all --heartbeat-timeout 5s", query)
    for _, handle in ipairs(handles) do
      pending(handle, function(a)
        local t = a.activity_options.heartbeat_timeout
        return t == 5
      end)
    end
    ok("activity reset %s --match-all --jitter 10h", query)
    for _, handle in ipairs(handles) do
      pending(handle, function(a) return a.attempt == 1 end)
      handle:terminate()
    end
  end)

  it("says what is wrong with the command", function()
    assert.matches("no pending activity", fails(1, "activity reset -w %s -a zz", start("wrong").id))
    assert.matches("either %-%-activity%-id or %-%-activity%-type", fails(1, "activity pause -w wrong"))
    assert.matches("exclude each other", fails(1, "activity reset -w wrong -a 1 --match-all"))
    assert.matches("either %-%-activity%-id, %-%-activity%-type or %-%-match%-all",
      fails(1, "activity unpause -w wrong"))
    assert.matches("cannot set activity ID when query", fails(1, "activity unpause -q x -a 1"))
    assert.matches("either %-%-activity%-type or %-%-match%-all", fails(1, "activity unpause -q x"))
    assert.matches("at least one option", fails(1, "activity update-options -w wrong -a 1"))
    assert.matches("excludes new options",
      fails(1, "activity update-options -w wrong -a 1 --restore-original-options --task-queue q"))
    assert.matches('wants a number, not "x"',
      fails(2, "activity update-options -w wrong -a 1 --retry-backoff-coefficient x"))
    assert.matches("activity not found", fails(1, "activity reset -a 1")) -- one without a workflow
    assert.matches("%-%-activity%-id names the activity", fails(1, "activity reset"))
    assert.matches("not found", fails(1, "activity pause -w never -a 1"))
    client:get_workflow_handle("wrong"):terminate()
  end)
end)
