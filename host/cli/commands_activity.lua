-- The commands on activities. commands.lua calls it with the pieces that commands share.

local function one_activity(run_id)
  return {
    { name = "activity-id", short = "a", kind = "string", required = true, help = "Id of the activity" },
    { name = "workflow-id", short = "w", kind = "string", help = "Workflow of the activity" },
    run_id,
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
  return {
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
        { name = "workflow-id", short = "w", kind = "string", required = true, help = "Workflow of the activity" },
        parts.run_id,
        { name = "reason", kind = "string", help = "Why, for those who look at the workflow" },
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
        { name = "retry-initial-interval", kind = "duration", help = "Pause before the second attempt" },
        { name = "retry-maximum-interval", kind = "duration", help = "Longest pause between attempts" },
        { name = "retry-backoff-coefficient", kind = "string", help = "A pause over the one before, at least 1" },
        { name = "retry-maximum-attempts", kind = "integer", help = "Attempts in all; 0 is no limit" },
        { name = "restore-original-options", kind = "boolean", help = "The options it was scheduled with instead" },
      }),
    },
  }
end
