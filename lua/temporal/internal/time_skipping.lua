--- Time skipping of single workflows: their configuration, what the server tells of it, and fast forwards. Each
--- such workflow has a clock of its own, which jumps while nothing of the workflow is under way.
local core = require "temporal.core"
local options = require "temporal.internal.options"

local time_skipping = {}

---@class temporal.FastForwardConfig
---@field id string what a poll for it names
---@field duration temporal.Duration skipping ends when so much time has passed for the workflow

--- The fields of temporal.FastForwardConfig.
local fast_forward_spec = {
  id = { kind = "string", required = true },
  duration = { kind = "duration", required = true },
}

---@class temporal.TimeSkippingConfig
---@field enabled? boolean default: true
---@field fast_forward_config? temporal.FastForwardConfig nil: without end
---@field disable_propagation? boolean children get the time, but do not skip
---@field max_session_skip_count? integer skipping ends after so many jumps; nil: the server's bound

--- The fields of temporal.TimeSkippingConfig.
local config_spec = {
  enabled = { kind = "boolean" },
  fast_forward_config = { kind = "table" },
  disable_propagation = { kind = "boolean" },
  max_session_skip_count = { kind = "integer" },
}

local function fast_forward_message(where, given, level)
  local ff = options.check(where .. ": fast_forward_config", fast_forward_spec, given, level + 1)
  if not ff.id:find "%S" then
    error(where .. ": fast_forward_config: option 'id' must not be blank", level + 1)
  elseif ff.duration <= 0 then
    error(where .. ": fast_forward_config: option 'duration' must be positive", level + 1)
  end
  return { id = ff.id, duration = options.duration_message(ff.duration) }
end

--- A TimeSkippingConfig message; `true` is one with nothing but defaults, nil and false none.
---@param where string
---@param given? boolean|temporal.TimeSkippingConfig
---@param level? integer as error's
---@return table?
function time_skipping.message(where, given, level)
  level = (level or 2) + 1
  if not given then
    return nil
  end
  where = where .. ": time_skipping"
  local c = options.check(where, config_spec, given ~= true and given or nil, level)
  local max = c.max_session_skip_count
  if max and (max < 0 or max > 0x7fffffff) then
    error(where .. ": option 'max_session_skip_count' must be 0 to 2147483647", level)
  elseif c.enabled == false and c.fast_forward_config then
    error(where .. ": fast_forward_config cannot be given when enabled is false", level)
  end
  return {
    enabled = c.enabled ~= false,
    disable_propagation = c.disable_propagation,
    max_session_skip_count = max,
    fast_forward_config = c.fast_forward_config and fast_forward_message(where, c.fast_forward_config, level) or nil,
  }
end

---@class temporal.FastForwardInfo
---@field fast_forward_id string
---@field fast_forward_duration number seconds
---@field target_time number seconds since the epoch
---@field has_completed boolean

---@class temporal.TimeSkippingInfo
---@field current_time number seconds since the epoch, by the workflow's clock
---@field effective_config? temporal.TimeSkippingConfig as it is now
---@field fast_forward_info? temporal.FastForwardInfo the newest one
---@field current_session_skip_count integer

local function config_of(message)
  local ff = message and message.fast_forward_config
  return message and {
    enabled = message.enabled,
    disable_propagation = message.disable_propagation,
    max_session_skip_count = message.max_session_skip_count,
    fast_forward_config = ff and { id = ff.id, duration = ff.duration } or nil,
  } or nil
end

--- What a description says; nil for a workflow that never skipped time.
---@param handle temporal.WorkflowHandle
---@return temporal.TimeSkippingInfo?
function time_skipping.info(handle)
  local extended = handle:describe().workflow_extended_info
  local message = extended and extended.time_skipping_info
  local ff = message and message.fast_forward_info
  return message and {
    current_time = message.current_time,
    effective_config = config_of(message.effective_config),
    fast_forward_info = ff and {
      fast_forward_id = ff.fast_forward_id,
      fast_forward_duration = ff.fast_forward_duration,
      target_time = ff.target_time,
      has_completed = ff.has_completed,
    } or nil,
    current_session_skip_count = message.current_session_skip_count,
  } or nil
end

--- Another configuration for a workflow that runs; message nil: none.
---@param handle temporal.WorkflowHandle
---@param message? table
---@param timeout_ns? integer
function time_skipping.change(handle, message, timeout_ns)
  handle.client:call("UpdateWorkflowExecutionOptions", {
    namespace = handle.client.namespace,
    workflow_execution = { workflow_id = handle.id, run_id = handle.run_id or "" },
    workflow_execution_options = { time_skipping_config = message },
    update_mask = { paths = { "time_skipping_config" } },
    identity = handle.client.identity,
  }, timeout_ns)
end

local long_poll_ns = 65 * 1000000000
-- Of FastForwardPollingResult; the other one is that the poll's time was over.
local completed, failed = 2, 3

--- Waits until the fast forward has ended: true when it got where it was to go.
local function await_fast_forward(handle, id)
  local request = {
    namespace = handle.client.namespace,
    workflow_execution = { workflow_id = handle.id, run_id = "" }, -- it goes on with the chain of runs
    fast_forward_id = id,
  }
  while true do
    local answer = handle.client:call("PollWorkflowExecutionTimeSkipping", request, long_poll_ns)
    local result = answer.fast_forward_polling_result
    if result == completed then
      return true
    elseif result == failed then
      if answer.failed_reason:find("fast_forward_id does not match", 1, true) then
        error(core.make_failure {
          type = "FastForwardReplacedError",
          message = ("the fast forward of workflow '%s' was replaced by another one"):format(handle.id),
        }, 0)
      end
      return false
    end
  end
end

local function await_close(handle)
  local token = ""
  repeat
    local answer = handle.client:call("GetWorkflowExecutionHistory", {
      namespace = handle.client.namespace,
      execution = { workflow_id = handle.id, run_id = handle.run_id or "" },
      wait_new_event = true,
      history_event_filter_type = "HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT",
      next_page_token = token,
    }, long_poll_ns)
    token = answer.next_page_token
  until answer.history and #answer.history.events > 0
end

---@class temporal.TimeSkipper
---@field client temporal.Client workflows that are started with it skip time
---@field config temporal.TimeSkippingConfig of workflows to come
---@field private stopped integer
local TimeSkipper = {}
TimeSkipper.__index = TimeSkipper
TimeSkipper.__name = "temporal.TimeSkipper"

--- What a start of its client that says nothing of time is given.
function TimeSkipper:stamp()
  return self.stopped == 0 and self.config or nil
end

--- Lets this much time pass for one workflow as fast as it can, and waits for it; without a duration, until the
--- run has ended.
---@param handle temporal.WorkflowHandle
---@param duration? temporal.Duration
---@return boolean # whether the time has passed; false: the workflow ended before
function TimeSkipper:fast_forward(handle, duration)
  local id = core.uuid()
  local message = time_skipping.message("fast_forward", {
    disable_propagation = self.config.disable_propagation,
    max_session_skip_count = self.config.max_session_skip_count,
    fast_forward_config = duration ~= nil and { id = id, duration = duration } or nil,
  })
  time_skipping.change(handle, message)
  if duration == nil then
    await_close(handle)
    return false
  end
  return await_fast_forward(handle, id)
end

--- What the server tells of a workflow's time; nil when it never skipped any.
---@param handle temporal.WorkflowHandle
---@return temporal.TimeSkippingInfo?
function TimeSkipper:get_time_skipping_info(handle) -- luacheck: ignore self
  return time_skipping.info(handle)
end

--- Seconds since the epoch by the workflow's clock.
---@param handle temporal.WorkflowHandle
---@return number
function TimeSkipper:get_current_time(handle) -- luacheck: ignore self
  local info = time_skipping.info(handle)
  return info and info.current_time or core.time_ns() / 1e9
end

--- Workflows that are started while this value lives (`local _ <close> = ...`) do not skip time.
---@return table
function TimeSkipper:with_time_skipping_disabled()
  self.stopped = self.stopped + 1
  return setmetatable({}, { __close = function() self.stopped = self.stopped - 1 end })
end

--- A skipper over a client, which stays as it is.
---@param where string
---@param client temporal.Client
---@param given? temporal.TimeSkippingConfig
---@return temporal.TimeSkipper
function time_skipping.skipper(where, client, given)
  time_skipping.message(where, given or {}, 3)
  local self = setmetatable({ config = given or {}, stopped = 0 }, TimeSkipper)
  self.client = setmetatable({ time_skipper = self }, { __index = client, __name = "temporal.Client" })
  return self
end

return time_skipping
