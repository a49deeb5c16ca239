/* Activities and operations without a workflow and the clients that start them, wait for them, stop them and
 * ask for them ever after. See sim.h. */
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

static bool read_activity(const struct sim_call *c, struct tl_arena *arena, struct sim_told *told)
{
    const void *message = sim_call_decode(c, arena);
    const TpActivity__ActivityExecutionOutcome *o;
    if (!message) {
        return false;
    }
    switch ((int)c->what) {
    case SIM_CALL_ALONE_START:
        told->run_id = ((const TpWs__StartActivityExecutionResponse *)message)->run_id;
        return true;
    case SIM_CALL_ALONE_OUTCOME:
        o = ((const TpWs__PollActivityExecutionResponse *)message)->outcome;
        told->over = o != NULL;
        told->succeeded =
            o && o->value_case == TP_ACTIVITY__ACTIVITY_EXECUTION_OUTCOME__VALUE_RESULT;
        if (told->succeeded && o->result->n_payloads == 1) {
            told->result = tl_pb_str(o->result->payloads[0]->data);
        }
        return !o || tl_pb_encode_arena(o, arena, &told->outcome, NULL) == TL_OK;
    case SIM_CALL_ALONE_DESCRIBE: {
        const TpWs__DescribeActivityExecutionResponse *r = message;
        told->run_id = r->info ? r->info->run_id : "";
        told->status = r->info ? (int)r->info->status : 0;
        return true;
    }
    default:
        told->count = ((const TpWs__CountActivityExecutionsResponse *)message)->count;
        return true;
    }
}

/* What an outcome must be, and that it is the one that was told before. */
static void check_outcome(struct sim_alone *a, const struct sim_told *told)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    char want[16];
    for (size_t i = 0; i < told->outcome.n; i++) {
        hash = (hash ^ (unsigned char)told->outcome.p[i]) * UINT64_C(0x100000001b3);
    }
    if (a->over && hash != a->outcome) {
        sim_fail(a->sim, "%s: has another outcome than before", a->id);
    }
    snprintf(want, sizeof want, "%d", (a->number + 1) * 2);
    bool doubles = a->kind == SIM_ALONE_RETRIED || a->kind == SIM_ALONE_NEXUS;
    if (doubles                     ? !told->succeeded || !tl_str_eqc(told->result, want)
        : a->kind == SIM_ALONE_ONCE ? told->succeeded && a->once_runs != 1
                                    : told->succeeded || !a->stop_asked) {
        sim_fail(a->sim, "%s: the outcome '%.*s', success: %d, executions: %d", a->id,
                 TL_STR_FMT(told->result), told->succeeded, a->once_runs);
    }
    if (!a->over) {
        a->asks = sim_alone_asks_of(a);
    }
    a->over = true;
    a->outcome = hash;
    a->succeeded = told->succeeded;
    a->asks &= ~(unsigned)SIM_ASK_HISTORY;
}

/* The states of activities and operations have the same numbers, as far as they are asked for. */
_Static_assert((int)ACTIVITY_EXECUTION_STATUS_COMPLETED ==
                       NEXUS_OPERATION_EXECUTION_STATUS_COMPLETED &&
                   (int)ACTIVITY_EXECUTION_STATUS_TERMINATED ==
                       NEXUS_OPERATION_EXECUTION_STATUS_TERMINATED,
               "one check for both");

static void check_description(struct sim_alone *a, const struct sim_told *told)
{
    bool stopped = a->kind == SIM_ALONE_STOPPED || a->kind == SIM_ALONE_ENDLESS;
    int end = a->succeeded ? ACTIVITY_EXECUTION_STATUS_COMPLETED
              : stopped    ? ACTIVITY_EXECUTION_STATUS_TERMINATED
                           : ACTIVITY_EXECUTION_STATUS_TIMED_OUT;
    if (strcmp(told->run_id, a->run_id) != 0 ||
        (a->over ? told->status != end : told->status < ACTIVITY_EXECUTION_STATUS_RUNNING)) {
        sim_fail(a->sim, "%s: is described as run %s with the status %d, over: %d", a->id,
                 told->run_id, told->status, a->over);
    }
    a->asks &= ~(unsigned)SIM_ASK_DESCRIBE;
}

static void check_count(struct sim_alone *a, int64_t count)
{
    int64_t least = a->delete_asked ? 0 : 1, most = a->deleted ? 0 : 1;
    if (count < least || count > most) {
        sim_fail(a->sim, "%s: is counted %lld times", a->id, (long long)count);
    }
    a->asks &= ~(unsigned)SIM_ASK_COUNT;
}

static void deleted(struct sim_alone *a)
{
    a->deleted = true;
    a->asks = sim_alone_asks_of(a); /* all of it is to be gone */
}

static bool is_operation(const struct sim_alone *a)
{
    return a->kind == SIM_ALONE_NEXUS || a->kind == SIM_ALONE_ENDLESS;
}

static void accepted(struct sim_call *c, struct tl_arena *arena)
{
    struct sim_alone *a = c->alone;
    struct sim_told told = {0};
    bool asks = c->what == SIM_CALL_ALONE_START || c->what == SIM_CALL_ALONE_OUTCOME ||
                c->what == SIM_CALL_ALONE_DESCRIBE || c->what == SIM_CALL_ALONE_COUNT;
    if (a->deleted && c->what != SIM_CALL_ALONE_COUNT) {
        sim_fail(a->sim, "%s: was deleted and answers call %d", a->id, (int)c->what);
        return;
    }
    if (asks && !(is_operation(a) ? sim_alone_operation_read(c, arena, &told)
                                  : read_activity(c, arena, &told))) {
        sim_fail(a->sim, "%s: the answer to call %d cannot be read", a->id, (int)c->what);
        return;
    }
    switch ((int)c->what) {
    case SIM_CALL_ENDPOINT:
        a->endpoint_acked = true;
        break;
    case SIM_CALL_ALONE_START:
        snprintf(a->run_id, sizeof a->run_id, "%s", told.run_id);
        a->start_acked = true;
        break;
    case SIM_CALL_ALONE_AGAIN:
        sim_fail(a->sim, "%s: was started a second time", a->id);
        break;
    case SIM_CALL_ALONE_OUTCOME: /* none when it did not come in time */
        if (told.over) {
            check_outcome(a, &told);
        } else if (a->over) {
            sim_fail(a->sim, "%s: has no outcome any more", a->id);
        }
        break;
    case SIM_CALL_ALONE_DESCRIBE:
        check_description(a, &told);
        break;
    case SIM_CALL_ALONE_COUNT:
        check_count(a, told.count);
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
    if (c->what == SIM_CALL_ENDPOINT && status == GRPC_EXISTS) { /* the first answer was lost */
        a->endpoint_acked = true;
        return;
    }
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
    static const char *const types[] = {"double", "once", "stuck"};
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
    submit(a, SIM_CALL_ALONE_STOP, TL_M_TerminateActivityExecution, r);
}

static void call_delete(struct sim_alone *a, struct tl_arena *arena)
{
    TpWs__DeleteActivityExecutionRequest *r = TL_PB_NEW(arena, TpWs__DeleteActivityExecutionRequest,
                                                        tp_ws__delete_activity_execution_request);
    r->activity_id = a->id;
    r->run_id = a->run_id;
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
    if (is_operation(a) && !a->endpoint_acked) {
        return SIM_CALL_ENDPOINT;
    }
    if (!a->start_acked) {
        return SIM_CALL_ALONE_START;
    }
    if (!a->over) {
        bool stops =
            (a->kind == SIM_ALONE_STOPPED || a->kind == SIM_ALONE_ENDLESS) && !a->stop_acked;
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
    struct sim_call c = {
        .sim = a->sim, .alone = a, .id = a->id, .replied = replied, .busy = &a->busy, .what = what};
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes);
    a->stop_asked |= what == SIM_CALL_ALONE_STOP;
    a->delete_asked |= what == SIM_CALL_ALONE_DELETE;
    switch (is_operation(a) && what != SIM_CALLS ? -1 : (int)what) {
    case -1:
        sim_alone_operation_call(a, &arena, &c);
        break;
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
