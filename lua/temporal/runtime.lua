--- Runtime: what a process tells of itself: metrics (SDK metrics and those of meters), health, log lines.
--- A client belongs to a runtime, and its workers with it.
local core = require "temporal.core"
local options = require "temporal.internal.options"

local runtime = {}

---@class temporal.Runtime
local Runtime = {}
Runtime.__index = Runtime
Runtime.__name = "temporal.Runtime"

---@class temporal.PrometheusConfig
---@field bind_address? string "127.0.0.1:9464"; port 0 takes any free one; nil: only runtime:metrics() shows them
---@field counters_total_suffix? boolean names of counters end in _total
---@field unit_suffix? boolean names of histograms end in their unit
---@field durations_as_seconds? boolean durations are seconds, not milliseconds
---@field histogram_bucket_overrides? table<string, number[]> upper bounds by a part of the name

---@class temporal.LoggingConfig
---@field filter? string|{ core_level?: string, other_level?: string } least level; other: lines of scripts
---@field format? string "text" or "json"

---@class temporal.TelemetryConfig
---@field metrics? temporal.PrometheusConfig nil: nothing is measured
---@field logging? temporal.LoggingConfig nil: as it was
---@field global_tags? table<string, string> labels of every metric
---@field attach_service_name? boolean label service_name; nil: true
---@field metric_prefix? string of the names of SDK metrics; nil: "temporal_"

---@class temporal.RuntimeOptions
---@field telemetry? temporal.TelemetryConfig
---@field health? { bind_address: string } a port of their own for /healthz and /readyz

local SERVICE_NAME = "temporal-lua"
local levels = { trace = true, debug = true, info = true, warn = true, error = true, never = true }

local table_kind, boolean, text = { kind = "table" }, { kind = "boolean" }, { kind = "string" }
--- The fields of temporal.RuntimeOptions.
local runtime_spec = { telemetry = table_kind, health = table_kind }
--- The fields of temporal.TelemetryConfig.
local telemetry_spec = {
  metrics = table_kind, logging = table_kind, global_tags = table_kind, attach_service_name = boolean,
  metric_prefix = text,
}
--- The fields of temporal.PrometheusConfig.
local metrics_spec = {
  bind_address = text, counters_total_suffix = boolean, unit_suffix = boolean, durations_as_seconds = boolean,
  histogram_bucket_overrides = table_kind,
}
local health_spec = { bind_address = { kind = "string", required = true } }
--- The fields of temporal.LoggingConfig.
local logging_spec = { filter = { kind = "any" }, format = text }
local filter_spec = { core_level = text, other_level = text }

--- What other SDKs take and this one does not says so, instead of being unknown.
local refused = {
  ["temporal.runtime"] = {
    worker_heartbeat_interval = "it is an option of each worker",
    disable_environment_info = "heartbeats tell host name and process id alone",
  },
  ["temporal.runtime: telemetry.metrics"] = {
    url = "metrics are for Prometheus; an OpenTelemetry collector reads bind_address with its prometheus receiver",
    buffer_size = "there is no buffer of updates; runtime:metrics() gives the values",
  },
  ["temporal.runtime: telemetry.logging"] = {
    forwarding = "log lines go to stderr; their reader is a log collector",
  },
}

local function check(where, spec, given, level)
  for name, reason in pairs(refused[where] or {}) do
    if given ~= nil and type(given) == "table" and given[name] ~= nil then
      error(("%s: option '%s' does not exist here: %s"):format(where, name, reason), level + 1)
    end
  end
  return options.check(where, spec, given, level + 1)
end

--- "host:port" or "[::1]:port" as a table.
local function address(where, given, level)
  local ip, port = given:match "^%[([%x:.]+)%]:(%d+)$"
  if not ip then
    ip, port = given:match "^([^:%s]+):(%d+)$"
  end
  port = math.tointeger(port)
  if not port or port > 65535 then
    error(("%s: '%s' is no address; it wants host:port, as in 127.0.0.1:9464"):format(where, given), level + 1)
  end
  return { ip = ip, port = port }
end

local function tags_of(given, attach, level)
  local where, tags = "temporal.runtime: telemetry.global_tags", {}
  for _, name in ipairs(options.sorted_keys(given or {})) do
    if type(name) ~= "string" or not name:find "^[%a_][%w_]*$" or type(given[name]) ~= "string" then
      error(("%s wants texts under names of letters, digits and '_', got %s = %s"):format(where, tostring(name),
        tostring(given[name])), level + 1)
    end
    tags[#tags + 1] = { name, given[name] }
  end
  if #tags > 32 then
    error(where .. ": at most 32", level + 1)
  end
  if attach ~= false then
    tags[#tags + 1] = { "service_name", SERVICE_NAME }
  end
  return tags
end

local function is_ascending(list)
  local before
  for _, bound in ipairs(list) do
    if type(bound) ~= "number" or bound ~= bound or math.abs(bound) > 1e15 or (before and bound <= before) then
      return false
    end
    before = bound
  end
  return #list > 0 and #list <= 24
end

local function bounds_of(given, level)
  local where, out = "temporal.runtime: telemetry.metrics.histogram_bucket_overrides", {}
  for _, name in ipairs(options.sorted_keys(given or {})) do
    local list = given[name]
    if type(name) ~= "string" or type(list) ~= "table" or not is_ascending(list) then
      error(("%s: '%s' wants a list of 1 to 24 ascending numbers"):format(where, tostring(name)), level + 1)
    end
    out[#out + 1] = { name, table.unpack(list) }
  end
  if #out > 64 then
    error(where .. ": at most 64", level + 1)
  end
  return out
end

local function level_word(where, word, level)
  word = type(word) == "string" and word:lower()
  if not levels[word] then
    error(("%s wants trace, debug, info, warn, error or never"):format(where), level + 1)
  end
  return word
end

--- Log lines of the process; the last runtime that says something of them counts.
local function set_logging(given, level)
  local where = "temporal.runtime: telemetry.logging"
  local o = check(where, logging_spec, given, level + 1)
  local filter = o.filter
  if type(filter) == "string" then
    filter = { core_level = filter, other_level = filter }
  elseif filter ~= nil then
    filter = options.check(where .. ".filter", filter_spec, filter, level + 1)
  end
  if o.format and o.format ~= "text" and o.format ~= "json" then
    error(where .. ".format wants text or json", level + 1)
  end
  for name, word in pairs(filter or {}) do
    filter[name] = level_word(where .. ".filter." .. name, word, level + 1)
  end
  return function()
    core.log_settings(filter and filter.core_level, filter and filter.other_level, o.format)
  end
end

--- Makes a runtime. Errors: what is wrong with the options, and a port that cannot be opened.
---@param given? temporal.RuntimeOptions
---@return temporal.Runtime
function runtime.new(given)
  local o = check("temporal.runtime", runtime_spec, given, 3)
  local t = check("temporal.runtime: telemetry", telemetry_spec, o.telemetry, 3)
  local m = t.metrics and check("temporal.runtime: telemetry.metrics", metrics_spec, t.metrics, 3)
  local h = o.health and options.check("temporal.runtime: health", health_spec, o.health, 3)
  local logging = t.logging and set_logging(t.logging, 2)
  local prefix = t.metric_prefix or "temporal_"
  if not prefix:find "^[%a_]?[%w_]*$" then
    error("temporal.runtime: telemetry.metric_prefix is made of letters, digits and '_'", 2)
  end
  local self = setmetatable({}, Runtime)
  self.handle = core.runtime_open {
    measured = m ~= nil, prefix = prefix,
    counters_total_suffix = m and m.counters_total_suffix, unit_suffix = m and m.unit_suffix,
    durations_as_seconds = m and m.durations_as_seconds,
    tags = tags_of(t.global_tags, t.attach_service_name, 2),
    bounds = bounds_of(m and m.histogram_bucket_overrides, 2),
    metrics = m and m.bind_address and address("temporal.runtime: telemetry.metrics.bind_address", m.bind_address, 2),
    health = h and address("temporal.runtime: health.bind_address", h.bind_address, 2),
  }
  self.metrics_port, self.health_port = core.runtime_ports(self.handle)
  if logging then
    logging()
  end
  return self
end

--- All metrics as /metrics serves them: text that Prometheus reads; empty where nothing is measured.
---@return string
function Runtime:metrics()
  return core.runtime_metrics(self.handle)
end

--- The meter of this runtime, without attributes of its own.
---@return temporal.MetricMeter
function Runtime:metric_meter()
  return core.runtime_meter(self.handle)
end

--- Closes the ports. Clients of the runtime go on.
function Runtime:close()
  core.runtime_close(self.handle)
end

Runtime.__close = Runtime.close

local default, prevented

--- The runtime of clients that name none; it measures nothing unless another was set.
---@return temporal.Runtime
function runtime.default()
  if not default then
    if prevented then
      error("temporal.runtime.default: there is none, and prevent_default was called", 2)
    end
    default = runtime.new {}
  end
  return default
end

--- Makes it the runtime of clients that name none. Clients that are there stay with theirs.
---@param value temporal.Runtime
---@param opts? { error_if_already_set?: boolean } nil: true
function runtime.set_default(value, opts)
  local o = options.check("temporal.runtime.set_default", { error_if_already_set = boolean }, opts)
  if getmetatable(value) ~= Runtime then
    error("temporal.runtime.set_default wants what temporal.runtime returned, got " .. type(value), 2)
  end
  if default and o.error_if_already_set ~= false then
    error("temporal.runtime.set_default: there is a default already; set it before the first client", 2)
  end
  default = value
end

--- From here on no default is made; one that was set is there.
function runtime.prevent_default()
  if default then
    error("temporal.runtime.prevent_default: there is a default already", 2)
  end
  prevented = true
end

--- The core's half of an option `runtime`.
---@param where string
---@param given temporal.Runtime?
function runtime.handle_of(where, given)
  if given ~= nil and getmetatable(given) ~= Runtime then
    error(("%s: option 'runtime' wants what temporal.runtime returned"):format(where), 3)
  end
  return (given or runtime.default()).handle
end

return setmetatable(runtime, { __call = function(_, given) return runtime.new(given) end })
