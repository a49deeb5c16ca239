-- Payload codecs served over HTTP: what clients and command lines without the codecs ask.
local core = require "temporal.core"
local helper = require "helper"
local temporal = require "temporal"

local page = "https://ui.example.com"

local function coded()
  return temporal.data_converter { payload_codecs = {
    temporal.codec.aes_gcm { keys = { k = ("k"):rep(32) }, active = "k" }, temporal.codec.zlib() } }
end

local function serve(more)
  local o = { data_converter = coded(), ip = "127.0.0.1" }
  for name, value in pairs(more or {}) do
    o[name] = value
  end
  return temporal.codec.serve(o)
end

local function post(server, path, body, headers)
  return helper.http(server.port, "POST " .. path, body, headers)
end

local plain = [[{"payloads":[{"metadata":{"encoding":"anNvbi9wbGFpbg=="},"data":"ImhpIg=="}]}]]

describe("codec.serve", function()
  it("encodes and decodes what is posted, below any path", function()
    local server <close> = serve()
    local status, body = post(server, "/any/default/encode", plain)
    assert.are.equal(200, status, body)
    local payload = core.json_decode(body).payloads[1]
    assert.are.equal(helper.base64 "binary/encrypted", payload.metadata.encoding)
    status, body = post(server, "/decode", body)
    assert.are.equal(200, status, body)
    assert.are.same(core.json_decode(plain), core.json_decode(body))
    assert.are.same({}, core.json_decode((select(2, post(server, "/encode", "{}")))))
  end)

  it("is a codec server for clients and for the command line", function()
    local service <close> = helper.start_server()
    local server <close> = serve { auth = "Bearer open" }
    local endpoint = "http://127.0.0.1:" .. server.port
    local client <close> = temporal.connect { address = service.address,
      data_converter = temporal.data_converter { payload_codecs = {
        temporal.codec.remote { endpoint = endpoint, auth = "Bearer open" } } } }
    client:start_workflow("w", { id = "secret", task_queue = "q" }, "hidden words")
    local owner <close> = temporal.connect { address = service.address, data_converter = coded() }
    local event = owner:get_workflow_handle("secret"):fetch_history()[1]
    assert.are.equal("hidden words", owner.data:decode(event.workflow_execution_started_event_attributes.input))
    local show = ("%s workflow show --address %s --workflow-id secret -o json"):format(helper.binary, service.address)
    local words = helper.base64 '"hidden words"'
    local _, output = helper.run(show)
    assert.has_no_match(words, output, 1, true)
    _, output = helper.run(show .. (" --codec-endpoint %s --codec-auth 'Bearer open'"):format(endpoint))
    assert.has_match(words, output, 1, true)
  end)

  it("refuses what it cannot code, and says why", function()
    local server <close> = serve { auth = "Bearer open" }
    local open = { Authorization = "Bearer open" }
    local sealed = ([[{"payloads":[{"metadata":{"encoding":"%s","encryption-key-id":"%s"},"data":"%s"}]}]]):format(
      helper.base64 "binary/encrypted", helper.base64 "k", helper.base64(("x"):rep(40)))
    local wrong = {
      { 401, "Authorization", "POST /encode", plain },
      { 401, "Authorization", "POST /encode", plain, { Authorization = "Bearer opem" } },
      { 404, "/encode and /decode", "POST /other", plain, open },
      { 405, "POST only", "GET /encode", nil, open },
      { 400, "JSON", "POST /encode", "{", open },
      { 400, "aes_gcm", "POST /decode", sealed, open },
      { 413, "too large", "POST /encode", ("x"):rep(4 * 1024 * 1024 + 1), open },
    }
    for _, case in ipairs(wrong) do
      local status, body = helper.http(server.port, case[3], case[4], case[5])
      assert.are.equal(case[1], status, body)
      assert.has_match(case[2], body, 1, true)
    end
    assert.are.equal(200, (post(server, "/encode", plain, open)))
  end)

  it("answers the pages it is told of, and no others", function()
    local server <close> = serve { origins = { page, "http://localhost:8233" } }
    local ask = { Origin = page, ["Access-Control-Request-Headers"] = "x-namespace,authorization" }
    local status, _, headers = helper.http(server.port, "OPTIONS /encode", nil, ask)
    assert.are.equal(204, status)
    assert.are.equal(page, headers["access-control-allow-origin"])
    assert.are.equal("x-namespace,authorization", headers["access-control-allow-headers"])
    assert.has_match("POST", headers["access-control-allow-methods"])
    status, _, headers = post(server, "/encode", plain, { Origin = "http://localhost:8233" })
    assert.are.same({ 200, "http://localhost:8233" }, { status, headers["access-control-allow-origin"] })
    for _, origin in ipairs { "https://evil.example.com", page .. ".evil.com", "null" } do
      status, _, headers = post(server, "/encode", plain, { Origin = origin })
      assert.are.equal(403, status)
      assert.is_nil(headers["access-control-allow-origin"])
    end
  end)

  it("stops when it is closed, and frees its port", function()
    local server = serve()
    local port = server.port
    server:close()
    server:close()
    local again <close> = serve { port = port }
    assert.are.equal(200, (post(again, "/encode", plain)))
    local ok, err = pcall(serve, { port = port })
    assert.is_false(ok)
    assert.has_match("codec.serve:", err, 1, true)
  end)

  it("names what it cannot use", function()
    for message, o in pairs {
      ["data_converter is made by temporal.data_converter"] = { data_converter = 1 },
      ["port is from 0 to 65535, got 70000"] = { port = 70000 },
      ["origins[1] is the scheme and host of a page"] = { origins = { "https://a/b" } },
      ["did you mean 'origins'"] = { origin = {} },
      ["nowhere.invalid"] = { ip = "nowhere.invalid" },
    } do
      local ok, err = pcall(serve, o)
      assert.is_false(ok)
      assert.has_match(message, err, 1, true)
    end
  end)
end)
