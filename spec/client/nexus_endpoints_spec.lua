-- Nexus endpoints in the client: each function, what it leaves alone and what it refuses.
local helper = require "helper"

local function environment()
  return helper.environment "return require('temporal.workflow').define('X', function() end)"
end

local function without_id(endpoint)
  assert.is_true(#endpoint.id > 0)
  endpoint.id = nil
  return endpoint
end

describe("client: Nexus endpoints", function()
  it("creates, gets, changes and deletes them", function()
    local env <close> = environment()
    local client = env.client
    local first = { name = "pay", version = 1, namespace = "default", task_queue = "q", description = "*for* payments" }
    assert.are.same(first,
      without_id(client:create_nexus_endpoint("pay", { task_queue = "q", description = "*for* payments" })))
    assert.are.same(first, without_id(client:get_nexus_endpoint "pay"))
    local changed = client:update_nexus_endpoint("pay", { task_queue = "q2" })
    assert.are.same({ "q2", "default", "*for* payments", 2 },
      { changed.task_queue, changed.namespace, changed.description, changed.version })
    assert.is_nil(client:update_nexus_endpoint("pay", { description = false }).description)
    assert.are.equal("q2", client:get_nexus_endpoint("pay").task_queue)
    client:delete_nexus_endpoint "pay"
    assert.is_nil(client:get_nexus_endpoint "pay")
  end)

  it("lists them over pages", function()
    local env <close> = environment()
    for i = 1, 5 do
      env.client:create_nexus_endpoint("e" .. i, { task_queue = "q" .. i })
    end
    local names = {}
    for endpoint in env.client:list_nexus_endpoints { page_size = 2 } do
      names[#names + 1] = endpoint.name .. "-" .. endpoint.task_queue
    end
    table.sort(names)
    assert.are.same({ "e1-q1", "e2-q2", "e3-q3", "e4-q4", "e5-q5" }, names)
  end)

  it("refuses bad input and names it", function()
    local env <close> = environment()
    local client = env.client
    client:create_nexus_endpoint("pay", { task_queue = "q" })
    for pattern, call in pairs {
      ["'task_queue' is required"] = function() client:create_nexus_endpoint("a", {}) end,
      ["wants the name of a Nexus endpoint, got nil"] = function() client:create_nexus_endpoint() end,
      ["'task_queues'.*'task_queue'"] = function() client:create_nexus_endpoint("a", { task_queues = "q" }) end,
      ["there is no Nexus endpoint 'payy'"] = function() client:update_nexus_endpoint("payy", {}) end,
      ["no Nexus endpoint 'b'"] = function() client:delete_nexus_endpoint "b" end,
      ["'description' must be a string"] = function() client:update_nexus_endpoint("pay", { description = 1 }) end,
      ["pay.*%(ALREADY_EXISTS%)"] = function() client:create_nexus_endpoint("pay", { task_queue = "q" }) end,
      ["%(INVALID_ARGUMENT%)"] = function() client:create_nexus_endpoint("no spaces", { task_queue = "q" }) end,
      ["nowhere.*%(%u"] = function()
        client:create_nexus_endpoint("cc", { task_queue = "q", namespace = "nowhere" })
      end,
    } do
      local ok, err = pcall(call)
      assert.is_false(ok, pattern)
      assert.matches(pattern, tostring(err))
    end
    assert.are.equal(1, client:get_nexus_endpoint("pay").version)
  end)
end)
