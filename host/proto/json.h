/* Protobuf messages as JSON (the proto3 mapping) by their descriptors: well-known types, maps,
 * enums with and without the prefix of their type, lowerCamel and original field names, and
 * Temporal's shorthand for payloads.
 * Thread: any. */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "proto/jsonv.h"

enum tl_json_enums {
    TL_JSON_ENUM_FULL,   /* "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED" */
    TL_JSON_ENUM_SHORT,  /* "WorkflowExecutionStarted" */
    TL_JSON_ENUM_NUMBER, /* 1 */
};

struct tl_json_write_options {
    bool pretty;
    bool proto_names;       /* original field names instead of lowerCamel */
    bool defaults;          /* also fields without presence that have their default value */
    bool payload_shorthand; /* json/plain payloads as plain JSON where that loses nothing */
    enum tl_json_enums enums;
};

struct tl_json_read_options {
    bool ignore_unknown;    /* unknown fields and enum names are skipped */
    bool payload_shorthand; /* what is not written as a payload is read as the value of one */
};

/* Appends msg (a pointer to any generated struct) as JSON. options may be NULL: compact, full enum
 * names. Errors: TL_EINVAL (a time out of range, text that is not UTF-8), TL_ELIMIT. */
tl_rc tl_json_write(const void *msg, const struct tl_json_write_options *options,
                    struct tl_buf *out, struct tl_error *err) TL_MUST_USE;
/* The same as a value inside a document that is being written. */
tl_rc tl_json_write_value(const void *msg, const struct tl_json_write_options *options,
                          struct tl_jw *w, struct tl_error *err) TL_MUST_USE;

/* Reads text into a new message in the arena; *out is the address of a pointer to the struct. Both
 * spellings of fields and enums are accepted; of a field that occurs twice the last one wins.
 * Errors: TL_EDECODE with line and column and the path of the field, TL_ELIMIT (nesting, arena). */
tl_rc tl_json_read(const ProtobufCMessageDescriptor *desc, struct tl_str text,
                   const struct tl_json_read_options *options, struct tl_arena *arena, void *out,
                   struct tl_error *err) TL_MUST_USE;

/* lowerCamel name of a field ("workflowId"); returns its length, cut at cap - 1. */
size_t tl_json_field_name(const char *proto_name, char *out, size_t cap);
/* Value of an enum by any spelling: full name, without prefix, CamelCase. False when unknown. */
bool tl_json_enum_value(const ProtobufCEnumDescriptor *desc, struct tl_str name, int *value);
/* CamelCase name without prefix; returns its length, 0 when the enum has no such value. */
size_t tl_json_enum_short(const ProtobufCEnumDescriptor *desc, int value, char *out, size_t cap);
/* The same with its words apart and small: "timed_out". */
size_t tl_json_enum_word(const ProtobufCEnumDescriptor *desc, int value, char *out, size_t cap);
