--- What several specs need.
local testing = require "temporal.testing"

local helper = {}

--- The binary under test.
helper.binary = os.getenv "TEMPORAL_LUA_BIN" or "build/temporal-lua"

--- The folder it was built in.
helper.build = helper.binary:match "^(.*)/[^/]*$" or "."

--- An environment whose workflow module is given as text.
---@param source string
---@param options? table
function helper.environment(source, options)
  local o = { workflows = { { name = "spec", source = source } } }
  for k, v in pairs(options or {}) do
    o[k] = v
  end
  return testing.environment(o)
end

--- Lets time pass until fn returns something true; fails after `seconds` on the wall, however busy the
--- machine is. Time is skipped unless a task is in work: the steps begin small.
function helper.eventually(env, fn, seconds)
  local core = require "temporal.core"
  local step, deadline = 0.001, core.mono_ns() + (seconds or 30) * 1000000000
  while core.mono_ns() < deadline do
    local value = fn()
    if value then
      return value
    end
    env:sleep(step)
    step = math.min(2 * step, 1)
  end
  error("it did not come true", 2)
end

--- The first event that has these attributes.
---@param handle temporal.WorkflowHandle
---@param attributes string "workflow_task_failed"
function helper.event(handle, attributes)
  for _, event in ipairs(handle:fetch_history()) do
    if event[attributes .. "_event_attributes"] then
      return event[attributes .. "_event_attributes"], event
    end
  end
end

--- The failure of the first failed workflow task, as an error table.
function helper.task_failure(env, handle)
  local core = require "temporal.core"
  local attributes = helper.eventually(env, function()
    return (helper.event(handle, "workflow_task_failed"))
  end)
  return core.decode_failure(attributes.failure), attributes
end

--- Runs a command; returns its exit code, its output and what it wrote to stderr. A sanitizer's runtime
--- that was loaded into this interpreter is not for the tools of the shell: their leaks are no news.
function helper.run(command)
  local errors = os.tmpname()
  local pipe = assert(io.popen(("unset LD_PRELOAD; %s 2>%s"):format(command, errors)))
  local output = pipe:read "a"
  local _, _, code = pipe:close()
  local file = assert(io.open(errors))
  local text = file:read "a"
  file:close()
  os.remove(errors)
  return code, output, text
end

--- A file with this content, removed when the spec ends.
function helper.file(content)
  local name = os.tmpname()
  local file = assert(io.open(name, "wb"))
  file:write(content)
  file:close()
  return setmetatable({ name = name }, { __close = function() os.remove(name) end })
end

return helper
