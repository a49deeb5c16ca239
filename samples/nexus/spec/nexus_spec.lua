local temporal = require "temporal"
local testing = require "temporal.testing"

local root = debug.getinfo(1, "S").source:match "^@(.*)/spec/[^/]*$"

describe("a trip", function()
  local function environment(services)
    local env = testing.environment {
      roots = { root }, workflows = { "workflows.*" }, nexus_services = services or { "services.hotel" },
    }
    env.client:create_nexus_endpoint("hotel", { task_queue = env.task_queue })
    return env
  end

  local function wish(fields)
    local all = { town = "Rome", room = "double", nights = 3, budget = 500 }
    for name, value in pairs(fields or {}) do
      all[name] = value
    end
    return all
  end

  it("books a room and stays for three days", function()
    local env <close> = environment()
    local began = env:now()
    assert.are.same({ booked = true, stay = { room = "double", paid = 360, notes = { "vegetarian" } } },
      env:execute_workflow("Trip", { id = "trip-1" }, wish()))
    assert.is_true(env:now() - began >= 3 * 24 * 3600)
  end)

  it("is not booked above the budget", function()
    local env <close> = environment()
    assert.are.same({ booked = false, price = 360 }, env:execute_workflow("Trip", nil, wish { budget = 100 }))
  end)

  it("is cancelled in the hotel too", function()
    local env <close> = environment()
    assert.are.same({ booked = false, cancelled = true },
      env:execute_workflow("Trip", { id = "trip-1" }, wish { cancel = true }))
    local stay = env.client:get_workflow_handle "stay-trip-1"
    local ok, err = pcall(stay.result, stay)
    assert.is_true(not ok and temporal.is_cancelled(err))
  end)

  it("fails with what the hotel says", function()
    local env <close> = environment()
    local ok, err = pcall(env.execute_workflow, env, "Trip", nil, wish { room = "suite" })
    assert.is_false(ok)
    assert.are.equal("BAD_REQUEST", err.cause.cause.handler_type)
    assert.are.equal("there is no 'suite' room", err.cause.cause.message)
    ok, err = pcall(env.execute_workflow, env, "Trip", nil, wish { nights = 20 })
    assert.is_true(not ok and temporal.is_failure(err, "FullyBooked"))
  end)

  it("can be tried without the hotel", function()
    local nexus = require "temporal.nexus"
    local asked
    local env <close> = environment { nexus.service("hotel", {
      quote = function(given)
        asked = given.town
        return { price = 1000 }
      end,
    }) }
    assert.are.same({ booked = false, price = 1000 }, env:execute_workflow("Trip", nil, wish()))
    assert.are.equal("Rome", asked)
  end)

  it("runs as a script of two workers", function()
    local lua = os.getenv "TEMPORAL_LUA_BIN" or "build/temporal-lua"
    local program = os.tmpname()
    local file = assert(io.open(program, "w"))
    file:write(([[
      local temporal = require "temporal"
      arg[0] = %q
      local client <close> = temporal.connect {}
      client:create_nexus_endpoint("hotel", { task_queue = "hotel" })
      local trips, hotel = table.unpack(dofile(%q))
      trips.client, hotel.client = client, client
      trips:start()
      hotel:start()
      local order = { town = "Rome", room = "single", nights = 2, budget = 10 }
      print(client:execute_workflow("Trip", { task_queue = "trips", id = "trip-1" }, order).price)
      trips:shutdown()
      hotel:shutdown()
    ]]):format(root .. "/worker.lua", root .. "/worker.lua"))
    file:close()
    local out = assert(io.popen(("'%s' run '%s' 2>&1"):format(lua, program)))
    local text = out:read "a"
    out:close()
    os.remove(program)
    assert.are.equal("160\n", text)
  end)
end)
