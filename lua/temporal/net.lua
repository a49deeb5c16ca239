--- temporal.net: TCP connections and plain HTTP for coroutine activities. Whatever waits lets the other activities
--- of the loop run, ends with an error at its timeout, and raises CancelledError when the activity should stop.
local activity = require "temporal.activity"
local core = require "temporal.core"
local options = require "temporal.internal.options"

local net = {}

---@class temporal.Connection
---@field private handle userdata
---@field private parts string[] what has come and was not read
---@field private timeout integer nanoseconds
local Connection = { __name = "temporal.Connection" }
Connection.__index = Connection

local NANOSECONDS <const> = 1000000000
local BYTES_MAX <const> = 64 * 1024 * 1024

local connect_spec = { timeout = { kind = "duration" }, max_bytes = { kind = "integer" } }

--- Waits until `ready` returns something; raises after the connection's timeout.
local function wait(self, what, ready)
  local deadline = core.mono_ns() + self.timeout
  while true do
    local state, problem = core.tcp_state(self.handle)
    local value = ready(state)
    if value ~= nil then
      return value
    elseif state == "failed" then
      error(problem, 0)
    elseif core.mono_ns() >= deadline then
      error(("%s %s: nothing for %g s"):format(what, self.name, self.timeout / NANOSECONDS), 0)
    end
    activity.check_cancelled()
    core.activity_park(deadline)
  end
end

--- Connects to a host by its name or address.
---@param host string
---@param port integer
---@param opts? { timeout?: number|string, max_bytes?: integer } how long each wait may take (30 s); bytes at most of
---a line, or of all that is read at once (64 MiB)
---@return temporal.Connection
function net.connect(host, port, opts)
  local o = options.check("net.connect", connect_spec, opts)
  local self = setmetatable({
    handle = core.tcp_open(host, port), name = ("%s:%d"):format(host, port), buffer = "",
    timeout = o.timeout or 30 * NANOSECONDS, max_bytes = o.max_bytes or BYTES_MAX,
  }, Connection)
  local ok, problem = pcall(wait, self, "connecting to", function(state)
    return state == "open" or nil
  end)
  if not ok then
    self:close()
    error(problem, 0)
  end
  return self
end

--- Adds to the buffer what has come; false at the end.
local function more(self)
  local bytes = wait(self, "reading from", function(state)
    local bytes = core.tcp_take(self.handle)
    return bytes ~= "" and bytes or state == "ended" and "" or nil
  end)
  self.buffer = self.buffer .. bytes
  if #self.buffer > self.max_bytes then
    error(("reading from %s: more than %d bytes (max_bytes)"):format(self.name, self.max_bytes), 0)
  end
  return bytes ~= ""
end

local function take(self, n)
  local bytes = self.buffer:sub(1, n)
  self.buffer = self.buffer:sub(n + 1)
  return bytes
end

--- What has come, at most `n` bytes, at least one; nil at the end.
---@param n? integer
---@return string?
function Connection:read(n)
  if self.buffer == "" and not more(self) then
    return nil
  end
  return take(self, n or #self.buffer)
end

--- Exactly `n` bytes; an error when the peer ends before.
---@param n integer
---@return string
function Connection:read_exactly(n)
  local parts, left = {}, n
  while left > 0 do -- in parts: what is long is not copied again with each that comes
    local bytes = self:read(left)
    if not bytes then
      error(("reading from %s: it ended after %d of %d bytes"):format(self.name, n - left, n), 0)
    end
    parts[#parts + 1], left = bytes, left - #bytes
  end
  return table.concat(parts)
end

--- A line without its end ("\n" or "\r\n"); what is left at the end counts as a line; nil then.
---@return string?
function Connection:read_line()
  local from = 1
  while true do
    local at = self.buffer:find("\n", from, true)
    if at then
      return (take(self, at):gsub("\r?\n$", ""))
    end
    from = #self.buffer + 1
    if not more(self) then
      return self.buffer ~= "" and take(self, #self.buffer) or nil
    end
  end
end

--- All until the peer ends.
---@return string
function Connection:read_all()
  local parts, n = {}, 0
  for bytes in function() return self:read() end do
    parts[#parts + 1], n = bytes, n + #bytes
    if n > self.max_bytes then
      error(("reading from %s: more than %d bytes (max_bytes)"):format(self.name, self.max_bytes), 0)
    end
  end
  return table.concat(parts)
end

--- Sends and waits until the system has taken it.
---@param ... string
function Connection:write(...)
  core.tcp_write(self.handle, table.concat { ... })
  wait(self, "writing to", function()
    return core.tcp_unsent(self.handle) == 0 or nil
  end)
end

function Connection:close()
  core.tcp_close(self.handle)
end

Connection.__close = Connection.close

--- HTTP -------------------------------------------------------------------------------------------

local request_spec = {
  url = { kind = "string", required = true },
  method = { kind = "string" },
  headers = { kind = "table" },
  body = { kind = "string" },
  timeout = { kind = "duration" },
  max_bytes = { kind = "integer" },
}

local function parse_url(url)
  local scheme, authority, path = url:match "^(%a+)://([^/?#]+)([^#]*)"
  if not scheme then
    error(("net.request: '%s' is no URL such as http://host:port/path"):format(url), 3)
  elseif scheme:lower() ~= "http" then
    error(("net.request: '%s': there is http only, no %s"):format(url, scheme:lower()), 3)
  elseif authority:find "@" then
    error("net.request: a URL with a user name: give an authorization header", 3)
  end
  local host, port = authority:match "^%[(.+)%]:?(%d*)$"
  if not host then
    host, port = authority:match "^([^:]+):?(%d*)$"
  end
  if not host then
    error(("net.request: '%s' has no host"):format(url), 3)
  end
  path = path:sub(1, 1) == "/" and path or "/" .. path
  return host, port ~= "" and math.tointeger(tonumber(port)) or 80, path, authority
end

local function check_line(what, text)
  if tostring(text):find "[\r\n]" then
    error(("net.request: a line end in %s"):format(what), 4)
  end
  return tostring(text)
end

local function request_text(o, path, authority)
  local method = (o.method or "GET"):upper()
  local lines = { ("%s %s HTTP/1.1"):format(check_line("the method", method), check_line("the URL", path)) }
  local names = {}
  for name, value in pairs(o.headers or {}) do
    names[name:lower()] = true
    lines[#lines + 1] = ("%s: %s"):format(check_line("a header", name), check_line("a header", value))
  end
  if not names.host then
    lines[#lines + 1] = "Host: " .. authority
  end
  if o.body or method == "POST" or method == "PUT" then
    lines[#lines + 1] = ("Content-Length: %d"):format(#(o.body or ""))
  end
  lines[#lines + 1] = "Connection: close"
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (o.body or ""), method
end

local function read_headers(connection)
  local headers, count = {}, 0
  for line in function() return connection:read_line() end do
    if line == "" then
      return headers
    end
    local name, value = line:match "^([^:%s]+):%s*(.-)%s*$"
    count = count + 1
    if not name or count > 1000 then
      error(("the answer of %s has a header that is none"):format(connection.name), 0)
    end
    name = name:lower()
    headers[name] = headers[name] and headers[name] .. ", " .. value or value
  end
  error(("the answer of %s ends in its headers"):format(connection.name), 0)
end

local function read_chunks(connection)
  local parts, n = {}, 0
  while true do
    local size = tonumber((connection:read_line() or ""):match "^%x+" or "", 16)
    if not size or size > connection.max_bytes then
      error(("the answer of %s has a chunk that is none"):format(connection.name), 0)
    elseif size == 0 then
      read_headers(connection) -- trailers
      return table.concat(parts)
    end
    n = n + size
    if n > connection.max_bytes then
      error(("the answer of %s has more than %d bytes (max_bytes)"):format(connection.name, connection.max_bytes), 0)
    end
    parts[#parts + 1] = connection:read_exactly(size)
    connection:read_line()
  end
end

local function read_body(connection, method, status, headers)
  if method == "HEAD" or status == 204 or status == 304 then
    return ""
  elseif (headers["transfer-encoding"] or ""):lower():find "chunked" then
    return read_chunks(connection)
  elseif headers["content-length"] then
    local n = math.tointeger(tonumber(headers["content-length"]))
    if not n or n < 0 or n > connection.max_bytes then
      error(("the answer of %s has '%s' bytes, at most %d are taken (max_bytes)"):format(
        connection.name, headers["content-length"], connection.max_bytes), 0)
    end
    return connection:read_exactly(n)
  end
  return connection:read_all()
end

--- One HTTP request on a connection of its own. Redirects are not followed; a status such as 404 is no error.
---@param opts { url: string, method?: string, headers?: table<string, string>, body?: string, timeout?: number|string,
---max_bytes?: integer }
---@return { status: integer, reason: string, headers: table<string, string>, body: string } answer names of headers
---in lower case
function net.request(opts)
  local o = options.check("net.request", request_spec, opts)
  local host, port, path, authority = parse_url(o.url)
  local text, method = request_text(o, path, authority)
  local timeout = o.timeout and o.timeout / NANOSECONDS
  local connection <close> = net.connect(host, port, { timeout = timeout, max_bytes = o.max_bytes })
  connection:write(text)
  local status, reason, headers
  repeat -- what comes before the answer proper
    local line = connection:read_line() or ""
    status, reason = line:match "^HTTP/1%.[01] (%d%d%d) ?(.*)$"
    if not status then
      error(("%s does not answer in HTTP: '%s'"):format(connection.name, line:sub(1, 100)), 0)
    end
    status, headers = math.tointeger(tonumber(status)), read_headers(connection)
  until status >= 200
  return { status = status, reason = reason, headers = headers, body = read_body(connection, method, status, headers) }
end

return net
