-- Search attributes: registering, what may be set, and what a removal hides.
local helper = require "helper"
local temporal = require "temporal"

local source = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
  return {
    workflow.define("Waits", function() workflow.wait_condition(function() return false end) end),
    workflow.define("Upserts", function(fields) workflow.upsert_search_attributes(fields) return "done" end),
    workflow.define("Next", function(fields)
      if fields then workflow.continue_as_new({ search_attributes = fields }) end
    end),
  }
]]

local all_types = {
  Who = "keyword", Note = "text", Count = "int", Price = "double", Paid = "bool", Due = "datetime",
  Tags = "keyword_list",
}

-- Answers have the numbers of enums.
local TEXT, KEYWORD, INT, BOOL, DATETIME, KEYWORD_LIST = 1, 2, 3, 5, 6, 7

local function custom(client)
  return client:call("ListSearchAttributes", { namespace = client.namespace }).custom_attributes or {}
end

local function refused(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return type(err) == "table" and err.message or err
end

describe("search attributes", function()
  it("are registered by an environment and kept in its file", function()
    local file = os.tmpname()
    os.remove(file)
    do
      local client <close> = temporal.connect { db_filename = file, search_attributes = all_types }
      assert.are.equal(KEYWORD_LIST, custom(client).Tags)
    end
    local client <close> = temporal.connect { db_filename = file }
    local found = custom(client)
    assert.are.equal(DATETIME, found.Due)
    assert.are.equal(TEXT, found.Note)
    local described = client:call("DescribeNamespace", { namespace = "default" })
    assert.are.equal("Who", described.config.custom_search_attribute_aliases.Keyword01)
    os.execute(("rm -f %s %s-*  %s.lock"):format(file, file, file))
    assert.matches("Price is registered with type Double, not Int",
      refused(function()
        local again = os.tmpname()
        os.remove(again)
        temporal.connect({ db_filename = again, search_attributes = { Price = "double" } }):close()
        local ok, err = pcall(temporal.connect, { db_filename = again, search_attributes = { Price = "int" } })
        os.execute(("rm -f %s %s-* %s.lock"):format(again, again, again))
        if not ok then error(err, 0) end
      end))
  end)

  it("of unknown types are refused where they are declared", function()
    assert.matches("search_attributes.Who: 'keyward' is no type of search attributes .*did you mean 'keyword'",
      refused(temporal.connect, { search_attributes = { Who = "keyward" } }))
  end)

  it("are checked when a client sets them", function()
    local env <close> = helper.environment(source, { search_attributes = all_types })
    local start = function(attributes)
      return env.client:start_workflow("Waits", { task_queue = "none", search_attributes = attributes })
    end
    assert.are.equal("Namespace default has no mapping defined for search attribute Nobody",
      refused(start, { Nobody = "x" }))
    assert.are.equal("StartTime attribute can't be set in SearchAttributes", refused(start, { StartTime = "x" }))
    assert.are.equal("invalid value for search attribute Count of type Int: many", refused(start, { Count = "many" }))
    assert.are.equal("invalid value for search attribute Due of type Datetime: 2026",
      refused(start, { Due = "2026" }))
    assert.are.equal("invalid value for search attribute Who of type Keyword: 7", refused(start, { Who = 7 }))
    assert.are.equal("invalid value for search attribute Paid of type Bool: 1", refused(start, { Paid = 1 }))
    assert.are.equal("invalid value for search attribute Tags of type KeywordList: one",
      refused(start, { Tags = "one" }))
    assert.are.equal("search attribute Who value size 2052 exceeds size limit 2048",
      refused(start, { Who = ("x"):rep(2050) }))
    start { Who = "me", Note = "some text", Count = 3, Price = 1.5, Paid = true, Due = "2026-11-21T10:00:00Z",
      Tags = temporal.array { "a", "b" } }
  end)

  it("fail the workflow task that sets unknown ones or other types", function()
    local env <close> = helper.environment(source, { search_attributes = all_types, replay = false })
    local failure, attributes = helper.task_failure(env, env:start_workflow("Upserts", nil, { Nobody = "x" }))
    assert.matches("Namespace default has no mapping defined for search attribute Nobody", failure.message)
    assert.are.equal(23, attributes.cause) -- BAD_SEARCH_ATTRIBUTES
    failure = helper.task_failure(env, env:start_workflow("Upserts", nil, { Count = "x" }))
    assert.matches("invalid value for search attribute Count of type Int: x", failure.message)
    failure = helper.task_failure(env, env:start_workflow("Next", nil, { Nobody = 1 }))
    assert.matches("has no mapping defined for search attribute Nobody", failure.message)
    assert.are.equal("done", env:execute_workflow("Upserts", nil, { Count = 3, Who = "me" }))
  end)

  it("are added, listed with the system's, and removed", function()
    local client <close> = temporal.connect {}
    local add = function(attributes)
      return client:call("AddSearchAttributes", { namespace = "default", search_attributes = attributes })
    end
    add { A = BOOL }
    add { A = BOOL, B = INT } -- what exists stays
    assert.are.same({ A = BOOL, B = INT }, custom(client))
    local listed = client:call("ListSearchAttributes", { namespace = "default" }).system_attributes
    assert.are.equal(DATETIME, listed.StartTime)
    assert.are.equal(KEYWORD_LIST, listed.BuildIds)
    assert.are.equal(INT, client:call("GetSearchAttributes", {}).keys.B)
    add { C = BOOL, D = BOOL }
    assert.are.equal("Unable to create search attributes: cannot have more than 3 search attribute of type Bool.",
      refused(add, { E = BOOL }))
    assert.are.equal("Search attribute WorkflowId is reserved by system.",
      refused(add, { WorkflowId = KEYWORD }))
    assert.are.equal("Search attribute TemporalMine is reserved by system.",
      refused(add, { TemporalMine = KEYWORD }))
    assert.are.equal("SearchAttributes are not set on request.", refused(add, {}))
    local remove = function(...)
      return client:call("RemoveSearchAttributes", { namespace = "default", search_attributes = { ... } })
    end
    remove("A", "unknown")
    assert.is_nil(custom(client).A)
    assert.are.equal("Unable to remove non-custom search attributes: StartTime.", refused(remove, "StartTime"))
    add { E = BOOL } -- the field is free again
    assert.matches("Namespace nowhere is not found", refused(client.call, client, "AddSearchAttributes",
      { namespace = "nowhere", search_attributes = { A = BOOL } }))
  end)
end)
