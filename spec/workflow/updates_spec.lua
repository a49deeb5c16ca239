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
    assert.are.equal(10, (handle:get_update_handle("last"):result()))
    local types = {}
    for _, e in ipairs(handle:fetch_history()) do
      if e.event_type == 41 or e.event_type == 43 then types[#types + 1] = e.event_type end
    end
    assert.are.same({ 41, 43, 41, 43 }, types)
  end)
end)
