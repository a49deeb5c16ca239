--- What `temporal-lua replay --plugin` does: the command finds histories and prints what became of them, one at a
--- time; a replayer with the plugins replays them.
local core = require "temporal.core"
local history = require "temporal.history"
local replayer = require "temporal.replayer"
local roots = require "temporal.internal.roots"

--- The plugin that a module returns, or makes of its configuration.
local function plugin_of(given)
  local made = require(given.module)
  if type(made) == "function" then
    made = made(given.config ~= "" and core.json_decode(given.config) or nil)
  end
  return made
end

--- What the command prints of a result; nil: a plugin has kept the history back.
local function told(result)
  local failure = result and result.replay_failure
  return result and {
    events = result.event_count, tasks = result.task_count, workflow_id = result.history.workflow_id,
    run_id = result.history.run_id, code = failure and failure.code, text = failure and failure.text,
    message = failure and failure.message, report = failure and failure.report_json,
  }
end

--- Makes the replayer. Returns a function that replays one history after the other, each an encoded one with
--- its ids or "", and ends when it is called without.
---@param o table options of the command
---@return fun(bytes?: string, workflow_id?: string, run_id?: string): table?
return function(o)
  roots.extend(o.roots)
  local list, hooks = {}, {}
  for i, given in ipairs(o.plugins) do
    list[i] = plugin_of(given)
  end
  for i, given in ipairs(o.interceptors) do
    hooks[i] = { module = given.module, config = given.config ~= "" and core.json_decode(given.config) or nil }
  end
  local made = replayer.new {
    workflows = o.workflows, activities = o.activities, roots = o.roots, namespace = o.namespace,
    passthrough_modules = o.passthrough_modules, interceptors = hooks, plugins = list,
  }
  local last
  local step = coroutine.wrap(function()
    local function next_history()
      local result = last
      last = nil
      return coroutine.yield(result)
    end
    for result in made:workflow_replay_iterator(next_history) do
      last = result
    end
  end)
  step() -- up to the first history that is asked for
  return function(bytes, workflow_id, run_id)
    local id, run = workflow_id ~= "" and workflow_id or nil, run_id ~= "" and run_id or nil
    return told(step(bytes and history.received(id, run, bytes)))
  end
end
