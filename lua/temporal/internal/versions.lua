--- Where the server sends the work of a versioned worker: its worker deployment is routed to a version that
--- the worker has loaded.
local core = require "temporal.core"

local versions = {}

local PAUSE = 50 * 1000000 -- between two looks at a server that learns of a version

--- The deployment of a versioned worker, nil of another one.
function versions.deployment_of(worker)
  return worker.options.use_worker_versioning and worker.options.deployment_name or nil
end

local function is_loaded(worker, build_id)
  for _, build in ipairs(core.worker_builds(worker.handle)) do
    if build.id == build_id and not build.retired then
      return true
    end
  end
  return false
end

--- Answers after which a call is made again: the server has not heard of all polls yet, somebody else changed the
--- deployment meanwhile, or there was no answer.
local PASSING = { NOT_FOUND = true, FAILED_PRECONDITION = true, UNAVAILABLE = true, DEADLINE_EXCEEDED = true }

--- Answers by which a server tells that it has done nothing. After any other one it may have done what it was asked.
local REFUSALS = {
  NOT_FOUND = true, FAILED_PRECONDITION = true, INVALID_ARGUMENT = true, PERMISSION_DENIED = true,
  UNAUTHENTICATED = true, UNIMPLEMENTED = true, RESOURCE_EXHAUSTED = true,
}

local function status_of(problem)
  return type(problem) == "table" and problem.status or nil
end

--- A call until it succeeds, fails for good, or time is over. Returns its result, or nil, why not, and the status.
local function patiently(worker, deadline, fn)
  while true do
    local ok, result = pcall(fn)
    if ok then
      return result
    end
    local status = status_of(result)
    if not PASSING[status] or core.mono_ns() > deadline then
      return nil, type(result) == "table" and result.message or tostring(result), status
    end
    core.worker_pause(worker.handle, PAUSE)
  end
end

--- The command that makes a version the current one.
local function command_for(name, build_id)
  return ("`temporal-lua worker deployment set-current-version --deployment-name %s --build-id %s`"):format(
    name, build_id)
end

--- What a worker has to be told that starts the first version of a deployment: no run comes to it. nil when runs go to
--- some version, or when the server does not say.
---@param worker temporal.Worker
---@param build_id string
---@param timeout integer nanoseconds; how long the server may take to learn of the version
---@return string?
function versions.advice(worker, build_id, timeout)
  local name = worker.options.deployment_name
  local deployment = worker.client:get_worker_deployment_handle(name)
  local info = patiently(worker, core.mono_ns() + timeout, function() return deployment:describe() end)
  local routing = info and info.routing_config
  if not routing then
    return nil
  end
  for _, version in pairs { routing.current_deployment_version, routing.ramping_deployment_version } do
    if version.build_id ~= "" then
      return nil
    end
  end
  return ("deployment '%s' has no current version, new runs go to unversioned workers alone: %s makes this one "
    .. "current"):format(name, command_for(name, build_id))
end

--- Tells the server to send new runs to a version unless somebody else decides on that. Returns what
--- versions.route returns, but for the worker's own part.
local function move(worker, deployment, build_id, o, always, deadline)
  local name, unclear = worker.options.deployment_name, false
  local moved, message = patiently(worker, deadline, function()
    local info = deployment:describe()
    local now = info.routing_config.current_deployment_version
    local own = now and now.build_id ~= "" and is_loaded(worker, now.build_id)
    if not always and (o.set_current == false or not (o.set_current or own)) then
      return { outcome = "loaded", text = ("deployment '%s' goes on with %s: make this version current with %s"):format(
        name, now and now.build_id ~= "" and now.build_id or "unversioned workers", command_for(name, build_id)) }
    end
    local ok, problem = pcall(deployment.set_current_version, deployment, {
      build_id = build_id, conflict_token = info.conflict_token,
    })
    if not ok then
      unclear = unclear or not REFUSALS[status_of(problem)]
      error(problem, 0)
    end
    return { outcome = "current", text = ("current version of deployment '%s'"):format(name) }
  end)
  if moved then
    return moved.outcome, moved.text
  elseif unclear then
    return nil, ("nobody knows whether version %s of deployment '%s' is current now: %s; it stays loaded: reload "
      .. "again, or look with `temporal-lua worker deployment describe --name %s`"):format(
      build_id, name, message, name), true
  end
  return nil, ("version %s cannot be made current: %s"):format(build_id, message)
end

--- Sends new runs to a loaded version, and makes it the one with most polls. Unless `always`, only a worker
--- whose own version is the current one now may: somebody else routes then, and "loaded" is returned with
--- what he has to know. Returns "current" or "loaded" and a text, or nil, why not, and whether the server may
--- have sent runs there all the same: then the version must stay.
---@param worker temporal.Worker
---@param build_id string
---@param o { timeout: integer, set_current?: boolean }
---@param always? boolean
---@return string? outcome
---@return string text
---@return boolean? unclear
function versions.route(worker, build_id, o, always)
  local name = worker.options.deployment_name
  local deployment = worker.client:get_worker_deployment_handle(name)
  local deadline = core.mono_ns() + o.timeout
  local known, message, status = patiently(worker, deadline, function()
    return deployment:describe_version(build_id)
  end)
  if not known then
    local what = status == "NOT_FOUND" and "does not know" or "did not say whether it knows"
    return nil, ("the server %s version %s of deployment '%s': %s"):format(what, build_id, name, message)
  end
  local outcome, text, unclear = move(worker, deployment, build_id, o, always, deadline)
  if outcome == "current" then
    local selected, why = core.worker_select_build(worker.handle, build_id)
    if not selected then
      return nil, why
    end
  end
  return outcome, text, unclear
end

return versions
