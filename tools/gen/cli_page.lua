-- Writes docs/cli.md from host/cli/commands.lua. With --check it fails when the file in the tree is not
-- that text.
-- usage: lua5.4 tools/gen/cli_page.lua [--check]
package.path = "tools/gen/?.lua;" .. package.path
local page = require "page"

local generator, source = "tools/gen/cli_page.lua", "host/cli/commands.lua"
local commands = dofile(source)
table.sort(commands, function(a, b) return a.path < b.path end)

local values = { string = " TEXT", integer = " NUMBER", duration = " DURATION", boolean = "", strings = " TEXT" }

local function option_row(o)
  local short = o.short and ("`-%s`, "):format(o.short) or ""
  local default = o.default and ("`%s`"):format(o.default) or o.required and "required" or ""
  local env = o.env and ("`%s`"):format(o.env) or ""
  return ("| %s`--%s%s` | %s | %s | %s |"):format(
    short, o.name, assert(values[o.kind], "unknown kind " .. o.kind), default, env, o.help)
end

local lines = {
  page.opening(source, generator),
  "# Command line",
  "",
  "`temporal-lua COMMAND --help` prints the options of a command, `temporal-lua --help` the commands and",
  "`temporal-lua --version` the version. `--name value` and `--name=value` are the same. A value that is not given is",
  "taken from the environment variable of its row, then from the default. `--` ends the options; for commands that",
  "take arguments for a script, so does the script's name. A duration is a number of seconds or text like `90s`, `5m`,",
  "`1h30m`.",
  "",
  "Exit status: 0 when the command did its work, 1 when it failed, 2 when it was not called as described here.",
  "",
  "| command | |",
  "|---|---|",
}
for _, c in ipairs(commands) do
  lines[#lines + 1] = ("| [%s](#%s) | %s |"):format(c.path, c.path:gsub(" ", "-"), c.summary)
end
for _, c in ipairs(commands) do
  table.sort(c.options, function(a, b) return a.name < b.name end)
  lines[#lines + 1] = ("\n## %s\n\n%s.\n\n```\ntemporal-lua %s [options]%s\n```"):format(
    c.path, c.summary, c.path, c.args and " " .. c.args or "")
  if #c.options > 0 then
    lines[#lines + 1] = "\n| option | default | environment | |\n|---|---|---|---|"
    for _, o in ipairs(c.options) do
      lines[#lines + 1] = option_row(o)
    end
  end
end
page.finish("docs/cli.md", table.concat(lines, "\n") .. "\n", generator)
