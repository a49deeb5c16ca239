local workflow = require "temporal.workflow"

return workflow.define("Welcome", function(name)
  local letter = workflow.execute_activity("letter", {
    start_to_close_timeout = "10s", retry_policy = { maximum_attempts = 2 },
  }, name)
  return letter .. " welcome to " .. workflow.info().workflow_id
end)
