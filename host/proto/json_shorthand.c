/* Temporal's shorthand for payloads: a json/plain payload is written as the value it holds, a
 * json/protobuf one as its object with the member "_protoMessageType"; everything else, and
 * whatever would not read back the same, is written as a payload message. Reading takes an object
 * for a payload message when its members are those of one and its metadata names an encoding.
 * See json.h. Thread: any. */
#include "proto/json_int.h"

#include <temporal/api/common/v1/message.pb-c.h>

#include "proto/base64.h"
#include "proto/payload.h"

#define TYPE_MEMBER "_protoMessageType"

/* What the JSON inside a payload looks like from outside. */
struct shape {
    bool ok; /* one well-formed value that nests no deeper than allowed */
    bool is_null;
    bool is_object;
    bool reserved; /* an object with a member that shorthand gives a meaning */
};

static struct shape look_at(struct tl_str json, unsigned depth_max)
{
    struct shape s = {0};
    struct tl_jreader r;
    struct tl_jtok t;
    tl_jreader_init(&r, json, 0, depth_max);
    tl_rc rc = tl_jtok_next(&r, &t, NULL);
    s.is_null = rc == TL_OK && t.kind == TL_J_NULL;
    s.is_object = rc == TL_OK && t.kind == TL_J_OBJECT;
    while (rc == TL_OK && t.kind != TL_J_END) {
        rc = tl_jtok_next(&r, &t, NULL);
        if (rc == TL_OK && t.kind == TL_J_NAME && r.depth == 1) {
            s.reserved =
                s.reserved || tl_str_eqc(t.text, "metadata") || tl_str_eqc(t.text, TYPE_MEMBER);
        }
    }
    s.ok = rc == TL_OK;
    tl_jreader_deinit(&r);
    return s;
}

static unsigned depth_left(const struct tl_jw *w)
{
    return w->depth_max - w->depth;
}

/* Whether the payload is written as its value, and then whether as an object with a type. */
static bool is_short(const struct tl_json_out *o, const TpCommon__Payload *p, bool *typed)
{
    enum tl_payload_kind kind = tl_payload_kind(p);
    struct tl_str type = tl_payload_metadata(p, TL_STR_LIT("messageType"));
    *typed = kind == TL_PAYLOAD_JSON_PROTOBUF;
    if (p->n_external_payloads > 0 || p->base.n_unknown_fields > 0) {
        return false;
    }
    if (kind == TL_PAYLOAD_JSON ? p->n_metadata != 1
                                : !*typed || p->n_metadata != 2 || type.n == 0) {
        return false;
    }
    struct shape s = look_at(tl_payload_data(p), depth_left(o->w));
    return s.ok && !s.is_null && !s.reserved && (!*typed || s.is_object);
}

static tl_rc put_full(struct tl_json_out *o, const void *msg)
{
    tl_jw_object(o->w);
    tl_rc rc = tl_json_put_fields(o, msg);
    if (rc == TL_OK) {
        tl_jw_object_end(o->w);
    }
    return rc;
}

tl_rc tl_json_put_payload(struct tl_json_out *o, const void *msg)
{
    const TpCommon__Payload *p = msg;
    bool typed;
    if (!is_short(o, p, &typed)) {
        return put_full(o, msg);
    }
    struct tl_jreader r;
    struct tl_jtok t;
    tl_jreader_init(&r, tl_payload_data(p), 0, depth_left(o->w));
    tl_rc rc = tl_jtok_next(&r, &t, o->err);
    if (rc == TL_OK && !typed) {
        rc = tl_jw_copy(o->w, &r, &t, o->err);
    } else if (rc == TL_OK) {
        tl_jw_object(o->w);
        tl_jw_name(o->w, TL_STR_LIT(TYPE_MEMBER));
        tl_jw_string(o->w, tl_payload_metadata(p, TL_STR_LIT("messageType")));
        while (rc == TL_OK && (rc = tl_jtok_next(&r, &t, o->err)) == TL_OK &&
               t.kind != TL_J_OBJECT_END) {
            tl_jw_name(o->w, t.text);
            rc = tl_jtok_next(&r, &t, o->err);
            if (rc == TL_OK) {
                rc = tl_jw_copy(o->w, &r, &t, o->err);
            }
        }
        if (rc == TL_OK) {
            tl_jw_object_end(o->w);
        }
    }
    tl_jreader_deinit(&r);
    return rc;
}

/* Whether a reader of shorthand takes the full form of the payload for a payload. */
static bool full_form_is_clear(const TpCommon__Payload *p)
{
    return tl_payload_encoding(p).n > 0 && p->n_external_payloads == 0 &&
           (p->data.len > 0 || tl_payload_kind(p) == TL_PAYLOAD_NULL);
}

tl_rc tl_json_put_payloads(struct tl_json_out *o, const void *msg)
{
    const TpCommon__Payloads *ps = msg;
    bool clear = true;
    for (size_t i = 0; clear && i < ps->n_payloads; i++) {
        bool typed;
        clear = is_short(o, ps->payloads[i], &typed) || full_form_is_clear(ps->payloads[i]);
    }
    if (!clear) {
        return put_full(o, msg);
    }
    tl_rc rc = TL_OK;
    tl_jw_array(o->w);
    for (size_t i = 0; rc == TL_OK && i < ps->n_payloads; i++) {
        rc = tl_json_put_payload(o, ps->payloads[i]);
    }
    if (rc == TL_OK) {
        tl_jw_array_end(o->w);
    }
    return rc;
}

static bool is_base64(struct tl_json_in *in, struct tl_str text)
{
    char small[256];
    size_t room = tl_base64_decoded_max(text.n);
    char *out = room <= sizeof small ? small : tl_arena_alloc(in->arena, room);
    size_t n;
    return out && tl_base64_decode(text, out, &n);
}

/* Reads a metadata object; true when all values are base64 and one is the encoding. */
static bool looks_like_metadata(struct tl_json_in *in, const struct tl_jtok *first)
{
    bool encoding = false;
    if (first->kind != TL_J_OBJECT) {
        return false;
    }
    for (;;) {
        struct tl_jtok t;
        if (tl_jtok_next(&in->r, &t, NULL) != TL_OK) {
            return false;
        }
        if (t.kind == TL_J_OBJECT_END) {
            return encoding;
        }
        encoding = encoding || tl_str_eqc(t.text, "encoding");
        if (tl_jtok_next(&in->r, &t, NULL) != TL_OK || t.kind != TL_J_STRING ||
            !is_base64(in, t.text)) {
            return false;
        }
    }
}

/* Whether the open object is a payload message. Reads at most to its end. */
static bool looks_like_payload(struct tl_json_in *in)
{
    bool metadata = false;
    for (;;) {
        struct tl_jtok t;
        if (tl_jtok_next(&in->r, &t, NULL) != TL_OK) {
            return false;
        }
        if (t.kind == TL_J_OBJECT_END) {
            return metadata;
        }
        bool is_metadata = tl_str_eqc(t.text, "metadata");
        bool is_data = tl_str_eqc(t.text, "data");
        bool is_external =
            tl_str_eqc(t.text, "externalPayloads") || tl_str_eqc(t.text, "external_payloads");
        if (tl_jtok_next(&in->r, &t, NULL) != TL_OK) {
            return false;
        }
        bool fits = is_external || (is_data && t.kind == TL_J_STRING && is_base64(in, t.text));
        if (is_metadata) {
            metadata = looks_like_metadata(in, &t);
            fits = metadata;
        } else if (fits) {
            fits = tl_jtok_skip(&in->r, &t, NULL) == TL_OK;
        }
        if (!fits) {
            return false;
        }
    }
}

/* The value that begins with t as text of its own in *out, without the member that names a type,
 * which goes to *type. */
static tl_rc copy_value(struct tl_json_in *in, const struct tl_jtok *first, struct tl_buf *out,
                        struct tl_str *type)
{
    struct tl_jw w;
    struct tl_jtok t;
    tl_rc rc = TL_OK;
    tl_jw_init(&w, out, 0, TL_JSON_DEPTH_MAX);
    if (first->kind != TL_J_OBJECT) {
        rc = tl_jw_copy(&w, &in->r, first, in->err);
        return rc ? rc : tl_jw_finish(&w, in->err);
    }
    tl_jw_object(&w);
    while ((rc = tl_jtok_next(&in->r, &t, in->err)) == TL_OK && t.kind != TL_J_OBJECT_END) {
        bool is_type = tl_str_eqc(t.text, TYPE_MEMBER);
        if (!is_type) {
            tl_jw_name(&w, t.text);
        }
        rc = tl_jtok_next(&in->r, &t, in->err);
        if (rc == TL_OK && is_type && t.kind != TL_J_STRING) {
            rc = tl_json_fail(in, &t, "\"%s\" must be a string", TYPE_MEMBER);
        } else if (rc == TL_OK && is_type) {
            *type = tl_arena_str(in->arena, t.text);
        } else if (rc == TL_OK) {
            rc = tl_jw_copy(&w, &in->r, &t, in->err);
        }
        if (rc) {
            return rc;
        }
    }
    if (rc == TL_OK) {
        tl_jw_object_end(&w);
        rc = tl_jw_finish(&w, in->err);
    }
    return rc;
}

static tl_rc get_short(struct tl_json_in *in, const struct tl_jtok *t, void **out)
{
    struct tl_buf json;
    struct tl_str type = {0};
    tl_buf_init(&json, in->r.source.n * 6 + 64);
    tl_rc rc = copy_value(in, t, &json, &type);
    if (rc == TL_OK) {
        TpCommon__Payload *p = tl_payload_new(
            in->arena, type.p ? TL_ENCODING_JSON_PROTOBUF : TL_ENCODING_JSON, tl_buf_str(&json));
        bool ok = p && (!type.p ||
                        tl_payload_set_metadata(in->arena, p, TL_STR_LIT("messageType"), type));
        *out = p;
        rc = ok ? TL_OK : tl_json_full(in);
    }
    tl_buf_deinit(&json);
    return rc;
}

tl_rc tl_json_get_payload(struct tl_json_in *in, const struct tl_jtok *t, void **out)
{
    if (t->kind == TL_J_NULL) {
        *out = tl_payload_null(in->arena);
        return *out ? TL_OK : tl_json_full(in);
    }
    if (t->kind == TL_J_OBJECT) {
        struct tl_jmark mark = tl_jreader_mark(&in->r);
        bool full = looks_like_payload(in);
        tl_jreader_rewind(&in->r, mark);
        if (full) {
            ProtobufCMessage *p = tl_pb_new(in->arena, &tp_common__payload__descriptor);
            *out = p;
            return p ? tl_json_get_fields(in, p, NULL) : tl_json_full(in);
        }
    }
    return get_short(in, t, out);
}

tl_rc tl_json_get_payloads(struct tl_json_in *in, const struct tl_jtok *first, void **out)
{
    TpCommon__Payloads *ps = TL_PB_NEW(in->arena, TpCommon__Payloads, tp_common__payloads);
    struct tl_pb_list list = {0};
    *out = ps;
    if (!ps) {
        return tl_json_full(in);
    }
    if (first->kind == TL_J_OBJECT) {
        return tl_json_get_fields(in, &ps->base, NULL);
    }
    if (first->kind != TL_J_ARRAY) {
        return tl_json_fail(in, first, "an array of values or an object with payloads is expected");
    }
    for (;;) {
        struct tl_jtok t;
        void *p = NULL;
        tl_rc rc = tl_jtok_next(&in->r, &t, in->err);
        if (rc == TL_OK && t.kind == TL_J_ARRAY_END) {
            ps->n_payloads = list.n;
            ps->payloads = list.items;
            return TL_OK;
        }
        if (rc == TL_OK) {
            rc = tl_json_get_payload(in, &t, &p);
        }
        if (rc) {
            return rc;
        }
        if (!tl_pb_push(in->arena, &list, p)) {
            return tl_json_full(in);
        }
    }
}
