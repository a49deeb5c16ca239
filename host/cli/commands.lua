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

---@type cli.Command[]
return {
  {
    path = "bench",
    summary = "Measure the embedded server, worker and client in this process and print figures",
    handler = "bench",
    options = {
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
    path = "worker run",
    summary = "Run the workers that scripts return, beside an embedded server",
    handler = "worker_run",
    args = "SCRIPT...",
    options = { db, namespace, log_level, log_format },
  },
  {
    path = "workflow show",
    summary = "Draw the history of a workflow as a timeline",
    handler = "workflow_show",
    options = {
      {
        name = "workflow-id",
        short = "w",
        kind = "string",
        help = "Workflow to show, from --db-filename",
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
