-- How a client reaches its server: proxies, compression, several addresses, and options for another like it.
local helper = require "helper"
local temporal = require "temporal"

local python = os.execute "command -v python3 >/dev/null"

--- A proxy as a process; `line` waits for the end of a connection: target, credentials, bytes to the server.
local function start_proxy()
  local pipe = assert(io.popen "echo $$; exec python3 spec/fixtures/connect_proxy.py")
  local id, port = assert(pipe:read "l"), assert(pipe:read "l")
  return setmetatable({
    host = "127.0.0.1:" .. port,
    line = function() return pipe:read("l"):match "^(%S+) (%S+) (%d+)$" end,
  }, { __close = function()
    os.execute("kill -KILL " .. id)
    pipe:close()
  end })
end

local function refused(options, message)
  local ok, err = pcall(temporal.connect, options)
  assert.is_false(ok)
  assert.has_match(message, tostring(err), 1, true)
  assert.is_nil(tostring(err):find("internal/connect", 1, true))
end

(python and describe or pending)("a proxy", function()
  it("is asked for a connection, with credentials where it wants some", function()
    local server <close> = helper.start_server()
    local proxy <close> = start_proxy()
    for _, auth in ipairs { false, { "me", "s3cret:+" } } do
      local client = temporal.connect {
        address = server.address, http_connect_proxy = { target_host = proxy.host, basic_auth = auth or nil } }
      client:start_workflow("w", { id = "behind", task_queue = "q", id_conflict_policy = "use_existing" })
      client:close()
      local target, credentials = proxy.line()
      assert.are.equal(server.address, target)
      assert.are.equal(auth and "me:s3cret:+" or "nobody", credentials)
    end
  end)

  it("that is not there is told of when the client connects", function()
    local ok, err = pcall(temporal.connect, {
      address = "127.0.0.1:7233", http_connect_proxy = { target_host = "127.0.0.1:9" }, connect_timeout = 2 })
    assert.is_false(ok)
    assert.has_match("cannot connect to 127.0.0.1:7233", tostring(err), 1, true)
  end)

  it("sees requests shrink when they are compressed", function()
    local server <close> = helper.start_server()
    local proxy <close> = start_proxy()
    local bytes = {}
    for _, how in ipairs { "none", "gzip" } do
      local client = temporal.connect {
        address = server.address, http_connect_proxy = { target_host = proxy.host }, grpc_compression = how }
      client:start_workflow("w", { id = how, task_queue = "q" }, ("a"):rep(200000))
      client:close()
      bytes[how] = tonumber((select(3, proxy.line())))
    end
    assert.is_true(bytes.none > 200000, bytes.none)
    assert.is_true(bytes.gzip < 50000, bytes.gzip)
    local client <close> = temporal.connect { address = server.address }
    local event = client:get_workflow_handle("gzip"):fetch_history()[1]
    assert.are.equal(("a"):rep(200000),
      client.data:decode(event.workflow_execution_started_event_attributes.input))
  end)
end)

describe("temporal.connect", function()
  it("spreads calls over the addresses of a name when asked to", function()
    local one <close> = helper.start_server()
    local two <close> = helper.start_server()
    local address = ("ipv4:127.0.0.1:%s,127.0.0.1:%s"):format(one.address:match "%d+$", two.address:match "%d+$")
    local client = temporal.connect { address = address, dns_load_balancing = { resolution_interval = "5s" } }
    local asked, counts, patience = 0, {}, os.time() + 20
    repeat -- the second connection may stand later than the first calls
      for _ = 1, 20 do
        asked = asked + 1
        client:start_workflow("w", { id = "w" .. asked, task_queue = "q" })
      end
      for i, server in ipairs { one, two } do
        local at <close> = temporal.connect { address = server.address }
        counts[i] = at:count_workflows()
      end
    until counts[1] > 0 and counts[2] > 0 or os.time() > patience
    client:close()
    assert.are.equal(asked, counts[1] + counts[2])
    assert.is_true(counts[1] > 0 and counts[2] > 0, table.concat(counts, " and "))
  end)

  it("names the option that it cannot use", function()
    refused({ address = "h:1", http_connect_proxy = {} }, "option 'target_host'")
    refused({ address = "h:1", http_connect_proxy = { target_host = "http://p" } },
      "the proxy must be host:port, got 'http://p'")
    refused({ address = "h:1", http_connect_proxy = { target_host = "p:1", basic_auth = { "only" } } },
      "basic_auth is a list of a user and a password")
    refused({ address = "h:1", http_connect_proxy = { target_host = "p:1", basic_auth = { "a", "b@c" } } },
      "the proxy's user and password")
    refused({ address = "h:1", grpc_compression = "zip" }, "one of none, gzip, got 'zip'")
    refused({ address = "h:1", dns_load_balancing = 3 }, "'dns_load_balancing' must be a boolean or a table")
    refused({ address = "h:1", dns_load_balancing = { resolution_interval = 0 } },
      "option 'resolution_interval' must be more than 0")
    refused({ address = "h:1", dns_load_balancing = true, http_connect_proxy = { target_host = "p:1" } },
      "exclude each other")
    refused({ grpc_compression = "gzip" }, "grpc_compression needs an address")
  end)

  it("gives its options for another client", function()
    local client <close> = temporal.connect { namespace = "default", identity = "me" }
    local config = client:config()
    assert.are.equal("me", config.identity)
    config.identity = "you"
    local other <close> = temporal.connect(config)
    other:start_workflow("w", { id = "shared", task_queue = "q" })
    assert.are.equal("w", client:get_workflow_handle("shared"):describe().workflow_type)
    assert.are.equal("me", client:config().identity)

    local server <close> = helper.start_server()
    local away <close> = temporal.connect { address = server.address, lazy = true }
    assert.are.same({ address = server.address, lazy = true }, away:config())
  end)

  it("has a condition for queries that name none", function()
    local env <close> = helper.environment([[
      local workflow = require "temporal.workflow"
      return workflow.define { name = "spec", queries = { ask = function() return 1 end }, run = function() end }
    ]], {})
    local handle = env:start_workflow "spec"
    handle:result()
    local config = env.client:config()
    config.default_workflow_query_reject_condition = "not_open"
    local strict <close> = temporal.connect(config)
    local ok, err = pcall(function() return strict:get_workflow_handle(handle.id):query "ask" end)
    assert.is_false(ok)
    assert.is_true(temporal.is_failure(err, "WorkflowQueryRejectedError"))
    assert.are.equal(1, handle:query "ask")
    assert.are.equal(1, strict:get_workflow_handle(handle.id):query_with({ reject_condition = "none" }, "ask"))
  end)

  it("sends callbacks and links of a start", function()
    local client <close> = temporal.connect {}
    local ok, err = pcall(client.start_workflow, client, "w", {
      id = "told", task_queue = "q", callbacks = { { url = "https://elsewhere/done", headers = { a = "b" } } } })
    assert.is_false(ok)
    assert.are.equal("INVALID_ARGUMENT", err.status) -- by this server, which calls nobody elsewhere
    ok, err = pcall(client.start_workflow, client, "w", { task_queue = "q", callbacks = { { headers = {} } } })
    assert.is_false(ok)
    assert.has_match("callbacks[1]: option 'url'", tostring(err), 1, true)
    local link = { workflow_event = { namespace = "default", workflow_id = "from", run_id = "r",
      event_ref = { event_id = 5, event_type = "EVENT_TYPE_NEXUS_OPERATION_SCHEDULED" } } }
    local handle = client:start_workflow("w", { id = "linked", task_queue = "q", links = { link } })
    assert.are.equal("from", handle:fetch_history()[1].links[1].workflow_event.workflow_id)
  end)
end)
