-- Processes for the benchmark: servers that are started and stopped, programs that print JSON.
local core = require "temporal.core"

local processes = {}

local function quoted(text)
  return "'" .. tostring(text):gsub("'", "'\\''") .. "'"
end

--- A command line of the words.
function processes.line(words)
  local out = {}
  for i, word in ipairs(words) do
    out[i] = quoted(word)
  end
  return table.concat(out, " ")
end

--- Runs a command; returns its output and whether it ended well.
function processes.output(words)
  local pipe = assert(io.popen(processes.line(words) .. " 2>/dev/null"))
  local text = pipe:read "a"
  return text, pipe:close() == true
end

--- Milliseconds that a command takes, the least of some tries: what the machine does besides is not its own.
function processes.time_ms(words, tries)
  local least = math.huge
  for _ = 1, tries do
    local began = core.mono_ns()
    assert(os.execute(processes.line(words) .. " >/dev/null 2>&1"), words[1])
    least = math.min(least, (core.mono_ns() - began) / 1e6)
  end
  return least
end

local Process = {}
Process.__index = Process

--- Starts a server in the background. Its first line of output is what `line` reads.
function processes.start(words)
  local pipe = assert(io.popen("echo $$; exec " .. processes.line(words) .. " 2>/dev/null"))
  local pid = math.tointeger(tonumber(pipe:read "l"))
  return setmetatable({ pid = pid, pipe = pipe, began = core.mono_ns() }, Process)
end

function Process:line()
  return self.pipe:read "l"
end

function Process:age_ms()
  return (core.mono_ns() - self.began) / 1e6
end

--- Resident memory.
function Process:megabytes()
  local file <close> = assert(io.open("/proc/" .. self.pid .. "/status"))
  return tonumber(file:read("a"):match "VmRSS:%s+(%d+)") * 1024 / 1e6
end

--- Asks it to end and waits until it has.
function Process:__close()
  os.execute("kill " .. self.pid)
  self.pipe:read "a"
  self.pipe:close()
end

--- The size of a file; 0 when there is none.
function processes.size(path)
  local file = io.open(path, "rb")
  if not file then
    return 0
  end
  local size = file:seek "end"
  file:close()
  return size
end

--- Waits until a Temporal server answers at the address.
function processes.await_server(binary, address)
  local ask = processes.line { binary, "operator", "cluster", "health", "--address", address } .. " >/dev/null 2>&1"
  for _ = 1, 600 do
    if os.execute(ask) then
      return
    end
    os.execute "sleep 0.05"
  end
  error("no server answers at " .. address)
end

--- A free port. Somebody else may take it before it is used; then the server says so and ends.
function processes.free_port()
  local text = processes.output {
    "python3", "-c", "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1])",
  }
  return tonumber(text) or math.random(20000, 30000)
end

return processes
