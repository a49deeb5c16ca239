/* The protocol's own description, for server reflection: generated from proto/ at build time by
 * tools/gen/descriptors.lua. Constants. Thread: any. */
#pragma once

#include <stddef.h>

#include "base/str.h"

struct tl_descriptor_file {
    const char *name;    /* "temporal/api/common/v1/message.proto" */
    struct tl_str bytes; /* google.protobuf.FileDescriptorProto */
    const int *deps;     /* indexes of the files it imports, -1 behind the last */
};

struct tl_descriptor_symbol {
    const char *name; /* "temporal.api.common.v1.Payload.data" */
    int file;
};

/* Generated. Every file comes after those it imports; symbols are in bytewise order. */
extern const struct tl_descriptor_file tl_descriptor_files[];
extern const size_t tl_descriptor_file_count;
extern const struct tl_descriptor_symbol tl_descriptor_symbols[];
extern const size_t tl_descriptor_symbol_count;
