/* Task queues: two lists per queue (tasks waiting, polls parked), at most one of them with something
 * that the other could take. See matching.h. */
#include "server/matching/matching.h"

#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/world.h"
#include "server/matching/rate.h"

/* A poller is forgotten this long after its last poll. */
#define POLLER_KEPT_NS (300 * TL_NS_PER_S)
#define POLLERS_MAX 1000
#define SWEEP_FLOOR 256

struct poller {
    int64_t last_poll_ns;
};

/* Advice, as the service gives it. */
#define IDLE_NS TL_NS_PER_S                 /* a poll that waited so long is one too many */
#define BACKLOG_AGE_NS (200 * TL_NS_PER_MS) /* a task that waits so long wants another poll */
#define ADDED_TO_TAKEN 1.2
#define ADVICE_PER_S 10 /* for each poller */

/* Of all versions of a queue. */
struct tl_match_limit {
    struct tl_limiter limiter;
    struct tl_list queues; /* of struct tl_match_queue */
};

struct tl_match_queue {
    struct tl_match_key key; /* name and version stand behind the struct */
    struct tl_list tasks;    /* by place */
    struct tl_list polls;
    struct tl_map pollers; /* identity -> struct poller */
    size_t task_count, poll_count;
    int64_t last_poll_ns;
    uint64_t added, taken;
    struct tl_rate add_rate, take_rate;
    struct tl_limiter advice;
    struct tl_match_limit *limit; /* NULL: none */
    struct tl_list limited;       /* in the limit's list */
};

void tl_matcher_init(struct tl_matcher *m, tl_match_alive_fn alive, void *alive_ud,
                     int64_t sticky_absent_ns)
{
    *m = (struct tl_matcher){.alive = alive,
                             .alive_ud = alive_ud,
                             .sticky_absent_ns = sticky_absent_ns,
                             .places = 1,
                             .sweep_at = SWEEP_FLOOR};
    tl_map_init(&m->queues);
    tl_map_init(&m->limits);
}

static void free_queue(struct tl_match_queue *q)
{
    TL_MAP_EACH (e, &q->pollers) {
        tl_mem_free(e->value);
    }
    tl_map_deinit(&q->pollers);
    tl_list_remove(&q->limited);
    tl_mem_free(q);
}

static void unpark(struct tl_matcher *m, struct tl_match_poll *p);

void tl_matcher_deinit(struct tl_matcher *m)
{
    TL_MAP_EACH (e, &m->queues) {
        struct tl_match_queue *q = e->value;
        TL_LIST_EACH (t, &q->tasks) {
            tl_match_task_drop(m, TL_CONTAINER(t, struct tl_match_task, link));
        }
        TL_LIST_EACH (p, &q->polls) {
            unpark(m, TL_CONTAINER(p, struct tl_match_poll, link));
        }
        free_queue(q);
    }
    tl_map_deinit(&m->queues);
    TL_MAP_EACH (e, &m->limits) {
        tl_mem_free(e->value);
    }
    tl_map_deinit(&m->limits);
}

void tl_match_task_init(struct tl_match_task *t, int kind)
{
    *t = (struct tl_match_task){.kind = kind};
    tl_list_init(&t->link);
}

void tl_match_poll_init(struct tl_match_poll *p)
{
    *p = (struct tl_match_poll){0};
    tl_list_init(&p->link);
}

/* Type, stickiness and namespace number as 10 bytes, the name, then NUL and the version if any. */
#define KEY_HEAD 10

static size_t version_bytes(const struct tl_match_key *key)
{
    return key->version.n ? key->version.n + 1 : 0;
}

static struct tl_str encode_key(const struct tl_match_key *key, struct tl_buf *b)
{
    char head[KEY_HEAD];
    head[0] = (char)key->type;
    head[1] = (char)key->sticky;
    memcpy(head + 2, &key->namespace_number, sizeof key->namespace_number);
    tl_buf_put(b, head, sizeof head);
    tl_buf_put_str(b, key->name);
    if (key->version.n) {
        tl_buf_put(b, "", 1);
        tl_buf_put_str(b, key->version);
    }
    return tl_buf_str(b);
}

static struct tl_match_queue *find(const struct tl_matcher *m, const struct tl_match_key *key)
{
    char small[256];
    if (key->name.n + version_bytes(key) <= sizeof small - KEY_HEAD) {
        small[0] = (char)key->type;
        small[1] = (char)key->sticky;
        memcpy(small + 2, &key->namespace_number, sizeof key->namespace_number);
        if (key->name.n) {
            memcpy(small + KEY_HEAD, key->name.p, key->name.n);
        }
        size_t n = KEY_HEAD + key->name.n;
        if (key->version.n) {
            small[n] = 0;
            memcpy(small + n + 1, key->version.p, key->version.n);
        }
        return tl_map_get(&m->queues, tl_str_n(small, n + version_bytes(key)));
    }
    struct tl_buf b;
    tl_buf_init(&b, SIZE_MAX / 2);
    struct tl_match_queue *q = tl_map_get(&m->queues, encode_key(key, &b));
    tl_buf_deinit(&b);
    return q;
}

static struct tl_match_limit *find_limit(const struct tl_matcher *m, const struct tl_match_key *key)
{
    struct tl_match_key all = *key;
    struct tl_buf b;
    all.version = (struct tl_str){0};
    tl_buf_init(&b, SIZE_MAX / 2);
    struct tl_match_limit *l = tl_map_get(&m->limits, encode_key(&all, &b));
    tl_buf_deinit(&b);
    return l;
}

static void come_under(struct tl_match_queue *q, struct tl_match_limit *l)
{
    tl_list_remove(&q->limited);
    q->limit = l;
    if (l) {
        tl_list_push(&l->queues, &q->limited);
    }
}

/* Queues that hold nothing and that nobody has polled for a while go; the threshold doubles with what
 * stays, so that the cost per new queue is constant. */
static void sweep(struct tl_matcher *m, int64_t now_ns)
{
    if (m->queues.count < m->sweep_at) {
        return;
    }
    TL_MAP_EACH (e, &m->queues) {
        struct tl_match_queue *q = e->value;
        if (q->task_count == 0 && q->poll_count == 0 && now_ns - q->last_poll_ns > POLLER_KEPT_NS) {
            tl_map_del(&m->queues, tl_map_key(e));
            free_queue(q);
        }
    }
    m->sweep_at = m->queues.count * 2 > SWEEP_FLOOR ? m->queues.count * 2 : SWEEP_FLOOR;
}

static struct tl_match_queue *find_or_make(struct tl_matcher *m, const struct tl_match_key *key,
                                           int64_t now_ns)
{
    struct tl_match_queue *q = find(m, key);
    if (q) {
        return q;
    }
    sweep(m, now_ns);
    q = tl_mem_alloc(sizeof *q + key->name.n + key->version.n + 1);
    char *name = (char *)(q + 1), *version = name + key->name.n;
    if (key->name.n) {
        memcpy(name, key->name.p, key->name.n);
    }
    if (key->version.n) {
        memcpy(version, key->version.p, key->version.n);
    }
    q->key = *key;
    q->key.name = tl_str_n(name, key->name.n);
    q->key.version = tl_str_n(version, key->version.n);
    q->last_poll_ns = key->sticky ? now_ns : 0;
    tl_list_init(&q->tasks);
    tl_list_init(&q->polls);
    tl_list_init(&q->limited);
    tl_map_init(&q->pollers);
    struct tl_buf b;
    tl_buf_init(&b, SIZE_MAX / 2);
    tl_map_put(&m->queues, encode_key(key, &b), q);
    tl_buf_deinit(&b);
    if (m->limits.count && !key->sticky) {
        come_under(q, find_limit(m, key));
    }
    return q;
}

static bool alive(const struct tl_matcher *m, struct tl_match_poll *p)
{
    return !m->alive || m->alive(m->alive_ud, p);
}

/* The oldest poll that can be answered; those that cannot stay parked until they are dropped. */
static struct tl_match_poll *wanting(const struct tl_matcher *m, struct tl_match_queue *q)
{
    TL_LIST_EACH (it, &q->polls) {
        struct tl_match_poll *p = TL_CONTAINER(it, struct tl_match_poll, link);
        if (alive(m, p)) {
            return p;
        }
    }
    return NULL;
}

static void unpark(struct tl_matcher *m, struct tl_match_poll *p)
{
    tl_list_remove(&p->link);
    p->queue->poll_count--;
    m->polls_parked--;
    p->queue = NULL;
}

static void enqueue(struct tl_matcher *m, struct tl_match_queue *q, struct tl_match_task *t)
{
    /* New tasks belong at the end; one that comes back is older than nearly all others. */
    struct tl_list *at = &q->tasks;
    if (!tl_list_empty(&q->tasks) &&
        TL_CONTAINER(q->tasks.prev, struct tl_match_task, link)->place > t->place) {
        at = q->tasks.next;
        while (at != &q->tasks && TL_CONTAINER(at, struct tl_match_task, link)->place < t->place) {
            at = at->next;
        }
    }
    tl_list_push(at, &t->link); /* before `at` */
    t->queue = q;
    q->task_count++;
    m->tasks_queued++;
}

static void note_taken(struct tl_match_queue *q, int64_t now_ns)
{
    if (q->limit) {
        tl_limiter_take(&q->limit->limiter, 1, now_ns);
    }
    q->taken++;
    tl_rate_note(&q->take_rate, now_ns);
}

static bool may_go(const struct tl_match_queue *q, int64_t now_ns)
{
    return !q->limit || tl_limiter_ready_ns(&q->limit->limiter) <= now_ns;
}

static struct tl_match_poll *place_task(struct tl_matcher *m, struct tl_match_queue *q,
                                        struct tl_match_task *t, int64_t now_ns)
{
    /* Under a limit others may wait although polls do. */
    bool first = tl_list_empty(&q->tasks) || !q->limit;
    struct tl_match_poll *p = first && may_go(q, now_ns) ? wanting(m, q) : NULL;
    if (p) {
        unpark(m, p);
        note_taken(q, now_ns);
        return p;
    }
    enqueue(m, q, t);
    return NULL;
}

struct tl_match_poll *tl_match_offer(struct tl_matcher *m, const struct tl_match_key *key,
                                     struct tl_match_task *t, int64_t now_ns)
{
    TL_ASSERT(!tl_match_task_queued(t));
    struct tl_match_queue *q = find_or_make(m, key, now_ns);
    t->place = m->places++;
    t->offered_ns = now_ns;
    q->added++;
    tl_rate_note(&q->add_rate, now_ns);
    return place_task(m, q, t, now_ns);
}

struct tl_match_poll *tl_match_put_back(struct tl_matcher *m, const struct tl_match_key *key,
                                        struct tl_match_task *t, int64_t now_ns)
{
    TL_ASSERT(!tl_match_task_queued(t));
    struct tl_match_queue *q = find_or_make(m, key, now_ns);
    q->taken -= q->taken > 0;
    return place_task(m, q, t, now_ns);
}

static void note_poller(struct tl_match_queue *q, struct tl_str identity, int64_t now_ns)
{
    struct poller *p = tl_map_get(&q->pollers, identity);
    if (!p && q->pollers.count >= POLLERS_MAX) {
        TL_MAP_EACH (e, &q->pollers) {
            struct poller *old = e->value;
            if (now_ns - old->last_poll_ns > POLLER_KEPT_NS) {
                tl_map_del(&q->pollers, tl_map_key(e));
                tl_mem_free(old);
            }
        }
        if (q->pollers.count >= POLLERS_MAX) {
            return;
        }
    }
    if (!p) {
        p = TL_NEW(struct poller);
        tl_map_put(&q->pollers, identity, p);
    }
    p->last_poll_ns = now_ns;
}

struct tl_match_task *tl_match_poll(struct tl_matcher *m, const struct tl_match_key *key,
                                    struct tl_match_poll *p, struct tl_str identity, int64_t now_ns)
{
    TL_ASSERT(!tl_list_linked(&p->link));
    struct tl_match_queue *q = find_or_make(m, key, now_ns);
    q->last_poll_ns = now_ns;
    p->since_ns = p->since_ns ? p->since_ns : now_ns;
    note_poller(q, identity, now_ns);
    if (!tl_list_empty(&q->tasks) && may_go(q, now_ns)) {
        struct tl_match_task *t = TL_CONTAINER(q->tasks.next, struct tl_match_task, link);
        tl_match_task_drop(m, t);
        note_taken(q, now_ns);
        return t;
    }
    p->queue = q;
    tl_list_push(&q->polls, &p->link);
    q->poll_count++;
    m->polls_parked++;
    return NULL;
}

void tl_match_task_drop(struct tl_matcher *m, struct tl_match_task *t)
{
    if (tl_match_task_queued(t)) {
        tl_list_remove(&t->link);
        t->queue->task_count--;
        m->tasks_queued--;
        t->queue = NULL;
    }
}

void tl_match_poll_drop(struct tl_matcher *m, struct tl_match_poll *p)
{
    if (tl_list_linked(&p->link)) {
        unpark(m, p);
    }
}

/* --- limits -------------------------------------------------------------------------------------- */

static void attach(void *ud, const struct tl_match_key *key)
{
    struct tl_matcher *m = ud;
    come_under(find(m, key), find_limit(m, key));
}

void tl_match_limit(struct tl_matcher *m, const struct tl_match_key *key, double per_second,
                    int64_t now_ns)
{
    struct tl_match_key all = *key;
    struct tl_match_limit *l = find_limit(m, key), *old = l;
    struct tl_buf b;
    if (!l && per_second < 0) {
        return;
    }
    all.version = (struct tl_str){0};
    tl_buf_init(&b, SIZE_MAX / 2);
    if (per_second < 0) {
        m->lifted = true;
        tl_map_del(&m->limits, encode_key(&all, &b));
    } else if (!l) {
        l = TL_NEW(struct tl_match_limit);
        tl_list_init(&l->queues);
        tl_map_put(&m->limits, encode_key(&all, &b), l);
    }
    tl_buf_deinit(&b);
    if (per_second >= 0) {
        tl_limiter_set(&l->limiter, per_second, now_ns);
    }
    tl_match_each_version(m, &all, attach, m);
    if (per_second < 0) {
        tl_mem_free(old);
    }
}

static bool kept_apart(const struct tl_matcher *m, struct tl_match_queue *q)
{
    return !tl_list_empty(&q->tasks) && wanting(m, q);
}

static struct tl_match_queue *limited_queue(const struct tl_matcher *m, struct tl_match_limit *l)
{
    TL_LIST_EACH (n, &l->queues) {
        struct tl_match_queue *q = TL_CONTAINER(n, struct tl_match_queue, limited);
        if (kept_apart(m, q)) {
            return q;
        }
    }
    return NULL;
}

int64_t tl_match_limited_until(const struct tl_matcher *m)
{
    int64_t until = m->lifted ? 0 : INT64_MAX;
    TL_MAP_EACH (e, &m->limits) {
        struct tl_match_limit *l = e->value;
        int64_t ready = tl_limiter_ready_ns(&l->limiter);
        if (ready < until && limited_queue(m, l)) {
            until = ready;
        }
    }
    return until;
}

/* The first task of the queue and the first poll that can be answered. */
static struct tl_match_task *bring_together(struct tl_matcher *m, struct tl_match_queue *q,
                                            struct tl_match_poll **p, int64_t now_ns)
{
    struct tl_match_task *t = TL_CONTAINER(q->tasks.next, struct tl_match_task, link);
    *p = wanting(m, q);
    unpark(m, *p);
    tl_match_task_drop(m, t);
    note_taken(q, now_ns);
    return t;
}

struct tl_match_task *tl_match_released(struct tl_matcher *m, struct tl_match_poll **p,
                                        int64_t now_ns)
{
    TL_MAP_EACH (e, &m->limits) {
        struct tl_match_limit *l = e->value;
        struct tl_match_queue *q =
            tl_limiter_ready_ns(&l->limiter) <= now_ns ? limited_queue(m, l) : NULL;
        if (q) {
            struct tl_match_task *t = bring_together(m, q, p, now_ns);
            come_under(q, l); /* to the end: versions take turns */
            return t;
        }
    }
    TL_MAP_EACH (e, &m->queues) {
        struct tl_match_queue *q = e->value;
        if (m->lifted && !q->limit && kept_apart(m, q)) {
            return bring_together(m, q, p, now_ns);
        }
    }
    m->lifted = false;
    return NULL;
}

/* --- advice -------------------------------------------------------------------------------------- */

int tl_match_advice(struct tl_matcher *m, const struct tl_match_key *key,
                    const struct tl_match_poll *p, int64_t now_ns)
{
    struct tl_match_queue *q = find(m, key);
    if (now_ns - p->since_ns >= IDLE_NS) {
        return -1;
    }
    if (!q) {
        return 0;
    }
    if (!q->advice.interval_ns) {
        tl_limiter_set(&q->advice, ADVICE_PER_S, now_ns);
    }
    if (tl_limiter_ready_ns(&q->advice) > now_ns) {
        return 0;
    }
    /* Looking costs, too: with more pollers less. */
    tl_limiter_take(&q->advice, 1.0 / (double)(q->pollers.count ? q->pollers.count : 1), now_ns);
    if (!tl_list_empty(&q->tasks)) {
        int64_t since = TL_CONTAINER(q->tasks.next, struct tl_match_task, link)->offered_ns;
        if (now_ns - since > BACKLOG_AGE_NS) {
            return 1;
        }
    }
    double added = tl_rate_per_s(q->add_rate, now_ns), taken = tl_rate_per_s(q->take_rate, now_ns);
    return added > ADDED_TO_TAKEN * taken ? 1 : 0;
}

bool tl_match_attended(const struct tl_matcher *m, const struct tl_match_key *key, int64_t now_ns)
{
    struct tl_match_queue *q = find(m, key);
    return q && (wanting(m, q) || now_ns - q->last_poll_ns < m->sticky_absent_ns);
}

void tl_match_abandon(struct tl_matcher *m, const struct tl_match_key *key,
                      void (*fn)(void *ud, struct tl_match_task *t), void *ud)
{
    struct tl_match_queue *q = find(m, key);
    if (!q) {
        return;
    }
    /* All of them first: what fn does may bring some back, or the end of the queue. */
    size_t n = q->task_count;
    struct tl_match_task **tasks = TL_NEW_ARRAY(struct tl_match_task *, n + 1);
    q->last_poll_ns = 0;
    for (size_t i = 0; i < n; i++) {
        tasks[i] = TL_CONTAINER(q->tasks.next, struct tl_match_task, link);
        tl_match_task_drop(m, tasks[i]);
    }
    for (size_t i = 0; i < n; i++) {
        fn(ud, tasks[i]);
    }
    tl_mem_free(tasks);
}

bool tl_match_queue_info(const struct tl_matcher *m, const struct tl_match_key *key, int64_t now_ns,
                         struct tl_match_queue_info *out)
{
    struct tl_match_queue *q = find(m, key);
    *out = (struct tl_match_queue_info){0};
    if (!q) {
        return false;
    }
    *out = (struct tl_match_queue_info){.backlog = q->task_count,
                                        .polls = q->poll_count,
                                        .last_poll_ns = q->last_poll_ns,
                                        .tasks_added = q->added,
                                        .tasks_taken = q->taken,
                                        .added_per_s = tl_rate_per_s(q->add_rate, now_ns),
                                        .taken_per_s = tl_rate_per_s(q->take_rate, now_ns)};
    if (!tl_list_empty(&q->tasks)) {
        out->oldest_ns = TL_CONTAINER(q->tasks.next, struct tl_match_task, link)->offered_ns;
    }
    return true;
}

size_t tl_match_pollers(const struct tl_matcher *m, const struct tl_match_key *key, int64_t now_ns,
                        void (*fn)(void *ud, struct tl_str identity, int64_t last_poll_ns),
                        void *ud)
{
    struct tl_match_queue *q = find(m, key);
    size_t n = 0;
    if (!q) {
        return 0;
    }
    TL_MAP_EACH (e, &q->pollers) {
        struct poller *p = e->value;
        if (now_ns - p->last_poll_ns <= POLLER_KEPT_NS) {
            n++;
            if (fn) {
                fn(ud, tl_map_key(e), p->last_poll_ns);
            }
        }
    }
    return n;
}

static void each_poll(struct tl_match_queue *q, void (*fn)(void *ud, struct tl_match_poll *p),
                      void *ud)
{
    TL_LIST_EACH (it, &q->polls) {
        fn(ud, TL_CONTAINER(it, struct tl_match_poll, link));
    }
}

void tl_match_each_poll(struct tl_matcher *m, const struct tl_match_key *key,
                        void (*fn)(void *ud, struct tl_match_poll *p), void *ud)
{
    if (key) {
        struct tl_match_queue *q = find(m, key);
        if (q) {
            each_poll(q, fn, ud);
        }
        return;
    }
    TL_MAP_EACH (e, &m->queues) {
        each_poll(e->value, fn, ud);
    }
}

void tl_match_each_version(const struct tl_matcher *m, const struct tl_match_key *key,
                           void (*fn)(void *ud, const struct tl_match_key *key), void *ud)
{
    TL_MAP_EACH (e, &m->queues) {
        const struct tl_match_queue *q = e->value;
        if (q->key.namespace_number == key->namespace_number && q->key.type == key->type &&
            q->key.sticky == key->sticky && tl_str_eq(q->key.name, key->name)) {
            fn(ud, &q->key);
        }
    }
}

struct tl_match_key tl_match_queue_key(const struct tl_match_queue *q)
{
    return q->key;
}

bool tl_matcher_backlog_has_pollers(const struct tl_matcher *m)
{
    TL_MAP_EACH (e, &m->queues) {
        const struct tl_match_queue *q = e->value;
        if (q->task_count && q->pollers.count) {
            return true;
        }
    }
    return false;
}
