/* See metrics.h. Series are found in a hash table that only grows: a reader follows pointers that were
 * published with release order, a writer adds at the head of a chain under the registry's mutex. A
 * histogram keeps one count per bucket, not cumulated; the sums are made when it is written. */
#include "base/assert.h"
#include "base/mem.h"
#include "base/metrics_int.h"

#define MS INT64_C(1000000)
#define KEY_BYTES_MAX ((size_t)64 * 1024)

const int64_t tl_metric_latency_bounds[TL_METRIC_LATENCY_BOUNDS] = {
    1 * MS,   2 * MS,    5 * MS,    10 * MS,   20 * MS,    50 * MS,    100 * MS,   200 * MS,
    500 * MS, 1000 * MS, 2000 * MS, 5000 * MS, 10000 * MS, 20000 * MS, 60000 * MS,
};

/* Of histograms that bring none: as the SDKs have them, in milliseconds or whatever is counted. */
static const int64_t standard_bounds[] = {50, 100, 500, 1000, 2500, 10000};
#define STANDARD_BOUNDS (sizeof standard_bounds / sizeof standard_bounds[0])

/* --- registry --------------------------------------------------------------------------------------- */

static void copy_bounds(struct tl_metrics *m, const struct tl_metrics_options *o)
{
    m->bounds_count = o->bounds_count;
    m->bounds = TL_NEW_ARRAY(struct tl_metric_bounds, o->bounds_count + 1);
    for (size_t i = 0; i < o->bounds_count; i++) {
        const struct tl_metric_bounds *from = &o->bounds[i];
        TL_ASSERT(from->count > 0 && from->count <= TL_METRIC_BOUNDS_MAX);
        double *copy = TL_NEW_ARRAY(double, from->count);
        memcpy(copy, from->bounds, from->count * sizeof *copy);
        m->bounds[i] = (struct tl_metric_bounds){tl_mem_dup(tl_str(from->name)), copy, from->count};
    }
}

struct tl_metrics *tl_metrics_new(const struct tl_metrics_options *o)
{
    static const struct tl_metrics_options nothing;
    struct tl_metrics *m = TL_NEW(struct tl_metrics);
    struct tl_buf labels;
    o = o ? o : &nothing;
    atomic_store(&m->holds, 1);
    pthread_mutex_init(&m->mutex, NULL);
    pthread_mutex_init(&m->sources_mutex, NULL);
    tl_list_init(&m->metrics);
    tl_list_init(&m->sources);
    m->prefix = tl_mem_dup(tl_str(o->prefix ? o->prefix : ""));
    m->total_suffix = o->total_suffix;
    m->unit_suffix = o->unit_suffix;
    m->seconds = o->seconds;
    tl_buf_init(&labels, KEY_BYTES_MAX);
    for (size_t i = 0; i < o->label_count; i++) {
        tl_metrics_put_label(&labels, i == 0, o->labels[i].name, o->labels[i].value);
    }
    m->labels = tl_mem_dup(tl_buf_str(&labels));
    tl_buf_deinit(&labels);
    copy_bounds(m, o);
    return m;
}

static void metric_free(struct tl_metric *metric)
{
    TL_LIST_EACH (it, &metric->series) {
        struct tl_series *s = TL_CONTAINER(it, struct tl_series, link);
        tl_mem_free((char *)(uintptr_t)s->key.p);
        tl_mem_free(s->labels);
        tl_mem_free(s);
    }
    if (metric->custom) {
        tl_mem_free((char *)(uintptr_t)metric->own.name);
        tl_mem_free((char *)(uintptr_t)metric->own.help);
        tl_mem_free((char *)(uintptr_t)metric->own.unit_name);
    }
    tl_mem_free(metric->name);
    tl_mem_free(metric->bounds);
    tl_mem_free(metric->real_bounds);
    tl_mem_free(metric);
}

struct tl_metrics *tl_metrics_retain(struct tl_metrics *m)
{
    if (m) {
        atomic_fetch_add(&m->holds, 1);
    }
    return m;
}

void tl_metrics_free(struct tl_metrics *m)
{
    if (!m || atomic_fetch_sub(&m->holds, 1) > 1) {
        return;
    }
    TL_LIST_EACH (it, &m->metrics) {
        metric_free(TL_CONTAINER(it, struct tl_metric, link));
    }
    for (size_t i = 0; i < m->bounds_count; i++) {
        tl_mem_free((char *)(uintptr_t)m->bounds[i].name);
        tl_mem_free((double *)(uintptr_t)m->bounds[i].bounds);
    }
    tl_mem_free(m->bounds);
    tl_mem_free(m->prefix);
    tl_mem_free(m->labels);
    pthread_mutex_destroy(&m->mutex);
    pthread_mutex_destroy(&m->sources_mutex);
    tl_mem_free(m);
}

void tl_metrics_source_on(struct tl_metrics *m, struct tl_metrics_source *s)
{
    if (m) {
        pthread_mutex_lock(&m->sources_mutex);
        tl_list_push(&m->sources, &s->link);
        pthread_mutex_unlock(&m->sources_mutex);
    }
}

void tl_metrics_source_off(struct tl_metrics *m, struct tl_metrics_source *s)
{
    if (m) {
        pthread_mutex_lock(&m->sources_mutex);
        tl_list_remove(&s->link);
        pthread_mutex_unlock(&m->sources_mutex);
    }
}

/* --- metrics ---------------------------------------------------------------------------------------- */

/* What a duration is divided by to be written. */
static int64_t duration_unit(const struct tl_metrics *m)
{
    return m->seconds ? 1000 * MS : MS;
}

static void set_bounds(struct tl_metric *metric)
{
    const struct tl_metric_def *def = metric->def;
    const struct tl_metrics *m = metric->registry;
    const int64_t *from = def->bound_count ? def->bounds : standard_bounds;
    /* The definition's bounds are in the metric's unit; the standard ones of durations milliseconds. */
    int64_t scale = def->bound_count || !def->duration ? 1 : MS;
    metric->bound_count = def->bound_count ? def->bound_count : STANDARD_BOUNDS;
    metric->bounds = TL_NEW_ARRAY(int64_t, TL_METRIC_BOUNDS_MAX);
    metric->real_bounds = TL_NEW_ARRAY(double, TL_METRIC_BOUNDS_MAX);
    for (size_t i = 0; i < metric->bound_count; i++) {
        metric->bounds[i] = from[i] * scale;
        metric->real_bounds[i] = (double)metric->bounds[i];
    }
    for (size_t k = 0; k < m->bounds_count; k++) {
        const struct tl_metric_bounds *b = &m->bounds[k];
        if (strstr(def->name, b->name)) {
            metric->bound_count = b->count;
            for (size_t i = 0; i < b->count; i++) {
                metric->real_bounds[i] = b->bounds[i];
                metric->bounds[i] = (int64_t)(b->bounds[i] * (double)metric->unit);
            }
            return;
        }
    }
}

/* The name as it is written: with prefix and suffixes. */
static char *written_name(const struct tl_metrics *m, const struct tl_metric_def *def)
{
    struct tl_buf b;
    const char *unit = def->duration ? (m->seconds ? "seconds" : "milliseconds") : def->unit_name;
    tl_buf_init(&b, KEY_BYTES_MAX);
    tl_buf_printf(&b, "%s%s", def->sdk ? m->prefix : "", def->name);
    if (def->kind == TL_METRIC_HISTOGRAM && m->unit_suffix && unit && *unit) {
        tl_buf_printf(&b, "_%s", unit);
    }
    if (def->kind == TL_METRIC_COUNTER && m->total_suffix) {
        tl_buf_puts(&b, "_total");
    }
    char *name = tl_mem_dup(tl_buf_str(&b));
    tl_buf_deinit(&b);
    for (char *c = name; *c; c++) {
        *c = *c == '-' || *c == '.' ? '_' : *c;
    }
    return name;
}

/* Holds the mutex. */
static struct tl_metric *add_metric(struct tl_metrics *m, const struct tl_metric_def *def)
{
    struct tl_metric *metric = TL_NEW(struct tl_metric);
    metric->def = def;
    metric->registry = m;
    metric->name = written_name(m, def);
    metric->unit = def->duration ? duration_unit(m) : def->unit > 1 ? def->unit : 1;
    tl_list_init(&metric->series);
    if (def->kind == TL_METRIC_HISTOGRAM) {
        set_bounds(metric);
    }
    tl_list_push(&m->metrics, &metric->link);
    return metric;
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
        if (!metric->custom && strcmp(metric->def->name, def->name) == 0) {
            TL_ASSERT(metric->def == def);
            found = metric;
        }
    }
    found = found ? found : add_metric(m, def);
    pthread_mutex_unlock(&m->mutex);
    return found;
}

bool tl_metric_name_ok(struct tl_str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        bool later = (c >= '0' && c <= '9') || c == '-' || c == '.';
        if (!letter && !(later && i > 0)) {
            return false;
        }
    }
    return name.n > 0;
}

static void keep_texts(struct tl_metric *metric, const struct tl_metric_def *def)
{
    metric->own = *def;
    metric->own.name = tl_mem_dup(tl_str(def->name));
    metric->own.help = tl_mem_dup(tl_str(def->help));
    metric->own.unit_name = tl_mem_dup(tl_str(def->unit_name));
    metric->custom = true;
    metric->def = &metric->own;
}

/* The metric that is written under this name. Holds the mutex. */
static struct tl_metric *find_written(struct tl_metrics *m, const char *name)
{
    TL_LIST_EACH (it, &m->metrics) {
        struct tl_metric *metric = TL_CONTAINER(it, struct tl_metric, link);
        if (strcmp(metric->name, name) == 0) {
            return metric;
        }
    }
    return NULL;
}

tl_rc tl_metric_custom(struct tl_metric **out, struct tl_metrics *m,
                       const struct tl_metric_def *def, struct tl_error *err)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    tl_rc rc = TL_OK;
    *out = NULL;
    if (!tl_metric_name_ok(tl_str(def->name))) {
        return tl_error_set(err, TL_EINVAL,
                            "'%s' is no name of a metric: letters, digits, '_', '-' and '.'",
                            def->name);
    }
    if (!m) {
        return TL_OK;
    }
    pthread_mutex_lock(&m->mutex);
    char *name = written_name(m, def);
    struct tl_metric *found = find_written(m, name);
    if (found && !found->custom) {
        rc = tl_error_set(err, TL_EINVAL, "the metric '%s' is the SDK's own", def->name);
    } else if (found && (found->def->kind != def->kind || found->def->real != def->real ||
                         found->def->duration != def->duration)) {
        rc = tl_error_set(err, TL_EEXISTS, "the metric '%s' is a %s of another kind already",
                          def->name, kinds[found->def->kind]);
    } else if (!found && m->custom_count >= TL_METRIC_CUSTOM_MAX) {
        rc = tl_error_set(err, TL_ELIMIT, "metric '%s': there are %d metrics already", def->name,
                          TL_METRIC_CUSTOM_MAX);
    } else if (!found) {
        found = add_metric(m, def);
        keep_texts(found, def);
        m->custom_count++;
    }
    pthread_mutex_unlock(&m->mutex);
    tl_mem_free(name);
    *out = rc == TL_OK ? found : NULL;
    return rc;
}

/* --- series ----------------------------------------------------------------------------------------- */

/* The next part of a key: its length, then its bytes. */
static void key_part(char *key, size_t *n, struct tl_str part)
{
    uint32_t size = (uint32_t)part.n;
    memcpy(key + *n, &size, sizeof size);
    if (size) {
        memcpy(key + *n + sizeof size, part.p, size);
    }
    *n += sizeof size + size;
}

static uint64_t hash_of(struct tl_str s)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < s.n; i++) {
        h = (h ^ (uint8_t)s.p[i]) * UINT64_C(1099511628211);
    }
    return h ^ (h >> 29);
}

static struct tl_series *find(const struct tl_metric *metric, struct tl_str key, uint64_t hash)
{
    struct tl_series *s =
        atomic_load_explicit(&metric->found[hash % TL_SERIES_BUCKETS], memory_order_acquire);
    while (s && !(s->hash == hash && tl_str_eq(s->key, key))) {
        s = s->next;
    }
    return s;
}

/* Takes labels over. Holds the mutex. */
static struct tl_series *add_series(struct tl_metric *metric, struct tl_str key, uint64_t hash,
                                    char *labels)
{
    size_t buckets = metric->def->kind == TL_METRIC_HISTOGRAM ? metric->bound_count + 1 : 0;
    struct tl_series *s = tl_mem_alloc(sizeof *s + buckets * sizeof(atomic_uint_least64_t));
    struct tl_series *_Atomic *head = &metric->found[hash % TL_SERIES_BUCKETS];
    s->metric = metric;
    s->hash = hash;
    s->key = tl_str_n(tl_mem_dup(key), key.n);
    s->labels = labels;
    s->next = atomic_load_explicit(head, memory_order_relaxed);
    tl_list_push(&metric->series, &s->link);
    metric->series_count++;
    atomic_store_explicit(head, s, memory_order_release);
    return s;
}

static struct tl_str label_name(const struct tl_metric_def *def, const struct tl_label *labels,
                                size_t i)
{
    return labels ? labels[i].name : tl_str(def->labels[i]);
}

/* The text between the braces; values and labels NULL: "_other" for each. */
static char *label_text(const struct tl_metric *metric, const struct tl_str *values,
                        const struct tl_label *labels, size_t n, bool other)
{
    struct tl_buf out;
    tl_buf_init(&out, KEY_BYTES_MAX);
    for (size_t i = 0; i < n; i++) {
        struct tl_str value = other ? TL_STR_LIT("_other") : labels ? labels[i].value : values[i];
        if (value.n || !metric->def->sdk) { /* what a number of the SDK's does not have */
            tl_metrics_put_label(&out, out.n == 0, label_name(metric->def, labels, i), value);
        }
    }
    char *text = tl_mem_dup(tl_buf_str(&out));
    tl_buf_deinit(&out);
    return text;
}

/* The series whose key could not be found without the mutex: somebody else's by now, a new one, or the
 * one that stands for all others. */
static struct tl_series *make(struct tl_metric *metric, struct tl_str key,
                              const struct tl_str *values, const struct tl_label *labels, size_t n)
{
    bool other = false;
    pthread_mutex_lock(&metric->registry->mutex);
    struct tl_series *s = find(metric, key, hash_of(key));
    if (!s && (metric->series_count >= TL_METRIC_SERIES_MAX || key.n > KEY_BYTES_MAX)) {
        other = true;
        key = TL_STR_LIT("_other");
        s = find(metric, key, hash_of(key));
    }
    if (!s) {
        s = add_series(metric, key, hash_of(key), label_text(metric, values, labels, n, other));
    }
    pthread_mutex_unlock(&metric->registry->mutex);
    return s;
}

#define KEY_BYTES_USUAL 512

struct tl_series *tl_metric_get(struct tl_metric *metric, const struct tl_str *values)
{
    char usual[KEY_BYTES_USUAL];
    size_t n = 0, bytes = 0, used = 0;
    if (!metric) {
        return NULL;
    }
    for (; metric->def->labels[n]; n++) {
        bytes += sizeof(uint32_t) + values[n].n;
    }
    char *key = bytes <= sizeof usual ? usual : tl_mem_alloc(bytes);
    for (size_t i = 0; i < n; i++) {
        key_part(key, &used, values[i]);
    }
    struct tl_series *s = find(metric, tl_str_n(key, used), hash_of(tl_str_n(key, used)));
    s = s ? s : make(metric, tl_str_n(key, used), values, NULL, n);
    if (key != usual) {
        tl_mem_free(key);
    }
    return s;
}

/* By name; of equal names the last of the caller's stays. Returns how many are left. */
static size_t sort_labels(struct tl_label *labels, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        struct tl_label l = labels[i];
        size_t at = kept;
        while (at > 0 && tl_str_cmp(labels[at - 1].name, l.name) > 0) {
            at--;
        }
        if (at > 0 && tl_str_eq(labels[at - 1].name, l.name)) {
            labels[at - 1] = l;
            continue;
        }
        memmove(&labels[at + 1], &labels[at], (kept - at) * sizeof *labels);
        labels[at] = l;
        kept++;
    }
    return kept;
}

struct tl_series *tl_metric_labelled(struct tl_metric *metric, struct tl_label *labels, size_t n)
{
    char usual[KEY_BYTES_USUAL];
    size_t bytes = 0, used = 0;
    if (!metric || n > TL_METRIC_CUSTOM_LABELS_MAX) {
        return NULL;
    }
    TL_ASSERT(metric->custom);
    n = sort_labels(labels, n);
    for (size_t i = 0; i < n; i++) {
        bytes += 2 * sizeof(uint32_t) + labels[i].name.n + labels[i].value.n;
    }
    char *key = bytes <= sizeof usual ? usual : tl_mem_alloc(bytes);
    for (size_t i = 0; i < n; i++) {
        key_part(key, &used, labels[i].name);
        key_part(key, &used, labels[i].value);
    }
    struct tl_series *s = find(metric, tl_str_n(key, used), hash_of(tl_str_n(key, used)));
    s = s ? s : make(metric, tl_str_n(key, used), NULL, labels, n);
    if (key != usual) {
        tl_mem_free(key);
    }
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

static int64_t bits_of(double value)
{
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double real_of(int64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void tl_series_set_real(struct tl_series *s, double value)
{
    tl_series_set(s, bits_of(value));
}

void tl_series_observe(struct tl_series *s, int64_t value)
{
    if (!s) {
        return;
    }
    size_t i = 0;
    while (i < s->metric->bound_count && value > s->metric->bounds[i]) {
        i++;
    }
    atomic_fetch_add_explicit(&s->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->value, value, memory_order_relaxed);
}

void tl_series_observe_real(struct tl_series *s, double value)
{
    if (!s) {
        return;
    }
    size_t i = 0;
    while (i < s->metric->bound_count && !(value <= s->metric->real_bounds[i])) {
        i++;
    }
    atomic_fetch_add_explicit(&s->buckets[i], 1, memory_order_relaxed);
    int_least64_t before = atomic_load_explicit(&s->value, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&s->value, &before,
                                                  bits_of(real_of(before) + value),
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

int64_t tl_series_value(const struct tl_series *s)
{
    int64_t n = 0;
    if (!s) {
        return 0;
    }
    if (s->metric->def->kind != TL_METRIC_HISTOGRAM) {
        int64_t value = atomic_load_explicit(&s->value, memory_order_relaxed);
        return s->metric->def->real ? (int64_t)real_of(value) : value;
    }
    for (size_t i = 0; i <= s->metric->bound_count; i++) {
        n += (int64_t)atomic_load_explicit(&s->buckets[i], memory_order_relaxed);
    }
    return n;
}
