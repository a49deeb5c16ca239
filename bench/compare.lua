-- Our figures, those of peers in the same run, and the limits that we set ourselves; see README.md.
package.path = "./bench/?.lua;./lua/?.lua;./lua/?/init.lua;" .. package.path
package.cpath = "./build/?.so;" .. package.cpath
local core = require "temporal.core"
local processes = require "processes"
local limits = require "limits"

local binary = "build/temporal-lua"
local options = { runs = 3, seconds = 2, json = false, full = false, only = {} }
local peers = {
  dev_server = os.getenv "TEMPORAL_OFFICIAL_CLI",
  python = os.getenv "TEMPORAL_LUA_PYTHON" or "python3",
  restate = os.getenv "TEMPORAL_RESTATE",
  typescript = os.getenv "TEMPORAL_TYPESCRIPT",
}

local usage = [==[
usage: bench/run.sh [options] [PART[,PART...]]
  PART               embedded, replay, cache, worker, hogs, coroutines, grpc, command or peers; without it all
                     of them
  --runs N           runs of each figure, of which the median is shown (default 3)
  --seconds S        time of each load (default 2)
  --only PART        the same (may be repeated)
  --json             one object for each figure
  --full             measures with 100,000 open runs what is else estimated from 20,000
  --dev-server PATH  the official command line (TEMPORAL_OFFICIAL_CLI): its development server is measured
  --python PATH      an interpreter with temporalio (TEMPORAL_LUA_PYTHON)
  --restate FOLDER   a folder with @restatedev/restate-server and restate-sdk installed (TEMPORAL_RESTATE)
  --typescript FOLDER  a folder with @temporalio/worker, workflow and activity installed (TEMPORAL_TYPESCRIPT)
]==]

local parts = {
  embedded = true, replay = true, cache = true, worker = true, hogs = true, coroutines = true, grpc = true,
  command = true, peers = true,
}
local takes = {
  ["--runs"] = function(v) options.runs = math.tointeger(tonumber(v)) end,
  ["--seconds"] = function(v) options.seconds = tonumber(v) end,
  ["--dev-server"] = function(v) peers.dev_server = v end,
  ["--python"] = function(v) peers.python = v end,
  ["--restate"] = function(v) peers.restate = v end,
  ["--typescript"] = function(v) peers.typescript = v end,
  ["--only"] = function(v)
    options.only[v] = parts[v]
    return parts[v]
  end,
}

local function die(text)
  io.stderr:write(text, "\n", usage)
  os.exit(2)
end

local function take_parts(text)
  for part in text:gmatch "[^,]+" do
    if not parts[part] then
      die(("there is no part %q"):format(part))
    end
    options.only[part] = true
  end
end

local i = 1
while i <= #arg do
  local take = takes[arg[i]]
  if not arg[i]:find "^%-" then
    take_parts(arg[i])
  elseif arg[i] == "--json" then
    options.json = true
  elseif arg[i] == "--full" then
    options.full = true
  elseif arg[i] == "--help" then
    io.write(usage)
    os.exit(0)
  elseif take then
    if not arg[i + 1] or take(arg[i + 1]) == nil and arg[i] == "--only" then
      die(("%s: unknown value %q"):format(arg[i], arg[i + 1] or ""))
    end
    i = i + 1
  else
    die(("unknown option %q"):format(arg[i]))
  end
  i = i + 1
end
if not options.runs or options.runs < 1 or not options.seconds or options.seconds <= 0 then
  die "--runs and --seconds want positive numbers"
end

local function wanted(part)
  return next(options.only) == nil or options.only[part]
end

-- Figures by name, in the order of their first value: all values, unit, and the figure they are set beside.
local order, figures = {}, {}

local function add(name, value, unit)
  if not figures[name] then
    figures[name] = { values = {}, unit = unit }
    order[#order + 1] = name
  end
  table.insert(figures[name].values, value)
end

local absent = {}

-- One group of figures of the binary's own benchmark, each under a prefix.
local function own_bench(prefix, words, seconds)
  local command = { binary, "bench", "--json", "--duration", ("%gs"):format(seconds or options.seconds) }
  table.move(words, 1, #words, #command + 1, command)
  local text, well = processes.output(command)
  local found = {}
  for line in text:gmatch "[^\n]+" do
    local figure = core.json_decode(line)
    found[figure.name] = figure.value
    if not figure.name:find "_count$" then
      add(prefix .. figure.name, figure.value, figure.unit)
    end
  end
  if not well then
    error("failed: " .. processes.line(command))
  end
  return found
end

local function embedded()
  own_bench("in process: ", { "--only", "idle", "--only", "density" })
  for _, n in ipairs { 1, 64, 256 } do
    local words = { "--in-flight", n }
    for _, name in ipairs { "noop", "one", "three", "ten", "start", "signal", "query" } do
      table.move({ "--only", name }, 1, 2, #words + 1, words)
    end
    own_bench(("in process, %d in flight: "):format(n), words)
  end
end

local LOADS = { "noop", "one", "three", "ten", "start", "signal", "query" }

local function loads(prefix, address, pid, names, in_flights)
  local found = {}
  for _, n in ipairs(in_flights) do
    for _, name in ipairs(names) do
      local title = ("%s, %d in flight: "):format(prefix, n)
      local words = { "--address", address, "--server-pid", pid, "--in-flight", n, "--only", name }
      local got = own_bench(title, words)
      found[name .. n] = got[name .. "_count"] or got[name .. "s_count"] or 0
    end
  end
  return found
end

local function with_our_server(db, body)
  local words = { binary, "server", "start-dev", "--port", "0", "--headless", "--log-level", "error" }
  if db then
    table.move({ "--db-filename", db }, 1, 2, #words + 1, words)
  end
  local server <close> = processes.start(words)
  local address = (server:line() or ""):match "^Server:%s+(%S+)"
  assert(address, "our server did not start")
  body(server, address)
end

local function remove_database(db)
  for _, suffix in ipairs { "", "-wal", "-shm", ".lock" } do
    os.remove(db .. suffix)
  end
end

local function grpc()
  local db = os.tmpname()
  remove_database(db)
  with_our_server(db, function(server, address)
    add("over gRPC: ready", server:age_ms(), "ms")
    os.execute "sleep 0.3"
    add("over gRPC: idle_rss", server:megabytes(), "MB")
    loads("over gRPC", address, server.pid, LOADS, { 1, 64, 256 })
    add("over gRPC: loaded_rss", server:megabytes(), "MB")
  end)
  remove_database(db)
  local completed
  with_our_server(db, function(server, address)
    completed = loads("database", address, server.pid, { "one" }, { 64 }).one64
  end)
  add("database: bytes for each one-activity workflow", processes.size(db) / completed, "bytes")
  remove_database(db)
  own_bench("our gRPC, 64 in flight: ", { "--only", "echo" })
end

local function command()
  local stripped = os.tmpname()
  assert(os.execute(processes.line { "strip", "-o", stripped, binary }))
  add("binary, stripped", processes.size(stripped) / 1e6, "MB")
  os.remove(stripped)
  add("--version", processes.time_ms({ binary, "--version" }, 10), "ms")
  with_our_server(nil, function(_, address)
    local list = { "workflow", "list", "--address", address }
    add("workflow list", processes.time_ms({ binary, table.unpack(list) }, 10), "ms")
    if peers.dev_server then
      add("workflow list, official CLI", processes.time_ms({ peers.dev_server, table.unpack(list) }, 3), "ms")
      add("--version, official CLI", processes.time_ms({ peers.dev_server, "--version" }, 3), "ms")
    end
  end)
end

-- A load program of a peer that prints one JSON object in its last line.
local function peer_load(prefix, words)
  local text, well = processes.output(words)
  local last = text:match "([^\n]+)\n*$"
  if not well or not last then
    error("failed: " .. processes.line(words))
  end
  local found = core.json_decode(last)
  for _, row in ipairs {
    { "per_second", "workflows/s" }, { "p50_ms", "ms" }, { "p99_ms", "ms" }, { "cpu_us_each", "us each" },
    { "ready_ms", "ms" }, { "rss_mb", "MB" }, { "events_per_second", "events/s" },
  } do
    if found[row[1]] then
      add(prefix .. row[1], found[row[1]], row[2])
    end
  end
end

local TUNED = "history.transferProcessorMaxPollRPS=1000"

local function dev_server(title, more)
  local port = processes.free_port()
  local address = "127.0.0.1:" .. port
  local words = { peers.dev_server, "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", port,
    "--log-level", "never" }
  table.move(more, 1, #more, #words + 1, words)
  local server <close> = processes.start(words)
  processes.await_server(binary, address)
  add(title .. ": ready", server:age_ms(), "ms")
  os.execute "sleep 2" -- its parts are there some time after its port
  add(title .. ": idle_rss", server:megabytes(), "MB")
  loads(title, address, server.pid, { "noop", "one", "start" }, { 1, 64 })
end

local function cache()
  with_our_server(nil, function(_, address)
    require "cache".both(binary, address, add)
  end)
end

local function hogs()
  with_our_server(nil, function(_, address)
    require "hogs"(binary, address, add)
  end)
end

local function coroutines()
  with_our_server(nil, function(_, address)
    require "coroutines"(binary, address, add)
  end)
end

-- The Go program, built once; nil where go or its modules are absent.
local function go_program()
  if not os.execute "command -v go >/dev/null" then
    return nil, "go is not installed"
  end
  local path = os.tmpname()
  local built = os.execute("GOTOOLCHAIN=local GOFLAGS='-mod=readonly -buildvcs=false' go -C spec/interop/go build -o "
    .. path .. " . >/dev/null 2>&1")
  if not built then
    os.remove(path)
    return nil, "the Go program cannot be built (modules?)"
  end
  return path
end

local function replay()
  own_bench("", { "--only", "replay" })
  local go, why = go_program()
  absent["Go SDK"] = why
  if go then
    with_our_server(nil, function(_, address)
      peer_load("Go SDK, replay of 1,000 activities: ", { go, "replay", address })
    end)
    os.remove(go)
  end
end

local function has_python()
  return os.execute(processes.line { peers.python, "-c", "import temporalio" } .. " 2>/dev/null")
end

-- The folder of the TypeScript SDK; nil and the reason where it is absent.
local function typescript_folder()
  if not peers.typescript then
    return nil, "not installed (--typescript)"
  end
  if not os.execute "command -v node >/dev/null" then
    return nil, "node is not installed"
  end
  local package = io.open(peers.typescript .. "/node_modules/@temporalio/worker/package.json")
  if not package then
    return nil, "@temporalio/worker is not installed in " .. peers.typescript
  end
  package:close()
  return peers.typescript
end

local function worker()
  own_bench("worker: ", { "--only", "dispatch" })
  own_bench("our gRPC, 16 in flight: ", { "--only", "echo", "--in-flight", 16 })
  local go, why = go_program()
  local python = has_python()
  absent["Go SDK"] = why
  absent["Python SDK"] = not python and "temporalio is not installed" or nil
  local typescript, missing = typescript_folder()
  absent["TypeScript SDK"] = missing
  with_our_server(nil, function(_, address)
    require "worker"({
      binary = binary, address = address, seconds = options.seconds, full = options.full, go = go,
      python = python and peers.python, typescript = typescript,
    }, add)
  end)
  if go then
    os.remove(go)
  end
end

local function sdk_loads(go, python)
  local db = os.tmpname()
  remove_database(db)
  with_our_server(db, function(_, address)
    local seconds = ("%g"):format(options.seconds)
    for _, activities in ipairs { 1, 3 } do
      local more = { address, "--seconds", seconds, "--activities", activities }
      local suffix = (" on our server, %d activities, 64 in flight: "):format(activities)
      if go then
        peer_load("Go SDK" .. suffix, { go, "load", table.unpack(more) })
      end
      if python then
        peer_load("Python SDK" .. suffix, { peers.python, "bench/python_load.py", table.unpack(more) })
      end
    end
  end)
  remove_database(db)
end

local function all_peers()
  local go, why = go_program()
  absent["Go SDK"] = why
  local python = has_python()
  absent["Python SDK"] = not python and "temporalio is not installed" or nil
  if go or python then
    sdk_loads(go, python)
  end
  if peers.dev_server then
    dev_server("dev server", {})
    dev_server("dev server, tuned", { "--dynamic-config-value", TUNED })
  else
    absent["official development server"] = "not installed (--dev-server)"
  end
  if peers.restate then
    for _, steps in ipairs { 1, 3, 10 } do
      peer_load(("Restate, %d steps, 64 in flight: "):format(steps), {
        "node", "bench/restate/load.mjs", peers.restate, "--activities", steps,
        "--seconds", ("%g"):format(options.seconds),
      })
    end
  else
    absent["Restate"] = "not installed (--restate)"
  end
  if go then
    os.remove(go)
  end
end

for _ = 1, options.runs do
  local all = {
    { "embedded", embedded }, { "replay", replay }, { "cache", cache }, { "worker", worker }, { "hogs", hogs },
    { "coroutines", coroutines }, { "grpc", grpc }, { "command", command }, { "peers", all_peers },
  }
  for _, part in ipairs(all) do
    if wanted(part[1]) then
      part[2]()
    end
  end
end

local function median(name)
  local figure = figures[name]
  if not figure then
    return nil
  end
  table.sort(figure.values)
  local values = figure.values
  return values[(#values + 1) // 2], values[1], values[#values]
end

local function less_is_better(unit)
  return unit == "ms" or unit == "bytes" or unit == "MB" or unit == "us each" or unit == "ms each"
    or unit == "us"
end

for _, name in ipairs(order) do
  local value, least, most = median(name)
  local unit = figures[name].unit
  local row = { name = name, value = value, unit = unit, min = least, max = most, runs = #figures[name].values }
  local text = ("%-58s %12.6g %-12s (%.6g .. %.6g)"):format(name, value, unit, least, most)
  local beside = limits.beside(name)
  local other = beside and median(beside)
  if other and other > 0 and value > 0 then
    row.peer, row.peer_value = beside, other
    row.ratio = less_is_better(unit) and other / value or value / other
    text = ("%s  %.3g times better than %s"):format(text, row.ratio, beside)
  end
  print(options.json and core.json_encode(row) or text)
end
local missed = 0
for _, limit in ipairs(limits.all) do
  local value = limit.value(median)
  if value then
    local kept = limit.at_least and value >= limit.at_least or limit.at_most and value <= limit.at_most
    missed = missed + (kept and 0 or 1)
    local row = { limit = limit.name, value = value, at_least = limit.at_least, at_most = limit.at_most }
    row.kept = kept or false
    print(options.json and core.json_encode(row) or ("%-58s %12.6g  %s %g: %s"):format(limit.name, value,
      limit.at_least and "at least" or "at most", limit.at_least or limit.at_most, kept and "kept" or "MISSED"))
  end
end
for name, why in pairs(absent) do
  print(options.json and core.json_encode { absent = name, reason = why } or ("%s: %s"):format(name, why))
end
