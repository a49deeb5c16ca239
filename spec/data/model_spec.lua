-- Models: declared fields for arguments and results, in host scripts and in workflows.
local helper = require "helper"
local temporal = require "temporal"

local models = [[
  local temporal = require "temporal"
  local Item = temporal.model { name = "Item", fields = {
    sku = { type = "string", required = true },
    count = { type = "integer", default = 1, check = function(n) return n > 0, "must be more than 0" end },
  } }
  local Order = temporal.model { name = "Order", fields = {
    id = { type = "string", required = true },
    items = { type = "list", items = Item, required = true },
    labels = { type = "map", values = "string" },
    price = "number", express = "boolean", note = "any",
  }, check = function(o) return #o.items > 0, "has no items" end }
  function Order:count()
    local n = 0
    for _, item in ipairs(self.items) do n = n + item.count end
    return n
  end
  return { Item = Item, Order = Order }]]

describe("temporal.model", function()
  local modules, m

  setup(function()
    modules = helper.module_folder()
    m = require(modules.module("models", models))
  end)

  teardown(function() modules:close() end)

  it("checks values, fills in defaults and gives methods", function()
    local order = m.Order { id = "o", items = { { sku = "a" }, { sku = "b", count = 2.0 } }, note = temporal.null }
    assert.are.same({ 3, "integer", 1 }, { order:count(), math.type(order.items[2].count), order.items[1].count })
    assert.is_nil(order.note)
    assert.are.equal("o", m.Order(order).id)
    local wrong = {
      { "Order: must be a table for Order, got string", "x" },
      { "Order: .id is required", { items = {} } },
      { "Order: .items is required", { id = "a", items = temporal.null } },
      { "Order: .items%[2%].sku must be a string, got number", { id = "a", items = { { sku = "s" }, { sku = 1 } } } },
      { "Order: .items%[1%].count must be more than 0", { id = "a", items = { { sku = "s", count = 0 } } } },
      { "Order: .items%[1%].count must be an integer, got 1.5", { id = "a", items = { { sku = "s", count = 1.5 } } } },
      { "Order: .items%[1%].size is no field of Item", { id = "a", items = { { sku = "s", size = 1 } } } },
      { "Order: .items must be a list, got the key x", { id = "a", items = { x = 1 } } },
      { "Order: .labels.a must be a string, got boolean", { id = "a", items = {}, labels = { a = true } } },
      { "Order: .labels must be a table with names, got the key 1", { id = "a", items = {}, labels = { "x" } } },
      { "Order: has no items", { id = "a", items = {} } },
      { "Order: .express must be a boolean, got string", { id = "a", items = {}, express = "yes" } },
    }
    for _, case in ipairs(wrong) do
      local ok, message = pcall(m.Order, case[2])
      assert.is_false(ok)
      assert.matches(case[1], message)
    end
  end)

  it("says what is wrong with its options", function()
    local new = temporal.model
    assert.error_matches(function() new "x" end, "a table is expected, got string")
    assert.error_matches(function() new { fields = {} } end, "name and fields are required")
    assert.error_matches(function() new { name = "A", field = {} } end, "unknown option 'field'")
    assert.error_matches(function() new { name = 1, fields = {} } end, "name must be a string, got number")
    assert.error_matches(function() new { name = "A", fields = { a = "text" } } end,
      "A.a: a type is a model or one of string, .*; got 'text'")
    assert.error_matches(function() new { name = "A", fields = { a = { kind = 1 } } } end, "unknown option 'kind'")
    assert.error_matches(function() new { name = "A", fields = { a = { check = 1 } } } end, "check must be a function")
    assert.error_matches(function() new { name = "A", fields = { a = { type = "list", items = "x" } } } end,
      "A.a: items: a type is a model")
  end)

  it("binds the arguments and results of workflows and activities", function()
    local activity = require "temporal.activity"
    local env <close> = helper.environment([[
      local temporal = require "temporal"
      local workflow = require "temporal.workflow"
      local models = require "models"
      return workflow.define {
        name = "W", args = { models.Order, { type = "string", required = false, default = "none" } },
        result = { type = "integer", check = function(n) return n < 100, "is too large" end },
        run = function(order, way)
          local counted = workflow.execute_activity("count", { start_to_close_timeout = "10s" },
            way == "bad" and { id = 1 } or order)
          if way == "large" then return 100 end
          return counted + order:count(), way
        end,
      }]], { roots = { modules.name }, replay = true, activities = { count = activity.define("count", function(order)
        return order:count()
      end, { args = { m.Order }, result = "integer" }).run } })
    local good = { id = "o", items = { { sku = "a", count = 2 } } }
    assert.are.same({ 4, "none" }, { env:execute_workflow("W", nil, good) })
    assert.are.same({ 4, "w" }, { env:execute_workflow("W", nil, good, "w") })
    local function failure(...)
      local handle = env:start_workflow("W", nil, ...)
      local ok, err = pcall(handle.result, handle)
      assert.is_false(ok)
      return err.cause
    end
    local err = failure { id = "o" }
    assert.are.same({ "InvalidArgumentError", "workflow 'W': argument 1.items is required", true },
      { err.type, err.message, err.non_retryable })
    assert.are.equal("workflow 'W': argument 1 must be a table for Order, got nil", failure().message)
    assert.are.equal("workflow 'W': 3 arguments are too many, 2 are declared", failure(good, "x", 3).message)
    assert.are.equal("activity 'count': argument 1.id must be a string, got number", failure(good, "bad").cause.message)
    local large = helper.task_failure(env, env:start_workflow("W", nil, good, "large"))
    assert.matches("workflow 'W': the result is too large", large.message)
    env.replay = false
  end)

  it("and other tables may say how they travel", function()
    local env <close> = helper.environment([[
      local workflow = require "temporal.workflow"
      local Point = { __from_payload = function(class, v)
        assert(v.x, "a point has an x")
        return setmetatable({ x = v.x }, class)
      end, __to_payload = function(p) return { x = p.x, kind = "point" } end }
      local Self = setmetatable({}, { __to_payload = function(t) return t end })
      return workflow.define { name = "W", args = { Point }, run = function(p)
        assert(getmetatable(p) == Point)
        if p.x == 0 then return { Self } end
        return p, { list = { p } }
      end }]], { replay = false })
    local a, b = env:execute_workflow("W", nil, { x = 3 })
    assert.are.same({ { x = 3, kind = "point" }, { list = { { x = 3, kind = "point" } } } }, { a, b })
    local handle = env:start_workflow("W", nil, {})
    local _, err = pcall(handle.result, handle)
    assert.are.equal("workflow 'W': argument 1 a point has an x", err.cause.message)
    assert.matches("contains itself", helper.task_failure(env, env:start_workflow("W", nil, { x = 0 })).message)
    -- in a host script
    local class = { __to_payload = function(t) return t.text end }
    assert.are.equal('["a"]', require "temporal.core".json_encode { setmetatable({ text = "a" }, class) })
  end)

  it("refuses bad declarations where they stand", function()
    assert.error_matches(function()
      helper.environment [[
        return require "temporal.workflow".define { name = "W", args = { "text" }, run = print }]]
    end, "workflow 'W': args%[1%]: a type is a model or one of")
    assert.error_matches(function()
      require "temporal.activity".define("a", print, { args = { x = "string" } })
    end, "activity 'a': args must be a list of types, got the key x")
  end)
end)
