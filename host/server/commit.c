/* Group commit and the release rule. The open commit collects records of transactions and the
 * answers that reflect them; it leaves for the store side as soon as that is idle, so that a batch is
 * as large as the last commit was long. Answers leave when their commit is durable: those collected
 * before it left on the store side, those that came later on the engine.
 * Threads: engine, except tl_commit_execute (store). A commit under way belongs to the store side but
 * for `late` and `late_arena`. */
#include "base/assert.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/engine.h"

#define GRPC_CANCELLED 1
#define GRPC_UNAVAILABLE 14
#define BATCH_BYTES_MAX ((size_t)1 << 30)

static void list_init(struct tl_reply_list *l)
{
    l->first = NULL;
    l->last = &l->first;
}

static struct tl_commit *commit_new(void)
{
    struct tl_commit *c = TL_NEW(struct tl_commit);
    c->msg.kind = TL_MSG_COMMITTED;
    tl_batch_init(&c->ops, BATCH_BYTES_MAX);
    tl_arena_init(&c->arena, TL_ARENA_UNLIMITED);
    tl_arena_init(&c->late_arena, TL_ARENA_UNLIMITED);
    list_init(&c->replies);
    list_init(&c->late);
    return c;
}

static void commit_free(struct tl_commit *c)
{
    if (c) {
        tl_batch_deinit(&c->ops);
        tl_arena_deinit(&c->arena);
        tl_arena_deinit(&c->late_arena);
        tl_mem_free(c);
    }
}

static void commit_reset(struct tl_commit *c)
{
    tl_batch_reset(&c->ops);
    tl_arena_reset(&c->arena);
    tl_arena_reset(&c->late_arena);
    list_init(&c->replies);
    list_init(&c->late);
    c->jobs = NULL;
    c->rc = TL_OK;
}

void tl_commit_init(struct tl_server *s)
{
    s->open = commit_new();
    s->spare = commit_new();
    s->open->seq = 1;
    s->next_seq = 2;
}

void tl_commit_deinit(struct tl_server *s)
{
    TL_ASSERT(!s->in_flight);
    commit_free(s->open);
    commit_free(s->spare);
    while (s->undos) {
        struct tl_undo *u = s->undos;
        s->undos = u->next;
        tl_mem_free(u);
    }
}

static bool commit_empty(const struct tl_commit *c)
{
    return c->ops.item_count == 0 && !c->replies.first && !c->jobs;
}

bool tl_commit_idle(const struct tl_server *s)
{
    return !s->in_flight && commit_empty(s->open);
}

void tl_commit_submit(struct tl_server *s)
{
    if (s->poisoned && !s->in_flight) {
        tl_commit_give_up(s, "out of memory");
    }
    if (s->in_flight || s->poisoned || commit_empty(s->open)) {
        return;
    }
    s->in_flight = s->open;
    s->open = s->spare;
    s->spare = NULL;
    s->open->seq = s->next_seq++;
    s->in_flight->last_log_id = s->next_log_id - 1;
    s->commits++;
    s->commit_items += s->in_flight->ops.item_count;
    bool sent = tl_inbox_send_always(&s->store_inbox, &s->in_flight->msg);
    TL_ASSERT(sent);
}

/* True when the reply was handed over. A poll whose caller has gone is answered, but without task. */
static bool hand_over(struct tl_pending_reply *r)
{
    if (r->delivery && tl_rpc_request_is_cancelled(r->rpc)) {
        tl_rpc_reply(r->rpc, GRPC_CANCELLED, TL_STR_LIT("the call was cancelled"),
                     (struct tl_str){0}, (struct tl_str){0});
        return false;
    }
    tl_rpc_reply(r->rpc, r->status, r->message, r->details, r->body);
    return true;
}

static void refuse_list(struct tl_reply_list *l, struct tl_str why)
{
    for (struct tl_pending_reply *r = l->first, *next; r; r = next) {
        next = r->next;
        tl_rpc_reply(r->rpc, GRPC_UNAVAILABLE, why, (struct tl_str){0}, (struct tl_str){0});
    }
    list_init(l);
}

void tl_commit_execute(struct tl_server *s, struct tl_commit *c)
{
    c->rc = TL_OK;
    if (c->ops.item_count) {
        int64_t began_ns = tl_world_mono_ns(s->world);
        c->rc = tl_store_commit(s->store, &c->ops, &c->err);
        tl_server_metrics_commit(s, tl_world_mono_ns(s->world) - began_ns, c->ops.item_count,
                                 c->rc == TL_OK);
    }
    if (c->rc == TL_OK) {
        for (struct tl_pending_reply *r = c->replies.first, *next; r; r = next) {
            next = r->next;
            r->undelivered = !hand_over(r);
        }
    } else {
        refuse_list(&c->replies, TL_STR_LIT("the server could not store the change"));
    }
    bool sent = tl_inbox_send_always(&s->inbox, &c->msg);
    TL_ASSERT(sent);
    if (tl_store_checkpoint_due(s->store) && !atomic_exchange(&s->wal_job_queued, true)) {
        if (!tl_inbox_send_always(&s->reader_inbox, &s->wal_job.msg)) {
            atomic_store(&s->wal_job_queued, false);
        }
    }
}

static void push_undo(struct tl_server *s, const struct tl_delivery *d)
{
    struct tl_undo *u = TL_NEW(struct tl_undo);
    u->delivery = *d;
    u->next = s->undos;
    s->undos = u;
}

static void run_jobs(struct tl_server *s, struct tl_commit *c)
{
    for (struct tl_job *j = c->jobs, *next; j; j = next) {
        next = j->next;
        if (c->rc != TL_OK || !tl_inbox_send_always(&s->reader_inbox, &j->msg)) {
            j->run(s, NULL, j);
        }
    }
    c->jobs = NULL;
}

static void recycle(struct tl_server *s, struct tl_commit *c)
{
    commit_reset(c);
    s->in_flight = NULL;
    s->spare = c;
}

void tl_commit_done(struct tl_server *s, struct tl_commit *c)
{
    TL_ASSERT(c == s->in_flight);
    run_jobs(s, c);
    if (c->rc == TL_OK) {
        s->durable_seq = c->seq;
        s->durable_log_id = c->last_log_id;
        for (struct tl_pending_reply *r = c->replies.first; r; r = r->next) {
            if (r->undelivered) {
                push_undo(s, r->delivery);
            }
        }
        for (struct tl_pending_reply *r = c->late.first, *next; r; r = next) {
            next = r->next;
            if (!hand_over(r)) {
                push_undo(s, r->delivery);
            }
        }
        recycle(s, c);
        tl_run_erased_settle(s);
        tl_run_trim(s);
        while (!tl_list_empty(&s->after_commit)) {
            tl_parked_wake(s,
                           TL_CONTAINER(tl_list_first(&s->after_commit), struct tl_parked, link));
        }
        return;
    }
    s->commits_failed++;
    TL_LOG(TL_LOG_ERROR, "server.commit_failed", TL_C("cause", c->err.message),
           TL_I("items", c->ops.item_count));
    refuse_list(&c->late, TL_STR_LIT("the server could not store the change"));
    recycle(s, c);
    tl_commit_give_up(s, "an earlier change could not be stored");
}

void tl_commit_give_up(struct tl_server *s, const char *why)
{
    TL_ASSERT(!s->in_flight);
    struct tl_commit *c = s->open;
    refuse_list(&c->replies, tl_str(why));
    refuse_list(&c->late, tl_str(why));
    c->rc = TL_EUNAVAILABLE;
    run_jobs(s, c);
    commit_reset(c);
    c->seq = s->next_seq++;
    s->poisoned = false;
    while (!tl_list_empty(&s->after_commit)) {
        tl_parked_refuse(s, TL_CONTAINER(tl_list_first(&s->after_commit), struct tl_parked, link),
                         GRPC_UNAVAILABLE, why);
    }
    if (!s->abandoned) {
        tl_recover_failed(s);
    }
}

void tl_commit_abandon(struct tl_server *s)
{
    if (s->in_flight) {
        struct tl_commit *c = s->in_flight;
        struct tl_msg *m = tl_inbox_take_all(&s->store_inbox, 0);
        if (m) { /* not executed yet: its replies are still to be sent */
            refuse_list(&c->replies, TL_STR_LIT("the server is gone"));
        }
        refuse_list(&c->late, TL_STR_LIT("the server is gone"));
        c->rc = TL_EUNAVAILABLE;
        run_jobs(s, c);
        recycle(s, c);
    }
    tl_commit_give_up(s, "the server is gone");
}

void tl_commit_undo(struct tl_server *s)
{
    while (s->undos) {
        struct tl_undo *all = s->undos;
        s->undos = NULL;
        while (all) {
            struct tl_undo *u = all;
            all = u->next;
            tl_delivery_undo(s, &u->delivery);
            tl_mem_free(u);
        }
    }
}

/* Where the answer has to wait, NULL when it may leave now. */
static struct tl_reply_list *waiting_place(struct tl_server *s, uint64_t seq,
                                           struct tl_arena **arena)
{
    if (seq <= s->durable_seq || TL_FAULT(reply_before_commit)) {
        *arena = NULL;
        return NULL;
    }
    if (s->in_flight && seq <= s->in_flight->seq) {
        *arena = &s->in_flight->late_arena;
        return &s->in_flight->late;
    }
    *arena = &s->open->arena;
    return &s->open->replies;
}

/* The strings of r are in the arena already. */
static void append(struct tl_reply_list *l, struct tl_arena *arena, struct tl_pending_reply r,
                   const struct tl_delivery *delivery)
{
    struct tl_pending_reply *n = TL_ARENA_NEW(arena, struct tl_pending_reply);
    *n = r;
    if (delivery) {
        n->delivery = tl_arena_copy(arena, delivery, sizeof *delivery);
    }
    *l->last = n;
    l->last = &n->next;
}

static void send_now(struct tl_server *s, struct tl_pending_reply r,
                     const struct tl_delivery *delivery)
{
    r.delivery = (struct tl_delivery *)(uintptr_t)delivery;
    if (!hand_over(&r)) {
        push_undo(s, delivery);
    }
}

void tl_reply_at(struct tl_server *s, struct tl_rpc_request *rpc, uint64_t seq, int status,
                 struct tl_str message, struct tl_str details, struct tl_str body,
                 const struct tl_delivery *delivery)
{
    struct tl_arena *arena;
    struct tl_reply_list *l = waiting_place(s, seq, &arena);
    struct tl_pending_reply r = {
        .rpc = rpc, .status = status, .message = message, .details = details, .body = body};
    rpc->slot = NULL;
    if (!l) {
        send_now(s, r, delivery);
        return;
    }
    r.message = message.n ? tl_arena_str(arena, message) : message;
    r.details = details.n ? tl_arena_str(arena, details) : details;
    r.body = body.n ? tl_arena_str(arena, body) : body;
    append(l, arena, r, delivery);
}

tl_rc tl_reply_message(struct tl_server *s, struct tl_rpc_request *rpc, uint64_t seq,
                       const void *msg, const struct tl_delivery *delivery, struct tl_error *err)
{
    struct tl_arena *arena;
    struct tl_reply_list *l = waiting_place(s, seq, &arena);
    struct tl_pending_reply r = {.rpc = rpc};
    tl_buf_clear(&s->scratch);
    tl_rc rc =
        l ? tl_pb_encode_arena(msg, arena, &r.body, err) : tl_pb_encode(msg, &s->scratch, err);
    if (rc != TL_OK) {
        return rc;
    }
    rpc->slot = NULL;
    if (l) {
        append(l, arena, r, delivery);
    } else {
        r.body = tl_buf_str(&s->scratch);
        send_now(s, r, delivery);
    }
    return TL_OK;
}

void tl_job_at(struct tl_server *s, uint64_t seq, struct tl_job *job)
{
    if (seq > s->durable_seq) {
        struct tl_commit *c = s->in_flight && seq <= s->in_flight->seq ? s->in_flight : s->open;
        job->next = c->jobs;
        c->jobs = job;
    } else if (!tl_inbox_send_always(&s->reader_inbox, &job->msg)) {
        job->run(s, NULL, job);
    }
}
