-- Channels, locks, semaphores, wait groups, groups, futures of the script, select over all of them. Every
-- environment replays its workflows at its end.
local helper = require "helper"

local head = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
  local opts = { start_to_close_timeout = 10 }
  local function message(...) return tostring(select(2, pcall(...))) end
]]

local function run(body, ...)
  local env <close> = helper.environment(head .. body)
  return env:execute_workflow("W", nil, ...)
end

local function order(body)
  return run(([[
    return workflow.define("W", function()
      local seen = {}
      local function note(x) seen[#seen + 1] = x end
      %s
      return table.concat(seen, " ")
    end)]]):format(body))
end

describe("channels", function()
  it("without room hand each value from sender to receiver, first in, first out", function()
    assert.are.equal("s1 got1 s2 got2 s3 got3 end", order [[
      local ch = workflow.channel()
      workflow.spawn(function()
        for i = 1, 3 do ch:send(i) note("s" .. i) end
        ch:close()
      end)
      workflow.sleep(1)
      for v in ch:each() do workflow.sleep(0) note("got" .. v) end
      note "end"]])
  end)

  it("keep as many values as they have room for", function()
    assert.are.equal("true true false 2 a true b true c true nil false", order [[
      local ch = workflow.channel(2)
      note(tostring(ch:try_send "a")) note(tostring(ch:try_send "b")) note(tostring(ch:try_send "c"))
      note(ch:count())
      workflow.spawn(function() ch:send "c" end)
      workflow.sleep(0)
      for _ = 1, 4 do
        local v, ok = ch:try_receive()
        note(tostring(v)) note(tostring(ok))
      end]])
  end)

  it("give a value to who has waited longest, whoever runs next", function()
    assert.are.equal("first:1 second:2 late:3", order [[
      local ch = workflow.channel()
      local function take(name) note(name .. ":" .. ch:receive()) end
      local a, b = workflow.spawn(take, "first"), workflow.spawn(take, "second")
      workflow.sleep(0)
      ch:send(1) -- the receivers wait: none of these blocks
      ch:send(2)
      workflow.spawn(take, "late")
      workflow.wait_all { a, b }
      ch:send(3)
      workflow.sleep(0)]])
  end)

  it("carry nil, and tell a closed one from an empty one", function()
    assert.are.same({ true, true, false, false, true }, { run [[
      return workflow.define("W", function()
        local ch = workflow.channel(1)
        ch:send(nil)
        local v, ok = ch:receive()
        local open = ch:closed()
        ch:close()
        ch:close()
        local w, still = ch:receive()
        return v == nil, ok, open, still, w == nil and ch:closed()
      end)]] })
  end)

  it("raise in senders once they are closed, and wake receivers", function()
    local a, b, c, d = run [[
      return workflow.define("W", function()
        local ch = workflow.channel()
        local sender = workflow.spawn(function() ch:send(1) end)
        local ok = pcall(workflow.sleep, 0)
        ch:close()
        local err = message(sender.result, sender)
        local empty = workflow.channel()
        local receiver = workflow.spawn(function() return empty:receive() end)
        workflow.sleep(0)
        empty:close()
        local v, got = receiver:result()
        return err, message(ch.send, ch, 2), v == nil, got
      end)]]
    assert.matches("the channel was closed while channel:send waited", a)
    assert.matches("the channel is closed", b)
    assert.are.same({ true, false }, { c, d })
  end)

  it("stop waiting at the timeout, and leave nothing of it behind", function()
    assert.are.same({ "timeout", true, false, "x", true }, { run [[
      return workflow.define("W", function()
        local ch = workflow.channel()
        local began = workflow.time()
        local _, _, why = ch:receive { timeout = "1m" }
        local took = workflow.time() - began
        local sent = ch:send("lost", { timeout = "1m", timeout_summary = "s" })
        workflow.spawn(function() ch:send "x" end)
        local v = ch:receive()
        local _, ok = ch:receive { timeout = 0 }
        return why, took >= 60, sent, v, not ok
      end)]] })
  end)

  it("lose nothing when a receiver is cancelled", function()
    assert.are.equal("CancelledError second:v", order [[
      local ch = workflow.channel()
      local first = workflow.spawn(function()
        local ok, err = pcall(ch.receive, ch)
        note(ok and "got" or err.type)
      end)
      local second = workflow.spawn(function() note("second:" .. ch:receive()) end)
      workflow.sleep(0)
      first:cancel()
      ch:send "v" -- before the cancelled one has run
      second:result()]])
  end)

  it("keep the order when many who waited have gone", function()
    assert.are.equal(200, run [[
      return workflow.define("W", function()
        local ch, got = workflow.channel(), 0
        for i = 1, 400 do
          local f = workflow.spawn(function()
            local v = ch:receive()
            got = got + (v == (i - 1) // 2 and 1 or -1000)
          end)
          workflow.sleep(0)
          if i % 2 == 0 then f:cancel() end
        end
        for i = 0, 199 do ch:send(i) end
        workflow.sleep(0)
        return got
      end)]])
  end)

  it("refuse what they are not for", function()
    local a, b, c, d = run [[
      return workflow.define("W", function()
        local ch = workflow.channel()
        return message(workflow.channel, -1), message(function() return ch.snd end),
          message(ch.receive, ch, { timeot = 1 }), message(ch.receive)
      end)]]
    assert.matches("a capacity is 0 or more", a)
    assert.matches("a channel has no 'snd' %(it has send, receive", b)
    assert.matches("channel:receive: unknown option 'timeot' %(did you mean 'timeout'%?%)", c)
    assert.matches("workflow.channel expected", d)
  end)
end)

describe("select", function()
  it("takes the first case of the list that is ready, of futures and channels", function()
    assert.are.equal("b:x timer default sent 7", order [[
      local a, b, full = workflow.channel(1), workflow.channel(1), workflow.channel(1)
      b:send "x"
      workflow.select { { a, function() note "a" end }, { b, function(v, ok) note("b:" .. v) end } }
      workflow.select { { a, print }, { workflow.start_timer(1), function() note "timer" end } }
      workflow.select { { a, print }, default = function() note "default" end }
      workflow.select { { a, print }, { full, function() note "sent" end, send = 7 } }
      note(full:receive())]])
  end)

  it("waits for a channel, and takes one value only", function()
    assert.are.equal("ch1:v left:w", order [[
      local one, two = workflow.channel(), workflow.channel(1)
      workflow.spawn(function()
        one:send "v"
        two:send "w"
      end)
      workflow.select {
        { two, function(v) note("ch2:" .. v) end },
        { one, function(v) note("ch1:" .. v) end },
        { workflow.start_timer "1h" },
      }
      workflow.sleep(0)
      note("left:" .. two:receive())]])
  end)

  it("sends when a receiver comes, and returns what has no function", function()
    local got, same, v, ok, future = run [[
      return workflow.define("W", function()
        local ch = workflow.channel()
        local receiver = workflow.spawn(function() return ch:receive() end)
        local sender = workflow.spawn(function() return (workflow.select { { ch, send = "s" } }) == ch end)
        local got = receiver:result()
        local values = workflow.channel(1)
        values:send "v"
        local item, v, ok = workflow.select { { values } }
        local timer = workflow.start_timer(1)
        return got, sender:result() and item == values, v, ok, workflow.select { { timer } } == timer
      end)]]
    assert.are.same({ "s", true, "v", true, true }, { got, same, v, ok, future })
  end)

  it("is cancelled while it waits, and leaves its channels as they were", function()
    assert.are.equal("CancelledError other:v", order [[
      local ch = workflow.channel()
      local picks = workflow.spawn(function()
        local _, err = pcall(workflow.select, { { ch, print }, { workflow.start_timer "1h" } })
        note(err.type)
      end)
      workflow.sleep(0)
      picks:cancel()
      workflow.spawn(function() note("other:" .. ch:receive()) end)
      workflow.sleep(0)
      ch:send "v"
      workflow.sleep(0)]])
  end)

  it("says which case is wrong", function()
    local a, b, c = run [[
      return workflow.define("W", function()
        local ch = workflow.channel()
        return message(workflow.select, { { ch, print }, { 5, print } }),
          message(workflow.select, { { workflow.start_timer(1), print, send = 1 } }),
          message(workflow.select, { { ch, print, snd = 1 } })
      end)]]
    assert.matches("case 2 begins with a number, not a future or channel", a)
    assert.matches("case 1: send is for channels", b)
    assert.matches("case 1: unknown field 'snd'", c)
  end)
end)

describe("locks", function()
  it("are given to who has waited longest, and released by with, guards and errors", function()
    assert.are.equal("a+ a- b+ b- c+ c- false error false", order [[
      local lock = workflow.lock()
      local function work(name) note(name .. "+") workflow.sleep(1) note(name .. "-") end
      local all = {
        workflow.spawn(function() lock:with(work, "a") end),
        workflow.spawn(function() local _ <close> = lock:acquire() work "b" end),
        workflow.spawn(function() lock:acquire() work "c" lock:release() end),
      }
      workflow.wait_all(all)
      note(tostring(lock:locked()))
      local ok = pcall(lock.with, lock, function() error "x" end)
      note(ok and "fine" or "error")
      note(tostring(lock:locked()))]])
  end)

  it("can be tried, waited for with a timeout, and not released twice", function()
    local tried, timed, twice, guard = run [[
      return workflow.define("W", function()
        local lock = workflow.lock()
        local guard = lock:acquire()
        local tried = lock:try_acquire()
        local timed = lock:acquire { timeout = "1m" }
        guard:release()
        guard:release() -- a guard gives back once
        local twice = message(lock.release, lock)
        return tried == nil, timed == nil, twice, lock:try_acquire() ~= nil
      end)]]
    assert.are.same({ true, true, true }, { tried, timed, guard })
    assert.matches("the lock is not held", twice)
  end)

  it("pass over who was cancelled while waiting", function()
    assert.are.equal("CancelledError next", order [[
      local lock = workflow.lock()
      local guard = lock:acquire()
      local gone = workflow.spawn(function()
        local _, err = pcall(lock.with, lock, note, "never")
        note(err.type)
      end)
      local next_one = workflow.spawn(function() lock:with(note, "next") end)
      workflow.sleep(0)
      gone:cancel()
      guard:release()
      next_one:result()]])
  end)

  it("hold for signal handlers that run side by side", function()
    local env <close> = helper.environment(head .. [[
      return workflow.define("W", function()
        local lock, inside, most, done = workflow.lock(), 0, 0, 0
        workflow.set_signal_handler("s", function()
          local _ <close> = lock:acquire()
          inside = inside + 1
          most = math.max(most, inside)
          workflow.sleep(1)
          inside, done = inside - 1, done + 1
        end)
        workflow.wait_condition(function() return done == 5 end)
        return most
      end)]])
    local handle = env:start_workflow("W", { id = "w" })
    for _ = 1, 5 do
      handle:signal "s"
    end
    assert.are.equal(1, handle:result())
  end)
end)

describe("semaphores", function()
  it("let so many in at once", function()
    assert.are.same({ 3, 10 }, { run [[
      return workflow.define("W", function()
        local semaphore, inside, most, all = workflow.semaphore(3), 0, 0, {}
        for i = 1, 10 do
          all[i] = workflow.spawn(function()
            local _ <close> = semaphore:acquire()
            inside = inside + 1
            most = math.max(most, inside)
            workflow.sleep(1)
            inside = inside - 1
          end)
        end
        workflow.wait_all(all)
        return most, semaphore:available() == 3 and #all
      end)]] })
  end)

  it("do not let a small wish past a large one, until that is given up", function()
    assert.are.equal("big small", order [[
      local semaphore = workflow.semaphore(3)
      local guard = semaphore:acquire { count = 2 }
      local big = workflow.spawn(function() semaphore:acquire { count = 3 } note "big" semaphore:release(3) end)
      local small = workflow.spawn(function() semaphore:acquire() note "small" end)
      workflow.sleep(0)
      guard:release()
      workflow.wait_all { big, small }]])
    assert.are.equal("small", order [[
      local semaphore = workflow.semaphore(2)
      semaphore:acquire()
      local big = workflow.spawn(function() pcall(semaphore.acquire, semaphore, { count = 2 }) end)
      local small = workflow.spawn(function() semaphore:acquire() note "small" end)
      workflow.sleep(0)
      big:cancel()
      small:result()]])
  end)

  it("refuse counts that cannot be", function()
    local a, b, c = run [[
      return workflow.define("W", function()
        local semaphore = workflow.semaphore(2)
        return message(workflow.semaphore, 0), message(semaphore.acquire, semaphore, { count = 3 }),
          message(semaphore.release, semaphore)
      end)]]
    assert.matches("counts from 1 upwards", a)
    assert.matches("count must be between 1 and 2", b)
    assert.matches("more is released than was acquired", c)
  end)
end)

describe("wait groups", function()
  it("wait until as many are done as were added", function()
    assert.are.same({ 3, true, false, true }, { run [[
      return workflow.define("W", function()
        local group, n = workflow.wait_group(), 0
        group:add(3)
        for i = 1, 3 do
          workflow.spawn(function() workflow.sleep(i) n = n + 1 group:done() end)
        end
        local early = group:wait { timeout = 0.5 }
        local done = group:wait()
        return n, done, early, not pcall(group.done, group)
      end)]] })
  end)
end)

describe("groups", function()
  it("wait for all, at the end of their scope too", function()
    assert.are.equal("1 2 waited 3 closed", order [[
      local g = workflow.group()
      g:spawn(function(x) workflow.sleep(1) note(x) end, 1)
      local f = g:spawn(function() workflow.sleep(2) return 2 end)
      g:wait()
      note(f:result()) note "waited"
      do
        local h <close> = workflow.group()
        h:spawn(function() workflow.sleep(1) note(3) end)
      end
      note "closed"]])
  end)

  it("cancel the others at the first error, and raise that one", function()
    assert.are.equal("cleaned Declined refused", order [[
      local g = workflow.group()
      g:spawn(function()
        local _ <close> = workflow.defer(function(err) if err then workflow.sleep(1) note "cleaned" end end)
        workflow.sleep "1h"
      end)
      g:spawn(function() workflow.sleep(1) error(temporal.failure { type = "Declined" }) end)
      local _, err = pcall(g.wait, g)
      note(err.type)
      note(message(g.spawn, g, print):find "was cancelled because a coroutine of it failed" and "refused")]])
  end)

  it("cancel what runs when an error leaves their scope, and when they are cancelled themselves", function()
    assert.are.equal("stopped own stopped CancelledError", order [[
      local function long() local ok = pcall(workflow.sleep, "1h") note(ok and "slept" or "stopped") end
      local ok, err = pcall(function()
        local g <close> = workflow.group()
        g:spawn(long)
        workflow.sleep(1)
        error(temporal.failure { type = "own" })
      end)
      note(err.type)
      local waits = workflow.spawn(function()
        local g = workflow.group()
        g:spawn(long)
        g:wait()
      end)
      workflow.sleep(0)
      workflow.sleep(0)
      waits:cancel()
      ok, err = pcall(waits.result, waits)
      note(err.type)]])
  end)

  it("cancelled by hand end without an error", function()
    assert.are.same({ true, 0 }, { run [[
      return workflow.define("W", function()
        local g = workflow.group()
        g:spawn(workflow.sleep, "1h")
        workflow.sleep(0)
        g:cancel()
        local ok = pcall(g.wait, g)
        return ok, g:count()
      end)]] })
  end)
end)

describe("futures of the script", function()
  it("are resolved or failed once, and awaited like any other", function()
    local a, b, first, second, err, kind = run [[
      return workflow.define("W", function()
        local f, g = workflow.future(), workflow.future()
        workflow.spawn(function() workflow.sleep(1) f:resolve("a", "b") g:fail(temporal.failure { type = "T" }) end)
        local a, b = f:result()
        local _, err = pcall(g.result, g)
        return a, b, f:resolve(1), workflow.wait_any { g, f } == g, err.type,
          message(workflow.start_timer(1).resolve, workflow.start_timer(2), 1)
      end)]]
    assert.are.same({ "a", "b", false, true, "T" }, { a, b, first, second, err })
    assert.matches("only what workflow.future made can be given a result", kind)
  end)

  it("are cancelled with who waits for them", function()
    assert.are.same({ "CancelledError", true }, { run [[
      return workflow.define("W", function()
        local f = workflow.future()
        local waits = workflow.spawn(function() return f:result() end)
        workflow.sleep(0)
        waits:cancel()
        local _, err = pcall(waits.result, waits)
        return err.type, temporal.is_cancelled(f:error())
      end)]] })
  end)
end)
