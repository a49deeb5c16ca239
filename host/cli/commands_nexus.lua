-- The commands on Nexus endpoints and on operations without a workflow. commands.lua calls it with the pieces that
-- commands share.

--- One operation without a workflow.
local function alone()
  return {
    { name = "operation-id", kind = "string", required = true, help = "Id of the operation" },
    { name = "run-id", short = "r", kind = "string", help = "Run of the operation (default: the newest)" },
  }
end

local function starting(choice)
  return {
    { name = "endpoint", kind = "string", required = true, help = "Nexus endpoint that serves it" },
    { name = "service", kind = "string", required = true, help = "Nexus service" },
    { name = "operation", kind = "string", required = true, help = "Operation of the service" },
    { name = "operation-id", kind = "string", required = true, help = "Id of the operation" },
    { name = "schedule-to-close-timeout", kind = "duration", help = "Time for all attempts together" },
    { name = "schedule-to-start-timeout", kind = "duration", help = "Time within which a handler must start it" },
    { name = "start-to-close-timeout", kind = "duration", help = "Time it may take once it was started" },
    choice("id-reuse-policy", { "AllowDuplicate", "AllowDuplicateFailedOnly", "RejectDuplicate" },
      "When an operation that has ended has the id"),
    choice("id-conflict-policy", { "Fail", "UseExisting" }, "When an operation that has not ended has the id"),
    { name = "search-attribute", kind = "strings", help = "Search attribute as KEY=JSON (may be repeated)" },
    { name = "static-summary", kind = "string", help = "One line of text for people" },
  }
end

---@param parts table
---@return cli.Command[]
return function(parts)
  local service = parts.service
  local name = { name = "name", kind = "string", required = true, help = "Name of the endpoint" }
  local fields = {
    { name = "description", kind = "string", help = "What it is for, as Markdown" },
    { name = "description-file", kind = "string", help = "File that holds the description" },
    { name = "target-namespace", kind = "string", help = "Namespace whose workers handle its operations" },
    { name = "target-task-queue", kind = "string", help = "Task queue that those workers poll" },
    { name = "target-url", kind = "string", help = "URL of handlers elsewhere, where the server can call them" },
  }
  local start = parts.join(starting(parts.choice), parts.input "")
  return {
    {
      path = "nexus operation cancel",
      summary = "Ask a Nexus operation without a workflow to end: how it ends is its handler's",
      handler = "nexus_operation_cancel",
      options = service(alone(), { { name = "reason", kind = "string", help = "Why" } }),
    },
    {
      path = "nexus operation count",
      summary = "Count Nexus operations without a workflow",
      handler = "nexus_operation_count",
      options = service { parts.query },
    },
    {
      path = "nexus operation describe",
      summary = "Show a Nexus operation without a workflow",
      handler = "nexus_operation_describe",
      options = service(alone(), { { name = "raw", kind = "boolean", help = "The answer as it is" } }),
    },
    {
      path = "nexus operation execute",
      summary = "Start a Nexus operation without a workflow and wait for its result",
      handler = "nexus_operation_execute",
      options = service(start),
    },
    {
      path = "nexus operation list",
      summary = "List Nexus operations without a workflow, newest first",
      handler = "nexus_operation_list",
      options = service({ parts.query }, parts.paging),
    },
    {
      path = "nexus operation result",
      summary = "Wait for a Nexus operation without a workflow and show its result",
      handler = "nexus_operation_result",
      options = service(alone()),
    },
    {
      path = "nexus operation start",
      summary = "Start a Nexus operation without a workflow",
      handler = "nexus_operation_start",
      options = service(start),
    },
    {
      path = "nexus operation terminate",
      summary = "End a Nexus operation without a workflow at once; its handler does not hear of it",
      handler = "nexus_operation_terminate",
      options = service(alone(), { { name = "reason", kind = "string", help = "Why (default: who asked)" } }),
    },
    {
      path = "operator nexus endpoint create",
      summary = "Create a Nexus endpoint",
      handler = "operator_nexus_endpoint_create",
      options = service({ name }, fields),
    },
    {
      path = "operator nexus endpoint delete",
      summary = "Delete a Nexus endpoint",
      handler = "operator_nexus_endpoint_delete",
      options = service { name },
    },
    {
      path = "operator nexus endpoint get",
      summary = "Show a Nexus endpoint",
      handler = "operator_nexus_endpoint_get",
      options = service { name },
    },
    {
      path = "operator nexus endpoint list",
      summary = "List the Nexus endpoints",
      handler = "operator_nexus_endpoint_list",
      options = service(),
    },
    {
      path = "operator nexus endpoint update",
      summary = "Change a Nexus endpoint: what is not given stays",
      handler = "operator_nexus_endpoint_update",
      options = service({ name }, fields, {
        { name = "unset-description", kind = "boolean", help = "Take the description away" },
      }),
    },
  }
end
