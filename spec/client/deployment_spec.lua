-- Goal: a Lua program can do with worker deployments what the service can: see them, route, pin, delete.
-- Method: a versioned worker beside the embedded server.
local helper = require "helper"
local temporal = require "temporal"

local source = [[
  local workflow = require "temporal.workflow"
  return workflow.define { name = "Wait", versioning_behavior = "BEHAVIOR", run = function()
    local go = false
    workflow.set_signal_handler("go", function() go = true end)
    workflow.set_query_handler("waits", function() return true end)
    workflow.wait_condition(function() return go end)
    local info = workflow.info()
    return info.current_deployment_version.build_id
  end }
]]

local function worker(client, build_id, behavior)
  return temporal.worker {
    client = client, task_queue = "dq",
    workflows = { { name = "wait", source = (source:gsub("BEHAVIOR", behavior or "pinned")) } },
    deployment_config = { name = "dep", build_id = build_id, use_worker_versioning = true },
  }:start()
end

local pause = { sleep = function() os.execute "sleep 0.02" end }

local function known(deployment, build_id)
  helper.eventually(pause, function() return (pcall(deployment.describe_version, deployment, build_id)) end)
end

local function begin(client, id, options)
  local o = { id = id, task_queue = "dq" }
  for k, v in pairs(options or {}) do
    o[k] = v
  end
  local handle = client:start_workflow("Wait", o)
  handle:query "waits"
  return handle
end

local function finish(handle)
  handle:signal "go"
  return handle:result { timeout = "20s" }
end

--- The status by name of an error that fn raises.
local function status(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return err.status or err
end

local function refused(pattern, fn, ...)
  local ok, message = pcall(fn, ...)
  assert.is_false(ok)
  assert.matches(pattern, tostring(message))
end

describe("worker deployments", function()
  it("are described, listed and routed", function()
    local client <close> = temporal.connect {}
    local deployment = client:get_worker_deployment_handle "dep"
    assert.equal("NOT_FOUND", status(deployment.describe, deployment))
    local _ <close> = worker(client, "one")
    known(deployment, "one")
    local info = deployment:describe()
    assert.equal("dep", info.name)
    assert.equal("inactive", info.version_summaries[1].status)
    assert.equal("one", info.version_summaries[1].deployment_version.build_id)
    local previous, token = deployment:set_current_version { build_id = "one", conflict_token = info.conflict_token }
    assert.is_nil(previous)
    assert.equal("FAILED_PRECONDITION",
      status(deployment.set_current_version, deployment, { unversioned = true, conflict_token = info.conflict_token }))
    assert.equal("one", deployment:describe().routing_config.current_deployment_version.build_id)
    assert.equal("current", deployment:describe_version("one").status)
    local _ <close> = worker(client, "two")
    known(deployment, "two")
    local none, percentage = deployment:set_ramping_version {
      build_id = "two", percentage = 25, conflict_token = token,
    }
    assert.is_nil(none)
    assert.equal(0, percentage)
    local ramped
    ramped, percentage = deployment:set_ramping_version { delete = true }
    assert.equal("two", ramped.build_id)
    assert.equal(25, percentage)
    previous = deployment:set_current_version { build_id = "two" }
    assert.equal("one", previous.build_id)
    assert.equal("draining", deployment:describe_version("one").status)
    local names = {}
    for entry in client:list_worker_deployments { page_size = 1 } do
      names[#names + 1] = entry.name .. "/" .. entry.current_version_summary.deployment_version.build_id
    end
    assert.same({ "dep/two" }, names)
  end)

  it("keep pinned runs where they are, and move what an override says", function()
    local client <close> = temporal.connect {}
    local deployment = client:get_worker_deployment_handle "dep"
    local _ <close> = worker(client, "one")
    local _ <close> = worker(client, "two")
    known(deployment, "one")
    known(deployment, "two")
    deployment:set_current_version { build_id = "one" }
    local stays, moves = begin(client, "stays"), begin(client, "moves")
    deployment:set_current_version { build_id = "two" }
    local pinned = begin(client, "pinned", {
      versioning_override = { behavior = "pinned", deployment_name = "dep", build_id = "one" },
    })
    moves:update_options { versioning_override = { behavior = "auto_upgrade" } }
    assert.equal("one", finish(stays))
    assert.equal("two", finish(moves))
    assert.equal("one", finish(pinned))
    assert.equal("two", finish(begin(client, "new")))
    local described = stays:describe()
    assert.equal("one", described.versioning_info.deployment_version.build_id)
    assert.equal("Pinned", described.search_attributes.TemporalWorkflowVersioningBehavior)
    assert.equal("dep:one", described.search_attributes.TemporalWorkerDeploymentVersion)
    local found = 0
    for _ in client:list_workflows "TemporalWorkerDeploymentVersion = 'dep:one'" do
      found = found + 1
    end
    assert.equal(2, found)
  end)

  it("are left by a one-time override, which the first task on the other version takes away", function()
    local client <close> = temporal.connect {}
    local deployment = client:get_worker_deployment_handle "dep"
    local _ <close> = worker(client, "one")
    local _ <close> = worker(client, "two")
    known(deployment, "one")
    known(deployment, "two")
    deployment:set_current_version { build_id = "one" }
    local run = begin(client, "once")
    local override = { behavior = "one_time", deployment_name = "dep", build_id = "two" }
    run:update_options { versioning_override = override }
    local function versioning() return run:describe().versioning_info end
    assert.equal("two", versioning().versioning_override.one_time.target_deployment_version.build_id)
    run:signal "nothing" -- its task is the first one there
    helper.eventually(pause, function() return not versioning().versioning_override end)
    assert.equal("two", versioning().deployment_version.build_id)
    assert.equal("two", finish(run))
    assert.equal("one", finish(begin(client, "new")))
    assert.equal("two", finish(begin(client, "started", { versioning_override = override })))
  end)

  it("are chosen for a child by its option versioning_override", function()
    local client <close> = temporal.connect {}
    local deployment = client:get_worker_deployment_handle "dep"
    local _ <close> = worker(client, "one")
    local _ <close> = worker(client, "two")
    known(deployment, "one")
    known(deployment, "two")
    deployment:set_current_version { build_id = "one" }
    local parent <close> = temporal.worker { client = client, task_queue = "parents", workflows = { { name = "parents",
      source = [[
        local workflow = require "temporal.workflow"
        return workflow.define("Starts", function(options)
          local child = workflow.start_child_workflow("Wait", options)
          return child.id
        end)]] } } }
    parent:start()
    local function child_of(override)
      local id = client:execute_workflow("Starts", { task_queue = "parents" },
        { task_queue = "dq", parent_close_policy = "abandon", versioning_override = override })
      return client:get_workflow_handle(id)
    end
    local pinned = child_of { behavior = "pinned", deployment_name = "dep", build_id = "two" }
    assert.equal("two", finish(pinned))
    assert.equal("one", finish(child_of { behavior = "auto_upgrade" }))
    for message, override in pairs {
      ["behavior is required"] = { deployment_name = "dep", build_id = "two" },
      ["one_time needs deployment_name and build_id"] = { behavior = "one_time", build_id = "x" },
      ["goes without deployment_name"] = { behavior = "auto_upgrade", build_id = "y" },
      ["did you mean 'build_id'"] = { behavior = "pinned", buildid = "two" },
    } do
      local run = client:start_workflow("Starts", { task_queue = "parents" }, { versioning_override = override })
      local failed = helper.eventually(pause, function() return (helper.event(run, "workflow_task_failed")) end)
      assert.is_truthy(failed.failure:find(message, 1, true), message)
      run:terminate "tried"
    end
  end)

  it("have one text, and are read from it", function()
    local version = temporal.deployment_version
    assert.same({ deployment_name = "dep", build_id = "1.2" }, version.from_canonical_string "dep.1.2")
    assert.equal("dep.1.2", version.to_canonical_string { deployment_name = "dep", build_id = "1.2" })
    refused("'dep' is not <deployment_name>", version.from_canonical_string, "dep")
    refused("'7' is not", version.from_canonical_string, 7)
    refused("has a dot", version.to_canonical_string, { deployment_name = "a.b", build_id = "1" })
    refused("'build_id' is required", version.to_canonical_string, { deployment_name = "a" })
  end)

  it("give children of pinned runs their version, where it serves the task queue", function()
    local client <close> = temporal.connect {}
    local deployment = client:get_worker_deployment_handle "dep"
    local parent = [[
      local workflow = require "temporal.workflow"
      return workflow.define("Parent", function()
        local go = false
        workflow.set_signal_handler("go", function() go = true end)
        workflow.set_query_handler("waits", function() return true end)
        workflow.wait_condition(function() return go end)
        return workflow.execute_child_workflow("Child", {}) .. ","
          .. workflow.execute_child_workflow("Child", { task_queue = "other" })
      end)
    ]]
    local child = [[
      local workflow = require "temporal.workflow"
      return workflow.define("Child", function() return workflow.info().current_deployment_version.build_id end)
    ]]
    local function both(queue, name, build_id)
      return temporal.worker {
        client = client, task_queue = queue,
        workflows = { { name = "parent", source = parent }, { name = "child", source = child } },
        deployment_config = { name = name, build_id = build_id, use_worker_versioning = true,
          default_versioning_behavior = "pinned" },
      }:start()
    end
    local _ <close> = both("dq", "dep", "one")
    local _ <close> = both("dq", "dep", "two")
    local _ <close> = both("other", "elsewhere", "three")
    local elsewhere = client:get_worker_deployment_handle "elsewhere"
    known(deployment, "one")
    known(deployment, "two")
    known(elsewhere, "three")
    elsewhere:set_current_version { build_id = "three" }
    deployment:set_current_version { build_id = "one" }
    local handle = client:start_workflow("Parent", { id = "parent", task_queue = "dq" })
    handle:query "waits"
    deployment:set_current_version { build_id = "two" }
    assert.equal("one,three", finish(handle))
  end)

  it("carry metadata, managers and are deleted", function()
    local client <close> = temporal.connect { identity = "me" }
    local deployment = client:create_worker_deployment "empty"
    assert.equal("ALREADY_EXISTS", status(client.create_worker_deployment, client, "empty"))
    local request = { namespace = "default", deployment_name = "twice", identity = "me", request_id = "same" }
    local made = client:call("CreateWorkerDeployment", request).conflict_token
    assert.equal(made, client:call("CreateWorkerDeployment", request).conflict_token) -- its answer was lost
    request.request_id = "other"
    assert.equal("ALREADY_EXISTS", status(client.call, client, "CreateWorkerDeployment", request))
    client:get_worker_deployment_handle("twice"):delete()
    deployment:set_ramping_version { build_id = "b", percentage = 0, allow_no_pollers = true }
    assert.same({ a = 1, b = "x" }, deployment:update_version_metadata("b", { set = { a = 1, b = "x" } }))
    assert.same({ b = "x" }, deployment:update_version_metadata("b", { remove = { "a" } }))
    assert.same({ b = "x" }, deployment:describe_version("b").metadata)
    assert.equal("", deployment:set_manager_identity { manager_identity = "somebody" })
    assert.equal("FAILED_PRECONDITION", status(deployment.delete_version, deployment, "b"))
    assert.equal("somebody", deployment:set_manager_identity { self = true })
    assert.equal("me", deployment:set_manager_identity { manager_identity = "" })
    deployment:set_ramping_version { delete = true }
    assert.equal("FAILED_PRECONDITION", status(deployment.delete, deployment))
    deployment:delete_version("b", { skip_drainage = true })
    deployment:delete()
    assert.equal("NOT_FOUND", status(deployment.describe, deployment))
  end)

  it("take no bad options", function()
    local client <close> = temporal.connect {}
    local deployment = client:get_worker_deployment_handle "dep"
    assert.has_error(function() client:get_worker_deployment_handle "" end,
      "get_worker_deployment_handle wants the name of a worker deployment, got ")
    refused("exactly one of build_id, unversioned", deployment.set_current_version, deployment, {})
    refused("exactly one of build_id, unversioned", deployment.set_current_version, deployment,
      { build_id = "a", unversioned = true })
    refused("unknown option 'buildid', did you mean 'build_id'", deployment.set_current_version, deployment,
      { buildid = "a" })
    refused("delete and percentage", deployment.set_ramping_version, deployment, { delete = true, percentage = 1 })
    refused("wants a build ID, got nil", deployment.describe_version, deployment)
    refused("exactly one of manager_identity, self", deployment.set_manager_identity, deployment, {})
    refused("not a deployment name", deployment.describe, client:get_worker_deployment_handle "a.b")
    refused("pinned needs deployment_name and build_id", client.start_workflow, client, "Wait",
      { task_queue = "dq", versioning_override = { behavior = "pinned" } })
    refused("one of pinned, auto_upgrade", client.start_workflow, client, "Wait",
      { task_queue = "dq", versioning_override = { behavior = "sometimes" } })
    local handle = client:get_workflow_handle "none"
    refused("'versioning_override' or 'time_skipping' is required", handle.update_options, handle, {})
    refused("auto_upgrade goes without", handle.update_options, handle,
      { versioning_override = { behavior = "auto_upgrade", build_id = "x" } })
    assert.equal("NOT_FOUND", status(handle.update_options, handle, { versioning_override = false }))
  end)
end)
