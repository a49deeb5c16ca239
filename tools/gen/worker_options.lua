-- Writes docs/worker_options.md and lua/temporal/meta/host/worker.lua from the two tables of options:
-- host/worker/options.def and lua/temporal/internal/worker_fields.lua. With --check it fails when a file in the
-- tree is not that text.
-- usage: lua5.4 tools/gen/worker_options.lua [--check]
package.path = "tools/gen/?.lua;" .. package.path
local page = require "page"

local generator, source = "tools/gen/worker_options.lua", "host/worker/options.def"
local fields_source = "lua/temporal/internal/worker_fields.lua"
local fields = dofile(fields_source)
local units = { { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 } }

local function duration(ms)
  if ms == 0 then
    return "0"
  end
  for _, unit in ipairs(units) do
    if ms % unit[2] == 0 then
      return ("%d%s"):format(ms // unit[2], unit[1])
    end
  end
end

local function plain(value)
  return ("%.14g"):format(value)
end

local types = {
  INT = "integer", DUR = "duration", REAL = "number", BOOL = "boolean", TEXT = "string", POLLER = "poller",
}
local shapes = {
  INT = { "^([%w_]+), (%d+), (%d+), (%d+), \"(.-)\"$", plain },
  DUR = { "^([%w_]+), (%d+), (%d+), (%d+), \"(.-)\"$", duration },
  REAL = { "^([%w_]+), ([%w.]+), ([%w.]+), ([%w.]+), \"(.-)\"$", plain },
}

--- One row of the table: name, type, default, range, text.
local function row(kind, inside)
  if kind == "BOOL" then
    local name, default, text = inside:match "^([%w_]+), (%w+), \"(.-)\"$"
    return name, default, "", text
  elseif kind == "TEXT" then
    local name, text = inside:match "^([%w_]+), \"(.-)\"$"
    return name, "", "", text
  elseif kind == "POLLER" then
    local name, maximum, most, text = inside:match "^([%w_]+), (%d+), (%d+), \"(.-)\"$"
    return name, maximum, "1 to " .. most, text
  end
  local shape = assert(shapes[kind], "unknown kind " .. kind)
  local name, default, least, most, text = inside:match(shape[1])
  if not name then
    return nil
  end
  local function number(s)
    return shape[2](math.tointeger(tonumber(s)) or tonumber(s))
  end
  return name, number(default), ("%s to %s"):format(number(least), number(most)), text
end

local lines = {
  page.opening(source .. " and " .. fields_source, generator),
  "# Options of a worker",
  "",
  "`temporal.worker { task_queue = 'orders', ... }` takes what stands in the two tables of this page. A duration is a",
  "number of seconds or text like `'90s'`, `'5m'`, `'1h30m'`, `'7d'`;",
  "sizes are bytes. An unknown name raises an error at the call, a value outside its range when the worker is prepared",
  "or started. All of the first table but `task_queue` are flags of `temporal-lua worker run`, too",
  "(`--max-concurrent-activities 20`), and may stand in the file that its `--config` names; a flag goes above the",
  "file, the file above the script.",
  "",
  "## Numbers, durations, switches and names",
  "",
  "| option | type | default | range | | tested in |",
  "|---|---|---|---|---|---|",
}
--- The tests, specs of workers first: in which of them an option stands is said beside it.
local tests = {}
for _, pattern in ipairs { "spec/worker/*_spec.lua", "spec/*/*_spec.lua", "host/test/unit/test_worker_*.c",
  "host/test/unit/*.c" } do
  local pipe = assert(io.popen("ls " .. pattern))
  for file in pipe:lines() do
    local handle <close> = assert(io.open(file, "rb"))
    tests[#tests + 1] = { file = file, text = " " .. handle:read "a" }
  end
  pipe:close()
end

--- What the page says now: a test stays named as long as it sets the option.
local named = {}
for line in io.lines "docs/worker_options.md" do
  local name, file = line:match "^| `([%w_]+)` |.*%]%(%.%./([^)]+)%) |$"
  if name then
    named[name] = file
  end
end

--- A test that sets the option: as a field, or as a flag.
local function tested_in(name)
  local flag = ("%-%-" .. name:gsub("_", "%%-")) .. "[ =]"
  local first
  for _, test in ipairs(tests) do
    local sets = test.text:find("%f[%w_]" .. name .. "%f[^%w_] *=") or test.text:find("[.]" .. name .. "_ms *=")
      or test.text:find(flag)
    if sets and test.file == named[name] then
      return test.file
    end
    first = first or (sets and test.file)
  end
  return first or error(("no test sets the option %s: write one"):format(name), 0)
end

local lua_types = {
  INT = "integer", DUR = "temporal.Duration", REAL = "number", BOOL = "boolean", TEXT = "string",
  POLLER = "integer|temporal.PollerBehavior",
}

--- A test as a link of the page.
local function link(file)
  return ("[%s](../%s)"):format(file:gsub("^spec/", ""):gsub("^host/test/", ""), file)
end

local count, refused, annotations = 0, {}, {}
local function annotate(name, type, text)
  local mark = name == "task_queue" and "" or "?"
  annotations[#annotations + 1] = ("---@field %s%s %s %s"):format(name, mark, type, text)
end

for line in io.lines(source) do
  local kind, inside = line:match "^(%u+)%((.*)%)$"
  if kind == "NONE" then
    local name, reason = inside:match "^([%w_]+), \"(.-)\"$"
    refused[#refused + 1] = ("| `%s` | %s |"):format(name, reason)
  elseif kind then
    local name, default, range, text = row(kind, inside)
    assert(name, "cannot read: " .. line)
    count = count + 1
    local file = tested_in(name)
    lines[#lines + 1] = ("| `%s` | %s | %s | %s | %s | %s |"):format(
      name, types[kind], default, range, text, link(file))
    annotate(name, name == "workflow_failure_error_types" and "string[]" or lua_types[kind], text)
  end
end
assert(count > 0, "no rows in " .. source)
local function add(more)
  table.move(more, 1, #more, #lines + 1, lines)
end

add {
  "",
  "A *poller* is a number of polls, `{ kind = 'simple_maximum', maximum = 5 }`, or",
  "`{ kind = 'autoscaling', minimum = 1, maximum = 100, initial = 5 }`: then the number follows the server's advice,",
  "for the task queue and the sticky queue each on its own: one more while tasks wait, one fewer when a poll waited",
  "for a second or in vain.",
  "",
  "## Lua values",
  "",
  "These belong to the script; they are no flags. Programs in C register functions and modules through",
  "[temporal_lua.h](../host/include/temporal_lua.h).",
  "",
  "| option | type | default | | tested in |",
  "|---|---|---|---|---|",
}
for _, field in ipairs(fields) do
  local shape = (field.kind.kind == "enum" and "string") or field.kind.kind
  lines[#lines + 1] = ("| `%s` | %s | %s | %s | %s |"):format(
    field.name, shape, field.default, field.text, link(tested_in(field.name)))
  annotate(field.name, field.type, (field.text:gsub("%[([^%]]*)%]%b()", "%1")))
end
add {
  "",
  "## Options of other SDKs",
  "",
  "They mean nothing here and raise an error with their reason:",
  "",
  "| option | reason |",
  "|---|---|",
}
table.move(refused, 1, #refused, #lines + 1, lines)
page.finish("docs/worker_options.md", table.concat(lines, "\n") .. "\n", generator)
page.finish("lua/temporal/meta/host/worker.lua", table.concat({
  "---@meta _",
  ("-- generated from %s and %s by %s - do not edit"):format(source, fields_source, generator),
  "",
  "---@class temporal.PollerBehavior",
  "---@field kind 'simple_maximum'|'autoscaling'",
  "---@field minimum? integer autoscaling: 1",
  "---@field maximum? integer autoscaling: 100",
  "---@field initial? integer autoscaling: 5",
  "",
  "---@class temporal.WorkerOptions",
  table.concat(annotations, "\n"),
}, "\n") .. "\n", generator)
