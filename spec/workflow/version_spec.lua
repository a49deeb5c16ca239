-- Numbered versions: workflow.version(change, min, max).
local helper = require "helper"
local core = require "temporal.core"
local testing = require "temporal.testing"

local head = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
]]

local function run(body, ...)
  local env <close> = helper.environment(head .. body, { worker = { max_cached_workflows = 0 } })
  local handle = env:start_workflow("W", nil, ...)
  return table.pack(handle:result()), handle:fetch_history_json(), handle:fetch_history()
end

local function replay(body, history)
  return testing.replay({ { name = "spec", source = head .. body } }, history)
end

local body = [[
  return workflow.define("W", function()
    workflow.sleep(1)
    local version = %s
    workflow.sleep(1)
    return version, workflow.version("price", workflow.default_version, 3)
  end)]]

describe("workflow.version", function()
  it("is the highest for a run that gets there first, and stays", function()
    local got, history, events = run(body:format 'workflow.version("price", workflow.default_version, 3)')
    assert.are.same({ 3, 3, n = 2 }, got)
    local marker, upsert
    for _, event in ipairs(events) do
      marker = marker or event.marker_recorded_event_attributes
      upsert = upsert or event.upsert_workflow_search_attributes_event_attributes
    end
    assert.are.equal("Version", marker.marker_name)
    assert.are.equal("price", (core.decode(marker.details["change-id"])))
    assert.are.equal(3, (core.decode(marker.details.version)))
    local value = upsert.search_attributes.indexed_fields.TemporalChangeVersion
    assert.truthy(value:find('["price-3"]', 1, true)) -- an encoded payload
    -- Code that knows a later version still sees the recorded one.
    local replayed, message = replay(body:format [[workflow.version("price", 1, 7)
      if version ~= 3 then error("version " .. version) end]], history)
    assert.is_nil(message)
    assert.is_true(replayed > 0)
  end)

  it("is default_version for a run that passed before the call was there", function()
    local _, history = run(body:format "0")
    local events, message = replay(body:format [[workflow.version("new", workflow.default_version, 2)
      if version ~= workflow.default_version or version ~= -1 then error("version " .. version) end]], history)
    assert.is_nil(message)
    assert.is_true(events > 0)
  end)

  it("names the recorded version and the supported ones when they do not fit", function()
    local _, history = run(body:format 'workflow.version("price", 1, 3)')
    local events, message = replay(body:format 'workflow.version("price", 4, 5)', history)
    assert.is_nil(events)
    for _, part in ipairs { 'version 3 of the change "price"', "versions 4 to 5" } do
      assert.truthy(message:find(part, 1, true), message)
    end
  end)

  it("names default_version when the old path is gone", function()
    local _, history = run(body:format "0")
    local events, message = replay(body:format 'workflow.version("new", 1, 2)', history)
    assert.is_nil(events)
    assert.truthy(message:find('version -1 of the change "new"', 1, true), message)
  end)

  it("may be taken out of the code while history has it", function()
    local text = [[
      return workflow.define("W", function()
        %s
        workflow.sleep(1)
      end)]]
    local _, history = run(text:format 'workflow.version("gone", 1, 1)')
    local events, message = replay(text:format "", history)
    assert.is_nil(message)
    assert.is_true(events > 0)
  end)

  it("stands beside patches in TemporalChangeVersion", function()
    local _, _, events = run [[
      return workflow.define("W", function()
        workflow.patched("b")
        workflow.version("a", 1, 2)
        workflow.sleep(1)
      end)]]
    local last
    for _, event in ipairs(events) do
      local a = event.upsert_workflow_search_attributes_event_attributes
      last = a and a.search_attributes.indexed_fields.TemporalChangeVersion or last
    end
    assert.truthy(last:find('["a-2","b"]', 1, true))
  end)

  it("is read in queries once it is known", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function()
        workflow.set_query_handler("known", function() return workflow.version("x", 1, 4) end)
        workflow.set_query_handler("unknown", function() return workflow.version("y", 1, 4) end)
        workflow.version("x", 1, 4)
        workflow.sleep(60)
      end)]])
    local handle = env:start_workflow "W"
    assert.are.equal(4, helper.eventually(env, function() return handle:query "known" end))
    local ok, err = pcall(handle.query, handle, "unknown")
    assert.is_false(ok)
    assert.truthy(tostring(err):find("workflow.version", 1, true), tostring(err))
  end)

  it("says what is wrong with its arguments", function()
    for call, text in pairs {
      ['workflow.version("", 1, 2)'] = "has an id",
      ['workflow.version("x", 3, 2)'] = "below the lowest",
      ['workflow.version("x", -2, 2)'] = "whole number from workflow.default_version",
      ['workflow.version("x", 1)'] = "number expected",
      ['workflow.version(1, 1, 2)'] = "string expected",
    } do
      local env <close> = helper.environment(head .. "return workflow.define('W', function() " .. call .. " end)")
      env.replay = false
      local handle = env:start_workflow "W"
      local failure = helper.task_failure(env, handle)
      handle:terminate()
      assert.truthy(failure.message:find(text, 1, true), failure.message)
    end
  end)
end)
