-- Medians over several runs of `temporal-lua bench --json`.
local runs, json, rest = 3, false, {}
local i = 1
while i <= #arg do
  if arg[i] == "--runs" then
    runs = tonumber(arg[i + 1]) or error "--runs wants a number"
    i = i + 1
  elseif arg[i] == "--json" then
    json = true
  else
    rest[#rest + 1] = ("'%s'"):format(arg[i]:gsub("'", "'\\''"))
  end
  i = i + 1
end

local order, figures = {}, {}
for _ = 1, runs do
  local out = assert(io.popen("build/temporal-lua bench --json " .. table.concat(rest, " ")))
  for line in out:lines() do
    local name, value, tail = line:match '^{"name":"([^"]+)","value":([^,]+),(.*)}$'
    if not name then
      error("unexpected line: " .. line)
    end
    if not figures[name] then
      figures[name] = { values = {} }
      order[#order + 1] = name
    end
    local figure = figures[name]
    figure.values[#figure.values + 1] = tonumber(value)
    figure.unit, figure.peer, figure.peer_value =
      tail:match '"unit":"([^"]*)","peer":"([^"]*)","peer_value":([^,]+)'
  end
  if not out:close() then
    os.exit(1)
  end
end

for _, name in ipairs(order) do
  local figure = figures[name]
  table.sort(figure.values)
  local median = figure.values[(#figure.values + 1) // 2]
  local peer = tonumber(figure.peer_value)
  local less_is_better = figure.unit == "ms" or figure.unit == "bytes" or figure.unit == "MB"
  local ratio = peer > 0 and (less_is_better and peer / median or median / peer) or 0
  local least, most = figure.values[1], figure.values[#figure.values]
  if json then
    local form = '{"name":"%s","value":%.6g,"unit":"%s","runs":%d,"min":%.6g,"max":%.6g,'
      .. '"peer":"%s","peer_value":%.6g,"ratio":%.4g}'
    print(form:format(name, median, figure.unit, #figure.values, least, most, figure.peer, peer, ratio))
  else
    local text = ("%-28s %12.6g %-12s (%.6g .. %.6g)"):format(name, median, figure.unit, least, most)
    if peer > 0 then
      text = ("%s  %s: %.6g, %.3g times better"):format(text, figure.peer, peer, ratio)
    end
    print(text)
  end
end
