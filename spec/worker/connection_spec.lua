-- A worker beside a server that stops answering, dies, and comes back. What is waited for is an event: a line of the
-- log or a result. How soon it comes is for the unit tests, which have a clock of their own. The one number is CPU
-- time: a worker without a server does next to nothing. TEMPORAL_LUA_LONG=1 leaves it alone for a minute, and wants
-- it back within two seconds.
local helper = require "helper"
local client = require "temporal.client"
local core = require "temporal.core"

local long = os.getenv "TEMPORAL_LUA_LONG" == "1"
local LIMIT = 60 -- seconds until a wait counts as lost

local workflows = [[
local workflow = require "temporal.workflow"
return workflow.define("Waits", function(name)
  local done
  workflow.set_signal_handler("go", function() done = true end)
  workflow.wait_condition(function() return done end)
  return workflow.execute_activity("greet", { start_to_close_timeout = 10 }, name)
end)
]]

local worker = [[
local temporal = require "temporal"
return temporal.worker {
  task_queue = "spec",
  workflows = { "waits" },
  activities = { greet = function(name) return "hello, " .. name end },
  client = temporal.connect {
    address = os.getenv "SPEC_ADDRESS",
    keepalive = os.getenv "SPEC_KEEPALIVE" and { interval = 2, timeout = 1 } or nil,
  },
}
]]

local function write(path, text)
  local file <close> = assert(io.open(path, "wb"))
  file:write(text)
end

local function now()
  return core.mono_ns() / 1e9
end

local function sleep(seconds)
  os.execute(("sleep %g"):format(seconds))
end

--- CPU seconds that a process has used.
local function cpu_seconds(id)
  local file <close> = assert(io.open(("/proc/%s/stat"):format(id)))
  local user, system = file:read("a"):match "%) %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ (%d+) (%d+)"
  return (user + system) / 100
end

local function count(text, part)
  local _, n = text:gsub(part:gsub("%p", "%%%0"), "")
  return n
end

--- Waits until the worker has written the line.
local function logged(run, part)
  local began = now()
  while count(run:errors(), part) < 1 do
    assert(now() - began < LIMIT, ("no line '%s' within %s s:\n%s"):format(part, LIMIT, run:errors()))
    sleep(0.02)
  end
end

--- The lines that tell of the connection, one of each or none.
local function assert_logged_once(run, wanted)
  local errors = run:errors()
  assert.are.equal(wanted, count(errors, "worker.connection_lost"), errors)
  assert.are.equal(wanted, count(errors, "worker.connection_recovered"), errors)
end

--- What a worker costs that waits for its server: pauses of half a second between attempts.
local function assert_idle(run, seconds)
  local before = cpu_seconds(run.id)
  sleep(seconds)
  local used = cpu_seconds(run.id) - before
  assert.is_true(used < 0.2 + 0.1 * seconds, ("%.2f s of CPU in %g s without a server"):format(used, seconds))
end

local function start(place, db, environment)
  write(place.name .. "/waits.lua", workflows)
  write(place.name .. "/worker.lua", worker)
  local server = helper.start_server_again_later("--db-filename " .. db)
  local script = ("worker run --address %s %s/worker.lua"):format(server.address, place.name)
  local run = helper.spawn(script, ("SPEC_ADDRESS=%s %s"):format(server.address, environment or "SPEC_KEEPALIVE=1"))
  assert.matches("spec", run.pipe:read "l")
  logged(run, "worker.started")
  return setmetatable({ server = server, run = run }, {
    __close = function(self)
      os.execute("kill -CONT " .. self.server.id .. " 2>/dev/null")
      getmetatable(self.run).__close(self.run)
      getmetatable(self.server).__close(self.server)
    end,
  })
end

describe("a worker", function()
  it("goes on after its server was killed and started again", function()
    local place <close> = helper.folder()
    local db = place.name .. "/a.db"
    local pair <close> = start(place, db)
    local server, run = pair.server, pair.run
    do
      local c <close> = client.connect { address = server.address }
      c:start_workflow("Waits", { id = "w", task_queue = "spec" }, "you")
      assert.are.equal(0, c:count_workflows "WorkflowType = 'other'")
    end
    server:stop "KILL"
    logged(run, "worker.connection_lost")
    assert_idle(run, long and 60 or 3)
    local again <close> = helper.spawn(
      ("server start-dev --port %s --db-filename %s"):format(server.address:match ":(%d+)$", db))
    assert.are.equal(server.line, again.pipe:read "l")
    local serves = now()
    logged(run, "worker.connection_recovered")
    local seconds = now() - serves
    if long then
      print(("# figures: the worker was back %.2f s after its server"):format(seconds))
      assert.is_true(seconds < 2)
    end
    local c <close> = client.connect { address = server.address }
    local handle = c:get_workflow_handle "w"
    handle:signal "go"
    assert.are.equal("hello, you", handle:result { timeout = LIMIT })
    assert.are.equal(0, run:stop())
    assert_logged_once(run, 1)
  end)

  it("goes on after its server was frozen", function()
    local place <close> = helper.folder()
    local pair <close> = start(place, place.name .. "/a.db")
    local server, run = pair.server, pair.run
    os.execute("kill -STOP " .. server.id)
    logged(run, "worker.connection_lost")
    assert.matches("keepalive", run:errors())
    assert_idle(run, long and 60 or 2)
    os.execute("kill -CONT " .. server.id)
    logged(run, "worker.connection_recovered")
    local c <close> = client.connect { address = server.address }
    local handle = c:start_workflow("Waits", { id = "w", task_queue = "spec" }, "you")
    handle:signal "go"
    assert.are.equal("hello, you", handle:result { timeout = LIMIT })
    assert.are.equal(0, run:stop())
    assert_logged_once(run, 1)
  end)

  -- Long enough for polls, the activity's completion and many attempts to connect to end in nothing. With the
  -- keepalive of the other SDKs (30 s) the connection outlives it; with a short one it is made anew.
  for name, environment in pairs { ["kept its connection"] = "", ["lost its connection"] = "SPEC_KEEPALIVE=1" } do
    it("goes on with what was under way beside a frozen server, having " .. name, function()
      local place <close> = helper.folder()
      local pair <close> = start(place, place.name .. "/a.db", environment)
      local server, run = pair.server, pair.run
      local lost = environment ~= "" and 1 or 0
      local handles = {}
      local c <close> = client.connect { address = server.address }
      for i = 1, 20 do
        handles[i] = c:start_workflow("Waits", { id = "w" .. i, task_queue = "spec" }, i)
        handles[i]:signal "go"
      end
      os.execute("kill -STOP " .. server.id)
      if lost == 1 then
        logged(run, "worker.connection_lost")
      end
      assert_idle(run, 10)
      os.execute("kill -CONT " .. server.id)
      for i = 1, 20 do
        assert.are.equal("hello, " .. i, handles[i]:result { timeout = LIMIT })
      end
      if lost == 1 then -- a poll tells, which may come later than the results
        logged(run, "worker.connection_recovered")
      end
      assert.are.equal(0, run:stop())
      assert_logged_once(run, lost)
    end)
  end
end)
