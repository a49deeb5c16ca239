-- Every order belongs to a tenant, who travels in a header: put there by the client, wanted by the workflow, handed on
-- to activities, shown by activity.info(). `config` comes from worker.lua.
local temporal = require "temporal"
local workflow = require "temporal.workflow"

return function(config)
  local tenancy = { name = "tenancy", client = {}, workflow = {}, activity = {} }

  function tenancy.client.start_workflow(input, next)
    input.headers.tenant = input.headers.tenant or config.tenant
    return next(input)
  end

  function tenancy.workflow.execute_workflow(input, next)
    if not input.headers.tenant then
      error(temporal.failure { type = "NoTenant", message = input.type .. " was started without a tenant" })
    end
    return next(input)
  end

  function tenancy.workflow.handle_signal(input, next)
    workflow.log.info(("%s for %s"):format(input.signal, workflow.info().headers.tenant))
    return next(input)
  end

  function tenancy.workflow.start_activity(input, next)
    input.headers.tenant = workflow.info().headers.tenant
    return next(input)
  end

  function tenancy.activity.execute_activity(input, next)
    if input.args[1] > config.most then
      error(temporal.failure { type = "TooMuch", message = "above the tenant's limit", non_retryable = true })
    end
    return next(input)
  end

  function tenancy.activity.info(input, next)
    local info = next(input)
    info.tenant = info.headers.tenant
    return info
  end

  return tenancy
end
