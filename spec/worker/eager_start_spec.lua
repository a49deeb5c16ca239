-- Eager start: the first workflow task comes with the answer to the start, to a worker of the same process.
local helper = require "helper"
local temporal = require "temporal"

local source = [[
  local workflow = require "temporal.workflow"
  return {
    workflow.define("Greet", function(name) return "hello " .. tostring(name) end),
    workflow.define("Starts", function(id)
      return workflow.execute_activity("start_eagerly", { start_to_close_timeout = "20s" }, id)
    end),
  }
]]

local function make(options)
  local o = { task_queue = "q", workflows = { { name = "greet", source = source } } }
  for k, v in pairs(options or {}) do
    o[k] = v
  end
  o.client = o.client or temporal.connect {}
  return temporal.worker(o)
end

--- A started worker that polls: it has registered with its client by then.
local function serving(options)
  local worker = make(options)
  worker:start()
  worker.client:execute_workflow("Greet", { task_queue = worker.task_queue }, "first")
  return worker
end

local function eager(worker, options, ...)
  local o = { task_queue = "q", request_eager_start = true }
  for k, v in pairs(options or {}) do
    o[k] = v
  end
  return worker.client:start_workflow("Greet", o, ...)
end

local function accepted(handle)
  return helper.event(handle, "workflow_execution_started").eager_execution_accepted
end

--- Slots that are used when nothing is to do: each poll has one.
local function slots_at_rest(worker)
  local stats
  for _ = 1, 200 do
    stats = worker:stats()
    if stats.workflow_slots_used == stats.polls then
      return stats.workflow_slots_used - stats.polls
    end
    os.execute "sleep 0.02"
  end
  return stats.workflow_slots_used - stats.polls
end

describe("request_eager_start", function()
  it("brings the first task with the start, in process", function()
    local worker <close> = serving()
    local handle = eager(worker, {}, "you")
    assert.is_true(handle.eagerly_started)
    assert.are.equal("hello you", handle:result())
    assert.is_true(accepted(handle))
    assert.are.equal(1, worker:stats().workflow_tasks_eager)
    local plain = eager(worker, { request_eager_start = false })
    assert.is_false(plain.eagerly_started)
    assert.are.equal("hello nil", plain:result())
    assert.is_false(accepted(plain))
    assert.are.equal(1, worker:stats().workflow_tasks_eager)
    assert.are.equal(0, slots_at_rest(worker))
  end)

  it("brings it over gRPC, through payload codecs", function()
    local server <close> = helper.start_server()
    local codec = temporal.codec.aes_gcm { keys = { one = ("k"):rep(32) }, active = "one" }
    local client = temporal.connect {
      address = server.address, data_converter = temporal.data_converter { payload_codecs = { codec } },
    }
    local worker <close> = serving { client = client }
    local handle = eager(worker, {}, "you")
    assert.is_true(handle.eagerly_started)
    assert.are.equal("hello you", handle:result())
    assert.are.equal(1, worker:stats().workflow_tasks_eager)
  end)

  it("is an ordinary start where the server has no task at once, and the slot is given back", function()
    local worker <close> = serving()
    local late = eager(worker, { start_delay = 0.2 }, "late")
    assert.is_false(late.eagerly_started)
    assert.are.equal("hello late", late:result())
    local cron = eager(worker, { cron_schedule = "0 0 1 1 *" })
    assert.is_false(cron.eagerly_started)
    cron:terminate()
    assert.are.equal(0, worker:stats().workflow_tasks_eager)
    assert.are.equal(0, slots_at_rest(worker))
  end)

  it("gives the slot back when the start fails", function()
    local worker <close> = serving()
    worker.client:start_workflow("Greet", { id = "taken", task_queue = "nobody" })
    local ok, err = pcall(eager, worker, { id = "taken" })
    assert.is_false(ok)
    assert.matches("already", tostring(err))
    assert.are.equal(0, slots_at_rest(worker))
  end)

  it("is an ordinary start without a worker of that queue in the process", function()
    local worker <close> = serving()
    local handle = eager(worker, { task_queue = "elsewhere" })
    assert.is_false(handle.eagerly_started)
    assert.is_false(accepted(handle))
    local other <close> = serving { client = worker.client, task_queue = "other", no_remote_activities = true }
    local taken = eager(worker, { task_queue = "other" }, 1)
    assert.is_true(taken.eagerly_started)
    assert.are.equal("hello 1", taken:result())
    assert.are.equal(1, other:stats().workflow_tasks_eager)
    other:shutdown()
    assert.is_false(eager(worker, { task_queue = "other" }, 1).eagerly_started)
  end)

  it("is an ordinary start while all slots are taken", function()
    local worker <close> = serving { max_concurrent_workflow_tasks = 2, max_concurrent_workflow_task_polls = 2 }
    assert.are.equal(0, slots_at_rest(worker))
    local handle = eager(worker, {}, "later")
    assert.is_false(handle.eagerly_started)
    assert.are.equal("hello later", handle:result())
  end)

  it("goes round the workers of a queue", function()
    local one <close> = serving()
    local two <close> = serving { client = one.client }
    repeat -- the other one may have run what `serving` waits for
      eager(one, {}, 0):result()
    until two:stats().workflow_tasks_eager > 0
    local before = { one:stats().workflow_tasks_eager, two:stats().workflow_tasks_eager }
    for i = 1, 6 do
      assert.are.equal("hello " .. i, eager(one, {}, i):result())
    end
    assert.are.equal(before[1] + 3, one:stats().workflow_tasks_eager)
    assert.are.equal(before[2] + 3, two:stats().workflow_tasks_eager)
  end)

  it("names the worker's version", function()
    local worker <close> = make { deployment_config = {
      name = "shop", build_id = "b1", use_worker_versioning = true, default_versioning_behavior = "pinned",
    } }
    worker:start()
    assert.are.equal("b1", worker:set_current_version())
    local handle = eager(worker, {}, "you")
    assert.is_true(handle.eagerly_started)
    assert.are.equal("hello you", handle:result())
    local completed = helper.event(handle, "workflow_task_completed")
    assert.are.equal("b1", completed.deployment_version.build_id)
  end)

  it("is there for the client of an activity", function()
    local folder = helper.module_folder()
    finally(function() folder:close() end)
    folder.module("starter", [[
      local activity = require "temporal.activity"
      return { start_eagerly = function(id)
        local handle = activity.client():start_workflow("Greet", {
          id = id, task_queue = "q", request_eager_start = true,
        }, "child")
        return { handle.eagerly_started, (handle:result()) }
      end }
    ]])
    local worker <close> = serving { activities = { "starter" }, roots = { folder.name } }
    local result = worker.client:execute_workflow("Starts", { task_queue = "q" }, "inner")
    assert.are.same({ true, "hello child" }, result)
    assert.are.equal(1, worker:stats().workflow_tasks_eager)
  end)

  it("does not go with a signal", function()
    local worker = make()
    local ok, err = pcall(eager, worker, { start_signal = "go" })
    assert.is_false(ok)
    assert.matches("start_workflow: 'request_eager_start' and 'start_signal' exclude", err)
  end)
end)
