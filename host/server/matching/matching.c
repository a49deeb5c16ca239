/* Task queues: tasks that wait and polls that are parked, at most one of them with something that the
 * other could take. See matching.h. */
#include "server/matching/matching.h"

#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/world.h"
#include "server/matching/backlog.h"
#include "server/matching/limit.h"
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

struct tl_match_queue {
    struct tl_match_key key; /* name and version stand behind the struct */
    struct tl_backlog backlog;
    struct tl_list polls;
    struct tl_map pollers; /* identity -> struct poller */
    size_t poll_count;
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
    tl_backlog_deinit(&q->backlog);
    tl_list_remove(&q->limited);
    tl_mem_free(q);
}

static void unpark(struct tl_matcher *m, struct tl_match_poll *p);

static struct tl_match_task *some_task(struct tl_match_queue *q)
{
    tl_backlog_wake(&q->backlog);
    return tl_backlog_next(&q->backlog, NULL, 0);
}

void tl_matcher_deinit(struct tl_matcher *m)
{
    TL_MAP_EACH (e, &m->queues) {
        struct tl_match_queue *q = e->value;
        struct tl_match_task *t;
        while ((t = some_task(q))) {
            tl_match_task_drop(m, t);
        }
        TL_LIST_EACH (p, &q->polls) {
            unpark(m, TL_CONTAINER(p, struct tl_match_poll, link));
        }
        free_queue(q);
    }
    tl_map_deinit(&m->queues);
    TL_MAP_EACH (e, &m->limits) {
        tl_match_limit_free(e->value);
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
    tl_backlog_wake(&q->backlog);
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
        if (q->backlog.count == 0 && q->poll_count == 0 &&
            now_ns - q->last_poll_ns > POLLER_KEPT_NS) {
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
    tl_backlog_init(&q->backlog);
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

/* One task has gone to a poll. */
static void note_taken(struct tl_match_queue *q, struct tl_match_level *level,
                       const struct tl_match_terms *terms, int64_t now_ns)
{
    q->taken++;
    tl_rate_note(&q->take_rate, now_ns);
    tl_rate_note(&level->take_rate, now_ns);
    if (q->limit) {
        struct tl_str key = terms ? terms->fairness_key : (struct tl_str){0};
        tl_match_limit_take(q->limit, key, tl_match_weight(q->limit, terms), now_ns);
    }
}

static bool may_go(const struct tl_match_queue *q, const struct tl_match_terms *terms,
                   int64_t now_ns)
{
    struct tl_str key = terms ? terms->fairness_key : (struct tl_str){0};
    return !q->limit || (tl_match_limit_ready_ns(q->limit) <= now_ns &&
                         tl_match_limit_key_ready_ns(q->limit, key) <= now_ns);
}

static struct tl_match_poll *place_task(struct tl_matcher *m, struct tl_match_queue *q,
                                        struct tl_match_task *t, const struct tl_match_terms *terms,
                                        int64_t now_ns)
{
    /* Under a limit others may wait although polls do. */
    bool first = q->backlog.count == 0 || !q->limit;
    struct tl_match_poll *p = first && may_go(q, terms, now_ns) ? wanting(m, q) : NULL;
    if (p) {
        unpark(m, p);
        note_taken(q, tl_backlog_level(&q->backlog, terms), terms, now_ns);
        return p;
    }
    t->queue = q;
    tl_backlog_push(&q->backlog, t, terms, q->limit);
    m->tasks_queued++;
    return NULL;
}

struct tl_match_poll *tl_match_offer(struct tl_matcher *m, const struct tl_match_key *key,
                                     struct tl_match_task *t, const struct tl_match_terms *terms,
                                     int64_t now_ns)
{
    TL_ASSERT(!tl_match_task_queued(t));
    struct tl_match_queue *q = find_or_make(m, key, now_ns);
    t->place = (struct tl_match_place){
        .since_ns = terms && terms->since_ns ? terms->since_ns : now_ns, .number = m->places++};
    q->added++;
    tl_rate_note(&q->add_rate, now_ns);
    tl_rate_note(&tl_backlog_level(&q->backlog, terms)->add_rate, now_ns);
    return place_task(m, q, t, terms, now_ns);
}

struct tl_match_poll *tl_match_put_back(struct tl_matcher *m, const struct tl_match_key *key,
                                        struct tl_match_task *t, const struct tl_match_terms *terms,
                                        int64_t now_ns)
{
    TL_ASSERT(!tl_match_task_queued(t));
    struct tl_match_queue *q = find_or_make(m, key, now_ns);
    q->taken -= q->taken > 0;
    return place_task(m, q, t, terms, now_ns);
}

static void unqueue(struct tl_matcher *m, struct tl_match_task *t, bool taken)
{
    tl_backlog_remove(&t->queue->backlog, t, taken);
    m->tasks_queued--;
    t->queue = NULL;
}

/* Takes a task of the backlog out, for a poll. */
static void take(struct tl_matcher *m, struct tl_match_queue *q, struct tl_match_task *t,
                 int64_t now_ns)
{
    struct tl_match_terms terms = {.fairness_key = tl_backlog_key(t), .weight = t->weight};
    note_taken(q, tl_backlog_level_of(t), &terms, now_ns);
    unqueue(m, t, true);
}

/* The task that goes next, if one may go now. */
static struct tl_match_task *next_task(struct tl_match_queue *q, int64_t now_ns)
{
    bool may = q->backlog.count && (!q->limit || tl_match_limit_ready_ns(q->limit) <= now_ns);
    return may ? tl_backlog_next(&q->backlog, q->limit, now_ns) : NULL;
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
    struct tl_match_task *t = next_task(q, now_ns);
    if (t) {
        take(m, q, t, now_ns);
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
        unqueue(m, t, false);
    }
}

void tl_match_poll_drop(struct tl_matcher *m, struct tl_match_poll *p)
{
    if (tl_list_linked(&p->link)) {
        unpark(m, p);
    }
}

void tl_match_loaded(struct tl_matcher *m)
{
    TL_ASSERT(m->polls_parked == 0);
    TL_MAP_EACH (e, &m->queues) {
        struct tl_match_queue *q = e->value;
        tl_backlog_arrange(&q->backlog, q->limit);
    }
}

/* --- limits -------------------------------------------------------------------------------------- */

static void attach(void *ud, const struct tl_match_key *key)
{
    struct tl_matcher *m = ud;
    come_under(find(m, key), find_limit(m, key));
}

void tl_match_limit(struct tl_matcher *m, const struct tl_match_key *key,
                    const struct tl_match_rules *rules, int64_t now_ns)
{
    struct tl_match_key all = *key;
    struct tl_match_limit *l = find_limit(m, key), *gone = NULL;
    bool any = rules->per_s >= 0 || rules->key_per_s >= 0 || rules->weight_count;
    struct tl_buf b;
    if (!l && !any) {
        return;
    }
    all.version = (struct tl_str){0};
    tl_buf_init(&b, SIZE_MAX / 2);
    if (!any) {
        m->lifted = true;
        gone = tl_map_del(&m->limits, encode_key(&all, &b));
    } else if (!l) {
        l = tl_match_limit_new();
        tl_map_put(&m->limits, encode_key(&all, &b), l);
    }
    tl_buf_deinit(&b);
    if (any) {
        tl_match_limit_set(l, rules, now_ns);
    }
    tl_match_each_version(m, &all, attach, m);
    if (gone) {
        tl_match_limit_free(gone);
    }
}

static bool kept_apart(const struct tl_matcher *m, struct tl_match_queue *q)
{
    return q->backlog.count && wanting(m, q);
}

/* When a task of the queue may meet a poll; INT64_MAX: never, or there are none. */
static int64_t release_ns(const struct tl_matcher *m, struct tl_match_queue *q, int64_t now_ns)
{
    if (!kept_apart(m, q)) {
        return INT64_MAX;
    }
    int64_t whole_ns = tl_match_limit_ready_ns(q->limit);
    int64_t ready_ns = tl_match_limit_has_keys(q->limit)
                           ? tl_backlog_ready_ns(&q->backlog, q->limit, now_ns)
                           : now_ns;
    return ready_ns > whole_ns ? ready_ns : whole_ns;
}

int64_t tl_match_limited_until(struct tl_matcher *m, int64_t now_ns)
{
    int64_t until = m->lifted ? 0 : INT64_MAX;
    TL_MAP_EACH (e, &m->limits) {
        struct tl_match_limit *l = e->value;
        if (tl_match_limit_ready_ns(l) >= until) {
            continue;
        }
        TL_LIST_EACH (n, &l->queues) {
            struct tl_match_queue *q = TL_CONTAINER(n, struct tl_match_queue, limited);
            int64_t ready_ns = release_ns(m, q, now_ns);
            until = ready_ns < until ? ready_ns : until;
        }
    }
    return until;
}

/* A task of the queue that may go and the first poll that can be answered; NULL when there is none. */
static struct tl_match_task *bring_together(struct tl_matcher *m, struct tl_match_queue *q,
                                            struct tl_match_poll **p, int64_t now_ns)
{
    struct tl_match_task *t = kept_apart(m, q) ? next_task(q, now_ns) : NULL;
    if (t) {
        *p = wanting(m, q);
        unpark(m, *p);
        take(m, q, t, now_ns);
    }
    return t;
}

struct tl_match_task *tl_match_released(struct tl_matcher *m, struct tl_match_poll **p,
                                        int64_t now_ns)
{
    TL_MAP_EACH (e, &m->limits) {
        struct tl_match_limit *l = e->value;
        if (tl_match_limit_ready_ns(l) > now_ns) {
            continue;
        }
        TL_LIST_EACH (n, &l->queues) {
            struct tl_match_queue *q = TL_CONTAINER(n, struct tl_match_queue, limited);
            struct tl_match_task *t = bring_together(m, q, p, now_ns);
            if (t) {
                tl_list_remove(&q->limited); /* to the end: versions take turns */
                tl_list_push(&l->queues, &q->limited);
                return t;
            }
        }
    }
    TL_MAP_EACH (e, &m->queues) {
        struct tl_match_queue *q = e->value;
        struct tl_match_task *t = m->lifted && !q->limit ? bring_together(m, q, p, now_ns) : NULL;
        if (t) {
            return t;
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
    int64_t oldest_ns = tl_backlog_oldest_ns(&q->backlog);
    if (oldest_ns && now_ns - oldest_ns > BACKLOG_AGE_NS) {
        return 1;
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
    size_t n = q->backlog.count;
    struct tl_match_task **tasks = TL_NEW_ARRAY(struct tl_match_task *, n + 1);
    q->last_poll_ns = 0;
    for (size_t i = 0; i < n; i++) {
        tasks[i] = some_task(q);
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
    *out = (struct tl_match_queue_info){.backlog = q->backlog.count,
                                        .polls = q->poll_count,
                                        .last_poll_ns = q->last_poll_ns,
                                        .tasks_added = q->added,
                                        .tasks_taken = q->taken,
                                        .added_per_s = tl_rate_per_s(q->add_rate, now_ns),
                                        .taken_per_s = tl_rate_per_s(q->take_rate, now_ns)};
    out->oldest_ns = tl_backlog_oldest_ns(&q->backlog);
    return true;
}

bool tl_match_priority_info(const struct tl_matcher *m, const struct tl_match_key *key,
                            int priority, int64_t now_ns, struct tl_match_queue_info *out)
{
    TL_ASSERT(priority >= 1 && priority <= TL_MATCH_PRIORITIES);
    struct tl_match_queue *q = find(m, key);
    const struct tl_match_level *level = q ? q->backlog.levels[priority - 1] : NULL;
    *out = (struct tl_match_queue_info){0};
    if (!level) {
        return false;
    }
    out->backlog = level->count;
    out->added_per_s = tl_rate_per_s(level->add_rate, now_ns);
    out->taken_per_s = tl_rate_per_s(level->take_rate, now_ns);
    out->oldest_ns = tl_backlog_level_oldest_ns(level);
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
        if (q->backlog.count && q->pollers.count) {
            return true;
        }
    }
    return false;
}
