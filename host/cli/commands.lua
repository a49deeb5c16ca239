-- Every command of temporal-lua: the one source of the parser, the help texts and docs/cli.md.
--
-- Style of texts: a summary is one sentence in the imperative without a full stop; help says what an
-- option does, not that it is an option; defaults and environment variables are columns, not prose.
-- kind: string | integer | duration | boolean | strings (may be repeated). `handler` is the C function
-- tl_cmd_<handler>. `args` names what may stand behind the options; in brackets it may be left out.

---@class cli.Option
---@field name string
---@field short? string
---@field kind string
---@field alias? string another long name
---@field choices? string[] the only values, in any case
---@field env? string
---@field default? string
---@field pair? boolean each value is KEY=VALUE
---@field required? boolean
---@field help string

---@class cli.Command
---@field path string words
---@field summary string
---@field handler string
---@field args? string
---@field options cli.Option[]

-- What would make this file too long is in files of its own beside it.
local folder = debug.getinfo(1, "S").source:match "^@(.*)commands%.lua$"
local connection = dofile(folder .. "options_connection.lua")
local codec = dofile(folder .. "options_codec.lua")
local worker_options = dofile(folder .. "options_worker.lua")

local db = {
  name = "db-filename",
  short = "f",
  kind = "string",
  help = "Database file of the embedded server; without it everything is kept in memory",
}
local namespace = {
  name = "namespace",
  short = "n",
  kind = "string",
  env = "TEMPORAL_NAMESPACE",
  default = "default",
  help = "Namespace to use",
}
local log_level = {
  name = "log-level",
  kind = "string",
  default = "info",
  help = "Least level of log lines: trace, debug, info, warn, error, never",
}
local quiet_log_level = {}
for k, v in pairs(log_level) do
  quiet_log_level[k] = v
end
quiet_log_level.default = "warn"
local log_format = {
  name = "log-format",
  kind = "string",
  default = "text",
  help = "Form of log lines: text or json",
}
local roots = {
  name = "root",
  kind = "strings",
  help = "Folder that modules are searched in (may be repeated; default: the current one)",
}

--- The options that lead to a server elsewhere, behind a command's own.
local function with_address(options)
  return table.move(connection, 1, #connection, #options + 1, options)
end

--- Joins lists of options.
local function join(...)
  local all = {}
  for _, options in ipairs { ... } do
    table.move(options, 1, #options, #all + 1, all)
  end
  return all
end

--- An option with few values: they stand in the help text as well.
local function choice(name, values, help, more)
  local o = { name = name, kind = "string", choices = values }
  for k, v in pairs(more or {}) do
    o[k] = v
  end
  o.help = ("%s: %s"):format(help, table.concat(values, ", "))
  return o
end

--- How a command that prints through print.h prints.
local printing = {
  choice("output", { "text", "json", "jsonl", "none" }, "Form of the output", {
    short = "o",
    default = "text",
  }),
  choice("color", { "always", "never", "auto" }, "Colors in text; auto is on a terminal", {
    default = "auto",
  }),
  choice("time-format", { "relative", "iso", "raw" }, "Form of times in text", {
    default = "relative",
  }),
  {
    name = "no-json-shorthand-payloads",
    kind = "boolean",
    help = "Payloads with metadata and base64 data instead of as plain JSON",
  },
}
local no_log_level = {
  name = "log-level",
  kind = "string",
  default = "never",
  help = log_level.help,
}

--- What every command that talks to a service has, behind a command's own options.
local function service(...)
  local all = with_address(join({
    {
      name = "db-filename",
      kind = "string",
      help = "Database file to work on with a server of this process, instead of --address",
    },
    namespace,
    { name = "command-timeout", kind = "duration", help = "Time after which the command gives up" },
    {
      name = "client-connect-timeout",
      kind = "duration",
      default = "5s",
      help = "Time within which the server must answer first",
    },
    { name = "identity", kind = "string", help = "Who the service is told we are (default: pid@host)" },
    no_log_level,
    log_format,
  }, codec, printing, ...))
  for i, o in ipairs(all) do
    if o.name == "address" then
      all[i] = {
        name = "address",
        kind = "string",
        env = "TEMPORAL_ADDRESS",
        help = "Temporal server to use (default without --db-filename: localhost:7233)",
      }
    end
  end
  return all
end

--- The scripts of a replay.
local scripts = {
  {
    name = "workflows",
    short = "w",
    kind = "strings",
    required = true,
    help = "Workflow module, pattern or file (may be repeated)",
  },
  {
    name = "activities",
    short = "a",
    kind = "strings",
    help = "Activity module that the workflows require (may be repeated)",
  },
  {
    name = "interceptor",
    kind = "strings",
    help = "Interceptor of the worker, as MODULE or MODULE=CONFIG in JSON, the outermost first (may be repeated)",
  },
  {
    name = "plugin",
    kind = "strings",
    help = "Plugin of the replayer, as MODULE or MODULE=CONFIG in JSON, the first one outside (may be repeated)",
  },
  {
    name = "passthrough-module",
    kind = "strings",
    help = "Module or pattern of the worker's passthrough_modules (may be repeated)",
  },
  roots,
}

local worker_pid = {
  name = "pid",
  kind = "integer",
  default = "0",
  help = "Process of the worker; 0: the only one of this user",
}

local function workflow_id(required)
  return {
    name = "workflow-id",
    short = "w",
    kind = "string",
    required = required,
    help = required and "Id of the workflow" or "Id of the workflow (default: a new UUID)",
  }
end
local run_id = {
  name = "run-id",
  short = "r",
  kind = "string",
  help = "Run of the workflow; the newest without it",
}
local reference = { workflow_id(true), run_id }
local headers = {
  { name = "headers", kind = "strings", help = "Header as KEY=JSON (may be repeated)" },
}
local query = { name = "query", short = "q", kind = "string", help = "Filter, as in a SQL WHERE clause" }

--- Of commands that list page by page (listing.h).
local paging = {
  { name = "limit", kind = "integer", default = "0", help = "At most so many; 0 is all" },
  {
    name = "page-size", kind = "integer", default = "0",
    help = "How many to ask for at a time; 0 lets the server choose",
  },
}

--- User data. prefix: "" or "signal-".
local function input(prefix)
  return {
    {
      name = prefix .. "input",
      short = prefix == "" and "i" or nil,
      kind = "strings",
      help = "One value as JSON (may be repeated)",
    },
    {
      name = prefix .. "input-file",
      kind = "strings",
      help = ("File with one value, - is stdin (may be repeated; not with --%sinput)"):format(prefix),
    },
    {
      name = prefix .. "input-meta",
      kind = "strings",
      help = "Metadata as KEY=VALUE, encoding=... replaces json/plain; given again, for the next value",
    },
    {
      name = prefix .. "input-base64",
      kind = "boolean",
      help = "The values are base64 and are decoded first",
    },
  }
end

--- One workflow, or all that a query finds.
local target = {
  {
    name = "workflow-id",
    short = "w",
    kind = "string",
    help = "Id of the workflow; this or --query is required",
  },
  { name = "run-id", short = "r", kind = "string", help = "Run of the workflow; not with --query" },
  {
    name = "query",
    short = "q",
    kind = "string",
    help = "Filter, as in a SQL WHERE clause: a batch operation on all workflows it finds",
  },
  { name = "reason", kind = "string", help = "Why (default: Requested from CLI by USER)" },
  { name = "yes", short = "y", kind = "boolean", help = "Do not ask" },
  { name = "rps", kind = "string", help = "Operations a second at most; only with --query" },
}
local starting = join({
  workflow_id(false),
  {
    name = "type",
    alias = "name",
    kind = "string",
    required = true,
    help = "Workflow type (also: --name)",
  },
  { name = "task-queue", short = "t", kind = "string", required = true, help = "Task queue" },
  { name = "run-timeout", kind = "duration", help = "Longest time of one run" },
  {
    name = "execution-timeout",
    kind = "duration",
    help = "Longest time of all runs, with retries and continue-as-new",
  },
  {
    name = "task-timeout",
    kind = "duration",
    default = "10s",
    help = "Longest time of one workflow task",
  },
  {
    name = "search-attribute",
    kind = "strings",
    help = "Search attribute as KEY=JSON (may be repeated)",
  },
  { name = "memo", kind = "strings", help = "Memo field as KEY=JSON (may be repeated)" },
  { name = "static-summary", kind = "string", help = "One line of text for people" },
  { name = "static-details", kind = "string", help = "More text for people" },
  { name = "priority-key", kind = "integer", help = "Priority from 1 (first) up" },
  { name = "fairness-key", kind = "string", help = "Group that shares a task queue fairly" },
  { name = "fairness-weight", kind = "string", help = "Weight of that group" },
  { name = "cron", kind = "string", help = "Cron schedule" },
  { name = "start-delay", kind = "duration", help = "Time before the first workflow task" },
  choice(
    "id-reuse-policy",
    { "AllowDuplicate", "AllowDuplicateFailedOnly", "RejectDuplicate", "TerminateIfRunning" },
    "When a closed workflow has the id"
  ),
  choice(
    "id-conflict-policy",
    { "Fail", "UseExisting", "TerminateExisting" },
    "When a running workflow has the id"
  ),
}, headers, input "")
local fail_existing = {
  name = "fail-existing",
  kind = "boolean",
  help = "A workflow that runs already is an error",
}
local reject = choice(
  "reject-condition",
  { "not_open", "not_completed_cleanly" },
  "State of the workflow in which the query is refused"
)
---@type cli.Command[]
local commands = {
  {
    path = "bench",
    summary = "Measure server, worker and client and print figures",
    handler = "bench",
    options = with_address {
      { name = "json", kind = "boolean", help = "One JSON object per figure" },
      {
        name = "duration",
        kind = "duration",
        default = "3s",
        help = "Time spent on each throughput figure",
      },
      {
        name = "in-flight",
        kind = "integer",
        default = "64",
        help = "Workflows or calls under way at once",
      },
      {
        name = "only",
        kind = "strings",
        help = "Only these figures: idle, noop, one, three, ten, run, start, signal, query, echo, density, replay,"
          .. " dispatch (may be repeated)",
      },
      {
        name = "workflow-type",
        kind = "string",
        help = "With --only start or run: workflows of this type, of a worker in another process",
      },
      { name = "task-queue", kind = "string", help = "The task queue of that worker" },
      { name = "input", kind = "string", help = "JSON of the argument of those workflows" },
      { name = "leave-open", kind = "boolean", help = "With --only start: do not wait for their end" },
      {
        name = "rate",
        kind = "integer",
        default = "0",
        help = "Starts a second, as far as --in-flight allows; 0: as many as it allows",
      },
      {
        name = "server-pid",
        kind = "integer",
        default = "0",
        help = "Process of the server at --address, whose CPU time is told too",
      },
      db,
    },
  },
  {
    path = "replay",
    summary = "Replay histories against workflow scripts and report non-determinism",
    handler = "replay",
    args = "[HISTORY...]",
    options = service(scripts, {
      {
        name = "query",
        short = "q",
        kind = "string",
        help = "Also the runs of a service that match, as in a SQL WHERE clause",
      },
      { name = "limit", kind = "integer", default = "0", help = "At most so many of them; 0: all" },
      choice("report", { "text", "json" }, "Form of the reports, one line each in JSON (default: as --output)"),
      {
        name = "only-determinism-failures",
        kind = "boolean",
        help = "Histories that fail otherwise (a script error, an unknown type) do not count as failures",
      },
    }),
  },
  {
    path = "run",
    summary = "Run a Lua script with the temporal modules",
    handler = "run",
    args = "SCRIPT [ARGUMENT...]",
    options = { quiet_log_level, log_format },
  },
  {
    path = "server start-dev",
    summary = "Serve a development server for any Temporal SDK until it is stopped",
    handler = "server_start_dev",
    options = {
      db,
      {
        name = "namespace",
        short = "n",
        kind = "strings",
        help = "Namespace to make besides default (may be repeated)",
      },
      {
        name = "ip",
        kind = "string",
        default = "localhost",
        help = "Address to listen on",
      },
      {
        name = "port",
        short = "p",
        kind = "integer",
        default = "7233",
        help = "Port to listen on; 0 takes any free one",
      },
      {
        name = "http-port",
        kind = "integer",
        default = "0",
        help = "Port of the HTTP API (JSON); when given, 0 takes any free one",
      },
      {
        name = "metrics-port",
        kind = "integer",
        default = "0",
        help = "Port of /metrics for Prometheus; 0 takes any free one",
      },
      {
        name = "ui-port",
        kind = "integer",
        help = "Port of the status page; without it --port + 1000, or any free one when --port is 0",
      },
      { name = "ui-ip", kind = "string", help = "Address of the status page; without it --ip" },
      {
        name = "ui-public-path",
        kind = "string",
        help = "Path that the status page stands below, for a proxy in front of it",
      },
      {
        name = "ui-asset-path",
        kind = "string",
        help = "Folder whose files are served on --ui-port instead of the status page",
      },
      {
        name = "ui-codec-endpoint",
        kind = "string",
        help = "Codec endpoint that the status page names",
      },
      {
        name = "ui-disable-news-fetch",
        kind = "boolean",
        help = "The status page fetches no news, with this option and without it",
      },
      {
        name = "headless",
        kind = "boolean",
        help = "No status page",
      },
      {
        name = "sqlite-pragma",
        kind = "strings",
        help = "SQLite pragma as name=value (may be repeated)",
      },
      {
        name = "dynamic-config-value",
        kind = "strings",
        help = "Setting as key=value (may be repeated); a key without effect here is logged",
      },
      {
        name = "search-attribute",
        kind = "strings",
        help = "Search attribute to register as Name=Type (may be repeated)",
      },
      {
        name = "log-config",
        kind = "boolean",
        help = "Write the configuration that is in effect to stderr",
      },
      {
        name = "tls-cert-path",
        kind = "string",
        help = "PEM file of the server's certificate; turns TLS on",
      },
      { name = "tls-key-path", kind = "string", help = "PEM file of its key" },
      {
        name = "tls-client-ca-path",
        kind = "string",
        help = "PEM file of the authorities that clients' certificates must be signed by",
      },
      log_level,
      {
        name = "log-format",
        kind = "string",
        default = "text",
        help = "Form of log lines: text (or pretty) or json; another word means text",
      },
    },
  },
  {
    path = "worker run",
    summary = "Run the workers that scripts return, beside an embedded server or another (also: worker SCRIPT...)",
    handler = "worker_run",
    args = "SCRIPT...",
    options = with_address(join(join(codec, worker_options), {
      db, namespace, log_level, log_format,
      {
        name = "config",
        kind = "string",
        help = "Lua file that returns a table of worker options, and task_queues.NAME for one; flags go above it",
      },
      { name = "no-status", kind = "boolean", help = "No line on the terminal that tells what the workers do" },
      { name = "watch", kind = "boolean", help = "Reload when scripts beside the given ones, or below, change" },
      { name = "watch-folder", kind = "strings", help = "Reload when scripts in this folder change, too" },
      {
        name = "metrics-address",
        kind = "string",
        help = "Serve /metrics for Prometheus, /healthz and /readyz on this host:port; port 0 takes any free one",
      },
      { name = "health-address", kind = "string", help = "Serve /healthz and /readyz on this host:port" },
    })),
  },
  {
    path = "worker build-id",
    summary = "Print task queue and build ID of the workers that scripts return; no server is asked",
    handler = "worker_build_id",
    args = "SCRIPT...",
    options = {},
  },
  {
    path = "worker reload",
    summary = "Make a running worker load its scripts again, as SIGHUP does, and say how it went",
    handler = "worker_reload",
    options = {
      worker_pid,
      {
        name = "skip-replay",
        kind = "boolean",
        help = "Do not ask whether the histories of the task queue fit the new scripts",
      },
    },
  },
  {
    path = "worker rollback",
    summary = "Make a running worker go back to the build before the current one",
    handler = "worker_rollback",
    options = { worker_pid },
  },
  {
    path = "worker builds",
    summary = "List the builds that a running worker holds",
    handler = "worker_builds",
    options = { worker_pid },
  },
  {
    path = "workflow count",
    summary = "Count workflows",
    handler = "workflow_count",
    options = service { query },
  },
  {
    path = "workflow describe",
    summary = "Show the state of a workflow",
    handler = "workflow_describe",
    options = service(reference, {
      { name = "reset-points", kind = "boolean", help = "Only the points it can be reset to" },
      { name = "raw", kind = "boolean", help = "The service's answer as it is, in JSON" },
    }),
  },
  {
    path = "workflow execute",
    summary = "Start a workflow and wait for its end, showing its events",
    handler = "workflow_execute",
    options = service(starting, {
      fail_existing,
      {
        name = "detailed",
        kind = "boolean",
        help = "Every field of the events; in JSON, the whole history",
      },
    }),
  },
  {
    path = "workflow fix-history-json",
    summary = "Write a history in the JSON that tools write now, whatever spelling it came in",
    handler = "workflow_fix_history_json",
    options = {
      { name = "source", short = "s", kind = "string", required = true, help = "File with the history" },
      { name = "target", short = "t", kind = "string", help = "File to write; without it, or as -, stdout" },
    },
  },
  {
    path = "workflow list",
    summary = "List workflows",
    handler = "workflow_list",
    options = service({
      query,
      { name = "archived", kind = "boolean", help = "Those in the server's archive instead" },
    }, paging),
  },
  {
    path = "workflow metadata",
    summary = "Ask a workflow for its queries, signals and current details",
    handler = "workflow_metadata",
    options = service(reference, { reject }, headers),
  },
  {
    path = "workflow result",
    summary = "Wait for the end of a workflow and show its result",
    handler = "workflow_result",
    options = service(reference),
  },
  {
    path = "workflow stack",
    summary = "Ask a workflow where it stands",
    handler = "workflow_stack",
    options = service(reference, { reject }),
  },
  {
    path = "workflow start",
    summary = "Start a workflow",
    handler = "workflow_start",
    options = service(starting, { fail_existing }),
  },
  {
    path = "workflow show",
    summary = "Show the history of a workflow: drawn as a timeline, or its events",
    handler = "workflow_show",
    options = service {
      {
        name = "workflow-id",
        short = "w",
        kind = "string",
        help = "Workflow to show",
      },
      run_id,
      {
        name = "history-file",
        kind = "string",
        help = "Show the history in this file (JSON or protobuf) instead",
      },
      {
        name = "follow",
        short = "f",
        kind = "boolean",
        help = "Events as they come, until the workflow ends",
      },
      { name = "detailed", kind = "boolean", help = "Events with all their fields" },
      { name = "reverse", kind = "boolean", help = "Events, the newest first" },
    },
  },
  {
    path = "workflow trace",
    summary = "Draw a workflow with its activities, timers and children as a tree until it has ended",
    handler = "workflow_trace",
    options = service(reference, {
      {
        name = "fold",
        kind = "strings",
        help = "Children of this state are not unfolded: running, completed, failed, canceled, terminated, timedout,"
          .. " continueasnew (may be repeated; default: completed, canceled, terminated)",
      },
      { name = "no-fold", kind = "boolean", help = "Unfold all children" },
      { name = "depth", kind = "integer", default = "-1", help = "Levels of children to unfold; -1 is all" },
    }),
  },
}

--- Which version a workflow is on, whatever its own behavior says.
local function override(behaviors)
  local meaning = {
    unspecified = "unspecified (nothing)",
    pinned = "pinned",
    one_time = "one_time (until a task completes on the version)",
    auto_upgrade = "auto_upgrade",
  }
  local told = {}
  for i, behavior in ipairs(behaviors) do
    told[i] = meaning[behavior]
  end
  return {
    {
      name = "versioning-override-behavior",
      kind = "string",
      required = true,
      choices = behaviors,
      help = "What holds instead of the workflow's own: " .. table.concat(told, ", "),
    },
    {
      name = "versioning-override-deployment-name",
      kind = "string",
      help = "Worker deployment of the version, with pinned and one_time",
    },
    {
      name = "versioning-override-build-id",
      kind = "string",
      help = "Build ID of the version, with pinned and one_time",
    },
  }
end

local parts = {
  override = override,
  service = service, choice = choice, reference = reference,
  headers = headers, input = input, starting = starting, run_id = run_id,
  reject = reject, with_address = with_address, join = join, printing = printing,
  logging = { no_log_level, log_format }, target = target, query = query, paging = paging,
}
local more_commands = { "activity", "batch", "deployment", "messages", "nexus", "operator", "settings", "worker" }
for _, name in ipairs(more_commands) do
  local more = dofile(folder .. "commands_" .. name .. ".lua")(parts)
  table.move(more, 1, #more, #commands + 1, commands)
end

return commands
