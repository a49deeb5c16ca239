# tl_small_library(TARGET NAME): an interface library for lib<NAME>, copied into programs and shared by
# the Lua module and the C library. Loading one more shared library costs each start about 0.2 ms; the
# archives of Debian are not made for being linked into shared objects.
function(tl_small_library target name)
    find_library(${target}_SHARED ${name} REQUIRED)
    find_library(${target}_STATIC lib${name}.a REQUIRED)
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE
        "$<IF:$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>,${${target}_STATIC},${${target}_SHARED}>")
    # Nothing of it belongs to what the program shows to native modules.
    target_link_options(${target} INTERFACE "-Wl,--exclude-libs,lib${name}.a")
endfunction()
