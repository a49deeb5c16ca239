--- Updates from the client's side: start, wait for the outcome, update with start.
local core = require "temporal.core"
local data_of = require "temporal.internal.data_of"
local interceptors = require "temporal.internal.interceptors"
local options = require "temporal.internal.options"
local rpc_error = require "temporal.internal.rpc_error"

local updates = {}

local string_kind, table_kind, duration = { kind = "string" }, { kind = "table" }, { kind = "duration" }

local stage = {
  kind = "enum",
  prefix = "UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_",
  values = { "accepted", "completed" },
}

local execute_spec = { id = string_kind, headers = table_kind, rpc_timeout = duration }
local start_spec = {
  id = string_kind,
  wait_for_stage = { kind = "enum", prefix = stage.prefix, values = stage.values, required = true },
  headers = table_kind,
  rpc_timeout = duration,
}
local handle_spec = { run_id = string_kind }
local result_spec = { timeout = duration }

--- Server and network end a wait after a while; who waits longer asks again.
local long_poll_ns = 30 * 1000000000

---@class temporal.UpdateHandle
---@field id string
---@field workflow_id string
---@field workflow_run_id? string
---@field workflow temporal.WorkflowHandle
---@field client temporal.Client
local UpdateHandle = {}
UpdateHandle.__index = UpdateHandle
UpdateHandle.__name = "temporal.UpdateHandle"

--- Stages as answers have them: numbers that grow.
local accepted = 2

local function timed_out(message)
  return core.make_failure {
    kind = "WorkflowUpdateRPCTimeoutOrCancelledError",
    type = "WorkflowUpdateRPCTimeoutOrCancelledError",
    message = message,
  }
end

--- One call that waits at the server; `deadline` nil: as long as it takes.
local function call(client, method, request, deadline)
  local left = long_poll_ns
  if deadline then
    left = math.min(left, deadline - core.mono_ns())
    if left <= 0 then
      error(timed_out "the update has not come so far within the timeout", 0)
    end
  end
  local ok, response = pcall(client.call, client, method, request, left)
  if ok then
    return response
  end
  local status = type(response) == "table" and response.status
  if status == "DEADLINE_EXCEEDED" and not (deadline and deadline <= core.mono_ns()) then
    return nil -- the network's patience, not ours
  elseif status == "DEADLINE_EXCEEDED" or status == "CANCELLED" then
    error(timed_out("timeout or cancellation while waiting for the update: " .. response.message), 0)
  end
  error(response, 0)
end

local function waiting(client)
  local env = client.testing
  return env and env:unlock_while_waiting() or nil
end

local function update_request(client, execution, name, o, wanted, ...)
  if type(name) ~= "string" or name == "" then
    error("an update's name is expected, got a " .. type(name), 4)
  end
  return {
    namespace = client.namespace,
    workflow_execution = execution,
    wait_policy = { lifecycle_stage = stage.prefix .. wanted:upper() },
    request = {
      meta = { update_id = o.id or core.uuid(), identity = client.identity },
      input = { name = name, args = data_of.workflow(client, execution.workflow_id):encode(...),
        header = interceptors.header(client, o.headers) },
    },
  }
end

local function new_handle(client, id, workflow, run_id, outcome)
  return setmetatable({
    client = client,
    id = id,
    workflow = workflow,
    workflow_id = workflow.id,
    workflow_run_id = run_id,
    outcome = outcome,
  }, UpdateHandle)
end

--- The outcome's values; its failure is raised.
local function open_outcome(data, outcome)
  if outcome.failure then
    error(core.make_failure {
      kind = "WorkflowUpdateFailedError",
      type = "WorkflowUpdateFailedError",
      message = "workflow update failed",
      cause = data:decode_failure(outcome.failure),
    }, 0)
  end
  return data:decode(outcome.success or "")
end

--- Waits for the outcome and returns the handler's values. Raises WorkflowUpdateFailedError with the
--- cause when the update was rejected or failed. Option: `timeout`.
---@param opts? { timeout?: number|string }
---@return any ...
function UpdateHandle:result(opts)
  local o = options.check("result", result_spec, opts)
  local deadline = o.timeout and core.mono_ns() + o.timeout
  local _ <close> = waiting(self.client)
  while not self.outcome do
    local response = call(self.client, "PollWorkflowExecutionUpdate", {
      namespace = self.client.namespace,
      identity = self.client.identity,
      update_ref = {
        workflow_execution = { workflow_id = self.workflow_id, run_id = self.workflow_run_id or "" },
        update_id = self.id,
      },
      wait_policy = { lifecycle_stage = stage.prefix .. "COMPLETED" },
    }, deadline)
    self.outcome = response and response.outcome
  end
  return open_outcome(data_of.workflow(self.client, self.workflow_id), self.outcome)
end

--- Sends until the update is as far as is wanted; the same id finds the same update.
local function start(client, workflow, request, deadline)
  local _ <close> = waiting(client)
  while true do
    local response = call(client, "UpdateWorkflowExecution", request, deadline)
    if response and response.stage >= accepted then
      local ref = response.update_ref
      local run_id = ref and ref.workflow_execution and ref.workflow_execution.run_id
      return new_handle(client, request.request.meta.update_id, workflow, run_id, response.outcome)
    end
  end
end

local function deadline_of(o)
  return o.rpc_timeout and core.mono_ns() + o.rpc_timeout or nil
end

local function target(handle)
  return { workflow_id = handle.id, run_id = handle.run_id or "" }
end

local function start_on(handle, name, o, wanted, ...)
  local client = handle.client
  local input = interceptors.input({ headers = o.headers }, "update", name, ...)
  input.id, input.run_id, input.update_id = handle.id, handle.run_id, o.id or core.uuid()
  input.wait_for_stage = wanted
  input.first_execution_run_id = handle.run_id == nil and handle.first_execution_run_id or nil
  return interceptors.call(client.hooks, "start_workflow_update", input, function(i)
    local sent = { id = i.update_id, headers = i.headers }
    local request = update_request(client, target(i), i.update, sent, i.wait_for_stage, interceptors.args(i))
    request.first_execution_run_id = i.first_execution_run_id
    return start(client, handle, request, deadline_of(o))
  end)
end

local start_op_names = { workflow = true, args = true }

--- The start that goes with the update: the options of start_workflow, and workflow and args.
local function start_operation(client, where, given, make_start)
  if type(given) ~= "table" or given.workflow == nil then
    error(where .. ": start_workflow must be a table with workflow (type or definition), args and the options of "
      .. "client:start_workflow", 4)
  end
  if not given.id or not given.id_conflict_policy then
    error(where .. ": start_workflow needs id and id_conflict_policy: \"use_existing\" or \"fail\"", 4)
  end
  local o = {}
  for name, value in pairs(given) do
    if not start_op_names[name] then
      o[name] = value
    end
  end
  return make_start(client, given.workflow, o, given.args or {})
end

--- The part of a failed ExecuteMultiOperation that says why: not the one that was only given up.
local function unfold(err)
  local aborted = "temporal.api.failure.v1.MultiOperationExecutionAborted"
  for _, status in ipairs(err.detail and err.detail.statuses or {}) do
    local detail = status.details and status.details[1]
    local gave_up = detail and detail.type_url:match "([^/]+)$" == aborted
    if status.code ~= 0 and not gave_up then
      return rpc_error.of_details(status.code, status.message, status.details)
    end
  end
  return err
end

local function call_multi(client, request, deadline)
  local ok, response = pcall(call, client, "ExecuteMultiOperation", request, deadline)
  if not ok then
    error(type(response) == "table" and response.detail and unfold(response) or response, 0)
  end
  return response
end

--- The first run of the chain that a start began or met. Older servers do not tell; there, a run that was
--- met may be a later one of its chain.
function updates.first_run_id(response)
  if response.first_execution_run_id ~= "" then
    return response.first_execution_run_id
  end
  return response.started and response.run_id or nil
end

local function start_with_start_now(client, where, input, o, make_start)
  local begin = start_operation(client, where, input.start_workflow_input, make_start)
  local workflow = client:get_workflow_handle(begin.workflow_id)
  local u = input.update_workflow_input
  local update = update_request(client, { workflow_id = begin.workflow_id }, u.update,
    { id = u.update_id, headers = u.headers }, u.wait_for_stage, interceptors.args(u))
  local request = {
    namespace = client.namespace,
    operations = { { start_workflow = begin }, { update_workflow = update } },
  }
  local deadline = deadline_of(o)
  local _ <close> = waiting(client)
  while true do
    local answer = call_multi(client, request, deadline)
    local first, second
    for _, r in ipairs(answer and answer.responses or {}) do
      first, second = first or r.start_workflow, r.update_workflow or second
    end
    if second and second.stage >= accepted then
      workflow.result_run_id = first.run_id
      workflow.first_execution_run_id = updates.first_run_id(first)
      return new_handle(client, update.request.meta.update_id, workflow, first.run_id, second.outcome)
    end
  end
end

--- Through the hooks: the input holds those of the start and of the update.
local function start_with_start(client, where, name, o, wanted, make_start, ...)
  local given = o.start_workflow
  local u = interceptors.input({ headers = o.headers }, "update", name, ...)
  u.update_id, u.wait_for_stage = o.id or core.uuid(), wanted
  local s = {}
  for k, v in pairs(given) do
    s[k] = v
  end
  s.headers = {}
  for k, v in pairs(type(given.headers) == "table" and given.headers or {}) do
    s.headers[k] = v
  end
  local input = { start_workflow_input = s, update_workflow_input = u }
  return interceptors.call(client.hooks, "start_update_with_start_workflow", input, function(i)
    return start_with_start_now(client, where, i, o, make_start)
  end)
end

local function with_start(spec)
  local all = { start_workflow = { kind = "table", required = true } }
  for name, rule in pairs(spec) do
    all[name] = rule
  end
  return all
end

local execute_with_start_spec, start_with_start_spec = with_start(execute_spec), with_start(start_spec)

--- Adds the methods. `make_start(client, workflow, options, args)` gives a StartWorkflowExecutionRequest.
function updates.install(Client, Handle, make_start)
  --- Sends an update and waits for its outcome, which it returns. Raises WorkflowUpdateFailedError
  --- when it was rejected or failed. Options: `id`, `headers`, `rpc_timeout`.
  ---@param name string
  ---@param opts? table
  ---@param ... any arguments of the handler
  ---@return any ...
  function Handle:execute_update(name, opts, ...)
    local o = options.check("execute_update", execute_spec, opts)
    return start_on(self, name, o, "completed", ...):result(o.rpc_timeout and { timeout = o.rpc_timeout / 1e9 })
  end

  --- Sends an update and returns its handle as soon as it is `wait_for_stage` ("accepted" or
  --- "completed", required). Other options as for execute_update.
  ---@param name string
  ---@param opts table
  ---@return temporal.UpdateHandle
  function Handle:start_update(name, opts, ...)
    local o = options.check("start_update", start_spec, opts)
    return start_on(self, name, o, o.wait_for_stage, ...)
  end

  --- A handle to an update that was sent before; nothing is asked of the server yet.
  ---@param id string of the update
  ---@param opts? { run_id?: string }
  ---@return temporal.UpdateHandle
  function Handle:get_update_handle(id, opts)
    local o = options.check("get_update_handle", handle_spec, opts)
    return new_handle(self.client, id, self, o.run_id or self.run_id)
  end

  --- As get_update_handle of the workflow's handle.
  ---@param workflow_id string
  ---@param id string of the update
  ---@param opts? { run_id?: string }
  ---@return temporal.UpdateHandle
  function Client:get_update_handle(workflow_id, id, opts)
    return self:get_workflow_handle(workflow_id):get_update_handle(id, opts)
  end

  --- Starts the workflow unless it runs, sends it an update in the same call, waits for the outcome and
  --- returns it. `start_workflow` is a table of `workflow`, `args` and the options of start_workflow, of
  --- which `id` and `id_conflict_policy` are needed.
  ---@param name string of the update
  ---@param opts table
  ---@return any ...
  function Client:execute_update_with_start_workflow(name, opts, ...)
    local where = "execute_update_with_start_workflow"
    local o = options.check(where, execute_with_start_spec, opts)
    return start_with_start(self, where, name, o, "completed", make_start, ...):result(
      o.rpc_timeout and { timeout = o.rpc_timeout / 1e9 })
  end

  --- The same, but returns the update's handle (its field `workflow` is the workflow's handle) at
  --- `wait_for_stage`.
  ---@param name string of the update
  ---@param opts table
  ---@return temporal.UpdateHandle
  function Client:start_update_with_start_workflow(name, opts, ...)
    local where = "start_update_with_start_workflow"
    local o = options.check(where, start_with_start_spec, opts)
    return start_with_start(self, where, name, o, o.wait_for_stage, make_start, ...)
  end
end

return updates
