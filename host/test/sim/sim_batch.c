/* The client of batch operations. A job begins when all workflows that it shall reach are started, and the next
 * when the one before has ended. See sim.h. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "proto/pb.h"
#include "sim/sim.h"
#include "tl_enums.h"

#define ASKS 2 /* how often a job is described after its end */

enum { GRPC_EXISTS = 6 };

static int workflow_count(const struct sim *s, bool started)
{
    int count = 0;
    for (int i = 0; i < s->options.workflows; i++) {
        const struct sim_workflow *w = &s->workflows[i];
        count += w->kind == SIM_BATCHED && (!started || w->start_acked);
    }
    return count;
}

static void next_job(struct sim_batches *b)
{
    b->number++;
    b->acked = b->repeated = false;
    snprintf(b->id, sizeof b->id, "batch-%d", b->number);
}

void sim_batches_open(struct sim *s)
{
    s->batches = (struct sim_batches){.sim = s, .asks = ASKS};
    next_job(&s->batches);
    if (workflow_count(s, false) == 0) {
        s->batches.number = SIM_BATCHES + 1;
    }
}

bool sim_batches_done(const struct sim_batches *b)
{
    return b->number > SIM_BATCHES && (b->asks == 0 || workflow_count(b->sim, false) == 0) &&
           b->busy == 0;
}

bool sim_batches_rest(const struct sim_batches *b)
{
    return b->busy > 0 || sim_batches_done(b) ||
           workflow_count(b->sim, true) < workflow_count(b->sim, false);
}

void sim_batches_ask_again(struct sim_batches *b)
{
    b->asks = ASKS;
}

/* Each workflow was reached, none twice; that stays so. */
static void described(struct sim_call *c, struct tl_arena *arena)
{
    struct sim_batches *b = &c->sim->batches;
    const TpWs__DescribeBatchOperationResponse *r = sim_call_decode(c, arena);
    int count = workflow_count(c->sim, false);
    bool over = r && (int)r->state == BATCH_OPERATION_STATE_COMPLETED;
    if (!r || r->failure_operation_count || r->complete_operation_count > count ||
        (over && (r->complete_operation_count != count || r->total_operation_count != count))) {
        sim_fail(c->sim, "%s: of %d workflows %lld were reached, %lld not, in the state %d", c->id,
                 count, r ? (long long)r->complete_operation_count : -1,
                 r ? (long long)r->failure_operation_count : -1, r ? (int)r->state : 0);
    }
    if (b->number > SIM_BATCHES && !over) {
        sim_fail(c->sim, "%s: had ended and runs again", c->id);
    } else if (b->number > SIM_BATCHES) {
        b->asks--;
    } else if (over) {
        if (b->number < SIM_BATCHES) {
            next_job(b);
        } else {
            b->number++; /* the last: its id stays to be asked for */
        }
    }
}

static void replied(struct sim_call *c)
{
    struct sim_batches *b = &c->sim->batches;
    struct tl_arena arena;
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes);
    sim_call_note(c);
    bool fine = c->result->status == 0;
    bool known = c->result->status == GRPC_EXISTS && c->what == SIM_CALL_BATCH_START && b->repeated;
    if (fine && c->what == SIM_CALL_BATCH_DESCRIBE) {
        described(c, &arena);
    } else if (fine || known) {
        b->acked = true;
    } else if (!sim_call_lost(c)) {
        sim_fail(c->sim, "%s: call %d answered %d: %.*s", c->id, (int)c->what, c->result->status,
                 TL_STR_FMT(c->result->message));
    }
    b->repeated = b->repeated || c->what == SIM_CALL_BATCH_START;
    tl_arena_deinit(&arena);
}

static void call_start(struct sim_batches *b, struct tl_arena *arena, struct sim_call *c)
{
    TpWs__StartBatchOperationRequest *r =
        TL_PB_NEW(arena, TpWs__StartBatchOperationRequest, tp_ws__start_batch_operation_request);
    r->job_id = b->id;
    r->reason = tl_arena_cstr(arena, TL_STR_LIT("all of them"));
    r->visibility_query = tl_arena_cstr(
        arena, TL_STR_LIT("WorkflowType = 'Batched' AND ExecutionStatus = 'Running'"));
    r->operation_case = TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_SIGNAL_OPERATION;
    r->signal_operation =
        TL_PB_NEW(arena, TpBatch__BatchOperationSignal, tp_batch__batch_operation_signal);
    r->signal_operation->signal = tl_arena_cstr(arena, TL_STR_LIT("b"));
    r->signal_operation->input = sim_integers(arena, 1, &b->number);
    c->what = SIM_CALL_BATCH_START;
    sim_call_submit(c, TL_M_StartBatchOperation, r);
}

void sim_batches_act(struct sim_batches *b)
{
    struct tl_arena arena;
    struct sim_call c = {.sim = b->sim, .id = b->id, .replied = replied, .busy = &b->busy};
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes);
    if (b->number <= SIM_BATCHES && !b->acked) {
        call_start(b, &arena, &c);
    } else {
        TpWs__DescribeBatchOperationRequest *r = TL_PB_NEW(
            &arena, TpWs__DescribeBatchOperationRequest, tp_ws__describe_batch_operation_request);
        r->job_id = b->id;
        c.what = SIM_CALL_BATCH_DESCRIBE;
        sim_call_submit(&c, TL_M_DescribeBatchOperation, r);
    }
    b->next_ns = b->sim->now_ns + (1 + (int64_t)tl_rng_below(&b->sim->rng, 3000)) * TL_NS_PER_MS;
    tl_arena_deinit(&arena);
}
