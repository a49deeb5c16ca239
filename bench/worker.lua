-- What a worker costs: dispatch of activities, CPU time of its process for a workflow of ten activities beside the
-- workers of other SDKs, memory of each open run, and throughput when the runs do not fit its cache.
local core = require "temporal.core"
local processes = require "processes"
local cache = require "cache"

local GROWTH_RUNS, ALL_RUNS = 20000, 100000
-- Workflows in flight: what a call costs depends on how many others it shares switches of threads and writes with.
local BESIDE = { { 16, "" }, { 1, ", 1 in flight" }, { 64, ", 64 in flight" } }
local BEYOND = 400
local LEAST_CACHE = 1 << 20 -- bytes: a quarter of the runs in flight fit, each of which has 11 KB
local CALLS = 32 -- of a workflow of ten activities: 11 polls, 11 completions, 10 results

local queues = 0

local function new_queue()
  queues = queues + 1
  return ("steps-%d"):format(queues)
end

--- Figures by name of our binary's benchmark against the server.
local function bench(options, seconds, in_flight, words)
  local all = {
    "timeout", "120", options.binary, "bench", "--json", "--address", options.address, "--in-flight", in_flight,
    "--duration", ("%gs"):format(seconds),
  }
  table.move(words, 1, #words, #all + 1, all)
  local text, well = processes.output(all)
  assert(well, "this was not done in two minutes: " .. processes.line(all))
  local found = {}
  for line in text:gmatch "[^\n]+" do
    local figure = core.json_decode(line)
    found[figure.name] = figure.value
  end
  return found
end

--- Calls body with a function that loads a worker, started for it and warm, with so many ten-activity workflows at
--- once and returns the figures by name.
local function with_worker(options, make_words, body)
  local queue = new_queue()
  local worker <close> = processes.start(make_words(queue))
  local function load(seconds, in_flight)
    return bench(options, seconds, in_flight, {
      "--only", "run", "--workflow-type", "steps", "--task-queue", queue, "--input", "10", "--server-pid", worker.pid,
    })
  end
  load(0.3, 4)
  body(function(in_flight) return load(options.seconds, in_flight) end)
end

--- Figures of one load on a worker of its own.
local function load_of(options, in_flight, make_words)
  local found
  with_worker(options, make_words, function(load) found = load(in_flight) end)
  return found
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
  for _, beside in ipairs(BESIDE) do
    local alone = bench(options, options.seconds, beside[1], { "--only", "echo" }).echo_client_cpu
    tell(("our gRPC, client's end alone%s: echo_client_cpu"):format(beside[2]), alone, "us each")
    tell(("worker, ten activities%s: its calls alone, cpu"):format(beside[2]), CALLS * alone / 1000, "ms each")
  end
  for _, worker in ipairs(workers) do
    with_worker(options, worker[2], function(load)
      for _, beside in ipairs(BESIDE) do
        local found = load(beside[1])
        local title = ("worker, ten activities%s: %s, "):format(beside[2], worker[1])
        tell(title .. "cpu", found.run_server_cpu / 1000, "ms each")
        tell(title .. "rate", found.run, "workflows/s")
      end
    end)
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
