-- Goal: a versioned worker takes changed scripts as another version of its deployment: the server sends new
-- and auto-upgrading runs there, pinned ones stay, and what has drained goes.
-- Method: script folders written by the spec; the embedded server, and a server process whose drainage is
-- quick.
local helper = require "spec.helper"
local reloads = require "spec.worker.reloads"
local rpc_error = require "temporal.internal.rpc_error"
local temporal = require "temporal"

local pause = { sleep = function() os.execute "sleep 0.05" end }

local function versioned(behavior, build_id)
  return {
    name = "shop", build_id = build_id or "v+{hash}", use_worker_versioning = true,
    default_versioning_behavior = behavior or "pinned",
  }
end

--- A worker whose version is the current one of its deployment.
local function start(p, options)
  local o = options or {}
  o.deployment_config = o.deployment_config or versioned()
  local w = reloads.start(p, o)
  local deployment = w.client:get_worker_deployment_handle "shop"
  assert.equal(w:build().id, w:set_current_version())
  return w, deployment
end

local function current(deployment)
  return deployment:describe().routing_config.current_deployment_version.build_id
end

describe("a reload of a versioned worker", function()
  it("sends new runs to the new version and keeps pinned ones", function()
    local p <close> = reloads.project()
    local w <close>, deployment = start(p)
    local first = w:build().id
    assert.matches("^v%+%x+$", first)
    local old = reloads.begin(w, "old")
    p.workflow("two", "workflow.sleep(0.01)") -- would not fit: pinned runs are not asked
    local id, text = w:reload()
    assert.is_string(id, text)
    assert.matches("^promoted: .*current version of deployment 'shop'", text)
    assert.equal(id, current(deployment))
    assert.equal(id, w:build().id)
    assert.equal("two", reloads.finish(reloads.begin(w, "new")))
    assert.equal("one", reloads.finish(old))
    assert.same({ first }, reloads.builds_of(old))
    assert.same({ id }, reloads.builds_of(w.client:get_workflow_handle "new"))
    assert.equal(0, w:stats().workflow_tasks_failed)
  end)

  it("keeps pinned runs that are not cached, and their activities", function()
    local p <close> = reloads.project()
    local call = [[workflow.wait_condition(function() return go end)
      if true then return workflow.execute_activity("tell", { start_to_close_timeout = "5s" }) end]]
    p.workflow("x", call)
    local w <close> = start(p, { max_cached_workflows = 0, max_concurrent_workflow_task_polls = 2 })
    local old = reloads.begin(w, "old")
    p.workflow("y", "workflow.sleep(0.01)\n" .. call)
    p.activity "two"
    assert.is_string((w:reload()))
    assert.equal("two", reloads.finish(reloads.begin(w, "new")))
    assert.equal("one", reloads.finish(old))
    assert.equal(1, #reloads.builds_of(old))
  end)

  it("moves runs that upgrade by themselves, behind the gate", function()
    local p <close> = reloads.project()
    local w <close> = start(p, { deployment_config = versioned "auto_upgrade" })
    local first = w:build().id
    local old = reloads.begin(w, "old")
    p.workflow("bad", 'workflow.execute_activity("tell", { start_to_close_timeout = "5s" })')
    old:signal "nothing"
    old:query "waits"
    local refused, text = w:reload()
    assert.is_nil(refused)
    assert.matches("workflow 'old' %(Greet", text)
    assert.equal(first, w:build().id)
    assert.equal(1, #w:builds())
    p.workflow "two"
    local id = w:reload()
    assert.equal("two", reloads.finish(old))
    assert.same({ first, id }, reloads.builds_of(old))
    assert.equal(0, reloads.failed_tasks(old))
  end)

  it("goes back with one call, and forward again", function()
    local p <close> = reloads.project()
    local w <close>, deployment = start(p)
    assert.is_nil((w:rollback()))
    local first = w:build().id
    p.workflow "two"
    local second = w:reload()
    assert.equal(first, w:rollback())
    assert.equal(first, current(deployment))
    assert.equal("one", reloads.finish(reloads.begin(w, "a")))
    p.workflow "two"
    local id, text = w:reload()
    assert.equal(second, id)
    assert.matches("^selected", text)
    assert.equal("two", reloads.finish(reloads.begin(w, "b")))
    local none, why = w:rollback "v0"
    assert.is_nil(none)
    assert.matches("'v0' is not loaded", why)
  end)

  it("routes only what it owns, and follows who routes", function()
    local p <close> = reloads.project()
    local w <close> = reloads.start(p, { deployment_config = versioned() })
    local deployment = w.client:get_worker_deployment_handle "shop"
    local first = w:build().id
    p.workflow "two"
    local id, text = w:reload()
    assert.matches("^loaded: .*goes on with unversioned workers: make this version current", text)
    assert.equal(first, w:build().id)
    assert.equal(2, #w:builds())
    deployment:set_current_version { build_id = id }
    assert.equal("two", reloads.finish(reloads.begin(w, "a")))
    helper.eventually(pause, function() return w:build().id == id end)
    p.workflow "three"
    local third = w:reload()
    assert.equal(third, current(deployment))
  end)

  it("refuses a changed bundle under a fixed build ID, and broken scripts", function()
    local p <close> = reloads.project()
    local w <close>, deployment = start(p, { deployment_config = versioned("pinned", "v7") })
    p.workflow "two"
    local id, text = w:reload()
    assert.is_nil(id)
    assert.matches("build ID 'v7' is fixed, but the scripts have changed", text)
    reloads.write(p.root .. "/flows/greet.lua", "return {")
    assert.is_nil((w:reload()))
    assert.equal(1, #w:builds())
    assert.equal(1, #deployment:describe().version_summaries)
    assert.equal("one", reloads.finish(reloads.begin(w, "still")))
  end)

  it("says when there is nothing to route", function()
    local p <close> = reloads.project()
    local w <close> = reloads.start(p)
    assert.has_error(function() w:set_current_version() end,
      "Worker:set_current_version: this worker has no versions (deployment_config.use_worker_versioning)")
    local idle = temporal.worker {
      client = w.client, task_queue = "reload", workflows = { "flows.greet" }, roots = { p.root },
      deployment_config = versioned(),
    }
    assert.error_matches(function() idle:set_current_version() end, "start the worker first")
  end)

  it("is refused when somebody else manages the deployment", function()
    local p <close> = reloads.project()
    local w <close>, deployment = start(p, { reload = { timeout = "300ms" } })
    local first = w:build().id
    deployment:set_manager_identity { manager_identity = "somebody" }
    p.workflow "two"
    local id, text = w:reload()
    assert.is_nil(id)
    assert.matches('^refused: version %S+ cannot be made current: .*managed by "somebody"', text)
    assert.equal(first, w:build().id)
    helper.eventually(pause, function() return #w:builds() == 1 end)
    assert.equal("one", reloads.finish(reloads.begin(w, "still")))
  end)
end)

--- The worker's client from now on, with `trouble(method, call)` around the calls that concern its deployment.
local function troubled(w, trouble)
  local client = w.client
  local function get_handle(_, name)
    local handle = client:get_worker_deployment_handle(name)
    return setmetatable({}, { __index = function(_, method)
      return function(_, ...)
        local arguments = table.pack(...)
        return trouble(method, function()
          return handle[method](handle, table.unpack(arguments, 1, arguments.n))
        end)
      end
    end })
  end
  w.client = setmetatable({ get_worker_deployment_handle = get_handle }, { __index = client })
end

local function too_late()
  error(rpc_error.new(4, "Deadline Exceeded", ""))
end

describe("a server that answers late", function()
  it("is asked again, and told again what it may have done already", function()
    local p <close> = reloads.project()
    local w <close>, deployment = start(p)
    local asked = {}
    troubled(w, function(method, call)
      asked[method] = (asked[method] or 0) + 1
      if asked[method] > 2 then
        return call()
      elseif method == "set_current_version" then
        call() -- it is done, nobody hears of it
      end
      too_late()
    end)
    p.workflow "two"
    local id, text = w:reload()
    assert.is_string(id, text)
    assert.matches("^promoted: ", text)
    assert.equal(id, current(deployment))
    assert.equal(id, w:build().id)
    assert.same({ describe_version = 3, describe = 5, set_current_version = 3 }, asked)
  end)

  it("keeps the version that it may have been routed to", function()
    local p <close> = reloads.project()
    local w <close>, deployment = start(p, { reload = { timeout = "300ms" } })
    local first, routed = w:build().id, false
    troubled(w, function(method, call)
      if method == "describe_version" or not routed then
        local result = call()
        if method ~= "set_current_version" then
          return result
        end
        routed = true
      end
      too_late()
    end)
    p.workflow "two"
    local none, text = w:reload()
    assert.is_nil(none)
    assert.matches("^refused: nobody knows whether version %S+ of deployment 'shop' is current now: Deadline Exceeded; "
      .. "it stays loaded: ", text)
    assert.equal(first, w:build().id)
    local id = current(deployment)
    assert.are_not.equal(first, id)
    assert.equal("two", reloads.finish(reloads.begin(w, "new")))
    helper.eventually(pause, function() return w:build().id == id end)
    assert.matches("^nothing has changed", (select(2, w:reload())))
  end)

  it("that did not get to the routing loses the version again", function()
    local p <close> = reloads.project()
    local w <close> = start(p, { reload = { timeout = "300ms" } })
    troubled(w, too_late)
    p.workflow "two"
    local none, text = w:reload()
    assert.is_nil(none)
    assert.matches("^refused: the server did not say whether it knows version %S+ of deployment 'shop': "
      .. "Deadline Exceeded", text)
    helper.eventually(pause, function() return #w:builds() == 1 end)
    assert.equal("one", reloads.finish(reloads.begin(w, "still")))
  end)
end)

describe("versions that have drained", function()
  it("are dropped when their last pinned run has ended, not before", function()
    local p <close> = reloads.project()
    local server <close> = helper.start_server(
      "--dynamic-config-value matching.wv.VersionDrainageStatusVisibilityGracePeriod=100ms"
      .. " --dynamic-config-value matching.wv.VersionDrainageStatusRefreshInterval=100ms")
    local client <close> = temporal.connect { address = server.address }
    local w <close>, deployment = start(p, { client = client })
    local first = w:build().id
    local old = reloads.begin(w, "old")
    for i = 2, 5 do
      p.workflow("v" .. i)
      assert.is_string((w:reload()))
      assert.equal("v" .. i, reloads.finish(reloads.begin(w, "run-" .. i)))
    end
    local function ids()
      local set, n = {}, 0
      for _, build in ipairs(w:builds()) do
        set[build.id], n = true, n + 1
      end
      return set, n
    end
    -- the first for its run, the current one and the one before it
    helper.eventually(pause, function() return select(2, ids()) == 3 end)
    assert.is_true((ids())[first])
    assert.equal("draining", deployment:describe_version(first).status)
    assert.equal("one", reloads.finish(old))
    helper.eventually(pause, function() return select(2, ids()) == 2 end)
    assert.is_nil((ids())[first])
    assert.equal(0, w:stats().workflow_tasks_failed)
  end)
end)
