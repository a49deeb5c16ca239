-- The commands for operators: clusters, namespaces, search attributes, task queues. commands.lua calls it with
-- the pieces that commands share.

---@param parts table
---@return cli.Command[]
return function(parts)
  local service, choice = parts.service, parts.choice
  local function config_target(options)
    local types = { "workflow", "activity", "nexus" }
    table.move({
      { name = "task-queue", short = "t", kind = "string", required = true, help = "Task queue" },
      choice("task-queue-type", types, "Its type", { required = true }),
    }, 1, 2, 1, table.move(options, 1, #options, 3))
    return options
  end
  local function build_target(help, options)
    return {
      { name = "task-queue", short = "t", kind = "string", required = true, help = "Task queue" },
      { name = "build-id", kind = "string", required = true, help = help },
      table.unpack(options or {}),
    }
  end
  local namespace_fields = {
    { name = "description", kind = "string", help = "What it is for" },
    { name = "email", kind = "string", help = "Address of its owner" },
    { name = "data", kind = "strings", help = "Data as KEY=VALUE (may be repeated)" },
  }
  local function archival(default)
    local states = { "disabled", "enabled" }
    return {
      choice("history-archival-state", states, "Whether closed histories go to an archive", { default = default }),
      { name = "history-uri", kind = "string", help = "Where; not to be changed later" },
      choice("visibility-archival-state", states, "Whether closed workflows are listed there", { default = default }),
      { name = "visibility-uri", kind = "string", help = "Where; not to be changed later" },
    }
  end
  local replication = {
    { name = "active-cluster", kind = "string", help = "Cluster that is active for it" },
    { name = "cluster", kind = "strings", help = "Cluster it is replicated to (may be repeated)" },
  }
  local function retention(default)
    return {
      name = "retention",
      kind = "duration",
      default = default,
      help = "Time that closed workflows are kept",
    }
  end

  return {
    {
      path = "operator cluster describe",
      summary = "Show what a server tells of itself",
      handler = "operator_cluster_describe",
      options = service { { name = "detail", kind = "boolean", help = "Shard count and versions too" } },
    },
    {
      path = "operator cluster health",
      summary = "Ask a server whether it serves",
      handler = "operator_cluster_health",
      options = service(),
    },
    {
      path = "operator cluster list",
      summary = "List the clusters that a server knows",
      handler = "operator_cluster_list",
      options = service {
        { name = "limit", kind = "integer", default = "0", help = "Most clusters to list; 0 is all" },
      },
    },
    {
      path = "operator cluster remove",
      summary = "Make a server forget another cluster",
      handler = "operator_cluster_remove",
      options = service { { name = "name", kind = "string", required = true, help = "Name of the cluster" } },
    },
    {
      path = "operator cluster upsert",
      summary = "Make a server know another cluster, or change what it knows of it",
      handler = "operator_cluster_upsert",
      options = service {
        { name = "frontend-address", kind = "string", required = true, help = "Address of the cluster (host:port)" },
        { name = "enable-connection", kind = "boolean", help = "Connect to it" },
        { name = "enable-replication", kind = "boolean", help = "Replicate to it" },
      },
    },
    {
      path = "operator cluster system",
      summary = "Show a server's version and capabilities",
      handler = "operator_cluster_system",
      options = service(),
    },
    {
      path = "operator namespace create",
      summary = "Register a namespace",
      handler = "operator_namespace_create",
      args = "[NAMESPACE]",
      options = service(namespace_fields, { retention "72h" }, archival "disabled", replication, {
          { name = "global", kind = "boolean", help = "Known to all clusters" },
        }),
    },
    {
      path = "operator namespace delete",
      summary = "Delete a namespace with all its workflows",
      handler = "operator_namespace_delete",
      args = "[NAMESPACE]",
      options = service { { name = "yes", short = "y", kind = "boolean", help = "Do not ask" } },
    },
    {
      path = "operator namespace describe",
      summary = "Show a namespace",
      handler = "operator_namespace_describe",
      args = "[NAMESPACE]",
      options = service { { name = "namespace-id", kind = "string", help = "Id instead of the name" } },
    },
    {
      path = "operator namespace list",
      summary = "List the namespaces",
      handler = "operator_namespace_list",
      options = service(),
    },
    {
      path = "operator namespace update",
      summary = "Change a namespace",
      handler = "operator_namespace_update",
      args = "[NAMESPACE]",
      options = service(namespace_fields, { retention() }, archival(), replication, {
          { name = "promote-global", kind = "boolean", help = "Make it known to all clusters" },
          choice("replication-state", { "normal", "handover" }, "State of its replication"),
        }),
    },
    {
      path = "operator search-attribute create",
      summary = "Register search attributes in a namespace",
      handler = "operator_search_attribute_create",
      options = service {
        { name = "name", kind = "strings", required = true, help = "Name (may be repeated)" },
        {
          name = "type",
          kind = "strings",
          required = true,
          help = "Its type: Text, Keyword, Int, Double, Bool, Datetime, KeywordList (one for each name)",
        },
      },
    },
    {
      path = "operator search-attribute list",
      summary = "List the search attributes of a namespace",
      handler = "operator_search_attribute_list",
      options = service {},
    },
    {
      path = "operator search-attribute remove",
      summary = "Remove search attributes from a namespace",
      handler = "operator_search_attribute_remove",
      options = service {
        { name = "name", kind = "strings", required = true, help = "Name (may be repeated)" },
        { name = "yes", short = "y", kind = "boolean", help = "Do not ask" },
      },
    },
    {
      path = "task-queue config get",
      summary = "Show what is set for a task queue",
      handler = "task_queue_config_get",
      options = service(config_target {}),
    },
    {
      path = "task-queue config set",
      summary = "Limit how many tasks a second leave a task queue",
      handler = "task_queue_config_set",
      options = service(config_target {
        { name = "queue-rps-limit", kind = "string", help = "Tasks a second at most; 'default' takes the limit away" },
        { name = "queue-rps-limit-reason", kind = "string", help = "Why" },
        {
          name = "fairness-key-rps-limit-default",
          kind = "string",
          help = "Tasks a second of each fairness key, times its weight; 'default' takes the limit away",
        },
        { name = "fairness-key-rps-limit-reason", kind = "string", help = "Why" },
        {
          name = "fairness-key-weight",
          kind = "strings",
          help = "KEY=WEIGHT, or KEY=default to take the weight away (may be repeated)",
        },
        { name = "fairness-key-weight-clear-all", kind = "boolean", help = "Take all weights away" },
      }),
    },
    {
      path = "task-queue describe",
      summary = "Show who polls a task queue and what waits in it",
      handler = "task_queue_describe",
      options = service {
        { name = "task-queue", short = "t", kind = "string", required = true, help = "Task queue" },
        {
          name = "task-queue-type",
          kind = "strings",
          choices = { "workflow", "activity", "nexus" },
          help = "Only this type: workflow, activity, nexus (may be repeated)",
        },
        { name = "disable-stats", kind = "boolean", help = "Pollers only" },
        { name = "select-build-id", kind = "strings", help = "Only this build (may be repeated)" },
        { name = "select-unversioned", kind = "boolean", help = "Workers without a build, too" },
        { name = "select-all-active", kind = "boolean", help = "All builds that poll, or that tasks wait for" },
        { name = "report-reachability", kind = "boolean", help = "Whether new tasks go to the builds" },
        { name = "legacy-mode", kind = "boolean", help = "All builds of one type together" },
        choice("task-queue-type-legacy", { "workflow", "activity" }, "That type, with --legacy-mode", {
          default = "workflow",
        }),
        { name = "partitions-legacy", kind = "integer", default = "1", help = "Partitions to ask, with --legacy-mode" },
        { name = "report-config", kind = "boolean", help = "The queue's settings, with --legacy-mode" },
      },
    },
    {
      path = "task-queue get-build-ids",
      summary = "List the sets of compatible builds of a task queue (older versioning)",
      handler = "task_queue_get_build_ids",
      options = service {
        { name = "task-queue", short = "t", kind = "string", required = true, help = "Task queue" },
        { name = "max-sets", kind = "integer", default = "0", help = "Only so many, the default set last; 0: all" },
      },
    },
    {
      path = "task-queue list-partition",
      summary = "List the partitions of a task queue",
      handler = "task_queue_list_partition",
      options = service {
        { name = "task-queue", short = "t", kind = "string", required = true, help = "Task queue" },
      },
    },
    {
      path = "task-queue update-build-ids add-new-compatible",
      summary = "Add a build to the set of another (older versioning)",
      handler = "task_queue_build_ids_add_compatible",
      options = service(build_target("The new build", {
        {
          name = "existing-compatible-build-id",
          kind = "string",
          required = true,
          help = "A build of the set",
        },
        { name = "set-as-default", kind = "boolean", help = "Make the set the default of the task queue" },
      })),
    },
    {
      path = "task-queue update-build-ids add-new-default",
      summary = "Make a set of a new build the default of a task queue (older versioning)",
      handler = "task_queue_build_ids_add_default",
      options = service(build_target "The new build"),
    },
    {
      path = "task-queue update-build-ids promote-id-in-set",
      summary = "Make a build the one of its set that gets tasks (older versioning)",
      handler = "task_queue_build_ids_promote_in_set",
      options = service(build_target "The build"),
    },
    {
      path = "task-queue update-build-ids promote-set",
      summary = "Make the set of a build the default of its task queue (older versioning)",
      handler = "task_queue_build_ids_promote_set",
      options = service(build_target "A build of the set"),
    },
  }
end
