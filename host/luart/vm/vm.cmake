# tl_vm: the sandbox Lua VM (OBJECT library). Debian's Lua source is fetched on first use; the
# headers that host/luart sees are copied below <build>/vm, so that they never meet the stock ones.
if(NOT TL_LUA_SOURCE_DIR)
    set(cache "${TL_LUA_CACHE}")
    if(NOT cache)
        set(cache "${PROJECT_SOURCE_DIR}/.cache")
    endif()
    execute_process(COMMAND "${PROJECT_SOURCE_DIR}/tools/dev/lua-source.sh" "${cache}"
        OUTPUT_VARIABLE source OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
    if(failed)
        message(FATAL_ERROR "the Lua source could not be fetched; set TL_LUA_SOURCE_DIR to a copy")
    endif()
else()
    set(source "${TL_LUA_SOURCE_DIR}")
endif()
file(STRINGS "${source}/lua.h" release REGEX "define LUA_VERSION_RELEASE[ \t]+\"4\"")
if(NOT release)
    message(FATAL_ERROR "the sandbox VM is Lua 5.4.4; ${source} holds another release")
endif()
foreach(header lua.h luaconf.h lauxlib.h lualib.h)
    configure_file("${source}/${header}" "${PROJECT_BINARY_DIR}/vm/tlvm/${header}" COPYONLY)
endforeach()

set(folder "${PROJECT_SOURCE_DIR}/host/luart/vm")
add_library(tl_vm OBJECT "${folder}/lua_all.c" "${folder}/lua_host.c" "${folder}/detmath.c" "${folder}/numtext.c")
target_include_directories(tl_vm SYSTEM PUBLIC "${PROJECT_BINARY_DIR}/vm")
# Lua's own sources do not meet our warnings; ours in the same folder do.
set_property(SOURCE "${folder}/lua_all.c" "${folder}/lua_host.c" APPEND PROPERTY COMPILE_OPTIONS -w)
set_property(SOURCE "${folder}/lua_all.c" "${folder}/lua_host.c" APPEND PROPERTY
    INCLUDE_DIRECTORIES "${source}")
set_property(SOURCE "${folder}/detmath.c" "${folder}/numtext.c" APPEND PROPERTY
    COMPILE_OPTIONS ${TL_WARNINGS})
if(TL_SANDBOX_SWITCH)
    target_sources(tl_vm PRIVATE "${folder}/without.c")
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Debug" OR TL_SANITIZE)
    set_property(SOURCE "${folder}/lua_all.c" APPEND PROPERTY COMPILE_DEFINITIONS LUA_USE_APICHECK)
endif()
