/* Removing closed runs when the retention of their namespace is over, a few at a time so that nobody
 * waits for it. Servers that skip time keep everything: a jump over a month is no reason to forget a
 * test's history. Thread: engine. */
#include "base/log.h"
#include "server/engine.h"

#define EVERY_NS (60 * TL_NS_PER_S)
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
static size_t remove_some(struct tl_server *s, const struct tl_namespace *ns)
{
    struct expired x = {.n = 0};
    struct tl_error err;
    tl_rc rc = tl_store_closed_before(tl_store_point_reader(s->store), (int64_t)ns->number,
                                      tl_engine_now(s) - ns->retention_ns, AT_ONCE, note, &x, &err);
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

int64_t tl_retention_due(struct tl_server *s)
{
    if (s->o.time_skipping) {
        return INT64_MAX;
    }
    if (!s->retention_at_ns) {
        s->retention_at_ns = s->round_mono_ns + EVERY_NS;
    }
    if (s->round_mono_ns < s->retention_at_ns || s->in_flight) {
        return s->in_flight ? INT64_MAX : s->retention_at_ns;
    }
    bool more = false;
    TL_MAP_EACH (e, &s->namespaces) {
        more |= remove_some(s, e->value) == AT_ONCE;
    }
    s->retention_at_ns = s->round_mono_ns + (more ? 1 : EVERY_NS);
    return s->retention_at_ns;
}
