# Native modules and programs of the samples, built beside the binary, in build/samples.
function(tl_sample_module name source)
    add_library(${name} MODULE ${source})
    target_include_directories(${name} PRIVATE host/include)
    set_target_properties(${name} PROPERTIES C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden
        LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/samples")
endfunction()

tl_sample_module(shipping samples/order/native/shipping.c)
tl_sample_module(checksum samples/native_activity/native/checksum.c)
target_compile_options(shipping PRIVATE ${TL_WARNINGS})
target_compile_options(checksum PRIVATE ${TL_WARNINGS})

# Only this one wants a C++ compiler.
include(CheckLanguage)
check_language(CXX)
if(CMAKE_CXX_COMPILER)
    enable_language(CXX)
    tl_sample_module(words samples/native_activity/native/words.cpp)
    target_compile_features(words PRIVATE cxx_std_17)
    target_compile_options(words PRIVATE -Wall -Wextra -Werror)
endif()

add_executable(embedding samples/embedding/main.c)
target_link_libraries(embedding PRIVATE temporal_lua)
target_compile_options(embedding PRIVATE ${TL_WARNINGS})
set_target_properties(embedding PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/samples")
