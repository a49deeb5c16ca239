# gRPC C core. Programs link it statically: as shared libraries it and its fifty companions would cost
# each process start milliseconds, also where gRPC is never used. Debian's archives are not all
# position-independent, so the Lua C module and the C library load the shared library when they first need
# it. Sanitizers link that too, since only a library apart can be told from instrumented code.
pkg_check_modules(TL_GRPC REQUIRED grpc)

set(archives "")
set(archive_names "")
foreach(name IN LISTS TL_GRPC_STATIC_LIBRARIES ITEMS stdc++)
    find_library(TL_ARCHIVE_${name} NAMES lib${name}.a
        HINTS ${CMAKE_C_IMPLICIT_LINK_DIRECTORIES} NO_CACHE)
    if(TL_ARCHIVE_${name})
        list(APPEND archives "${TL_ARCHIVE_${name}}")
        list(APPEND archive_names "lib${name}.a")
    endif()
endforeach()
# The archives use it, and a linker that drops unneeded libraries has to meet it after them.
find_library(TL_LIBM m REQUIRED)
list(APPEND archives "${TL_LIBM}")
list(REMOVE_DUPLICATES archives)
list(JOIN archives "," archives)
list(JOIN archive_names ":" archive_names)

add_library(tl_grpc_static INTERFACE)
target_link_libraries(tl_grpc_static INTERFACE "$<LINK_GROUP:RESCAN,${archives}>")
# Nothing of it belongs to what the program shows to native modules.
target_link_options(tl_grpc_static INTERFACE "-Wl,--exclude-libs,${archive_names}")
add_library(tl_grpc_shared INTERFACE)
target_link_libraries(tl_grpc_shared INTERFACE grpc gpr)

add_library(tl_grpc INTERFACE)
set(sanitized 0) # its value may hold commas, which no generator expression takes
if(TL_SANITIZE)
    set(sanitized 1)
endif()
set(is_module "$<IN_LIST:$<TARGET_PROPERTY:TYPE>,MODULE_LIBRARY;SHARED_LIBRARY>")
set(linked "$<IF:$<BOOL:${sanitized}>,tl_grpc_shared,tl_grpc_static>")
target_link_libraries(tl_grpc INTERFACE "$<$<NOT:${is_module}>:${linked}>")

# tl_grpc_load_late(TARGET), a module or shared library: the source that stands in for gRPC's library
# (host/rpc/grpc/library.h).
function(tl_grpc_load_late target)
    set(output "${PROJECT_BINARY_DIR}/generated/grpc_lazy.c")
    target_sources(${target} PRIVATE "${output}")
    get_property(made GLOBAL PROPERTY TL_GRPC_LAZY)
    if(made)
        return()
    endif()
    set_property(GLOBAL PROPERTY TL_GRPC_LAZY TRUE)
    find_library(TL_GRPC_LIBRARY grpc REQUIRED)
    file(READ_SYMLINK "${TL_GRPC_LIBRARY}" link)
    string(REGEX MATCH "libgrpc\\.so\\.[0-9]+" soname "${link}")
    if(NOT soname)
        message(FATAL_ERROR "${TL_GRPC_LIBRARY} does not lead to libgrpc.so.N but to ${link}")
    endif()
    pkg_get_variable(include grpc includedir)
    file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/host/rpc/grpc/*.c")
    set(generator "${PROJECT_SOURCE_DIR}/tools/gen/grpc_lazy.lua")
    add_custom_command(OUTPUT "${output}"
        COMMAND ${CMAKE_COMMAND} -E make_directory "${PROJECT_BINARY_DIR}/generated"
        COMMAND ${TL_LUA_INTERPRETER} "${generator}" "${output}" ${soname} "${include}" ${sources}
        DEPENDS ${sources} "${generator}" VERBATIM)
endfunction()
