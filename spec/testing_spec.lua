-- temporal.testing: children that a spec plays.
local helper = require "helper"
local temporal = require "temporal"
local testing = require "temporal.testing"

local source = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
  return {
    workflow.define("Order", function(amount)
      local receipt, copies = workflow.execute_child_workflow("Invoice", { id = "invoice-1" }, amount, nil, "eur")
      return receipt, copies
    end),
    workflow.define("Careful", function()
      local ok, err = pcall(workflow.execute_child_workflow, "Invoice", {}, 1)
      return ok, err.type, err.cause.type, err.cause.message, err.cause.details[1]
    end),
    workflow.define("Two", function()
      local a = workflow.start_child_workflow("Invoice", {}, 1)
      local b = workflow.start_child_workflow("Label", {}, 2)
      return a:result(), b:result(), a.id ~= b.id
    end),
  }
]]

describe("children that a spec plays", function()
  it("get the arguments and give results, as children with an id and a parent", function()
    local seen
    local env <close> = helper.environment(source, { child_workflows = { Invoice = function(...)
      seen = table.pack(...)
      return "r-1", 2
    end } })
    local handle = env:start_workflow("Order", { id = "o" }, 12)
    assert.are.same({ "r-1", 2 }, { handle:result() })
    assert.are.same({ 12, nil, "eur", n = 3 }, seen)
    local initiated = helper.event(handle, "start_child_workflow_execution_initiated")
    assert.are.same({ "Invoice", "invoice-1" }, { initiated.workflow_type.name, initiated.workflow_id })
    local child = env.client:get_workflow_handle "invoice-1"
    assert.are.equal("o", child:describe().workflow_execution_info.parent_execution.workflow_id)
    assert.workflow(handle).has_no_activity "child workflow Invoice"
  end)

  it("fail with what the function raises", function()
    local env <close> = helper.environment(source, { child_workflows = { Invoice = function()
      error(temporal.failure { type = "NoCredit", message = "not today", details = { 7 } })
    end } })
    assert.are.same({ false, "ChildWorkflowError", "NoCredit", "not today", 7 }, { env:execute_workflow "Careful" })
  end)

  it("stand beside each other and beside mocked activities", function()
    local env <close> = helper.environment(source, {
      activities = { other = function() end },
      child_workflows = { Invoice = function(n) return n + 10 end, Label = function(n) return n + 20 end },
    })
    assert.are.same({ 11, 22, true }, { env:execute_workflow "Two" })
  end)

  it("are functions by type", function()
    for _, wrong in ipairs { { Invoice = "x" }, { print } } do
      assert.error_matches(function()
        testing.environment { workflows = { { name = "s", source = source } }, child_workflows = wrong }
      end, "child_workflows wants { Type = function }", 1, true)
    end
  end)
end)
