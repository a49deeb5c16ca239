-- Signals to other workflows and their cancellation, on the whole system with skipped time. Each
-- environment replays every workflow at its end.
local helper = require "helper"
local temporal = require "temporal"

local head = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
  local target = workflow.define("Target", function()
    local got = {}
    workflow.set_signal_handler("add", function(...) got[#got + 1] = { ... } end)
    workflow.wait_condition(function() return #got == 2 end)
    return got
  end)
]]

local function environment(body)
  return helper.environment(head .. body)
end

--- The attributes of the first event of a kind.
local function event(handle, name)
  return (helper.event(handle, name))
end

describe("an external workflow", function()
  it("is signalled by id, and by id and run", function()
    local env <close> = environment [[
      return { target, workflow.define("Sender", function(run_id)
        workflow.external_workflow("target"):signal("add", 1, "one")
        workflow.get_external_workflow_handle("target", { run_id = run_id }):signal("add", 2)
      end) }]]
    local handle = env:start_workflow("Target", { id = "target" })
    env:execute_workflow("Sender", { id = "sender" }, handle.run_id)
    assert.are.same({ { 1, "one" }, { 2 } }, handle:result())
    local signaled = event(handle, "workflow_execution_signaled")
    assert.are.equal("sender", signaled.external_workflow_execution.workflow_id)
    assert.are.equal("history-service", signaled.identity)
  end)

  it("shows what its handle is for", function()
    local env <close> = environment [[
      return workflow.define("Sender", function()
        local handle = workflow.external_workflow("x", { run_id = "y" })
        local _, unknown = pcall(workflow.external_workflow, "x", { runid = "y" })
        local _, nothing = pcall(workflow.external_workflow, "")
        local _, unnamed = pcall(handle.signal, handle)
        return handle.id, handle.run_id, tostring(unknown), tostring(nothing), tostring(unnamed)
      end)]]
    local id, run_id, unknown, nothing, unnamed = env:execute_workflow("Sender")
    assert.are.same({ "x", "y" }, { id, run_id })
    assert.matches("unknown option 'runid' %(did you mean 'run_id'%?%)", unknown)
    assert.matches("a workflow has an id", nothing)
    assert.matches("name of a signal", unnamed)
  end)

  it("that does not exist, has closed, or is the sender itself cannot be signalled", function()
    local env <close> = environment [[
      local done = workflow.define("Done", function() end)
      return { done, workflow.define("Sender", function(id)
        local ok, err = pcall(function() workflow.external_workflow(id):signal("add", 1) end)
        return ok, err.type, err.message
      end) }]]
    env:execute_workflow("Done", { id = "closed" })
    for _, id in ipairs { "nobody", "closed", "sender" } do
      assert.are.same({ false, "ExternalWorkflowExecutionNotFound",
        "Unable to signal external workflow because it was not found" },
        { env:execute_workflow("Sender", { id = "sender" }, id) })
    end
  end)

  it("in a namespace that does not exist fails the workflow task", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("Sender", function()
        workflow.external_workflow("x", { namespace = "nowhere" }):signal("add")
      end)]], { replay = false })
    local handle = env:start_workflow("Sender")
    local failure = helper.task_failure(env, handle)
    assert.matches("Namespace nowhere is not found", failure.message)
    handle:terminate()
  end)

  it("is cancelled, with a reason", function()
    local env <close> = environment [[
      return { target, workflow.define("Canceller", function()
        workflow.external_workflow("target"):cancel("no longer needed")
      end) }]]
    local handle = env:start_workflow("Target", { id = "target" })
    env:execute_workflow("Canceller", { id = "canceller" })
    assert.is_false((pcall(handle.result, handle)))
    local asked = event(handle, "workflow_execution_cancel_requested")
    assert.are.equal("no longer needed", asked.cause)
    assert.are.equal("canceller", asked.external_workflow_execution.workflow_id)
    assert.is_truthy(asked.external_initiated_event_id > 0)
  end)

  it("that has closed is cancelled in vain, one that never was cannot be", function()
    local env <close> = environment [[
      local done = workflow.define("Done", function() end)
      return { done, workflow.define("Canceller", function(id)
        local ok, err = pcall(function() workflow.external_workflow(id):cancel() end)
        return ok, err and err.type, err and err.message
      end) }]]
    env:execute_workflow("Done", { id = "closed" })
    assert.are.same({ true }, { env:execute_workflow("Canceller", nil, "closed") })
    assert.are.same({ false, "ExternalWorkflowExecutionNotFound",
      "Unable to cancel external workflow because not found" },
      { env:execute_workflow("Canceller", nil, "nobody") })
  end)

  it("hears a signal once, however the sender is replayed", function()
    local env <close> = environment [[
      return { target, workflow.define("Sender", function()
        workflow.external_workflow("target"):signal("add", "first")
        workflow.sleep "1h"
        workflow.external_workflow("target"):signal("add", "second")
      end) }]]
    local handle = env:start_workflow("Target", { id = "target" })
    env:execute_workflow("Sender")
    assert.are.same({ { "first" }, { "second" } }, handle:result())
  end)

  it("signal that has not left is taken back when its coroutine is cancelled", function()
    local env <close> = environment [[
      return { target, workflow.define("Sender", function()
        local f = workflow.spawn(function()
          workflow.external_workflow("target"):signal("add", "never")
        end)
        workflow.sleep(0)
        f:cancel()
        local ok, err = pcall(f.result, f)
        return ok, temporal.is_cancelled(err)
      end) }]]
    local handle = env:start_workflow("Sender")
    assert.are.same({ false, true }, { handle:result() })
    assert.is_nil(event(handle, "signal_external_workflow_execution_initiated"))
  end)

  it("signal that has left is not called back: the next wait hears of the cancellation", function()
    local env <close> = environment [[
      return { target, workflow.define("Sender", function()
        local sent
        local f = workflow.spawn(function()
          workflow.external_workflow("nobody"):cancel()
        end)
        local g = workflow.spawn(function()
          workflow.external_workflow("target"):cancel()
          sent = true
          workflow.sleep "1h"
        end)
        workflow.sleep(0)
        g:cancel()
        local ok, err = pcall(g.result, g)
        return sent, ok, temporal.is_cancelled(err), (pcall(f.result, f))
      end) }]]
    local handle = env:start_workflow("Target", { id = "target" })
    assert.are.same({ true, false, true, false }, { env:execute_workflow("Sender") })
    assert.is_false((pcall(handle.result, handle)))
    assert.is_true(temporal.is_failure(select(2, pcall(handle.result, handle))))
  end)
end)

describe("a child's handle", function()
  it("reaches no workflow that is not the child", function()
    local env <close> = environment [[
      local short = workflow.define("Short", function() end)
      return { target, short, workflow.define("Parent", function()
        local child = workflow.start_child_workflow("Short", { id = "taken over" })
        child:result()
        workflow.sleep "10m"
        local ok, err = pcall(child.signal, child, "add", 1)
        return ok, err.type
      end) }]]
    local parent = env:start_workflow("Parent")
    helper.eventually(env, function()
      return event(parent, "child_workflow_execution_completed")
    end)
    local other = env:start_workflow("Target", { id = "taken over" })
    assert.are.same({ false, "ExternalWorkflowExecutionNotFound" }, { parent:result() })
    assert.is_nil(event(other, "workflow_execution_signaled"))
    other:terminate()
  end)
end)
