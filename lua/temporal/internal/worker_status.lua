--- The line that `temporal-lua worker run` keeps on a terminal: what its workers do now.
local core = require "temporal.core"

local SLICE_NS, EVERY = 200000000, 5 -- looked at each slice, written each fifth

local status = {}

local function rate(now, before, seconds)
  return ("%.0f/s"):format((now - (before or now)) / seconds)
end

--- What one worker does, in a few words. `before`: its counters when it was last asked.
---@param w temporal.Worker
---@param before table
---@param seconds number since then
---@return string text
---@return table counters
function status.of(w, before, seconds)
  local s, builds = w:stats(), w:builds()
  local in_work = s.workflow_slots_used + s.activity_slots_used + s.nexus_slots_used - s.polls
  local failed = s.workflow_tasks_failed + s.activities_failed + s.nexus_tasks_failed
  local current = builds[#builds]
  return ("%s: workflow tasks %s, activities %s | in work %d | polls %d | cached %d | build %s%s%s"):format(
    w.task_queue, rate(s.workflow_tasks_completed, before.workflow_tasks_completed, seconds),
    rate(s.activities_completed, before.activities_completed, seconds), math.max(0, in_work), s.polls, s.cached_runs,
    current.id:sub(1, 12), #builds > 1 and (" +%d"):format(#builds - 1) or "",
    failed > 0 and (" | failed %d"):format(failed) or ""), s
end

--- Writes the line again and again until no worker runs any more.
---@param workers temporal.Worker[]
---@param columns fun(): integer width of the terminal now
function status.keep(workers, columns)
  local before, slices = {}, 0
  local function running()
    for _, w in ipairs(workers) do
      if w:is_running() then
        return w
      end
    end
  end
  local w = running()
  while w do
    core.worker_pause(w.handle, SLICE_NS)
    slices = slices + 1
    if slices % EVERY == 0 then
      local texts = {}
      for i, each in ipairs(workers) do
        texts[i], before[i] = status.of(each, before[i] or {}, SLICE_NS * EVERY / 1e9)
      end
      -- The cursor stays in front: what is written next takes the place of the line.
      io.stdout:write("\r\27[K", table.concat(texts, "; "):sub(1, columns() - 1), "\r")
      io.stdout:flush()
    end
    w = running()
  end
  io.stdout:write "\r\27[K"
  io.stdout:flush()
end

return status
