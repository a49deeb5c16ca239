-- What the built files show to the outside. Run from the top folder after a build:
--   lua5.4 tools/lint/symbols.lua build
-- The Lua C module exports its entry point alone and loads gRPC when it needs it; the binary exports the
-- public C API and that entry, never the sandbox VM.
package.path = "tools/lint/?.lua;" .. package.path
local source = require "source"

local folder = arg[1] or "build"
local report = source.reporter("symbols")

local function exports(path)
    local file = io.open(path, "rb")
    if not file then
        return nil
    end
    file:close()
    local names = {}
    local pipe = assert(io.popen(("nm -D --defined-only '%s'"):format(path), "r"))
    for line in pipe:lines() do
        local kind, name = line:match("^%x+%s+(%a)%s+([^@%s]+)")
        if kind then
            names[#names + 1] = { kind = kind, name = name }
        end
    end
    assert(pipe:close(), "nm failed")
    return names
end

local checked = 0

local module = exports(folder .. "/temporal/core.so")
if module then
    checked = checked + 1
    local entry = false
    for _, symbol in ipairs(module) do
        if symbol.name == "luaopen_temporal_core" then
            entry = true
        else
            report.add(folder .. "/temporal/core.so", 1, "exports %s", symbol.name)
        end
    end
    local pipe = assert(io.popen(("nm -D --undefined-only '%s/temporal/core.so'"):format(folder), "r"))
    for line in pipe:lines() do
        local name = line:match "%s(g[rp]+c?_[%w_]+)"
        if name then
            report.add(folder .. "/temporal/core.so", 1, "needs %s: tools/gen/grpc_lazy.lua did not find it", name)
        end
    end
    assert(pipe:close(), "nm failed")
    if not entry then
        report.add(folder .. "/temporal/core.so", 1, "does not export luaopen_temporal_core")
    end
end

local library = exports(folder .. "/libtemporal_lua.so")
if library then
    checked = checked + 1
    local declared = {}
    for name in source.read "host/include/temporal_lua.h":gmatch "[%s%*](tlua_[%w_]+)%(" do
        declared[name] = name ~= "tlua_module_v1" or nil -- that one is the modules' own
    end
    for _, symbol in ipairs(library) do
        if not declared[symbol.name] then
            report.add(folder .. "/libtemporal_lua.so", 1, "exports %s, which the header does not have", symbol.name)
        end
        declared[symbol.name] = nil
    end
    for name in pairs(declared) do
        report.add(folder .. "/libtemporal_lua.so", 1, "does not export %s", name)
    end
end

-- The linker's own marks, and data of libc copied into a program.
local function is_linker_mark(symbol)
    return symbol.name:find("^_") or symbol.name == "data_start" or symbol.name == "main"
        or symbol.name == "environ" or symbol.kind == "B" or symbol.kind == "V"
end

local binary = exports(folder .. "/temporal-lua")
if binary then
    checked = checked + 1
    for _, symbol in ipairs(binary) do
        local public = symbol.name:find("^tlua_") or symbol.name == "luaopen_temporal_core"
        if not public and not is_linker_mark(symbol) then
            report.add(folder .. "/temporal-lua", 1, "exports %s", symbol.name)
        end
    end
end

report.finish(checked)
