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
    assert.are.equal("bad_search_attributes", attributes.cause)
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

describe("list filters", function()
  local env
  local client

  --- Ids of what a query finds, sorted.
  local function found(query)
    local ids = {}
    for info in client:list_workflows(query) do
      ids[#ids + 1] = info.id
    end
    table.sort(ids)
    local text = table.concat(ids, " ")
    assert.are.equal(#ids, client:count_workflows(query), query)
    return text
  end

  setup(function()
    env = helper.environment(source, { search_attributes = all_types })
    client = env.client
    local function start(id, attributes)
      client:start_workflow("Waits", { id = id, task_queue = "none", search_attributes = attributes })
    end
    start("a", { Who = "ann", Note = "Some text, or two", Count = 1, Price = 1.5, Paid = true,
      Due = "2026-11-21T10:00:00Z", Tags = temporal.array { "red", "blue" } })
    start("b", { Who = "bob", Note = "other words", Count = 2, Price = 2.0, Paid = false,
      Due = "2026-11-21T12:00:00+01:00", Tags = temporal.array { "red" } })
    start("c", { Who = "bo's", Count = -3, Price = temporal.search_attribute("double", 3), Due = "2026-12-01T00:00:00Z",
      Tags = temporal.array {} })
    start("d", {})
    env:execute_workflow("Upserts", { id = "e" }, { Who = "ann", Count = 10 })
  end)

  teardown(function()
    for _, id in ipairs { "a", "b", "c", "d" } do
      client:get_workflow_handle(id):terminate()
    end
    env:close()
  end)

  it("compare values of every type, and nothing that is missing", function()
    for query, expected in pairs {
      ["Who = 'ann'"] = "a e", ["Who != 'ann'"] = "b c", ["Who IN ('ann','bob')"] = "a b e",
      ["Who NOT IN ('ann','bob')"] = "c", ["Who > 'ann'"] = "b c", ["Who STARTS_WITH 'bo'"] = "b c",
      ["Who NOT STARTS_WITH 'bo'"] = "a e", ["Who = 'bo''s'"] = "c", ["Who BETWEEN 'a' AND 'b'"] = "a e",
      ["Count >= 2"] = "b e", ["Count = -3"] = "c", ["Count BETWEEN 1 AND 2"] = "a b",
      ["Count NOT BETWEEN 1 AND 2"] = "c e", ["Count > 1.5"] = "b e", ["Count != 1"] = "b c e",
      ["Price = 1.5"] = "a", ["Price <= 2"] = "a b", ["Price = 3"] = "c", ["Paid = true"] = "a",
      ["Paid = FALSE"] = "b", ["Paid != true"] = "b", ["Due < '2026-11-21T10:30:00Z'"] = "a",
      ["Due = '2026-11-21T11:00:00Z'"] = "b", ["Due > '2026-11-22'"] = "c",
      ["Tags = 'red'"] = "a b", ["Tags = 'blue'"] = "a", ["Tags != 'blue'"] = "b c d e",
      ["Tags IN ('blue','green')"] = "a", ["Tags NOT IN ('red')"] = "c d e", ["Note = 'TEXT'"] = "a",
      ["Note = 'words text'"] = "a b", ["Note = 'wor'"] = "", ["Note != 'text'"] = "b c d e",
      ["Who IS NULL"] = "d", ["Who IS NOT NULL"] = "a b c e", ["Tags IS NULL"] = "c d e",
      ["Note IS NOT NULL"] = "a b", ["Paid IS NULL"] = "c d e",
    } do
      assert.are.equal(expected, found(query), query)
    end
  end)

  it("put AND before OR, NOT before both, and leave out what a NOT cannot know", function()
    for query, expected in pairs {
      ["Who = 'ann' OR Who = 'bob' AND Count = 9"] = "a e", ["(Who = 'ann' OR Who = 'bob') AND Count > 1"] = "b e",
      ["NOT Who = 'ann'"] = "b c", ["NOT (Who = 'ann' OR Who IS NULL)"] = "b c", ["NOT NOT Who = 'ann'"] = "a e",
      ["NOT Count > 1 AND Who STARTS_WITH 'a'"] = "a", ["NOT Tags = 'red'"] = "c d e",
      ["ExecutionStatus = 'Completed' AND Count = 10"] = "e", ["`Who` = \"ann\" and \"Count\" = 1"] = "a",
      ["StartTime > '1h' AND Who = 'bob'"] = "b", ["WorkflowId STARTS_WITH 'a' OR RunId IS NULL"] = "a",
      ["CloseTime IS NULL AND HistoryLength < 5 AND Count < 2"] = "a c", ["TaskQueue = 'none' AND Paid = true"] = "a",
      ["StateTransitionCount > 0 AND HistorySizeBytes > 1 AND Price = 2"] = "b",
    } do
      assert.are.equal(expected, found(query), query)
    end
  end)

  it("refuse what the SQL visibility refuses, with position and near match", function()
    for query, expected in pairs {
      ["Whom = 'x'"] = "position 1: .*\"Whom\"; did you mean \"Who\"",
      ["Who = 'x' AND Count = 'y'"] = "position 23, \"'y'\": a number expected",
      ["Tags > 'x'"] = "operator '>' not supported for KeywordList type search attribute 'Tags'",
      ["Who = 'x' GROUP BY ExecutionStatus"] = "'GROUP BY' clause, but in counts",
      ["Who = 'x' ORDER BY StartTime"] = "'ORDER BY' clause",
    } do
      assert.matches(expected, refused(function() client:list_workflows(query)() end))
    end
  end)

  it("count by status", function()
    local response = client:call("CountWorkflowExecutions",
      { namespace = "default", query = "Who IS NOT NULL GROUP BY ExecutionStatus" })
    assert.are.equal(4, response.count)
    assert.are.same({ 3, 1 }, { response.groups[1].count, response.groups[2].count })
  end)

  it("find what an acknowledged start, upsert or removal did, and show its values", function()
    local handle = client:start_workflow("Waits",
      { id = "f", task_queue = "none", search_attributes = { Who = "new" } })
    assert.are.equal("f", found "Who = 'new'")
    local info = client:list_workflows("Who = 'ann' AND Count = 1")()
    assert.are.same({ Who = "ann", Note = "Some text, or two", Count = 1, Price = 1.5, Paid = true,
      Due = "2026-11-21T10:00:00Z", Tags = { "red", "blue" } }, info.search_attributes)
    handle:terminate()
    assert.are.equal("f", found "Who = 'new' AND ExecutionStatus = 'Terminated'")
    handle:delete()
    assert.are.equal("", found "Who = 'new'")
  end)

  it("page through a list that grows without losing or repeating", function()
    for i = 1, 7 do
      client:start_workflow("Waits", { id = "p" .. i, task_queue = "none", search_attributes = { Who = "pages" } })
    end
    local seen, n = {}, 0
    for info in client:list_workflows("Who = 'pages'", { page_size = 2 }) do
      local id = info.id
      assert.is_nil(seen[id])
      seen[id], n = true, n + 1
      client:start_workflow("Waits", { id = "late" .. n, task_queue = "none", search_attributes = { Who = "pages" } })
    end
    assert.are.equal(7, n)
    n = 0
    for _ in client:list_workflows("Who = 'pages'", { limit = 3, page_size = 2 }) do
      n = n + 1
    end
    assert.are.equal(3, n)
    for info in client:list_workflows "Who = 'pages'" do
      client:get_workflow_handle(info.id):terminate()
    end
  end)

  it("do not reach what was removed, nor a value of another type under the same name", function()
    local other <close> = helper.environment(source, { search_attributes = { Gone = "keyword", Stays = "int" } })
    other.client:start_workflow("Waits",
      { id = "x", task_queue = "none", search_attributes = { Gone = "v", Stays = 1 } })
    local change = function(method, attributes)
      other.client:call(method, { namespace = "default", search_attributes = attributes })
    end
    change("RemoveSearchAttributes", { "Gone" })
    assert.matches("no search attribute is called \"Gone\"",
      refused(function() other.client:count_workflows "Gone = 'v'" end))
    local described = other.client:get_workflow_handle("x"):describe()
    assert.are.same({ Stays = 1 }, described.search_attributes)
    assert.are.same({ Stays = 1 }, other.client:list_workflows()().search_attributes)
    change("AddSearchAttributes", { Gone = INT })
    assert.are.equal(0, other.client:count_workflows "Gone IS NOT NULL")
    assert.are.same({ Stays = 1 }, other.client:list_workflows()().search_attributes)
    other.client:get_workflow_handle("x"):terminate()
  end)
end)

describe("search attribute keys", function()
  local keys_source = [[
    local temporal = require "temporal"
    local workflow = require "temporal.workflow"
    local count, note = temporal.search_attribute_key("Count", "int"), temporal.search_attribute_key("Note", "text")
    return {
      workflow.define("W", function()
        local before = count:get(workflow.info().search_attributes)
        workflow.upsert_search_attributes { count:value_set(before + 1), note:value_unset(), Price = 1.5 }
        local after = workflow.info().search_attributes
        return before, count:get(after), note:get(after, "none"), after.Price, count.name, count.type
      end),
      workflow.define("Refuses", function()
        local list = {}
        for i, fn in ipairs {
          function() count:value_set "x" end, function() count:value_set(1.5) end, function() note:value_set(5) end,
          function() temporal.search_attribute_key("X", "nonsense") end, function() count.value_set(5) end,
          function() workflow.upsert_search_attributes { 5 } end,
        } do
          list[i] = select(2, pcall(fn))
        end
        return table.unpack(list)
      end),
    }]]

  it("set, unset and read attributes by their type, in workflows and host scripts", function()
    local env <close> = helper.environment(keys_source, {
      search_attributes = { Count = "int", Note = "text", Price = "double" } })
    local count, note = temporal.search_attribute_key("Count", "int"), temporal.search_attribute_key("Note", "Text")
    local handle = env:start_workflow("W", { id = "w",
      search_attributes = { count:value_set(4), note:value_set "fragile" } })
    assert.are.same({ 4, 5, "none", 1.5, "Count", "int" }, { handle:result() })
    local info = env.client:list_workflows "Count = 5"()
    assert.are.equal(5, count:get(info.search_attributes))
    assert.are.equal("none", note:get(info.search_attributes, "none"))
  end)

  it("refuse values and types that do not fit, and say so", function()
    local env <close> = helper.environment(keys_source)
    local wanted = { "Count is of type int, got a string", "Count is of type int, got a number",
      "Note is of type text, got a number", "nonsense", "call it with a colon", "names must be strings" }
    for i, message in ipairs { env:execute_workflow "Refuses" } do
      assert.matches(wanted[i], message)
    end
    local key = temporal.search_attribute_key("Count", "int")
    assert.error_matches(function() key:value_set "x" end, "Count is of type int, got a string")
    assert.error_matches(function() temporal.search_attribute_key("X", "intt") end, "did you mean 'int'")
    assert.error_matches(function() temporal.search_attribute_key(5, "int") end, "the name must be a string")
  end)
end)
