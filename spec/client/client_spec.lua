local helper = require "helper"
local temporal = require "temporal"

local source = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
  return {
    workflow.define("Echo", function(...) return ... end),
    workflow.define("Waits", function()
      local seen = {}
      workflow.set_signal_handler("add", function(x) seen[#seen + 1] = x end)
      workflow.set_query_handler("seen", function() return seen end)
      workflow.set_query_handler("fails", function() error("no answer", 0) end)
      workflow.wait_condition(function() return #seen >= 2 end)
      return seen
    end),
    workflow.define("Fails", function()
      error(temporal.failure { type = "Broken", message = "it broke", details = { 1, "two" }, non_retryable = true })
    end),
    workflow.define("Chain", function(n)
      if n > 0 then workflow.continue_as_new({}, n - 1) end
      return "end"
    end),
    workflow.define("Sleeps", function() workflow.sleep("30d") return "woke" end),
  }
]]

describe("client", function()
  it("carries values of every kind there and back", function()
    local env <close> = helper.environment(source)
    local got = table.pack(env:execute_workflow("Echo", nil, 1, 1.0, "text", true, temporal.null, { a = { 1, 2 } },
      temporal.array {}, {}, 9007199254740993, temporal.bytes "\0\xff"))
    assert.are.equal(10, got.n)
    assert.are.equal("integer", math.type(got[1]))
    assert.are.equal("float", math.type(got[2]))
    assert.are.equal("text", got[3])
    assert.are.equal(true, got[4])
    assert.are.same({ a = { 1, 2 } }, got[6])
    assert.are.equal(9007199254740993, got[9])
    assert.are.equal("\0\xff", tostring(got[10]))
  end)

  it("signals, queries and waits", function()
    local env <close> = helper.environment(source)
    local handle = env:start_workflow("Waits", { id = "w" })
    handle:signal("add", 1)
    assert.are.same({ 1 }, handle:query "seen")
    local ok, err = pcall(handle.query, handle, "fails")
    assert.is_false(ok)
    assert.are.equal("WorkflowQueryFailedError", err.type)
    assert.matches("no answer", err.message)
    ok, err = pcall(handle.query, handle, "unknown")
    assert.is_false(ok)
    assert.matches("unknown", err.message)
    handle:signal("add", 2)
    assert.are.same({ 1, 2 }, handle:result())
    assert.are.same({ 1, 2 }, handle:query "seen")
  end)

  it("starts with a signal", function()
    local env <close> = helper.environment(source)
    local function start(value)
      return env:start_workflow("Waits", {
        id = "s",
        start_signal = "add",
        start_signal_args = { value },
      })
    end
    start "first"
    local handle = start "second"
    assert.are.same({ "first", "second" }, handle:result())
  end)

  it("tells failures with their cause", function()
    local env <close> = helper.environment(source)
    local ok, err = pcall(env.execute_workflow, env, "Fails")
    assert.is_false(ok)
    assert.are.equal("WorkflowFailureError", err.type)
    assert.are.equal("Broken", err.cause.type)
    assert.are.equal("it broke", err.cause.message)
    assert.are.same({ 1, "two" }, err.cause.details)
    assert.is_true(temporal.is_failure(err, "Broken"))
    assert.is_false(temporal.is_failure(err, "Other"))
  end)

  it("refuses a second run under the same id unless told otherwise", function()
    local env <close> = helper.environment(source)
    local first = env:start_workflow("Waits", { id = "same" })
    local ok, err = pcall(env.start_workflow, env, "Waits", { id = "same" })
    assert.is_false(ok)
    assert.are.equal("WorkflowAlreadyStartedError", err.type)
    assert.are.equal(first.first_execution_run_id, err.run_id)
    local again = env:start_workflow("Waits", { id = "same", id_conflict_policy = "use_existing" })
    assert.are.equal(first.first_execution_run_id, again.first_execution_run_id)
    local new = env:start_workflow("Waits", { id = "same", id_conflict_policy = "terminate_existing" })
    assert.are_not.equal(first.first_execution_run_id, new.first_execution_run_id)
    new:terminate "done"
    ok, err = pcall(env.start_workflow, env, "Waits", { id = "same", id_reuse_policy = "reject_duplicate" })
    assert.is_false(ok)
    assert.are.equal("WorkflowAlreadyStartedError", err.type)
  end)

  it("gives handles of a chain of runs, and of one run", function()
    local env <close> = helper.environment(source)
    local handle = env:start_workflow("Waits", { id = "chain" })
    assert.is_nil(handle.run_id)
    assert.are.equal(handle:describe().run_id, handle.result_run_id)
    assert.are.equal(handle.result_run_id, handle.first_execution_run_id)
    local met = env:start_workflow("Waits", { id = "chain", id_conflict_policy = "use_existing" })
    assert.are.equal(handle.result_run_id, met.result_run_id)
    assert.are.equal(handle.first_execution_run_id, met.first_execution_run_id)
    local of_run = env.client:get_workflow_handle("chain", handle.result_run_id)
    assert.are.equal(handle.result_run_id, of_run.run_id)
    assert.are.equal(handle.result_run_id, of_run.result_run_id)
    assert.is_nil(of_run.first_execution_run_id)
    handle:terminate "enough"
    local other = env:start_workflow("Waits", { id = "chain" })
    -- The old handle is of a chain that has ended: it does not touch its successor.
    for _, method in ipairs { "cancel", "terminate" } do
      local ok, err = pcall(handle[method], handle)
      assert.is_false(ok)
      assert.are.equal("NOT_FOUND", err.status)
    end
    local ok, err = pcall(of_run.signal, of_run, "go")
    assert.is_false(ok)
    assert.are.equal("NOT_FOUND", err.status)
    ok, err = pcall(handle.result, handle)
    assert.is_false(ok)
    assert.is_true(temporal.is_failure(err, "TerminatedError"))
    local current = env.client:get_workflow_handle("chain", { first_execution_run_id = other.first_execution_run_id })
    assert.is_nil(current.run_id)
    current:terminate "done"
    ok, err = pcall(env.client.get_workflow_handle, env.client, "chain", { run_idd = "x" })
    assert.is_false(ok)
    assert.matches("did you mean 'run_id'", err)
    ok, err = pcall(env.client.get_workflow_handle, env.client, "")
    assert.is_false(ok)
    assert.matches("not empty", err)
  end)

  it("is told of a page token that is of another run, and which request started a run", function()
    local env <close> = helper.environment(source)
    local one = env:start_workflow("Waits", { id = "one", request_id = "the request" })
    env:start_workflow("Waits", { id = "two" })
    local c = env.client
    local function page(id, token)
      return c:call("GetWorkflowExecutionHistory", {
        namespace = c.namespace, execution = { workflow_id = id }, maximum_page_size = 1, next_page_token = token,
      })
    end
    local token = page("one").next_page_token
    assert.is_true(#token > 0)
    assert.is_table(page("one", token).history)
    local ok, err = pcall(page, "two", token)
    assert.is_false(ok)
    assert.are.equal("NOT_FOUND", err.status)
    assert.matches("page token", err.message)
    local ids = one:describe().workflow_extended_info.request_id_infos
    assert.are.equal(1, ids["the request"].event_id)
  end)

  it("follows continue-as-new to the end, or not", function()
    local env <close> = helper.environment(source)
    local handle = env:start_workflow("Chain", { id = "chain" }, 3)
    assert.are.equal("end", handle:result())
    local first = env.client:get_workflow_handle("chain", handle.first_execution_run_id)
    local ok, err = pcall(first.result, first, { follow_runs = false })
    assert.is_false(ok)
    assert.is_true(temporal.is_failure(err, "ContinuedAsNewError"))
  end)

  it("cancels and terminates", function()
    local env <close> = helper.environment(source)
    local handle = env:start_workflow("Sleeps", { id = "c" })
    handle:cancel()
    local ok, err = pcall(handle.result, handle)
    assert.is_false(ok)
    assert.is_true(temporal.is_cancelled(err))
    handle = env:start_workflow("Sleeps", { id = "t" })
    handle:terminate "enough"
    ok, err = pcall(handle.result, handle)
    assert.is_false(ok)
    assert.is_true(temporal.is_failure(err, "TerminatedError"))
    assert.matches("enough", tostring(err.cause.message))
  end)

  it("skips thirty days in no time", function()
    local env <close> = helper.environment(source)
    local began, clock = env:now(), os.time()
    assert.are.equal("woke", env:execute_workflow("Sleeps"))
    assert.is_true(env:now() - began >= 30 * 86400)
    assert.is_true(os.time() - clock < 10)
  end)

  it("finds a new environment's worker polling, so that no time is skipped before it comes", function()
    for _ = 1, 30 do
      local env <close> = helper.environment(source, { activities = { act = function() end }, replay = false })
      for _, kind in ipairs { "TASK_QUEUE_TYPE_ACTIVITY", "TASK_QUEUE_TYPE_WORKFLOW" } do
        local queue = env.client:call("DescribeTaskQueue", {
          namespace = env.client.namespace, task_queue = { name = env.task_queue }, task_queue_type = kind,
        })
        assert.are.equal(1, #queue.pollers)
      end
    end
  end)

  it("leaves queries of closed runs to the reject condition", function()
    local env <close> = helper.environment(source)
    local handle = env:start_workflow("Waits", { id = "w" })
    handle:signal("add", 1)
    local open = { reject_condition = "not_open" }
    assert.are.same({ 1 }, handle:query_with(open, "seen"))
    handle:signal("add", 2)
    handle:result()
    local ok, err = pcall(handle.query_with, handle, open, "seen")
    assert.is_false(ok)
    assert.are.equal("WorkflowQueryRejectedError", err.type)
    for _, condition in ipairs { "none", "not_completed_cleanly" } do
      assert.are.same({ 1, 2 }, handle:query_with({ reject_condition = condition }, "seen"))
    end
    handle = env:start_workflow("Waits", { id = "t" })
    handle:query "seen"
    handle:terminate()
    ok, err = pcall(handle.query_with, handle, { reject_condition = "not_completed_cleanly" }, "seen")
    assert.is_false(ok)
    assert.are.equal("WorkflowQueryRejectedError", err.type)
  end)

  it("starts a workflow on a schedule, with a priority", function()
    local env <close> = helper.environment(source)
    local handle = env:start_workflow("Echo", { id = "cron", cron_schedule = "*/5 * * * *",
      priority = { priority_key = 2, fairness_key = "k", fairness_weight = 1.5 } }, "x")
    local started = helper.event(handle, "workflow_execution_started")
    assert.are.equal("*/5 * * * *", started.cron_schedule)
    assert.are.same({ 2, "k", 1.5 },
      { started.priority.priority_key, started.priority.fairness_key, started.priority.fairness_weight })
    local run = handle.first_execution_run_id
    helper.eventually(env, function() -- the next run of the chain
      return handle:describe().run_id ~= run
    end)
    handle:terminate()
    for wrong, message in pairs { [{ priority = { key = 1 } }] = "unknown option 'key'",
      [{ cron_schedule = 5 }] = "'cron_schedule' wants a string" } do
      assert.error_matches(function() env:start_workflow("Echo", wrong) end, message)
    end
    assert.error_matches(function()
      env:start_workflow("Echo", { cron_schedule = "nonsense" })
    end, "invalid CronSchedule")
  end)

  it("starts a workflow later, when start_delay says so", function()
    local env <close> = helper.environment(source)
    local began = env:now()
    local handle = env:start_workflow("Echo", { id = "later", start_delay = "1h" }, "x")
    assert.are.equal("x", handle:result())
    assert.is_true(env:now() - began >= 3600)
    assert.are.equal(3600, helper.event(handle, "workflow_execution_started").first_workflow_task_backoff)
  end)

  it("counts by group", function()
    local env <close> = helper.environment(source)
    for i = 1, 3 do
      env:execute_workflow("Echo", { id = "e" .. i })
    end
    local open = env:start_workflow("Waits", { id = "w" })
    local total, groups = env.client:count_workflows "GROUP BY ExecutionStatus"
    table.sort(groups, function(a, b) return a.count > b.count end)
    assert.are.equal(4, total)
    assert.are.same({ { count = 3, values = { "Completed" } }, { count = 1, values = { "Running" } } }, groups)
    assert.are.equal(1, select("#", env.client:count_workflows "WorkflowType = 'Waits'"))
    open:terminate()
  end)

  it("lists, counts, describes and deletes", function()
    local env <close> = helper.environment(source, { replay = false })
    for i = 1, 5 do
      env:execute_workflow("Echo", { id = "list-" .. i }, i)
    end
    env:start_workflow("Waits", { id = "open" })
    assert.are.equal(6, env.client:count_workflows())
    assert.are.equal(5, env.client:count_workflows "WorkflowType = 'Echo' AND ExecutionStatus = 'Completed'")
    local ids = {}
    for info in env.client:list_workflows("WorkflowType = 'Echo'", { page_size = 2 }) do
      ids[#ids + 1] = info.id
    end
    table.sort(ids)
    assert.are.same({ "list-1", "list-2", "list-3", "list-4", "list-5" }, ids)
    local described = env.client:get_workflow_handle("open"):describe()
    assert.are.equal("Waits", described.workflow_type)
    assert.are.equal("running", described.status)
    env.client:get_workflow_handle("list-1"):delete()
    helper.eventually(env, function() return env.client:count_workflows() == 5 end)
    local ok, err = pcall(env.client.count_workflows, env.client, "WorkflowTyp = 'Echo'")
    assert.is_false(ok)
    assert.are.equal("INVALID_ARGUMENT", err.status)
    assert.matches("WorkflowType", err.message)
  end)

  it("answers what does not exist with NOT_FOUND", function()
    local env <close> = helper.environment(source)
    local handle = env.client:get_workflow_handle "nobody"
    for _, call in ipairs { "describe", "cancel", "fetch_history" } do
      local ok, err = pcall(handle[call], handle)
      assert.is_false(ok)
      assert.are.equal("NOT_FOUND", err.status)
    end
    local ok, err = pcall(handle.signal, handle, "x")
    assert.is_false(ok)
    assert.are.equal("NOT_FOUND", err.status)
  end)

  it("keeps everything in a file across a restart", function()
    local name = os.tmpname()
    os.remove(name)
    do
      local env <close> = helper.environment(source, { db_filename = name, replay = false })
      assert.are.equal("kept", env:execute_workflow("Echo", { id = "done" }, "kept"))
      local handle = env:start_workflow("Waits", { id = "going" })
      handle:signal("add", "before")
      assert.are.same({ "before" }, handle:query "seen")
    end
    do
      local env <close> = helper.environment(source, { db_filename = name })
      assert.are.equal("kept", env.client:get_workflow_handle("done"):result())
      local handle = env.client:get_workflow_handle "going"
      handle:signal("add", "after")
      assert.are.same({ "before", "after" }, handle:result())
    end
    for _, suffix in ipairs { "", "-wal", "-shm", ".lock" } do
      os.remove(name .. suffix)
    end
  end)
end)

describe("the module", function()
  local require_it = [[
    local temporal = require "temporal"
    local function loaded()
      for line in io.lines "/proc/self/maps" do
        if line:find "libgrpc" then return true end
      end
      return false
    end
  ]]

  local function run(script, environment)
    local file <close> = helper.file(require_it .. script)
    -- A module built for a sanitizer needs its runtime first, which helper.run takes away from other tools.
    return helper.run(("env %s LD_PRELOAD='%s' LUA_PATH='%s' LUA_CPATH='%s' lua5.4 %s"):format(
      environment or "", os.getenv "LD_PRELOAD" or "", package.path, package.cpath, file.name))
  end

  it("loads gRPC with the first connection and not before", function()
    local code, output, errors = run [[
      local inside <close> = temporal.connect {}
      io.write(tostring(loaded()))
      local outside <close> = temporal.connect { address = "localhost:1", lazy = true }
      io.write(" ", tostring(loaded()))
    ]]
    assert.are.equal("false true", output, errors)
    assert.are.equal(0, code)
  end)

  it("says so when gRPC is not there, and serves everything else", function()
    local folder = os.tmpname()
    os.remove(folder)
    assert(os.execute(("mkdir %s && for n in 20 29 37; do echo none >%s/libgrpc.so.$n; done"):format(folder, folder)))
    local code, output, errors = run([[
      for _ = 1, 2 do
        local ok, e = pcall(temporal.connect, { address = "localhost:1", lazy = true })
        assert(not ok)
        io.write(tostring(e), "\n")
      end
      local c <close> = temporal.connect {}
      io.write(c:count_workflows())
    ]], "LD_LIBRARY_PATH=" .. folder)
    os.execute("rm -r " .. folder)
    assert.matches("gRPC needs libgrpc%.so%.%d+: .-\n.*gRPC needs.*\n0$", output, 1, errors)
    assert.are.equal(0, code)
  end)
end)
