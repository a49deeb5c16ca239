/* Metrics: counters, gauges and histograms with labels, written as Prometheus text.
 *
 *   struct tl_metrics *m = tl_metrics_new();
 *   struct tl_metric *requests = tl_metric_new(m, &requests_def);         // once
 *   struct tl_series *s = tl_metric_get(requests, (struct tl_str[]){op});  // once per label values
 *   tl_series_add(s, 1);                                                   // hot: one relaxed atomic add
 *
 * A series is looked up once and kept by its user; changing it takes no lock. Labels are bounded: past
 * TL_METRIC_SERIES_MAX series of one metric, further label values share a series whose values are
 * "_other", so that names from outside cannot fill the memory.
 * Every function of a series takes NULL and does nothing, and so does tl_metric_get of a NULL metric
 * and tl_metric_new of a NULL registry: who measures need not ask whether anybody listens.
 * Ownership: the registry owns metrics and series; they live until it is freed.
 * Thread: any for series and writing; tl_metrics_new and free: the owner. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define TL_METRIC_LABELS_MAX 6
#define TL_METRIC_BOUNDS_MAX 24
#define TL_METRIC_SERIES_MAX 1000

enum tl_metric_kind { TL_METRIC_COUNTER, TL_METRIC_GAUGE, TL_METRIC_HISTOGRAM };

/* What a metric is. Borrowed by the registry: a constant. */
struct tl_metric_def {
    const char *name; /* "service_requests" */
    const char *help; /* one line */
    enum tl_metric_kind kind;
    const char *labels[TL_METRIC_LABELS_MAX + 1]; /* names, NULL behind the last */
    const int64_t *bounds;                        /* HISTOGRAM: upper bounds, ascending */
    size_t bound_count;
    int64_t
        unit; /* a value divided by this is written; 0 is 1. 1000000000: nanoseconds to seconds */
};

/* Upper bounds in nanoseconds for latencies: 1 ms to 60 s. */
#define TL_METRIC_LATENCY_BOUNDS 15
extern const int64_t tl_metric_latency_bounds[TL_METRIC_LATENCY_BOUNDS];

struct tl_metrics;
struct tl_metric;
struct tl_series;

struct tl_metrics *tl_metrics_new(void);
void tl_metrics_free(struct tl_metrics *m); /* NULL is fine */

/* Adds a metric, or finds the one with this name (its definition must be the same). */
struct tl_metric *tl_metric_new(struct tl_metrics *m, const struct tl_metric_def *def);
/* The series with these label values, one for each name of the definition; values may be NULL when
 * there are none. Takes the metric's lock: keep what it returns. */
struct tl_series *tl_metric_get(struct tl_metric *metric, const struct tl_str *values);

void tl_series_add(struct tl_series *s, int64_t n);         /* counters and gauges */
void tl_series_set(struct tl_series *s, int64_t value);     /* gauges */
void tl_series_observe(struct tl_series *s, int64_t value); /* histograms */
/* Value of a counter or gauge, number of observations of a histogram; for tests. */
int64_t tl_series_value(const struct tl_series *s);

/* Appends all metrics in order of their making, in the text format 0.0.4 of Prometheus. False when
 * the buffer's ceiling was met. */
bool tl_metrics_write(struct tl_metrics *m, struct tl_buf *out);
