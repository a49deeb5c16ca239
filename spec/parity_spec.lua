-- docs/parity.md cannot lie: each name that it gives exists, and each spec that it names is run and uses it.
package.path = "tools/gen/?.lua;" .. package.path
local helper = require "helper"
local parity = require "parity_table"
local temporal = require "temporal"
local testing = require "temporal.testing"

local function read(name)
  local file = io.open(name)
  if file then
    local text = file:read "a"
    file:close()
    return text
  end
end

local function has_word(text, word)
  return text:find("%f[%w_]" .. word .. "%f[^%w_]") ~= nil
end

--- All rows that name something here, each name once: fn(name, row).
local function each_name(fn)
  local count = 0
  for _, section in ipairs(parity.read()) do
    for _, row in ipairs(section.rows) do
      for _, name in ipairs(row.ours) do
        count = count + 1
        fn(name, row)
      end
    end
  end
  return count
end

local source = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
  local wrong = { xxxxxxxxxxxxxxxxxxxxxxxxxxxx = 1 }
  local calls = {
    ["workflow.execute_activity"] = function() workflow.execute_activity("echo", wrong) end,
    ["workflow.execute_local_activity"] = function() workflow.execute_local_activity("echo", wrong) end,
    ["workflow.execute_child_workflow"] = function() workflow.execute_child_workflow("echo", wrong) end,
    ["retry_policy"] = function() workflow.execute_activity("echo", { retry_policy = wrong }) end,
    ["priority"] = function() workflow.execute_activity("echo", { priority = wrong }) end,
    ["workflow.sleep"] = function() workflow.sleep(1, wrong) end,
    ["workflow.upsert_memo"] = function() workflow.upsert_memo({ a = 1 }, wrong) end,
    ["workflow.upsert_search_attributes"] = function() workflow.upsert_search_attributes({ a = 1 }, wrong) end,
    ["workflow.patched"] = function() workflow.patched("p", wrong) end,
    ["workflow.deprecate_patch"] = function() workflow.deprecate_patch("p", wrong) end,
    ["workflow.start_timer"] = function() workflow.start_timer(1, wrong) end,
    ["workflow.wait_condition"] = function() workflow.wait_condition(print, wrong) end,
    ["workflow.wait_any"] = function() workflow.wait_any({}, wrong) end,
    ["workflow.continue_as_new"] = function() workflow.continue_as_new(wrong) end,
    ["temporal.failure"] = function() temporal.failure(wrong) end,
    ["handler"] = function() workflow.set_update_handler("x", wrong) end,
  }
  return workflow.define("Names", function()
    local names, messages = {}, {}
    local function look(prefix, library)
      for name, value in pairs(library) do
        names[prefix .. "." .. name] = true
        if type(value) == "table" and library ~= value then
          for inner in pairs(value) do names[prefix .. "." .. name .. "." .. inner] = true end
        end
      end
    end
    look("workflow", workflow)
    look("temporal", temporal)
    local objects = {
      future = workflow.future(), external = workflow.external_workflow "x",
      child = workflow.start_child_workflow "Child", group = workflow.create_event_group "g",
    }
    for prefix, object in pairs(objects) do
      for _, name in ipairs { "result", "done", "cancel", "error", "signal", "signal_with", "scope" } do
        local ok, method = pcall(function() return object[name] end)
        names[prefix .. ":" .. name] = ok and type(method) == "function" or nil
      end
      for _, name in ipairs { "id", "run_id" } do
        local ok, field = pcall(function() return object[name] end)
        names[prefix .. "." .. name] = ok and type(field) == "string" or nil
      end
    end
    names["external.run_id"] = workflow.external_workflow("x", { run_id = "r" }).run_id == "r"
    for name, call in pairs(calls) do messages[name] = select(2, pcall(call)) end
    objects.child:cancel()
    return names, messages
  end)
]]

--- What exists: names, and per function the message that lists its options.
local function found_names()
  local child = { name = "child", source = [[
    local workflow = require "temporal.workflow"
    return workflow.define("Child", function()
      workflow.set_update_handler("x", function() end)
      pcall(workflow.wait_condition, function() return false end)
    end)]] }
  local env <close> = testing.environment { workflows = { { name = "names", source = source }, child } }
  local names, messages = env:execute_workflow "Names"
  local handle = env:start_workflow("Child", { id = "c" })
  local update = handle:start_update("x", { wait_for_stage = "completed" })
  handle:cancel()
  handle:result()
  local parts = {
    ["temporal."] = temporal,
    ["temporal.tuner."] = temporal.tuner, ["temporal.codec."] = temporal.codec,
    ["temporal.history."] = { from_json = temporal.history.from_json, from_protobuf = temporal.history.from_protobuf },
    ["activity."] = require "temporal.activity",
    ["nexus."] = require "temporal.nexus",
    ["testing."] = testing,
    ["environment:"] = getmetatable(testing.activity_environment()),
    ["temporal.deployment_version."] = temporal.deployment_version,
    ["envconfig."] = require "temporal.envconfig",
    ["client:"] = getmetatable(env.client), ["client."] = env.client,
    ["handle:"] = getmetatable(handle), ["handle."] = handle,
    ["worker:"] = getmetatable(env.worker), ["worker."] = env.worker,
    ["env:"] = getmetatable(env), ["env."] = env,
    ["replayer:"] = getmetatable(temporal.replayer { workflows = {} }),
    ["async:"] = getmetatable(env.client:get_async_activity_handle { task_token = "x" }),
    ["history:"] = getmetatable(handle:history()),
    ["update:"] = getmetatable(update), ["update."] = update,
    ["runtime:"] = getmetatable(temporal.runtime {}),
  }
  for prefix, part in pairs(parts) do
    for name in pairs(part) do
      names[prefix .. name] = true
    end
  end
  local meter = temporal.runtime({}):metric_meter()
  local metrics = { meter:create_counter "a", meter:create_gauge "b", meter:create_histogram "c" }
  for prefix, list in pairs { ["meter:"] = { meter }, ["metric:"] = metrics, ["metric%."] = metrics } do
    for _, object in ipairs(list) do -- userdata: asked by name
      each_name(function(name)
        local word = name:match("^" .. prefix .. "([%w_]+)$")
        if word and pcall(function() return object[word] end) then
          names[name] = true
        end
      end)
    end
  end
  local wrong = { xxxxxxxxxxxxxxxxxxxxxxxxxxxx = 1 }
  local calls = {
    ["temporal.runtime"] = function() temporal.runtime(wrong) end,
    ["workflow.define"] = function() require("temporal.workflow").define(wrong) end,
    ["activity.define"] = function() require("temporal.activity").define("x", print, wrong) end,
    ["temporal.connect"] = function() temporal.connect(wrong) end,
    ["tls"] = function() temporal.connect { address = "localhost:1", lazy = true, tls = wrong } end,
    ["temporal.worker"] = function() temporal.worker(wrong) end,
    ["testing.environment"] = function() testing.environment(wrong) end,
    ["temporal.replayer"] = function() temporal.replayer(wrong) end,
    ["temporal.data_converter"] = function() temporal.data_converter(wrong) end,
    ["client:start_workflow"] = function() env.client:start_workflow("X", wrong) end,
    ["handle:query_with"] = function() handle:query_with(wrong, "x") end,
    ["handle:start_update"] = function() handle:start_update("x", wrong) end,
    ["handle:fetch_history"] = function() handle:fetch_history(wrong) end,
    ["handle:fetch_history_events"] = function() handle:fetch_history_events(wrong) end,
  }
  for name, call in pairs(calls) do
    messages[name] = tostring(select(2, pcall(call)))
  end
  return names, messages
end

describe("docs/parity.md", function()
  it("names functions and options that exist", function()
    local names, messages = found_names()
    local docs = read "docs/lua.md" .. read "docs/worker_options.md"
    local functions, options = 0, 0
    each_name(function(name, row)
      local at = ("%s:%d: %s"):format(parity.path, row.line, name)
      local callee, option = name:match "^([%w_.:]+){([%w_]+)}$"
      if option then
        local message = messages[callee]
        assert.is_truthy(message, at .. ": nothing tells the options of " .. callee)
        assert.is_truthy(has_word(message, option), at .. ": not in: " .. message)
        options = options + 1
      elseif name:match "^[%a_]+[.:][%w_.]+$" and not name:match "^error%." then
        local known = names[name] or name:match "^%a+%." and has_word(docs, name:match "%.([%w_]+)$")
        assert.is_truthy(known, at .. " does not exist")
        functions = functions + 1
      end
    end)
    assert.is_true(functions > 200 and options > 100)
  end)

  it("names specs that are run and use the names", function()
    local texts = {}
    local count = each_name(function(name, row)
      local at = ("%s:%d: %s"):format(parity.path, row.line, name)
      assert.is_true(#row.specs > 0, at .. " has no spec")
      local word, used = parity.word(name), false
      for _, path in ipairs(row.specs) do
        texts[path] = texts[path] or read(path)
        assert.is_truthy(texts[path], at .. ": there is no " .. path)
        used = used or has_word(texts[path], word)
      end
      assert.is_true(used, ("%s: %s is not in %s"):format(at, word, table.concat(row.specs, ", ")))
    end)
    assert.is_true(count > 500)
    local interop = read "tools/dev/test.sh"
    for path in pairs(texts) do
      local unit = path:match "^host/test/(unit/.*)%.c$"
      local run = path:match "^spec/.*_spec%.lua$" -- busted takes them all
        or unit and read(("%s/%s"):format(helper.build, unit))
        or path:match "^spec/interop/" and interop:find(path:match "interop/(.*)$", 1, true)
      assert.is_truthy(run, path .. " is not run")
    end
  end)

  it("says why where there is nothing", function()
    for _, section in ipairs(parity.read()) do
      for _, row in ipairs(section.rows) do
        assert.is_true(row.state ~= "needless" or row.note ~= nil, row.name .. ": why is it not needed?")
        assert.is_true(row.state == "there" or #row.specs == 0, row.name)
      end
    end
  end)
end)

describe("docs/semantics.md", function()
  local function path_of(file)
    return file:match "%.c$" and "host/test/unit/" .. file or ("spec/%s_spec.lua"):format(file)
  end

  it("names tests that exist, for every sentence", function()
    local last, tests, without = 0, 0, 0
    for line in io.lines "docs/semantics.md" do
      local number, pinned = line:match "^| (%d+) | .- | (.-) |$"
      if number then
        assert.are.equal(last + 1, tonumber(number))
        last = last + 1
        without = without + (pinned:match "^none: %w" and 1 or 0)
        local found = 0
        for part in (pinned .. ";"):gmatch "(.-);" do
          local file, cases = part:match "^%s*`([^`]+)`: (.*)$"
          if file then
            local text = assert(read(path_of(file)), number .. ": there is no " .. file)
            for quote, case in cases:gmatch '([`"])([^`"]+)[`"]' do
              local there = quote == "`" and text:find("static void " .. case .. "(", 1, true)
                or quote == '"' and text:find('it("' .. case, 1, true)
              assert.is_truthy(there, ("%s: %s has no %s"):format(number, file, case))
              found = found + 1
            end
          end
        end
        assert.is_true(found > 0 or pinned:match "^none: %w" ~= nil, "nothing pins down sentence " .. number)
        tests = tests + found
      end
    end
    assert.are.equal(55, last)
    assert.is_true(tests > 80 and without <= 2)
  end)
end)
