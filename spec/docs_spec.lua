-- The documentation cannot lie: its examples are run, and what it names is compared with what there is.
--   -- run: Name(arguments) => results   a workflow module, how it is started and what it returns
--   -- run: Name(arguments) fails TYPE   the workflow fails with this error type
--   -- run: Name(arguments) stuck TEXT   its workflow task fails, with TEXT in the message
--   -- file: NAME                        a file beside the scripts of the page
--   -- run: script => OUTPUT             a script, run by the binary, and what it prints
local helper = require "helper"
local temporal = require "temporal"
local testing = require "temporal.testing"

local function read(name)
  local file = assert(io.open(name))
  local text = file:read "a"
  file:close()
  return text
end

--- All Lua blocks of a page: text, line, and what their first line asks for.
local function blocks_of(page)
  local blocks, block, number = {}, nil, 0
  for line in io.lines(page) do
    number = number + 1
    if line == "```lua" then
      block = { lines = {}, place = ("%s:%d"):format(page, number + 1) }
    elseif line == "```" and block then
      block.text = table.concat(block.lines, "\n") .. "\n"
      block.file = block.text:match "^%-%- file: (%S+)\n"
      block.ask = block.text:match "^%-%- run: ([^\n]*)\n"
      blocks[#blocks + 1], block = block, nil
    elseif block then
      block.lines[#block.lines + 1] = line
    end
  end
  return blocks
end

--- The values of a list of Lua expressions.
local function values(list, place)
  return table.pack(assert(load("return " .. list, "=" .. place, "t", { temporal = temporal }))())
end

local activities = {
  echo = function(...) return ... end,
  decline = function() error(temporal.failure { type = "CardDeclined", message = "no funds" }) end,
}

local function run_workflow(block, name, arguments, verb, wanted)
  local module = block.place:gsub("[^%w]", "_")
  local env <close> = testing.environment {
    workflows = { { name = module, source = block.text } },
    activities = activities,
    search_attributes = { Note = "text" },
    -- Memory runs out before the time of a slow build does.
    worker = {
      workflow_cpu_limit = wanted == "memory" and "20s" or "200ms",
      max_workflow_memory = 8 * 1024 * 1024,
    },
    replay = verb ~= "stuck",
  }
  local handle = env:start_workflow(name, {}, table.unpack(arguments, 1, arguments.n))
  if verb == "=>" then
    local want, got = values(wanted, block.place), table.pack(handle:result())
    assert.are.same(want, got)
  elseif verb == "fails" then
    assert.workflow(handle).failed_with(wanted)
  else
    local failure = helper.task_failure(env, handle)
    assert.is_truthy(failure.message:find(wanted, 1, true), ("%q does not hold %q"):format(failure.message, wanted))
    handle:terminate "seen"
  end
end

local function write(name, text)
  local file = assert(io.open(name, "w"))
  file:write(text)
  file:close()
end

--- A folder with the files of a page.
local function folder_of(blocks)
  local name = os.tmpname()
  os.remove(name)
  for _, block in ipairs(blocks) do
    if block.file then
      assert(os.execute(("mkdir -p '%s/%s'"):format(name, block.file:match "^(.*)/" or ".")))
      write(name .. "/" .. block.file, block.text)
    end
  end
  return setmetatable({ name = name }, { __close = function() os.execute(("rm -rf '%s'"):format(name)) end })
end

local function run_script(block, blocks, wanted)
  local folder <close> = folder_of(blocks)
  write(folder.name .. "/script.lua", block.text)
  local command = "sh -c 'binary=$(realpath %s) && cd %s && exec $binary run script.lua'"
  local code, output, errors = helper.run(command:format(helper.binary, folder.name))
  assert.are.equal("", errors)
  assert.are.equal(wanted .. "\n", (output:gsub("\t", " ")))
  assert.are.equal(0, code)
end

for _, page in ipairs { "docs/lua.md", "docs/determinism.md" } do
  describe(page, function()
    local blocks = blocks_of(page)
    for _, block in ipairs(blocks) do
      it("says what is true at " .. block.place, function()
        assert(load(block.text, "=" .. block.place, "t"))
        local name, list, verb, wanted = (block.ask or ""):match "^([%w_]+)(%b()) (%S+) (.*)$"
        if name then
          assert.is_truthy(({ ["=>"] = true, fails = true, stuck = true })[verb], "unknown word " .. verb)
          run_workflow(block, name, values(list:sub(2, -2), block.place), verb, wanted)
        elseif block.ask then
          run_script(block, blocks, assert(block.ask:match "^script => (.*)$", "unknown marker: " .. block.ask))
        else
          assert.is_truthy(block.file, "a Lua block without a marker")
        end
      end)
    end
  end)
end

describe("docs/lua.md and the annotations", function()
  local text = read "docs/lua.md"
  local meta = {}
  for _, name in ipairs { "temporal", "workflow", "activity" } do
    meta[name] = read(("lua/temporal/meta/%s.lua"):format(name))
  end
  for _, name in ipairs { "workflow_calls", "workflow_sync", "nexus" } do
    meta.workflow = read(("lua/temporal/meta/%s.lua"):format(name)) .. meta.workflow
  end

  --- Results of a workflow with this body.
  local function ask(body, ...)
    local source = ([[
      local temporal = require "temporal"
      local workflow = require "temporal.workflow"
      return workflow.define("Asked", function(...) %s end)
    ]]):format(body)
    local env <close> = helper.environment(source)
    return env:execute_workflow("Asked", {}, ...)
  end

  --- Names in a library of the sandbox: all, and those of functions.
  local function names_in(library)
    return ask(([[
      local all, functions = temporal.array {}, {}
      for name, value in pairs(%s) do
        all[#all + 1] = name
        functions[name] = type(value) == "function"
      end
      return all, functions
    ]]):format(library))
  end

  it("has each section in its contents", function()
    local headings, code = 0, false
    for line in text:match("\n## Contents\n.-\n(## .*)"):gmatch "[^\n]*" do
      code = code ~= (line:sub(1, 3) == "```")
      local marks, title = line:match "^(###?#?) (.*)"
      if title and not code then
        local name = title:gsub("`", "")
        local anchor = name:lower():gsub("[^%w%- ]", ""):gsub(" ", "-")
        local row = ("\n%s- [%s](#%s)\n"):format(("  "):rep(#marks - 2), name, anchor)
        headings = headings + 1
        assert.is_truthy(text:find(row, 1, true), "not in the contents:" .. row)
      end
    end
    assert.is_true(headings > 40, headings)
    for anchor in text:gmatch "%]%(#([^)]*)%)" do
      assert.is_truthy(text:find("(#" .. anchor .. ")\n", 1, true), "no section has the anchor #" .. anchor)
    end
  end)

  it("names every function of temporal.workflow, and no other", function()
    local all, functions = names_in "workflow"
    assert.is_true(#all > 30)
    for _, name in ipairs(all) do
      assert.is_truthy(text:find("`workflow%." .. name .. "%f[^%w_]"), "not in docs/lua.md: workflow." .. name)
      if functions[name] then
        assert.is_truthy(meta.workflow:find("workflow%." .. name .. "%f[^%w_]"), "not in meta: workflow." .. name)
      end
    end
    for name in text:gmatch "%f[%w_]workflow%.([%a_][%w_]*)%(" do
      assert.is_truthy(functions[name] or name == "log", "there is no function workflow." .. name)
    end
    for name in meta.workflow:gmatch "\nfunction workflow%.([%a_][%w_]*)%(" do
      assert.is_true(functions[name], "there is no function workflow." .. name)
    end
  end)

  it("names every function that temporal has in workflows", function()
    local all, functions = names_in "temporal"
    for _, name in ipairs(all) do
      assert.is_truthy(text:find("`temporal%." .. name .. "%f[^%w_]"), "not in docs/lua.md: temporal." .. name)
      if functions[name] then
        assert.is_truthy(meta.temporal:find("function temporal%." .. name .. "%("), "not in meta: temporal." .. name)
      end
    end
    for name in meta.temporal:gmatch "\nfunction temporal%.([%a_][%w_]*)%(" do
      assert.is_true(functions[name], "there is no function temporal." .. name .. " in workflows")
    end
  end)

  it("names what host scripts have", function()
    local env <close> = helper.environment "return require('temporal.workflow').define('X', function() end)"
    local handle = env:start_workflow("X", {})
    local parts = {
      ["temporal."] = temporal,
      ["activity."] = require "temporal.activity",
      ["testing."] = testing,
      ["client:"] = getmetatable(env.client),
      ["handle:"] = getmetatable(handle),
      ["worker:"] = getmetatable(env.worker),
      ["env:"] = getmetatable(env),
      ["replayer:"] = getmetatable(temporal.replayer { workflows = {} }),
      ["history:"] = getmetatable(handle:history()),
      ["temporal.history."] = { from_json = print, from_protobuf = print, from_file = print },
    }
    local internal = { ["env:unlock_while_waiting"] = true }
    local count = 0
    for prefix, part in pairs(parts) do
      for name, value in pairs(part) do
        local full = prefix .. name
        if type(value) == "function" and name:sub(1, 2) ~= "__" and not internal[full] then
          count = count + 1
          assert.is_truthy(text:find("`" .. full .. "%f[^%w_]"), "not in docs/lua.md: " .. full)
        end
      end
    end
    assert.is_true(count > 50)
    handle:result()
  end)

  --- The option names in a message about an unknown one.
  local function option_names(message)
    local list = tostring(message):match "%(known: ([^)]*)%)" or tostring(message):match "it takes ([%w_, ]+)"
    assert.is_truthy(list, "no option names in: " .. tostring(message))
    return list:gmatch "[%w_]+"
  end

  local wrong = "{ xxxxxxxxxxxxxxxxxxxxxxxxxxxx = 1 }"

  it("names every option of the sandbox", function()
    local calls = {
      ("workflow.execute_activity('echo', %s)"):format(wrong),
      ("workflow.execute_activity('echo', { retry_policy = %s })"):format(wrong),
      ("workflow.execute_activity('echo', { priority = %s })"):format(wrong),
      ("workflow.sleep(1, %s)"):format(wrong),
      ("workflow.wait_condition(function() end, %s)"):format(wrong),
      ("workflow.wait_any({}, %s)"):format(wrong),
      ("workflow.scope(%s, function() end)"):format(wrong),
      ("workflow.continue_as_new(%s)"):format(wrong),
    }
    for _, call in ipairs(calls) do
      local message = ask(("return select(2, pcall(function() %s end))"):format(call))
      for name in option_names(message) do
        assert.is_truthy(text:find("%f[%w_]" .. name .. "%f[^%w_]"), "not in docs/lua.md: " .. name)
        assert.is_truthy(meta.workflow:find("@field " .. name .. "?", 1, true), "not in meta: " .. name)
      end
    end
    local source = ("require('temporal.workflow').define %s"):format(wrong)
    local _, message = pcall(helper.environment, source)
    for name in option_names(message) do
      assert.is_truthy(text:find("`" .. name .. "`", 1, true), "not in docs/lua.md: " .. name)
      assert.is_truthy(meta.workflow:find("@field " .. name .. "%f[^%w_]"), "not in meta: " .. name)
    end
  end)

  it("names every option of host scripts", function()
    local pages = text .. read "docs/worker_options.md"
    local env <close> = helper.environment "return require('temporal.workflow').define('X', function() end)"
    local handle = env:start_workflow("X", {})
    handle:result()
    local options = { xxxxxxxxxxxxxxxxxxxxxxxxxxxx = 1 }
    local calls = {
      function() temporal.connect(options) end,
      function() temporal.worker(options) end,
      function() testing.environment(options) end,
      function() temporal.replayer(options) end,
      function() env:start_workflow("X", options) end,
      function() env:start_workflow("X", { retry_policy = options }) end,
      function() handle:result(options) end,
      function() handle:query_with(options, "x") end,
      function() require("temporal.activity").define("x", print, options) end,
      function() require("temporal.workflow").define(options) end,
    }
    for _, call in ipairs(calls) do
      local _, message = pcall(call)
      for name in option_names(message) do
        assert.is_truthy(pages:find("`" .. name .. "`", 1, true), "not in the pages: " .. name)
      end
    end
  end)

  it("tells the facts of info()", function()
    for name in pairs(ask "return workflow.info()") do
      assert.is_truthy(text:find("`" .. name .. "`", 1, true), "not in docs/lua.md: " .. name)
      assert.is_truthy(meta.workflow:find("@field " .. name .. "%f[^%w_]"), "not in meta: " .. name)
    end
  end)

  it("has annotations that load and change nothing", function()
    for name, source in pairs(meta) do
      assert.is_truthy(source:find("^%-%-%-@meta"), name)
      assert(load(source, "=" .. name, "t"))
    end
  end)
end)

describe("the commands of the samples' READMEs", function()
  local pipe <close> = assert(io.popen "ls samples/*/README.md")
  local count = 0
  for path in pipe:lines() do
    local command = read(path):match "\n(busted samples/[%w_/]+)"
    count = count + (command and 1 or 0)
    if count == 1 and command then
      it("run the specs: " .. command, function()
        local code, output, errors = helper.run(command .. " -o TAP")
        assert.are.equal(0, code, output .. errors)
        assert.matches("\nok 1 ", "\n" .. output)
      end)
    end
  end

  it("name the specs of most samples", function()
    assert.is_true(count >= 6, count)
  end)
end)
