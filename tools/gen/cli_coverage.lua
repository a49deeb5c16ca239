-- Writes docs/cli_coverage.md: each command and flag of Temporal's own command line (spec/interop/official_cli.txt)
-- beside host/cli/commands.lua, with the reasons of spec/interop/cli_reasons.txt for what is not there or differs.
-- A difference without a reason is an error, and so is a reason that nothing needs or an option whose value no handler
-- asks for. With --check it also fails when the file in the tree is not that text.
-- usage: lua5.4 tools/gen/cli_coverage.lua [--check]
package.path = "tools/gen/?.lua;" .. package.path
local page = require "page"

local generator = "tools/gen/cli_coverage.lua"
local official_file, reasons_file = "spec/interop/official_cli.txt", "spec/interop/cli_reasons.txt"

-- --- the official commands --------------------------------------------------------------------------

---@class official.Flag
---@field name string
---@field short? string
---@field kind string
---@field choices? string[]
---@field default? string
---@field required boolean
---@field env? string
---@field aliases string

local function parse_flag(text)
  local flag = { name = text:match "^%-%-(%S+)", aliases = "" }
  local rest = text:match "^%-%-%S+%s+(.*)$"
  if rest:find "^%-%a " then
    flag.short, rest = rest:match "^%-(%a)%s+(.*)$"
  end
  flag.kind = rest:match "^%S+"
  local choices = rest:match "{(.-)}"
  if choices then
    flag.choices = {}
    for word in choices:gmatch "[^,]+" do
      flag.choices[#flag.choices + 1] = word
    end
  end
  flag.default = rest:match "default=(%([^)]*%))" or rest:match "default=(%S+)"
  flag.required = rest:find "%f[%w]required%f[%W]" ~= nil
  flag.env = rest:match "implied%-env=(%S+)"
  flag.aliases = rest:match "aliases=%['([^']+)'%]" or ""
  return flag
end

--- Option sets and commands in their order; a command has the flags of its sets and of the commands above it.
local function read_official()
  local sets, commands, current = {}, {}, nil
  for line in io.lines(official_file) do
    local set = line:match "^option%-set (%S+)"
    local command = line:match "^command temporal ?(.-)%s*$"
    if set then
      current = { flags = {}, uses = {} }
      sets[set] = current
    elseif command then
      current = { flags = {}, uses = {}, deprecated = command:find "%(deprecated%)" ~= nil }
      current.path = command:gsub("%s*%(deprecated%)$", "")
      commands[#commands + 1] = current
    elseif line:find "^\tuses option%-sets:" then
      for name in line:match(":%s*(.*)$"):gmatch "[^,%s]+" do
        current.uses[#current.uses + 1] = name
      end
    elseif line:find "^\t%-%-" then
      current.flags[#current.flags + 1] = parse_flag(line:sub(2))
    else
      assert(line:find "^\targs", line)
    end
  end
  return sets, commands
end

local sets, official = read_official()

local function add_flags(into, owner)
  for _, name in ipairs(owner.uses) do
    for _, flag in ipairs(assert(sets[name], name).flags) do
      into[#into + 1] = flag
    end
  end
  table.move(owner.flags, 1, #owner.flags, #into + 1, into)
end

--- A command that only groups others is not one by itself, unless it does something.
local function is_group(path)
  for _, other in ipairs(official) do
    if other.path:sub(1, #path + 1) == path .. " " or path == "" then
      return true
    end
  end
  return false
end

local function is_below(path, group)
  return group ~= "" and path:sub(1, #group + 1) == group .. " "
end

--- What a command has besides the flags of all commands (the option sets common and client).
local function flags_of(command)
  local flags = {}
  for _, above in ipairs(official) do
    if is_below(command.path, above.path) and above.uses[1] ~= "client" then
      add_flags(flags, above)
    end
  end
  add_flags(flags, command)
  return flags
end

local function talks_to_service(command)
  for _, above in ipairs(official) do
    if is_below(command.path, above.path) and above.uses[1] == "client" then
      return true
    end
  end
  return false
end

-- --- ours -------------------------------------------------------------------------------------------

local ours = {}
for _, command in ipairs(dofile "host/cli/commands.lua") do
  local options = {}
  for _, o in ipairs(command.options) do
    options[o.name] = o
  end
  ours[command.path] = options
end

--- Every word in quotes in the C code of the command line: an option that is none of them has no effect.
local function words_of_code()
  local words = {}
  local pipe <close> = assert(io.popen "cat host/cli/*.c host/cli/*.h")
  for word in pipe:read("a"):gmatch '"([%w%-]+)"' do
    words[word] = true
  end
  return words
end

-- --- reasons ----------------------------------------------------------------------------------------

local problems = {}
local function problem(...)
  problems[#problems + 1] = (...):format(select(2, ...))
end

local reasons = {}
for line in io.lines(reasons_file) do
  if line ~= "" and not line:find "^#" then
    local command, flag, reason = line:match "^(.-) | (.-) | (.+)$"
    assert(command, line)
    local function pattern(glob)
      return "^" .. glob:gsub("[%-%.%+%[%]%(%)%$%^%%%?]", "%%%0"):gsub("%*", ".*") .. "$"
    end
    reasons[#reasons + 1] = { command = pattern(command), flag = pattern(flag), reason = reason, line = line, used = 0 }
  end
end

local function reason_for(command, flag)
  for _, r in ipairs(reasons) do
    if command:find(r.command) and flag:find(r.flag) then
      r.used = r.used + 1
      return r.reason
    end
  end
end

-- --- comparison -------------------------------------------------------------------------------------

local kinds = {
  string = "string", bool = "boolean", int = "integer", float = "string", duration = "duration",
  ["string[]"] = "strings", ["string-enum"] = "string", ["string-enum[]"] = "strings", timestamp = "string",
}

local function same_choices(a, b)
  local have = {}
  for _, word in ipairs(b or {}) do
    have[word:lower()] = true
  end
  local missing = {}
  for _, word in ipairs(a or {}) do
    if b and not have[word:lower()] then
      missing[#missing + 1] = word
    end
  end
  return missing
end

--- What of the official flag ours does not have, in words; none: all of it.
local function differences(flag, option)
  local list = {}
  if flag.short ~= option.short then
    list[#list + 1] = flag.short and ("no -" .. flag.short) or ("has -" .. option.short)
  end
  if kinds[flag.kind] ~= option.kind then
    list[#list + 1] = ("takes %s, not %s"):format(option.kind, flag.kind)
  end
  if (flag.default or "") ~= (option.default or "") and not (flag.default == nil and option.default == "0") then
    list[#list + 1] = ("default %s, not %s"):format(option.default or "none", flag.default or "none")
  end
  if flag.env ~= option.env then
    list[#list + 1] = ("environment %s, not %s"):format(option.env or "none", flag.env or "none")
  end
  if flag.aliases ~= (option.alias or "") then
    list[#list + 1] = ("alias %s, not %s"):format(option.alias or "none", flag.aliases)
  end
  if option.required and not flag.required then
    list[#list + 1] = "required here"
  end
  for _, word in ipairs(same_choices(flag.choices, option.choices)) do
    list[#list + 1] = "not " .. word
  end
  return list
end

local words = words_of_code()

--- Whether the code asks for the option. cli/input.c puts the prefix before the names of input options itself; an
--- option with one value only, which is required, says nothing more.
local function has_effect(option)
  return words[option.name] or option.name:find "^%a*%-?input%f[%W]" or (option.required and option.choices
    and #option.choices == 1)
end
local counts = { alike = 0, differs = 0, absent = 0, commands = 0, missing = 0 }
local lines = {}

local function row(...)
  lines[#lines + 1] = ("| %s |"):format(table.concat({ ... }, " | "))
end

--- Adds a row unless the flag is as the official one.
local function compare_flag(path, options, flag)
  local option = options[flag.name]
  local name = ("`--%s`"):format(flag.name)
  if not option then
    local reason = reason_for(path, "--" .. flag.name)
    if not reason then
      problem("%s --%s is absent without a reason", path, flag.name)
    end
    counts.absent = counts.absent + 1
    row("", name, "absent", reason or "")
    return
  end
  local list = differences(flag, option)
  if not has_effect(option) then
    list[#list + 1] = "has no effect"
  end
  if #list == 0 then
    counts.alike = counts.alike + 1
    return
  end
  local text = table.concat(list, "; ")
  local reason = reason_for(path, "--" .. flag.name)
  if not reason then
    problem("%s --%s differs without a reason: %s", path, flag.name, text)
  end
  counts.differs = counts.differs + 1
  row("", name, text, reason or "")
end

local function compare_flags(title, path, options, flags)
  local at = #lines + 1
  lines[at] = ""
  for _, flag in ipairs(flags) do
    compare_flag(path, options, flag)
  end
  lines[at] = ("| %s | %d of %d flags alike | | |"):format(title, #flags - (#lines - at), #flags)
end

local global = {}
add_flags(global, { uses = { "common", "client" }, flags = {} })
--- What all our commands that talk to a service share.
local service = ours["workflow list"]

local function compare_command(command)
  local options = ours[command.path]
  local title = ("`%s`%s"):format(command.path, command.deprecated and " (deprecated)" or "")
  if not options then
    local reason = reason_for(command.path, "-")
    if not reason then
      problem("%s is absent without a reason", command.path)
    end
    counts.missing = counts.missing + 1
    row(title, "", "**absent**", reason or "")
    return
  end
  counts.commands = counts.commands + 1
  compare_flags(title, command.path, options, flags_of(command))
  local connects = talks_to_service(command) and not reason_for(command.path, "connection")
  for _, flag in ipairs(connects and global or {}) do
    if service[flag.name] and not options[flag.name] then
      problem("%s --%s is absent, other commands have it", command.path, flag.name)
    end
  end
end

compare_flags("every command that talks to a service", "every command", service, global)
for _, command in ipairs(official) do
  if not is_group(command.path) or ours[command.path] then
    compare_command(command)
  end
end
for _, r in ipairs(reasons) do
  if r.used == 0 then
    problem("reason without need: %s", r.line)
  end
end
if #problems > 0 then
  io.stderr:write(table.concat(problems, "\n"), "\n")
  os.exit(1)
end

local opening = {
  page.opening(official_file .. " and host/cli/commands.lua", generator),
  "# Coverage of the command line",
  "",
  "The commands and flags of Temporal's own command line beside ours. A flag without a row is alike: same name, short",
  "name, kind, default, environment variable and values, and has its effect. What is absent or differs has a reason.",
  "",
  ("%d commands are here, %d are not; of their flags %d are alike, %d differ, %d are absent. Commands of ours alone")
    :format(counts.commands, counts.missing, counts.alike, counts.differs, counts.absent),
  "(`bench`, `replay`, `run`, `worker run` and others) are in [cli.md](cli.md).",
  "",
  "| command | flag | here | reason |",
  "|---|---|---|---|",
}
table.move(lines, 1, #lines, #opening + 1, opening)
page.finish("docs/cli_coverage.md", table.concat(opening, "\n") .. "\n", generator)
