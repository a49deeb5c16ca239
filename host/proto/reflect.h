/* What code outside this folder needs to walk the fields of any message by its descriptor, beyond
 * what libprotobuf-c's descriptors say themselves. Thread: any; nothing is owned. */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

/* Bytes of one value of this type, in a struct or in the array of a repeated field. Thread: any. */
size_t tl_pb_element_size(ProtobufCType type);

/* Whether the field `f` of `parent` is a map: a repeated field of key and value entries.
 * Thread: any. */
bool tl_pb_is_map(const ProtobufCMessageDescriptor *parent, const ProtobufCFieldDescriptor *f);
