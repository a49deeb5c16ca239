# C made from tables at build time: the Lua files of lua/ inside the program, and the command table.
find_program(TL_LUA_INTERPRETER NAMES lua5.4 REQUIRED)

if(TARGET tl_luahost)
    file(GLOB_RECURSE embedded RELATIVE "${PROJECT_SOURCE_DIR}/lua" CONFIGURE_DEPENDS
        "${PROJECT_SOURCE_DIR}/lua/*.lua")
    list(FILTER embedded EXCLUDE REGEX "/meta/")
    list(TRANSFORM embedded PREPEND "${PROJECT_SOURCE_DIR}/lua/" OUTPUT_VARIABLE embedded_paths)
    add_custom_command(OUTPUT "${PROJECT_BINARY_DIR}/generated/embedded_lua.c"
        COMMAND ${CMAKE_COMMAND} -E make_directory "${PROJECT_BINARY_DIR}/generated"
        COMMAND ${TL_LUA_INTERPRETER} "${PROJECT_SOURCE_DIR}/tools/gen/embed.lua"
            "${PROJECT_BINARY_DIR}/generated/embedded_lua.c" luahost/embedded.h embedded
            "${PROJECT_SOURCE_DIR}/lua" ${embedded}
        DEPENDS ${embedded_paths} "${PROJECT_SOURCE_DIR}/tools/gen/embed.lua" VERBATIM)
    target_sources(tl_luahost PRIVATE "${PROJECT_BINARY_DIR}/generated/embedded_lua.c")
    # The converter is the same source for both Luas; this copy must not see the sandbox VM.
    target_compile_definitions(tl_luahost PRIVATE TL_STOCK_LUA)
endif()

# What workflows can require of lua/.
if(TARGET tl_luart)
    set(shared temporal/model.lua temporal/proto.lua temporal/proto_json.lua temporal/proto_wire.lua
        temporal/session.lua)
    list(TRANSFORM shared PREPEND "${PROJECT_SOURCE_DIR}/lua/" OUTPUT_VARIABLE shared_paths)
    add_custom_command(OUTPUT "${PROJECT_BINARY_DIR}/generated/shared_lua.c"
        COMMAND ${CMAKE_COMMAND} -E make_directory "${PROJECT_BINARY_DIR}/generated"
        COMMAND ${TL_LUA_INTERPRETER} "${PROJECT_SOURCE_DIR}/tools/gen/embed.lua"
            "${PROJECT_BINARY_DIR}/generated/shared_lua.c" luart/shared.h shared
            "${PROJECT_SOURCE_DIR}/lua" ${shared}
        DEPENDS ${shared_paths} "${PROJECT_SOURCE_DIR}/tools/gen/embed.lua" VERBATIM)
    target_sources(tl_luart PRIVATE "${PROJECT_BINARY_DIR}/generated/shared_lua.c")
endif()

if(TARGET tl_cli)
    file(GLOB cli_tables CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/host/cli/*.lua")
    add_custom_command(OUTPUT "${PROJECT_BINARY_DIR}/generated/cli_table.c"
        COMMAND ${CMAKE_COMMAND} -E make_directory "${PROJECT_BINARY_DIR}/generated"
        COMMAND ${TL_LUA_INTERPRETER} "${PROJECT_SOURCE_DIR}/tools/gen/cli.lua"
            "${PROJECT_SOURCE_DIR}/host/cli/commands.lua" "${PROJECT_BINARY_DIR}/generated/cli_table.c"
        DEPENDS ${cli_tables} "${PROJECT_SOURCE_DIR}/host/worker/options.def"
                "${PROJECT_SOURCE_DIR}/tools/gen/cli.lua"
        VERBATIM)
    target_sources(tl_cli PRIVATE "${PROJECT_BINARY_DIR}/generated/cli_table.c")
endif()

if(TARGET tl_http)
    set(http_inputs "${PROJECT_SOURCE_DIR}/proto/http_paths.tsv" "${PROJECT_SOURCE_DIR}/host/rpc/methods.def")
    add_custom_command(OUTPUT "${PROJECT_BINARY_DIR}/generated/http_routes.c"
        COMMAND ${CMAKE_COMMAND} -E make_directory "${PROJECT_BINARY_DIR}/generated"
        COMMAND ${TL_LUA_INTERPRETER} "${PROJECT_SOURCE_DIR}/tools/gen/http_routes.lua" ${http_inputs}
            "${PROJECT_BINARY_DIR}/generated/http_routes.c"
        DEPENDS ${http_inputs} "${PROJECT_SOURCE_DIR}/tools/gen/http_routes.lua" VERBATIM)
    target_sources(tl_http PRIVATE "${PROJECT_BINARY_DIR}/generated/http_routes.c")
endif()

# The protocol's description for server reflection.
if(TARGET tl_rpc AND TARGET tl_pb)
    set(descriptor_set "${PROJECT_BINARY_DIR}/generated/descriptors.fds")
    set(described ${TL_PROTO_FILES})
    list(FILTER described EXCLUDE REGEX "^temporal_lua/")
    set(described_paths ${described})
    list(TRANSFORM described_paths PREPEND "${TL_PROTO_DIR}/")
    add_custom_command(OUTPUT "${PROJECT_BINARY_DIR}/generated/descriptors.c"
        COMMAND ${CMAKE_COMMAND} -E make_directory "${PROJECT_BINARY_DIR}/generated"
        COMMAND ${TL_PROTOC} -I${TL_PROTO_DIR} -I${TL_PROTOBUF_C_INCLUDE} --include_imports
            --descriptor_set_out=${descriptor_set} ${described}
        COMMAND ${TL_LUA_INTERPRETER} "${PROJECT_SOURCE_DIR}/tools/gen/descriptors.lua"
            ${descriptor_set} "${PROJECT_BINARY_DIR}/generated/descriptors.c"
        DEPENDS ${described_paths} "${PROJECT_SOURCE_DIR}/tools/gen/descriptors.lua" VERBATIM)
    target_sources(tl_rpc PRIVATE "${PROJECT_BINARY_DIR}/generated/descriptors.c")
endif()
