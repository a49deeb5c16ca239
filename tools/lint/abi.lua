-- The public C interface may only grow: compares it with host/include/abi.txt. Run from the top folder:
--   lua5.4 tools/lint/abi.lua            complains about what is gone or other, and about what is not yet listed
--   lua5.4 tools/lint/abi.lua --update   lists what is new; refuses when something is gone or other
-- What counts: offsets and sizes of every field and enumerator values, as the compiler lays them out, and the
-- types of functions, as the header writes them.
package.path = "tools/lint/?.lua;" .. package.path
local source = require "source"

local header, list = "host/include/temporal_lua.h", "host/include/abi.txt"
local text = source.read(header):gsub("/%*.-%*/", " "):gsub("//[^\n]*", " "):gsub("\n%s*#[^\n]*\\\n[^\n]*", "\n")
text = text:gsub("\n%s*#[^\n]*", "\n")

local function squeeze(s)
    return (s:gsub("%s+", " "):gsub("^ ", ""):gsub(" $", ""):gsub(" ?([%(%),%*]) ?", "%1"))
end

--- Names of the fields of a struct's body, and the types of those that are functions.
local function fields_of(body)
    local names, functions = {}, {}
    for declaration in body:gmatch "([^;]+);" do
        local name, arguments = declaration:match "%(%*([%w_]+)%)%s*(%b())"
        if name then
            names[#names + 1] = name
            functions[name] = squeeze(declaration)
        else
            for part in (declaration .. ","):gmatch "([^,]-)," do
                names[#names + 1] = assert(part:gsub("%b[]", ""):match "([%w_]+)%s*$", declaration)
            end
        end
        assert(name == nil or arguments)
    end
    return names, functions
end

local lines, probe = {}, {}

local function ask(format, expression, ...)
    probe[#probe + 1] = ('printf("%s %%ld\\n", (long)(%s));'):format(format, expression:format(...))
end

for name, body in text:gmatch "typedef struct ([%w_]+) (%b{})" do
    local names, functions = fields_of(body:sub(2, -2))
    ask("sizeof " .. name, "sizeof(%s)", name)
    for _, field in ipairs(names) do
        ask(("offset %s.%s"):format(name, field), "offsetof(%s, %s)", name, field)
        ask(("size %s.%s"):format(name, field), "sizeof(((%s *)0)->%s)", name, field)
        if functions[field] then
            lines[#lines + 1] = ("type %s.%s %s"):format(name, field, functions[field])
        end
    end
end
for body in text:gmatch "enum [%w_]+ (%b{})" do
    for name in body:gmatch "([%u_][%u%d_]+)%s*=" do
        ask("value " .. name, "%s", name)
    end
end
for declaration in text:gmatch "TLUA_EXPORT([^;]+);" do
    lines[#lines + 1] = "function " .. squeeze(declaration)
end
ask("value TLUA_ABI_VERSION", "TLUA_ABI_VERSION")

local folder = os.tmpname()
os.remove(folder)
assert(os.execute("mkdir -p " .. folder))
local file = assert(io.open(folder .. "/probe.c", "w"))
file:write('#include <stdio.h>\n#include "temporal_lua.h"\nint main(void) {\n', table.concat(probe, "\n"),
    "\nreturn 0; }\n")
file:close()
local command = ("%s -std=c11 -Ihost/include -o %s/probe %s/probe.c && %s/probe")
local pipe = assert(io.popen(command:format(os.getenv "CC" or "cc", folder, folder, folder), "r"))
for line in pipe:lines() do
    lines[#lines + 1] = line
end
local ok = pipe:close()
os.execute("rm -rf " .. folder)
assert(ok, "the header does not compile")
assert(#lines > 150, "the header was not understood")

-- Structs that begin with `size`, and the table of the host, grow at their end.
local grows = {}
for name, body in text:gmatch "typedef struct ([%w_]+) (%b{})" do
    grows[name] = body:find "%f[%w_]size_t size;" ~= nil
end

local now = {}
for _, line in ipairs(lines) do
    now[line] = true
end
local report, known = source.reporter "abi", {}
local handle = io.open(list)
local number = 0
for line in (handle and handle:lines() or function() end) do
    number = number + 1
    known[line] = true
    local name = line:match "^sizeof ([%w_]+)"
    if not now[line] and not (name and grows[name]) then
        report.add(list, number, "is no more: %s", line)
    end
end
if handle then
    handle:close()
end
local new = {}
for _, line in ipairs(lines) do
    if not known[line] then
        new[#new + 1] = line
    end
end
if arg[1] == "--update" and report.count() == 0 then
    file = assert(io.open(list, "w"))
    file:write(table.concat(lines, "\n"), "\n")
    file:close()
    new = {}
end
for _, line in ipairs(new) do
    report.add(header, 1, "is new: lua5.4 tools/lint/abi.lua --update lists it: %s", line)
end
report.finish(#lines)
