/* Buffered events: what happens to a run while its workflow task is started gets no id until the task
 * ends, so that the worker's history stays a prefix of what it saw.
 * Thread: the run's owner. */
#include "base/fault.h"
#include "server/history/rs.h"

/* Events that close a run, belong to workflow tasks or come from commands have their place at once. */
bool tl_event_is_buffered_type(int type)
{
    switch (type) {
    case EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
    case EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
    case EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
    case EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
    case EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
    case EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
    case EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
    case EVENT_TYPE_WORKFLOW_TASK_SCHEDULED:
    case EVENT_TYPE_WORKFLOW_TASK_STARTED:
    case EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
    case EVENT_TYPE_WORKFLOW_TASK_FAILED:
    case EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
    case EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
    case EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED:
    case EVENT_TYPE_TIMER_STARTED:
    case EVENT_TYPE_TIMER_CANCELED:
    case EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED:
    case EVENT_TYPE_MARKER_RECORDED:
    case EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
    case EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED:
    case EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
    case EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED:
    case EVENT_TYPE_NEXUS_OPERATION_SCHEDULED:
    case EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUESTED:
    case EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
    case EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED:
        return false;
    default:
        return true;
    }
}

/* Completions go behind everything else, so that a started event never follows its completion. */
static bool goes_last(int type)
{
    switch (type) {
    case EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
    case EVENT_TYPE_ACTIVITY_TASK_FAILED:
    case EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
    case EVENT_TYPE_ACTIVITY_TASK_CANCELED:
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED:
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED:
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT:
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED:
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED:
    case EVENT_TYPE_NEXUS_OPERATION_COMPLETED:
    case EVENT_TYPE_NEXUS_OPERATION_FAILED:
    case EVENT_TYPE_NEXUS_OPERATION_CANCELED:
    case EVENT_TYPE_NEXUS_OPERATION_TIMED_OUT:
        return true;
    default:
        return false;
    }
}

static TpHistory__HistoryEvent *decode(struct tl_tx *tx, size_t index)
{
    const struct tl_buffered *b = &tx->rs->buffer[index];
    TpHistory__HistoryEvent *e = NULL;
    if (tl_pb_decode(&tp_history__history_event__descriptor, tl_str_n(b->bytes, b->n), tx->arena,
                     &e, &tx->p->error) != TL_OK) {
        tl_tx_break(tx, "the buffered events");
        return NULL;
    }
    return e;
}

#define CHILD_CLOSE(NAME, field)                                                                   \
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_##NAME:                                               \
        *scheduled_id =                                                                            \
            e->child_workflow_execution_##field##_event_attributes->initiated_event_id;            \
        *started_id = &e->child_workflow_execution_##field##_event_attributes->started_event_id;   \
        return true;

/* Where a close event of an activity or a child keeps its two ids; false for other events. */
static bool close_ids(TpHistory__HistoryEvent *e, int64_t *scheduled_id, int64_t **started_id)
{
    switch ((int)e->event_type) {
    case EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
        *scheduled_id = e->activity_task_completed_event_attributes->scheduled_event_id;
        *started_id = &e->activity_task_completed_event_attributes->started_event_id;
        return true;
    case EVENT_TYPE_ACTIVITY_TASK_FAILED:
        *scheduled_id = e->activity_task_failed_event_attributes->scheduled_event_id;
        *started_id = &e->activity_task_failed_event_attributes->started_event_id;
        return true;
    case EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
        *scheduled_id = e->activity_task_timed_out_event_attributes->scheduled_event_id;
        *started_id = &e->activity_task_timed_out_event_attributes->started_event_id;
        return true;
    case EVENT_TYPE_ACTIVITY_TASK_CANCELED:
        *scheduled_id = e->activity_task_canceled_event_attributes->scheduled_event_id;
        *started_id = &e->activity_task_canceled_event_attributes->started_event_id;
        return true;
        CHILD_CLOSE(COMPLETED, completed)
        CHILD_CLOSE(FAILED, failed)
        CHILD_CLOSE(CANCELED, canceled)
        CHILD_CLOSE(TIMED_OUT, timed_out)
        CHILD_CLOSE(TERMINATED, terminated)
    default:
        return false;
    }
}

/* Scheduled (or initiated) id -> id of the Started event that this flush wrote. */
struct started_ids {
    int64_t (*pairs)[2];
    size_t n;
};

static void wire_started(struct started_ids *ids, TpHistory__HistoryEvent *e)
{
    int64_t scheduled_id = 0, *started_id = NULL;
    if (!close_ids(e, &scheduled_id, &started_id)) {
        return;
    }
    for (size_t i = 0; i < ids->n; i++) {
        if (ids->pairs[i][0] == scheduled_id) {
            *started_id = ids->pairs[i][1];
        }
    }
}

static void flush_one(struct tl_tx *tx, size_t index, struct started_ids *ids)
{
    TpHistory__HistoryEvent *e = decode(tx, index);
    if (!e) {
        return;
    }
    wire_started(ids, e);
    bool fresh = tx->rs->buffer[index].fresh;
    /* Effects were applied when the event came in. A fresh one has no record yet that says so: on
     * recovery its effect is applied from here. */
    int64_t id = tl_tx_append(tx, e, fresh ? TL_PLACE_HERE : TL_PLACE_BEFORE);
    if ((int)e->event_type == EVENT_TYPE_ACTIVITY_TASK_STARTED) {
        ids->pairs[ids->n][0] = e->activity_task_started_event_attributes->scheduled_event_id;
        ids->pairs[ids->n++][1] = id;
    } else if ((int)e->event_type == EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED) {
        ids->pairs[ids->n][0] =
            e->child_workflow_execution_started_event_attributes->initiated_event_id;
        ids->pairs[ids->n++][1] = id;
    }
}

void tl_buffer_flush(struct tl_tx *tx)
{
    struct tl_rs *rs = tx->rs;
    struct started_ids ids = {0};
    if (rs->buffer_n == 0) {
        return;
    }
    if (TL_FAULT(lose_buffered_event)) {
        tl_buffer_drop(rs, 0);
    }
    ids.pairs = tl_arena_alloc(tx->arena, sizeof(*ids.pairs) * (rs->buffer_n + 1));
    if (!ids.pairs) {
        tl_tx_break(tx, "the buffered events");
        return;
    }
    for (int last = 0; last < 2; last++) {
        for (size_t i = 0; i < rs->buffer_n; i++) {
            if (goes_last(rs->buffer[i].type) == (last == 1)) {
                flush_one(tx, i, &ids);
            }
        }
    }
    tl_rs_buffer_clear(rs);
    tx->p->buffer_flushed = true;
    tx->touched = true;
}

int tl_buffer_find_timer(struct tl_tx *tx, const char *timer_id, int64_t *started_id)
{
    for (size_t i = 0; i < tx->rs->buffer_n; i++) {
        if (tx->rs->buffer[i].type != EVENT_TYPE_TIMER_FIRED) {
            continue;
        }
        TpHistory__HistoryEvent *e = decode(tx, i);
        if (e && tl_str_eqc(tl_str(e->timer_fired_event_attributes->timer_id), timer_id)) {
            *started_id = e->timer_fired_event_attributes->started_event_id;
            return (int)i;
        }
    }
    return -1;
}

bool tl_buffer_has_activity_close(struct tl_tx *tx, int64_t scheduled_id)
{
    for (size_t i = 0; i < tx->rs->buffer_n; i++) {
        int64_t its_id = 0, *started_id = NULL;
        if (!goes_last(tx->rs->buffer[i].type)) {
            continue;
        }
        TpHistory__HistoryEvent *e = decode(tx, i);
        if (e && close_ids(e, &its_id, &started_id) && its_id == scheduled_id) {
            return true;
        }
    }
    return false;
}

bool tl_buffer_has_nexus_close(struct tl_tx *tx, int64_t scheduled_id)
{
    for (size_t i = 0; i < tx->rs->buffer_n; i++) {
        if (!goes_last(tx->rs->buffer[i].type)) {
            continue;
        }
        const TpHistory__HistoryEvent *e = decode(tx, i);
        if (e && tl_nexus_ended_id(e) == scheduled_id) {
            return true;
        }
    }
    return false;
}

void tl_buffer_enforce_limit(struct tl_tx *tx)
{
    const struct tl_history_limits *limits = &tx->env->limits;
    const struct tl_rs *rs = tx->rs;
    if (!tl_rs_open(rs) || !rs->wft.started_id ||
        ((int64_t)rs->buffer_n <= limits->buffered_events &&
         (int64_t)rs->buffer_bytes <= limits->buffered_bytes)) {
        return;
    }
    tl_wft_fail_started(tx, WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND, NULL,
                        TL_IDENTITY_SERVICE, NULL);
    tl_buffer_flush(tx);
    tl_wft_schedule(tx, 0);
}
