-- What a worker costs: dispatch of activities, CPU time of its process for a workflow of ten activities beside the
-- workers of other SDKs, memory of each open run, and throughput when the runs do not fit its cache.
local core = require "temporal.core"
local processes = require "processes"
local cache = require "cache"

local GROWTH_RUNS, ALL_RUNS = 20000, 100000
local BESIDE, BEYOND = 16, 400 -- workflows in flight
local LEAST_CACHE = 1 << 20 -- bytes: a quarter of the runs in flight fit, each of which has 11 KB

local queues = 0

local function new_queue()
  queues = queues + 1
  return ("steps-%d"):format(queues)
end

--- Figures of one load of ten-activity workflows on a worker that is started for it, by name.
local function load_of(options, in_flight, make_words)
  local queue = new_queue()
  local worker <close> = processes.start(make_words(queue))
  local function run(seconds, n)
    local text, well = processes.output {
      "timeout", "120", options.binary, "bench", "--json", "--address", options.address, "--only", "run",
      "--workflow-type", "steps", "--task-queue", queue, "--input", "10",
      "--in-flight", n, "--duration", ("%gs"):format(seconds),
      "--server-pid", worker.pid,
    }
    assert(well, "the load was not done in two minutes: " .. processes.line(make_words(queue)))
    local found = {}
    for line in text:gmatch "[^\n]+" do
      local figure = core.json_decode(line)
      found[figure.name] = figure.value
    end
    return found
  end
  run(0.3, 4) -- it is there and warm
  return run(options.seconds, in_flight)
end

local function ours(options, cache_bytes)
  return function(queue)
    return {
      "env", "BENCH_QUEUE=" .. queue, "BENCH_CACHE_BYTES=" .. (cache_bytes or ""), options.binary, "worker", "run",
      "bench/steps/worker.lua", "--address", options.address, "--log-level", "error",
    }
  end
end

local function cpu_beside_others(options, tell)
  local workers = { { "Lua", ours(options) } }
  if options.go then
    table.insert(workers, { "Go SDK", function(queue) return { options.go, "worker", options.address, queue } end })
  end
  if options.python then
    table.insert(workers, { "Python SDK", function(queue)
      return { options.python, "bench/python_load.py", options.address, "--worker", queue }
    end })
  end
  if options.typescript then
    table.insert(workers, { "TypeScript SDK", function(queue)
      return { "node", "bench/typescript/worker.mjs", options.typescript, options.address, queue }
    end })
  end
  for _, worker in ipairs(workers) do
    local found = load_of(options, BESIDE, worker[2])
    tell(("worker, ten activities: %s, cpu"):format(worker[1]), found.run_server_cpu / 1000, "ms each")
    tell(("worker, ten activities: %s, rate"):format(worker[1]), found.run, "workflows/s")
  end
end

local function beyond_the_cache(options, tell)
  local all = load_of(options, BEYOND, ours(options))
  local quarter = load_of(options, BEYOND, ours(options, LEAST_CACHE))
  tell("worker, ten activities, 400 in flight: all cached", all.run, "workflows/s")
  tell("worker, ten activities, 400 in flight: a quarter cached", quarter.run, "workflows/s")
end

local function growth(options, tell)
  local runs = options.full and ALL_RUNS or GROWTH_RUNS
  local bytes, megabytes, count = cache.growth(options.binary, options.address, "Order", runs)
  tell("worker, open runs: growth of each", bytes, "bytes")
  tell("worker, open runs: made", count, "runs")
  tell("worker, 100000 open runs: memory", megabytes + bytes * (ALL_RUNS - count) / 1e6, "MB")
end

--- options: binary, address, seconds, full, go, python and typescript (nil where they are absent)
return function(options, tell)
  cpu_beside_others(options, tell)
  beyond_the_cache(options, tell)
  growth(options, tell)
end
