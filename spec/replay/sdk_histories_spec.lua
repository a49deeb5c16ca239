-- Histories that other SDKs recorded (spec/interop/record, spec/interop/go/record.go) replay against the same
-- workflows in Lua.
local temporal = require "temporal"

local folder = "spec/fixtures/histories/"
local replayer = temporal.replayer { workflows = { "workflows" }, roots = { folder } }
local names = { "cancelled", "chain_first", "child", "failed", "parent", "primitives", "updated" }

local more = { go = { "session" } }

for _, sdk in ipairs { "go", "python", "typescript" } do
  describe("a history of the " .. sdk .. " SDK", function()
    for _, name in ipairs(table.move(more[sdk] or {}, 1, 9, #names + 1, table.move(names, 1, #names, 1, {}))) do
      it("replays: " .. name, function()
        local h = temporal.history.from_file(("%s%s/%s.json"):format(folder, sdk, name))
        local result = replayer:replay_workflow(h, { raise_on_replay_failure = false })
        assert.are.equal("", result.replay_failure and result.replay_failure.text or "")
        assert.are.equal(h.event_count, result.event_count)
        assert.is_true(result.finished)
      end)
    end
  end)
end
