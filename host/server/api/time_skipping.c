/* Time skipping of single runs: what a client may ask for, and waiting for a fast forward.
 * Thread: engine. */
#include <ctype.h>

#include "server/api/api.h"

#define REASON_OTHER                                                                               \
    "the requested fast_forward_id does not match the execution's current fast-forward"
#define REASON_AGAIN "the fast-forward was reset"
#define REASON_ENDED "the execution ended before the fast-forward completed"
#define REASON_DISABLED "time skipping was disabled before the fast-forward completed"
/* A poll waits at most so long, whatever history long polls do. */
#define POLL_NS (20 * TL_NS_PER_S)

static bool refuse(struct tl_call *c, tl_rc rc, const char *message)
{
    tl_call_errorf(c, tl_rc_grpc_status(rc), "%s", message);
    return false;
}

static bool is_on(struct tl_call *c)
{
    return c->s->o.run_time_skipping ||
           refuse(c, TL_EUNIMPLEMENTED, "The Time-Skipping feature is not enabled for namespace.");
}

static bool is_blank(const char *text)
{
    while (isspace((unsigned char)*text)) {
        text++;
    }
    return !*text;
}

static bool check_id(struct tl_call *c, const char *id)
{
    if (is_blank(id)) {
        return refuse(c, TL_EINVAL, "Time skipping config invalid: fast_forward_id must be set");
    }
    return tl_api_check_id(c, "FastForwardId", id, true);
}

bool tl_api_check_time_skipping(struct tl_call *c, TpCommon__TimeSkippingConfig *config)
{
    if (!config) {
        return true;
    }
    if (!is_on(c)) {
        return false;
    }
    const TpCommon__FastForwardConfig *ff = config->fast_forward_config;
    if (ff) {
        if (tl_pb_duration_ns_or(ff->duration, 0) <= 0) {
            return refuse(c, TL_EINVAL,
                          "Time skipping config invalid: fast_forward duration must be positive");
        }
        if (!check_id(c, ff->id)) {
            return false;
        }
        if (!config->enabled) {
            return refuse(c, TL_EINVAL,
                          "time_skipping_config: cannot set fast_forward when enabled is false");
        }
    }
    if (config->max_session_skip_count <= 0) {
        config->max_session_skip_count = (int32_t)c->s->o.run_time_skips_max;
    }
    return true;
}

/* --- PollWorkflowExecutionTimeSkipping ----------------------------------------------------------- */

static void answer(struct tl_call *c, struct tl_exec *e, int result, const char *reason,
                   TpCommon__TimeSkippingFastForwardInfo *info)
{
    TpWs__PollWorkflowExecutionTimeSkippingResponse r =
        TP_WS__POLL_WORKFLOW_EXECUTION_TIME_SKIPPING_RESPONSE__INIT;
    r.fast_forward_polling_result = (TpEnums__FastForwardPollingResult)result;
    r.failed_reason = (char *)(uintptr_t)reason;
    r.fast_forward_info = info;
    tl_call_reply(c, e->seq, &r);
}

/* Where the fast forward stands: a FAST_FORWARD_POLLING_RESULT, UNSPECIFIED while it is under way. */
static int judge(struct tl_call *c, struct tl_exec *e, const struct tl_rs_info *run,
                 const TpCommon__TimeSkippingFastForwardInfo *ff, const char *wanted,
                 const char **reason)
{
    int64_t target = ff ? tl_pb_timestamp_ns_or(ff->target_time, 0) : 0;
    if (!ff || strcmp(ff->fast_forward_id, wanted) != 0) {
        *reason = REASON_OTHER;
    } else if (c->parked && c->parked->target_ns != target) {
        *reason = REASON_AGAIN;
    } else if (ff->has_completed) {
        return FAST_FORWARD_POLLING_RESULT_FAST_FORWARD_COMPLETED;
    } else if (run->closed) {
        *reason = REASON_ENDED;
    } else if (!tl_rs_skips_time(e->rs)) {
        *reason = REASON_DISABLED;
    } else {
        return FAST_FORWARD_POLLING_RESULT_UNSPECIFIED;
    }
    return FAST_FORWARD_POLLING_RESULT_FAST_FORWARD_FAILED;
}

/* The run that is polled, or the one that it went on as: a fast forward goes on with the chain.
 * NULL after an answer. */
static struct tl_exec *find_newest(struct tl_call *c, struct tl_rs_info *info)
{
    const TpWs__PollWorkflowExecutionTimeSkippingRequest *req = c->req;
    struct tl_error err = {0};
    struct tl_exec *e = c->parked ? tl_run_by_number(c->s, c->parked->run_number, &err)
                                  : tl_api_find(c, req->workflow_execution);
    if (!e && c->parked) {
        tl_call_not_found(c, 0, "the run that was polled does not exist any more");
    }
    while (e) {
        tl_rs_info(e->rs, info);
        uint64_t next = info->closed ? tl_run_id_number(info->new_run_id) : 0;
        struct tl_exec *then = next ? tl_run_by_number(c->s, next, &err) : NULL;
        if (!then) {
            return e;
        }
        e = then;
    }
    return NULL;
}

static void wait(struct tl_call *c, struct tl_exec *e, int64_t target_ns)
{
    struct tl_parked *p = c->parked ? c->parked : tl_parked_new(c->s, c, TL_PARKED_WAIT);
    if (!c->parked) {
        p->until_ns = tl_parked_deadline(c->s, c->rpc, POLL_NS);
    }
    c->parked = NULL;
    p->run_number = e->number;
    p->target_ns = target_ns;
    tl_due_set(&c->s->waits, &p->due, p->until_ns);
    tl_list_push(&e->waiters, &p->link);
}

void tl_api_poll_workflow_execution_time_skipping(struct tl_call *c)
{
    const TpWs__PollWorkflowExecutionTimeSkippingRequest *req = c->req;
    struct tl_rs_info info;
    const char *reason = "";
    bool full = false;
    if (!is_on(c) || !check_id(c, req->fast_forward_id)) {
        return;
    }
    struct tl_exec *e = find_newest(c, &info);
    if (!e) {
        return;
    }
    TpCommon__TimeSkippingFastForwardInfo *ff = tl_rs_fast_forward(e->rs, c->arena, &full);
    if (full) {
        refuse(c, TL_ELIMIT, "no memory for the answer");
        return;
    }
    int result = judge(c, e, &info, ff, req->fast_forward_id, &reason);
    if (result != FAST_FORWARD_POLLING_RESULT_UNSPECIFIED) {
        answer(c, e, result, reason, ff);
    } else if (c->parked && c->parked->expired) {
        answer(c, e, FAST_FORWARD_POLLING_RESULT_POLL_TIMEOUT, reason, ff);
    } else {
        wait(c, e, tl_pb_timestamp_ns_or(ff->target_time, 0));
    }
}
