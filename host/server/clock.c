/* Skipping time: while no lock is held and nothing runs, the clock jumps to the next deadline of a
 * run (or of a sleeping call). "Runs" means: a workflow task, activity or Nexus request that a worker has, a task
 * that a worker may fetch at any moment, a commit under way, or a request not yet handled.
 * Thread: engine; the lock counter: any. */
#include "base/log.h"
#include "server/engine.h"
#include "server/history/nexus.h"

/* A worker that polled so recently will come back for the tasks that wait. */
#define POLLER_GRACE_NS (2 * TL_NS_PER_S)

static bool activity_runs(struct tl_server *s, struct tl_exec *e)
{
    TpWs__DescribeWorkflowExecutionResponse d = TP_WS__DESCRIBE_WORKFLOW_EXECUTION_RESPONSE__INIT;
    struct tl_error err;
    tl_arena_reset(&s->arena);
    if (tl_rs_describe(e->rs, tl_engine_now(s), &s->arena, &d, &err) != TL_OK) {
        return true;
    }
    for (size_t i = 0; i < d.n_pending_activities; i++) {
        int state = (int)d.pending_activities[i]->state;
        if (state == PENDING_ACTIVITY_STATE_STARTED ||
            state == PENDING_ACTIVITY_STATE_CANCEL_REQUESTED) {
            return true;
        }
    }
    return false;
}

/* Looks at every run: only servers for tests skip time, and they hold few. */
static bool something_runs(struct tl_server *s)
{
    TL_MAP_EACH (entry, &s->runs) {
        struct tl_exec *e = entry->value;
        struct tl_rs_info info;
        if (e->closed) {
            continue;
        }
        tl_rs_info(e->rs, &info);
        if (info.wft_started || (info.pending_activities && activity_runs(s, e)) ||
            tl_rs_nexus_delivered(e->rs)) {
            return true;
        }
    }
    return false;
}

bool tl_clock_skip(struct tl_server *s, int64_t *recheck_mono_ns)
{
    struct tl_heap_node *next = tl_heap_peek(&s->timers);
    *recheck_mono_ns = INT64_MAX;
    if (!s->o.time_skipping || !next || atomic_load(&s->skip_locks) > 0 || s->in_flight ||
        s->open->ops.item_count) {
        return false;
    }
    int64_t ahead = next->deadline_ns - tl_engine_now(s);
    if (ahead <= 0) {
        return false; /* due, and set while others fired: the next round */
    }
    if (s->matcher.tasks_queued && tl_matcher_backlog_has_pollers(&s->matcher)) {
        int64_t patience = s->last_poll_mono_ns + POLLER_GRACE_NS;
        if (s->last_poll_mono_ns && tl_engine_mono(s) < patience) {
            *recheck_mono_ns = patience;
            return false;
        }
    }
    if (something_runs(s)) {
        return false;
    }
    atomic_fetch_add(&s->skipped_ns, ahead);
    TL_LOG(TL_LOG_DEBUG, "server.time_skipped", TL_I("ms", ahead / TL_NS_PER_MS));
    return true;
}

int64_t tl_server_now_ns(struct tl_server *s)
{
    return tl_world_wall_ns(s->world) + atomic_load(&s->skipped_ns);
}

void tl_server_lock_time_skipping(struct tl_server *s)
{
    atomic_fetch_add(&s->skip_locks, 1);
}

void tl_server_unlock_time_skipping(struct tl_server *s)
{
    if (atomic_fetch_sub(&s->skip_locks, 1) <= 0) {
        atomic_fetch_add(&s->skip_locks, 1); /* was not locked */
        return;
    }
    tl_engine_wake(s);
}
