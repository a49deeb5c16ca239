/* The activities of the simulated workflows. They run in the worker's step, on the one thread. */
#include <stdio.h>
#include <string.h>

#include "proto/payload.h"
#include "proto/pb.h"
#include "sim/sim.h"

static struct sim_workflow *workflow_of(struct sim *s, const struct tl_activity *a)
{
    const char *id = a->task->workflow_execution ? a->task->workflow_execution->workflow_id : "";
    for (int i = 0; i < s->options.workflows; i++) {
        if (strcmp(s->workflows[i].id, id) == 0) {
            return &s->workflows[i];
        }
    }
    return NULL;
}

/* "double" fails now and then; the retry policy deals with it. */
static void run_double(void *thread_state, void *ud, struct tl_activity *a)
{
    struct sim *s = ud;
    (void)thread_state;
    int n = sim_integer(a->task->input);
    if (n <= 0) {
        sim_fail(s, "%s: the activity 'double' has lost its input", a->task->activity_id);
    }
    if (tl_rng_below(&s->rng, 5) == 0) {
        tl_activity_fail(
            a, tl_activity_failure(a->arena, TL_STR_LIT("Busy"), TL_STR_LIT("busy"), false));
        return;
    }
    TpCommon__Payloads *out = TL_PB_NEW(a->arena, TpCommon__Payloads, tp_common__payloads);
    TpCommon__Payload *item =
        tl_payload_json(a->arena, tl_str(tl_arena_printf(a->arena, "%d", n * 2)));
    out->payloads = tl_arena_alloc(a->arena, sizeof *out->payloads);
    out->payloads[0] = item;
    out->n_payloads = 1;
    tl_activity_complete(a, out);
}

/* "once" counts its executions where no crash can reach. */
static void run_once(void *thread_state, void *ud, struct tl_activity *a)
{
    struct sim *s = ud;
    (void)thread_state;
    struct sim_workflow *w = workflow_of(s, a);
    struct sim_alone *alone = sim_alone_of(s, a->task);
    int k = sim_integer(a->task->input);
    s->fragile = true;
    if (alone && ++alone->once_runs > 1) {
        sim_fail(s, "%s: an activity with one attempt ran twice", alone->id);
    }
    if (w && (k < 1 || k > SIM_ONCE || ++w->once_runs[k - 1] > 1)) {
        sim_fail(s, "%s: an activity with one attempt ran twice", w->id);
    }
    tl_activity_complete(a, NULL);
}

/* "manual" leaves its token to the client. It was handed out after the end of the attempt before, so
 * what that one's heartbeats were told is known here. */
static void run_manual(void *thread_state, void *ud, struct tl_activity *a)
{
    struct sim *s = ud;
    (void)thread_state;
    struct sim_workflow *w = workflow_of(s, a);
    size_t n = a->task->task_token.len;
    if (w && n <= sizeof w->manual.token) {
        int beats = sim_integer(a->task->heartbeat_details);
        if (beats < w->manual.beats_acked || beats > w->manual.beats_sent) {
            sim_fail(s, "%s: an activity gets the heartbeat %d, %d were acknowledged, %d sent",
                     w->id, beats, w->manual.beats_acked, w->manual.beats_sent);
        }
        if (w->manual.done_acked) {
            sim_fail(s, "%s: an activity runs again after its result was acknowledged", w->id);
        }
        memcpy(w->manual.token, a->task->task_token.data, n);
        w->manual.token_n = n;
    }
    tl_activity_complete_async(a);
}

/* "stuck" never answers. */
static void run_stuck(void *thread_state, void *ud, struct tl_activity *a)
{
    (void)thread_state, (void)ud;
    tl_activity_complete_async(a);
}

bool sim_activities_add(struct sim *s)
{
    static const struct {
        const char *name;
        void (*run)(void *, void *, struct tl_activity *);
    } all[] = {
        {"double", run_double}, {"once", run_once}, {"manual", run_manual}, {"stuck", run_stuck}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct tl_activity_impl impl = {all[i].run, s};
        struct tl_error err;
        if (tl_registry_add(s->registry, tl_str(all[i].name), &impl, &err) != TL_OK) {
            sim_fail(s, "activities: %s", err.message);
            return false;
        }
    }
    return true;
}
