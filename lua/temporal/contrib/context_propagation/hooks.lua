--- The workflow's side of temporal.contrib.context_propagation: what a run was started with goes on.
local workflow = require "temporal.workflow"

local outgoing = {
  "start_activity", "start_local_activity", "start_child_workflow", "signal_child_workflow",
  "signal_external_workflow", "continue_as_new",
}

return function(config)
  local hooks = {}
  for _, hook in ipairs(outgoing) do
    hooks[hook] = function(input, next)
      local given = workflow.info().headers
      for _, name in ipairs(config.headers) do
        if input.headers[name] == nil then
          input.headers[name] = given[name]
        end
      end
      return next(input)
    end
  end
  return { name = "context_propagation", workflow = hooks }
end
