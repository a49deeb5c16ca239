---@meta temporal.workflow
-- What `require "temporal.workflow"` gives inside a workflow. See docs/lua.md.

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

-- Activities -------------------------------------------------------------------------------------

---@class temporal.workflow.RetryPolicy
---@field initial_interval? temporal.Duration default: 1 s
---@field backoff_coefficient? number from 1; default: 2.0
---@field maximum_interval? temporal.Duration default: 100 times the initial one
---@field maximum_attempts? integer 0: no limit
---@field non_retryable_error_types? string[]

---@class temporal.workflow.Priority
---@field priority_key? integer
---@field fairness_key? string
---@field fairness_weight? number

---@class temporal.workflow.ActivityOptions
---@field start_to_close_timeout? temporal.Duration one attempt; this or the next one is needed
---@field schedule_to_close_timeout? temporal.Duration all attempts together
---@field schedule_to_start_timeout? temporal.Duration waiting for a worker
---@field heartbeat_timeout? temporal.Duration longest pause between heartbeats
---@field retry_policy? temporal.workflow.RetryPolicy
---@field task_queue? string default: the workflow's
---@field cancellation_type? "try_cancel"|"wait_cancellation_completed"|"abandon" default: "try_cancel"
---@field activity_id? string
---@field versioning_intent? "compatible"|"default" default: "compatible" on the workflow's own task queue
---@field priority? temporal.workflow.Priority
---@field summary? string
---@field event_groups? temporal.workflow.EventGroup[]
---@field disable_eager_execution? boolean
---@field headers? table<string, any>

---@class temporal.workflow.ActivityProxy
---@field name string
---@field options? temporal.workflow.ActivityOptions
---@operator call: any
local proxy = {}

--- Starts the activity with the proxy's options.
---@param ... any
---@return temporal.workflow.Future
---@nodiscard
function proxy:start(...) end

--- Runs an activity and returns its results; raises an ActivityError when it has failed for good.
---@async
---@param activity string|temporal.workflow.ActivityProxy
---@param options? temporal.workflow.ActivityOptions
---@param ... any
---@return any ...
function workflow.execute_activity(activity, options, ...) end

--- Starts an activity.
---@param activity string|temporal.workflow.ActivityProxy
---@param options? temporal.workflow.ActivityOptions
---@param ... any
---@return temporal.workflow.Future
---@nodiscard
function workflow.start_activity(activity, options, ...) end

--- A proxy with options of its own, which win over those of the activity's definition.
---@param activity string|temporal.workflow.ActivityProxy
---@param options? temporal.workflow.ActivityOptions
---@return temporal.workflow.ActivityProxy
---@nodiscard
function workflow.activity(activity, options) end

---@class temporal.workflow.LocalActivityOptions
---@field start_to_close_timeout? temporal.Duration one attempt; this or the next one is needed
---@field schedule_to_close_timeout? temporal.Duration all attempts together
---@field schedule_to_start_timeout? temporal.Duration waiting for a free slot, each attempt
---@field retry_policy? temporal.workflow.RetryPolicy
---@field local_retry_threshold? temporal.Duration longer pauses are timers; default: the workflow task's timeout
---@field cancellation_type? "try_cancel"|"wait_cancellation_completed"|"abandon" default: "try_cancel"
---@field activity_id? string
---@field summary? string
---@field event_groups? temporal.workflow.EventGroup[]
---@field headers? table<string, any>

---@class temporal.workflow.LocalActivityProxy
---@field name string
---@operator call: any
local local_proxy = {}

---@param ... any
---@return temporal.workflow.Future
---@nodiscard
function local_proxy:start(...) end

--- Runs an activity on this worker and returns its results; raises an ActivityError when it has failed.
---@async
---@param activity string|temporal.workflow.ActivityProxy|temporal.workflow.LocalActivityProxy
---@param options? temporal.workflow.LocalActivityOptions
---@param ... any
---@return any ...
function workflow.execute_local_activity(activity, options, ...) end

---@param activity string|temporal.workflow.ActivityProxy|temporal.workflow.LocalActivityProxy
---@param options? temporal.workflow.LocalActivityOptions
---@param ... any
---@return temporal.workflow.Future
---@nodiscard
function workflow.start_local_activity(activity, options, ...) end

---@param activity string|temporal.workflow.ActivityProxy|temporal.workflow.LocalActivityProxy
---@param options? temporal.workflow.LocalActivityOptions
---@return temporal.workflow.LocalActivityProxy
---@nodiscard
function workflow.local_activity(activity, options) end

-- Child workflows ----------------------------------------------------------------------------------

---@alias temporal.workflow.ChildCancellationType
---| "wait_cancellation_completed"
---| "wait_cancellation_requested"
---| "try_cancel"
---| "abandon"

---@class temporal.workflow.VersioningOverride
---@field behavior "pinned"|"auto_upgrade"|"one_time"
---@field deployment_name? string
---@field build_id? string

---@class temporal.workflow.ChildOptions
---@field id? string default: a random one
---@field namespace? string default: the workflow's
---@field task_queue? string default: the workflow's
---@field execution_timeout? temporal.Duration the whole chain of runs
---@field run_timeout? temporal.Duration one run
---@field task_timeout? temporal.Duration one workflow task
---@field retry_policy? temporal.workflow.RetryPolicy default: no retry
---@field cron_schedule? string
---@field memo? table<string, any>
---@field search_attributes? table<string, any>
---@field id_reuse_policy? "allow_duplicate"|"allow_duplicate_failed_only"|"reject_duplicate"|"terminate_if_running"
---@field parent_close_policy? "terminate"|"abandon"|"request_cancel" default: "terminate"
---@field cancellation_type? temporal.workflow.ChildCancellationType default: "wait_cancellation_completed"
---@field versioning_intent? "compatible"|"default"
---@field versioning_override? temporal.workflow.VersioningOverride
---@field static_summary? string
---@field event_groups? temporal.workflow.EventGroup[]
---@field static_details? string
---@field priority? temporal.workflow.Priority
---@field headers? table<string, any>

---@class temporal.workflow.ChildHandle: temporal.workflow.Future
---@field id string
---@field run_id? string of the first run, once it has started
local child = {}

--- Signals whatever run of the child is the current one; waits for the delivery.
---@async
---@param name string
---@param ... any
function child:signal(name, ...) end

--- As signal, with headers or event groups.
---@param options { headers?: table<string, any>, event_groups?: temporal.workflow.EventGroup[] }
---@param name string
---@param ... any
function child:signal_with(options, name, ...) end

---@param reason? string
function child:cancel(reason) end

---@class temporal.workflow.ChildProxy
---@field name string
---@field options? temporal.workflow.ChildOptions
---@operator call: any
local child_proxy = {}

--- Starts the child with the proxy's options.
---@async
---@param ... any
---@return temporal.workflow.ChildHandle
function child_proxy:start(...) end

--- Starts a child and waits until it has started; raises a ChildWorkflowError when it cannot.
---@async
---@param workflow_type string|temporal.workflow.Definition|temporal.workflow.ChildProxy
---@param options? temporal.workflow.ChildOptions
---@param ... any
---@return temporal.workflow.ChildHandle
function workflow.start_child_workflow(workflow_type, options, ...) end

--- Runs a child and returns its results; raises a ChildWorkflowError when it has failed for good.
---@async
---@param workflow_type string|temporal.workflow.Definition|temporal.workflow.ChildProxy
---@param options? temporal.workflow.ChildOptions
---@param ... any
---@return any ...
function workflow.execute_child_workflow(workflow_type, options, ...) end

--- A proxy: called it executes the child, its start method starts it.
---@param workflow_type string|temporal.workflow.Definition
---@param options? temporal.workflow.ChildOptions
---@return temporal.workflow.ChildProxy
---@nodiscard
function workflow.child(workflow_type, options) end

---@class temporal.workflow.SignalWithStartOptions
---@field id string
---@field signal string its name
---@field signal_args? any[] its arguments
---@field task_queue? string default: the workflow's
---@field execution_timeout? temporal.Duration the whole chain of runs
---@field run_timeout? temporal.Duration one run
---@field task_timeout? temporal.Duration one workflow task
---@field start_delay? temporal.Duration
---@field retry_policy? temporal.workflow.RetryPolicy default: no retry
---@field cron_schedule? string
---@field memo? table<string, any>
---@field search_attributes? table<string, any>
---@field id_reuse_policy? "allow_duplicate"|"allow_duplicate_failed_only"|"reject_duplicate"|"terminate_if_running"
---@field id_conflict_policy? "use_existing"|"terminate_existing" default: "use_existing"
---@field versioning_override? temporal.workflow.VersioningOverride
---@field priority? temporal.workflow.Priority
---@field static_summary? string
---@field static_details? string
---@field headers? table<string, any>

--- Signals the workflow with this id, which is started with the arguments when it does not run. Raises a
--- NexusOperationError when the service refuses.
---@async
---@param workflow_type string|temporal.workflow.Definition
---@param options temporal.workflow.SignalWithStartOptions
---@param ... any
---@return temporal.workflow.External
function workflow.signal_with_start_workflow(workflow_type, options, ...) end

---@class temporal.workflow.External
---@field id string
---@field run_id? string
---@field namespace? string
local external = {}

--- Signals the workflow; waits for the delivery.
---@async
---@param name string
---@param ... any
function external:signal(name, ...) end

--- As signal, with headers or event groups.
---@param options { headers?: table<string, any>, event_groups?: temporal.workflow.EventGroup[] }
---@param name string
---@param ... any
function external:signal_with(options, name, ...) end

--- Requests cancellation of the workflow; waits until the request was passed on.
---@async
---@param reason? string
---@param options? temporal.workflow.GroupOptions
function external:cancel(reason, options) end

--- A handle of any workflow. Nothing is looked up.
---@param id string
---@param options? { run_id?: string, namespace?: string }
---@return temporal.workflow.External
---@nodiscard
function workflow.external_workflow(id, options) end

--- The same, as Python calls it.
---@param id string
---@param options? { run_id?: string, namespace?: string }
---@return temporal.workflow.External
---@nodiscard
function workflow.get_external_workflow_handle(id, options) end

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
