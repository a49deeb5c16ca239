local temporal = require "temporal"
local testing = require "temporal.testing"

local root = debug.getinfo(1, "S").source:match "^@(.*)/spec/[^/]*$"

describe("interceptors", function()
  local spans
  before_each(function() spans = os.tmpname() end)
  after_each(function() os.remove(spans) end)

  local function environment(tenant)
    package.path = root .. "/?.lua;" .. package.path
    local plugin = dofile(root .. "/plugin.lua") { tenant = tenant, spans = spans }
    return testing.environment {
      roots = { root }, workflows = { "workflows.*" }, activities = { "activities.payment" }, plugins = { plugin },
      replay = true, -- not as a live run, which would be traced
    }
  end

  local function run(env, amount)
    local handle = env:start_workflow("Order", { id = "o-1" }, { amount = amount })
    pcall(handle.signal, handle, "approve") -- an order that was refused is closed already
    return pcall(handle.result, handle)
  end

  it("give every order its tenant", function()
    local env <close> = environment "acme"
    assert.are.same({ true, "charged 12 for acme" }, { run(env, 12) })
  end)

  it("refuse orders without a tenant and charges above the limit", function()
    local env <close> = environment(nil)
    local ok, err = run(env, 12)
    assert.is_false(ok)
    assert.is_true(temporal.is_failure(err, "NoTenant"))
    local other <close> = environment "acme"
    ok, err = run(other, 5000)
    assert.is_false(ok)
    assert.is_true(temporal.is_failure(err, "TooMuch"))
  end)

  it("write one trace", function()
    do
      local env <close> = environment "acme"
      run(env, 12)
    end
    local names = {}
    for line in io.lines(spans) do
      names[#names + 1] = line:match '"name":"(%a+:%a+)"'
    end
    table.sort(names)
    assert.are.same({ "CompleteWorkflow:Order", "HandleSignal:approve", "RunActivity:charge", "RunWorkflow:Order",
      "SignalWorkflow:approve", "StartActivity:charge", "StartWorkflow:Order" }, names)
  end)

  it("run as a worker script", function()
    local lua = os.getenv "TEMPORAL_LUA_BIN" or "build/temporal-lua"
    local program = os.tmpname()
    local file = assert(io.open(program, "w"))
    file:write(([[
      arg[0] = %q
      package.path = %q .. package.path
      local worker = dofile(%q)
      print(worker:run_until(function()
        local handle = worker.client:start_workflow("Order", { id = "o-1", task_queue = "orders" }, { amount = 5 })
        handle:signal "approve"
        return handle:result()
      end))]]):format(root .. "/worker.lua", root .. "/?.lua;", root .. "/worker.lua"))
    file:close()
    local out = assert(io.popen(("SHOP_TENANT=umbrella SHOP_SPANS='%s' '%s' run '%s' 2>/dev/null"):format(
      spans, lua, program)))
    local text = out:read "a"
    assert.is_true(out:close())
    os.remove(program)
    assert.are.equal("charged 5 for umbrella\n", text)
  end)
end)
