/* Private to base/metrics*.c: what a registry is made of. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/metrics.h"

#define TL_SERIES_BUCKETS 64

/* Lives as long as its registry: who found it may keep it. */
struct tl_series {
    struct tl_metric *metric;
    struct tl_series *next; /* of the same hash bucket; set before it is seen */
    struct tl_list link;    /* guarded by the registry's mutex */
    uint64_t hash;
    struct tl_str key;               /* what tells it from others; owned */
    char *labels;                    /* operation="Poll",task="x"; "" without labels */
    atomic_int_least64_t value;      /* HISTOGRAM: sum. Of a real metric: the bits of a double */
    atomic_uint_least64_t buckets[]; /* bound_count + 1 */
};

struct tl_metric {
    const struct tl_metric_def *def;
    struct tl_metric_def own; /* a custom metric's definition; its texts are owned */
    bool custom;
    char *name;      /* as it is written */
    int64_t unit;    /* a value divided by this is written */
    int64_t *bounds; /* HISTOGRAM, not real */
    double *real_bounds;
    size_t bound_count;
    struct tl_list link;
    struct tl_metrics *registry;
    struct tl_series *_Atomic found[TL_SERIES_BUCKETS]; /* by hash; read without the mutex */
    struct tl_list series;                              /* guarded by the registry's mutex */
    size_t series_count;                                /* likewise */
};

struct tl_metrics {
    atomic_int holds;
    pthread_mutex_t mutex;
    struct tl_list metrics;        /* guarded */
    pthread_mutex_t sources_mutex; /* taken before `mutex`; held while sources collect */
    struct tl_list sources;        /* guarded by it */
    size_t custom_count;           /* guarded */
    char *prefix, *labels;         /* "" for none; labels are written behind those of a series */
    bool total_suffix, unit_suffix, seconds;
    struct tl_metric_bounds *bounds; /* owned with what they point to */
    size_t bounds_count;
};

/* metrics_text.c: name="value" with what Prometheus wants escaped. */
void tl_metrics_put_label(struct tl_buf *out, bool first, struct tl_str name, struct tl_str value);
