-- What the figures are set beside, and the limits that they must keep.
local limits = {}

local PAIRS = {
  { "^over gRPC, (%d+ in flight: [nos]%w+)$", "dev server, tuned, %s" },
  { "^over gRPC, (%d+ in flight: noop_p%d+)$", "dev server, tuned, %s" },
  { "^over gRPC, (%d+ in flight: one_p%d+)$", "dev server, tuned, %s" },
  { "^over gRPC: (ready)$", "dev server: %s" },
  { "^over gRPC: (idle_rss)$", "dev server: %s" },
  { "^(workflow list)$", "%s, official CLI" },
  { "^(%-%-version)$", "%s, official CLI" },
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
    value = function(median)
      local one, echo = median "over gRPC, 64 in flight: one", median "our gRPC, 64 in flight: echo"
      return one and echo and one / echo
    end,
    at_least = 0.05,
  },
  {
    name = "Go SDK on our server, one activity, workflows/s",
    value = of "Go SDK on our server, 1 activities, 64 in flight: per_second",
    at_least = 150,
  },
  { name = "server ready, ms", value = of "over gRPC: ready", at_most = 50 },
  { name = "server idle, MB", value = of "over gRPC: idle_rss", at_most = 35 },
  { name = "binary stripped, MB", value = of "binary, stripped", at_most = 20 },
  { name = "--version, ms", value = of "--version", at_most = 5 },
  { name = "workflow list, ms", value = of "workflow list", at_most = 15 },
}

return limits
