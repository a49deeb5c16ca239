/* Well-known types to JSON. See json_int.h. Thread: any. */
#include <google/protobuf/any.pb-c.h>
#include <google/protobuf/field_mask.pb-c.h>
#include <google/protobuf/struct.pb-c.h>

#include "proto/json_int.h"

static tl_rc put_timestamp(struct tl_json_out *o, const Google__Protobuf__Timestamp *t)
{
    char text[64];
    tl_rc rc = tl_json_timestamp_text(t->seconds, t->nanos, text, o->err);
    if (rc == TL_OK) {
        tl_jw_string(o->w, tl_str(text));
    }
    return rc;
}

static tl_rc put_duration(struct tl_json_out *o, const Google__Protobuf__Duration *d)
{
    char text[64];
    tl_rc rc = tl_json_duration_text(d->seconds, d->nanos, text, o->err);
    if (rc == TL_OK) {
        tl_jw_string(o->w, tl_str(text));
    }
    return rc;
}

static tl_rc put_field_mask(struct tl_json_out *o, const Google__Protobuf__FieldMask *mask)
{
    struct tl_buf joined;
    tl_buf_init(&joined, TL_PB_COST_FLOOR);
    for (size_t i = 0; i < mask->n_paths; i++) {
        char camel[512];
        size_t n = tl_json_field_name(mask->paths[i], camel, sizeof camel);
        if (i > 0) {
            tl_buf_putc(&joined, ',');
        }
        tl_buf_put(&joined, camel, n);
    }
    tl_rc rc = tl_buf_failed(&joined)
                   ? tl_error_set(o->err, TL_ELIMIT, "field mask is too long for JSON")
                   : TL_OK;
    if (rc == TL_OK) {
        tl_jw_string(o->w, joined.n > 0 ? tl_buf_str(&joined) : TL_STR_LIT(""));
    }
    tl_buf_deinit(&joined);
    return rc;
}

/* A type that is not known here, or bytes that are not of their type, are shown as bytes: a history
 * must stay printable. "@bytes" cannot be mistaken for a field. */
static tl_rc put_opaque_any(struct tl_json_out *o, const Google__Protobuf__Any *any)
{
    tl_jw_object(o->w);
    if (*any->type_url || any->value.len > 0) {
        tl_jw_name(o->w, TL_STR_LIT("@type"));
        tl_jw_string(o->w, tl_str(any->type_url));
        tl_jw_name(o->w, TL_STR_LIT("@bytes"));
        tl_jw_base64(o->w, tl_pb_str(any->value));
    }
    tl_jw_object_end(o->w);
    return TL_OK;
}

static tl_rc put_known_any(struct tl_json_out *o, const Google__Protobuf__Any *any,
                           const ProtobufCMessage *msg)
{
    enum tl_json_special special = tl_json_special_of(msg->descriptor, false);
    tl_rc rc;
    tl_jw_object(o->w);
    tl_jw_name(o->w, TL_STR_LIT("@type"));
    tl_jw_string(o->w, tl_str(any->type_url));
    if (special == TL_JSON_PLAIN) {
        rc = tl_json_put_fields(o, msg);
    } else {
        tl_jw_name(o->w, TL_STR_LIT("value"));
        rc = o->w->rc ? TL_OK : tl_json_put_special(o, special, msg);
    }
    if (rc == TL_OK) {
        tl_jw_object_end(o->w);
    }
    return rc;
}

static tl_rc put_any(struct tl_json_out *o, const Google__Protobuf__Any *any)
{
    const char *slash = strrchr(any->type_url, '/');
    const ProtobufCMessageDescriptor *desc = slash ? tl_pb_find_message(tl_str(slash + 1)) : NULL;
    struct tl_arena arena;
    ProtobufCMessage *msg;
    tl_rc rc;
    tl_arena_init(&arena, TL_PB_COST_FLOOR + TL_PB_COST_FACTOR * any->value.len);
    if (desc && tl_pb_decode(desc, tl_pb_str(any->value), &arena, &msg, NULL) == TL_OK) {
        rc = put_known_any(o, any, msg);
    } else {
        rc = put_opaque_any(o, any);
    }
    tl_arena_deinit(&arena);
    return rc;
}

/* Only the value of a wrapper; it is written even when it is the default. */
static tl_rc put_wrapper(struct tl_json_out *o, const void *msg)
{
    const ProtobufCFieldDescriptor *f = &((const ProtobufCMessage *)msg)->descriptor->fields[0];
    return tl_json_put_value(o, f, tl_pb_field_at(msg, f));
}

static tl_rc put_list(struct tl_json_out *o, const Google__Protobuf__ListValue *list)
{
    tl_rc rc = TL_OK;
    tl_jw_array(o->w);
    for (size_t i = 0; rc == TL_OK && i < list->n_values; i++) {
        rc = tl_json_put_message(o, list->values[i]);
    }
    if (rc == TL_OK) {
        tl_jw_array_end(o->w);
    }
    return rc;
}

static tl_rc put_struct(struct tl_json_out *o, const Google__Protobuf__Struct *s)
{
    return tl_json_put_map(o, s, &google__protobuf__struct__descriptor.fields[0]);
}

static tl_rc put_any_value(struct tl_json_out *o, const Google__Protobuf__Value *v)
{
    switch (v->kind_case) {
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        tl_jw_double(o->w, v->number_value);
        return TL_OK;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        tl_jw_string(o->w, tl_str(v->string_value));
        return TL_OK;
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        tl_jw_bool(o->w, v->bool_value != 0);
        return TL_OK;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
        return put_struct(o, v->struct_value);
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
        return put_list(o, v->list_value);
    default:
        tl_jw_null(o->w);
        return TL_OK;
    }
}

tl_rc tl_json_put_special(struct tl_json_out *o, enum tl_json_special special, const void *msg)
{
    switch (special) {
    case TL_JSON_TIMESTAMP:
        return put_timestamp(o, msg);
    case TL_JSON_DURATION:
        return put_duration(o, msg);
    case TL_JSON_FIELD_MASK:
        return put_field_mask(o, msg);
    case TL_JSON_ANY:
        return put_any(o, msg);
    case TL_JSON_STRUCT:
        return put_struct(o, msg);
    case TL_JSON_VALUE:
        return put_any_value(o, msg);
    case TL_JSON_LIST:
        return put_list(o, msg);
    case TL_JSON_WRAPPER:
        return put_wrapper(o, msg);
    case TL_JSON_PAYLOAD:
        return tl_json_put_payload(o, msg);
    case TL_JSON_PAYLOADS:
        return tl_json_put_payloads(o, msg);
    case TL_JSON_PLAIN:
        break;
    }
    return tl_error_set(o->err, TL_EINTERNAL, "type without special JSON form");
}
