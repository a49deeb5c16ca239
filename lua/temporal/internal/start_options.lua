--- Options that starts of workflows and of activities share, as messages.
local options = require "temporal.internal.options"

local start_options = {}

local duration, string_kind = { kind = "duration" }, { kind = "string" }

local priority_spec = {
  priority_key = { kind = "integer" },
  fairness_key = string_kind,
  fairness_weight = { kind = "number" },
}

local retry_spec = {
  initial_interval = duration,
  backoff_coefficient = { kind = "number" },
  maximum_interval = duration,
  maximum_attempts = { kind = "integer" },
  non_retryable_error_types = { kind = "table" },
}

---@param where string
---@param given? table
---@return table? message
function start_options.retry_policy(where, given)
  if not given then
    return nil
  end
  local p = options.check(where .. ": retry_policy", retry_spec, given, 4)
  return {
    initial_interval = options.duration_message(p.initial_interval),
    backoff_coefficient = p.backoff_coefficient,
    maximum_interval = options.duration_message(p.maximum_interval),
    maximum_attempts = p.maximum_attempts,
    non_retryable_error_types = p.non_retryable_error_types,
  }
end

---@param where string
---@param given? table
---@return table? message
function start_options.priority(where, given)
  return given and options.check(where .. ": priority", priority_spec, given, 4)
end

--- The summary and details for people.
---@param data table converts values
---@param summary? string
---@param details? string
---@return table? message
function start_options.user_metadata(data, summary, details)
  if summary or details then
    return {
      summary = summary and data:encode_one(summary) or nil,
      details = details and data:encode_one(details) or nil,
    }
  end
end

return start_options
