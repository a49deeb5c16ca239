--- temporal.workflow in a host script: only definitions count here. A file that defines a workflow is
--- loaded again, for each run, in the workflow sandbox, where this module has its full surface.
local options = require "temporal.internal.options"

local workflow = {}

---@class temporal.WorkflowDefinition
---@field name string
---@field file string where it was defined
local Definition = { __name = "temporal.WorkflowDefinition" }
Definition.__index = Definition

local spec = {
  name = { kind = "string" },
  dynamic = { kind = "boolean" },
  run = { kind = "function", required = true },
  init = { kind = "function" },
  signals = { kind = "table" },
  updates = { kind = "table" },
  queries = { kind = "table" },
  dynamic_signal = { kind = "any" },
  dynamic_update = { kind = "any" },
  dynamic_query = { kind = "any" },
  failure_error_types = { kind = "table" },
  args = { kind = "table" },
  result = { kind = "any" },
  versioning_behavior = { kind = "string" },
  sandboxed = { kind = "boolean" },
}

--- Defines a workflow: `workflow.define("Order", function(order) ... end)` or with a table of name,
--- run, init, signals, updates, queries.
--- `dynamic = true` in place of a name: the workflow of all types without a definition.
---@param name string|table
---@param run? function
---@return temporal.WorkflowDefinition
function workflow.define(name, run, ...)
  if select("#", ...) > 0 or (type(name) == "table" and run ~= nil) then
    error("workflow.define takes a name and a function, or one table with name, run and the options", 2)
  end
  local given = type(name) == "table" and name or { name = name, run = run }
  local checked = options.check("workflow.define", spec, given)
  if (checked.dynamic or false) ~= (checked.name == nil) then
    error("workflow.define: a workflow has a name, or dynamic = true", 2)
  end
  return setmetatable({ name = checked.name or "", file = debug.getinfo(2, "S").source:gsub("^@", "") }, Definition)
end

--- Whether this code runs inside a workflow: here it does not.
---@return boolean
function workflow.in_workflow()
  return false
end

return setmetatable(workflow, {
  __index = function(_, name)
    error(
      ("workflow.%s can only be used inside a workflow; this is a host script"):format(tostring(name)),
      2
    )
  end,
})
