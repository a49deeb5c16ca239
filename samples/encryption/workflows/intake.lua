local temporal = require "temporal"
local workflow = require "temporal.workflow"
local records = require "activities.records"

return workflow.define("Intake", function(patient)
  local store = workflow.activity(records.store, {
    start_to_close_timeout = "10s", retry_policy = { maximum_attempts = 3 },
  })
  if not patient.consent then
    error(temporal.failure {
      type = "NoConsent", message = patient.name .. " has not agreed", details = { patient.name },
      non_retryable = true,
    })
  end
  return store(patient)
end)
