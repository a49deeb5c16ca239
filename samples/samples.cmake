# Native modules of the samples, built beside the binary.
add_library(shipping MODULE samples/order/native/shipping.c)
target_include_directories(shipping PRIVATE host/include)
target_compile_options(shipping PRIVATE ${TL_WARNINGS})
set_target_properties(shipping PROPERTIES C_VISIBILITY_PRESET hidden
    LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/samples")
