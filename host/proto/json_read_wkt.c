/* Well-known types from JSON. See json_int.h. Thread: any. */
#include <google/protobuf/any.pb-c.h>
#include <google/protobuf/field_mask.pb-c.h>
#include <google/protobuf/struct.pb-c.h>

#include "proto/base64.h"
#include "proto/json_int.h"

/* google.protobuf.NullValue: */
#define NULL_VALUE ((Google__Protobuf__NullValue)0)

static tl_rc get_timestamp(struct tl_json_in *in, const struct tl_jtok *t, void **out)
{
    Google__Protobuf__Timestamp *v =
        TL_PB_NEW(in->arena, Google__Protobuf__Timestamp, google__protobuf__timestamp);
    *out = v;
    if (!v) {
        return tl_json_full(in);
    }
    if (t->kind != TL_J_STRING || !tl_json_timestamp_value(t->text, &v->seconds, &v->nanos)) {
        return tl_json_fail(in, t, "a time like \"2026-01-31T12:00:00Z\" is expected");
    }
    return TL_OK;
}

static tl_rc get_duration(struct tl_json_in *in, const struct tl_jtok *t, void **out)
{
    Google__Protobuf__Duration *v =
        TL_PB_NEW(in->arena, Google__Protobuf__Duration, google__protobuf__duration);
    *out = v;
    if (!v) {
        return tl_json_full(in);
    }
    if (t->kind != TL_J_STRING || !tl_json_duration_value(t->text, &v->seconds, &v->nanos)) {
        return tl_json_fail(in, t, "a duration like \"1.5s\" is expected");
    }
    return TL_OK;
}

/* A path of the mask, lowerCamel to original names. */
static char *snake_path(struct tl_json_in *in, struct tl_str path)
{
    char *out = tl_arena_alloc(in->arena, path.n * 2 + 1);
    size_t n = 0;
    for (size_t i = 0; out && i < path.n; i++) {
        char c = path.p[i];
        if (c >= 'A' && c <= 'Z') {
            out[n++] = '_';
            c = (char)(c - 'A' + 'a');
        }
        out[n++] = c;
    }
    return out;
}

static tl_rc get_field_mask(struct tl_json_in *in, const struct tl_jtok *t, void **out)
{
    Google__Protobuf__FieldMask *mask =
        TL_PB_NEW(in->arena, Google__Protobuf__FieldMask, google__protobuf__field_mask);
    struct tl_pb_list paths = {0};
    *out = mask;
    if (!mask) {
        return tl_json_full(in);
    }
    if (t->kind != TL_J_STRING || (t->text.n > 0 && memchr(t->text.p, 0, t->text.n))) {
        return tl_json_fail(in, t, "field paths joined by ',' are expected");
    }
    struct tl_str rest = t->text;
    while (rest.n > 0) {
        const char *comma = memchr(rest.p, ',', rest.n);
        size_t n = comma ? (size_t)(comma - rest.p) : rest.n;
        char *path = snake_path(in, tl_str_n(rest.p, n));
        if (!path || !tl_pb_push(in->arena, &paths, path)) {
            return tl_json_full(in);
        }
        n += comma != NULL;
        rest = tl_str_n(rest.p + n, rest.n - n);
    }
    mask->n_paths = paths.n;
    mask->paths = paths.items;
    return TL_OK;
}

static tl_rc get_wrapper(struct tl_json_in *in, const ProtobufCMessageDescriptor *desc,
                         const struct tl_jtok *t, void **out)
{
    void *msg = tl_pb_new(in->arena, desc);
    bool skipped = false;
    *out = msg;
    return msg ? tl_json_get_scalar(in, &desc->fields[0], t, tl_pb_field_at(msg, &desc->fields[0]),
                                    &skipped)
               : tl_json_full(in);
}

static tl_rc get_any_value(struct tl_json_in *in, const struct tl_jtok *t, void **out);

static tl_rc get_list(struct tl_json_in *in, const struct tl_jtok *first, void **out)
{
    Google__Protobuf__ListValue *list =
        TL_PB_NEW(in->arena, Google__Protobuf__ListValue, google__protobuf__list_value);
    struct tl_pb_list values = {0};
    *out = list;
    if (!list) {
        return tl_json_full(in);
    }
    if (first->kind != TL_J_ARRAY) {
        return tl_json_fail(in, first, "an array is expected");
    }
    for (;;) {
        struct tl_jtok t;
        void *value = NULL;
        tl_rc rc = tl_jtok_next(&in->r, &t, in->err);
        if (rc == TL_OK && t.kind == TL_J_ARRAY_END) {
            list->n_values = values.n;
            list->values = values.items;
            return TL_OK;
        }
        if (rc == TL_OK) {
            rc = get_any_value(in, &t, &value);
        }
        if (rc) {
            return rc;
        }
        if (!tl_pb_push(in->arena, &values, value)) {
            return tl_json_full(in);
        }
    }
}

static tl_rc get_struct_member(struct tl_json_in *in, const struct tl_jtok *name,
                               struct tl_pb_list *fields)
{
    Google__Protobuf__Struct__FieldsEntry *entry = TL_PB_NEW(
        in->arena, Google__Protobuf__Struct__FieldsEntry, google__protobuf__struct__fields_entry);
    struct tl_jtok t;
    void *value = NULL;
    if (name->text.n > 0 && memchr(name->text.p, 0, name->text.n)) {
        return tl_json_fail(in, name, "a member name holds a NUL character");
    }
    if (entry) {
        entry->key = tl_pb_cstr(in->arena, name->text);
    }
    if (!entry || !entry->key || !tl_pb_push(in->arena, fields, entry)) {
        return tl_json_full(in);
    }
    tl_rc rc = tl_jtok_next(&in->r, &t, in->err);
    if (rc == TL_OK) {
        rc = get_any_value(in, &t, &value);
    }
    entry->value = value;
    return rc;
}

static tl_rc get_struct(struct tl_json_in *in, const struct tl_jtok *first, void **out)
{
    Google__Protobuf__Struct *s =
        TL_PB_NEW(in->arena, Google__Protobuf__Struct, google__protobuf__struct);
    struct tl_pb_list fields = {0};
    *out = s;
    if (!s) {
        return tl_json_full(in);
    }
    if (first->kind != TL_J_OBJECT) {
        return tl_json_fail(in, first, "an object is expected");
    }
    for (;;) {
        struct tl_jtok t;
        tl_rc rc = tl_jtok_next(&in->r, &t, in->err);
        if (rc == TL_OK && t.kind == TL_J_OBJECT_END) {
            s->n_fields = fields.n;
            s->fields = fields.items;
            return TL_OK;
        }
        if (rc == TL_OK) {
            rc = get_struct_member(in, &t, &fields);
        }
        if (rc) {
            return rc;
        }
    }
}

static tl_rc get_value_string(struct tl_json_in *in, const struct tl_jtok *t,
                              Google__Protobuf__Value *v)
{
    if (t->text.n > 0 && memchr(t->text.p, 0, t->text.n)) {
        return tl_json_fail(in, t, "a string holds a NUL character");
    }
    v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    v->string_value = tl_pb_cstr(in->arena, t->text);
    return v->string_value ? TL_OK : tl_json_full(in);
}

static tl_rc get_any_value(struct tl_json_in *in, const struct tl_jtok *t, void **out)
{
    Google__Protobuf__Value *v =
        TL_PB_NEW(in->arena, Google__Protobuf__Value, google__protobuf__value);
    void *inner = NULL;
    tl_rc rc = TL_OK;
    *out = v;
    if (!v) {
        return tl_json_full(in);
    }
    switch (t->kind) {
    case TL_J_BOOL:
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
        v->bool_value = t->b;
        return TL_OK;
    case TL_J_INT:
    case TL_J_DOUBLE:
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
        v->number_value = t->d;
        return TL_OK;
    case TL_J_STRING:
        return get_value_string(in, t, v);
    case TL_J_OBJECT:
        rc = get_struct(in, t, &inner);
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
        v->struct_value = inner;
        return rc;
    case TL_J_ARRAY:
        rc = get_list(in, t, &inner);
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
        v->list_value = inner;
        return rc;
    default:
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE;
        v->null_value = NULL_VALUE;
        return TL_OK;
    }
}

static tl_rc get_any_bytes(struct tl_json_in *in, const struct tl_jtok *t,
                           Google__Protobuf__Any *any)
{
    char *bytes = tl_arena_alloc(in->arena, tl_base64_decoded_max(t->text.n));
    size_t n = 0;
    if (!bytes) {
        return tl_json_full(in);
    }
    if (t->kind != TL_J_STRING || !tl_base64_decode(t->text, bytes, &n)) {
        return tl_json_fail(in, t, "\"@bytes\" must be a base64 string");
    }
    any->value = (ProtobufCBinaryData){n, (uint8_t *)bytes};
    return TL_OK;
}

static tl_rc get_any_type(struct tl_json_in *in, const struct tl_jtok *t,
                          Google__Protobuf__Any *any)
{
    any->type_url = t->kind == TL_J_STRING ? tl_pb_cstr(in->arena, t->text) : NULL;
    return any->type_url ? TL_OK : tl_json_fail(in, t, "\"@type\" must be a string");
}

/* Reads the open object to its end for "@type" and "@bytes", which may stand anywhere. */
static tl_rc find_type(struct tl_json_in *in, Google__Protobuf__Any *any, bool *opaque)
{
    *opaque = false;
    for (;;) {
        struct tl_jtok t;
        tl_rc rc = tl_jtok_next(&in->r, &t, in->err);
        if (rc || t.kind == TL_J_OBJECT_END) {
            return rc;
        }
        bool is_type = tl_str_eqc(t.text, "@type");
        bool is_bytes = tl_str_eqc(t.text, "@bytes");
        rc = tl_jtok_next(&in->r, &t, in->err);
        if (rc == TL_OK && is_type) {
            rc = get_any_type(in, &t, any);
        } else if (rc == TL_OK && is_bytes) {
            *opaque = true;
            rc = get_any_bytes(in, &t, any);
        }
        if (rc == TL_OK) {
            rc = tl_jtok_skip(&in->r, &t, in->err);
        }
        if (rc) {
            return rc;
        }
    }
}

/* The rest of an object whose content is one member "value", for types with JSON of their own. */
static tl_rc get_value_member(struct tl_json_in *in, const ProtobufCMessageDescriptor *desc,
                              void **msg)
{
    for (;;) {
        struct tl_jtok name;
        struct tl_jtok t;
        tl_rc rc = tl_jtok_next(&in->r, &name, in->err);
        if (rc || name.kind == TL_J_OBJECT_END) {
            return rc;
        }
        bool is_value = tl_str_eqc(name.text, "value");
        rc = tl_jtok_next(&in->r, &t, in->err);
        if (rc == TL_OK) {
            rc = is_value ? tl_json_get_message(in, desc, &t, msg)
                          : tl_jtok_skip(&in->r, &t, in->err);
        }
        if (rc) {
            return rc;
        }
    }
}

/* The content of the open object as a message of the type that "@type" names, encoded. */
static tl_rc get_any_content(struct tl_json_in *in, const ProtobufCMessageDescriptor *desc,
                             Google__Protobuf__Any *any)
{
    void *msg = NULL;
    struct tl_str bytes = {0};
    tl_rc rc;
    if (tl_json_special_of(desc, false) != TL_JSON_PLAIN) {
        rc = get_value_member(in, desc, &msg);
    } else {
        msg = tl_pb_new(in->arena, desc);
        rc = msg ? tl_json_get_fields(in, msg, "@type") : tl_json_full(in);
    }
    if (rc == TL_OK && msg) {
        rc = tl_pb_encode_arena(msg, in->arena, &bytes, in->err);
    }
    any->value = tl_pb_bytes_view(bytes);
    return rc;
}

static tl_rc get_any(struct tl_json_in *in, const struct tl_jtok *first, void **out)
{
    Google__Protobuf__Any *any = TL_PB_NEW(in->arena, Google__Protobuf__Any, google__protobuf__any);
    bool opaque = false;
    *out = any;
    if (!any) {
        return tl_json_full(in);
    }
    if (first->kind != TL_J_OBJECT) {
        return tl_json_fail(in, first, "an object with \"@type\" is expected");
    }
    struct tl_jmark mark = tl_jreader_mark(&in->r);
    tl_rc rc = find_type(in, any, &opaque);
    if (rc || opaque || !*any->type_url) {
        return rc;
    }
    const char *slash = strrchr(any->type_url, '/');
    const ProtobufCMessageDescriptor *desc = slash ? tl_pb_find_message(tl_str(slash + 1)) : NULL;
    if (!desc) {
        return in->options->ignore_unknown
                   ? TL_OK
                   : tl_json_fail(in, first, "\"%.64s\" is not a known type", any->type_url);
    }
    tl_jreader_rewind(&in->r, mark);
    return get_any_content(in, desc, any);
}

tl_rc tl_json_get_special(struct tl_json_in *in, enum tl_json_special special,
                          const ProtobufCMessageDescriptor *desc, const struct tl_jtok *t,
                          void **out)
{
    switch (special) {
    case TL_JSON_TIMESTAMP:
        return get_timestamp(in, t, out);
    case TL_JSON_DURATION:
        return get_duration(in, t, out);
    case TL_JSON_FIELD_MASK:
        return get_field_mask(in, t, out);
    case TL_JSON_ANY:
        return get_any(in, t, out);
    case TL_JSON_STRUCT:
        return get_struct(in, t, out);
    case TL_JSON_VALUE:
        return get_any_value(in, t, out);
    case TL_JSON_LIST:
        return get_list(in, t, out);
    case TL_JSON_WRAPPER:
        return get_wrapper(in, desc, t, out);
    case TL_JSON_PAYLOAD:
        return tl_json_get_payload(in, t, out);
    case TL_JSON_PAYLOADS:
        return tl_json_get_payloads(in, t, out);
    case TL_JSON_PLAIN:
        break;
    }
    return tl_error_set(in->err, TL_EINTERNAL, "%s has no special JSON form", desc->name);
}
