-- Activities called by a spec alone, without server and worker: temporal.testing's activity_environment.
local activity = require "temporal.activity"
local temporal = require "temporal"
local testing = require "temporal.testing"

describe("an activity environment", function()
  it("runs functions and definitions with the facts that it was given", function()
    local env = testing.activity_environment { info = { attempt = 3, heartbeat_details = { 7, nil, "x", n = 3 } } }
    local define = activity.define("sum", function(a, b) return a + b, activity.info().activity_type end)
    assert.are.same({ 5, "unknown" }, { env:run(define, 2, 3) })
    env:run(function()
      assert.is_true(activity.in_activity())
      assert.are.equal(3, activity.info().attempt)
      assert.are.same({ 7, nil, "x" }, { activity.heartbeat_details() })
      assert.is_false(activity.is_cancelled())
      assert.is_nil(activity.cancellation_details())
      activity.log.info("said", { n = 1 })
    end)
    assert.are.same({ { level = "info", message = "said", fields = { n = 1 } } }, env.logged)
    assert.is_false(activity.in_activity())
    assert.has_error(function() activity.info() end)
    assert.are.equal(1, testing.default_activity_info().attempt)
  end)

  it("hears heartbeats, and cancels from within them", function()
    local beats = {}
    local env
    env = testing.activity_environment { on_heartbeat = function(...)
      beats[#beats + 1] = table.pack(...)
      if #beats == 2 then
        env:cancel { paused = true }
        env:cancel() -- the first call counts
      end
    end }
    local ok, err = pcall(env.run, env, function()
      for i = 1, 5 do
        activity.heartbeat(i, "of 5")
      end
    end)
    assert.is_false(ok)
    assert.is_true(temporal.is_cancelled(err))
    assert.are.same({ { 1, "of 5", n = 2 }, { 2, "of 5", n = 2 } }, beats)
    local details = env:run(activity.cancellation_details)
    assert.is_true(details.paused)
    assert.is_false(details.cancel_requested)
  end)

  it("holds a cancellation back from a shielded call", function()
    local env = testing.activity_environment()
    env:cancel()
    local inside
    local ok, err = pcall(env.run, env, function()
      activity.shield(function()
        activity.heartbeat()
        activity.sleep("1h")
        inside = true
      end)
      activity.heartbeat()
    end)
    assert.is_true(inside)
    assert.is_true(not ok and temporal.is_cancelled(err))
    assert.are.equal(3600, env.waited)
  end)

  it("counts the time of sleeps in place of waiting, and may end them", function()
    local env = testing.activity_environment()
    env:run(function()
      activity.sleep("2h")
      assert.is_false(activity.wait_for_cancelled(30))
      assert.is_false(activity.is_worker_shutdown())
    end)
    assert.are.equal(7230, env.waited)
    env.on_wait = function(seconds)
      assert.is_nil(seconds)
      env:worker_shutdown()
    end
    assert.is_true(env:run(activity.wait_for_worker_shutdown))
    env.on_wait = function() env:cancel { timed_out = true } end
    local ok, err = pcall(env.run, env, activity.sleep, 1)
    assert.is_true(not ok and temporal.is_cancelled(err))
    assert.has_match("timed out", tostring(err))
  end)

  it("gives the client it has, and notes that somebody else completes the activity", function()
    local client = temporal.connect { address = "localhost:1", lazy = true }
    local env = testing.activity_environment { client = client }
    env:run(function()
      assert.are.equal(client, activity.client())
      activity.complete_async()
    end)
    assert.is_true(env.completed_async)
    client:close()
  end)

  it("refuses what cannot be meant", function()
    local env = testing.activity_environment()
    for message, call in pairs {
      ["has no 'atempt'"] = function() testing.activity_environment { info = { atempt = 2 } } end,
      ["did you mean 'on_heartbeat'"] = function() testing.activity_environment { on_hartbeat = print } end,
      ["wants a function"] = function() env:run "charge" end,
      ["did you mean 'paused'"] = function() env:cancel { pausd = true } end,
      ["give no reason"] = function() env:cancel { paused = false } end,
      ["waits for ever"] = function() env:run(activity.wait_for_cancelled) end,
      ["give it a client"] = function() env:run(activity.client) end,
    } do
      local ok, err = pcall(call)
      assert.is_false(ok)
      assert.is_truthy(tostring(err):find(message, 1, true), tostring(err))
    end
  end)
end)
