# C tables generated from Lua: the command table of host/cli, and lua/ itself as data for host/luahost.
find_program(TL_LUA lua5.4 REQUIRED)
set(generated "${PROJECT_BINARY_DIR}/generated/tables")
file(MAKE_DIRECTORY "${generated}")

# tl_generate(TARGET OUTPUT DEPENDS FILE... ARGUMENTS ARG...): adds a generated file to a module's sources.
function(tl_generate target output)
    cmake_parse_arguments(arg "" "" "DEPENDS;ARGUMENTS" ${ARGN})
    add_custom_command(OUTPUT "${output}" COMMAND ${TL_LUA} ${arg_ARGUMENTS}
        DEPENDS ${arg_DEPENDS} COMMENT "Generating ${output}" VERBATIM)
    target_sources(${target} PRIVATE "${output}")
    set_source_files_properties("${output}" PROPERTIES GENERATED ON COMPILE_OPTIONS -w)
endfunction()

if(TARGET tl_cli AND EXISTS "${PROJECT_SOURCE_DIR}/host/cli/commands.lua")
    set(generator "${PROJECT_SOURCE_DIR}/tools/gen/cli.lua")
    set(table "${PROJECT_SOURCE_DIR}/host/cli/commands.lua")
    tl_generate(tl_cli "${generated}/cli_commands.c" DEPENDS "${generator}" "${table}"
        ARGUMENTS "${generator}" "${table}" "${generated}/cli_commands.c")
endif()

if(TARGET tl_luahost AND EXISTS "${PROJECT_SOURCE_DIR}/lua")
    set(generator "${PROJECT_SOURCE_DIR}/tools/gen/embed.lua")
    file(GLOB_RECURSE files RELATIVE "${PROJECT_SOURCE_DIR}/lua" CONFIGURE_DEPENDS
        "${PROJECT_SOURCE_DIR}/lua/*.lua")
    # Annotations for editors are no code.
    list(FILTER files EXCLUDE REGEX "^temporal/meta/")
    list(TRANSFORM files PREPEND "${PROJECT_SOURCE_DIR}/lua/" OUTPUT_VARIABLE paths)
    tl_generate(tl_luahost "${generated}/luahost_files.c" DEPENDS "${generator}" ${paths}
        ARGUMENTS "${generator}" "${generated}/luahost_files.c" "${PROJECT_SOURCE_DIR}/lua" ${files})
endif()
