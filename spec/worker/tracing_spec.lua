-- OpenTelemetry tracing and context propagation: one trace through client, workflow, activity and child.
local context = require "temporal.contrib.context_propagation"
local core = require "temporal.core"
local helper = require "helper"
local otel = require "temporal.contrib.opentelemetry"

local head = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
]]

--- The spans in the file, by name; several of one name: the first.
local function read_spans(path)
  local all, by_name = {}, {}
  for line in io.lines(path) do
    local scope = core.json_decode(line).resourceSpans[1]
    local span = scope.scopeSpans[1].spans[1]
    span.service = scope.resource.attributes[1].value.stringValue
    all[#all + 1] = span
    by_name[span.name] = by_name[span.name] or span
  end
  return by_name, all
end

describe("temporal.contrib.opentelemetry", function()
  local path
  before_each(function() path = os.tmpname() end)
  after_each(function() os.remove(path) end)

  it("goes on through a Nexus operation to the workflow behind it", function()
    local nexus = require "temporal.nexus"
    do
      local env <close> = helper.environment(head .. [[
        local shop = workflow.nexus_client { endpoint = "shop", service = "Shop" }
        workflow.define("Ship", function() return "shipped" end)
        workflow.define("Caller", function()
          local handle = shop:start_operation("ship", { headers = { tenant = "acme" } })
          return handle:result()
        end)]], {
        interceptors = { otel.interceptor { file = path } },
        replay = true,
        nexus_services = { nexus.service("Shop", { ship = nexus.workflow_run_operation(function()
          assert(otel.current_traceparent() and nexus.info().headers.tenant == "acme")
          return nexus.start_workflow("Ship", { id = "ship" })
        end) }) },
      })
      env.client:create_nexus_endpoint("shop", { task_queue = env.task_queue })
      assert.are.equal("shipped", env:execute_workflow("Caller", { id = "w" }))
    end
    local spans = read_spans(path)
    local parents = {
      ["StartNexusOperation:Shop/ship"] = "RunWorkflow:Caller",
      ["RunStartNexusOperationHandler:Shop/ship"] = "StartNexusOperation:Shop/ship",
      ["StartWorkflow:Ship"] = "RunStartNexusOperationHandler:Shop/ship",
      ["RunWorkflow:Ship"] = "StartWorkflow:Ship",
    }
    for name, parent in pairs(parents) do
      assert.is_truthy(spans[name], "no span " .. name)
      assert.are.equal(spans[parent].spanId, spans[name].parentSpanId, name)
      assert.are.equal(spans[parent].traceId, spans[name].traceId, name)
    end
  end)

  it("joins client, workflow, activities, children, signals and updates into one trace, once", function()
    local source = head .. [[
      local child = workflow.define("Child", function() return 1 end)
      return { child, workflow.define { name = "W",
        run = function()
          workflow.wait_condition(function() return go end)
          local o = { start_to_close_timeout = "10s" }
          workflow.execute_activity("told", o)
          workflow.execute_local_activity("told", o)
          return workflow.execute_child_workflow(child, { id = "c" })
        end,
        signals = { go = function() go = true end },
        queries = { q = function() return 1 end },
        updates = { u = function() return 2 end },
      } }]]
    local seen
    do
      local env <close> = helper.environment("local go\n" .. source, {
        interceptors = { otel.interceptor { file = path, service_name = "shop" } },
        replay = true, -- not as a live run, which would be traced
        activities = { told = function() seen = otel.current_traceparent() end },
      })
      local handle = env:start_workflow("W", { id = "w" })
      assert.are.equal(1, handle:query "q")
      assert.are.equal(2, handle:execute_update "u")
      handle:signal "go"
      assert.are.equal(1, handle:result())
    end
    local spans, all = read_spans(path)
    local counts = {}
    for _, span in ipairs(all) do
      counts[span.name] = (counts[span.name] or 0) + 1
      assert.are.equal("shop", span.service)
      assert.matches("^%x+$", span.traceId)
      assert.are.same({ 32, 16 }, { #span.traceId, #span.spanId })
      assert.is_true(math.tointeger(span.startTimeUnixNano) <= math.tointeger(span.endTimeUnixNano))
    end
    local parents = {
      ["RunWorkflow:W"] = "StartWorkflow:W", ["CompleteWorkflow:W"] = "RunWorkflow:W",
      ["StartActivity:told"] = "RunWorkflow:W", ["RunActivity:told"] = "StartActivity:told",
      ["StartChildWorkflow:Child"] = "RunWorkflow:W", ["RunWorkflow:Child"] = "StartChildWorkflow:Child",
      ["HandleSignal:go"] = "SignalWorkflow:go", ["HandleUpdate:u"] = "StartWorkflowUpdate:u",
      ["HandleQuery:q"] = "QueryWorkflow:q",
    }
    for name, parent in pairs(parents) do
      assert.is_truthy(spans[name], "no span " .. name)
      assert.are.equal(spans[parent].spanId, spans[name].parentSpanId, name)
      assert.are.equal(spans[parent].traceId, spans[name].traceId, name)
    end
    -- the histories were replayed at the end: each was made once
    for _, name in ipairs { "RunWorkflow:W", "CompleteWorkflow:W", "HandleSignal:go", "StartChildWorkflow:Child" } do
      assert.are.equal(1, counts[name], name)
    end
    assert.are.same({ 2, 2 }, { counts["StartActivity:told"], counts["RunActivity:told"] })
    assert.matches("^00%-" .. spans["StartWorkflow:W"].traceId .. "%-%x+%-01$", seen)
  end)

  it("goes on in the trace that another program sent, and marks errors", function()
    local traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
    do
      local env <close> = helper.environment(head .. [[
        return workflow.define("W", function() return workflow.execute_activity("bad",
          { start_to_close_timeout = "10s", retry_policy = { maximum_attempts = 1 } }) end)]], {
        worker = { interceptors = { otel.interceptor { file = path } } },
        activities = { bad = function() error "broken" end },
      })
      local handle = env:start_workflow("W", { headers = { ["_tracer-data"] = { traceparent = traceparent } } })
      assert.is_false((pcall(handle.result, handle)))
    end
    local spans = read_spans(path)
    assert.are.equal("0af7651916cd43dd8448eb211c80319c", spans["RunWorkflow:W"].traceId)
    assert.are.equal("b7ad6b7169203331", spans["RunWorkflow:W"].parentSpanId)
    assert.are.equal(2, spans["RunActivity:bad"].status.code)
    assert.matches("broken", spans["RunActivity:bad"].status.message)
    assert.are.equal(2, spans["CompleteWorkflow:W"].status.code)
  end)

  it("makes no spans of workflows that nobody traces, unless it is told to", function()
    local function run(always)
      local env <close> = helper.environment(head .. [[return workflow.define("W", function() end)]], {
        worker = { interceptors = { otel.interceptor { file = path, always_create_workflow_spans = always } } } })
      env:execute_workflow("W", { headers = { ["_tracer-data"] = { traceparent = "00-bad" } } })
      return (read_spans(path))
    end
    assert.are.same({}, run(false))
    assert.is_truthy(run(true)["RunWorkflow:W"])
  end)

  it("leaves commands and random numbers as they are", function()
    local source = head .. [[
      return workflow.define("W", function()
        workflow.sleep(1)
        return workflow.uuid4(), math.random(1 << 30)
      end)]]
    local history, plain
    do
      local env <close> = helper.environment(source)
      local handle = env:start_workflow "W"
      plain = { handle:result() }
      history = handle:history()
    end
    local replayer = require "temporal".replayer { workflows = { { name = "spec", source = source } },
      interceptors = { otel.interceptor { file = path, always_create_workflow_spans = true } } }
    assert.is_nil(replayer:replay_workflow(history).replay_failure)
    assert.are.equal(2, #plain)
    assert.are.same({}, (read_spans(path)))
  end)

  it("wants one way out", function()
    for _, given in ipairs { {}, { file = "a", exporter = "b" } } do
      local ok, err = pcall(otel.interceptor, given)
      assert.is_false(ok)
      assert.matches("one of file and exporter", tostring(err))
    end
  end)
end)

describe("temporal.contrib.context_propagation", function()
  it("hands headers on from the client to everything", function()
    local tenant = "acme"
    local source = head .. [[
      local child = workflow.define("Child", function() return workflow.info().headers end)
      return { child, workflow.define("W", function(again)
        if again then workflow.continue_as_new({}) end
        local o = { start_to_close_timeout = "10s" }
        return { workflow.execute_activity("told", o), workflow.execute_local_activity("told", o),
          workflow.execute_child_workflow(child, {}),
          workflow.execute_child_workflow(child, { headers = { tenant = "own" } }) }
      end) }]]
    local env <close> = helper.environment(source, {
      interceptors = { context.interceptor { headers = { "tenant", "user" }, values = function()
        return { tenant = tenant, user = { id = 5 }, other = 1 }
      end } },
      activities = { told = function() return require "temporal.activity".info().headers end },
    })
    local all = { tenant = "acme", user = { id = 5 } }
    local own = { tenant = "own", user = { id = 5 } }
    assert.are.same({ all, all, all, own }, env:execute_workflow("W", nil, true))
    local handle = env:start_workflow("Child", { headers = { tenant = "mine" } })
    assert.are.same({ tenant = "mine", user = { id = 5 } }, handle:result())
  end)
end)
