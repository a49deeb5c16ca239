# Each host/test/fuzz/fuzz_*.c is one libFuzzer executable in <build>/fuzz.
if(NOT CMAKE_C_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "the fuzzers need clang: use the preset fuzz")
endif()
file(GLOB fuzzers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/host/test/fuzz/fuzz_*.c")
foreach(source IN LISTS fuzzers)
    get_filename_component(name "${source}" NAME_WE)
    tl_add_program(${name} "${source}")
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    if(TARGET tl_vm)
        target_include_directories(${name} SYSTEM PRIVATE
            $<TARGET_PROPERTY:tl_vm,INTERFACE_INCLUDE_DIRECTORIES>)
    endif()
    set_target_properties(${name} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/fuzz")
endforeach()
