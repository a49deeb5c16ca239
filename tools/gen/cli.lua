-- Compiles host/cli/commands.lua to C (cli/cli.h) and checks it: unique names, known kinds.
-- usage: lua5.4 cli.lua COMMANDS.lua OUTPUT.c
local commands = dofile(arg[1])
local kinds = {
  string = "STRING",
  integer = "INTEGER",
  duration = "DURATION",
  boolean = "BOOLEAN",
  strings = "STRINGS",
}

local function quote(text)
  return text and ('"%s"'):format(text:gsub('[\\"]', "\\%0")) or "NULL"
end

-- A NULL-terminated array in the place of the option.
local function choices(list)
  if not list then
    return "NULL"
  end
  local quoted = {}
  for i, text in ipairs(list) do
    quoted[i] = quote(text)
  end
  return ("(const char *const[]){%s, NULL}"):format(table.concat(quoted, ", "))
end

local out = {
  "/* generated from host/cli/commands.lua by tools/gen/cli.lua - do not edit */",
  '#include "cli/cli.h"',
  "",
}
local rows, seen = {}, {}
table.sort(commands, function(a, b) return a.path < b.path end)
for i, c in ipairs(commands) do
  assert(not seen[c.path], "command twice: " .. c.path)
  seen[c.path] = true
  out[#out + 1] = ("int tl_cmd_%s(struct tl_cli *cli);"):format(c.handler)
  out[#out + 1] = ("static const struct tl_cli_option options_%d[] = {"):format(i)
  local names = {}
  table.sort(c.options, function(a, b) return a.name < b.name end)
  for _, o in ipairs(c.options) do
    assert(not names[o.name] and not (o.short and names[o.short]), "option twice: " .. o.name)
    names[o.name] = true
    for _, other in ipairs { o.short or false, o.alias or false } do
      if other then
        assert(not names[other], "option twice: " .. other)
        names[other] = true
      end
    end
    out[#out + 1] = ("    {%s, %s, %s, %s, %s, %s, %s, TL_CLI_%s, %s, %s},"):format(
      quote(o.name), quote(o.alias), quote(o.short), quote(o.env), quote(o.default), quote(o.help),
      choices(o.choices), assert(kinds[o.kind], "unknown kind " .. o.kind), tostring(o.required == true),
      tostring(o.pair == true))
  end
  out[#out + 1] = "    {NULL, NULL, NULL, NULL, NULL, NULL, NULL, TL_CLI_STRING, false, false},\n};\n"
  rows[#rows + 1] = ("    {%s, %s, %s, tl_cmd_%s, options_%d},"):format(
    quote(c.path), quote(c.summary), quote(c.args), c.handler, i)
end
rows[#rows + 1] = "    {NULL, NULL, NULL, NULL, NULL},\n};\n"
out[#out + 1] = "const struct tl_cli_command tl_cli_commands[] = {\n" .. table.concat(rows, "\n")
local handle = assert(io.open(arg[2], "wb"))
handle:write(table.concat(out, "\n"))
handle:close()
