/* See metrics.h. A histogram keeps one count per bucket, not cumulated; the sums are made when it is
 * written. A writer sees each number whole, but not all numbers of one moment. */
#include "base/metrics.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"

#define MS INT64_C(1000000)
#define KEY_BYTES_MAX ((size_t)64 * 1024)

const int64_t tl_metric_latency_bounds[TL_METRIC_LATENCY_BOUNDS] = {
    1 * MS,   2 * MS,    5 * MS,    10 * MS,   20 * MS,    50 * MS,    100 * MS,   200 * MS,
    500 * MS, 1000 * MS, 2000 * MS, 5000 * MS, 10000 * MS, 20000 * MS, 60000 * MS,
};

struct tl_series {
    const struct tl_metric_def *def;
    char *labels;                    /* operation="Poll",task="x"; "" without labels */
    atomic_int_least64_t value;      /* HISTOGRAM: sum */
    atomic_uint_least64_t buckets[]; /* bound_count + 1 */
};

struct tl_metric {
    const struct tl_metric_def *def;
    struct tl_list link;
    struct tl_metrics *registry;
    struct tl_map series; /* guarded by the registry's mutex: labels -> struct tl_series */
};

struct tl_metrics {
    pthread_mutex_t mutex;
    struct tl_list metrics; /* guarded */
};

struct tl_metrics *tl_metrics_new(void)
{
    struct tl_metrics *m = TL_NEW(struct tl_metrics);
    pthread_mutex_init(&m->mutex, NULL);
    tl_list_init(&m->metrics);
    return m;
}

static void metric_free(struct tl_metric *metric)
{
    TL_MAP_EACH (e, &metric->series) {
        struct tl_series *s = e->value;
        tl_mem_free(s->labels);
        tl_mem_free(s);
    }
    tl_map_deinit(&metric->series);
    tl_mem_free(metric);
}

void tl_metrics_free(struct tl_metrics *m)
{
    if (!m) {
        return;
    }
    TL_LIST_EACH (it, &m->metrics) {
        metric_free(TL_CONTAINER(it, struct tl_metric, link));
    }
    pthread_mutex_destroy(&m->mutex);
    tl_mem_free(m);
}

struct tl_metric *tl_metric_new(struct tl_metrics *m, const struct tl_metric_def *def)
{
    struct tl_metric *found = NULL;
    if (!m) {
        return NULL;
    }
    TL_ASSERT(def->bound_count <= TL_METRIC_BOUNDS_MAX);
    pthread_mutex_lock(&m->mutex);
    TL_LIST_EACH (it, &m->metrics) {
        struct tl_metric *metric = TL_CONTAINER(it, struct tl_metric, link);
        if (strcmp(metric->def->name, def->name) == 0) {
            TL_ASSERT(metric->def == def);
            found = metric;
        }
    }
    if (!found) {
        found = TL_NEW(struct tl_metric);
        found->def = def;
        found->registry = m;
        tl_map_init(&found->series);
        tl_list_push(&m->metrics, &found->link);
    }
    pthread_mutex_unlock(&m->mutex);
    return found;
}

/* --- series ----------------------------------------------------------------------------------------- */

static void put_escaped(struct tl_buf *out, struct tl_str value)
{
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == '\n') {
            tl_buf_puts(out, "\\n");
            continue;
        }
        if (value.p[i] == '\\' || value.p[i] == '"') {
            tl_buf_putc(out, '\\');
        }
        tl_buf_putc(out, value.p[i]);
    }
}

/* values NULL: "_other" for each label. */
static void put_labels(struct tl_buf *out, const struct tl_metric_def *def,
                       const struct tl_str *values)
{
    for (size_t i = 0; def->labels[i]; i++) {
        tl_buf_printf(out, "%s%s=\"", i ? "," : "", def->labels[i]);
        put_escaped(out, values ? values[i] : TL_STR_LIT("_other"));
        tl_buf_putc(out, '"');
    }
}

static struct tl_series *series_new(const struct tl_metric_def *def, struct tl_str labels)
{
    size_t buckets = def->kind == TL_METRIC_HISTOGRAM ? def->bound_count + 1 : 0;
    struct tl_series *s = tl_mem_alloc(sizeof *s + buckets * sizeof(atomic_uint_least64_t));
    s->def = def;
    s->labels = tl_mem_dup(labels);
    return s;
}

struct tl_series *tl_metric_get(struct tl_metric *metric, const struct tl_str *values)
{
    struct tl_buf key;
    if (!metric) {
        return NULL;
    }
    tl_buf_init(&key, KEY_BYTES_MAX);
    put_labels(&key, metric->def, values);
    pthread_mutex_lock(&metric->registry->mutex);
    struct tl_series *s = tl_map_get(&metric->series, tl_buf_str(&key));
    if (!s) {
        if (metric->series.count >= TL_METRIC_SERIES_MAX || tl_buf_failed(&key)) {
            tl_buf_clear(&key);
            key.failed = false;
            put_labels(&key, metric->def, NULL);
            s = tl_map_get(&metric->series, tl_buf_str(&key));
        }
        if (!s) {
            s = series_new(metric->def, tl_buf_str(&key));
            tl_map_put(&metric->series, tl_buf_str(&key), s);
        }
    }
    pthread_mutex_unlock(&metric->registry->mutex);
    tl_buf_deinit(&key);
    return s;
}

void tl_series_add(struct tl_series *s, int64_t n)
{
    if (s) {
        atomic_fetch_add_explicit(&s->value, n, memory_order_relaxed);
    }
}

void tl_series_set(struct tl_series *s, int64_t value)
{
    if (s) {
        atomic_store_explicit(&s->value, value, memory_order_relaxed);
    }
}

void tl_series_observe(struct tl_series *s, int64_t value)
{
    if (!s) {
        return;
    }
    size_t i = 0;
    while (i < s->def->bound_count && value > s->def->bounds[i]) {
        i++;
    }
    atomic_fetch_add_explicit(&s->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->value, value, memory_order_relaxed);
}

static uint64_t bucket(const struct tl_series *s, size_t i)
{
    return atomic_load_explicit(&s->buckets[i], memory_order_relaxed);
}

int64_t tl_series_value(const struct tl_series *s)
{
    int64_t n = 0;
    if (!s) {
        return 0;
    }
    if (s->def->kind != TL_METRIC_HISTOGRAM) {
        return atomic_load_explicit(&s->value, memory_order_relaxed);
    }
    for (size_t i = 0; i <= s->def->bound_count; i++) {
        n += (int64_t)bucket(s, i);
    }
    return n;
}

/* --- text --------------------------------------------------------------------------------------------- */

/* A value in the unit of the output; the C library's decimal point may be another one. */
static void put_value(struct tl_buf *out, const struct tl_metric_def *def, int64_t value)
{
    int64_t unit = def->unit > 1 ? def->unit : 1;
    tl_buf_printf(out, "%s%lld", value < 0 ? "-" : "",
                  (long long)((value < 0 ? -value : value) / unit));
    int64_t rest = (value < 0 ? -value : value) % unit;
    if (rest) {
        tl_buf_putc(out, '.');
        for (unit /= 10; rest; rest %= unit, unit /= 10) {
            tl_buf_putc(out, (char)('0' + rest / unit));
            if (unit == 1) {
                break;
            }
        }
    }
}

static void put_name(struct tl_buf *out, const struct tl_series *s, const char *suffix)
{
    tl_buf_printf(out, *s->labels ? "%s%s{%s} " : "%s%s ", s->def->name, suffix, s->labels);
}

static void put_histogram(struct tl_buf *out, const struct tl_series *s)
{
    const struct tl_metric_def *def = s->def;
    const char *comma = *s->labels ? "," : "";
    uint64_t sum = 0;
    for (size_t i = 0; i < def->bound_count; i++) {
        sum += bucket(s, i);
        tl_buf_printf(out, "%s_bucket{%s%sle=\"", def->name, s->labels, comma);
        put_value(out, def, def->bounds[i]);
        tl_buf_printf(out, "\"} %llu\n", (unsigned long long)sum);
    }
    sum += bucket(s, def->bound_count);
    tl_buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", def->name, s->labels, comma,
                  (unsigned long long)sum);
    put_name(out, s, "_sum");
    put_value(out, def, atomic_load_explicit(&s->value, memory_order_relaxed));
    tl_buf_putc(out, '\n');
    put_name(out, s, "_count");
    tl_buf_printf(out, "%llu\n", (unsigned long long)sum);
}

static void put_metric(struct tl_buf *out, const struct tl_metric *metric)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    const struct tl_metric_def *def = metric->def;
    tl_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", def->name, def->help, def->name,
                  kinds[def->kind]);
    TL_MAP_EACH (e, &metric->series) {
        const struct tl_series *s = e->value;
        if (def->kind == TL_METRIC_HISTOGRAM) {
            put_histogram(out, s);
        } else {
            put_name(out, s, "");
            put_value(out, def, tl_series_value(s));
            tl_buf_putc(out, '\n');
        }
    }
}

bool tl_metrics_write(struct tl_metrics *m, struct tl_buf *out)
{
    pthread_mutex_lock(&m->mutex);
    TL_LIST_EACH (it, &m->metrics) {
        struct tl_metric *metric = TL_CONTAINER(it, struct tl_metric, link);
        if (metric->series.count) {
            put_metric(out, metric);
        }
    }
    pthread_mutex_unlock(&m->mutex);
    return !tl_buf_failed(out);
}
