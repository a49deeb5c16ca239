/* Requests that wait: task polls, history long polls, queries, sleeps. A parked request keeps its
 * bytes; when it is woken it is handled again from the start, with what it waited for in place, so
 * that nothing of it has to be copied. Thread: engine. */
#include "base/mem.h"
#include "server/engine.h"

static void expired(struct tl_server *s, struct tl_due *due)
{
    struct tl_parked *p = TL_CONTAINER(due, struct tl_parked, due);
    p->expired = true;
    if (p->kind == TL_PARKED_POLL) {
        tl_poll_answer_empty(s, p);
    } else {
        tl_parked_wake(s, p);
    }
}

bool tl_parked_is(const struct tl_due *due)
{
    return due->fire == expired;
}

struct tl_parked *tl_parked_new(struct tl_server *s, struct tl_call *c, enum tl_parked_kind kind)
{
    (void)s;
    struct tl_parked *p = TL_NEW(struct tl_parked);
    p->kind = kind;
    p->rpc = c->rpc;
    p->ns = c->ns;
    p->due.fire = expired;
    tl_list_init(&p->link);
    tl_match_poll_init(&p->poll);
    tl_match_task_init(&p->task, TL_OFFER_QUERY);
    c->rpc->slot = p;
    return p;
}

void tl_parked_unlink(struct tl_server *s, struct tl_parked *p)
{
    tl_heap_remove(p->kind == TL_PARKED_SLEEP ? &s->timers : &s->waits, &p->due.node);
    if (tl_list_linked(&p->link)) {
        tl_list_remove(&p->link);
    }
    tl_match_poll_drop(&s->matcher, &p->poll);
    tl_match_task_drop(&s->matcher, &p->task);
}

void tl_parked_free(struct tl_server *s, struct tl_parked *p)
{
    tl_parked_unlink(s, p);
    if (p->query_id) {
        tl_map_del_num(&s->queries, p->query_id);
        if (p->query_buffered) {
            struct tl_exec *e = tl_map_get_num(&s->runs, p->run_number);
            if (e) {
                tl_rs_query_forget(e->rs, p->query_id);
            }
        }
    }
    tl_mem_free(p->update_id);
    tl_mem_free(p);
}

void tl_parked_wake(struct tl_server *s, struct tl_parked *p)
{
    tl_parked_unlink(s, p);
    tl_list_push(&s->woken, &p->link);
}

void tl_parked_refuse(struct tl_server *s, struct tl_parked *p, int status, const char *message)
{
    struct tl_rpc_request *rpc = p->rpc;
    tl_parked_free(s, p);
    tl_reply_at(s, rpc, 0, status, tl_str(message), (struct tl_str){0}, (struct tl_str){0}, NULL);
}

void tl_parked_cancelled(struct tl_server *s, struct tl_parked *p)
{
    if (p->kind == TL_PARKED_SLEEP && p->relock) {
        tl_server_lock_time_skipping(s);
    }
    tl_parked_refuse(s, p, tl_rc_grpc_status(TL_ECANCELLED), "the call was cancelled");
}

int64_t tl_parked_deadline(struct tl_server *s, const struct tl_rpc_request *rpc,
                           int64_t longest_ns)
{
    int64_t wait = longest_ns;
    if (rpc->timeout_ns > 0) {
        /* The answer must be there before the caller gives up. */
        int64_t margin = rpc->timeout_ns / 10 < TL_NS_PER_S ? rpc->timeout_ns / 10 : TL_NS_PER_S;
        wait = rpc->timeout_ns - margin < wait ? rpc->timeout_ns - margin : wait;
    }
    return tl_engine_mono(s) + wait;
}

void tl_waiters_changed(struct tl_server *s, struct tl_exec *e, bool closed)
{
    TL_LIST_EACH (it, &e->waiters) {
        struct tl_parked *p = TL_CONTAINER(it, struct tl_parked, link);
        if (p->kind != TL_PARKED_UPDATE && !p->query_buffered && (closed || !p->wants_close)) {
            tl_parked_wake(s, p);
        }
    }
}
