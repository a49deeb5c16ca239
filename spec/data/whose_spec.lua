-- What payload codecs and drivers of external storage are told of whose payloads they get. The codec writes what it
-- was told into each payload and refuses to decode where it is told something else: every message of these runs is
-- told the same on both sides.
local helper = require "helper"
local nexus = require "temporal.nexus"
local temporal = require "temporal"

local told = [[
  local function text(c)
    if not c then return "nothing" end
    return table.concat({ c.kind, c.namespace or "-", c.workflow_id or "-", c.workflow_type or "-",
      c.activity_type or "-", c.activity_task_queue or "-", c.activity_id or "-", tostring(c.is_local),
      c.endpoint or "-", c.service or "-", c.operation or "-" }, " ")
  end
  local function note(way, c)
    local file = assert(io.open("%s/told", "a"))
    file:write(way, " ", text(c), "\n")
    file:close()
  end
  local M = {}
  function M.encode(payloads, context)
    for _, p in ipairs(payloads) do
      p.metadata.told = text(context)
    end
    note("encode", context)
    return payloads
  end
  function M.decode(payloads, context)
    for _, p in ipairs(payloads) do
      if p.metadata.told and p.metadata.told ~= text(context) then
        error("encoded for: " .. p.metadata.told .. "; decoded for: " .. text(context))
      end
      p.metadata.told = nil
    end
    note("decode", context)
    return payloads
  end
  return M]]

local workflows = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
  workflow.define("Child", function(v)
    local heard
    workflow.set_signal_handler("hear", function(h) heard = h end)
    workflow.wait_condition(function() return heard end)
    return heard .. v
  end)
  workflow.define("W", function(v)
    local said, shop = {}, workflow.nexus_client { endpoint = "shop", service = "Shop" }
    workflow.set_signal_handler("say", function(s) said[#said + 1] = s end)
    workflow.set_query_handler("said", function(s) return said, s end)
    workflow.set_update_handler("ask", {
      handler = function(s) workflow.sleep(1) said[#said + 1] = s return "told " .. s end,
      validator = function(s)
        if s == "no" then error(temporal.failure { message = "refused", details = { s } }) end
      end,
    })
    local options = { start_to_close_timeout = "1h", heartbeat_timeout = "1h", summary = "an activity",
      retry_policy = { maximum_attempts = 2, initial_interval = 0.01 } }
    local first = workflow.start_activity("slow", options, v) -- ends many tasks later
    options.activity_id = "own"
    said[1] = workflow.execute_activity("twice", options, v)
    said[2] = workflow.execute_local_activity("echo", { start_to_close_timeout = 10 }, v)
    local ok, err = pcall(workflow.execute_activity, "fail", { start_to_close_timeout = 10,
      retry_policy = { maximum_attempts = 1 } }, v)
    said[3] = err.cause.details[1]
    ok, err = pcall(workflow.execute_local_activity, "fail", { start_to_close_timeout = 10,
      retry_policy = { maximum_attempts = 1 } }, v)
    said[4] = err.cause.details[1]
    local child = workflow.start_child_workflow("Child", { id = workflow.info().workflow_id .. "-c", memo = { m = v },
      static_summary = "a child" }, v)
    child:signal("hear", "heard ")
    said[5] = child:result()
    said[6] = workflow.side_effect(function() return "aside" end)
    said[7] = shop:execute_operation("now", { schedule_to_close_timeout = "1h", summary = "an operation" }, v)
    ok, err = pcall(shop.execute_operation, shop, "fails", { schedule_to_close_timeout = "1h" }, v)
    said[8] = err.cause.details[1]
    workflow.upsert_memo { later = v }
    workflow.wait_condition(function() return said[9] end)
    local slowly = first:result()
    said[#said + 1] = slowly
    if workflow.info().continued_run_id then return table.concat(said, ", ") end
    workflow.continue_as_new(nil, v)
  end)
]]

--- On threads of their own. `slow` ends when there is a file by the run's id.
local activities = [[
  local activity, temporal = require "temporal.activity", require "temporal"
  local function released()
    local file = io.open("%s/" .. activity.info().workflow_run_id)
    return file and file:close()
  end
  return {
    echo = function(v) return v end,
    fail = function(v) error(temporal.failure { message = "m", details = { v .. " in vain" } }) end,
    twice = function(v)
      if activity.info().attempt == 1 then
        activity.heartbeat(v .. " beat")
        error "again"
      end
      return (activity.heartbeat_details())
    end,
    slow = function(v)
      while not released() do activity.sleep(0.01) end
      return v .. " slowly"
    end,
  }]]

local expected = "v beat, v, v in vain, v in vain, heard v, aside, now v, v fails, signal, told, v slowly"

describe("codecs", function()
  local modules

  setup(function() modules = helper.module_folder() end)
  teardown(function() modules:close() end)

  local function lines()
    local seen = {}
    local file = assert(io.open(modules.name .. "/told"))
    for line in file:lines() do
      seen[line] = true
    end
    file:close()
    return seen
  end

  local function environment(options)
    os.remove(modules.name .. "/told")
    modules.module("told", told:format(modules.name))
    modules.module("acts", activities:format(modules.name))
    local o = {
      roots = { modules.name },
      activities = { "acts" },
      data_converter = temporal.data_converter { payload_codecs = { "told" },
        failure_converter = { encode_common_attributes = true } },
      nexus_services = { nexus.service("Shop", {
        now = function(v) return "now " .. v end,
        fails = function(v)
          error(nexus.operation_error { state = "failed", message = "m", details = { v .. " fails" } })
        end,
      }) },
    }
    for k, v in pairs(options or {}) do
      o[k] = v
    end
    local env = helper.environment(workflows, o)
    env.client:create_nexus_endpoint("shop", { task_queue = env.task_queue })
    return env
  end

  local function run(options)
    local env <close> = environment(options)
    local client = env.client
    local handle = client:start_workflow("W", {
      id = "w-1", task_queue = env.task_queue, memo = { kept = "memo" }, static_summary = "summary",
    }, "v")
    for n = 1, 2 do
      local run_id
      repeat
        run_id = client:get_workflow_handle("w-1"):describe().run_id
        local said = client:get_workflow_handle("w-1"):query("said", "asked")
        if not said[8] then env:sleep(1) end
      until said[8]
      assert.are.same({ "asked" }, { select(2, client:get_workflow_handle("w-1"):query("said", "asked")) })
      client:get_workflow_handle("w-1"):signal("say", "signal")
      local ok, err = pcall(handle.execute_update, client:get_workflow_handle "w-1", "ask", nil, "no")
      assert.is_false(ok)
      assert.is_not_nil(err.cause, tostring(err))
      assert.are.equal("no", err.cause.details[1])
      assert.are.equal("told told", client:get_workflow_handle("w-1"):execute_update("ask", nil, "told"))
      assert(io.open(modules.name .. "/" .. run_id, "w")):close()
      if n == 1 then
        repeat
          local now = client:get_workflow_handle("w-1"):describe().run_id
        until now ~= run_id
      end
    end
    assert.are.equal(expected, (handle:result { timeout = 60 }))
    local memo = client:get_workflow_handle("w-1"):describe().memo
    assert.are.equal("memo", memo.kept)
    return env.task_queue
  end

  it("are told whose payloads they get, the same on both sides", function()
    local queue = run()
    local seen = lines()
    local function both(text)
      assert.is_true(seen["encode " .. text], "encode " .. text)
      assert.is_true(seen["decode " .. text], "decode " .. text)
    end
    both "workflow default w-1 - - - - nil - - -"
    both "workflow default w-1-c - - - - nil - - -"
    both("activity default w-1 W twice " .. queue .. " own false - - -")
    both "nexus default - - - - - nil shop Shop now"
    local function some(pattern)
      for line in pairs(seen) do
        if line:find(pattern) then return end
      end
      error("nobody was told " .. pattern)
    end
    some("^encode activity default w%-1 W slow " .. queue:gsub("%-", "%%-") .. " %S+ false %- %- %-$")
    some("^encode activity default w%-1 W echo " .. queue:gsub("%-", "%%-") .. " %S+ true %- %- %-$")
    assert.is_nil(seen["encode nothing"])
    assert.is_nil(seen["decode nothing"])
  end)

  it("are told so without a cache and without eager activities, where whole histories are read", function()
    run { worker = { max_cached_workflows = 0, disable_eager_activity_execution = true } }
    run { worker = { max_cached_workflows = 1 } } -- two runs take it from each other
  end)

  it("are told of activities and operations without a workflow", function()
    local env <close> = environment()
    local client = env.client
    local o = { id = "alone", task_queue = env.task_queue, start_to_close_timeout = 10, summary = "alone" }
    assert.are.equal("v", client:start_activity("echo", o, "v"):result { timeout = 20 })
    assert.are.equal("v", client:get_activity_handle("alone"):result { timeout = 20 })
    local described = client:get_activity_handle("alone"):describe { include_input = true, include_outcome = true }
    assert.are.same({ "v", "v" }, { described.input[1], described.outcome.result[1] })
    local shop = client:nexus_client { endpoint = "shop", service = "Shop" }
    local handle = shop:start_operation("now", { id = "one", summary = "one" }, "v")
    assert.are.equal("now v", handle:result { timeout = 20 })
    assert.are.equal("now v", client:get_nexus_operation_handle("one"):result { timeout = 20 })
    local seen = lines()
    local text = "activity default - - echo " .. env.task_queue .. " alone false - - -"
    assert.is_true(seen["encode " .. text] and seen["decode " .. text])
    text = "nexus default - - - - - nil shop Shop now"
    assert.is_true(seen["encode " .. text] and seen["decode " .. text])
    assert.is_nil(seen["encode nothing"])
  end)

  it("are told in replays of recorded histories", function()
    local env <close> = environment { replay = false }
    local handle = env:start_workflow("Child", { id = "recorded" }, "v")
    handle:signal("hear", "heard ")
    handle:result { timeout = 20 }
    local raw = temporal.connect { server = env.server }
    local recorded = raw:fetch_histories("WorkflowId = 'recorded'")()
    raw:close()
    os.remove(modules.name .. "/told")
    local replayer = temporal.replayer {
      workflows = { { name = "spec", source = workflows } }, roots = { modules.name },
      data_converter = temporal.data_converter { payload_codecs = { "told" } },
    }
    assert.is_nil(replayer:replay_workflow(recorded).replay_failure)
    assert.are.same({ ["decode workflow default recorded - - - - nil - - -"] = true }, lines())
  end)
end)

describe("drivers of external storage", function()
  local modules

  setup(function() modules = helper.module_folder() end)
  teardown(function() modules:close() end)

  local driver = [[
    local kept, M = {}, {}
    local function path(key) return "%s/" .. key end
    local function text(c)
      return c and table.concat({ c.kind, c.namespace, c.workflow_id or "-", c.workflow_type or "-",
        c.run_id and "run" or "-", c.activity_type or "-", c.activity_id or "-", c.operation or "-" }, " ") or "nothing"
    end
    local function note(way, c)
      local file = assert(io.open(path "told", "a"))
      file:write(way, " ", text(c), "\n")
      file:close()
    end
    function M.store(bytes, context)
      note("store", context)
      local key = (bytes:gsub("%%W", "")):sub(-40)
      local file = assert(io.open(path(key), "wb"))
      file:write(bytes)
      file:close()
      return { key = key }
    end
    function M.retrieve(claim, context)
      note("retrieve", context)
      local file <close> = assert(io.open(path(claim.key), "rb"))
      return file:read "a"
    end
    function M.select(payload)
      note("select", payload.context)
      return "kept"
    end
    return M]]

  local source = [[
    local workflow = require "temporal.workflow"
    return workflow.define("W", function(v)
      return workflow.execute_activity("echo", { start_to_close_timeout = "10s", activity_id = "a" }, v)
    end)]]

  local function run(module)
    local env <close> = helper.environment(source, {
      roots = { modules.name },
      activities = { echo = function(v) return v .. "!" end },
      data_converter = temporal.data_converter { external_storage = temporal.external_storage {
        drivers = { temporal.storage.module { module = module, name = "kept" } },
        driver_selector = module == "driver" and module or nil, payload_size_threshold = 100,
      } },
    })
    local text = ("x"):rep(200)
    assert.are.equal(text .. "!", (env:execute_workflow("W", { id = "w-1" }, text)))
  end

  it("are told whose payload they keep, and the selector too", function()
    modules.module("driver", driver:format(modules.name))
    run "driver"
    local seen = {}
    for line in io.lines(modules.name .. "/told") do
      seen[line] = true
    end
    for _, line in ipairs {
      "select workflow default w-1 W - - - -", "store workflow default w-1 W - - - -", -- a run that is to be
      "retrieve workflow default w-1 W run - - -",
      "store activity default w-1 W run echo a -", "select activity default w-1 W run echo a -",
      "retrieve activity default w-1 W run echo a -",
      "store workflow default w-1 W run - - -", "select workflow default w-1 W run - - -",
    } do
      assert.is_true(seen[line], line)
    end
    assert.is_nil(seen["store nothing"] or seen["retrieve nothing"])
  end)

  it("that do not ask for it work as they did", function()
    modules.module("plain", [[
      local kept = "]] .. modules.name .. [[/plain-"
      return {
        store = function(bytes, ...)
          assert(select("#", ...) <= 1)
          local key = (bytes:gsub("%W", "")):sub(-40)
          local file <close> = assert(io.open(kept .. key, "wb"))
          file:write(bytes)
          return { key = key }
        end,
        retrieve = function(claim)
          local file <close> = assert(io.open(kept .. claim.key, "rb"))
          return file:read "a"
        end,
      }]])
    run "plain"
  end)

  it("that raise are named, with what they said of the payload", function()
    modules.module("raises", [[
      return {
        store = function(_, context) error("no room for " .. context.kind .. " " .. context.workflow_id) end,
        retrieve = function() error "none" end,
      }]])
    local ok, err = pcall(run, "raises")
    assert.is_false(ok)
    assert.matches("storage driver 'kept'.*no room for workflow w%-1", tostring(err))
  end)
end)
