/* The table of commands under way to workers, and their attempts. See worker_commands.h. */
#include "server/worker_commands.h"

#include <math.h>
#include <stdio.h>

#include <temporal/api/nexusservices/workerservice/v1/request_response.pb-c.h>

#include "base/log.h"
#include "base/mem.h"
#include "server/deliver.h"

#define SERVICE "temporal.api.nexusservices.workerservice.v1.WorkerService"
#define OPERATION "ExecuteCommands"
#define ATTEMPT_NS (10 * TL_NS_PER_S)
#define ATTEMPTS_MAX 3
#define PAUSE_NS TL_NS_PER_S /* after the first attempt; then a tenth longer each time */
#define PAUSE_GROWTH 1.1
#define ROW_BYTES_MAX ((size_t)16 << 20)
#define KEY_PREFIX "worker-command/"

/* --- the table -------------------------------------------------------------------------------------- */

static struct tl_str key_of(struct tl_server *s, uint64_t number)
{
    tl_buf_clear(&s->scratch);
    tl_buf_printf(&s->scratch, KEY_PREFIX "%016llx", (unsigned long long)number);
    return tl_buf_str(&s->scratch);
}

void tl_worker_commands_init(struct tl_server *s)
{
    tl_map_init(&s->worker_commands);
    /* A worker's answer to commands of an earlier process must not fit others of this one. */
    s->worker_command_numbers = tl_world_random(s->world) >> 1;
}

static void forget(struct tl_server *s, struct tl_worker_command *c)
{
    tl_match_task_drop(&s->matcher, &c->task);
    tl_heap_remove(&s->waits, &c->due.node);
    tl_map_del_num(&s->worker_commands, c->number);
    tl_mem_free(c);
}

static void forget_all(struct tl_server *s)
{
    TL_MAP_EACH (entry, &s->worker_commands) {
        forget(s, entry->value);
    }
}

void tl_worker_commands_free(struct tl_server *s)
{
    forget_all(s);
    tl_map_deinit(&s->worker_commands);
}

static void fire(struct tl_server *s, struct tl_due *due);

static struct tl_worker_command *add(struct tl_server *s, uint64_t number,
                                     uint64_t namespace_number, struct tl_str queue,
                                     struct tl_str request)
{
    struct tl_worker_command *c = tl_mem_alloc(sizeof *c + queue.n + request.n);
    tl_match_task_init(&c->task, TL_OFFER_COMMAND);
    c->due.fire = fire;
    c->number = number;
    c->namespace_number = namespace_number;
    c->queue = tl_str_n(memcpy(c->bytes, queue.p, queue.n), queue.n);
    c->request = tl_str_n(memcpy(c->bytes + queue.n, request.p, request.n), request.n);
    tl_map_put_num(&s->worker_commands, number, c);
    return c;
}

static void remove_row(struct tl_server *s, uint64_t number)
{
    tl_batch_meta_delete(&s->open->ops, key_of(s, number));
}

/* Puts it into the open commit. */
static void write_row(struct tl_server *s, struct tl_worker_command *c)
{
    TlV1__WorkerCommandTask row = TL_V1__WORKER_COMMAND_TASK__INIT;
    struct tl_error err;
    struct tl_buf b;
    char *queue = tl_mem_dup(c->queue);
    row.namespace_number = c->namespace_number;
    row.task_queue = queue;
    row.attempt = c->attempt;
    row.commands = tl_pb_bytes_view(c->request);
    tl_buf_init(&b, ROW_BYTES_MAX);
    if (tl_pb_encode(&row, &b, &err) == TL_OK) {
        tl_batch_meta_put(&s->open->ops, key_of(s, c->number), tl_buf_str(&b));
        c->seq = s->open->seq;
    } else { /* it goes out all the same; a crash loses it */
        TL_LOG(TL_LOG_ERROR, "server.worker_command_not_kept", TL_C("cause", err.message));
    }
    tl_buf_deinit(&b);
    tl_mem_free(queue);
}

/* --- attempts ---------------------------------------------------------------------------------------- */

static void offer(struct tl_server *s, struct tl_worker_command *c, struct tl_arena *arena)
{
    struct tl_match_key key = {
        .namespace_number = c->namespace_number, .type = TL_QUEUE_NEXUS, .name = c->queue};
    tl_dispatch_offer(s, &key, &c->task, NULL, arena);
}

static void begin_attempt(struct tl_server *s, struct tl_worker_command *c, struct tl_arena *arena)
{
    c->attempt++;
    c->backing_off = false;
    write_row(s, c);
    tl_due_set(&s->waits, &c->due, tl_engine_mono(s) + ATTEMPT_NS);
    offer(s, c, arena);
}

/* They have come to their end, well or not. */
static void end(struct tl_server *s, struct tl_worker_command *c, const char *outcome)
{
    const struct tl_namespace *ns = tl_map_get_num(&s->namespace_numbers, c->namespace_number);
    if (ns) {
        tl_server_metrics_command(s, ns->name, outcome);
    }
    remove_row(s, c->number);
    forget(s, c);
}

static void attempt_failed(struct tl_server *s, struct tl_worker_command *c, const char *cause)
{
    if (c->attempt >= ATTEMPTS_MAX) {
        TL_LOG(TL_LOG_INFO, "server.worker_command_dropped", TL_S("task_queue", c->queue),
               TL_I("attempts", c->attempt), TL_C("cause", cause));
        end(s, c, "max_attempts_exceeded");
        return;
    }
    tl_match_task_drop(&s->matcher, &c->task);
    c->backing_off = true;
    int64_t pause_ns = (int64_t)((double)PAUSE_NS * pow(PAUSE_GROWTH, c->attempt - 1));
    tl_due_set(&s->waits, &c->due, tl_engine_mono(s) + pause_ns);
}

static void fire(struct tl_server *s, struct tl_due *due)
{
    struct tl_worker_command *c = TL_CONTAINER(due, struct tl_worker_command, due);
    if (c->backing_off) {
        tl_arena_reset(&s->arena);
        begin_attempt(s, c, &s->arena);
    } else {
        attempt_failed(s, c, "no worker has answered");
    }
}

/* --- recovery ---------------------------------------------------------------------------------------- */

struct loading {
    struct tl_server *s;
    struct tl_arena arena; /* of one row */
};

/* What is stored is delivered while the server is to send commands at all, else it goes. */
static tl_rc load_row(void *ud, struct tl_str key, struct tl_str value, struct tl_error *err)
{
    struct loading *l = ud;
    struct tl_server *s = l->s;
    TlV1__WorkerCommandTask *row = NULL;
    char digits[17] = {0};
    unsigned long long number = 0;
    tl_arena_reset(&l->arena);
    struct tl_str text = tl_str_n(key.p + strlen(KEY_PREFIX), key.n - strlen(KEY_PREFIX));
    memcpy(digits, text.p, text.n < 16 ? text.n : 16);
    if (text.n != 16 || sscanf(digits, "%16llx", &number) != 1) {
        return tl_error_set(err, TL_EDECODE, "the key of a worker's command is damaged");
    }
    if (!s->env.worker_commands) {
        remove_row(s, number);
        return TL_OK;
    }
    tl_rc rc = tl_pb_decode(&tl_v1__worker_command_task__descriptor, value, &l->arena, &row, err);
    if (rc == TL_OK) {
        struct tl_worker_command *c = add(s, number, row->namespace_number, tl_str(row->task_queue),
                                          tl_pb_str(row->commands));
        c->attempt = row->attempt - 1;
        c->backing_off = true;
        tl_due_set(&s->waits, &c->due, tl_engine_mono(s));
    }
    return rc;
}

tl_rc tl_worker_commands_load(struct tl_server *s, struct tl_error *err)
{
    struct loading l = {.s = s};
    forget_all(s);
    tl_arena_init(&l.arena, ROW_BYTES_MAX);
    tl_rc rc = tl_store_meta_each(tl_store_point_reader(s->store), TL_STR_LIT(KEY_PREFIX), load_row,
                                  &l, err);
    tl_arena_deinit(&l.arena);
    return rc;
}

/* --- from effects ------------------------------------------------------------------------------------ */

static bool tells(const struct tl_effect *x, struct tl_str queue)
{
    return x->kind == TL_FX_TELL_WORKER && tl_str_eq(x->u.attempt.control_queue, queue);
}

/* The encoded command to cancel the attempt; NULL without memory. */
static TpWorker__WorkerCommand *cancel(const struct tl_exec *e, const struct tl_effect *x,
                                       struct tl_arena *arena)
{
    TpWorker__WorkerCommand *command =
        TL_PB_NEW(arena, TpWorker__WorkerCommand, tp_worker__worker_command);
    TpWorker__CancelActivityCommand *which =
        TL_PB_NEW(arena, TpWorker__CancelActivityCommand, tp_worker__cancel_activity_command);
    struct tl_str token;
    if (!command || !which ||
        tl_activity_token(e, &x->u.attempt.ref, x->u.attempt.activity_id, arena, &token, NULL) !=
            TL_OK) {
        return NULL;
    }
    which->task_token = tl_pb_bytes_view(token);
    command->type_case = TP_WORKER__WORKER_COMMAND__TYPE_CANCEL_ACTIVITY;
    command->cancel_activity = which;
    return command;
}

static void send_to(struct tl_server *s, struct tl_exec *e, const struct tl_effects *fx,
                    struct tl_str queue, struct tl_arena *arena)
{
    TpWorkersvc__ExecuteCommandsRequest req = TP_WORKERSVC__EXECUTE_COMMANDS_REQUEST__INIT;
    struct tl_pb_list list = {0};
    struct tl_str bytes;
    bool whole = true;
    for (size_t i = 0; i < fx->n; i++) {
        if (tells(&fx->items[i], queue)) {
            TpWorker__WorkerCommand *c = cancel(e, &fx->items[i], arena);
            whole = c && tl_pb_push(arena, &list, c) && whole;
        }
    }
    req.commands = list.items;
    req.n_commands = list.n;
    if (!whole || tl_pb_encode_arena(&req, arena, &bytes, NULL) != TL_OK) {
        /* Its worker hears by heartbeat, or when it answers. */
        TL_LOG(TL_LOG_WARN, "server.worker_command_not_sent", TL_I("run", e->number));
        return;
    }
    uint64_t number = s->worker_command_numbers++;
    begin_attempt(s, add(s, number, e->ns->number, queue, bytes), arena);
}

void tl_worker_commands_send(struct tl_server *s, struct tl_exec *e, const struct tl_effects *fx,
                             struct tl_arena *arena)
{
    for (size_t i = 0; i < fx->n; i++) {
        const struct tl_effect *x = &fx->items[i];
        bool sent = x->kind != TL_FX_TELL_WORKER;
        for (size_t j = 0; !sent && j < i; j++) {
            sent = tells(&fx->items[j], x->u.attempt.control_queue);
        }
        if (!sent) {
            send_to(s, e, fx, x->u.attempt.control_queue, arena);
        }
    }
}

/* --- delivery ------------------------------------------------------------------------------------------ */

static TpNexus__Request *request_of(struct tl_server *s, const struct tl_worker_command *c,
                                    struct tl_arena *a)
{
    TpNexus__Request *r = TL_PB_NEW(a, TpNexus__Request, tp_nexus__request);
    TpNexus__StartOperationRequest *start =
        TL_PB_NEW(a, TpNexus__StartOperationRequest, tp_nexus__start_operation_request);
    TpNexus__Request__HeaderEntry *h =
        TL_PB_NEW(a, TpNexus__Request__HeaderEntry, tp_nexus__request__header_entry);
    TpNexus__Request__HeaderEntry **headers = TL_ARENA_ARRAY(a, TpNexus__Request__HeaderEntry *, 1);
    TpCommon__Payload *p = TL_PB_NEW(a, TpCommon__Payload, tp_common__payload);
    TpCommon__Payload__MetadataEntry *m =
        TL_PB_NEW(a, TpCommon__Payload__MetadataEntry, tp_common__payload__metadata_entry);
    TpCommon__Payload__MetadataEntry **metadata =
        TL_ARENA_ARRAY(a, TpCommon__Payload__MetadataEntry *, 1);
    if (!r || !start || !h || !headers || !p || !m || !metadata) {
        return NULL;
    }
    int64_t left_ns = c->due.node.deadline_ns - tl_engine_mono(s);
    h->key = (char *)(uintptr_t) "request-timeout";
    h->value = tl_arena_printf(a, "%lldms", (long long)(left_ns / TL_NS_PER_MS));
    headers[0] = h;
    r->header = headers;
    r->n_header = 1;
    m->key = (char *)(uintptr_t) "encoding";
    m->value = tl_pb_bytes_view(TL_STR_LIT("binary/protobuf"));
    metadata[0] = m;
    p->metadata = metadata;
    p->n_metadata = 1;
    p->data = tl_pb_bytes_view(c->request);
    start->service = (char *)(uintptr_t)SERVICE;
    start->operation = (char *)(uintptr_t)OPERATION;
    start->payload = p;
    r->variant_case = TP_NEXUS__REQUEST__VARIANT_START_OPERATION;
    r->start_operation = start;
    return h->value ? r : NULL;
}

void tl_worker_command_start(struct tl_server *s, struct tl_parked *p, struct tl_worker_command *c,
                             struct tl_arena *arena)
{
    TpWs__PollNexusTaskQueueResponse r = TP_WS__POLL_NEXUS_TASK_QUEUE_RESPONSE__INIT;
    struct tl_work_token token = {.namespace_number = c->namespace_number,
                                  .ref.attempt = c->attempt,
                                  .worker_command = c->number};
    struct tl_delivery d = {
        .worker_command = c->number, .attempt = c->attempt, .place = c->task.place};
    struct tl_str bytes;
    struct tl_error err;
    r.request = request_of(s, c, arena);
    tl_rc rc = r.request ? tl_work_token_encode(&token, arena, &bytes, &err)
                         : tl_error_set(&err, TL_ELIMIT, "no memory for a Nexus request");
    if (rc == TL_OK) {
        r.task_token = tl_pb_bytes_view(bytes);
        rc = tl_reply_message(s, p->rpc, c->seq, &r, &d, &err);
    }
    if (rc != TL_OK) { /* the attempt's time runs out, then there is another */
        tl_poll_refuse(s, p, &err);
        return;
    }
    tl_parked_free(s, p);
}

static struct tl_worker_command *under_way(struct tl_server *s, uint64_t number, int32_t attempt)
{
    struct tl_worker_command *c = tl_map_get_num(&s->worker_commands, number);
    return c && c->attempt == attempt && !c->backing_off ? c : NULL;
}

void tl_worker_command_undo(struct tl_server *s, const struct tl_delivery *d)
{
    struct tl_worker_command *c = under_way(s, d->worker_command, d->attempt);
    if (c && !tl_match_task_queued(&c->task)) {
        tl_arena_reset(&s->arena);
        s->putting_back = d;
        offer(s, c, &s->arena);
    }
}

struct tl_worker_command *tl_worker_command_find(struct tl_server *s,
                                                 const struct tl_work_token *token)
{
    struct tl_worker_command *c = under_way(s, token->worker_command, token->ref.attempt);
    return c && c->namespace_number == token->namespace_number ? c : NULL;
}

uint64_t tl_worker_command_answered(struct tl_server *s, struct tl_worker_command *c,
                                    enum tl_nexus_outcome outcome, const char *cause)
{
    if (outcome == TL_NEXUS_RETRY) {
        uint64_t seq = c->seq;
        attempt_failed(s, c, cause);
        return seq;
    }
    bool done = outcome == TL_NEXUS_COMPLETED || outcome == TL_NEXUS_STARTED;
    if (!done) {
        TL_LOG(TL_LOG_ERROR, "server.worker_command_refused", TL_S("task_queue", c->queue),
               TL_C("cause", cause));
    }
    end(s, c, done ? "success" : "worker_error");
    return s->open->seq;
}
