-- Goal: activity.client() in activity processes: calls go over the worker's connection, also into a server in the
-- worker; what ends on either side ends the call.
local helper = require "helper"
local temporal = require "temporal"
local testing = require "temporal.testing"

local workflows = [[
  local workflow = require "temporal.workflow"
  return {
    workflow.define("Runs", function(name, ...)
      return workflow.execute_activity(name, {
        start_to_close_timeout = 60, retry_policy = { maximum_attempts = 1 },
      }, ...)
    end),
    workflow.define("Retries", function(name, ...)
      return workflow.execute_activity(name, {
        start_to_close_timeout = 60, retry_policy = { maximum_attempts = 2, initial_interval = 0.01 },
      }, ...)
    end),
    workflow.define("Adds", function()
      local sum, over = 0, false
      workflow.set_signal_handler("add", function(n) sum = sum + n end)
      workflow.set_query_handler("sum", function() return sum end)
      workflow.set_update_handler("finish", function(n) over = true sum = sum + n return "closing" end)
      workflow.wait_condition(function() return over end)
      return sum
    end),
  }
]]

local activities = [[
  local activity = require "temporal.activity"
  local temporal = require "temporal"
  local kept, report
  local function pid()
    local file <close> = assert(io.open "/proc/self/stat")
    return math.tointeger(tonumber(file:read "a":match "^%d+"))
  end
  return {
    whole = function(id)
      local client = activity.client()
      local handle = client:start_workflow("Adds", { id = id, task_queue = activity.info().task_queue })
      handle:signal("add", 3)
      handle:signal("add", 4)
      local asked = handle:query "sum"
      local answer = handle:execute_update("finish", nil, 100)
      local names = {}
      for info in client:list_workflows("WorkflowId = '" .. id .. "'") do
        names[#names + 1] = info.id
      end
      return asked, answer, handle:result(), client.namespace, client.identity, #names
    end,
    missing = function()
      local ok, err = pcall(function() activity.client():get_workflow_handle("nobody"):describe() end)
      return ok, err.status, err.type
    end,
    keeps = function(path)
      kept, report = activity.client(), path
      return kept:count_workflows()
    end,
    teardown = function()
      if kept then
        local _, err = pcall(kept.count_workflows, kept)
        local file <close> = assert(io.open(report, "w"))
        file:write(tostring(err))
      end
    end,
    large = function(n)
      local client = activity.client()
      local bytes = client.data:encode(("x"):rep(n))
      return #bytes >= n, client:count_workflows()
    end,
    waits = function(path)
      if activity.info().attempt == 2 then
        return "again"
      end
      local file = assert(io.open(path, "w"))
      file:write(pid())
      file:close()
      activity.client():call("PollWorkflowTaskQueue", { namespace = "default", task_queue = { name = "nobody" } },
        60000000000)
    end,
  }
]]
local function folder()
  local root = helper.folder()
  for name, text in pairs { ["flows.lua"] = workflows, ["apart.lua"] = activities } do
    local file <close> = assert(io.open(root.name .. "/" .. name, "w"))
    file:write(text)
  end
  return root
end

local function environment(root, size, more)
  local worker = { activity_executor = { kind = "processes", size = size } }
  for name, value in pairs(more or {}) do
    worker[name] = value
  end
  return testing.environment {
    roots = { root.name }, workflows = { "flows" }, activities = { "apart" }, worker = worker,
  }
end

describe("the client of an activity process", function()
  it("starts, signals, queries, updates, lists and waits over the worker's connection", function()
    local root = folder()
    local env <close> = environment(root, 2)
    for i = 1, 3 do
      local asked, answer, sum, namespace, identity, listed = env:execute_workflow("Runs", nil, "whole", "adds" .. i)
      assert.are.same({ 7, "closing", 107, "default", 1 }, { asked, answer, sum, namespace, listed })
      assert.are.equal(env.client.identity, identity)
    end
    local yes, n = env:execute_workflow("Runs", nil, "large", 1 << 20)
    assert.is_true(yes)
    assert.are.equal(7, n)
  end)

  it("raises the errors of the service", function()
    local root = folder()
    local env <close> = environment(root, 1)
    local ok, status, name = env:execute_workflow("Runs", nil, "missing")
    assert.are.same({ false, "NOT_FOUND", "RPCError" }, { ok, status, name })
  end)

  it("goes with the process: what it waited for is dropped, and the next attempt has another", function()
    local root = folder()
    local env <close> = environment(root, 1)
    local handle = env:start_workflow("Retries", nil, "waits", root.name .. "/pid")
    local pid = helper.eventually(env, function()
      local file <close> = io.open(root.name .. "/pid")
      return file and file:read "n"
    end)
    os.execute(("kill -KILL %d"):format(pid))
    assert.are.equal("again", handle:result())
  end)

  it("is for the activity that asked for it", function()
    local root = folder()
    do
      local env <close> = environment(root, 1)
      assert.are.equal(1, env:execute_workflow("Runs", nil, "keeps", root.name .. "/report"))
    end
    local file <close> = assert(io.open(root.name .. "/report"))
    assert.matches("call activity.client%(%) in the activity", file:read "a")
  end)
end)

describe("an activity process of a worker elsewhere", function()
  it("needs no address and no key", function()
    local root = folder()
    local server <close> = helper.start_server()
    local client <close> = temporal.connect { address = server.address, identity = "the-worker" }
    local worker = temporal.worker {
      client = client, task_queue = "far", roots = { root.name }, workflows = { "flows" }, activities = { "apart" },
      activity_executor = { kind = "processes", size = 1 },
    }
    worker:run_until(function()
      local asked, answer, sum, _, identity =
        client:execute_workflow("Runs", { task_queue = "far" }, "whole", "far-adds")
      assert.are.same({ 7, "closing", 107, "the-worker" }, { asked, answer, sum, identity })
    end)
  end)
end)
