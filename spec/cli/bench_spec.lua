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
    assert.are.equal(64, count(server, [[ExecutionStatus="Terminated"]]))
  end)
end)
