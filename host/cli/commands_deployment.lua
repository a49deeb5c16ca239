-- The commands on worker deployments and their versions. commands.lua calls it with the pieces that
-- commands share.

---@param parts table
---@return cli.Command[]
return function(parts)
  local service = parts.service
  local name = {
    { name = "name", short = "d", kind = "string", required = true, help = "Name of the worker deployment" },
  }
  local deployment = {
    name = "deployment-name", kind = "string", required = true, help = "Name of the worker deployment",
  }
  local yes = { name = "yes", short = "y", kind = "boolean", help = "Do not ask" }
  local version = {
    deployment,
    { name = "build-id", kind = "string", required = true, help = "Build ID of the version" },
  }
  local version_or_none = {
    deployment,
    { name = "build-id", kind = "string", help = "Build ID of the version; this or --unversioned is required" },
    { name = "unversioned", kind = "boolean", help = "Workers without a version" },
  }
  local routing = {
    yes,
    {
      name = "ignore-missing-task-queues",
      kind = "boolean",
      help = "Go on although the version polls fewer task queues than the current one",
    },
    {
      name = "allow-no-pollers",
      kind = "boolean",
      help = "Go on although no worker of the version has polled; what does not exist is made",
    },
  }
  local metadata = service(version, {
    { name = "metadata", kind = "strings", help = "Entry as KEY=JSON (may be repeated)" },
    { name = "remove-entries", kind = "strings", help = "Entry that goes, by its key (may be repeated)" },
  })

  return {
    {
      path = "worker deployment create",
      summary = "Make a worker deployment before its first worker polls",
      handler = "worker_deployment_create",
      options = service(name),
    },
    {
      path = "worker deployment delete",
      summary = "Delete a worker deployment that has no versions",
      handler = "worker_deployment_delete",
      options = service(name),
    },
    {
      path = "worker deployment describe",
      summary = "Show where a worker deployment sends work, and its versions",
      handler = "worker_deployment_describe",
      options = service(name),
    },
    {
      path = "worker deployment list",
      summary = "List the worker deployments of the namespace",
      handler = "worker_deployment_list",
      options = service {},
    },
    {
      path = "worker deployment set-current-version",
      summary = "Send new and auto-upgrading workflows to a version",
      handler = "worker_deployment_set_current",
      options = service(version_or_none, routing),
    },
    {
      path = "worker deployment set-ramping-version",
      summary = "Send a share of new and auto-upgrading workflows to a version",
      handler = "worker_deployment_set_ramping",
      options = service(version_or_none, routing, {
        { name = "percentage", kind = "string", help = "The share, from 0 to 100 (default: 0)" },
        { name = "delete", kind = "boolean", help = "No version ramps any more" },
      }),
    },
    {
      path = "worker deployment describe-version",
      summary = "Show a version: since when it takes work, whether it has drained, its task queues",
      handler = "worker_deployment_describe_version",
      options = service(version, {
        { name = "report-task-queue-stats", kind = "boolean", help = "What waits in its task queues, too" },
      }),
    },
    {
      path = "worker deployment delete-version",
      summary = "Delete a version that nobody polls for and that has drained",
      handler = "worker_deployment_delete_version",
      options = service(version, {
        { name = "skip-drainage", kind = "boolean", help = "Although pinned workflows may be left on it" },
      }),
    },
    {
      path = "worker deployment update-version-metadata",
      summary = "Set and remove metadata of a version",
      handler = "worker_deployment_update_metadata",
      options = metadata,
    },
    {
      path = "worker deployment update-metadata-version",
      summary = "Older name of update-version-metadata",
      handler = "worker_deployment_update_metadata",
      options = table.move(metadata, 1, #metadata, 1, {}),
    },
    {
      path = "worker deployment manager-identity set",
      summary = "Let nobody else change a worker deployment",
      handler = "worker_deployment_set_manager",
      options = service {
        deployment,
        yes,
        { name = "manager-identity", kind = "string", help = "Who may; this or --self is required" },
        { name = "self", kind = "boolean", help = "The identity of this command" },
      },
    },
    {
      path = "worker deployment manager-identity unset",
      summary = "Let everybody change a worker deployment again",
      handler = "worker_deployment_unset_manager",
      options = service { deployment, yes },
    },
    {
      path = "workflow update-options",
      summary = "Pin a workflow, or all that a query finds, to a version, or let it go",
      handler = "workflow_update_options",
      options = service(parts.target, parts.override { "unspecified", "pinned", "one_time", "auto_upgrade" }),
    },
  }
end
