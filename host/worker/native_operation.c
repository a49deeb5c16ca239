/* Nexus operations in C. See native_operation.h. The public struct tlua_operation lives on the stack of the
 * thread that answers the request. */
#include "worker/native_operation.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/world.h"
#include "proto/failure.h"
#include "proto/nexus.h"
#include "proto/payload.h"
#include "proto/pb.h"
#include "proto/utf8.h"
#include "tl_enums.h"
#include "worker/native.h"
#include "worker/registry_int.h"

#define TOKEN_BYTES_MAX 4096 /* of servers, by default */

enum native_op_end { END_RESULT, END_STARTED, END_FAIL, END_REFUSE };

struct tlua_operation {
    struct tl_operation *o;
    tlua_operation_info info;
    TpCommon__Payload *result;
    struct tl_pb_list details;
    enum native_op_end end;
    const char *token;
    TpFailure__Failure *failure;
};

/* One registered operation. */
struct native_op {
    struct tl_registry_module base;
    tlua_operation_handler handler;
};

static tlua_bytes view(const char *s)
{
    struct tl_str t = tl_str(s ? s : "");
    return (tlua_bytes){t.p ? t.p : "", t.n};
}

static const TpNexus__StartOperationRequest *start_of(const tlua_operation *x)
{
    return x->info.is_cancel ? NULL : x->o->request->start_operation;
}

/* --- reading ----------------------------------------------------------------------------------- */

const tlua_operation_info *tl_native_op_info(tlua_operation *x)
{
    return &x->info;
}

int tl_native_op_input(tlua_operation *x, tlua_payload *out)
{
    const TpNexus__StartOperationRequest *s = start_of(x);
    if (!s || !s->payload) {
        return TLUA_ENOTFOUND;
    }
    tl_native_view(s->payload, out);
    return TLUA_OK;
}

int tl_native_op_header(tlua_operation *x, size_t index, tlua_bytes *name, tlua_bytes *value)
{
    const TpNexus__Request *r = x->o->request;
    if (index >= r->n_header) {
        return TLUA_ENOTFOUND;
    }
    *name = view(r->header[index]->key);
    *value = view(r->header[index]->value);
    return TLUA_OK;
}

int tl_native_op_callback_header(tlua_operation *x, size_t index, tlua_bytes *name,
                                 tlua_bytes *value)
{
    const TpNexus__StartOperationRequest *s = start_of(x);
    if (!s || index >= s->n_callback_header) {
        return TLUA_ENOTFOUND;
    }
    *name = view(s->callback_header[index]->key);
    *value = view(s->callback_header[index]->value);
    return TLUA_OK;
}

int tl_native_op_link(tlua_operation *x, size_t index, tlua_bytes *url, tlua_bytes *type)
{
    const TpNexus__StartOperationRequest *s = start_of(x);
    if (!s || index >= s->n_links) {
        return TLUA_ENOTFOUND;
    }
    *url = view(s->links[index]->url);
    *type = view(s->links[index]->type);
    return TLUA_OK;
}

/* --- answering --------------------------------------------------------------------------------- */

int tl_native_op_put(tlua_operation *x, int target, const char *encoding, const void *data,
                     size_t size)
{
    struct tl_str bytes = tl_str_n(data, size);
    bool json = encoding && strncmp(encoding, "json/", 5) == 0;
    if (!encoding || !*encoding || (json && (!size || !tl_utf8_ok(bytes))) ||
        (target != TLUA_RESULT && target != TLUA_FAILURE_DETAILS)) {
        return TLUA_EINVAL;
    }
    TpCommon__Payload *p = tl_native_payload(x->o->arena, tl_str(encoding), bytes);
    if (!p) {
        return TLUA_ELIMIT;
    }
    if (target == TLUA_RESULT) {
        x->result = p;
        return TLUA_OK;
    }
    return tl_pb_push(x->o->arena, &x->details, p) ? TLUA_OK : TLUA_ELIMIT;
}

int tl_native_op_started(tlua_operation *x, const char *token)
{
    if (x->info.is_cancel || !token || !*token || strlen(token) > TOKEN_BYTES_MAX ||
        !tl_utf8_ok(tl_str(token))) {
        return TLUA_EINVAL;
    }
    const char *copy = tl_pb_cstr(x->o->arena, tl_str(token));
    if (!copy) {
        return TLUA_ELIMIT;
    }
    x->token = copy;
    x->end = END_STARTED;
    return TLUA_OK;
}

static void tell_error(tlua_error *err, tl_rc rc, const char *message)
{
    if (err) {
        err->code = rc;
        strncpy(err->message, rc == TL_OK ? "" : message, sizeof err->message - 1);
        err->message[sizeof err->message - 1] = '\0';
    }
}

int tl_native_op_start_workflow(tlua_operation *x, const tlua_operation_workflow *workflow,
                                char run_id[64], tlua_error *err)
{
    struct tl_error e = {0};
    const char *token = NULL;
    tl_rc rc = x->info.is_cancel ? tl_error_set(&e, TL_EINVAL, "a cancellation starts nothing")
                                 : tl_native_start_workflow(x->o, workflow, run_id, &token, &e);
    if (rc == TL_OK) {
        x->token = token;
        x->end = END_STARTED;
    }
    tell_error(err, rc, e.message);
    return rc;
}

int tl_native_op_fail(tlua_operation *x, const tlua_operation_failure *f)
{
    struct tl_arena *arena = x->o->arena;
    if (x->info.is_cancel || !f || f->size < sizeof *f) {
        return TLUA_EINVAL;
    }
    struct tl_str message = tl_str(f->message ? f->message : "");
    TpCommon__Payloads *details =
        x->details.n
            ? tl_payloads_new(arena, (TpCommon__Payload *const *)x->details.items, x->details.n)
            : NULL;
    TpFailure__Failure *failure =
        f->canceled ? tl_failure_canceled(arena, message, details)
                    : tl_activity_failure(arena, tl_str(f->type ? f->type : ""), message, true);
    if (!failure || (x->details.n && !details)) {
        return TLUA_ELIMIT;
    }
    if (!f->canceled) {
        failure->application_failure_info->details = details;
    }
    x->failure = failure;
    x->end = END_FAIL;
    return TLUA_OK;
}

static int refuse(tlua_operation *x, const char *type, const char *message, int behavior)
{
    x->failure =
        tl_nexus_handler_failure(x->o->arena, tl_str(type), tl_str(message), behavior, NULL);
    x->end = END_REFUSE;
    return x->failure ? TLUA_OK : TLUA_ELIMIT;
}

int tl_native_op_refuse(tlua_operation *x, const tlua_operation_refusal *r)
{
    static const int behaviors[] = {NEXUS_HANDLER_ERROR_RETRY_BEHAVIOR_UNSPECIFIED,
                                    NEXUS_HANDLER_ERROR_RETRY_BEHAVIOR_RETRYABLE,
                                    NEXUS_HANDLER_ERROR_RETRY_BEHAVIOR_NON_RETRYABLE};
    if (!r || r->size < sizeof *r || r->retry < TLUA_RETRY_BY_TYPE || r->retry > TLUA_RETRY_NO) {
        return TLUA_EINVAL;
    }
    return refuse(x, r->type ? r->type : "INTERNAL", r->message ? r->message : "",
                  behaviors[r->retry]);
}

int tl_native_op_add_link(tlua_operation *x, const char *url, const char *type)
{
    if (x->info.is_cancel || !url || !*url || !type || !*type) {
        return TLUA_EINVAL;
    }
    return tl_operation_add_link(x->o, tl_str(url), tl_str(type), NULL);
}

/* --- waiting, log, metrics --------------------------------------------------------------------- */

unsigned tl_native_op_cancelled(tlua_operation *x)
{
    return tl_operation_cancel_reasons(x->o);
}

unsigned tl_native_op_wait_cancelled(tlua_operation *x, int64_t timeout_ms)
{
    return tl_operation_wait_cancelled(x->o, tl_native_deadline_ns(timeout_ms));
}

bool tl_native_op_wait_worker_shutdown(tlua_operation *x, int64_t timeout_ms)
{
    return tl_operation_wait_shutdown(x->o, tl_native_deadline_ns(timeout_ms));
}

void tl_native_op_log(tlua_operation *x, int level, const char *message)
{
    TL_LOG(tl_native_log_level(level), "nexus.message_logged",
           TL_C("message", message ? message : ""), TL_C("service", tl_operation_service(x->o)),
           TL_C("operation", tl_operation_name(x->o)), TL_C("endpoint", x->o->request->endpoint));
}

int tl_native_op_record_metric(tlua_operation *x, const tlua_metric *metric, double value,
                               const tlua_attribute *attributes, size_t count)
{
    const struct tl_label own[] = {
        {TL_STR_LIT("namespace"), x->o->namespace_name},
        {TL_STR_LIT("task_queue"), x->o->task_queue},
        {TL_STR_LIT("nexus_service"), tl_str(tl_operation_service(x->o))},
        {TL_STR_LIT("nexus_operation"), tl_str(tl_operation_name(x->o))},
    };
    return tl_native_record(tl_operation_client(x->o), own, sizeof own / sizeof own[0], metric,
                            value, attributes, count);
}

/* --- running ----------------------------------------------------------------------------------- */

static void fill_info(tlua_operation *x)
{
    const TpNexus__Request *r = x->o->request;
    bool is_cancel = r->variant_case == TP_NEXUS__REQUEST__VARIANT_CANCEL_OPERATION;
    const TpNexus__StartOperationRequest *s = is_cancel ? NULL : r->start_operation;
    x->info = (tlua_operation_info){
        .size = sizeof x->info,
        .service = view(tl_operation_service(x->o)),
        .operation = view(tl_operation_name(x->o)),
        .endpoint = view(r->endpoint),
        .namespace_name = {x->o->namespace_name.p, x->o->namespace_name.n},
        .task_queue = {x->o->task_queue.p, x->o->task_queue.n},
        .is_cancel = is_cancel,
        .deadline_ns = x->o->deadline_ns,
        .request_id = view(s ? s->request_id : ""),
        .callback_url = view(s ? s->callback : ""),
        .operation_token = view(is_cancel ? r->cancel_operation->operation_token : ""),
    };
}

/* Without a function of the user's: what stands behind the operation may be a workflow. */
static void cancel_workflow(tlua_operation *x)
{
    struct tl_error err = {0};
    const char *token = x->o->request->cancel_operation->operation_token;
    tl_rc rc = tl_native_cancel_workflow(x->o, token, &err);
    if (rc != TL_OK) {
        const char *type = rc == TL_ENOTFOUND      ? "NOT_FOUND"
                           : rc == TL_EUNAVAILABLE ? "UNAVAILABLE"
                                                   : "INTERNAL";
        (void)refuse(x, type, err.message, NEXUS_HANDLER_ERROR_RETRY_BEHAVIOR_UNSPECIFIED);
    }
}

static void run_native(void *thread_state, void *ud, struct tl_operation *o)
{
    const struct native_op *op = ud;
    tlua_operation x = {.o = o};
    (void)thread_state;
    fill_info(&x);
    if (!x.info.is_cancel) {
        op->handler.start(&x, op->handler.ud);
    } else if (op->handler.cancel) {
        op->handler.cancel(&x, op->handler.ud);
    } else {
        cancel_workflow(&x);
    }
    if (x.end == END_REFUSE) {
        if (x.failure) { /* without memory the worker says so itself */
            tl_operation_refuse(o, x.failure);
        }
    } else if (x.info.is_cancel) {
        tl_operation_cancel_taken(o);
    } else if (x.end == END_STARTED) {
        tl_operation_started(o, x.token);
    } else if (x.end == END_FAIL) {
        tl_operation_fail(o, x.failure);
    } else {
        tl_operation_complete(o, x.result);
    }
}

/* --- registration ------------------------------------------------------------------------------ */

static void release_op(struct tl_registry_module *m)
{
    tl_mem_free(TL_CONTAINER(m, struct native_op, base));
}

tl_rc tl_native_add_operation(struct tl_registry *r, struct tl_str service, struct tl_str operation,
                              const tlua_operation_handler *handler, struct tl_error *err)
{
    if (!service.n || !operation.n || !handler || handler->size < sizeof *handler ||
        !handler->start) {
        return tl_error_set(err, TL_EINVAL,
                            "an operation needs a service, a name and a handler with start");
    }
    struct native_op *op = TL_NEW(struct native_op);
    struct tl_operation_impl impl = {.run = run_native, .ud = op};
    op->base.release = release_op;
    op->handler = *handler;
    tl_rc rc = tl_registry_add_operation(r, service, operation, &impl, err);
    if (rc != TL_OK) {
        tl_mem_free(op);
        return rc;
    }
    tl_registry_adopt_module(r, &op->base);
    return TL_OK;
}
