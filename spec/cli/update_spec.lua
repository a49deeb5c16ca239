-- workflow update ... and ...-update-with-start, against `server start-dev` with a worker.
local helper = require "helper"

local script = helper.file [[
  return require("temporal").worker {
    task_queue = "q",
    workflows = { { name = "flows", source = [=[
      local workflow = require "temporal.workflow"
      return workflow.define("Sum", function(total)
        workflow.set_update_handler("add", {
          handler = function(x) total = total + x; return total end,
          validator = function(x) if x < 0 then error("no " .. x, 0) end end,
        })
        workflow.set_update_handler("wait", function()
          workflow.wait_condition(function() return total >= 100 end)
          return { total = total }
        end)
        workflow.wait_condition(function() return total >= 100 and workflow.all_handlers_finished() end)
        return total
      end)
    ]=] } },
  }
]]

describe("updates on the command line", function()
  local server, worker

  setup(function()
    server = helper.start_server()
    worker = helper.spawn(("worker run --address %s %s"):format(server.address, script.name))
  end)

  teardown(function()
    worker:stop()
    server:stop()
    os.remove(script.name)
  end)

  local _, ok, fails = helper.commands(function(text, ...)
    return ("%s --address %s"):format(text:format(...), server.address)
  end)

  it("execute, start, describe and result", function()
    ok "workflow start -w s -t q --type Sum -i 1"
    assert.are.equal("  Name      add\n  UpdateId  u\n  Result    3\n",
      ok "workflow update execute -w s --name add --update-id u -i 2")
    assert.are.equal('{"name":"add","updateId":"u","result":3}\n',
      ok "workflow update execute -w s --type add --update-id u -i 2 -o jsonl")
    assert.matches("unable to update workflow: no %-1\n$", fails(1, "workflow update execute -w s --name add -i -1"))
    assert.are.equal("  Name      wait\n  UpdateId  w\n",
      ok "workflow update start -w s --name wait --update-id w --wait-for-stage accepted")
    assert.are.equal("  UpdateId  w\n  Stage     Accepted\n", ok "workflow update describe -w s --update-id w")
    ok "workflow update execute -w s --name add -i 97"
    assert.are.equal('{"updateId":"w","result":{"total":100}}\n',
      ok "workflow update result -w s --update-id w -o jsonl")
    assert.are.equal('{"updateId":"w","stage":"Completed","result":{"total":100}}\n',
      ok "workflow update describe -w s --update-id w -o jsonl")
    assert.matches('update "none" not found', fails(1, "workflow update result -w s --update-id none"))
    assert.matches("wait%-for%-stage", fails(2, "workflow update start -w s --name wait"))
    assert.matches("wait%-for%-stage", fails(2, "workflow update start -w s --name wait --wait-for-stage completed"))
  end)

  it("start the workflow when it does not run", function()
    local options = "-w ws -t q --type Sum -i 5 --id-conflict-policy UseExisting"
    local text = ok("workflow execute-update-with-start %s --update-name add --update-id a --update-input 2", options)
    assert.matches("^  WorkflowId    ws\n  RunId         %x[^\n]+\n  Type          Sum\n", text)
    assert.matches("\n  UpdateName    add\n  UpdateId      a\n  UpdateResult  7\n$", text)
    assert.matches('"updateResult":8}\n$',
      ok("workflow execute-update-with-start %s --update-name add --update-input 1 -o jsonl", options))
    assert.matches("\n  UpdateId    b\n$", ok("workflow start-update-with-start %s --update-name wait --update-id b "
      .. "--update-wait-for-stage accepted", options))
    assert.matches("id%-conflict%-policy is required",
      fails(2, "workflow execute-update-with-start -w x -t q --type Sum -i 1 --update-name add"))
    assert.matches("already running", fails(1, "workflow execute-update-with-start -w ws -t q --type Sum -i 1 "
      .. "--id-conflict-policy Fail --update-name add --update-input 1"))
  end)
end)
