/* Building and reading payloads. See payload.h. Thread: any. */
#include "proto/payload.h"

#include "proto/jsonv.h"
#include "proto/pb.h"

#define JSON_DEPTH_MAX 200

static const struct {
    const char *encoding;
    enum tl_payload_kind kind;
} KINDS[] = {
    {TL_ENCODING_NULL, TL_PAYLOAD_NULL},
    {TL_ENCODING_BYTES, TL_PAYLOAD_BYTES},
    {TL_ENCODING_JSON, TL_PAYLOAD_JSON},
    {TL_ENCODING_JSON_PROTOBUF, TL_PAYLOAD_JSON_PROTOBUF},
    {TL_ENCODING_PROTOBUF, TL_PAYLOAD_PROTOBUF},
};

bool tl_payload_set_metadata(struct tl_arena *arena, TpCommon__Payload *p, struct tl_str key,
                             struct tl_str value)
{
    bool ok = true;
    ProtobufCBinaryData copy = tl_pb_bytes(arena, value, &ok);
    if (!ok) {
        return false;
    }
    TpCommon__Payload__MetadataEntry *entry =
        TL_PB_MAP_GET(TpCommon__Payload__MetadataEntry, p->n_metadata, p->metadata, key);
    if (entry) {
        entry->value = copy;
        return true;
    }
    entry = TL_PB_NEW(arena, TpCommon__Payload__MetadataEntry, tp_common__payload__metadata_entry);
    TpCommon__Payload__MetadataEntry **entries =
        TL_ARENA_ARRAY(arena, TpCommon__Payload__MetadataEntry *, p->n_metadata + 1);
    char *key_copy = tl_pb_cstr(arena, key);
    if (!entry || !entries || !key_copy) {
        return false;
    }
    entry->key = key_copy;
    entry->value = copy;
    if (p->n_metadata > 0) {
        memcpy(entries, p->metadata, p->n_metadata * sizeof *entries);
    }
    entries[p->n_metadata++] = entry;
    p->metadata = entries;
    return true;
}

TpCommon__Payload *tl_payload_new(struct tl_arena *arena, const char *encoding, struct tl_str data)
{
    TpCommon__Payload *p = TL_PB_NEW(arena, TpCommon__Payload, tp_common__payload);
    bool ok = p != NULL;
    if (ok) {
        p->data = tl_pb_bytes(arena, data, &ok);
    }
    if (!ok || !tl_payload_set_metadata(arena, p, TL_STR_LIT("encoding"), tl_str(encoding))) {
        return NULL;
    }
    return p;
}

TpCommon__Payload *tl_payload_null(struct tl_arena *arena)
{
    return tl_payload_new(arena, TL_ENCODING_NULL, (struct tl_str){0});
}

TpCommon__Payload *tl_payload_json(struct tl_arena *arena, struct tl_str json)
{
    return tl_payload_new(arena, TL_ENCODING_JSON, json);
}

TpCommon__Payload *tl_payload_json_text(struct tl_arena *arena, struct tl_str text)
{
    struct tl_buf buf;
    tl_buf_init(&buf, text.n <= SIZE_MAX / 8 ? text.n * 6 + 2 : SIZE_MAX);
    struct tl_jw w;
    tl_jw_init(&w, &buf, 0, 1);
    tl_jw_string(&w, text);
    TpCommon__Payload *p = NULL;
    if (tl_jw_finish(&w, NULL) == TL_OK) {
        p = tl_payload_json(arena, tl_buf_str(&buf));
    }
    tl_buf_deinit(&buf);
    return p;
}

struct tl_str tl_payload_metadata(const TpCommon__Payload *p, struct tl_str key)
{
    const TpCommon__Payload__MetadataEntry *entry =
        p ? TL_PB_MAP_GET(TpCommon__Payload__MetadataEntry, p->n_metadata, p->metadata, key) : NULL;
    return entry ? tl_pb_str(entry->value) : (struct tl_str){0};
}

struct tl_str tl_payload_encoding(const TpCommon__Payload *p)
{
    return tl_payload_metadata(p, TL_STR_LIT("encoding"));
}

enum tl_payload_kind tl_payload_kind(const TpCommon__Payload *p)
{
    struct tl_str encoding = tl_payload_encoding(p);
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++) {
        if (tl_str_eqc(encoding, KINDS[i].encoding)) {
            return KINDS[i].kind;
        }
    }
    return TL_PAYLOAD_OTHER;
}

struct tl_str tl_payload_data(const TpCommon__Payload *p)
{
    return p ? tl_pb_str(p->data) : (struct tl_str){0};
}

tl_rc tl_payload_text(const TpCommon__Payload *p, struct tl_arena *arena, struct tl_str *out,
                      struct tl_error *err)
{
    if (tl_payload_kind(p) != TL_PAYLOAD_JSON) {
        return tl_error_set(err, TL_EINVAL, "payload is not encoded as %s", TL_ENCODING_JSON);
    }
    struct tl_jreader r;
    struct tl_jtok token;
    struct tl_jtok end;
    tl_jreader_init(&r, tl_payload_data(p), 0, JSON_DEPTH_MAX);
    tl_rc rc = tl_jtok_next(&r, &token, err);
    if (rc == TL_OK && token.kind != TL_J_STRING) {
        rc = tl_error_set(err, TL_EINVAL, "payload is not a JSON string");
    }
    if (rc == TL_OK) {
        *out = tl_arena_str(arena, token.text);
        rc = out->p ? TL_OK : tl_error_set(err, TL_ELIMIT, "no memory left for a payload");
    }
    if (rc == TL_OK) {
        rc = tl_jtok_next(&r, &end, err);
    }
    tl_jreader_deinit(&r);
    return rc;
}

TpCommon__Payloads *tl_payloads_new(struct tl_arena *arena, TpCommon__Payload *const *items,
                                    size_t n)
{
    TpCommon__Payloads *ps = TL_PB_NEW(arena, TpCommon__Payloads, tp_common__payloads);
    if (ps && n > 0) {
        ps->payloads = tl_arena_copy(arena, items, n * sizeof *items);
        ps->n_payloads = n;
    }
    return ps && (n == 0 || ps->payloads) ? ps : NULL;
}

TpCommon__Payloads *tl_payloads_of(struct tl_arena *arena, TpCommon__Payload *p)
{
    return tl_payloads_new(arena, &p, p ? 1 : 0);
}

TpCommon__Payload *tl_payloads_at(const TpCommon__Payloads *ps, size_t i)
{
    return ps && i < ps->n_payloads ? ps->payloads[i] : NULL;
}
