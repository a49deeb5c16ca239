-- Updates: handlers and validators in workflows, the client's calls, what the server keeps of them.
local helper = require "helper"

local head = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
  local opts = { start_to_close_timeout = 10 }
]]

local function open(body, options)
  return helper.environment(head .. body, options)
end

local function failure_of(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return err
end

describe("updates", function()
  it("are done again by a reset, unless it leaves them out", function()
    local env <close> = open [[
      return workflow.define("W", function()
        local said, added = {}, {}
        workflow.set_signal_handler("say", function(word) said[#said + 1] = word end)
        workflow.set_update_handler("add", {
          handler = function(word) added[#added + 1] = word; return #added end,
          validator = function(word) if word == "no" then error("no", 0) end end,
        })
        workflow.wait_condition(function() return said[#said] == "end" end)
        return table.concat(said, " "), table.concat(added, " ")
      end)]]
    local first = env:start_workflow("W", { id = "w" })
    assert.are.equal(1, (first:execute_update("add", { id = "one" }, "a")))
    failure_of(first.execute_update, first, "add", nil, "no")
    first:signal("say", "b")
    assert.are.equal(2, (first:execute_update("add", { id = "two" }, "c")))
    local function reset(request_id, exclude)
      env.client:call("ResetWorkflowExecution", {
        namespace = "default", reason = "again", workflow_task_finish_event_id = 4, request_id = request_id,
        workflow_execution = { workflow_id = "w", run_id = first.first_execution_run_id },
        reset_reapply_exclude_types = exclude,
      })
      return env.client:get_workflow_handle "w"
    end
    local again = reset "1"
    assert.are.equal(1, (again:get_update_handle "one":result()))
    assert.are.equal(2, (again:get_update_handle "two":result()))
    local without = reset("2", { 2 }) -- updates
    without:signal("say", "end")
    assert.are.same({ "b end", "" }, { without:result() })
    local closed = reset "3" -- of a run that has ended by then
    closed:signal("say", "end")
    assert.are.same({ "b end", "a c" }, { closed:result() })
  end)

  it("are validated, accepted, and answered with the handler's values", function()
    local env <close> = open [[
      return workflow.define("W", function()
        local total = 0
        workflow.set_update_handler("add", {
          handler = function(x) total = total + x; return total, "added" end,
          validator = function(x) if x < 0 then error("negative: " .. x, 0) end end,
          description = "Adds.",
        })
        workflow.wait_condition(function() return total >= 10 end)
        return total
      end)]]
    local handle = env:start_workflow("W", { id = "w" })
    local sum, word = handle:execute_update("add", nil, 4)
    assert.are.same({ 4, "added" }, { sum, word })
    local err = failure_of(handle.execute_update, handle, "add", nil, -1)
    assert.are.equal("WorkflowUpdateFailedError", err.type)
    assert.matches("negative: %-1", err.cause.message)
    local meta = handle:query "__temporal_workflow_metadata"
    assert.are.same({ { name = "add", description = "Adds." } }, meta.definition.updateDefinitions)
    assert.are.equal(10, (handle:execute_update("add", { id = "last" }, 6)))
    assert.are.equal(10, handle:result())
    local last = handle:get_update_handle("last", { run_id = handle.first_execution_run_id })
    assert.are.equal(10, (last:result()))
    assert.are.same({ "last", "w", handle.first_execution_run_id },
      { last.id, last.workflow_id, last.workflow_run_id })
    local types = {}
    for _, e in ipairs(handle:fetch_history()) do
      types[#types + 1] = e.event_type:match "^workflow_execution_update_(%a+)$"
    end
    assert.are.same({ "accepted", "completed", "accepted", "completed" }, types)
  end)

  it("may wait, start activities and end in a later task, also after a restart of the run", function()
    local env <close> = open([[
      workflow.define("W", function()
        local done = 0
        workflow.set_update_handler("slow", function(x)
          local y = workflow.execute_activity("double", opts, x)
          workflow.sleep "10m"
          done = done + 1
          local info = workflow.current_update_info()
          return y, info.id, info.name
        end)
        workflow.wait_condition(function() return done == 2 and workflow.all_handlers_finished() end)
        return workflow.current_update_info() == nil
      end)]], { activities = { double = function(x) return 2 * x end }, worker = { max_cached_workflows = 0 } })
    local handle = env:start_workflow("W", { id = "w" })
    local first = handle:start_update("slow", { wait_for_stage = "accepted", id = "one" }, 1)
    local second = handle:start_update("slow", { wait_for_stage = "accepted" }, 2)
    assert.are.same({ 2, "one", "slow" }, { first:result() })
    assert.are.same({ 4, second.id, "slow" }, { second:result() })
    assert.is_true(handle:result())
  end)

  it("fail with failures; a plain error fails the task until the code is mended", function()
    local env <close> = open([[
      local failure = require "temporal".failure
      workflow.define("W", function()
        workflow.set_update_handler("fail", function() error(failure { type = "Full", message = "no room" }) end)
        workflow.set_update_handler("break", function() local t = nil; return t.x end)
        workflow.wait_condition(function() return false end)
      end)]], { replay = false })
    local handle = env:start_workflow("W", { id = "w" })
    local err = failure_of(handle.execute_update, handle, "fail")
    assert.are.equal("WorkflowUpdateFailedError", err.type)
    assert.are.equal("Full", err.cause.type)
    assert.are.equal("no room", err.cause.message)
    err = failure_of(handle.execute_update, handle, "break", { rpc_timeout = "2s" })
    assert.are.equal("WorkflowUpdateRPCTimeoutOrCancelledError", err.type)
    local cause = helper.task_failure(env, handle)
    assert.matches("attempt to index a nil value", cause.message)
    handle:terminate()
  end)

  it("without a handler are rejected, naming those there are; a dynamic one takes all", function()
    local env <close> = open [[
      return workflow.define("W", function()
        workflow.set_update_handler("b", function() end)
        workflow.set_update_handler("a", { handler = function() end })
        workflow.wait_condition(function() return workflow.get_update_handler "a" == nil end)
      end)]]
    local handle = env:start_workflow("W", { id = "w" })
    local err = failure_of(handle.execute_update, handle, "nope")
    assert.matches('update handler for "nope" expected but not found; known updates: %[a, b%]', err.cause.message)
    handle:terminate()

    local all <close> = open [[
      return workflow.define {
        name = "W",
        init = function() return { seen = {} } end,
        run = function(self) workflow.wait_condition(function() return #self.seen == 2 end) return self.seen end,
        updates = { add = {
          handler = function(self, x) table.insert(self.seen, x) return #self.seen end,
          validator = function(self, x) if type(x) ~= "number" then error "a number is wanted" end end,
        } },
        dynamic_update = function(self, name, x) table.insert(self.seen, name .. x) return name end,
      }]]
    handle = all:start_workflow("W", { id = "w" })
    assert.matches("a number is wanted", failure_of(handle.execute_update, handle, "add", nil, "x").cause.message)
    assert.are.equal(1, (handle:execute_update("add", nil, 5)))
    assert.are.equal("other", (handle:execute_update("other", nil, 6)))
    assert.are.same({ 5, "other6" }, handle:result())
  end)

  it("are refused by a validator that tries to do something", function()
    local env <close> = open [[
      return workflow.define("W", function()
        local n = 0
        for name, validator in pairs {
          wait = function() workflow.sleep(1) end,
          act = function() workflow.start_activity("x", opts) end,
          handler = function() workflow.set_signal_handler("s", function() end) end,
        } do
          workflow.set_update_handler(name, { handler = function() end, validator = validator })
        end
        workflow.set_update_handler("go", function() n = workflow.random(1000000) end)
        workflow.wait_condition(function() return n > 0 end)
        return n
      end)]]
    local handle = env:start_workflow("W", { id = "w" })
    for _, name in ipairs { "wait", "act", "handler" } do
      local err = failure_of(handle.execute_update, handle, name)
      assert.matches("an update's validator", err.cause.message)
    end
    handle:execute_update "go"
    assert.is_number(handle:result())
  end)

  it("that end with the workflow are answered; those that wait fail, and are named in a warning", function()
    local env <close> = open [[
      return workflow.define("W", function()
        local stop = false
        workflow.set_update_handler("stuck", {
          handler = function() workflow.wait_condition(function() return false end) end,
          unfinished_policy = "abandon",
        })
        workflow.set_update_handler("stop", function() stop = true return "stopped" end)
        workflow.wait_condition(function() return stop end)
      end)]]
    local handle = env:start_workflow("W", { id = "w" })
    local stuck = handle:start_update("stuck", { wait_for_stage = "accepted" })
    assert.are.equal("stopped", (handle:execute_update "stop"))
    handle:result()
    local err = failure_of(stuck.result, stuck)
    assert.are.equal("AcceptedUpdateCompletedWorkflow", err.cause.type)
    err = failure_of(handle.execute_update, handle, "stop")
    assert.are.equal("NOT_FOUND", err.status)
  end)

  it("go to the same update by their id, and start a workflow that does not run", function()
    local env <close> = open [[
      return workflow.define("W", function(first)
        local total = first
        workflow.set_update_handler("add", function(x) total = total + x; return total end)
        workflow.wait_condition(function() return total >= 10 end)
        return total
      end)]]
    local client = env.client
    local start = {
      workflow = "W", args = { 1 }, id = "w", id_conflict_policy = "use_existing", task_queue = env.task_queue,
    }
    local sum = client:execute_update_with_start_workflow("add", { start_workflow = start, id = "u" }, 2)
    assert.are.equal(3, sum)
    assert.are.equal(3, (client:execute_update_with_start_workflow("add", { start_workflow = start, id = "u" }, 2)))
    local update = client:start_update_with_start_workflow("add",
      { start_workflow = start, wait_for_stage = "completed" }, 7)
    assert.are.equal(10, (update:result()))
    assert.are.equal(10, update.workflow:result())
    assert.are.equal(3, (client:get_update_handle("w", "u"):result()))
    start.id_conflict_policy = "fail"
    assert.are.equal(3, (client:execute_update_with_start_workflow("add", { start_workflow = start, id = "u" }, 2)))
  end)

  it("tell what is wrong with a call", function()
    local env <close> = open [[
      return workflow.define("W", function() workflow.wait_condition(function() return false end) end)]]
    local handle = env:start_workflow("W", { id = "w" })
    local function words(pattern, ...) assert.matches(pattern, tostring(failure_of(...))) end
    words("wait_for_stage", handle.start_update, handle, "x", {})
    words("wait_for_stag.*wait_for_stage", handle.start_update, handle, "x", { wait_for_stag = "accepted" })
    words("name is expected", handle.execute_update, handle, nil)
    words("id_conflict_policy", env.client.execute_update_with_start_workflow, env.client, "x",
      { start_workflow = { workflow = "W", id = "i", task_queue = "q" } })
    words("workflow %(type or definition%)", env.client.execute_update_with_start_workflow, env.client, "x",
      { start_workflow = { id = "i" } })
    words('update "none" not found', function() return handle:get_update_handle("none"):result() end)
    local conflict = failure_of(env.client.execute_update_with_start_workflow, env.client, "x", {
      start_workflow = { workflow = "W", id = "w", id_conflict_policy = "fail", task_queue = env.task_queue },
    })
    assert.are.equal("WorkflowAlreadyStartedError", conflict.type)
    handle:terminate()
  end)
end)
