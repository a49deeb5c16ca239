-- Where workflows, activities and Nexus handlers run: how many threads, and what they are called.
local helper = require "helper"
local nexus = require "temporal.nexus"
local temporal = require "temporal"

local source = [[
  local workflow = require "temporal.workflow"
  local options = { start_to_close_timeout = "20s" }
  return {
    workflow.define("Activities", function(n, kind)
      local list, names = {}, {}
      for i = 1, n do
        list[i] = kind == "local" and workflow.start_local_activity("where", options)
          or workflow.start_activity("where", options)
      end
      for i, activity in ipairs(list) do
        names[i] = activity:result()
      end
      return names
    end),
    workflow.define("Operations", function(n)
      local shop = workflow.nexus_client { endpoint = "shop", service = "Shop" }
      local list, names = {}, {}
      for i = 1, n do
        list[i] = workflow.spawn(function()
          return shop:execute_operation("where", { schedule_to_close_timeout = "20s" })
        end)
      end
      for i, operation in ipairs(list) do
        names[i] = operation:result()
      end
      return names
    end),
  }
]]

--- What its thread is called, after a while in which others can begin.
local where = [[
  local function where()
    os.execute "sleep 0.05"
    local file <close> = assert(io.open "/proc/thread-self/comm")
    return file:read "l"
  end
]]

local folder

local function environment(worker)
  local env = helper.environment(source, {
    activities = { "where_activity" }, nexus_services = { "where_service" }, roots = { folder.name }, worker = worker,
    replay = false,
  })
  env.client:create_nexus_endpoint("shop", { task_queue = env.task_queue })
  return env
end

--- The different names, sorted.
local function distinct(names)
  local seen, list = {}, {}
  for _, name in ipairs(names) do
    if not seen[name] then
      seen[name], list[#list + 1] = true, name
    end
  end
  table.sort(list)
  return list
end

--- The names of this process's threads.
local function threads()
  local file <close> = assert(io.open "/proc/self/stat")
  local process = file:read "n"
  local _, text = helper.run(("cat /proc/%d/task/*/comm"):format(process))
  local names = {}
  for name in text:gmatch "[^\n]+" do
    names[name] = (names[name] or 0) + 1
  end
  return names
end

local function refused(options, message)
  options.task_queue = "q"
  local ok, err = pcall(temporal.worker, options)
  assert.is_false(ok)
  assert.is_truthy(err:find(message, 1, true), err)
end

describe("the executor of", function()
  setup(function()
    folder = helper.module_folder()
    folder.module("where_activity", where .. "return { where = where }")
    folder.module("where_service", where .. [[
      return require "temporal.nexus".service("Shop", { where = where })
    ]])
  end)

  teardown(function() folder:close() end)

  it("activities has its threads and their names; more wait for one of them", function()
    local env <close> = environment { activity_executor = { size = 2, thread_name_prefix = "pay" } }
    local names = env:execute_workflow("Activities", nil, 6)
    assert.are.equal(6, #names)
    assert.are.same({ "pay-0", "pay-1" }, distinct(names))
    assert.are.same({ "pay-0", "pay-1" }, distinct(env:execute_workflow("Activities", nil, 6, "local")))
    assert.are.equal(2, env.worker:stats().activity_threads)
  end)

  it("Nexus handlers has threads of its own", function()
    local env <close> = environment {
      nexus_task_executor = { kind = "threads", size = 1, thread_name_prefix = "shop" },
    }
    local names = env:execute_workflow("Operations", nil, 4)
    assert.are.equal(4, #names)
    assert.are.same({ "shop-0" }, distinct(names))
    assert.are.equal(1, env.worker:stats().nexus_threads)
    assert.matches("^activity%-%d$", env:execute_workflow("Activities", nil, 1)[1])
  end)

  it("workflow tasks has its threads", function()
    local env <close> = environment { workflow_task_executor = { size = 3, thread_name_prefix = "flow" } }
    env:execute_workflow("Activities", nil, 1)
    local names = threads()
    assert.are.same({ 1, 1, 1 }, { names["flow-0"], names["flow-1"], names["flow-2"] })
    assert.is_nil(names["flow-3"])
    assert.is_nil(names["workflow-0"])
  end)

  it("each is named after what it runs, and as large as the slots", function()
    local env <close> = environment { workflow_threads = 1, max_concurrent_activities = 3 }
    assert.matches("^nexus%-0$", env:execute_workflow("Operations", nil, 1)[1])
    assert.matches("^activity%-%d$", env:execute_workflow("Activities", nil, 1)[1])
    assert.are.equal(1, threads()["workflow-0"])
  end)

  it("each says what is wrong with it", function()
    local both = { { "activity_executor", "activity" }, { "workflow_task_executor", "workflow" },
      { "nexus_task_executor", "nexus" } }
    for _, row in ipairs(both) do
      local name, threads_of = row[1], row[2]
      refused({ [name] = { sise = 1 } }, name .. ": unknown option 'sise', did you mean 'size'")
      refused({ [name] = { size = 0 } }, name .. ": size must be a number of threads from 1 up, got 0")
      refused({ [name] = { size = 2.5 } }, "wants an integer")
      refused({ [name] = { kind = "fibers" } }, name .. ": kind must be 'threads'")
      refused({ [name] = { size = 1 }, [threads_of .. "_threads"] = 2 },
        ("%s.size and '%s_threads' exclude each other"):format(name, threads_of))
      refused({ [name] = 3 }, ("option '%s' wants a table"):format(name))
    end
    refused({ activity_executor = { kind = "threads", program = "lua" } }, "unknown option 'program'")
    local long = temporal.worker {
      task_queue = "q", activities = { f = print }, activity_executor = { thread_name_prefix = "eleven byte" },
      client = temporal.connect {},
    }
    assert.error_matches(function() long:prepare() end, "have at most 10 bytes")
  end)
end)

describe("a service of the script", function()
  it("runs on the script's thread, whatever the executor", function()
    local env <close> = helper.environment(source, { nexus_services = {
      nexus.service("Shop", { where = function() return "script" end }),
    }, worker = { nexus_task_executor = { size = 1 } }, replay = false })
    env.client:create_nexus_endpoint("shop", { task_queue = env.task_queue })
    assert.are.same({ "script", "script" }, env:execute_workflow("Operations", nil, 2))
  end)
end)
