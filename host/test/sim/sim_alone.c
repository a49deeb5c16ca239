/* Activities without a workflow and the clients that start them, wait for them, stop them and ask for them
 * ever after. See sim.h. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "proto/pb.h"
#include "sim/sim.h"
#include "tl_enums.h"

enum { GRPC_NOT_FOUND = 5, GRPC_EXISTS = 6 };

void sim_alone_open(struct sim *s)
{
    for (int i = 0; i < s->options.alone; i++) {
        struct sim_alone *a = &s->alone[i];
        *a = (struct sim_alone){.sim = s, .number = i};
        a->kind = (enum sim_alone_kind)tl_rng_below(&s->rng, SIM_ALONE_KINDS);
        a->wants_delete = tl_rng_below(&s->rng, 3) == 0;
        snprintf(a->id, sizeof a->id, "alone-%d", i);
        a->next_ns = s->now_ns + (int64_t)tl_rng_below(&s->rng, 20000) * TL_NS_PER_MS;
    }
}

struct sim_alone *sim_alone_of(struct sim *s, const TpWs__PollActivityTaskQueueResponse *task)
{
    for (int i = 0; i < s->options.alone; i++) {
        if (strcmp(s->alone[i].id, task->activity_id) == 0) {
            return &s->alone[i];
        }
    }
    return NULL;
}

unsigned sim_alone_asks_of(const struct sim_alone *a)
{
    /* Behind a deletion its id is free again: a start would be the first. */
    return SIM_ASK_COUNT | SIM_ASK_DESCRIBE | SIM_ASK_HISTORY |
           (a->wants_delete ? 0 : SIM_ASK_LIST) |
           (a->wants_delete && !a->deleted ? SIM_ASK_DELETE : 0);
}

bool sim_alone_rests(const struct sim_alone *a)
{
    return a->busy > 0 || (a->over && !a->asks && a->sim->quiet);
}

/* --- answers ----------------------------------------------------------------------------------------- */

/* What an outcome must be, and that it is the one that was told before. */
static void check_outcome(struct sim_alone *a, const TpActivity__ActivityExecutionOutcome *o,
                          struct tl_arena *arena)
{
    char text[16] = "", want[16];
    struct tl_str bytes;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    bool succeeded = o->value_case == TP_ACTIVITY__ACTIVITY_EXECUTION_OUTCOME__VALUE_RESULT;
    if (tl_pb_encode_arena(o, arena, &bytes, NULL) != TL_OK) {
        sim_fail(a->sim, "%s: its outcome cannot be encoded", a->id);
        return;
    }
    for (size_t i = 0; i < bytes.n; i++) {
        hash = (hash ^ (unsigned char)bytes.p[i]) * UINT64_C(0x100000001b3);
    }
    if (a->over && hash != a->outcome) {
        sim_fail(a->sim, "%s: has another outcome than before", a->id);
    }
    if (succeeded && a->kind == SIM_ALONE_RETRIED && o->result->n_payloads == 1 &&
        o->result->payloads[0]->data.len < sizeof text) {
        memcpy(text, o->result->payloads[0]->data.data, o->result->payloads[0]->data.len);
    }
    snprintf(want, sizeof want, "%d", (a->number + 1) * 2);
    if (a->kind == SIM_ALONE_RETRIED ? strcmp(text, want) != 0
        : a->kind == SIM_ALONE_ONCE  ? succeeded && a->once_runs != 1
                                     : succeeded || !a->stop_asked) {
        sim_fail(a->sim, "%s: the outcome '%s', success: %d, executions: %d", a->id, text,
                 succeeded, a->once_runs);
    }
    if (!a->over) {
        a->asks = sim_alone_asks_of(a);
    }
    a->over = true;
    a->outcome = hash;
    a->succeeded = succeeded;
}

static void start_replied(struct sim_call *c, struct tl_arena *arena)
{
    const TpWs__StartActivityExecutionResponse *r = sim_call_decode(c, arena);
    struct sim_alone *a = c->alone;
    if (r) {
        snprintf(a->run_id, sizeof a->run_id, "%s", r->run_id);
        a->start_acked = true;
    }
}

/* Without an outcome when none came in time. */
static void outcome_replied(struct sim_call *c, struct tl_arena *arena)
{
    const TpWs__PollActivityExecutionResponse *r = sim_call_decode(c, arena);
    struct sim_alone *a = c->alone;
    if (r && r->outcome) {
        check_outcome(a, r->outcome, arena);
        a->asks &= ~(unsigned)SIM_ASK_HISTORY;
    } else if (a->over) {
        sim_fail(a->sim, "%s: has no outcome any more", a->id);
    }
}

static void describe_replied(struct sim_call *c, struct tl_arena *arena)
{
    const TpWs__DescribeActivityExecutionResponse *r = sim_call_decode(c, arena);
    struct sim_alone *a = c->alone;
    if (!r || !r->info || strcmp(r->info->run_id, a->run_id) != 0) {
        sim_fail(a->sim, "%s: a description without content", a->id);
        return;
    }
    int status = (int)r->info->status;
    bool fine = !a->over       ? status >= ACTIVITY_EXECUTION_STATUS_RUNNING
                : a->succeeded ? status == ACTIVITY_EXECUTION_STATUS_COMPLETED
                               : status == (a->kind == SIM_ALONE_STOPPED
                                                ? ACTIVITY_EXECUTION_STATUS_TERMINATED
                                                : ACTIVITY_EXECUTION_STATUS_TIMED_OUT);
    if (!fine) {
        sim_fail(a->sim, "%s: is described with the status %d, over: %d", a->id, status, a->over);
    }
    a->asks &= ~(unsigned)SIM_ASK_DESCRIBE;
}

static void count_replied(struct sim_call *c, struct tl_arena *arena)
{
    const TpWs__CountActivityExecutionsResponse *r = sim_call_decode(c, arena);
    struct sim_alone *a = c->alone;
    int64_t least = a->delete_asked ? 0 : 1, most = a->deleted ? 0 : 1;
    if (r && (r->count < least || r->count > most)) {
        sim_fail(a->sim, "%s: is counted %lld times", a->id, (long long)r->count);
    }
    a->asks &= ~(unsigned)SIM_ASK_COUNT;
}

static void deleted(struct sim_alone *a)
{
    a->deleted = true;
    a->asks = sim_alone_asks_of(a); /* all of it is to be gone */
}

static void accepted(struct sim_call *c, struct tl_arena *arena)
{
    struct sim_alone *a = c->alone;
    if (a->deleted && c->what != SIM_CALL_ALONE_COUNT) {
        sim_fail(a->sim, "%s: was deleted and answers call %d", a->id, (int)c->what);
        return;
    }
    switch ((int)c->what) {
    case SIM_CALL_ALONE_START:
        start_replied(c, arena);
        break;
    case SIM_CALL_ALONE_AGAIN:
        sim_fail(a->sim, "%s: was started a second time", a->id);
        break;
    case SIM_CALL_ALONE_OUTCOME:
        outcome_replied(c, arena);
        break;
    case SIM_CALL_ALONE_DESCRIBE:
        describe_replied(c, arena);
        break;
    case SIM_CALL_ALONE_COUNT:
        count_replied(c, arena);
        break;
    case SIM_CALL_ALONE_STOP:
        a->stop_acked = true;
        break;
    default:
        deleted(a);
    }
}

static void refused(struct sim_call *c)
{
    struct sim_alone *a = c->alone;
    int status = c->result->status;
    bool gone = status == GRPC_NOT_FOUND && a->delete_asked;
    bool again = status == GRPC_EXISTS && c->what == SIM_CALL_ALONE_AGAIN && !a->deleted;
    if (!gone && !again) {
        sim_fail(a->sim, "%s: call %d answered %d: %.*s", a->id, (int)c->what, status,
                 TL_STR_FMT(c->result->message));
    }
    if (again) {
        a->asks &= ~(unsigned)SIM_ASK_LIST;
    } else if (c->what == SIM_CALL_ALONE_DELETE) {
        deleted(a);
    } else if (a->deleted) {
        a->asks &=
            ~(unsigned)(c->what == SIM_CALL_ALONE_OUTCOME ? SIM_ASK_HISTORY : SIM_ASK_DESCRIBE);
    }
}

static void replied(struct sim_call *c)
{
    struct tl_arena arena;
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes);
    sim_call_note(c);
    if (c->result->status == 0) {
        accepted(c, &arena);
    } else if (!sim_call_lost(c)) {
        refused(c);
    }
    tl_arena_deinit(&arena);
}

/* --- requests ---------------------------------------------------------------------------------------- */

static void submit(struct sim_alone *a, enum sim_what what, enum tl_method method, void *request)
{
    struct sim_call c = {
        .sim = a->sim, .alone = a, .id = a->id, .replied = replied, .busy = &a->busy, .what = what};
    sim_call_submit(&c, method, request);
}

static void call_start(struct sim_alone *a, struct tl_arena *arena, enum sim_what what)
{
    static const char *const types[SIM_ALONE_KINDS] = {"double", "once", "stuck"};
    TpWs__StartActivityExecutionRequest *r = TL_PB_NEW(arena, TpWs__StartActivityExecutionRequest,
                                                       tp_ws__start_activity_execution_request);
    bool again = what == SIM_CALL_ALONE_AGAIN;
    r->activity_id = a->id;
    r->activity_type = TL_PB_NEW(arena, TpCommon__ActivityType, tp_common__activity_type);
    r->activity_type->name = tl_arena_cstr(arena, tl_str(types[a->kind]));
    r->task_queue = sim_queue(arena);
    r->input = sim_integers(arena, 1, (int[]){a->number + 1});
    r->request_id = tl_arena_printf(arena, "%s-%s", again ? "again" : "start", a->id);
    r->id_reuse_policy = (TpEnums__ActivityIdReusePolicy)ACTIVITY_ID_REUSE_POLICY_REJECT_DUPLICATE;
    bool stopped = a->kind == SIM_ALONE_STOPPED;
    r->start_to_close_timeout = tl_pb_duration_ns(arena, (stopped ? 86400 : 3) * TL_NS_PER_S);
    r->retry_policy = TL_PB_NEW(arena, TpCommon__RetryPolicy, tp_common__retry_policy);
    r->retry_policy->initial_interval = tl_pb_duration_ns(arena, TL_NS_PER_S / 2);
    r->retry_policy->maximum_interval = tl_pb_duration_ns(arena, 5 * TL_NS_PER_S);
    r->retry_policy->backoff_coefficient = 2;
    r->retry_policy->maximum_attempts = a->kind == SIM_ALONE_ONCE ? 1 : 0;
    /* One that is handed out long after its start is durable leaves a window of its own for a crash. */
    if (a->kind == SIM_ALONE_ONCE) {
        r->start_delay = tl_pb_duration_ns(arena, TL_NS_PER_S + a->number * TL_NS_PER_MS);
    }
    submit(a, what, TL_M_StartActivityExecution, r);
}

static void call_outcome(struct sim_alone *a, struct tl_arena *arena)
{
    TpWs__PollActivityExecutionRequest *r = TL_PB_NEW(arena, TpWs__PollActivityExecutionRequest,
                                                      tp_ws__poll_activity_execution_request);
    r->activity_id = a->id;
    r->run_id = a->run_id;
    submit(a, SIM_CALL_ALONE_OUTCOME, TL_M_PollActivityExecution, r);
}

static void call_describe(struct sim_alone *a, struct tl_arena *arena)
{
    TpWs__DescribeActivityExecutionRequest *r = TL_PB_NEW(
        arena, TpWs__DescribeActivityExecutionRequest, tp_ws__describe_activity_execution_request);
    r->activity_id = a->id;
    r->run_id = a->run_id;
    submit(a, SIM_CALL_ALONE_DESCRIBE, TL_M_DescribeActivityExecution, r);
}

static void call_count(struct sim_alone *a, struct tl_arena *arena)
{
    TpWs__CountActivityExecutionsRequest *r = TL_PB_NEW(arena, TpWs__CountActivityExecutionsRequest,
                                                        tp_ws__count_activity_executions_request);
    r->query = tl_arena_printf(arena, "ActivityId = '%s'", a->id);
    submit(a, SIM_CALL_ALONE_COUNT, TL_M_CountActivityExecutions, r);
}

static void call_stop(struct sim_alone *a, struct tl_arena *arena)
{
    TpWs__TerminateActivityExecutionRequest *r =
        TL_PB_NEW(arena, TpWs__TerminateActivityExecutionRequest,
                  tp_ws__terminate_activity_execution_request);
    r->activity_id = a->id;
    r->run_id = a->run_id;
    r->request_id = tl_arena_printf(arena, "stop-%s", a->id);
    a->stop_asked = true;
    submit(a, SIM_CALL_ALONE_STOP, TL_M_TerminateActivityExecution, r);
}

static void call_delete(struct sim_alone *a, struct tl_arena *arena)
{
    TpWs__DeleteActivityExecutionRequest *r = TL_PB_NEW(arena, TpWs__DeleteActivityExecutionRequest,
                                                        tp_ws__delete_activity_execution_request);
    r->activity_id = a->id;
    r->run_id = a->run_id;
    a->delete_asked = true;
    submit(a, SIM_CALL_ALONE_DELETE, TL_M_DeleteActivityExecution, r);
}

/* --- what to do next --------------------------------------------------------------------------------- */

static enum sim_what next_call(struct sim_alone *a)
{
    static const struct {
        enum sim_ask ask;
        enum sim_what what;
    } table[] = {{SIM_ASK_HISTORY, SIM_CALL_ALONE_OUTCOME},
                 {SIM_ASK_DESCRIBE, SIM_CALL_ALONE_DESCRIBE},
                 {SIM_ASK_COUNT, SIM_CALL_ALONE_COUNT},
                 {SIM_ASK_LIST, SIM_CALL_ALONE_AGAIN},
                 {SIM_ASK_DELETE, SIM_CALL_ALONE_DELETE}};
    struct sim *s = a->sim;
    size_t count = sizeof table / sizeof table[0], from = (size_t)tl_rng_below(&s->rng, count);
    if (!a->start_acked) {
        return SIM_CALL_ALONE_START;
    }
    if (!a->over) {
        bool stops = a->kind == SIM_ALONE_STOPPED && !a->stop_acked;
        return stops && tl_rng_below(&s->rng, 3) == 0 ? SIM_CALL_ALONE_STOP : table[from % 4].what;
    }
    for (size_t i = 0; i < count; i++) {
        size_t at = (from + i) % count;
        if (a->asks & (unsigned)table[at].ask) {
            return table[at].what;
        }
    }
    return SIM_CALLS;
}

void sim_alone_act(struct sim_alone *a)
{
    struct tl_arena arena;
    enum sim_what what = next_call(a);
    int64_t pause_ms = 1 + (int64_t)tl_rng_below(&a->sim->rng, 3000);
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes);
    switch ((int)what) {
    case SIM_CALL_ALONE_START:
    case SIM_CALL_ALONE_AGAIN:
        call_start(a, &arena, what);
        break;
    case SIM_CALL_ALONE_OUTCOME:
        call_outcome(a, &arena);
        break;
    case SIM_CALL_ALONE_DESCRIBE:
        call_describe(a, &arena);
        break;
    case SIM_CALL_ALONE_COUNT:
        call_count(a, &arena);
        break;
    case SIM_CALL_ALONE_STOP:
        call_stop(a, &arena);
        break;
    case SIM_CALL_ALONE_DELETE:
        call_delete(a, &arena);
        break;
    default: /* all was answered; while there is noise it is asked again */
        a->asks = sim_alone_asks_of(a);
        pause_ms *= 5;
    }
    a->next_ns = a->sim->now_ns + pause_ms * TL_NS_PER_MS;
    tl_arena_deinit(&arena);
}
