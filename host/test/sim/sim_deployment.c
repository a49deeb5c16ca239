/* The client of a deployment with two builds: it makes one current, later the other, and looks ever after
 * whether that stays. See sim.h. */
#include <string.h>

#include "base/limits.h"
#include "proto/pb.h"
#include "sim/sim.h"
#include "tl_enums.h"

#define ASKS 2 /* how often it is described when both were current */
#define DEPLOYMENT "sim"

enum { GRPC_PRECONDITION = 9 };

const char *const sim_builds[] = {[SIM_BUILD_NONE] = "", [SIM_BUILD_A] = "a", [SIM_BUILD_B] = "b"};

void sim_deployment_open(struct sim *s)
{
    s->deployment = (struct sim_deployment){.sim = s, .asks = ASKS, .next_ns = s->now_ns};
}

bool sim_deployment_done(const struct sim_deployment *d)
{
    return d->acked == SIM_BUILD_B && d->asks == 0 && d->busy == 0;
}

bool sim_deployment_rests(const struct sim_deployment *d)
{
    return d->busy > 0 || sim_deployment_done(d);
}

void sim_deployment_ask_again(struct sim_deployment *d)
{
    d->asks = ASKS;
}

/* --- answers ----------------------------------------------------------------------------------------- */

static int build_of(const TpDeployment__WorkerDeploymentVersion *v)
{
    int build = SIM_BUILD_NONE;
    for (int i = SIM_BUILD_A; v && i <= SIM_BUILD_B; i++) {
        build = strcmp(v->build_id, sim_builds[i]) == 0 ? i : build;
    }
    return build;
}

static void described(struct sim_call *c, struct tl_arena *arena)
{
    struct sim_deployment *d = &c->sim->deployment;
    const TpWs__DescribeWorkerDeploymentResponse *r = sim_call_decode(c, arena);
    const TpDeployment__RoutingConfig *routing =
        r && r->worker_deployment_info ? r->worker_deployment_info->routing_config : NULL;
    int build = routing ? build_of(routing->current_deployment_version) : SIM_BUILD_NONE;
    if (build < d->acked || build > d->sent) {
        sim_fail(c->sim, "the current build is '%s', '%s' is acknowledged, '%s' was asked for",
                 sim_builds[build], sim_builds[d->acked], sim_builds[d->sent]);
    }
    d->asks -= d->asks > 0;
}

static void replied(struct sim_call *c)
{
    struct sim_deployment *d = &c->sim->deployment;
    struct tl_arena arena;
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes);
    sim_call_note(c);
    int status = c->result->status;
    if (status == 0 && c->what == SIM_CALL_ROUTING) {
        described(c, &arena);
    } else if (status == 0) {
        /* The other build comes when some runs are under way. */
        d->next_ns = c->sim->now_ns + (int64_t)tl_rng_below(&c->sim->rng, 20) * TL_NS_PER_S;
        d->acked = d->sent;
    } else if (!sim_call_lost(c) && status != GRPC_PRECONDITION) {
        sim_fail(c->sim, "%s: call %d answered %d: %.*s", c->id, (int)c->what, status,
                 TL_STR_FMT(c->result->message));
    }
    tl_arena_deinit(&arena);
}

void sim_deployment_check(struct sim_workflow *w, const TpHistory__History *history)
{
    int last = w->builds_before, tasks = 0;
    for (size_t i = 0; i < history->n_events; i++) {
        const TpHistory__HistoryEvent *e = history->events[i];
        if (e->event_type != (TpEnums__EventType)EVENT_TYPE_WORKFLOW_TASK_COMPLETED) {
            continue;
        }
        int build = build_of(e->workflow_task_completed_event_attributes->deployment_version);
        bool stays = w->kind == SIM_PINNED && tasks > 0;
        if (build == SIM_BUILD_NONE || (stays ? build != last : build < last)) {
            sim_fail(w->sim, "%s: the task of event %zu ran on the build '%s', before it was '%s'",
                     w->id, i + 1, sim_builds[build], sim_builds[last]);
        }
        last = build;
        tasks++;
    }
}

/* --- requests ---------------------------------------------------------------------------------------- */

static void call_rollout(struct sim_deployment *d, struct tl_arena *arena, struct sim_call *c)
{
    TpWs__SetWorkerDeploymentCurrentVersionRequest *r =
        TL_PB_NEW(arena, TpWs__SetWorkerDeploymentCurrentVersionRequest,
                  tp_ws__set_worker_deployment_current_version_request);
    d->sent = d->acked + 1;
    r->deployment_name = tl_arena_cstr(arena, TL_STR_LIT(DEPLOYMENT));
    r->build_id = tl_arena_cstr(arena, tl_str(sim_builds[d->sent]));
    r->allow_no_pollers = true;
    r->ignore_missing_task_queues = true;
    c->what = SIM_CALL_ROLLOUT;
    sim_call_submit(c, TL_M_SetWorkerDeploymentCurrentVersion, r);
}

void sim_deployment_act(struct sim_deployment *d)
{
    struct tl_arena arena;
    struct sim_call c = {.sim = d->sim, .id = DEPLOYMENT, .replied = replied, .busy = &d->busy};
    bool looks = d->acked == SIM_BUILD_B ||
                 (d->acked != SIM_BUILD_NONE && tl_rng_below(&d->sim->rng, 2) == 0);
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes);
    d->next_ns = d->sim->now_ns + (1 + (int64_t)tl_rng_below(&d->sim->rng, 2000)) * TL_NS_PER_MS;
    if (looks) {
        TpWs__DescribeWorkerDeploymentRequest *r =
            TL_PB_NEW(&arena, TpWs__DescribeWorkerDeploymentRequest,
                      tp_ws__describe_worker_deployment_request);
        r->deployment_name = tl_arena_cstr(&arena, TL_STR_LIT(DEPLOYMENT));
        c.what = SIM_CALL_ROUTING;
        sim_call_submit(&c, TL_M_DescribeWorkerDeployment, r);
    } else {
        call_rollout(d, &arena, &c);
    }
    tl_arena_deinit(&arena);
}
