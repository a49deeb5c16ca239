-- Large payloads kept elsewhere: references in the history, the values for programs.
local core = require "temporal.core"
local helper = require "helper"
local temporal = require "temporal"

local echo = [[
  local workflow = require "temporal.workflow"
  return workflow.define("W", function(v)
    return workflow.execute_activity("echo", { start_to_close_timeout = "10s" }, v), "small"
  end)]]

describe("external storage", function()
  local modules, folder, module, server, base

  setup(function()
    modules = helper.module_folder()
    folder, module = modules.name, modules.module
    assert(os.execute(("mkdir %s/kept"):format(folder)))
    server = helper.spawn "run spec/fixtures/http_server.lua"
    base = "http://127.0.0.1:" .. assert(server.pipe:read "l", server:errors())
  end)

  teardown(function()
    server:stop "KILL"
    modules:close()
  end)

  local function storing(drivers, more)
    local o = { drivers = drivers, payload_size_threshold = 1000 }
    for k, v in pairs(more or {}) do
      o[k] = v
    end
    return temporal.external_storage(o)
  end

  local function files()
    local _, output = helper.run(("find %s/kept -type f"):format(folder))
    local list = {}
    for file in output:gmatch "[^\n]+" do
      list[#list + 1] = file
    end
    return list
  end

  --- The input of the run as the server has it.
  local function stored_input(env, handle)
    local raw = temporal.connect { server = env.server }
    local input = helper.event(raw:get_workflow_handle(handle.id), "workflow_execution_started").input
    raw:close()
    local payload = core.decode_message("temporal.api.common.v1.Payloads", input).payloads[1]
    return core.decode_message("temporal.api.common.v1.Payload", payload)
  end

  local long = ("long "):rep(400000) -- 2 MB

  it("keeps large payloads in files by their content, behind the codecs", function()
    local env <close> = helper.environment(echo, {
      activities = { echo = function(v) return v end },
      data_converter = temporal.data_converter {
        external_storage = storing { temporal.storage.file { folder = folder .. "/kept" } },
        payload_codecs = { temporal.codec.zlib {} },
      },
    })
    local words = {}
    for i = 1, 3000 do
      words[i] = core.uuid() -- does not compress to less than the threshold
    end
    local text = table.concat(words)
    local handle = env:start_workflow("W", nil, text)
    local got, small = handle:result { timeout = 60 }
    assert.is_true(got == text)
    assert.are.equal("small", small)
    assert.are.equal(1, #files()) -- one content, stored once
    local payload = stored_input(env, handle)
    assert.are.same({ "json/protobuf", "temporal.api.sdk.v1.ExternalStorageReference" },
      { payload.metadata.encoding, payload.metadata.messageType })
    local reference = core.json_decode(payload.data)
    assert.are.equal("file", reference.driverName)
    assert.are.equal("sha256", reference.claimData.hash_algorithm)
    assert.are.equal(files()[1]:match "[^/]+$", reference.claimData.hash_value)
    local stored = assert(io.open(files()[1], "rb"))
    local bytes = stored:read "a"
    stored:close()
    assert.are.equal(#bytes, math.tointeger(payload.external_payloads[1].size_bytes))
    assert.are.equal("binary/zlib", core.decode_message("temporal.api.common.v1.Payload", bytes).metadata.encoding)
    -- damaged bytes are told
    local file = assert(io.open(files()[1], "r+b"))
    file:seek("set", 100)
    file:write "damaged"
    file:close()
    local ok, err = pcall(handle.result, handle)
    assert.is_false(ok)
    assert.matches("storage driver 'file': the %d+ bytes that were found are not those that were stored", err.message)
    os.remove(files()[1])
    ok, err = pcall(handle.result, handle)
    assert.is_false(ok)
    assert.matches("storage driver 'file': .* is not there", err.message)
    env.replay = false
  end)

  it("keeps them in an object store over HTTP", function()
    local env <close> = helper.environment(echo, {
      activities = { echo = function(v) return v end },
      data_converter = temporal.data_converter {
        external_storage = storing { temporal.storage.http {
          endpoint = base .. "/store", bucket = "b-1", headers = { Authorization = "Bearer x" } } },
      },
    })
    local handle = env:start_workflow("W", nil, long)
    assert.is_true(handle:result { timeout = 60 } == long)
    local reference = core.json_decode(stored_input(env, handle).data)
    local claim = reference.claimData
    assert.are.same({ "aws.s3driver", "b-1", "sha256", "v0/ns/default/d/sha256/" .. claim.hash_value },
      { reference.driverName, claim.bucket, claim.hash_algorithm, claim.key })
    local _, body = helper.http(base:match "%d+$", "GET /seen")
    local seen = core.json_decode(body)
    assert.are.same({ "GET", "/store/b-1/" .. claim.key, "Bearer x" },
      { seen.method, seen.path, seen.headers.authorization })
    -- a store that refuses
    local client = temporal.connect { server = env.server, data_converter = temporal.data_converter {
      external_storage = storing { temporal.storage.http { endpoint = base .. "/forbidden", bucket = "b" } } } }
    local ok, err = pcall(client.start_workflow, client, "W", { task_queue = "q" }, long)
    assert.is_false(ok)
    assert.matches("storage driver 'aws.s3driver': .*answered 403", err.message)
    client:close()
  end)

  it("is driven by modules in Lua, which a selector chooses", function()
    module("memory_driver", [[
      return {
        store = function(bytes)
          local name = os.tmpname()
          local file = io.open(name, "wb")
          file:write(bytes)
          file:close()
          return { name = name }
        end,
        retrieve = function(claim)
          local file = assert(io.open(claim.name, "rb"))
          local bytes = file:read "a"
          file:close()
          return bytes
        end,
      }]])
    module("choosing", [[
      return { select = function(p)
        assert(p.metadata.encoding == "json/plain" and p.size > 1000)
        return p.size > 1000000 and "big" or p.size > 50000 and "files" or nil
      end }]])
    local env <close> = helper.environment(echo, {
      activities = { echo = function(v) return v end },
      data_converter = temporal.data_converter { external_storage = storing({
        temporal.storage.file { folder = folder .. "/kept", name = "files" },
        temporal.storage.module { module = "memory_driver", name = "big" },
      }, { driver_selector = "choosing" }) },
    })
    local function driver_of(text)
      local handle = env:start_workflow("W", nil, text)
      assert.is_true(handle:result { timeout = 60 } == text)
      local payload = stored_input(env, handle)
      return payload.metadata.messageType and core.json_decode(payload.data).driverName or "none"
    end
    assert.are.equal("big", driver_of(long))
    assert.are.equal("files", driver_of(("x"):rep(60000)))
    assert.are.equal("none", driver_of(("x"):rep(2000)))
  end)

  it("that goes wrong in Lua says where", function()
    local texts = {
      ["store on purpose"] = "error 'store on purpose'",
      ["store must return a claim, a table of texts, got nil"] = "return nil",
      ["a claim holds texts under names"] = "return { a = 1 }",
    }
    local n = 0
    for message, body in pairs(texts) do
      n = n + 1
      local name = module("bad_driver" .. n, ("return { store = function() %s end, retrieve = print }"):format(body))
      local client = temporal.connect { data_converter = temporal.data_converter {
        external_storage = storing { temporal.storage.module { module = name, name = "d" } } } }
      local ok, err = pcall(client.start_workflow, client, "W", { task_queue = "q" }, long)
      assert.is_false(ok)
      assert.is_truthy(err.message:find(message, 1, true), err.message)
      client:close()
    end
  end)

  it("fails what it has no driver for", function()
    local env <close> = helper.environment(echo, {
      replay = false, activities = { echo = function(v) return v end },
      data_converter = temporal.data_converter {
        external_storage = storing { temporal.storage.file { folder = folder .. "/kept", name = "mine" } } },
    })
    local stranger = temporal.connect { server = env.server, data_converter = temporal.data_converter {
      external_storage = storing { temporal.storage.file { folder = folder .. "/kept", name = "theirs" } } } }
    local handle = stranger:start_workflow("W", { task_queue = "test" }, long)
    local raw = temporal.connect { server = env.server }
    local failure = helper.task_failure(env, raw:get_workflow_handle(handle.id))
    assert.matches("kept by the storage driver 'theirs', which is not among those of this connection", failure.message)
    raw:close()
    stranger:close()
  end)

  it("says what is wrong with its options", function()
    local one = temporal.storage.file { folder = folder }
    local make = temporal.external_storage
    assert.error_matches(function() make {} end, "option 'drivers' is required")
    assert.error_matches(function() make { drivers = {} } end, "a list of 1 to 16, got 0")
    assert.error_matches(function() make { drivers = { {} } } end, "drivers%[1%] is one of temporal.storage, got table")
    assert.error_matches(function() make { drivers = { one, one } } end, "two drivers have the name 'file'")
    local two = temporal.storage.file { folder = folder, name = "two" }
    assert.error_matches(function() make { drivers = { one, two } } end, "several drivers need a driver_selector")
    assert.error_matches(function() make { drivers = { one }, payload_size_threshold = -1 } end, "not negative")
    assert.error_matches(function() make { drivers = { one }, threshold = 1 } end, "payload_size_threshold")
    assert.error_matches(function() temporal.storage.file { folder = "x", name = "a b" } end, "driver's name is made")
    assert.error_matches(function() temporal.data_converter { external_storage = {} } end, "storage is made by")
    local function connecting(driver, more)
      return function()
        temporal.connect { data_converter = temporal.data_converter { external_storage = storing({ driver }, more) } }
      end
    end
    assert.error_matches(connecting(temporal.storage.file { folder = "/not/there" }),
      "external_storage: driver 'file': there is no folder /not/there")
    assert.error_matches(connecting(temporal.storage.module { module = "not.there", name = "m" }),
      "driver 'm': not.there: .*module 'not.there' not found")
    assert.error_matches(connecting(one, { driver_selector = module("no_select", "return {}") }),
      "the driver selector module has no function 'select'")
    assert.error_matches(connecting(temporal.storage.http { endpoint = base, bucket = "../b" }), "has an http or https")
  end)
end)
