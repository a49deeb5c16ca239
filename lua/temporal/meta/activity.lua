---@meta temporal.activity
-- What `require "temporal.activity"` gives inside a workflow: definitions become proxies. See docs/lua.md.

---@class temporal.workflow.activity
local activity = {}

--- In a workflow: a proxy with these options. The function is not called there.
---@param name string
---@param run function
---@param options? temporal.workflow.ActivityOptions
---@return temporal.workflow.ActivityProxy
function activity.define(name, run, options) end

--- In a workflow: proxies of the activities "name.method", by method.
---@param name string
---@param object table
---@return table<string, temporal.workflow.ActivityProxy>
function activity.object(name, object) end

return activity
