/* JSON to messages: fields, lists, maps. See json.h. Everything read lives in the arena.
 * Thread: any; the C stack grows with nesting, at most TL_JSON_DEPTH_MAX levels. */
#include <stdarg.h>
#include <stdio.h>

#include "proto/json_int.h"

tl_rc tl_json_fail(struct tl_json_in *in, const struct tl_jtok *t, const char *fmt, ...)
{
    char what[256];
    size_t line;
    size_t column;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    tl_json_position(in->r.source, t->offset, &line, &column);
    return tl_error_set(in->err, TL_EDECODE, "JSON, line %zu, column %zu: %s", line, column, what);
}

tl_rc tl_json_full(struct tl_json_in *in)
{
    return tl_error_set(in->err, TL_ELIMIT, "no memory left for the JSON document");
}

/* A growing array in the arena. */
struct items {
    char *p;
    size_t n, cap, step;
};

/* Room for one more, zeroed; NULL when the arena is full. */
static void *add_item(struct tl_json_in *in, struct items *a)
{
    if (a->n == a->cap) {
        size_t cap = a->cap ? a->cap * 2 : 4;
        char *p = tl_arena_alloc(in->arena, cap * a->step);
        if (!p) {
            return NULL;
        }
        if (a->n > 0) {
            memcpy(p, a->p, a->n * a->step);
        }
        a->p = p;
        a->cap = cap;
    }
    return a->p + a->step * a->n++;
}

static void store_items(ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f,
                        const struct items *a)
{
    memcpy((char *)msg + f->quantifier_offset, &a->n, sizeof a->n);
    tl_pb_store_pointer(tl_pb_field_at(msg, f), a->p);
}

/* One value of the field's type into p. */
static tl_rc get_value(struct tl_json_in *in, const ProtobufCFieldDescriptor *f,
                       const struct tl_jtok *t, void *p, bool *skipped)
{
    if (f->type != PROTOBUF_C_TYPE_MESSAGE) {
        return tl_json_get_scalar(in, f, t, p, skipped);
    }
    void *msg = NULL;
    tl_rc rc = tl_json_get_message(in, f->descriptor, t, &msg);
    tl_pb_store_pointer(p, msg);
    return rc;
}

/* Whether JSON null is a value of the field's type and not the absence of one. */
static bool null_is_value(const struct tl_json_in *in, const ProtobufCFieldDescriptor *f,
                          bool element)
{
    if (f->type != PROTOBUF_C_TYPE_MESSAGE) {
        return false;
    }
    enum tl_json_special s = tl_json_special_of(f->descriptor, in->options->payload_shorthand);
    return s == TL_JSON_VALUE || (element && s == TL_JSON_PAYLOAD);
}

static tl_rc get_list(struct tl_json_in *in, ProtobufCMessage *msg,
                      const ProtobufCFieldDescriptor *f, const struct tl_jtok *first)
{
    struct items a = {.step = tl_pb_element_size(f->type)};
    if (first->kind != TL_J_ARRAY) {
        return tl_json_fail(in, first, "field %s must be an array", f->name);
    }
    for (;;) {
        struct tl_jtok t;
        tl_rc rc = tl_jtok_next(&in->r, &t, in->err);
        if (rc) {
            return rc;
        }
        if (t.kind == TL_J_ARRAY_END) {
            store_items(msg, f, &a);
            return TL_OK;
        }
        if (t.kind == TL_J_NULL && !null_is_value(in, f, true)) {
            return tl_json_fail(in, &t, "field %s holds null", f->name);
        }
        bool skipped = false;
        void *p = add_item(in, &a);
        rc = p ? get_value(in, f, &t, p, &skipped) : tl_json_full(in);
        if (rc) {
            return rc;
        }
        a.n -= skipped;
    }
}

/* A map key arrives as a string whatever its type. */
static tl_rc get_map_key(struct tl_json_in *in, const ProtobufCFieldDescriptor *f,
                         const struct tl_jtok *name, void *p)
{
    struct tl_jtok t = *name;
    bool skipped = false;
    t.kind = TL_J_STRING;
    if (f->type == PROTOBUF_C_TYPE_BOOL) {
        bool yes = tl_str_eqc(t.text, "true");
        if (!yes && !tl_str_eqc(t.text, "false")) {
            return tl_json_fail(in, &t, "map key must be true or false");
        }
        t.kind = TL_J_BOOL;
        t.b = yes;
    }
    return tl_json_get_scalar(in, f, &t, p, &skipped);
}

static tl_rc get_map_entry(struct tl_json_in *in, const ProtobufCMessageDescriptor *desc,
                           const struct tl_jtok *name, void **out, bool *skipped)
{
    const ProtobufCFieldDescriptor *value = &desc->fields[1];
    void *entry = tl_pb_new(in->arena, desc);
    struct tl_jtok t;
    if (!entry) {
        return tl_json_full(in);
    }
    *out = entry;
    tl_rc rc = get_map_key(in, &desc->fields[0], name, tl_pb_field_at(entry, &desc->fields[0]));
    if (rc == TL_OK) {
        rc = tl_jtok_next(&in->r, &t, in->err);
    }
    if (rc) {
        return rc;
    }
    if (t.kind == TL_J_NULL && !null_is_value(in, value, true)) {
        return tl_json_fail(in, &t, "map value is null");
    }
    return get_value(in, value, &t, tl_pb_field_at(entry, value), skipped);
}

static tl_rc get_map(struct tl_json_in *in, ProtobufCMessage *msg,
                     const ProtobufCFieldDescriptor *f, const struct tl_jtok *first)
{
    struct items a = {.step = sizeof(void *)};
    if (first->kind != TL_J_OBJECT) {
        return tl_json_fail(in, first, "field %s must be an object", f->name);
    }
    for (;;) {
        struct tl_jtok t;
        tl_rc rc = tl_jtok_next(&in->r, &t, in->err);
        if (rc) {
            return rc;
        }
        if (t.kind == TL_J_OBJECT_END) {
            store_items(msg, f, &a);
            return TL_OK;
        }
        bool skipped = false;
        void *entry = NULL;
        rc = get_map_entry(in, f->descriptor, &t, &entry, &skipped);
        if (rc) {
            return rc;
        }
        void *p = skipped ? NULL : add_item(in, &a);
        if (p) {
            tl_pb_store_pointer(p, entry);
        } else if (!skipped) {
            return tl_json_full(in);
        }
    }
}

static tl_rc get_field(struct tl_json_in *in, ProtobufCMessage *msg,
                       const ProtobufCFieldDescriptor *f, const struct tl_jtok *t)
{
    if (t->kind == TL_J_NULL && !null_is_value(in, f, false)) {
        return TL_OK;
    }
    if (tl_pb_is_repeated(f)) {
        return tl_pb_is_map(msg->descriptor, f) ? get_map(in, msg, f, t) : get_list(in, msg, f, t);
    }
    /* Through a local: the members of a oneof share memory, and an ignored value changes
     * nothing. */
    uint64_t value[2] = {0, 0};
    bool skipped = false;
    tl_rc rc = get_value(in, f, t, value, &skipped);
    if (rc || skipped) {
        return rc;
    }
    memcpy(tl_pb_field_at(msg, f), value, tl_pb_element_size(f->type));
    if (tl_pb_is_oneof(f)) {
        memcpy((char *)msg + f->quantifier_offset, &f->id, sizeof f->id);
    }
    return TL_OK;
}

tl_rc tl_json_get_fields(struct tl_json_in *in, ProtobufCMessage *msg, const char *skip)
{
    for (;;) {
        struct tl_jtok name;
        struct tl_jtok t;
        tl_rc rc = tl_jtok_next(&in->r, &name, in->err);
        if (rc) {
            return rc;
        }
        if (name.kind == TL_J_OBJECT_END) {
            return TL_OK;
        }
        bool passed = skip && tl_str_eqc(name.text, skip);
        const ProtobufCFieldDescriptor *f =
            passed ? NULL : tl_json_find_field(msg->descriptor, name.text);
        if (!f && !passed && !in->options->ignore_unknown) {
            return tl_json_fail(in, &name, "%s has no field \"%.*s\"", msg->descriptor->short_name,
                                (int)(name.text.n < 64 ? name.text.n : 64), name.text.p);
        }
        rc = tl_jtok_next(&in->r, &t, in->err);
        if (rc == TL_OK) {
            rc = f ? get_field(in, msg, f, &t) : tl_jtok_skip(&in->r, &t, in->err);
        }
        if (rc) {
            return rc;
        }
    }
}

tl_rc tl_json_get_message(struct tl_json_in *in, const ProtobufCMessageDescriptor *desc,
                          const struct tl_jtok *t, void **out)
{
    enum tl_json_special special = tl_json_special_of(desc, in->options->payload_shorthand);
    /* An object is also accepted for the types whose JSON is a string: older files have them. */
    bool as_object =
        t->kind == TL_J_OBJECT && (special == TL_JSON_TIMESTAMP || special == TL_JSON_DURATION ||
                                   special == TL_JSON_FIELD_MASK);
    if (special != TL_JSON_PLAIN && !as_object) {
        return tl_json_get_special(in, special, desc, t, out);
    }
    if (t->kind != TL_J_OBJECT) {
        return tl_json_fail(in, t, "%s must be an object", desc->short_name);
    }
    ProtobufCMessage *msg = tl_pb_new(in->arena, desc);
    if (!msg) {
        return tl_json_full(in);
    }
    *out = msg;
    return tl_json_get_fields(in, msg, NULL);
}

tl_rc tl_json_read(const ProtobufCMessageDescriptor *desc, struct tl_str text,
                   const struct tl_json_read_options *options, struct tl_arena *arena, void *out,
                   struct tl_error *err)
{
    static const struct tl_json_read_options DEFAULTS = {0};
    struct tl_json_in in = {.options = options ? options : &DEFAULTS, .arena = arena, .err = err};
    struct tl_jtok t;
    void *msg = NULL;
    tl_jreader_init(&in.r, text, 0, TL_JSON_DEPTH_MAX);
    tl_rc rc = tl_jtok_next(&in.r, &t, err);
    if (rc == TL_OK) {
        rc = tl_json_get_message(&in, desc, &t, &msg);
    }
    if (rc == TL_OK) {
        rc = tl_jtok_next(&in.r, &t, err);
    }
    tl_jreader_deinit(&in.r);
    if (rc == TL_OK) {
        memcpy(out, &msg, sizeof msg);
    }
    return rc;
}
