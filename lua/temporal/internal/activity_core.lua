--- What temporal.activity calls of temporal.core: the activity that runs on this state, or the one that an
--- activity environment of temporal.testing plays.
local core = require "temporal.core"

local played = {} -- environments whose functions run, innermost last

local activity_core = setmetatable({
  --- The bits of why an activity should stop.
  reasons = { cancel_requested = 1, not_found = 2, paused = 4, reset = 8, timed_out = 16, worker_shutdown = 32 },
}, {
  __index = function(_, name)
    local top = played[#played]
    local own = top and top[name]
    return own or core[name]
  end,
})

--- Calls fn(...) as an activity whose functions of temporal.core are those of `functions`, as far as it has them.
---@param functions table<string, function>
---@param fn function
---@param ... any
---@return any ...
function activity_core.play(functions, fn, ...)
  local depth = #played
  played[depth + 1] = functions
  local results = table.pack(pcall(fn, ...))
  played[depth + 1] = nil
  if not results[1] then
    error(results[2], 0)
  end
  return table.unpack(results, 2, results.n)
end

return activity_core
