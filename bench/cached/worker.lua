-- The worker whose memory is measured: temporal-lua worker run bench/cached/worker.lua --address ...
package.path = "bench/cached/?.lua;" .. package.path
local temporal = require "temporal"
local scripts = require "scripts"

local sources = { { name = "small", source = scripts.small }, { name = "large", source = scripts.large() } }
for i = 1, 3 do
  sources[#sources + 1] = { name = "rules_" .. i, source = scripts.rules(i) }
end

return temporal.worker {
  task_queue = "cached",
  workflows = sources,
  max_cached_workflows = 100000,
  max_cached_bytes = 1 << 40,
  sticky_queue_schedule_to_start_timeout = "1h",
}
