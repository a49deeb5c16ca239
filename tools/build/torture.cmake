# host/test/sim: one program for simulation, power losses, kills and mutants.
file(GLOB sim_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/host/test/sim/*.c")
if(sim_sources)
    tl_add_program(torture ${sim_sources})
    target_include_directories(torture PRIVATE "${PROJECT_SOURCE_DIR}/host/test")
    target_include_directories(torture SYSTEM PRIVATE
        $<TARGET_PROPERTY:tl_pb,INTERFACE_INCLUDE_DIRECTORIES>
        $<TARGET_PROPERTY:tl_vm,INTERFACE_INCLUDE_DIRECTORIES>)

    # Another malloc, for the proof of determinism; an end to preloading, for specs under ThreadSanitizer.
    foreach(name other_malloc not_inherited)
        add_library(${name} MODULE "${PROJECT_SOURCE_DIR}/host/test/sim/preload/${name}.c")
        target_compile_options(${name} PRIVATE ${TL_WARNINGS})
        set_target_properties(${name} PROPERTIES
            LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/test" C_STANDARD 11)
    endforeach()
endif()
