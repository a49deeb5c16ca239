-- Activities that only wait, ten thousand at once, as coroutines of one worker process: its memory, how many really
-- were in work at once, and how long it took from the first start to the last result.
local core = require "temporal.core"
local client = require "temporal.client"
local processes = require "processes"

local WORKFLOWS, EACH, SECONDS = 20, 500, 30

return function(binary, address, tell)
  local connection <close> = client.connect { address = address }
  local worker <close> = processes.start {
    binary, "worker", "run", "bench/coroutines/worker.lua", "--address", address, "--log-level", "never",
  }
  local function start(id, ...)
    return connection:start_workflow("Naps", { id = id, task_queue = "coroutines", task_timeout = "1m" }, ...)
  end
  start("coroutines-0", 10, 0):result() -- it is there
  tell("coroutines: rss_before", worker:megabytes(), "MB")
  local began, handles, most = core.mono_ns(), {}, 0
  for i = 1, WORKFLOWS do
    handles[i] = start("coroutines-" .. i, EACH, SECONDS)
  end
  local peak = 0
  while (core.mono_ns() - began) / 1e9 < SECONDS do
    peak = math.max(peak, worker:megabytes())
    os.execute "sleep 0.5"
  end
  for _, handle in ipairs(handles) do
    most = math.max(most, handle:result())
  end
  tell("coroutines: at_once", most, "activities")
  tell("coroutines: rss_peak", peak, "MB")
  tell("coroutines: over_the_nap", (core.mono_ns() - began) / 1e9 - SECONDS, "s")
end
