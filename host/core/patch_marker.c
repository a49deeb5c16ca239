/* The wire form of patches, the same as the official core's: a marker `core_patch` whose detail
 * "patch-data" is {"id":...,"deprecated":...} as JSON; older ones hold plain bytes under "patch_id"
 * and "deprecated". Beside it goes an upsert of TemporalChangeVersion with all patch ids so far.
 * Ownership: messages and texts live in the given arena. Thread: any. */
#include "core/run_int.h"

#include <stdio.h>
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
    const TpCommon__Payloads *values = tl_marker_detail(a, key);
    return values && values->n_payloads ? values->payloads[0] : NULL;
}

/* The upsert that went with a marker is skipped with it. */
bool tl_patch_upsert_is(const TpHistory__HistoryEvent *event)
{
    if (!event || (int)event->event_type != EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES ||
        !tl_event_valid(event)) {
        return false;
    }
    const TpCommon__SearchAttributes *fields =
        event->upsert_workflow_search_attributes_event_attributes->search_attributes;
    return fields &&
           TL_PB_MAP_GET(TpCommon__SearchAttributes__IndexedFieldsEntry, fields->n_indexed_fields,
                         fields->indexed_fields, TL_STR_LIT(TL_PATCH_SEARCH_ATTRIBUTE));
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

/* Go's and Java's spelling of the names. */
static bool read_version(const TpHistory__MarkerRecordedEventAttributes *a, struct tl_arena *arena,
                         struct tl_patch_marker *out)
{
    int64_t version;
    if ((!tl_marker_text(a, "change-id", arena, &out->id) &&
         !tl_marker_text(a, "changeId", arena, &out->id)) ||
        out->id.n == 0 || !tl_marker_integer(a, "version", &version) || version < INT32_MIN ||
        version > INT32_MAX) {
        return false;
    }
    out->numbered = true;
    out->version = (int32_t)version;
    return true;
}

bool tl_patch_marker_read(const TpHistory__HistoryEvent *event, struct tl_arena *arena,
                          struct tl_patch_marker *out)
{
    *out = (struct tl_patch_marker){0};
    if ((int)event->event_type != EVENT_TYPE_MARKER_RECORDED || !tl_event_valid(event)) {
        return false;
    }
    const TpHistory__MarkerRecordedEventAttributes *a = event->marker_recorded_event_attributes;
    if (tl_str_eqc(tl_str(a->marker_name), TL_VERSION_MARKER_NAME)) {
        return read_version(a, arena, out);
    }
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

/* The text that `write` puts as a JSON payload. */
static TpCommon__Payload *written(struct tl_arena *arena, const struct tl_patch_marker *patch,
                                  void (*write)(struct tl_jw *w, const struct tl_patch_marker *p))
{
    struct tl_buf text;
    tl_buf_init(&text, patch->id.n * 6 + 64);
    struct tl_jw w;
    tl_jw_init(&w, &text, 0, 2);
    write(&w, patch);
    TpCommon__Payload *data =
        tl_jw_finish(&w, NULL) == TL_OK ? tl_marker_json(arena, &text, NULL) : NULL;
    tl_buf_deinit(&text);
    return data;
}

static void write_patch(struct tl_jw *w, const struct tl_patch_marker *patch)
{
    tl_jw_object(w);
    tl_jw_name(w, TL_STR_LIT("id"));
    tl_jw_string(w, patch->id);
    tl_jw_name(w, TL_STR_LIT("deprecated"));
    tl_jw_bool(w, patch->deprecated);
    tl_jw_object_end(w);
}

static void write_id(struct tl_jw *w, const struct tl_patch_marker *patch)
{
    tl_jw_string(w, patch->id);
}

static void write_version(struct tl_jw *w, const struct tl_patch_marker *patch)
{
    tl_jw_int(w, patch->version);
}

TpCommand__RecordMarkerCommandAttributes *tl_patch_marker_make(struct tl_arena *arena,
                                                               const struct tl_patch_marker *patch)
{
    TpCommand__RecordMarkerCommandAttributes *attrs =
        TL_PB_NEW(arena, TpCommand__RecordMarkerCommandAttributes,
                  tp_command__record_marker_command_attributes);
    struct tl_pb_list entries = {0};
    bool ok =
        attrs && (patch->numbered ? tl_marker_add_payload(arena, &entries, "change-id",
                                                          written(arena, patch, write_id)) &&
                                        tl_marker_add_payload(arena, &entries, "version",
                                                              written(arena, patch, write_version))
                                  : tl_marker_add_payload(arena, &entries, PATCH_DATA_KEY,
                                                          written(arena, patch, write_patch)));
    if (!ok) {
        return NULL;
    }
    attrs->details = entries.items;
    attrs->n_details = entries.n;
    attrs->marker_name =
        tl_pb_cstr(arena, tl_str(patch->numbered ? TL_VERSION_MARKER_NAME : TL_PATCH_MARKER_NAME));
    return attrs->marker_name ? attrs : NULL;
}

static int compare_ids(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* "id" of a patch, "id-version" of a numbered version. */
static char *attribute_text(const struct tl_patch *patch, struct tl_arena *arena)
{
    size_t cap = strlen(patch->id) + 16;
    char *text = tl_arena_alloc(arena, cap);
    if (text && patch->numbered) {
        snprintf(text, cap, "%s-%d", patch->id, (int)patch->version);
    } else if (text) {
        snprintf(text, cap, "%s", patch->id);
    }
    return text;
}

/* ["a","b-2"] of all patches and versions the code has called, in bytewise order. */
static tl_rc put_patch_ids(const struct tl_run *run, struct tl_arena *arena, struct tl_buf *text)
{
    const char **ids = TL_ARENA_ARRAY(arena, const char *, run->patch_count + 1);
    size_t count = 0;
    for (uint32_t i = 0; ids && i < run->patch_count; i++) {
        if (run->patches[i].created) {
            ids[count] = attribute_text(&run->patches[i], arena);
            if (!ids[count++]) {
                return TL_ELIMIT;
            }
        }
    }
    if (!ids) {
        return TL_ELIMIT;
    }
    qsort(ids, count, sizeof(*ids), compare_ids);
    struct tl_jw w;
    tl_jw_init(&w, text, 0, 2);
    tl_jw_array(&w);
    for (size_t i = 0; i < count; i++) {
        tl_jw_string(&w, tl_str(ids[i]));
    }
    tl_jw_array_end(&w);
    return tl_jw_finish(&w, NULL);
}

TpCommand__UpsertWorkflowSearchAttributesCommandAttributes *
tl_patch_upsert_make(const struct tl_run *run, struct tl_arena *arena, bool *too_big)
{
    struct tl_buf text;
    tl_buf_init(&text, SEARCH_ATTRIBUTE_BYTES_MAX - 1);
    *too_big = put_patch_ids(run, arena, &text) != TL_OK;
    TpCommon__Payload *value = *too_big ? NULL : tl_marker_json(arena, &text, "KeywordList");
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
