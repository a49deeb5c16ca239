-- The commands that talk to a service: on a database file, and against `server start-dev` with a worker.
local helper = require "helper"

local folder = helper.folder().name

local cli, ok, fails = helper.commands(string.format)

local function write(name, text)
  local file = assert(io.open(folder .. "/" .. name, "wb"))
  file:write(text)
  file:close()
  return folder .. "/" .. name
end

teardown(function() os.execute("rm -rf " .. folder) end)

describe("commands on a database file", function()
  local count = 0
  local db

  before_each(function()
    count = count + 1
    db = ("--db-filename %s/%d.db"):format(folder, count)
  end)

  local function start(more) return ok("workflow start %s -t q --type Hello %s", db, more or "") end

  it("start says what runs, in every form of output", function()
    local text = start "-w one"
    assert.matches("^Running execution:\n  WorkflowId  one\n  RunId       %x", text)
    assert.matches("\n  Type        Hello\n  Namespace   default\n  TaskQueue   q\n$", text)
    assert.matches('^{\n  "workflowId": "two",\n  "runId": "%x[^"]+",\n  "type": "Hello",\n', start "-w two -o json")
    assert.matches('^{"workflowId":"three","runId":"[^"]+","type":"Hello",[^\n]+}\n$', start "-w three -o jsonl")
    assert.are.equal("", start "-w four -o none")
    assert.matches("WorkflowId  %x+%-%x+%-4%x+%-", start())
  end)

  it("start sends inputs, memo, search attributes, headers and the rest as they are given", function()
    local file = write("input.json", '{"from":"file"}')
    ok("operator search-attribute create %s --name CustomKeywordField --type Keyword", db)
    start(([[-w a -i '{"a":1}' -i '"two"' --memo 'note=[1,2]' --search-attribute 'CustomKeywordField="v"' ]] ..
      [[--headers 'trace="t"' --run-timeout 1h --execution-timeout 2h --task-timeout 20s --static-summary S ]] ..
      [[--priority-key 3 --fairness-key f --fairness-weight 1.5 --identity me --cron '0 0 1 1 *']]))
    local history = ok("workflow show %s -w a -o json", db)
    for _, part in ipairs {
      '"data": "eyJhIjoxfQ=="', '"note"', '"CustomKeywordField"', '"trace"', '"workflowRunTimeout": "3600s"',
      '"workflowExecutionTimeout": "7200s"', '"workflowTaskTimeout": "20s"', '"priorityKey": 3', '"fairnessKey": "f"',
      '"fairnessWeight": 1.5', '"identity": "me"', '"cronSchedule": "0 0 1 1 *"',
    } do
      assert.is_truthy(history:find(part, 1, true), part)
    end
    start("-w b --input-file " .. file)
    assert.matches('"data": "eyJmcm9tIjoiZmlsZSJ9"', ok("workflow show %s -w b -o json", db))
    start "-w c --input AAEC --input-base64 --input-meta encoding=binary/plain"
    local bytes = ok("workflow show %s -w c -o json", db)
    assert.matches('"data": "AAEC"', bytes)
    assert.matches('"encoding": "YmluYXJ5L3BsYWlu"', bytes)
  end)

  it("operator search-attribute registers, lists and removes", function()
    local sa = "operator search-attribute"
    assert.are.equal("Search attributes have been added\n",
      ok("%s create %s --name Who --type Keyword --name Count --type int", sa, db))
    assert.matches("already exists\n$", ok("%s create %s --name Who --type Keyword", sa, db))
    local text = ok("%s list %s", sa, db)
    assert.matches("\n  Count +Int +\n", text)
    assert.matches("\n  StartTime +Datetime", text)
    assert.matches('"Who": "INDEXED_VALUE_TYPE_KEYWORD"', ok("%s list %s -o json", sa, db))
    assert.matches("already exists and has different type: Keyword",
      fails(1, "%s create %s --name Who --type Int", sa, db))
    assert.matches("no type of search attributes: \"Keywrd\"", fails(2, "%s create %s --name X --type Keywrd", sa, db))
    assert.matches("as many %-%-type as %-%-name", fails(2, "%s create %s --name X --name Y --type Int", sa, db))
    assert.matches("is reserved by system", fails(1, "%s create %s --name RunId --type Keyword", sa, db))
    start "-w one --search-attribute 'Who=\"me\"' --search-attribute Count=3"
    assert.matches("one", ok("workflow list %s --query 'Who = \"me\" AND Count > 2'", db))
    assert.matches("^Total: 0\n", ok("workflow count %s --query 'Count > 3'", db))
    assert.matches("Namespace default has no mapping defined for search attribute Nobody",
      fails(1, "workflow start %s -t q --type Hello --search-attribute Nobody=1", db))
    assert.matches("say %-%-yes", fails(1, "%s remove %s --name Who </dev/null", sa, db))
    assert.are.equal("Search attributes have been removed\n", ok("%s remove %s --name Who --yes", sa, db))
    assert.matches("no search attribute is called \"Who\"", fails(1, "workflow list %s --query 'Who = 1'", db))
  end)

  it("list colors titles when asked, and tells that there is no archive", function()
    start "-w one"
    assert.matches("\27%[35mStatus +\27%[0m", ok("workflow list %s --color always", db))
    assert.is_nil(ok("workflow list %s --color never", db):find "\27")
    assert.is_nil(ok("workflow list %s", db):find "\27") -- no terminal
    assert.matches("Cluster is not configured for visibility archival", fails(1, "workflow list %s --archived", db))
  end)

  it("start refuses bad input", function()
    assert.matches("%-%-type is required", fails(2, "workflow start %s -t q", db))
    assert.matches("%-%-task%-queue is required", fails(2, "workflow start %s --type T", db))
    assert.matches("input #2 is not valid JSON", fails(2, "workflow start %s -t q --type T -i 1 -i '{'", db))
    assert.matches("exclude each other", fails(2, "workflow start %s -t q --type T -i 1 --input-file x", db))
    assert.matches("/no/such", fails(1, "workflow start %s -t q --type T --input-file /no/such", db))
    assert.matches("not valid base64", fails(2, "workflow start %s -t q --type T -i '*' --input-base64", db))
    assert.matches("KEY=JSON", fails(2, "workflow start %s -t q --type T --memo x", db))
    assert.matches("not valid JSON", fails(2, "workflow start %s -t q --type T --memo x=y", db))
    assert.matches("KEY=VALUE", fails(2, "workflow start %s -t q --type T --input-meta x", db))
    assert.matches("more values of 'a' than inputs",
      fails(2, "workflow start %s -t q --type T -i 1 --input-meta a=1 --input-meta a=2", db))
    assert.matches("AllowDuplicate, .* or TerminateIfRunning, got 'Maybe'",
      fails(2, "workflow start %s -t q --type T --id-reuse-policy Maybe", db))
    assert.matches("wants a number", fails(2, "workflow start %s -t q --type T --fairness-weight much", db))
    assert.matches("text, json, jsonl or none", fails(2, "workflow start %s -t q --type T -o xml", db))
    assert.matches("soon", fails(2, "workflow start %s -t q --type T --run-timeout soon", db))
    assert.matches("exclude each other", fails(2, "workflow start %s --address h:1 -t q --type T", db))
    assert.matches("failed starting workflow",
      fails(1, "workflow start %s -t q --type T -w %s", db, ("x"):rep(1001)))
  end)

  it("start takes a workflow that runs already as its own unless told otherwise", function()
    local first = start "-w a -o jsonl"
    assert.are.equal(first, start "-w a -o jsonl")
    assert.matches("already running", fails(1, "workflow start %s -t q --type T -w a --fail-existing", db))
    assert.are_not.equal(first, start "-w a -o jsonl --id-conflict-policy terminateexisting --fail-existing")
  end)

  it("describe, list, count", function()
    start "-w a --static-summary why --memo k=1"
    start "-w b"
    local text = ok("workflow describe %s -w a --time-format iso", db)
    assert.matches("^Execution Info:\n  WorkflowId            a\n", text)
    assert.matches("\n  StartTime             %d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ\n", text)
    assert.matches('\n  Memo                  {"k":1}\n', text)
    assert.matches("\nExtended Execution Info:\n  CancelRequested    false\n", text)
    assert.matches('\nMetadata:\n  StaticSummary  "why"\n', text)
    assert.matches("\nPending Activities: 0\n", text)
    assert.matches("StartTime             %d+ seconds? ago\n", (text:gsub("%d+%-%S+", "1 second ago")))
    assert.matches("%+0000 UTC\n", ok("workflow describe %s -w a --time-format raw", db))
    assert.matches('"status": "WORKFLOW_EXECUTION_STATUS_RUNNING"', ok("workflow describe %s -w a -o json", db))
    assert.are.equal("Auto Reset Points: 0\n", ok("workflow describe %s -w a --reset-points", db))
    assert.matches("not found", fails(1, "workflow describe %s -w nobody", db))

    local list = ok("workflow list %s", db)
    assert.matches("^  Status   WorkflowId  Type +StartTime *\n  Running  [ab]           Hello  ", list)
    assert.are.equal(3, select(2, list:gsub("\n", "")))
    assert.are.equal(2, select(2, ok("workflow list %s --limit 1", db):gsub("\n", "")))
    assert.are.equal(3, select(2, ok("workflow list %s --page-size 1", db):gsub("\n", "")))
    assert.are.equal(2, select(2, ok("workflow list %s -o jsonl", db):gsub("\n", "")))
    assert.matches("^%[\n{\n.-\n},\n{\n.*\n}\n%]\n$", ok("workflow list %s -o json", db))
    assert.are.equal("", ok("workflow list %s -q 'WorkflowType=\"Other\"'", db))
    assert.are.equal("[\n]\n", ok("workflow list %s -o json -q 'WorkflowType=\"Other\"'", db))
    assert.matches("failed listing", fails(1, "workflow list %s -q 'nonsense ='", db))
    assert.matches("from 0 up", fails(2, "workflow list %s --limit -1", db))

    assert.are.equal("Total: 2\n", ok("workflow count %s", db))
    assert.are.equal('{"count":"2"}\n', ok("workflow count %s -o jsonl", db))
    assert.are.equal("Total: 2\nGroup total: 2, values: Running\n",
      ok("workflow count %s -q 'GROUP BY ExecutionStatus'", db))
  end)

  it("pause, unpause", function()
    start "-w p"
    assert.are.equal("Workflow Execution paused\n", ok("workflow pause %s -w p --reason night", db))
    local text = ok("workflow describe %s -w p", db)
    assert.matches("TemporalPauseInfo", text)
    assert.matches("Pause Info:\n  Identity +%S+\n  Reason +night\n  PausedTime +%S", text)
    assert.are.equal("Total: 1\n", ok("workflow count %s -q \"ExecutionStatus = 'Paused'\"", db))
    assert.matches("failed to pause workflow.*already paused", fails(1, "workflow pause %s -w p", db))
    assert.matches("workflow has status: Paused", fails(1, "workflow query %s -w p --name q", db))
    assert.are.equal("Workflow Execution unpaused\n", ok("workflow unpause %s -w p", db))
    assert.matches("failed to unpause workflow.*not paused", fails(1, "workflow unpause %s -w p", db))
    assert.matches("failed to pause workflow.*not found", fails(1, "workflow pause %s -w none", db))
    assert.matches("%-%-workflow%-id is required", fails(2, "workflow pause %s", db))
    text = ok("workflow show %s -w p", db)
    assert.matches("execution paused .*execution unpaus.*workflow task", text)
    ok("workflow terminate %s -w p", db)
    ok("workflow delete %s -w p --yes", db)
  end)

  it("signal, cancel, terminate, result, delete", function()
    start "-w a"
    assert.are.equal("Signal workflow succeeded\n", ok("workflow signal %s -w a --name go -i 1 -i 2", db))
    assert.are.equal("Signal workflow succeeded\n", ok("workflow signal %s -w a --type go", db))
    assert.matches("%-%-name is required", fails(2, "workflow signal %s -w a", db))
    assert.matches("failed signalling", fails(1, "workflow signal %s -w none --name go", db))
    assert.are.equal("Canceled workflow\n", ok("workflow cancel %s -w a", db))
    assert.matches("CancelRequested +true", ok("workflow describe %s -w a", db))
    assert.matches("failed to cancel", fails(1, "workflow cancel %s -w none", db))
    assert.matches("within the time given", fails(1, "workflow result %s -w a --command-timeout 300ms", db))
    assert.are.equal("Workflow terminated\n", ok("workflow terminate %s -w a --reason enough", db))
    assert.matches("failed to terminate", fails(1, "workflow terminate %s -w a", db))
    local code, output, errors = cli("workflow result %s -w a -o jsonl", db)
    assert.are.equal(1, code)
    assert.are.equal("temporal-lua: workflow failed\n", errors)
    assert.matches('"status":"TERMINATED","closeEvent":{.*"reason":"enough"', output)
    assert.matches("\nResults:\n  RunTime  .-\n  Status   TERMINATED\n$", ok("workflow describe %s -w a", db))

    code, output, errors = helper.run(
      ("echo n | timeout 60 %s workflow delete %s -w a"):format(helper.binary, db))
    assert.are.equal(1, code)
    assert.are.equal('Delete Workflow "a"? y/N ', output)
    assert.matches("denied", errors)
    assert.matches("give %-%-yes", fails(1, "workflow delete %s -w a -o json", db))
    assert.are.equal('Delete Workflow "a"? y/N yes\nDelete workflow succeeded\n',
      ok("workflow delete %s -w a --yes", db))
    assert.matches("not found", fails(1, "workflow describe %s -w a", db))
  end)

  it("signal-with-start starts once", function()
    local options = ("%s -w a -t q --type Hello --signal-name go --signal-input 1 -i 2"):format(db)
    local first = ok("workflow signal-with-start %s", options)
    assert.matches("^Running execution:\n  WorkflowId  a\n", first)
    assert.is_nil(first:find("TaskQueue", 1, true))
    assert.are.equal(first, ok("workflow signal-with-start %s", options))
    local history = ok("workflow show %s -w a -o json", db)
    assert.are.equal(2, select(2, history:gsub("EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED", "")))
    assert.matches("%-%-signal%-name is required",
      fails(2, "workflow signal-with-start %s -w a -t q --type Hello", db))
    assert.matches("not valid JSON", fails(2, "workflow signal-with-start %s --signal-input {", options))
  end)

  it("asks nobody in vain", function()
    start "-w a"
    assert.matches("querying workflow failed",
      fails(1, "workflow query %s -w a --name q --command-timeout 300ms", db))
    assert.matches("querying workflow failed", fails(1, "workflow stack %s -w a --command-timeout 300ms", db))
    assert.matches("querying workflow failed", fails(1, "workflow metadata %s -w a --command-timeout 300ms", db))
    ok("workflow terminate %s -w a", db)
    assert.matches("rejected, workflow has status: Terminated",
      fails(1, "workflow query %s -w a --name q --reject-condition not_open", db))
    assert.matches("not_open or not_completed_cleanly",
      fails(2, "workflow query %s -w a --name q --reject-condition open", db))
  end)

  it("namespaces", function()
    ok("operator namespace create %s -n one --description D --email a@b --data k=v --retention 48h", db)
    local text = ok("operator namespace describe %s one", db)
    assert.matches("^  NamespaceInfo.Name                    one\n", text)
    assert.matches("Description             D\n.*OwnerEmail              a@b\n", text)
    assert.matches("Data                    map%[k:v%]\n.*RetentionTtl  48h0m0s\n", text)
    local id = text:match "NamespaceInfo.Id +(%S+)"
    assert.are.equal(text, ok("operator namespace describe %s --namespace-id %s", db, id))
    assert.are.equal("Namespace one update succeeded.\n",
      ok("operator namespace update %s -n one --description E --retention 3d", db))
    local other = ok("operator namespace describe %s -n one -o json", db)
    assert.matches('"description": "E"', other)
    assert.matches('"ownerEmail": "a@b"', other)
    assert.matches('"workflowExecutionRetentionTtl": "259200s"', other)
    assert.are.equal(2, select(2, ok("operator namespace list %s -o jsonl", db):gsub("\n", "")))
    assert.matches("NamespaceInfo.Name +default\n.-\n\n  NamespaceInfo.Name +one\n",
      ok("operator namespace list %s", db))
    ok("workflow start %s -n one -w a -t q --type T", db)
    assert.are.equal("Total: 1\n", ok("workflow count %s -n one", db))
    assert.are.equal("Total: 0\n", ok("workflow count %s", db))

    assert.matches("already exists", fails(1, "operator namespace create %s one", db))
    assert.matches("unable to create", fails(1, "operator namespace create %s two --retention 1m", db))
    assert.matches("not both", fails(2, "operator namespace describe %s one -n one", db))
    assert.matches("not both", fails(2, "operator namespace describe %s one --namespace-id x", db))
    assert.matches("not found", fails(1, "operator namespace describe %s none", db))
    assert.matches("KEY=VALUE", fails(2, "operator namespace update %s one --data x", db))
    assert.matches("unexpected argument 'b'", fails(2, "operator namespace create %s a b", db))
  end)

  it("cluster and task queue", function()
    start "-w a"
    assert.are.equal("SERVING\n", ok("operator cluster health %s", db))
    assert.are.equal('{"status":"SERVING"}\n', ok("operator cluster health %s -o jsonl", db))
    assert.matches("^  ServerVersion  SupportsSchedules  UpsertMemo  EagerWorkflowStart\n  1%.",
      ok("operator cluster system %s", db))
    assert.matches('"capabilities"', ok("operator cluster system %s -o json", db))
    assert.is_nil(ok("operator cluster describe %s", db):find("HistoryShardCount", 1, true))
    assert.matches("HistoryShardCount", ok("operator cluster describe %s --detail", db))
    local text = ok("task-queue describe %s -t q", db)
    assert.matches("^Task Queue Statistics:\n", text)
    assert.matches("\n  UNVERSIONED  workflow +1  ", text)
    assert.matches("\n  UNVERSIONED  activity +0  ", text)
    assert.matches("\nPollers:\n", text)
    assert.are.equal("Pollers:\n", ok("task-queue describe %s -t q --disable-stats", db):match "^.-\n")
    local json = ok("task-queue describe %s -t q --task-queue-type Workflow -o jsonl", db)
    assert.matches('^{"reachability":null,"pollers":null,"stats":%[{"buildId":"UNVERSIONED",' ..
      '"taskQueueType":"workflow","approximateBacklogCount":1,', json)
    assert.matches("nexus +0 ", ok("task-queue describe %s -t q --task-queue-type nexus", db))
    assert.matches("activity", fails(2, "task-queue describe %s -t q --task-queue-type cheese", db))
    assert.matches("%-%-task%-queue is required", fails(2, "task-queue describe %s", db))
  end)

  it("says which database is not there, which command line is wrong, and which server does not answer", function()
    assert.matches("/no/such/file", fails(1, "workflow list --db-filename /no/such/file"))
    assert.matches("did you mean '%-%-workflow%-id'", fails(2, "workflow describe --workflow-idd x"))
    assert.matches("%-%-workflow%-id is required", fails(2, "workflow describe %s", db))
    assert.matches("failed reaching server",
      fails(1, "workflow list --address localhost:1 --client-connect-timeout 200ms"))
    local code, _, errors = helper.run(
      ("TEMPORAL_ADDRESS=localhost:1 timeout 60 %s workflow list --client-connect-timeout 200ms"):format(helper.binary))
    assert.are.equal(1, code)
    assert.matches("failed reaching server", errors)
    start "-w a"
    code = helper.run(("TEMPORAL_ADDRESS=localhost:1 timeout 60 %s workflow list %s"):format(helper.binary, db))
    assert.are.equal(0, code)
  end)
end)

describe("commands against a server with a worker", function()
  local address, server, worker

  local script = [[
    local temporal = require "temporal"
    local activity = require "temporal.activity"
    return temporal.worker {
      task_queue = "q",
      workflows = { { name = "flows", source = [=[
        local temporal = require "temporal"
        local workflow = require "temporal.workflow"
        return {
          workflow.define("Add", function(a, b) return a + b end),
          workflow.define("Fail", function() error(temporal.failure { message = "no luck" }) end),
          workflow.define {
            name = "Wait",
            init = function() return { got = {} } end,
            run = function(self)
              workflow.wait_condition(function() return self.done end)
              return self.got
            end,
            signals = {
              add = function(self, v) self.got[#self.got + 1] = v end,
              finish = function(self) self.done = true end,
            },
            queries = { got = function(self, n) return self.got[n or 1] or "nothing" end },
          },
          workflow.define("Open", function()
            return workflow.execute_activity("open", { start_to_close_timeout = "1m" })
          end),
          workflow.define("Again", function(n)
            if n > 0 then workflow.continue_as_new({}, n - 1) end
            return "last"
          end),
        }
      ]=] } },
      activities = { open = function() return activity.complete_async() end },
    }
  ]]

  --- Starts a command in the background; returns its process id and the file with its output.
  local function background(name, command)
    local log = folder .. "/" .. name
    local pipe = assert(io.popen(("exec 3>&1; %s >%s 2>&1 3>&- & echo $! >&3"):format(command, log)))
    local pid = pipe:read "l"
    pipe:close()
    return pid, log
  end

  local function wait_for(log, pattern)
    for _ = 1, 200 do
      local file = io.open(log)
      local text = file and file:read "a" or ""
      if file then file:close() end
      local found = text:match(pattern)
      if found then return found end
      os.execute "sleep 0.05"
    end
    error(("%s does not tell %s"):format(log, pattern))
  end

  local function call(...) return ok("%s --address %s", (...):format(select(2, ...)), address) end

  setup(function()
    local log
    server, log = background("server.log", helper.binary .. " server start-dev --port 0")
    address = wait_for(log, "Server: +(%S+)")
    local file = write("worker.lua", script)
    worker, log = background("worker.log", ("%s worker run --address %s %s"):format(helper.binary, address, file))
    wait_for(log, "is running")
  end)

  teardown(function()
    for _, pid in ipairs { worker or false, server or false } do
      if pid then os.execute(("kill -TERM %s; while kill -0 %s 2>/dev/null; do sleep 0.02; done"):format(pid, pid)) end
    end
  end)

  it("execute shows events and result", function()
    local text = call "workflow execute -w sum -t q --type Add -i 2 -i 3"
    assert.matches("^Running execution:\n.-\n\nProgress:\n  ID           Time                     Type           \n",
      text)
    assert.matches("\n    1  %d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ  WorkflowExecutionStarted", text)
    assert.matches("\n\nResults:\n  RunTime         .-\n  Status          COMPLETED\n  Result          5\n", text)
    assert.matches("ResultEncoding  json/plain\n$", text)
    local json = call "workflow execute -t q --type Add -i 2 -i 3 -o json --detailed"
    assert.matches('"status": "COMPLETED"', json)
    assert.matches('\n  "result": 5,\n', json)
    assert.matches('"history": {\n    "events": %[', json)
    local detailed = call "workflow execute -t q --type Add -i 2 -i 3 --detailed"
    assert.matches("%-%-%- %[1%] WorkflowExecutionStarted %-%-%-", detailed)
    assert.matches("\ninput%[0%]: 2\ninput%[1%]: 3\n", detailed)
    assert.matches("\ntaskQueue.name: q\n", detailed)
  end)

  it("execute and result end with 1 when the workflow fails", function()
    local code, output, errors = cli("workflow execute --address %s -w bad -t q --type Fail", address)
    assert.are.equal(1, code)
    assert.are.equal("temporal-lua: workflow failed\n", errors)
    assert.matches("Status   FAILED\n  Failure  \n    Message: .-no luck", output)
    code, output = cli("workflow result --address %s -w bad -o json", address)
    assert.are.equal(1, code)
    assert.matches('"status": "FAILED"', output)
  end)

  it("execute and result follow continue-as-new", function()
    assert.matches("WorkflowExecutionContinuedAsNew.*Result +\"last\"",
      call "workflow execute -w again -t q --type Again -i 2")
    assert.matches('Status +COMPLETED\n  Result +"last"\n', call "workflow result -w again")
  end)

  it("query, stack, metadata, signal", function()
    call "workflow start -w wait -t q --type Wait"
    assert.are.equal('Query result:\n  QueryResult  "nothing"\n', call "workflow query -w wait --name got")
    call [[workflow signal -w wait --name add -i '{"n":1}']]
    assert.are.equal('Query result:\n  QueryResult  {"n":1}\n', call "workflow query -w wait --type got -i 1")
    assert.are.equal('{"queryResult":[{"n":1}]}\n', call "workflow query -w wait --name got -o jsonl")
    assert.matches("querying workflow failed: .*nosuch",
      fails(1, "workflow query --address %s -w wait --name nosuch", address))
    assert.matches("Query result:\n  QueryResult  .*wait_condition", call "workflow stack -w wait")
    local metadata = call "workflow metadata -w wait"
    assert.matches("^Metadata:\n  Query Definitions:\n", metadata)
    assert.matches("\n    got ", metadata)
    assert.matches("\n  Signal Definitions:\n    add ", metadata)
    call "workflow signal -w wait --name finish"
    assert.matches('Result +%[{"n":1}%]\n', call "workflow result -w wait")
    assert.matches('"result": %[\n', call "workflow describe -w wait -o json")
  end)

  it("show follows to the end, tells details, and goes backwards", function()
    call "workflow execute -w shown -t q --type Add -i 2 -i 3"
    assert.matches("^workflow Add", call "workflow show -w shown")
    local text = call "workflow show -w shown --follow"
    assert.matches("^Progress:\n.*\n    1  .*WorkflowExecutionStarted.*\nResults:\n  Status +COMPLETED\n", text)
    assert.matches("^Progress:\n%-+ %[1%] WorkflowExecutionStarted %-+\n", call "workflow show -w shown --detailed")
    local reverse = call "workflow show -w shown --reverse"
    assert.is_true(reverse:find("WorkflowExecutionCompleted", 1, true)
      < reverse:find("WorkflowExecutionStarted", 1, true))
    assert.matches('"events": %[\n    {\n      "eventId": "5"', call "workflow show -w shown --reverse -o json")
    assert.matches("exclude each other", fails(2, "workflow show --address %s -w shown --reverse --follow", address))
  end)

  it("pollers of a task queue", function()
    assert.matches("\n  UNVERSIONED  workflow +%d+@.*\n  UNVERSIONED  activity +%d+@",
      call "task-queue describe -t q")
  end)

  it("activity complete and fail", function()
    local function open(id)
      call("workflow start -w %s -t q --type Open", id)
      for _ = 1, 100 do
        local text = call("workflow describe -w %s", id)
        if text:find("State +Started") then
          assert.matches("Pending Activities: 1\n\n  ActivityId +%S+\n  Type +open\n", text)
          return text:match "ActivityId +(%S+)"
        end
      end
      error "the activity does not start"
    end
    assert.are.equal("", call("activity complete -w open1 -a %s --result '{\"ok\":true}'", open "open1"))
    assert.matches('Result +{"ok":true}\n', call "workflow result -w open1")
    assert.are.equal("", call("activity fail -w open2 -a %s --reason tired --detail '[1]'", open "open2"))
    local code, output = cli("workflow result --address %s -w open2", address)
    assert.are.equal(1, code)
    assert.matches("Cause:\n        Message: tired\n", output)
    assert.matches("unable to complete Activity",
      fails(1, "activity complete --address %s -w open1 -a 9 --result 1", address))
    assert.matches("not valid JSON", fails(2, "activity complete --address %s -w open1 -a 9 --result {", address))
    assert.matches("%-%-result is required", fails(2, "activity complete --address %s -w x -a 1", address))
    assert.matches("unable to fail Activity", fails(1, "activity fail --address %s -w open1 -a 9", address))
  end)
end)
