local testing = require "temporal.testing"

local root = debug.getinfo(1, "S").source:match "^@(.*)/spec/[^/]*$"

describe("order", function()
  local calls

  local function mocks(overrides)
    calls = { refunds = 0 }
    local activities = {
      charge = function(request) return { id = "r-" .. request.order_id, amount = request.amount } end,
      refund = function() calls.refunds = calls.refunds + 1 end,
      ship = function(request) return { tracking = "T-" .. request.order_id } end,
    }
    for name, fn in pairs(overrides or {}) do
      activities[name] = fn
    end
    return testing.environment { roots = { root }, workflows = { "workflows.order" }, activities = activities }
  end

  it("charges, waits for approval and ships", function()
    local env <close> = mocks()
    local handle = env:start_workflow("Order", { id = "o-1" }, { id = "o-1", amount = 12 })
    handle:signal("approve", "ann")
    assert.workflow(handle).completed_with {
      receipt = { id = "r-o-1", amount = 12 }, tracking = "T-o-1", approved_by = "ann",
    }
    assert.are.same({ status = "done", approved_by = "ann" }, handle:query "status")
    assert.are.equal(0, calls.refunds)
  end)

  it("gives up after two days without approval, and refunds", function()
    local env <close> = mocks()
    local began = env:now()
    local handle = env:start_workflow("Order", { id = "o-2" }, { id = "o-2", amount = 12 })
    assert.workflow(handle).failed_with("NotApproved")
    assert.workflow(handle).has_activity("refund", 1)
    assert.is_true(env:now() - began >= 2 * 86400)
  end)

  it("refunds when shipping fails for good", function()
    local env <close> = mocks { ship = function() error("no lorry", 0) end }
    local handle = env:start_workflow("Order", { id = "o-3" }, { id = "o-3", amount = 12 })
    handle:signal("approve", "ann")
    local ok, err = pcall(handle.result, handle)
    assert.is_false(ok)
    assert.matches("no lorry", tostring(err.cause.cause.message))
    assert.are.equal(1, calls.refunds)
  end)

  it("retries a busy provider with backoff and does not retry a declined card", function()
    local attempts = 0
    local env <close> = mocks {
      charge = function()
        attempts = attempts + 1
        if attempts < 3 then
          error("busy", 0)
        end
        return { id = "r" }
      end,
    }
    local handle = env:start_workflow("Order", { id = "o-4" }, { id = "o-4", amount = 12 })
    handle:signal("approve", "ann")
    assert.are.equal("ann", handle:result().approved_by)
    assert.are.equal(3, attempts)
  end)

  it("does not retry a declined card", function()
    local env <close> = testing.environment {
      roots = { root }, workflows = { "workflows.order" },
      activities = { "activities.payment", ship = function() end },
    }
    local handle = env:start_workflow("Order", { id = "o-5" }, { id = "o-5", amount = 5000 })
    assert.workflow(handle).failed_with("CardDeclined")
    assert.workflow(handle).has_no_activity("refund")
  end)

  it("compensates when it is cancelled while it waits", function()
    local env <close> = mocks()
    local handle = env:start_workflow("Order", { id = "o-6" }, { id = "o-6", amount = 12 })
    env:sleep "1h"
    assert.are.equal("waiting for approval", handle:query("status").status)
    handle:cancel()
    assert.workflow(handle).failed_with("CancelledError")
    assert.are.equal(1, calls.refunds)
  end)
end)
