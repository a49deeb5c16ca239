-- temporal-lua replay: where histories come from, what is printed, and the exit codes that a build server looks at.
local core = require "temporal.core"
local helper = require "helper"
local temporal = require "temporal"
local testing = require "temporal.testing"

local histories = "spec/fixtures/histories/"
local scripts = " replay --root spec/fixtures/histories --workflows workflows "

local function replay(arguments, before)
  return helper.run((before or "") .. helper.binary .. scripts .. arguments)
end

--- A folder with the workflow module "changed" of this text.
local function changed(source)
  local folder = helper.folder()
  assert(os.execute("mkdir -p " .. folder.name .. "/deep/er"))
  local file <close> = assert(io.open(folder.name .. "/changed.lua", "w"))
  file:write(source)
  return folder
end

local sleeps = [[
  local workflow = require "temporal.workflow"
  return workflow.define("%s", function() workflow.sleep(1) error "a bug" end)]]

describe("temporal-lua replay", function()
  it("takes files, and tells each", function()
    local code, output = replay(histories .. "go/child.json " .. histories .. "python/failed.json")
    assert.are.equal(0, code)
    assert.matches("go/child.json: ok, %d+ events, %d+ workflow tasks\n", output)
    assert.matches("python/failed.json: ok.*2 of 2 histories fit\n$", output)
  end)

  it("has the plugins of a replayer, around all histories", function()
    local folder <close> = changed [[
      local workflow = require "temporal.workflow"
      return workflow.define("W", function(n)
        if n > 1 then workflow.sleep(60) end
        return require "shared".of(n)
      end)]]
    local function write(name, text)
      local file <close> = assert(io.open(folder.name .. "/" .. name, "w"))
      file:write(text)
    end
    write("shared.lua", "return { of = function(n) return n end }")
    write("watch.lua", [[
      return function(config)
        return require "temporal".plugin {
          name = "watch",
          configure_replayer = function(o) io.stderr:write("configured ", o.namespace, "\n") end,
          run_replayer = function(replayer, histories, next)
            local function wanted()
              local h = histories()
              while h and config and h.event_count < config.events do h = histories() end
              return h
            end
            local results = next(replayer, wanted)
            return function()
              local result = results()
              io.stderr:write(result and "result" or "the end", "\n")
              return result
            end
          end,
        }
      end]])
    write("bad.lua", [[return require "temporal".plugin { name = "bad",
      run_replayer = function(replayer, histories, next)
        local results = next(replayer, histories)
        return function() local r = results() if r then error "plugin trouble" end end
      end }]])
    local env <close> = testing.environment { workflows = { "changed" }, roots = { folder.name }, replay = false }
    for i = 1, 2 do
      local handle = env:start_workflow("W", nil, i)
      handle:result()
      write("history" .. i .. ".json", handle:history():to_json())
    end
    local call = ("%s replay --root %s -w changed --passthrough-module shared %s/history1.json %s "):format(
      helper.binary, folder.name, folder.name, folder.name .. "/history2.json")
    local code, output, errors = helper.run(call .. "--plugin watch -n other")
    assert.are.equal(0, code, errors)
    assert.matches("history1.json: ok, %d+ events, %d+ workflow tasks\n.*2 of 2 histories fit\n$", output)
    assert.are.equal("configured other\nresult\nresult\nthe end\n", errors)

    code, output, errors = helper.run(call .. [[--plugin 'watch={"events":8}']])
    assert.are.equal(0, code, errors)
    assert.matches("history1.json: held back by a plugin\n.*history2.json: ok.*1 of 2 histories fit, 1 could not",
      output)

    code, output, errors = helper.run(call .. "--plugin bad")
    assert.are.equal(1, code)
    assert.matches("plugin trouble", errors)
    assert.is_nil(output:find("history2", 1, true))
    code, output, errors = helper.run(call .. "--plugin no_such_plugin")
    assert.are.same({ 1, "" }, { code, output })
    assert.matches("module 'no_such_plugin' not found", errors)

    write("changed.lua", [[
      local workflow = require "temporal.workflow"
      return workflow.define("W", function(n) workflow.sleep(61) return n end)]])
    code, output = helper.run(call .. "--plugin watch")
    assert.are.equal(1, code)
    local plain = select(2, helper.run(call))
    assert.are.equal(plain, output)
    assert.matches("history1.json: FAILED", output)
    code, output = helper.run(call .. "--plugin watch --report json --only-determinism-failures")
    assert.are.equal(1, code)
    assert.are.equal(select(2, helper.run(call .. "--report json --only-determinism-failures")), output)
    assert.are.equal("ENONDETERMINISM", core.json_decode(output:match "[^\n]+").code)
  end)

  it("has the interceptors of the worker, with their configuration", function()
    local folder <close> = changed [[
      local workflow = require "temporal.workflow"
      return workflow.define("W", function() workflow.sleep(60) end)]]
    local file <close> = assert(io.open(folder.name .. "/longer.lua", "w"))
    file:write [[
      return function(config)
        return { workflow = { start_timer = function(input, next)
          input.duration = config.seconds or input.duration
          require("temporal.workflow").patched("longer")
          return next(input)
        end } }
      end]]
    file:close()
    local env <close> = testing.environment {
      workflows = { "changed" }, roots = { folder.name },
      worker = { interceptors = { { module = "longer", config = { seconds = 90 } } } },
    }
    local handle = env:start_workflow "W"
    handle:result()
    local json = folder.name .. "/history.json"
    local out <close> = assert(io.open(json, "w"))
    out:write(handle:history():to_json())
    out:close()
    local call = ("%s replay --root %s -w changed %s "):format(helper.binary, folder.name, json)
    local code, output = helper.run(call)
    assert.are.equal(1, code) -- the patch of the interceptor is not made
    assert.matches("FAILED", output)
    for _, given in ipairs { "longer", [['longer={"seconds":90}']] } do
      code, output = helper.run(call .. "--interceptor " .. given)
      assert.are.equal(0, code, output)
    end
    for given, message in pairs { ["'longer={'"] = "JSON", missing = "missing" } do
      local wrong, _, errors = helper.run(call .. "--interceptor " .. given)
      assert.are.equal(1, wrong)
      assert.matches(message, errors)
    end
  end)

  it("says that a folder holds no module", function()
    local code, _, errors = helper.run(("%s replay --root %s --workflows 'go.*' %sgo/child.json"):format(
      helper.binary, histories, histories))
    assert.are.equal(1, code)
    assert.matches('no module matches "go%.%*": the folder is there, without a module in it', errors)
  end)

  it("takes folders with all below them, and stdin", function()
    local code, output = replay(histories .. "typescript " .. histories .. "go")
    assert.are.equal(0, code, output)
    assert.matches("15 of 15 histories fit\n$", output)
    code, output = replay("-", "cat " .. histories .. "go/child.json | ")
    assert.are.equal(0, code)
    assert.matches("^stdin: ok", output)
  end)

  it("ends with 1 when one does not fit, and goes on behind it", function()
    local code, output = replay(("%sorder_failed_old_spelling.json /no/such.json %sgo/child.json"):format(
      histories, histories))
    assert.are.equal(1, code)
    assert.matches("such.json: FAILED\ncannot read '/no/such.json'", output)
    assert.matches("child.json: ok", output)
    assert.matches("1 of 3 histories fit\n$", output)
  end)

  it("prints reports, as text or as a line of JSON each", function()
    local folder <close> = changed(sleeps:format "Child")
    local call = ("%s replay --root %s -w changed %sgo/child.json"):format(helper.binary, folder.name, histories)
    local code, output = helper.run(call)
    assert.are.equal(1, code)
    assert.matches("child.json: FAILED\ncommand_added: workflow Child .*changed.lua:2", output)
    for _, option in ipairs { " --report json", " --output json" } do
      code, output = helper.run(call .. option)
      assert.are.equal(1, code)
      local line = core.json_decode(output)
      assert.are.equal("FAILED", line.verdict)
      assert.are.equal("ENONDETERMINISM", line.code)
      assert.are.equal("command_added", line.report.kind)
      assert.are.equal("StartTimer", line.report.produced.type)
      assert.are.equal("parent-target", line.report.workflow_id)
    end
  end)

  it("can leave out failures that are not of determinism", function()
    local folder <close> = changed(sleeps:format "Chain") -- fits the timer, and raises behind it
    local call = ("%s replay --root %s -w changed %sgo"):format(helper.binary, folder.name, histories)
    local code, output = helper.run(call)
    assert.are.equal(1, code)
    assert.matches("0 of 8 histories fit\n$", output)
    code, output = helper.run(call .. " --only-determinism-failures")
    assert.are.equal(0, code, output)
    assert.matches("chain_first.json: not judged\n.*a bug", output)
    assert.matches("child.json: not judged\n.*Child", output)
    assert.matches("0 of 8 histories fit, 8 could not be judged\n$", output)
    local differs <close> = changed((sleeps:format "Child"))
    code = helper.run(("%s replay --root %s -w changed %sgo --only-determinism-failures"):format(
      helper.binary, differs.name, histories))
    assert.are.equal(1, code)
  end)

  it("takes the runs of a server that match a query, one by one", function()
    local server <close> = helper.start_server()
    local client = temporal.connect { address = server.address }
    local worker <close> = temporal.worker {
      client = client, task_queue = "q", workflows = { "workflows" }, roots = { histories },
    }
    worker:start()
    for i = 1, 3 do
      client:execute_workflow("Chain", { id = "chain-" .. i, task_queue = "q" }, 0)
    end
    local query = ([[--address %s --query "WorkflowType = 'Chain'"]]):format(server.address)
    local code, output = replay(query)
    assert.are.equal(0, code, output)
    for i = 1, 3 do
      assert.matches(("chain%%-%d %%S+: ok"):format(i), output)
    end
    assert.matches("3 of 3 histories fit\n$", output)
    code, output = replay(query .. " --limit 2")
    assert.are.equal(0, code)
    assert.matches("2 of 2 histories fit\n$", output)
    local folder <close> = changed [[
      local workflow = require "temporal.workflow"
      return workflow.define("Chain", function() workflow.execute_activity("a", { start_to_close_timeout = 1 }) end)]]
    code, output = helper.run(("%s replay --root %s -w changed %s --report json"):format(
      helper.binary, folder.name, query))
    assert.are.equal(1, code)
    local _, lines = output:gsub('"verdict":"FAILED"', "")
    assert.are.equal(3, lines)
    code, _, output = replay(("--address %s --query 'no such filter ='"):format(server.address))
    assert.are.equal(1, code)
    assert.matches("failed listing workflows", output)
  end)

  it("ends with 2 for a wrong command line, and never with 0 when nothing was checked", function()
    local code, _, errors = replay ""
    assert.are.equal(2, code)
    assert.matches("HISTORY%-FILEs, folders of them, %- for stdin, or %-%-query", errors)
    code, _, errors = replay("--limit -3 x.json")
    assert.are.equal(2, code)
    assert.matches("%-%-limit", errors)
    code, _, errors = replay("--only-determinism-failure x.json")
    assert.are.equal(2, code)
    assert.matches("only%-determinism%-failures", errors)
    code, _, errors = replay("--report yaml x.json")
    assert.are.equal(2, code)
    assert.matches("text or json", errors)
    local folder <close> = changed ""
    code, _, errors = replay(folder.name)
    assert.are.equal(1, code)
    assert.matches("there are no histories", errors)
    code, _, errors = helper.run(helper.binary .. " replay -w no.such.module " .. histories .. "go")
    assert.are.equal(1, code)
    assert.matches("no.such.module", errors)
  end)
end)
