-- Writes docs/metrics.md from the tables of metrics. With --check it fails when the file in the tree is not
-- that text.
-- usage: lua5.4 tools/gen/metrics.lua [--check]
package.path = "tools/gen/?.lua;" .. package.path
local page = require "page"

local generator = "tools/gen/metrics.lua"
local sources = {
  { "host/rpc/measured.def", "Calls to the service", "" },
  { "host/worker/meter.def", "Workers", "`namespace`, `task_queue`" },
}

local kinds = { COUNTER = "counter", GAUGE = "gauge", REAL = "gauge" } -- the others: bounds of a histogram

local function labels(common, rest)
  local list = { common ~= "" and common or nil }
  for name in rest:gmatch '"([%w_]+)"' do
    list[#list + 1] = "`" .. name .. "`"
  end
  return table.concat(list, ", ")
end

local lines = {
  page.opening("host/rpc/measured.def and host/worker/meter.def", generator),
  "# Metrics of clients and workers",
  "",
  "What the clients and workers of a runtime measure ([lua.md](lua.md#runtime-metrics-health-log)),",
  "under the names and labels of the other SDKs. In a scraped page each name begins with `temporal_`, unless",
  "`metric_prefix` says otherwise; durations are milliseconds or, with `durations_as_seconds`, seconds; every line",
  "has the label `service_name=\"temporal-lua\"` and the global tags. A label without a value is left out.",
  "",
  "Gauges are what holds when the page is asked for, of all workers of a runtime together. A server has its own:",
  "`temporal-lua server start-dev --metrics-port`.",
}

for _, entry in ipairs(sources) do
  local path, title, common = table.unpack(entry)
  table.move({ "", "## " .. title, "", "| name | kind | labels | |", "|---|---|---|---|" }, 1, 5, #lines + 1, lines)
  for line in io.lines(path) do
    local kind, name, help, rest = line:match '^M%([%w_]+, (%w+[%w_]*), "([%w_]+)", "(.-)"(.*)%)$'
    if name then
      lines[#lines + 1] = ("| `%s` | %s | %s | %s |"):format(
        name, kinds[kind] or "histogram", labels(common, rest), help)
    end
  end
end
lines[#lines + 1] = ""

page.finish("docs/metrics.md", table.concat(lines, "\n"), generator)
