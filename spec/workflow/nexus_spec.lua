-- Nexus operations of workflows on the whole system: server, worker and Lua, with skipped time. The handlers are
-- played by the specs. Each environment replays every workflow at its end.
local core = require "temporal.core"
local helper = require "helper"
local temporal = require "temporal"

local head = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
  local shop = workflow.nexus_client { endpoint = "shop", service = "Orders" }
  local back = workflow.define("Back", function(word)
    workflow.wait_condition(function() return word ~= "wait" end)
    if word == "fail" then error(temporal.failure { type = "Sold", message = "sold out", non_retryable = true }) end
    return "back " .. word
  end)
]]

local function environment(body)
  local env = helper.environment(head .. body)
  env.client:create_nexus_endpoint("shop", { task_queue = "nexus" })
  return env
end

--- The next request to the handler.
local function poll(env)
  local task = env.client:call("PollNexusTaskQueue",
    { namespace = "default", task_queue = { name = "nexus" }, identity = "spec" }, 60 * 1000000000)
  assert.is_true(#task.task_token > 0, "no request came")
  return task
end

local function complete(env, task, response)
  env.client:call("RespondNexusTaskCompleted",
    { namespace = "default", identity = "spec", task_token = task.task_token, response = response })
end

local function start_answer(env, task, answer)
  complete(env, task, { start_operation = answer })
end

local function sync(env, task, value)
  start_answer(env, task, { sync_success = { payload = core.encode_one(value) } })
end

--- Starts the workflow "Back" as the operation, as handlers of other SDKs do.
local function async(env, task, word)
  local request = task.request.start_operation
  start_answer(env, task, { async_success = { operation_token = "token-" .. word } })
  local header = request.callback_header or {}
  header["nexus-operation-token"] = "token-" .. word
  env.client:call("StartWorkflowExecution", {
    namespace = "default", workflow_id = "back-" .. word, workflow_type = { name = "Back" },
    task_queue = { name = env.task_queue }, input = { payloads = { core.encode_one(word) } },
    identity = "spec", request_id = request.request_id,
    completion_callbacks = { { nexus = { url = request.callback, header = header } } },
  })
end

--- What the start of a workflow says once its Nexus operation is over.
local function failure_of(handle)
  local ok, err = pcall(handle.result, handle)
  assert.is_false(ok)
  return err.cause or err
end

local function event_names(handle)
  local names = {}
  for i, event in ipairs(handle:fetch_history()) do
    for key in pairs(event) do
      if key:match "^nexus_operation" then
        names[#names + 1] = key:match "^nexus_operation_(.*)_event_attributes$"
      end
    end
    assert.are.equal(i, event.event_id)
  end
  return table.concat(names, " ")
end

describe("workflow.nexus_client", function()
  it("executes an operation that is answered at once", function()
    local env <close> = environment [[
      return workflow.define("Caller", function()
        return shop:execute_operation("price", { headers = { ["X-Shop"] = "north", a = "b" }, summary = "how much" },
          { sku = "tea" })
      end)
    ]]
    local handle = env:start_workflow("Caller", { id = "caller" })
    local task = poll(env)
    local request = task.request.start_operation
    assert.are.equal("Orders", request.service)
    assert.are.equal("price", request.operation)
    assert.are.same({ sku = "tea" }, core.decode_one(request.payload))
    assert.are.equal("north", task.request.header["x-shop"] or task.request.header["X-Shop"])
    assert.are.equal("b", task.request.header.a)
    sync(env, task, { price = 4 })
    assert.are.same({ price = 4 }, handle:result())
    assert.are.equal("scheduled completed", event_names(handle))
    local attributes, event = helper.event(handle, "nexus_operation_scheduled")
    assert.are.equal("shop", attributes.endpoint)
    assert.are.equal("how much", core.decode_one(event.user_metadata.summary))
  end)

  it("starts an operation, whose handle has its token and later its result", function()
    local env <close> = environment [[
      return workflow.define("Caller", function()
        local handle = shop:start_operation("buy", { schedule_to_close_timeout = "1h" }, "tea")
        local token, done = handle.operation_token, handle:done()
        return token, done, handle:result(), handle:done()
      end)
    ]]
    local handle = env:start_workflow("Caller", { id = "caller" })
    async(env, poll(env), "tea")
    assert.are.same({ "token-tea", false, "back tea", true }, { handle:result() })
    assert.are.equal("scheduled started completed", event_names(handle))
  end)

  it("has no token and no input where there is none", function()
    local env <close> = environment [[
      return workflow.define("Caller", function()
        local handle = shop:start_operation("now")
        return handle.operation_token == nil, handle:done(), handle:result() == nil
      end)
    ]]
    local handle = env:start_workflow("Caller", { id = "caller" })
    local task = poll(env)
    assert.is_nil(core.decode_one(task.request.start_operation.payload))
    start_answer(env, task, { sync_success = {} })
    assert.are.same({ true, true, true }, { handle:result() })
  end)

  it("raises what the operation failed with", function()
    local env <close> = environment [[
      return workflow.define("Caller", function()
        local handle = shop:start_operation("buy")
        local ok, err = pcall(handle.result, handle)
        assert(not ok and handle:error() == err)
        error(err, 0)
      end)
    ]]
    local handle = env:start_workflow("Caller", { id = "caller" })
    async(env, poll(env), "fail")
    local err = failure_of(handle)
    assert.are.equal("NexusOperationError", err.kind)
    assert.are.same({ "shop", "Orders", "buy", "token-fail" },
      { err.endpoint, err.service, err.operation, err.operation_token })
    assert.are.equal(5, err.scheduled_event_id)
    assert.are.equal("sold out", err.cause.message)
    assert.are.equal("Sold", err.cause.type)
  end)

  it("raises what the handler refused, at the start", function()
    local env <close> = environment [[
      return workflow.define("Caller", function()
        local ok, err = pcall(shop.start_operation, shop, "buy")
        return ok, err.kind, err.cause.kind, err.cause.handler_type, err.cause.message
      end)
    ]]
    local handle = env:start_workflow("Caller", { id = "caller" })
    local task = poll(env)
    local refusal = temporal.failure { message = "no such thing" }
    refusal.kind, refusal.handler_type = "NexusHandlerError", "BAD_REQUEST"
    env.client:call("RespondNexusTaskFailed", {
      namespace = "default", identity = "spec", task_token = task.task_token,
      failure = core.encode_failure(refusal),
    })
    assert.are.same({ false, "NexusOperationError", "NexusHandlerError", "BAD_REQUEST", "no such thing" },
      { handle:result() })
    assert.are.equal("scheduled failed", event_names(handle))
  end)

  for option, kind in pairs {
    schedule_to_close_timeout = "schedule_to_close", schedule_to_start_timeout = "schedule_to_start",
  } do
    it("gives up after its " .. option, function()
      local env <close> = environment(([[
        return workflow.define("Caller", function()
          local began = workflow.now()
          local ok, err = pcall(shop.execute_operation, shop, "buy", { %s = "30d" })
          return ok, err.cause.kind, err.cause.timeout_type, (workflow.now() - began + 60) // 86400
        end)
      ]]):format(option))
      local handle = env:start_workflow("Caller", { id = "caller" })
      local ok, failure, timeout, days = handle:result()
      assert.are.same({ false, "TimeoutError", kind, 30 }, { ok, failure, timeout, math.tointeger(days) })
      assert.are.equal("scheduled timed_out", event_names(handle))
    end)
  end

  it("gives up start_to_close_timeout after the start", function()
    local env <close> = environment [[
      return workflow.define("Caller", function()
        local handle = shop:start_operation("buy", { start_to_close_timeout = "2d" })
        local began = workflow.now()
        local ok, err = pcall(handle.result, handle)
        return ok, err.cause.timeout_type, (workflow.now() - began + 60) // 86400
      end)
    ]]
    local handle = env:start_workflow("Caller", { id = "caller" })
    async(env, poll(env), "wait")
    local ok, timeout, days = handle:result()
    assert.are.same({ false, "start_to_close", 2 }, { ok, timeout, math.tointeger(days) })
    env.client:get_workflow_handle("back-wait"):terminate()
  end)

  it("cancels before anything was sent", function()
    local env <close> = environment [[
      return workflow.define("Caller", function()
        local scope = workflow.cancel_scope()
        workflow.spawn(function() scope:cancel() end)
        local ok, err = pcall(scope.run, scope, function()
          return shop:execute_operation("buy")
        end)
        assert(not ok and temporal.is_cancelled(err), tostring(err))
        return "cancelled"
      end)
    ]]
    local handle = env:start_workflow("Caller", { id = "caller" })
    assert.are.equal("cancelled", handle:result())
  end)

  local ends = {
    wait_completed = "scheduled started cancel_requested cancel_request_completed canceled",
    wait_requested = "scheduled started cancel_requested cancel_request_completed",
    try_cancel = "scheduled started cancel_requested",
    abandon = "scheduled started",
  }
  for cancellation_type, events in pairs(ends) do
    it("cancels as said: " .. cancellation_type, function()
      local env <close> = environment(([[
        return workflow.define("Caller", function()
          local handle = shop:start_operation("buy", { cancellation_type = %q })
          local ok, err = pcall(handle.result, handle)
          return ok, err.kind, err.cause.kind, temporal.is_cancelled(err.cause)
        end)
      ]]):format(cancellation_type))
      local handle = env:start_workflow("Caller", { id = "caller" })
      async(env, poll(env), "wait")
      helper.eventually(env, function() return event_names(handle) == "scheduled started" end)
      handle:cancel()
      if cancellation_type:match "^wait" then
        local task = poll(env)
        assert.are.equal("token-wait", task.request.cancel_operation.operation_token)
        complete(env, task, { cancel_operation = {} })
        if cancellation_type == "wait_completed" then
          env.client:get_workflow_handle("back-wait"):cancel()
        end
      end
      assert.are.same({ false, "CancelledError", "NexusOperationError", true }, { handle:result() })
      assert.are.equal(events, event_names(handle))
      if cancellation_type ~= "wait_completed" then
        env.client:get_workflow_handle("back-wait"):terminate()
      end
    end)
  end

  it("refuses bad input and names it", function()
    local env <close> = environment [[
      local tries = {
        ["endpoint is required"] = function() workflow.nexus_client { service = "s" } end,
        ["service is required"] = function() workflow.nexus_client { endpoint = "e" } end,
        ["'servise'.*'service'"] = function() workflow.nexus_client { endpoint = "e", servise = "s" } end,
        ["operation's name is expected, got nil"] = function() shop:execute_operation() end,
        ["one input, got 2"] = function() shop:start_operation("a", nil, 1, 2) end,
        ["cancellation_type.*wait_completed"] = function()
          shop:execute_operation("a", { cancellation_type = "never" })
        end,
        ["'summery'.*'summary'"] = function() shop:execute_operation("a", { summery = "x" }) end,
        ["names and values are texts"] = function() shop:execute_operation("a", { headers = { x = 1 } }) end,
        ["client has no 'call'"] = function() return shop.call end,
        ["endpoint of the client is no text"] = function()
          local client = workflow.nexus_client { endpoint = "e", service = "s" }
          client.endpoint = 5
          client:execute_operation "a"
        end,
        ["handle has no 'token'"] = function()
          local handle = shop:start_operation("a")
          return handle.token
        end,
      }
      return workflow.define("Caller", function()
        local wrong, names = {}, {}
        for pattern in pairs(tries) do names[#names + 1] = pattern end
        table.sort(names)
        for _, pattern in ipairs(names) do
          local ok, err = pcall(tries[pattern])
          if ok or not tostring(err):find(pattern) then wrong[#wrong + 1] = pattern .. " -> " .. tostring(err) end
        end
        return table.concat(wrong, "\n")
      end)
    ]]
    local handle = env:start_workflow("Caller", { id = "caller" })
    sync(env, poll(env), 1)
    assert.are.equal("", handle:result())
  end)

  it("says that an endpoint is not there", function()
    local env <close> = environment [[
      return workflow.define("Caller", function()
        return workflow.nexus_client { endpoint = "nowhere", service = "s" }:execute_operation("a")
      end)
    ]]
    local handle = env:start_workflow("Caller", { id = "caller" })
    local failure = helper.task_failure(env, handle)
    assert.matches("nowhere", failure.message)
    handle:terminate()
  end)
end)
