-- Slot suppliers that are modules: what their hooks are told, and what happens when they err or do not return.
local helper = require "helper"
local temporal = require "temporal"

local tuner = temporal.tuner

local workflow_source = [[
  local workflow = require "temporal.workflow"
  return workflow.define("Many", function(count)
    local handles = {}
    for i = 1, count do
      handles[i] = workflow.start_activity("act", { start_to_close_timeout = 60 }, i)
    end
    local sum = workflow.execute_local_activity("act", { start_to_close_timeout = 60 }, 1000)
    for _, handle in ipairs(handles) do
      sum = sum + handle:result()
    end
    return sum
  end)
]]

--- A supplier with a limit for each kind, that writes down what it is asked and told.
local supplier_source = [[
  local used, limit, file = {}, 2, nil
  local supplier = {}
  local function say(...)
    if file then
      file:write(table.concat({ ... }, " "), "\n")
      file:flush()
    end
  end
  function supplier.setup(config)
    limit = config and config.limit or limit
    file = config and config.log and io.open(config.log, "a")
  end
  function supplier.try_reserve(ctx)
    local n = used[ctx.slot_type] or 0
    assert(ctx.wait == nil)
    if n < limit then
      used[ctx.slot_type] = n + 1
      say("try", ctx.slot_type)
      return { kind = ctx.slot_type, number = n + 1 }
    end
  end
  function supplier.reserve(ctx)
    while (used[ctx.slot_type] or 0) >= limit do
      say("waits", ctx.slot_type)
      ctx:wait(5)
    end
    used[ctx.slot_type] = (used[ctx.slot_type] or 0) + 1
    say("reserve", ctx.slot_type, ctx.task_queue, tostring(ctx.is_sticky),
      ctx.worker_build_id ~= "" and "build" or "none",
      ctx.worker_identity ~= "" and "identity" or "none", type(ctx.worker_deployment_version))
    return { kind = ctx.slot_type, number = used[ctx.slot_type] }
  end
  function supplier.mark_used(ctx)
    local info = ctx.slot_info
    assert(ctx.permit.kind == ctx.slot_type and not ctx.permit.task)
    ctx.permit.task = info.workflow_type or info.activity_type
    say("used", ctx.slot_type, ctx.permit.task, tostring(info.is_sticky))
  end
  function supplier.release(ctx)
    local info = ctx.slot_info
    assert(ctx.permit.task == (info and (info.workflow_type or info.activity_type)))
    used[ctx.slot_type] = used[ctx.slot_type] - 1
    say("release", ctx.slot_type, tostring(ctx.permit.task))
  end
  return supplier
]]

--- A folder with a module "slots", on the path while fn runs.
local function with_module(source, fn)
  local folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir " .. folder))
  local file <close> = assert(io.open(folder .. "/my_slots.lua", "w"))
  file:write(source)
  file:flush()
  local path = package.path
  package.path = folder .. "/?.lua;" .. path
  local ok, err = pcall(fn, folder)
  package.path = path
  os.execute("rm -r " .. folder)
  if not ok then
    error(err, 0)
  end
end

local function everywhere(given)
  local one = tuner.custom(given)
  return tuner.composite { workflow_supplier = one, activity_supplier = one, local_activity_supplier = one }
end

local function run(made, count, eager)
  local env <close> = helper.environment(workflow_source, {
    activities = { act = function(i) return i end },
    worker = { tuner = made, max_eager_activity_reservations_per_workflow_task = eager or 0 },
  })
  return env:execute_workflow("Many", nil, count)
end

local function lines(file)
  local counts, list = {}, {}
  for line in io.lines(file) do
    list[#list + 1] = line
    counts[line] = (counts[line] or 0) + 1
  end
  return counts, list
end

describe("a slot supplier in Lua", function()
  it("is asked before each poll and told what the slot is used for", function()
    with_module(supplier_source, function(folder)
      local log = folder .. "/log"
      assert.are.equal(1000 + 45, run(everywhere { module = "my_slots", config = { limit = 3, log = log } }, 9))
      local counts, list = lines(log)
      local text = table.concat(list, "\n")
      assert.are.equal(9, counts["used activity act nil"])
      assert.are.equal(9, counts["release activity act"])
      assert.are.equal(1, counts["used local_activity act nil"])
      assert.are.equal(1, counts["release local_activity act"])
      assert.is_true((counts["used workflow Many false"] or 0) >= 1, text)
      assert.is_true((counts["used workflow Many true"] or 0) >= 1, text)
      assert.matches("reserve workflow %S+ true build identity nil", text)
      assert.matches("reserve workflow %S+ false build identity nil", text)
      assert.matches("waits activity", text) -- and is woken by a release long before five seconds are over
      assert.matches("release workflow nil", text) -- of polls that end with the worker
    end)
  end)

  it("gives slots for Nexus tasks, and is told the service and the operation", function()
    with_module([[
      local used, file = 0, nil
      local function say(...)
        file:write(table.concat({ ... }, " "), "\n")
        file:flush()
      end
      return {
        setup = function(config) file = assert(io.open(config.log, "a")) end,
        try_reserve = function() return nil end,
        reserve = function(ctx)
          while used > 0 do ctx:wait(5) end
          used = used + 1
          say("reserve", ctx.slot_type)
          return {}
        end,
        mark_used = function(ctx) say("used", ctx.slot_info.service, ctx.slot_info.operation) end,
        release = function(ctx)
          used = used - 1
          say("release", ctx.slot_info and ctx.slot_info.operation or "unused")
        end,
      }]], function(folder)
      local log = folder .. "/log"
      local made = tuner.composite {
        workflow_supplier = tuner.supplier { slots = 10 }, activity_supplier = tuner.supplier { slots = 10 },
        local_activity_supplier = tuner.supplier { slots = 10 },
        nexus_supplier = tuner.custom { module = "my_slots", config = { log = log } },
      }
      local env <close> = helper.environment([[
        local workflow = require "temporal.workflow"
        return workflow.define("Asks", function(count)
          local shop = workflow.nexus_client { endpoint = "shop", service = "Shop" }
          local list, sum = {}, 0
          for i = 1, count do
            list[i] = workflow.spawn(function()
              return shop:execute_operation("double", { schedule_to_close_timeout = "1h" }, i)
            end)
          end
          for _, one in ipairs(list) do sum = sum + one:result() end
          return sum
        end)]], {
        nexus_services = { require "temporal.nexus".service("Shop", { double = function(n) return 2 * n end }) },
        worker = { tuner = made }, replay = false,
      })
      env.client:create_nexus_endpoint("shop", { task_queue = env.task_queue })
      assert.are.equal(30, env:execute_workflow("Asks", nil, 5))
      env.worker:shutdown()
      local counts, list = lines(log)
      assert.are.equal(5, counts["used Shop double"], table.concat(list, "\n"))
      assert.are.equal(5, counts["release double"])
      assert.are.equal(counts["reserve nexus"], 5 + (counts["release unused"] or 0))
      for i = 1, #list - 1 do -- one at a time
        assert.is_false(list[i]:match "^reserve" and list[i + 1]:match "^reserve" and true or false, list[i])
      end
    end)
  end)

  it("gives slots for activities that come with a completion by try_reserve", function()
    with_module(supplier_source, function(folder)
      local log = folder .. "/log"
      assert.are.equal(1015, run(everywhere { module = "my_slots", config = { limit = 20, log = log } }, 5, 2))
      assert.are.equal(2, lines(log)["try activity"])
    end)
  end)

  it("whose hooks raise is asked again, and their errors change nothing else", function()
    local failing = [[
      local failed = {}
      return {
        reserve = function(ctx)
          local key = ctx.slot_type .. tostring(ctx.is_sticky)
          if not failed[key] then
            failed[key] = true
            error "not today"
          end
          return true
        end,
        try_reserve = function() error "never" end,
        mark_used = function() error "no use" end,
        release = function() error "no release" end,
      }
    ]]
    with_module(failing, function()
      assert.are.equal(1003, run(everywhere { module = "my_slots" }, 2))
      assert.are.equal(1001, run(everywhere { module = "my_slots" }, 1, 3))
    end)
  end)

  it("that gives nothing is asked again soon", function()
    local slow = [[
      local asked = 0
      return {
        reserve = function() asked = asked + 1; return asked % 3 == 0 and asked or nil end,
        try_reserve = function() end, mark_used = function() end, release = function() end,
      }
    ]]
    with_module(slow, function()
      assert.are.equal(1001, run(everywhere { module = "my_slots" }, 1))
    end)
  end)

  for name, body in pairs {
    ["computes for ever"] = "while true do end",
    ["catches what interrupts it"] = "while true do pcall(function() while true do end end) end",
    ["waits for ever"] = "while true do ctx:wait(3600) end",
    ["sleeps in C"] = "os.execute 'sleep 4'",
  } do
    it("that " .. name .. " does not keep a worker from stopping", function()
      local never = ([[
        local all = function() return true end
        return { reserve = function(ctx) %s end, try_reserve = all, mark_used = all, release = all }
      ]]):format(body)
      with_module(never, function()
        local c <close> = temporal.connect {}
        local began = os.time()
        do
          local w <close> = temporal.worker {
            client = c, task_queue = "q", activities = { act = function() end },
            tuner = everywhere { module = "my_slots" },
          }
          w:start()
          w:shutdown()
          assert.is_true(w:is_shutdown())
        end
        collectgarbage()
        assert.is_true(os.time() - began <= 3)
      end)
    end)
  end

  it("says what is wrong with its module", function()
    local function refused(source, given)
      local message
      with_module(source, function()
        local w = temporal.worker {
          task_queue = "q", activities = { act = function() end }, tuner = everywhere(given or { module = "my_slots" }),
        }
        local ok, err = pcall(w.prepare, w)
        assert.is_false(ok)
        message = err
      end)
      return message
    end
    assert.matches("my_slots: .*returns a table, got number", refused "return 1")
    assert.matches("no function 'release'", refused [[
      local f = function() end
      return { reserve = f, try_reserve = f, mark_used = f }]])
    assert.matches("my_slots: .*bad config", refused([[
      local f = function() end
      return { reserve = f, try_reserve = f, mark_used = f, release = f, setup = function() error "bad config" end }]]))
    assert.matches("no function 'setup'", refused([[
      local f = function() end
      return { reserve = f, try_reserve = f, mark_used = f, release = f }]],
      { module = "my_slots", config = { a = 1 } }))
    assert.matches("missing", refused("return {}", { module = "missing.module" }))
    local ok, err = pcall(tuner.custom, { modul = "x" })
    assert.is_false(ok)
    assert.matches("module", err)
  end)
end)
