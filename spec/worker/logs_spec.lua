--- Log lines of a worker's process: their form, their levels, and what they never hold.
local helper = require "spec.helper"
local temporal = require "temporal"

local script = [[
  local temporal = require "temporal"
  local runtime_telemetry = %s
  if runtime_telemetry then
    temporal.runtime.set_default(temporal.runtime { telemetry = runtime_telemetry })
  end
  local workflow = require "temporal.workflow"
  local worker = temporal.worker {
    task_queue = "q", roots = { "spec/fixtures/lua" }, activities = { "logging_activity" },
    max_cached_workflows = %d,
    workflows = { { name = "logs", source = [=[
      local workflow = require "temporal.workflow"
      return workflow.define("Logs", function()
        workflow.log.info("begins", { order = 7, ["a b"] = "x=y", ratio = 0.5, good = true, table = {} })
        local log = workflow.logger.with({ tenant = "acme" }, { log_during_replay = true })
        workflow.execute_activity("write", { start_to_close_timeout = 10 }, 7)
        log.with({ step = 1 }).warn("bound", { last = 'q"' })
        workflow.log.debug "too quiet"
        workflow.sleep(0.01)
        print("ends")
      end)]=] } },
  }
  worker:run_until(function()
    worker.client:execute_workflow("Logs", { id = "the-id", task_queue = "q" })
  end)]]

local function run(options, cache, telemetry)
  local file <close> = helper.file(script:format(telemetry or "nil", cache or 100))
  local code, _, errors = helper.run(("%s run %s %s"):format(helper.binary, options, file.name))
  assert.are.equal(0, code, errors)
  return errors
end

local function lines(text, event)
  local out = {}
  for line in text:gmatch "[^\n]+" do
    if line:find(event, 1, true) then
      out[#out + 1] = line
    end
  end
  return out
end

describe("log lines", function()
  it("are text with fields, the ids of workflow or activity among them", function()
    local text = run("--log-level info")
    local found = lines(text, "workflow.logged")
    assert.are.equal(3, #found)
    assert.matches("^%d+%-%d+%-%d+T[%d:.]+Z info  workflow.logged message=begins where=%S+:3 workflow_type=Logs "
      .. "workflow_id=the%-id run_id=%S+ namespace=default task_queue=q attempt=1 "
      .. '"a b"="x=y" good=true order=7 ratio=0.5 table="table: #%d+"$', found[1])
    assert.matches('warn  workflow.logged message=bound .* last="q\\"" step=1 tenant=acme$', found[2])
    assert.matches("message=ends", found[3])
    found = lines(text, "activity.logged")
    assert.are.equal(2, #found)
    assert.matches("message=plain activity_type=write activity_id=%S+ workflow_type=Logs "
      .. "workflow_id=the%-id run_id=%S+ "
      .. 'namespace=default task_queue=q attempt=1 "a b"="x=y" good=true list=%[1,2%] order=7$', found[1])
    assert.matches('warn  activity.logged message=bound .* last="q\\"" step=2 tenant=acme$', found[2])
    assert.not_matches("too quiet", text)
  end)

  it("of Nexus handlers carry what was asked for and by which endpoint", function()
    local file <close> = helper.file [[
      local nexus, temporal = require "temporal.nexus", require "temporal"
      local worker = temporal.worker {
        task_queue = "q",
        nexus_services = { nexus.service("Shop", { sell = function(n)
          local log = nexus.logger.with { tenant = "acme" }
          log.with({ step = n }).warn("sold", { by = "hand" })
          nexus.log.debug "too quiet"
          local ok, message = pcall(function() return nexus.log.loud end)
          nexus.log.info(message, { ok = ok, other = select(2, pcall(nexus.log.with, "text")) })
        end }) },
        workflows = { { name = "sells", source = [=[
          local workflow = require "temporal.workflow"
          local shop = workflow.nexus_client { endpoint = "corner", service = "Shop" }
          return workflow.define("Sells", function() shop:execute_operation("sell", {}, 7) end)]=] } },
      }
      worker:run_until(function()
        worker.client:create_nexus_endpoint("corner", { task_queue = "q" })
        worker.client:execute_workflow("Sells", { id = "the-id", task_queue = "q" })
      end)]]
    local code, _, errors = helper.run(("%s run --log-level info %s"):format(helper.binary, file.name))
    assert.are.equal(0, code, errors)
    local found = lines(errors, "nexus.logged")
    assert.are.equal(2, #found, errors)
    assert.matches("warn  nexus.logged message=sold service=Shop operation=sell endpoint=corner namespace=default "
      .. "task_queue=q by=hand step=7 tenant=acme$", found[1])
    assert.matches("nexus.log has no 'loud': there are trace, debug, info, warn, error and with", found[2], 1, true)
    assert.matches("nexus.log.with wants a table of fields, got string", found[2], 1, true)
  end)

  it("are JSON objects on demand, a script's fields in an object of their own", function()
    local text = run("--log-level info --log-format json")
    local seen = {}
    for line in text:gmatch "[^\n]+" do
      local object = temporal.json.decode(line)
      assert.is_string(object.time, line)
      assert.is_string(object.level, line)
      if object.event:find "logged" then
        seen[#seen + 1] = object
      end
    end
    assert.are.equal(5, #seen)
    assert.are.equal("begins", seen[1].message)
    assert.are.equal("the-id", seen[1].workflow_id)
    assert.are.equal(1, seen[1].attempt)
    assert.are.equal(7, seen[1].fields.order)
    assert.are.equal(0.5, seen[1].fields.ratio)
    assert.are.equal("x=y", seen[1].fields["a b"])
    assert.is_true(seen[1].fields.good)
    assert.are.equal("write", seen[2].activity_type)
    assert.are.equal("Logs", seen[2].workflow_type)
    assert.are.same({ tenant = "acme", step = 1, last = 'q"' }, seen[4].fields)
  end)

  it("are silent on replay unless a logger was told otherwise", function()
    local text = run("--log-level info", 0) -- without a cache each task replays
    assert.are.equal(1, #lines(text, "message=begins"))
    assert.are.equal(1, #lines(text, "message=ends"))
    assert.is_true(#lines(text, "workflow.logged message=bound") >= 2)
  end)

  it("have one level for the library and another for scripts", function()
    local text = run("", nil,
      '{ logging = { filter = { core_level = "error", other_level = "debug" }, format = "json" } }')
    assert.are.equal(2, #lines(text, "too quiet"))
    assert.are.equal(0, #lines(text, '"event":"worker.'))
    text = run("", nil, '{ logging = { filter = { core_level = "INFO", other_level = "never" } } }')
    assert.are.equal(0, #lines(text, ".logged"))
    assert.is_true(#lines(text, "worker.started") == 1)
    assert.are.equal(0, #lines(run("", nil, '{ logging = { filter = "never" } }'), "."))
  end)

  it("are one line each and valid, whatever is written", function()
    local file <close> = helper.file [[
      local temporal = require "temporal"
      local worker = temporal.worker { task_queue = "q", workflows = { { name = "logs", source = [=[
        local workflow = require "temporal.workflow"
        return workflow.define("Logs", function()
          workflow.log.info("a\nb\t\1" .. ("x"):rep(100000), { [("k"):rep(10) .. '"\n'] = 0 / 0 })
          workflow.log.info(("\u{e9}"):rep(9000) .. "!")
          local many = {}
          for i = 1, 65 do many["f" .. i] = i end
          assert(not pcall(workflow.log.info, "too many", many))
          assert(not pcall(workflow.log.with, "text"))
          assert(not pcall(workflow.log.with, {}, { replay = true }))
        end)]=] } } }
      worker:run_until(function() worker.client:execute_workflow("Logs", { task_queue = "q" }) end)]]
    local command = ("%s run --log-level info --log-format json %s"):format(helper.binary, file.name)
    local code, _, errors = helper.run(command)
    assert.are.equal(0, code, errors)
    local found = lines(errors, "workflow.logged")
    -- A sanitizer makes this task long enough to be begun again in the quarantine.
    assert.is_true(#found == 2 or helper.sanitized)
    local first, second = temporal.json.decode(found[1]), temporal.json.decode(found[#found])
    assert.matches("^a\nb\t\1xxx", first.message)
    assert.are.equal(16384, #first.message)
    assert.is_string(first.fields['kkkkkkkkkk"\n'])
    assert.is_truthy(utf8.len(second.message))
  end)

  it("tell what activities fail with, benign failures at the level debug", function()
    local file <close> = helper.file [[
      local temporal = require "temporal"
      local worker = temporal.worker { task_queue = "q",
        activities = {
          breaks = function() error(temporal.failure { type = "Declined", message = "no funds" }) end,
          calm = function() error(temporal.failure { message = "not yet", category = "benign" }) end,
        },
        workflows = { { name = "fails", source = [=[
          local workflow = require "temporal.workflow"
          return workflow.define("Fails", function()
            local retry = { maximum_attempts = 2, initial_interval = 0.01 }
            local options = { start_to_close_timeout = 5, retry_policy = retry }
            pcall(workflow.execute_activity, "breaks", options)
            pcall(workflow.execute_local_activity, "breaks", options)
            pcall(workflow.execute_activity, "calm", options)
          end)]=] } },
      }
      worker:run_until(function() worker.client:execute_workflow("Fails", { id = "w-1", task_queue = "q" }) end)]]
    local code, _, errors = helper.run(("%s run --log-level info %s"):format(helper.binary, file.name))
    assert.are.equal(0, code, errors)
    local found = lines(errors, " activity.failed")
    assert.are.equal(2, #found, errors)
    assert.matches("warn  activity.failed activity_type=breaks activity_id=%S+ workflow_type=Fails workflow_id=w%-1 "
      .. 'run_id=%S+ attempt=1 type=Declined error="no funds"$', found[1])
    assert.matches("attempt=2", found[2])
    assert.are.equal(2, #lines(errors, " local_activity.failed"), errors)
    assert.is_nil(errors:find "calm")
    _, _, errors = helper.run(("%s run --log-level debug %s"):format(helper.binary, file.name))
    assert.are.equal(2, #lines(errors, "debug activity.failed activity_type=calm"), errors)
  end)

  it("never hold secrets, on any level", function()
    local secrets = { "sk-very-secret", "header-secret", "PRIVATE-KEY-SECRET", "codec-auth-secret",
      "codec-header-secret", "password-secret", "query-secret", "aes-secret-of-32-bytes-in-length" }
    local file <close> = helper.file(([[
      local temporal = require "temporal"
      local ok, err = pcall(temporal.connect, { address = "127.0.0.1:1", api_key = "%s", tls = false,
        metadata = { ["x-token"] = "%s" }, connect_timeout = "300ms" })
      io.stderr:write(tostring(err), "\n")
      ok, err = pcall(temporal.connect, { address = "127.0.0.1:1", connect_timeout = "300ms",
        tls = { client_cert = "no PEM", client_private_key = "%s" } })
      io.stderr:write(tostring(err), "\n")
      local function start(codec)
        local converter = temporal.data_converter { payload_codecs = { codec } }
        local client <close> = temporal.connect { data_converter = converter }
        local ok, err = pcall(client.start_workflow, client, "W", { task_queue = "q", id = "w" }, "value")
        io.stderr:write(tostring(ok), tostring(err), "\n")
      end
      start(temporal.codec.remote { endpoint = "http://127.0.0.1:1", auth = "%s", headers = { ["X-Own"] = "%s" } })
      start(temporal.codec.remote { endpoint = "http://user:%s@127.0.0.1:1/path?sig=%s" })
      start(temporal.codec.aes_gcm { keys = { one = "%s" }, active = "one" })
      ok, err = pcall(temporal.codec.aes_gcm, { keys = { one = "%s" .. "!" }, active = "one" })
      io.stderr:write(tostring(err), "\n")]]):format(
        secrets[1], secrets[2], secrets[3], secrets[4], secrets[5], secrets[6], secrets[7], secrets[8], secrets[8]))
    local _, out, errors = helper.run(("%s run --log-level trace %s"):format(helper.binary, file.name))
    assert.matches("127.0.0.1:1", errors)
    assert.matches("http://%*%*%*@127.0.0.1:1/path", errors)
    assert.matches("true", errors)
    local flags = ("--api-key %s --grpc-meta x-token=%s --codec-endpoint http://u:%s@127.0.0.1:1 --codec-auth %s "
      .. "--codec-header A=%s --tls=false"):format(secrets[1], secrets[2], secrets[6], secrets[4], secrets[5])
    local code, listed, complaint = helper.run(("timeout 60 %s workflow start --type W --task-queue q --input 1 "
      .. "--log-level trace --address 127.0.0.1:1 --command-timeout 3s %s"):format(helper.binary, flags))
    assert.are_not.equal(0, code)
    errors = errors .. listed .. complaint
    for _, secret in ipairs(secrets) do
      assert.is_nil((out .. errors):find(secret, 1, true), secret)
    end
  end)
end)
