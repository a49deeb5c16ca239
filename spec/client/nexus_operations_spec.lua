-- Nexus operations without a workflow: server, worker and client.
local helper = require "helper"
local nexus = require "temporal.nexus"

local back = [[
  local workflow = require "temporal.workflow"
  return workflow.define("Back", function(word)
    if word == "wait" then workflow.wait_condition(function() return false end) end
    return "back " .. word
  end)
]]

local function environment(options)
  local tried, told = 0, {}
  local o = options or {}
  o.replay = false
  o.nexus_services = { nexus.service("shop", {
    price = function(input) return { price = 4, of = input } end,
    headers = function() return nexus.info().headers["x-shop"] end,
    links = function() return nexus.info().links[1] end,
    nothing = function() end,
    fails = function() error(nexus.operation_error { state = "failed", message = "sold out", type = "Sold" }) end,
    cancels = function() error(nexus.operation_error { state = "canceled", message = "too late" }) end,
    refuses = function() error(nexus.handler_error { type = "bad_request", message = "no" }) end,
    tries = function()
      tried = tried + 1
      if tried < 3 then error(nexus.handler_error { type = "unavailable", message = "busy" }) end
      return tried
    end,
    backed = nexus.workflow_run_operation(function(word)
      return nexus.start_workflow("Back", { id = "back-" .. word }, word)
    end),
    goes_on = nexus.operation {
      start = function() return nexus.async_result "tok" end, cancel = function(token) told[#told + 1] = token end,
    },
  }) }
  local env = helper.environment(back, o)
  env.client:create_nexus_endpoint("shop", { task_queue = env.task_queue })
  return env, env.client:nexus_client { endpoint = "shop", service = "shop" }, told
end

local function failure(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return err
end

describe("a Nexus operation without a workflow", function()
  it("has a result and a description", function()
    local env <close>, shop = environment { search_attributes = { Note = "keyword" } }
    assert.are.same({ price = 4, of = { sku = "tea" } }, shop:execute_operation("price", {
      id = "op", summary = "how much", headers = { ["X-Shop"] = "north" }, schedule_to_close_timeout = "1h",
      start_to_close_timeout = "2h", search_attributes = { Note = "first" },
    }, { sku = "tea" }))
    local info = env.client:get_nexus_operation_handle("op"):describe { include_input = true, include_outcome = true }
    assert.are.equal("completed", info.status)
    assert.is_nil(info.state)
    assert.are.same({ "shop", "shop", "price" }, { info.endpoint, info.service, info.operation })
    assert.are.equal("how much", info.static_summary)
    assert.are.same({ ["x-shop"] = "north" }, info.nexus_header)
    assert.are.same({ sku = "tea" }, info.input)
    assert.are.same({ price = 4, of = { sku = "tea" } }, info.outcome.result)
    assert.are.same({ 3600, 3600 }, { info.schedule_to_close_timeout, info.start_to_close_timeout })
    assert.are.equal(1, info.attempt)
    assert.are.equal("first", info.search_attributes.Note)
    assert.is_truthy(info.close_time)
    assert.is_nil(shop:execute_operation "nothing")
    assert.are.equal("south", shop:execute_operation("headers", { headers = { ["X-Shop"] = "south" } }))
    local link = shop:execute_operation("links", { id = "linked/1" })
    assert.are.equal("temporal.api.common.v1.Link.NexusOperation", link.type)
    assert.is_truthy(link.url:find("^temporal:///namespaces/default/nexus%-operations/linked%%2F1/[%x%-]+/details$"))
  end)

  it("fails, is cancelled by its handler, or is refused", function()
    local env <close>, shop = environment()
    local err = failure(shop.execute_operation, shop, "fails", { id = "fails" })
    assert.are.equal("NexusOperationFailureError", err.kind)
    assert.are.same({ "sold out", "Sold" }, { err.cause.message, err.cause.type })
    local info = env.client:get_nexus_operation_handle("fails"):describe { include_outcome = true }
    assert.are.same({ "failed", "sold out" }, { info.status, info.outcome.failure.message })
    assert.are.equal("CancelledError", failure(shop.execute_operation, shop, "cancels", { id = "cancels" }).cause.kind)
    assert.are.equal("canceled", env.client:get_nexus_operation_handle("cancels"):describe().status)
    local refused = failure(shop.execute_operation, shop, "refuses").cause
    assert.are.same({ "NexusHandlerError", "no" }, { refused.kind, refused.message })
  end)

  it("is tried again, and times out", function()
    local env <close>, shop = environment()
    assert.are.equal(3, shop:execute_operation("tries", { id = "tries" }))
    assert.are.equal(3, env.client:get_nexus_operation_handle("tries"):describe().attempt)
    local err = failure(shop.execute_operation, shop, "goes_on", { id = "late", start_to_close_timeout = "10s" })
    assert.are.same({ "TimeoutError", "start_to_close" }, { err.cause.kind, err.cause.timeout_type })
    assert.are.equal("timed_out", env.client:get_nexus_operation_handle("late"):describe().status)
  end)

  it("has a workflow behind it, whose end is its own", function()
    local env <close>, shop = environment()
    assert.are.equal("back home", shop:execute_operation("backed", { id = "backed" }, "home"))
    local info = env.client:get_nexus_operation_handle("backed"):describe()
    assert.are.equal("back-home", info.links[1].workflow_event.workflow_id)
    local _, event = helper.event(env.client:get_workflow_handle "back-home", "workflow_execution_started")
    assert.are.equal("backed", event.links[1].nexus_operation.operation_id)
    local handle = shop:start_operation("backed", {}, "wait")
    helper.eventually(env, function() return handle:describe().state == "started" end)
    handle:cancel "enough"
    assert.are.equal("CancelledError", failure(handle.result, handle).cause.kind)
    assert.are.equal("canceled", handle:describe().status)
  end)

  it("is cancelled through its handler once, and terminated without it", function()
    local env <close>, shop, told = environment()
    local handle = shop:start_operation("goes_on", { id = "on" })
    handle:cancel "enough"
    local info = helper.eventually(env, function()
      local i = handle:describe()
      return i.cancellation_info.state == "succeeded" and i
    end)
    assert.are.same({ "tok" }, told)
    assert.are.same({ "started", "tok", "enough" }, { info.state, info.operation_token, info.cancellation_info.reason })
    assert.are.equal("FAILED_PRECONDITION", failure(handle.cancel, handle, "more").status)
    assert.are.equal("TimeoutError", failure(handle.result, handle, { timeout = 0.05 }).kind)
    handle:terminate "stop"
    local err = failure(handle.result, handle)
    assert.are.same({ "TerminatedError", "stop" }, { err.cause.kind, err.cause.message })
    assert.are.equal("terminated", handle:describe().status)
    assert.are.equal("FAILED_PRECONDITION", failure(handle.terminate, handle).status)
    handle:delete()
    assert.are.equal("NOT_FOUND", failure(handle.describe, handle).status)
  end)

  --- The handler is played by the spec.
  local function by_hand(env)
    env.client:create_nexus_endpoint("hand", { task_queue = "hand" })
    local hand = {}
    function hand.poll()
      local task = env.client:call("PollNexusTaskQueue",
        { namespace = "default", task_queue = { name = "hand" }, identity = "spec" }, 60 * 1000000000)
      assert.is_true(#task.task_token > 0, "no request came")
      return task
    end
    function hand.refuse(task, kind)
      env.client:call("RespondNexusTaskFailed", { namespace = "default", identity = "spec",
        task_token = task.task_token, error = { error_type = kind, failure = { message = "busy" } } })
    end
    function hand.start(task)
      env.client:call("RespondNexusTaskCompleted", { namespace = "default", identity = "spec",
        task_token = task.task_token,
        response = { start_operation = { async_success = { operation_token = "tok" } } } })
    end
    return env.client:nexus_client { endpoint = "hand", service = "hand" }, hand
  end

  it("shows how far its requests have come", function()
    local env <close> = environment()
    local service, hand = by_hand(env)
    local handle = service:start_operation("op", { id = "slow" })
    local function state() return handle:describe().state end
    assert.are.equal("scheduled", state())
    hand.refuse(hand.poll(), "UNAVAILABLE")
    assert.are.equal("backing_off", state())
    assert.are.equal("busy", handle:describe().last_attempt_failure.message)
    hand.start(hand.poll())
    assert.are.equal("started", state())
    assert.is_nil(handle:describe().cancellation_info)
    handle:cancel()
    local function cancellation() return handle:describe().cancellation_info.state end
    assert.are.equal("scheduled", cancellation())
    hand.refuse(hand.poll(), "UNAVAILABLE")
    assert.are.equal("backing_off", cancellation())
    hand.refuse(hand.poll(), "BAD_REQUEST")
    assert.are.equal("failed", cancellation())
    assert.are.equal("busy", handle:describe().cancellation_info.last_attempt_failure.message)
    local other = service:start_operation "op"
    for _ = 1, 6 do
      hand.refuse(hand.poll(), "UNAVAILABLE")
    end
    helper.eventually(env, function() return other:describe().state == "blocked" end)
    assert.is_truthy(other:describe().blocked_reason:find "circuit")
  end)

  it("keeps its id for itself, as the policies say", function()
    local env <close>, shop = environment()
    local handle = shop:start_operation("goes_on", { id = "one" })
    local err = failure(shop.start_operation, shop, "price", { id = "one" })
    assert.are.same({ "NexusOperationAlreadyStartedError", handle.run_id }, { err.type, err.run_id })
    local same = shop:start_operation("price", { id = "one", id_conflict_policy = "use_existing" })
    assert.are.equal(handle.run_id, same.run_id)
    handle:terminate()
    assert.are.equal("NexusOperationAlreadyStartedError",
      failure(shop.start_operation, shop, "price", { id = "one", id_reuse_policy = "reject_duplicate" }).type)
    assert.are_not.equal(handle.run_id,
      shop:start_operation("price", { id = "one", id_reuse_policy = "allow_duplicate_failed_only" }).run_id)
    assert.are.equal(4, env.client:get_nexus_operation_handle("one"):result().price)
    assert.are.equal("NexusOperationAlreadyStartedError", failure(shop.start_operation, shop, "price",
      { id = "one", id_reuse_policy = "allow_duplicate_failed_only" }).type)
    assert.are.equal(4, shop:execute_operation("price", { id = "one", id_reuse_policy = "allow_duplicate",
      id_conflict_policy = "fail" }).price)
    local first = shop:start_operation("goes_on", { id = "two", request_id = "r" })
    assert.are.equal(first.run_id, shop:start_operation("goes_on", { id = "two", request_id = "r" }).run_id)
  end)

  it("is in lists of its own, and counted", function()
    local env <close>, shop = environment()
    shop:execute_operation("price", { id = "a" })
    failure(shop.execute_operation, shop, "fails", { id = "b" })
    shop:start_operation("goes_on", { id = "c" })
    local seen = {}
    for info in env.client:list_nexus_operations("Endpoint = 'shop' AND Service = 'shop'", { page_size = 2 }) do
      seen[#seen + 1] = info.operation_id .. " " .. info.operation .. " " .. info.status
    end
    table.sort(seen)
    assert.are.same({ "a price completed", "b fails failed", "c goes_on running" }, seen)
    assert.are.equal(1, env.client:count_nexus_operations "ExecutionStatus = 'Running' AND Operation = 'goes_on'")
    local n, groups = env.client:count_nexus_operations "GROUP BY ExecutionStatus"
    assert.are.same({ 3, 3 }, { n, #groups })
    assert.are.equal("a", env.client:list_nexus_operations("OperationId = 'a'")().operation_id)
    local err = failure(env.client.count_nexus_operations, env.client, "WorkflowId = 'a'")
    assert.are.equal("INVALID_ARGUMENT", err.status)
    assert.are.equal(0, env.client:count_workflows())
  end)

  it("survives the server, done and under way", function()
    local folder = helper.folder()
    local _ <close> = setmetatable({}, { __close = function() os.execute("rm -r " .. folder.name) end })
    local path = folder.name .. "/ops.db"
    do
      local env <close>, shop = environment { db_filename = path }
      shop:execute_operation("price", { id = "done" })
      shop:start_operation("goes_on", { id = "on" })
      helper.eventually(env, function()
        return env.client:get_nexus_operation_handle("on"):describe().state == "started"
      end)
    end
    local env <close> = helper.environment(back, { db_filename = path, replay = false })
    local done, on = env.client:get_nexus_operation_handle "done", env.client:get_nexus_operation_handle "on"
    assert.are.equal(4, done:result().price)
    assert.are.same({ "running", "started", "tok" },
      { on:describe().status, on:describe().state, on:describe().operation_token })
    on:terminate "over"
    assert.are.equal("TerminatedError", failure(on.result, on).cause.kind)
    assert.are.equal(2, env.client:count_nexus_operations())
  end)

  it("is seen by interceptors", function()
    local names = {}
    local hooks = setmetatable({}, { __index = function() end })
    for _, name in ipairs { "start_nexus_operation", "get_nexus_operation_result", "describe_nexus_operation",
      "cancel_nexus_operation", "terminate_nexus_operation", "list_nexus_operations", "count_nexus_operations" } do
      hooks[name] = function(input, next)
        names[#names + 1] = name
        if name == "start_nexus_operation" then
          input.arg, input.id = { changed = input.operation }, input.id .. "-2"
        end
        return next(input)
      end
    end
    local env <close>, shop = environment { interceptors = { { client = setmetatable(hooks, nil) } } }
    local handle = shop:start_operation("price", { id = "op" }, 1)
    assert.are.equal("op-2", handle.id)
    assert.are.same({ changed = "price" }, handle:result().of)
    handle:describe()
    failure(handle.cancel, handle)
    failure(handle.terminate, handle)
    env.client:list_nexus_operations()()
    env.client:count_nexus_operations()
    assert.are.equal("start_nexus_operation get_nexus_operation_result describe_nexus_operation cancel_nexus_operation "
      .. "terminate_nexus_operation list_nexus_operations count_nexus_operations", table.concat(names, " "))
  end)

  it("says what is wrong with what it is given", function()
    local env <close>, shop = environment()
    local client = env.client
    for _, case in ipairs {
      { "service", client.nexus_client, client, { endpoint = "shop" } },
      { "endpoint is required", client.nexus_client, client, { endpoint = "", service = "shop" } },
      { "operation's name", shop.start_operation, shop, "" },
      { "one input, got 2", shop.start_operation, shop, "price", {}, 1, 2 },
      { "sumary", shop.start_operation, shop, "price", { sumary = "x" } },
      { "headers: names and values are texts", shop.start_operation, shop, "price", { headers = { a = 1 } } },
      { "the id must be a string", client.get_nexus_operation_handle, client, 7 },
      { "page_size wants a number", client.list_nexus_operations, client, nil, { page_size = 0 } },
      { "the reason must be a string", client:get_nexus_operation_handle("x").cancel,
        client:get_nexus_operation_handle "x", 7 },
    } do
      local message = tostring(failure(table.unpack(case, 2)))
      assert.is_truthy(message:find(case[1], 1, true), message)
    end
    local nowhere = client:nexus_client { endpoint = "gone", service = "shop" }
    local err = failure(nowhere.start_operation, nowhere, "price")
    assert.are.same({ "NOT_FOUND", "could not find Nexus endpoint by name: gone" }, { err.status, err.message })
    assert.are.equal("INVALID_ARGUMENT", failure(shop.start_operation, shop, "price",
      { headers = { ["Request-Timeout"] = "1s" } }).status)
    assert.are.equal("NOT_FOUND", failure(client:get_nexus_operation_handle("x").describe,
      client:get_nexus_operation_handle "x").status)
  end)
end)
