/* Goal: metrics are counted exactly from many threads, written as Prometheus reads them, and bounded.
 * Method: the registry by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>

#include "base/metrics.h"

#define THREADS 4
#define ADDS 20000

static const int64_t bounds[] = {1000000, 2500000};
static const struct tl_metric_def plain = {
    .name = "plain", .help = "No labels", .kind = TL_METRIC_GAUGE};
static const struct tl_metric_def labelled = {
    .name = "labelled", .help = "Two labels", .kind = TL_METRIC_COUNTER, .labels = {"one", "two"}};
static const struct tl_metric_def histogram = {.name = "seconds",
                                               .help = "A histogram",
                                               .kind = TL_METRIC_HISTOGRAM,
                                               .labels = {"op"},
                                               .bounds = bounds,
                                               .bound_count = 2,
                                               .unit = 1000000000};

static void assert_text(struct tl_metrics *m, const char *want)
{
    struct tl_buf out;
    tl_buf_init(&out, 1 << 20);
    assert_true(tl_metrics_write(m, &out));
    assert_string_equal(out.p, want);
    tl_buf_deinit(&out);
}

static void test_text(void **state)
{
    struct tl_metrics *m = tl_metrics_new(NULL);
    (void)state;
    struct tl_metric *counter = tl_metric_new(m, &labelled);
    struct tl_metric *seconds = tl_metric_new(m, &histogram);
    assert_ptr_equal(counter, tl_metric_new(m, &labelled));
    tl_series_set(tl_metric_get(tl_metric_new(m, &plain), NULL), -3);
    struct tl_str values[] = {TL_STR_LIT("a\"b\\c\nd"), TL_STR_LIT("")};
    tl_series_add(tl_metric_get(counter, values), 2);
    tl_series_add(tl_metric_get(counter, values), 3);
    struct tl_str op = TL_STR_LIT("x");
    struct tl_series *s = tl_metric_get(seconds, &op);
    tl_series_observe(s, 1000000); /* a bound belongs to its bucket */
    tl_series_observe(s, 1000001);
    tl_series_observe(s, INT64_C(3000000000));
    assert_int_equal(tl_series_value(s), 3);
    assert_text(m, "# HELP labelled Two labels\n# TYPE labelled counter\n"
                   "labelled{one=\"a\\\"b\\\\c\\nd\",two=\"\"} 5\n"
                   "# HELP seconds A histogram\n# TYPE seconds histogram\n"
                   "seconds_bucket{op=\"x\",le=\"0.001\"} 1\n"
                   "seconds_bucket{op=\"x\",le=\"0.0025\"} 2\n"
                   "seconds_bucket{op=\"x\",le=\"+Inf\"} 3\n"
                   "seconds_sum{op=\"x\"} 3.002000001\n"
                   "seconds_count{op=\"x\"} 3\n"
                   "# HELP plain No labels\n# TYPE plain gauge\n"
                   "plain -3\n");
    tl_metrics_free(m);
}

static void *add(void *ud)
{
    struct tl_metric **metrics = ud;
    struct tl_str values[] = {TL_STR_LIT("a"), TL_STR_LIT("b")}, op = TL_STR_LIT("x");
    struct tl_series *counter = tl_metric_get(metrics[0], values);
    struct tl_series *seconds = tl_metric_get(metrics[1], &op);
    char name[32];
    for (int i = 0; i < ADDS; i++) {
        tl_series_add(counter, 1);
        tl_series_observe(seconds, i);
        if (i % 100 == 0) { /* found or made, among threads that make the same */
            struct tl_str more[] = {TL_STR_LIT("more"), {name, 0}};
            more[1].n = (size_t)snprintf(name, sizeof name, "%d", i);
            tl_series_add(tl_metric_get(metrics[0], more), 1);
        }
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct tl_metrics *m = tl_metrics_new(NULL);
    struct tl_metric *metrics[] = {tl_metric_new(m, &labelled), tl_metric_new(m, &histogram)};
    struct tl_str values[] = {TL_STR_LIT("a"), TL_STR_LIT("b")}, op = TL_STR_LIT("x");
    pthread_t threads[THREADS];
    (void)state;
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, add, metrics), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(tl_series_value(tl_metric_get(metrics[0], values)), THREADS * ADDS);
    assert_int_equal(tl_series_value(tl_metric_get(metrics[1], &op)), THREADS * ADDS);
    struct tl_str more[] = {TL_STR_LIT("more"), TL_STR_LIT("100")};
    assert_int_equal(tl_series_value(tl_metric_get(metrics[0], more)), THREADS);
    tl_metrics_free(m);
}

static void test_bounded(void **state)
{
    struct tl_metrics *m = tl_metrics_new(NULL);
    struct tl_metric *metric = tl_metric_new(m, &labelled);
    struct tl_series *last = NULL;
    char name[32];
    (void)state;
    for (int i = 0; i < TL_METRIC_SERIES_MAX + 10; i++) {
        snprintf(name, sizeof name, "n%d", i);
        struct tl_str values[] = {tl_str(name), TL_STR_LIT("x")};
        last = tl_metric_get(metric, values);
        tl_series_add(last, 1);
    }
    assert_int_equal(tl_series_value(last), 10);
    struct tl_buf out;
    tl_buf_init(&out, 1 << 20);
    assert_true(tl_metrics_write(m, &out));
    assert_non_null(strstr(out.p, "labelled{one=\"_other\",two=\"_other\"} 10\n"));
    tl_buf_deinit(&out);
    tl_buf_init(&out, 100);
    assert_false(tl_metrics_write(m, &out));
    tl_buf_deinit(&out);
    tl_metrics_free(m);
}

static const int64_t ms_bounds[] = {5000000, 250000000};
static const struct tl_metric_def sdk_time = {.name = "latency",
                                              .help = "A duration",
                                              .kind = TL_METRIC_HISTOGRAM,
                                              .sdk = true,
                                              .duration = true,
                                              .labels = {"op", "absent"},
                                              .bounds = ms_bounds,
                                              .bound_count = 2};
static const struct tl_metric_def sdk_counter = {
    .name = "done", .help = "Two\nlines", .kind = TL_METRIC_COUNTER, .sdk = true};

static void observe_sdk(struct tl_metrics *m)
{
    struct tl_str values[] = {TL_STR_LIT("x"), TL_STR_LIT("")};
    tl_series_observe(tl_metric_get(tl_metric_new(m, &sdk_time), values), 5500000);
    tl_series_add(tl_metric_get(tl_metric_new(m, &sdk_counter), NULL), 1);
}

static void test_options(void **state)
{
    static const double own[] = {0.0005, 0.25};
    const struct tl_label tag = {TL_STR_LIT("region"), TL_STR_LIT("e\"u")};
    const struct tl_metric_bounds shorter = {"aten", own, 2};
    const struct tl_metrics_options o = {.prefix = "p_",
                                         .total_suffix = true,
                                         .unit_suffix = true,
                                         .seconds = true,
                                         .labels = &tag,
                                         .label_count = 1,
                                         .bounds = &shorter,
                                         .bounds_count = 1};
    (void)state;
    struct tl_metrics *m = tl_metrics_new(&o);
    observe_sdk(m);
    assert_text(m, "# HELP p_latency_seconds A duration\n# TYPE p_latency_seconds histogram\n"
                   "p_latency_seconds_bucket{op=\"x\",region=\"e\\\"u\",le=\"0.0005\"} 0\n"
                   "p_latency_seconds_bucket{op=\"x\",region=\"e\\\"u\",le=\"0.25\"} 1\n"
                   "p_latency_seconds_bucket{op=\"x\",region=\"e\\\"u\",le=\"+Inf\"} 1\n"
                   "p_latency_seconds_sum{op=\"x\",region=\"e\\\"u\"} 0.0055\n"
                   "p_latency_seconds_count{op=\"x\",region=\"e\\\"u\"} 1\n"
                   "# HELP p_done_total Two\\nlines\n# TYPE p_done_total counter\n"
                   "p_done_total{region=\"e\\\"u\"} 1\n");
    tl_metrics_free(m);
    m = tl_metrics_new(NULL);
    observe_sdk(m);
    assert_text(m, "# HELP latency A duration\n# TYPE latency histogram\n"
                   "latency_bucket{op=\"x\",le=\"5\"} 0\nlatency_bucket{op=\"x\",le=\"250\"} 1\n"
                   "latency_bucket{op=\"x\",le=\"+Inf\"} 1\n"
                   "latency_sum{op=\"x\"} 5.5\nlatency_count{op=\"x\"} 1\n"
                   "# HELP done Two\\nlines\n# TYPE done counter\ndone 1\n");
    tl_metrics_free(m);
}

static void test_custom(void **state)
{
    struct tl_metrics *m = tl_metrics_new(NULL);
    struct tl_error err;
    struct tl_metric *gauge, *times, *other;
    const struct tl_metric_def gauge_def = {
        .name = "queue.depth", .help = "", .kind = TL_METRIC_GAUGE, .real = true};
    const struct tl_metric_def sizes_def = {
        .name = "sizes", .help = "Sizes", .kind = TL_METRIC_HISTOGRAM, .real = true};
    (void)state;
    (void)tl_metric_new(m, &sdk_counter);
    assert_int_equal(tl_metric_custom(&gauge, m, &gauge_def, &err), TL_OK);
    assert_int_equal(tl_metric_custom(&other, m, &gauge_def, &err), TL_OK);
    assert_ptr_equal(gauge, other);
    struct tl_label labels[] = {{TL_STR_LIT("b"), TL_STR_LIT("1")},
                                {TL_STR_LIT("a"), TL_STR_LIT("2")},
                                {TL_STR_LIT("b"), TL_STR_LIT("3")}};
    tl_series_set_real(tl_metric_labelled(gauge, labels, 3), -0.1);
    tl_series_set_real(tl_metric_labelled(gauge, NULL, 0), 1e300);
    assert_int_equal(tl_metric_custom(&times, m, &sizes_def, &err), TL_OK);
    tl_series_observe_real(tl_metric_labelled(times, NULL, 0), 50.0);
    tl_series_observe_real(tl_metric_labelled(times, NULL, 0), 50.5);
    assert_text(
        m, "# HELP queue_depth queue_depth\n# TYPE queue_depth gauge\n"
           "queue_depth{a=\"2\",b=\"3\"} -0.1\nqueue_depth 1e+300\n"
           "# HELP sizes Sizes\n# TYPE sizes histogram\n"
           "sizes_bucket{le=\"50\"} 1\nsizes_bucket{le=\"100\"} 2\nsizes_bucket{le=\"500\"} 2\n"
           "sizes_bucket{le=\"1000\"} 2\nsizes_bucket{le=\"2500\"} 2\n"
           "sizes_bucket{le=\"10000\"} 2\nsizes_bucket{le=\"+Inf\"} 2\n"
           "sizes_sum 100.5\nsizes_count 2\n");
    struct tl_metric_def wrong = gauge_def;
    wrong.real = false;
    assert_int_equal(tl_metric_custom(&other, m, &wrong, &err), TL_EEXISTS);
    assert_null(other);
    wrong.name = "done";
    assert_int_equal(tl_metric_custom(&other, m, &wrong, &err), TL_EINVAL);
    wrong.name = "1st";
    assert_int_equal(tl_metric_custom(&other, m, &wrong, &err), TL_EINVAL);
    assert_int_equal(tl_metric_custom(&other, NULL, &gauge_def, &err), TL_OK);
    assert_null(other);
    tl_metrics_free(m);
}

static void test_custom_bounded(void **state)
{
    struct tl_metrics *m = tl_metrics_new(NULL);
    struct tl_error err;
    struct tl_metric *metric = NULL;
    char name[32];
    (void)state;
    for (int i = 0; i <= TL_METRIC_CUSTOM_MAX; i++) {
        snprintf(name, sizeof name, "n%d", i);
        const struct tl_metric_def def = {.name = name, .help = "", .kind = TL_METRIC_COUNTER};
        assert_int_equal(tl_metric_custom(&metric, m, &def, &err),
                         i < TL_METRIC_CUSTOM_MAX ? TL_OK : TL_ELIMIT);
    }
    tl_metrics_free(m);
}

struct counted_source {
    struct tl_metrics_source base;
    struct tl_metrics *m;
    int collected;
};

/* It may make a series: writing must not hold the lock that this takes. */
static void collect(struct tl_metrics_source *s)
{
    struct counted_source *c = TL_CONTAINER(s, struct counted_source, base);
    tl_series_set(tl_metric_get(tl_metric_new(c->m, &plain), NULL), ++c->collected);
}

static void test_source(void **state)
{
    struct tl_metrics *m = tl_metrics_retain(tl_metrics_new(NULL));
    struct counted_source s = {.base.collect = collect, .m = m};
    (void)state;
    tl_metrics_free(m); /* one hold is left */
    tl_metrics_source_on(m, &s.base);
    assert_text(m, "# HELP plain No labels\n# TYPE plain gauge\nplain 1\n");
    assert_text(m, "# HELP plain No labels\n# TYPE plain gauge\nplain 2\n");
    tl_metrics_source_off(m, &s.base);
    assert_text(m, "# HELP plain No labels\n# TYPE plain gauge\nplain 2\n");
    tl_metrics_free(m);
}

static void test_absent(void **state)
{
    (void)state;
    struct tl_series *s = tl_metric_get(tl_metric_new(NULL, &plain), NULL);
    assert_null(s);
    tl_series_add(s, 1);
    tl_series_set(s, 1);
    tl_series_observe(s, 1);
    assert_int_equal(tl_series_value(s), 0);
    tl_metrics_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),    cmocka_unit_test(test_threads),
        cmocka_unit_test(test_bounded), cmocka_unit_test(test_options),
        cmocka_unit_test(test_custom),  cmocka_unit_test(test_custom_bounded),
        cmocka_unit_test(test_source),  cmocka_unit_test(test_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
