-- What an idle cached run costs a worker: growth of its process over many runs that wait for an activity of a
-- queue that nobody polls. Server and load are processes of their own.
local core = require "temporal.core"
local client = require "temporal.client"
local processes = require "processes"

local WARM, RUNS = 500, 10000

local cache = {}

--- How many activities wait in the queue, which is how many runs have got that far.
local function waiting(connection)
  local answer = connection:call("DescribeTaskQueue", {
    namespace = "default", task_queue = { name = "nobody" }, task_queue_type = "TASK_QUEUE_TYPE_ACTIVITY",
    report_stats = true,
  })
  return tonumber(answer.stats.approximate_backlog_count or 0)
end

--- Starts at least so many runs and waits until all have got to their activity; returns their number.
local function start(connection, binary, address, workflow, least)
  local before, started = waiting(connection), 0
  repeat
    local text, well = processes.output {
      binary, "bench", "--json", "--address", address, "--only", "start", "--workflow-type", workflow, "--task-queue",
      "cached", "--input", '{"amount":1,"id":"order"}', "--leave-open", "--duration", least > 1000 and "1s" or "100ms",
    }
    assert(well, "the runs cannot be started")
    for line in text:gmatch "[^\n]+" do
      local figure = core.json_decode(line)
      started = started + (figure.name == "starts_count" and figure.value or 0)
    end
  until started >= least
  local deadline = core.mono_ns() + 300 * 1000000000
  while waiting(connection) < before + started do
    assert(core.mono_ns() < deadline, "the runs do not get to their activity")
    os.execute "sleep 0.05"
  end
  return started
end

--- Bytes that each of `runs` open runs or more adds to a worker's process, the megabytes that it has with all of them,
--- and their number.
function cache.growth(binary, address, workflow, runs)
  local connection <close> = client.connect { address = address }
  local words = { binary, "worker", "run", "bench/cached/worker.lua", "--address", address, "--log-level", "error" }
  local worker <close> = processes.start(words)
  local warm = start(connection, binary, address, workflow, WARM)
  local least = worker:megabytes()
  local more = start(connection, binary, address, workflow, runs)
  local most = worker:megabytes()
  return (most - least) * 1e6 / more, most, warm + more
end

--- Calls tell(name, bytes of each run, "bytes") for both scripts.
function cache.both(binary, address, tell)
  for _, workflow in ipairs { "Order", "LargeOrder" } do
    local bytes = cache.growth(binary, address, workflow, RUNS)
    local script = workflow == "Order" and "small script" or "460 lines, three modules"
    tell("cached run, " .. script, bytes, "bytes")
  end
end

return cache
