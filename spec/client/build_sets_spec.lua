-- Goal: scripts keep the sets of compatible builds of a task queue: each operation, what it refuses and what the server
-- refuses, and that interceptors see the calls.
local helper = require "helper"
local temporal = require "temporal"

local keys = "--dynamic-config-value frontend.workerVersioningDataAPIs=true"
local server, client

setup(function()
  server = helper.start_server(keys)
  client = temporal.connect { address = server.address }
end)

teardown(function()
  client:close()
  server:stop()
end)

local function message(...)
  local good, err = pcall(...)
  assert.is_false(good)
  return type(err) == "table" and err.message or err
end

describe("update_worker_build_id_compatibility", function()
  local function update(operation) client:update_worker_build_id_compatibility("q", operation) end

  it("does each operation, which get_worker_build_id_compatibility shows", function()
    assert.are.same({}, client:get_worker_build_id_compatibility "q")
    update { operation = "add_new_default", build_id = "1.0" }
    update { operation = "add_new_default", build_id = "2.0" }
    assert.are.same({ { "1.0" }, { "2.0" } }, client:get_worker_build_id_compatibility "q")
    assert.are.same({ { "2.0" } }, client:get_worker_build_id_compatibility("q", { max_sets = 1 }))
    update { operation = "add_new_compatible", build_id = "1.1", existing_compatible_build_id = "1.0" }
    assert.are.same({ { "1.0", "1.1" }, { "2.0" } }, client:get_worker_build_id_compatibility "q")
    update {
      operation = "add_new_compatible", build_id = "1.2", existing_compatible_build_id = "1.0", promote_set = true,
    }
    assert.are.same({ { "2.0" }, { "1.0", "1.1", "1.2" } }, client:get_worker_build_id_compatibility "q")
    update { operation = "promote_set", build_id = "2.0" }
    assert.are.same({ { "1.0", "1.1", "1.2" }, { "2.0" } }, client:get_worker_build_id_compatibility "q")
    update { operation = "promote_build_id_within_set", build_id = "1.1" }
    assert.are.same({ { "1.0", "1.2", "1.1" }, { "2.0" } }, client:get_worker_build_id_compatibility "q")
    update { operation = "merge_sets", primary_build_id = "2.0", secondary_build_id = "1.0" }
    local merged = client:get_worker_build_id_compatibility "q"
    assert.are.equal(1, #merged)
    assert.are.equal("2.0", merged[1][#merged[1]])
    assert.are.equal(4, #merged[1])
  end)

  it("names what is wrong with an operation", function()
    assert.matches("did you mean 'promote_set'", message(update, { operation = "promote_sets", build_id = "1" }))
    assert.matches("one of add_new_compatible, add_new_default, merge_sets", message(update, "add_new_default"))
    assert.matches("build_id' is required", message(update, { operation = "add_new_default" }))
    assert.matches("existing_compatible_build_id' is required",
      message(update, { operation = "add_new_compatible", build_id = "1" }))
    assert.matches("promote_set", message(update, {
      operation = "add_new_compatible", build_id = "9", existing_compatible_build_id = "1.0", promote_set = "yes",
    }))
    assert.matches("build", message(update, { operation = "promote_set", build_id = "1", build = "1" }))
    assert.matches("task queue", message(client.update_worker_build_id_compatibility, client, "", {}))
    assert.matches("from 1 up", message(client.get_worker_build_id_compatibility, client, "q", { max_sets = 0 }))
    assert.matches("nowhere", message(update, { operation = "promote_set", build_id = "nowhere" }))
  end)
end)

describe("get_worker_task_reachability", function()
  it("tells why the server refuses it", function()
    assert.matches("use worker deployments", message(client.get_worker_task_reachability, client, { "1.0" }))
    assert.matches("one build ID at least", message(client.get_worker_task_reachability, client, {}))
    assert.matches("build_ids%[2%]", message(client.get_worker_task_reachability, client, { "1.0", "" }))
    assert.matches("reachability", message(client.get_worker_task_reachability, client, { "1.0" },
      { reachability = "all" }))
  end)
end)

describe("interceptors", function()
  it("see the calls and may change them", function()
    local seen = {}
    local function hook(name, change)
      return function(input, next)
        seen[#seen + 1] = name
        return next(change and change(input) or input)
      end
    end
    local to_other = function(input)
      input.task_queue = "other"
      return input
    end
    local other <close> = temporal.connect {
      address = server.address,
      interceptors = { { client = {
        update_worker_build_id_compatibility = hook("update", to_other),
        get_worker_build_id_compatibility = hook "get",
        get_worker_task_reachability = hook "reach",
      } } },
    }
    other:update_worker_build_id_compatibility("q", { operation = "add_new_default", build_id = "x" })
    assert.are.same({ { "x" } }, other:get_worker_build_id_compatibility "other")
    pcall(other.get_worker_task_reachability, other, { "x" })
    assert.are.same({ "update", "get", "reach" }, seen)
  end)
end)
