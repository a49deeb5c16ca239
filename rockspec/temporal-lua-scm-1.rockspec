rockspec_format = "3.0"
package = "temporal-lua"
version = "scm-1"

-- Built from a checkout: luarocks --lua-version=5.4 make rockspec/temporal-lua-scm-1.rockspec
source = {
    url = "git+file://.",
    branch = "main",
}

description = {
    summary = "Durable workflows in Lua 5.4: a Temporal worker, client and embedded server",
    detailed = [[
        Workflows are plain Lua functions whose state survives crashes, deployments and years. Run them on the
        embedded server (one process, SQLite) or on any Temporal cluster.]],
    license = "MIT",
    labels = { "workflow", "temporal", "durable-execution" },
}

supported_platforms = { "linux" }

dependencies = {
    "lua >= 5.4, < 5.5",
}

external_dependencies = {
    PROTOBUF_C = { header = "protobuf-c/protobuf-c.h" },
    SQLITE = { header = "sqlite3.h" },
    UV = { header = "uv.h" },
    MBEDTLS = { header = "mbedtls/aes.h" },
    MPFR = { header = "mpfr.h" },
    GRPC = { header = "grpc/grpc.h" },
}

build = {
    type = "cmake",
    variables = {
        CMAKE_BUILD_TYPE = "RelWithDebInfo",
        CMAKE_INSTALL_PREFIX = "$(PREFIX)",
        LIBDIR = "$(LIBDIR)",
        LUADIR = "$(LUADIR)",
        LUA_INCDIR = "$(LUA_INCDIR)",
        TL_TESTS = "OFF",
    },
}
