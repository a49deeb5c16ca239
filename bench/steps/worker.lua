-- The worker whose CPU time and memory are measured: BENCH_QUEUE names its task queue, BENCH_CACHE_BYTES the limit of
-- its cache.
local temporal = require "temporal"

return temporal.worker {
  task_queue = os.getenv "BENCH_QUEUE",
  workflows = { { name = "steps", source = [[
    local workflow = require "temporal.workflow"
    local options = { start_to_close_timeout = "10s" }
    return workflow.define("steps", function(n)
      local sum = 0
      for i = 1, n do sum = sum + workflow.execute_activity("same", options, i) end
      return sum
    end)]] } },
  activities = { "same" },
  max_cached_bytes = math.tointeger(tonumber(os.getenv "BENCH_CACHE_BYTES" or "")),
}
