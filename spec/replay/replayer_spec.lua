-- temporal.replayer and temporal.history: what they take, what they tell, and that a failure ends nothing.
local helper = require "helper"
local temporal = require "temporal"

local fixture = "spec/fixtures/histories/greeting_completed.json" -- of another Greeting
local roots = { "samples/greeting" }

local function greeting(options)
  local o = { workflows = { "workflows.greeting" }, activities = { "activities.greet" }, roots = roots }
  for k, v in pairs(options or {}) do
    o[k] = v
  end
  return temporal.replayer(o)
end

--- A replayer of a workflow "Program" with this body.
local function program(body, options)
  local source = [[
    local workflow = require "temporal.workflow"
    return workflow.define("Program", function(...)
      %s
    end)]]
  local o = { workflows = { { name = "program", source = source:format(body) } } }
  for k, v in pairs(options or {}) do
    o[k] = v
  end
  return temporal.replayer(o)
end

--- The history of a workflow "Program" with this body, recorded by a worker of its own.
local function record(body, arguments)
  local env <close> = helper.environment(([[
    local workflow = require "temporal.workflow"
    return workflow.define("Program", function(...)
      %s
    end)]]):format(body), { activities = { charge = function() return 1 end, ship = function() return 2 end },
    search_attributes = { Customer = "keyword" } })
  local handle = env:start_workflow("Program", { id = "program" }, table.unpack(arguments or {}))
  handle:result { timeout = 20 }
  return handle:history()
end

local act = "workflow.execute_activity('%s', { start_to_close_timeout = 10 }%s)\n"
local charge, ship = act:format("charge", ""), act:format("ship", "")

describe("temporal.history", function()
  it("reads files, JSON as text and as a table, and encoded messages", function()
    local from_file = temporal.history.from_file(fixture)
    assert.are.equal("Greeting", from_file.workflow_type)
    assert.is_true(from_file.event_count > 3)
    local json = from_file:to_json()
    local from_json = temporal.history.from_json("mine", json)
    assert.are.equal("mine", from_json.workflow_id)
    assert.are.equal(from_file.bytes, from_json.bytes)
    local from_table = temporal.history.from_json("mine", require("temporal.core").json_decode(json))
    assert.are.equal(from_file.bytes, from_table.bytes)
    local from_protobuf = temporal.history.from_protobuf("mine", from_file:to_protobuf())
    assert.are.equal(from_file.bytes, from_protobuf.bytes)
    assert.are.equal(from_file.event_count, #from_protobuf:events())
  end)

  it("names what it cannot read", function()
    assert.error_matches(function() temporal.history.from_file "/no/such/file" end, "from_file: /no/such/file: No such")
    assert.error_matches(function() temporal.history.from_json("x", "{ not a history") end, "history.from_json: ")
    assert.error_matches(function() temporal.history.from_json("x", 5) end, "must be a string, got number")
    assert.error_matches(function() temporal.history.from_protobuf(5, "x") end, "workflow id must be a string")
  end)
end)

describe("temporal.replayer", function()
  it("replays what fits and counts it", function()
    local result = program("workflow.sleep(1)"):replay_workflow(record "workflow.sleep(1)")
    assert.is_nil(result.replay_failure)
    assert.are.equal(result.history.event_count, result.event_count)
    assert.is_true(result.task_count >= 1 and result.activation_count >= 1)
    assert.is_true(result.finished)
  end)

  it("refuses options that it does not know, with a reason where other SDKs have them", function()
    assert.error_matches(function() greeting { build_idd = "x" } end, "did you mean 'build_id'")
    assert.error_matches(function() greeting { identity = "x" } end, "option 'identity': a replay talks to no server")
    assert.error_matches(function() temporal.replayer {} end, "option 'workflows' is required")
    assert.error_matches(function() temporal.replayer { workflows = { "no.such.module" } } end, "no.such.module")
    assert.error_matches(function() greeting():replay_workflow "x" end, "got string")
    assert.error_matches(function() greeting():replay_workflows(temporal.history.from_file(fixture)) end, "one history")
    assert.error_matches(function()
      greeting():replay_workflow(temporal.history.from_file(fixture), { raise = true })
    end, "unknown option 'raise'")
  end)

  it("tells the workflow the namespace, the build and the ids it is given", function()
    local h = record "workflow.sleep(1)"
    local r = program([[
      workflow.sleep(1)
      local info = workflow.info()
      local got = table.concat({ info.namespace, info.workflow_id, tostring(info.run_id == info.first_execution_run_id),
        info.task_queue }, " ")
      if got ~= "billing program true test" then error(got) end]], { namespace = "billing", debug_mode = true })
    assert.is_nil(r:replay_workflow(h).replay_failure)
    assert.are.equal("billing", r:config().namespace)
    assert.is_true(r:config().debug_mode)
  end)

  it("raises a failure, or gives it", function()
    local h, r = record(charge), program(ship)
    local ok, err = pcall(r.replay_workflow, r, h)
    assert.is_false(ok)
    assert.are.equal("NondeterminismError", err.type)
    assert.are.equal("program", err.workflow_id)
    assert.matches("command_changed", tostring(err))
    local result = r:replay_workflow(h, { raise_on_replay_failure = false })
    assert.are.equal(err.message, result.replay_failure.message)
  end)

  it("goes on behind failures and tells the progress", function()
    local fits, other = record(charge), record(ship)
    local broken = temporal.history.from_protobuf("broken", fits.bytes)
    local unknown = temporal.history.from_file(fixture)
    local seen = {}
    local results = program(charge):replay_workflows({ other, fits, unknown, broken }, {
      raise_on_replay_failure = false,
      progress = function(result, count)
        seen[count] = result.replay_failure and result.replay_failure.type or "fits"
      end,
    })
    assert.are.same({ "NondeterminismError", "fits", "WorkflowNotRegisteredError", "fits" }, seen)
    assert.are.equal(4, results.count)
    assert.are.equal(2, results.failed)
    assert.are.equal("NondeterminismError", results.replay_failures[other.run_id].type)
    assert.are.equal("WorkflowNotRegisteredError", results.replay_failures[unknown.run_id].type)
    assert.has_error(function() program(charge):replay_workflows { fits, other, unknown } end)
  end)

  it("takes histories one by one from a server", function()
    local env <close> = helper.environment([[
      local workflow = require "temporal.workflow"
      return workflow.define("Program", function(n)
        workflow.sleep(n)
        return n
      end)]])
    for i = 1, 5 do
      env:execute_workflow("Program", { id = "w" .. i }, i)
    end
    local r, ids = program "local n = ... workflow.sleep(n)", {}
    local asked = 0
    local histories = env.client:fetch_histories("WorkflowType = 'Program'", { page_size = 2 })
    for result in r:workflow_replay_iterator(function()
      asked = asked + 1
      return histories()
    end) do
      assert.is_nil(result.replay_failure)
      ids[#ids + 1] = result.history.workflow_id
      assert.are.equal(#ids, asked) -- each when its turn comes
    end
    table.sort(ids)
    assert.are.same({ "w1", "w2", "w3", "w4", "w5" }, ids)
    assert.has_error(function() env.client:fetch_histories("x", { pages = 2 }) end)
  end)

  it("of a test environment replays children and later runs too", function()
    local workflows = [[
      local workflow = require "temporal.workflow"
      local child = workflow.define("Child", function(n)
        workflow.sleep(%d)
        if n > 0 then workflow.continue_as_new({}, n - 1) end
        return "child"
      end)
      return { child, workflow.define("Parent", function()
        return workflow.execute_child_workflow("Child", { id = "kid" }, 1)
      end) }]]
    local function run(other)
      local env = helper.environment(workflows:format(5))
      assert.are.equal("child", env:execute_workflow("Parent", { id = "parent" }))
      if other then -- what its histories are held against at the end
        env.replayer = temporal.replayer { workflows = { { name = "spec", source = workflows:format(0) } } }
      end
      return pcall(env.close, env)
    end
    assert.is_true(run(false))
    local ok, message = run(true)
    assert.is_false(ok)
    assert.matches("replay of workflow 'kid' failed: ", message)
  end)

  it("tells a bug of the script from a history that does not fit", function()
    local h = record "workflow.sleep(1)"
    local result = program("workflow.sleep(1) error 'oops'"):replay_workflow(h, { raise_on_replay_failure = false })
    assert.are.equal("ReplayError", result.replay_failure.type)
    assert.matches("oops", result.replay_failure.message)
  end)
end)

describe("the report of a history that does not fit", function()
  local cases = {
    { "an added call", charge, "workflow.start_timer(5)\n" .. charge, "command_added", "StartTimer",
      'if workflow.patched("add-start-timer") then\n  workflow.sleep(5) -- program.lua:3' },
    { "a removed call", "workflow.sleep(5)\n" .. charge, charge, "command_removed", "ScheduleActivityTask",
      'if not workflow.patched("remove-timer-started") then\n  workflow.sleep(5) -- event 5' },
    { "another order",
      "local a = workflow.start_timer(5)\n" .. charge .. "a:result()",
      charge .. "workflow.sleep(5)", "", "ScheduleActivityTask", "workflow.sleep" },
    { "another type", charge, ship, "command_changed", "ScheduleActivityTask",
      'if workflow.patched("change-charge") then\n' ..
      '  workflow.execute_activity("ship", options, ...) -- program.lua:3\nelse\n' ..
      '  workflow.execute_activity("charge", options, ...) -- event 5' },
    { "an early end", charge .. ship, charge, "ended_early", "CompleteWorkflowExecution",
      'if not workflow.patched("end-before-ship") then\n' ..
      '  workflow.execute_activity("ship", options, ...) -- event 11' },
    { "a late end", charge, charge .. ship, "ended_late", "ScheduleActivityTask",
      'if not workflow.patched("go-on-with-ship") then\n  return result -- event 11' },
    { "a side effect that is gone", "workflow.side_effect(function() return 1 end)\n" .. charge, charge,
      "command_removed", "ScheduleActivityTask", "workflow.side_effect(fn)" },
    { "a local activity that is gone",
      "workflow.execute_local_activity('ship', { start_to_close_timeout = 9 })\n" .. charge, charge,
      "", "ScheduleActivityTask", 'workflow.execute_local_activity("ship", options, ...)' },
    { "a patch that is gone", "if workflow.patched 'discount' then\n" .. charge .. "end", charge,
      "command_removed", "ScheduleActivityTask", 'workflow.deprecate_patch("discount")' },
    { "an added child", charge,
      "workflow.spawn(function() workflow.start_child_workflow('Child', { id = 'kid' }) end)\n" ..
      "workflow.sleep(0)\n" .. charge,
      "", "StartChildWorkflowExecution", 'workflow.execute_child_workflow("Child", options, ...)' },
    { "an added signal to another workflow", charge,
      "workflow.spawn(function() workflow.external_workflow('other'):signal('poke', 1) end)\n" ..
      "workflow.sleep(0)\n" .. charge,
      "", "", "" },
    { "upserted search attributes that are gone",
      "workflow.upsert_search_attributes { Customer = 'x' }\n" ..
      charge, charge, "command_removed", "ScheduleActivityTask", "workflow.upsert_search_attributes(fields)" },
    { "an added memo", charge, "workflow.upsert_memo { a = 1 }\n" .. charge, "command_added",
      "ModifyWorkflowProperties", "workflow.upsert_memo(fields)" },
  }
  for _, case in ipairs(cases) do
    local name, before, after, kind, produced, patch = table.unpack(case)
    it("names both sides and a way out: " .. name, function()
      local result = program(after):replay_workflow(record(before), { raise_on_replay_failure = false })
      local failure = assert(result.replay_failure)
      assert.are.equal("NondeterminismError", failure.type)
      local report = failure.report
      if kind ~= "" then
        assert.are.equal(kind, report.kind)
      end
      if produced ~= "" then
        assert.are.equal(produced, report.produced.type)
        assert.is_table(report.produced.attributes)
        assert.is_true(produced == "CompleteWorkflowExecution" or #report.produced.where > 0)
      end
      assert.is_truthy(report.expected.event_id > 0)
      assert.is_truthy(report.patch:find(patch, 1, true), report.patch)
      assert.is_truthy(failure.text:find(patch:match "[^\n]*", 1, true), failure.text)
      assert(load("local workflow, options, fields, fn, id, min, max, failure, result = ...\n" ..
        report.patch:gsub("%.%.%.", "nil")))
    end)
  end

  it("names the last call that fitted, where it was made", function()
    local r = program(charge .. "workflow.sleep(1)\n" .. ship)
    local failure = r:replay_workflow(record(charge .. ship), { raise_on_replay_failure = false }).replay_failure
    assert.are.equal("ActivityTaskScheduled", failure.report.previous.type)
    assert.are.equal(5, failure.report.previous.event_id)
    assert.are.equal("program.lua:3", failure.report.previous.where)
    assert.are.equal("ship", failure.report.expected.name)
    assert.are.equal("program.lua:4", failure.report.produced.where)
  end)

  it("names the lines that ran last", function()
    local r = program("for i = 1, 2 do\n workflow.sleep(i)\n end\n" .. charge .. "local kept = 1\n" .. ship)
    local failure = r:replay_workflow(record("workflow.sleep(1) workflow.sleep(2)\n" .. charge .. charge),
      { raise_on_replay_failure = false }).replay_failure
    local trace = failure.report.trace
    assert.are.same({ "program.lua:4", "program.lua:3", "program.lua:6", "program.lua:7", "program.lua:8" },
      table.move(trace, #trace - 4, #trace, 1, {}))
    assert.is_truthy(failure.text:find("ran last: ", 1, true))
    assert.is_truthy(failure.text:find("program.lua:6, program.lua:7, program.lua:8\n", 1, true), failure.text)
  end)

  it("is silent on other arguments: ids and types are what a history holds a workflow to", function()
    local h = record(act:format("charge", ", 1"))
    assert.is_nil(program(act:format("charge", ", 2")):replay_workflow(h).replay_failure)
  end)
end)
