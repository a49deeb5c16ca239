---@meta temporal.workflow
-- What `require "temporal.workflow"` gives inside a workflow. See docs/lua.md. Activities and other workflows are in
-- workflow_calls.lua, coroutines that work together in workflow_sync.lua.

---@class temporal.workflow
---@field log temporal.workflow.Log
---@field logger temporal.workflow.Log the same table
---@field unsafe temporal.workflow.Unsafe
local workflow = {}

-- Definitions ------------------------------------------------------------------------------------
---@class temporal.workflow.DefineOptions
---@field name? string the workflow type; this or dynamic
---@field dynamic? boolean takes every type without a definition: init and run get the type first
---@field run function the workflow; after init it gets self first
---@field init? fun(...): any gets the arguments of run, returns self, cannot wait
---@field signals? table<string, temporal.workflow.Handler>
---@field updates? table<string, temporal.workflow.UpdateHandler>
---@field queries? table<string, temporal.workflow.QueryHandler>
---@field dynamic_signal? temporal.workflow.Handler gets the name first
---@field dynamic_update? temporal.workflow.UpdateHandler
---@field dynamic_query? temporal.workflow.QueryHandler gets the name first
---@field failure_error_types? string[] errors that fail the workflow instead of its task
---@field versioning_behavior? "pinned"|"auto_upgrade"
---@field sandboxed? boolean false: the functions reach files, programs and the environment
---@field args? temporal.ModelType[]
---@field result? temporal.ModelType
---@class temporal.workflow.Definition
---@field name string

--- Defines a workflow at the top of a module.
---@param name string
---@param run function
---@return temporal.workflow.Definition
---@overload fun(options: temporal.workflow.DefineOptions): temporal.workflow.Definition
function workflow.define(name, run) end

-- Timers and waiting -----------------------------------------------------------------------------

---@class temporal.workflow.TimerOptions
---@field summary? string
---@field event_groups? temporal.workflow.EventGroup[]

---@class temporal.workflow.ConditionOptions
---@field timeout? temporal.Duration
---@field timeout_summary? string
---@field event_groups? temporal.workflow.EventGroup[]

---@class temporal.workflow.WaitOptions
---@field timeout? temporal.Duration

---@class temporal.workflow.Future
local future = {}

--- Waits; returns the values or raises the error.
---@async
---@return any ...
function future:result() end

---@return boolean
function future:done() end

---@return temporal.Failure?
function future:error() end

function future:cancel() end

--- Only of workflow.future: gives the values; false when it was done already.
---@param ... any
---@return boolean
function future:resolve(...) end

--- Only of workflow.future: gives the error; false when it was done already.
---@param err any
---@return boolean
function future:fail(err) end

---@return temporal.workflow.Future
---@nodiscard
function workflow.future() end

--- Waits. 0 lets the other coroutines run and starts no timer.
---@async
---@param duration temporal.Duration
---@param options? temporal.workflow.TimerOptions
function workflow.sleep(duration, options) end

---@param duration temporal.Duration
---@param options? temporal.workflow.TimerOptions
---@return temporal.workflow.Future
---@nodiscard
function workflow.start_timer(duration, options) end

--- Waits until fn() is true; false when the time is over. fn must not change the workflow.
---@async
---@param fn fun(): any
---@param options? temporal.workflow.ConditionOptions
---@return boolean
function workflow.wait_condition(fn, options) end

--- The first future of the list that is done; nil when the time is over.
---@async
---@param futures temporal.workflow.Future[]
---@param options? temporal.workflow.WaitOptions
---@return temporal.workflow.Future?
function workflow.wait_any(futures, options) end

--- The first result of each future, with their number in n; raises as soon as one has failed.
---@async
---@param futures temporal.workflow.Future[]
---@return { n: integer, [integer]: any }
function workflow.wait_all(futures) end

--- Iterates over the futures in the order in which they are done.
---@async
---@param futures temporal.workflow.Future[]
---@return fun(): temporal.workflow.Future?
function workflow.as_completed(futures) end

---@class temporal.workflow.SelectCases
---@field [integer] { [1]: temporal.workflow.Future|temporal.workflow.Channel, [2]: function?, send: any }
---@field default? fun(): any ...

--- Calls the function of the first case that is ready and returns what it returns: { future, fn },
--- { channel, fn } (receive: fn(value, ok)), { channel, fn, send = value }.
---@async
---@param cases temporal.workflow.SelectCases
---@return any ...
function workflow.select(cases) end

-- Coroutines, cancellation, clean-up -------------------------------------------------------------

---@class temporal.workflow.ScopeOptions
---@field timeout? temporal.Duration
---@field timeout_summary? string

--- Runs fn as a coroutine of the workflow; it starts when the caller next waits.
---@param fn async fun(...): any ...
---@param ... any
---@return temporal.workflow.Future
function workflow.spawn(fn, ...) end

--- The same as workflow.spawn.
---@param fn async fun(...): any ...
---@param ... any
---@return temporal.workflow.Future
function workflow.async(fn, ...) end

--- Calls fn; a cancellation that comes meanwhile is raised at the first wait after it.
---@async
---@param fn fun(...): any ...
---@param ... any
---@return any ...
function workflow.shield(fn, ...) end

--- For a <close> variable: fn(err) is called, shielded, when the scope ends.
---@param fn async fun(err: any)
---@return userdata
---@nodiscard
function workflow.defer(fn) end

--- Calls fn; when the time is over its waits are cancelled and a TimeoutError is raised.
---@async
---@param options temporal.workflow.ScopeOptions?
---@param fn fun(...): any ...
---@param ... any
---@return any ...
function workflow.scope(options, fn, ...) end

---@class temporal.workflow.CancelScope
local cancel_scope = {}

--- Calls fn in the scope, once.
---@async
---@param fn fun(...): any ...
---@param ... any
---@return any ...
function cancel_scope:run(fn, ...) end

function cancel_scope:cancel() end

---@return boolean
function cancel_scope:cancelled() end

---@param options? temporal.workflow.ScopeOptions
---@return temporal.workflow.CancelScope
---@nodiscard
function workflow.cancel_scope(options) end

---@return boolean
function workflow.is_cancel_requested() end

---@return string?
function workflow.cancellation_reason() end

--- Whether the error would fail the workflow instead of its task.
---@param err any
---@return boolean
function workflow.is_failure_error(err) end

-- Signals and queries ----------------------------------------------------------------------------

---@class temporal.workflow.HandlerOptions
---@field handler async fun(...)
---@field description? string
---@field unfinished_policy? "warn_and_abandon"|"abandon" default: "warn_and_abandon"

---@class temporal.workflow.QueryHandlerOptions
---@field handler fun(...): any ...
---@field description? string

---@class temporal.workflow.UpdateHandlerOptions
---@field handler async fun(...): any ...
---@field validator? fun(...) gets the same arguments; what it raises rejects the update
---@field description? string
---@field unfinished_policy? "warn_and_abandon"|"abandon" default: "warn_and_abandon"

---@alias temporal.workflow.UpdateHandler (async fun(...): any ...)|temporal.workflow.UpdateHandlerOptions

---@class temporal.workflow.UpdateInfo
---@field id string
---@field name string

---@alias temporal.workflow.Handler (async fun(...))|temporal.workflow.HandlerOptions
---@alias temporal.workflow.QueryHandler (fun(...): any ...)|temporal.workflow.QueryHandlerOptions

---@param name string
---@param handler temporal.workflow.Handler? nil: none
function workflow.set_signal_handler(name, handler) end

---@param handler temporal.workflow.Handler? gets the name first; nil: none
function workflow.set_dynamic_signal_handler(handler) end

--- The function must not change the workflow and cannot wait.
---@param name string
---@param handler temporal.workflow.QueryHandler? nil: none
function workflow.set_query_handler(name, handler) end

---@param handler temporal.workflow.QueryHandler? gets the name first; nil: none
function workflow.set_dynamic_query_handler(handler) end

---@param name string
---@return function?
function workflow.get_signal_handler(name) end

---@return function?
function workflow.get_dynamic_signal_handler() end

---@param name string
---@return function?
function workflow.get_query_handler(name) end

---@return function?
function workflow.get_dynamic_query_handler() end

--- What the handler returns is the update's result.
---@param name string? nil: every name without a handler of its own
---@param handler temporal.workflow.UpdateHandler? nil: none
function workflow.set_update_handler(name, handler) end

---@param handler temporal.workflow.UpdateHandler? gets the name first; nil: none
function workflow.set_dynamic_update_handler(handler) end

---@param name string
---@return function?
function workflow.get_update_handler(name) end

---@return function?
function workflow.get_dynamic_update_handler() end

--- The update whose handler is running, nil outside of one.
---@return temporal.workflow.UpdateInfo?
function workflow.current_update_info() end

--- Whether no handler is in work.
---@return boolean
function workflow.all_handlers_finished() end

-- Time, chance, log ------------------------------------------------------------------------------

--- Seconds since the epoch as of the current workflow task.
---@return number
function workflow.now() end

--- workflow.now() as an integer.
---@return integer
function workflow.time() end

---@return integer
function workflow.time_ns() end

---@return string
function workflow.uuid4() end

--- Sorts by the workflow's time.
---@return string
function workflow.uuid7() end

--- A function like math.random with a stream of its own.
---@param name? string
---@return fun(low?: integer, high?: integer): number
---@nodiscard
function workflow.new_random(name) end

---@return integer
function workflow.random_seed() end

--- Functions of the host that interceptors give to workflows, by name. What they return is not recorded and must not
--- decide what the workflow does.
---@return table<string, fun(...: any): any ...>
function workflow.extern_functions() end

---@return boolean
function workflow.in_workflow() end

--- Calls fn(seed) when a reset has given the run another seed. fn cannot wait.
---@param fn fun(seed: integer)
function workflow.register_random_seed_callback(fn) end

--- What init returned; nil without one.
---@return any
function workflow.instance() end

--- math.random, seeded by the run.
---@param low? integer
---@param high? integer
---@return number
function workflow.random(low, high) end

--- A meter with the attributes namespace, task_queue and workflow_type; silent on replay and in queries.
---@return temporal.MetricMeter
function workflow.metric_meter() end

--- Lines of the log; silent on replay.
---@class temporal.workflow.Log
---@field trace fun(message: any, fields?: table<string, any>)
---@field debug fun(message: any, fields?: table<string, any>)
---@field info fun(message: any, fields?: table<string, any>)
---@field warn fun(message: any, fields?: table<string, any>)
---@field error fun(message: any, fields?: table<string, any>)
---@field with fun(fields: table<string, any>, options?: { log_during_replay?: boolean }): temporal.workflow.Log
---@overload fun(message: any, fields?: table<string, any>)

---@class temporal.workflow.Unsafe
---@field in_sandbox fun(): boolean
---@field is_replaying fun(): boolean
---@field is_replaying_history_events fun(): boolean false in queries
---@field is_read_only fun(): boolean in queries and predicates

-- Facts of the run -------------------------------------------------------------------------------

---@class temporal.workflow.Execution
---@field workflow_id string
---@field run_id string
---@field namespace? string

---@class temporal.workflow.Info
---@field workflow_id string
---@field run_id string
---@field workflow_type string
---@field namespace string
---@field task_queue string
---@field identity? string
---@field attempt integer
---@field start_time number seconds since the epoch
---@field headers table<string, any> of the start
---@field history_length integer
---@field history_size integer bytes
---@field continue_as_new_suggested boolean
---@field continue_as_new_suggested_reasons string[]
---@field target_worker_deployment_version_changed boolean
---@field current_build_id? string
---@field current_deployment_version? { deployment_name: string, build_id: string }
---@field memo table<string, any>
---@field search_attributes table<string, any>
---@field workflow_execution_timeout? number seconds
---@field workflow_run_timeout? number seconds
---@field workflow_task_timeout? number seconds
---@field retry_policy? temporal.workflow.RetryPolicy
---@field priority? temporal.workflow.Priority
---@field parent? temporal.workflow.Execution
---@field root? temporal.workflow.Execution
---@field first_execution_run_id? string
---@field original_run_id? string
---@field continued_run_id? string
---@field cron_schedule? string

---@return temporal.workflow.Info
function workflow.info() end

--- The results of the run before this one in a chain of runs.
---@return any ...
function workflow.last_result() end

---@return boolean
function workflow.has_last_completion_result() end

--- The same as workflow.last_result.
---@return any ...
function workflow.get_last_completion_result() end

--- The error of the run before this one, or nil.
---@return temporal.Failure?
function workflow.last_failure() end

--- The same as workflow.last_failure.
---@return temporal.Failure?
function workflow.get_last_failure() end

---@return string?
function workflow.get_current_details() end

---@return table<string, any>
function workflow.memo() end

---@param key string
---@param default? any
---@return any
function workflow.memo_value(key, default) end

--- The text that the query __temporal_workflow_metadata shows.
---@param text string
function workflow.set_current_details(text) end

--- temporal.null removes a field.
---@param fields table<string, any>
---@param options? temporal.workflow.GroupOptions
function workflow.upsert_memo(fields, options) end

--- temporal.null removes an attribute; temporal.search_attribute names the type.
---@param fields table<string, any>
---@param options? temporal.workflow.GroupOptions
function workflow.upsert_search_attributes(fields, options) end

---@class temporal.workflow.PayloadConverter
local payload_converter = {}

---@class temporal.Payload
---@field metadata table<string, string>
---@field data string

---@param value any
---@return temporal.Payload
function payload_converter:to_payload(value) end

---@param payload temporal.Payload
---@return any
function payload_converter:from_payload(payload) end

--- What converts arguments and results, with the worker's payload converters in it.
---@return temporal.workflow.PayloadConverter
function workflow.payload_converter() end

-- Event groups -------------------------------------------------------------------------------------

---@class temporal.workflow.EventGroup
local event_group = {}

---@class temporal.workflow.GroupOptions
---@field event_groups? temporal.workflow.EventGroup[]

--- Calls the function; what it asks for belongs to the group.
---@async
---@param fn fun(...): any ...
---@param ... any
---@return any ...
function event_group:scope(fn, ...) end

--- A group of events that belong together, for whoever looks at the history.
---@param id string stands in the history as it is
---@param options? { label?: string }
---@return temporal.workflow.EventGroup
---@nodiscard
function workflow.create_event_group(id, options) end

-- Versions of the code, continue as new ----------------------------------------------------------

---@param id string
---@param options? temporal.workflow.GroupOptions
---@return boolean
function workflow.patched(id, options) end

---@param id string
---@param options? temporal.workflow.GroupOptions
function workflow.deprecate_patch(id, options) end

--- The version of this change that the run began with; max for a run that gets here first. A recorded
--- version outside min..max fails the workflow task.
---@param change string
---@param min integer from workflow.default_version on
---@param max integer
---@return integer
function workflow.version(change, min, max) end

--- What workflow.version gives for a run that passed the place before the call was there.
workflow.default_version = -1

---@class temporal.workflow.SideEffectOptions
---@field summary? string

--- The values of fn(), recorded; on replay fn is not called. fn cannot wait or make commands.
---@param fn fun(): any ...
---@param options? temporal.workflow.SideEffectOptions
---@return any ...
function workflow.side_effect(fn, options) end

--- The values of fn(), recorded when they are other ones than the last with this id.
---@param id string
---@param fn fun(): any ...
---@param equals? fun(old: any, new: any): boolean
---@param options? temporal.workflow.SideEffectOptions
---@return any ...
function workflow.mutable_side_effect(id, fn, equals, options) end

---@class temporal.workflow.SessionOptions
---@field creation_timeout temporal.Duration how long it may take until a worker has the session
---@field execution_timeout temporal.Duration how long the session may last
---@field heartbeat_timeout? temporal.Duration after which a silent worker counts as gone; default 20 s
---@field task_queue? string whose workers may take it; default: the workflow's. Not when it is recreated

--- Waits until a worker has taken the session: activities started through it run there.
---@param options temporal.workflow.SessionOptions
---@return temporal.Session
function workflow.create_session(options) end

--- The same on the worker of an earlier session.
---@param token string of session:recreate_token
---@param options temporal.workflow.SessionOptions
---@return temporal.Session
function workflow.recreate_session(token, options) end

--- As session:complete.
---@param session temporal.Session
function workflow.complete_session(session) end

---@class temporal.workflow.ContinueAsNewOptions
---@field event_groups? temporal.workflow.EventGroup[]
---@field workflow_type? string|temporal.workflow.Definition default: this workflow
---@field task_queue? string
---@field workflow_run_timeout? temporal.Duration
---@field workflow_task_timeout? temporal.Duration
---@field backoff_start_interval? temporal.Duration
---@field headers? table<string, any>
---@field retry_policy? temporal.workflow.RetryPolicy
---@field memo? table<string, any>
---@field search_attributes? table<string, any>
---@field initial_versioning_behavior? "auto_upgrade"|"use_ramping_version"
---@field versioning_intent? "compatible"|"default"

--- Ends the run and starts the next one of the chain; never returns.
---@param options? temporal.workflow.ContinueAsNewOptions
---@param ... any
function workflow.continue_as_new(options, ...) end

return workflow
