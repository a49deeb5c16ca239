-- The commands on Nexus endpoints. commands.lua calls it with the pieces that commands share.

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
  return {
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
