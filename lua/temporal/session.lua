--- Sessions in workflows: activities that run on the same worker. Part of every bundle that uses them; workflows reach
--- it as workflow.create_session and its kin. Names of activities, queues and fields are those of the Go SDK, whose
--- workers and workflows can stand on the other side.
local temporal = require "temporal"
local workflow = require "temporal.workflow"

local M = {}

local creation_activity, completion_activity = "internalSessionCreationActivity", "internalSessionCompletionActivity"
local creation_queue = "__internal_session_creation"

---@class temporal.Session
---@field id string
---@field state "open"|"failed"|"completed"
---@field host_name string of the worker that has the session
---@field resource_id string of the worker
---@field task_queue string of that worker alone
local Session = { __name = "temporal.Session" }
Session.__index = Session

local options = {
  create_session = { creation_timeout = true, execution_timeout = true, heartbeat_timeout = false, task_queue = false },
  recreate_session = { creation_timeout = true, execution_timeout = true, heartbeat_timeout = false },
}

local function check(name, given)
  local where, known = "workflow." .. name, options[name]
  if type(given) ~= "table" then
    error(("%s: options must be a table, got %s"):format(where, type(given)), 4)
  end
  for key in pairs(given) do
    if known[key] == nil then
      error(("%s: unknown option '%s' (known: creation_timeout, execution_timeout, heartbeat_timeout%s)"):format(
        where, tostring(key), known.task_queue == nil and "" or ", task_queue"), 4)
    end
  end
  for key, required in pairs(known) do
    if required and given[key] == nil then
      error(("%s: option '%s' is required"):format(where, key), 4)
    end
  end
  if given.task_queue ~= nil and (type(given.task_queue) ~= "string" or given.task_queue == "") then
    error(where .. ": task_queue must be the name of a task queue", 4)
  end
  return given
end

local function failed(self, cause)
  local message = "session '%s' has failed: its worker on %s is gone, or its execution_timeout is over; make a new one"
  return temporal.failure {
    type = "SessionFailedError", cause = cause, message = message:format(self.id, self.host_name),
  }
end

local function cancel_all(self)
  for _, handle in ipairs(self.handles) do
    if not handle:done() then
      handle:cancel()
    end
  end
  self.handles = {}
end

--- The session's activity on its worker ends when the session does, or when the worker is gone.
local function watch(self)
  local ok = pcall(self.creation.result, self.creation)
  if not ok and self.state == "open" and not self.completing then
    self.state = "failed"
    cancel_all(self)
  end
end

local function create(queue, o)
  local id = workflow.side_effect(workflow.uuid4)
  local answer
  workflow.set_signal_handler(id, function(sent) answer = sent end)
  local creation = workflow.start_activity(creation_activity, {
    task_queue = queue,
    schedule_to_start_timeout = o.creation_timeout,
    start_to_close_timeout = o.execution_timeout,
    heartbeat_timeout = o.heartbeat_timeout or 20,
    cancellation_type = "try_cancel",
    -- Tried again while workers are full; not once a worker has had it.
    retry_policy = {
      initial_interval = 1, backoff_coefficient = 1.1, maximum_interval = 10,
      non_retryable_error_types = { "TemporalTimeout:StartToClose", "TemporalTimeout:Heartbeat" },
    },
  }, id)
  local ok, err = pcall(workflow.wait_condition, function() return answer ~= nil or creation:done() end)
  workflow.set_signal_handler(id, nil)
  if not ok then
    creation:cancel()
    error(err, 0)
  elseif answer == nil then
    creation:result()
    error(temporal.failure {
      type = "SessionFailedError", message = ("session '%s' ended before its worker said where it is"):format(id),
    }, 0)
  end
  local self = setmetatable({
    id = id, state = "open", creation = creation, handles = {},
    host_name = answer.HostName, resource_id = answer.ResourceID, task_queue = answer.Taskqueue,
  }, Session)
  workflow.spawn(watch, self)
  return self
end

--- workflow.create_session(options): waits until a worker of the task queue has taken the session.
function M.create_session(given)
  local o = check("create_session", given)
  return create((o.task_queue or workflow.info().task_queue) .. creation_queue, o)
end

--- workflow.recreate_session(token, options): on the worker of an earlier session, as its recreate_token names it.
function M.recreate_session(token, given)
  local o = check("recreate_session", given)
  local ok, params = pcall(temporal.json.decode, token)
  if not ok or type(params) ~= "table" or type(params.Taskqueue) ~= "string" then
    error("workflow.recreate_session: the token must be what session:recreate_token gave, got a "
      .. (type(token) == "string" and ("text: '%s'"):format(token:sub(1, 60)) or type(token)), 3)
  end
  return create(params.Taskqueue, o)
end

local function session_of(where, self)
  if getmetatable(self) ~= Session then
    error(("%s wants a session, got %s"):format(where, type(self)), 3)
  end
  return self
end

--- What names the session's worker: for workflow.recreate_session, in this run or after continue_as_new.
---@return string
function Session:recreate_token()
  return temporal.json.encode { Taskqueue = session_of("session:recreate_token", self).task_queue }
end

--- The facts of the session, as plain values.
---@return { session_id: string, host_name: string, state: string }
function Session:info()
  session_of("session:info", self)
  return { session_id = self.id, host_name = self.host_name, state = self.state }
end

local function start(self, where, activity, given, ...)
  session_of(where, self)
  if self.state == "failed" then
    error(failed(self), 0)
  elseif self.state ~= "open" or self.completing then
    error(("%s: session '%s' is completed; use workflow.start_activity, or make a new session"):format(
      where, self.id), 3)
  end
  local o = {}
  for key, value in pairs(given or {}) do
    if key == "task_queue" then
      error(where .. ": 'task_queue' is the session's own", 3)
    end
    o[key] = value
  end
  o.task_queue = self.task_queue
  local open = {}
  for _, handle in ipairs(self.handles) do
    open[#open + 1] = not handle:done() and handle or nil
  end
  local handle = workflow.start_activity(activity, o, ...)
  open[#open + 1] = handle
  self.handles = open
  return handle
end

--- As workflow.start_activity, on the session's worker. It is cancelled when the session ends before it.
function Session:start_activity(activity, given, ...)
  return start(self, "session:start_activity", activity, given, ...)
end

--- As workflow.execute_activity, on the session's worker; a SessionFailedError once that is gone.
function Session:execute_activity(activity, given, ...)
  local handle = start(self, "session:execute_activity", activity, given, ...)
  local results = table.pack(pcall(handle.result, handle))
  if results[1] then
    return table.unpack(results, 2, results.n)
  end
  error(self.state == "failed" and failed(self, results[2]) or results[2], 0)
end

--- Ends the session: what runs in it is cancelled and its worker has room for another one. Waits until the worker has
--- heard of it, for 3 seconds at most, also when the workflow is being cancelled. Does nothing the second time.
function Session:complete()
  session_of("session:complete", self)
  if self.state ~= "open" or self.completing then
    return
  end
  self.completing = true
  self.creation:cancel()
  cancel_all(self)
  local ok, err = pcall(workflow.shield, workflow.execute_activity, completion_activity, {
    task_queue = self.task_queue, schedule_to_start_timeout = 3, start_to_close_timeout = 3,
  }, self.id)
  self.state = "completed"
  if not ok then
    workflow.log.warn("the session's worker was not told of its end", { session_id = self.id, error = tostring(err) })
  end
end

Session.__close = Session.complete

--- workflow.complete_session(session)
function M.complete_session(session)
  session_of("workflow.complete_session", session):complete()
end

return M
