--- OpenTelemetry tracing: spans around clients, workflows, activities and Nexus handlers, joined into one trace
--- by a W3C traceparent that travels in the header `_tracer-data`, as other SDKs send it.
---
---   local otel = require "temporal.contrib.opentelemetry"
---   local client = temporal.connect { interceptors = { otel.interceptor { file = "spans.jsonl" } } }
local options = require "temporal.internal.options"

--- `shared.current` is the span of what runs in this state; the hooks set it.
local otel = { shared = {} }

--- The fields of temporal.OpenTelemetryOptions.
local spec = {
  file = { kind = "string" },
  exporter = { kind = "string" },
  service_name = { kind = "string" },
  header = { kind = "string" },
  always_create_workflow_spans = { kind = "boolean" },
}

---@class temporal.OpenTelemetryOptions
---@field file? string spans are appended here, a line of OTLP JSON each
---@field exporter? string module that returns a function of a span, or a table with a function `export`
---@field service_name? string default: "temporal-lua"
---@field header? string default: "_tracer-data"
---@field always_create_workflow_spans? boolean also where nobody sent a trace

--- An entry for the option `interceptors`. One of `file` and `exporter` says where spans go.
---@param given temporal.OpenTelemetryOptions
---@return table
function otel.interceptor(given)
  local o = options.check("opentelemetry.interceptor", spec, given)
  if (o.file == nil) == (o.exporter == nil) then
    error("opentelemetry.interceptor: one of file and exporter says where spans go", 2)
  end
  return { module = "temporal.contrib.opentelemetry.hooks", config = o }
end

--- The traceparent of the activity or Nexus handler that runs here, for a tracer of the program's own; nil when it
--- has none.
---@return string?
function otel.current_traceparent()
  local span = otel.shared.current
  return span and ("00-%s-%s-%s"):format(span.trace_id, span.span_id, span.flags) or nil
end

return otel
