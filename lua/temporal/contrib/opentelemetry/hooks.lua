--- The hooks of temporal.contrib.opentelemetry. This module is loaded in every kind of state: beside clients,
--- in activity states, in each run's sandbox, and where host functions run.
---
--- A span is { name, kind, trace_id, span_id, parent_span_id, start_time_ns, end_time_ns, attributes, error }.
--- Spans of workflows have no length: the time of a workflow stands still while its code runs. They are made
--- where history is made, not on replay; their ids come from the run's seed and draw no random numbers of it.
local workflow = require "temporal.workflow"

local in_sandbox = pcall(function() return workflow.unsafe end)

-- What the module temporal.contrib.opentelemetry of this state tells of the running activity: `current` is its span.
local shared = in_sandbox and {} or require "temporal.contrib.opentelemetry".shared

-- Ids ----------------------------------------------------------------------------------------------

--- The mixing function of SplitMix64.
local function mix(z)
  z = (z ~ (z >> 30)) * 0xbf58476d1ce4e5b9
  z = (z ~ (z >> 27)) * 0x94d049bb133111eb
  return z ~ (z >> 31)
end

--- A function that gives numbers other than 0, from a seed that no other state has.
local function host_random()
  local digits = require "temporal.core".uuid():gsub("%-", "")
  local seed = tonumber(digits:sub(1, 16), 16) ~ tonumber(digits:sub(17), 16)
  return function()
    local n
    repeat
      seed = seed + 0x9e3779b97f4a7c15
      n = mix(seed)
    until n ~= 0
    return n
  end
end

--- The same in a workflow: a stream of its own, so that tracing moves no other random number.
local function workflow_random()
  local stream
  return function()
    if workflow.unsafe.is_read_only() then
      return math.random(1, math.maxinteger) -- queries and validators have numbers of their own
    end
    stream = stream or workflow.new_random "temporal.contrib.opentelemetry"
    return stream(1, math.maxinteger)
  end
end

local function hex(n)
  return ("%016x"):format(n)
end

-- Context ------------------------------------------------------------------------------------------

--- The context that a header carries: { trace_id, span_id, flags }, or nil.
local function extract(carrier)
  local text = type(carrier) == "table" and carrier.traceparent
  if type(text) ~= "string" then
    return nil
  end
  local version, trace_id, span_id, flags = text:match "^(%x%x)%-(%x+)%-(%x+)%-(%x%x)"
  if not version or version == "ff" or #trace_id ~= 32 or #span_id ~= 16
    or not trace_id:find "[^0]" or not span_id:find "[^0]" then
    return nil
  end
  return { trace_id = trace_id:lower(), span_id = span_id:lower(), flags = flags, state = carrier.tracestate }
end

local function carrier_of(context)
  local text = ("00-%s-%s-%s"):format(context.trace_id, context.span_id, context.flags)
  return { traceparent = text, tracestate = context.state }
end

-- Exporters ----------------------------------------------------------------------------------------

local function attribute(key, value)
  local wrapped = math.type(value) == "integer" and { intValue = tostring(value) }
    or type(value) == "number" and { doubleValue = value }
    or type(value) == "boolean" and { boolValue = value }
    or { stringValue = tostring(value) }
  return { key = key, value = wrapped }
end

local function attributes_of(map)
  local keys, list = {}, {}
  for key in pairs(map) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  for i, key in ipairs(keys) do
    list[i] = attribute(key, map[key])
  end
  return list
end

local kinds = { internal = 1, server = 2, client = 3 }

--- A span as the message that OTLP over JSON sends.
local function otlp(span, service_name)
  local core = require "temporal.core"
  local function list(entries)
    return core.array(entries)
  end
  return core.json_encode { resourceSpans = list { {
    resource = { attributes = list { attribute("service.name", service_name) } },
    scopeSpans = list { {
      scope = { name = "temporal-lua", version = core.version },
      spans = list { {
        traceId = span.trace_id, spanId = span.span_id, parentSpanId = span.parent_span_id,
        name = span.name, kind = kinds[span.kind],
        startTimeUnixNano = tostring(span.start_time_ns), endTimeUnixNano = tostring(span.end_time_ns),
        attributes = list(attributes_of(span.attributes)),
        status = span.error and { code = 2, message = span.error } or {},
      } },
    } },
  } } }
end

--- Appends a line with each span. One write of one line: states and processes may share the file.
local function file_exporter(path, service_name)
  local file
  return function(span)
    if not file then
      file = assert(io.open(path, "ab"))
      file:setvbuf "no"
    end
    assert(file:write(otlp(span, service_name) .. "\n"))
  end
end

local function module_exporter(name)
  local value = require(name)
  if type(value) == "table" and type(value.export) == "function" then
    return value.export
  elseif type(value) ~= "function" then
    error(("opentelemetry: module '%s' returns no exporter: a function of a span, or a table with export"):format(name),
      0)
  end
  return value
end

local function open_exporter(config)
  local service_name = config.service_name or "temporal-lua"
  return config.file and file_exporter(config.file, service_name) or module_exporter(config.exporter)
end

--- Tracing must not fail what it traces.
local function guarded(export)
  return function(span)
    local ok, err = pcall(export, span)
    if not ok then
      require "temporal.core".log_warn("opentelemetry.export", tostring(err))
    end
  end
end

-- Spans --------------------------------------------------------------------------------------------

--- A new span below a context; without one it is the root of a trace.
local function new_span(random, name, kind, parent, attributes, now)
  return {
    name = name, kind = kind,
    trace_id = parent and parent.trace_id or hex(random()) .. hex(random()),
    span_id = hex(random()), parent_span_id = parent and parent.span_id or nil,
    flags = parent and parent.flags or "01", state = parent and parent.state or nil,
    start_time_ns = now, attributes = attributes or {},
  }
end

local function wall_ns()
  return require "temporal.core".time_ns()
end

--- Calls fn(span) within a span that is exported when it has ended.
local function traced(self, name, kind, parent, attributes, fn)
  local span = new_span(self.random, name, kind, parent, attributes, wall_ns())
  local function finish(ok, ...)
    span.end_time_ns = wall_ns()
    span.error = not ok and tostring((...)) or nil
    self.export(span)
    if not ok then
      error((...), 0)
    end
    return ...
  end
  return finish(pcall(fn, span))
end

--- A hook of a client's call: its span goes along in the header.
local function outgoing(self, title, subject)
  return function(input, next)
    local attributes = { temporalWorkflowID = input.id }
    return traced(self, ("%s:%s"):format(title, input[subject]), "client", shared.current, attributes, function(span)
      input.headers[self.header] = carrier_of(span)
      return next(input)
    end)
  end
end

local function client_section(self)
  return {
    start_workflow = function(input, next)
      local title = input.start_signal and "SignalWithStartWorkflow" or "StartWorkflow"
      return outgoing(self, title, "workflow")(input, next)
    end,
    signal_workflow = outgoing(self, "SignalWorkflow", "signal"),
    query_workflow = outgoing(self, "QueryWorkflow", "query"),
    start_workflow_update = outgoing(self, "StartWorkflowUpdate", "update"),
    start_update_with_start_workflow = function(input, next)
      local start, update = input.start_workflow_input, input.update_workflow_input
      local attributes = { temporalWorkflowID = start.id, temporalUpdateID = update.update_id }
      local name = "StartUpdateWithStartWorkflow:" .. tostring(type(start.workflow) == "table" and start.workflow.name
        or start.workflow)
      return traced(self, name, "client", shared.current, attributes, function(span)
        start.headers[self.header], update.headers[self.header] = carrier_of(span), carrier_of(span)
        return next(input)
      end)
    end,
  }
end

local function activity_section(self)
  return {
    execute_activity = function(input, next)
      local info = require "temporal.activity".info()
      local parent, before = extract(input.headers[self.header]), shared.current
      return traced(self, "RunActivity:" .. input.activity, "server", parent, {
        temporalWorkflowID = info.workflow_id, temporalRunID = info.workflow_run_id,
        temporalActivityID = info.activity_id,
      }, function(span)
        local _ <close> = setmetatable({}, { __close = function() shared.current = before end })
        shared.current = span
        return next(input)
      end)
    end,
  }
end

--- Nexus carries texts: the traceparent is a header of its own.
local function nexus_section(self)
  local function handler(title)
    return function(input, next)
      local before = shared.current
      local name = ("%s:%s/%s"):format(title, input.service, input.operation)
      return traced(self, name, "server", extract(input.headers), {}, function(span)
        local _ <close> = setmetatable({}, { __close = function() shared.current = before end })
        shared.current = span
        return next(input)
      end)
    end
  end
  return {
    execute_nexus_operation_start = handler "RunStartNexusOperationHandler",
    execute_nexus_operation_cancel = handler "RunCancelNexusOperationHandler",
  }
end

-- In workflows -------------------------------------------------------------------------------------

--- Exports a span that has no length, unless this is a replay. Returns the context below it.
local function mark(self, name, kind, parent, err)
  if not parent and not self.always then
    return nil
  end
  local info, now = workflow.info(), workflow.time_ns()
  local span = new_span(self.random, name, kind, parent, {
    temporalWorkflowID = info.workflow_id, temporalRunID = info.run_id,
  }, now)
  span.end_time_ns, span.error = now, err
  if not workflow.unsafe.is_replaying_history_events() then
    workflow.extern_functions().temporal_opentelemetry_export(span)
  end
  return span
end

local function workflow_section(self)
  local root -- the context of the run: of the span RunWorkflow
  local hooks = {}

  function hooks.execute_workflow(input, next)
    root = mark(self, "RunWorkflow:" .. input.type, "server", extract(input.headers[self.header])) or root
    local function finish(ok, ...)
      mark(self, "CompleteWorkflow:" .. input.type, "internal", root, not ok and tostring((...)) or nil)
      if not ok then
        error((...), 0)
      end
      return ...
    end
    return finish(pcall(next, input))
  end

  local function incoming(hook, title, subject)
    hooks[hook] = function(input, next)
      local sent = extract(input.headers[self.header])
      mark(self, ("%s:%s"):format(title, input[subject]), "server", sent or root)
      return next(input)
    end
  end
  incoming("handle_signal", "HandleSignal", "signal")
  incoming("handle_query", "HandleQuery", "query")
  incoming("handle_update_validator", "ValidateUpdate", "update")
  incoming("handle_update_handler", "HandleUpdate", "update")

  local function asked_for(hook, title, subject)
    hooks[hook] = function(input, next)
      local span = mark(self, ("%s:%s"):format(title, input[subject]), "client", root)
      if span then
        input.headers[self.header] = carrier_of(span)
      end
      return next(input)
    end
  end
  asked_for("start_activity", "StartActivity", "activity")
  asked_for("start_local_activity", "StartActivity", "activity")
  asked_for("start_child_workflow", "StartChildWorkflow", "workflow")
  asked_for("signal_with_start_workflow", "SignalWithStartWorkflow", "workflow")
  asked_for("signal_child_workflow", "SignalChildWorkflow", "signal")
  asked_for("signal_external_workflow", "SignalExternalWorkflow", "signal")

  function hooks.start_nexus_operation(input, next)
    local span = mark(self, ("StartNexusOperation:%s/%s"):format(input.service, input.operation), "client", root)
    if span then
      local carrier = carrier_of(span)
      input.headers.traceparent, input.headers.tracestate = carrier.traceparent, carrier.tracestate
    end
    return next(input)
  end

  --- The next run goes on in the same trace.
  function hooks.continue_as_new(input, next)
    if root then
      input.headers[self.header] = carrier_of(root)
    end
    return next(input)
  end
  return hooks
end

-- The module ---------------------------------------------------------------------------------------

local function never() end

--- Called with the configuration in each state.
return function(config)
  local self = {
    header = config.header or "_tracer-data",
    always = config.always_create_workflow_spans,
    random = in_sandbox and workflow_random() or host_random(),
    export = in_sandbox and never or guarded(open_exporter(config)),
  }
  return {
    name = "opentelemetry",
    client = client_section(self),
    activity = activity_section(self),
    nexus = nexus_section(self),
    workflow = workflow_section(self),
    extern_functions = { temporal_opentelemetry_export = self.export },
  }
end
