/* The wire form of patches, the same as the official core's: a marker `core_patch` whose detail
 * "patch-data" is {"id":...,"deprecated":...} as JSON; older ones hold plain bytes under "patch_id"
 * and "deprecated". Beside it goes an upsert of TemporalChangeVersion with all patch ids so far.
 * Ownership: messages and texts live in the given arena. Thread: any. */
#include "core/run_int.h"

#include <stdlib.h>
#include <tl_enums.h>

#include "base/mem.h"
#include "proto/jsonv.h"

#define PATCH_DATA_KEY "patch-data"
/* The server's default limit for one search attribute's value. */
#define SEARCH_ATTRIBUTE_BYTES_MAX 2048

static const TpCommon__Payload *detail(const TpHistory__MarkerRecordedEventAttributes *a,
                                       struct tl_str key)
{
    const TpHistory__MarkerRecordedEventAttributes__DetailsEntry *entry = TL_PB_MAP_GET(
        TpHistory__MarkerRecordedEventAttributes__DetailsEntry, a->n_details, a->details, key);
    if (!entry || !entry->value || entry->value->n_payloads == 0) {
        return NULL;
    }
    return entry->value->payloads[0];
}

/* {"id":string,"deprecated":bool}; other members are skipped. */
static tl_rc read_members(struct tl_jreader *r, struct tl_arena *arena, struct tl_patch_marker *out)
{
    struct tl_jtok t;
    tl_rc rc = tl_jtok_next(r, &t, NULL);
    if (rc != TL_OK || t.kind != TL_J_OBJECT) {
        return TL_EDECODE;
    }
    while ((rc = tl_jtok_next(r, &t, NULL)) == TL_OK && t.kind == TL_J_NAME) {
        bool is_id = tl_str_eqc(t.text, "id"), is_deprecated = tl_str_eqc(t.text, "deprecated");
        rc = tl_jtok_next(r, &t, NULL);
        if (rc == TL_OK && is_id && t.kind == TL_J_STRING && !memchr(t.text.p, 0, t.text.n)) {
            out->id = tl_arena_str(arena, t.text);
        } else if (rc == TL_OK && is_deprecated && t.kind == TL_J_BOOL) {
            out->deprecated = t.b;
        } else if (rc == TL_OK) {
            rc = tl_jtok_skip(r, &t, NULL);
        }
        if (rc != TL_OK) {
            return rc;
        }
    }
    return rc;
}

static bool read_json(struct tl_str text, struct tl_arena *arena, struct tl_patch_marker *out)
{
    struct tl_jreader r;
    tl_jreader_init(&r, text, 0, 32);
    tl_rc rc = read_members(&r, arena, out);
    tl_jreader_deinit(&r);
    return rc == TL_OK && out->id.n > 0;
}

bool tl_patch_marker_read(const TpHistory__HistoryEvent *event, struct tl_arena *arena,
                          struct tl_patch_marker *out)
{
    *out = (struct tl_patch_marker){0};
    if ((int)event->event_type != EVENT_TYPE_MARKER_RECORDED || !tl_event_valid(event)) {
        return false;
    }
    const TpHistory__MarkerRecordedEventAttributes *a = event->marker_recorded_event_attributes;
    if (!tl_str_eqc(tl_str(a->marker_name), TL_PATCH_MARKER_NAME)) {
        return false;
    }
    const TpCommon__Payload *data = detail(a, TL_STR_LIT(PATCH_DATA_KEY));
    if (data) {
        return read_json(tl_pb_str(data->data), arena, out);
    }
    const TpCommon__Payload *id = detail(a, TL_STR_LIT("patch_id"));
    const TpCommon__Payload *deprecated = detail(a, TL_STR_LIT("deprecated"));
    if (!id || !deprecated || deprecated->data.len == 0) {
        return false;
    }
    out->id = tl_pb_str(id->data);
    out->deprecated = deprecated->data.data[0] != 0;
    return true;
}

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

/* A JSON payload of the buffer's text (copied); type NULL: no type metadata. */
static TpCommon__Payload *json_payload(struct tl_arena *arena, const struct tl_buf *text,
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

TpCommand__RecordMarkerCommandAttributes *tl_patch_marker_make(struct tl_arena *arena,
                                                               const struct tl_patch_marker *patch)
{
    struct tl_buf text;
    tl_buf_init(&text, patch->id.n * 6 + 64);
    struct tl_jw w;
    tl_jw_init(&w, &text, 0, 2);
    tl_jw_object(&w);
    tl_jw_name(&w, TL_STR_LIT("id"));
    tl_jw_string(&w, patch->id);
    tl_jw_name(&w, TL_STR_LIT("deprecated"));
    tl_jw_bool(&w, patch->deprecated);
    tl_jw_object_end(&w);
    TpCommon__Payload *data =
        tl_jw_finish(&w, NULL) == TL_OK ? json_payload(arena, &text, NULL) : NULL;
    tl_buf_deinit(&text);

    TpCommand__RecordMarkerCommandAttributes *attrs =
        TL_PB_NEW(arena, TpCommand__RecordMarkerCommandAttributes,
                  tp_command__record_marker_command_attributes);
    TpCommand__RecordMarkerCommandAttributes__DetailsEntry *entry =
        TL_PB_NEW(arena, TpCommand__RecordMarkerCommandAttributes__DetailsEntry,
                  tp_command__record_marker_command_attributes__details_entry);
    TpCommon__Payloads *payloads = TL_PB_NEW(arena, TpCommon__Payloads, tp_common__payloads);
    struct tl_pb_list values = {0}, entries = {0};
    if (!data || !attrs || !entry || !payloads || !tl_pb_push(arena, &values, data) ||
        !tl_pb_push(arena, &entries, entry)) {
        return NULL;
    }
    payloads->payloads = values.items;
    payloads->n_payloads = values.n;
    entry->key = tl_pb_cstr(arena, TL_STR_LIT(PATCH_DATA_KEY));
    entry->value = payloads;
    attrs->details = entries.items;
    attrs->n_details = entries.n;
    attrs->marker_name = tl_pb_cstr(arena, TL_STR_LIT(TL_PATCH_MARKER_NAME));
    return entry->key && attrs->marker_name ? attrs : NULL;
}

static int compare_ids(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* ["a","b"] of all patches the code has called, in bytewise order. */
static tl_rc put_patch_ids(const struct tl_run *run, struct tl_buf *text)
{
    const char **ids = TL_NEW_ARRAY(const char *, run->patch_count + 1);
    size_t count = 0;
    for (uint32_t i = 0; i < run->patch_count; i++) {
        if (run->patches[i].created) {
            ids[count++] = run->patches[i].id;
        }
    }
    qsort(ids, count, sizeof(*ids), compare_ids);
    struct tl_jw w;
    tl_jw_init(&w, text, 0, 2);
    tl_jw_array(&w);
    for (size_t i = 0; i < count; i++) {
        tl_jw_string(&w, tl_str(ids[i]));
    }
    tl_jw_array_end(&w);
    tl_mem_free(ids);
    return tl_jw_finish(&w, NULL);
}

TpCommand__UpsertWorkflowSearchAttributesCommandAttributes *
tl_patch_upsert_make(const struct tl_run *run, struct tl_arena *arena, bool *too_big)
{
    struct tl_buf text;
    tl_buf_init(&text, SEARCH_ATTRIBUTE_BYTES_MAX - 1);
    *too_big = put_patch_ids(run, &text) != TL_OK;
    TpCommon__Payload *value = *too_big ? NULL : json_payload(arena, &text, "KeywordList");
    tl_buf_deinit(&text);
    if (!value) {
        return NULL;
    }
    TpCommand__UpsertWorkflowSearchAttributesCommandAttributes *attrs =
        TL_PB_NEW(arena, TpCommand__UpsertWorkflowSearchAttributesCommandAttributes,
                  tp_command__upsert_workflow_search_attributes_command_attributes);
    TpCommon__SearchAttributes *fields =
        TL_PB_NEW(arena, TpCommon__SearchAttributes, tp_common__search_attributes);
    TpCommon__SearchAttributes__IndexedFieldsEntry *entry =
        TL_PB_NEW(arena, TpCommon__SearchAttributes__IndexedFieldsEntry,
                  tp_common__search_attributes__indexed_fields_entry);
    struct tl_pb_list entries = {0};
    if (!attrs || !fields || !entry || !tl_pb_push(arena, &entries, entry)) {
        return NULL;
    }
    entry->key = tl_pb_cstr(arena, TL_STR_LIT(TL_PATCH_SEARCH_ATTRIBUTE));
    entry->value = value;
    fields->indexed_fields = entries.items;
    fields->n_indexed_fields = entries.n;
    attrs->search_attributes = fields;
    return entry->key ? attrs : NULL;
}
