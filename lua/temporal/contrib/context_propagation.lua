--- Context propagation: named headers that go with everything, from a client into workflows and from there to
--- activities, children, signals and the next run, without being named at each call.
---
---   local context = require "temporal.contrib.context_propagation"
---   local client = temporal.connect { interceptors = { context.interceptor {
---     headers = { "tenant" }, values = function() return { tenant = current_tenant } end } } }
local core = require "temporal.core"
local options = require "temporal.internal.options"

local context = {}

local spec = {
  headers = { kind = "table", required = true },
  values = { kind = "function" },
}

--- The calls of a client that carry headers, and where in their input these are.
local function own(input)
  return { input.headers }
end

local carriers = {
  start_workflow = own, signal_workflow = own, query_workflow = own, start_workflow_update = own,
  start_update_with_start_workflow = function(input)
    return { input.start_workflow_input.headers, input.update_workflow_input.headers }
  end,
}

--- What calls made inside an activity hand on: the headers that it got.
local function of_activity()
  local info = core.activity_info()
  return info and info.headers or {}
end

local function client_section(names, values)
  local section = {}
  for hook, headers_of in pairs(carriers) do
    section[hook] = function(input, next)
      local given = values and values() or of_activity()
      for _, headers in ipairs(headers_of(input)) do
        for _, name in ipairs(names) do
          if headers[name] == nil then
            headers[name] = given[name]
          end
        end
      end
      return next(input)
    end
  end
  return section
end

--- An entry for the option `interceptors`. `headers` is the list of names; `values`, a function of this script,
--- returns a table of them for each call of the client (without it: those of the running activity). A header that
--- a call names itself stays as it is.
---@param given { headers: string[], values?: fun(): table<string, any> }
---@return table
function context.interceptor(given)
  local o = options.check("context_propagation.interceptor", spec, given)
  for i, name in ipairs(o.headers) do
    if type(name) ~= "string" then
      error(("context_propagation.interceptor: headers[%d] must be a string, got a %s"):format(i, type(name)), 2)
    end
  end
  return {
    module = "temporal.contrib.context_propagation.hooks",
    config = { headers = o.headers },
    client = client_section(o.headers, o.values),
  }
end

return context
