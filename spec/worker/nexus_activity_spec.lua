-- Goal: operations behind which an activity without a workflow stands: its end is the operation's, cancellations reach
-- it, requests that are made again find it, links lead both ways.
local helper = require "helper"
local nexus = require "temporal.nexus"
local temporal = require "temporal"

local callers = [[
  local workflow = require "temporal.workflow"
  local shop = workflow.nexus_client { endpoint = "shop", service = "Shop" }
  workflow.define("Call", function(operation, input)
    local ok, result = pcall(shop.execute_operation, shop, operation, { schedule_to_close_timeout = "1h" }, input)
    if ok then return result end
    local err = result
    while err.cause do err = err.cause end
    return { kind = err.kind, type = err.type, message = err.message }
  end)
  workflow.define("Cancel", function(operation, input)
    local handle = shop:start_operation(operation, { schedule_to_close_timeout = "1h" }, input)
    handle:cancel()
    local ok, err = pcall(handle.result, handle)
    return ok, err.cause.kind, handle.operation_token
  end)
]]

local order = { start_to_close_timeout = 60 }

local function charge(id, more)
  return nexus.temporal_operation(function(input)
    local o = { id = id or "charge-" .. input.n }
    for name, value in pairs(order) do
      o[name] = value
    end
    for name, value in pairs(more or {}) do
      o[name] = value
    end
    return nexus.start_activity("charge", o, input)
  end)
end

local function environment(operations, activities)
  local env = helper.environment(callers, {
    nexus_services = { nexus.service("Shop", operations) }, activities = activities,
  })
  env.client:create_nexus_endpoint("shop", { task_queue = env.task_queue })
  return env
end

local activities = {
  charge = function(input)
    if input.fail then
      error(temporal.failure { type = "Declined", message = "no money", non_retryable = true })
    end
    return { paid = input.n }
  end,
}

describe("an operation behind which an activity stands", function()
  it("ends as the activity does", function()
    local env <close> = environment({ charge = charge() }, activities)
    assert.are.same({ paid = 3 }, env:execute_workflow("Call", { id = "caller" }, "charge", { n = 3 }))
    assert.are.equal("completed", env.client:get_activity_handle("charge-3"):describe().status)
    -- {"aid":"charge-3","ns":"default","rid":"...","t":2}, as the other SDKs write it
    local started, outward = helper.event(env.client:get_workflow_handle "caller", "nexus_operation_started")
    assert.matches("^eyJ", started.operation_token)
    local link = outward.links[1].activity
    assert.are.equal("charge-3", link.activity_id)
    local back = env.client:get_activity_handle("charge-3"):describe().links
    local found
    for _, l in ipairs(back or {}) do
      found = found or (l.workflow_event and l.workflow_event.workflow_id)
    end
    assert.are.equal("caller", found)
  end)

  it("tells how the activity failed", function()
    local env <close> = environment({ charge = charge() }, activities)
    local failed = env:execute_workflow("Call", nil, "charge", { n = 1, fail = true })
    assert.are.same({ "Declined", "no money" }, { failed.type, failed.message })
  end)

  it("hands its cancellation to the activity", function()
    local told
    local env <close> = environment({ charge = charge("slow", { heartbeat_timeout = 2 }) }, {
      charge = function()
        local activity = require "temporal.activity"
        local ok, err = pcall(function()
          while true do
            activity.heartbeat()
            activity.sleep(0.05)
          end
        end)
        told = not ok and temporal.is_cancelled(err)
        error(err, 0)
      end,
    })
    local ok, kind, text = env:execute_workflow("Cancel", nil, "charge", { n = 1 })
    assert.are.same({ false, "CancelledError" }, { ok, kind })
    assert.is_true(told)
    assert.are.equal("canceled", env.client:get_activity_handle("slow"):describe().status)
    local token = require "temporal.internal.nexus_token"
    local named = token.activity(text)
    assert.are.same({ "default", "slow" }, { named.namespace, named.activity_id })
    assert.is_string(named.run_id)
    assert.matches("it names an activity", select(2, token.workflow(text)))
  end)

  it("attaches further callers to an activity that runs already", function()
    local task_token
    local env <close> = environment({ charge = charge("one", { id_conflict_policy = "use_existing" }) }, {
      charge = function()
        local activity = require "temporal.activity"
        task_token = activity.info().task_token
        return activity.complete_async()
      end,
    })
    local a = env:start_workflow("Call", nil, "charge", { n = 1 })
    local b = env:start_workflow("Call", nil, "charge", { n = 2 })
    helper.eventually(env, function()
      return task_token and helper.event(a, "nexus_operation_started") and helper.event(b, "nexus_operation_started")
    end)
    env.client:get_async_activity_handle { task_token = task_token }:complete "once"
    assert.are.same({ "once", "once" }, { a:result(), b:result() })
  end)

  it("is refused when nothing names the activity, or where it cannot stand behind an operation", function()
    local function later(id) return { id = id, start_to_close_timeout = 1, start_delay = "1h" } end
    local env <close> = environment({
      no_id = nexus.temporal_operation(function() return nexus.start_activity("charge", order, {}) end),
      unknown = nexus.temporal_operation(function()
        return nexus.start_activity("charge", { id = "x", start_to_close_timeot = 1 }, {})
      end),
      own = nexus.temporal_operation(function()
        return nexus.start_activity("charge", { id = "x", start_to_close_timeout = 1, request_id = "mine" }, {})
      end),
      sync = function() return nexus.start_activity("charge", later "s", { n = 1 }) end,
      run = nexus.workflow_run_operation(function()
        return nexus.start_activity("charge", later "r", { n = 1 })
      end),
    }, activities)
    local cases = {
      no_id = "nexus.start_activity: option 'id' is required", unknown = "did you mean 'start_to_close_timeout'",
      own = "option 'request_id' is refused", sync = "a sync_operation returns its result",
      run = "what nexus.start_workflow returned, got a temporal.NexusActivityHandle",
    }
    for name, want in pairs(cases) do
      local handle = env:start_workflow("Call", { id = name }, name)
      local seen = helper.eventually(env, function()
        local pending = handle:describe().pending_nexus_operations
        return pending and pending[1] and pending[1].last_attempt_failure
      end)
      local err, text = seen, ""
      while err do
        text, err = text .. " " .. tostring(err.message), err.cause
      end
      assert.matches(want, text, 1, true)
      handle:terminate()
    end
  end)

  it("can only be started in an operation", function()
    local ok, err = pcall(nexus.start_activity, "charge", { id = "x" })
    assert.is_false(ok)
    assert.matches("only be used while a Nexus request is answered", err)
  end)
end)
