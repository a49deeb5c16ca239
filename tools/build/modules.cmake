# tl_add_module(NAME ...): one OBJECT library tl_NAME per folder host/NAME that exists and has sources.
#   LIBRARIES  targets whose headers (usage requirements) the module may see
#   EXCLUDE    regular expressions of paths below host/NAME that are built elsewhere
# The names of the libraries made are appended to TL_MODULES in the caller's scope.
function(tl_add_module name)
    cmake_parse_arguments(arg "" "" "LIBRARIES;EXCLUDE" ${ARGN})
    set(folder "${PROJECT_SOURCE_DIR}/host/${name}")
    if(NOT IS_DIRECTORY "${folder}" OR (TL_ONLY AND NOT name IN_LIST TL_ONLY))
        return()
    endif()
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${folder}/*.c")
    foreach(pattern IN LISTS arg_EXCLUDE)
        list(FILTER sources EXCLUDE REGEX "^${folder}/${pattern}")
    endforeach()
    if(NOT sources)
        return()
    endif()
    add_library(tl_${name} OBJECT ${sources})
    target_compile_options(tl_${name} PRIVATE ${TL_WARNINGS})
    foreach(library IN LISTS arg_LIBRARIES)
        if(TARGET ${library})
            target_link_libraries(tl_${name} PRIVATE ${library})
        endif()
    endforeach()
    set(TL_MODULES ${TL_MODULES} tl_${name} PARENT_SCOPE)
endfunction()

# tl_add_program(TARGET SOURCE...): an executable linked against all modules and, through the shared
# library, against the stock Lua.
function(tl_add_program target)
    add_executable(${target} ${ARGN})
    target_compile_options(${target} PRIVATE ${TL_WARNINGS})
    target_link_libraries(${target} PRIVATE tl_all tl_stock_lua)
endfunction()
