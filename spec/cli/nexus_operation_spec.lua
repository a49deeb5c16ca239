-- nexus operation start, execute, result, describe, list, count, cancel and terminate: operations without a workflow,
-- against a server with a worker of their service.
local helper = require "helper"
local temporal = require "temporal"

local server, worker

local _, ok, fails = helper.commands_at(function() return server end)

local target = "--endpoint shop --service prices"

setup(function()
  server = helper.start_server "--search-attribute Team=Keyword"
  local source = [[
    local nexus = require "temporal.nexus"
    local temporal = require "temporal"
    return temporal.worker {
      task_queue = "q",
      nexus_services = { nexus.service("prices", {
        double = function(n) return n and 2 * n end,
        broken = function() error(nexus.operation_error { state = "failed", message = "no price" }) end,
        open = nexus.operation {
          start = function() return nexus.async_result "the-token" end,
          cancel = function() end,
        },
      }) },
    }
  ]]
  ok "operator nexus endpoint create --name shop --target-namespace default --target-task-queue q"
  ok "operator nexus endpoint create --name nobody --target-namespace default --target-task-queue nobody"
  worker = helper.start_worker(source, server.address)
end)

teardown(function()
  worker:stop()
  server:stop()
end)

describe("nexus operation execute", function()
  it("prints what was started and its result", function()
    local text = ok("nexus operation execute --operation-id one --operation double %s --input 21", target)
    assert.matches("^Started Nexus Operation:\n%s+Endpoint%s+shop\n%s+Service%s+prices\n%s+Operation%s+double\n"
      .. "%s+OperationId%s+one\n%s+RunId%s+%x+%-[%x-]+\n%s+Namespace%s+default\n", text)
    assert.matches("Results:\n%s+Status%s+COMPLETED\n%s+Result%s+42\n$", text)
    local json = temporal.json.decode(
      ok("nexus operation execute --operation-id two --operation double %s -i 4 -o json", target))
    assert.are.equal("two", json.operationId)
    assert.are.equal("COMPLETED", json.status)
    assert.are.equal(8, json.result)
    assert.matches("%x+%-%x+", json.runId)
  end)

  it("takes no input as none, and one at most", function()
    local none = temporal.json.decode(
      ok("nexus operation execute --operation-id void --operation double %s -o json", target))
    assert.are.equal("COMPLETED", none.status)
    assert.matches("one input at most, got 2",
      fails(2, "nexus operation start --operation-id x --operation double %s -i 1 -i 2", target))
  end)

  it("fails with the operation", function()
    local code, output, errors = helper.run(
      ("%s nexus operation execute --operation-id bad --operation broken %s --address %s"):format(
        helper.binary, target, server.address))
    assert.are.equal(1, code)
    assert.matches("Status%s+FAILED", output)
    assert.matches("Message: no price", output)
    assert.matches("nexus operation failed", errors)
    local _, json = helper.run(("%s nexus operation result --operation-id bad --address %s -o json"):format(
      helper.binary, server.address))
    json = temporal.json.decode(json)
    assert.are.equal("FAILED", json.status)
    assert.matches("no price", temporal.json.encode(json.failure))
  end)
end)

describe("nexus operation start", function()
  it("takes all options, which describe shows", function()
    local started = temporal.json.decode(ok("nexus operation start --endpoint nobody --service s --operation o"
      .. " --operation-id all --schedule-to-close-timeout 10m --schedule-to-start-timeout 9m"
      .. " --start-to-close-timeout 5m --id-reuse-policy RejectDuplicate --id-conflict-policy Fail"
      .. " --static-summary 'in short' --search-attribute 'Team=\"x\"' --input '{\"a\":1}' -o json"))
    assert.are.equal("nobody", started.endpoint)
    assert.are.equal("default", started.namespace)
    local text = ok("nexus operation describe --operation-id all --run-id %s", started.runId)
    for _, want in ipairs {
      "OperationId%s+all", "Endpoint%s+nobody", "Service%s+s\n", "Operation%s+o\n", "Status%s+Running",
      "State%s+Scheduled", "ScheduleToCloseTimeout%s+10m0s", "ScheduleToStartTimeout%s+9m0s",
      "StartToCloseTimeout%s+5m0s", "Identity%s+%d+@", "Summary%s+in short",
    } do
      assert.matches(want, text)
    end
    local info = temporal.json.decode(ok "nexus operation describe --operation-id all -o json")
    assert.are.equal("all", info.operationId)
    assert.are.equal(helper.base64 '"x"', info.searchAttributes.indexedFields.Team.data)
    assert.matches('"operationId":"all"', ok "nexus operation describe --operation-id all --raw")
    local again = "nexus operation start --endpoint nobody --service s --operation o --operation-id all"
    assert.matches("already", fails(1, again))
    assert.are.equal(started.runId,
      temporal.json.decode(ok(again .. " --id-conflict-policy UseExisting -o json")).runId)
    ok "nexus operation terminate --operation-id all"
  end)

  it("refuses what it cannot take", function()
    assert.matches("operation%-id", fails(2, "nexus operation start --operation o %s", target))
    assert.matches("endpoint", fails(2, "nexus operation start --operation-id x --operation o --service s"))
    assert.matches("id%-conflict%-policy",
      fails(2, "nexus operation start --operation-id x --operation o %s --id-conflict-policy Never", target))
    assert.matches("absent",
      fails(1, "nexus operation start --operation-id x --operation o --endpoint absent --service s"))
    assert.matches("nexus operation not found: none", fails(1, "nexus operation result --operation-id none"))
    assert.matches("failed describing nexus operation", fails(1, "nexus operation describe --operation-id none"))
    assert.matches("valid JSON", fails(2, "nexus operation start --operation-id x --operation o %s -i '{'", target))
  end)
end)

describe("nexus operation list and count", function()
  it("find operations without a workflow only", function()
    for i = 1, 3 do
      ok("nexus operation start --endpoint nobody --service s --operation listed --operation-id listed-%d", i)
    end
    local listed = "-q \"Operation = 'listed'\""
    local text = ok("nexus operation list " .. listed)
    assert.matches("^%s+Status%s+OperationId%s+Endpoint%s+Service%s+Operation%s+StartTime", text)
    assert.matches("Running%s+listed%-3%s+nobody%s+s%s+listed%s+%S+ seconds? ago", (text:gsub("now", "0 seconds ago")))
    local _, lines = ok("nexus operation list --limit 2 --page-size 1 -o jsonl " .. listed):gsub("\n", "")
    assert.are.equal(2, lines)
    assert.are.equal("Total: 3\n", ok("nexus operation count " .. listed))
    assert.are.equal(3, #temporal.json.decode(ok("nexus operation list --page-size 2 -o json " .. listed)))
    assert.matches("Group total: 3, values: Running\n$",
      ok "nexus operation count -q \"Operation = 'listed' GROUP BY ExecutionStatus\"")
    assert.are.equal("Total: 0\n", ok "workflow count")
    assert.matches("did you mean \"OperationId\"", fails(1, "nexus operation list -q \"OperatonId = 'x'\""))
    assert.matches("from 0 up", fails(2, "nexus operation list --limit -1"))
  end)
end)

describe("nexus operation cancel and terminate", function()
  it("ask its handler, and end it", function()
    ok("nexus operation start --operation-id c --operation open %s", target)
    local deadline = os.time() + 20
    repeat
      local text = ok "nexus operation describe --operation-id c"
    until text:find "OperationToken%s+the%-token" or os.time() > deadline
    assert.are.equal("Cancellation requested\n", ok "nexus operation cancel --operation-id c --reason 'no more'")
    local info = temporal.json.decode(ok "nexus operation describe --operation-id c -o json")
    assert.are.equal("no more", info.cancellationInfo.reason)
    assert.are.equal("Nexus Operation terminated\n", ok "nexus operation terminate --operation-id c")
    assert.matches("Status%s+Terminated", ok "nexus operation describe --operation-id c")
    assert.matches("failed to terminate nexus operation", fails(1, "nexus operation terminate --operation-id none"))
    assert.matches("failed to request nexus operation cancellation",
      fails(1, "nexus operation cancel --operation-id none"))
  end)
end)
