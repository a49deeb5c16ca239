/* See workers.h. */
#include "server/workers.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define FORGET_NS (5 * 60 * TL_NS_PER_S)
#define WORKERS_MAX 100000

/* One worker; the longest silent is first in the list. */
struct seen {
    struct tl_list link;
    uint64_t namespace_number;
    char *key, *instance_key;
    struct tl_buf heartbeat; /* encoded */
    int64_t at_ns;           /* mono */
};

static char *key_of(const struct tl_namespace *ns, struct tl_str instance_key)
{
    struct tl_buf b;
    tl_buf_init(&b, instance_key.n + 64);
    tl_buf_printf(&b, "%llu/%.*s", (unsigned long long)ns->number, TL_STR_FMT(instance_key));
    char *key = tl_mem_dup(tl_buf_str(&b));
    tl_buf_deinit(&b);
    return key;
}

static void forget(struct tl_server *s, struct seen *w)
{
    tl_list_remove(&w->link);
    tl_map_del(&s->workers, tl_str(w->key));
    tl_buf_deinit(&w->heartbeat);
    tl_mem_free(w->instance_key);
    tl_mem_free(w->key);
    tl_mem_free(w);
}

static void forget_silent(struct tl_server *s)
{
    int64_t now = tl_engine_mono(s);
    while (!tl_list_empty(&s->workers_by_age)) {
        struct seen *w = TL_CONTAINER(s->workers_by_age.next, struct seen, link);
        if (now - w->at_ns <= FORGET_NS && s->workers.count <= WORKERS_MAX) {
            return;
        }
        forget(s, w);
    }
}

static void record(struct tl_server *s, const struct tl_namespace *ns,
                   const TpWorker__WorkerHeartbeat *h)
{
    struct tl_error err;
    char *key = key_of(ns, tl_str(h->worker_instance_key));
    struct seen *w = tl_map_get(&s->workers, tl_str(key));
    if (w) {
        tl_mem_free(key);
        tl_list_remove(&w->link);
    } else {
        w = TL_NEW(struct seen);
        w->namespace_number = ns->number;
        w->key = key;
        w->instance_key = tl_mem_dup(tl_str(h->worker_instance_key));
        tl_list_init(&w->link);
        tl_buf_init(&w->heartbeat, (size_t)1 << 20);
        tl_map_put(&s->workers, tl_str(w->key), w);
    }
    tl_list_push(&s->workers_by_age, &w->link);
    w->at_ns = tl_engine_mono(s);
    tl_buf_clear(&w->heartbeat);
    if (tl_pb_encode(h, &w->heartbeat, &err) != TL_OK) { /* larger than anybody's */
        forget(s, w);
    }
}

void tl_workers_record(struct tl_server *s, const struct tl_namespace *ns,
                       TpWorker__WorkerHeartbeat *const *heartbeats, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (*heartbeats[i]->worker_instance_key) {
            record(s, ns, heartbeats[i]);
        }
    }
    forget_silent(s);
}

static TpWorker__WorkerHeartbeat *read_heartbeat(const struct seen *w, struct tl_arena *arena)
{
    TpWorker__WorkerHeartbeat *h = NULL;
    return tl_pb_decode(&tp_worker__worker_heartbeat__descriptor, tl_buf_str(&w->heartbeat), arena,
                        &h, NULL) == TL_OK
               ? h
               : NULL;
}

static int by_instance_key(const void *a, const void *b)
{
    const struct seen *const *x = a, *const *y = b;
    return strcmp((*x)->instance_key, (*y)->instance_key);
}

bool tl_workers_each(struct tl_server *s, const struct tl_namespace *ns, struct tl_str after,
                     struct tl_arena *arena,
                     bool (*fn)(void *ud, TpWorker__WorkerHeartbeat *heartbeat), void *ud)
{
    size_t n = 0;
    forget_silent(s);
    struct seen **list = TL_ARENA_ARRAY(arena, struct seen *, s->workers.count + 1);
    if (!list) {
        return false;
    }
    TL_MAP_EACH (e, &s->workers) {
        struct seen *w = e->value;
        if (w->namespace_number == ns->number &&
            (after.n == 0 || tl_str_cmp(tl_str(w->instance_key), after) > 0)) {
            list[n++] = w;
        }
    }
    qsort(list, n, sizeof *list, by_instance_key);
    for (size_t i = 0; i < n; i++) {
        TpWorker__WorkerHeartbeat *h = read_heartbeat(list[i], arena);
        if (!h) {
            return false;
        }
        if (!fn(ud, h)) {
            return true;
        }
    }
    return true;
}

TpWorker__WorkerHeartbeat *tl_workers_find(struct tl_server *s, const struct tl_namespace *ns,
                                           struct tl_str instance_key, struct tl_arena *arena)
{
    forget_silent(s);
    char *key = key_of(ns, instance_key);
    struct seen *w = tl_map_get(&s->workers, tl_str(key));
    tl_mem_free(key);
    return w ? read_heartbeat(w, arena) : NULL;
}

void tl_workers_free(struct tl_server *s)
{
    while (!tl_list_empty(&s->workers_by_age)) {
        forget(s, TL_CONTAINER(s->workers_by_age.next, struct seen, link));
    }
    tl_map_deinit(&s->workers);
}
