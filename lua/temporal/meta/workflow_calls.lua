---@meta
-- What `require "temporal.workflow"` gives for what a workflow calls: activities, local ones, child and other
-- workflows; the rest is in workflow.lua.

---@class temporal.workflow
local workflow = {}

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
