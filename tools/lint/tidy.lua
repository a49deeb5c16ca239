-- House rules that no compiler checks. Run from the top folder: lua5.4 tools/lint/tidy.lua
package.path = "tools/lint/?.lua;" .. package.path
local source = require "source"

local LINES_MAX = 800
local COLUMNS_MAX = 120
local TABLE_COLUMNS_MAX = 200 -- a row of an X-macro table stays on one line
local FUNCTION_LINES_MAX = 70
local README_LINES_MAX = 120

-- Written in pieces, so that this file passes its own check.
local banned_words = { "TO" .. "DO", "FIX" .. "ME", "X" .. "XX", "HA" .. "CK" }
local banned_phrases = { "not " .. "implemented", "not yet " .. "implemented" }
local machine_paths = { "/wo" .. "rk/", "/ro" .. "ot/", "/fa" .. "rm/", "/ho" .. "me/", "/tmp/" .. "tl" }

-- Function -> what to use instead.
local banned_everywhere = {
    strcpy = "tl_str or memcpy", strcat = "tl_buf", sprintf = "snprintf or tl_buf",
    vsprintf = "vsnprintf", gets = "getline", strtok = "tl_str",
}
local banned_outside_base = {
    malloc = "base/mem.h", calloc = "base/mem.h", realloc = "base/mem.h", free = "base/mem.h",
    strdup = "base/mem.h", strndup = "base/mem.h",
}

local report = source.reporter("tidy")

local function is_generated(text)
    local head = text:sub(1, 400):lower()
    return head:find("generated", 1, true) and head:find("do not edit", 1, true)
end

local function check_words(path, number, line)
    for _, word in ipairs(banned_words) do
        if line:find("%f[%w_]" .. word .. "%f[^%w_]") then
            report.add(path, number, "unfinished work: %s", word)
        end
    end
    local lower = line:lower()
    for _, phrase in ipairs(banned_phrases) do
        if lower:find(phrase, 1, true) then
            report.add(path, number, "unfinished work: %s", phrase)
        end
    end
    for _, prefix in ipairs(machine_paths) do
        local at = line:find(prefix, 1, true)
        if at and not line:sub(1, at - 1):find("[%w%.%-_~}]$") then
            report.add(path, number, "the path of a machine: %s", prefix)
        end
    end
end

local function check_calls(path, stripped)
    local own_memory = path:find("^host/base/") or path:find("^host/luart/vm/") or path:find("^host/test/")
    for number, line in ipairs(source.lines(stripped)) do
        for before, name in line:gmatch("(.?.?)%f[%w_]([%a_][%w_]*)%s*%(") do
            local member = before:sub(-1) == "." or before == "->"
            local instead = banned_everywhere[name] or (not own_memory and banned_outside_base[name])
            if instead and not member then
                report.add(path, number, "%s is banned: use %s", name, instead)
            end
        end
    end
end

-- A function body opens and closes with a brace in the first column.
local function check_functions(path, lines)
    local opened
    for number, line in ipairs(lines) do
        if line == "{" then
            opened = number
        elseif line == "}" and opened then
            local length = number - opened - 1
            if length > FUNCTION_LINES_MAX then
                report.add(path, opened, "a function of %d lines (at most %d)", length, FUNCTION_LINES_MAX)
            end
            opened = nil
        end
    end
end

local function check_head(path, lines)
    local first = lines[1] or ""
    if not first:find("^/%*") and not first:find("^//") then
        report.add(path, 1, "a file opens with a comment: what it is, which thread, who owns memory")
    end
end

local function check_file(path)
    local text = source.read(path)
    if text:find("\0", 1, true) or is_generated(text) then
        return
    end
    local extension = path:match("%.([%w_]+)$") or ""
    local c = extension == "c" or extension == "h" or extension == "inc"
    local code = c or extension == "def" or extension == "lua"
    local script = extension == "sh" or path == "dev" or extension == "cmake" or path == "CMakeLists.txt"
    local lines = source.lines(text)
    for number, line in ipairs(lines) do
        check_words(path, number, line)
        if code or script then
            local columns, most = utf8.len(line) or #line, COLUMNS_MAX
            if extension == "def" then
                most = TABLE_COLUMNS_MAX
            end
            if columns > most then
                report.add(path, number, "%d columns (at most %d)", columns, most)
            end
            if line:find("[ \t]$") then
                report.add(path, number, "white space at the end of the line")
            end
        end
    end
    if (code or script) and #lines > LINES_MAX then
        report.add(path, #lines, "%d lines (at most %d): split it by subject", #lines, LINES_MAX)
    end
    if c and path:find("^host/") then
        check_head(path, lines)
        check_calls(path, source.strip_c(text))
        check_functions(path, lines)
    end
    if path:find("^host/.*README%.md$") and #lines > README_LINES_MAX then
        report.add(path, #lines, "%d lines: a README has at most two screens", #lines)
    end
end

local files = source.files()
local have, folders = {}, {}
for _, path in ipairs(files) do
    have[path] = true
    check_file(path)
    local module = path:match("^host/([^/]+)/")
    if module and module ~= "include" and path:find("%.[ch]$") then
        folders["host/" .. module] = path
    end
end
for folder, example in pairs(folders) do
    if not have[folder .. "/README.md"] then
        report.add(example, 1, "%s has no README.md", folder)
    end
end
report.finish(#files)
