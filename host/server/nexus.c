/* Nexus between runs and workers: requests are offered on the task queue that the endpoint names, and the
 * end of a run reaches the operation that waits for it. A callback is carried out in the commit of the
 * close: both sides become durable together.
 * Thread: engine. Owns: struct tl_nexus_task, from its offer until a poll takes it. */
#include "base/log.h"
#include "base/mem.h"
#include "proto/base64.h"
#include "proto/nexus.h"
#include "server/deliver.h"
#include "server/deployments.h"
#include "server/history/activity_execution.h"
#include "server/history/nexus.h"
#include "server/history/nexus_system.h"
#include "server/nexus_endpoints.h"

/* After so many failures in a row an endpoint's circuit opens, for so long. */
#define CIRCUIT_FAILURES 5
#define CIRCUIT_NS (60 * TL_NS_PER_S)

/* --- tasks ------------------------------------------------------------------------------------------- */

void tl_nexus_task_free(struct tl_server *s, struct tl_nexus_task *t)
{
    tl_match_task_drop(&s->matcher, &t->task);
    tl_list_remove(&t->link);
    tl_mem_free(t);
}

static bool wanted(const struct tl_exec *e, const struct tl_nexus_ref *ref)
{
    struct tl_nexus_due due;
    return tl_rs_nexus_due(e->rs, ref->scheduled_id, &due) && due.ref.request == ref->request &&
           due.ref.attempt == ref->attempt;
}

void tl_nexus_settle(struct tl_server *s, struct tl_exec *e)
{
    TL_LIST_EACH (it, &e->nexus) {
        struct tl_nexus_task *t = TL_CONTAINER(it, struct tl_nexus_task, link);
        if (!wanted(e, &t->ref)) {
            tl_nexus_task_free(s, t);
        }
    }
}

static struct tl_nexus_endpoint *endpoint_of(struct tl_server *s, const struct tl_nexus_due *due)
{
    struct tl_nexus_endpoint *e = tl_nexus_endpoint_by_id(s, due->endpoint_id);
    return e ? e : tl_nexus_endpoint_by_name(s, due->endpoint);
}

/* The endpoint was deleted: nobody will answer. */
static void not_registered(struct tl_server *s, struct tl_exec *e, const struct tl_nexus_ref *ref,
                           struct tl_arena *arena)
{
    struct tl_nexus_answer a = {.outcome = TL_NEXUS_FAILED};
    struct tl_tx tx;
    struct tl_error err;
    a.failure = tl_nexus_handler_failure(arena, TL_STR_LIT("NOT_FOUND"),
                                         TL_STR_LIT("endpoint not registered"), 0, NULL);
    tl_run_begin(s, e, &tx, arena);
    tl_rc rc = a.failure ? tl_tx_nexus_answer(&tx, ref, &a, &err)
                         : tl_error_set(&err, TL_ELIMIT, "no memory for a failure");
    if (!tx.touched) {
        tl_tx_abort(&tx);
    } else if (tl_run_end(s, e, &tx, &err) != TL_OK) {
        rc = err.code;
    }
    if (rc != TL_OK) {
        TL_LOG(TL_LOG_ERROR, "server.nexus_failed", TL_C("cause", err.message),
               TL_I("run", e->number));
    }
}

/* Whether the endpoint's circuit keeps the request back; then it comes again later. */
static bool held_back(struct tl_server *s, struct tl_exec *e, struct tl_nexus_endpoint *to,
                      const struct tl_nexus_ref *ref)
{
    int64_t now = tl_engine_now(s);
    if (!to->open_ns) {
        return false;
    }
    if (now < to->open_ns) {
        tl_rs_nexus_block(e->rs, ref, to->open_ns);
        tl_run_arm(s, e);
        return true;
    }
    to->open_ns = now + CIRCUIT_NS; /* this one is to find out */
    return false;
}

void tl_nexus_dispatch(struct tl_server *s, struct tl_exec *e, int64_t scheduled_id,
                       struct tl_arena *arena)
{
    struct tl_nexus_due due;
    if (!tl_rs_nexus_due(e->rs, scheduled_id, &due)) {
        return;
    }
    if (tl_nexus_is_system(due.endpoint.p)) {
        tl_nexus_run_system(s, e, &due.ref, arena);
        return;
    }
    struct tl_nexus_endpoint *to = endpoint_of(s, &due);
    const TpNexus__EndpointTarget__Worker *w = to ? to->e->spec->target->worker : NULL;
    struct tl_namespace *ns = w ? tl_namespace_find(s, tl_str(w->namespace_)) : NULL;
    if (!ns) {
        not_registered(s, e, &due.ref, arena);
        return;
    }
    if (held_back(s, e, to, &due.ref)) {
        return;
    }
    struct tl_nexus_task *t = TL_NEW(struct tl_nexus_task);
    tl_match_task_init(&t->task, TL_OFFER_NEXUS);
    tl_list_init(&t->link);
    t->exec = e;
    t->ref = due.ref;
    tl_list_push(&e->nexus, &t->link);
    const struct tl_route *route =
        tl_route_of_queue(s, ns, tl_str(w->task_queue), TASK_QUEUE_TYPE_NEXUS);
    struct tl_match_key key = {.namespace_number = ns->number,
                               .type = TL_QUEUE_NEXUS,
                               .name = tl_str(w->task_queue),
                               .version = route->current};
    tl_dispatch_offer(s, &key, &t->task, NULL, arena);
}

/* What the callback of the operation carries, as text. Empty without memory. */
static struct tl_str callback_token(struct tl_exec *e, int64_t scheduled_id, struct tl_arena *arena)
{
    TlV1__NexusCallbackToken t = TL_V1__NEXUS_CALLBACK_TOKEN__INIT;
    struct tl_rs_info info;
    struct tl_str bytes, text = {0};
    struct tl_error err;
    struct tl_buf b;
    tl_rs_info(e->rs, &info);
    t.namespace_number = e->ns->number;
    t.run_number = e->number;
    t.scheduled_event_id = scheduled_id;
    t.request_id = tl_rs_nexus_request_id(e->rs, scheduled_id, arena);
    tl_buf_init(&b, 1 << 16);
    if (t.request_id && tl_pb_encode_arena(&t, arena, &bytes, &err) == TL_OK &&
        tl_base64_encode(bytes, &b)) {
        text = tl_arena_str(arena, tl_buf_str(&b));
    }
    tl_buf_deinit(&b);
    return text;
}

bool tl_nexus_start_task(struct tl_server *s, struct tl_parked *p, struct tl_nexus_task *t,
                         struct tl_arena *arena)
{
    struct tl_exec *e = t->exec;
    struct tl_nexus_ref ref = t->ref;
    struct tl_error err;
    TpWs__PollNexusTaskQueueResponse r = TP_WS__POLL_NEXUS_TASK_QUEUE_RESPONSE__INIT;
    struct tl_work_token token = {.namespace_number = e->ns->number,
                                  .run_number = e->number,
                                  .ref = {.scheduled_id = ref.scheduled_id, .attempt = ref.attempt},
                                  .nexus_request = (int)ref.request};
    struct tl_delivery d = {.run_number = e->number,
                            .nexus_request = (int)ref.request,
                            .scheduled_id = ref.scheduled_id,
                            .attempt = ref.attempt,
                            .place = t->task.place};
    tl_nexus_task_free(s, t);
    if (tl_rs_nexus_deliver(e->rs, &s->env, &ref, callback_token(e, ref.scheduled_id, arena),
                            tl_engine_now(s), arena, &r.request, &err) != TL_OK) {
        return false;
    }
    tl_run_arm(s, e);
    struct tl_str bytes;
    struct tl_poll_request poll;
    if (tl_poll_decode(s, p, arena, &poll, &err) == TL_OK) {
        r.poller_scaling_decision = tl_poll_advice(s, p, &poll, arena);
    }
    tl_rc rc = tl_work_token_encode(&token, arena, &bytes, &err);
    if (rc == TL_OK) {
        r.task_token = tl_pb_bytes_view(bytes);
        rc = tl_reply_message(s, p->rpc, e->seq, &r, &d, &err);
    }
    if (rc != TL_OK) { /* its time runs out, then it is made again */
        tl_parked_refuse(s, p, tl_rc_grpc_status(err.code), err.message);
        return true;
    }
    tl_parked_free(s, p);
    return true;
}

void tl_nexus_undo(struct tl_server *s, struct tl_exec *e, const struct tl_delivery *d)
{
    struct tl_nexus_ref ref = {d->scheduled_id, (enum tl_nexus_request)d->nexus_request,
                               d->attempt};
    tl_rs_nexus_undeliver(e->rs, &ref);
    tl_run_arm(s, e);
}

void tl_nexus_answered(struct tl_server *s, struct tl_exec *e, int64_t scheduled_id, bool good)
{
    struct tl_str name = tl_rs_nexus_endpoint(e->rs, scheduled_id);
    struct tl_nexus_endpoint *to = tl_nexus_endpoint_by_name(s, name);
    if (!to) {
        return;
    }
    if (good) {
        to->failures = 0;
        to->open_ns = 0;
    } else if (++to->failures > CIRCUIT_FAILURES) {
        to->open_ns = tl_engine_now(s) + CIRCUIT_NS;
    }
}

/* --- completions --------------------------------------------------------------------------------------- */

static const char *header_of(const TpCommon__Callback__Nexus *n, const char *name)
{
    for (size_t i = 0; i < n->n_header; i++) {
        if (tl_str_eqc(tl_str(n->header[i]->key), name)) {
            return n->header[i]->value;
        }
    }
    return "";
}

tl_rc tl_nexus_check_callbacks(TpCommon__Callback *const *callbacks, size_t n, struct tl_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const TpCommon__Callback *c = callbacks[i];
        if (c->variant_case != TP_COMMON__CALLBACK__VARIANT_NEXUS) {
            return tl_error_set(err, TL_EINVAL, "unknown callback variant: it is not a Nexus one");
        }
        if (!tl_str_eqc(tl_str(c->nexus->url), TL_NEXUS_SYSTEM_CALLBACK)) {
            return tl_error_set(err, TL_EINVAL,
                                "invalid callback url \"%.200s\": this server calls back its own "
                                "workflows only (\"" TL_NEXUS_SYSTEM_CALLBACK "\")",
                                c->nexus->url);
        }
        if (!*header_of(c->nexus, TL_NEXUS_CALLBACK_TOKEN)) {
            return tl_error_set(err, TL_EINVAL,
                                "a callback to \"" TL_NEXUS_SYSTEM_CALLBACK
                                "\" needs the header " TL_NEXUS_CALLBACK_TOKEN);
        }
    }
    return TL_OK;
}

static tl_rc read_token(const char *text, struct tl_arena *arena, TlV1__NexusCallbackToken **out,
                        struct tl_error *err)
{
    struct tl_str s = tl_str(text);
    char *bytes = tl_arena_alloc(arena, tl_base64_decoded_max(s.n) + 1);
    size_t n = 0;
    if (!bytes || !tl_base64_decode(s, bytes, &n)) {
        return tl_error_set(err, TL_EINVAL, "the token of a callback is malformed");
    }
    return tl_pb_decode(&tl_v1__nexus_callback_token__descriptor, tl_str_n(bytes, n), arena, out,
                        err);
}

static tl_rc complete_on(struct tl_server *s, struct tl_exec *caller,
                         const TlV1__NexusCallbackToken *token, const struct tl_nexus_answer *a,
                         int64_t started_ns, struct tl_error *err)
{
    struct tl_tx tx;
    tl_run_begin(s, caller, &tx, &s->arena);
    tl_rc rc =
        tl_tx_nexus_complete(&tx, token->scheduled_event_id, token->request_id, a, started_ns, err);
    if (!tx.touched) {
        tl_tx_abort(&tx);
        return rc;
    }
    tl_rc ended = tl_run_end(s, caller, &tx, err);
    return rc != TL_OK ? rc : ended;
}

/* The run that waits, or after a reset the one in its place. */
static tl_rc complete(struct tl_server *s, const TlV1__NexusCallbackToken *token,
                      const struct tl_nexus_answer *a, int64_t started_ns, struct tl_error *err)
{
    struct tl_rs_info info;
    struct tl_exec *caller = tl_run_by_number(s, token->run_number, err);
    if (!caller || caller->ns->number != token->namespace_number) {
        return tl_error_set(err, TL_ENOTFOUND, "the workflow of the operation does not exist");
    }
    tl_rc rc = complete_on(s, caller, token, a, started_ns, err);
    if (rc != TL_ENOTFOUND) {
        return rc;
    }
    tl_rs_info(caller->rs, &info);
    struct tl_exec *now = tl_run_current(s, caller->ns, info.id.workflow_id, err);
    return now && now != caller ? complete_on(s, now, token, a, started_ns, err) : rc;
}

static TpCommon__Link **link_to_start(struct tl_server *s, struct tl_exec *e,
                                      const struct tl_rs_info *info)
{
    TpCommon__Link **links = TL_ARENA_ARRAY(&s->arena, TpCommon__Link *, 1);
    TpCommon__Link *l =
        info->id.kind == TL_RUN_OPERATION
            ? tl_nexus_operation_link(&s->arena, e->ns->name, info->id.workflow_id, info->id.run_id)
        : info->id.kind == TL_RUN_ACTIVITY
            ? tl_nexus_activity_link(&s->arena, e->ns->name, info->id.workflow_id, info->id.run_id)
            : tl_nexus_event_link(&s->arena, e->ns->name, info->id.workflow_id, info->id.run_id, 1,
                                  EVENT_TYPE_WORKFLOW_EXECUTION_STARTED);
    if (links && l) {
        links[0] = l;
        return links;
    }
    return NULL;
}

void tl_nexus_callback(struct tl_server *s, struct tl_exec *e, struct tl_str callback,
                       struct tl_str event)
{
    TpCommon__Callback *c = NULL;
    TpHistory__HistoryEvent *closed = NULL;
    TlV1__NexusCallbackToken *token = NULL;
    struct tl_nexus_answer a;
    struct tl_rs_info info;
    struct tl_error err;
    tl_rc rc = tl_pb_decode(&tp_common__callback__descriptor, callback, &s->arena, &c, &err);
    if (rc == TL_OK) {
        rc = tl_pb_decode(&tp_history__history_event__descriptor, event, &s->arena, &closed, &err);
    }
    if (rc == TL_OK) {
        rc = tl_nexus_check_callbacks(&c, 1, &err);
    }
    if (rc == TL_OK) {
        rc = read_token(header_of(c->nexus, TL_NEXUS_CALLBACK_TOKEN), &s->arena, &token, &err);
    }
    if (rc == TL_OK) {
        rc = tl_nexus_read_close(closed, &s->arena, &a, &err);
    }
    if (rc == TL_OK) {
        const TpActivity__ActivityExecutionOutcome *o;
        tl_rs_info(e->rs, &info);
        if (info.id.kind == TL_RUN_ACTIVITY && a.failure &&
            (o = tl_rs_activity_execution_outcome(e->rs, &s->arena)) != NULL && o->failure) {
            a.failure = o->failure;
        }
        a.token = (char *)(uintptr_t)header_of(c->nexus, TL_NEXUS_OPERATION_TOKEN);
        a.links = link_to_start(s, e, &info);
        a.n_links = a.links ? 1 : 0;
        rc = complete(s, token, &a, info.start_ns, &err);
    }
    if (rc != TL_OK) { /* it ended before, or is no operation of ours: nobody waits */
        TL_LOG(rc == TL_ENOTFOUND ? TL_LOG_INFO : TL_LOG_WARN, "server.callback_without_operation",
               TL_C("cause", err.message), TL_I("run", e->number));
    }
}
