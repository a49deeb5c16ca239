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
    struct tl_metrics *m = tl_metrics_new();
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
    for (int i = 0; i < ADDS; i++) {
        tl_series_add(counter, 1);
        tl_series_observe(seconds, i);
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct tl_metrics *m = tl_metrics_new();
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
    tl_metrics_free(m);
}

static void test_bounded(void **state)
{
    struct tl_metrics *m = tl_metrics_new();
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
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
