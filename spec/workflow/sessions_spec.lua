-- Sessions: activities that run on one worker; what becomes of them when it ends.
local helper = require "helper"
local temporal = require "temporal"

local head = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
  local timeouts = { creation_timeout = 20, execution_timeout = 600, heartbeat_timeout = 3 }
  local o = { start_to_close_timeout = 60 }
]]

local source = head .. [[
  workflow.define("Where", function(n)
    local session <close> = workflow.create_session(timeouts)
    local seen = { session:execute_activity("where", o) }
    for _ = 2, n do seen[#seen + 1] = session:execute_activity("where", o) end
    return seen, session:info(), session:recreate_token()
  end)
  workflow.define("Again", function(token)
    local session = workflow.recreate_session(token, timeouts)
    local where = session:execute_activity("where", o)
    workflow.complete_session(session)
    workflow.complete_session(session)
    local ok, err = pcall(session.execute_activity, session, "where", o)
    return where, session.state, tostring(err)
  end)
  workflow.define("Holds", function()
    local session, go
    workflow.set_signal_handler("go", function() go = true end)
    workflow.set_query_handler("state", function() return session and session.state end)
    session = workflow.create_session(timeouts)
    workflow.wait_condition(function() return go end)
    session:complete()
    return session.host_name
  end)
  workflow.define("Short", function()
    local ok, err = pcall(workflow.create_session, { creation_timeout = 2, execution_timeout = 60 })
    return ok, err.kind, err.cause and err.cause.timeout_type
  end)
  workflow.define("Cancels", function()
    local session = workflow.create_session(timeouts)
    local handle = session:start_activity("endless", { start_to_close_timeout = 600, heartbeat_timeout = 2 })
    session:complete()
    local ok, err = pcall(handle.result, handle)
    return ok, session.state, temporal.is_cancelled and true or err.kind
  end)
  workflow.define("Cancelled", function()
    local session <close> = workflow.create_session(timeouts)
    workflow.sleep("1h")
  end)
  workflow.define("Wrong", function(which)
    local function why(fn, ...)
      local ok, err = pcall(fn, ...)
      return not ok and tostring(err) or "fine"
    end
    local session = workflow.create_session(timeouts)
    local list = {
      why(workflow.create_session), why(workflow.create_session, { creation_timeout = 1 }),
      why(workflow.create_session, { creation_timeout = 1, execution_timeout = 1, hearbeat_timeout = 1 }),
      why(workflow.create_session, { creation_timeout = "soon", execution_timeout = 1 }),
      why(workflow.recreate_session, "no token", timeouts), why(workflow.recreate_session, nil, timeouts),
      why(workflow.complete_session, {}), why(session.start_activity, session, "where", { task_queue = "other" }),
      why(session.start_activity, session, "where", {}),
    }
    session:complete()
    return list
  end)
]]

local acts = [[
  local activity = require "temporal.activity"
  return {
    where = function() return activity.info().task_queue end,
    endless = function() while true do activity.heartbeat() activity.sleep(0.05) end end,
  }]]

describe("sessions", function()
  local modules

  setup(function()
    modules = helper.module_folder()
    modules.module("acts", acts)
  end)
  teardown(function() modules:close() end)

  local function environment(max)
    return helper.environment(source, {
      roots = { modules.name }, activities = { "acts" },
      worker = { enable_session_worker = true, max_concurrent_session_execution_size = max },
    })
  end

  it("run all their activities on one worker, whose queue is its own", function()
    local env <close> = environment()
    local second <close> = temporal.worker {
      client = env.client, task_queue = env.task_queue, roots = { modules.name }, activities = { "acts" },
      workflows = { { name = "spec", source = source } }, enable_session_worker = true,
    }
    second:start()
    local tokens = {}
    for _ = 1, 4 do
      local seen, info, token = env:execute_workflow("Where", nil, 3)
      assert.are.same({ seen[1], seen[1], seen[1] }, seen)
      assert.matches("^%x+%-%x+%-%x+%-%x+%-%x+@.", seen[1])
      assert.are.equal("open", info.state)
      assert.are.equal(seen[1]:match "@(.*)$", info.host_name)
      assert.are.equal(('{"Taskqueue":"%s"}'):format(seen[1]), token)
      tokens[token] = seen[1]
    end
    for token, queue in pairs(tokens) do
      local where, state, message = env:execute_workflow("Again", nil, token)
      assert.are.same({ queue, "completed" }, { where, state })
      assert.matches("session '%x.*' is completed; use workflow.start_activity", message)
    end
  end)

  it("have the worker's limit: others wait for their turn, until their time is over", function()
    local env <close> = environment(1)
    local first = env:start_workflow("Holds", { id = "first" })
    helper.eventually(env, function() return first:query "state" == "open" end)
    assert.are.same({ false, "ActivityError", "schedule_to_start" }, { env:execute_workflow "Short" })
    local second = env:start_workflow("Holds", { id = "second" })
    first:signal "go"
    assert.is_string(first:result { timeout = 20 })
    helper.eventually(env, function() return second:query "state" == "open" end)
    second:signal "go"
    assert.is_string(second:result { timeout = 20 })
  end)

  it("cancel what runs in them when they are completed, or their workflow is cancelled", function()
    local env <close> = environment(1)
    local ok, state = env:execute_workflow "Cancels"
    assert.are.same({ false, "completed" }, { ok, state })
    local handle = env:start_workflow("Cancelled", { id = "cancelled" })
    helper.eventually(env, function() return helper.event(handle, "timer_started") end)
    handle:cancel()
    assert.is_false(pcall(handle.result, handle, { timeout = 20 }))
    assert.is_table((env:execute_workflow("Where", nil, 1))) -- there is room again
  end)

  it("fail when their worker is killed, and begin again on another one", function()
    modules.module("main", ([[
      local temporal = require "temporal"
      return temporal.worker { task_queue = "s", roots = { "%s" }, workflows = { "flow" }, activities = { "acts" },
        enable_session_worker = true }]]):format(modules.name))
    modules.module("flow", head .. [[
      return workflow.define("Moves", function()
        local places, failures = {}, {}
        workflow.set_query_handler("where", function() return places[#places], #places end)
        repeat
          local session = workflow.create_session(timeouts)
          places[#places + 1] = session:execute_activity("pid", o)
          local ok, err = pcall(session.execute_activity, session, "until_told",
            { start_to_close_timeout = 60, retry_policy = { maximum_attempts = 1 } }, #places)
          if not ok then
            local again, second = pcall(session.start_activity, session, "pid", o)
            failures = { err.type, err.cause ~= nil, session.state, again, second.type }
          end
          session:complete() -- does nothing where it has failed
        until ok
        return places, failures
      end)]])
    modules.module("acts", ([[
      local activity = require "temporal.activity"
      local function pid()
        local file <close> = assert(io.open "/proc/self/stat")
        return file:read "n"
      end
      return { pid = pid, until_told = function(n)
        repeat
          activity.sleep(0.05)
          local file = io.open("%s/told")
        until n > 1 and file and file:close()
      end }]]):format(modules.name))
    local server <close> = helper.start_server()
    local workers = {}
    for i = 1, 2 do
      workers[i] = helper.spawn(("worker run --address %s %s/main.lua"):format(server.address, modules.name))
      workers[i].pipe:read "l"
    end
    local first <close> = workers[1]
    local second <close> = workers[2]
    local client <close> = temporal.connect { address = server.address }
    local handle = client:start_workflow("Moves", { id = "moves", task_queue = "s" })
    local function place(n)
      for _ = 1, 400 do
        local pid, count = handle:query "where"
        if count == n then return pid end
        os.execute "sleep 0.05"
      end
      error("no session " .. n)
    end
    local killed, left = first, second
    local pid = place(1)
    if tostring(pid) ~= first.id then
      killed, left = second, first
    end
    assert.are.equal(killed.id, tostring(pid))
    killed:stop "KILL"
    assert.are.equal(left.id, tostring(place(2)))
    assert(io.open(modules.name .. "/told", "w")):close()
    local places, failures = handle:result { timeout = 30 }
    assert.are.same({ tonumber(killed.id), tonumber(left.id) }, places)
    assert.are.same({ "SessionFailedError", true, "failed", false, "SessionFailedError" }, failures)
    assert.are.equal(0, left:stop()) -- with the workers beside it
  end)

  it("refuse bad input and say what is wrong", function()
    local env <close> = environment()
    local list = env:execute_workflow "Wrong"
    for i, pattern in ipairs {
      "workflow.create_session: options must be a table, got nil", "option 'execution_timeout' is required",
      "unknown option 'hearbeat_timeout' %(known: creation_timeout", "soon",
      "the token must be what session:recreate_token gave, got a text: 'no token'", "recreate_token gave, got a nil",
      "workflow.complete_session wants a session, got table", "'task_queue' is the session's own",
      "start_to_close_timeout",
    } do
      assert.matches(pattern, list[i])
    end
    local function refused(options)
      options.task_queue = "q"
      return select(2, pcall(temporal.worker, options))
    end
    assert.matches("max_concurrent_session_execution_size needs enable_session_worker",
      refused { max_concurrent_session_execution_size = 3 })
    assert.matches("must be a number from 1 up, got 0",
      refused { enable_session_worker = true, max_concurrent_session_execution_size = 0 })
    assert.matches("enable_session_worker and use_worker_versioning exclude each other", refused {
      enable_session_worker = true, deployment_config = { name = "d", build_id = "b", use_worker_versioning = true },
    })
  end)
end)
