-- Starts one workflow: temporal-lua run start.lua NAME [no]
package.path = (arg[0]:match "^(.*)/" or ".") .. "/?.lua;" .. package.path
local temporal = require "temporal"

local client <close> = temporal.connect { data_converter = require "converter", address = os.getenv "TEMPORAL_ADDRESS" }
local patient = { name = arg[1] or "Ada", consent = arg[2] ~= "no" }
local handle = client:start_workflow("Intake", { id = "intake-" .. os.time(), task_queue = "intake" }, patient)
print(handle.id, handle:result().id)
