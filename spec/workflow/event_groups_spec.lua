-- Event groups: which events of a history belong together, as the code says with scopes and options, and as follows
-- from the signal or update that was handled.
local core = require "temporal.core"
local helper = require "helper"

local head = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
  local opts = { start_to_close_timeout = 10 }
]]

--- The markers of an event as texts: "id" or "id=label", "event 5", "update u".
local function markers(event)
  local out = {}
  for i, m in ipairs(event.event_group_markers or {}) do
    if m.inbound_event then
      out[i] = "event " .. m.inbound_event.inbound_event_id
    elseif m.inbound_update then
      out[i] = "update " .. m.inbound_update.inbound_update_id
    else
      local label = m.label.label and core.decode_one(m.label.label)
      out[i] = m.label.id .. (label and "=" .. label or "")
    end
  end
  return table.concat(out, ", ")
end

--- Markers of the events that have these attributes, in order.
local function all_of(handle, attributes)
  local out = {}
  for _, event in ipairs(handle:fetch_history()) do
    if event[attributes .. "_event_attributes"] then
      out[#out + 1] = markers(event)
    end
  end
  return out
end

local echo = { echo = function(...) return ... end }

local function finish(env, ...)
  local handle = env:start_workflow("W", nil, ...)
  return handle, handle:result()
end

describe("event groups", function()
  it("are carried by every kind of command, from the scope and from the option", function()
    local env <close> = helper.environment(head .. [[
      local child = workflow.define("Child", function() workflow.wait_condition(function() return false end) end)
      return { child, workflow.define("W", function()
        local direct = workflow.create_event_group "direct"
        local o = { event_groups = { direct } }
        workflow.create_event_group("around", { label = "what is around" }):scope(function()
          workflow.sleep("1m", o)
          workflow.start_timer("1m", o):result()
          workflow.wait_condition(function() return false end, { timeout = "1m", event_groups = { direct } })
          workflow.execute_activity("echo", { start_to_close_timeout = 10, event_groups = { direct } })
          workflow.execute_local_activity("echo",
            { start_to_close_timeout = 10, summary = "said", event_groups = { direct } })
          local c = workflow.start_child_workflow("Child", { id = "group-child", event_groups = { direct } })
          c:signal_with(o, "go")
          pcall(function() workflow.external_workflow("nobody"):cancel("why", o) end)
          workflow.patched("p", o)
          workflow.deprecate_patch("q", o)
          workflow.upsert_memo({ m = 1 }, o)
          workflow.upsert_search_attributes({ CustomKeywordField = "k" }, o)
          c:cancel()
        end)
      end) }]], { activities = echo, search_attributes = { CustomKeywordField = "keyword" } })
    local handle = finish(env)
    local both = "around=what is around, direct"
    assert.are.same({ both, both, both }, all_of(handle, "timer_started"))
    for _, attributes in ipairs { "activity_task_scheduled", "start_child_workflow_execution_initiated",
      "signal_external_workflow_execution_initiated", "workflow_properties_modified" } do
      assert.are.same({ both }, all_of(handle, attributes), attributes)
    end
    -- what cancels a child belongs where the child does
    assert.are.same({ both, both }, all_of(handle, "request_cancel_external_workflow_execution_initiated"))
    -- a local activity and two patches; the attribute that a patch sets is the engine's own
    assert.are.same({ both, both, both }, all_of(handle, "marker_recorded"))
    assert.are.same({ "", "", both }, all_of(handle, "upsert_workflow_search_attributes"))
    assert.are.same({ "" }, all_of(handle, "workflow_execution_completed"))
    local _, marker = helper.event(handle, "marker_recorded")
    assert.are.equal("said", core.decode_one(marker.user_metadata.summary))
  end)

  it("of scopes nest, hold for what is spawned inside, and end with the scope, also by an error", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function()
        local a, b = workflow.create_event_group "a", workflow.create_event_group "b"
        local function act(name) workflow.execute_activity("echo", { start_to_close_timeout = 10, summary = name }) end
        local later, spawned
        local one, two = a:scope(function(x, y)
          act "a"
          b:scope(act, "a, b")
          act "a"
          b:scope(a.scope, a, act, "a, b")
          later = coroutine.wrap(function() act "a"; coroutine.yield() act "a" end)
          later()
          spawned = workflow.spawn(function() act "a" b:scope(act, "a, b") end)
          return x, y
        end, 1, 2)
        assert(one == 1 and two == 2)
        act ""
        later()
        spawned:result()
        pcall(function() a:scope(function() b:scope(error, "no") end) end)
        act ""
        local stuck = coroutine.create(function() a:scope(function() act "a" coroutine.yield() end) end)
        coroutine.resume(stuck)
        act ""
        coroutine.close(stuck)
        act ""
      end)]], { activities = echo })
    local handle = finish(env)
    local n = 0
    for _, event in ipairs(handle:fetch_history()) do
      if event.activity_task_scheduled_event_attributes then
        n = n + 1
        assert.are.equal(core.decode_one(event.user_metadata.summary), markers(event), "activity " .. n)
      end
    end
    assert.are.equal(13, n)
  end)

  it("name the signal or the update whose handler asked, and no scope around its registration", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function()
        local done = 0
        workflow.sleep "1m"                                  -- the first signal waits for its handler
        workflow.create_event_group("around"):scope(function()
          workflow.set_signal_handler("s", function()
            workflow.execute_activity("echo", opts)
            workflow.spawn(workflow.execute_activity, "echo", opts):result()
            workflow.create_event_group("own"):scope(workflow.sleep, 1)
            done = done + 1
          end)
          workflow.set_update_handler("u", function() workflow.execute_activity("echo", opts) done = done + 1 end)
        end)
        workflow.wait_condition(function() return done == 2 end)
        workflow.execute_activity("echo", opts)
      end)]], { activities = echo })
    local handle = env:start_workflow("W", nil)
    handle:signal "s"
    env:sleep "70s"
    handle:execute_update("u", { id = "u-1" })
    handle:result()
    local _, signaled = helper.event(handle, "workflow_execution_signaled")
    local signal = "event " .. signaled.event_id
    assert.are.same({ signal, signal, "update u-1", "" }, all_of(handle, "activity_task_scheduled"))
    assert.are.same({ "", signal .. ", own" }, all_of(handle, "timer_started"))
  end)

  it("stay with a timer, an activity and a local activity when they are cancelled or tried again", function()
    local attempts = 0
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function()
        local g = { workflow.create_event_group "g" }
        local timer = workflow.start_timer("1h", { event_groups = g })
        local slow = workflow.start_activity("slow",
          { task_queue = "nobody", schedule_to_close_timeout = "1h", event_groups = g })
        workflow.sleep(1)
        timer:cancel()
        slow:cancel()
        workflow.execute_local_activity("flaky", { start_to_close_timeout = 10, local_retry_threshold = "1s",
          summary = "again", retry_policy = { initial_interval = "1h" }, event_groups = g })
      end)]], { activities = {
      flaky = function()
        attempts = attempts + 1
        if attempts == 1 then error "not yet" end
      end,
    } })
    local handle = finish(env)
    assert.are.same({ "g" }, all_of(handle, "timer_canceled"))
    assert.are.same({ "g" }, all_of(handle, "activity_task_cancel_requested"))
    assert.are.same({ "g", "", "g" }, all_of(handle, "timer_started")) -- the last one is the pause
    assert.are.same({ "g", "g" }, all_of(handle, "marker_recorded"))
    for _, event in ipairs(handle:fetch_history()) do
      if event.marker_recorded_event_attributes then
        assert.are.equal("again", core.decode_one(event.user_metadata.summary))
      end
    end
  end)

  it("are one by their id, with the label that came last", function()
    local env <close> = helper.environment(head .. [[
      return { workflow.define("W", function()
        local one = workflow.create_event_group("id", { label = "one" })
        local two = workflow.create_event_group("id", { label = "two" })
        local other = workflow.create_event_group "other"
        workflow.sleep(1, { event_groups = { one, other, one } })
        one:scope(function() other:scope(workflow.sleep, 1, { event_groups = { two } }) end)
        workflow.continue_as_new({ workflow_type = "Next", event_groups = { two } })
      end), workflow.define("Next", function() end) }]])
    local handle = env:start_workflow("W", nil)
    local run = env.client:get_workflow_handle(handle.id, handle.first_execution_run_id)
    handle:result()
    assert.are.same({ "id=one, other", "id=two, other" }, all_of(run, "timer_started"))
    assert.are.same({ "id=two" }, all_of(run, "workflow_execution_continued_as_new"))
  end)

  for _, case in ipairs {
    { "workflow.create_event_group(7)", "the id of the group expected" },
    { 'workflow.create_event_group ""', "a group has an id" },
    { 'workflow.create_event_group("\\xff")', "must be UTF-8" },
    { 'workflow.create_event_group("g", { label = "" })', "label is empty" },
    { 'workflow.create_event_group("g", { lable = "x" })', "did you mean 'label'" },
    { 'workflow.create_event_group("g"):scope(7)', "function expected" },
    { 'workflow.sleep(1, { event_groups = "g" })', "event_groups must be a list of event groups, got a string" },
    { 'workflow.sleep(1, { event_groups = { "g" } })',
      "event_groups[1] must be what workflow.create_event_group gave" },
    { 'workflow.upsert_memo({ a = 1 }, { event_group = {} })', "did you mean 'event_groups'" },
  } do
    it("refuse: " .. case[1], function()
      local env <close> = helper.environment(head .. [[
        return workflow.define("W", function()
          local ok, err = pcall(function() ]] .. case[1] .. [[ end)
          assert(not ok)
          return tostring(err)
        end)]])
      assert.is_truthy(env:execute_workflow("W"):find(case[2], 1, true))
    end)
  end
end)
