-- The commands on Nexus endpoints, on a database file.
local helper = require "helper"

local folder = helper.folder().name
teardown(function() os.execute("rm -rf " .. folder) end)

local _, ok, fails = helper.commands(function(words)
  return ("operator nexus endpoint %s --db-filename %s/n.db"):format(words, folder)
end)

describe("operator nexus endpoint", function()
  it("creates, shows, changes, lists and deletes", function()
    assert.are.equal("Endpoint pay successfully created.\n",
      ok "create --name pay --target-namespace default --target-task-queue q --description '*for* payments'")
    local text = ok "get --name pay"
    assert.matches("Name +pay\n", text)
    assert.matches("Target%.Worker%.TaskQueue +q\n", text)
    assert.matches('Description +"%*for%* payments"', text)
    ok "update --name pay --target-task-queue q2"
    assert.matches("TaskQueue +q2\n.*payments", ok "get --name pay")
    ok "update --name pay --unset-description"
    local json = ok "list -o json"
    assert.matches('"version": "3"', json)
    assert.matches('"taskQueue": "q2"', json)
    assert.is_nil(json:find "description")
    assert.matches("^Endpoint pay successfully deleted %(ID %x+%-", ok "delete --name pay")
    assert.are.equal('temporal-lua: endpoint not found: "pay"\n', fails(1, "get --name pay"))
  end)

  it("says what is wrong", function()
    assert.matches("both %-%-target%-namespace and %-%-target%-task%-queue are needed", fails(2, "create --name pay"))
    assert.matches("not both", fails(2, "create --name pay --target-url http://x --target-task-queue q"))
    assert.matches("cannot be called by this server", fails(1, "create --name pay --target-url http://x"))
    assert.matches("must match the regex",
      fails(1, "create --name 1 --target-namespace default --target-task-queue q"))
    assert.matches("Namespace nowhere is not found",
      fails(1, "create --name pay --target-namespace nowhere --target-task-queue q"))
    assert.matches("not found", fails(1, "update --name pay --target-task-queue q"))
    assert.matches("no/such", fails(1, "create --name pay --description-file no/such"))
  end)
end)
