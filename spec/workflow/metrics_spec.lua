--- Meters: what workflows, activities and scripts measure themselves.
local helper = require "spec.helper"
local temporal = require "temporal"

local function measured()
  return temporal.runtime { telemetry = { metrics = {}, attach_service_name = false } }
end

--- The line of a page that begins with this text, without it.
local function line(page, head)
  for l in page:gmatch "[^\n]+" do
    if l:sub(1, #head) == head then
      return l:sub(#head + 1)
    end
  end
end

local source = [[
  local workflow = require "temporal.workflow"
  local echo = workflow.activity("echo", { start_to_close_timeout = 10 })
  return {
    workflow.define("Measures", function()
      local meter = workflow.metric_meter()
      local orders = meter:create_counter("orders", "Orders taken", "orders")
      orders:add(2)
      echo(1) -- a second workflow task: on a replay of the first nothing is counted again
      orders:add(3, { kind = "late", vip = true })
      meter:create_gauge("depth"):set(-4)
      meter:create_gauge_float("load"):set(0.25)
      meter:create_histogram("items"):record(70)
      meter:create_histogram_float("weight", nil, "kg"):record(99.5)
      meter:create_histogram_timedelta("took"):record("90s")
      local eu = meter:with_additional_attributes { region = "eu", shelf = 7 }
      eu:create_counter("eu.orders"):with_additional_attributes({ shelf = 8 }):add(1, { region = "de" })
      return orders.name, orders.description, orders.unit, meter:create_gauge("depth").unit
    end),
    workflow.define("Waits", function()
      local turns, done = workflow.metric_meter():create_counter "turns", false
      workflow.set_signal_handler("turn", function() turns:add(1) end)
      workflow.set_signal_handler("stop", function() done = true end)
      workflow.set_query_handler("ask", function() turns:add(100) return turns.name end)
      workflow.wait_condition(function() return done end)
    end),
    workflow.define("Wrong", function(what)
      local meter = workflow.metric_meter()
      local counter = meter:create_counter "fine"
      local calls = {
        name = function() meter:create_counter "no name" end,
        negative = function() counter:add(-1) end,
        fraction = function() counter:add(1.5) end,
        text = function() counter:add "many" end,
        attribute = function() counter:add(1, { ["a b"] = 1 }) end,
        le = function() counter:add(1, { le = "1" }) end,
        value = function() counter:add(1, { a = {} }) end,
        verb = function() counter:set(1) end,
        meter = function() meter:create_timer "x" end,
        duration = function() meter:create_histogram_timedelta("t"):record "soon" end,
        past = function() meter:create_histogram_timedelta("t"):record(-1) end,
        read = function() return counter.value end,
        metatable = function() assert(getmetatable(counter) == false) error "no way in" end,
      }
      local ok, err = pcall(calls[what])
      assert(not ok)
      return err
    end),
    workflow.define("Clash", function()
      local meter = workflow.metric_meter()
      meter:create_counter("clash"):add(1)
      meter:create_gauge("clash"):set(5) -- another kind: left out, no error
      meter:create_counter("temporal_workflow_completed"):add(5) -- the SDK's own
      return "done"
    end),
  }]]

describe("workflow.metric_meter", function()
  it("records with the labels of the workflow and those that are added", function()
    local runtime <close> = measured()
    local page
    do
      local env <close> = helper.environment(source, {
        runtime = runtime, activities = { echo = function(x) return x end },
      })
      assert.are.same({ "orders", "Orders taken", "orders", nil }, { env:execute_workflow "Measures" })
      page = runtime:metrics()
    end -- the environment replays the history: that counts nothing
    assert.are.equal(line(page, "orders{"), line(runtime:metrics(), "orders{"))
    local common = 'task_queue="test",'
    assert.are.equal(' 2', line(page, 'orders{namespace="default",' .. common .. 'workflow_type="Measures"}'))
    assert.are.equal(' 3', line(page, 'orders{kind="late",namespace="default",' .. common
      .. 'vip="true",workflow_type="Measures"}'))
    local plain = '{namespace="default",' .. common .. 'workflow_type="Measures"}'
    assert.are.equal(" -4", line(page, "depth" .. plain))
    assert.are.equal(" 0.25", line(page, "load" .. plain))
    assert.are.equal(" 70", line(page, "items_sum" .. plain))
    assert.are.equal(" 99.5", line(page, "weight_sum" .. plain))
    assert.are.equal(" 90000", line(page, "took_sum" .. plain))
    assert.are.equal(' 1', line(page, 'eu_orders{namespace="default",region="de",shelf="8",' .. common
      .. 'workflow_type="Measures"}'))
    assert.matches("# HELP orders Orders taken\n# TYPE orders counter\n", page)
  end)

  it("is silent on replay and in queries", function()
    local runtime <close> = measured()
    local env <close> = helper.environment(source, { runtime = runtime, worker = { max_cached_workflows = 0 } })
    local handle = env:start_workflow "Waits"
    for _ = 1, 3 do
      handle:signal "turn"
      assert.are.equal("turns", handle:query "ask") -- each task replays all that was before
    end
    handle:signal "stop"
    handle:result()
    assert.are.equal(' 3', line(runtime:metrics(),
      'turns{namespace="default",task_queue="test",workflow_type="Waits"}'))
  end)

  it("says what is wrong, and lets nobody read", function()
    local runtime <close> = measured()
    local env <close> = helper.environment(source, { runtime = runtime })
    for what, message in pairs {
      name = "'no name' is no name of a metric", negative = "wants an integer from 0 up",
      fraction = "wants an integer from 0 up", text = "wants an integer from 0 up",
      attribute = "attributes have names of letters", le = "and not 'le'", value = "got a table",
      verb = "has no 'set'; it has add", meter = "a meter has no 'create_timer'", duration = "metric:record: ",
      past = "a duration from 0 to 100 years", read = "has no 'value'", metatable = "no way in",
    } do
      local err = env:execute_workflow("Wrong", nil, what)
      assert.is_truthy(tostring(type(err) == "table" and err.message or err):find(message, 1, true),
        what .. ": " .. tostring(type(err) == "table" and err.message or err))
    end
    assert.is_nil(runtime:metrics():match "\nfine{")
  end)

  it("leaves out what other runs have made impossible, without an error", function()
    local runtime <close> = measured()
    local env <close> = helper.environment(source, { runtime = runtime })
    assert.are.equal("done", env:execute_workflow "Clash")
    local page = runtime:metrics()
    assert.matches("# TYPE clash counter\n", page)
    assert.not_matches("# TYPE clash gauge", page)
    assert.not_matches('temporal_workflow_completed{[^\n]*} 5', page)
  end)

  it("records nothing without a runtime that measures", function()
    local env <close> = helper.environment(source, { activities = { echo = function(x) return x end } })
    assert.are.equal("orders", (env:execute_workflow "Measures"))
  end)
end)

describe("activity.metric_meter", function()
  it("records with the labels of the activity", function()
    local runtime <close> = measured()
    local activity = require "temporal.activity"
    assert.has_error(activity.metric_meter)
    local env <close> = helper.environment([[
      local workflow = require "temporal.workflow"
      return workflow.define("Calls", function()
        return workflow.execute_activity("count", { start_to_close_timeout = 10 })
      end)]], {
      runtime = runtime,
      activities = { count = function()
        local meter = activity.metric_meter()
        local counter = meter:create_counter("seen", "Seen")
        counter:add(1)
        counter:add(1, { more = 1.5 })
        return pcall(meter.create_gauge, meter, "seen")
      end },
    })
    local ok, message = env:execute_workflow "Calls"
    assert.is_false(ok)
    assert.matches("the metric 'seen' is a counter of another kind already", message)
    local page = runtime:metrics()
    assert.are.equal(" 1", line(page, 'seen{activity_type="count",namespace="default",task_queue="test"}'))
    assert.are.equal(" 1", line(page, 'seen{activity_type="count",more="1.5",namespace="default",task_queue="test"}'))
  end)
end)

describe("runtime:metric_meter", function()
  it("records in its runtime, which lives as long as its instruments", function()
    local counter
    do
      local runtime = measured()
      counter = runtime:metric_meter():create_counter "alone"
      counter:add(1)
      counter:add(2)
      assert.matches("\nalone 3\n", runtime:metrics())
    end
    collectgarbage()
    collectgarbage()
    counter:add(1) -- the registry is still there
    local many = {}
    for i = 1, 33 do
      many["a" .. i] = i
    end
    assert.is_false(pcall(counter.add, counter, 1, many))
  end)
end)
