-- The commands on worker deployments, against a server with two versioned workers.
local helper = require "helper"

local folder = helper.folder().name
local script = folder .. "/main.lua"
local file <close> = assert(io.open(script, "wb"))
file:write [[
  local temporal = require "temporal"
  local source = 'return require("temporal.workflow").define("Wait", function()'
    .. ' require("temporal.workflow").wait_condition(function() return false end) end)'
  return temporal.worker { task_queue = "dq", workflows = { { name = "wait", source = source } },
    activities = { hello = function() end },
    deployment_config = { name = "dep", build_id = os.getenv "BID", use_worker_versioning = true,
      default_versioning_behavior = "pinned" } }
]]
file:flush()

teardown(function() os.execute("rm -rf " .. folder) end)

local cli, ok, refused = helper.commands(function(server, text)
  return ("%s --address %s"):format(text, server.address)
end)

local function fails(server, code, pattern, text)
  assert.matches(pattern, refused(code, server, text))
end

local function worker(server, build_id)
  local run = helper.spawn(("worker run %s --address %s"):format(script, server.address), "BID=" .. build_id)
  assert.matches("is running", run.pipe:read "l")
  helper.eventually({ sleep = function() os.execute "sleep 0.05" end }, function()
    local text = "worker deployment describe-version --deployment-name dep --build-id %s -o json"
    local code, output = cli(server, text:format(build_id))
    return code == 0 and select(2, output:gsub('"name": "dq"', "")) == 2
  end)
  return run
end

local version = "--deployment-name dep --build-id "

describe("a worker of a deployment without a current version", function()
  it("says how runs come to it", function()
    local server <close> = helper.start_server()
    local first <close> = worker(server, "b1")
    local advice = "worker%.not_current text=\"deployment 'dep' has no current version, new runs go to unversioned "
      .. "workers alone: `temporal%-lua (worker deployment set%-current%-version [^`]+)` makes this one current"
    local command
    helper.eventually({ sleep = function() os.execute "sleep 0.05" end }, function()
      command = first:errors():match(advice)
      return command
    end)
    ok(server, command .. " --yes")
    assert.matches('CurrentVersionBuildID +b1', ok(server, "worker deployment describe --name dep"))
    local second <close> = worker(server, "b2")
    second:stop()
    assert.is_nil(second:errors():match "not_current")
  end)
end)

describe("worker deployment", function()
  it("shows and routes, as Temporal's own command line prints it", function()
    local server <close> = helper.start_server()
    local _ <close> = worker(server, "b1")
    local _ <close> = worker(server, "b2")
    assert.are.equal("Successfully set the current worker deployment version\n",
      ok(server, "worker deployment set-current-version --yes " .. version .. "b1"))
    assert.are.equal("Successfully set the ramping worker deployment version\n",
      ok(server, "worker deployment set-ramping-version --percentage 12.5 -y " .. version .. "b2"))
    local header = "^  Name +CreateTime +CurrentVersionDeploymentName  CurrentVersionBuildID "
      .. " RampingVersionDeploymentName  RampingVersionBuildID  RampingVersionPercentage\n"
    assert.matches(header .. "  dep +[%w ]+ +dep +b1 +dep +b2 +12.5\n$", ok(server, "worker deployment list"))
    local text = ok(server, "worker deployment describe --name dep")
    assert.matches("^Worker Deployment:\n  Name +dep\n  CreateTime +[%w ]+\n  LastModifierIdentity +%S+\n", text)
    assert.matches("\n  CurrentVersionBuildID +b1\n.*\n  RampingVersionPercentage +12.5\n", text)
    assert.matches("\n\nVersion Summaries:\n  DeploymentName  BuildID  DrainageStatus +CreateTime *\n", text)
    assert.matches("\n  dep +b2 +unspecified +[%w ]+\n", text)
    local json = ok(server, "worker deployment describe -d dep -o json")
    assert.matches('^{\n  "name": "dep",\n  "createTime": "%d+%-%d+%-%d+T[%d:.]+Z",\n  "lastModifierIdentity": ', json)
    assert.matches('"rampingVersionBuildID": "b2",\n    "rampingVersionPercentage": 12.5,\n', json)
    assert.matches('"BuildID": "b1",\n      "drainageStatus": "unspecified",', json)
    assert.matches('"versionSummaries": null,\n  "managerIdentity": ""\n}\n%]\n$',
      ok(server, "worker deployment list -o json"))
    text = ok(server, "worker deployment describe-version " .. version .. "b2")
    assert.matches("^Worker Deployment Version:\n  DeploymentName +dep\n  BuildID +b2\n", text)
    assert.matches("\n  RampPercentage +12.5\n\nTask Queues:\n  Name +Type +\n  dq +workflow\n  dq +activity\n$", text)
    text = ok(server, "worker deployment describe-version --report-task-queue-stats " .. version .. "b1")
    assert.matches("\n  dq +workflow +0 +0s +0 +0 +0\n", text)
    json = ok(server, "worker deployment describe-version -o json " .. version .. "b1")
    assert.matches('"rampingSinceTime": "0001%-01%-01T00:00:00Z",\n  "rampPercentage": 0,\n', json)
    assert.matches('"drainageInfo": {\n    "drainageStatus": "",', json)
    assert.matches('"metadata": null\n}\n$', json)
    assert.are.equal("Successfully deleted the ramping worker deployment version\n",
      ok(server, "worker deployment set-ramping-version --delete -y --deployment-name dep"))
    ok(server, "worker deployment set-current-version --yes " .. version .. "b2")
    text = ok(server, "worker deployment describe-version " .. version .. "b1")
    assert.matches("\n  DrainageStatus +draining\n  DrainageLastChangedTime +", text)
  end)

  it("asks before it changes where work goes", function()
    local server <close> = helper.start_server()
    ok(server, "worker deployment create --name dep")
    fails(server, 1, "already", "worker deployment create --name dep")
    local set = "worker deployment set-current-version --unversioned --deployment-name dep"
    local run = "echo %s | timeout 60 %s %s --address %s"
    local code, output, errors = helper.run(run:format("n", helper.binary, set, server.address))
    assert.are.equal(1, code)
    assert.matches("^Worker Deployment Before Update:\n  Name +dep\n.*\nContinue with set Current%? y/N $", output)
    assert.are.equal("temporal-lua: user denied confirmation\n", errors)
    assert.are.equal(0, (helper.run(run:format("y", helper.binary, set, server.address))))
    fails(server, 1, "give %-%-yes", set .. " -o json")
  end)

  it("changes metadata and managers and deletes", function()
    local server <close> = helper.start_server()
    ok(server, "worker deployment create --name dep")
    ok(server, "worker deployment set-ramping-version -y --percentage 0 --allow-no-pollers " .. version .. "b1")
    assert.are.equal('Metadata:\n  Metadata  {"a":1,"b":"x"}\n'
      .. "Successfully updating metadata for worker deployment version\n",
      ok(server, "worker deployment update-version-metadata --metadata a=1 --metadata 'b=\"x\"' " .. version .. "b1"))
    ok(server, "worker deployment update-metadata-version --remove-entries a " .. version .. "b1")
    assert.matches('"metadata": {\n    "b": {\n      "metadata": {.-"data": "Ingi"', ok(server,
      "worker deployment describe-version -o json " .. version .. "b1"))
    assert.matches('\n  Metadata +{"b":"x"}\n', ok(server, "worker deployment describe-version " .. version .. "b1"))
    local manager = "worker deployment manager-identity "
    assert.are.equal("Successfully set manager identity to 'bob', was previously ''\n",
      ok(server, manager .. "set -y --deployment-name dep --manager-identity bob"))
    fails(server, 1, 'managed by "bob"', "worker deployment delete-version " .. version .. "b1")
    assert.are.equal("Successfully set manager identity to 'eve', was previously 'bob'\n",
      ok(server, manager .. "set -y --deployment-name dep --self --identity eve"))
    assert.are.equal("Successfully unset manager identity, was previously 'eve'\n",
      ok(server, manager .. "unset -y --deployment-name dep"))
    fails(server, 1, "still has 1 versions", "worker deployment delete --name dep")
    ok(server, "worker deployment set-ramping-version --delete -y --deployment-name dep")
    ok(server, "worker deployment delete-version --skip-drainage " .. version .. "b1")
    assert.are.equal("Successfully deleted worker deployment\n", ok(server, "worker deployment delete --name dep"))
    fails(server, 1, 'no worker deployment "dep"', "worker deployment describe --name dep")
  end)

  it("refuses contradictory and wrong options", function()
    local server <close> = helper.start_server()
    local set = "worker deployment set-ramping-version --yes --deployment-name dep "
    fails(server, 1, "either %-%-build%-id or %-%-unversioned", set)
    fails(server, 1, "cannot set both", set .. "--build-id a --unversioned")
    fails(server, 2, "from 0 to 100", set .. "--build-id a --percentage 101")
    fails(server, 2, "from 0 to 100", set .. "--build-id a --percentage many")
    fails(server, 1, "exclude each other", set .. "--delete --percentage 1")
    fails(server, 1, 'no worker deployment "dep"', set .. "--build-id a --percentage 1")
    fails(server, 2, "build%-id", "worker deployment delete-version --deployment-name dep")
    fails(server, 1, "metadata or", "worker deployment update-version-metadata " .. version .. "a")
    fails(server, 2, "KEY=JSON", "worker deployment update-version-metadata --metadata a " .. version .. "a")
    fails(server, 1, "manager%-identity or", "worker deployment manager-identity set -y --deployment-name dep")
  end)
end)

describe("workflow update-options", function()
  local update = "workflow update-options --versioning-override-behavior "

  it("pins one workflow, or all that a query finds, and lets them go", function()
    local server <close> = helper.start_server()
    for _, id in ipairs { "a", "b" } do
      ok(server, "workflow start --type Wait -t dq -w " .. id)
    end
    local pin = update .. "pinned --versioning-override-deployment-name dep --versioning-override-build-id b9 "
    assert.are.equal("Update workflow options succeeded\n", ok(server, pin .. "-w a"))
    local function override(id)
      local json = ok(server, ("workflow describe -w %s -o json"):format(id))
      return json:match '"versioningOverride": {.-"buildId": "(%w+)"' or json:match '"(autoUpgrade)": true'
    end
    assert.are.equal("b9", override "a")
    ok(server, update .. "auto_upgrade -w a")
    assert.are.equal("autoUpgrade", override "a")
    ok(server, update .. "one_time --versioning-override-deployment-name dep --versioning-override-build-id b7 -w a")
    assert.matches('"oneTime": {.-"buildId": "b7"', ok(server, "workflow describe -w a -o json"))
    ok(server, update .. "unspecified -w a")
    assert.is_nil(override "a")
    assert.matches("Started batch for job ID: ", ok(server, pin .. "-y -q \"WorkflowType = 'Wait'\""))
    helper.eventually({ sleep = function() os.execute "sleep 0.05" end }, function()
      return override "a" == "b9" and override "b" == "b9"
    end)
    assert.matches("UpdateExecutionOptions", ok(server, "batch describe --job-id "
      .. ok(server, "batch list"):match "\n  (%S+)"))
  end)

  it("refuses what does not go together", function()
    local server <close> = helper.start_server()
    fails(server, 1, "missing deployment name", update .. "pinned -w a")
    fails(server, 1, "missing deployment name", update .. "one_time --versioning-override-build-id x -w a")
    fails(server, 1, "cannot set deployment name", update .. "auto_upgrade --versioning-override-build-id x -w a")
    fails(server, 2, "pinned", update .. "sometimes -w a")
    fails(server, 1, "workflow ID or query", update .. "unspecified")
    fails(server, 1, "not found", update .. "unspecified -w nobody")
  end)
end)
