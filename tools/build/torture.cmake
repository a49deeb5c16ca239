# host/test/sim: one program for simulation, power losses, kills and mutants.
file(GLOB sim_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/host/test/sim/*.c")
if(sim_sources)
    tl_add_program(torture ${sim_sources})
    target_include_directories(torture PRIVATE "${PROJECT_SOURCE_DIR}/host/test")
    target_include_directories(torture SYSTEM PRIVATE
        $<TARGET_PROPERTY:tl_pb,INTERFACE_INCLUDE_DIRECTORIES>)
endif()
