--- What a worker tells the server of itself.
local helper = require "helper"

local source = [[
  local workflow = require "temporal.workflow"
  return workflow.define("Runs", function()
    return workflow.execute_activity("act", { start_to_close_timeout = 10 })
  end)
]]

local function workers(env, query)
  return env.client:call("ListWorkers", { namespace = "default", query = query or "" }).workers_info or {}
end

describe("a worker's heartbeat", function()
  it("tells its slots, polls, cache and version, again and again", function()
    local env <close> = helper.environment(source, {
      activities = { act = function() return 1 end },
      worker = { worker_heartbeat_interval = 0.05, max_concurrent_activities = 7, build_id = "v1" },
    })
    env:execute_workflow "Runs"
    local told = helper.eventually(env, function()
      local list = workers(env, "TaskQueue = 'test' AND Status = 'Running'")
      local h = list[1] and list[1].worker_heartbeat
      return h and h.activity_task_slots_info.total_processed_tasks == 1
        and h.workflow_task_slots_info.total_processed_tasks >= 2 and h
    end)
    assert.are.equal("temporal-lua", told.sdk_name)
    assert.are.equal(7, told.activity_task_slots_info.current_available_slots)
    assert.are.equal("Fixed", told.activity_task_slots_info.slot_supplier_kind)
    assert.are.equal("v1", told.deployment_version.build_id)
    assert.is_true(told.workflow_poller_info.current_pollers > 0)
    assert.is_true(#told.host_info.host_name > 0)
    assert.is_true(told.host_info.current_host_mem_usage > 0 and told.host_info.current_host_mem_usage < 1)
    assert.is_true(told.host_info.current_host_cpu_usage >= 0)
    assert.are.equal(36, #told.host_info.worker_grouping_key)
    assert.are.equal(1, #workers(env))
    local first = told.heartbeat_time
    helper.eventually(env, function()
      local now = workers(env)[1].worker_heartbeat.heartbeat_time
      return now.seconds > first.seconds or now.nanos > first.nanos
    end)
  end)

  it("says goodbye", function()
    local env <close> = helper.environment(source, { worker = { worker_heartbeat_interval = 60 }, replay = false })
    helper.eventually(env, function() return #workers(env, "Status = 'Running'") == 1 end)
    env.worker:shutdown()
    assert.are.equal(1, #workers(env, "Status = 'ShuttingDown'"))
  end)

  it("is not sent when its interval is 0", function()
    local env <close> = helper.environment(source, { worker = { worker_heartbeat_interval = 0 }, replay = false })
    env.worker:shutdown()
    assert.are.equal(0, #workers(env))
  end)
end)
