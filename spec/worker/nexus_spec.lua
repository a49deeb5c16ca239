-- Nexus handlers in Lua on the whole system: callers are workflows of the same environment. Each environment replays
-- every workflow at its end.
local core = require "temporal.core"
local helper = require "helper"
local nexus = require "temporal.nexus"
local temporal = require "temporal"

local head = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
  local shop = workflow.nexus_client { endpoint = "shop", service = "Shop" }
  workflow.define("Ship", function(order)
    if order.fail then
      error(temporal.failure { type = "Lost", message = "lost at sea", non_retryable = true })
    end
    workflow.wait_condition(function() return not order.wait end)
    return "shipped " .. order.to
  end)
  workflow.define("Stock", function()
    local count = 0
    workflow.set_update_handler("add", function(n) count = count + n return count end)
    workflow.set_signal_handler("sold", function(n) count = count - n end)
    workflow.set_query_handler("count", function() return count end)
    workflow.wait_condition(function() return false end)
  end)
  -- What came of an operation: its result, or the chain of what failed.
  workflow.define("Call", function(operation, input, options)
    options = options or {}
    options.schedule_to_close_timeout = options.schedule_to_close_timeout or "1h"
    local ok, result = pcall(shop.execute_operation, shop, operation, options, input)
    if ok then return result end
    local chain, err = {}, result.cause
    while err do
      chain[#chain + 1] = { kind = err.kind, type = err.type, message = err.message, handler_type = err.handler_type }
      err = err.cause
    end
    return { failed = chain }
  end)
]]

local function environment(services, body, options)
  local o = { nexus_services = services }
  for name, value in pairs(options or {}) do
    o[name] = value
  end
  local env = helper.environment(head .. (body or ""), o)
  env.client:create_nexus_endpoint("shop", { task_queue = env.task_queue })
  return env
end

--- The service of one operation.
local function shop(operation)
  return { nexus.service("Shop", { go = operation }) }
end

local function call(env, input, options)
  return env:execute_workflow("Call", { id = "caller" }, "go", input, options)
end

--- What the only handler of the operation raised, from the caller's view: the failures below NexusOperationError.
local function failures(handler, options)
  local env <close> = environment(shop(handler))
  local result = call(env, "x", options)
  return assert(type(result) == "table" and result.failed, "it did not fail"), env
end

--- How often something is asked for while it fails.
local function counted(fn)
  local count = 0
  return function(...)
    count = count + 1
    return fn(count, ...)
  end
end

describe("a service in Lua", function()
  it("answers at once with the result of its function", function()
    local env <close> = environment(shop(function(order) return { price = order.count * 2 } end))
    assert.are.same({ price = 6 }, call(env, { count = 3 }))
  end)

  it("has no input and no result where there is none", function()
    local env <close> = environment(shop(function(...)
      assert(select("#", ...) == 1 and (...) == nil)
    end))
    local handle = env:start_workflow("Call", { id = "caller" }, "go")
    assert.is_nil(handle:result())
  end)

  it("lets a workflow stand behind an operation", function()
    local env <close> = environment(shop(nexus.workflow_run_operation(function(order)
      return nexus.start_workflow("Ship", { id = "ship-" .. order.to }, order)
    end)))
    assert.are.equal("shipped Rome", call(env, { to = "Rome" }))
    local handle = env.client:get_workflow_handle "ship-Rome"
    local attributes, event = helper.event(handle, "workflow_execution_started")
    local callback = attributes.completion_callbacks[1].nexus
    assert.are.equal("temporal://system", callback.url)
    -- the other SDKs' form, in base64 without padding: {"ns":"default","t":1,"wid":"ship-Rome"}
    local token = "eyJucyI6ImRlZmF1bHQiLCJ0IjoxLCJ3aWQiOiJzaGlwLVJvbWUifQ"
    assert.are.equal(token, callback.header["nexus-operation-token"])
    -- links lead both ways
    local started, outward = helper.event(env.client:get_workflow_handle "caller", "nexus_operation_started")
    assert.are.equal(token, started.operation_token)
    assert.are.equal("ship-Rome", outward.links[1].workflow_event.workflow_id)
    assert.are.equal("caller", event.links[1].workflow_event.workflow_id)
  end)

  it("tells the caller how the workflow behind an operation failed", function()
    local chain = failures(nexus.workflow_run_operation(function()
      return nexus.start_workflow("Ship", { id = "ship" }, { fail = true })
    end))
    assert.are.equal("lost at sea", chain[#chain].message)
    assert.are.equal("Lost", chain[#chain].type)
  end)

  it("decides when it is asked whether a workflow stands behind an operation", function()
    local env <close> = environment(shop(nexus.temporal_operation(function(order)
      return order.to and nexus.start_workflow("Ship", { id = "ship" }, order) or "nothing to ship"
    end)))
    assert.are.equal("nothing to ship", env:execute_workflow("Call", nil, "go", {}))
    assert.are.equal("shipped Oslo", env:execute_workflow("Call", nil, "go", { to = "Oslo" }))
  end)

  it("attaches the caller to a workflow that runs already", function()
    local env <close> = environment(shop(nexus.workflow_run_operation(function(order)
      return nexus.start_workflow("Ship", { id = "ship", id_conflict_policy = "use_existing" }, order)
    end)))
    local first = env:start_workflow("Call", { id = "first" }, "go", { to = "Rome", wait = true })
    helper.eventually(env, function() return helper.event(first, "nexus_operation_started") end)
    local second = env:start_workflow("Call", { id = "second" }, "go", { to = "Oslo" })
    helper.eventually(env, function() return helper.event(second, "nexus_operation_started") end)
    local ship = env.client:get_workflow_handle "ship"
    assert.is_truthy(helper.event(ship, "workflow_execution_options_updated"))
    ship:terminate "sunk"
    for _, handle in ipairs { first, second } do
      assert.matches("terminated", handle:result().failed[1].message)
    end
  end)

  it("signals, queries and updates workflows by its client, linked with the caller", function()
    local env <close> = environment(shop(function(count)
      local stock = nexus.client():get_workflow_handle "stock"
      stock:signal("sold", 1)
      return { stock:execute_update("add", {}, count), stock:query "count" }
    end))
    local stock = env:start_workflow("Stock", { id = "stock" })
    assert.are.same({ 4, 4 }, call(env, 5))
    local _, event = helper.event(stock, "workflow_execution_signaled")
    assert.are.equal("caller", event.links[1].workflow_event.workflow_id)
    stock:terminate()
  end)

  it("knows what it was asked", function()
    local seen
    local env <close> = environment(shop(function()
      nexus.log.info("asked", { by = nexus.info().endpoint })
      seen = nexus.info()
      seen.left, seen.inside = seen.deadline - core.time_ns() / 1e9, nexus.in_operation()
      seen.cancelled, seen.reason = nexus.is_cancelled(), nexus.cancellation_reason()
      seen.shutdown = nexus.is_worker_shutdown() or nexus.wait_for_worker_shutdown(0)
      seen.activity = require "temporal.activity".in_activity()
    end))
    call(env, nil, { headers = { ["X-Tenant"] = "acme" } })
    assert.are.same({ "shop", "default", "test", "Shop", "go", "acme", "temporal://system" }, {
      seen.endpoint, seen.namespace, seen.task_queue, seen.service, seen.operation, seen.headers["x-tenant"],
      seen.callback_url,
    })
    assert.is_true(seen.inside and not seen.cancelled and not seen.reason and not seen.shutdown and not seen.activity)
    assert.is_true(seen.left > 0 and seen.left <= 10, seen.left)
    assert.is_string(seen.request_id)
    assert.is_string(seen.callback_headers["temporal-callback-token"])
    assert.matches("^temporal:///namespaces/default/workflows/caller/", seen.links[1].url)
    assert.is_false(nexus.in_operation())
    for _, name in ipairs { "info", "client", "start_workflow", "sleep", "is_cancelled", "add_link", "metric_meter" } do
      assert.has_error(function() nexus[name]() end,
        ("nexus.%s can only be used while a Nexus request is answered"):format(name))
    end
  end)

  it("checks input and result by models", function()
    local Order = temporal.model { name = "Order", fields = { sku = "string", count = "integer" } }
    local env <close> = environment { nexus.service("Shop", {
      go = nexus.sync_operation(function(order) return getmetatable(order) and order.count end, { input = Order }),
      bad = nexus.sync_operation(function() return 5 end, { result = Order }),
    }) }
    assert.are.equal(3, call(env, { sku = "tea", count = 3 }))
    local chain = env:execute_workflow("Call", nil, "go", { sku = "tea", count = "many" }).failed
    assert.are.same({ "NexusHandlerError", "BAD_REQUEST" }, { chain[1].kind, chain[1].handler_type })
    assert.matches("count", chain[1].message)
    chain = env:execute_workflow("Call", nil, "bad", nil, { schedule_to_close_timeout = "3s" }).failed
    assert.are.equal("TimeoutError", chain[1].kind)
  end)
end)

describe("a handler of its own", function()
  local function custom(cancel)
    return nexus.operation {
      start = function(token) return nexus.async_result(token) end,
      cancel = cancel,
    }
  end
  local caller = [[
    workflow.define("Cancel", function(token)
      local handle = shop:start_operation("go", { cancellation_type = "wait_requested" }, token)
      assert(handle.operation_token == token)
      handle:cancel()
      local ok, err = pcall(handle.result, handle)
      return ok, err.cause.kind, err.cause.message
    end)
  ]]

  it("goes on under its token and is asked for its cancellation", function()
    local cancelled
    local env <close> = environment(shop(custom(function(token)
      cancelled = { token, nexus.info().operation_token, nexus.info().callback_url }
    end)), caller)
    local ok, kind = env:execute_workflow("Cancel", nil, "order 5")
    assert.are.same({ false, "CancelledError" }, { ok, kind })
    assert.are.same({ "order 5", "order 5" }, cancelled)
  end)

  it("says when it cannot be cancelled", function()
    local env <close> = environment(shop(custom(nil)), caller)
    local handle = env:start_workflow("Cancel", nil, "order 5")
    local attributes = helper.eventually(env, function()
      return (helper.event(handle, "nexus_operation_cancel_request_failed"))
    end)
    local failure = core.decode_failure(attributes.failure)
    assert.are.equal("operation 'go' of service 'Shop' cannot be cancelled", (failure.cause or failure).message)
    assert.is_false((handle:result()))
  end)

  it("cancels the workflow behind an operation", function()
    local env <close> = environment(shop(nexus.workflow_run_operation(function(order)
      return nexus.start_workflow("Ship", { id = "ship" }, order)
    end)), [[
      workflow.define("Cancel", function()
        local handle = shop:start_operation("go", nil, { wait = true, to = "Rome" })
        handle:cancel()
        local ok, err = pcall(handle.result, handle)
        return ok, err.cause.kind
      end)
    ]])
    assert.are.same({ false, "CancelledError" }, { env:execute_workflow "Cancel" })
    local ok, err = pcall(env.client:get_workflow_handle "ship".result, env.client:get_workflow_handle "ship")
    assert.is_true(not ok and temporal.is_cancelled(err))
  end)

  it("refuses a token that names no workflow of its namespace", function()
    local env <close> = environment(shop(nexus.operation {
      start = function(token) return nexus.async_result(token) end,
      cancel = function(token)
        local handle = nexus.workflow_of_token(token)
        error(nexus.handler_error { type = "bad_request", message = handle.namespace .. "/" .. handle.workflow_id })
      end,
    }), caller)
    -- {"v":0,"t":1,"ns":"far","wid":"w"}, {"t":2,"ns":"default","aid":"a"}, {"v":1,"t":1,"ns":"n","wid":"w"}, {"t":1}
    local tokens = {
      ["eyJ2IjowLCJ0IjoxLCJucyI6ImZhciIsIndpZCI6InciLCJmdXR1cmUiOjF9"] = "far/w",
      ["eyJ0IjoyLCJucyI6ImRlZmF1bHQiLCJhaWQiOiJhIn0"] = "it names an activity",
      ["eyJ2IjoxLCJ0IjoxLCJucyI6Im4iLCJ3aWQiOiJ3In0"] = "a version that is not known",
      ["eyJ0IjoxfQ"] = "names no workflow",
      ["%%"] = "not made by a Temporal SDK",
    }
    for token, message in pairs(tokens) do
      local handle = env:start_workflow("Cancel", nil, token)
      local attributes = helper.eventually(env, function()
        return (helper.event(handle, "nexus_operation_cancel_request_failed"))
      end)
      local failure = core.decode_failure(attributes.failure)
      assert.matches(message, (failure.cause or failure).message, 1, true)
      assert.is_false((handle:result()))
    end
  end)

  it("adds links of its own", function()
    local env <close> = environment(shop(nexus.operation { start = function()
      nexus.add_link { url = "temporal:///namespaces/default/workflows/w/r/history?eventID=7&eventType="
        .. "WorkflowExecutionSignaled&referenceType=EventReference",
        type = "temporal.api.common.v1.Link.WorkflowEvent" }
      return "done"
    end }))
    call(env)
    local _, event = helper.event(env.client:get_workflow_handle "caller", "nexus_operation_completed")
    assert.are.equal(7, event.links[1].workflow_event.event_ref.event_id)
  end)
end)

describe("a handler that raises", function()
  it("is asked again after a text or a failure, with where it came from", function()
    for _, raised in ipairs { "no\nluck", { "a table" }, temporal.failure { type = "Busy", message = "no luck" } } do
      local result
      do
        local env <close> = environment(shop(counted(function(count)
          if count < 3 then error(raised) end
          return count
        end)))
        result = call(env)
      end
      assert.are.equal(3, result)
    end
  end)

  it("ends the operation with a failure that is not retryable", function()
    local chain = failures(function()
      error(temporal.failure { type = "Sold", message = "sold out", non_retryable = true, details = { 5 } })
    end)
    assert.are.same({ kind = "NexusHandlerError", handler_type = "INTERNAL", type = "NexusHandlerError",
      message = "the handler failed: sold out" }, chain[1])
    assert.are.same({ "ApplicationError", "Sold", "sold out" }, { chain[2].kind, chain[2].type, chain[2].message })
  end)

  it("refuses with a handler error, which is final as its type says or as it says itself", function()
    local chain = failures(function()
      error(nexus.handler_error { type = "not_found", message = "no such order", cause = "why" })
    end)
    assert.are.same({ "NOT_FOUND", "no such order", "why" },
      { chain[1].handler_type, chain[1].message, chain[2].message })
    local env <close> = environment(shop(counted(function(count)
      error(nexus.handler_error { type = count == 1 and "not_found" or "unavailable", retryable = count == 1,
        message = "attempt " .. count })
    end)))
    chain = call(env).failed
    assert.are.same({ "UNAVAILABLE", "attempt 2" }, { chain[1].handler_type, chain[1].message })
  end)

  it("ends the operation with an operation error", function()
    local chain = failures(function()
      error(nexus.operation_error { state = "failed", message = "declined", type = "Card", cause = "no funds" })
    end)
    assert.are.same({ "ApplicationError", "Card", "declined", "no funds" },
      { chain[1].kind, chain[1].type, chain[1].message, chain[2].message })
    chain = failures(function() error(nexus.operation_error { state = "canceled", message = "never mind" }) end)
    assert.are.same({ "CancelledError", "never mind" }, { chain[1].kind, chain[1].message })
  end)

  it("tells what a call of the service meant", function()
    local chain = failures(function()
      nexus.client():get_workflow_handle("nobody"):signal "hello"
    end)
    assert.are.equal("NOT_FOUND", chain[1].handler_type)
    chain = failures(nexus.workflow_run_operation(function()
      nexus.client():start_workflow("Ship", { id = "ship", task_queue = "test" }, { wait = true })
      return nexus.start_workflow("Ship", { id = "ship" }, {})
    end))
    assert.are.equal("INTERNAL", chain[1].handler_type)
    assert.matches("already", chain[1].message)
  end)

  it("is told what it may not return", function()
    local rows = {
      ["result: a function has no JSON form"] = function() return print end,
      ["sync_operation returns its result"] = function() return nexus.async_result "t" end,
      ["what nexus.start_workflow returned, got a string"] = nexus.workflow_run_operation(function() return "id" end),
      ["'id' is required"] = nexus.workflow_run_operation(function() return nexus.start_workflow("Ship", {}) end),
      ["takes no callback"] = nexus.workflow_run_operation(function()
        return nexus.start_workflow("Ship", { id = "s", start_signal = "x" })
      end),
      ["nexus_spec.lua:361: nexus.start_workflow: unknown option 'memoo', did you mean 'memo'"] = function()
        local handle = nexus.start_workflow("Ship", { id = "s", memoo = {} })
        return handle
      end,
      ["store the data elsewhere"] = function() return ("x"):rep(3000000) end,
    }
    for text, operation in pairs(rows) do
      local env <close> = environment(shop(operation), "", { replay = false })
      local handle = env:start_workflow("Call", { id = "caller" }, "go")
      local info = helper.eventually(env, function()
        local described = env.client:call("DescribeWorkflowExecution",
          { namespace = "default", execution = { workflow_id = "caller" } })
        local pending = described.pending_nexus_operations[1]
        return pending and pending.last_attempt_failure or helper.event(handle, "nexus_operation_failed")
      end)
      local failure = type(info) == "string" and core.decode_failure(info) or core.decode_failure(info.failure)
      local cause = failure.cause or {}
      assert.matches(text, ("%s %s %s"):format(failure.message, cause.message, cause.cause), 1, true)
      pcall(handle.terminate, handle) -- a request that was refused for good has ended it
    end
  end)

  it("has as long as the request", function()
    local waited, woken
    local env <close> = environment(shop(counted(function(count)
      if count > 1 then return "second" end
      waited = nexus.wait_for_cancelled(0.01)
      local ok, err = pcall(nexus.sleep, "1h")
      woken = { ok, temporal.is_cancelled(err), nexus.cancellation_reason() }
      ok, err = pcall(function() nexus.client():get_workflow_handle("caller"):signal "late" end)
      woken[4], woken[5] = ok, temporal.is_cancelled(err)
      error(err, 0)
    end)), "", { replay = false })
    -- the time of a request is at most 10 s: this one has what is left of the operation
    local result = call(env, nil, { start_to_close_timeout = "10s", schedule_to_start_timeout = "400ms" })
    assert.is_false(waited)
    assert.are.same({ false, true, "timed_out", false, true }, woken)
    assert.are.equal("TimeoutError", result.failed[1].kind)
  end)
end)

describe("nexus.metric_meter", function()
  it("measures with the labels of its operation", function()
    local runtime <close> = temporal.runtime { telemetry = { metrics = {}, attach_service_name = false } }
    local env <close> = environment(shop(function(n)
      nexus.metric_meter():create_counter("sold"):add(n, { vip = true })
    end), nil, { runtime = runtime })
    call(env, 3)
    local labels = 'namespace="default",nexus_operation="go",nexus_service="Shop",task_queue="test",vip="true"'
    assert.matches("\nsold{" .. labels .. "} 3\n", runtime:metrics(), 1, true)
  end)
end)

describe("services of modules", function()
  it("run on the worker's threads, several of them beside each other", function()
    local env <close> = environment({ "nexus_shop" }, "", { roots = { "spec/fixtures/lua" } })
    assert.are.same({ "priced", 7, "nexus_shop" }, call(env, 7))
    assert.are.equal("shipped Kiel", env:execute_workflow("Call", nil, "ship", { to = "Kiel" }))
  end)

  --- How many handlers ran at the same time.
  local function most_at_once(given)
    local log <close> = helper.file ""
    local env <close> = environment({ "nexus_shop" }, "", { roots = { "spec/fixtures/lua" }, worker = given })
    local handles = {}
    for i = 1, 5 do
      handles[i] = env:start_workflow("Call", nil, "logged", log.name)
    end
    for _, handle in ipairs(handles) do
      assert.is_nil(handle:result())
    end
    local running, most, count = 0, 0, 0
    for line in io.lines(log.name) do
      for mark in line:gmatch "." do
        running, count = running + (mark == "+" and 1 or -1), count + 1
        most = math.max(most, running)
      end
    end
    assert.are.equal(10, count)
    return most
  end

  it("are bounded by slots", function()
    assert.are.equal(1, most_at_once { max_concurrent_nexus_tasks = 1, nexus_task_poller_behavior = 5 })
    assert.are.equal(1, most_at_once { tuner = temporal.tuner.fixed { nexus_slots = 1 } })
    assert.is_true(most_at_once { nexus_task_poller_behavior = { kind = "autoscaling" } } > 1)
  end)

  it("are loaded anew by a reload, which gives a worker no first one", function()
    local folder = os.tmpname()
    os.remove(folder)
    assert(os.execute("mkdir " .. folder))
    local _ <close> = setmetatable({}, { __close = function() os.execute("rm -r " .. folder) end })
    local function write(answer)
      local file <close> = assert(io.open(folder .. "/reloaded.lua", "w"))
      local text = [[return require("temporal.nexus").service("Shop", { go = function() return %q end })]]
      file:write(text:format(answer))
    end
    write "first"
    local env <close> = environment({ "reloaded" }, "", { roots = { folder } })
    assert.are.equal("first", env:execute_workflow("Call", nil, "go"))
    write "second"
    assert.is_string((env.worker:reload { replay = false }))
    assert.are.equal("second", env:execute_workflow("Call", nil, "go"))
    local without = temporal.worker { task_queue = "test", client = env.client, workflows = env.worker.given_workflows }
    local id, message = env.worker:reload { replay = false, worker = without }
    assert.is_nil(id)
    assert.matches("cannot give a worker its first Nexus services nor take the last", message, 1, true)
    assert.are.equal("second", env:execute_workflow("Call", nil, "go"))
  end)

  it("are served by the version that its deployment is routed to", function()
    local env <close> = environment(nil)
    env.client:update_nexus_endpoint("shop", { task_queue = "versioned" })
    local worker <close> = temporal.worker {
      client = env.client, task_queue = "versioned", nexus_services = shop(function() return "of b1" end),
      deployment_config = {
        name = "shop", build_id = "b1", use_worker_versioning = true, default_versioning_behavior = "pinned",
      },
    }
    worker:start()
    helper.eventually(env, function() return worker:set_current_version() end)
    assert.are.equal("of b1", call(env))
    assert.are.equal(1, worker:stats().nexus_tasks_completed)
  end)

  it("come with plugins too", function()
    local env <close> = environment(nil, "", { plugins = { temporal.simple_plugin {
      name = "shop", nexus_services = shop(function() return "of the plugin" end),
    } } })
    assert.are.equal("of the plugin", call(env))
  end)

  it("are refused when they are none, twice there, or broken", function()
    local roots = { "spec/fixtures/lua" }
    local function refused(message, given)
      local ok, err = pcall(function()
        temporal.worker({ task_queue = "q", roots = roots, nexus_services = given }):prepare()
      end)
      assert.is_false(ok)
      assert.matches(message, tostring(err), 1, true)
    end
    local service = nexus.service("Shop", { go = function() end })
    refused("nexus_services[1] must be a module name or made by nexus.service, got a table", { {} })
    refused("nexus_services[Shop] must be", { Shop = "x" })
    refused("service 'Shop' is given twice", { service, service })
    refused("operation 'go' of service 'Shop' is registered twice", { "nexus_shop", service })
    refused("module 'logged_activity' returns no Nexus service", { "logged_activity" })
    refused('nexus_services: module "no_such_module" is in none of the roots', { "no_such_module" })
    assert.has_error(function() temporal.worker { task_queue = "q", nexus_service_handlers = {} } end)
  end)

  it("are checked where they are defined", function()
    local function refused(message, fn, ...)
      local ok, err = pcall(fn, ...)
      assert.is_false(ok)
      assert.matches(message, tostring(err), 1, true)
    end
    local function op() end
    refused("nexus.service: the name must be", nexus.service, "", { go = op })
    refused("'Shop' wants a table of operations", nexus.service, "Shop")
    refused("'Shop' wants a table of operations", nexus.service, "Shop", {})
    refused("names of operations are non-empty strings, got a number", nexus.service, "Shop", { op })
    refused("operation 'go' of 'Shop' must be made by", nexus.service, "Shop", { go = "op" })
    refused("nexus.sync_operation wants a function, got nil", nexus.sync_operation)
    refused("did you mean 'input'?", nexus.sync_operation, op, { inputs = 1 })
    refused("option 'start' is required", nexus.operation, {})
    refused("the token must be a string", nexus.async_result, "")
    refused("option 'type' wants one of bad_request", nexus.handler_error, { type = "gone" })
    refused("option 'state' is required", nexus.operation_error, { message = "x" })
  end)
end)
