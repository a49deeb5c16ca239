-- Payload codecs: what the server sees is encoded, what programs see is not, in every place where a
-- payload travels.
local helper = require "helper"
local temporal = require "temporal"
local core = require "temporal.core"

local head = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
]]
local key, other_key = ("k"):rep(32), ("o"):rep(16)

local function converter(options)
  return temporal.data_converter(options)
end

local function encrypted(extra)
  local options = { payload_codecs = { temporal.codec.aes_gcm { keys = { one = key }, active = "one" } } }
  for k, v in pairs(extra or {}) do
    options[k] = v
  end
  return converter(options)
end

--- The history as the server has it.
local function raw_history(env, handle)
  local raw = temporal.connect { server = env.server }
  local json = raw:get_workflow_handle(handle.id):fetch_history_json()
  raw:close()
  return json
end

--- Every value that must not be seen in a history.
local function assert_hidden(json, ...)
  for _, text in ipairs { ... } do
    assert.is_nil(json:find(text, 1, true), text .. " is readable in " .. json)
    -- Payloads are base64 in JSON: a text is found by its three alignments.
    for shift = 0, 2 do
      local padded = ("\0"):rep(shift) .. text
      local b64 = helper.base64(padded)
      local from, to = (shift * 8 + 5) // 6 + 1, (#padded * 8) // 6
      assert.is_nil(json:find(b64:sub(from, to), 1, true), text .. " is readable in base64")
    end
  end
end

local everything = head .. [[
  return workflow.define("W", function(input)
    local got
    workflow.set_signal_handler("word", function(v) got = v end)
    workflow.set_query_handler("ask", function(v) return { v, "queryanswer" } end)
    workflow.upsert_memo { more = "memo-upsert-secret" }
    local side = workflow.side_effect(function() return "sideeffect-secret" end)
    local result = workflow.execute_activity("echo", { start_to_close_timeout = "10s" }, input)
    local loc = workflow.execute_local_activity("echo", { start_to_close_timeout = "10s" }, "local-secret")
    workflow.wait_condition(function() return got end)
    return { result, got, loc, side, workflow.memo() }
  end)]]

describe("a payload codec", function()
  it("covers every payload of a run and nothing else", function()
    local env <close> = helper.environment(everything, {
      data_converter = encrypted(),
      activities = { echo = function(v) return v end },
      search_attributes = { Note = "keyword" },
    })
    local handle = env:start_workflow("W", {
      memo = { m = "memo-start-secret" }, search_attributes = { Note = "visible-note" },
      static_summary = "summary-secret",
    }, "input-secret")
    assert.are.same({ "question", "queryanswer" }, handle:query("ask", "question"))
    handle:signal("word", "signal-secret")
    assert.are.same({ "input-secret", "signal-secret", "local-secret", "sideeffect-secret",
      { m = "memo-start-secret", more = "memo-upsert-secret" } }, handle:result())
    local json = raw_history(env, handle)
    assert_hidden(json, "input-secret", "signal-secret", "local-secret", "sideeffect-secret", "memo-start-secret",
      "memo-upsert-secret", "summary-secret")
    assert.is_truthy(json:find(helper.base64 '"visible-note"', 1, true) or json:find("visible-note", 1, true))
    assert.is_truthy(json:find(helper.base64 "binary/encrypted", 1, true))
    -- The same history through the client's converter is in plain.
    assert.is_truthy(handle:fetch_history_json():find(helper.base64 '"input-secret"', 1, true))
  end)

  it("covers failures, their details and, when asked to, their messages", function()
    for _, hidden in ipairs { false, true } do
      local env <close> = helper.environment(head .. [[
        return workflow.define("W", function()
          error(temporal.failure { message = "message-secret", type = "T", details = { "detail-secret" } })
        end)]], { data_converter = encrypted { failure_converter = { encode_common_attributes = hidden } } })
      local handle = env:start_workflow "W"
      local ok, err = pcall(handle.result, handle)
      assert.is_false(ok)
      assert.are.same({ "message-secret", "T", "detail-secret" },
        { err.cause.message, err.cause.type, err.cause.details[1] })
      local json = raw_history(env, handle)
      assert_hidden(json, "detail-secret")
      assert.are.equal(not hidden, json:find("message-secret", 1, true) ~= nil)
      assert.are.equal(hidden, json:find("Encoded failure", 1, true) ~= nil)
    end
  end)

  it("hides messages without any codec too", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function() error(temporal.failure { message = "m1", type = "T" }) end)]], {
      data_converter = converter { failure_converter = { encode_common_attributes = true } } })
    local handle = env:start_workflow "W"
    local _, err = pcall(handle.result, handle)
    assert.are.equal("m1", err.cause.message)
    local failure = helper.event(handle, "workflow_execution_failed").failure
    local message = core.decode_message("temporal.api.failure.v1.Failure", failure)
    assert.are.equal("Encoded failure", message.message)
    assert.are.same({ message = "m1", stack_trace = message.stack_trace },
      { message = core.decode_one(message.encoded_attributes).message, stack_trace = "" })
  end)
end)

describe("codec.aes_gcm", function()
  it("decrypts with the key that a payload names, and encrypts with the active one", function()
    local server = core.server_open {}
    local function client(keys, active)
      return temporal.connect { server = server, data_converter = converter {
        payload_codecs = { temporal.codec.aes_gcm { keys = keys, active = active } } } }
    end
    local old, new = client({ a = key }, "a"), client({ a = key, b = other_key }, "b")
    local handle = old:start_workflow("W", { task_queue = "q", memo = { m = "v" } }, 1)
    local memo = new:get_workflow_handle(handle.id):describe().memo
    assert.are.equal("v", memo.m)
    local later = new:start_workflow("W", { task_queue = "q", memo = { m = "w" } }, 1)
    local ok, err = pcall(function() old:get_workflow_handle(later.id):describe() end)
    assert.is_false(ok)
    assert.matches("encrypted with the key 'b'", tostring(err.message))
    for _, c in ipairs { old, new } do
      c:close()
    end
    core.server_close(server)
  end)

  it("fails the task of a worker that has not the key", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function(v) return v end)]], {
      data_converter = encrypted(), replay = false })
    local stranger = temporal.connect { server = env.server, data_converter = converter {
      payload_codecs = { temporal.codec.aes_gcm { keys = { two = other_key }, active = "two" } } } }
    local handle = stranger:start_workflow("W", { task_queue = "test" }, "v")
    local raw = temporal.connect { server = env.server }
    local failure = helper.task_failure(env, raw:get_workflow_handle(handle.id))
    raw:close()
    assert.are.equal("PayloadCodecError", failure.type)
    assert.matches("encrypted with the key 'two'", failure.message)
    stranger:close()
  end)

  it("says what is wrong with its options", function()
    local aes = temporal.codec.aes_gcm
    local _, message = pcall(function() aes { keys = { a = "short" }, active = "a" } end)
    assert.matches("^spec/data/codec_spec.lua:%d+: codec.aes_gcm: key 'a' has 5 bytes, AES takes 16, 24 or 32$",
      message)
    assert.error_matches(function() aes { keys = { a = key }, active = "b" } end, "no key has the active id 'b'")
    assert.error_matches(function() aes { keys = {}, active = "b" } end, "no key has the active id 'b'")
    assert.error_matches(function() aes { keys = { key }, active = "b" } end, "texts under their ids")
    assert.error_matches(function() aes { active = "b" } end, "option 'keys' is required")
    assert.error_matches(function() aes { kesy = {}, active = "b" } end, "did you mean 'keys'")
  end)
end)

describe("codec.zlib", function()
  it("makes large payloads small and leaves small ones alone", function()
    local server = core.server_open {}
    local client = temporal.connect { server = server, data_converter = converter {
      payload_codecs = { temporal.codec.zlib() } } }
    local plain = temporal.connect { server = server }
    local long = ("long "):rep(2000)
    local handle = client:start_workflow("W", { task_queue = "q", memo = { long = long, short = "short" } })
    local function memo(c)
      return c:get_workflow_handle(handle.id):describe().memo
    end
    assert.are.equal(long, memo(client).long)
    assert.are.equal("short", memo(plain).short)
    local stored = memo(plain).long
    assert.are.equal("binary/zlib", stored.metadata.encoding)
    assert.is_true(#stored.data < 200)
    client:close()
    plain:close()
    core.server_close(server)
  end)

  it("says what is wrong with its options", function()
    assert.error_matches(function() temporal.codec.zlib { level = 0 } end, "level is from 1 to 9, got 0")
    assert.error_matches(function() temporal.codec.zlib { min_size = -1 } end, "min_size is not negative")
    assert.error_matches(function() temporal.codec.zlib { levle = 1 } end, "did you mean 'level'")
  end)
end)

describe("a codec in Lua", function()
  local modules, module

  setup(function()
    modules = helper.module_folder()
    module = modules.module
  end)

  teardown(function() modules:close() end)

  local reverse = [[
    local function each(payloads, change)
      for i, p in ipairs(payloads) do payloads[i] = change(p) end
      return payloads
    end
    return {
      encode = function(payloads)
        return each(payloads, function(p)
          return { metadata = { encoding = "my/reversed", was = p.metadata.encoding }, data = p.data:reverse() }
        end)
      end,
      decode = function(payloads)
        return each(payloads, function(p)
          if p.metadata.encoding ~= "my/reversed" then return p end
          return { metadata = { encoding = p.metadata.was }, data = p.data:reverse() }
        end)
      end,
    }]]

  it("is applied before the codecs in front of it, and undone after them", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function(v) return v .. "!" end)]], {
      data_converter = converter { payload_codecs = {
        temporal.codec.aes_gcm { keys = { one = key }, active = "one" }, module("reversing", reverse) } } })
    local handle = env:start_workflow("W", nil, "hello")
    assert.are.equal("hello!", handle:result())
    -- A client with the outer codec alone sees the inner encoding.
    local outer = temporal.connect { server = env.server, data_converter = encrypted() }
    local input = helper.event(outer:get_workflow_handle(handle.id), "workflow_execution_started").input
    local payload = core.decode_message("temporal.api.common.v1.Payloads", input).payloads[1]
    local decoded = core.decode_message("temporal.api.common.v1.Payload", payload)
    assert.are.same({ "my/reversed", '"olleh"' }, { decoded.metadata.encoding, decoded.data })
    outer:close()
  end)

  it("that does not load is told by connect", function()
    local function connecting(name)
      return function()
        temporal.connect { data_converter = converter { payload_codecs = { name } } }
      end
    end
    assert.error_matches(connecting "not.there", "payload_codecs%[1%].*module 'not.there' not found")
    assert.error_matches(connecting(module("half", "return { encode = print }")), "no function 'decode'")
    assert.error_matches(connecting(module("text", "return 'x'")), "a codec module returns a table, got string")
    assert.error_matches(connecting(module("broken", "error 'on purpose'")), "on purpose")
  end)

  it("that raises or answers nonsense fails the call with its message", function()
    local texts = {
      ["on purpose"] = "error 'on purpose'",
      ["must return a list of payloads, got nil"] = "return nil",
      ["returned no payloads"] = "return {}",
      ["a payload is a table with metadata and data, got number"] = "return { 1 }",
      ["data of a payload is a string, got nil"] = "return { { metadata = {} } }",
      ["metadata of a payload is a table, got nil"] = "return { { data = '' } }",
      ["an error that is not a text"] = "error {}",
    }
    local n = 0
    for message, body in pairs(texts) do
      n = n + 1
      local name = module("bad" .. n, ("return { encode = function(p) %s end, decode = print }"):format(body))
      local client = temporal.connect { data_converter = converter { payload_codecs = { name } } }
      local ok, err = pcall(client.start_workflow, client, "W", { task_queue = "q" }, 1)
      assert.is_false(ok)
      assert.is_truthy(tostring(err.message):find(message, 1, true), tostring(err.message))
      client:close()
    end
  end)

  it("that refuses a worker's answers fails what they answer", function()
    local name = module("picky", [[
      local function same(payloads) return payloads end
      return { decode = same, encode = function(payloads)
        for _, p in ipairs(payloads) do
          if p.data:find "poison" then error "no poison" end
        end
        return payloads
      end }]])
    local env <close> = helper.environment(head .. [[
      local once = { start_to_close_timeout = "60s", retry_policy = { maximum_attempts = 1 } }
      return {
        workflow.define("Result", function() return "poi" .. "son" end),
        workflow.define("Activity", function() return workflow.execute_activity("brew", once) end),
        workflow.define("Query", function()
          workflow.set_query_handler("cup", function() return "poi" .. "son" end)
          workflow.wait_condition(function() return false end)
        end),
      }]], {
      replay = false, activities = { brew = function() return "poison" end },
      data_converter = converter { payload_codecs = { name } },
    })
    local began = core.mono_ns()
    local ok, err = pcall(env.execute_workflow, env, "Activity")
    assert.is_false(ok)
    assert.are.equal("PayloadCodecError", err.cause.cause.type)
    assert.matches("payload codec lua: picky: .*no poison", err.cause.cause.message)
    local failure = helper.task_failure(env, env:start_workflow "Result")
    assert.are.equal("PayloadCodecError", failure.type)
    assert.matches("no poison", failure.message)
    local handle = env:start_workflow "Query"
    ok, err = pcall(handle.query, handle, "cup")
    assert.is_false(ok)
    assert.matches("no poison", tostring(err.message))
    assert.is_true(core.mono_ns() - began < 25e9) -- nothing of it was tried again until its time was over
  end)

  it("is refused when it is given as functions", function()
    assert.error_matches(function()
      converter { payload_codecs = { { encode = print, decode = print } } }
    end, "loaded there by module name")
  end)
end)

describe("temporal.data_converter", function()
  it("is for the worker's part of a file", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function() return temporal.codec.zlib() end)]], { replay = false })
    local handle = env:start_workflow "W"
    assert.matches("payload codecs run outside workflows", helper.task_failure(env, handle).message)
  end)

  it("says what is wrong with its options", function()
    assert.error_matches(function() converter { payload_codec = {} } end, "did you mean 'payload_codecs'")
    assert.error_matches(function() converter { payload_codecs = { 1 } } end, "payload_codecs%[1%].*got number")
    assert.error_matches(function() converter { payload_codecs = { a = "x" } } end, "is a list, got the key a")
    assert.error_matches(function() converter { codec_threads = 0 } end, "codec_threads is from 1 to 64, got 0")
    assert.error_matches(function() converter { header_codec_behavior = "x" } end, "one of no_codec, codec")
    for _, behavior in ipairs { "no_codec", "codec", "workflow_only_codec", "WORKFLOW_ONLY_CODEC" } do
      converter { header_codec_behavior = behavior }
    end
    assert.error_matches(function() temporal.connect { data_converter = {} } end, "made by temporal.data_converter")
  end)
end)

describe("temporal.replayer", function()
  it("undoes the codecs of a history from a file", function()
    local source = head .. [[
      return workflow.define("W", function(v)
        if v ~= "in" then workflow.sleep(1) end
        return v
      end)]]
    local env <close> = helper.environment(source, { data_converter = encrypted() })
    local handle = env:start_workflow("W", nil, "in")
    assert.are.equal("in", handle:result())
    local recorded = temporal.history.from_json(nil, raw_history(env, handle))
    local function replay(given)
      return temporal.replayer { workflows = { { name = "spec", source = source } }, data_converter = given }
        :replay_workflow(recorded, { raise_on_replay_failure = false })
    end
    assert.is_nil(replay(encrypted()).replay_failure)
    assert.are.equal("NondeterminismError", replay(nil).replay_failure.type) -- it sees ciphertext
    local other = converter { payload_codecs = {
      temporal.codec.aes_gcm { keys = { two = other_key }, active = "two" } } }
    local failure = replay(other).replay_failure
    assert.are.equal("InvalidHistoryError", failure.type)
    assert.matches("encrypted with the key 'one'", failure.message)
  end)
end)
