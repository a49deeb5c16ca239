-- luacheck: Lua 5.4 everywhere; workflow files get only what the sandbox offers.
std = "lua54"
max_line_length = 120
codes = true
self = false

-- What workflow code sees: no io, debug, package, dofile, loadfile; of os only the workflow's clock.
stds.temporal_workflow = {
    read_globals = {
        "_VERSION", "assert", "error", "getmetatable", "ipairs", "load", "next", "pairs", "pcall",
        "print", "rawequal", "rawget", "rawlen", "rawset", "require", "select", "setmetatable",
        "tonumber", "tostring", "type", "xpcall", "warn", "collectgarbage",
        coroutine = { other_fields = true },
        math = { other_fields = true },
        string = { other_fields = true },
        table = { other_fields = true },
        utf8 = { other_fields = true },
        os = { fields = { "time", "clock", "date", "difftime" } },
    },
}

files["**/workflows/**/*.lua"] = { std = "temporal_workflow" }
files["**/workflows/*.lua"] = { std = "temporal_workflow" }
files["spec/**/*.lua"] = { std = "+busted" }
files["samples/**/*_spec.lua"] = { std = "+busted" }
files["lua/temporal/meta/*.lua"] = { ignore = { "211", "212", "241" } }
files["lua/temporal/meta/host/worker.lua"] = { max_line_length = false } -- made by tools/gen/worker_options.lua

exclude_files = { ".cache/**", "build*/**" }
