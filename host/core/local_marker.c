/* The wire form of a finished local activity: the marker `core_local_activity`, the same as the
 * official core's. Its detail "data" is JSON, "result" the result, its failure the failure. Read are
 * also Go's and Java's `LocalActivity`, which have no sequence number: see tl_local_match.
 * Ownership: what is read borrows from the event or is the arena's. Thread: any. */
#include "core/run_int.h"

#include <tl_enums.h>

#include "base/world.h"
#include "proto/json.h"

#define FOREIGN_NAME "LocalActivity"
#define DATA_BYTES_MAX ((size_t)1 << 20)

/* --- reading ---------------------------------------------------------------------------------- */

/* {"seconds":n,"nanos":n} or null. */
static tl_rc read_time(struct tl_jreader *r, int64_t *ns)
{
    struct tl_jtok t;
    int64_t seconds = 0, nanos = 0;
    tl_rc rc = tl_jtok_next(r, &t, NULL);
    if (rc != TL_OK || t.kind == TL_J_NULL) {
        return rc;
    }
    if (t.kind != TL_J_OBJECT) {
        return tl_jtok_skip(r, &t, NULL);
    }
    while ((rc = tl_jtok_next(r, &t, NULL)) == TL_OK && t.kind == TL_J_NAME) {
        int64_t *to = tl_str_eqc(t.text, "seconds") ? &seconds
                      : tl_str_eqc(t.text, "nanos") ? &nanos
                                                    : NULL;
        rc = tl_jtok_next(r, &t, NULL);
        if (rc == TL_OK && to && t.kind == TL_J_INT) {
            *to = t.i;
        } else if (rc == TL_OK) {
            rc = tl_jtok_skip(r, &t, NULL);
        }
        if (rc != TL_OK) {
            return rc;
        }
    }
    if (seconds < 0 || seconds > INT64_MAX / TL_NS_PER_S - 1 || nanos < 0 || nanos >= TL_NS_PER_S) {
        return TL_EDECODE;
    }
    *ns = seconds * TL_NS_PER_S + nanos;
    return rc;
}

/* Go's time is text, which is how JSON has a Timestamp. 0: it cannot be read. */
static int64_t go_time(struct tl_str text, struct tl_arena *arena)
{
    struct tl_buf quoted;
    Google__Protobuf__Timestamp *time = NULL;
    tl_buf_init(&quoted, 256);
    tl_buf_printf(&quoted, "\"%.*s\"", TL_STR_FMT(text));
    tl_rc rc = tl_json_read(&google__protobuf__timestamp__descriptor, tl_buf_str(&quoted), NULL,
                            arena, &time, NULL);
    tl_buf_deinit(&quoted);
    return rc == TL_OK ? tl_pb_timestamp_ns_or(time, 0) : 0;
}

/* One member of the data, by the official core's names or Go's. */
static tl_rc read_member(struct tl_jreader *r, struct tl_str name, struct tl_arena *arena,
                         struct tl_local_marker *out)
{
    struct tl_jtok t;
    static const struct {
        const char *name;
        size_t offset;
    } times[] = {{"complete_time", offsetof(struct tl_local_marker, complete_ns)},
                 {"backoff", offsetof(struct tl_local_marker, backoff_ns)},
                 {"original_schedule_time", offsetof(struct tl_local_marker, original_ns)}};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        if (tl_str_eqc(name, times[i].name)) {
            return read_time(r, (int64_t *)(void *)((char *)out + times[i].offset));
        }
    }
    tl_rc rc = tl_jtok_next(r, &t, NULL);
    if (rc != TL_OK) {
        return rc;
    }
    bool number = t.kind == TL_J_INT && t.i >= 0;
    if (number && tl_str_eqc(name, "seq") && t.i <= UINT32_MAX) {
        out->seq = (uint32_t)t.i;
    } else if (number && (tl_str_eqc(name, "attempt") || tl_str_eqc(name, "Attempt"))) {
        out->attempt = t.i <= UINT32_MAX ? (uint32_t)t.i : 0;
    } else if (number &&
               (tl_str_eqc(name, "activation_index") || tl_str_eqc(name, "activation_group"))) {
        out->batch = t.i;
    } else if (number && tl_str_eqc(name, "Backoff")) {
        out->backoff_ns = t.i;
    } else if (t.kind == TL_J_STRING &&
               (tl_str_eqc(name, "activity_id") || tl_str_eqc(name, "ActivityID"))) {
        out->id = tl_arena_str(arena, t.text);
    } else if (t.kind == TL_J_STRING &&
               (tl_str_eqc(name, "activity_type") || tl_str_eqc(name, "ActivityType"))) {
        out->type = tl_arena_str(arena, t.text);
    } else if (t.kind == TL_J_STRING && tl_str_eqc(name, "ReplayTime")) {
        out->complete_ns = go_time(t.text, arena);
    } else {
        rc = tl_jtok_skip(r, &t, NULL);
    }
    return rc;
}

static bool read_data(struct tl_str text, struct tl_arena *arena, struct tl_local_marker *out)
{
    struct tl_jreader r;
    struct tl_jtok t;
    tl_jreader_init(&r, text, 0, 8);
    tl_rc rc = tl_jtok_next(&r, &t, NULL);
    if (rc == TL_OK && t.kind != TL_J_OBJECT) {
        rc = TL_EDECODE;
    }
    while (rc == TL_OK && (rc = tl_jtok_next(&r, &t, NULL)) == TL_OK && t.kind == TL_J_NAME) {
        struct tl_str name = tl_arena_str(arena, t.text);
        rc = name.p ? read_member(&r, name, arena, out) : TL_ELIMIT;
    }
    tl_jreader_deinit(&r);
    return rc == TL_OK;
}

static bool is_canceled(const TpFailure__Failure *f)
{
    const int canceled = TP_FAILURE__FAILURE__FAILURE_INFO_CANCELED_FAILURE_INFO;
    return f && ((int)f->failure_info_case == canceled ||
                 (f->cause && (int)f->cause->failure_info_case == canceled));
}

bool tl_local_marker_is(const TpHistory__HistoryEvent *event)
{
    if ((int)event->event_type != EVENT_TYPE_MARKER_RECORDED || !tl_event_valid(event)) {
        return false;
    }
    struct tl_str name = tl_str(event->marker_recorded_event_attributes->marker_name);
    return tl_str_eqc(name, TL_LOCAL_MARKER_NAME) || tl_str_eqc(name, FOREIGN_NAME);
}

bool tl_local_marker_read(const TpHistory__HistoryEvent *event, struct tl_arena *arena,
                          struct tl_local_marker *out)
{
    *out = (struct tl_local_marker){.batch = -1};
    if (!tl_local_marker_is(event)) {
        return false;
    }
    const TpHistory__MarkerRecordedEventAttributes *a = event->marker_recorded_event_attributes;
    const TpCommon__Payloads *data = tl_marker_detail(a, TL_STR_LIT("data"));
    out->event_id = event->event_id;
    out->result = tl_marker_detail(a, TL_STR_LIT("result"));
    out->failure = a->failure;
    out->status = !a->failure               ? TL_ACTIVITY_COMPLETED
                  : is_canceled(a->failure) ? TL_ACTIVITY_CANCELED
                                            : TL_ACTIVITY_FAILED;
    if (tl_str_eqc(tl_str(a->marker_name), TL_LOCAL_MARKER_NAME)) {
        return data && data->n_payloads == 1 &&
               read_data(tl_pb_str(data->payloads[0]->data), arena, out) && out->seq > 0;
    }
    if (tl_marker_text(a, "activityId", arena,
                       &out->id)) { /* Java; older ones: data is the result */
        int64_t ms;
        (void)tl_marker_text(a, "type", arena, &out->type);
        if (tl_marker_integer(a, "time", &ms) && ms > 0 && ms < INT64_MAX / TL_NS_PER_MS) {
            out->complete_ns = ms * TL_NS_PER_MS;
        }
        out->result = out->result ? out->result : data;
        return true;
    }
    return data && data->n_payloads == 1 &&
           read_data(tl_pb_str(data->payloads[0]->data), arena, out) && out->id.n > 0;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void write_time(struct tl_jw *w, const char *name, int64_t ns)
{
    tl_jw_name(w, tl_str(name));
    if (ns <= 0) {
        tl_jw_null(w);
        return;
    }
    tl_jw_object(w);
    tl_jw_name(w, TL_STR_LIT("seconds"));
    tl_jw_int(w, ns / TL_NS_PER_S);
    tl_jw_name(w, TL_STR_LIT("nanos"));
    tl_jw_int(w, ns % TL_NS_PER_S);
    tl_jw_object_end(w);
}

static void write_data(struct tl_jw *w, const struct tl_local_marker *m)
{
    tl_jw_object(w);
    tl_jw_name(w, TL_STR_LIT("seq"));
    tl_jw_int(w, m->seq);
    tl_jw_name(w, TL_STR_LIT("attempt"));
    tl_jw_int(w, m->attempt);
    tl_jw_name(w, TL_STR_LIT("activity_id"));
    tl_jw_string(w, m->id);
    tl_jw_name(w, TL_STR_LIT("activity_type"));
    tl_jw_string(w, m->type);
    write_time(w, "complete_time", m->complete_ns);
    write_time(w, "backoff", m->backoff_ns);
    write_time(w, "original_schedule_time", m->original_ns);
    tl_jw_name(w, TL_STR_LIT("activation_index"));
    tl_jw_int(w, m->batch);
    tl_jw_object_end(w);
}

TpCommand__RecordMarkerCommandAttributes *tl_local_marker_make(struct tl_arena *arena,
                                                               const struct tl_local_marker *m)
{
    struct tl_buf text;
    struct tl_jw w;
    tl_buf_init(&text, DATA_BYTES_MAX);
    tl_jw_init(&w, &text, 0, 3);
    write_data(&w, m);
    TpCommon__Payload *data =
        tl_jw_finish(&w, NULL) == TL_OK ? tl_marker_json(arena, &text, NULL) : NULL;
    tl_buf_deinit(&text);
    TpCommand__RecordMarkerCommandAttributes *attrs =
        TL_PB_NEW(arena, TpCommand__RecordMarkerCommandAttributes,
                  tp_command__record_marker_command_attributes);
    struct tl_pb_list details = {0};
    if (!attrs || !tl_marker_add_payload(arena, &details, "data", data) ||
        (m->result && !tl_marker_add(arena, &details, "result", m->result))) {
        return NULL;
    }
    attrs->details = details.items;
    attrs->n_details = details.n;
    attrs->failure = (TpFailure__Failure *)(uintptr_t)m->failure;
    attrs->marker_name = tl_pb_cstr(arena, TL_STR_LIT(TL_LOCAL_MARKER_NAME));
    return attrs->marker_name ? attrs : NULL;
}
