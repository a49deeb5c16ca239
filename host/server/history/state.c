/* Mutable state of a run: making, freeing and changing its parts; what apply.c and delta.c build on.
 * Thread: the run's owner. Owns: see rs.h. */
#include <string.h>

#include "base/limits.h"
#include "server/history/rs.h"

/* --- values ---------------------------------------------------------------------------------- */

void tl_set_str(char **slot, const char *s)
{
    char *copy = tl_has_text(s) ? tl_mem_dup(tl_str(s)) : NULL;
    tl_mem_free(*slot);
    *slot = copy;
}

void tl_set_blob(struct tl_blob *b, struct tl_str s)
{
    char *copy = NULL;
    if (s.n > 0) {
        copy = tl_mem_alloc(s.n);
        memcpy(copy, s.p, s.n);
    }
    tl_mem_free(b->p);
    b->p = copy;
    b->n = s.n;
}

bool tl_set_blob_message(struct tl_blob *b, const void *msg)
{
    if (!msg) {
        tl_set_blob(b, (struct tl_str){NULL, 0});
        return true;
    }
    struct tl_buf buf;
    tl_buf_init(&buf, (size_t)1 << 30);
    bool ok = tl_pb_encode(msg, &buf, NULL) == TL_OK;
    if (ok) {
        tl_set_blob(b, tl_buf_str(&buf));
    }
    tl_buf_deinit(&buf);
    return ok;
}

void *tl_blob_decode(const struct tl_blob *b, const ProtobufCMessageDescriptor *desc,
                     struct tl_arena *arena)
{
    void *msg = NULL;
    if (b->n == 0 || tl_pb_decode(desc, tl_blob_str(b), arena, &msg, NULL) != TL_OK) {
        return NULL;
    }
    return msg;
}

TpHistory__HistoryEvent *tl_blob_event(const struct tl_blob *b, struct tl_arena *arena)
{
    return tl_blob_decode(b, &tp_history__history_event__descriptor, arena);
}

Google__Protobuf__Duration tl_duration_value(int64_t ns)
{
    Google__Protobuf__Duration d = GOOGLE__PROTOBUF__DURATION__INIT;
    d.seconds = ns / TL_NS_IN_S;
    d.nanos = (int32_t)(ns % TL_NS_IN_S);
    return d;
}

Google__Protobuf__Timestamp tl_timestamp_value(int64_t ns)
{
    Google__Protobuf__Timestamp t = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    t.seconds = ns / TL_NS_IN_S;
    int64_t rest = ns % TL_NS_IN_S;
    if (rest < 0) {
        rest += TL_NS_IN_S;
        t.seconds--;
    }
    t.nanos = (int32_t)rest;
    return t;
}

void tl_history_limits_default(struct tl_history_limits *out)
{
    *out = (struct tl_history_limits){
        .blob_bytes = tl_limit_blob_bytes,
        .memo_bytes = tl_limit_memo_bytes,
        .id_bytes = tl_limit_id_bytes,
        .history_bytes = tl_limit_history_bytes,
        .history_count = tl_limit_history_count,
        .history_bytes_suggest = tl_limit_history_bytes_suggest,
        .history_count_suggest = tl_limit_history_count_suggest,
        .pending_activities = tl_limit_pending_activities,
        .pending_timers = tl_limit_pending_timers,
        .pending_children = tl_limit_pending_children,
        .pending_signals = tl_limit_pending_signals,
        .pending_cancels = tl_limit_pending_cancels,
        .pending_nexus_operations = tl_limit_pending_nexus_operations,
        .nexus_header_bytes = tl_limit_nexus_header_bytes,
        .nexus_token_bytes = tl_limit_nexus_token_bytes,
        .nexus_request_timeout_ms = tl_limit_nexus_request_ms,
        .signals_per_run = tl_limit_signals_per_run,
        .updates_in_flight = tl_limit_updates_in_flight,
        .updates_total = tl_limit_updates_total,
        .buffered_events = tl_limit_buffered_events,
        .buffered_bytes = tl_limit_buffered_bytes,
        .eager_activities_max = 3,
        .wft_heartbeat_timeout_ms = 30 * 60 * 1000,
        .run_min_interval_ms = 1000,
        .activity_failure_bytes = 4096,
    };
}

/* --- life ------------------------------------------------------------------------------------ */

struct tl_rs *tl_rs_new(const struct tl_rs_identity *identity)
{
    struct tl_rs *rs = TL_NEW(struct tl_rs);
    rs->run_number = identity->run_number;
    rs->namespace_number = identity->namespace_number;
    rs->namespace_name = tl_mem_dup(identity->namespace_name);
    rs->namespace_id = tl_mem_dup(identity->namespace_id);
    rs->workflow_id = tl_mem_dup(identity->workflow_id);
    rs->run_id = tl_mem_dup(identity->run_id);
    rs->kind = identity->kind;
    rs->next_event_id = 1;
    rs->wft.attempt = 1;
    tl_heap_init(&rs->heap);
    tl_list_init(&rs->update_queue);
    return rs;
}

void tl_rs_drop_map(struct tl_map **m)
{
    if (*m) {
        tl_map_deinit(*m);
        tl_mem_free(*m);
        *m = NULL;
    }
}

struct tl_map *tl_rs_need_map(struct tl_map **m)
{
    if (!*m) {
        *m = TL_NEW(struct tl_map);
        tl_map_init(*m);
    }
    return *m;
}

static void free_act(struct tl_act *act)
{
    tl_mem_free(act->activity_id);
    tl_mem_free(act->task_queue);
    tl_mem_free(act->identity);
    tl_mem_free(act->request_id);
    tl_mem_free(act->last_identity);
    tl_mem_free(act->pause_identity);
    tl_mem_free(act->pause_reason);
    tl_mem_free(act->pause_request_id);
    tl_mem_free(act->control_queue);
    tl_mem_free(act->attributes.p);
    tl_mem_free(act->original.p);
    tl_mem_free(act->last_failure.p);
    tl_mem_free(act->heartbeat.p);
    tl_mem_free(act);
}

void tl_rs_clear_pending(struct tl_rs *rs)
{
    if (rs->acts) {
        TL_MAP_EACH (e, rs->acts) {
            struct tl_act *act = e->value;
            tl_heap_remove(&rs->heap, &act->due.node);
            free_act(act);
        }
    }
    if (rs->timers) {
        TL_MAP_EACH (e, rs->timers) {
            struct tl_timer *timer = e->value;
            tl_heap_remove(&rs->heap, &timer->due.node);
            tl_mem_free(timer);
        }
    }
    tl_rs_drop_map(&rs->acts);
    tl_rs_drop_map(&rs->act_ids);
    tl_rs_drop_map(&rs->timers);
    tl_rs_children_free(rs);
    tl_rs_others_free(rs);
    tl_rs_nexus_free(rs);
}

static void free_strings(struct tl_rs *rs)
{
    char *strings[] = {
        rs->namespace_name,
        rs->namespace_id,
        rs->workflow_id,
        rs->run_id,
        rs->workflow_type,
        rs->task_queue,
        rs->first_run_id,
        rs->original_run_id,
        rs->continued_run_id,
        rs->cron_schedule,
        rs->start_request_id,
        rs->cancel_request_id,
        rs->new_run_id,
        rs->sticky_queue,
        rs->deployment_name,
        rs->build_id,
        rs->set_build,
        rs->memo.p,
        rs->search_attributes.p,
        rs->start_event.p,
        rs->execution.p,
        rs->outcome.p,
        rs->retry_policy.p,
        rs->user_metadata.p,
        rs->priority.p,
        rs->wft.request_id,
        rs->wft.identity,
        rs->wft.build_id,
        rs->ran_on,
        rs->left_by,
        rs->moves_to,
        rs->override_version,
        rs->versioning_override.p,
    };
    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
        tl_mem_free(strings[i]);
    }
}

void tl_rs_free(struct tl_rs *rs)
{
    if (!rs) {
        return;
    }
    tl_rs_clear_pending(rs);
    tl_rs_drop_map(&rs->signal_ids);
    tl_heap_deinit(&rs->heap);
    tl_rs_buffer_clear(rs);
    tl_mem_free(rs->buffer);
    for (size_t i = 0; i < rs->batch_n; i++) {
        tl_mem_free(rs->batches[i].cached);
    }
    tl_mem_free(rs->batches);
    tl_rs_queries_free(rs);
    tl_parent_free(&rs->parent);
    tl_pause_free(&rs->pause);
    tl_skipping_free(&rs->skipping);
    tl_rs_updates_free(rs);
    tl_rs_callbacks_free(rs);
    free_strings(rs);
    tl_mem_free(rs);
}

/* --- activities ------------------------------------------------------------------------------ */

struct tl_act *tl_rs_act(const struct tl_rs *rs, int64_t scheduled_id)
{
    return rs->acts ? tl_map_get_num(rs->acts, (uint64_t)scheduled_id) : NULL;
}

struct tl_act *tl_rs_act_by_id(const struct tl_rs *rs, struct tl_str activity_id)
{
    return rs->act_ids ? tl_map_get(rs->act_ids, activity_id) : NULL;
}

static void set_retry(struct tl_act *act, const TpCommon__RetryPolicy *p)
{
    if (!p) {
        act->retry_attempts_max = 1;
        return;
    }
    act->retry_initial_ns = tl_pb_duration_ns_or(p->initial_interval, 0);
    act->retry_max_ns = tl_pb_duration_ns_or(p->maximum_interval, 0);
    act->retry_coefficient = p->backoff_coefficient;
    act->retry_attempts_max = p->maximum_attempts;
}

void tl_act_set_options(struct tl_act *act,
                        const TpHistory__ActivityTaskScheduledEventAttributes *attrs)
{
    tl_set_str(&act->task_queue, attrs->task_queue ? attrs->task_queue->name : "");
    act->schedule_to_close_ns = tl_pb_duration_ns_or(attrs->schedule_to_close_timeout, 0);
    act->schedule_to_start_ns = tl_pb_duration_ns_or(attrs->schedule_to_start_timeout, 0);
    act->start_to_close_ns = tl_pb_duration_ns_or(attrs->start_to_close_timeout, 0);
    act->heartbeat_timeout_ns = tl_pb_duration_ns_or(attrs->heartbeat_timeout, 0);
    act->has_priority = attrs->priority != NULL;
    act->with_run = attrs->use_workflow_build_id;
    set_retry(act, attrs->retry_policy);
}

struct tl_act *tl_rs_act_add(struct tl_rs *rs, int64_t scheduled_id, int64_t scheduled_ns,
                             const TpHistory__ActivityTaskScheduledEventAttributes *attrs,
                             struct tl_str encoded)
{
    struct tl_act *act = TL_NEW(struct tl_act);
    act->due.kind = TL_DUE_ACTIVITY;
    act->scheduled_id = scheduled_id;
    act->scheduled_ns = act->attempt_ns = scheduled_ns;
    act->attempt = 1;
    act->activity_id = tl_mem_dup(tl_str(attrs->activity_id));
    tl_act_set_options(act, attrs);
    tl_set_blob(&act->attributes, encoded);
    tl_map_put_num(tl_rs_need_map(&rs->acts), (uint64_t)scheduled_id, act);
    tl_map_put(tl_rs_need_map(&rs->act_ids), tl_str(act->activity_id), act);
    tl_rs_act_arm(rs, act);
    return act;
}

void tl_rs_act_remove(struct tl_rs *rs, int64_t scheduled_id)
{
    struct tl_act *act = rs->acts ? tl_map_del_num(rs->acts, (uint64_t)scheduled_id) : NULL;
    if (!act) {
        return;
    }
    /* The id may belong to a newer activity already (closed while buffered, then reused). */
    if (tl_map_get(rs->act_ids, tl_str(act->activity_id)) == act) {
        tl_map_del(rs->act_ids, tl_str(act->activity_id));
    }
    tl_heap_remove(&rs->heap, &act->due.node);
    rs->pause_untold = rs->pause_untold || act->paused;
    free_act(act);
    if (rs->acts->count == 0) {
        tl_rs_drop_map(&rs->acts);
        tl_rs_drop_map(&rs->act_ids);
    }
}

void tl_rs_act_arm(struct tl_rs *rs, struct tl_act *act)
{
    int64_t deadline_ns = tl_activity_deadline_ns(act);
    tl_heap_remove(&rs->heap, &act->due.node);
    if (deadline_ns != TL_NS_NEVER) {
        tl_heap_insert(&rs->heap, &act->due.node, deadline_ns);
    }
}

/* --- timers ---------------------------------------------------------------------------------- */

struct tl_timer *tl_rs_timer(const struct tl_rs *rs, struct tl_str timer_id)
{
    return rs->timers ? tl_map_get(rs->timers, timer_id) : NULL;
}

void tl_rs_timer_add(struct tl_rs *rs, const char *timer_id, int64_t started_id, int64_t fire_ns)
{
    size_t n = strlen(timer_id);
    struct tl_timer *timer = tl_mem_alloc(sizeof(*timer) + n + 1);
    timer->due.kind = TL_DUE_TIMER;
    timer->started_id = started_id;
    timer->fire_ns = fire_ns;
    memcpy(timer->id, timer_id, n + 1);
    tl_map_put(tl_rs_need_map(&rs->timers), tl_str_n(timer->id, n), timer);
    tl_heap_insert(&rs->heap, &timer->due.node, fire_ns);
}

void tl_rs_timer_remove(struct tl_rs *rs, const char *timer_id)
{
    struct tl_timer *timer = rs->timers ? tl_map_del(rs->timers, tl_str(timer_id)) : NULL;
    if (!timer) {
        return;
    }
    tl_heap_remove(&rs->heap, &timer->due.node);
    tl_mem_free(timer);
    if (rs->timers->count == 0) {
        tl_rs_drop_map(&rs->timers);
    }
}

/* --- workflow task, stickiness, signals ------------------------------------------------------ */

void tl_wft_clear(struct tl_wft *wft, int32_t next_attempt)
{
    tl_set_str(&wft->request_id, NULL);
    tl_set_str(&wft->identity, NULL);
    tl_set_str(&wft->build_id, NULL);
    *wft = (struct tl_wft){.attempt = next_attempt};
}

void tl_rs_clear_sticky(struct tl_rs *rs)
{
    tl_set_str(&rs->sticky_queue, NULL);
    rs->sticky_timeout_ns = 0;
    rs->wft.drops_sticky = false;
}

void tl_rs_set_sticky(struct tl_rs *rs, const char *task_queue, int64_t timeout_ns)
{
    tl_set_str(&rs->sticky_queue, task_queue);
    rs->sticky_timeout_ns = rs->sticky_queue ? timeout_ns : 0;
}

bool tl_rs_signal_seen(const struct tl_rs *rs, const char *request_id)
{
    return rs->signal_ids && tl_has_text(request_id) &&
           tl_map_get(rs->signal_ids, tl_str(request_id));
}

void tl_rs_signal_note(struct tl_rs *rs, const char *request_id)
{
    if (tl_has_text(request_id)) {
        /* Only presence matters: any address that is not NULL will do. */
        tl_map_put(tl_rs_need_map(&rs->signal_ids), tl_str(request_id), rs);
    }
}

/* --- buffer and batches ---------------------------------------------------------------------- */

void tl_rs_buffer_push(struct tl_rs *rs, struct tl_str bytes, int type, bool fresh)
{
    if (rs->buffer_n == rs->buffer_cap) {
        rs->buffer_cap = rs->buffer_cap ? rs->buffer_cap * 2 : 4;
        rs->buffer = tl_mem_realloc(rs->buffer, rs->buffer_cap * sizeof(rs->buffer[0]));
    }
    struct tl_buffered *b = &rs->buffer[rs->buffer_n++];
    b->bytes = tl_mem_alloc(bytes.n ? bytes.n : 1);
    memcpy(b->bytes, bytes.p, bytes.n);
    b->n = bytes.n;
    b->type = type;
    b->fresh = fresh;
    rs->buffer_bytes += bytes.n;
}

void tl_buffer_drop(struct tl_rs *rs, size_t index)
{
    rs->buffer_bytes -= rs->buffer[index].n;
    tl_mem_free(rs->buffer[index].bytes);
    rs->buffer_n--;
    memmove(&rs->buffer[index], &rs->buffer[index + 1],
            (rs->buffer_n - index) * sizeof(rs->buffer[0]));
}

void tl_rs_buffer_clear(struct tl_rs *rs)
{
    for (size_t i = 0; i < rs->buffer_n; i++) {
        tl_mem_free(rs->buffer[i].bytes);
    }
    rs->buffer_n = 0;
    rs->buffer_bytes = 0;
}

void tl_rs_batch_push(struct tl_rs *rs, int64_t log_id, int64_t first_event_id, uint32_t count,
                      char *cached, size_t bytes_n)
{
    if (rs->batch_n == rs->batch_cap) {
        rs->batch_cap = rs->batch_cap ? rs->batch_cap + rs->batch_cap / 2 : 4;
        rs->batches = tl_mem_realloc(rs->batches, rs->batch_cap * sizeof(rs->batches[0]));
    }
    rs->batches[rs->batch_n++] =
        (struct tl_batch_ref){log_id, first_event_id, count, (uint32_t)bytes_n, cached};
    if (cached) {
        rs->cached_bytes += bytes_n;
    }
}

/* --- deadlines ------------------------------------------------------------------------------- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t wft_deadline_ns(const struct tl_rs *rs)
{
    const struct tl_wft *w = &rs->wft;
    if (w->started_id) {
        return tl_ns_add(w->started_ns, w->timeout_ns);
    }
    if (w->scheduled_id && w->sticky && !w->unstuck && rs->sticky_timeout_ns > 0) {
        return tl_ns_add(w->scheduled_ns, rs->sticky_timeout_ns);
    }
    return TL_NS_NEVER;
}

int64_t tl_rs_run_deadline_ns(const struct tl_rs *rs)
{
    int64_t at_ns = wft_deadline_ns(rs);
    if (rs->run_expiration_ns > 0) {
        at_ns = earlier(at_ns, rs->run_expiration_ns);
    }
    if (tl_rs_in_backoff(rs) && !tl_rs_paused(rs)) {
        at_ns = earlier(at_ns, tl_ns_add(rs->start_ns, rs->first_backoff_ns));
    }
    return earlier(at_ns, tl_skipping_deadline_ns(rs));
}

int64_t tl_rs_deadline_ns(const struct tl_rs *rs)
{
    if (!tl_rs_open(rs)) {
        return TL_NS_NEVER;
    }
    int64_t at_ns = tl_rs_run_deadline_ns(rs);
    const struct tl_heap_node *node = tl_heap_peek(&rs->heap);
    at_ns = node ? earlier(at_ns, node->deadline_ns) : at_ns;
    return at_ns == TL_NS_NEVER ? at_ns : at_ns - rs->skipping.skipped_ns;
}
