# gRPC C core. Programs link it statically: as shared libraries it and its fifty companions would cost
# each process start milliseconds, also where gRPC is never used. The Lua C module links the shared
# library, since Debian's archives are not all position-independent; sanitizers too, since only a
# library apart can be told from instrumented code.
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
set(wants_shared
    "$<OR:$<STREQUAL:$<TARGET_PROPERTY:TYPE>,MODULE_LIBRARY>,${sanitized}>")
target_link_libraries(tl_grpc INTERFACE "$<IF:${wants_shared},tl_grpc_shared,tl_grpc_static>")
