--- The executors of a worker: threads, which are options of the host, and processes for activities. Errors name the
--- line that called `temporal.worker`.
local options = require "temporal.internal.options"

local worker_executors = {}

local process_spec = {
  kind = { kind = "string", required = true },
  size = { kind = "integer" },
  program = { kind = "string" },
  default = { kind = "boolean" },
}
local thread_spec = {
  kind = { kind = "string" },
  size = { kind = "integer" },
  thread_name_prefix = { kind = "string" },
}

--- An executor of threads, { size = n, thread_name_prefix = text }, as the host's options that say the same of
--- "activity", "workflow" or "nexus" threads.
local function thread_executor(o, name, threads)
  local where = "temporal.worker: " .. name
  local given = options.check(where, thread_spec, o[name], 4)
  if given.kind and given.kind ~= "threads" then
    error(where .. ": kind must be 'threads'", 3)
  end
  for field, target in pairs { size = threads .. "_threads", thread_name_prefix = threads .. "_thread_name_prefix" } do
    if given[field] ~= nil and o[target] ~= nil then
      error(("%s.%s and '%s' exclude each other"):format(where, field, target), 3)
    elseif field == "size" and given.size and given.size < 1 then
      error(("%s: size must be a number of threads from 1 up, got %d"):format(where, given.size), 3)
    elseif given[field] ~= nil then
      o[target] = given[field]
    end
  end
end

--- activity_executor = { kind = "processes", size = n }: fields of the plan. `default = false` keeps activities that
--- say no kind on threads. The executors that are threads become options.
---@param all temporal.WorkerOptions
---@return { process_count?: integer, process_program?: string, default_kind?: "process" }
function worker_executors.plan(all)
  for name, threads in pairs { workflow_task_executor = "workflow", nexus_task_executor = "nexus" } do
    if all[name] then
      thread_executor(all, name, threads)
      all[name] = nil
    end
  end
  local given = all.activity_executor
  if given == nil then
    return {}
  elseif given.kind == nil or given.kind == "threads" then
    thread_executor(all, "activity_executor", "activity")
    return {}
  end
  local o = options.check("temporal.worker: activity_executor", process_spec, given, 4)
  if o.kind ~= "processes" then
    error("temporal.worker: activity_executor: kind must be 'threads' or 'processes'", 3)
  elseif not o.size or o.size < 1 or o.size > 1000 then
    error("temporal.worker: activity_executor: size must be a number of processes from 1 to 1000", 3)
  end
  return {
    process_count = o.size, process_program = o.program, default_kind = o.default ~= false and "process" or nil,
  }
end

return worker_executors
