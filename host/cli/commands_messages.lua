-- The commands that send a workflow a message: queries, signals with start, updates. commands.lua calls it with the
-- pieces that commands share.

local update_id = { name = "update-id", kind = "string", help = "Id of the update (default: a random one)" }
local update_target = {
  { name = "update-id", kind = "string", required = true, help = "Id of the update" },
}
local function update_name(name, alias)
  return {
    name = name,
    alias = alias,
    kind = "string",
    required = true,
    help = ("Name of the update (also: --%s)"):format(alias),
  }
end
local function first_run(name)
  return { name = name, kind = "string", help = "Refuse unless the chain of runs began with this one" }
end
local function wait_for_stage(name)
  return {
    name = name,
    kind = "string",
    required = true,
    choices = { "accepted" },
    help = "How far the update is waited for: accepted",
  }
end

---@param parts table
return function(parts)
  local service, reference, headers, input = parts.service, parts.reference, parts.headers, parts.input
  local starting, reject = parts.starting, parts.reject
  local with_start = {
    update_name("update-name", "update-type"), first_run "update-first-execution-run-id", update_id, parts.run_id,
  }
  return {
    {
      path = "workflow query",
      summary = "Ask a workflow a query",
      handler = "workflow_query",
      options = service(reference, { reject }, headers, input "", {
        {
          name = "name",
          alias = "type",
          kind = "string",
          required = true,
          help = "Name of the query (also: --type)",
        },
      }),
    },
    {
      path = "workflow signal-with-start",
      summary = "Send a signal to a workflow, starting it when it does not run",
      handler = "workflow_signal_with_start",
      options = service(starting, input "signal-", {
        {
          name = "signal-name",
          alias = "signal-type",
          kind = "string",
          required = true,
          help = "Name of the signal (also: --signal-type)",
        },
      }),
    },
    {
      path = "workflow update describe",
      summary = "Show how far an update is",
      handler = "workflow_update_describe",
      options = service(reference, update_target),
    },
    {
      path = "workflow update execute",
      summary = "Send an update to a workflow and wait for its result",
      handler = "workflow_update_execute",
      options = service(reference, headers, input "", {
        update_name("name", "type"), first_run "first-execution-run-id", update_id,
      }),
    },
    {
      path = "workflow update result",
      summary = "Wait for the result of an update",
      handler = "workflow_update_result",
      options = service(reference, update_target),
    },
    {
      path = "workflow update start",
      summary = "Send an update to a workflow and wait until it is accepted",
      handler = "workflow_update_start",
      options = service(reference, headers, input "", {
        update_name("name", "type"), first_run "first-execution-run-id", update_id, wait_for_stage "wait-for-stage",
      }),
    },
    {
      path = "workflow execute-update-with-start",
      summary = "Send an update, starting the workflow when it does not run, and wait for its result",
      handler = "workflow_execute_update_with_start",
      options = service(starting, input "update-", with_start),
    },
    {
      path = "workflow start-update-with-start",
      summary = "Send an update, starting the workflow when it does not run, and wait until it is accepted",
      handler = "workflow_start_update_with_start",
      options = service(starting, input "update-", with_start, { wait_for_stage "update-wait-for-stage" }),
    },
  }
end
