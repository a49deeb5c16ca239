# host/test/support/*.c is one library; each host/test/unit/test_*.c is one cmocka executable.
pkg_check_modules(TL_CMOCKA IMPORTED_TARGET cmocka)
if(NOT TARGET PkgConfig::TL_CMOCKA)
    message(STATUS "cmocka is not installed: the unit tests are not built")
    return()
endif()

file(GLOB_RECURSE support CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/host/test/support/*.c")
if(support)
    add_library(tl_test_support STATIC ${support})
    target_compile_options(tl_test_support PRIVATE ${TL_WARNINGS})
    target_link_libraries(tl_test_support PUBLIC tl_all tl_stock_lua PkgConfig::TL_CMOCKA)
endif()

file(GLOB tests CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/host/test/unit/test_*.c")
foreach(source IN LISTS tests)
    get_filename_component(name "${source}" NAME_WE)
    add_executable(${name} "${source}")
    target_compile_options(${name} PRIVATE ${TL_WARNINGS})
    if(TARGET tl_test_support)
        target_link_libraries(${name} PRIVATE tl_test_support)
    endif()
    target_link_libraries(${name} PRIVATE tl_all tl_stock_lua PkgConfig::TL_CMOCKA)
    if(TARGET tl_vm)
        target_include_directories(${name} SYSTEM PRIVATE
            $<TARGET_PROPERTY:tl_vm,INTERFACE_INCLUDE_DIRECTORIES>)
    endif()
    target_compile_definitions(${name} PRIVATE
        TL_SOURCE_DIR="${PROJECT_SOURCE_DIR}" TL_BUILD_DIR="${PROJECT_BINARY_DIR}")
    if(name STREQUAL "test_vm")
        # Its symbols are read with nm.
        target_compile_definitions(${name} PRIVATE TL_VM_OBJECTS="$<JOIN:$<TARGET_OBJECTS:tl_vm>, >")
    endif()
    set_target_properties(${name} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/unit" ENABLE_EXPORTS ON)
    add_test(NAME ${name} COMMAND ${name})
endforeach()

# Each host/test/bench/bench_*.c is one program in <build>/bench; it is run by hand.
file(GLOB benches CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/host/test/bench/bench_*.c")
foreach(source IN LISTS benches)
    get_filename_component(name "${source}" NAME_WE)
    tl_add_program(${name} "${source}")
    set_target_properties(${name} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bench")
endforeach()
