/* Messages to JSON. See json.h. Thread: any. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "proto/json_int.h"

static void put_real(struct tl_json_out *o, double v, bool is_float)
{
    if (isnan(v)) {
        tl_jw_string(o->w, TL_STR_LIT("NaN"));
    } else if (isinf(v)) {
        tl_jw_string(o->w, v > 0 ? TL_STR_LIT("Infinity") : TL_STR_LIT("-Infinity"));
    } else if (is_float) {
        char text[32];
        tl_jw_raw(o->w, tl_str_n(text, tl_json_float_text((float)v, text)));
    } else {
        tl_jw_double(o->w, v);
    }
}

/* 64-bit integers are strings: JavaScript would round them. */
static void put_long(struct tl_json_out *o, uint64_t bits, bool is_signed)
{
    char text[24];
    int n = is_signed ? snprintf(text, sizeof text, "\"%lld\"", (long long)bits)
                      : snprintf(text, sizeof text, "\"%llu\"", (unsigned long long)bits);
    tl_jw_raw(o->w, tl_str_n(text, (size_t)n));
}

static void put_enum(struct tl_json_out *o, const ProtobufCEnumDescriptor *desc, int value)
{
    const char *name = tl_pb_enum_name(desc, value);
    if (!name || o->options->enums == TL_JSON_ENUM_NUMBER) {
        tl_jw_int(o->w, value);
    } else if (o->options->enums == TL_JSON_ENUM_SHORT) {
        char text[192];
        tl_jw_string(o->w, tl_str_n(text, tl_json_enum_short(desc, value, text, sizeof text)));
    } else {
        tl_jw_string(o->w, tl_str(name));
    }
}

tl_rc tl_json_put_value(struct tl_json_out *o, const ProtobufCFieldDescriptor *f, const void *p)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        tl_jw_int(o->w, (int32_t)tl_pb_load_32(p));
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        tl_jw_uint(o->w, tl_pb_load_32(p));
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        put_long(o, tl_pb_load_64(p), true);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        put_long(o, tl_pb_load_64(p), false);
        break;
    case PROTOBUF_C_TYPE_FLOAT: {
        float v;
        memcpy(&v, p, sizeof v);
        put_real(o, (double)v, true);
        break;
    }
    case PROTOBUF_C_TYPE_DOUBLE: {
        double v;
        memcpy(&v, p, sizeof v);
        put_real(o, v, false);
        break;
    }
    case PROTOBUF_C_TYPE_BOOL:
        tl_jw_bool(o->w, tl_pb_load_32(p) != 0);
        break;
    case PROTOBUF_C_TYPE_ENUM:
        put_enum(o, f->descriptor, (int)tl_pb_load_32(p));
        break;
    case PROTOBUF_C_TYPE_STRING:
        tl_jw_string(o->w, tl_str(tl_pb_load_pointer(p)));
        break;
    case PROTOBUF_C_TYPE_BYTES:
        tl_jw_base64(o->w, tl_pb_str(*(const ProtobufCBinaryData *)p));
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        return tl_json_put_message(o, tl_pb_load_pointer(p));
    }
    return TL_OK;
}

/* A map entry without value holds its type's default. */
static tl_rc put_default_message(struct tl_json_out *o, const ProtobufCMessageDescriptor *desc)
{
    void *msg = tl_mem_alloc(desc->sizeof_message);
    protobuf_c_message_init(desc, msg);
    tl_rc rc = tl_json_put_message(o, msg);
    tl_mem_free(msg);
    return rc;
}

static void put_map_key(struct tl_json_out *o, const ProtobufCFieldDescriptor *f, const void *p)
{
    char text[24];
    int n = 0;
    switch (tl_pb_wire_of(f->type) == TL_PB_LEN ? 0 : tl_pb_element_size(f->type)) {
    case 0:
        tl_jw_name(o->w, tl_str(tl_pb_load_pointer(p)));
        return;
    case 4:
        if (f->type == PROTOBUF_C_TYPE_BOOL) {
            n = snprintf(text, sizeof text, "%s", tl_pb_load_32(p) ? "true" : "false");
        } else if (f->type == PROTOBUF_C_TYPE_UINT32 || f->type == PROTOBUF_C_TYPE_FIXED32) {
            n = snprintf(text, sizeof text, "%u", tl_pb_load_32(p));
        } else {
            n = snprintf(text, sizeof text, "%d", (int32_t)tl_pb_load_32(p));
        }
        break;
    default:
        if (f->type == PROTOBUF_C_TYPE_UINT64 || f->type == PROTOBUF_C_TYPE_FIXED64) {
            n = snprintf(text, sizeof text, "%llu", (unsigned long long)tl_pb_load_64(p));
        } else {
            n = snprintf(text, sizeof text, "%lld", (long long)tl_pb_load_64(p));
        }
        break;
    }
    tl_jw_name(o->w, tl_str_n(text, (size_t)n));
}

/* An entry of a map and its place: of equal keys only the last is written. */
struct entry {
    const void *msg;
    size_t index;
};

static int compare_keys(const void *a_msg, const void *b_msg)
{
    const ProtobufCFieldDescriptor *f = &((const ProtobufCMessage *)a_msg)->descriptor->fields[0];
    const void *a = tl_pb_field_at(a_msg, f);
    const void *b = tl_pb_field_at(b_msg, f);
    if (f->type == PROTOBUF_C_TYPE_STRING) {
        return strcmp(tl_pb_load_pointer(a), tl_pb_load_pointer(b));
    }
    return memcmp(a, b, tl_pb_element_size(f->type));
}

static int compare_entries(const void *a_entry, const void *b_entry)
{
    const struct entry *a = a_entry;
    const struct entry *b = b_entry;
    int order = compare_keys(a->msg, b->msg);
    return order ? order : (a->index > b->index) - (a->index < b->index);
}

/* Takes the entries out (sets them NULL) that a later one with the same key replaces. */
static void drop_replaced(const void **entries, size_t n)
{
    struct entry *sorted = TL_NEW_ARRAY(struct entry, n);
    for (size_t i = 0; i < n; i++) {
        sorted[i] = (struct entry){entries[i], i};
    }
    qsort(sorted, n, sizeof *sorted, compare_entries);
    for (size_t i = 0; i + 1 < n; i++) {
        if (compare_keys(sorted[i].msg, sorted[i + 1].msg) == 0) {
            entries[sorted[i].index] = NULL;
        }
    }
    tl_mem_free(sorted);
}

static tl_rc put_map_entries(struct tl_json_out *o, const ProtobufCMessageDescriptor *desc,
                             const void *const *entries, size_t n)
{
    const ProtobufCFieldDescriptor *value = &desc->fields[1];
    for (size_t i = 0; i < n; i++) {
        if (!entries[i]) {
            continue;
        }
        put_map_key(o, &desc->fields[0], tl_pb_field_at(entries[i], &desc->fields[0]));
        const void *p = tl_pb_field_at(entries[i], value);
        bool absent = value->type == PROTOBUF_C_TYPE_MESSAGE && !tl_pb_load_pointer(p);
        tl_rc rc =
            absent ? put_default_message(o, value->descriptor) : tl_json_put_value(o, value, p);
        if (rc) {
            return rc;
        }
    }
    return TL_OK;
}

tl_rc tl_json_put_map(struct tl_json_out *o, const void *msg, const ProtobufCFieldDescriptor *f)
{
    size_t n = tl_pb_count(msg, f);
    const void *const *entries = tl_pb_load_pointer(tl_pb_field_at(msg, f));
    const void **unique = NULL;
    if (n > 1) {
        unique = TL_NEW_ARRAY(const void *, n);
        memcpy(unique, entries, n * sizeof *unique);
        drop_replaced(unique, n);
        entries = unique;
    }
    tl_jw_object(o->w);
    tl_rc rc = put_map_entries(o, f->descriptor, entries, n);
    if (rc == TL_OK) {
        tl_jw_object_end(o->w);
    }
    tl_mem_free(unique);
    return rc;
}

static tl_rc put_list(struct tl_json_out *o, const void *msg, const ProtobufCFieldDescriptor *f)
{
    size_t n = tl_pb_count(msg, f);
    const char *items = tl_pb_load_pointer(tl_pb_field_at(msg, f));
    size_t step = tl_pb_element_size(f->type);
    tl_jw_array(o->w);
    for (size_t i = 0; i < n; i++) {
        tl_rc rc = tl_json_put_value(o, f, items + i * step);
        if (rc) {
            return rc;
        }
    }
    tl_jw_array_end(o->w);
    return TL_OK;
}

static bool is_written(const struct tl_json_out *o, const void *msg,
                       const ProtobufCFieldDescriptor *f)
{
    if (tl_pb_is_repeated(f)) {
        return tl_pb_count(msg, f) > 0 || o->options->defaults;
    }
    if (f->type == PROTOBUF_C_TYPE_MESSAGE && !tl_pb_load_pointer(tl_pb_field_at(msg, f))) {
        return false;
    }
    bool has_default = !tl_pb_is_oneof(f) && f->type != PROTOBUF_C_TYPE_MESSAGE;
    return tl_pb_is_set(msg, f) || (has_default && o->options->defaults);
}

tl_rc tl_json_put_fields(struct tl_json_out *o, const void *message)
{
    const ProtobufCMessageDescriptor *desc = ((const ProtobufCMessage *)message)->descriptor;
    tl_rc rc = TL_OK;
    for (unsigned i = 0; rc == TL_OK && o->w->rc == TL_OK && i < desc->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &desc->fields[i];
        if (!is_written(o, message, f)) {
            continue;
        }
        char name[192];
        if (o->options->proto_names) {
            tl_jw_name(o->w, tl_str(f->name));
        } else {
            tl_jw_name(o->w, tl_str_n(name, tl_json_field_name(f->name, name, sizeof name)));
        }
        if (!tl_pb_is_repeated(f)) {
            rc = tl_json_put_value(o, f, tl_pb_field_at(message, f));
        } else if (tl_pb_is_map(desc, f)) {
            rc = tl_json_put_map(o, message, f);
        } else {
            rc = put_list(o, message, f);
        }
    }
    return rc;
}

tl_rc tl_json_put_message(struct tl_json_out *o, const void *message)
{
    const ProtobufCMessageDescriptor *desc = ((const ProtobufCMessage *)message)->descriptor;
    enum tl_json_special special = tl_json_special_of(desc, o->options->payload_shorthand);
    if (o->w->rc) {
        return TL_OK; /* the writer tells when it is finished */
    }
    if (special != TL_JSON_PLAIN) {
        return tl_json_put_special(o, special, message);
    }
    tl_jw_object(o->w);
    tl_rc rc = tl_json_put_fields(o, message);
    if (rc == TL_OK) {
        tl_jw_object_end(o->w);
    }
    return rc;
}

static const struct tl_json_write_options DEFAULTS = {.enums = TL_JSON_ENUM_FULL};

tl_rc tl_json_write_value(const void *msg, const struct tl_json_write_options *options,
                          struct tl_jw *w, struct tl_error *err)
{
    struct tl_json_out o = {w, options ? options : &DEFAULTS, err};
    return tl_json_put_message(&o, msg);
}

tl_rc tl_json_write(const void *msg, const struct tl_json_write_options *options,
                    struct tl_buf *out, struct tl_error *err)
{
    struct tl_jw w;
    tl_jw_init(&w, out, options && options->pretty ? TL_JW_PRETTY : 0, TL_JSON_DEPTH_MAX);
    tl_rc rc = tl_json_write_value(msg, options, &w, err);
    return rc ? rc : tl_jw_finish(&w, err);
}
