-- The commands on activities. commands.lua calls it with the pieces that commands share.

local function one_activity(run_id)
  return {
    { name = "activity-id", short = "a", kind = "string", required = true, help = "Id of the activity" },
    { name = "workflow-id", short = "w", kind = "string", help = "Workflow of the activity" },
    run_id,
  }
end

--- One activity without a workflow.
local function alone()
  return {
    { name = "activity-id", short = "a", kind = "string", required = true, help = "Id of the activity" },
    { name = "run-id", short = "r", kind = "string", help = "Run of the activity (default: the newest)" },
  }
end

--- One of them, or all that a query finds.
local function alone_or_all(reason)
  return {
    { name = "activity-id", short = "a", kind = "string", help = "Id of the activity; not with --query" },
    { name = "run-id", short = "r", kind = "string", help = "Run of the activity (default: the newest)" },
    {
      name = "query",
      short = "q",
      kind = "string",
      help = "Filter, as in a SQL WHERE clause: a batch operation on all activities it finds",
    },
    { name = "rps", kind = "string", help = "Operations a second at most; only with --query" },
    { name = "reason", kind = "string", help = reason },
    { name = "yes", short = "y", kind = "boolean", help = "Do not ask" },
  }
end

local function starting(choice)
  return {
    { name = "activity-id", short = "a", kind = "string", required = true, help = "Id of the activity" },
    { name = "type", kind = "string", required = true, help = "Activity type" },
    { name = "task-queue", short = "t", kind = "string", required = true, help = "Task queue" },
    { name = "schedule-to-close-timeout", kind = "duration",
      help = "Time for all attempts together; this or --start-to-close-timeout is required" },
    { name = "schedule-to-start-timeout", kind = "duration", help = "Time an attempt may wait for a worker" },
    { name = "start-to-close-timeout", kind = "duration", help = "Time of one attempt" },
    { name = "heartbeat-timeout", kind = "duration", help = "Time between heartbeats" },
    { name = "start-delay", kind = "duration", help = "Time before the first attempt" },
    { name = "retry-initial-interval", kind = "duration", help = "Pause before the second attempt" },
    { name = "retry-maximum-interval", kind = "duration", help = "Longest pause between attempts" },
    { name = "retry-backoff-coefficient", kind = "string", help = "A pause over the one before, at least 1" },
    { name = "retry-maximum-attempts", kind = "integer", help = "Attempts in all; 0 is no limit" },
    choice("id-reuse-policy", { "AllowDuplicate", "AllowDuplicateFailedOnly", "RejectDuplicate" },
      "When an activity that has ended has the id"),
    choice("id-conflict-policy", { "Fail", "UseExisting" }, "When an activity that has not ended has the id"),
    { name = "search-attribute", kind = "strings", help = "Search attribute as KEY=JSON (may be repeated)" },
    { name = "static-summary", kind = "string", help = "One line of text for people" },
    { name = "static-details", kind = "string", help = "More text for people" },
    { name = "priority-key", kind = "integer", help = "Priority from 1 (first) up" },
    { name = "fairness-key", kind = "string", help = "Group that shares a task queue fairly" },
    { name = "fairness-weight", kind = "string", help = "Weight of that group" },
  }
end

--- Pending activities of one workflow, or of all that a query finds.
local pending = {
  { name = "activity-id", short = "a", kind = "string", help = "Id of the activity; not with --query" },
  { name = "activity-type", kind = "string", help = "All activities of this type instead" },
  { name = "match-all", kind = "boolean", help = "All activities instead" },
}
local jitter = {
  name = "jitter",
  kind = "duration",
  help = "The next attempt begins at a random time within it",
}
local resetting = {
  { name = "reset-heartbeats", kind = "boolean", help = "Forget the details of the last heartbeat" },
}

---@param parts table
---@return cli.Command[]
return function(parts)
  local service, target = parts.service, parts.target
  local reference = one_activity(parts.run_id)
  local start = parts.join(starting(parts.choice), parts.headers, parts.input "")
  return {
    {
      path = "activity cancel",
      summary = "Ask an activity without a workflow, or all that a query finds, to end",
      handler = "activity_cancel",
      options = service(alone_or_all "Why"),
    },
    {
      path = "activity count",
      summary = "Count activities without a workflow",
      handler = "activity_count",
      options = service { parts.query },
    },
    {
      path = "activity delete",
      summary = "Delete activities without a workflow; one that has not ended is terminated",
      handler = "activity_delete",
      options = service(alone_or_all "Why, with --query"),
    },
    {
      path = "activity describe",
      summary = "Show an activity without a workflow",
      handler = "activity_describe",
      options = service(alone(), { { name = "raw", kind = "boolean", help = "The answer as it is" } }),
    },
    {
      path = "activity execute",
      summary = "Start an activity without a workflow and wait for its result",
      handler = "activity_execute",
      options = service(start),
    },
    {
      path = "activity list",
      summary = "List activities without a workflow, newest first",
      handler = "activity_list",
      options = service({ parts.query }, parts.paging),
    },
    {
      path = "activity result",
      summary = "Wait for an activity without a workflow and show its result",
      handler = "activity_result",
      options = service(alone()),
    },
    {
      path = "activity start",
      summary = "Start an activity without a workflow",
      handler = "activity_start",
      options = service(start),
    },
    {
      path = "activity terminate",
      summary = "End an activity without a workflow, or all that a query finds, at once",
      handler = "activity_terminate",
      options = service(alone_or_all "Why (default: who asked)"),
    },
    {
      path = "activity complete",
      summary = "Complete an activity that was left open, with a result",
      handler = "activity_complete",
      options = service(reference, {
        { name = "result", kind = "string", required = true, help = "Result as JSON" },
      }),
    },
    {
      path = "activity fail",
      summary = "Fail an activity that was left open",
      handler = "activity_fail",
      options = service(reference, {
        { name = "reason", kind = "string", help = "Message of the failure" },
        { name = "detail", kind = "string", help = "Details of the failure as JSON" },
      }),
    },
    {
      path = "activity pause",
      summary = "Let no further attempt of an activity begin; one that runs goes on",
      handler = "activity_pause",
      options = service({
        { name = "activity-id", short = "a", kind = "string", help = "Id of the activity" },
        { name = "activity-type", kind = "string", help = "All activities of this type instead" },
        { name = "workflow-id", short = "w", kind = "string", help = "Workflow of the activity; none: it has none" },
        { name = "run-id", short = "r", kind = "string", help = "Run of the workflow, or of the activity without one" },
        { name = "reason", kind = "string", help = "Why, for those who look at it" },
      }),
    },
    {
      path = "activity reset",
      summary = "Count the attempts of activities from 1 again; one that waits begins now",
      handler = "activity_reset",
      options = service(target, pending, resetting, {
        jitter,
        { name = "keep-paused", kind = "boolean", help = "Leave it paused" },
        { name = "restore-original-options", kind = "boolean", help = "With the options it was scheduled with" },
      }),
    },
    {
      path = "activity unpause",
      summary = "Let activities that were paused go on",
      handler = "activity_unpause",
      options = service(target, pending, resetting, {
        jitter,
        { name = "reset-attempts", kind = "boolean", help = "Count attempts from 1 again" },
      }),
    },
    {
      path = "activity update-options",
      summary = "Give pending activities other options, for this and the attempts to come",
      handler = "activity_update_options",
      options = service(target, pending, {
        { name = "task-queue", kind = "string", help = "Task queue" },
        { name = "schedule-to-close-timeout", kind = "duration", help = "Time for all attempts together" },
        { name = "schedule-to-start-timeout", kind = "duration", help = "Time an attempt may wait for a worker" },
        { name = "start-to-close-timeout", kind = "duration", help = "Time of one attempt" },
        { name = "heartbeat-timeout", kind = "duration", help = "Time between heartbeats" },
        { name = "start-delay", kind = "duration", help = "Time before the first attempt; without a workflow only" },
        { name = "retry-initial-interval", kind = "duration", help = "Pause before the second attempt" },
        { name = "retry-maximum-interval", kind = "duration", help = "Longest pause between attempts" },
        { name = "retry-backoff-coefficient", kind = "string", help = "A pause over the one before, at least 1" },
        { name = "retry-maximum-attempts", kind = "integer", help = "Attempts in all; 0 is no limit" },
        { name = "restore-original-options", kind = "boolean", help = "The options it was scheduled with instead" },
      }),
    },
  }
end
