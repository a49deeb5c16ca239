/* Settings of task queues: the table, what is stored of it, and the timer of their rate limits. See
 * task_queues.h. */
#include "server/task_queues.h"

#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "tl_enums.h"

#define RECORD_BYTES_MAX ((size_t)1 << 20)
#define KEY_PREFIX "task-queue/"
#define KEY_HEAD (sizeof KEY_PREFIX - 1 + 16 + 3) /* with "<namespace number>/<type>/" */

/* "task-queue/<namespace number>/<type>/<name>": its key in memory and in the meta table. */
static struct tl_str key_of(struct tl_server *s, const struct tl_namespace *ns, struct tl_str name,
                            int type)
{
    tl_buf_clear(&s->scratch);
    tl_buf_printf(&s->scratch, KEY_PREFIX "%016llx/%d/", (unsigned long long)ns->number, type);
    tl_buf_put_str(&s->scratch, name);
    return tl_buf_str(&s->scratch);
}

static bool split_key(struct tl_str key, uint64_t *namespace_number, int *type, struct tl_str *name)
{
    unsigned long long number = 0;
    char head[KEY_HEAD + 1];
    if (key.n <= KEY_HEAD) {
        return false;
    }
    memcpy(head, key.p, KEY_HEAD);
    head[KEY_HEAD] = 0;
    *name = tl_str_n(key.p + KEY_HEAD, key.n - KEY_HEAD);
    bool whole = sscanf(head, KEY_PREFIX "%16llx/%d/", &number, type) == 2;
    *namespace_number = number;
    return whole;
}

static struct tl_queue_settings *settings_new(void)
{
    struct tl_queue_settings *q = TL_NEW(struct tl_queue_settings);
    tl_arena_init(&q->arena, RECORD_BYTES_MAX * 8);
    q->worker_per_s = -1;
    return q;
}

static void settings_free(struct tl_queue_settings *q)
{
    tl_arena_deinit(&q->arena);
    tl_mem_free(q);
}

const struct tl_queue_settings *tl_task_queue_settings(struct tl_server *s,
                                                       const struct tl_namespace *ns,
                                                       struct tl_str name, int type)
{
    return s->task_queues.count ? tl_map_get(&s->task_queues, key_of(s, ns, name, type)) : NULL;
}

/* --- limits -------------------------------------------------------------------------------------- */

static double per_s_of(const TpTq__RateLimitConfig *c)
{
    return c && c->rate_limit ? (double)c->rate_limit->requests_per_second : -1;
}

double tl_task_queue_per_s(const struct tl_queue_settings *q, int *source)
{
    double set = q && q->config ? per_s_of(q->config->queue_rate_limit) : -1;
    double per_s = set >= 0 ? set : q ? q->worker_per_s : -1;
    *source = set >= 0 ? RATE_LIMIT_SOURCE_API : RATE_LIMIT_SOURCE_WORKER;
    if (per_s < 0 || per_s >= TL_QUEUE_TASKS_PER_S) {
        *source = RATE_LIMIT_SOURCE_SYSTEM;
        return TL_QUEUE_TASKS_PER_S;
    }
    return per_s;
}

static void follow(struct tl_server *s, uint64_t namespace_number, struct tl_str name, int type,
                   const struct tl_queue_settings *q)
{
    int source;
    double per_s = tl_task_queue_per_s(q, &source);
    size_t n = q->config ? q->config->n_fairness_weight_overrides : 0;
    struct tl_match_weight *weights = TL_NEW_ARRAY(struct tl_match_weight, n + 1);
    for (size_t i = 0; i < n; i++) {
        weights[i].key = tl_str(q->config->fairness_weight_overrides[i]->key);
        weights[i].weight = (double)q->config->fairness_weight_overrides[i]->value;
    }
    struct tl_match_rules rules = {
        .per_s = source == RATE_LIMIT_SOURCE_SYSTEM ? -1 : per_s,
        .key_per_s = q->config ? per_s_of(q->config->fairness_keys_rate_limit_default) : -1,
        .weights = weights,
        .weight_count = n};
    struct tl_match_key key = {
        .namespace_number = namespace_number, .type = tl_queue_type_of(type), .name = name};
    tl_match_limit(&s->matcher, &key, &rules, tl_engine_now(s));
    tl_mem_free(weights);
    tl_task_queues_look(s);
}

static void release(struct tl_server *s, struct tl_due *due)
{
    struct tl_match_poll *poll;
    struct tl_match_task *t;
    (void)due;
    while ((t = tl_match_released(&s->matcher, &poll, tl_engine_now(s)))) {
        tl_arena_reset(&s->arena);
        tl_poll_take(s, TL_CONTAINER(poll, struct tl_parked, poll), t, &s->arena);
    }
    tl_task_queues_look(s);
}

void tl_task_queues_look(struct tl_server *s)
{
    int64_t at = tl_match_limited_until(&s->matcher, tl_engine_now(s));
    if (at == INT64_MAX) {
        tl_heap_remove(&s->timers, &s->limits_due.node);
    } else if (!tl_heap_has(&s->limits_due.node) || s->limits_due.node.deadline_ns != at) {
        tl_due_set(&s->timers, &s->limits_due, at);
    }
}

void tl_task_queue_polled(struct tl_server *s, struct tl_namespace *ns, struct tl_str name,
                          int type, double per_s)
{
    struct tl_queue_settings *q =
        s->task_queues.count ? tl_map_get(&s->task_queues, key_of(s, ns, name, type)) : NULL;
    if (!q && per_s >= 0) {
        q = settings_new();
        tl_map_put(&s->task_queues, key_of(s, ns, name, type), q);
    }
    if (q && (q->worker_per_s < per_s || q->worker_per_s > per_s)) {
        q->worker_per_s = per_s;
        follow(s, ns->number, name, type, q);
    }
}

/* --- what is stored ------------------------------------------------------------------------------ */

static tl_rc take(struct tl_queue_settings *q, struct tl_str bytes, struct tl_error *err)
{
    q->config = NULL;
    tl_arena_reset(&q->arena);
    return tl_pb_decode(&tp_tq__task_queue_config__descriptor, bytes, &q->arena, &q->config, err);
}

tl_rc tl_task_queue_configure(struct tl_server *s, struct tl_namespace *ns, struct tl_str name,
                              int type, const TpTq__TaskQueueConfig *config, struct tl_error *err)
{
    struct tl_buf b;
    tl_buf_init(&b, RECORD_BYTES_MAX);
    tl_rc rc = tl_pb_encode(config, &b, err);
    if (rc == TL_OK) {
        struct tl_str key = key_of(s, ns, name, type);
        struct tl_queue_settings *q = tl_map_get(&s->task_queues, key);
        if (!q) {
            q = settings_new();
            tl_map_put(&s->task_queues, key, q);
        }
        rc = take(q, tl_buf_str(&b), err);
        q->seq = s->open->seq;
        tl_batch_meta_put(&s->open->ops, key, tl_buf_str(&b));
        follow(s, ns->number, name, type, q);
    }
    tl_buf_deinit(&b);
    return rc;
}

static tl_rc load_row(void *ud, struct tl_str key, struct tl_str value, struct tl_error *err)
{
    struct tl_server *s = ud;
    uint64_t number;
    int type;
    struct tl_str name;
    if (!split_key(key, &number, &type, &name)) {
        return tl_error_set(err, TL_EDECODE, "the key of a task queue's settings is damaged");
    }
    if (!tl_map_get_num(&s->namespace_numbers, number)) {
        TL_LOG(TL_LOG_WARN, "server.task_queue_without_namespace", TL_S("key", key));
        return TL_OK;
    }
    struct tl_queue_settings *q = tl_map_get(&s->task_queues, key);
    if (!q) {
        q = settings_new();
        tl_map_put(&s->task_queues, key, q);
    }
    tl_rc rc = take(q, value, err);
    follow(s, number, name, type, q);
    return rc;
}

void tl_task_queues_init(struct tl_server *s)
{
    tl_map_init(&s->task_queues);
    s->limits_due.fire = release;
}

void tl_task_queues_free(struct tl_server *s)
{
    TL_MAP_EACH (e, &s->task_queues) {
        settings_free(e->value);
    }
    tl_map_deinit(&s->task_queues);
}

/* What workers said stays: it is not stored. */
tl_rc tl_task_queues_load(struct tl_server *s, struct tl_error *err)
{
    TL_MAP_EACH (e, &s->task_queues) {
        struct tl_queue_settings *q = e->value;
        uint64_t number;
        int type;
        struct tl_str name;
        q->config = NULL;
        tl_arena_reset(&q->arena);
        if (split_key(tl_map_key(e), &number, &type, &name)) {
            follow(s, number, name, type, q);
        }
    }
    return tl_store_meta_each(tl_store_point_reader(s->store), TL_STR_LIT(KEY_PREFIX), load_row, s,
                              err);
}
