/* Reflection for code that walks messages. See reflect.h. Thread: any; nothing is owned. */
#include "proto/reflect.h"

#include <string.h>

size_t tl_pb_element_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_UINT64:
        return 8;
    default:
        return 4; /* also bool: protobuf_c_boolean is an int */
    }
}

/* Whether `name` is the one protoc gives to the entries of a map field: "search_attributes" has
 * "SearchAttributesEntry". */
static bool is_entry_name(const char *name, const char *field)
{
    bool raise = true;
    for (; *field; field++) {
        if (*field == '_') {
            raise = true;
            continue;
        }
        char c = raise && *field >= 'a' && *field <= 'z' ? (char)(*field - 'a' + 'A') : *field;
        if (*name++ != c) {
            return false;
        }
        raise = false;
    }
    return strcmp(name, "Entry") == 0;
}

/* Descriptors do not say which messages are map entries; their shape and their name do. */
bool tl_pb_is_map(const ProtobufCMessageDescriptor *parent, const ProtobufCFieldDescriptor *f)
{
    if (f->type != PROTOBUF_C_TYPE_MESSAGE || f->label != PROTOBUF_C_LABEL_REPEATED) {
        return false;
    }
    const ProtobufCMessageDescriptor *entry = f->descriptor;
    if (entry->n_fields != 2 || entry->fields[0].id != 1 || entry->fields[1].id != 2 ||
        strcmp(entry->fields[0].name, "key") != 0 || strcmp(entry->fields[1].name, "value") != 0) {
        return false;
    }
    size_t outer = strlen(parent->name);
    return strncmp(entry->name, parent->name, outer) == 0 && entry->name[outer] == '.' &&
           is_entry_name(entry->name + outer + 1, f->name);
}
