local activity = require "temporal.activity"

return {
  store = activity.define("store", function(patient)
    return { id = "record-" .. #patient.name, name = patient.name }
  end),
}
