--- Modules of workers: found in folders, missing, defined twice; and what is set up and torn down around them.
local helper = require "helper"
local temporal = require "temporal"

local module_text = {
  echo = [[
    local activity = require "temporal.activity"
    return activity.define("echo", function(...) return ... end)
  ]],
  both = [[
    local activity = require "temporal.activity"
    return { activity.define("echo", function(...) return ... end) }
  ]],
}

--- A folder with these files ("activities/echo.lua" = text), removed at the end of the block.
local function folder(files)
  local root = os.tmpname()
  os.remove(root)
  local self = { root = root }
  function self.write(name, text)
    os.execute(("mkdir -p '%s/%s'"):format(root, name:match "^(.*)/" or "."))
    local file <close> = assert(io.open(root .. "/" .. name, "wb"))
    file:write(text)
  end
  function self.read(name)
    local file <close> = io.open(root .. "/" .. name)
    return file and file:read "a" or ""
  end
  for name, text in pairs(files) do
    self.write(name, text)
  end
  return setmetatable(self, { __close = function() os.execute(("rm -rf '%s'"):format(root)) end })
end

--- The message with which preparing a worker fails.
local function problem(options)
  options.task_queue = "test"
  local ok, message = pcall(function()
    return temporal.worker(options):prepare()
  end)
  assert.is_false(ok)
  return tostring(message)
end

local runs = [[
  local workflow = require "temporal.workflow"
  return workflow.define("Runs", function(name, ...)
    return workflow.execute_activity(name, { start_to_close_timeout = 10, retry_policy = { maximum_attempts = 2,
      initial_interval = 0.01 } }, ...)
  end)
]]

describe("modules of a worker", function()
  it("are found by patterns, for workflows and for activities", function()
    local dir <close> = folder {
      ["workflows/runs.lua"] = runs, ["activities/echo.lua"] = module_text.echo,
      ["activities/more/init.lua"] = [[return { add = function(a, b) return a + b end }]],
      ["activities/notes.txt"] = "no module",
    }
    local env <close> = require("temporal.testing").environment {
      roots = { dir.root }, workflows = { "workflows.*" }, activities = { "activities.*" },
    }
    assert.are.equal("x", env:execute_workflow("Runs", nil, "echo", "x"))
    assert.are.equal(5, env:execute_workflow("Runs", nil, "add", 2, 3))
  end)

  it("that are named and found are loaded once", function()
    local dir <close> = folder { ["activities/echo.lua"] = module_text.echo }
    local w = temporal.worker { task_queue = "test", roots = { dir.root },
      activities = { "activities.echo", "activities.*" } }
    assert.are.same({ "activities.echo" }, w.plan.activity_modules)
  end)

  it("that raise are named, whatever they raise", function()
    local dir <close> = folder {
      ["activities/odd.lua"] = "error({ code = 5 })", ["activities/text.lua"] = "error 'no database'",
      ["flows/odd.lua"] = "error({ code = 5 })", ["services/odd.lua"] = "error(nil)",
    }
    local roots = { dir.root }
    local message = problem { roots = roots, activities = { "activities.odd" } }
    assert.matches("activities: module 'activities.odd': {\"code\":5}", message, 1, true)
    assert.is_nil(message:find "worker%.lua")
    message = problem { roots = roots, activities = { "activities.text" } }
    assert.matches("module 'activities.text': .*no database", message)
    assert.matches("module \"flows.odd\": table", problem { roots = roots, workflows = { "flows.odd" } })
    assert.matches("nexus_services: module 'services.odd': nil",
      problem { roots = roots, nexus_services = { "services.odd" } })
  end)

  it("that are missing are told with the near name", function()
    local dir <close> = folder { ["activities/payment.lua"] = module_text.echo, ["workflows/order.lua"] = runs }
    local roots = { dir.root }
    assert.matches('module "activities%.paymnt" is in none of the roots: did you mean "activities%.payment"',
      problem { roots = roots, activities = { "activities.paymnt" } })
    assert.matches('activities: no module matches "activites%.%*": did you mean "activities%.%*"',
      problem { roots = roots, activities = { "activites.*" } })
    assert.matches('module "workflows%.ordr" is in none of the roots: did you mean "workflows%.order"',
      problem { roots = roots, workflows = { "workflows.ordr" } })
    assert.matches('no module matches "workflow%.%*": did you mean "workflows%.%*"',
      problem { roots = roots, workflows = { "workflow.*" } })
    assert.matches('no module matches "zebras%.%*"$', problem { roots = roots, activities = { "zebras.*" } })
  end)

  it("that define one name twice are both named", function()
    local dir <close> = folder { ["activities/one.lua"] = module_text.echo, ["activities/two.lua"] = module_text.both }
    assert.matches("activity 'echo' is defined by two modules: activities%.one and activities%.two",
      problem { roots = { dir.root }, activities = { "activities.*" } })
    local again <close> = folder { ["workflows/a.lua"] = runs, ["workflows/b.lua"] = runs }
    assert.matches('"Runs" is defined by two modules',
      problem { roots = { again.root }, workflows = { "workflows.*" } })
  end)

  it("that define no workflow are told, when named or when a whole folder has none", function()
    local dir <close> = folder {
      ["workflows/runs.lua"] = runs, ["workflows/helper.lua"] = "return { x = 1 }", ["lib/helper.lua"] = "return 1",
    }
    assert.matches('module "workflows.helper" defines no workflow',
      problem { roots = { dir.root }, workflows = { "workflows.runs", "workflows.helper" } }, 1, true)
    assert.matches("lib.helper: none of these modules defines a workflow",
      problem { roots = { dir.root }, workflows = { "lib.*" } }, 1, true)
    temporal.worker({ task_queue = "test", roots = { dir.root }, workflows = { "workflows.*" } }):prepare()
  end)

  it("that come into the folder are there after a reload", function()
    local dir <close> = folder { ["workflows/runs.lua"] = runs, ["activities/echo.lua"] = module_text.echo }
    local env <close> = require("temporal.testing").environment {
      roots = { dir.root }, workflows = { "workflows.*" }, activities = { "activities.*" },
    }
    dir.write("activities/late.lua", [[return { late = function() return "I am here" end }]])
    local id, text = env.worker:reload()
    assert.is_string(id, text)
    assert.are.equal("I am here", env:execute_workflow("Runs", nil, "late"))
  end)

  it("that come into the folder of `worker run` are there soon", function()
    local server <close> = helper.start_server()
    local dir <close> = folder {
      ["main.lua"] = [[
        local temporal = require "temporal"
        return temporal.worker { task_queue = "found", workflows = { "workflows.*" }, activities = { "activities.*" } }
      ]],
      ["workflows/runs.lua"] = runs, ["activities/echo.lua"] = module_text.echo,
    }
    local process <close> = helper.spawn(
      ("worker run --address %s --watch %s/main.lua"):format(server.address, dir.root))
    assert.matches("is running", process.pipe:read "l")
    dir.write("activities/late.lua", [[return { late = function() return "I am here" end }]])
    local client = temporal.connect { address = server.address }
    local deadline, result = os.time() + 30
    repeat
      assert(os.time() < deadline, process:errors())
      local ok, value = pcall(client.execute_workflow, client, "Runs",
        { id = "late-" .. os.tmpname(), task_queue = "found" }, "late")
      result = ok and value
    until result
    assert.are.equal("I am here", result)
  end)
end)

--- A module that writes down what is done to it.
local function recorder(path)
  return ([[
    local activity = require "temporal.activity"
    local function note(text)
      local file <close> = assert(io.open(%q, "a"))
      file:write(text, "\n")
    end
    local opened
    return {
      setup = function(config) note("setup " .. tostring(config and config.name)) opened = config.name end,
      teardown = function() note "teardown" end,
      name = function() return opened end,
      activity.object("counter", {
        setup = function(self, config) self.count = config.start note "object setup" end,
        teardown = function(self) note("object teardown " .. self.count) end,
        add = function(self, n) self.count = self.count + n return self.count end,
        _helper = function() end,
      }),
    }
  ]]):format(path)
end

describe("setup and teardown", function()
  it("stand around the activities of a state, which share what they put there", function()
    local dir <close> = folder { ["workflows/runs.lua"] = runs }
    dir.write("activities/counter.lua", recorder(dir.root .. "/notes"))
    do
      local env <close> = require("temporal.testing").environment {
        roots = { dir.root }, workflows = { "workflows.*" }, activities = { "activities.*" },
        worker = { activity_config = { name = "db", start = 40 }, max_concurrent_activities = 1 },
      }
      assert.are.equal("db", env:execute_workflow("Runs", nil, "name"))
      assert.are.equal(41, env:execute_workflow("Runs", nil, "counter.add", 1))
      assert.are.equal(42, env:execute_workflow("Runs", nil, "counter.add", 1))
      assert.are.equal("setup db\nobject setup\n", dir.read "notes")
    end
    assert.are.equal("setup db\nobject setup\nobject teardown 42\nteardown\n", dir.read "notes")
  end)

  it("are no activities", function()
    local dir <close> = folder {}
    dir.write("activities/counter.lua", recorder(dir.root .. "/notes"))
    local w = temporal.worker { task_queue = "test", roots = { dir.root }, activities = { "activities.counter" } }
    w:prepare()
    assert.are.equal("", dir.read "notes") -- nothing is set up before the worker starts
    local loaded = require("temporal.internal.activities")({ "activities.counter" },
      '{"interceptors":[],"roots":[],"default_kind":"thread"}')
    local names = {}
    for name in pairs(loaded.functions) do
      names[#names + 1] = name
    end
    table.sort(names)
    assert.are.same({ "counter.add", "name" }, names)
  end)

  it("that fail stop the start, name the module, and undo what was set up", function()
    local dir <close> = folder {
      ["activities/z_broken.lua"] = [[
        return { setup = function() error "no such database" end, act = function() end }
      ]],
    }
    dir.write("activities/counter.lua", recorder(dir.root .. "/notes"))
    local w = temporal.worker { task_queue = "test", roots = { dir.root }, activities = { "activities.*" },
      activity_config = { name = "db", start = 0 } }
    local ok, message = pcall(w.start, w)
    assert.is_false(ok)
    assert.matches("setup of activity module 'activities%.z_broken': .*no such database", tostring(message))
    assert.are.equal("setup db\nobject setup\nobject teardown 0\nteardown\n", dir.read "notes")
  end)

  it("that fail keep a reload from being promoted", function()
    local dir <close> = folder {
      ["workflows/runs.lua"] = runs, ["activities/a.lua"] = [[return { act = function() return "old" end }]],
    }
    local env <close> = require("temporal.testing").environment {
      roots = { dir.root }, workflows = { "workflows.*" }, activities = { "activities.*" },
    }
    dir.write("activities/a.lua", [[
      return { setup = function() error "cannot connect" end, act = function() return "new" end }
    ]])
    local id, text = env.worker:reload()
    assert.is_nil(id)
    assert.matches("setup of activity module 'activities%.a': .*cannot connect", text)
    assert.are.equal("old", env:execute_workflow("Runs", nil, "act"))
  end)

  it("are functions", function()
    local dir <close> = folder {
      ["activities/five.lua"] = [[return { setup = 5, add = function(a, b) return a + b end }]],
      ["activities/text.lua"] = [[return { teardown = "x", add = function(a, b) return a + b end }]],
      ["activities/object.lua"] = [[
        local activity = require "temporal.activity"
        return activity.object("acc", { setup = {}, add = function() end })
      ]],
    }
    local rows = {
      five = "module 'activities.five': setup must be a function, got number",
      text = "module 'activities.text': teardown must be a function, got string",
      object = "setup of 'acc' must be a function, got table",
    }
    for name, message in pairs(rows) do
      assert.matches(message, problem { roots = { dir.root }, activities = { "activities." .. name } }, 1, true)
    end
  end)

  it("get plain values only", function()
    assert.has_error(function()
      temporal.worker { task_queue = "test", activity_config = { f = print } }
    end)
  end)

  it("belong to modules, not to the script's own state", function()
    local activity = require "temporal.activity"
    local ok, message = pcall(temporal.worker, { task_queue = "test", activities = {
      activity.object("db", { setup = function() end, get = function() end }),
    } })
    assert.is_false(ok)
    assert.matches("object 'db' has a setup or teardown.* put it into a module", message)
  end)
end)

describe("objects", function()
  it("are proxies in workflows, under their methods", function()
    local dir <close> = folder {
      ["activities/accounts.lua"] = [[
        local activity = require "temporal.activity"
        local Base = {}
        Base.__index = Base
        function Base.currency() return "EUR" end
        return activity.object("accounts", setmetatable({
          charge = activity.define("charge", function(self, amount) return amount .. " " .. self.currency() end,
            { start_to_close_timeout = "5s" }),
        }, Base))
      ]],
      ["activities/list.lua"] = [[
        local activity = require "temporal.activity"
        return { activity.object("listed", { get = function() return "got" end }) }
      ]],
      ["workflows/charges.lua"] = [[
        local workflow = require "temporal.workflow"
        local accounts = require "activities.accounts"
        local list = require "activities.list"
        return workflow.define("Charges", function()
          local options = { start_to_close_timeout = 5 }
          return accounts.charge(3), workflow.execute_activity(accounts.currency or "accounts.currency", options),
            workflow.execute_activity(list["listed.get"], options)
        end)
      ]],
    }
    local env <close> = require("temporal.testing").environment {
      roots = { dir.root }, workflows = { "workflows.*" }, activities = { "activities.*" },
    }
    assert.are.same({ "3 EUR", "EUR", "got" }, { env:execute_workflow "Charges" })
  end)

  it("want methods", function()
    local activity = require "temporal.activity"
    assert.has_error(function() activity.object("empty", {}) end, "activity.object: 'empty' has no methods")
    assert.has_error(function() activity.object("", { a = print }) end,
      "activity.object: the name must be a non-empty string")
  end)
end)
