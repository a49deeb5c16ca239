-- Child workflows on the whole system: server, worker and Lua, with skipped time. Each environment
-- replays every workflow at its end.
local helper = require "helper"

local head = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
]]

-- Children that most specs use.
local children = [[
  local echo = workflow.define("Echo", function(...) return ... end)
  local boom = workflow.define("Boom", function()
    error(temporal.failure { type = "CardDeclined", message = "no funds", non_retryable = true })
  end)
  local wait = workflow.define("Wait", function()
    local got = {}
    workflow.set_signal_handler("go", function(...) got[#got + 1] = table.pack(...) end)
    workflow.set_query_handler("got", function() return #got end)
    workflow.wait_condition(function() return #got > 0 and got[#got][1] == "end" end)
    return #got, got[1][2]
  end)
  local stubborn = workflow.define("Stubborn", function()
    pcall(workflow.sleep, "1h")
    return "anyway"
  end)
]]

local function environment(body, options)
  return helper.environment(head .. children .. body, options)
end

local function run(body, ...)
  local env <close> = environment(body)
  return env:execute_workflow("Parent", { id = "parent", execution_timeout = "90d" }, ...)
end

--- The failure that ended the workflow.
local function failure_of(handle)
  local ok, err = pcall(handle.result, handle)
  assert.is_false(ok)
  return err.cause or err
end

local function status_of(handle)
  return handle:describe().status
end

local function is_running(handle)
  local ok, status = pcall(status_of, handle)
  return ok and status == "running"
end

--- "start_child_workflow_execution_initiated child_workflow_execution_started ..."
local function event_names(handle)
  local names = {}
  for i, event in ipairs(handle:fetch_history()) do
    for key in pairs(event) do
      names[i] = names[i] or key:match "^(.*)_event_attributes$"
    end
  end
  return table.concat(names, " ")
end

--- The attributes of all events of a kind.
local function events(handle, name)
  local found = {}
  for _, event in ipairs(handle:fetch_history()) do
    found[#found + 1] = event[name .. "_event_attributes"]
  end
  return found
end

describe("a child workflow", function()
  it("gets arguments and gives results", function()
    assert.are.same({ 1, "two", true }, { run [[
      return { echo, workflow.define("Parent", function()
        return workflow.execute_child_workflow("Echo", nil, 1, "two", true)
      end) }]] })
  end)

  it("is named by its definition, and told where it comes from", function()
    local info = run [[
      local who = workflow.define("Who", function()
        local info = workflow.info()
        return { parent = info.parent, root = info.root, id = info.workflow_id }
      end)
      local middle = workflow.define("Middle", function()
        return workflow.execute_child_workflow(who, { id = "grandchild" })
      end)
      return { who, middle, workflow.define("Parent", function()
        return workflow.execute_child_workflow(middle, { id = "child" })
      end) }]]
    assert.are.equal("grandchild", info.id)
    assert.are.equal("child", info.parent.workflow_id)
    assert.are.equal("parent", info.root.workflow_id)
  end)

  it("has a handle once it has started, with a random id of its own", function()
    local a, b, run_id, sum = run [[
      return { echo, workflow.define("Parent", function()
        local a = workflow.start_child_workflow("Echo", nil, 40)
        local b = workflow.start_child_workflow("Echo", nil, 2)
        return a.id, b.id, a.run_id, a:result() + b:result()
      end) }]]
    assert.are.equal(42, sum)
    assert.are_not.equal(a, b)
    assert.matches("^%x+%-%x+%-4%x+%-%x+%-%x+$", a)
    assert.matches("^%x+%-%x+%-%x+%-%x+%-%x+$", run_id)
  end)

  it("is a future like any other", function()
    local first, results, done = run [[
      return { echo, wait, workflow.define("Parent", function()
        local slow = workflow.start_child_workflow("Wait")
        local quick = workflow.start_child_workflow("Echo", nil, "quick")
        local first = workflow.wait_any { slow, quick, workflow.start_timer "1h" }
        slow:signal("go", "end", "bye")
        local all = workflow.wait_all { slow, quick }
        return first:result(), { all[1], all[2] }, slow:done()
      end) }]]
    assert.are.equal("quick", first)
    assert.are.same({ 1, "quick" }, results)
    assert.is_true(done)
  end)

  it("works through a proxy with options", function()
    local a, b, id = run [[
      return { echo, workflow.define("Parent", function()
        local child = workflow.child("Echo", { id = "proxied", id_reuse_policy = "allow_duplicate" })
        local handle = child:start("b")
        local b, id = handle:result(), handle.id
        return child("a"), b, id
      end) }]]
    assert.are.same({ "a", "b", "proxied" }, { a, b, id })
  end)

  it("that fails raises a ChildWorkflowError with the child's failure", function()
    local e = run [[
      return { boom, workflow.define("Parent", function()
        local ok, err = pcall(workflow.execute_child_workflow, "Boom", { id = "b" })
        return { ok = ok, kind = err.kind, id = err.workflow_id, type = err.workflow_type,
          run = err.run_id ~= nil, initiated = err.initiated_event_id, started = err.started_event_id,
          cause = err.cause.type, message = err.cause.message, retry_state = err.retry_state,
          is = temporal.is_failure(err, "CardDeclined") }
      end) }]]
    assert.are.same({ ok = false, kind = "ChildWorkflowError", id = "b", type = "Boom", run = true,
      initiated = 5, started = 6, cause = "CardDeclined", message = "no funds",
      retry_state = "retry_policy_not_set", is = true }, e)
  end)

  it("that nobody catches fails the parent with the whole chain", function()
    local env <close> = environment [[
      return { boom, workflow.define("Parent", function()
        workflow.execute_child_workflow "Boom"
      end) }]]
    local err = failure_of(env:start_workflow("Parent"))
    assert.are.equal("ChildWorkflowError", err.kind)
    assert.are.equal("CardDeclined", err.cause.type)
  end)

  it("writes the events that the server writes", function()
    local env <close> = environment [[
      return { echo, workflow.define("Parent", function()
        return workflow.execute_child_workflow("Echo", { id = "e" }, 1)
      end) }]]
    local handle = env:start_workflow("Parent", { id = "p" })
    handle:result()
    assert.are.equal("workflow_execution_started workflow_task_scheduled workflow_task_started "
      .. "workflow_task_completed start_child_workflow_execution_initiated "
      .. "child_workflow_execution_started workflow_task_scheduled workflow_task_started "
      .. "workflow_task_completed child_workflow_execution_completed workflow_task_scheduled "
      .. "workflow_task_started workflow_task_completed workflow_execution_completed",
      event_names(handle))
    local closed = events(handle, "child_workflow_execution_completed")[1]
    assert.are.equal(5, closed.initiated_event_id)
    assert.are.equal(6, closed.started_event_id)
    local child = env.client:get_workflow_handle("e")
    local started = events(child, "workflow_execution_started")[1]
    assert.are.equal("p", started.parent_workflow_execution.workflow_id)
    assert.are.equal("default", started.parent_workflow_namespace)
    assert.are.equal(5, started.parent_initiated_event_id)
  end)
end)

describe("options of a child", function()
  it("reach it", function()
    local env <close> = environment([[
      local show = workflow.define("Show", function()
        local i = workflow.info()
        return { queue = i.task_queue, execution = i.workflow_execution_timeout,
          run = i.workflow_run_timeout, task = i.workflow_task_timeout, memo = i.memo,
          key = i.priority.priority_key, attempts = i.retry_policy.maximum_attempts }
      end)
      return { show, workflow.define("Parent", function()
        return workflow.execute_child_workflow("Show", {
          id = "shown", execution_timeout = "1h", run_timeout = "30m", task_timeout = "5s",
          retry_policy = { maximum_attempts = 3 }, memo = { note = "hello" },
          search_attributes = { CustomKeywordField = "red" }, static_summary = "in short",
          static_details = "at length", priority = { priority_key = 2 },
          parent_close_policy = "abandon", id_reuse_policy = "reject_duplicate",
          versioning_intent = "default" })
      end) }]], { search_attributes = { CustomKeywordField = "keyword" } })
    local handle = env:start_workflow("Parent")
    local shown = handle:result()
    assert.are.equal(3600, shown.execution)
    assert.are.equal(1800, shown.run)
    assert.are.equal(5, shown.task)
    assert.are.equal("hello", shown.memo.note)
    assert.are.equal(2, shown.key)
    assert.are.equal(3, shown.attempts)
    local initiated = events(handle, "start_child_workflow_execution_initiated")[1]
    assert.are.equal("abandon", initiated.parent_close_policy)
    assert.are.equal("reject_duplicate", initiated.workflow_id_reuse_policy)
    assert.is_falsy(initiated.inherit_build_id)
    assert.is_not_nil(initiated.search_attributes.indexed_fields.CustomKeywordField)
    local started = env.client:get_workflow_handle("shown"):fetch_history()[1]
    assert.is_not_nil(started.user_metadata.summary)
    assert.is_not_nil(started.user_metadata.details)
  end)

  it("that do not exist raise with a near match", function()
    local env <close> = environment [[
      return { echo, workflow.define("Parent", function(what)
        if what == "option" then
          local ok, err = pcall(workflow.execute_child_workflow, "Echo", { parent_close_polcy = "abandon" })
          return tostring(err)
        elseif what == "enum" then
          local ok, err = pcall(workflow.execute_child_workflow, "Echo", { parent_close_policy = "drop" })
          return tostring(err)
        elseif what == "proxy" then
          local ok, err = pcall(workflow.child, "Echo", { idd = "x" })
          return tostring(err)
        end
        local ok, err = pcall(workflow.execute_child_workflow, 42)
        return tostring(err)
      end) }]]
    assert.matches("unknown option 'parent_close_polcy' %(did you mean 'parent_close_policy'%?%)",
      env:execute_workflow("Parent", nil, "option"))
    assert.matches("must be one of \"unspecified\", \"terminate\"",
      env:execute_workflow("Parent", nil, "enum"))
    assert.matches("unknown option 'idd'", env:execute_workflow("Parent", nil, "proxy"))
    assert.matches("a name or a definition, got a number",
      env:execute_workflow("Parent", nil, "type"))
  end)

  it("with search attributes that its namespace does not know fail the workflow task", function()
    local env <close> = helper.environment([[
      local workflow = require "temporal.workflow"
      return {
        workflow.define("Parent", function(fields)
          return workflow.execute_child_workflow("Child", { search_attributes = fields })
        end),
        workflow.define("Child", function() return workflow.info().search_attributes.Known end),
      }]], { search_attributes = { Known = "keyword" }, replay = false })
    assert.are.equal("yes", env:execute_workflow("Parent", {}, { Known = "yes" }))
    for wrong, message in pairs { Unknown = "search attribute Unknown", Known = "search attribute Known" } do
      local handle = env:start_workflow("Parent", {}, { [wrong] = wrong == "Known" and 5 or "x" })
      local failure, attributes = helper.task_failure(env, handle)
      assert.matches(message, failure.message)
      assert.are.equal("bad_search_attributes", attributes.cause)
      handle:terminate()
    end
  end)

  it("that the server refuses fail the workflow task, not the workflow", function()
    local env <close> = helper.environment(head .. children .. [[
      return { echo, workflow.define("Parent", function()
        return workflow.execute_child_workflow("Echo", { cron_schedule = "every day" })
      end) }]], { replay = false })
    local handle = env:start_workflow("Parent")
    local failure, attributes = helper.task_failure(env, handle)
    assert.are.equal("bad_start_child_execution_attributes", attributes.cause)
    assert.matches("invalid CronSchedule", failure.message)
    handle:terminate()
  end)
end)

describe("the id of a child", function()
  local function conflict(policy, first)
    return run(([[
      return { echo, boom, wait, workflow.define("Parent", function()
        local first = workflow.start_child_workflow("%s", { id = "same" })
        if "%s" ~= "Wait" then pcall(first.result, first) end
        local ok, err = pcall(workflow.execute_child_workflow, "Echo",
          { id = "same", id_reuse_policy = "%s" }, "second")
        return ok, ok and err or err.cause.type, not ok and err.kind
      end) }]]):format(first, first, policy))
  end

  it("cannot be that of a running workflow", function()
    local ok, type, kind = conflict("allow_duplicate", "Wait")
    assert.is_false(ok)
    assert.are.equal("WorkflowAlreadyStartedError", type)
    assert.are.equal("ChildWorkflowError", kind)
  end)

  it("may be used again as the policy says", function()
    assert.are.same({ true, "second", false }, { conflict("allow_duplicate", "Echo") })
    assert.are.same({ true, "second", false }, { conflict("allow_duplicate_failed_only", "Boom") })
    assert.are.equal("WorkflowAlreadyStartedError",
      select(2, conflict("allow_duplicate_failed_only", "Echo")))
    assert.are.equal("WorkflowAlreadyStartedError", select(2, conflict("reject_duplicate", "Boom")))
  end)

  it("ends a running workflow with terminate_if_running", function()
    assert.are.same({ true, "second", false }, { conflict("terminate_if_running", "Wait") })
  end)
end)

describe("a child's chain of runs", function()
  it("is one child: the parent hears of its end only", function()
    local last, names = run [[
      local count = workflow.define("Count", function(n)
        if n > 0 then workflow.continue_as_new({}, n - 1) end
        return workflow.info().parent.workflow_id
      end)
      return { count, workflow.define("Parent", function()
        return workflow.execute_child_workflow("Count", { id = "count" }, 3)
      end) }]]
    assert.are.equal("parent", last)
    assert.is_nil(names)
  end)

  it("is retried", function()
    local attempts, handled = run [[
      local flaky = workflow.define("Flaky", function()
        local n = workflow.info().attempt
        if n < 3 then error(temporal.failure { type = "Flaky", message = "again" }) end
        return n
      end)
      return { flaky, workflow.define("Parent", function()
        return workflow.execute_child_workflow("Flaky", { retry_policy = { initial_interval = "10s" } })
      end) }]]
    assert.are.equal(3, attempts)
    assert.is_nil(handled)
  end)

  it("of a schedule goes on until the parent closes", function()
    local env <close> = environment [[
      return { echo, workflow.define("Parent", function()
        local child = workflow.start_child_workflow("Echo", { id = "cron", cron_schedule = "* * * * *" })
        workflow.sleep "5m30s"
        return child:done()
      end) }]]
    assert.is_false(env:execute_workflow("Parent"))
    assert.are.equal("terminated", status_of(env.client:get_workflow_handle("cron")))
  end)

  it("is signalled through its handle whatever run is the current one", function()
    assert.are.equal("second run", (run [[
      local hop = workflow.define("Hop", function(second)
        local got
        workflow.set_signal_handler("go", function(v) got = v end)
        if not second then workflow.continue_as_new({}, true) end
        workflow.wait_condition(function() return got end)
        return got
      end)
      return { hop, workflow.define("Parent", function()
        local child = workflow.start_child_workflow("Hop")
        workflow.sleep "10s"
        child:signal("go", "second run")
        return child:result()
      end) }]]))
  end)
end)

describe("how a child ends", function()
  it("timed out", function()
    local kind, type, retry_state = run [[
      return { wait, workflow.define("Parent", function()
        local ok, err = pcall(workflow.execute_child_workflow, "Wait", { run_timeout = "1m" })
        return err.cause.kind, err.cause.timeout_type, err.retry_state
      end) }]]
    assert.are.same({ "TimeoutError", "start_to_close", "retry_policy_not_set" },
      { kind, type, retry_state })
  end)

  it("terminated or cancelled by somebody else", function()
    local env <close> = environment [[
      return { wait, workflow.define("Parent", function()
        local ok, err = pcall(workflow.execute_child_workflow, "Wait", { id = "victim" })
        return err.kind, err.cause.kind, temporal.is_cancelled(err)
      end) }]]
    for _, how in ipairs { "terminate", "cancel" } do
      local handle = env:start_workflow("Parent")
      local child = env.client:get_workflow_handle("victim")
      helper.eventually(env, function()
        return is_running(child)
      end)
      child[how](child)
      local expected = how == "terminate" and { "ChildWorkflowError", "TerminatedError", false }
        or { "ChildWorkflowError", "CancelledError", true }
      assert.are.same(expected, { handle:result() })
    end
  end)
end)

describe("cancelling a child", function()
  local function cancel(kind, child, before)
    return run(([[
      return { wait, stubborn, workflow.define("Parent", function()
        local child = workflow.start_child_workflow("%s", { id = "c", cancellation_type = "%s" })
        %s
        child:cancel("enough")
        local began = workflow.now()
        local ok, err = pcall(child.result, child)
        -- A minute that is waited for is skipped; the machine's own time passes, too.
        return ok, ok and err or err.cause.kind, temporal.is_cancelled(err), workflow.now() - began < 30
      end) }]]):format(child, kind, before or ""))
  end

  it("waits for its end unless told otherwise", function()
    assert.are.same({ false, "CancelledError", true, true },
      { cancel("wait_cancellation_completed", "Wait") })
    assert.are.equal("anyway", select(2, cancel("wait_cancellation_completed", "Stubborn")))
  end)

  it("can be told at once, or when the request has arrived", function()
    for _, kind in ipairs { "try_cancel", "wait_cancellation_requested" } do
      assert.are.same({ false, "CancelledError", true, true }, { cancel(kind, "Stubborn") })
      assert.are.same({ false, "CancelledError", true, true },
        { cancel(kind, "Stubborn", "workflow.sleep '1m'") })
    end
  end)

  it("can leave it alone", function()
    local env <close> = environment [[
      return { wait, workflow.define("Parent", function()
        local child = workflow.start_child_workflow("Wait",
          { id = "left", cancellation_type = "abandon", parent_close_policy = "abandon" })
        child:cancel()
        return (pcall(child.result, child))
      end) }]]
    assert.is_false(env:execute_workflow("Parent"))
    local child = env.client:get_workflow_handle("left")
    assert.are.equal("running", status_of(child))
    child:signal("go", "end")
    assert.are.equal(1, (child:result()))
  end)

  it("tells the child who asked and why", function()
    local env <close> = environment [[
      return { wait, workflow.define("Parent", function()
        local child = workflow.start_child_workflow("Wait", { id = "asked" })
        child:cancel("too late")
        pcall(child.result, child)
      end) }]]
    env:execute_workflow("Parent", { id = "asker" })
    local asked = events(env.client:get_workflow_handle("asked"),
      "workflow_execution_cancel_requested")[1]
    assert.are.equal("too late", asked.cause)
    assert.are.equal("asker", asked.external_workflow_execution.workflow_id)
  end)

  it("before it was sent leaves no trace in history", function()
    local env <close> = environment [[
      return { wait, workflow.define("Parent", function()
        local f = workflow.spawn(function() return workflow.execute_child_workflow("Wait") end)
        workflow.sleep(0)
        f:cancel()
        local ok, err = pcall(f.result, f)
        return ok, temporal.is_cancelled(err)
      end) }]]
    local handle = env:start_workflow("Parent")
    assert.are.same({ false, true }, { handle:result() })
    assert.are.equal(0, #events(handle, "start_child_workflow_execution_initiated"))
  end)

  it("follows the cancellation of the parent", function()
    local env <close> = environment [[
      return { wait, workflow.define("Parent", function()
        workflow.execute_child_workflow("Wait", { id = "followed" })
      end) }]]
    local handle = env:start_workflow("Parent")
    local child = env.client:get_workflow_handle("followed")
    helper.eventually(env, function()
      return is_running(child)
    end)
    handle:cancel()
    assert.is_false((pcall(handle.result, handle)))
    assert.are.equal("canceled", status_of(handle))
    assert.are.equal("canceled", status_of(child))
  end)
end)

describe("when the parent closes", function()
  local function close(policy, ending)
    local env <close> = environment(([[
      return { wait, stubborn, workflow.define("Parent", function()
        workflow.start_child_workflow("Wait", { id = "child", parent_close_policy = "%s" })
        %s
      end) }]]):format(policy, ending or ""))
    local handle = env:start_workflow("Parent")
    pcall(handle.result, handle)
    local child = env.client:get_workflow_handle("child")
    if policy ~= "abandon" then
      pcall(child.result, child)
    end
    local status = status_of(child)
    if status == "running" then
      child:terminate()
    end
    return status, child
  end

  it("its children are terminated, cancelled or left, as each was told", function()
    local env <close> = environment [[
      return { wait, workflow.define("Parent", function()
        for _, policy in ipairs { "terminate", "request_cancel", "abandon" } do
          workflow.start_child_workflow("Wait", { id = policy, parent_close_policy = policy })
        end
      end) }]]
    env:execute_workflow("Parent", { id = "closing" })
    local function child(id)
      return env.client:get_workflow_handle(id)
    end
    assert.are.equal("terminated", status_of(child("terminate")))
    local reason = events(child("terminate"), "workflow_execution_terminated")[1]
    assert.are.equal("by parent close policy", reason.reason)
    assert.is_false((pcall(child("request_cancel").result, child("request_cancel"))))
    assert.are.equal("canceled", status_of(child("request_cancel")))
    assert.are.equal("running", status_of(child("abandon")))
    child("abandon"):terminate()
  end)

  it("by failing, the same holds", function()
    assert.are.equal("terminated", (close("unspecified", "error(temporal.failure 'no')")))
    assert.are.equal("canceled", (close("request_cancel", "error(temporal.failure 'no')")))
    assert.are.equal("running", (close("abandon", "error(temporal.failure 'no')")))
  end)

  it("a child that has not started never will", function()
    local env <close> = environment [[
      return { echo, workflow.define("Parent", function()
        workflow.spawn(function()
          workflow.execute_child_workflow("Echo", { id = "never", parent_close_policy = "abandon" })
        end)
        workflow.sleep(0)
      end) }]]
    local handle = env:start_workflow("Parent")
    handle:result()
    assert.are.equal(1, #events(handle, "start_child_workflow_execution_initiated"))
    assert.are.equal(0, #events(handle, "child_workflow_execution_started"))
    local child = env.client:get_workflow_handle("never")
    assert.is_false((pcall(child.describe, child)))
  end)

  it("goes down a whole family", function()
    local env <close> = environment [[
      local deep = workflow.define("Deep", function(n)
        if n > 0 then workflow.start_child_workflow("Deep", { id = "deep-" .. n - 1 }, n - 1) end
        workflow.sleep "10d"
      end)
      return { deep }]]
    local handle = env:start_workflow("Deep", { id = "deep-5" }, 5)
    local last = env.client:get_workflow_handle("deep-0")
    helper.eventually(env, function()
      return is_running(last)
    end)
    handle:terminate()
    assert.are.equal("terminated", status_of(last))
  end)
end)

describe("a running parent", function()
  it("shows its pending children", function()
    local env <close> = environment [[
      return { wait, workflow.define("Parent", function()
        local child = workflow.start_child_workflow("Wait", { id = "seen", parent_close_policy = "request_cancel" })
        return child:result()
      end) }]]
    local handle = env:start_workflow("Parent", { id = "shows" })
    local pending
    helper.eventually(env, function()
      pending = handle:describe().pending_children
      return pending and #pending == 1 and pending[1].run_id ~= ""
    end)
    assert.are.equal("seen", pending[1].workflow_id)
    assert.are.equal("Wait", pending[1].workflow_type_name)
    assert.are.equal("request_cancel", pending[1].parent_close_policy)
    local child = env.client:get_workflow_handle("seen")
    assert.are.equal("shows", child:describe().parent_id)
    child:signal("go", "end")
    handle:result()
  end)
end)
