--- What the specs of reloads share: a folder of scripts that change, runs that wait for a signal, and what
--- their histories say.
local temporal = require "temporal"

local reloads = {}

--- Writes a file whole.
function reloads.write(path, text)
  local file <close> = assert(io.open(path, "wb"))
  file:write(text)
end

--- A folder with a workflow and an activity that tell their version.
function reloads.project()
  local root = os.tmpname()
  os.remove(root)
  assert(os.execute(("mkdir -p %s/flows %s/acts"):format(root, root)))
  local p = { root = root }
  function p.workflow(version, body)
    reloads.write(root .. "/flows/greet.lua", ([[
      local workflow = require "temporal.workflow"
      local go = false
      return workflow.define("Greet", function()
        workflow.set_signal_handler("go", function() go = true end)
        workflow.set_query_handler("waits", function() return true end)
        %s
        workflow.wait_condition(function() return go end)
        return "%s"
      end)
    ]]):format(body or "", version))
  end
  function p.activity(version)
    reloads.write(root .. "/acts/tell.lua", ([[
      local activity = require "temporal.activity"
      return activity.define("tell", function() return "%s" end)
    ]]):format(version))
  end
  function p.script(options)
    reloads.write(root .. "/main.lua", ([[
      local temporal = require "temporal"
      return temporal.worker { task_queue = "reload", workflows = { "flows.*" }, activities = { "acts.tell" },
        roots = { "%s" }, %s }
    ]]):format(root, options or ""))
  end
  p.workflow "one"
  p.activity "one"
  p.script()
  return setmetatable(p, { __close = function() os.execute("rm -rf " .. root) end })
end

--- A worker of the project, started.
function reloads.start(p, options)
  local o = { task_queue = "reload", workflows = { "flows.greet" }, activities = { "acts.tell" }, roots = { p.root } }
  for k, v in pairs(options or {}) do
    o[k] = v
  end
  return temporal.worker(o):start()
end

--- A run that waits for its signal.
function reloads.begin(w, id)
  local handle = w.client:start_workflow("Greet", { id = id, task_queue = "reload" })
  handle:query "waits" -- it waits now
  return handle
end

--- Its result.
function reloads.finish(handle)
  handle:signal "go"
  return handle:result { timeout = "20s" }
end

--- How many of its workflow tasks failed.
function reloads.failed_tasks(handle)
  local n = 0
  for _, event in ipairs(handle:fetch_history()) do
    n = n + (event.workflow_task_failed_event_attributes and 1 or 0)
  end
  return n
end

--- The build IDs that its workflow tasks were completed by, without repetition.
function reloads.builds_of(handle)
  local seen, list = {}, {}
  for _, event in ipairs(handle:fetch_history()) do
    local a = event.workflow_task_completed_event_attributes
    local stamp = a and (a.deployment_version or a.worker_version)
    if stamp and not seen[stamp.build_id] then
      seen[stamp.build_id] = true
      list[#list + 1] = stamp.build_id
    end
  end
  return list
end

return reloads
