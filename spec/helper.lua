--- What several specs need.
local luassert = require "luassert"
local testing = require "temporal.testing"

local helper = {}

--- The binary under test.
helper.binary = os.getenv "TEMPORAL_LUA_BIN" or "build/temporal-lua"

--- The folder it was built in.
helper.build = helper.binary:match "^(.*)/[^/]*$" or "."

--- Whether a sanitizer runs with the specs: its memory and time are not the program's.
helper.sanitized = helper.build:find "[at]san$" ~= nil

--- An environment whose workflow module is given as text.
---@param source string
---@param options? table
function helper.environment(source, options)
  local o = { workflows = { { name = "spec", source = source } } }
  for k, v in pairs(options or {}) do
    o[k] = v
  end
  return testing.environment(o)
end

--- Lets time pass until fn returns something true; fails after `seconds` on the wall, however busy the
--- machine is. Time is skipped unless a task is in work: the steps begin small.
function helper.eventually(env, fn, seconds)
  local core = require "temporal.core"
  local step, deadline = 0.001, core.mono_ns() + (seconds or 30) * 1000000000
  while core.mono_ns() < deadline do
    local value = fn()
    if value then
      return value
    end
    env:sleep(step)
    step = math.min(2 * step, 1)
  end
  error("it did not come true", 2)
end

--- The first event that has these attributes.
---@param handle temporal.WorkflowHandle
---@param attributes string "workflow_task_failed"
function helper.event(handle, attributes)
  for _, event in ipairs(handle:fetch_history()) do
    if event[attributes .. "_event_attributes"] then
      return event[attributes .. "_event_attributes"], event
    end
  end
end

--- The failure of the first failed workflow task, as an error table.
function helper.task_failure(env, handle)
  local core = require "temporal.core"
  local attributes = helper.eventually(env, function()
    return (helper.event(handle, "workflow_task_failed"))
  end)
  return core.decode_failure(attributes.failure), attributes
end

--- Runs a command; returns its exit code, its output and what it wrote to stderr. A sanitizer's runtime
--- that was loaded into this interpreter is not for the tools of the shell: their leaks are no news.
function helper.run(command)
  local errors = os.tmpname()
  local pipe = assert(io.popen(("unset LD_PRELOAD; %s 2>%s"):format(command, errors)))
  local output = pipe:read "a"
  local _, _, code = pipe:close()
  local file = assert(io.open(errors))
  local text = file:read "a"
  file:close()
  os.remove(errors)
  return code, output, text
end

--- Three ways to call the binary. `words(...)` makes the words of the command: the first returns exit code, output
--- and errors, the second the output of one that must succeed without a complaint, the third the one line of
--- complaint of one that must end with the code given before the words.
---@param words fun(...): string
function helper.commands(words)
  local function cli(...)
    return helper.run(("timeout 60 %s %s"):format(helper.binary, words(...)))
  end
  local function ok(...)
    local code, output, errors = cli(...)
    luassert.are.equal("", errors)
    luassert.are.equal(0, code)
    return output
  end
  local function fails(expected, ...)
    local code, output, errors = cli(...)
    luassert.are.equal(expected, code, output)
    luassert.matches("^temporal%-lua: [^\n]+\n$", errors)
    return errors
  end
  return cli, ok, fails
end

--- The same against a server: `at()` gives it, the words are a format and its values.
---@param at fun(): { address: string }
function helper.commands_at(at)
  return helper.commands(function(text, ...)
    return ("%s --address %s"):format(text:format(...), at().address)
  end)
end

--- A new, empty folder, gone with its contents when it is closed.
function helper.folder()
  local name = os.tmpname()
  os.remove(name)
  assert(os.execute("mkdir " .. name))
  return setmetatable({ name = name }, { __close = function() os.execute("rm -r " .. name) end })
end

--- A new folder for modules, which `require` finds until `:close` takes it away. `.module(name, text)` writes
--- one and returns its name.
function helper.module_folder()
  local path, name = package.path, helper.folder().name
  package.path = name .. "/?.lua;" .. path
  local folder = { name = name }
  function folder.module(module, text)
    local file <close> = assert(io.open(name .. "/" .. module .. ".lua", "w"))
    file:write(text)
    return module
  end
  function folder:close()
    package.path = path
    os.execute("rm -r " .. self.name)
  end
  return folder
end

--- Text as base64.
function helper.base64(text)
  local digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  return (text:gsub("..?.?", function(part)
    local a, b, c = part:byte(1, 3)
    local n, out = (a << 16) | ((b or 0) << 8) | (c or 0), ""
    for i = 0, 3 do
      local digit = (n >> (18 - 6 * i)) & 63
      out = out .. (i <= #part and digits:sub(digit + 1, digit + 1) or "=")
    end
    return out
  end))
end

--- A file with this content, removed when the spec ends.
function helper.file(content)
  local name = os.tmpname()
  local file = assert(io.open(name, "wb"))
  file:write(content)
  file:close()
  return setmetatable({ name = name }, { __close = function() os.remove(name) end })
end

--- A command in a process of its own; its output can be read line by line, and it is told to stop by
--- its id.
---@param arguments string
---@param environment? string "NAME=value ..."
function helper.spawn(arguments, environment)
  local log = os.tmpname()
  local pipe = assert(io.popen(("echo $$; exec env %s %s %s 2>%s"):format(
    environment or "", helper.binary, arguments, log)))
  local process = { pipe = pipe, id = assert(pipe:read "l"), log = log }
  function process:stop(signal)
    if self.pipe then -- afterwards its id may be another's
      os.execute(("kill -%s %s"):format(signal or "TERM", self.id))
    end
    return self:wait()
  end
  function process:wait()
    if self.pipe then
      self.rest = self.pipe:read "a"
      local _, _, code = self.pipe:close()
      self.pipe, self.code = nil, code
    end
    return self.code
  end
  function process:errors()
    local file <close> = assert(io.open(self.log))
    return file:read "a"
  end
  return setmetatable(process, {
    __close = function(self)
      if self.pipe then
        self:stop "KILL"
      end
      os.remove(self.log)
    end,
  })
end

--- A process that runs the worker that this script returns, at the address.
---@param source string
---@param address string
function helper.start_worker(source, address)
  local script = helper.file(source)
  local worker = helper.spawn(("worker run --address %s %s"):format(address, script.name))
  local stop = worker.stop
  function worker:stop(signal)
    local code = stop(self, signal)
    os.remove(script.name)
    return code
  end
  return worker
end

--- Nothing and the error when it ends at once.
local function try_server(arguments, wanted)
  local server = helper.spawn(("server start-dev --port %d %s"):format(wanted, arguments or ""))
  server.line = server.pipe:read "l"
  if not server.line then
    local errors = server:errors()
    getmetatable(server).__close(server)
    return nil, errors
  end
  server.address = assert(server.line:match "^Server:%s+(%S+:%d+)$", server.line)
  server.ports = {}
  repeat
    local line = assert(server.pipe:read "l")
    local what, port = line:match "^(%a+):%s+%S-:(%d+)[^:]*$"
    server.ports[assert(what, line):lower()] = port
  until what == "Metrics" -- the last line
  return server
end

--- A development server, its address and its other ports (http, ui, metrics), once they serve.
---@param arguments? string
function helper.start_server(arguments)
  return assert(try_server(arguments, 0))
end

--- A development server whose port is still free for it after it was killed: one that the system gives to nobody
--- who asks for any port, as other specs do meanwhile.
---@param arguments? string
function helper.start_server_again_later(arguments)
  local range <close> = assert(io.open "/proc/sys/net/ipv4/ip_local_port_range")
  local first, errors = range:read "n", nil
  for _ = 1, 20 do
    local server
    server, errors = try_server(arguments, math.random(10000, first - 1))
    if server then
      return server
    end
  end
  error(errors)
end

--- The command that sends what a file holds to a port and prints what comes back, in bash alone: a library
--- of sockets would be one more thing that the tests need.
local function exchange(port, file)
  local script = "exec 3<>/dev/tcp/127.0.0.1/%s; cat <&3 & cat %s >&3 2>/dev/null; wait"
  return ("timeout 20 bash -c '%s'"):format(script:format(port, file))
end

--- One HTTP request as bytes; it asks for the connection to be closed.
local function request_text(port, request, body, headers)
  if request:find "\r\n" then
    return request
  end
  local lines = { request .. " HTTP/1.1", "Host: " .. ((headers or {}).Host or "localhost:" .. port) }
  for k, v in pairs(headers or {}) do
    if k ~= "Host" then
      lines[#lines + 1] = k .. ": " .. v
    end
  end
  lines[#lines + 1] = "Content-Length: " .. #(body or "")
  lines[#lines + 1] = "Connection: close"
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or "")
end

local function parse_answer(text)
  local status, head, rest = text:match "^HTTP/1.1 (%d+)[^\r]*\r\n(.-)\r\n\r\n(.*)$"
  assert(status, "no answer")
  local headers = {}
  for name, value in (head .. "\r\n"):gmatch "([^:]+):%s*([^\r]*)\r\n" do
    headers[name:lower()] = value
  end
  return tonumber(status), rest, headers
end

--- Sends one HTTP request on a connection of its own; returns the status, the body, and the headers by
--- lower-case name.
---@param port string|integer
---@param request string the whole of it, or "GET /path"
---@param body? string
---@param headers? table<string, string>
function helper.http(port, request, body, headers)
  local file <close> = helper.file(request_text(port, request, body, headers))
  local _, output = helper.run(exchange(port, file.name))
  return parse_answer(output)
end

--- The same without waiting for the answer: returns a function that does.
function helper.http_later(port, request, body, headers)
  local file = helper.file(request_text(port, request, body, headers))
  local pipe = assert(io.popen(exchange(port, file.name)))
  return function()
    local output <const> = pipe:read "a"
    pipe:close()
    os.remove(file.name)
    return parse_answer(output)
  end
end

return helper
