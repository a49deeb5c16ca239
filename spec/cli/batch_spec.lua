-- Commands on all workflows that a query finds, and the batch commands, on a database file.
local helper = require "helper"

local folder = helper.folder().name

local _, ok, fails = helper.commands(string.format)

teardown(function() os.execute("rm -rf " .. folder) end)

describe("commands with --query", function()
  local count = 0
  local db

  before_each(function()
    count = count + 1
    db = ("--db-filename %s/%d.db"):format(folder, count)
    for _, id in ipairs { "a", "b", "c" } do
      ok("workflow start %s -t q --type Hello -w %s", db, id)
    end
  end)

  local function events(id)
    local types = {}
    for name in ok("workflow show %s -w %s -o json", db, id):gmatch '"eventType": "EVENT_TYPE_([%u_]+)"' do
      types[#types + 1] = name
    end
    return table.concat(types, " ")
  end

  it("signal, with input and headers, and tell the job", function()
    local text = ok("workflow signal %s -q \"WorkflowId != 'c'\" --name go -i 7 --headers k=1 --yes", db)
    local asked = "^Start batch against approximately 2 workflow%(s%)%? y/N yes\n"
    local job = text:match(asked .. "Started batch for job ID: (%x[%x-]+)\n$")
    assert.is_string(job)
    local started = "WORKFLOW_EXECUTION_STARTED WORKFLOW_TASK_SCHEDULED"
    assert.are.equal(started .. " WORKFLOW_EXECUTION_SIGNALED", events "a")
    assert.are.equal(started .. " WORKFLOW_EXECUTION_SIGNALED", events "b")
    assert.are.equal(started, events "c")
    local history = ok("workflow show %s -w a -o json", db)
    assert.matches('"data": "Nw=="', history)
    assert.matches('"header": {\n +"fields"', history)
    assert.matches("\n  Type +Signal\n", ok("batch describe %s --job-id %s", db, job))
  end)

  it("cancel, terminate and delete", function()
    ok("workflow cancel %s -q \"WorkflowId = 'a'\" -y --reason tidy", db)
    assert.matches("CANCEL_REQUESTED$", events "a")
    assert.matches('"cause": "tidy"', ok("workflow show %s -w a -o json", db))
    ok("workflow terminate %s -q \"WorkflowId = 'b'\" -y --rps 100.5", db)
    assert.matches("EXECUTION_TERMINATED$", events "b")
    assert.matches('"reason": "Requested from CLI by ', ok("workflow show %s -w b -o json", db))
    ok("workflow delete %s -q \"WorkflowType = 'Hello'\" -y", db)
    assert.are.equal("Total: 0\n", ok("workflow count %s", db))
  end)

  it("ask first", function()
    local query = ("-q \"WorkflowType = 'Hello'\" %s"):format(db)
    local code, output, errors = helper.run(("echo n | %s workflow terminate %s"):format(helper.binary, query))
    assert.are.equal(1, code)
    assert.are.equal("Start batch against approximately 3 workflow(s)? y/N ", output)
    assert.are.equal("temporal-lua: user denied confirmation\n", errors)
    assert.are.equal("Total: 3\n", ok("workflow count %s -q \"ExecutionStatus = 'Running'\"", db))
    assert.matches("give %-%-yes", fails(1, "workflow terminate %s -o json", query))
    assert.are.equal(0, (helper.run(("echo YES | %s workflow terminate %s"):format(helper.binary, query))))
    assert.are.equal("Total: 0\n", ok("workflow count %s -q \"ExecutionStatus = 'Running'\"", db))
  end)

  it("refuse what does not go together", function()
    assert.matches("must set either workflow ID or query", fails(1, "workflow cancel %s", db))
    assert.matches("cannot set query when workflow ID is set", fails(1, "workflow cancel %s -w a -q x", db))
    assert.matches("cannot set reason when workflow ID is set", fails(1, "workflow cancel %s -w a --reason x", db))
    assert.matches("cannot set 'yes' when workflow ID is set", fails(1, "workflow terminate %s -w a -y", db))
    assert.matches("cannot set rps when workflow ID is set", fails(1, "workflow signal %s -w a --name x --rps 1", db))
    assert.matches("cannot set run ID when query is set", fails(1, "workflow delete %s -r x -q x", db))
    assert.matches('wants a number.+"fast"', fails(2, "workflow delete %s -q x --rps fast", db))
    assert.matches("failed counting workflows from query: .+Nam", fails(1, "workflow cancel %s -y -q 'Nam = 1'", db))
    assert.matches("EXECUTION_STARTED WORKFLOW_TASK_SCHEDULED$", events "a")
  end)

  it("batch describe, list, terminate", function()
    local job = ok("workflow terminate %s -q \"WorkflowId = 'a'\" -y -o json", db)
      :match '^{\n  "batchJobId": "([%x-]+)"\n}\n$'
    assert.is_string(job)
    local card = ok("batch describe %s --job-id %s --time-format iso", db, job)
    assert.matches("^  State +Completed\n  Type +Terminate\n  StartTime +%d+%-[^\n]+\n  CloseTime +%d+%-[^\n]+\n", card)
    assert.matches("\n  CompletedCount +1/1\n  FailureCount +0/1\n$", card)
    local json = ok("batch describe %s --job-id %s -o json", db, job)
    assert.matches('"operationType": "BATCH_OPERATION_TYPE_TERMINATE"', json)
    assert.matches('"state": "BATCH_OPERATION_STATE_COMPLETED"', json)
    assert.matches('"completeOperationCount": "1"', json)
    local second = ok("workflow cancel %s -q \"WorkflowId = 'b'\" -y -o jsonl", db):match '"batchJobId":"([%x-]+)"'
    local list = ok("batch list %s", db)
    assert.matches("^ +JobId +State +StartTime +CloseTime *\n +" .. second:gsub("%-", "%%-"), list)
    assert.matches(job:gsub("%-", "%%-") .. " +Completed ", list)
    assert.is_nil(ok("batch list %s --limit 1", db):find(job, 1, true))
    assert.matches('^{"jobId":"' .. second:gsub("%-", "%%-"), ok("batch list %s -o jsonl", db))
    assert.matches("could not find Batch Job 'none'", fails(1, "batch describe %s --job-id none", db))
    assert.matches("could not find Batch Job", fails(1, "batch terminate %s --job-id %s --reason x", db, job))
    assert.matches("%-%-reason is required", fails(2, "batch terminate %s --job-id %s", db, job))
    assert.matches("from 0 up", fails(2, "batch list %s --limit -1", db))
  end)
end)

describe("workflow reset", function()
  local db = ("--db-filename %s/reset.db"):format(folder)

  before_each(function() ok("workflow start %s -t q --type Hello -w a --id-conflict-policy TerminateExisting", db) end)

  local function run_id(output) return output:match '"runId": ?"([%x-]+)"' end

  it("starts a new run at a point of the history, and sends signals again", function()
    ok("workflow signal %s -w a --name go", db)
    local text = ok("workflow reset %s -w a -t FirstWorkflowTask --reason fix", db)
    local first = text:match "^  RunId  ([%x-]+)\n$"
    assert.is_string(first)
    local history = ok("workflow show %s -w a -o json", db)
    assert.matches('"cause": "WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW"', history)
    assert.matches('"message": "fix"', history)
    assert.matches('"newRunId": "' .. first:gsub("%-", "%%-"), history)
    assert.matches("EXECUTION_SIGNALED", history)
    local second = run_id(ok("workflow reset %s -w a -e 3 --reason fix --reapply-exclude Signal -o json", db))
    assert.are_not.equal(first, second)
    assert.is_nil(ok("workflow show %s -w a -o json", db):find("EXECUTION_SIGNALED", 1, true))
    ok("workflow reset %s -w a -r %s -t FirstWorkflowTask --reason fix --reapply-type None", db, first)
    assert.is_nil(ok("workflow show %s -w a -o json", db):find("EXECUTION_SIGNALED", 1, true))
  end)

  it("with --query is a batch operation", function()
    ok("workflow start %s -t q --type Hello -w b --id-conflict-policy TerminateExisting", db)
    local options = "-t LastWorkflowTask --reason fix -y -o jsonl"
    local job = ok("workflow reset %s -q \"ExecutionStatus = 'Running'\" %s", db, options)
      :match '"batchJobId":"([%x-]+)"'
    local card = ok("batch describe %s --job-id %s", db, job)
    assert.matches("Type +Reset\n", card)
    assert.matches("CompletedCount +2/2\n", card)
    assert.matches("CAUSE_RESET_WORKFLOW", ok("workflow show %s -w b -o json", db))
  end)

  it("with-workflow-update-options pins the new run", function()
    local reset = "workflow reset with-workflow-update-options %s -t LastWorkflowTask --reason fix "
    local pinned = "--versioning-override-behavior pinned --versioning-override-deployment-name shop "
      .. "--versioning-override-build-id %s"
    local before = ok("workflow describe %s -w a -o json", db)
    assert.is_nil(before:find("versioningOverride", 1, true))
    ok(reset .. "-w a " .. pinned, db, "1.0")
    local after = ok("workflow describe %s -w a -o json", db)
    assert.matches('"versioningOverride".-"buildId": "1.0"', after)
    assert.are_not.equal(before:match '"runId": "([%x-]+)"', after:match '"runId": "([%x-]+)"')
    local job = ok(reset .. "-q \"WorkflowId = 'a' AND ExecutionStatus = 'Running'\" -y -o jsonl " .. pinned, db, "2.0")
      :match '"batchJobId":"([%x-]+)"'
    assert.matches("CompletedCount +1/1\n", ok("batch describe %s --job-id %s", db, job))
    assert.matches('"versioningOverride".-"buildId": "2.0"', ok("workflow describe %s -w a -o json", db))
    ok(reset .. "-w a --versioning-override-behavior auto_upgrade", db)
    assert.matches('"autoUpgrade": true', ok("workflow describe %s -w a -o json", db))
    assert.matches("versioning%-override%-behavior is required", fails(2, reset .. "-w a", db))
    assert.matches("missing deployment name", fails(1, reset .. "-w a --versioning-override-behavior pinned", db))
    assert.matches("pinned, one_time or auto_upgrade",
      fails(2, reset .. "-w a --versioning-override-behavior unspecified", db))
  end)

  it("refuses what is no point", function()
    assert.matches("%-%-reason is required", fails(2, "workflow reset %s -w a -e 3", db))
    assert.matches("either %-%-type or", fails(1, "workflow reset %s -w a --reason x", db))
    assert.matches("either %-%-type or", fails(1, "workflow reset %s -w a -e 3 -t LastWorkflowTask --reason x", db))
    assert.matches("with %-%-query only", fails(1, "workflow reset %s -w a -t BuildId --build-id b --reason x", db))
    assert.matches("with %-%-type BuildId", fails(1, "workflow reset %s -w a -e 3 --build-id b --reason x", db))
    assert.matches("not continued", fails(1, "workflow reset %s -w a -t LastContinuedAsNew --reason x", db))
    assert.matches("finish ID must be", fails(1, "workflow reset %s -w a -e 77 --reason x", db))
    assert.matches("in range", fails(1, "workflow reset %s -w a -e 2 --reason x", db))
  end)
end)
