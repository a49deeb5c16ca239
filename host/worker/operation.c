/* What a Nexus handler sees of its request, and how it ends it. See operation.h. */
#include "worker/operation.h"

#include <time.h>

#include "base/assert.h"
#include "proto/pb.h"
#include "worker/op_int.h"

static struct tl_op *op_of(const struct tl_operation *o)
{
    return TL_CONTAINER((uintptr_t)o, struct tl_op, pub);
}

/* --- Context ----------------------------------------------------------------------------------- */

const char *tl_operation_service(const struct tl_operation *o)
{
    return o->request->variant_case == TP_NEXUS__REQUEST__VARIANT_START_OPERATION
               ? o->request->start_operation->service
               : o->request->cancel_operation->service;
}

const char *tl_operation_name(const struct tl_operation *o)
{
    return o->request->variant_case == TP_NEXUS__REQUEST__VARIANT_START_OPERATION
               ? o->request->start_operation->operation
               : o->request->cancel_operation->operation;
}

unsigned tl_operation_cancel_reasons(const struct tl_operation *o)
{
    const struct tl_op *op = op_of(o);
    bool late = tl_worker_now(op->worker) >= op->deadline_mono_ns;
    return atomic_load(&op->reasons) | (late ? (unsigned)TL_CANCEL_TIMED_OUT : 0u);
}

static bool is_cancelled(const struct tl_op *op)
{
    return tl_operation_cancel_reasons(&op->pub) != 0;
}

static bool is_shutting_down(const struct tl_op *op)
{
    return tl_worker_stopping(op->worker);
}

static void wait_for(struct tl_op *op, bool (*what)(const struct tl_op *op), int64_t deadline_ns)
{
    struct timespec ts = {deadline_ns / TL_NS_PER_S, deadline_ns % TL_NS_PER_S};
    int rc = 0;
    if (op->worker->stepped) {
        return;
    }
    pthread_mutex_lock(&op->mutex);
    while (!what(op) && rc == 0) {
        rc = deadline_ns == INT64_MAX ? pthread_cond_wait(&op->cond, &op->mutex)
                                      : pthread_cond_timedwait(&op->cond, &op->mutex, &ts);
    }
    pthread_mutex_unlock(&op->mutex);
}

unsigned tl_operation_wait_cancelled(struct tl_operation *o, int64_t deadline_mono_ns)
{
    struct tl_op *op = op_of(o);
    bool own_first = op->deadline_mono_ns < deadline_mono_ns;
    wait_for(op, is_cancelled, own_first ? op->deadline_mono_ns : deadline_mono_ns);
    return tl_operation_cancel_reasons(o);
}

bool tl_operation_wait_shutdown(struct tl_operation *o, int64_t deadline_mono_ns)
{
    wait_for(op_of(o), is_shutting_down, deadline_mono_ns);
    return is_shutting_down(op_of(o));
}

const struct tl_client *tl_operation_client(const struct tl_operation *o)
{
    return op_of(o)->worker->client;
}

/* --- Ends -------------------------------------------------------------------------------------- */

tl_rc tl_operation_add_link(struct tl_operation *o, struct tl_str url, struct tl_str type,
                            struct tl_error *err)
{
    struct tl_op *op = op_of(o);
    TpNexus__Link *l = TL_PB_NEW(&op->arena, TpNexus__Link, tp_nexus__link);
    if (!l || !(l->url = tl_pb_cstr(&op->arena, url)) ||
        !(l->type = tl_pb_cstr(&op->arena, type)) || !tl_pb_push(&op->arena, &op->links, l)) {
        return tl_error_set(err, TL_ELIMIT, "no memory for a link of the operation");
    }
    return TL_OK;
}

static void end(struct tl_operation *o, enum tl_op_end how, const void *body)
{
    struct tl_op *op = op_of(o);
    TL_ASSERT(op->end == TL_OP_OPEN);
    op->end = how;
    op->end_body = body;
}

void tl_operation_complete(struct tl_operation *o, const TpCommon__Payload *result)
{
    end(o, TL_OP_COMPLETED, result);
}

void tl_operation_started(struct tl_operation *o, const char *token)
{
    end(o, TL_OP_STARTED, token);
}

void tl_operation_fail(struct tl_operation *o, const TpFailure__Failure *failure)
{
    end(o, TL_OP_FAILED, failure);
}

void tl_operation_cancel_taken(struct tl_operation *o)
{
    end(o, TL_OP_CANCEL_TAKEN, NULL);
}

void tl_operation_refuse(struct tl_operation *o, const TpFailure__Failure *failure)
{
    end(o, TL_OP_REFUSED, failure);
}

void tl_operation_drop(struct tl_operation *o)
{
    end(o, TL_OP_DROPPED, NULL);
}

bool tl_operation_ended(const struct tl_operation *o)
{
    return op_of(o)->end != TL_OP_OPEN;
}
