---@meta temporal.metrics
-- Meters, in host scripts, workflows and activities. See docs/lua.md.

---@alias temporal.MetricAttributes table<string, string|number|boolean>

---@class temporal.MetricMeter: userdata
local meter = {}

---@param name string
---@param description? string
---@param unit? string
---@return temporal.MetricCounter
function meter:create_counter(name, description, unit) end

---@param name string
---@param description? string
---@param unit? string
---@return temporal.MetricGauge
function meter:create_gauge(name, description, unit) end

---@param name string
---@param description? string
---@param unit? string
---@return temporal.MetricGauge
function meter:create_gauge_float(name, description, unit) end

---@param name string
---@param description? string
---@param unit? string
---@return temporal.MetricHistogram
function meter:create_histogram(name, description, unit) end

---@param name string
---@param description? string
---@param unit? string
---@return temporal.MetricHistogram
function meter:create_histogram_float(name, description, unit) end

--- Its values are durations.
---@param name string
---@param description? string
---@param unit? string
---@return temporal.MetricHistogram
function meter:create_histogram_timedelta(name, description, unit) end

---@param attributes temporal.MetricAttributes
---@return temporal.MetricMeter
function meter:with_additional_attributes(attributes) end

---@class temporal.Metric: userdata
---@field name string
---@field description? string
---@field unit? string

---@class temporal.MetricCounter: temporal.Metric
local counter = {}

---@param value integer from 0 up
---@param attributes? temporal.MetricAttributes
function counter:add(value, attributes) end

---@param attributes temporal.MetricAttributes
---@return temporal.MetricCounter
function counter:with_additional_attributes(attributes) end

---@class temporal.MetricGauge: temporal.Metric
local gauge = {}

---@param value number
---@param attributes? temporal.MetricAttributes
function gauge:set(value, attributes) end

---@param attributes temporal.MetricAttributes
---@return temporal.MetricGauge
function gauge:with_additional_attributes(attributes) end

---@class temporal.MetricHistogram: temporal.Metric
local histogram = {}

---@param value number|string from 0 up; a duration where the histogram is of durations
---@param attributes? temporal.MetricAttributes
function histogram:record(value, attributes) end

---@param attributes temporal.MetricAttributes
---@return temporal.MetricHistogram
function histogram:with_additional_attributes(attributes) end
