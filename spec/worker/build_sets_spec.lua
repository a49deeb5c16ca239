-- Goal: workers of the older versioning, by sets of compatible builds: new workflows go to the default set, those that
-- run stay with theirs, operators change the sets, and a server of the present refuses all of it.
-- Method: a development server that is told to have such sets, worker processes of two builds whose activity tells
-- its build, the command line as operator.
local helper = require "helper"
local temporal = require "temporal"

local folder = helper.folder().name
local script = folder .. "/main.lua"
local file <close> = assert(io.open(script, "wb"))
file:write [[
  local temporal = require "temporal"
  local source = [=[
    local workflow = require "temporal.workflow"
    local options = { start_to_close_timeout = 30 }
    local default = { start_to_close_timeout = 30, versioning_intent = "default" }
    local function build() return workflow.execute_activity("build", options) end
    return {
      workflow.define("Which", build),
      workflow.define("Waits", function()
        local first, go = build(), false
        workflow.set_signal_handler("go", function() go = true end)
        workflow.wait_condition(function() return go end)
        return first .. " then " .. build() .. " and " .. workflow.execute_activity("build", default)
      end),
    }
  ]=]
  return temporal.worker {
    task_queue = "sets", workflows = { { name = "which", source = source } },
    activities = { build = function() return os.getenv "BID" end },
    build_id = os.getenv "BID", use_worker_versioning = true, max_cached_workflows = 0,
  }
]]
file:flush()

teardown(function() os.execute("rm -rf " .. folder) end)

local cli, ok = helper.commands(function(server, text)
  return ("%s --address %s"):format(text, server.address)
end)

local function worker(server, build_id)
  local run = helper.spawn(("worker run %s --address %s"):format(script, server.address), "BID=" .. build_id)
  assert.matches("is running", run.pipe:read "l")
  return run
end

local keys = "--dynamic-config-value frontend.workerVersioningDataAPIs=true "
  .. "--dynamic-config-value frontend.workerVersioningWorkflowAPIs=true"
local add = "task-queue update-build-ids add-new-default -t sets --build-id "

describe("a worker of a set of builds", function()
  it("gets new workflows as the default, and keeps those that it began", function()
    local server <close> = helper.start_server(keys)
    local client <close> = temporal.connect { address = server.address }
    ok(server, add .. "1.0")
    local _ <close> = worker(server, "1.0")
    local waits = client:start_workflow("Waits", { id = "w", task_queue = "sets" })
    assert.are.equal("1.0", client:execute_workflow("Which", { id = "a", task_queue = "sets" }))
    ok(server, add .. "2.0")
    local _ <close> = worker(server, "2.0")
    assert.are.equal("2.0", client:execute_workflow("Which", { id = "b", task_queue = "sets" }))
    waits:signal "go"
    assert.are.equal("1.0 then 1.0 and 2.0", waits:result())
    ok(server, "task-queue update-build-ids add-new-compatible -t sets --build-id 1.1 "
      .. "--existing-compatible-build-id 1.0 --set-as-default")
    local text = ok(server, "task-queue get-build-ids -t sets")
    assert.matches("BuildIds +DefaultForSet +IsDefaultSet *\n +2.0 +2.0 +false *\n +1.0, 1.1 +1.1 +true", text)
    ok(server, "task-queue update-build-ids promote-set -t sets --build-id 2.0")
    ok(server, "task-queue update-build-ids promote-id-in-set -t sets --build-id 1.0")
    assert.matches('"majorVersionSets".*"1.1",.*"1.0".*"2.0"', ok(server, "task-queue get-build-ids -t sets -o json"))
    assert.is_nil(ok(server, "task-queue get-build-ids -t sets --max-sets 1"):find("1.0", 1, true))
  end)

  it("is refused unless the server is told to have sets", function()
    local server <close> = helper.start_server()
    local code, _, errors = cli(server, add .. "1.0")
    assert.are.equal(1, code)
    assert.matches("disabled on this namespace", errors)
    code, _, errors = cli(server, "task-queue get-build-ids -t sets")
    assert.are.equal(1, code)
    assert.matches("disabled on this namespace", errors)
  end)

  it("needs a build ID of its own, or a deployment", function()
    local function message(options)
      options.task_queue, options.activities = "q", { noop = function() end }
      local good, err = pcall(function() return temporal.worker(options):prepare() end)
      assert.is_false(good)
      return err
    end
    assert.matches("needs deployment_config.name", message { use_worker_versioning = true })
    assert.matches("needs deployment_config.name", message { use_worker_versioning = true, build_id = "auto" })
    assert.matches("needs deployment_config.name", message {
      deployment_config = { use_worker_versioning = true, build_id = "1.0" },
    })
    assert.matches("default_versioning_behavior only means something", message {
      use_worker_versioning = true, build_id = "1.0", default_versioning_behavior = "pinned",
    })
  end)
end)
