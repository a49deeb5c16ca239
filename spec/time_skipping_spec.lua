-- Workflows that skip time by themselves: the option of a start, environments whose workflows have their own clocks,
-- fast forwards, and what is refused.
local helper = require "helper"
local temporal = require "temporal"
local testing = require "temporal.testing"

local source = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
  return {
    workflow.define("Sleeper", function(...)
      local began = workflow.now()
      for _, seconds in ipairs { ... } do workflow.sleep(seconds) end
      return workflow.now() - began
    end),
    workflow.define("Parent", function(seconds)
      workflow.sleep(seconds)
      return workflow.execute_child_workflow("Sleeper", { id = workflow.info().workflow_id .. "-child" }, seconds)
    end),
    workflow.define("Chain", function(left)
      workflow.sleep(3600)
      if left > 0 then workflow.continue_as_new({}, left - 1) end
    end),
    workflow.define("Waiter", function()
      workflow.execute_activity("never", { start_to_close_timeout = "1h" })
    end),
  }
]]

local day = 86400

--- How far the clock of a workflow is ahead.
local function ahead(env, handle)
  return env:get_time_skipping_info(handle).current_time - os.time()
end

describe("workflows with clocks of their own", function()
  it("pass days in no time, each by itself", function()
    local env <close> = helper.environment(source, { time_skipping = true })
    assert.is_true(env:supports_time_skipping())
    local began = os.time()
    local handle = env:start_workflow("Sleeper", { id = "days" }, day, 2 * day)
    assert.is_true(math.abs(handle:result() - 3 * day) < 5)
    assert.is_true(os.time() - began < 20)
    assert.is_true(math.abs(ahead(env, handle) - 3 * day) < 20)
    assert.is_true(math.abs(env:now(handle) - os.time() - 3 * day) < 20)
    local info = env:get_time_skipping_info(handle)
    assert.are.same({ true, false, 200, 2 }, {
      info.effective_config.enabled, info.effective_config.disable_propagation,
      info.effective_config.max_session_skip_count, info.current_session_skip_count,
    })
    local other = env:start_workflow("Sleeper", { id = "other" }, 60)
    other:result()
    assert.is_true(math.abs(ahead(env, other) - 60) < 20)
  end)

  it("hand their time and their skipping on to children", function()
    local env <close> = helper.environment(source, { time_skipping = true })
    local handle = env:start_workflow("Parent", { id = "p" }, day)
    assert.is_true(math.abs(handle:result() - day) < 5)
    local child = env.client:get_workflow_handle "p-child"
    assert.is_true(math.abs(ahead(env, child) - 2 * day) < 20)
    assert.is_true(math.abs(ahead(env, handle) - day) < 20) -- the child's time is not the parent's
  end)

  it("do not skip when they are told so", function()
    local env <close> = helper.environment(source, { time_skipping = true })
    local quiet
    do
      local _ <close> = env:with_time_skipping_disabled()
      quiet = env:start_workflow("Sleeper", { id = "quiet" }, 0.2)
    end
    quiet:result()
    assert.is_nil(env:get_time_skipping_info(quiet))
    local said = env:start_workflow("Sleeper", { id = "said", time_skipping = false }, 0.2)
    said:result()
    assert.is_nil(env:get_time_skipping_info(said))
  end)

  it("have no common clock", function()
    local env <close> = helper.environment(source, { time_skipping = true })
    assert.error_matches(function() env:sleep(1) end, "env:fast_forward(handle, duration)", 1, true)
    assert.error_matches(function() env:now() end, "name a handle", 1, true)
  end)

  it("stop after so many jumps", function()
    local env <close> = helper.environment(source, { time_skipping = { max_session_skip_count = 2 } })
    local handle = env:start_workflow("Sleeper", { id = "s" }, day, day, 0.5)
    handle:result()
    local info = env:get_time_skipping_info(handle)
    assert.are.same({ false, 2 }, { info.effective_config.enabled, info.current_session_skip_count })
  end)
end)

describe("a fast forward", function()
  it("lets so much time pass for one workflow, and is followed through its runs", function()
    local env <close> = helper.environment(source, { time_skipping = { enabled = false } })
    local handle = env:start_workflow("Chain", { id = "c" }, 9)
    assert.is_true(env:fast_forward(handle, "150m"))
    local info = env:get_time_skipping_info(handle)
    assert.is_true(math.abs(ahead(env, handle) - 9000) < 20)
    assert.are.same({ true, 9000.0, false }, { info.fast_forward_info.has_completed,
      info.fast_forward_info.fast_forward_duration, info.effective_config.enabled })
    assert.is_true(env:fast_forward(handle, 60))
    assert.is_false(env:fast_forward(handle, "30d")) -- the chain ends before
    handle:result()
  end)

  it("without a duration goes on to the end of the run", function()
    local env <close> = helper.environment(source, { time_skipping = { enabled = false } })
    local handle = env:start_workflow("Sleeper", { id = "s" }, day)
    assert.is_false(env:fast_forward(handle))
    assert.is_true(handle:result() >= day)
  end)

  it("works beside one clock for all", function()
    local env <close> = helper.environment(source)
    local handle
    do
      local _ <close> = env:with_time_skipping_disabled()
      handle = env:start_workflow("Sleeper", { id = "s" }, day)
      assert.is_true(env:fast_forward(handle, 3600))
      assert.is_true(math.abs(ahead(env, handle) - 3600) < 20)
      assert.is_true(math.abs(env:now() - os.time()) < 20)
    end
    assert.is_true(handle:result() >= day)
    assert.is_true(math.abs(env:now() - os.time() - day + 3600) < 20) -- the rest
  end)

  it("ends in real time while work is under way, and can be replaced", function()
    local env <close> = helper.environment(source, { time_skipping = { enabled = false }, replay = false })
    local handle = env:start_workflow("Waiter", { id = "w" })
    assert.is_true(env:fast_forward(handle, 0.3))
    handle:update_options { time_skipping = { fast_forward_config = { id = "mine", duration = "1h" } } }
    local info = env:get_time_skipping_info(handle)
    assert.are.same({ "mine", false }, { info.fast_forward_info.fast_forward_id, info.fast_forward_info.has_completed })
    handle:update_options { time_skipping = false }
    assert.is_nil(env:get_time_skipping_info(handle).effective_config)
    handle:terminate()
  end)
end)

describe("a time skipper over a client", function()
  it("needs a server that allows it", function()
    local server <close> = helper.start_server()
    local client <close> = temporal.connect { address = server.address }
    local skipper = testing.time_skipper(client)
    local ok, err = pcall(skipper.client.start_workflow, skipper.client, "Sleeper", { task_queue = "q" })
    assert.are.same({ false, "UNIMPLEMENTED" }, { ok, err.status })
    assert.matches("not enabled for namespace", err.message, 1, true)
    client:start_workflow("Sleeper", { task_queue = "q", id = "plain" })
  end)

  it("stamps what is started with its client", function()
    local server <close> = helper.start_server("--dynamic-config-value frontend.WorkflowTimeSkippingEnabled=true "
      .. "--dynamic-config-value frontend.WorkflowTimeSkippingMaxSkipPerSession=7")
    local client <close> = temporal.connect { address = server.address }
    local env <close> = testing.environment { client = client, time_skipping = true,
      workflows = { { name = "s", source = source } } }
    local skipper = testing.time_skipper(client, { disable_propagation = true })
    local handle = skipper.client:start_workflow("Sleeper", { task_queue = "test", id = "s" }, day)
    assert.is_true(handle:result() >= day)
    assert.is_true(math.abs(skipper:get_current_time(handle) - os.time() - day) < 20)
    assert.are.equal(7, skipper:get_time_skipping_info(handle).effective_config.max_session_skip_count)
    assert.is_true(env:execute_workflow("Sleeper", { id = "t" }, day) >= day)
    local plain = client:start_workflow("Sleeper", { task_queue = "test", id = "plain" }, 0.1)
    plain:result()
    assert.is_nil(skipper:get_time_skipping_info(plain))
    assert.is_true(math.abs(skipper:get_current_time(plain) - os.time()) < 20)
    plain = skipper.client:start_workflow("Sleeper", { task_queue = "test", id = "both", start_signal = "hi" }, day)
    assert.is_true(plain:result() >= day)
  end)
end)

describe("configurations of time skipping", function()
  it("are checked at the call", function()
    local env <close> = helper.environment(source)
    for _, case in ipairs {
      { { enable = true }, "unknown option 'enable', did you mean 'enabled'?" },
      { { max_session_skip_count = -1 }, "'max_session_skip_count' must be 0 to 2147483647" },
      { { enabled = false, fast_forward_config = { id = "x", duration = 1 } }, "when enabled is false" },
      { { fast_forward_config = { id = " ", duration = 1 } }, "'id' must not be blank" },
      { { fast_forward_config = { id = "x", duration = 0 } }, "'duration' must be positive" },
      { { fast_forward_config = { duration = 1 } }, "option 'id' is required" },
      { { fast_forward_config = { id = "x", duration = "soon" } }, "option 'duration'" },
      { 5, "options must be a table, got number" },
    } do
      assert.error_matches(function()
        env:start_workflow("Sleeper", { id = "x", time_skipping = case[1] })
      end, case[2], 1, true)
      local handle = env.client:get_workflow_handle "x"
      assert.error_matches(function() handle:update_options { time_skipping = case[1] } end, case[2], 1, true)
      assert.error_matches(function() testing.time_skipper(env.client, case[1]) end, case[2], 1, true)
    end
    local handle = env.client:get_workflow_handle "x"
    assert.error_matches(function() handle:update_options {} end, "'versioning_override' or 'time_skipping'", 1, true)
    assert.error_matches(function() env:fast_forward(handle, -1) end, "duration", 1, true)
  end)
end)
