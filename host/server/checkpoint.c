/* Rows written late: visibility and checkpoint of a run follow its log by a few seconds, many at a
 * time. The mark in meta says up to which log row every run's row is up to date; recovery reads the
 * log from there. Thread: engine. */
#include <stdio.h>

#include "base/fault.h"
#include "base/log.h"
#include "server/engine.h"

/* Memory for the search attributes of one row; the limit on their size keeps them far below. */
#define ROW_BYTES_MAX ((size_t)16 * 1024 * 1024)

void tl_checkpoint_dirty(struct tl_server *s, struct tl_exec *e, int64_t log_id)
{
    if (tl_list_linked(&e->dirty)) {
        return;
    }
    if (s->dirty_count++ == 0) {
        s->dirty_since_ns = tl_engine_mono(s);
    }
    e->dirty_log_id = log_id;
    /* In the order of the log, as the mark is that of the first. New records come last; a run that
     * was read again after a failed commit goes back to its place. */
    struct tl_list *behind = s->dirty.prev;
    while (behind != &s->dirty &&
           TL_CONTAINER(behind, struct tl_exec, dirty)->dirty_log_id > log_id) {
        behind = behind->prev;
    }
    tl_list_push_front(behind, &e->dirty);
    if (tl_list_linked(
            &e->lru)) { /* a closed run that was written again, by a reset or an update */
        tl_list_remove(&e->lru);
        s->lru_count--;
    }
}

static void fill_row(const struct tl_rs_info *i, struct tl_run_row *row)
{
    row->number = (int64_t)i->id.run_number;
    row->namespace_number = tl_scope_of(i->id.namespace_number, i->id.kind);
    row->workflow_id = i->id.workflow_id;
    row->run_id = i->id.run_id;
    row->type = i->workflow_type;
    row->task_queue = i->task_queue;
    row->status = i->status;
    row->start_ns = i->start_ns;
    row->execution_ns = i->execution_ns;
    row->close_ns = i->close_ns;
    row->history_length = i->history_length;
    row->history_bytes = i->history_bytes;
    row->state_transitions = i->state_transition_count;
    row->last_log_id = i->last_log_id;
    row->first_run_id = i->first_run_id;
    row->parent_workflow_id = i->parent_workflow_id;
    if (i->id.kind == TL_RUN_OPERATION) { /* which has neither a queue nor a parent */
        row->task_queue = i->endpoint;
        row->parent_workflow_id = i->service;
    }
    row->parent_run_id = i->parent_run_id;
    row->root_workflow_id = i->root_workflow_id;
    row->root_run_id = i->root_run_id;
    row->memo = i->memo;
    row->search_attributes = i->search_attributes;
}

/* Puts the whole row, with what filters can see of the search attributes. */
static tl_rc put_full_row(struct tl_server *s, const struct tl_rs_info *info, struct tl_error *err)
{
    struct tl_run_row row = {0};
    struct tl_arena arena;
    tl_arena_init(&arena, ROW_BYTES_MAX);
    fill_row(info, &row);
    row.state = tl_buf_str(&s->scratch);
    tl_rc rc = tl_attrs_index((int64_t)info->id.namespace_number, info->search_attributes, &arena,
                              &row.values, &row.value_count, &row.division, err);
    if (rc == TL_OK) {
        tl_batch_run_put(&s->open->ops, &row);
    }
    tl_arena_deinit(&arena);
    return rc;
}

static bool put_row(struct tl_server *s, struct tl_exec *e)
{
    struct tl_rs_info info;
    struct tl_error err;
    tl_buf_clear(&s->scratch);
    if (tl_rs_checkpoint(e->rs, &s->scratch, &err) != TL_OK) {
        TL_LOG(TL_LOG_ERROR, "server.checkpoint_failed", TL_C("cause", err.message),
               TL_I("run", e->number));
        return false;
    }
    tl_rs_info(e->rs, &info);
    if (e->stored && !e->closed && info.visibility_version == e->visibility_stored) {
        tl_batch_run_state_put(&s->open->ops, (int64_t)e->number, info.last_log_id,
                               tl_buf_str(&s->scratch));
    } else if (put_full_row(s, &info, &err) != TL_OK) {
        TL_LOG(TL_LOG_ERROR, "server.row_failed", TL_C("cause", err.message),
               TL_I("run", e->number));
        return false;
    }
    e->stored = true;
    e->visibility_stored = info.visibility_version;
    e->row_seq = s->open->seq;
    tl_rs_shrink(e->rs, s->durable_log_id, (size_t)s->o.history_cache_bytes);
    return true;
}

static void put_number(struct tl_server *s, struct tl_str key, int64_t value)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%lld", (long long)value);
    tl_batch_meta_put(&s->open->ops, key, tl_str_n(text, (size_t)n));
}

void tl_checkpoint_flush(struct tl_server *s, size_t rows)
{
    if (tl_list_empty(&s->dirty) || s->lost.count) {
        return; /* with runs missing from the list the mark would pass over them */
    }
    while (rows-- > 0 && !tl_list_empty(&s->dirty)) {
        struct tl_exec *e = TL_CONTAINER(tl_list_first(&s->dirty), struct tl_exec, dirty);
        if (!put_row(s, e)) {
            break; /* the mark stays before it: recovery replays its log */
        }
        tl_list_remove(&e->dirty);
        s->dirty_count--;
        e->dirty_log_id = 0;
        if (e->closed) {
            tl_list_push(&s->lru, &e->lru);
            s->lru_count++;
        }
    }
    int64_t mark = s->next_log_id - 1;
    if (!tl_list_empty(&s->dirty) && !TL_FAULT(checkpoint_too_far)) {
        mark = TL_CONTAINER(tl_list_first(&s->dirty), struct tl_exec, dirty)->dirty_log_id - 1;
    }
    put_number(s, TL_STR_LIT("mark"), mark);
    put_number(s, TL_STR_LIT("next_run"), (int64_t)s->next_run_number);
    put_number(s, TL_STR_LIT("next_log"), s->next_log_id);
    put_number(s, TL_STR_LIT("skipped_ns"), atomic_load(&s->skipped_ns));
    s->dirty_since_ns = tl_engine_mono(s);
}

int64_t tl_checkpoint_due(struct tl_server *s)
{
    if (!s->dirty_count || s->lost.count) {
        return INT64_MAX;
    }
    int64_t at = s->dirty_since_ns + s->o.checkpoint_ns;
    if (s->dirty_count >= s->o.checkpoint_rows || tl_engine_mono(s) >= at) {
        tl_checkpoint_flush(s, s->o.checkpoint_rows);
        return s->dirty_count ? s->dirty_since_ns + s->o.checkpoint_ns : INT64_MAX;
    }
    return at;
}
