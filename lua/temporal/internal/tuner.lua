--- Tuners: how many tasks of each kind a worker has in work at once. A tuner is made of one slot supplier
--- per kind of slot; a supplier has a fixed number of slots, or as many as memory and CPU allow.
local core = require "temporal.core"
local options = require "temporal.internal.options"

local tuner = {}

--- Options of a worker that a tuner stands for.
tuner.replaces = {
  "max_concurrent_workflow_tasks", "max_concurrent_activities", "max_concurrent_local_activities",
  "max_concurrent_nexus_tasks",
}

local kinds = { "workflow", "activity", "local_activity", "nexus" }

--- Defaults of the other SDKs.
local defaults = {
  workflow = { minimum = 5, maximum = 500, ramp_throttle = 0 },
  activity = { minimum = 1, maximum = 500, ramp_throttle = 50000000 },
  local_activity = { minimum = 1, maximum = 500, ramp_throttle = 50000000 },
  nexus = { minimum = 1, maximum = 500, ramp_throttle = 50000000 },
}

local Tuner = { __name = "temporal.Tuner" }
local Supplier = { __name = "temporal.SlotSupplier" }

local integer, duration, number = { kind = "integer" }, { kind = "duration" }, { kind = "number" }
local required = { kind = "number", required = true }
local slots_spec = { minimum_slots = integer, maximum_slots = integer, ramp_throttle = duration }
local based_spec = {
  target_memory_usage = required, target_cpu_usage = required, workflow_config = { kind = "table" },
  activity_config = { kind = "table" }, local_activity_config = { kind = "table" }, nexus_config = { kind = "table" },
}
local fixed_spec = {
  workflow_slots = integer, activity_slots = integer, local_activity_slots = integer, nexus_slots = integer,
}
local supplier_spec = {
  slots = integer, target_memory_usage = number, target_cpu_usage = number, minimum_slots = integer,
  maximum_slots = integer, ramp_throttle = duration,
}
local custom_spec = { module = { kind = "string", required = true }, config = { kind = "any" } }
local composite_spec = {}
for _, kind in ipairs(kinds) do
  composite_spec[kind .. "_supplier"] = { kind = "table", required = kind ~= "nexus" }
end

--- A tuner with fixed numbers of slots: `workflow_slots`, `activity_slots`, `local_activity_slots`, `nexus_slots`,
--- 100 each.
function tuner.fixed(given)
  local o = options.check("temporal.tuner.fixed", fixed_spec, given)
  local self = {}
  for _, kind in ipairs(kinds) do
    self[kind] = { maximum = o[kind .. "_slots"] or 100 }
  end
  return setmetatable(self, Tuner)
end

local function based(kind, o)
  local d = defaults[kind]
  return {
    resource_based = true, minimum = o.minimum_slots or d.minimum, maximum = o.maximum_slots or d.maximum,
    ramp_throttle = o.ramp_throttle or d.ramp_throttle,
  }
end

--- A tuner that gives slots while less than `target_memory_usage` and `target_cpu_usage` (shares from 0 to
--- 1) of the machine or the container are in use. `workflow_config`, `activity_config`,
--- `local_activity_config` and `nexus_config` are tables with `minimum_slots`, `maximum_slots` and `ramp_throttle`.
function tuner.resource_based(given)
  local where = "temporal.tuner.resource_based"
  local o = options.check(where, based_spec, given)
  local self = { target_memory_usage = o.target_memory_usage, target_cpu_usage = o.target_cpu_usage }
  for _, kind in ipairs(kinds) do
    local name = kind .. "_config"
    self[kind] = based(kind, options.check(where .. ": " .. name, slots_spec, o[name]))
  end
  return setmetatable(self, Tuner)
end

--- A slot supplier for `composite`: `{ slots = 10 }`, or `{ target_memory_usage =, target_cpu_usage = }`
--- with the limits that a resource-based tuner takes.
function tuner.supplier(given)
  local where = "temporal.tuner.supplier"
  local o = options.check(where, supplier_spec, given)
  local targets = o.target_memory_usage and o.target_cpu_usage
  if (o.slots ~= nil) == (targets ~= nil) then
    error(where .. " takes either slots, or target_memory_usage and target_cpu_usage", 2)
  end
  for name in pairs(o) do
    if o.slots and name ~= "slots" then
      error(("%s: '%s' means nothing beside slots"):format(where, name), 2)
    end
  end
  return setmetatable(o, Supplier)
end

--- A slot supplier for `composite` that is a module: a table with the functions `reserve(ctx)`,
--- `try_reserve(ctx)`, `mark_used(ctx)` and `release(ctx)`, loaded into a Lua state and a thread of its own.
--- `config` is given to its function `setup`. One supplier may serve several kinds of slots.
function tuner.custom(given)
  local where = "temporal.tuner.custom"
  local o = options.check(where, custom_spec, given)
  local custom = { module = o.module, config = o.config ~= nil and core.json_encode(o.config) or nil }
  return setmetatable({ custom = custom }, Supplier)
end

--- A tuner of one supplier per kind; 100 slots of Nexus tasks when it has none for them. Those that follow
--- resources share their targets.
function tuner.composite(given)
  local where = "temporal.tuner.composite"
  local o = options.check(where, composite_spec, given)
  local self = {}
  for _, kind in ipairs(kinds) do
    local name = kind .. "_supplier"
    local s = o[name] or tuner.supplier { slots = 100 }
    if getmetatable(s) ~= Supplier then
      error(("%s: %s wants a temporal.tuner.supplier or temporal.tuner.custom"):format(where, name), 2)
    end
    self[kind] = s.custom and { custom = s.custom } or s.slots and { maximum = s.slots } or based(kind, s)
    for _, target in ipairs { "target_memory_usage", "target_cpu_usage" } do
      if self[target] and s[target] and self[target] ~= s[target] then
        error(("%s: all suppliers that follow resources need the same %s"):format(where, target), 2)
      end
      self[target] = self[target] or s[target]
    end
  end
  return setmetatable(self, Tuner)
end

--- What the host reads; raises when it is no tuner.
function tuner.flatten(given)
  if getmetatable(given) ~= Tuner then
    error("temporal.worker: option 'tuner' wants a tuner of temporal.tuner", 3)
  end
  return given
end

return tuner
