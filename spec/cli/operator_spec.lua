-- The commands for operators, and those that draw or rewrite histories, against a server of its own.
local helper = require "helper"
local client = require "temporal.client"

local server

local cli, ok, fails = helper.commands_at(function() return server end)

setup(function() server = helper.start_server() end)
teardown(function() getmetatable(server).__close(server) end)

describe("operator cluster", function()
  it("lists the server itself", function()
    assert.matches("Name +ClusterId .*\n +active +temporal%-lua .* true +false *\n$", ok "operator cluster list")
    assert.matches('^{"clusterName":"active",[^\n]+}\n$', ok "operator cluster list -o jsonl --limit 1")
  end)

  it("says that there are no others", function()
    assert.matches("elsewhere", fails(1, "operator cluster remove --name elsewhere"))
    assert.matches("replicates to no other", fails(1, "operator cluster upsert --frontend-address elsewhere:7233"))
    assert.matches("empty", fails(2, "operator cluster upsert --frontend-address ''"))
  end)
end)

describe("operator namespace", function()
  it("delete frees the name at once and removes what was in it", function()
    ok "operator namespace create gone --description old"
    local c <close> = client.connect { address = server.address, namespace = "gone" }
    for i = 1, 200 do -- more than go in one step
      local handle = c:start_workflow("Never", { id = "w" .. i, task_queue = "nobody" })
      if i % 2 == 0 then
        handle:terminate "closed before"
      end
    end
    assert.matches("mistyped", fails(1, "operator namespace delete gone </dev/null"))
    assert.matches("give %-%-yes", fails(1, "operator namespace delete gone -o json"))
    assert.matches("old", ok "operator namespace describe gone")
    assert.matches("Namespace gone has been deleted", ok "operator namespace delete gone --yes")
    assert.matches("gone is not found", fails(1, "operator namespace describe gone"))
    assert.matches("gone is not found", fails(1, "operator namespace delete gone --yes"))
    assert.is_nil(ok("operator namespace list"):find("gone", 1, true))
    local started, e = pcall(c.start_workflow, c, "Never", { task_queue = "nobody" })
    assert.is_false(started)
    assert.are.equal("NamespaceNotFoundError", e.type)
    ok "operator namespace create gone --description new"
    assert.are.equal(0, c:count_workflows())
    c:start_workflow("Never", { id = "w1", task_queue = "nobody" })
    assert.are.equal(1, c:count_workflows())
    for _ = 1, 200 do
      if server:errors():find("server.namespace_deleted", 1, true) then
        break
      end
      os.execute "sleep 0.05"
    end
    assert.matches("server%.namespace_deleted namespace=gone%-deleted%-%x+", server:errors())
    assert.are.equal(1, c:count_workflows()) -- the new one keeps what is its own
    local all = c:call("ListNamespaces", { namespace_filter = { include_deleted = true } }).namespaces
    local deleted = {}
    for _, d in ipairs(all) do
      deleted[#deleted + 1] = d.namespace_info.name:match "^gone%-deleted%-%x+$"
    end
    assert.are.equal(1, #deleted)
    assert.matches(deleted[1], fails(1, "workflow count -n %s", deleted[1]), 1, true)
  end)

  it("delete stays done over a restart, with runs that were still there", function()
    local db = os.tmpname()
    os.remove(db)
    local named = { "--db-filename " .. db, "--db-filename " .. db .. " --namespace kept" }
    local kept
    for _, arguments in ipairs(named) do
      local own <close> = helper.start_server(arguments)
      local c <close> = client.connect { address = own.address, namespace = "going" }
      if arguments == named[1] then
        c:call("RegisterNamespace", { namespace = "going", workflow_execution_retention_period = { seconds = 86400 } })
        for i = 1, 100 do
          c:start_workflow("Never", { id = "w" .. i, task_queue = "nobody" })
        end
        kept = c:call("DeleteNamespace", { namespace = "going" }).deleted_namespace
        own:stop "KILL"
      else
        local found, e = pcall(c.count_workflows, c)
        assert.is_false(found)
        assert.matches("going", tostring(e))
        for _ = 1, 200 do
          if own:errors():find("server.namespace_deleted", 1, true) then
            break
          end
          os.execute "sleep 0.05"
        end
        assert.matches("namespace_deleted namespace=" .. kept, own:errors(), 1, true)
        own:stop()
      end
    end
    for _, suffix in ipairs { "", "-wal", "-shm", ".lock" } do
      os.remove(db .. suffix)
    end
  end)

  it("create and update refuse what one cluster without an archive cannot do", function()
    for flags, word in pairs {
      ["--global"] = "global", ["--history-archival-state enabled"] = "archival",
      ["--visibility-archival-state enabled"] = "archival", ["--cluster elsewhere"] = "elsewhere",
      ["--active-cluster elsewhere"] = "elsewhere",
    } do
      assert.matches(word, fails(1, "operator namespace create refused %s", flags))
    end
    ok "operator namespace create single --cluster active --active-cluster active --history-archival-state disabled"
    for flags, word in pairs {
      ["--promote-global"] = "global", ["--history-archival-state enabled"] = "archival",
      ["--replication-state handover"] = "handover", ["--active-cluster elsewhere"] = "elsewhere",
      ["--cluster elsewhere"] = "elsewhere",
    } do
      assert.matches(word, fails(1, "operator namespace update single %s", flags))
    end
    ok "operator namespace update single --replication-state normal --cluster active --email o@example.org"
    assert.matches("o@example.org", ok "operator namespace describe single")
  end)
end)

describe("task-queue", function()
  local c
  setup(function()
    c = client.connect { address = server.address }
    for i = 1, 20 do
      c:start_workflow("Never", { id = "queued" .. i, task_queue = "waiting", task_timeout = 100 })
    end
    pcall(c.call, c, "PollWorkflowTaskQueue", { task_queue = { name = "waiting" }, identity = "a-poller" }, 5e9)
  end)
  teardown(function() c:close() end)

  it("describe tells of each type what waits, how fast, and who polls", function()
    local text = ok "task-queue describe -t waiting --report-reachability"
    assert.matches("Task Reachability:\n.*UNVERSIONED +reachable *\n", text)
    local backlog, add, go = text:match "UNVERSIONED +workflow +(%d+) +%S+ +[%d.-]+ +([%d.]+) +([%d.]+)"
    assert.are.equal("19", backlog)
    assert.is_true(tonumber(add) > 0.3 and tonumber(add) <= 20, text)
    assert.is_true(tonumber(go) > 0 and tonumber(go) <= 1, text)
    assert.matches("UNVERSIONED +workflow +a%-poller", text)
    assert.matches("UNVERSIONED +activity +0 ", text)
    text = ok "task-queue describe -t waiting --task-queue-type activity --disable-stats -o json"
    assert.matches('"reachability": null.*"pollers": null.*"stats": null', text)
  end)

  it("config set limits a queue, config get tells of it", function()
    local set = "task-queue config set -t limited --task-queue-type activity "
    assert.matches("No configuration found", ok "task-queue config get -t limited --task-queue-type activity")
    local text = ok(set .. "--queue-rps-limit 2.5 --queue-rps-limit-reason busy --identity me")
    assert.matches("Successfully updated.*Queue Rate Limit:.*Requests Per Second +2.5.*Reason +busy", text)
    text = ok "task-queue config get -t limited --task-queue-type activity -o json"
    assert.matches('"requestsPerSecond": 2.5.*"reason": "busy"', text)
    assert.matches('"updateIdentity": "me"', text)
    assert.matches('requestsPerSecond":2.5',
      ok "task-queue describe -t limited --legacy-mode --task-queue-type-legacy activity --report-config")
    local code, _, errors = cli(set .. "--queue-rps-limit 0")
    assert.are.equal(0, code)
    assert.matches("WARNING: .*STOP ALL TRAFFIC", errors)
    assert.matches("Requests Per Second +Not set", ok(set .. "--queue-rps-limit default"))
  end)

  it("config set gives fairness keys weights and a limit, and takes them away", function()
    local set = "task-queue config set -t fair --task-queue-type activity "
    local text = ok(set .. "--fairness-key-weight heavy=3 --fairness-key-weight light=0.5 "
      .. "--fairness-key-rps-limit-default 5 --fairness-key-rps-limit-reason even")
    assert.matches("Fairness Key Rate Limit Default:.*Requests Per Second +5.*Reason +even", text)
    text = ok "task-queue config get -t fair --task-queue-type activity"
    assert.matches("heavy +3", text)
    assert.matches("light +0.5", text)
    text = ok(set .. "--fairness-key-weight heavy=default --fairness-key-rps-limit-default default")
    assert.is_nil(text:find("heavy", 1, true))
    assert.matches("light +0.5", text)
    assert.matches("Requests Per Second +Not set", text)
    assert.is_nil(ok(set .. "--fairness-key-weight-clear-all"):find("light", 1, true))
    -- Weights are of workflow task queues, too; limits are not.
    ok "task-queue config set -t fair --task-queue-type workflow --fairness-key-weight heavy=3"
    assert.matches("workflow task queues",
      fails(1, "task-queue config set -t fair --task-queue-type workflow --fairness-key-rps-limit-default 1"))
  end)

  it("config set names what is wrong", function()
    local set = "task-queue config set -t limited --task-queue-type "
    assert.matches("nothing to set", fails(2, set .. "activity"))
    assert.matches("'fast'", fails(2, set .. "activity --queue-rps-limit fast"))
    assert.matches("'%-1'", fails(2, set .. "activity --queue-rps-limit=-1"))
    assert.matches("workflow task queues", fails(2, set .. "workflow --queue-rps-limit 1"))
    assert.matches("KEY=WEIGHT", fails(2, set .. "activity --fairness-key-weight heavy"))
    assert.matches("above 0", fails(2, set .. "activity --fairness-key-weight heavy=0"))
    assert.matches("exclude", fails(2, set .. "activity --fairness-key-weight a=1 --fairness-key-weight-clear-all"))
    assert.matches("fairness key length exceeds limit",
      fails(1, set .. "activity --fairness-key-weight " .. ("k"):rep(65) .. "=5"))
    assert.matches("%-%-task%-queue%-type", fails(2, "task-queue config set -t limited --queue-rps-limit 1"))
  end)

  it("describe selects builds", function()
    assert.matches("b%-1 +workflow +0 ", ok "task-queue describe -t waiting --select-build-id b-1")
    local active = ok "task-queue describe -t waiting --select-all-active"
    assert.matches("UNVERSIONED +workflow +19 ", active)
    assert.is_nil(ok("task-queue describe -t idle --select-all-active"):find("UNVERSIONED", 1, true))
    local both = ok "task-queue describe -t waiting --select-build-id b-1 --select-unversioned"
    assert.matches("b%-1 +workflow .*UNVERSIONED +workflow +19 ", both)
  end)

  it("describe in its plain mode", function()
    assert.matches("a%-poller", ok "task-queue describe -t waiting --legacy-mode --report-config")
    local json = ok "task-queue describe -t waiting --legacy-mode --partitions-legacy 2 -o json"
    assert.matches('"pollers": %[%s*{%s*"partition": 0,%s*"identity": "a%-poller"', json)
    assert.matches('"partition": 0,%s*"backlogCountHint": 19.*"partition": 1,%s*"backlogCountHint": 0', json)
    local other = ok "task-queue describe -t waiting --legacy-mode --task-queue-type-legacy activity"
    assert.is_nil(other:find("a-poller", 1, true))
    assert.matches("partitions%-legacy", fails(2, "task-queue describe -t waiting --legacy-mode --partitions-legacy 0"))
  end)

  it("list-partition", function()
    assert.matches("Workflow.*\n +waiting *\n\nActivity.*\n +waiting *\n$", ok "task-queue list-partition -t waiting")
    assert.matches('"workflowTaskQueuePartitions": %[%s*{%s*"key": "waiting"',
      ok "task-queue list-partition -t waiting -o json")
  end)

  it("has no worker versioning of the time before deployments", function()
    for method, request in pairs {
      GetWorkerBuildIdCompatibility = { task_queue = "q" }, GetWorkerVersioningRules = { task_queue = "q" },
      GetWorkerTaskReachability = { build_ids = { "b" } },
      UpdateWorkerBuildIdCompatibility = { task_queue = "q", add_new_build_id_in_new_default_set = "b" },
      UpdateWorkerVersioningRules = { task_queue = "q" },
    } do
      local done, e = pcall(c.call, c, method, request)
      assert.is_false(done)
      assert.are.equal("PERMISSION_DENIED", e.status)
      assert.matches(method:find "Compatibility" and "disabled on this namespace" or "worker deployments", e.message)
    end
    local done, e = pcall(c.call, c, "ListDeployments", {})
    assert.is_false(done)
    assert.are.equal("UNIMPLEMENTED", e.status)
    assert.matches("worker deployments", e.message)
  end)
end)

describe("workflow", function()
  local old = "spec/fixtures/histories/order_failed_old_spelling.json"

  it("fix-history-json writes the spelling of the present", function()
    local function run(arguments) return helper.run(helper.binary .. " workflow fix-history-json " .. arguments) end
    local code, output, errors = run("--source " .. old)
    assert.are.equal("", errors)
    assert.are.equal(0, code)
    assert.matches('"eventType": "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED"', output)
    local target = os.tmpname()
    assert.are.equal(0, (run(("-s %s -t %s"):format(old, target))))
    local file <close> = assert(io.open(target))
    assert.are.equal(output, file:read "a")
    local again <close> = helper.file(output)
    assert.are.equal(output, select(2, run("-s " .. again.name)))
    os.remove(target)
    local none <close> = helper.file "{}"
    for arguments, word in pairs {
      ["-s /no/such/file"] = "/no/such/file", ["-s " .. none.name] = "event",
      [("-s %s -t /no/such/folder/x"):format(old)] = "/no/such/folder/x",
    } do
      code, output, errors = run(arguments)
      assert.are.equal(1, code)
      assert.are.equal("", output)
      assert.matches(word, errors, 1, true)
    end
  end)

  it("describe --raw prints the answer as it came", function()
    local c <close> = client.connect { address = server.address }
    c:start_workflow("Never", { id = "raw", task_queue = "nobody", memo = { k = "v" } })
    assert.matches('"data": "InYi"', ok "workflow describe -w raw --raw")
    assert.matches('"k": "v"', ok "workflow describe -w raw -o json")
  end)
end)

describe("workflow trace", function()
  local workflows = [[
    local temporal = require "temporal"
    local workflow = require "temporal.workflow"
    local leaf = workflow.define("Leaf", function(fail)
      workflow.sleep(0.01)
      if fail then error(temporal.failure { type = "Broken", message = "leaf broke" }) end
      return "leaf"
    end)
    local branch = workflow.define("Branch", function(fail)
      return workflow.execute_child_workflow("Leaf", { id = workflow.info().workflow_id .. "/leaf" }, fail)
    end)
    local tree = workflow.define("Tree", function(wait)
      workflow.execute_activity("pick", { start_to_close_timeout = 5, retry_policy = { initial_interval = 0.01 } })
      workflow.execute_child_workflow("Branch", { id = "tree/good" })
      pcall(workflow.execute_child_workflow, "Branch", { id = "tree/bad" }, true)
      if wait then workflow.sleep(3600) end
    end)
    return { leaf, branch, tree }
  ]]
  local worker = [[
    local temporal = require "temporal"
    local tries = 0
    return temporal.worker {
      task_queue = "trees", workflows = { "trees" },
      activities = { pick = function() tries = tries + 1; if tries == 1 then error "not yet" end end },
      client = temporal.connect { address = os.getenv "SPEC_ADDRESS" },
    }
  ]]
  local run, folder

  local function write(name, text)
    local file <close> = assert(io.open(folder .. "/" .. name, "wb"))
    file:write(text)
  end

  setup(function()
    folder = helper.folder().name
    write("trees.lua", workflows)
    write("worker.lua", worker)
    run = helper.spawn(("worker run --address %s %s/worker.lua"):format(server.address, folder),
      "SPEC_ADDRESS=" .. server.address)
    assert.matches("trees", run.pipe:read "l")
    local c <close> = client.connect { address = server.address }
    c:execute_workflow("Tree", { id = "tree", task_queue = "trees" })
  end)
  teardown(function()
    getmetatable(run).__close(run)
    os.execute("rm -r " .. folder)
  end)

  it("draws activities, timers and children, folded as asked", function()
    local tree = ok "workflow trace -w tree"
    assert.matches("^ ╪ ✓ Tree %(.-%)\n.-completed, workflow tree, run %x", tree)
    assert.matches("┼ ✓ pick %(.-, 2 attempts%)\n", tree)
    assert.matches("╪ ✓ Branch %(.-%)\n.-workflow tree/good, run .- %(not unfolded%)\n", tree)
    assert.matches("╪ ! Branch %(.-%)\n.-failed, workflow tree/bad, run .-\n", tree)
    assert.matches("│  │ ╪ ! Leaf .-⧖ Timer 1 %(%d+m?s%)\n", tree)
    assert.matches("failure: leaf broke", tree)
    tree = ok "workflow trace -w tree --no-fold"
    assert.matches("completed, workflow tree/good/leaf", tree)
    assert.is_nil(tree:find("not unfolded", 1, true))
    tree = ok "workflow trace -w tree --no-fold --depth 1"
    assert.matches("completed, workflow tree/good,", tree)
    assert.matches("workflow tree/good/leaf, run .- %(not unfolded%)", tree)
    tree = ok "workflow trace -w tree --fold failed"
    assert.matches("workflow tree/bad, run .- %(not unfolded%)", tree)
    assert.matches("completed, workflow tree/good,", tree)
  end)

  it("waits for the end, not longer than it may", function()
    local c <close> = client.connect { address = server.address }
    local handle = c:start_workflow("Tree", { id = "tree", task_queue = "trees" }, true)
    assert.matches("has not ended", fails(1, "workflow trace -w tree --command-timeout 2s"))
    handle:terminate "enough"
    assert.matches("^ ╪ x Tree ", ok "workflow trace -w tree")
  end)

  it("refuses what it cannot draw", function()
    assert.matches("none", fails(1, "workflow trace -w none"))
    assert.matches("JSON", fails(2, "workflow trace -w tree -o json"))
    assert.matches("halfway", fails(2, "workflow trace -w tree --fold halfway"))
    assert.matches("exclude", fails(2, "workflow trace -w tree --fold failed --no-fold"))
  end)
end)
