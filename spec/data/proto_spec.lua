-- Protobuf values of the user's messages, from a descriptor set made by protoc.
local helper = require "helper"
local proto = require "temporal.proto"
local temporal = require "temporal"
local wire = require "temporal.proto_wire"

local source = [[
syntax = "proto3";
package shop.v1;
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/field_mask.proto";
enum Kind { KIND_UNSPECIFIED = 0; KIND_GIFT = 1; }
message Item { string sku = 1; sint32 count = 2; }
message Order {
  string id = 1;
  int64 cents = 2;
  repeated Item items = 3;
  map<string, int32> labels = 4;
  Kind kind = 5;
  bytes blob = 6;
  oneof pay { string card = 7; Item gift = 8; }
  optional bool express = 9;
  repeated int32 codes = 10;
  google.protobuf.Timestamp at = 11;
  google.protobuf.Duration wait = 12;
  google.protobuf.Struct extra = 13;
  google.protobuf.Int64Value limit = 14;
  double price = 15;
  uint64 big = 16;
  map<int32, Item> by_number = 17;
  google.protobuf.FieldMask mask = 18;
}
]]

describe("protobuf values", function()
  local folder, file, schema, order

  setup(function()
    folder = helper.folder().name
    local text = assert(io.open(folder .. "/shop.proto", "w"))
    text:write(source)
    text:close()
    file = folder .. "/shop.pb"
    assert.are.equal(0, (helper.run(("protoc -I %s -I /usr/include --include_imports -o %s shop.proto"):format(
      folder, file))))
    local set <close> = assert(io.open(file, "rb"))
    schema = proto.schema(set:read "a")
    order = schema.messages["shop.v1.Order"]
  end)

  teardown(function()
    os.execute("rm -r " .. folder)
  end)

  local full = {
    id = "o1", cents = 9007199254740993, items = { { sku = "a", count = -3 }, { sku = "b" } },
    labels = { x = 1, y = -2 }, kind = "KIND_GIFT", blob = "\0\255\1", gift = { sku = "g" }, express = false,
    codes = { 1, 300, -1 }, at = { seconds = 1700000000, nanos = 5000000 }, wait = { seconds = -1, nanos = -500000000 },
    extra = { fields = {
      a = { number_value = 1.5 }, e = { list_value = { values = {} } },
      b = { list_value = { values = { { string_value = "s" }, { null_value = 0 }, { bool_value = true } } } },
    } },
    limit = { value = 7 }, price = 2.5, big = -1, by_number = { [5] = { sku = "five" } },
    mask = { paths = { "a_b", "c" } },
  }

  it("are what the protobuf compiler says they are, in both forms", function()
    local json = require "temporal.proto_json"
    local bytes = wire.encode(order, full)
    local input, output = folder .. "/in", folder .. "/out"
    local handle = assert(io.open(input, "wb"))
    handle:write(bytes)
    handle:close()
    -- protoc reads the bytes, prints them as text, and makes the same bytes of that text again
    local shown = ("protoc -I %s -I /usr/include --decode=shop.v1.Order shop.proto < %s > %s"):format(
      folder, input, output)
    assert.are.equal(0, (helper.run(shown)))
    local _, again = helper.run(("protoc -I %s -I /usr/include --encode=shop.v1.Order shop.proto < %s"):format(
      folder, output))
    assert.are.same(wire.decode(order, bytes), wire.decode(order, again))
    assert.are.equal(bytes, wire.encode(order, wire.decode(order, again)))
    local text = json.encode(order, full)
    assert.are.equal('{"at":"2023-11-14T22:13:20.005Z","big":"18446744073709551615","blob":"AP8B",'
      .. '"byNumber":{"5":{"sku":"five"}},"cents":"9007199254740993","codes":[1,300,-1],"express":false,'
      .. '"extra":{"a":1.5,"b":["s",null,true],"e":[]},"gift":{"sku":"g"},"id":"o1",'
      .. '"items":[{"count":-3,"sku":"a"},{"sku":"b"}],"kind":"KIND_GIFT","labels":{"x":1,"y":-2},"limit":"7",'
      .. '"mask":"aB,c","price":2.5,"wait":"-1.500s"}', text)
    assert.are.same(wire.decode(order, bytes), json.decode(order, text))
    local defaults = wire.decode(order, "")
    assert.are.same({ "", 0, "KIND_UNSPECIFIED", {}, nil, nil },
      { defaults.id, defaults.cents, defaults.kind, defaults.items, defaults.express, defaults.at })
    assert.are.equal(1704067200 - 5400, json.decode(order, '{"at":"2024-01-01T00:00:00+01:30"}').at.seconds)
  end)

  it("are refused with the path to what is wrong", function()
    local json = require "temporal.proto_json"
    for message, bad in pairs {
      ["id must be a string, got 1"] = { id = 1 }, ["cents must be an integer, got 1.5"] = { cents = 1.5 },
      ["kind: 'X' is no value of shop.v1.Kind"] = { kind = "X" },
      ["items%[2%].sku must be a string, got 1"] = { items = { {}, { sku = 1 } } },
      ["no field is named 'nope'"] = { nope = 1 }, ["gift: no field is named 'x'"] = { gift = { x = 1 } },
      ["card and gift exclude each other"] = { card = "x", gift = {} },
      ["labels%[x%] must be an integer, got 'y'"] = { labels = { x = "y" } },
      ["codes%[2%]: 1099511627776 does not fit int32"] = { codes = { 1, 1 << 40 } },
      ["at must be a table for google.protobuf.Timestamp"] = { at = 1 }, ["id is not UTF%-8"] = { id = "\255" },
    } do
      for _, form in ipairs { wire, json } do
        local ok, err = pcall(form.encode, order, bad)
        assert.is_false(ok)
        assert.matches("^shop.v1.Order: " .. message, err)
      end
    end
  end)

  it("take any bytes", function()
    local json, bytes = require "temporal.proto_json", wire.encode(order, full)
    local function survives(fn, ...)
      local ok, err = pcall(fn, ...)
      assert.is_true(ok or type(err) == "string" and not err:find "attempt to" , tostring(err))
    end
    math.randomseed(7)
    for i = 0, #bytes do
      survives(wire.decode, order, bytes:sub(1, i))
    end
    local set <close> = assert(io.open(file, "rb"))
    local descriptors = set:read "a"
    for _ = 1, 3000 do
      local at = math.random(#bytes)
      survives(wire.decode, order, bytes:sub(1, at - 1) .. string.char(math.random(0, 255)) .. bytes:sub(at + 1))
      at = math.random(#descriptors)
      local changed = descriptors:sub(1, at - 1) .. string.char(math.random(0, 255)) .. descriptors:sub(at + 1)
      if at % 8 == 0 then
        survives(proto.schema, changed)
      end
    end
    for _, text in ipairs { "", "[]", "1", '{"at":1}', '{"items":{}}', '{"items":3}', '{"labels":[]}', '{"extra":1}',
      '{"blob":"*"}', '{"big":"x"}', '{"wait":"s"}', '{"limit":{}}', '{"kind":[]}' } do
      survives(json.decode, order, text)
    end
  end)

  local workflow = [[
    local temporal = require "temporal"
    local workflow = require "temporal.workflow"
    return workflow.define("W", function(order)
      assert(getmetatable(order).__proto == "shop.v1.Order")
      local item = workflow.execute_activity("first", { start_to_close_timeout = "10s" }, order)
      return temporal.proto("shop.v1.Order", { id = order.id .. "!", items = { item }, cents = order.cents + 1 })
    end)]]

  it("go through workflows and activities", function()
    for _, form in ipairs { "json", "binary" } do
      local env <close> = helper.environment(workflow, {
        data_converter = temporal.data_converter { proto_types = file, proto_encoding = form },
        activities = { first = function(o) return temporal.proto("shop.v1.Item", o.items[1]) end },
      })
      local handle = env:start_workflow("W", nil, temporal.proto("shop.v1.Order", {
        id = "a", items = { { sku = "s", count = 2 } }, cents = 1 << 53 }))
      local got = handle:result()
      assert.are.same({ "a!", (1 << 53) + 1, { { sku = "s", count = 2 } }, "shop.v1.Order" },
        { got.id, got.cents, got.items, proto.type_of(got) })
      -- without descriptors: JSON is a table, bytes are kept as they are
      local plain = temporal.connect { server = env.server }
      local raw = plain:get_workflow_handle(handle.id):result()
      if form == "json" then
        assert.are.same({ "a!", "9007199254740993" }, { raw.id, raw.cents })
      else
        assert.are.same({ "binary/protobuf", "shop.v1.Order" }, { raw.metadata.encoding, raw.metadata.messageType })
        assert.are.equal("a!", wire.decode(order, raw.data).id)
        assert.are.equal("a!!", env:execute_workflow("W", nil, temporal.proto("shop.v1.Order", {
          id = "a!", items = { {} } })).id)
      end
      plain:close()
    end
  end)

  it("of messages that nobody described stay as they came, and are not made", function()
    local env <close> = helper.environment([[
      return require "temporal.workflow".define("W", function(v) return v end)]], {
      data_converter = temporal.data_converter { proto_types = file } })
    local core = require "temporal.core"
    local bytes = "\10\3abc"
    local raw = core.decode_one("\10\27\10\8encoding\18\15binary/protobuf" .. "\10\23\10\11messageType\18\8other.v1"
      .. "\18\5" .. bytes)
    assert.are.same({ bytes, "other.v1" }, { raw.data, raw.metadata.messageType })
    local got = env:execute_workflow("W", nil, raw)
    assert.are.same({ bytes, "other.v1", "binary/protobuf" },
      { got.data, got.metadata.messageType, got.metadata.encoding })
    assert.error_matches(function()
      env:start_workflow("W", nil, temporal.proto("other.v1.X", {}))
    end, "have no message other.v1.X")
    local plain <close> = temporal.connect {}
    assert.error_matches(function()
      plain:start_workflow("W", { task_queue = "q" }, temporal.proto("shop.v1.Item", {}))
    end, "without its descriptors: name their file in proto_types")
  end)

  it("say what is wrong with their options", function()
    local converter = temporal.data_converter
    assert.error_matches(function() converter { proto_types = "/not/there.pb" } end, "proto_types: /not/there.pb: No")
    assert.error_matches(function() converter { proto_encoding = "json" } end, "proto_encoding without proto_types")
    assert.error_matches(function() converter { proto_types = file, proto_encoding = "x" } end, "one of json, binary")
    assert.error_matches(function() temporal.proto(1) end, "the message's full name is expected, got number")
    assert.error_matches(function() temporal.proto("a", 1) end, "the fields of a are a table, got number")
    assert.error_matches(function() proto.schema "x" end, "the descriptor set cannot be used")
    assert.error_matches(function() proto.schema "" end, "the descriptor set has no messages")
    local bare = folder .. "/bare.pb"
    helper.run(("protoc -I %s -I /usr/include -o %s shop.proto"):format(folder, bare))
    assert.error_matches(function()
      temporal.connect { data_converter = converter { proto_types = bare } }
    end, "it lacks google.protobuf.Timestamp, .* make it with protoc %-%-include_imports")
  end)
end)
