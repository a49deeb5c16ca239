-- temporal.testing: children that a spec plays, and environments whose time is not skipped.
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
    assert.are.equal("o", child:describe().parent_id)
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

  it("leave histories that the scripts replay without them, and changed ones do not", function()
    local env <close> = helper.environment(source, { child_workflows = {
      Invoice = function(n)
        if n == 1 then error(temporal.failure { type = "NoCredit", message = "m", details = { 7 } }) end
        return n + 10
      end,
      Label = function(n) return n + 20 end,
    } })
    local histories = {}
    for i, start in ipairs { { "Order", 12 }, { "Careful" }, { "Two" } } do
      local handle = env:start_workflow(start[1], nil, start[2])
      pcall(handle.result, handle)
      histories[i] = handle:history()
    end
    local function failures(text)
      local made = temporal.replayer { workflows = { { name = "spec", source = text } } }
      return made:replay_workflows(histories, { raise_on_replay_failure = false }).failed
    end
    assert.are.equal(0, failures(source))
    assert.are.equal(3, failures((source:gsub('"Invoice"', '"Bill"'))))
  end)

  it("are functions by type", function()
    for _, wrong in ipairs { { Invoice = "x" }, { print } } do
      assert.error_matches(function()
        testing.environment { workflows = { { name = "s", source = source } }, child_workflows = wrong }
      end, "child_workflows wants { Type = function }", 1, true)
    end
  end)
end)

local sleeper = [[
  local workflow = require "temporal.workflow"
  return workflow.define("Sleeper", function(seconds, name)
    workflow.sleep(seconds)
    return name and workflow.execute_activity("greet", { start_to_close_timeout = 10 }, name)
  end)
]]

describe("time in an environment", function()
  it("is skipped unless that is switched off", function()
    local env <close> = helper.environment(sleeper, { activities = { greet = function(n) return "hi " .. n end } })
    assert.is_true(env:supports_time_skipping())
    local began, real = env:now(), os.time()
    do
      local _ <close> = env:with_time_skipping_disabled()
      assert.are.equal("hi you", env:execute_workflow("Sleeper", nil, 0.2, "you"))
      env:sleep(0.3)
    end
    local passed = env:now() - began
    assert.is_true(passed >= 0.5 and passed <= os.time() - real + 2, passed)
    env:execute_workflow("Sleeper", nil, 86400)
    assert.is_true(env:now() - began >= 86400)
  end)

  it("runs as ever on a server that is there already", function()
    local server <close> = helper.start_server()
    local client <close> = temporal.connect { address = server.address }
    local stranger = client:start_workflow("Sleeper", { id = "stranger", task_queue = "another" })
    local handle
    do
      local env <close> = testing.environment {
        client = client, workflows = { { name = "s", source = sleeper } }, task_queue = "it's mine",
        activities = { greet = function(n) return "hi " .. n end },
      }
      assert.is_false(env:supports_time_skipping())
      assert.is_true(math.abs(env:now() - os.time()) < 5)
      handle = env:start_workflow("Sleeper", nil, 0.1, "you")
      assert.are.equal("hi you", handle:result())
      local began = env:now()
      env:sleep(0.2)
      assert.is_true(env:now() - began >= 0.2)
      assert.workflow(handle).completed_with "hi you"
    end
    -- The client outlives the environment, as what others do there.
    assert.are.equal("completed", handle:describe().status)
    assert.are.equal("running", stranger:describe().status)
    assert.error_matches(function()
      testing.environment { client = client, db_filename = "x", workflows = { { name = "s", source = sleeper } } }
    end, "client and db_filename exclude each other", 1, true)
  end)
end)
