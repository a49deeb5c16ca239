-- Starts one transfer: temporal-lua run start.lua AMOUNT
package.path = (arg[0]:match "^(.*)/" or ".") .. "/?.lua;" .. package.path
local temporal = require "temporal"
local connection = require "connection"

local client <close> = temporal.connect(connection "operator")
print(client:execute_workflow("Transfer", { task_queue = "mtls" }, tonumber(arg[1]) or 1))
