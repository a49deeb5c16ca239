/* See transcode.h. */
#include "http/transcode.h"

#include <google/protobuf/any.pb-c.h>
#include <google/rpc/status.pb-c.h>
#include <string.h>

#include "proto/json.h"
#include "proto/pb.h"
#include "proto/reflect.h"

#define FIELD_NAME_MAX 128
#define VALUE_BYTES_MAX ((size_t)1024 * 1024)

/* --- media types ---------------------------------------------------------------------------------- */

static bool has_part(struct tl_str text, const char *part)
{
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= text.n; i++) {
        if (memcmp(text.p + i, part, n) == 0) {
            return true;
        }
    }
    return false;
}

struct tl_http_json tl_http_json_of(struct tl_str media_type)
{
    return (struct tl_http_json){has_part(media_type, "application/json+pretty"),
                                 has_part(media_type, "+no-payload-shorthand")};
}

const char *tl_http_json_type(struct tl_http_json form)
{
    static const char *const types[] = {
        "application/json",
        "application/json+no-payload-shorthand",
        "application/json+pretty",
        "application/json+pretty+no-payload-shorthand",
    };
    return types[form.pretty * 2 + form.long_payloads];
}

/* --- single fields ---------------------------------------------------------------------------------- */

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *d,
                                                  struct tl_str name)
{
    char camel[FIELD_NAME_MAX];
    for (unsigned i = 0; i < d->n_fields; i++) {
        size_t n = tl_json_field_name(d->fields[i].name, camel, sizeof camel);
        if (tl_str_eqc(name, d->fields[i].name) || tl_str_eq(name, tl_str_n(camel, n))) {
            return &d->fields[i];
        }
    }
    return NULL;
}

static bool is_number(struct tl_str s)
{
    for (size_t i = s.n && s.p[0] == '-' ? 1 : 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return false;
        }
    }
    return s.n > 0;
}

/* Text as the JSON value that the field's type wants: numbers and times are strings as well. */
static void put_value(struct tl_jw *w, const ProtobufCFieldDescriptor *f, struct tl_str text)
{
    bool is_bool = f->type == PROTOBUF_C_TYPE_BOOL;
    if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        const ProtobufCMessageDescriptor *d = f->descriptor;
        is_bool = strcmp(d->name, "google.protobuf.BoolValue") == 0;
    }
    bool word = tl_str_eqc(text, "true") || tl_str_eqc(text, "false");
    if ((is_bool && word) || (f->type == PROTOBUF_C_TYPE_ENUM && is_number(text))) {
        tl_jw_raw(w, text);
    } else {
        tl_jw_string(w, text);
    }
}

static void copy_field(ProtobufCMessage *to, const ProtobufCMessage *from,
                       const ProtobufCFieldDescriptor *f)
{
    memcpy((char *)to + f->offset, (const char *)from + f->offset, tl_pb_element_size(f->type));
    if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
        memcpy((char *)to + f->quantifier_offset, (const char *)from + f->quantifier_offset,
               sizeof(uint32_t));
    }
}

/* The one element of `from` behind those of `to`. */
static tl_rc append_field(ProtobufCMessage *to, const ProtobufCMessage *from,
                          const ProtobufCFieldDescriptor *f, struct tl_arena *arena,
                          struct tl_error *err)
{
    size_t *n = (size_t *)(void *)((char *)to + f->quantifier_offset);
    char **items = (char **)(void *)((char *)to + f->offset);
    size_t size = tl_pb_element_size(f->type);
    char *more = tl_arena_alloc(arena, (*n + 1) * size);
    if (!more) {
        return tl_error_set(err, TL_ELIMIT, "too many parameters");
    }
    if (*n) {
        memcpy(more, *items, *n * size);
    }
    memcpy(more + *n * size, *(char *const *)(const void *)((const char *)from + f->offset), size);
    *items = more;
    ++*n;
    return TL_OK;
}

/* The value is read as the only member of a message of its own, so that JSON's rules for each type
 * hold here too; then it moves over. */
static tl_rc set_leaf(ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f, struct tl_str text,
                      struct tl_arena *arena, struct tl_error *err)
{
    struct tl_buf json;
    struct tl_jw w;
    ProtobufCMessage *one = NULL;
    bool list = f->label == PROTOBUF_C_LABEL_REPEATED;
    if (tl_pb_is_map(msg->descriptor, f)) {
        return tl_error_set(err, TL_EINVAL, "%s cannot be given as a parameter", f->name);
    }
    tl_buf_init(&json, VALUE_BYTES_MAX);
    tl_jw_init(&w, &json, 0, 4);
    tl_jw_object(&w);
    tl_jw_name(&w, tl_str(f->name));
    if (list) {
        tl_jw_array(&w);
    }
    put_value(&w, f, text);
    if (list) {
        tl_jw_array_end(&w);
    }
    tl_jw_object_end(&w);
    tl_rc rc = tl_jw_finish(&w, err);
    if (rc == TL_OK) {
        rc = tl_json_read(msg->descriptor, tl_buf_str(&json), NULL, arena, &one, err);
    }
    tl_buf_deinit(&json);
    if (rc != TL_OK) {
        return tl_error_wrap(err, rc, "parameter %s", f->name);
    }
    if (list) {
        return append_field(msg, one, f, arena, err);
    }
    copy_field(msg, one, f);
    return TL_OK;
}

/* The message in field f, made when it is not there. NULL when the arena is full. */
static ProtobufCMessage *inner(ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f,
                               struct tl_arena *arena)
{
    ProtobufCMessage **at = (ProtobufCMessage **)(void *)((char *)msg + f->offset);
    uint32_t *which = (uint32_t *)(void *)((char *)msg + f->quantifier_offset);
    bool oneof = (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
    if (oneof ? *which != f->id : !*at) {
        *at = tl_pb_new(arena, f->descriptor);
        if (oneof) {
            *which = f->id;
        }
    }
    return *at;
}

tl_rc tl_http_set_field(ProtobufCMessage *msg, struct tl_str path, struct tl_str text,
                        struct tl_arena *arena, bool *known, struct tl_error *err)
{
    if (known) {
        *known = false;
    }
    for (;;) {
        const char *dot = path.n ? memchr(path.p, '.', path.n) : NULL;
        struct tl_str name = tl_str_n(path.p, dot ? (size_t)(dot - path.p) : path.n);
        const ProtobufCFieldDescriptor *f = find_field(msg->descriptor, name);
        if (!f || (dot &&
                   (f->type != PROTOBUF_C_TYPE_MESSAGE || f->label == PROTOBUF_C_LABEL_REPEATED))) {
            return TL_OK;
        }
        if (!dot) {
            if (known) {
                *known = true;
            }
            return set_leaf(msg, f, text, arena, err);
        }
        msg = inner(msg, f, arena);
        if (!msg) {
            return tl_error_set(err, TL_ELIMIT, "the request is too large");
        }
        path = tl_str_n(dot + 1, path.n - name.n - 1);
    }
}

/* --- requests ---------------------------------------------------------------------------------------- */

static tl_rc read_body(struct tl_http_request *r, const ProtobufCMessageDescriptor *d,
                       struct tl_http_json form, ProtobufCMessage **msg, struct tl_error *err)
{
    struct tl_json_read_options o = {.payload_shorthand = !form.long_payloads};
    if (r->body.n == 0) {
        *msg = tl_pb_new(&r->arena, d);
        return *msg ? TL_OK : tl_error_set(err, TL_ELIMIT, "the request is too large");
    }
    return tl_json_read(d, r->body, &o, &r->arena, msg, err);
}

tl_rc tl_http_read_request(struct tl_http_request *r, const struct tl_http_match *match,
                           struct tl_http_json form, struct tl_str *out, struct tl_error *err)
{
    const ProtobufCMessageDescriptor *d = tl_method_info(match->route->method)->input;
    ProtobufCMessage *msg = NULL;
    tl_rc rc = TL_OK;
    if (match->route->body) {
        rc = read_body(r, d, form, &msg, err);
    } else {
        msg = tl_pb_new(&r->arena, d);
        for (struct tl_http_param *p = r->params; p && msg && rc == TL_OK; p = p->next) {
            rc = tl_http_set_field(msg, p->name, p->value, &r->arena, NULL, err);
        }
    }
    for (size_t i = 0; i < match->var_count && msg && rc == TL_OK; i++) {
        struct tl_str text;
        if (!tl_http_unescape(&r->arena, match->vars[i].text, &text)) {
            return tl_error_set(err, TL_EINVAL, "malformed escape in the path: '%.*s'",
                                TL_STR_FMT(match->vars[i].text));
        }
        rc = tl_http_set_field(msg, match->vars[i].field, text, &r->arena, NULL, err);
    }
    if (rc == TL_OK && !msg) {
        rc = tl_error_set(err, TL_ELIMIT, "the request is too large");
    }
    return rc == TL_OK ? tl_pb_encode_arena(msg, &r->arena, out, err) : rc;
}

/* --- answers ------------------------------------------------------------------------------------------ */

tl_rc tl_http_write_message(const ProtobufCMessageDescriptor *desc, struct tl_str bytes,
                            struct tl_http_json form, struct tl_arena *arena, struct tl_buf *out,
                            struct tl_error *err)
{
    struct tl_json_write_options o = {.pretty = form.pretty,
                                      .payload_shorthand = !form.long_payloads};
    ProtobufCMessage *msg = NULL;
    tl_rc rc = tl_pb_decode(desc, bytes, arena, &msg, err);
    return rc == TL_OK ? tl_json_write(msg, &o, out, err) : rc;
}

void tl_http_write_status(int status, struct tl_str message, struct tl_str details,
                          struct tl_http_json form, struct tl_arena *arena, struct tl_buf *out)
{
    struct tl_error err;
    struct tl_jw w;
    size_t before = out->n;
    if (details.n && tl_http_write_message(&tp_rpc__status__descriptor, details, form, arena, out,
                                           &err) == TL_OK) {
        return;
    }
    out->n = before; /* details that have no JSON form */
    tl_jw_init(&w, out, form.pretty ? TL_JW_PRETTY : 0, 4);
    tl_jw_object(&w);
    tl_jw_name(&w, TL_STR_LIT("code"));
    tl_jw_int(&w, status);
    tl_jw_name(&w, TL_STR_LIT("message"));
    tl_jw_string(&w, message);
    tl_jw_object_end(&w);
    if (tl_jw_finish(&w, &err) != TL_OK) {
        out->n = before;
        tl_buf_puts(out, "{\"code\":13,\"message\":\"an error without text\"}");
    }
}

int tl_http_status_of(int grpc_status)
{
    static const int table[] = {200, 499, 500, 400, 504, 404, 409, 403, 429,
                                400, 409, 400, 501, 500, 503, 500, 401};
    return grpc_status >= 0 && grpc_status < (int)(sizeof table / sizeof table[0])
               ? table[grpc_status]
               : 500;
}
