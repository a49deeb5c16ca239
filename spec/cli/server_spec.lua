local helper = require "helper"
local core = require "temporal.core"
local client = require "temporal.client"

local spawn, start_server = helper.spawn, helper.start_server

local workflows = [[
local workflow = require "temporal.workflow"
return workflow.define("greet", function(name)
  workflow.sleep(0.05)
  return workflow.execute_activity("greet", { start_to_close_timeout = 10 }, name)
end)
]]

local worker = [[
local temporal = require "temporal"
local folder = ...
return temporal.worker {
  task_queue = "spec",
  workflows = { "greet" },
  activities = { greet = function(name) return "hello, " .. name end },
}
]]

local function write(path, text)
  local file <close> = assert(io.open(path, "wb"))
  file:write(text)
end

describe("server start-dev", function()
  it("serves until it is told to stop", function()
    for _, signal in ipairs { "INT", "TERM" } do
      local server <close> = start_server "--headless --log-format pretty"
      local c <close> = client.connect { address = server.address }
      assert.are.equal("default", c:call("DescribeNamespace", { namespace = "default" }).namespace_info.name)
      assert.are.equal(0, server:stop(signal))
      assert.are.equal("", server.rest)
    end
  end)

  it("makes the namespaces, keeps the file and takes SQLite pragmas", function()
    local place <close> = helper.folder()
    local options = "--db-filename %s/a.db --namespace one -n two --sqlite-pragma synchronous=normal"
    local arguments = options:format(place.name)
    do
      local server <close> = start_server(arguments)
      local c <close> = client.connect { address = server.address, namespace = "one" }
      c:start_workflow("never", { id = "kept", task_queue = "nobody" })
      assert.are.equal("two", c:call("DescribeNamespace", { namespace = "two" }).namespace_info.name)
      assert.are.equal(0, server:stop())
    end
    local server <close> = start_server(arguments)
    local c <close> = client.connect { address = server.address, namespace = "one" }
    local described = c:get_workflow_handle("kept"):describe()
    assert.are.equal("never", described.workflow_type)
    local code, _, errors = helper.run(
      ("%s workflow show --address %s --namespace one --workflow-id kept"):format(helper.binary, server.address))
    assert.are.equal(0, code, errors)
    assert.are.equal(0, server:stop())
  end)

  it("gives settings their effect and names those without", function()
    local server <close> = start_server(
      [[--dynamic-config-value a.b=true --dynamic-config-value 'matching.longPollExpirationInterval="1s"' ]]
        .. [[--dynamic-config-value c.d='{"x":1}']])
    local c <close> = client.connect { address = server.address }
    local began = core.mono_ns()
    local answer = c:call("PollWorkflowTaskQueue", {
      namespace = "default", task_queue = { name = "empty" }, identity = "spec",
    }, 30 * 1000000000)
    local seconds = (core.mono_ns() - began) / 1e9
    assert.are.equal("", answer.task_token)
    assert.is_true(seconds > 0.9 and seconds < 10, tostring(seconds))
    assert.are.equal(0, server:stop())
    assert.matches("server.settings_without_effect keys=a.b,c.d\n", server:errors(), 1, true)
  end)

  it("refuses what it cannot do, before it says that it serves", function()
    local server <close> = start_server()
    local port = server.address:match ":(%d+)$"
    local code, output, errors = helper.run(("%s server start-dev --port %s"):format(helper.binary, port))
    assert.are.equal(1, code)
    assert.are.equal("", output)
    assert.matches("in use", errors)
    local function refused(arguments)
      local exit, _, text = helper.run(helper.binary .. " server start-dev --port " .. arguments)
      return exit, text
    end
    code, errors = refused "70000"
    assert.are.equal(2, code)
    assert.matches("70000", errors)
    code, errors = refused "0 --dynamic-config-value nothing"
    assert.are.equal(2, code)
    assert.matches("key=value", errors)
    code, errors = refused "0 --ip 192.0.2.7"
    assert.are.equal(1, code)
    assert.matches("192.0.2.7", errors)
  end)
end)

describe("a server in another process", function()
  it("runs workflows of a worker of a third one", function()
    local place <close> = helper.folder()
    write(place.name .. "/greet.lua", workflows)
    write(place.name .. "/worker.lua", worker)
    local server <close> = start_server()
    local run <close> = spawn(("worker run --address %s %s/worker.lua"):format(server.address, place.name))
    assert.matches("spec", run.pipe:read "l")
    local c <close> = client.connect { address = server.address }
    for i = 1, 5 do
      assert.are.equal("hello, " .. i, c:execute_workflow("greet", { task_queue = "spec" }, i))
    end
    assert.are.equal(0, run:stop())
    assert.are.equal(0, server:stop())
  end)

  it("is outlived by a worker, which goes on when the server is back", function()
    local place <close> = helper.folder()
    write(place.name .. "/greet.lua", workflows)
    write(place.name .. "/worker.lua", worker)
    local db = "--db-filename " .. place.name .. "/a.db"
    local server <close> = helper.start_server_again_later(db)
    local run <close> = spawn(("worker run --address %s %s/worker.lua"):format(server.address, place.name))
    assert.matches("spec", run.pipe:read "l")
    do
      local c <close> = client.connect { address = server.address }
      assert.are.equal("hello, a", c:execute_workflow("greet", { task_queue = "spec" }, "a"))
    end
    server:stop "KILL"
    local again <close> = spawn(("server start-dev --port %s %s"):format(server.address:match ":(%d+)$", db))
    assert.are.equal(server.line, again.pipe:read "l")
    local c <close> = client.connect { address = server.address }
    assert.are.equal("hello, b", c:execute_workflow("greet", { task_queue = "spec" }, "b"))
    assert.are.equal(0, run:stop())
    assert.are.equal(0, again:stop())
  end)

  it("can be a worker's and a client's in one script, with errors of their type", function()
    local server <close> = start_server()
    local c <close> = client.connect { address = server.address, metadata = { ["x-spec"] = "1" } }
    c:start_workflow("never", { id = "one", task_queue = "nobody" })
    local ok, e = pcall(c.start_workflow, c, "never", { id = "one", task_queue = "nobody" })
    assert.is_false(ok)
    assert.are.equal("WorkflowAlreadyStartedError", e.type)
    ok, e = pcall(function() c:get_workflow_handle("none"):describe() end)
    assert.is_false(ok)
    assert.matches("none", tostring(e))
    assert.are.equal(1, c:count_workflows "WorkflowType = 'never'")
  end)

  it("is told another API key and other headers at any time", function()
    local server <close> = start_server()
    local c <close> = client.connect {
      address = server.address, api_key = "first", tls = false, authority = "elsewhere",
      metadata = { ["x-bin"] = "\0\xff" },
      keepalive = { interval = "20s", timeout = 5 }, retry = { max_retries = 1, randomization_factor = 0 },
    }
    c:set_api_key "second"
    c:set_metadata { ["x-spec"] = "1" }
    assert.has_error(function() c:set_metadata { ["X-Spec"] = "1" } end)
    assert.has_error(function() c:set_api_key(function() end) end)
    local ok, e = pcall(c.set_metadata, c, { authorization = "Basic x" })
    assert.is_false(ok)
    assert.matches("not both", e)
    assert.are.equal(0, c:count_workflows())
    c:set_api_key()
    c:set_metadata()
    assert.are.equal(0, c:count_workflows())
    local env <close> = client.connect {}
    ok, e = pcall(env.set_api_key, env, "x")
    assert.is_false(ok)
    assert.matches("embedded server takes none", e)
  end)

  it("is asked as often as the options of retry say", function()
    local began = core.mono_ns()
    local c <close> = client.connect {
      address = "localhost:1", lazy = true,
      retry = { initial_interval = 0.2, multiplier = 1, randomization_factor = 0, max_retries = 2 },
    }
    local ok, e = pcall(c.count_workflows, c)
    local seconds = (core.mono_ns() - began) / 1e9
    assert.is_false(ok)
    assert.matches("nothing listens there", tostring(e))
    assert.is_true(seconds > 0.39 and seconds < 5, tostring(seconds))
  end)

  it("that is not there is told by connect", function()
    local ok, e = pcall(client.connect, { address = "localhost:1", connect_timeout = 0.3 })
    assert.is_false(ok)
    assert.matches("cannot connect to localhost:1", tostring(e))
    for message, options in pairs {
      ["host:port"] = { address = "nowhere" },
      ["exclude each other"] = { address = "localhost:1", db_filename = "x" },
      ["needs an address"] = { api_key = "x", db_filename = "x" },
      ["did you mean 'client_cert'"] = { address = "localhost:1", tls = { client_cer = "x" } },
      ["/no/such.pem"] = { address = "localhost:1", tls = { server_root_ca_cert_path = "/no/such.pem" } },
      ["server_root_ca_cert_path"] = { address = "localhost:1", tls = { server_root_ca_cert = "/a/file" } },
      ["client_private_key is missing"] = { address = "localhost:1", tls = { client_cert = "-----BEGIN " } },
      ["api_key and api_key_path exclude each other"] = {
        address = "localhost:1", api_key = "x", api_key_path = "/no/such.key" },
      ["cannot read the API key '/no/such.key'"] = { address = "localhost:1", api_key_path = "/no/such.key" },
      ["api_key_refresh goes with a function"] = { address = "localhost:1", api_key = "x", api_key_refresh = 1 },
      ["api_key_refresh wants more than 0"] = {
        address = "localhost:1", api_key = function() return "x" end, api_key_refresh = 0 },
      ["no vault"] = { address = "localhost:1", api_key = function() error "no vault" end },
      ["returned an empty one, not a string"] = { address = "localhost:1", api_key = function() return "" end },
      ["returned table, not a string"] = { address = "localhost:1", api_key = function() return {} end },
      ["metadata holds texts"] = { address = "localhost:1", metadata = { a = 1 } },
      ["'A'"] = { address = "localhost:1", metadata = { A = "1" } },
      ["an API key is a string"] = { address = "localhost:1", api_key = 5 },
      ["'interval' must be more than 0"] = { address = "localhost:1", keepalive = { interval = 0 } },
      ["'randomization_factor' is from 0 to 1"] = { address = "localhost:1", retry = { randomization_factor = 2 } },
      ["did you mean 'max_retries'"] = { address = "localhost:1", retry = { max_retrys = 2 } },
    } do
      ok, e = pcall(client.connect, options)
      assert.is_false(ok)
      assert.matches(message, tostring(e), 1, true)
    end
  end)
end)
