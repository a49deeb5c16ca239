/* Eager start: first tasks of workflows that clients of this process start, without a poll. The client
 * takes a slot before it sends the start (client/eager.h); the task comes on its thread and goes to the actor of
 * its run as one that was polled. */
#include "base/assert.h"
#include "base/mem.h"
#include "worker/wf_int.h"

static void *reserve(struct tl_eager_worker *e,
                     const TpDeployment__WorkerDeploymentOptions **deployment)
{
    struct tl_worker *w = TL_CONTAINER(e, struct tl_worker, eager);
    struct tl_slot *slot = tl_slots_try(&w->wf_slots);
    if (!slot) {
        return NULL;
    }
    struct tl_wf_place *p = TL_NEW(struct tl_wf_place);
    p->slot = slot;
    if (tl_worker_deploys(w)) {
        p->build = tl_build_current(w);
        *deployment = &p->build->deployment;
    }
    return p;
}

static void end(struct tl_eager_worker *e, void *place, struct tl_str task)
{
    struct tl_worker *w = TL_CONTAINER(e, struct tl_worker, eager);
    struct tl_wf_place *p = place;
    struct tl_str run_id = tl_wire_find(tl_wire_find(task, 2), 2);
    tl_worker_enter(w);
    if (run_id.n) {
        p->msg.kind = TL_WM_STARTED;
        p->task = tl_mem_dup(task);
        p->task_bytes = task.n;
        bool sent = tl_inbox_send_always(&tl_wf_route(w, run_id)->actor.inbox, &p->msg);
        TL_ASSERT(sent); /* the inbox closes when no slot is in use */
    } else {
        tl_build_release(p->build);
        tl_slot_give(p->slot);
        tl_mem_free(p);
        tl_pollers_fill_workflow(w);
        tl_worker_tick(w);
    }
    tl_worker_exit(w);
}

void tl_wf_place_taken(struct tl_wf_actor *a, struct tl_wf_place *p)
{
    TL_COUNT(a->actor.worker, workflow_tasks_eager);
    tl_wf_task_take(a, tl_str_n(p->task, p->task_bytes), p->slot, p->build);
    tl_mem_free(p->task);
    tl_mem_free(p);
}

void tl_wf_eager_open(struct tl_worker *w)
{
    if (w->polls_max[TL_POLL_NORMAL] > 0) {
        w->eager.namespace_name = tl_str(w->namespace_name);
        w->eager.task_queue = tl_str(w->task_queue);
        w->eager.reserve = reserve;
        w->eager.end = end;
        tl_eager_set_add(tl_client_eager(w->client), &w->eager);
    }
}

void tl_wf_eager_close(struct tl_worker *w)
{
    tl_eager_set_remove(tl_client_eager(w->client), &w->eager);
}
