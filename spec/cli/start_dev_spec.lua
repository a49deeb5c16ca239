local helper = require "helper"
local client = require "temporal.client"

local function plain(text, pattern)
  assert.is_truthy(text:find(pattern, 1, true), text)
end

--- A workflow with this many signals that nobody works on.
local function signalled(c, id, signals)
  local handle = c:start_workflow("never", { id = id, task_queue = "q" })
  for _ = 1, signals do
    handle:signal "go"
  end
  return handle
end

local function poll(c)
  return c:call("PollWorkflowTaskQueue", {
    namespace = "default", task_queue = { name = "q" }, identity = "spec",
  }, 10 * 1000000000)
end

describe("server start-dev's ports", function()
  it("are told and serve; --headless leaves the status page out", function()
    local server <close> = helper.start_server "--http-port 0 --ui-public-path /below/"
    local status, body = helper.http(server.ports.http, "GET /api/v1/system-info")
    assert.are.equal(200, status)
    plain(body, "serverVersion")
    local headers
    status, body, headers = helper.http(server.ports.ui, "GET /below/")
    assert.are.equal(200, status)
    assert.matches("^text/html", headers["content-type"])
    assert.matches("default%-src 'none'", headers["content-security-policy"])
    plain(body, "Namespaces")
    assert.are.equal(404, (helper.http(server.ports.ui, "GET /")))
    status, body = helper.http(server.ports.ui, "GET /below/api/v1/namespaces/default")
    assert.are.equal(200, status)
    plain(body, [["name":"default"]])
    assert.are.equal(0, server:stop())
    local quiet <close> = helper.start_server "--headless"
    assert.is_nil(quiet.ports.ui)
    assert.is_nil(quiet.ports.http)
    assert.are.equal(0, quiet:stop())
  end)

  it("lie where they are asked for, the status page 1000 above --port otherwise", function()
    local port
    do
      local server <close> = helper.start_server "--headless"
      port = tonumber(server.address:match ":(%d+)$")
    end
    local server <close> = helper.spawn(("server start-dev --port %d --metrics-port %d"):format(port, port + 1))
    assert.are.equal(("Server:  localhost:%d"):format(port), server.pipe:read "l")
    assert.are.equal(("UI:      http://localhost:%d"):format(port + 1000), server.pipe:read "l")
    assert.are.equal(("Metrics: http://localhost:%d/metrics"):format(port + 1), server.pipe:read "l")
    -- One that is taken is named, whichever it is.
    for _, option in ipairs { "http-port", "metrics-port", "ui-port" } do
      local start = helper.binary .. " server start-dev --port 0 --" .. option
      local code, output, errors = helper.run(("%s %d"):format(start, port))
      assert.are.equal(1, code)
      assert.are.equal("", output)
      plain(errors, ("port: port %d on localhost is in use"):format(port))
      code, _, errors = helper.run(start .. " 65536")
      assert.are.equal(2, code)
      plain(errors, "--" .. option)
    end
    assert.are.equal(0, server:stop())
    for argument, what in pairs { ["--ui-public-path x"] = "public path", ["--ui-asset-path /no/such"] = "/no/such" } do
      local code, _, errors = helper.run(("%s server start-dev --port 0 %s"):format(helper.binary, argument))
      assert.are.equal(1, code)
      plain(errors, what)
    end
  end)
end)

describe("server start-dev's settings", function()
  it("change the server's limits, and DescribeNamespace tells them", function()
    local server <close> = helper.start_server("--dynamic-config-value limit.historyCount.suggestContinueAsNew=5 "
      .. "--dynamic-config-value limit.blobSize.error=2000 --dynamic-config-value limit.memoSize.error=3000 "
      .. "--dynamic-config-value history.maximumSignalsPerExecution=7 --dynamic-config-value LIMIT.maxIDLength=40")
    local c <close> = client.connect { address = server.address }
    local limits = c:call("DescribeNamespace", { namespace = "default" }).namespace_info.limits
    assert.are.equal(2000, limits.blob_size_limit_error)
    assert.are.equal(3000, limits.memo_size_limit_error)
    assert.is_false(pcall(c.start_workflow, c, "never", { id = "a", task_queue = "q" }, ("x"):rep(2001)))
    local ok, e = pcall(c.start_workflow, c, "never", { id = ("i"):rep(41), task_queue = "q" })
    assert.is_false(ok)
    assert.matches("length", tostring(e))
    local function suggests(signals)
      signalled(c, "s" .. signals, signals)
      for _, event in ipairs(poll(c).history.events) do
        local started = event.workflow_task_started_event_attributes
        if started then
          return started.suggest_continue_as_new or false
        end
      end
    end
    assert.is_false(suggests(1))
    assert.is_true(suggests(6))
    ok, e = pcall(signalled, c, "many", 8)
    assert.is_false(ok)
    assert.matches("signal", tostring(e))
    assert.are.equal(0, server:stop())
  end)

  it("are refused by name when their value cannot be", function()
    for argument, what in pairs {
      ["limit.blobSize.error=many"] = "limit.blobSize.error wants a number, got 'many'",
      ["frontend.WorkerCommandsEnabled=maybe"] = "frontend.WorkerCommandsEnabled wants true or false",
      ["limit.blobSize.error=1"] = "limit.blobSize.error wants 1024 to",
      ["history.longPollExpirationInterval=soon"] = "history.longPollExpirationInterval",
      ["system.enableActivityEagerExecution=2"] = "wants true or false",
      ["limit.maxIDLength=99999999999999999999"] = "limit.maxIDLength wants a number",
    } do
      local code, _, errors =
        helper.run(("%s server start-dev --port 0 --dynamic-config-value %s"):format(helper.binary, argument))
      assert.are.equal(2, code)
      plain(errors, what)
    end
  end)

  it("and all options are written by --log-config", function()
    local server <close> = helper.start_server("--log-config --log-format odd --namespace one "
      .. "--dynamic-config-value limit.blobSize.error=4096 --sqlite-pragma synchronous=off")
    assert.are.equal(0, server:stop())
    local text = server:errors()
    for _, line in ipairs {
      "namespace: one\n", "sqlite-pragma: synchronous=off\n", "limit.blobSize.error: 4096\n", "ip: localhost\n",
      "history.longPollExpirationInterval: 20000ms\n", "log.format_unknown format=odd",
    } do
      plain(text, line)
    end
  end)
end)

describe("server start-dev's search attributes", function()
  it("are registered in every namespace of the command line", function()
    local server <close> = helper.start_server("--namespace one --http-port 0 "
      .. "--search-attribute CustomerId=keyword --search-attribute Amount=Int")
    local c <close> = client.connect { address = server.address, namespace = "one" }
    c:start_workflow("never", {
      id = "a", task_queue = "q", search_attributes = { CustomerId = "me", Amount = 7 },
    })
    local ok, e = pcall(c.start_workflow, c, "never", {
      id = "b", task_queue = "q", search_attributes = { Customer = "me" },
    })
    assert.is_false(ok)
    assert.matches("Customer", tostring(e))
    for _, namespace in ipairs { "default", "one" } do
      local path = ("GET /api/v1/namespaces/%s/search-attributes"):format(namespace)
      local status, body = helper.http(server.ports.http, path)
      assert.are.equal(200, status)
      plain(body, [["CustomerId":"INDEXED_VALUE_TYPE_KEYWORD"]])
      plain(body, [["Amount":"INDEXED_VALUE_TYPE_INT"]])
    end
    assert.are.equal(0, server:stop())
    for argument, what in pairs { Amount = "Amount", ["Amount=Colour"] = "Colour", ["RunId=Int"] = "RunId" } do
      local code, _, errors =
        helper.run(("%s server start-dev --port 0 --search-attribute %s"):format(helper.binary, argument))
      assert.is_true(code == 1 or code == 2)
      plain(errors, what)
    end
  end)
end)

describe("the metrics port", function()
  it("counts requests, errors, latencies, polls and ends of workflows", function()
    local server <close> = helper.start_server "--headless"
    local c <close> = client.connect { address = server.address }
    local handle = signalled(c, "one", 3)
    signalled(c, "two", 0)
    assert.are_not.equal("", poll(c).task_token)
    handle:terminate "done"
    assert.is_false(pcall(c.start_workflow, c, "never", { id = "two", task_queue = "q" }))
    local status, body, headers = helper.http(server.ports.metrics, "GET /metrics")
    assert.are.equal(200, status)
    assert.matches("^text/plain; version=0.0.4", headers["content-type"])
    for _, line in ipairs {
      [[service_requests{operation="SignalWorkflowExecution",service_name="frontend"} 3]],
      [[service_requests{operation="StartWorkflowExecution",service_name="frontend"} 3]],
      [[service_error_with_type{operation="StartWorkflowExecution",service_name="frontend",]]
        .. [[error_type="serviceerror_AlreadyExists"} 1]],
      [[service_latency_count{operation="SignalWorkflowExecution",service_name="frontend"} 3]],
      [[service_latency_bucket{operation="SignalWorkflowExecution",service_name="frontend",le="+Inf"} 3]],
      [[# TYPE service_latency histogram]],
      [[poll_success{task_type="Workflow"} 1]],
      [[workflow_terminate{namespace="default",operation="CompletionStats"} 1]],
      [[temporal_lua_open_workflows 1]],
      [[approximate_backlog_count 1]],
      [[service_pending_requests{service_name="frontend"} 0]],
    } do
      plain(body, line .. "\n")
    end
    assert.is_true(tonumber(body:match [[persistence_latency_count{operation="Commit"} (%d+)]]) >= 3)
    assert.are.equal(404, (helper.http(server.ports.metrics, "GET /")))
    assert.are.equal(405, (helper.http(server.ports.metrics, "POST /metrics")))
    assert.are.equal(403, (helper.http(server.ports.metrics, "GET /metrics", nil, { Host = "evil.example" })))
    assert.are.equal(0, server:stop())
  end)
end)

describe("the status page", function()
  it("shows namespaces, workflows and pollers, and lets no text become markup", function()
    local server <close> = helper.start_server "--namespace one --ui-codec-endpoint 'http://c.example/\"<i>'"
    local c <close> = client.connect { address = server.address }
    c:start_workflow("<b>type", { id = "a/<script>'\"&", task_queue = "queue & <q>" })
    pcall(c.call, c, "PollActivityTaskQueue", {
      namespace = "default", task_queue = { name = "queue & <q>" }, identity = "<me>",
    }, 300000000)
    local status, body = helper.http(server.ports.ui, "GET /")
    assert.are.equal(200, status)
    for _, text in ipairs {
      ">one</a>", "a/&lt;script&gt;&#39;&quot;&amp;", "&lt;b&gt;type", "queue &amp; &lt;q&gt;", "nobody polls",
      "http://c.example/&quot;&lt;i&gt;", "&lt;me&gt;", "workflows/a%2F%3Cscript%3E%27%22%26?pretty",
    } do
      plain(body, text)
    end
    assert.is_nil(body:find("<script>", 1, true))
    local link = body:match 'href="(api/v1/namespaces/default/workflows/[^"]+/history[^"]+)"':gsub("&amp;", "&")
    status, body = helper.http(server.ports.ui, "GET /" .. link)
    assert.are.equal(200, status)
    plain(body, "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED")
    status, body = helper.http(server.ports.ui, "GET /?namespace=one")
    assert.are.equal(200, status)
    assert.is_nil(body:find("script", 1, true))
    status, body = helper.http(server.ports.ui, "GET /?namespace=none")
    assert.are.equal(200, status)
    plain(body, "cannot be listed")
    assert.are.equal(400, (helper.http(server.ports.ui, "GET /?namespace=")))
    assert.are.equal(403, (helper.http(server.ports.ui, "GET /", nil, { Host = "rebound.example" })))
    -- It reads only.
    assert.are.equal(405, (helper.http(server.ports.ui, "POST /", "{}")))
    status = helper.http(server.ports.ui, "POST /api/v1/namespaces/default/workflows/x/terminate", "{}")
    assert.are.equal(405, status)
    assert.are.equal(0, server:stop())
  end)

  it("gives way to the files of --ui-asset-path, and to no others", function()
    local folder = os.tmpname()
    os.remove(folder)
    assert(os.execute(("mkdir -p %s/in/sub && echo page >%s/in/index.html && echo js >%s/in/sub/a.js && "
      .. "echo secret >%s/out && ln -s ../out %s/in/link"):format(folder, folder, folder, folder, folder)))
    local server <close> = helper.start_server("--ui-asset-path " .. folder .. "/in")
    local status, body = helper.http(server.ports.ui, "GET /")
    assert.are.equal(200, status)
    assert.are.equal("page\n", body)
    local headers
    status, body, headers = helper.http(server.ports.ui, "GET /sub/a.js")
    assert.are.equal(200, status)
    assert.are.equal("js\n", body)
    assert.matches("^text/javascript", headers["content-type"])
    for _, path in ipairs {
      "/../out", "/%2e%2e/out", "/sub/..%2f..%2fout", "/link", "/none", "/sub", "//etc/passwd",
    } do
      assert.are.equal(404, (helper.http(server.ports.ui, "GET " .. path)), path)
    end
    assert.are.equal(200, (helper.http(server.ports.ui, "GET /api/v1/namespaces/default")))
    assert.are.equal(0, server:stop())
    os.execute("rm -r " .. folder)
  end)
end)
