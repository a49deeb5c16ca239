-- What the figures are set beside, and the limits that they must keep.
local limits = {}

local PAIRS = {
  { "^over gRPC, (%d+ in flight: [nos]%w+)$", "dev server, tuned, %s" },
  { "^over gRPC, (%d+ in flight: noop_p%d+)$", "dev server, tuned, %s" },
  { "^over gRPC, (%d+ in flight: one_p%d+)$", "dev server, tuned, %s" },
  { "^(worker, ten activities.-): Lua, cpu$", "%s: Go SDK, cpu" },
  { "^over gRPC: (ready)$", "dev server: %s" },
  { "^over gRPC: (idle_rss)$", "dev server: %s" },
  { "^(workflow list)$", "%s, official CLI" },
  { "^(%-%-version)$", "%s, official CLI" },
  { "^(replay)_from_decoded$", "Go SDK, %s of 1,000 activities: events_per_second" },
  { "^over gRPC, 64 in flight: (three)$", "Restate, 3 steps, 64 in flight: per_second" },
  { "^over gRPC, 64 in flight: (ten)$", "Restate, 10 steps, 64 in flight: per_second" },
}

--- The figure of a peer that a figure of ours is set beside, or nil.
function limits.beside(name)
  for _, pair in ipairs(PAIRS) do
    local found = name:match(pair[1])
    if found then
      return (pair[2]:gsub("%%s", found))
    end
  end
  return nil
end

local function of(name)
  return function(median)
    return (median(name))
  end
end

local function ratio(name, to)
  return function(median)
    local value, other = median(name), median(to)
    return value and other and value / other
  end
end

--- CPU time of our worker for ten activities, of that of another SDK's worker: with 16 workflows in flight, unless
--- it is said.
local function cpu_of(sdk, load, at_most)
  local of_one = "worker, ten activities" .. load .. ": "
  return {
    name = ("CPU time of a worker for ten activities%s, of the %s SDK's"):format(load, sdk),
    value = ratio(of_one .. "Lua, cpu", ("%s%s SDK, cpu"):format(of_one, sdk)),
    at_most = at_most,
  }
end

limits.all = {
  {
    name = "one-activity workflows/s over gRPC, 64 in flight",
    value = of "over gRPC, 64 in flight: one",
    at_least = 1200,
  },
  { name = "starts/s over gRPC, 64 in flight", value = of "over gRPC, 64 in flight: starts", at_least = 5000 },
  { name = "no-op p50 over gRPC, 1 in flight, ms", value = of "over gRPC, 1 in flight: noop_p50", at_most = 2 },
  {
    name = "one-activity workflows for each echo of our gRPC",
    value = ratio("over gRPC, 64 in flight: one", "our gRPC, 64 in flight: echo"),
    at_least = 0.05,
  },
  {
    name = "Go SDK on our server, one activity, workflows/s",
    value = of "Go SDK on our server, 1 activities, 64 in flight: per_second",
    at_least = 150,
  },
  { name = "replay from decoded events, events/s", value = of "replay_from_decoded", at_least = 500000 },
  { name = "replay from bytes, events/s", value = of "replay_from_bytes", at_least = 300000 },
  { name = "history of 50,000 events from bytes, ms", value = of "replay_50000_events", at_most = 200 },
  {
    name = "task of a cached run after 10,000 events, times the one after 10",
    value = ratio("cached_task_after_10000", "cached_task_after_10"),
    at_most = 2,
  },
  { name = "cached run, small script, bytes", value = of "cached run, small script", at_most = 16 * 1024 },
  {
    name = "cached run, 460 lines, three modules, bytes",
    value = of "cached run, 460 lines, three modules",
    at_most = 48 * 1024,
  },
  { name = "dispatch of a native activity, p50 us", value = of "worker: dispatch_native_p50", at_most = 50 },
  { name = "dispatch of an activity in Lua, p50 us", value = of "worker: dispatch_lua_p50", at_most = 100 },
  cpu_of("Go", "", 0.1),
  cpu_of("Go", ", 1 in flight", 0.1),
  cpu_of("Go", ", 64 in flight", 0.1),
  cpu_of("Python", "", 0.05),
  cpu_of("TypeScript", "", 0.05),
  { name = "worker with 100,000 open runs, MB", value = of "worker, 100000 open runs: memory", at_most = 1700 },
  {
    name = "throughput beyond the cache's limit, of that within",
    value = ratio("worker, ten activities, 400 in flight: a quarter cached",
      "worker, ten activities, 400 in flight: all cached"),
    at_least = 0.5,
  },
  { name = "good runs beside hogs, p99 ms", value = of "hogs: good_p99", at_most = 1000 },
  { name = "good runs' tasks that timed out beside hogs", value = of "hogs: good_timeouts", at_most = 0 },
  {
    name = "a hog's task until it fails, times its CPU budget (p99)",
    value = of "hogs: cpu_hog_budgets_p99",
    at_most = 2,
  },
  { name = "false deadlocks on a starved machine", value = of "hogs: starved_false_deadlocks", at_most = 0 },
  { name = "server ready, ms", value = of "over gRPC: ready", at_most = 50 },
  { name = "server idle, MB", value = of "over gRPC: idle_rss", at_most = 35 },
  { name = "binary stripped, MB", value = of "binary, stripped", at_most = 20 },
  { name = "coroutine activities at once", value = of "coroutines: at_once", at_least = 10000 },
  { name = "memory with 10,000 coroutine activities, MB", value = of "coroutines: rss_peak", at_most = 200 },
  { name = "--version, ms", value = of "--version", at_most = 5 },
  { name = "workflow list, ms", value = of "workflow list", at_most = 15 },
}

return limits
