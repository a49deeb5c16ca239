-- activity start, execute, result, describe, list, count, cancel, terminate and delete, and what operators change:
-- activities without a workflow, against a server with a worker.
local helper = require "helper"
local temporal = require "temporal"

local server, worker

local _, ok, fails = helper.commands_at(function() return server end)

local brief = "--task-queue q --start-to-close-timeout 1m"

setup(function()
  server = helper.start_server "--search-attribute Team=Keyword"
  local source = [[
    local temporal = require "temporal"
    return temporal.worker {
      task_queue = "q",
      activities = {
        add = function(a, b) return a + b end,
        broken = function()
          error(temporal.failure { type = "Broken", message = "it broke", non_retryable = true }, 0)
        end,
      },
    }
  ]]
  worker = helper.start_worker(source, server.address)
end)

teardown(function()
  worker:stop()
  server:stop()
end)

describe("activity execute", function()
  it("prints where it runs and its result", function()
    local text = ok("activity execute --activity-id sum --type add %s --input 3 --input 4", brief)
    assert.matches("^Running execution:\n%s+ActivityId%s+sum\n%s+RunId%s+%x+%-[%x-]+\n%s+Namespace%s+default\n", text)
    assert.matches("Results:\n%s+Status%s+COMPLETED\n%s+Result%s+7\n$", text)
    local json =
      temporal.json.decode(ok("activity execute --activity-id sum2 --type add %s -i 1 -i 2 -o json", brief))
    assert.are.equal("sum2", json.activityId)
    assert.are.equal("COMPLETED", json.status)
    assert.are.equal(3, json.result)
  end)

  it("fails with the activity", function()
    local command = "%s activity execute --activity-id b --type broken %s --address %s"
    local code, output, errors = helper.run(command:format(helper.binary, brief, server.address))
    assert.are.equal(1, code)
    assert.matches("Status%s+FAILED", output)
    assert.matches("Message: it broke", output)
    assert.matches("activity failed", errors)
    local _, json = helper.run(("%s activity result -a b --address %s -o json"):format(helper.binary, server.address))
    assert.are.equal("it broke", temporal.json.decode(json).failure.message)
  end)
end)

describe("activity start", function()
  it("takes all options, which describe shows", function()
    ok("activity start -a all --type add -t nobody --schedule-to-close-timeout 10m --schedule-to-start-timeout 9m"
      .. " --start-to-close-timeout 5m --heartbeat-timeout 20s --start-delay 1h --retry-initial-interval 2s"
      .. " --retry-maximum-interval 30s --retry-backoff-coefficient 1.5 --retry-maximum-attempts 4"
      .. " --id-reuse-policy RejectDuplicate --id-conflict-policy Fail --static-summary short --priority-key 2"
      .. " --search-attribute 'Team=\"x\"' --input 1")
    local text = ok "activity describe -a all"
    assert.matches("^Activity Execution Info:\n", text)
    for _, want in ipairs {
      "Type%s+add", "Status%s+Running", "RunState%s+Scheduled", "TaskQueue%s+nobody", "ScheduleToCloseTimeout%s+10m0s",
      "HeartbeatTimeout%s+20s", "StartDelay%s+1h0m0s", "Attempt%s+1",
    } do
      assert.matches(want, text)
    end
    local info = temporal.json.decode(ok "activity describe -a all -o json").info
    assert.are.equal(4, info.retryPolicy.maximumAttempts)
    assert.are.equal(2, info.priority.priorityKey)
    assert.matches("already started", fails(1, "activity start -a all --type add %s", brief))
    assert.matches('"activityId":"all"', ok "activity describe -a all --raw")
  end)

  it("refuses what it cannot take", function()
    assert.matches("type", fails(2, "activity start -a x -t q"))
    assert.matches("StartToCloseTimeout or ScheduleToCloseTimeout", fails(1, "activity start -a x --type add -t q"))
    assert.matches("from 1 up", fails(2, "activity start -a x --type add %s --retry-backoff-coefficient 0.5", brief))
    assert.matches("from 0 up", fails(2, "activity start -a x --type add %s --retry-maximum-attempts -1", brief))
    assert.matches("activity not found: none", fails(1, "activity result -a none"))
    assert.matches("failed describing activity", fails(1, "activity describe -a none"))
  end)
end)

describe("activity list and count", function()
  it("find activities without a workflow only", function()
    for i = 1, 3 do
      ok("activity start -a listed-%d --type kind -t nobody --start-to-close-timeout 1m", i)
    end
    local text = ok "activity list --query \"ActivityType = 'kind'\""
    assert.matches("^%s+Status%s+ActivityId%s+Type%s+StartTime", text)
    assert.matches("Running%s+listed%-3%s+kind", text)
    local _, lines = ok("activity list --limit 2 --page-size 1 -q \"ActivityType = 'kind'\" -o jsonl"):gsub("\n", "")
    assert.are.equal(2, lines)
    assert.are.equal("Total: 3\n", ok "activity count -q \"ActivityType = 'kind'\"")
    assert.matches("Group total: 3, values: Running\n$",
      ok "activity count -q \"ActivityType = 'kind' GROUP BY ExecutionStatus\"")
    assert.are.equal("Total: 0\n", ok "workflow count")
    assert.matches("did you mean \"ActivityId\"", fails(1, "activity list -q \"ActivtyId = 'x'\""))
  end)
end)

describe("activity cancel, terminate and delete", function()
  it("end it", function()
    ok("activity start -a c --type kind2 -t nobody --start-to-close-timeout 1m")
    assert.are.equal("Cancellation requested\n", ok "activity cancel -a c --reason 'no more'")
    assert.matches("Status%s+Canceled", ok "activity describe -a c")
    assert.matches("terminal state Canceled", fails(1, "activity cancel -a c"))
    ok("activity start -a t --type kind2 -t nobody --start-to-close-timeout 1m")
    assert.are.equal("Activity terminated\n", ok "activity terminate -a t")
    assert.matches("Status%s+Terminated", ok "activity describe -a t")
    assert.matches("Delete activity succeeded", ok "activity delete -a t --yes")
    assert.matches("not found", fails(1, "activity describe -a t"))
  end)

  it("with --query end all that it finds", function()
    local function start(id)
      ok("activity start -a %s --type many -t nobody --start-to-close-timeout 1m", id)
    end
    local function batch(command)
      local job = ok("activity %s -y -o jsonl", command):match '"batchJobId":"([%x-]+)"'
      local card
      for _ = 1, 200 do
        card = ok("batch describe --job-id %s", job)
        if card:find "Completed\n" then
          return card
        end
      end
      error(card)
    end
    local found = "-q \"ActivityType = 'many' AND ActivityId STARTS_WITH '%s'\""
    for _, id in ipairs { "x1", "x2", "y1", "z1" } do
      start(id)
    end
    assert.matches("Type +CancelActivity\n.*CompletedCount +2/2\n",
      batch("cancel --reason enough " .. found:format "x"))
    assert.matches("Status%s+Canceled", ok "activity describe -a x1")
    assert.matches("Status%s+Running", ok "activity describe -a y1")
    assert.matches("Type +TerminateActivity\n.*CompletedCount +1/1\n",
      batch("terminate --reason enough --rps 100 " .. found:format "y"))
    assert.matches("Status%s+Terminated", ok "activity describe -a y1")
    assert.matches("Type +DeleteActivity\n.*CompletedCount +3/3\n",
      batch("delete -q \"ActivityType = 'many' AND ActivityId != 'z1'\""))
    assert.matches("not found", fails(1, "activity describe -a x1"))
    assert.matches("Status%s+Running", ok "activity describe -a z1")
  end)

  it("with --query and with an id refuse what goes with the other", function()
    local both = "cannot set query when activity ID is set"
    assert.matches(both, fails(1, "activity cancel -a z1 -q \"ActivityType = 'many'\""))
    assert.matches("cannot set 'yes' when activity ID is set", fails(1, "activity terminate -a z1 -y"))
    assert.matches("cannot set rps when activity ID is set", fails(1, "activity delete -a z1 -y --rps 1"))
    assert.matches("cannot set reason when activity ID is set", fails(1, "activity delete -a z1 -y --reason x"))
    assert.matches("must set either activity ID or query", fails(1, "activity cancel"))
    assert.matches("cannot set run ID when query is set", fails(1, "activity cancel -r x -q \"ActivityId = 'z1'\" -y"))
    assert.matches("number from 0", fails(2, "activity cancel --rps fast -q \"ActivityId = 'z1'\" -y"))
    assert.matches('did you mean "ActivityId"', fails(1, "activity cancel -q \"ActivtyId = 'x'\" -y"))
  end)
end)

describe("activity pause, unpause, reset and update-options", function()
  it("change one without a workflow", function()
    ok("activity start -a op --type kind3 -t nobody --start-to-close-timeout 1m --start-delay 1h")
    ok "activity pause -a op --reason look"
    assert.matches("Status%s+Paused", ok "activity describe -a op")
    local text = ok "activity update-options -a op --heartbeat-timeout 5s --start-delay 2h --retry-maximum-attempts 3"
    assert.matches("HeartbeatTimeout%s+5s", text)
    assert.matches("StartDelay%s+2h0m0s", ok "activity describe -a op")
    assert.matches("KeepPaused%s+true", ok "activity reset -a op --keep-paused")
    assert.matches("Status%s+Paused", ok "activity describe -a op")
    ok "activity unpause -a op --jitter 1s"
    assert.matches("Status%s+Running", ok "activity describe -a op")
    ok "activity update-options -a op --restore-original-options"
    assert.matches("StartDelay%s+1h0m0s", ok "activity describe -a op")
    assert.matches("%-%-activity%-id", fails(1, "activity unpause"))
    assert.matches("%-%-reset%-attempts is for activities of workflows",
      fails(1, "activity unpause -a op --reset-attempts"))
    assert.matches("%-%-activity%-type is for activities of workflows",
      fails(1, "activity pause -a op --activity-type x"))
  end)
end)
