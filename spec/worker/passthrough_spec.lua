-- Pass-through modules of a worker: shared by its runs, found beside its roots, part of its build.
local helper = require "helper"
local replayer = require "temporal.replayer"
local temporal = require "temporal"
local worker = require "temporal.worker"

local source = [[
  local workflow = require "temporal.workflow"
  local prices = require "spec_prices"
  return workflow.define("Price", function(name, change)
    workflow.sleep(1)
    if change then prices.of[name] = change end
    return prices.total(name, 2), prices.of == require "spec_tables".of
  end)
]]

describe("pass-through modules", function()
  local folder
  setup(function()
    folder = helper.module_folder()
    folder.module("spec_tables", "return { of = { apple = 3, pear = 4 } }")
    folder.module("spec_prices", [[
      local tables = require "spec_tables"
      return { of = tables.of, total = function(name, n) return tables.of[name] * n end }
    ]])
  end)
  teardown(function() folder:close() end)

  local function options(given)
    return { workflows = { { name = "main", source = source } }, passthrough_modules = given or { "spec_prices" } }
  end

  it("are found along package.path, shared by all runs, and known to the replayer", function()
    local env <close> = helper.environment(source, { worker = { passthrough_modules = { "spec_prices" } } })
    local handles = {}
    for i, name in ipairs { "apple", "pear" } do
      handles[i] = env:start_workflow("Price", nil, name)
    end
    assert.are.same({ 6, true }, { handles[1]:result() })
    assert.are.same({ 8, true }, { handles[2]:result() })
    local result = replayer.new(options()):replay_workflow(
      temporal.history.from_json(nil, handles[1]:fetch_history_json()), { raise_on_replay_failure = false })
    assert.is_nil(result.replay_failure)
    assert.error_matches(function()
      replayer.new { workflows = options().workflows }
    end, "module 'spec_prices' is not in the bundle")
  end)

  it("keep what a run writes from all others", function()
    local env <close> = helper.environment(source, {
      worker = { passthrough_modules = { "spec_prices" }, workflow_failure_error_types = { "LuaError" } },
    })
    local bad = env:start_workflow("Price", nil, "apple", 100)
    local ok, err = pcall(bad.result, bad)
    assert.is_false(ok)
    assert.matches("^spec.lua:5: attempt to change a table that is shared by all runs", err.cause.message)
    assert.are.equal(6, (env:execute_workflow("Price", nil, "apple")))
  end)

  it("count into the build ID, with their text and with being shared", function()
    local shared = worker.default_build_id(options())
    assert.are.equal(shared, worker.default_build_id(options { "spec_tables", "spec_prices" }))
    folder.module("spec_tables", "return { of = { apple = 3, pear = 5 } }")
    assert.are_not.equal(shared, worker.default_build_id(options()))
    folder.module("spec_tables", "return { of = { apple = 3, pear = 4 } }")
    assert.are.equal(shared, worker.default_build_id(options()))
    local inside = options {}
    inside.roots = { folder.name }
    assert.are_not.equal(shared, worker.default_build_id(inside))
  end)

  it("are asked of temporal-lua replay, too", function()
    local env <close> = helper.environment(source, { worker = { passthrough_modules = { "spec_prices" } } })
    local handle = env:start_workflow("Price", nil, "pear")
    handle:result()
    local scripts <close> = helper.folder()
    local history <close> = helper.file(handle:fetch_history_json())
    local main = assert(io.open(scripts.name .. "/main.lua", "w"))
    main:write(source)
    main:close()
    local command = ("LUA_PATH='%s/?.lua;;' %s replay -w main --root %s %s %s")
    local code, output, errors = helper.run(command:format(folder.name, helper.binary, scripts.name,
      "--passthrough-module spec_prices", history.name))
    assert.are.equal(0, code, errors)
    assert.matches(": ok, %d+ events", output)
    code, output, errors = helper.run(command:format(folder.name, helper.binary, scripts.name, "", history.name))
    assert.are.same({ 1, "" }, { code, output })
    assert.matches("module 'spec_prices' is not in the bundle", errors)
  end)

  it("are a list of modules", function()
    for _, row in ipairs {
      { { [1] = 5 }, "passthrough_modules must be a list of modules" },
      { { module = "x" }, "passthrough_modules must be a list of modules" },
      { "spec_prices", "passthrough_modules" },
    } do
      assert.error_matches(function()
        temporal.worker { task_queue = "q", workflows = options().workflows, passthrough_modules = row[1] }
      end, row[2])
    end
    assert.error_matches(function()
      worker.default_build_id(options { "spec_nothing" })
    end, 'passthrough_modules: module "spec_nothing" is in none of the roots')
  end)
end)
