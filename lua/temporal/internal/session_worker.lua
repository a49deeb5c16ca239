--- The two workers beside one with enable_session_worker: one takes new sessions, from a queue that all workers of the
--- task queue share; the other runs what is in them, from a queue of its own.
local core = require "temporal.core"

local session_worker = {}

local activities = "temporal.internal.session_activities"
local max_default = 1000

--- What the workers beside are not for.
local dropped = {
  "workflows", "nexus_services", "plugins", "enable_session_worker", "max_concurrent_session_execution_size",
  "on_fatal_error", "reload", "tuner", "deployment_config",
}

local function with(given, changes)
  local o = {}
  for name, value in pairs(given) do
    o[name] = value
  end
  for _, name in ipairs(dropped) do
    o[name] = nil
  end
  for name, value in pairs(changes) do
    o[name] = value or nil
  end
  return o
end

local function with_own(given)
  local list = { activities }
  for key, value in pairs(given or {}) do
    if math.type(key) == "integer" then
      list[#list + 1] = value
    else
      list[key] = value
    end
  end
  return list
end

--- Takes the options of sessions out of a worker's checked options; nil: it has none.
---@param o table
---@return integer? max how many sessions it takes
function session_worker.take(o)
  local enabled, max = o.enable_session_worker, o.max_concurrent_session_execution_size
  o.enable_session_worker, o.max_concurrent_session_execution_size = nil, nil
  if max and not enabled then
    error("temporal.worker: max_concurrent_session_execution_size needs enable_session_worker = true", 3)
  elseif max and max < 1 then
    error(("temporal.worker: max_concurrent_session_execution_size must be a number from 1 up, got %d"):format(max), 3)
  elseif enabled and o.use_worker_versioning then
    error("temporal.worker: enable_session_worker and use_worker_versioning exclude each other: a session is bound to "
      .. "one worker, not to a version", 3)
  end
  return enabled and (max or max_default) or nil
end

--- The options of both, from those of the worker beside which they are.
---@param self temporal.Worker
---@return table[] options
---@return string task_queue which the second has for itself
function session_worker.options(self)
  local queue = core.uuid() .. "@" .. core.host_name()
  return {
    with(self.given, {
      task_queue = self.task_queue .. "__internal_session_creation", activities = { activities },
      activity_config = { temporal_session_queue = queue }, max_concurrent_activities = self.session_max,
      max_concurrent_activity_task_polls = 1, activity_task_poller_behavior = false,
    }),
    with(self.given, { task_queue = queue, activities = with_own(self.given.activities) }),
  }, queue
end

return session_worker
