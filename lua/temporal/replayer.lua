--- Replayer: runs recorded histories against workflow scripts, without a server, and tells which of them
--- the scripts no longer fit.
local core = require "temporal.core"
local converter = require "temporal.converter"
local history = require "temporal.history"
local options = require "temporal.internal.options"
local plugins = require "temporal.internal.plugins"
local worker = require "temporal.worker"

local replayer = {}

---@class temporal.Replayer
local Replayer = {}
Replayer.__index = Replayer
Replayer.__name = "temporal.Replayer"

--- The fields of temporal.ReplayerOptions.
local spec = {
  workflows = { kind = "table", required = true },
  activities = { kind = "table" },
  roots = { kind = "table" },
  namespace = { kind = "string" },
  build_id = { kind = "string" },
  deployment_name = { kind = "string" },
  workflow_failure_error_types = { kind = "any" },
  interceptors = { kind = "table" },
  plugins = { kind = "table" },
  debug_mode = { kind = "boolean" },
  data_converter = { kind = "any" },
  passthrough_modules = { kind = "table" },
  workflow_runner = { kind = "string" },
}

--- Options of other SDKs' replayers that a replay of Lua has nothing to do with.
local reasons = {
  identity = "a replay talks to no server that would want to know who asks",
  runtime = "a replay starts no threads and has no telemetry",
  task_queue = "each history names its own",
  unsandboxed_workflow_runner = "workflow_runner = \"unsandboxed\", or a definition's sandboxed = false, says it",
  workflow_task_executor = "a replay runs on the thread that asks for it",
  disable_safe_workflow_eviction = "a run is dropped without running its code",
}

--- Why the replay of one history failed, as an error that prints as its report.
---@class temporal.ReplayError
---@field type string "NondeterminismError", "InvalidHistoryError", "WorkflowNotRegisteredError" or "ReplayError"
---@field message string
---@field code string what the engine calls it: "ENONDETERMINISM", "ESCRIPT" ...
---@field report? table what differs: kind, expected, produced, detail, suggestion, patch ...
---@field report_json? string the same as JSON
---@field text string the report as lines, or the message
---@field workflow_id string
---@field run_id string
local ReplayError = { __name = "temporal.ReplayError" }
ReplayError.__index = ReplayError

function ReplayError:__tostring()
  return ("replay of workflow '%s' failed: %s"):format(self.workflow_id, self.text)
end

local types = {
  ENONDETERMINISM = "NondeterminismError",
  EINVAL = "InvalidHistoryError",
  EDECODE = "InvalidHistoryError",
  ENOTFOUND = "WorkflowNotRegisteredError",
}

---@class temporal.WorkflowReplayResult
---@field history temporal.WorkflowHistory
---@field replay_failure? temporal.ReplayError
---@field event_count integer
---@field task_count integer workflow tasks
---@field activation_count integer
---@field finished boolean the history ends with the run's end

--- What the failed engine call says, as an error; nil when it did not fail.
local function failure_of(h, r)
  return r.code and setmetatable({
    type = types[r.code] or "ReplayError",
    message = r.message,
    code = r.code,
    report = r.report_json and core.json_decode(r.report_json),
    report_json = r.report_json,
    text = r.report or r.message,
    workflow_id = h.workflow_id,
    run_id = h.run_id,
  }, ReplayError) or nil
end

--- The history as the scripts see it: a file has its payloads as the server kept them.
local function decoded(self, h)
  return self.coding and core.history_decode(h.bytes, self.coding,
    self.options.namespace or "default", h.workflow_id, h.run_id) or h.bytes
end

local function replay_one(self, h)
  local readable, bytes = pcall(decoded, self, h)
  local r = readable and core.replayer_replay(self.native, bytes, h.workflow_id, h.run_id)
    or { code = "EINVAL", message = tostring(bytes), events = 0, tasks = 0, activations = 0, finished = false }
  return {
    history = h, replay_failure = failure_of(h, r), event_count = r.events, task_count = r.tasks,
    activation_count = r.activations, finished = r.finished,
  }
end

local function new(o, plan, list)
  local debug_env = os.getenv "TEMPORAL_DEBUG"
  return setmetatable({
    options = o,
    plugins = list or {},
    native = core.replayer_new(plan, {
      namespace = o.namespace, build_id = o.build_id, deployment_name = o.deployment_name,
      failure_error_types = plan.failure_error_types,
      debug = o.debug_mode or (o.debug_mode == nil and debug_env ~= nil and debug_env ~= ""),
    }),
  }, Replayer)
end

---@class temporal.ReplayerOptions
---@field workflows (string|table)[] as for temporal.worker
---@field activities? table as for temporal.worker
---@field roots? string[] as for temporal.worker
---@field namespace? string what workflow.info tells
---@field build_id? string what workflow.info tells
---@field deployment_name? string what workflow.info tells
---@field workflow_failure_error_types? string[] as for temporal.worker
---@field interceptors? (string|table)[] as for temporal.worker
---@field plugins? temporal.Plugin[]
---@field debug_mode? boolean no activation is cut off; nil: as TEMPORAL_DEBUG says
---@field data_converter? temporal.DataConverter its codecs are undone in histories from files
---@field passthrough_modules? string[] as for temporal.worker
---@field workflow_runner? "sandboxed"|"unsandboxed" as for temporal.worker

--- Makes a replayer; the scripts are loaded once.
---@param given temporal.ReplayerOptions
---@return temporal.Replayer
function replayer.new(given)
  for name in pairs(type(given) == "table" and given or {}) do
    if reasons[name] then
      error(("temporal.replayer: option '%s': %s"):format(name, reasons[name]), 2)
    end
  end
  local list = plugins.list("temporal.replayer", type(given) == "table" and given.plugins or nil)
  local o = options.check("temporal.replayer", spec, plugins.configure(list, "configure_replayer", given))
  local w = worker.new {
    task_queue = "replay", workflows = o.workflows, activities = o.activities, roots = o.roots,
    workflow_failure_error_types = o.workflow_failure_error_types, interceptors = o.interceptors,
    workflow_runner = o.workflow_runner, passthrough_modules = o.passthrough_modules,
  }
  local coding = converter.check("temporal.replayer", o.data_converter, 2)
  w.plan.converter_modules = converter.payload_converters(o.data_converter)
  local self = new(o, w.plan, list)
  self.coding = coding
  return self
end

--- A replayer of what a worker runs.
---@param w temporal.Worker
---@param namespace string
---@return temporal.Replayer
function replayer.of_worker(w, namespace)
  local o = w.options
  return new({ namespace = namespace, build_id = o.build_id, deployment_name = o.deployment_name }, w.plan)
end

local function check_history(where, h, level)
  if not history.is(h) then
    error(("%s: a history of temporal.history or client:fetch_histories is wanted, got %s"):format(where, type(h)),
      level + 1)
  end
  return h
end

local results_of -- behind source_of

local raise_spec = { raise_on_replay_failure = { kind = "boolean" } }

--- Replays one history. Raises the failure, or gives it as `replay_failure` of the result when
--- `raise_on_replay_failure` is false.
---@param h temporal.WorkflowHistory
---@param opts? { raise_on_replay_failure?: boolean }
---@return temporal.WorkflowReplayResult
function Replayer:replay_workflow(h, opts)
  local o = options.check("replay_workflow", raise_spec, opts)
  check_history("replay_workflow", h, 2)
  local results = results_of(self, { h }, "replay_workflow")
  local result = results()
  results() -- the end of the iteration: what plugins do behind it
  if result.replay_failure and o.raise_on_replay_failure ~= false then
    error(result.replay_failure, 2)
  end
  return result
end

--- A function that gives the next of a list of histories, or of what an iterator gives.
local function source_of(where, histories)
  if type(histories) == "function" then
    return histories
  elseif history.is(histories) or type(histories) ~= "table" then
    error(("%s: a list of histories or an iterator over them is wanted, got %s"):format(
      where, history.is(histories) and "one history" or type(histories)), 3)
  end
  local at = 0
  return function()
    at = at + 1
    return histories[at]
  end
end

--- Iterates over the results of histories, inside the plugins' run_replayer.
function results_of(self, histories, where)
  return plugins.around(self.plugins, "run_replayer", function(_, given)
    local next_history = source_of(where, given)
    return function()
      local h = next_history()
      return h ~= nil and replay_one(self, check_history(where, h, 2)) or nil
    end
  end, self, histories)
end

--- Iterates over results: each history is taken from the list or iterator when its turn comes, and a
--- failure does not end the iteration.
---@param histories temporal.WorkflowHistory[]|fun(): temporal.WorkflowHistory?
---@return fun(): temporal.WorkflowReplayResult?
function Replayer:workflow_replay_iterator(histories)
  return results_of(self, source_of("workflow_replay_iterator", histories), "workflow_replay_iterator")
end

--- What of two answers to one task differs, as text.
local function difference(started, usual, other)
  local message = "temporal.api.workflowservice.v1.RespondWorkflowTaskCompletedRequest"
  local all_a, all_b = core.decode_message(message, usual), core.decode_message(message, other)
  local a, b = all_a.commands or {}, all_b.commands or {}
  local function show(part)
    local ok, text = pcall(core.json_encode, part)
    return part == nil and "nothing" or ok and text or type(part) == "table" and part.command_type or "another value"
  end
  for i = 1, math.max(#a, #b) do
    if show(a[i]) ~= show(b[i]) then
      return ("event %d, command %d: %s where a cached run makes %s"):format(started, i, show(b[i]), show(a[i]))
    end
  end
  local names = {}
  for _, all in ipairs { all_a, all_b } do
    for name in pairs(all) do
      names[#names + 1] = name
    end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    if show(all_a[name]) ~= show(all_b[name]) then
      return ("event %d, %s: %s where a cached run says %s"):format(started, name, show(all_b[name]), show(all_a[name]))
    end
  end
  return ("event %d: an answer of other bytes"):format(started)
end

--- Runs the completed workflow tasks of a history again, each as a worker would whose cache has room for many
--- runs, for one and for none, and compares the commands byte for byte: they must not depend on whether a run
--- was cached. A stricter test than a replay, for histories made by these very scripts. Returns nil, or the
--- first failure.
---@param h temporal.WorkflowHistory
---@return temporal.ReplayError?
function Replayer:check_caches(h)
  check_history("check_caches", h, 2)
  local usual
  for _, size in ipairs { math.maxinteger, 0, 1 } do
    local bytes = decoded(self, h)
    local r = core.replayer_rerun(self.native, bytes, h.workflow_id, h.run_id, size, #bytes)
    local failure = failure_of(h, r)
    if failure then
      failure.text = ("with a cache of %s runs: %s"):format(size == math.maxinteger and "many" or size, failure.text)
      return failure
    end
    usual = usual or r.answers
    for i = 1, math.max(#usual, #r.answers) do
      if usual[i] ~= r.answers[i] then
        local text = ("with a cache of %d runs the task started by %s"):format(
          size, difference(r.started[i], usual[i], r.answers[i]))
        return setmetatable({ type = "NondeterminismError", message = text, text = text,
          workflow_id = h.workflow_id, run_id = h.run_id }, ReplayError)
      end
    end
  end
end

--- The fields of temporal.ReplayOptions.
local all_spec = {
  raise_on_replay_failure = { kind = "boolean" },
  progress = { kind = "function" },
}

---@class temporal.ReplayOptions
---@field raise_on_replay_failure? boolean default: true
---@field progress? fun(result: temporal.WorkflowReplayResult, count: integer)

---@class temporal.WorkflowReplayResults
---@field replay_failures table<string, temporal.ReplayError> by run id
---@field count integer histories replayed
---@field failed integer of them, those that failed

--- Replays all histories. Raises the first failure at once unless `raise_on_replay_failure` is false: then
--- all are replayed and the failures are in `replay_failures` by run id. `progress` is called with each
--- result and how many there were so far.
---@param histories temporal.WorkflowHistory[]|fun(): temporal.WorkflowHistory?
---@param opts? temporal.ReplayOptions
---@return temporal.WorkflowReplayResults
function Replayer:replay_workflows(histories, opts)
  local o = options.check("replay_workflows", all_spec, opts)
  local next_history = source_of("replay_workflows", histories)
  local results = { replay_failures = {}, count = 0, failed = 0 }
  for result in results_of(self, next_history, "replay_workflows") do
    local h = result.history
    local failure = result.replay_failure
    results.count = results.count + 1
    if o.progress then
      o.progress(result, results.count)
    end
    if failure and o.raise_on_replay_failure ~= false then
      error(failure, 2)
    elseif failure then
      local key = h.run_id ~= "" and h.run_id or h.workflow_id
      results.failed = results.failed + 1
      if results.replay_failures[key] then -- two histories of one run, or of none
        key = ("%s #%d"):format(key, results.count)
      end
      results.replay_failures[key] = failure
    end
  end
  return results
end

--- The options it was made with, checked.
---@return table
function Replayer:config()
  local copy = {}
  for k, v in pairs(self.options) do
    copy[k] = v
  end
  return copy
end

return replayer
