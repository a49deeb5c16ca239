-- Goal: a worker takes changed scripts while it runs: new runs begin on the new build, running ones finish
-- on theirs, cached or not; nothing that is wrong with the new scripts reaches the running build.
-- Method: script folders written by the spec, an embedded server, and a worker process for signals, the
-- watch and the commands.
local helper = require "spec.helper"
local reload_under_load = require "spec.worker.reload_load"
local reloads = require "spec.worker.reloads"
local temporal = require "temporal"

local write, project, start = reloads.write, reloads.project, reloads.start
local begin, finish, failed_tasks = reloads.begin, reloads.finish, reloads.failed_tasks

local different = "workflow.sleep(0.01)"

describe("a reload", function()
  it("gives new runs the new build and lets running ones finish on theirs", function()
    local p <close> = project()
    local w <close> = start(p)
    local first = w:build().id
    local old = begin(w, "old")
    p.workflow "two"
    local id, text = w:reload()
    assert.is_string(id, text)
    assert.matches("^promoted: 1 histories replayed", text)
    assert.are_not.equal(first, id)
    local new = begin(w, "new")
    assert.equal("two", finish(new))
    assert.equal("one", finish(old))
    assert.equal(0, failed_tasks(old))
  end)

  it("replays an evicted run with the build of its last completed task", function()
    local p <close> = project()
    local w <close> = start(p, { max_cached_workflows = 0, max_concurrent_workflow_task_polls = 2 })
    local old = begin(w, "old")
    helper.eventually({ sleep = function() os.execute "sleep 0.02" end }, function()
      return w:builds()[1].parked_runs == 1
    end)
    p.workflow("two", different)
    assert.is_string((w:reload { replay = false }))
    assert.equal("two", finish(begin(w, "new")))
    assert.equal("one", finish(old))
    assert.equal(0, failed_tasks(old))
  end)

  it("is refused when an open run does not fit, with the report, unless told to", function()
    local p <close> = project()
    local w <close> = start(p)
    local old = begin(w, "old")
    local before = w:build().id
    local without = w.client:get_workflow_handle "old"
    p.workflow("two", 'workflow.execute_activity("tell", { start_to_close_timeout = "5s" })')
    without:signal "nothing" -- a workflow task in which the old build asks for no activity
    without:query "waits"
    local id, text, report = w:reload()
    assert.is_nil(id)
    assert.matches("workflow 'old' %(Greet", text)
    assert.equal(1, #report.failures)
    assert.equal(before, w:build().id)
    assert.is_string((w:reload { replay = false }))
    assert.equal("one", finish(old))
  end)

  it("leaves the running build alone when the scripts are broken", function()
    local p <close> = project()
    local w <close> = start(p)
    local before = w:build().id
    for _, broken in ipairs {
      'return workflow.define("Greet", {',
      'local workflow = require "temporal.workflow" error("at load")',
      'require "flows.that_is_not_there"',
      "",
    } do
      write(p.root .. "/flows/greet.lua", broken)
      local id, text = w:reload()
      assert.is_nil(id)
      assert.matches("^refused: ", text)
    end
    p.workflow "one"
    write(p.root .. "/acts/tell.lua", 'return require "no_such_module"')
    local id, text = w:reload()
    assert.is_nil(id)
    assert.matches("no_such_module", text)
    assert.equal(before, w:build().id)
    assert.equal(1, #w:builds())
    assert.equal("one", finish(begin(w, "still")))
  end)

  it("says that nothing has changed", function()
    local p <close> = project()
    local w <close> = start(p)
    local id, text = w:reload()
    assert.is_nil(id)
    assert.matches("^nothing has changed", text)
  end)

  it("refuses changed scripts under a fixed build ID and takes them under a template", function()
    local p <close> = project()
    do
      local w <close> = start(p, { deployment_config = { build_id = "v7" } })
      assert.equal("v7", w:build().id)
      p.workflow "two"
      local id, text = w:reload()
      assert.is_nil(id)
      assert.matches("build ID 'v7' is fixed, but the scripts have changed", text)
      assert.equal("one", finish(begin(w, "a")))
    end
    local w <close> = start(p, { deployment_config = { build_id = "v7+{hash}" } })
    assert.matches("^v7%+%x+$", w:build().id)
    p.workflow "three"
    assert.matches("^v7%+%x+$", (w:reload()))
    assert.equal("three", finish(begin(w, "b")))
  end)

  it("goes back to the build before", function()
    local p <close> = project()
    local w <close> = start(p)
    local none, why = w:rollback()
    assert.is_nil(none)
    assert.matches("no build before", why)
    local first = w:build().id
    p.workflow "two"
    local second = w:reload()
    assert.equal(first, w:rollback())
    assert.equal("one", finish(begin(w, "a")))
    assert.equal(second, w:rollback(second))
    assert.equal("two", finish(begin(w, "b")))
  end)

  it("drops builds that nobody uses, and keeps the one before", function()
    local p <close> = project()
    local w <close> = start(p)
    for i = 1, 12 do
      p.workflow("v" .. i)
      p.activity("v" .. i)
      assert.is_string((w:reload()))
      assert.equal("v" .. i, finish(begin(w, "run-" .. i)))
    end
    -- of thirteen builds only the current one and that before it are left once all threads have looked up
    helper.eventually({ sleep = function() os.execute "sleep 0.02" end }, function() return #w:builds() == 2 end)
    assert.equal(0, w:stats().workflow_tasks_failed)
  end)
end)

describe("activities", function()
  it("run on the newest build, also those of runs of an older one", function()
    local p <close> = project()
    local call = [[local said = workflow.execute_activity("tell", { start_to_close_timeout = "5s" })
      workflow.wait_condition(function() return go end)
      said = said .. "," .. workflow.execute_activity("tell", { start_to_close_timeout = "5s" })
      if true then return said end]]
    p.workflow("x", call)
    local w <close> = start(p)
    local handle = w.client:start_workflow("Greet", { id = "calls", task_queue = "reload" })
    helper.eventually({ sleep = function() os.execute "sleep 0.05" end }, function()
      return helper.event(handle, "activity_task_completed")
    end)
    handle:query "waits"
    p.activity "two"
    assert.is_string((w:reload()))
    assert.equal("one,two", finish(handle))
  end)

  it("that a new build has lost are still run for the runs that want them", function()
    local p <close> = project()
    local call = [[workflow.wait_condition(function() return go end)
      if true then return workflow.execute_activity("tell", { start_to_close_timeout = "5s" }) end]]
    p.workflow("x", call)
    local w <close> = start(p)
    local old = begin(w, "old")
    write(p.root .. "/acts/tell.lua", 'return { say = function() return "said" end }')
    assert.is_string((w:reload()))
    assert.equal("one", finish(old))
  end)
end)

describe("build IDs", function()
  it("follow every script and nothing else", function()
    local p <close> = project()
    local scripts = { workflows = { "flows.greet" }, activities = { "acts.tell" }, roots = { p.root } }
    local function id()
      return temporal.worker.default_build_id(scripts)
    end
    local first = id()
    assert.matches("^" .. ("%x"):rep(64) .. "$", first)
    assert.equal(first, id())
    p.activity "two"
    local second = id()
    assert.are_not.equal(first, second)
    p.workflow "two"
    assert.are_not.equal(second, id())
    p.workflow "one"
    p.activity "one"
    assert.equal(first, id())
    assert.has_error(function() temporal.worker.default_build_id { task_queue = "q" } end)
  end)

  it("are told by the command line", function()
    local p <close> = project()
    local code, output = helper.run(("%s worker build-id %s/main.lua"):format(helper.binary, p.root))
    assert.equal(0, code)
    assert.equal(temporal.worker.default_build_id {
      workflows = { "flows.*" }, activities = { "acts.tell" }, roots = { p.root } }, output:match "^reload\t(%x+)\n$")
  end)
end)

describe("worker run", function()
  local function worker(p, server, flags)
    local run = helper.spawn(("worker run %s/main.lua --address %s %s"):format(p.root, server.address, flags or ""),
      "XDG_RUNTIME_DIR=" .. p.root)
    assert.matches("is running", run.pipe:read "l")
    return run
  end
  local function ask(p, command)
    return helper.run(("XDG_RUNTIME_DIR=%s %s worker %s"):format(p.root, helper.binary, command))
  end
  local function until_builds(p, pattern)
    return helper.eventually({ sleep = function() os.execute "sleep 0.05" end }, function()
      local _, output = ask(p, "builds")
      return output:match(pattern)
    end)
  end

  it("reloads when asked, by a signal, and by a change on disk", function()
    local p <close> = project()
    local server <close> = helper.start_server()
    local run <close> = worker(p, server, "--watch")
    local client <close> = temporal.connect { address = server.address }
    local _, before = ask(p, "builds")
    local first = before:match "(%x+) %(current%)"
    local code, output = ask(p, "reload")
    assert.equal(0, code)
    assert.matches("nothing has changed", output)
    -- half a file, then all of it
    write(p.root .. "/flows/greet.lua", 'local workflow = require "temporal.workflow"\nreturn workflow.define(')
    until_builds(p, first .. " %(current%)")
    p.workflow "two"
    until_builds(p, first .. " %(before%)")
    local handle = client:start_workflow("Greet", { id = "a", task_queue = "reload" })
    assert.equal("two", finish(handle))
    assert.equal(0, (ask(p, "rollback --pid " .. run.id)))
    handle = client:start_workflow("Greet", { id = "b", task_queue = "reload" })
    assert.equal("one", finish(handle))
    os.execute("kill -HUP " .. run.id)
    helper.eventually({ sleep = function() os.execute "sleep 0.05" end }, function()
      return not ask(p, "builds") or (select(2, ask(p, "builds"))):match(first .. " %(before%)")
    end)
    assert.equal(0, run:stop())
    code, _, output = ask(p, "reload")
    assert.equal(1, code)
    assert.matches("no worker of yours is running", output)
  end)

  it("tells why a reload was refused", function()
    local p <close> = project()
    local server <close> = helper.start_server()
    local run <close> = worker(p, server)
    write(p.root .. "/main.lua", "return {")
    local code, _, text = ask(p, "reload")
    assert.equal(1, code)
    assert.matches("refused: .*main%.lua", text)
    p.script 'build_id = "fixed"'
    p.workflow "two"
    code, _, text = ask(p, "reload --pid 999999")
    assert.equal(1, code)
    assert.matches("999999", text)
    assert.equal(0, (ask(p, "reload")))
    assert.equal(0, run:stop())
  end)
end)

-- TEMPORAL_LUA_LONG=1: 50 reloads in a row under 1,000 starts a second.
describe("reloads under load", function()
  it("lose nothing without versions", function()
    reload_under_load ""
  end)

  it("lose nothing with versions", function()
    reload_under_load [[reload = { set_current = true }, deployment_config = { name = "shop",
      use_worker_versioning = true, default_versioning_behavior = "pinned" }]]
  end)
end)
