-- The commands on one workflow or on all that a query finds, and those on batch operations. commands.lua
-- calls it with the pieces that commands share.

local job_id = {
  name = "job-id",
  kind = "string",
  required = true,
  help = "Id of the batch operation, as the command that started it told",
}

---@param parts table
---@return cli.Command[]
return function(parts)
  local service, headers, input, target = parts.service, parts.headers, parts.input, parts.target
  local reference = parts.reference
  local reset_target = {}
  for _, o in ipairs(target) do
    if o.name ~= "reason" then
      reset_target[#reset_target + 1] = o
    end
  end
  local resetting = {
    { name = "reason", kind = "string", required = true, help = "Why" },
    {
      name = "event-id",
      short = "e",
      kind = "integer",
      default = "0",
      help = "Event behind the start of a workflow task: what is before it is kept",
    },
    {
      name = "type",
      short = "t",
      kind = "string",
      choices = { "FirstWorkflowTask", "LastWorkflowTask", "LastContinuedAsNew", "BuildId" },
      help = "The point instead of --event-id: FirstWorkflowTask, LastWorkflowTask, LastContinuedAsNew, BuildId",
    },
    {
      name = "build-id",
      kind = "string",
      help = "Build whose first workflow task is the point, with --type BuildId",
    },
    {
      name = "reapply-exclude",
      kind = "strings",
      choices = { "All", "Signal", "Update" },
      help = "What came behind the point and is not sent again: All, Signal, Update (may be repeated)",
    },
    {
      name = "reapply-type",
      kind = "string",
      default = "All",
      choices = { "All", "Signal", "None" },
      help = "What is sent again: All, Signal, None (older form of --reapply-exclude)",
    },
  }
  return {
    {
      path = "batch describe",
      summary = "Show the progress of a batch operation",
      handler = "batch_describe",
      options = service { job_id },
    },
    {
      path = "batch list",
      summary = "List batch operations, newest first",
      handler = "batch_list",
      options = service {
        { name = "limit", kind = "integer", default = "0", help = "Jobs at most; 0 is all" },
      },
    },
    {
      path = "batch terminate",
      summary = "Stop a batch operation where it is",
      handler = "batch_terminate",
      options = service {
        job_id,
        { name = "reason", kind = "string", required = true, help = "Why" },
      },
    },
    {
      path = "workflow cancel",
      summary = "Ask a workflow, or all that a query finds, to end",
      handler = "workflow_cancel",
      options = service(target),
    },
    {
      path = "workflow delete",
      summary = "Delete workflows with their histories; one that runs is terminated first",
      handler = "workflow_delete",
      options = service(target),
    },
    {
      path = "workflow pause",
      summary = "Pause a workflow: it takes no task and starts no activity until it is unpaused",
      handler = "workflow_pause",
      options = service(reference, {
        { name = "reason", kind = "string", help = "Why" },
      }),
    },
    {
      path = "workflow reset",
      summary = "Start a workflow, or all that a query finds, again from a point of its history",
      handler = "workflow_reset",
      options = service(reset_target, resetting),
    },
    {
      path = "workflow reset with-workflow-update-options",
      summary = "The same, and pin the new run to a version or let it go",
      handler = "workflow_reset_with_options",
      options = service(reset_target, resetting, parts.override { "pinned", "one_time", "auto_upgrade" }),
    },
    {
      path = "workflow signal",
      summary = "Send a signal to a workflow, or to all that a query finds",
      handler = "workflow_signal",
      options = service(target, headers, input "", {
        {
          name = "name",
          alias = "type",
          kind = "string",
          required = true,
          help = "Name of the signal (also: --type)",
        },
      }),
    },
    {
      path = "workflow terminate",
      summary = "End a workflow, or all that a query finds, at once",
      handler = "workflow_terminate",
      options = service(target),
    },
    {
      path = "workflow unpause",
      summary = "Let a paused workflow go on",
      handler = "workflow_unpause",
      options = service(reference, {
        { name = "reason", kind = "string", help = "Why" },
      }),
    },
  }
end
