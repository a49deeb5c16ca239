--- Sets of compatible builds in the client, the versioning from before worker deployments: operators change them,
--- and ask which builds may still get tasks.
local interceptors = require "temporal.internal.interceptors"
local options = require "temporal.internal.options"

local build_sets = {}

local duration = { kind = "duration" }
local needed = { kind = "string", required = true }

---@class temporal.BuildIdOperation
---@field operation "add_new_default"|"add_new_compatible"|"promote_set"|"promote_build_id_within_set"|"merge_sets"
---@field build_id? string of all but merge_sets
---@field existing_compatible_build_id? string of add_new_compatible
---@field promote_set? boolean of add_new_compatible
---@field primary_build_id? string of merge_sets
---@field secondary_build_id? string of merge_sets

--- What each operation wants, and its part of the request.
local operations = {
  add_new_default = {
    spec = { build_id = needed },
    part = function(o) return "add_new_build_id_in_new_default_set", o.build_id end,
  },
  add_new_compatible = {
    spec = { build_id = needed, existing_compatible_build_id = needed, promote_set = { kind = "boolean" } },
    part = function(o)
      return "add_new_compatible_build_id", {
        new_build_id = o.build_id, existing_compatible_build_id = o.existing_compatible_build_id,
        make_set_default = o.promote_set,
      }
    end,
  },
  promote_set = {
    spec = { build_id = needed },
    part = function(o) return "promote_set_by_build_id", o.build_id end,
  },
  promote_build_id_within_set = {
    spec = { build_id = needed },
    part = function(o) return "promote_build_id_within_set", o.build_id end,
  },
  merge_sets = {
    spec = { primary_build_id = needed, secondary_build_id = needed },
    part = function(o)
      return "merge_sets", { primary_set_build_id = o.primary_build_id, secondary_set_build_id = o.secondary_build_id }
    end,
  },
}
local names = options.sorted_keys(operations)

local function operation_part(where, given, level)
  local name = type(given) == "table" and given.operation
  local known = type(name) == "string" and operations[name]
  if not known then
    local near = type(name) == "string" and options.near(name, names)
    error(("%s: the operation must be a table whose `operation` is one of %s, got %s%s"):format(where,
      table.concat(names, ", "), type(given) == "table" and tostring(name) or type(given),
      near and (": did you mean '%s'?"):format(near) or ""), level + 1)
  end
  local rest = {}
  for key, value in pairs(given) do
    rest[key] = key ~= "operation" and value or nil
  end
  return known.part(options.check(where .. ": " .. name, known.spec, rest, level + 1))
end

local function need_queue(where, task_queue)
  if type(task_queue) ~= "string" or task_queue == "" then
    error(("%s: the task queue's name is expected, got %s"):format(where,
      task_queue == "" and "an empty one" or type(task_queue)), 3)
  end
end

local function copy(given, into)
  for name, value in pairs(given or {}) do
    into[name] = value
  end
  return into
end

--- Lists of strings that are not empty.
local function check_texts(where, name, list)
  for i, item in ipairs(list or {}) do
    if type(item) ~= "string" or item == "" then
      error(("%s: %s[%d] must be a string that is not empty"):format(where, name, i), 3)
    end
  end
end

local reachability = {
  kind = "enum", prefix = "TASK_REACHABILITY_",
  values = { "new_workflows", "existing_workflows", "open_workflows", "closed_workflows" },
}
local rpc_spec = { rpc_timeout = duration }
local get_spec = { max_sets = { kind = "integer" }, rpc_timeout = duration }
local reach_spec = { task_queues = { kind = "table" }, reachability = reachability, rpc_timeout = duration }

---@class temporal.BuildIdReachability
---@field task_queues table<string, string[]> what may still come from each: the words of `reachability`
---@field unretrieved_task_queues string[] those that the service did not look at

--- The service tells queues it did not look at by the number 0.
---@return temporal.BuildIdReachability
local function reach_of(item)
  local out = { task_queues = {}, unretrieved_task_queues = {} }
  for _, queue in ipairs(item.task_queue_reachability or {}) do
    local kinds = queue.reachability or {}
    if #kinds == 1 and kinds[1] == 0 then
      table.insert(out.unretrieved_task_queues, queue.task_queue)
    else
      local words = {}
      for i, number in ipairs(kinds) do
        words[i] = reachability.values[number] or "unspecified"
      end
      out.task_queues[queue.task_queue] = words
    end
  end
  return out
end

---@param Client table
function build_sets.install(Client)
  --- Changes the sets of compatible builds of a task queue; operators of workers with `use_worker_versioning` and no
  --- deployment do this. Servers refuse it unless they are told otherwise.
  ---@param task_queue string
  ---@param operation temporal.BuildIdOperation
  ---@param opts? { rpc_timeout?: temporal.Duration }
  function Client:update_worker_build_id_compatibility(task_queue, operation, opts)
    local where = "update_worker_build_id_compatibility"
    need_queue(where, task_queue)
    operation_part(where, operation, 2)
    options.check(where, rpc_spec, opts)
    local input = copy(opts, { task_queue = task_queue, operation = operation })
    interceptors.call(self.hooks, where, input, function(i)
      local o = options.check(where, rpc_spec, interceptors.options(i, "task_queue", "operation"), 0)
      local part, value = operation_part(where, i.operation, 0)
      self:call("UpdateWorkerBuildIdCompatibility", {
        namespace = self.namespace, task_queue = i.task_queue, [part] = value,
      }, o.rpc_timeout)
    end)
  end

  --- The sets of a task queue, each a list of build IDs whose last one gets the set's tasks; the last set is the
  --- queue's default. Options: `max_sets`, the newest so many.
  ---@param task_queue string
  ---@param opts? { max_sets?: integer, rpc_timeout?: temporal.Duration }
  ---@return string[][]
  function Client:get_worker_build_id_compatibility(task_queue, opts)
    local where = "get_worker_build_id_compatibility"
    need_queue(where, task_queue)
    local given = options.check(where, get_spec, opts)
    if given.max_sets and given.max_sets < 1 then
      error(("%s: max_sets wants a number from 1 up, got %d"):format(where, given.max_sets), 2)
    end
    return interceptors.call(self.hooks, where, copy(opts, { task_queue = task_queue }), function(i)
      local o = options.check(where, get_spec, interceptors.options(i, "task_queue"), 0)
      local answer = self:call("GetWorkerBuildIdCompatibility", {
        namespace = self.namespace, task_queue = i.task_queue, max_sets = o.max_sets,
      }, o.rpc_timeout)
      local sets = {}
      for k, set in ipairs(answer.major_version_sets or {}) do
        sets[k] = set.build_ids
      end
      return sets
    end)
  end

  --- Which builds may still get tasks, and from which task queues, by build ID. Options: `task_queues` (default: all),
  --- `reachability`, what is asked for. Servers of the present refuse it.
  ---@param build_ids string[]
  ---@param opts? { task_queues?: string[], reachability?: string, rpc_timeout?: temporal.Duration }
  ---@return table<string, temporal.BuildIdReachability>
  function Client:get_worker_task_reachability(build_ids, opts)
    local where = "get_worker_task_reachability"
    if type(build_ids) ~= "table" or #build_ids == 0 then
      error(where .. ": a list of one build ID at least is expected", 2)
    end
    local given = options.check(where, reach_spec, opts)
    check_texts(where, "build_ids", build_ids)
    check_texts(where, "task_queues", given.task_queues)
    return interceptors.call(self.hooks, where, copy(opts, { build_ids = build_ids }), function(i)
      local o = options.check(where, reach_spec, interceptors.options(i, "build_ids"), 0)
      local answer = self:call("GetWorkerTaskReachability", {
        namespace = self.namespace, build_ids = i.build_ids, task_queues = o.task_queues,
        reachability = options.enum_name(reachability, o.reachability),
      }, o.rpc_timeout)
      local out = {}
      for _, item in ipairs(answer.build_id_reachability or {}) do
        out[item.build_id] = reach_of(item)
      end
      return out
    end)
  end
end

return build_sets
