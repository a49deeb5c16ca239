-- What the server would refuse without a line of the script is refused at the call that gave it.
local helper = require "helper"

describe("options that no server takes", function()
  it("are refused by the call, which names them", function()
    local env <close> = helper.environment([[
      local workflow = require "temporal.workflow"
      return workflow.define("W", function()
        local list = {}
        local function call(name, fn, ...)
          local ok, err = pcall(fn, ...)
          list[name] = ok and "fine" or tostring(err)
        end
        local function with(name, value)
          return { start_to_close_timeout = 10, [name] = value }
        end
        local start, child = workflow.start_activity, workflow.start_child_workflow
        call("zero", start, "a", { start_to_close_timeout = 0 })
        call("both zero", start, "a", { start_to_close_timeout = 0, schedule_to_close_timeout = "0s" })
        call("queue", start, "a", with("task_queue", ""))
        call("intervals", start, "a", with("retry_policy", { initial_interval = 2, maximum_interval = 1 }))
        call("default interval", start, "a", with("retry_policy", { maximum_interval = 0.5 }))
        call("child", child, "C", { retry_policy = { initial_interval = 2, maximum_interval = 1 } })
        call("priority", start, "a", with("priority", { priority_key = -1 }))
        call("local activity", workflow.execute_local_activity, "a", {
          start_to_close_timeout = 10, retry_policy = { initial_interval = 2, maximum_interval = 1 } })
        return list
      end)]], { activities = { a = function() end } })
    local list = env:execute_workflow "W"
    for name, pattern in pairs {
      zero = 'activity "a" needs start_to_close_timeout', ["both zero"] = 'activity "a" needs start_to_close_timeout',
      queue = "task_queue must not be empty; leave it out for the workflow's own",
      intervals = "retry_policy: maximum_interval must not be less than initial_interval",
      ["default interval"] = "initial_interval, which is 1 second where it is not given",
      child = "start_child_workflow: retry_policy: maximum_interval must not be less",
      priority = "priority: priority_key must not be negative, got %-1",
      ["local activity"] = "^fine$", -- no server has a say in local activities
    } do
      assert.matches(pattern, list[name])
    end
  end)
end)

describe("commands that the server refuses", function()
  --- The log line of the refusal of the first task of W, and the failure in its history.
  local function refusal(body)
    local file <close> = helper.file([[
      local worker = require "temporal".worker { task_queue = "q", workflows = { { name = "bad", source = [=[
        local workflow = require "temporal.workflow"
        local opts = { start_to_close_timeout = 10 }
        return workflow.define("W", function() -- line 3
          ]] .. body .. [[

          workflow.sleep(60)
        end)]=] } } }
      worker:run_until(function()
        local handle = worker.client:start_workflow("W", { id = "w", task_queue = "q" })
        for _ = 1, 400 do
          for _, event in ipairs(handle:fetch_history()) do
            if event.workflow_task_failed_event_attributes then return end
          end
          os.execute "sleep 0.02"
        end
      end)]])
    local code, _, errors = helper.run(("%s run %s"):format(helper.binary, file.name))
    assert.are.equal(0, code, errors)
    return assert(errors:match "[^\n]+workflow_task%.refused[^\n]+", errors)
  end

  it("are told in the log with the lines that made them", function()
    local line = refusal [[
          opts.activity_id = "same"
          workflow.start_timer(5)
          for _ = 1, 2 do
            workflow.start_activity("a", opts)
          end
          workflow.start_activity("b", opts)]]
    assert.matches("ScheduleActivityDuplicateId", line)
    assert.matches(' script="bad%.lua:7, bad%.lua:9"$', line)
    line = refusal [[
          workflow.start_child_workflow("W", { id = "c", cron_schedule = "bogus" })]]
    assert.matches("BadStartChildExecutionAttributes", line)
    assert.matches(" script=bad%.lua:4$", line)
    line = refusal [[workflow.nexus_client { service = "S", endpoint = "none" }:start_operation("o", {}, 1)]]
    assert.matches('endpoint \\"none\\" not found" script=bad%.lua:4$', line)
  end)
end)
