/* Removing closed runs when the retention of their namespace is over, and all runs of a namespace that was deleted, a
 * few at a time so that nobody waits for it. Servers that skip time keep what is only old: a jump over a month is no
 * reason to forget a test's history. Thread: engine. */
#include "base/log.h"
#include "server/engine.h"

#define EVERY_NS (60 * TL_NS_PER_S)
#define EMPTY_EVERY_NS (10 * TL_NS_PER_MS)
#define AT_ONCE 64

struct expired {
    uint64_t numbers[AT_ONCE];
    size_t n;
};

static tl_rc note(void *ud, const struct tl_run_row *row, struct tl_error *err)
{
    struct expired *x = ud;
    (void)err;
    x->numbers[x->n++] = (uint64_t)row->number;
    return TL_OK;
}

/* Number of runs found: AT_ONCE means that there may be more. */
static size_t remove_of(struct tl_server *s, const struct tl_namespace *ns, enum tl_run_kind kind,
                        int64_t closed_ns)
{
    struct expired x = {.n = 0};
    struct tl_error err;
    tl_rc rc = tl_store_closed_before(tl_store_point_reader(s->store), tl_ns_scope(ns, kind),
                                      closed_ns, AT_ONCE, note, &x, &err);
    for (size_t i = 0; rc == TL_OK && i < x.n; i++) {
        if (tl_map_get_num(&s->erased, x.numbers[i])) {
            continue;
        }
        struct tl_exec *e = tl_run_by_number(s, x.numbers[i], &err);
        if (e && e->closed && e->seq <= s->durable_seq) {
            rc = tl_run_erase(s, e, &err);
        }
    }
    if (rc != TL_OK) {
        TL_LOG(TL_LOG_WARN, "server.retention_failed", TL_C("cause", err.message),
               TL_S("namespace", ns->name));
        return 0;
    }
    return x.n;
}

/* Workflows first, then executions without one. */
static size_t remove_some(struct tl_server *s, const struct tl_namespace *ns, int64_t closed_ns)
{
    static const enum tl_run_kind kinds[] = {TL_RUN_WORKFLOW, TL_RUN_ACTIVITY, TL_RUN_OPERATION};
    size_t n = 0;
    for (size_t i = 0; n == 0 && i < sizeof kinds / sizeof kinds[0]; i++) {
        n = remove_of(s, ns, kinds[i], closed_ns);
    }
    return n;
}

/* Terminates open runs of a namespace that is deleted. Returns their number, at most AT_ONCE. */
static size_t terminate_some(struct tl_server *s, const struct tl_namespace *ns)
{
    struct expired x = {.n = 0};
    struct tl_error err;
    TL_MAP_EACH (it, &s->runs) {
        struct tl_exec *e = it->value;
        if (e->ns == ns && !e->closed && x.n < AT_ONCE) {
            x.numbers[x.n++] = e->number;
        }
    }
    for (size_t i = 0; i < x.n; i++) {
        struct tl_tx tx;
        struct tl_exec *e = tl_run_by_number(s, x.numbers[i], &err);
        if (!e || e->closed) {
            continue;
        }
        tl_arena_reset(&s->arena);
        tl_run_begin(s, e, &tx, &s->arena);
        tl_rc rc = tl_tx_terminate(&tx, "the namespace was deleted", NULL, "history-service", NULL,
                                   0, &err);
        if (tl_run_end(s, e, &tx, &err) != TL_OK || rc != TL_OK) {
            TL_LOG(TL_LOG_WARN, "server.namespace_deletion_waits", TL_C("cause", err.message),
                   TL_S("namespace", ns->name));
            break;
        }
    }
    return x.n;
}

/* One step of the removal of what is in a deleted namespace. True when there may be more. */
static bool empty_some(struct tl_server *s, struct tl_namespace *ns)
{
    if (ns->emptied || ns->seq > s->durable_seq) {
        return !ns->emptied;
    }
    size_t open = terminate_some(s, ns);
    size_t closed = remove_some(s, ns, INT64_MAX);
    ns->emptied = open == 0 && closed == 0;
    if (ns->emptied) {
        TL_LOG(TL_LOG_INFO, "server.namespace_deleted", TL_S("namespace", ns->name));
    }
    return !ns->emptied;
}

static bool any_deleted(const struct tl_server *s)
{
    TL_MAP_EACH (e, &s->namespaces) {
        if (((const struct tl_namespace *)e->value)->deleted) {
            return true;
        }
    }
    return false;
}

int64_t tl_retention_due(struct tl_server *s)
{
    bool more = false, emptying = false;
    if (!s->retention_at_ns) {
        s->retention_at_ns = s->round_mono_ns + (any_deleted(s) ? 0 : EVERY_NS);
    }
    if (s->round_mono_ns < s->retention_at_ns || s->in_flight) {
        return s->in_flight ? INT64_MAX : s->retention_at_ns;
    }
    TL_MAP_EACH (e, &s->namespaces) {
        struct tl_namespace *ns = e->value;
        if (ns->deleted) {
            emptying |= empty_some(s, ns);
        } else if (!s->o.time_skipping) {
            more |= remove_some(s, ns, tl_engine_now(s) - ns->retention_ns) == AT_ONCE;
        }
    }
    s->retention_at_ns = s->round_mono_ns + (emptying ? EMPTY_EVERY_NS : more ? 1 : EVERY_NS);
    return s->retention_at_ns;
}
