/* Metrics: counters, gauges and histograms with labels, written as Prometheus text.
 *
 *   struct tl_metrics *m = tl_metrics_new(NULL);
 *   struct tl_metric *requests = tl_metric_new(m, &requests_def);         // once
 *   struct tl_series *s = tl_metric_get(requests, (struct tl_str[]){op});  // per use, or kept
 *   tl_series_add(s, 1);                                                   // one relaxed atomic add
 *
 * Finding a series that exists takes no lock, nor does changing it. Labels are bounded: past
 * TL_METRIC_SERIES_MAX series of one metric, further label values share a series whose values are
 * "_other", so that names from outside cannot fill the memory; so are the metrics that programs make.
 * Every function of a series takes NULL and does nothing, and so does tl_metric_get of a NULL metric
 * and tl_metric_new of a NULL registry: who measures need not ask whether anybody listens.
 * Ownership: the registry owns metrics and series; they live until it is freed.
 * Thread: any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/list.h"
#include "base/str.h"

#define TL_METRIC_LABELS_MAX 6
#define TL_METRIC_BOUNDS_MAX 24
#define TL_METRIC_SERIES_MAX 1000
#define TL_METRIC_CUSTOM_MAX 1000      /* metrics that programs make */
#define TL_METRIC_CUSTOM_LABELS_MAX 32 /* labels of one of their series */

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
    bool duration; /* HISTOGRAM: nanoseconds, written as the registry's options say */
    bool real;     /* GAUGE, HISTOGRAM: values are floats (tl_series_..._real); default bounds */
    bool sdk;      /* its name gets the registry's prefix; labels without a value are left out */
    const char *unit_name; /* HISTOGRAM: "bytes", for unit_suffix; NULL: none */
};

/* Upper bounds in nanoseconds for latencies: 1 ms to 60 s. */
#define TL_METRIC_LATENCY_BOUNDS 15
extern const int64_t tl_metric_latency_bounds[TL_METRIC_LATENCY_BOUNDS];

struct tl_metrics;
struct tl_metric;
struct tl_series;

struct tl_label {
    struct tl_str name, value;
};

/* Bounds for the histograms whose names contain a text; durations in the unit that is written. */
struct tl_metric_bounds {
    const char *name;
    const double *bounds; /* ascending */
    size_t count;         /* 1 .. TL_METRIC_BOUNDS_MAX */
};

/* How a registry writes. All of it is copied. */
struct tl_metrics_options {
    const char *prefix;            /* of the names of SDK metrics; NULL: none */
    bool total_suffix;             /* counters end in _total */
    bool unit_suffix;              /* histograms end in their unit */
    bool seconds;                  /* durations are seconds, not milliseconds */
    const struct tl_label *labels; /* of every series */
    size_t label_count;
    const struct tl_metric_bounds *bounds; /* the first that fits counts */
    size_t bounds_count;
};

/* Counted: each retain is undone by a free, the last of which frees. Thread: any. */
struct tl_metrics *tl_metrics_new(const struct tl_metrics_options *o); /* NULL: nothing special */
struct tl_metrics *tl_metrics_retain(struct tl_metrics *m);            /* NULL is fine */
void tl_metrics_free(struct tl_metrics *m);                            /* likewise */

/* Adds a metric, or finds the one with this name (its definition must be the same). */
struct tl_metric *tl_metric_new(struct tl_metrics *m, const struct tl_metric_def *def);
/* The series with these label values, one for each name of the definition; values may be NULL when
 * there are none. */
struct tl_series *tl_metric_get(struct tl_metric *metric, const struct tl_str *values);

/* A metric that a program makes: the definition is copied, and each series names its labels. Finds the
 * one with this name. NULL for a NULL registry. Errors: TL_EINVAL (no name for Prometheus, or one of the
 * SDK), TL_EEXISTS (it is of another kind), TL_ELIMIT (TL_METRIC_CUSTOM_MAX); *out is NULL then. */
tl_rc tl_metric_custom(struct tl_metric **out, struct tl_metrics *m,
                       const struct tl_metric_def *def, struct tl_error *err) TL_MUST_USE;
/* Whether a metric or label may have this name; "-" and "." count as "_". */
bool tl_metric_name_ok(struct tl_str name);
/* The series with these labels; of labels with the same name the last counts. The array is sorted.
 * NULL for a NULL metric, and for more than TL_METRIC_CUSTOM_LABELS_MAX labels. */
struct tl_series *tl_metric_labelled(struct tl_metric *metric, struct tl_label *labels, size_t n);

void tl_series_add(struct tl_series *s, int64_t n);         /* counters and gauges */
void tl_series_set(struct tl_series *s, int64_t value);     /* gauges */
void tl_series_observe(struct tl_series *s, int64_t value); /* histograms */
void tl_series_set_real(struct tl_series *s, double value);
void tl_series_observe_real(struct tl_series *s, double value);
/* Value of a counter or gauge, number of observations of a histogram; for tests. */
int64_t tl_series_value(const struct tl_series *s);

/* Who knows values that are looked up only when they are wanted: `collect` stores them before each writing.
 * It may not write, nor change the sources. Off: it does not run any more on return. Thread: any. */
struct tl_metrics_source {
    struct tl_list link;
    void (*collect)(struct tl_metrics_source *s);
};
void tl_metrics_source_on(struct tl_metrics *m, struct tl_metrics_source *s);
void tl_metrics_source_off(struct tl_metrics *m, struct tl_metrics_source *s);

/* Appends all metrics in order of their making, in the text format 0.0.4 of Prometheus. False when
 * the buffer's ceiling was met. */
bool tl_metrics_write(struct tl_metrics *m, struct tl_buf *out);
