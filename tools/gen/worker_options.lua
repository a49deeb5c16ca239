-- Writes docs/worker_options.md from host/worker/options.def. With --check it fails when the file in the
-- tree is not that text.
-- usage: lua5.4 tools/gen/worker_options.lua [--check]
package.path = "tools/gen/?.lua;" .. package.path
local page = require "page"

local generator, source = "tools/gen/worker_options.lua", "host/worker/options.def"
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
  page.opening(source, generator),
  "# Options of a worker",
  "",
  "`temporal.worker { task_queue = 'orders', ... }` takes these beside `client`, `workflows`, `activities` and",
  "`roots` (see [lua.md](lua.md)). A duration is a number of seconds or text like `'90s'`, `'5m'`, `'1h30m'`, `'7d'`;",
  "sizes are bytes. An unknown name raises an error at the call, a value outside its range when the worker is prepared",
  "or started. All but `task_queue` are flags of `temporal-lua worker run`, too (`--max-concurrent-activities 20`),",
  "and may stand in the file that its `--config` names; a flag goes above the file, the file above the script.",
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

local count, refused = 0, {}
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
    lines[#lines + 1] = ("| `%s` | %s | %s | %s | %s | [%s](../%s) |"):format(
      name, types[kind], default, range, text, (file:gsub("^spec/", ""):gsub("^host/test/", "")), file)
  end
end
assert(count > 0, "no rows in " .. source)
table.move({
  "",
  "A *poller* is a number of polls, `{ kind = 'simple_maximum', maximum = 5 }`, or",
  "`{ kind = 'autoscaling', minimum = 1, maximum = 100, initial = 5 }`: then the number follows the server's advice,",
  "for the task queue and the sticky queue each on its own: one more while tasks wait, one fewer when a poll waited",
  "for a second or in vain.",
  "",
  "Options of other SDKs that mean nothing here raise an error with their reason:",
  "",
  "| option | reason |",
  "|---|---|",
}, 1, 10, #lines + 1, lines)
table.move(refused, 1, #refused, #lines + 1, lines)
page.finish("docs/worker_options.md", table.concat(lines, "\n") .. "\n", generator)
