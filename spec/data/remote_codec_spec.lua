-- The codec that asks a codec server over HTTP, from Lua and from the command line.
local core = require "temporal.core"
local helper = require "helper"
local temporal = require "temporal"

describe("codec.remote", function()
  local server, base

  setup(function()
    server = helper.spawn "run spec/fixtures/http_server.lua"
    base = "http://127.0.0.1:" .. assert(server.pipe:read "l", server:errors())
  end)

  teardown(function()
    server:stop "KILL"
  end)

  local function remote(path, more)
    local o = { endpoint = base .. path }
    for k, v in pairs(more or {}) do
      o[k] = v
    end
    return temporal.data_converter { payload_codecs = { temporal.codec.remote(o) } }
  end

  --- The last request.
  local function seen()
    local _, body = helper.http(base:match "%d+$", "GET /seen")
    return core.json_decode(body)
  end

  it("codes what goes to the server, with the namespace and headers that it is given", function()
    local env <close> = helper.environment([[
      local workflow = require "temporal.workflow"
      return workflow.define("W", function(v)
        local list = workflow.execute_activity("echo", { start_to_close_timeout = "10s" }, v, 2)
        return list .. "!", "second"
      end)]], {
      activities = { echo = function(v) return v end },
      data_converter = remote("/{namespace}/codec/", {
        auth = "Bearer secret", headers = { ["X-One"] = "1", ["X-Two"] = "zwei" }, timeout = "5s" }),
    })
    local handle = env:start_workflow("W", nil, "hello")
    assert.are.same({ "hello!", "second" }, { handle:result() })
    local request = seen()
    assert.are.equal("/default/codec/decode", request.path)
    assert.are.same({ "Bearer secret", "default", "1", "zwei", "application/json" }, {
      request.headers.authorization, request.headers["x-namespace"], request.headers["x-one"],
      request.headers["x-two"], request.headers["content-type"] })
    local plain = temporal.connect { server = env.server }
    local raw = plain:get_workflow_handle(handle.id):result()
    assert.are.same({ "my/remote", ('"hello!"'):reverse() }, { raw.metadata.encoding, raw.data })
    plain:close()
  end)

  it("tells what went wrong, and who was asked", function()
    for path, message in pairs {
      ["/nonsense"] = "/nonsense/encode answered no payloads",
      ["/none"] = "/none/encode answered 0 payloads for 1",
      ["/many"] = "/many/encode answered 2 payloads for 1",
      ["/forbidden"] = "/forbidden/encode answered 403: no  entry",
      ["/moved"] = "/moved/encode answered 302",
      ["/lost"] = "/lost/encode answered 404: nothing here",
      ["/broken"] = "/broken/encode answered 500",
      ["/silent"] = "/silent/encode: no answer within 300 ms",
    } do
      local client = temporal.connect { data_converter = remote(path, { timeout = 0.3 }) }
      local limit = path == "/broken" and "1s" or nil -- what is away is asked again until the call's time is over
      local ok, err = pcall(client.start_workflow, client, "W", {
        task_queue = "q", memo = { a = 1 }, rpc_timeout = limit })
      assert.is_false(ok)
      assert.is_truthy(tostring(err.message):find("payload codec remote: " .. base .. message, 1, true), err.message)
      client:close()
    end
    local nobody = temporal.connect { data_converter = temporal.data_converter { payload_codecs = {
      temporal.codec.remote { endpoint = "http://127.0.0.1:1" } } } }
    local _, err = pcall(nobody.start_workflow, nobody, "W", { task_queue = "q", rpc_timeout = "1s" }, 1)
    assert.matches("127.0.0.1:1/encode: .*[Cc]onnect", err.message)
    nobody:close()
  end)

  it("says what is wrong with its options", function()
    local codec = temporal.codec.remote
    assert.error_matches(function() codec {} end, "option 'endpoint' is required")
    assert.error_matches(function() codec { endpoint = "ftp://x" } end, "begins with http:// or https://, got 'ftp")
    assert.error_matches(function() codec { endpoint = "http://x", header = {} } end, "did you mean 'headers'")
    assert.error_matches(function() codec { endpoint = "http://x", headers = { "a" } } end, "lines of text under names")
    assert.error_matches(function() codec { endpoint = "http://x", headers = { a = "b\nc" } } end, "lines of text")
    assert.error_matches(function() codec { endpoint = "http://x", auth = "b\r\nc" } end, "auth is one line")
    assert.error_matches(function() codec { endpoint = "http://x", timeout = 0 } end, "at least a millisecond")
  end)

  it("is what --codec-endpoint of the command line asks", function()
    local file <close> = helper.file ""
    local client = temporal.connect { db_filename = file.name, data_converter = remote "/codec" }
    local handle = client:start_workflow("W", { task_queue = "q", id = "coded", memo = { m = "memo-value" } },
      "in-value")
    client:close()
    local function cli(arguments, environment)
      return helper.run(("env %s %s %s --db-filename %s"):format(
        environment or "", helper.binary, arguments, file.name))
    end
    local _, plain = cli "workflow show --workflow-id coded --output json"
    assert.is_nil(plain:find(helper.base64 '"in-value"', 1, true))
    local endpoint = "--codec-endpoint " .. base .. "/{namespace}/codec --codec-auth 'Basic x' --codec-header X-A=b=c"
    local code, shown, errors = cli("workflow show --workflow-id coded --output json " .. endpoint)
    assert.are.same({ 0, "" }, { code, errors })
    assert.is_truthy(shown:find(helper.base64 '"in-value"', 1, true), shown)
    local headers = seen().headers
    assert.are.same({ "Basic x", "b=c", "default" }, { headers.authorization, headers["x-a"], headers["x-namespace"] })
    _, shown = cli("workflow describe --workflow-id coded --output json",
      "TEMPORAL_CODEC_ENDPOINT=" .. base .. "/codec")
    assert.is_truthy(shown:find("memo-value", 1, true), shown)
    -- what a command sends is encoded
    code = cli("workflow signal --workflow-id coded --name s --input '\"signal-value\"' " .. endpoint)
    assert.are.equal(0, code)
    _, plain = cli "workflow show --workflow-id coded --output json"
    assert.is_nil(plain:find(helper.base64 '"signal-value"', 1, true))
    _, shown = cli("workflow show --workflow-id coded --output json " .. endpoint)
    assert.is_truthy(shown:find(helper.base64 '"signal-value"', 1, true))
    local wrong
    code, _, wrong = cli "workflow list --codec-header A=b"
    assert.are.equal(2, code)
    assert.matches("%-%-codec%-header needs %-%-codec%-endpoint", wrong)
    code, _, wrong = cli "workflow list --codec-endpoint localhost:1"
    assert.are.equal(2, code)
    assert.matches("begins with http://", wrong)
    code, _, wrong = cli("workflow show --workflow-id coded --codec-endpoint " .. base .. "/broken")
    assert.are.equal(1, code)
    assert.matches("/broken/decode answered 500", wrong)
    assert.are.equal("coded", handle.id)
  end)
end)
