/* What markers hold: their details as texts, numbers and values; the markers of side effects as we
 * and Go write them, and as Java does.
 *   SideEffect         "side-effect-id" a number, "data" the values; Java: "data" only
 *   MutableSideEffect  "side-effect-id" the id, "data" the values, "mutable-side-effect-call-counter"
 *                      Go: the id has "_number" behind it, "data" holds the id and then the values as
 *                      one payload; Java: "id", "data", without a counter
 * Ownership: borrowed from the event, or in the given arena. Thread: any. */
#include "core/run_int.h"

#include <tl_enums.h>

#include "proto/json.h"

const TpCommon__Payloads *tl_marker_detail(const TpHistory__MarkerRecordedEventAttributes *a,
                                           struct tl_str key)
{
    const TpHistory__MarkerRecordedEventAttributes__DetailsEntry *entry = TL_PB_MAP_GET(
        TpHistory__MarkerRecordedEventAttributes__DetailsEntry, a->n_details, a->details, key);
    return entry ? entry->value : NULL;
}

/* The one JSON token of a payload, with its text in the arena. */
static bool read_token(const TpCommon__Payload *payload, struct tl_arena *arena,
                       struct tl_jtok *token)
{
    struct tl_jreader r;
    tl_jreader_init(&r, tl_pb_str(payload->data), 0, 2);
    bool ok = tl_jtok_next(&r, token, NULL) == TL_OK;
    if (ok && arena) {
        token->text = tl_arena_str(arena, token->text);
        ok = token->text.p != NULL;
    }
    tl_jreader_deinit(&r);
    return ok;
}

static bool payload_text(const TpCommon__Payload *payload, struct tl_arena *arena,
                         struct tl_str *out)
{
    struct tl_jtok token;
    if (!read_token(payload, arena, &token) || token.kind != TL_J_STRING ||
        (token.text.n && memchr(token.text.p, 0, token.text.n))) {
        return false;
    }
    *out = token.text;
    return true;
}

bool tl_marker_text(const TpHistory__MarkerRecordedEventAttributes *a, const char *key,
                    struct tl_arena *arena, struct tl_str *out)
{
    const TpCommon__Payloads *values = tl_marker_detail(a, tl_str(key));
    return values && values->n_payloads == 1 && payload_text(values->payloads[0], arena, out);
}

bool tl_marker_integer(const TpHistory__MarkerRecordedEventAttributes *a, const char *key,
                       int64_t *out)
{
    const TpCommon__Payloads *values = tl_marker_detail(a, tl_str(key));
    struct tl_jtok token;
    if (!values || values->n_payloads != 1 || !read_token(values->payloads[0], NULL, &token) ||
        token.kind != TL_J_INT) {
        return false;
    }
    *out = token.i;
    return true;
}

/* --- mutable side effects --------------------------------------------------------------------- */

/* Go's data: the id, then Payloads as one payload. False when it is none. */
static bool unwrap_go(const TpCommon__Payloads *data, struct tl_arena *arena,
                      struct tl_side_effect *out)
{
    if (data->n_payloads != 2) {
        return false;
    }
    const TpCommon__Payload *inner = data->payloads[1];
    const TpCommon__Payload__MetadataEntry *type =
        TL_PB_MAP_GET(TpCommon__Payload__MetadataEntry, inner->n_metadata, inner->metadata,
                      TL_STR_LIT("messageType"));
    const TpCommon__Payload__MetadataEntry *encoding =
        TL_PB_MAP_GET(TpCommon__Payload__MetadataEntry, inner->n_metadata, inner->metadata,
                      TL_STR_LIT("encoding"));
    TpCommon__Payloads *value = NULL;
    if (!type || !encoding ||
        !tl_str_eqc(tl_pb_str(type->value), "temporal.api.common.v1.Payloads") ||
        !payload_text(data->payloads[0], arena, &out->id)) {
        return false;
    }
    tl_rc rc = TL_EDECODE;
    if (tl_str_eqc(tl_pb_str(encoding->value), "json/protobuf")) {
        rc = tl_json_read(&tp_common__payloads__descriptor, tl_pb_str(inner->data), NULL, arena,
                          &value, NULL);
    } else if (tl_str_eqc(tl_pb_str(encoding->value), "binary/protobuf")) {
        rc = tl_pb_decode(&tp_common__payloads__descriptor, tl_pb_str(inner->data), arena, &value,
                          NULL);
    }
    if (rc == TL_OK) {
        out->value = value;
    }
    return rc == TL_OK;
}

static bool read_mutable(const TpHistory__MarkerRecordedEventAttributes *a, struct tl_arena *arena,
                         struct tl_side_effect *out)
{
    int64_t call = 0;
    if (tl_marker_integer(a, "mutable-side-effect-call-counter", &call) &&
        (call < 0 || call > UINT32_MAX)) {
        return false;
    }
    out->call = (uint32_t)call;
    if (unwrap_go(out->value, arena, out)) {
        return true;
    }
    return (tl_marker_text(a, "side-effect-id", arena, &out->id) ||
            tl_marker_text(a, "id", arena, &out->id)) &&
           out->id.n > 0;
}

bool tl_side_effect_read(const TpHistory__HistoryEvent *event, struct tl_arena *arena,
                         struct tl_side_effect *out)
{
    *out = (struct tl_side_effect){0};
    if ((int)event->event_type != EVENT_TYPE_MARKER_RECORDED || !tl_event_valid(event)) {
        return false;
    }
    const TpHistory__MarkerRecordedEventAttributes *a = event->marker_recorded_event_attributes;
    struct tl_str name = tl_str(a->marker_name);
    bool mutable = tl_str_eqc(name, TL_MUTABLE_SIDE_EFFECT_MARKER_NAME);
    if (!mutable && !tl_str_eqc(name, TL_SIDE_EFFECT_MARKER_NAME)) {
        return false;
    }
    out->value = tl_marker_detail(a, TL_STR_LIT("data"));
    return out->value && (!mutable || read_mutable(a, arena, out));
}

/* --- writing ---------------------------------------------------------------------------------- */

static TpCommon__Payload__MetadataEntry *metadata(struct tl_arena *arena, const char *key,
                                                  struct tl_str value)
{
    TpCommon__Payload__MetadataEntry *entry =
        TL_PB_NEW(arena, TpCommon__Payload__MetadataEntry, tp_common__payload__metadata_entry);
    if (entry) {
        entry->key = tl_pb_cstr(arena, tl_str(key));
        entry->value = tl_pb_bytes_view(value);
    }
    return entry && entry->key ? entry : NULL;
}

TpCommon__Payload *tl_marker_json(struct tl_arena *arena, const struct tl_buf *text,
                                  const char *type)
{
    TpCommon__Payload *p = TL_PB_NEW(arena, TpCommon__Payload, tp_common__payload);
    TpCommon__Payload__MetadataEntry **entries =
        TL_ARENA_ARRAY(arena, TpCommon__Payload__MetadataEntry *, 2);
    bool ok = p && entries;
    if (!ok) {
        return NULL;
    }
    p->metadata = entries;
    entries[p->n_metadata++] = metadata(arena, "encoding", TL_STR_LIT("json/plain"));
    if (type) {
        entries[p->n_metadata++] = metadata(arena, "type", tl_str(type));
    }
    p->data = tl_pb_bytes(arena, tl_buf_str(text), &ok);
    return ok && entries[0] && entries[p->n_metadata - 1] && !tl_buf_failed(text) ? p : NULL;
}

bool tl_marker_add(struct tl_arena *arena, struct tl_pb_list *details, const char *key,
                   const TpCommon__Payloads *values)
{
    TpCommand__RecordMarkerCommandAttributes__DetailsEntry *entry =
        TL_PB_NEW(arena, TpCommand__RecordMarkerCommandAttributes__DetailsEntry,
                  tp_command__record_marker_command_attributes__details_entry);
    if (!entry || !tl_pb_push(arena, details, entry)) {
        return false;
    }
    entry->key = tl_pb_cstr(arena, tl_str(key));
    entry->value = (TpCommon__Payloads *)(uintptr_t)values;
    return entry->key != NULL;
}

bool tl_marker_add_payload(struct tl_arena *arena, struct tl_pb_list *details, const char *key,
                           TpCommon__Payload *value)
{
    TpCommon__Payloads *payloads = TL_PB_NEW(arena, TpCommon__Payloads, tp_common__payloads);
    struct tl_pb_list values = {0};
    if (!value || !payloads || !tl_pb_push(arena, &values, value)) {
        return false;
    }
    payloads->payloads = values.items;
    payloads->n_payloads = values.n;
    return tl_marker_add(arena, details, key, payloads);
}
