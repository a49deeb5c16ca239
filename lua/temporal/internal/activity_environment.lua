--- Activities called by a spec without server and worker: the calls of temporal.activity are answered by the
--- environment.
local activity_core = require "temporal.internal.activity_core"
local options = require "temporal.internal.options"

local activity_environment = {}

---@class temporal.ActivityEnvironment
---@field info table what activity.info() gives; default_info() makes a fresh one
---@field on_heartbeat? fun(...) called with the details of each heartbeat
---@field on_wait? fun(seconds: number?) called in place of waiting; nil: for ever
---@field waited number seconds that sleeps and waits would have taken
---@field logged { level: string, message: string, fields?: table }[] what activity.log wrote
---@field completed_async boolean the activity said that somebody else completes it
local Environment = {}
Environment.__index = Environment
Environment.__name = "temporal.ActivityEnvironment"

local reasons = activity_core.reasons

local spec = {
  info = { kind = "table" },
  on_heartbeat = { kind = "function" },
  on_wait = { kind = "function" },
  client = { kind = "table" },
}

local cancel_spec = {}
for name in pairs(reasons) do
  cancel_spec[name] = { kind = "boolean" }
end

--- The facts of an activity that nobody scheduled, as other SDKs' environments have them.
---@return table
function activity_environment.default_info()
  return {
    activity_id = "test", activity_type = "unknown", attempt = 1, workflow_id = "test", workflow_run_id = "test-run",
    workflow_type = "test", workflow_namespace = "default", namespace = "default", task_queue = "test",
    task_token = "test", is_local = false, in_workflow = true, headers = {}, heartbeat_details = { n = 0 },
    scheduled_time = 0, current_attempt_scheduled_time = 0, started_time = 0,
    schedule_to_close_timeout = 1, start_to_close_timeout = 1,
  }
end

--- What only some activities have.
local optional_facts = { retry_policy = true, priority = true, heartbeat_timeout = true, activity_run_id = true }

--- An environment. Options: `info` (fields that differ from default_info), `on_heartbeat`, `on_wait`, `client` (what
--- activity.client() gives).
---@param given? { info?: table, on_heartbeat?: fun(...), on_wait?: fun(seconds: number?), client?: temporal.Client }
---@return temporal.ActivityEnvironment
function activity_environment.new(given)
  local o = options.check("testing.activity_environment", spec, given)
  local info = activity_environment.default_info()
  for name, value in pairs(o.info or {}) do
    if info[name] == nil and not optional_facts[name] then
      error(("testing.activity_environment: activity.info() has no '%s'"):format(tostring(name)), 2)
    end
    info[name] = value
  end
  return setmetatable({
    info = info, on_heartbeat = o.on_heartbeat, on_wait = o.on_wait, client = o.client, waited = 0,
    completed_async = false, logged = {}, reasons = 0, shields = 0, shutting_down = false,
  }, Environment)
end

--- Cancels what runs in the environment, and what it will run. Only the first call counts.
---@param details? table<string, boolean> what activity.cancellation_details() tells; default: cancel_requested
function Environment:cancel(details)
  if self.reasons ~= 0 then
    return
  end
  local o = options.check("ActivityEnvironment:cancel", cancel_spec, details or { cancel_requested = true })
  local set = 0
  for name, on in pairs(o) do
    set = set | (on and reasons[name] or 0)
  end
  if set == 0 then
    error("ActivityEnvironment:cancel: the details give no reason", 2)
  end
  self.reasons = set
end

--- Tells the activity that its worker shuts down.
function Environment:worker_shutdown()
  self.shutting_down = true
end

--- Nothing is waited for: the time is counted, and on_wait may cancel.
local function wait(self, ns, over)
  if over() then
    return
  end
  self.waited = self.waited + (ns or 0) / 1e9
  if self.on_wait then
    self.on_wait(ns and ns / 1e9)
  end
  if ns == nil and not over() then
    error("activity environment: the activity waits for ever; cancel the environment before, or in on_wait", 0)
  end
end

local function functions_of(self)
  return {
    activity_info = function() return self.info end,
    activity_heartbeat = function(...)
      if self.on_heartbeat then
        self.on_heartbeat(...)
      end
      return self.reasons
    end,
    activity_heartbeat_details = function()
      local details = self.info.heartbeat_details or {}
      return table.unpack(details, 1, details.n or #details)
    end,
    activity_cancel_reasons = function() return self.reasons end,
    activity_wait_cancelled = function(ns)
      wait(self, ns, function() return self.reasons ~= 0 end)
      return self.reasons
    end,
    activity_wait_shutdown = function(ns)
      if ns ~= 0 then
        wait(self, ns, function() return self.shutting_down end)
      end
      return self.shutting_down
    end,
    activity_sleep = function(ns) wait(self, ns, function() return false end) end,
    activity_shield = function(change)
      self.shields = self.shields + change
      return self.shields
    end,
    played_client = self.client,
    activity_client = function()
      error("activity environment: give it a client to use activity.client()", 0)
    end,
    activity_complete_async = function() self.completed_async = true end,
    activity_log = function(level, message, fields)
      self.logged[#self.logged + 1] = { level = level, message = message, fields = fields }
    end,
  }
end

--- Calls a function, or a definition, as an activity; returns what it returns and raises what it raises.
---@param fn function|temporal.ActivityDefinition
---@param ... any
---@return any ...
function Environment:run(fn, ...)
  local meta = getmetatable(fn)
  if type(fn) ~= "function" and not (type(meta) == "table" and meta.__call) then
    error("ActivityEnvironment:run wants a function or an activity's definition, got " .. type(fn), 2)
  end
  self.functions = self.functions or functions_of(self)
  return activity_core.play(self.functions, fn, ...)
end

return activity_environment
