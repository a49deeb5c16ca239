--- The activities that hold and end sessions, on workers with enable_session_worker. Names and values are those of the
--- Go SDK, whose workflows may be on the other side.
local activity = require "temporal.activity"
local core = require "temporal.core"
local temporal = require "temporal"

local creation_queue = "__internal_session_creation"
local heartbeat_interval_most = 10

local own -- the queue of the worker that runs what is in a session, in the worker that takes new ones

local function signal(info, id, queue, resource)
  local handle = activity.client():get_workflow_handle(info.workflow_id, { run_id = info.workflow_run_id })
  handle:signal(id, { Taskqueue = queue, HostName = core.host_name(), ResourceID = resource })
end

--- Holds the session until it is completed or cancelled: a worker that dies stops beating, and that is how the
--- workflow hears of it.
local function hold(id)
  local info = activity.info()
  local queue = own and info.task_queue:sub(-#creation_queue) == creation_queue and own or info.task_queue
  if not core.session_enter(id, queue) then
    error(temporal.failure { message = "too many outstanding sessions" })
  end
  signal(info, id, queue, queue:match "^(.-)@")
  local interval = math.min((info.heartbeat_timeout or 30) / 3, heartbeat_interval_most)
  while not core.session_wait(math.floor(interval * 1e9)) do
    if activity.is_cancelled() then
      activity.sleep(0) -- raises
    elseif activity.is_worker_shutdown() then
      error(temporal.failure {
        type = "SessionWorkerShutdown", message = "session failed due to worker shutdown", non_retryable = true,
      })
    end
    activity.heartbeat()
  end
end

return {
  setup = function(config) own = type(config) == "table" and config.temporal_session_queue or nil end,
  hold = activity.define("internalSessionCreationActivity", hold, { kind = "coroutine" }),
  complete = activity.define("internalSessionCompletionActivity", function(id) core.session_complete(id) end,
    { kind = "coroutine" }),
}
