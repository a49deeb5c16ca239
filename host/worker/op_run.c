/* One Nexus task from its bytes to its answer, on an activity thread. */
#include <ctype.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/near.h"
#include "proto/nexus.h"
#include "proto/pb.h"
#include "tl_enums.h"
#include "worker/build.h"
#include "worker/op_int.h"

#define OP_BYTES_MAX ((size_t)1 << 30)
#define NEAR_MAX 2

/* --- Memory ------------------------------------------------------------------------------------ */

static struct tl_op *op_new(struct tl_worker *w)
{
    struct tl_op *op = TL_NEW(struct tl_op);
    pthread_condattr_t attr;
    op->worker = w;
    op->begun_ns = tl_worker_now(w);
    op->deadline_mono_ns = INT64_MAX;
    tl_arena_init(&op->arena, OP_BYTES_MAX);
    tl_list_init(&op->running);
    pthread_mutex_init(&op->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&op->cond, &attr);
    pthread_condattr_destroy(&attr);
    op->pub.arena = &op->arena;
    op->pub.namespace_name = tl_str(w->namespace_name);
    op->pub.task_queue = tl_str(w->task_queue);
    return op;
}

static void op_free(struct tl_op *op)
{
    pthread_cond_destroy(&op->cond);
    pthread_mutex_destroy(&op->mutex);
    tl_arena_deinit(&op->arena);
    tl_mem_free(op);
}

/* --- Answers ----------------------------------------------------------------------------------- */

static bool takes_temporal_failures(const struct tl_op *op)
{
    const TpNexus__Request__Capabilities *c = op->pub.request->capabilities;
    return c && c->temporal_failure_responses;
}

static tl_rc no_memory(struct tl_error *err)
{
    return tl_error_set(err, TL_ELIMIT, "no memory for the answer to a Nexus request");
}

static tl_rc fill_failed(struct tl_op *op, TpNexus__StartOperationResponse *start,
                         struct tl_error *err)
{
    const TpFailure__Failure *f = op->end_body;
    if (takes_temporal_failures(op)) {
        start->variant_case = TP_NEXUS__START_OPERATION_RESPONSE__VARIANT_FAILURE;
        start->failure = (TpFailure__Failure *)(uintptr_t)f;
        return TL_OK;
    }
    TpNexus__UnsuccessfulOperationError *e = TL_PB_NEW(
        &op->arena, TpNexus__UnsuccessfulOperationError, tp_nexus__unsuccessful_operation_error);
    if (!e || !(e->failure = tl_nexus_failure_write(&op->arena, f))) {
        return no_memory(err);
    }
    bool canceled = f->failure_info_case == TP_FAILURE__FAILURE__FAILURE_INFO_CANCELED_FAILURE_INFO;
    e->operation_state = (char *)(uintptr_t)(canceled ? "canceled" : "failed");
    start->variant_case = TP_NEXUS__START_OPERATION_RESPONSE__VARIANT_OPERATION_ERROR;
    start->operation_error = e;
    return TL_OK;
}

static tl_rc encode(struct tl_op *op, enum tl_method method, const void *req, struct tl_error *err)
{
    tl_rc rc = tl_answer_encode(&op->answer, method, req, &op->arena, err);
    return rc == TL_OK ? tl_answer_check_size(op->worker, "the result of the operation",
                                              op->answer.bytes.n, err)
                       : rc;
}

static tl_rc encode_response(struct tl_op *op, struct tl_error *err)
{
    TpWs__RespondNexusTaskCompletedRequest req = TP_WS__RESPOND_NEXUS_TASK_COMPLETED_REQUEST__INIT;
    TpNexus__Response response = TP_NEXUS__RESPONSE__INIT;
    TpNexus__StartOperationResponse start = TP_NEXUS__START_OPERATION_RESPONSE__INIT;
    TpNexus__StartOperationResponse__Sync sync = TP_NEXUS__START_OPERATION_RESPONSE__SYNC__INIT;
    TpNexus__StartOperationResponse__Async async = TP_NEXUS__START_OPERATION_RESPONSE__ASYNC__INIT;
    TpNexus__CancelOperationResponse cancel = TP_NEXUS__CANCEL_OPERATION_RESPONSE__INIT;
    tl_rc rc = TL_OK;
    req.task_token = op->task->task_token;
    req.poller_group_id = op->task->poller_group_id;
    req.identity = op->worker->identity;
    req.namespace_ = op->worker->namespace_name;
    req.response = &response;
    response.variant_case = TP_NEXUS__RESPONSE__VARIANT_START_OPERATION;
    response.start_operation = &start;
    if (op->end == TL_OP_COMPLETED) {
        sync.payload = (TpCommon__Payload *)(uintptr_t)op->end_body;
        sync.links = op->links.items;
        sync.n_links = op->links.n;
        start.variant_case = TP_NEXUS__START_OPERATION_RESPONSE__VARIANT_SYNC_SUCCESS;
        start.sync_success = &sync;
    } else if (op->end == TL_OP_STARTED) {
        async.operation_token = (char *)(uintptr_t)op->end_body;
        async.operation_id =
            async.operation_token; /* servers from before the token know this one */
        async.links = op->links.items;
        async.n_links = op->links.n;
        start.variant_case = TP_NEXUS__START_OPERATION_RESPONSE__VARIANT_ASYNC_SUCCESS;
        start.async_success = &async;
    } else if (op->end == TL_OP_FAILED) {
        rc = fill_failed(op, &start, err);
    } else {
        response.variant_case = TP_NEXUS__RESPONSE__VARIANT_CANCEL_OPERATION;
        response.cancel_operation = &cancel;
    }
    return rc == TL_OK ? encode(op, TL_M_RespondNexusTaskCompleted, &req, err) : rc;
}

static tl_rc encode_refusal(struct tl_op *op, struct tl_error *err)
{
    TpWs__RespondNexusTaskFailedRequest req = TP_WS__RESPOND_NEXUS_TASK_FAILED_REQUEST__INIT;
    TpNexus__HandlerError older = TP_NEXUS__HANDLER_ERROR__INIT;
    const TpFailure__Failure *f = op->end_body;
    req.task_token = op->task->task_token;
    req.poller_group_id = op->task->poller_group_id;
    req.identity = op->worker->identity;
    req.namespace_ = op->worker->namespace_name;
    if (takes_temporal_failures(op)) {
        req.failure = (TpFailure__Failure *)(uintptr_t)f;
    } else {
        older.error_type = f->nexus_handler_failure_info->type;
        older.retry_behavior = f->nexus_handler_failure_info->retry_behavior;
        older.failure = tl_nexus_failure_write(&op->arena, f);
        req.error = &older;
        if (!older.failure) {
            return no_memory(err);
        }
    }
    return encode(op, TL_M_RespondNexusTaskFailed, &req, err);
}

static tl_rc encode_answer(struct tl_op *op, struct tl_error *err)
{
    return op->end == TL_OP_REFUSED ? encode_refusal(op, err) : encode_response(op, err);
}

/* Puts a refusal of the worker's own in the place of the handler's end. */
static void refuse_with(struct tl_op *op, const char *type, bool final, const char *message)
{
    op->end = TL_OP_REFUSED;
    op->end_body = tl_nexus_handler_failure(&op->arena, tl_str(type), tl_str(message),
                                            final ? NEXUS_HANDLER_ERROR_RETRY_BEHAVIOR_NON_RETRYABLE
                                                  : NEXUS_HANDLER_ERROR_RETRY_BEHAVIOR_UNSPECIFIED,
                                            NULL);
    TL_ASSERT(op->end_body != NULL); /* the arena is far from full of texts of this size */
}

static bool answer_replace(struct tl_answer *answer, struct tl_str words, bool too_large)
{
    struct tl_op *op = TL_CONTAINER(answer, struct tl_op, answer);
    struct tl_error err = {0};
    const char *text = tl_arena_printf(
        &op->arena,
        too_large ? "the answer of the operation does not fit into one request (%.*s): store the "
                    "data elsewhere and return a reference"
                  : "the answer of the operation cannot be sent: %.*s",
        TL_STR_FMT(words));
    if (!text) {
        return false;
    }
    refuse_with(op, "INTERNAL", too_large, text);
    return encode_refusal(op, &err) == TL_OK;
}

static void answer_refused(struct tl_answer *answer, const struct tl_rpc_result *res)
{
    struct tl_op *op = TL_CONTAINER(answer, struct tl_op, answer);
    /* NOT_FOUND: its time was over, or its workflow has ended. */
    TL_LOG(res->status == STATUS_NOT_FOUND ? TL_LOG_DEBUG : TL_LOG_WARN, "nexus.answer_refused",
           TL_C("service", tl_operation_service(&op->pub)),
           TL_C("operation", tl_operation_name(&op->pub)), TL_I("status", res->status),
           TL_S("error", res->message));
}

static void answer_ended(struct tl_answer *answer)
{
    op_free(TL_CONTAINER(answer, struct tl_op, answer));
}

static const struct tl_answer_kind answer_kind = {10 * TL_NS_PER_S, answer_replace, answer_refused,
                                                  answer_ended};

/* --- What is not there ------------------------------------------------------------------------- */

/* The nearest of the registry's services, or of the operations of one; n == 0 when none is near. */
static struct tl_str nearest(const struct tl_registry *r, struct tl_str service, struct tl_str name)
{
    struct tl_near near = {.wanted = name, .too_many = NEAR_MAX + 1, .fold_case = true};
    for (size_t i = 0; i < tl_registry_operation_count(r); i++) {
        struct tl_str s, o;
        tl_registry_operation_at(r, i, &s, &o);
        if (!service.p || tl_str_eq(s, service)) {
            tl_near_look(&near, service.p ? o : s);
        }
    }
    return near.best;
}

static bool has_service(const struct tl_registry *r, struct tl_str service)
{
    for (size_t i = 0; i < tl_registry_operation_count(r); i++) {
        struct tl_str s, o;
        tl_registry_operation_at(r, i, &s, &o);
        if (tl_str_eq(s, service)) {
            return true;
        }
    }
    return false;
}

static void not_registered(struct tl_op *op, const struct tl_registry *r)
{
    struct tl_str service = tl_str(tl_operation_service(&op->pub));
    struct tl_str name = tl_str(tl_operation_name(&op->pub));
    bool known = r && has_service(r, service);
    struct tl_str near =
        r ? nearest(r, known ? service : (struct tl_str){0}, known ? name : service)
          : (struct tl_str){0};
    const char *hint =
        near.n ? tl_arena_printf(&op->arena, ", did you mean '%.*s'?", TL_STR_FMT(near)) : "";
    const char *text =
        known ? tl_arena_printf(&op->arena,
                                "service '%.*s' has no operation '%.200s' on this worker%s",
                                TL_STR_FMT(service), name.p, hint)
              : tl_arena_printf(&op->arena, "service '%.200s' is not registered on this worker%s",
                                service.p, hint);
    refuse_with(op, "NOT_FOUND", false, text ? text : "not registered");
}

/* --- Running ----------------------------------------------------------------------------------- */

static void lower_case(TpNexus__Request *r)
{
    for (size_t i = 0; i < r->n_header; i++) {
        for (char *c = r->header[i]->key; *c; c++) {
            *c = (char)tolower((unsigned char)*c);
        }
    }
    TpNexus__StartOperationRequest *s =
        r->variant_case == TP_NEXUS__REQUEST__VARIANT_START_OPERATION ? r->start_operation : NULL;
    for (size_t i = 0; s && i < s->n_callback_header; i++) {
        for (char *c = s->callback_header[i]->key; *c; c++) {
            *c = (char)tolower((unsigned char)*c);
        }
    }
}

static void read_deadline(struct tl_op *op, const TpNexus__Request *r)
{
    struct tl_worker *w = op->worker;
    const TpNexus__Request__HeaderEntry *h = TL_PB_MAP_GET(
        TpNexus__Request__HeaderEntry, r->n_header, r->header, TL_STR_LIT("request-timeout"));
    int64_t ms;
    if (!h) {
        return;
    }
    if (!tl_nexus_timeout_read(tl_str(h->value), &ms)) { /* the server reads it too, and gives up */
        TL_LOG(TL_LOG_WARN, "nexus.timeout_malformed", TL_C("value", h->value));
        return;
    }
    int64_t span = ms < INT64_C(1) << 40 ? ms * TL_NS_PER_MS : INT64_MAX / 4;
    op->deadline_mono_ns = tl_worker_now(w) + span;
    op->pub.deadline_ns = tl_world_wall_ns(w->world) + span;
}

/* Errors: TL_EDECODE. */
static tl_rc read_task(struct tl_op *op, struct tl_str body, struct tl_error *err)
{
    TpWs__PollNexusTaskQueueResponse *task = NULL;
    tl_rc rc = tl_pb_decode(&tp_ws__poll_nexus_task_queue_response__descriptor, body, &op->arena,
                            &task, err);
    if (rc != TL_OK) {
        return rc;
    }
    TpNexus__Request *r = task->request;
    if (!r || r->variant_case == TP_NEXUS__REQUEST__VARIANT__NOT_SET) {
        return tl_error_set(err, TL_EDECODE, "a Nexus task without a request that is known here");
    }
    lower_case(r);
    op->task = task;
    op->pub.request = r;
    read_deadline(op, r);
    return TL_OK;
}

static void set_running(struct tl_op *op, bool on)
{
    struct tl_worker *w = op->worker;
    pthread_mutex_lock(&w->running_mutex);
    if (on) {
        tl_list_push(&w->operations, &op->running);
    } else {
        tl_list_remove(&op->running);
    }
    pthread_mutex_unlock(&w->running_mutex);
}

static void invoke(struct tl_op *op, const struct tl_act_state *state)
{
    const struct tl_registry *r = state->build->registry;
    const struct tl_operation_impl *impl =
        r ? tl_registry_find_operation(r, tl_str(tl_operation_service(&op->pub)),
                                       tl_str(tl_operation_name(&op->pub)))
          : NULL;
    if (!impl) {
        not_registered(op, r);
    } else if (state->error) {
        refuse_with(op, "INTERNAL", false, state->error);
    } else {
        impl->run(state->open ? state->state : NULL, impl->ud, &op->pub);
        if (op->end == TL_OP_OPEN) {
            refuse_with(op, "INTERNAL", false, "the handler returned without an answer");
        }
    }
}

static void report(struct tl_op *op)
{
    struct tl_worker *w = op->worker;
    struct tl_error err = {0};
    tl_rc rc = op->end == TL_OP_DROPPED ? TL_OK : encode_answer(op, &err);
    if (rc != TL_OK) {
        refuse_with(op, "INTERNAL", rc == TL_ELIMIT, err.message);
        rc = encode_refusal(op, &err);
        TL_ASSERT(rc == TL_OK);
    }
    tl_meter_nexus_ended(op);
    bool failed = op->end == TL_OP_REFUSED || op->end == TL_OP_FAILED || op->end == TL_OP_DROPPED;
    if (failed) {
        TL_COUNT(w, nexus_tasks_failed);
    } else {
        TL_COUNT(w, nexus_tasks_completed);
    }
    if (op->end == TL_OP_REFUSED) {
        const TpFailure__Failure *f = op->end_body;
        TL_LOG(TL_LOG_WARN, "nexus.handler_failed", TL_C("service", tl_operation_service(&op->pub)),
               TL_C("operation", tl_operation_name(&op->pub)),
               TL_C("type", f->nexus_handler_failure_info->type), TL_C("error", f->message));
    }
    if (op->end == TL_OP_DROPPED) {
        op_free(op);
        return;
    }
    tl_answer_send(&op->answer, &answer_kind, w, op->deadline_mono_ns);
}

void tl_op_run(struct tl_worker *w, struct tl_str body, struct tl_slot *slot,
               const struct tl_act_state *state)
{
    struct tl_op *op = op_new(w);
    struct tl_error err = {0};
    if (read_task(op, body, &err) != TL_OK) {
        TL_LOG(TL_LOG_ERROR, "nexus.task_dropped", TL_C("error", err.message));
        op_free(op);
    } else {
        tl_meter_nexus_started(op);
        set_running(op, true);
        invoke(op, state);
        set_running(op, false);
        report(op);
    }
    tl_slot_give(slot);
    tl_pollers_fill_nexus(w);
    tl_worker_tick(w);
}

void tl_ops_tell(struct tl_worker *w, unsigned reasons)
{
    pthread_mutex_lock(&w->running_mutex);
    TL_LIST_EACH (n, &w->operations) {
        struct tl_op *op = TL_CONTAINER(n, struct tl_op, running);
        pthread_mutex_lock(&op->mutex);
        atomic_fetch_or(&op->reasons, reasons);
        pthread_cond_broadcast(&op->cond);
        pthread_mutex_unlock(&op->mutex);
    }
    pthread_mutex_unlock(&w->running_mutex);
}
