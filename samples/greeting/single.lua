-- Workflow, activity, worker and client in one file. Run it with
--   temporal-lua run single.lua Ada
-- or, with the module installed, lua5.4 single.lua Ada.
-- For each run of the workflow this file is loaded again in the workflow sandbox, where only the
-- definition counts: the worker and client below do nothing there.
local temporal = require "temporal"
local workflow = require "temporal.workflow"

local Greeting = workflow.define("Greeting", function(name)
  workflow.sleep("10ms")
  return workflow.execute_activity("greet", { start_to_close_timeout = "10s" }, name)
end)

local client = temporal.connect {} -- the embedded server, in memory
local worker <close> = temporal.worker {
  client = client,
  task_queue = "greetings",
  workflows = { Greeting },
  activities = {
    greet = function(name)
      return "Hello, " .. name .. "!"
    end,
  },
}
worker:start()
print(client:execute_workflow(Greeting, { task_queue = "greetings" }, arg[1] or "world"))
return Greeting
