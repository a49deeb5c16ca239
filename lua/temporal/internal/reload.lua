--- Reloading: a build made of what the scripts are now, the gate it has to pass, and its promotion. Until
--- the last step nothing of the running build is touched.
local core = require "temporal.core"
local versions = require "temporal.internal.versions"

local reload = {}

--- Histories that the gate replays in any case, and seconds it may take, when the worker names none.
reload.defaults = { histories = 100, timeout = 30 * 1000000000, replay = true }

local ATTEMPTS = 5 -- scripts that change while they are loaded are loaded again

--- What a history asks of the code, without its data: two runs of one shape took the same way.
local function shape(json)
  local parts = {}
  for kind, text in json:gmatch '"(eventType)":%s*"([^"]*)"' do
    parts[#parts + 1] = kind and text
  end
  for text in json:gmatch '"activityType":%s*{%s*"name":%s*"([^"]*)"' do
    parts[#parts + 1] = text
  end
  return table.concat(parts, "\0")
end

local function quoted(text)
  return "'" .. text:gsub("'", "''") .. "'"
end

--- One run: replayed unless its shape is known and it need not be.
local function check(state, info, must)
  local id, run_id = info.id, info.run_id
  local kind = info.workflow_type
  local ok, json = pcall(function()
    return state.client:get_workflow_handle(id, run_id):fetch_history_json()
  end)
  if not ok then -- it may have been deleted since it was listed
    state.report.unreadable = state.report.unreadable + 1
    return
  end
  local key = kind .. "\0" .. shape(json)
  if state.shapes[key] and not must then
    state.report.same_shape = state.report.same_shape + 1
    return
  end
  state.shapes[key] = true
  state.report.replayed = state.report.replayed + 1
  local result = core.replayer_replay(state.replayer, json, id, run_id)
  if result.code then
    local failures = state.report.failures
    failures[#failures + 1] = {
      workflow_id = id, run_id = run_id, type = kind, message = result.report or result.message,
    }
  end
end

local function late(state)
  return core.mono_ns() > state.deadline_ns
end

local function walk(state, query, most, all)
  local seen = 0
  for info in state.client:list_workflows(query) do
    local must = seen < most
    if not must and not all or late(state) or #state.report.failures >= 10 then
      break
    end
    seen = seen + 1
    check(state, info, must)
  end
  return seen
end

--- Replays the newest runs of the task queue, open ones first, then one run of each further shape among the
--- open ones, within the time given. Returns the report: replayed, same_shape, unchecked_open, unreadable,
--- failures.
--- Of a versioned worker only runs that upgrade by themselves: pinned ones stay where they are.
function reload.gate(client, task_queue, build, o, failure_error_types, deployment)
  local state = {
    client = client, shapes = {},
    replayer = core.replayer_new(build, { namespace = client.namespace, failure_error_types = failure_error_types }),
    deadline_ns = core.mono_ns() + o.timeout,
    report = { replayed = 0, same_shape = 0, unreadable = 0, unchecked_open = 0, failures = {} },
  }
  local here = "TaskQueue = " .. quoted(task_queue)
  if deployment then
    here = ("%s AND TemporalWorkerDeployment = %s AND TemporalWorkflowVersioningBehavior = 'AutoUpgrade'"):format(
      here, quoted(deployment))
  end
  local open = here .. " AND ExecutionStatus = 'Running'"
  local seen = walk(state, open, o.histories, true)
  walk(state, here .. " AND ExecutionStatus != 'Running'", math.max(o.histories - seen, 0), false)
  if late(state) then
    local count = client:count_workflows(open)
    count = type(count) == "table" and count.count or count
    state.report.unchecked_open = math.max(0, math.tointeger(count) - seen)
  end
  return state.report
end

--- The report in words.
function reload.describe(report)
  local parts = { ("%d histories replayed"):format(report.replayed) }
  if report.same_shape > 0 then
    parts[#parts + 1] = ("%d of a shape already replayed"):format(report.same_shape)
  end
  if report.unreadable > 0 then
    parts[#parts + 1] = ("%d could not be read"):format(report.unreadable)
  end
  if report.unchecked_open > 0 then
    parts[#parts + 1] = ("%d open runs left unchecked, the time was over"):format(report.unchecked_open)
  end
  for _, failure in ipairs(report.failures) do
    parts[#parts + 1] = ("workflow '%s' (%s, run %s) does not fit:\n%s"):format(
      failure.workflow_id, failure.type, failure.run_id, failure.message)
  end
  return table.concat(parts, #report.failures > 0 and "\n" or ", ")
end

local function refuse(message, report)
  return nil, message, report
end

local function gated(worker, build, o)
  if o.check_command then
    local ok, _, code = os.execute(o.check_command)
    if not ok then
      return refuse(("refused: `%s` ended with %s"):format(o.check_command, code))
    end
  end
  if not o.replay or #worker.plan.workflow_modules + #worker.plan.workflow_texts == 0 then
    return { replayed = 0, same_shape = 0, unreadable = 0, unchecked_open = 0, failures = {} }
  end
  local ok, report = pcall(reload.gate, worker.client, worker.task_queue, build, o, worker.plan.failure_error_types,
    versions.deployment_of(worker))
  if not ok then
    return refuse("refused: the gate could not read histories: " .. tostring(report))
  elseif #report.failures > 0 then
    return refuse("refused: " .. reload.describe(report), report)
  end
  return report
end

--- A build that is loaded. Returns nil and why not, or true and what more there is to say.
local function make_current(worker, build_id, o)
  if versions.deployment_of(worker) then
    local outcome, text = versions.route(worker, build_id, o)
    return outcome and true, outcome and "; " .. text or text
  end
  local ok, message = core.worker_select_build(worker.handle, build_id)
  return ok, ok and "" or message
end

--- Makes a build of what make_plan returns, gates it and gives it to the worker. Returns the new build ID
--- and a text, or nil and why the running build stays. Raises nothing.
function reload.promote(worker, make_plan, o)
  local id = worker.options.build_id
  for _ = 1, ATTEMPTS do
    local planned, plan = pcall(make_plan)
    local ok, build = pcall(core.build_open, planned and plan or nil)
    if not planned or not ok then
      return refuse("refused: " .. tostring(planned and build or plan))
    end
    local build_id, digest = core.build_id(build, id), core.build_id(build, "auto")
    if digest == worker:build().digest then
      return refuse(("nothing has changed: build %s runs already"):format(build_id))
    end
    for _, loaded in ipairs(core.worker_builds(worker.handle)) do
      if loaded.digest == digest and loaded.id == build_id then
        local ok_now, text = make_current(worker, build_id, o)
        if not ok_now then
          return refuse("refused: " .. text)
        end
        worker.plan = plan
        return build_id, "selected, it was loaded already" .. text
      end
    end
    local report, message, failed = gated(worker, build, o)
    if not report then
      return refuse(message, failed)
    end
    -- a file may have been written while it was read: what runs is what lies there
    local again_ok, again = pcall(function()
      return core.build_id(core.build_open(make_plan()), "auto")
    end)
    if again_ok and again == digest then
      local promoted, why = core.worker_promote(worker.handle, build)
      if not promoted then
        return refuse("refused: " .. why)
      end
      local outcome, text = "promoted", ""
      if versions.deployment_of(worker) then
        local unclear
        outcome, text, unclear = versions.route(worker, build_id, o)
        if not outcome then
          if not unclear then -- else runs may come to it
            core.worker_retire_build(worker.handle, build_id)
          end
          return refuse("refused: " .. text)
        end
        outcome, text = outcome == "current" and "promoted" or outcome, "; " .. text
      end
      worker.plan = plan
      return build_id, outcome .. ": " .. reload.describe(report) .. text, report
    end
  end
  return refuse "refused: the scripts keep changing while they are loaded"
end

return reload
