-- The module dependency table, checked over the #include lines of host/. Run from the top folder:
--   lua5.4 tools/lint/deps.lua
package.path = "tools/lint/?.lua;" .. package.path
local source = require "source"

-- Folder under host/ -> the modules it may include besides itself. The longest match counts.
local allowed = {
    ["base"] = {},
    ["io"] = { "base" },
    ["proto"] = { "base" },
    ["crypto"] = { "base" },
    ["config"] = { "base" },
    ["core"] = { "base", "proto" },
    ["luart"] = { "base", "proto", "core" },
    ["rpc"] = { "base", "proto" },
    ["store"] = { "base" },
    ["client"] = { "base", "proto", "rpc" },
    ["fetch"] = { "base" },
    ["codec"] = { "base", "proto", "rpc", "crypto", "fetch" },
    ["http"] = { "base", "proto", "rpc", "client" },
    ["worker"] = { "base", "io", "proto", "core", "luart", "client", "rpc", "crypto", "include" },
    ["server"] = { "base", "proto", "store", "rpc" },
    ["server/history"] = { "base", "proto" },
    ["server/matching"] = { "base", "proto" },
    ["luahost"] = {
        "base", "io", "proto", "config", "crypto", "core", "luart", "rpc", "client", "codec", "worker",
        "server", "http", "include",
    },
    ["embed"] = { "base", "proto", "rpc", "luart", "client", "worker", "server", "include" },
    ["cli"] = {
        "base", "io", "proto", "config", "crypto", "core", "luart", "rpc", "store", "client", "codec",
        "worker", "server", "http", "luahost", "include",
    },
    ["test"] = {
        "base", "io", "proto", "config", "crypto", "core", "luart", "rpc", "store", "client", "codec",
        "worker", "server", "http", "luahost", "cli", "embed", "include",
    },
    ["include"] = {}, -- the public header: for those that run native activities
    ["main.c"] = { "base", "cli" },
}

-- Third-party header (Lua pattern) -> the folders that may see it. luart/convert.[ch] is built twice,
-- once for the sandbox VM and once, by luahost, for the stock Lua.
local libraries = {
    { "^uv%.h$", { "io", "test" } },
    { "^sqlite3%.h$", { "store", "test" } },
    { "^mbedtls/", { "crypto" } },
    { "^zlib%.h$", { "codec", "test" } },
    { "^curl/", { "fetch" } },
    { "^grpc/", { "rpc/grpc" } },
    { "^microhttpd%.h$", { "http" } },
    { "^mpfr%.h$", { "luart/vm" } },
    { "^gmp%.h$", { "luart/vm" } },
    { "^lua%.h$", { "luahost", "cli", "luart/vm", "luart/convert.h", "test" } },
    { "^lauxlib%.h$", { "luahost", "cli", "luart/vm", "luart/convert.h", "test" } },
    { "^lualib%.h$", { "luahost", "cli", "luart/vm", "test" } },
    { "^tlvm/", { "luart/vm" } },
    { "^yaml%.h$", { "cli" } },
    { "^cmocka%.h$", { "test" } },
}

-- Sans-IO folders see no clock, thread or file.
local pure = { "core", "server/history", "server/matching" }
local impure = {
    "^pthread%.h$", "^threads%.h$", "^unistd%.h$", "^fcntl%.h$", "^poll%.h$",
    "^signal%.h$", "^sys/", "^netinet/", "^base/inbox%.h$",
}

-- What a sans-IO folder does not call. Calendar arithmetic over a given time (gmtime_r) is pure.
local impure_calls = {
    "time", "clock", "clock_gettime", "gettimeofday", "localtime", "localtime_r", "mktime",
    "nanosleep", "sleep", "usleep", "rand", "random", "getrandom", "getenv", "fopen", "tl_world_real",
}

-- Generated headers and the types of libprotobuf-c belong to the modules that may include proto, and
-- to proto itself.
local function sees_proto(module)
    if module == "proto" then
        return true
    end
    for _, name in ipairs(allowed[module]) do
        if name == "proto" then
            return true
        end
    end
    return false
end

local function within(path, folder)
    return path == folder or path:sub(1, #folder + 1) == folder .. "/"
end

local function rule_of(path)
    local best
    for folder in pairs(allowed) do
        if within(path, folder) and (not best or #folder > #best) then
            best = folder
        end
    end
    return best
end

local function contains(list, value)
    for _, item in ipairs(list) do
        if item == value then
            return true
        end
    end
    return false
end

local function any_within(path, folders)
    for _, folder in ipairs(folders) do
        if within(path, folder) then
            return true
        end
    end
    return false
end

local function matches(header, patterns)
    for _, pattern in ipairs(patterns) do
        if header:find(pattern) then
            return true
        end
    end
    return false
end

local report = source.reporter("deps")

local function exists(path)
    local file = io.open(path, "rb")
    if file then
        file:close()
    end
    return file ~= nil
end

local function check_ours(inner, number, rule, header)
    local module = header:match("^([^/]+)/")
    if within(header, "luart/vm") and not any_within(inner, { "luart", "test" }) then
        report.add("host/" .. inner, number, "only luart sees the sandbox VM (%s)", header)
    end
    -- A folder with a rule of its own is closed to the module around it in one direction only.
    local target = rule_of(header)
    local own = target == rule or within(target, rule)
    if not own and not contains(allowed[rule], module) then
        report.add("host/" .. inner, number, "%s may not include %s", rule, header)
    end
end

local function is_generated(header)
    return header:find("%.pb%-c%.h$") or header == "tl_enums.h" or header:find("^protobuf%-c/")
end

local function check_include(inner, number, header)
    local rule = rule_of(inner)
    if any_within(inner, pure) and matches(header, impure) then
        report.add("host/" .. inner, number, "%s is sans-IO: it may not include %s", rule, header)
    end
    for _, entry in ipairs(libraries) do
        if header:find(entry[1]) and not is_generated(header) and not any_within(inner, entry[2]) then
            report.add("host/" .. inner, number, "%s may not see %s", rule, header)
        end
    end
    if is_generated(header) then
        if not sees_proto(rule:match("^[^/]+")) then
            report.add("host/" .. inner, number, "%s may not see generated protobuf code", rule)
        end
    elseif exists("host/" .. header) then
        check_ours(inner, number, rule, header)
    end
end

local function check_line(path, inner, number, line)
    local quoted = line:match('^%s*#%s*include%s+"([^"]+)"')
    local header = quoted or line:match("^%s*#%s*include%s+<([^>]+)>")
    if header then
        check_include(inner, number, header)
    end
    local folder = inner:gsub("[^/]+$", "")
    if quoted and not quoted:find("/") and not any_within(inner, { "luart/vm", "test" })
        and exists("host/" .. folder .. quoted) then
        report.add(path, number, 'write the include from host/: "%s"', folder .. quoted)
    end
end

local function check_calls(path, text)
    for number, line in ipairs(source.lines(source.strip_c(text))) do
        for before, name in line:gmatch("(.?)%f[%w_]([%a_][%w_]*)%s*%(") do
            if before ~= "." and before ~= ">" and contains(impure_calls, name) then
                report.add(path, number, "a sans-IO folder does not call %s", name)
            end
        end
    end
end

local checked = 0
for _, path in ipairs(source.files("c", "h", "inc", "def")) do
    local inner = path:match("^host/(.+)$")
    if inner then
        checked = checked + 1
        if not rule_of(inner) then
            report.add(path, 1, "no rule for this folder in tools/lint/deps.lua")
        else
            local text = source.read(path)
            for number, line in ipairs(source.lines(text)) do
                check_line(path, inner, number, line)
            end
            if any_within(inner, pure) then
                check_calls(path, text)
            end
        end
    end
end
report.finish(checked)
