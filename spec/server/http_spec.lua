local helper = require "helper"
local client = require "temporal.client"

--- A development server with its HTTP API.
local function start(arguments)
  local server = helper.start_server("--http-port 0 " .. (arguments or ""))
  server.http = server.ports.http
  return server
end

local function plain(text, pattern)
  assert.is_truthy(text:find(pattern, 1, true), text)
end

describe("the HTTP API", function()
  it("starts, reads, signals, lists and ends a workflow as gRPC does", function()
    local server <close> = start()
    local base = "/api/v1/namespaces/default/workflows/"
    local status, body, headers = helper.http(server.http, "POST " .. base .. "a%2Fb",
      [[{"workflowType": {"name": "greet"}, "taskQueue": {"name": "q"}, "input": ["hi", {"n": 1}]}]])
    assert.are.equal(200, status, body)
    assert.are.equal("application/json", headers["content-type"])
    local run_id = assert(body:match [["runId":"([%x-]+)"]])
    local c <close> = client.connect { address = server.address }
    local handle = c:get_workflow_handle "a/b"
    assert.are.equal(run_id, handle:describe().run_id)

    status, body = helper.http(server.http, "GET " .. base .. "a%2Fb?execution.runId=" .. run_id)
    assert.are.equal(200, status)
    plain(body, [["workflowId":"a/b"]])
    assert.are.equal(200, (helper.http(server.http, "POST " .. base .. "a%2Fb/signal/go", [[{"input": [true]}]])))
    status, body = helper.http(server.http, "GET " .. base .. "a%2Fb/history?maximumPageSize=100")
    assert.are.equal(200, status)
    plain(body, [["input":["hi",{"n":1}]])
    plain(body, [["signalName":"go","input":[true]])
    status, body = helper.http(server.http,
      "GET /api/v1/namespaces/default/workflow-count?query=WorkflowType%3D%27greet%27")
    assert.are.equal(200, status)
    assert.are.equal([[{"count":"1"}]], body)
    assert.are.equal(200, (helper.http(server.http, "POST " .. base .. "a%2Fb/terminate", [[{"reason": "done"}]])))
    status, body = helper.http(server.http, "GET " .. base .. "a%2Fb")
    assert.are.equal(200, status)
    plain(body, "WORKFLOW_EXECUTION_STATUS_TERMINATED")
    assert.are.equal(0, server:stop())
  end)

  it("writes JSON in the form that was asked for", function()
    local server <close> = start()
    local path = "/api/v1/namespaces/default/workflows/w"
    helper.http(server.http, "POST " .. path,
      [[{"workflowType": {"name": "t"}, "taskQueue": {"name": "q"}, "input": [1]}]])
    local _, body, headers = helper.http(server.http, "GET " .. path .. "/history?pretty")
    assert.are.equal("application/json+pretty", headers["content-type"])
    plain(body, '\n  "history": {\n')
    _, body, headers = helper.http(server.http, "GET " .. path .. "/history", nil,
      { Accept = "application/json+no-payload-shorthand" })
    assert.are.equal("application/json+no-payload-shorthand", headers["content-type"])
    plain(body, [["data":"MQ=="]])
    _, body = helper.http(server.http, "GET " .. path .. "/history?noPayloadShorthand")
    plain(body, [["data":"MQ=="]])
    local status = helper.http(server.http, "POST /api/v1/namespaces/default/workflows/x",
      [[{"workflowType": {"name": "t"}, "taskQueue": {"name": "q"}, "input": [1]}]],
      { ["Content-Type"] = "application/json+no-payload-shorthand" })
    assert.are.equal(400, status)
    assert.are.equal(0, server:stop())
  end)

  it("says what is wrong, with the status of the error", function()
    local server <close> = start()
    local base = "/api/v1/namespaces/default/workflows"
    for _, row in ipairs {
      { "GET /nowhere", 404, [["code":5,"message":"Not Found"]] },
      { "PUT " .. base, 405, "Method Not Allowed" },
      { "GET /api/v1/namespaces/none/workflows", 404, "Namespace none is not found." },
      { "GET " .. base .. "/nobody", 404, [["code":5]] },
      { "GET " .. base .. "?pageSize=many", 400, "page_size" },
      { "GET " .. base .. "?query=" .. ("%%28"):rep(3), 400, [["code":3]] },
      { "GET " .. base .. "/%zz", 400, "%zz" },
      { "GET " .. base .. "?query=%zz", 400, "malformed" },
      { "POST " .. base .. "/w", 400, "line 1", "{" },
      { "POST " .. base .. "/w", 400, "nonsense", [[{"nonsense": 1}]] },
      { "POST " .. base .. "/w", 400, [["code":3]], "{}" },
      { "GET /api/v1/namespaces/default/schedules", 501, "ListSchedules" },
    } do
      local status, body = helper.http(server.http, row[1], row[4])
      assert.are.equal(row[2], status, row[1] .. ": " .. body)
      plain(body, row[3])
    end
    assert.are.equal(0, server:stop())
  end)

  it("refuses what is too large, malformed, or comes from a foreign page, and serves on", function()
    local server <close> = start()
    local path = "/api/v1/namespaces/default"
    local big = ("x"):rep(4 * 1024 * 1024 + 1)
    assert.are.equal(413, (helper.http(server.http, "POST " .. path .. "/workflows/w", big)))
    local chunk = ("%x\r\n%s\r\n"):format(#big, big)
    assert.are.equal(413, (helper.http(server.http, "POST " .. path .. "/workflows/w HTTP/1.1\r\nHost: localhost\r\n"
      .. "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" .. chunk .. "0\r\n\r\n")))
    assert.are.equal(403, (helper.http(server.http, "GET " .. path, nil, { Host = "evil.example" })))
    assert.are.equal(403, (helper.http(server.http, "POST " .. path, "{}", { Origin = "http://evil.example" })))
    assert.are.equal(200, (helper.http(server.http, "GET " .. path, nil, { Origin = "http://localhost:1" })))
    local status = helper.http(server.http, "GET " .. path .. " HTTP/1.1\r\nHost: localhost\r\nX: "
      .. ("y"):rep(70000) .. "\r\n\r\n")
    assert.is_true(status == 431 or status == 414 or status == 400, tostring(status))
    for _, garbage in ipairs { "\255\254 / HTTP/9.9\r\n\r\n", "GET\r\n\r\n", "\22\3\1\2\0\1\0\1\r\n\r\n" } do
      pcall(helper.http, server.http, garbage)
    end
    assert.are.equal(200, (helper.http(server.http, "GET " .. path)))
    assert.are.equal(0, server:stop())
  end)

  it("waits without holding others up, and ends what waits when the server stops", function()
    local server <close> = start()
    local base = "/api/v1/namespaces/default/workflows/w"
    helper.http(server.http, "POST " .. base, [[{"workflowType": {"name": "t"}, "taskQueue": {"name": "q"}}]])
    local wait = helper.http_later(server.http,
      "GET " .. base .. "/history?waitNewEvent=true&historyEventFilterType=2")
    repeat -- until it is there
      local _, metrics = helper.http(server.ports.metrics, "GET /metrics")
      local pending = metrics:match 'service_pending_requests{service_name="frontend"} (%d+)'
    until pending == "1"
    assert.are.equal(200, (helper.http(server.http, "GET " .. base)))
    assert.are.equal(0, server:stop())
    local status, body = wait()
    assert.are.equal(503, status)
    plain(body, "the server is shutting down")
  end)
end)
