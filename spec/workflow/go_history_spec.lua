-- A history recorded by the Go SDK, with its own markers, replays against the equivalent workflow.
local testing = require "temporal.testing"

local source = [[
  local workflow = require "temporal.workflow"
  return workflow.define("Markers", function()
    local opts = { start_to_close_timeout = 10 }
    local out = { "v" .. workflow.version("price", workflow.default_version, 5) }
    local function add(value)
      out[#out + 1] = value
    end
    local function called()
      error "called on replay"
    end
    %s
    for _ = 1, 3 do
      add(workflow.mutable_side_effect("limit", called))
      workflow.sleep(0.05)
    end
    add(workflow.execute_local_activity("Echo", opts, "local"))
    local second = workflow.start_local_activity("Echo", opts, "second")
    add(workflow.execute_activity("Echo", opts, "remote"))
    add(second:result())
    local _, err = pcall(workflow.execute_local_activity, "Bad", opts)
    add(err.cause.type)
    add(workflow.version("other", 1, 2))
    local got = table.concat(out, " ")
    if got ~= "v3 made once 5 5 9 local remote second Never 2" then error(got) end
    return got
  end)]]

local function replay(side_effect)
  local file <close> = assert(io.open "spec/fixtures/histories/markers_go.json")
  return testing.replay({ { name = "spec", source = source:format(side_effect) } }, file:read "a")
end

describe("a history of the Go SDK", function()
  it("gives versions, side effects and local activities their recorded values", function()
    local events, message = replay "add(workflow.side_effect(called))"
    assert.is_nil(message)
    assert.are.equal(36, events)
  end)

  it("does not fit a workflow without its side effect", function()
    local events, message = replay 'add("made once")'
    assert.is_nil(events)
    assert.truthy(message:find("SideEffect", 1, true), message)
  end)
end)
