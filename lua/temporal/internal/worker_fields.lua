--- What a worker takes beside the options of the host's table (host/worker/options.def): all that has to do with Lua
--- values. One row each: `kind` as temporal.internal.options checks it, `type` for LuaLS, `default` and `text` for
--- docs/worker_options.md and lua/temporal/meta/host/worker.lua: tools/gen/worker_options.lua makes them of both.
return {
  {
    name = "client", kind = { kind = "table" }, type = "temporal.Client", default = "a server of its own, in memory",
    text = "the client whose connection, namespace and data converter the worker uses",
  },
  {
    name = "workflows", kind = { kind = "table" }, type = "(string|table)[]", default = "none",
    text = "module names (`'workflows.order'`), patterns of one level (`'workflows.*'`), paths (`'main.lua'`), "
      .. "definitions made in this script, and `{ name =, source = }` with a module's text",
  },
  {
    name = "activities", kind = { kind = "table" }, type = "table", default = "none",
    text = "module names, patterns of one level (`'activities.*'`: what comes into the folder later is seen by a "
      .. "reload) and definitions; functions by name (`greet = fn`); `native = { 'libpay.so' }`",
  },
  {
    name = "nexus_services", kind = { kind = "table" }, type = "(string|temporal.NexusService)[]", default = "none",
    text = "module names and services: see [Nexus services](lua.md#nexus-services)",
  },
  {
    name = "roots", kind = { kind = "table" }, type = "string[]", default = "the script's folder",
    text = "folders in which modules and native modules are searched",
  },
  {
    name = "passthrough_modules", kind = { kind = "table" }, type = "string[]", default = "none",
    text = "modules and patterns whose values [all runs share](lua.md#pass-through-modules)",
  },
  {
    name = "activity_config", kind = { kind = "any" }, type = "any", default = "none",
    text = "plain values that `setup` of activity modules gets, see [Activities](lua.md#activities)",
  },
  {
    name = "activity_executor", kind = { kind = "table" }, type = "table",
    default = "as many threads as are needed, up to the slots",
    text = "`{ size = n, thread_name_prefix = }`: threads, local activities run on them too; or "
      .. "`{ kind = 'processes', size = n, program =, default = }`, see [processes](lua.md#activities-in-processes)",
  },
  {
    name = "workflow_task_executor", kind = { kind = "table" }, type = "table", default = "one thread for each core",
    text = "`{ size = n, thread_name_prefix = }`: the same as `workflow_threads` and `workflow_thread_name_prefix`",
  },
  {
    name = "nexus_task_executor", kind = { kind = "table" }, type = "table",
    default = "as many threads as are needed, up to the slots",
    text = "`{ size = n, thread_name_prefix = }`: the same as `nexus_threads` and `nexus_thread_name_prefix`",
  },
  {
    name = "activity_block_limit", kind = { kind = "duration" }, type = "temporal.Duration", default = "0.5 s",
    text = "how long a [coroutine activity](lua.md#coroutine-activities) may hold its loop up before that is logged",
  },
  {
    name = "tuner", kind = { kind = "table" }, type = "table", default = "none",
    text = "a [tuner](lua.md#worker) instead of `max_concurrent_workflow_tasks`, `max_concurrent_activities`, "
      .. "`max_concurrent_local_activities` and `max_concurrent_nexus_tasks`",
  },
  {
    name = "deployment_config", kind = { kind = "table" }, type = "table", default = "none",
    text = "`name`, `build_id`, `use_worker_versioning`, `default_versioning_behavior` in one table",
  },
  {
    name = "enable_session_worker", kind = { kind = "boolean" }, type = "boolean", default = "`false`",
    text = "whether the worker takes [sessions](lua.md#sessions): two more workers beside it, for activities alone",
  },
  {
    name = "max_concurrent_session_execution_size", kind = { kind = "integer" }, type = "integer", default = "1000",
    text = "how many sessions it has at once; others wait for another worker, or their turn",
  },
  {
    name = "reload", kind = { kind = "table" }, type = "table",
    default = "`replay = true, histories = 100, timeout = '30s'`",
    text = "what a new build has to pass: `replay`, `histories`, `timeout`, `check_command`; `set_current`: whether a "
      .. "versioned worker routes its deployment to it (default: when it owns it); see [hot_reload.md](hot_reload.md)",
  },
  {
    name = "interceptors", kind = { kind = "table" }, type = "(string|table)[]", default = "none",
    text = "modules of hooks, behind those of the client; see [interceptors.md](interceptors.md)",
  },
  {
    name = "plugins", kind = { kind = "table" }, type = "temporal.Plugin[]", default = "none",
    text = "plugins, behind those of the client; see [interceptors.md](interceptors.md)",
  },
  {
    name = "workflow_runner", kind = { kind = "enum", values = { "sandboxed", "unsandboxed" }, prefix = "" },
    type = "'sandboxed'|'unsandboxed'", default = "`'sandboxed'`",
    text = "`'unsandboxed'`: all workflows are [outside of the sandbox](determinism.md#outside-of-the-sandbox)",
  },
  {
    name = "on_fatal_error", kind = { kind = "function" }, type = "fun(failure: any)", default = "none",
    text = "called once with the error when the worker cannot go on, by the call that waits for its end",
  },
}
