--- Client: start, signal, query, cancel, list and wait for workflows, from any Lua 5.4 program.
---
--- Calls block the calling script; activities and mocks that this script gave as functions are run
--- while it waits. Errors are raised as tables (see temporal.failure).
local core = require "temporal.core"
local async_activity = require "temporal.internal.async_activity"
local build_sets = require "temporal.internal.build_sets"
local client_activities = require "temporal.internal.client_activities"
local client_nexus = require "temporal.internal.client_nexus"
local close_outcome = require "temporal.internal.close_outcome"
local connection = require "temporal.internal.connection"
local data_of = require "temporal.internal.data_of"
local deployments = require "temporal.internal.deployments"
local descriptions = require "temporal.internal.descriptions"
local histories = require "temporal.internal.histories"
local interceptors = require "temporal.internal.interceptors"
local listing = require "temporal.internal.listing"
local nexus_endpoints = require "temporal.internal.nexus_endpoints"
local options = require "temporal.internal.options"
local search_attributes = require "temporal.internal.search_attributes"
local rpc_error = require "temporal.internal.rpc_error"
local start_options = require "temporal.internal.start_options"
local time_skipping = require "temporal.internal.time_skipping"
local updates = require "temporal.internal.updates"

local client = {}

local duration, string_kind = { kind = "duration" }, { kind = "string" }
local table_kind, boolean = { kind = "table" }, { kind = "boolean" }

local reuse_policy = {
  kind = "enum",
  prefix = "WORKFLOW_ID_REUSE_POLICY_",
  values = {
    "allow_duplicate", "allow_duplicate_failed_only", "reject_duplicate", "terminate_if_running",
  },
}
local conflict_policy = {
  kind = "enum",
  prefix = "WORKFLOW_ID_CONFLICT_POLICY_",
  values = { "fail", "use_existing", "terminate_existing" },
}
--- The fields of temporal.StartWorkflowOptions.
local start_spec = {
  id = string_kind,
  task_queue = { kind = "string", required = true },
  execution_timeout = duration,
  run_timeout = duration,
  task_timeout = duration,
  id_reuse_policy = reuse_policy,
  id_conflict_policy = conflict_policy,
  retry_policy = table_kind,
  cron_schedule = string_kind,
  priority = table_kind,
  memo = table_kind,
  search_attributes = table_kind,
  start_delay = duration,
  time_skipping = { kind = "any" },
  request_eager_start = boolean,
  start_signal = string_kind,
  start_signal_args = table_kind,
  static_summary = string_kind,
  static_details = string_kind,
  request_id = string_kind,
  versioning_override = table_kind,
  callbacks = table_kind,
  links = table_kind,
  headers = table_kind,
  rpc_timeout = duration,
}

local result_spec = { follow_runs = boolean, timeout = duration }
local reject_condition = connection.query_reject_condition
local query_spec = { reject_condition = reject_condition, headers = table_kind, rpc_timeout = duration }
local signal_spec = { headers = table_kind, rpc_timeout = duration }

---@class temporal.StartWorkflowOptions
---@field id? string default: a random one
---@field task_queue string
---@field execution_timeout? temporal.Duration of the whole chain of runs
---@field run_timeout? temporal.Duration of one run
---@field task_timeout? temporal.Duration of a workflow task
---@field id_reuse_policy? "allow_duplicate"|"allow_duplicate_failed_only"|"reject_duplicate"|"terminate_if_running"
---@field id_conflict_policy? "fail"|"use_existing"|"terminate_existing" where a run with that id is open
---@field retry_policy? table of the workflow: initial_interval, backoff_coefficient, maximum_interval, maximum_attempts
---@field cron_schedule? string
---@field priority? { priority_key?: integer, fairness_key?: string, fairness_weight?: number }
---@field memo? table<string, any>
---@field search_attributes? table<string, any>
---@field start_delay? temporal.Duration before the first workflow task
---@field time_skipping? boolean|temporal.TimeSkippingConfig its clock jumps while nothing of it is under way
---@field request_eager_start? boolean the first task goes to a worker of this process, with the answer
---@field start_signal? string signal with start: its name
---@field start_signal_args? any[]
---@field static_summary? string a line for people
---@field static_details? string more for people
---@field request_id? string a start with the same one is the same start
---@field versioning_override? table { pinned = ... } or { auto_upgrade = true }
---@field callbacks? table[] { url = ..., headers = ... }: told of the end
---@field links? table[]
---@field headers? table<string, any>
---@field rpc_timeout? temporal.Duration

---@class temporal.Client
---@field namespace string
---@field identity string
---@field data table its payload converters: encode, decode, encode_one, decode_one, encode_failure, decode_failure
---@field payload_converters string[] modules
local Client = {}
Client.__index = Client
Client.__name = "temporal.Client"

---@class temporal.WorkflowHandle
---@field id string
---@field run_id? string what signals, queries, updates, cancel and terminate go to; nil: whatever run is current
---@field result_run_id? string the run whose end `result` waits for; nil: whatever run is current
---@field first_execution_run_id? string the chain of runs that cancel, terminate and updates are for; nil: any
---@field eagerly_started boolean whether a worker of this process got the first task with the start
local Handle = {}
Handle.__index = Handle
Handle.__name = "temporal.WorkflowHandle"

--- Raw service access: the request and the answer as tables under the proto field names; payloads and
--- failures stay encoded strings (temporal.core.encode / decode). Raises temporal.RPCError.
---@param method string "DescribeWorkflowExecution"
---@param request table
---@param timeout_ns? integer nil: 10 s
---@param words? boolean enums of the answer as words ("timed_out"), times and durations as seconds
---@return table
function Client:call(method, request, timeout_ns, words)
  local response, status, message, details =
    core.call(self.connection, method, request, timeout_ns or 10 * 1000000000, words)
  if not response then
    error(rpc_error.new(status, message, details), 0)
  end
  return response
end

local function memo_message(data, memo)
  if not memo then
    return nil
  end
  local fields = {}
  for name, value in pairs(memo) do
    fields[name] = data:encode_one(value)
  end
  return { fields = fields }
end

local callback_spec = { url = { kind = "string", required = true }, headers = table_kind }

--- What is told of the end of the workflow: requests to addresses of Nexus.
local function completion_callbacks(where, list)
  if not list then
    return nil
  end
  local out = {}
  for i, given in ipairs(list) do
    local c = options.check(("%s: callbacks[%d]"):format(where, i), callback_spec, given, 4)
    out[i] = { nexus = { url = c.url, header = c.headers } }
  end
  return out
end

--- What the start says of time, or the client for all its starts.
local function time_skipping_config(self, o)
  local given = o.time_skipping
  if given == nil and self.time_skipper then
    given = self.time_skipper:stamp()
  end
  return time_skipping.message("start_workflow", given, 4)
end

local function start_request(self, name, o, ...)
  local id = o.id or core.uuid()
  local data = data_of.workflow(self, id)
  return {
    namespace = self.namespace,
    workflow_id = id,
    workflow_type = { name = name },
    task_queue = { name = o.task_queue },
    input = data:encode(...),
    workflow_execution_timeout = options.duration_message(o.execution_timeout),
    workflow_run_timeout = options.duration_message(o.run_timeout),
    workflow_task_timeout = options.duration_message(o.task_timeout),
    workflow_start_delay = options.duration_message(o.start_delay),
    time_skipping_config = time_skipping_config(self, o),
    request_eager_execution = o.request_eager_start,
    identity = self.identity,
    request_id = o.request_id or core.uuid(),
    workflow_id_reuse_policy = options.enum_name(reuse_policy, o.id_reuse_policy),
    workflow_id_conflict_policy = options.enum_name(conflict_policy, o.id_conflict_policy),
    retry_policy = start_options.retry_policy("start_workflow", o.retry_policy),
    cron_schedule = o.cron_schedule,
    priority = start_options.priority("start_workflow", o.priority),
    memo = memo_message(data, o.memo),
    search_attributes = search_attributes.message("start_workflow", o.search_attributes),
    user_metadata = start_options.user_metadata(data, o.static_summary, o.static_details),
    versioning_override = deployments.override("start_workflow", o.versioning_override, 4),
    completion_callbacks = completion_callbacks("start_workflow", o.callbacks),
    links = o.links,
    header = interceptors.header(self, o.headers),
  }
end

---@param runs { run_id?: string, result_run_id?: string, first_execution_run_id?: string }
local function new_handle(self, id, runs)
  return setmetatable({
    client = self, id = id,
    run_id = runs.run_id, result_run_id = runs.result_run_id, first_execution_run_id = runs.first_execution_run_id,
  }, Handle)
end

local function type_name(workflow)
  if type(workflow) == "table" and workflow.name then
    return workflow.name
  elseif type(workflow) == "string" then
    return workflow
  end
  error("the workflow must be a type name or a definition, got " .. type(workflow), 3)
end

local function start_now(self, name, o, ...)
  local request = start_request(self, name, o, ...)
  local method = "StartWorkflowExecution"
  if o.start_signal then
    method = "SignalWithStartWorkflowExecution"
    request.signal_name = o.start_signal
    request.signal_input = data_of.workflow(self, request.workflow_id):encode(table.unpack(o.start_signal_args or {}))
  end
  local response = self:call(method, request, o.rpc_timeout)
  -- No run_id: what is sent to a started workflow is for its whole chain of runs, as in the other SDKs.
  local handle = new_handle(self, request.workflow_id, {
    result_run_id = response.run_id, first_execution_run_id = updates.first_run_id(response),
  })
  handle.eagerly_started = response.eager_workflow_task ~= nil
  return handle
end

--- Starts a workflow and returns a handle to it.
---@param workflow string|table type name or definition
---@param opts temporal.StartWorkflowOptions
---@param ... any arguments of the workflow
---@return temporal.WorkflowHandle
function Client:start_workflow(workflow, opts, ...)
  local name = type_name(workflow)
  local o = options.check("start_workflow", start_spec, opts)
  if o.start_signal_args and not o.start_signal then
    error("start_workflow: start_signal_args without start_signal", 2)
  elseif o.start_signal and o.callbacks then
    error("start_workflow: callbacks and start_signal exclude each other: a signal with start has no callbacks", 2)
  elseif o.start_signal and o.request_eager_start then
    error("start_workflow: 'request_eager_start' and 'start_signal' exclude each other", 2)
  end
  if not (self.hooks and self.hooks.start_workflow) then
    return start_now(self, name, o, ...)
  end
  local input = interceptors.input(opts, "workflow", name, ...)
  input.id = input.id or core.uuid()
  return interceptors.call(self.hooks, "start_workflow", input, function(changed)
    local again = options.check("start_workflow", start_spec, interceptors.options(changed, "workflow"), 0)
    return start_now(self, type_name(changed.workflow), again, interceptors.args(changed))
  end)
end

--- Starts a workflow and waits for its result.
---@return any ... what the workflow returned
function Client:execute_workflow(workflow, opts, ...)
  return self:start_workflow(workflow, opts, ...):result()
end

local handle_spec = { run_id = string_kind, first_execution_run_id = string_kind }

--- A handle to an existing workflow; nothing is asked of the server yet.
---@param id string
---@param run? string|{ run_id?: string, first_execution_run_id?: string } a run id; nil: whatever run is current
---@return temporal.WorkflowHandle
function Client:get_workflow_handle(id, run)
  if type(id) ~= "string" or id == "" then
    error("get_workflow_handle: the id must be a string that is not empty", 2)
  end
  local o = type(run) == "string" and { run_id = run ~= "" and run or nil }
    or options.check("get_workflow_handle", handle_spec, run)
  return new_handle(self, id, {
    run_id = o.run_id, result_run_id = o.run_id, first_execution_run_id = o.first_execution_run_id,
  })
end

--- The handle of an activity that was left open with `activity.complete_async`.
---@param by { task_token: string }|{ workflow_id?: string, run_id?: string, activity_id: string }
---@return temporal.AsyncActivityHandle
function Client:get_async_activity_handle(by)
  return async_activity(self, by)
end

local workflows = {
  name = "list_workflows", rpc = "ListWorkflowExecutions", items = "executions", read = descriptions.execution,
}

--- Iterates over executions: `for info in client:list_workflows("ExecutionStatus = 'Running'") do`.
--- Options: `page_size` (how many are asked for at a time), `limit` (how many at most), `rpc_timeout`.
---@param query? string list filter
---@param opts? temporal.ListOptions
---@return fun(): temporal.WorkflowExecution?
function Client:list_workflows(query, opts)
  return listing.list(self, workflows, query, opts)
end

--- How many executions match the filter; with `GROUP BY` in it, the groups too.
---@param query? string
---@return integer
---@return { count: integer, values: any[] }[]? groups
function Client:count_workflows(query)
  return listing.count(self, "count_workflows", "CountWorkflowExecutions", query)
end

--- Ends the connection. Optional: `local client <close> = temporal.connect{...}` does it too.
function Client:close()
  if self.connection then
    core.disconnect(self.connection)
    if self.own_server then
      core.server_close(self.own_server)
    end
    self.connection, self.own_server = nil, nil
  end
end

Client.__close = Client.close

local function execution(self)
  return { workflow_id = self.id, run_id = self.run_id or "" }
end

--- An interceptors' input that names this execution.
local function about(self, input)
  input.id, input.run_id = self.id, self.run_id
  return input
end

--- Whom an input names, after the hooks.
local function target(input)
  return { workflow_id = input.id, run_id = input.run_id or "" }
end

local function signal_now(client_, input)
  local o = options.check("signal", signal_spec, { headers = input.headers, rpc_timeout = input.rpc_timeout }, 0)
  client_:call("SignalWorkflowExecution", {
    namespace = client_.namespace,
    workflow_execution = target(input),
    signal_name = input.signal,
    input = data_of.workflow(client_, input.id):encode(interceptors.args(input)),
    identity = client_.identity,
    request_id = core.uuid(),
    header = interceptors.header(client_, o.headers),
  }, o.rpc_timeout)
end

--- Sends a signal; signal_with takes options.
---@param name string
---@param ... any
function Handle:signal(name, ...)
  self:signal_with({}, name, ...)
end

--- As signal, with options: `headers`, `rpc_timeout`.
---@param opts { headers?: table<string, any>, rpc_timeout?: number|string }
---@param name string
---@param ... any
function Handle:signal_with(opts, name, ...)
  options.check("signal", signal_spec, opts)
  local input = about(self, interceptors.input(opts, "signal", name, ...))
  interceptors.call(self.client.hooks, "signal_workflow", input, function(i) signal_now(self.client, i) end)
end

--- Asks a query and returns its answer; query_with takes options.
---@param name string
---@param ... any
---@return any
function Handle:query(name, ...)
  return self:query_with({}, name, ...)
end

local function query_now(client_, input)
  local o = options.check("query", query_spec, {
    reject_condition = input.reject_condition, headers = input.headers, rpc_timeout = input.rpc_timeout,
  }, 0)
  local data = data_of.workflow(client_, input.id)
  local response = client_:call("QueryWorkflow", {
    namespace = client_.namespace,
    execution = target(input),
    query = {
      query_type = input.query, query_args = data:encode(interceptors.args(input)),
      header = interceptors.header(client_, o.headers),
    },
    query_reject_condition = options.enum_name(reject_condition, o.reject_condition or client_.query_reject_condition),
  }, o.rpc_timeout or 30 * 1000000000)
  if response.query_rejected then
    error(core.make_failure { type = "WorkflowQueryRejectedError", message = "query rejected by its condition" }, 0)
  end
  return data:decode(response.query_result or "")
end

--- As query, with options: `reject_condition` ("not_open", "not_completed_cleanly"), `headers`, `rpc_timeout`.
function Handle:query_with(opts, name, ...)
  options.check("query", query_spec, opts)
  local input = about(self, interceptors.input(opts, "query", name, ...))
  return interceptors.call(self.client.hooks, "query_workflow", input, function(i)
    return query_now(self.client, i)
  end)
end

--- Asks the workflow to cancel; it decides how it ends.
---@param reason? string what workflow.cancellation_reason() tells it
function Handle:cancel(reason)
  if reason ~= nil and type(reason) ~= "string" then
    error("handle:cancel: the reason must be a string, got " .. type(reason), 2)
  end
  local input = about(self, { reason = reason, first_execution_run_id = self.first_execution_run_id })
  interceptors.call(self.client.hooks, "cancel_workflow", input, function(i)
    self.client:call("RequestCancelWorkflowExecution", {
      namespace = self.client.namespace,
      workflow_execution = target(i),
      identity = self.client.identity,
      request_id = core.uuid(),
      first_execution_run_id = i.first_execution_run_id,
      reason = i.reason,
    })
  end)
end

local function pause_request(self, where, reason)
  if reason ~= nil and type(reason) ~= "string" then
    error(("%s: the reason must be a string, got %s"):format(where, type(reason)), 3)
  end
  return {
    namespace = self.client.namespace,
    workflow_id = self.id,
    run_id = self.run_id or "",
    identity = self.client.identity,
    reason = reason,
    request_id = core.uuid(),
  }
end

--- Pauses the workflow: it takes no workflow task and starts no activity until it is unpaused. Signals
--- and timers are recorded meanwhile; queries and updates are refused.
---@param reason? string
function Handle:pause(reason)
  self.client:call("PauseWorkflowExecution", pause_request(self, "handle:pause", reason))
end

--- Lets a paused workflow go on.
---@param reason? string
function Handle:unpause(reason)
  self.client:call("UnpauseWorkflowExecution", pause_request(self, "handle:unpause", reason))
end

--- Ends the workflow at once, without running any of its code.
---@param reason? string
function Handle:terminate(reason)
  local input = about(self, { reason = reason, first_execution_run_id = self.first_execution_run_id })
  interceptors.call(self.client.hooks, "terminate_workflow", input, function(i)
    self.client:call("TerminateWorkflowExecution", {
      namespace = self.client.namespace,
      workflow_execution = target(i),
      reason = i.reason or "",
      identity = self.client.identity,
      first_execution_run_id = i.first_execution_run_id,
    })
  end)
end

--- Deletes the execution and its history.
function Handle:delete()
  self.client:call("DeleteWorkflowExecution", {
    namespace = self.client.namespace, workflow_execution = execution(self),
  })
end

local describe_spec = { rpc_timeout = duration }

--- What the server knows of the execution.
---@param opts? { rpc_timeout?: temporal.Duration }
---@return temporal.WorkflowDescription
function Handle:describe(opts)
  options.check("WorkflowHandle:describe", describe_spec, opts)
  local input = about(self, { rpc_timeout = opts and opts.rpc_timeout })
  return interceptors.call(self.client.hooks, "describe_workflow", input, function(i)
    local o = options.check("WorkflowHandle:describe", describe_spec, { rpc_timeout = i.rpc_timeout }, 0)
    local answer = self.client:call("DescribeWorkflowExecution", {
      namespace = self.client.namespace, execution = target(i),
    }, o.rpc_timeout, true)
    return descriptions.description(self.client, answer)
  end)
end

--- One long poll for the close event; nil when it has not come yet.
local function poll_close(self, run_id, token, timeout_ns)
  local response = self.client:call("GetWorkflowExecutionHistory", {
    namespace = self.client.namespace,
    execution = { workflow_id = self.id, run_id = run_id },
    wait_new_event = true,
    history_event_filter_type = "HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT",
    skip_archival = true,
    next_page_token = token,
  }, timeout_ns)
  local events = response.history and response.history.events or {}
  return events[#events], response.next_page_token
end

local long_poll_ns = 65 * 1000000000

--- Waits for the end and returns what the workflow returned; raises WorkflowFailureError with the
--- cause otherwise. Options: `follow_runs` (default true: continue-as-new, retries and cron runs are
--- followed), `timeout`.
---@param opts? table
---@return any ...
function Handle:result(opts)
  local o = options.check("result", result_spec, opts)
  local deadline = o.timeout and core.mono_ns() + o.timeout
  local run_id, token = self.result_run_id or "", ""
  local env = self.client.testing
  local _ <close> = env and env:unlock_while_waiting()
  while true do
    local wait = deadline and math.max(1, deadline - core.mono_ns()) or long_poll_ns
    if deadline and deadline <= core.mono_ns() then
      error(core.make_failure {
        kind = "TimeoutError",
        type = "TimeoutError",
        message = "the workflow has not ended within the timeout",
      }, 2)
    end
    local event, next_token = poll_close(self, run_id, token, math.min(wait, long_poll_ns))
    token = next_token
    if event then
      local data = data_of.workflow(self.client, self.id)
      local ok, outcome, next_run = close_outcome(event, data)
      if next_run and next_run ~= "" and o.follow_runs ~= false then
        run_id, token = next_run, ""
      elseif ok then
        return data:decode(outcome)
      else
        error(outcome, 2)
      end
    end
  end
end

updates.install(Client, Handle, function(self, workflow, opts, args)
  local name = type_name(workflow)
  local o = options.check("start_workflow", start_spec, opts, 5)
  if o.start_signal then
    error("start_workflow: an update takes the place of start_signal", 5)
  end
  return start_request(self, name, o, table.unpack(args, 1, args.n or #args))
end)

histories.install(Client, Handle)
client_activities.install(Client)
client_nexus.install(Client)
build_sets.install(Client)
deployments.install(Client, Handle)
nexus_endpoints.install(Client)

--- A client over a connection that somebody else keeps open.
function client.of_connection(open, namespace, identity, data)
  return setmetatable({ connection = open, namespace = namespace, identity = identity, data = data }, Client)
end

require("temporal.internal.credentials").add_to(Client)

--- Connects to a Temporal server at `address` ("host:port"), with `api_key`, `tls` and `metadata`
--- where it wants them; or, without an address, opens the embedded server in this process, on `db_filename`
--- (or in memory without one), and returns a client of it. `server` takes the `embedded` field of
--- another client instead of opening one.
---@type fun(opts?: temporal.ConnectOptions): temporal.Client
client.connect = require "temporal.internal.connect"(Client)

return client
