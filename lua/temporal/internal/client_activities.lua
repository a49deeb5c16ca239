--- Activities without a workflow in the client: start, result, description, cancellation, lists, and what operators
--- change.
local core = require "temporal.core"
local data_of = require "temporal.internal.data_of"
local interceptors = require "temporal.internal.interceptors"
local listing = require "temporal.internal.listing"
local options = require "temporal.internal.options"
local search_attributes = require "temporal.internal.search_attributes"
local start_options = require "temporal.internal.start_options"

local client_activities = {}

local duration, string_kind, boolean = { kind = "duration" }, { kind = "string" }, { kind = "boolean" }
local table_kind, any = { kind = "table" }, { kind = "any" }

local reuse_policy = {
  kind = "enum",
  prefix = "ACTIVITY_ID_REUSE_POLICY_",
  values = { "allow_duplicate", "allow_duplicate_failed_only", "reject_duplicate" },
}
local conflict_policy = {
  kind = "enum",
  prefix = "ACTIVITY_ID_CONFLICT_POLICY_",
  values = { "fail", "use_existing" },
}

--- The fields of temporal.StartActivityOptions.
local start_spec = {
  id = string_kind,
  task_queue = { kind = "string", required = true },
  schedule_to_close_timeout = duration,
  schedule_to_start_timeout = duration,
  start_to_close_timeout = duration,
  heartbeat_timeout = duration,
  id_reuse_policy = reuse_policy,
  id_conflict_policy = conflict_policy,
  retry_policy = table_kind,
  search_attributes = table_kind,
  summary = string_kind,
  details = string_kind,
  priority = table_kind,
  start_delay = duration,
  request_id = string_kind,
  headers = table_kind,
  rpc_timeout = duration,
}

local second_ns = 1000000000
local long_poll_ns = 65 * second_ns

---@class temporal.StartActivityOptions
---@field id? string
---@field task_queue string
---@field schedule_to_close_timeout? temporal.Duration
---@field schedule_to_start_timeout? temporal.Duration
---@field start_to_close_timeout? temporal.Duration
---@field heartbeat_timeout? temporal.Duration
---@field id_reuse_policy? "allow_duplicate"|"allow_duplicate_failed_only"|"reject_duplicate"
---@field id_conflict_policy? "fail"|"use_existing"
---@field retry_policy? table
---@field search_attributes? table<string, any>
---@field summary? string
---@field details? string
---@field priority? table
---@field start_delay? temporal.Duration
---@field request_id? string
---@field headers? table<string, any>
---@field rpc_timeout? temporal.Duration

---@class temporal.DescribeActivityOptions
---@field include_input? boolean
---@field include_outcome? boolean
---@field include_heartbeat_details? boolean
---@field include_last_failure? boolean
---@field rpc_timeout? temporal.Duration

---@class temporal.ResetActivityOptions
---@field reset_heartbeat? boolean
---@field keep_paused? boolean
---@field restore_original_options? boolean
---@field jitter? temporal.Duration
---@field rpc_timeout? temporal.Duration

---@class temporal.UpdateActivityOptions
---@field task_queue? string
---@field schedule_to_close_timeout? temporal.Duration|temporal.Null
---@field schedule_to_start_timeout? temporal.Duration|temporal.Null
---@field start_to_close_timeout? temporal.Duration|temporal.Null
---@field heartbeat_timeout? temporal.Duration|temporal.Null
---@field start_delay? temporal.Duration|temporal.Null
---@field retry_policy? table|temporal.Null
---@field priority? table|temporal.Null
---@field rpc_timeout? temporal.Duration

---@class temporal.ActivityHandle
---@field id string
---@field run_id? string nil: whatever run is current
local Handle = {}
Handle.__index = Handle
Handle.__name = "temporal.ActivityHandle"

local function new_handle(client, id, run_id, data)
  return setmetatable({
    client = client, id = id, run_id = run_id, data = data or data_of.activity(client, { activity_id = id }),
  }, Handle)
end

local function type_name(activity, level)
  if type(activity) == "table" and type(activity.name) == "string" then
    return activity.name
  elseif type(activity) == "string" then
    return activity
  end
  error("the activity must be a type name or a definition, got " .. type(activity), level + 1)
end

--- What every request about one execution says, after the hooks.
local function about(client, input, fields)
  fields.namespace, fields.identity = client.namespace, client.identity
  fields.activity_id, fields.run_id = input.activity_id, input.activity_run_id or ""
  return fields
end

local function check_reason(where, reason)
  if reason ~= nil and type(reason) ~= "string" then
    error(("%s: the reason must be a string, got %s"):format(where, type(reason)), 3)
  end
end

--- Calls the hooks of this name around a request about the handle's execution.
local function intercepted(self, hook, input, last)
  input.activity_id, input.activity_run_id = self.id, self.run_id
  return interceptors.call(self.client.hooks, hook, input, function(i) return last(self.client, i) end)
end

--- The same for a request with options, which hooks see as they were given: last(client, input, checked options).
local function with_options(self, hook, where, spec, opts, last)
  options.check(where, spec, opts, 3)
  local input = options.copy(opts)
  return intercepted(self, hook, input, function(client, i)
    return last(client, i, options.check(where, spec, interceptors.options(i, "activity_id", "activity_run_id"), 0))
  end)
end

--- The description or list entry with its type as text and its search attributes as values.
local function readable(info)
  info.activity_type = info.activity_type and info.activity_type.name
  info.search_attributes = search_attributes.values(info.search_attributes)
  return info
end

--- The conversions of the activity that a description is of.
local function of_info(client, info)
  return data_of.activity(client, {
    activity_id = info.activity_id, activity_type = info.activity_type,
    activity_task_queue = info.task_queue,
  })
end

local function failure_of(data, outcome)
  return core.make_failure {
    kind = "ActivityFailureError",
    type = "ActivityFailureError",
    message = "activity failed",
    cause = data:decode_failure(outcome.failure),
  }
end

--- Waits for the end and returns what the activity returned; raises ActivityFailureError with the cause otherwise.
--- Options: `timeout`.
---@param opts? { timeout?: temporal.Duration }
---@return any ...
function Handle:result(opts)
  local o = options.check("ActivityHandle:result", { timeout = duration }, opts)
  local deadline = o.timeout and core.mono_ns() + o.timeout
  local env, data = self.client.testing, self.data
  local _ <close> = env and env:unlock_while_waiting()
  while true do
    local wait = deadline and deadline - core.mono_ns() or long_poll_ns
    if wait <= 0 then
      error(core.make_failure {
        kind = "TimeoutError", type = "TimeoutError", message = "the activity has not ended within the timeout",
      }, 2)
    end
    local response = self.client:call("PollActivityExecution", {
      namespace = self.client.namespace, activity_id = self.id, run_id = self.run_id or "",
    }, math.min(wait, long_poll_ns))
    local outcome = response.outcome
    if outcome and outcome.failure then
      error(failure_of(data, outcome), 2)
    elseif outcome then
      return data:decode(outcome.result or "")
    end
  end
end

--- The fields of temporal.DescribeActivityOptions.
local describe_spec = {
  include_input = boolean, include_outcome = boolean, include_heartbeat_details = boolean,
  include_last_failure = boolean, rpc_timeout = duration,
}

--- What the server knows of the execution: the fields of ActivityExecutionInfo (enums as words, times and durations as
--- seconds, `activity_type` as text, `search_attributes` as values), `callbacks`, and as asked for: `input` and
--- `heartbeat_details` (lists with n), `last_failure` (an error), `outcome` ({ result = list } or { failure = error,
--- retry_state = word }, once it has ended).
---@param opts? temporal.DescribeActivityOptions
---@return table
function Handle:describe(opts)
  local where = "ActivityHandle:describe"
  return with_options(self, "describe_activity", where, describe_spec, opts, function(client, i, o)
    local request = about(client, i, {
      include_input = o.include_input, include_outcome = o.include_outcome,
      include_heartbeat_details = o.include_heartbeat_details, include_last_failure = o.include_last_failure,
    })
    request.identity = nil
    local response = client:call("DescribeActivityExecution", request, o.rpc_timeout, true)
    local info, outcome, data = readable(response.info), response.outcome, of_info(client, response.info)
    info.callbacks = response.callbacks
    info.input = response.input and table.pack(data:decode(response.input))
    info.heartbeat_details = info.heartbeat_details and table.pack(data:decode(info.heartbeat_details))
    info.last_failure = info.last_failure and data:decode_failure(info.last_failure)
    info.outcome = outcome and (outcome.failure and {
      failure = data:decode_failure(outcome.failure), retry_state = outcome.retry_state,
    } or { result = table.pack(data:decode(outcome.result or "")) })
    return info
  end)
end

--- Asks for the end of the activity: one that no worker has ends at once, the others hear of it when they heartbeat.
---@param reason? string
function Handle:cancel(reason)
  check_reason("ActivityHandle:cancel", reason)
  intercepted(self, "cancel_activity", { reason = reason }, function(client, i)
    client:call("RequestCancelActivityExecution", about(client, i, { request_id = core.uuid(), reason = i.reason }))
  end)
end

--- Ends the activity at once; its worker's answer counts no more.
---@param reason? string
function Handle:terminate(reason)
  check_reason("ActivityHandle:terminate", reason)
  intercepted(self, "terminate_activity", { reason = reason }, function(client, i)
    client:call("TerminateActivityExecution", about(client, i, { request_id = core.uuid(), reason = i.reason }))
  end)
end

--- Deletes the execution; one that has not ended is terminated first.
function Handle:delete()
  self.client:call("DeleteActivityExecution", {
    namespace = self.client.namespace, activity_id = self.id, run_id = self.run_id or "",
  })
end

--- No attempt begins until it is unpaused; one that runs hears of it when it heartbeats.
---@param reason? string
function Handle:pause(reason)
  check_reason("ActivityHandle:pause", reason)
  intercepted(self, "pause_activity", { reason = reason }, function(client, i)
    client:call("PauseActivityExecution", about(client, i, { request_id = core.uuid(), reason = i.reason }))
  end)
end

local unpause_spec = { reason = string_kind, jitter = duration, rpc_timeout = duration }

--- Lets a paused activity go on. Options: `reason`, `jitter` (at a random time within it), `rpc_timeout`.
---@param opts? { reason?: string, jitter?: temporal.Duration, rpc_timeout?: temporal.Duration }
function Handle:unpause(opts)
  with_options(self, "unpause_activity", "ActivityHandle:unpause", unpause_spec, opts, function(client, i, o)
    client:call("UnpauseActivityExecution", about(client, i, {
      request_id = core.uuid(), reason = o.reason, jitter = options.duration_message(o.jitter),
    }), o.rpc_timeout)
  end)
end

--- The fields of temporal.ResetActivityOptions.
local reset_spec = {
  reset_heartbeat = boolean, keep_paused = boolean, restore_original_options = boolean, jitter = duration,
  rpc_timeout = duration,
}

--- Attempts count from 1 again; one that runs ends first. Options: `reset_heartbeat` (its details are forgotten),
--- `keep_paused`, `restore_original_options`, `jitter`, `rpc_timeout`.
---@param opts? temporal.ResetActivityOptions
function Handle:reset(opts)
  with_options(self, "reset_activity", "ActivityHandle:reset", reset_spec, opts, function(client, i, o)
    client:call("ResetActivityExecution", about(client, i, {
      request_id = core.uuid(), reset_heartbeat = o.reset_heartbeat, keep_paused = o.keep_paused,
      restore_original_options = o.restore_original_options, jitter = options.duration_message(o.jitter),
    }), o.rpc_timeout)
  end)
end

--- Options that can change, and what a message has of them. temporal.null takes one away.
local durations = {
  "schedule_to_close_timeout", "schedule_to_start_timeout", "start_to_close_timeout", "heartbeat_timeout",
  "start_delay",
}
local update_spec = { task_queue = any, retry_policy = any, priority = any, rpc_timeout = duration }
for _, name in ipairs(durations) do
  update_spec[name] = any
end

local function update_message(where, o)
  local message, paths = {}, {}
  local function given(name)
    if o[name] ~= nil then
      paths[#paths + 1] = name
      return o[name] ~= core.null and o[name] or nil
    end
  end
  local queue = given "task_queue"
  if o.task_queue ~= nil then
    if type(queue) ~= "string" then
      error(where .. ": option 'task_queue' wants a string, got " .. tostring(queue), 3)
    end
    message.task_queue, paths[1] = { name = queue }, "task_queue.name"
  end
  for _, name in ipairs(durations) do
    local value = given(name)
    if value then
      local checked = options.check(where, { [name] = duration }, { [name] = value }, 4)
      message[name] = options.duration_message(checked[name])
    end
  end
  message.retry_policy = start_options.retry_policy(where, given "retry_policy")
  message.priority = start_options.priority(where, given "priority")
  if #paths == 0 then
    error(where .. ": names no option; restore_original_options takes all changes back", 3)
  end
  return message, paths
end

--- Changes the options that are named, for attempts to come; temporal.null takes one away. Returns all as they are now,
--- as ActivityOptions. An option is one of `task_queue`, the four timeouts, `start_delay`, `retry_policy`, `priority`.
---@param changes temporal.UpdateActivityOptions
---@return table
function Handle:update_options(changes)
  local o = options.check("ActivityHandle:update_options", update_spec, changes)
  local message, paths = update_message("ActivityHandle:update_options", o)
  return intercepted(self, "update_activity_options", { updates = message, paths = paths },
    function(client, i)
      return client:call("UpdateActivityExecutionOptions", about(client, i, {
        request_id = core.uuid(), activity_options = i.updates, update_mask = { paths = i.paths },
      }), o.rpc_timeout, true).activity_options
    end)
end

--- Takes all changes of its options back. Returns them, as ActivityOptions.
---@return table
function Handle:restore_original_options()
  return intercepted(self, "update_activity_options", { restore_original = true }, function(client, i)
    return client:call("UpdateActivityExecutionOptions", about(client, i, {
      request_id = core.uuid(), restore_original = i.restore_original,
    }), nil, true).activity_options
  end)
end

local function start_now(client, name, o, ...)
  local where, id = "start_activity", o.id or core.uuid()
  local data = data_of.activity(client, { activity_id = id, activity_type = name, activity_task_queue = o.task_queue })
  local request = {
    namespace = client.namespace,
    identity = client.identity,
    request_id = o.request_id or core.uuid(),
    activity_id = id,
    activity_type = { name = name },
    task_queue = { name = o.task_queue },
    input = data:encode(...),
    schedule_to_close_timeout = options.duration_message(o.schedule_to_close_timeout),
    schedule_to_start_timeout = options.duration_message(o.schedule_to_start_timeout),
    start_to_close_timeout = options.duration_message(o.start_to_close_timeout),
    heartbeat_timeout = options.duration_message(o.heartbeat_timeout),
    start_delay = options.duration_message(o.start_delay),
    id_reuse_policy = options.enum_name(reuse_policy, o.id_reuse_policy),
    id_conflict_policy = options.enum_name(conflict_policy, o.id_conflict_policy),
    retry_policy = start_options.retry_policy(where, o.retry_policy),
    priority = start_options.priority(where, o.priority),
    search_attributes = search_attributes.message(where, o.search_attributes),
    user_metadata = start_options.user_metadata(data, o.summary, o.details),
    header = interceptors.header(client, o.headers),
  }
  local response = client:call("StartActivityExecution", request, o.rpc_timeout)
  return new_handle(client, id, response.run_id, data)
end

local activities = {
  name = "list_activities", rpc = "ListActivityExecutions", items = "executions", read = readable,
}

---@param Client table
function client_activities.install(Client)
  --- Starts an activity without a workflow and returns a handle to it.
  --- Options: `id` (default: a random one), `task_queue` (required), `start_to_close_timeout` or
  --- `schedule_to_close_timeout` (one is required), `schedule_to_start_timeout`, `heartbeat_timeout`, `retry_policy`,
  --- `id_reuse_policy`, `id_conflict_policy`, `start_delay`, `priority`, `search_attributes`, `summary`, `details`.
  ---@param activity string|table type name or definition
  ---@param opts temporal.StartActivityOptions
  ---@param ... any arguments of the activity
  ---@return temporal.ActivityHandle
  function Client:start_activity(activity, opts, ...)
    local name = type_name(activity, 2)
    local o = options.check("start_activity", start_spec, opts)
    if not (self.hooks and self.hooks.start_activity) then
      return start_now(self, name, o, ...)
    end
    local input = interceptors.input(opts, "activity_type", name, ...)
    input.id = input.id or core.uuid()
    return interceptors.call(self.hooks, "start_activity", input, function(changed)
      local again =
        options.check("start_activity", start_spec, interceptors.options(changed, "activity_type"), 0)
      return start_now(self, type_name(changed.activity_type, 0), again, interceptors.args(changed))
    end)
  end

  --- Starts an activity without a workflow and waits for its result.
  ---@param activity string|table type name or definition
  ---@param opts temporal.StartActivityOptions
  ---@return any ... what the activity returned
  function Client:execute_activity(activity, opts, ...)
    return self:start_activity(activity, opts, ...):result()
  end

  --- A handle to an activity without a workflow that was started before; nothing is asked of the server yet.
  ---@param id string
  ---@param run_id? string nil: whatever run is current
  ---@return temporal.ActivityHandle
  function Client:get_activity_handle(id, run_id)
    if type(id) ~= "string" or id == "" then
      error("get_activity_handle: the id must be a string that is not empty", 2)
    elseif run_id ~= nil and type(run_id) ~= "string" then
      error("get_activity_handle: the run id must be a string, got " .. type(run_id), 2)
    end
    return new_handle(self, id, run_id ~= "" and run_id or nil)
  end

  --- Iterates over activities without a workflow: `for info in client:list_activities("ExecutionStatus = 'Running'")`.
  --- Filters know ActivityId, ActivityType, RunId, ExecutionStatus, TaskQueue, StartTime, ExecutionTime, CloseTime,
  --- ExecutionDuration, StateTransitionCount and the namespace's attributes. Options as for list_workflows.
  ---@param query? string list filter
  ---@param opts? temporal.ListOptions
  ---@return fun(): table?
  function Client:list_activities(query, opts)
    return listing.list(self, activities, query, opts)
  end

  --- How many activities without a workflow match the filter; with `GROUP BY ExecutionStatus` in it, the groups too.
  ---@param query? string
  ---@return integer
  ---@return { count: integer, values: any[] }[]? groups
  function Client:count_activities(query)
    return listing.count(self, "count_activities", "CountActivityExecutions", query)
  end
end

return client_activities
