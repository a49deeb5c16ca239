/* Goal: base keeps its promises: ceilings hold, order is insertion order, ties fire in creation
 * order, durations parse as documented, errors keep their cause. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/duration.h"
#include "base/error.h"
#include "base/heap.h"
#include "base/inbox.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/near.h"
#include "base/rng.h"
#include "base/world.h"

static void arena_is_zeroed_aligned_and_limited(void **state)
{
    (void)state;
    struct tl_arena a;
    tl_arena_init(&a, 64 * 1024);
    size_t got = 0;
    for (;;) {
        unsigned char *p = tl_arena_alloc(&a, 100);
        if (!p) {
            break;
        }
        assert_int_equal((uintptr_t)p % 16, 0);
        for (int i = 0; i < 100; i++) {
            assert_int_equal(p[i], 0);
        }
        memset(p, 0xAA, 100);
        got += 100;
    }
    assert_true(got > 32 * 1024 && got <= 64 * 1024);
    assert_true(a.bytes <= 64 * 1024 + 256);
    tl_arena_reset(&a);
    unsigned char *again = tl_arena_alloc(&a, 200);
    assert_int_equal(again[0] | again[199], 0);
    assert_null(tl_arena_alloc(&a, 1024 * 1024));
    assert_null(tl_arena_alloc(&a, SIZE_MAX));
    for (size_t round = 0; round < 40;
         round++) { /* a chunk used in part, then whole, then beyond */
        for (size_t n = 0; n <= round; n++) {
            unsigned char *p = tl_arena_alloc(&a, 48);
            for (int i = 0; i < 48; i++) {
                assert_int_equal(p[i], 0);
                p[i] = 0xFF;
            }
        }
        tl_arena_reset(&a);
    }
    tl_arena_deinit(&a);
}

static void arena_survives_a_failing_malloc(void **state)
{
    (void)state;
    struct tl_arena a;
    tl_arena_init(&a, TL_ARENA_UNLIMITED);
    tl_mem_fail_after(1);
    assert_null(tl_arena_alloc(&a, 10));
    assert_non_null(tl_arena_alloc(&a, 10));
    assert_string_equal(tl_arena_printf(&a, "%d-%s", 7, "x"), "7-x");
    tl_arena_deinit(&a);
}

static void buffer_stops_at_its_ceiling(void **state)
{
    (void)state;
    struct tl_buf b;
    tl_buf_init(&b, 10);
    assert_true(tl_buf_puts(&b, "12345"));
    assert_false(tl_buf_puts(&b, "678901"));
    assert_true(tl_buf_failed(&b));
    assert_false(tl_buf_putc(&b, 'x'));
    assert_true(tl_str_eqc(tl_buf_str(&b), "12345"));
    tl_buf_clear(&b);
    assert_true(tl_buf_put_varint(&b, 300));
    assert_memory_equal(b.p, "\xac\x02", 2);
    tl_buf_deinit(&b);
}

static void map_iterates_in_insertion_order(void **state)
{
    (void)state;
    struct tl_map m;
    tl_map_init(&m);
    char key[16];
    static int values[1000];
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k%d", i * 7919 % 1000);
        values[i] = i * 7919 % 1000;
        assert_null(tl_map_put(&m, tl_str(key), &values[i]));
    }
    int at = 0;
    TL_MAP_EACH (e, &m) {
        assert_ptr_equal(e->value, &values[at]);
        at++;
        if (at % 2) {
            assert_ptr_equal(tl_map_del(&m, tl_map_key(e)), &values[at - 1]);
        }
    }
    assert_int_equal(m.count, 500);
    assert_null(tl_map_get(&m, TL_STR_LIT("k0")));
    assert_non_null(tl_map_get(&m, TL_STR_LIT("k919")));
    tl_map_deinit(&m);
    assert_null(tl_map_put_num(&m, 0, values));
    assert_ptr_equal(tl_map_get_num(&m, 0), values);
    assert_null(tl_map_get_num(&m, UINT64_MAX));
    tl_map_deinit(&m);
}

static void heap_breaks_ties_by_creation(void **state)
{
    (void)state;
    struct tl_heap h;
    struct tl_heap_node nodes[200] = {0};
    struct tl_rng rng;
    tl_heap_init(&h);
    tl_rng_seed(&rng, 1);
    for (int i = 0; i < 200; i++) {
        tl_heap_insert(&h, &nodes[i], (int64_t)tl_rng_below(&rng, 10));
    }
    for (int i = 0; i < 200; i += 3) {
        tl_heap_remove(&h, &nodes[i]);
        tl_heap_remove(&h, &nodes[i]);
    }
    int64_t last = -1;
    struct tl_heap_node *previous = NULL;
    size_t left = h.count;
    while (tl_heap_peek(&h)) {
        struct tl_heap_node *n = tl_heap_peek(&h);
        assert_true(n->deadline_ns >= last);
        assert_true(n->deadline_ns != last || n > previous);
        last = n->deadline_ns;
        previous = n;
        tl_heap_remove(&h, n);
        left--;
    }
    assert_int_equal(left, 0);
    tl_heap_deinit(&h);
}

static void durations_parse_and_print(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {{"90s", 90 * TL_NS_PER_S},
                {"5m", 300 * TL_NS_PER_S},
                {"1h30m", 5400 * TL_NS_PER_S},
                {"7d", 604800 * TL_NS_PER_S},
                {"1.5s", 1500000000},
                {"250ms", 250000000},
                {"3", 3 * TL_NS_PER_S},
                {"0.25", 250000000},
                {"0s", 0},
                {"1us", 1000},
                {"1m0.5s", 60500000000}};
    static const char *const bad[] = {"15101912594050682424",
                                      "1h15101912594050682424s",
                                      "",
                                      "s",
                                      "-5s",
                                      "5x",
                                      "1h 30m",
                                      "1..5s",
                                      "40000d",
                                      "5s3",
                                      "ms5"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t ns = -1;
        assert_int_equal(tl_duration_parse(tl_str(good[i].text), &ns, NULL), TL_OK);
        assert_int_equal(ns, good[i].ns);
        char text[64];
        int64_t back;
        tl_duration_format(ns, text, sizeof text);
        assert_int_equal(tl_duration_parse(tl_str(text), &back, NULL), TL_OK);
        assert_int_equal(back, ns);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t ns;
        struct tl_error err;
        assert_int_equal(tl_duration_parse(tl_str(bad[i]), &ns, &err), TL_EINVAL);
        assert_non_null(strstr(err.message, bad[i]));
    }
}

static void errors_wrap_and_map(void **state)
{
    (void)state;
    struct tl_error err;
    assert_int_equal(tl_error_set(&err, TL_ENOTFOUND, "run '%s'", "r"), TL_ENOTFOUND);
    assert_int_equal(tl_error_wrap(&err, TL_ENOTFOUND, "describe"), TL_ENOTFOUND);
    assert_string_equal(err.message, "describe: run 'r'");
    assert_int_equal(tl_rc_grpc_status(TL_ENOTFOUND), 5);
    assert_int_equal(tl_rc_from_grpc_status(5), TL_ENOTFOUND);
    assert_string_equal(tl_rc_name(TL_EDEADLOCK), "EDEADLOCK");
    char longer[900];
    memset(longer, 'a', sizeof longer);
    longer[502] = '\xc3'; /* would be cut inside this character */
    longer[503] = '\xa9';
    longer[899] = 0;
    tl_error_set(&err, TL_EINVAL, "%s", longer);
    assert_int_equal(strlen(err.message), 502);
}

struct receivers {
    struct tl_inbox inbox;
    atomic_int taken;
};

static void *receive(void *ud)
{
    struct receivers *r = ud;
    unsigned times = 0;
    while (!tl_inbox_closed(&r->inbox)) {
        /* Now and then one that gives up at about the time at which it is chosen. */
        int64_t soon = tl_world_mono_ns(tl_world_real()) + 20000;
        struct tl_msg *m = tl_inbox_take_one(&r->inbox, ++times % 2 ? soon : INT64_MAX);
        if (m) {
            free(m);
            atomic_fetch_add(&r->taken, 1);
        }
    }
    return NULL;
}

/* Every message finds a receiver, also those that are sent while all of them fall asleep or wake. */
static void no_message_is_slept_over(void **state)
{
    (void)state;
    enum { RECEIVERS = 4, ROUNDS = 3000 };
    struct receivers r = {0};
    pthread_t threads[RECEIVERS];
    int sent = 0;
    tl_inbox_init(&r.inbox, 1000);
    for (int i = 0; i < RECEIVERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, receive, &r), 0);
    }
    for (int i = 0; i < ROUNDS; i++) {
        for (int n = i % (RECEIVERS + 2); n >= 0; n--, sent++) {
            assert_true(tl_inbox_send_always(&r.inbox, calloc(1, sizeof(struct tl_msg))));
        }
        for (int wait = 0; atomic_load(&r.taken) < sent; wait++) {
            assert_true(wait < 600000); /* a minute: it lies there and all sleep */
            if (i % 3 && wait < 1000) {
                sched_yield();
            } else {
                usleep(100);
            }
        }
    }
    tl_inbox_close(&r.inbox);
    for (int i = 0; i < RECEIVERS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(atomic_load(&r.taken), sent);
    tl_inbox_deinit(&r.inbox);
}

/* A receiver whose time is over is no longer woken: the message is the next one's. */
static void waits_end_at_their_deadline(void **state)
{
    (void)state;
    struct tl_inbox b;
    struct tl_msg m;
    tl_inbox_init(&b, 2);
    int64_t now = tl_world_mono_ns(tl_world_real());
    assert_null(tl_inbox_take_one(&b, now + 2 * TL_NS_PER_MS));
    assert_true(tl_world_mono_ns(tl_world_real()) >= now + 2 * TL_NS_PER_MS);
    assert_true(tl_inbox_send(&b, &m));
    assert_ptr_equal(tl_inbox_take_one(&b, INT64_MAX), &m);
    tl_inbox_deinit(&b);
}

static void inbox_is_bounded_and_fifo(void **state)
{
    (void)state;
    struct tl_inbox b;
    struct tl_msg m[4];
    tl_inbox_init(&b, 2);
    assert_true(tl_inbox_send(&b, &m[0]));
    assert_true(tl_inbox_send(&b, &m[1]));
    assert_false(tl_inbox_send(&b, &m[2]));
    assert_true(tl_inbox_send_always(&b, &m[3]));
    assert_ptr_equal(tl_inbox_take_one(&b, 0), &m[0]);
    struct tl_msg *chain = tl_inbox_take_all(&b, 0);
    assert_ptr_equal(chain, &m[1]);
    assert_ptr_equal(chain->next, &m[3]);
    assert_null(tl_inbox_take_all(&b, 0));
    tl_inbox_close(&b);
    assert_false(tl_inbox_send_always(&b, &m[0]));
    assert_null(tl_inbox_take_all(&b, INT64_MAX));
    tl_inbox_deinit(&b);
}

static char last_line[512];

static void keep_line(void *ud, enum tl_log_level level, struct tl_str line)
{
    (void)ud;
    (void)level;
    snprintf(last_line, sizeof last_line, "%.*s", TL_STR_FMT(line));
}

static void log_lines_quote_what_needs_it(void **state)
{
    (void)state;
    tl_log_sink(keep_line, NULL);
    TL_LOG(TL_LOG_WARN, "wft.failed", TL_C("why", "a \"b\"\n"), TL_I("attempt", 3));
    assert_non_null(strstr(last_line, "warn  wft.failed why=\"a \\\"b\\\"\\n\" attempt=3"));
    tl_log_json(true);
    TL_LOG(TL_LOG_WARN, "wft.failed", TL_C("why", "x"));
    assert_non_null(strstr(last_line, "\"event\":\"wft.failed\",\"why\":\"x\"}"));
    tl_log_json(false);
    last_line[0] = 0;
    TL_LOG(TL_LOG_DEBUG, "not.shown");
    assert_int_equal(last_line[0], 0);
    tl_log_sink(NULL, NULL);
}

static void rng_and_uuid_are_seeded_by_the_world(void **state)
{
    (void)state;
    struct tl_rng a, b;
    tl_rng_seed(&a, 42);
    tl_rng_seed(&b, 42);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(tl_rng_next(&a), tl_rng_next(&b));
        assert_true(tl_rng_below(&a, 7) < 7);
        tl_rng_below(&b, 7);
        double u = tl_rng_unit(&a);
        assert_true(u >= 0 && u < 1);
        tl_rng_unit(&b);
    }
    char id[37], other[37];
    tl_uuid4(tl_world_real(), id);
    tl_uuid4(tl_world_real(), other);
    assert_int_equal(strlen(id), 36);
    assert_int_equal(id[14], '4');
    assert_string_not_equal(id, other);
}

static void near_names_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool fold_case;
        size_t edits;
    } rows[] = {{"", "", false, 0},
                {"task_queu", "task_queue", false, 1},
                {"workflow-idd", "workflow-id", false, 1},
                {"kitten", "sitting", false, 3},
                {"", "abc", false, 3},
                {"ABC", "abc", false, 3},
                {"workflowTYPE", "WorkflowType", true, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tl_str a = tl_str(rows[i].a), b = tl_str(rows[i].b);
        assert_int_equal(tl_edit_distance(a, b, rows[i].fold_case), rows[i].edits);
        assert_int_equal(tl_edit_distance(b, a, rows[i].fold_case), rows[i].edits);
    }
    char longer[62];
    memset(longer, 'x', sizeof longer);
    assert_int_equal(tl_edit_distance(tl_str_n(longer, 60), tl_str("x"), false), 59);
    assert_int_equal(tl_edit_distance(tl_str_n(longer, 61), tl_str("x"), false), SIZE_MAX);
    struct tl_near near = {.wanted = tl_str("slep"), .too_many = 2};
    tl_near_look(&near, tl_str("slip_away"));
    assert_null(near.best.p);
    tl_near_look(&near, tl_str("sleep"));
    tl_near_look(&near, tl_str("slap")); /* as near, but later */
    assert_string_equal(near.best.p, "sleep");
    tl_near_look(&near, tl_str("slep"));
    assert_string_equal(near.best.p, "slep");
}

static void limits_are_listed(void **state)
{
    (void)state;
    size_t n = 0;
    for (const struct tl_limit_row *r = tl_limit_rows(); r->name; r++) {
        assert_true(r->min <= r->def && r->def <= r->max);
        n++;
    }
    assert_true(n > 20);
    assert_true(tl_limit_history_count_suggest < tl_limit_history_count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_is_zeroed_aligned_and_limited),
        cmocka_unit_test(arena_survives_a_failing_malloc),
        cmocka_unit_test(buffer_stops_at_its_ceiling),
        cmocka_unit_test(map_iterates_in_insertion_order),
        cmocka_unit_test(heap_breaks_ties_by_creation),
        cmocka_unit_test(durations_parse_and_print),
        cmocka_unit_test(errors_wrap_and_map),
        cmocka_unit_test(inbox_is_bounded_and_fifo),
        cmocka_unit_test(no_message_is_slept_over),
        cmocka_unit_test(waits_end_at_their_deadline),
        cmocka_unit_test(log_lines_quote_what_needs_it),
        cmocka_unit_test(rng_and_uuid_are_seeded_by_the_world),
        cmocka_unit_test(near_names_are_told),
        cmocka_unit_test(limits_are_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
