local helper = require "helper"
local json = require "temporal.core"

--- Figures of one benchmark command by name.
local function figures(words)
  local code, output, errors = helper.run(("%s bench --json %s"):format(helper.binary, words))
  assert.are.equal(0, code, errors)
  local found = {}
  for line in output:gmatch "[^\n]+" do
    local figure = json.json_decode(line)
    found[figure.name] = figure.value
  end
  return found
end

local function count(server, query)
  local code, output = helper.run(("%s workflow count --address %s --query %q -o json")
    :format(helper.binary, server.address, query))
  assert.are.equal(0, code, output)
  return tonumber(json.json_decode(output).count or 0)
end

describe("a load of the benchmark", function()
  it("leaves no open workflow behind, which would be work in the way of the load after it", function()
    local server <close> = helper.start_server "--headless"
    for _, load in ipairs { "start", "one", "signal", "query" } do
      local found = figures(("--address %s --duration 200ms --in-flight 32 --only %s"):format(server.address, load))
      assert.is_true((found.starts_count or found.one_count or found.signals_count or found.queries_count) > 0)
      assert.are.equal(0, count(server, [[ExecutionStatus="Running"]]), load)
    end
    assert.is_true(count(server, [[ExecutionStatus="Completed"]]) > 0)
    assert.is_true(count(server, [[ExecutionStatus="Terminated"]]) >= 2) -- of the loads that signal and query
  end)

  it("starts workflows of another process's worker at a rate, and leaves them open when it is told to", function()
    local server <close> = helper.start_server "--headless"
    local others = ("--address %s --only start --workflow-type Mine --task-queue mine"):format(server.address)
    local found = figures(others .. " --rate 100 --duration 500ms --leave-open --input 7")
    assert.is_true(found.starts_count > 0 and found.starts_count <= 50, found.starts_count)
    assert.are.equal(found.starts_count, count(server, [[ExecutionStatus="Running" AND WorkflowType="Mine"]]))
  end)

  it("refuses options that do not go together, and says which", function()
    for words, message in pairs {
      ["--only start --workflow-type Mine"] = "--workflow-type and --task-queue go together",
      ["--workflow-type Mine --task-queue mine"] = "wants --address, and --only start or run",
      ["--address x:1 --only noop --workflow-type Mine --task-queue mine"] = "is for --only start and --only run",
      ["--only run"] = "--only run wants --workflow-type",
      ["--only start --leave-open"] = "--input and --leave-open go with --workflow-type",
      ["--only start --rate -1"] = "--rate wants 0 to 1000000, got -1",
      ["--only stars"] = "--only stars: there is no such figure",
    } do
      local code, output, errors = helper.run(("%s bench %s"):format(helper.binary, words))
      assert.are.same({ 2, "" }, { code, output }, words)
      assert.is_truthy(errors:find(message, 1, true), errors)
    end
  end)
end)

describe("the benchmark of dispatch", function()
  it("tells how long activities in C and in Lua take to be entered", function()
    local found = figures "--only dispatch"
    for _, name in ipairs { "dispatch_native_p50", "dispatch_lua_p50" } do
      assert.is_true(found[name] > 0.5 and found[name] < 1e6, name)
    end
    assert.is_true(found.dispatch_native_p99 >= found.dispatch_native_p50)
  end)
end)

describe("the benchmark of gRPC alone", function()
  it("tells the CPU time of both ends, and at an address that of the client's end alone", function()
    local both = figures "--only echo --in-flight 4 --duration 300ms"
    local server <close> = helper.start_server "--headless"
    local alone = figures("--only echo --in-flight 4 --duration 300ms --address " .. server.address)
    assert.is_true(both.echo > 0 and both.echo_cpu > 0 and alone.echo > 0 and alone.echo_client_cpu > 0)
    assert.are.same({}, { both.echo_client_cpu, alone.echo_cpu })
  end)

  it("says that calls failed rather than how fast they did", function()
    local code, output, errors = helper.run(("%s bench --only echo --duration 100ms --address localhost:1")
      :format(helper.binary))
    assert.are.same({ 1, "" }, { code, output })
    assert.matches("bench echo: %d+ calls failed", errors)
  end)
end)
