-- The proof of determinism: histories of the samples and of programs over every primitive, recorded here, are
-- run again in other processes (build/torture determinism) whose hash seeds, malloc, addresses, CPU features,
-- locale and time zone differ, whose caches forget runs, whose memory collects and moves at random points, and
-- who ask queries at random. All must make the same commands, byte for byte. `./dev determinism` runs it long.
local helper = require "helper"
local testing = require "temporal.testing"

local runs = tonumber(os.getenv "TEMPORAL_LUA_DETERMINISM_RUNS" or 9) -- of each history, all processes together
local processes = tonumber(os.getenv "TEMPORAL_LUA_DETERMINISM_PROCESSES" or 3)
local programs = tonumber(os.getenv "TEMPORAL_LUA_DETERMINISM_PROGRAMS" or 200)

local torture = helper.build .. "/torture"

--- A sanitizer's own malloc cannot be replaced.

--- How the processes differ; each takes the next of each list.
local mallocs = { "", helper.sanitized and "" or ("LD_PRELOAD=%s/test/libother_malloc.so"):format(helper.build),
  "MALLOC_PERTURB_=165 MALLOC_ARENA_MAX=1", "MALLOC_TOP_PAD_=1 MALLOC_MMAP_THRESHOLD_=512" }
local tunables = { "", "GLIBC_TUNABLES=glibc.cpu.hwcaps=-FMA_Usable,-FMA,-AVX2_Usable,-AVX2,-AVX512F",
  "GLIBC_TUNABLES=glibc.malloc.tcache_count=0" }
local zones = { "", "TZ=Asia/Kathmandu", "TZ=America/St_Johns", "TZ=UTC-13:45" }
local locales = { "", "LC_ALL=de_DE.UTF-8", "LC_ALL=tr_TR.UTF-8", "LC_ALL=C" }
local wrappers = { "", "setarch -R", "nice -n 5" }

local function pick(list, i)
  return list[i % #list + 1]
end

--- The command of process i; the first has nothing unusual.
local function command(i, options, files)
  local environment = table.concat({ pick(mallocs, i), pick(tunables, i), pick(zones, i), pick(locales, i) }, " ")
  return ("env %s %s %s determinism --seed %d --hash %d %s %s"):format(
    environment, pick(wrappers, i), torture, i, i * 2654435761 % 4294967291, options, files)
end

--- Runs all processes, two at a time; all must print what the first prints. Returns that.
local function compare(options, files)
  local pipes, first = {}, nil
  local function finish(i)
    local output = pipes[i]:read "a"
    local ok = pipes[i]:close()
    assert.is_true(ok, command(i, options, files) .. "\n" .. output)
    first = first or output
    assert.are.equal(first, output, command(i, options, files))
  end
  for i = 0, processes - 1 do
    pipes[i] = assert(io.popen("unset LD_PRELOAD; " .. command(i, options, files) .. " 2>&1"))
    if i > 0 then
      finish(i - 1)
    end
  end
  finish(processes - 1)
  return first
end

local function write(folder, handle, name)
  local path = ("%s/%s.json"):format(folder, name)
  local file <close> = assert(io.open(path, "w"))
  file:write(handle:history():to_json())
  return path
end

--- Runs everything once on a worker and writes the histories into a folder.
local function record_programs(to)
  local unstable = 0
  local env <close> = testing.environment {
    workflows = { "programs" }, roots = { "spec/fixtures/determinism" }, search_attributes = { Note = "text" },
    activities = {
      echo = function(...) return ... end,
      decline = function() error(require("temporal").failure { type = "No", message = "no", non_retryable = true }) end,
      unstable = function()
        unstable = unstable + 1
        assert(unstable % 3 == 0, "not yet")
        return unstable
      end,
      sleepy = function()
        local activity = require "temporal.activity"
        for _ = 1, 600 do
          activity.heartbeat()
          activity.sleep(0.02)
        end
      end,
    },
  }
  local files = {}
  local function keep(handle)
    files[#files + 1] = write(to, handle, ("%s-%d"):format(handle:describe().type or "run", #files))
  end
  local every = env:start_workflow("Everything", { id = "every" }, { id = 7, items = { "b", "a" } })
  every:execute_update("add", {}, 3)
  assert.has_error(function() every:execute_update("add", {}, -3) end)
  helper.eventually(env, function() return helper.event(every, "child_workflow_execution_completed") end)
  every:signal("approve", "ann", "bob")
  every:signal("approve", "cid")
  every:result()
  keep(every)
  keep(env.client:get_workflow_handle "every-child")
  local chain = env:start_workflow("Chain", { id = "chain" }, 2)
  chain:result()
  keep(chain)
  local cancelled = env:start_workflow("Cancelled", { id = "cancelled" })
  helper.eventually(env, function() return helper.event(cancelled, "child_workflow_execution_started") end)
  cancelled:cancel()
  pcall(cancelled.result, cancelled)
  keep(cancelled)
  local failed = env:start_workflow("Failed", { id = "failed" })
  pcall(failed.result, failed)
  keep(failed)
  return table.concat(files, " ")
end

--- What a sample's workflows are run with: `activities` (its own or mocks), `options` of the environment, and a
--- function that runs them and returns their handles. Every folder of samples/ that has workflows stands here.
local function made(name)
  return ("%s/samples/%s"):format(helper.build, name)
end

local samples = {
  greeting = { activities = { "activities.greet" }, run = function(env)
    return { env:start_workflow("Greeting", nil, "Ann") }
  end },
  hot_reload = { activities = { "activities.say" }, run = function(env)
    return { env:start_workflow("Count", nil, 4) }
  end },
  order = { activities = { "activities.payment", ship = function() return { tracking = "T-1" } end },
    run = function(env)
      local handle = env:start_workflow("Order", nil, { id = "o-1", amount = 12 })
      handle:signal("approve", "ann")
      return { handle }
    end },
  embedding = { activities = { letter = function(name) return "Dear " .. name .. "," end }, run = function(env)
    return { env:start_workflow("Welcome", nil, "Ada") }
  end },
  encryption = { activities = { "activities.records" }, options = function()
    return { data_converter = dofile "samples/encryption/converter.lua" }
  end, run = function(env)
    return { env:start_workflow("Intake", nil, { name = "Ada", consent = true }),
      env:start_workflow("Intake", nil, { name = "Bob", consent = false }) }
  end },
  interceptors = { activities = { "activities.payment" }, options = function()
    return { interceptors = { { module = "interceptors.tenancy", config = { tenant = "acme", most = 1000 } } } }
  end, arguments = [[--interceptor interceptors.tenancy --config '{"tenant":"acme","most":1000}']],
    run = function(env)
      local handle = env:start_workflow("Order", nil, { amount = 12 })
      handle:signal "approve"
      return { handle }
    end },
  mtls = { activities = { "activities.ledger" }, run = function(env)
    return { env:start_workflow("Transfer", nil, 25) }
  end },
  native_activity = { activities = { native = { made "libchecksum.so", made "libwords.so" },
    shout = function(text) return text:upper() end },
    run = function(env)
      return { env:start_workflow("Measure", nil, "a b"), env:start_workflow("Shout", nil, "loud") }
    end },
  nexus = { options = function() return { nexus_services = { "services.hotel" } } end, run = function(env)
    env.client:create_nexus_endpoint("hotel", { task_queue = env.task_queue })
    local wish = { town = "Rome", room = "double", nights = 3, budget = 500 }
    local trip = env:start_workflow("Trip", { id = "trip" }, wish)
    trip:result()
    wish.cancel = true
    local cancelled = env:start_workflow("Trip", { id = "cancelled" }, wish)
    return { trip, env.client:get_workflow_handle "stay-trip", cancelled,
      env.client:get_workflow_handle "stay-cancelled" }
  end },
  versioning = { activities = { "activities.rates" }, run = function(env)
    local account = env:start_workflow("Account", nil, 100)
    account:signal "interest"
    account:signal "close"
    local application = env:start_workflow("Application", nil, 1500)
    application:signal "papers"
    return { account, application }
  end },
}

--- Runs a sample once on a worker and writes the histories of its workflows into a folder. Returns their files.
local function record_sample(to, name)
  local sample = samples[name]
  local options = sample.options and sample.options() or {}
  options.workflows, options.activities, options.roots = { "workflows.*" }, sample.activities, { "samples/" .. name }
  local env <close> = testing.environment(options)
  local files = {}
  for i, handle in ipairs(sample.run(env)) do
    pcall(handle.result, handle)
    files[i] = write(to, handle, ("%s-%d"):format(name, i))
  end
  return files
end

describe("commands", function()
  for folder in io.popen("ls -d samples/*/workflows"):lines() do
    local name = folder:match "samples/(.-)/"
    it("are the same in every process: the sample " .. name, function()
      local to <close> = helper.folder()
      local files = record_sample(to.name, name)
      local output = compare(("--root samples/%s --module 'workflows.*' %s --runs %d"):format(
        name, samples[name].arguments or "", runs // processes), table.concat(files, " "))
      local _, lines = output:gsub("%.json %d+ tasks %x+\n", "")
      assert.are.equal(#files, lines, output)
    end)
  end

  it("are the same in every process: programs over every primitive", function()
    local to <close> = helper.folder()
    local files = record_programs(to.name)
    local output = compare(("--root spec/fixtures/determinism --module programs --runs %d"):format(
      runs // processes), files)
    local _, lines = output:gsub("\n", "")
    assert.are.equal(5, lines, output)
  end)

  it("are the same in every process: programs of table operations", function()
    local to <close> = helper.folder()
    local env <close> = testing.environment { workflows = { "tables" }, roots = { "spec/fixtures/determinism" } }
    local handle = env:start_workflow("Tables", { id = "tables" }, 1)
    handle:result()
    local output = compare(("--root spec/fixtures/determinism --module tables --arguments %d"):format(programs),
      write(to.name, handle, "tables"))
    assert.matches(("tables.json %d programs "):format(programs // 100 * 100), output)
  end)

  it("that are not the same are noticed: one other random seed", function()
    local to <close> = helper.folder()
    local env <close> = testing.environment { workflows = { "tables" }, roots = { "spec/fixtures/determinism" } }
    local handle = env:start_workflow("Tables", { id = "tables" }, 1)
    handle:result()
    local path = write(to.name, handle, "tables")
    local call = ("%s determinism --root spec/fixtures/determinism --module tables %s"):format(torture, path)
    local _, first = helper.run(call)
    local text = handle:history():to_json():gsub('("originalExecutionRunId"%s*:%s*")%x', "%1z")
    local file <close> = assert(io.open(path, "w"))
    file:write(text)
    file:close()
    local _, second = helper.run(call)
    assert.matches("^tables.json 1 tasks %x+\n$", first)
    assert.matches("^tables.json 1 tasks %x+\n$", second)
    assert.are_not.equal(first, second)
  end)
end)
