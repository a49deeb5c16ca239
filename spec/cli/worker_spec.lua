-- worker list, count and describe, against a server that workers have told of themselves.
local helper = require "helper"
local temporal = require "temporal"

local server, client

local _, ok, fails = helper.commands_at(function() return server end)

setup(function()
  server = helper.start_server()
  client = temporal.connect { address = server.address }
  local list = {}
  for i = 1, 3 do
    list[i] = {
      worker_instance_key = "key-" .. i, worker_identity = "me@box", task_queue = i == 3 and "other" or "q",
      sdk_name = "temporal-test", sdk_version = "1.2", status = i, host_info = { host_name = "box", process_id = "7" },
      deployment_version = i == 1 and { deployment_name = "orders", build_id = "v1" } or nil,
      elapsed_since_last_heartbeat = { seconds = 60 },
      workflow_task_slots_info = { current_available_slots = 99, current_used_slots = 1, slot_supplier_kind = "Fixed" },
    }
  end
  client:call("RecordWorkerHeartbeat", { namespace = "default", identity = "me@box", worker_heartbeat = list })
end)

teardown(function()
  client:close()
  server:stop()
end)

describe("worker", function()
  it("list shows them as a table, and as JSON", function()
    local text = ok "worker list"
    assert.matches("^ +WorkerInstanceKey +Status +TaskQueue +WorkerIdentity +HostName +Deployment "
      .. "+HeartbeatTime +Elapsed *\n", text)
    assert.matches("key%-1 +Running +q +me@box +box +orders:v1 .-1m0s", text)
    assert.matches("key%-2 +ShuttingDown +q ", text)
    assert.matches("key%-3 +Shutdown +other ", text)
    local lines = {}
    for line in ok("worker list -o jsonl"):gmatch "[^\n]+" do
      lines[#lines + 1] = line
    end
    assert.are.equal(3, #lines)
    assert.matches('"workerInstanceKey":"key%-1"', lines[1])
  end)

  it("list and count take a query, list a limit", function()
    local text = ok [[worker list -q "TaskQueue = 'q' AND Status = 'Running'"]]
    assert.matches("key%-1", text)
    assert.not_matches("key%-2", text)
    local _, lines = ok("worker list --limit 2 -o jsonl"):gsub("\n", "")
    assert.are.equal(2, lines)
    assert.are.equal("Total: 2\n", ok [[worker count -q "TaskQueue = 'q'"]])
    assert.matches('"count": "3"', ok "worker count -o json")
    assert.matches("a field of workers", fails(1, [[worker list -q "Host = 'x'"]]))
  end)

  it("describe shows one of them", function()
    local text = ok "worker describe --worker-instance-key key-1"
    assert.matches("\n +SdkName +temporal%-test\n", text)
    assert.matches('WorkflowTaskSlotsInfo +{.*"currentAvailableSlots":99', text)
    assert.matches('"workerIdentity": "me@box"', ok "worker describe --worker-instance-key key-1 -o json")
    assert.matches("Worker key%-9 not found", fails(1, "worker describe --worker-instance-key key-9"))
    assert.matches("worker%-instance%-key", fails(2, "worker describe"))
  end)
end)
