# Generates C from proto/*.proto into the build tree and compiles it as the static library tl_pb.
# Users get the generated folder as a system include directory and libprotobuf-c.
# Everything that includes a generated header must be compiled as -std=c11: a field is called
# `linux`, which gnu11 defines as a macro.

find_program(TL_PROTOC protoc REQUIRED)
find_program(TL_PROTOC_GEN_C protoc-gen-c REQUIRED)
find_program(TL_LUA lua5.4 REQUIRED)
find_path(TL_PROTOBUF_C_INCLUDE protobuf-c/protobuf-c.proto REQUIRED)

set(TL_PROTO_DIR ${CMAKE_CURRENT_LIST_DIR})
set(TL_PB_DIR ${CMAKE_BINARY_DIR}/generated/proto)
file(GLOB_RECURSE TL_PROTO_FILES RELATIVE ${TL_PROTO_DIR} CONFIGURE_DEPENDS ${TL_PROTO_DIR}/*.proto)
list(SORT TL_PROTO_FILES)
set(TL_PROTO_WELL_KNOWN any duration empty field_mask struct timestamp wrappers)

set(TL_PB_ALL ${TL_PROTO_FILES})
set(TL_PB_DEPENDS ${TL_PROTO_DIR}/gen/gen.lua)
foreach(file IN LISTS TL_PROTO_FILES)
    list(APPEND TL_PB_DEPENDS ${TL_PROTO_DIR}/${file})
endforeach()
foreach(name IN LISTS TL_PROTO_WELL_KNOWN)
    list(APPEND TL_PB_ALL google/protobuf/${name}.proto)
endforeach()

set(TL_PB_SOURCES ${TL_PB_DIR}/tl_names.c)
set(TL_PB_HEADERS ${TL_PB_DIR}/tl_enums.h)
foreach(file IN LISTS TL_PB_ALL)
    string(REGEX REPLACE "\\.proto$" ".pb-c" base ${file})
    list(APPEND TL_PB_SOURCES ${TL_PB_DIR}/${base}.c)
    list(APPEND TL_PB_HEADERS ${TL_PB_DIR}/${base}.h)
endforeach()

add_custom_command(
    OUTPUT ${TL_PB_SOURCES} ${TL_PB_HEADERS}
    COMMAND ${TL_LUA} ${TL_PROTO_DIR}/gen/gen.lua ${TL_PB_DIR} ${TL_PROTO_DIR}
            ${TL_PROTOBUF_C_INCLUDE} ${TL_PROTOC} ${TL_PB_ALL}
    DEPENDS ${TL_PB_DEPENDS}
    COMMENT "Generating C from proto/"
    VERBATIM)

add_library(tl_pb STATIC ${TL_PB_SOURCES} ${TL_PB_HEADERS})
set_target_properties(tl_pb PROPERTIES
    C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON
    C_CLANG_TIDY "" C_CPPCHECK "")
target_compile_options(tl_pb PRIVATE -w -O2)
target_include_directories(tl_pb SYSTEM PUBLIC ${TL_PB_DIR} ${TL_PROTOBUF_C_INCLUDE})
target_link_libraries(tl_pb PUBLIC tl_protobuf_c)
