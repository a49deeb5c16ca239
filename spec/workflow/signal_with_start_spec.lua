-- workflow.signal_with_start_workflow on the whole system: server, worker and Lua. Each environment replays every
-- workflow at its end.
local core = require "temporal.core"
local helper = require "helper"
local proto_json = require "temporal.proto_json"
local temporal = require "temporal"

local head = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
  local cart = workflow.define("Cart", function(owner)
    local seen = {}
    workflow.set_signal_handler("add", function(...) seen[#seen + 1] = table.pack(...) end)
    workflow.wait_condition(function() return #seen >= 2 end)
    return owner, seen[1][1], seen[1][2], seen[2][1]
  end)
]]

local function failure_of(handle)
  local ok, err = pcall(handle.result, handle)
  assert.is_false(ok)
  return err.cause or err
end

--- What the data of payloads in JSON stands for.
local function bytes_in(json)
  local out = {}
  for text in json:gmatch '"data" *: *"([%w+/=]+)"' do
    out[#out + 1] = proto_json.from_base64(text, "a payload")
  end
  for text in json:gmatch '"encoding" *: *"([%w+/=]+)"' do
    out[#out + 1] = proto_json.from_base64(text, "an encoding")
  end
  return table.concat(out, " ")
end

describe("workflow.signal_with_start_workflow", function()
  it("starts the workflow, and signals it when it runs", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("Caller", function()
        local first = workflow.signal_with_start_workflow(cart, {
          id = "cart-1", signal = "add", signal_args = { "tea", 2 }, memo = { shop = "north" },
          static_summary = "a cart", execution_timeout = "1h",
        }, "ann")
        local second = workflow.signal_with_start_workflow("Cart", { id = "cart-1", signal = "add",
          signal_args = { "milk" } }, "bob")
        return first.id, first.run_id, second.run_id
      end)
    ]])
    local caller = env:start_workflow("Caller", { id = "caller" })
    local id, run, again = caller:result()
    assert.are.equal("cart-1", id)
    assert.are.equal(run, again)
    local handle = env.client:get_workflow_handle(id)
    assert.are.same({ "ann", "tea", 2, "milk" }, { handle:result() })
    assert.are.equal(run, handle:describe().run_id)
    assert.are.equal("north", core.decode_one(helper.event(handle, "workflow_execution_started").memo.fields.shop))
    local started, event = helper.event(handle, "workflow_execution_started")
    assert.are.equal(3600, started.workflow_execution_timeout)
    assert.are.equal(env.task_queue, started.task_queue.name)
    assert.are.equal("a cart", core.decode_one(event.user_metadata.summary))
    assert.are.equal("caller", event.links[1].workflow_event.workflow_id)
    local scheduled = helper.event(caller, "nexus_operation_scheduled")
    assert.are.equal("__temporal_system", scheduled.endpoint)
    assert.are.equal("SignalWithStartWorkflowExecution", scheduled.operation)
  end)

  it("gives a handle that signals and cancels", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("Caller", function()
        local handle = workflow.signal_with_start_workflow(cart,
          { id = "c", signal = "add", signal_args = { 1 } }, "ann")
        handle:signal("add", 7)
        return true
      end)
    ]])
    assert.is_true(env:execute_workflow("Caller", { id = "caller" }))
    assert.are.same({ n = 4, "ann", 1, nil, 7 }, table.pack(env.client:get_workflow_handle("c"):result()))
  end)

  it("raises a NexusOperationError with the service's reason", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("Caller", function(id)
        return workflow.signal_with_start_workflow("Caller", { id = id, signal = "add",
          id_reuse_policy = "reject_duplicate" }).id
      end)
    ]])
    env.client:start_workflow("Nobody", { id = "used", task_queue = "nobody" }):terminate()
    local err = failure_of(env:start_workflow("Caller", { id = "caller" }, "used"))
    assert.are.equal("NexusOperationError", err.kind)
    assert.are.equal("__temporal_system", err.endpoint)
    assert.are.equal("ServerError", err.cause.kind)
    assert.is_truthy(err.cause.message:find("already finished", 1, true))
  end)

  it("says what is wrong with its options where they are written", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("Caller", function()
        local function try(...)
          local ok, err = pcall(workflow.signal_with_start_workflow, ...)
          assert(not ok)
          return tostring(err)
        end
        return try(cart, { signal = "add" }), try(cart, { id = "x" }),
          try(cart, { id = "x", signal = "add", sinal_args = 1 }),
          try(cart, { id = "x", signal = "add", id_conflict_policy = "fail" }), try(cart),
          try(cart, { id = "x", signal = "add", signal_args = "tea" }), try(7, { id = "x", signal = "add" })
      end)
    ]])
    local texts = { env:execute_workflow("Caller", { id = "caller" }) }
    for i, words in ipairs { "option 'id' is required", "option 'signal' is required", "signal_args",
      "id_conflict_policy", "table expected", "signal_args", "workflow.signal_with_start_workflow" } do
      assert.is_truthy(texts[i]:find(words, 1, true), texts[i])
    end
  end)

  it("is seen by interceptors, which may change it", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("Caller", function()
        return workflow.signal_with_start_workflow(cart,
          { id = "cart", signal = "add", signal_args = { "tea" } }, "ann").id
      end)
    ]], { worker = { interceptors = { { module = "changes", source = [[
      return { workflow = { signal_with_start_workflow = function(input, next)
        input.args[1] = input.args[1] .. "!" .. input.workflow
        input.id = input.id .. "-" .. input.signal
        input.headers.from = "hook"
        return next(input)
      end } }
    ]] } } } })
    assert.are.equal("cart-add", env:execute_workflow("Caller", { id = "caller" }))
    local started = helper.event(env.client:get_workflow_handle("cart-add"), "workflow_execution_started")
    assert.are.equal("ann!Cart", (core.decode(started.input)))
    assert.are.equal("hook", core.decode_one(started.header.fields.from))
  end)

  it("is coded inside its envelope by payload codecs", function()
    local data = temporal.data_converter { payload_codecs = {
      temporal.codec.aes_gcm { keys = { one = ("k"):rep(32) }, active = "one" },
    } }
    local env <close> = helper.environment(head .. [[
      return workflow.define("Caller", function()
        local target = workflow.signal_with_start_workflow(cart,
          { id = "cart", signal = "add", signal_args = { "tea", 1 } }, "ann")
        workflow.signal_with_start_workflow(cart, { id = "cart", signal = "add", signal_args = { "milk" } })
        return target.id
      end)
    ]], { data_converter = data })
    local caller = env:start_workflow("Caller", { id = "caller" })
    assert.are.equal("cart", caller:result())
    assert.are.same({ "ann", "tea", 1, "milk" }, { env.client:get_workflow_handle("cart"):result() })
    local stranger <close> = temporal.connect { server = env.server }
    for _, id in ipairs { "caller", "cart" } do
      local json = stranger:get_workflow_handle(id):fetch_history_json()
      local words = bytes_in(json)
      assert.is_nil(words:find("milk", 1, true), id)
      assert.is_truthy(words:find("binary/encrypted", 1, true), id)
      assert.are.equal(id == "caller", json:find("__temporal_system_payload", 1, true) ~= nil)
    end
    assert.is_truthy(bytes_in(caller:fetch_history_json()):find("milk", 1, true))
  end)
end)
