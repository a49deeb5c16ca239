-- Every command of temporal-lua: the one source of the parser, the help texts and docs/cli.md.
--
-- Style of texts: a summary is one sentence in the imperative without a full stop; help says what an
-- option does, not that it is an option; defaults and environment variables are columns, not prose.
-- kind: string | integer | duration | boolean | strings (may be repeated). `handler` is the C function
-- tl_cmd_<handler>. `args` names what may stand behind the options.

---@class cli.Option
---@field name string
---@field short? string
---@field kind string
---@field env? string
---@field default? string
---@field required? boolean
---@field help string

---@class cli.Command
---@field path string words
---@field summary string
---@field handler string
---@field args? string
---@field options cli.Option[]

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
local output = {
  name = "output",
  short = "o",
  kind = "string",
  default = "text",
  help = "Form of the output: text or json",
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
  local more = {
    {
      name = "address",
      kind = "string",
      env = "TEMPORAL_ADDRESS",
      help = "Temporal server to use (host:port); without it the embedded server",
    },
    {
      name = "api-key",
      kind = "string",
      env = "TEMPORAL_API_KEY",
      help = "API key sent to the server; turns TLS on",
    },
    { name = "tls", kind = "boolean", env = "TEMPORAL_TLS", help = "Talk TLS to the server" },
    {
      name = "tls-ca-path",
      kind = "string",
      env = "TEMPORAL_TLS_SERVER_CA_CERT_PATH",
      help = "PEM file of the server's authorities; without it the system's; turns TLS on",
    },
    {
      name = "tls-cert-path",
      kind = "string",
      env = "TEMPORAL_TLS_CLIENT_CERT_PATH",
      help = "PEM file of the client's certificate; turns TLS on",
    },
    {
      name = "tls-key-path",
      kind = "string",
      env = "TEMPORAL_TLS_CLIENT_KEY_PATH",
      help = "PEM file of the key of the client's certificate",
    },
    {
      name = "tls-server-name",
      kind = "string",
      env = "TEMPORAL_TLS_SERVER_NAME",
      help = "Name expected in the server's certificate",
    },
  }
  return table.move(more, 1, #more, #options + 1, options)
end

---@type cli.Command[]
return {
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
        help = "Workflows kept running at once",
      },
      {
        name = "only",
        kind = "strings",
        help = "Only these figures: workflow, noop, start, idle, density, replay (may be repeated)",
      },
      db,
    },
  },
  {
    path = "replay",
    summary = "Replay histories against workflow scripts and report non-determinism",
    handler = "replay",
    args = "HISTORY-FILE...",
    options = {
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
      roots,
      output,
    },
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
        name = "headless",
        kind = "boolean",
        help = "Accepted and without effect: this server has no web interface",
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
        help = "Form of log lines: text (or pretty) or json",
      },
    },
  },
  {
    path = "worker run",
    summary = "Run the workers that scripts return, beside an embedded server or against another",
    handler = "worker_run",
    args = "SCRIPT...",
    options = with_address { db, namespace, log_level, log_format },
  },
  {
    path = "workflow show",
    summary = "Draw the history of a workflow as a timeline",
    handler = "workflow_show",
    options = with_address {
      {
        name = "workflow-id",
        short = "w",
        kind = "string",
        help = "Workflow to show, from --db-filename or --address",
      },
      {
        name = "run-id",
        short = "r",
        kind = "string",
        help = "Run to show; the newest without it",
      },
      {
        name = "history-file",
        kind = "string",
        help = "Show the history in this file (JSON or protobuf) instead",
      },
      db,
      namespace,
      output,
    },
  },
}
