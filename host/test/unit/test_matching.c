/* Task queues: order, sync match, dead polls, put back, stickiness, poller records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/world.h"
#include "server/matching/matching.h"

struct my_poll {
    struct tl_match_poll base;
    bool dead;
};

static bool is_alive(void *ud, struct tl_match_poll *p)
{
    (void)ud;
    return !TL_CONTAINER(p, struct my_poll, base)->dead;
}

static const struct tl_match_key normal = {1, TL_QUEUE_WORKFLOW, false, {"orders", 6}, {NULL, 0}};
static const struct tl_match_key sticky = {1, TL_QUEUE_WORKFLOW, true, {"host-1", 6}, {NULL, 0}};
static const struct tl_match_key other = {2, TL_QUEUE_WORKFLOW, false, {"orders", 6}, {NULL, 0}};

static int setup(void **state)
{
    static struct tl_matcher m;
    tl_matcher_init(&m, is_alive, NULL, 10 * TL_NS_PER_S);
    *state = &m;
    return 0;
}

static int teardown(void **state)
{
    tl_matcher_deinit(*state);
    return 0;
}

static struct tl_match_task *poll(struct tl_matcher *m, const struct tl_match_key *k,
                                  struct my_poll *p)
{
    tl_match_poll_init(&p->base);
    p->dead = false;
    return tl_match_poll(m, k, &p->base, TL_STR_LIT("me"), 5 * TL_NS_PER_S);
}

static void test_fifo_backlog(void **state)
{
    struct tl_matcher *m = *state;
    static struct tl_match_task t[3];
    static struct my_poll p[4];
    for (int i = 0; i < 3; i++) {
        tl_match_task_init(&t[i], i);
        assert_null(tl_match_offer(m, &normal, &t[i], NULL, i));
    }
    assert_null(poll(m, &other, &p[3])); /* same name, another namespace */
    for (int i = 0; i < 3; i++) {
        assert_ptr_equal(poll(m, &normal, &p[i]), &t[i]);
        assert_false(tl_match_task_queued(&t[i]));
    }
    assert_int_equal(m->tasks_queued, 0);
    assert_int_equal(m->polls_parked, 1);
}

static void test_sync_match_skips_dead_polls(void **state)
{
    struct tl_matcher *m = *state;
    static struct tl_match_task t[2];
    static struct my_poll p[3];
    for (int i = 0; i < 3; i++) {
        assert_null(poll(m, &normal, &p[i]));
    }
    p[0].dead = true;
    tl_match_task_init(&t[0], 0);
    tl_match_task_init(&t[1], 0);
    assert_ptr_equal(tl_match_offer(m, &normal, &t[0], NULL, 1), &p[1].base);
    assert_ptr_equal(tl_match_offer(m, &normal, &t[1], NULL, 2), &p[2].base);
    struct tl_match_queue_info info;
    assert_true(tl_match_queue_info(m, &normal, 10, &info));
    assert_int_equal(info.polls, 1); /* the dead one, until its owner drops it */
    assert_int_equal(info.tasks_taken, 2);
    tl_match_poll_drop(m, &p[0].base);
    assert_int_equal(m->polls_parked, 0);
}

static void test_put_back_keeps_its_place(void **state)
{
    struct tl_matcher *m = *state;
    static struct tl_match_task t[4];
    static struct my_poll p[4];
    for (int i = 0; i < 4; i++) {
        tl_match_task_init(&t[i], i);
        assert_null(tl_match_offer(m, &normal, &t[i], NULL, i));
    }
    assert_ptr_equal(poll(m, &normal, &p[0]), &t[0]);
    assert_ptr_equal(poll(m, &normal, &p[1]), &t[1]);
    assert_null(tl_match_put_back(m, &normal, &t[1], NULL, 9));
    assert_null(tl_match_put_back(m, &normal, &t[0], NULL, 9));
    for (int i = 0; i < 4; i++) {
        assert_ptr_equal(poll(m, &normal, &p[i]), &t[i]);
    }
    assert_null(poll(m, &normal, &p[0]));
    assert_ptr_equal(tl_match_put_back(m, &normal, &t[2], NULL, 9), &p[0].base);
}

static void test_sticky_attended(void **state)
{
    struct tl_matcher *m = *state;
    static struct my_poll p;
    assert_false(tl_match_attended(m, &sticky, 0));
    assert_null(poll(m, &sticky, &p));                             /* at 5 s */
    assert_true(tl_match_attended(m, &sticky, 500 * TL_NS_PER_S)); /* parked */
    p.dead = true;
    assert_false(tl_match_attended(m, &sticky, 500 * TL_NS_PER_S));
    tl_match_poll_drop(m, &p.base);
    assert_true(tl_match_attended(m, &sticky, 14 * TL_NS_PER_S));
    assert_false(tl_match_attended(m, &sticky, 15 * TL_NS_PER_S));
}

static void count_poller(void *ud, struct tl_str identity, int64_t last)
{
    assert_true(tl_str_eqc(identity, "me"));
    assert_int_equal(last, 5 * TL_NS_PER_S);
    ++*(int *)ud;
}

static void drop_it(void *ud, struct tl_match_poll *p)
{
    tl_match_poll_drop(ud, p);
}

static void test_pollers_and_each(void **state)
{
    struct tl_matcher *m = *state;
    static struct my_poll p[3];
    int n = 0;
    for (int i = 0; i < 3; i++) {
        assert_null(poll(m, i == 2 ? &sticky : &normal, &p[i]));
    }
    assert_int_equal(tl_match_pollers(m, &normal, 6 * TL_NS_PER_S, count_poller, &n), 1);
    assert_int_equal(n, 1);
    assert_int_equal(tl_match_pollers(m, &normal, 400 * TL_NS_PER_S, NULL, NULL), 0);
    tl_match_each_poll(m, &normal, drop_it, m);
    assert_int_equal(m->polls_parked, 1);
    tl_match_each_poll(m, NULL, drop_it, m);
    assert_int_equal(m->polls_parked, 0);
}

static void test_idle_queues_are_forgotten(void **state)
{
    struct tl_matcher *m = *state;
    static struct tl_match_task kept;
    tl_match_task_init(&kept, 0);
    assert_null(tl_match_offer(m, &normal, &kept, NULL, 0));
    for (int i = 0; i < 5000; i++) {
        char name[32];
        struct my_poll p;
        int n = snprintf(name, sizeof name, "q-%d", i);
        struct tl_match_key k = {1, TL_QUEUE_ACTIVITY, false, {name, (size_t)n}, {NULL, 0}};
        tl_match_poll_init(&p.base);
        p.dead = false;
        assert_null(tl_match_poll(m, &k, &p.base, TL_STR_LIT("x"), i * TL_NS_PER_S));
        tl_match_poll_drop(m, &p.base);
    }
    assert_true(m->queues.count < 1000);
    struct tl_match_queue_info info;
    assert_true(tl_match_queue_info(m, &normal, 10, &info));
    assert_int_equal(info.backlog, 1);
}

/* Over half a minute that moves along with the time. */
static void test_rates(void **state)
{
    struct tl_matcher *m = *state;
    static struct tl_match_task t[100];
    static struct my_poll p;
    struct tl_match_queue_info info;
    int64_t now = 1000 * TL_NS_PER_S;
    for (int i = 0; i < 100; i++) {
        tl_match_task_init(&t[i], 0);
        assert_null(tl_match_offer(m, &normal, &t[i], NULL, now + i * TL_NS_PER_S / 10));
    }
    for (int i = 0; i < 50; i++) {
        tl_match_poll_init(&p.base);
        assert_non_null(tl_match_poll(m, &normal, &p.base, TL_STR_LIT("x"), now + 5 * TL_NS_PER_S));
    }
    now += 10 * TL_NS_PER_S;
    assert_true(tl_match_queue_info(m, &normal, now, &info));
    assert_float_equal(info.added_per_s, 10, 0.01);
    assert_float_equal(info.taken_per_s, 10, 0.01); /* fifty since the first, five seconds ago */
    assert_true(tl_match_queue_info(m, &normal, now + 20 * TL_NS_PER_S, &info));
    assert_float_equal(info.added_per_s, 50.0 / 30, 0.01); /* half a minute is remembered */
    assert_true(tl_match_queue_info(m, &normal, now + 40 * TL_NS_PER_S, &info));
    assert_float_equal(info.added_per_s, 0, 0.01);
    assert_int_equal(info.tasks_added, 100);
}

static const struct tl_match_key act = {1, TL_QUEUE_ACTIVITY, false, {"orders", 6}, {NULL, 0}};
static const struct tl_match_key act_v2 = {
    1, TL_QUEUE_ACTIVITY, false, {"orders", 6}, {"dep:2", 5}};

static struct tl_match_task *poll_at(struct tl_matcher *m, const struct tl_match_key *k,
                                     struct my_poll *p, int64_t now)
{
    tl_match_poll_init(&p->base);
    p->dead = false;
    return tl_match_poll(m, k, &p->base, TL_STR_LIT("me"), now);
}

static void limit(struct tl_matcher *m, double per_s, int64_t now)
{
    struct tl_match_rules rules = {.per_s = per_s, .key_per_s = -1};
    tl_match_limit(m, &act, &rules, now);
}

/* A limit holds tasks back though polls wait, for all versions together, and lets them go in order. */
static void test_limit(void **state)
{
    struct tl_matcher *m = *state;
    static struct tl_match_task t[8];
    static struct my_poll p[8];
    struct tl_match_poll *got;
    int64_t now = 1000 * TL_NS_PER_S, half = TL_NS_PER_S / 2;
    limit(m, 2, now);
    for (int i = 0; i < 8; i++) {
        assert_null(poll_at(m, i < 5 ? &act : &act_v2, &p[i], now));
        tl_match_task_init(&t[i], i);
    }
    for (int i = 0; i < 3; i++) { /* a second's worth, and the one that is due */
        assert_ptr_equal(tl_match_offer(m, &act, &t[i], NULL, now), &p[i].base);
    }
    for (int i = 3; i < 5; i++) {
        assert_null(tl_match_offer(m, &act, &t[i], NULL, now));
    }
    assert_null(
        tl_match_offer(m, &act_v2, &t[5], NULL, now)); /* the limit is not each version's own */
    assert_int_equal(tl_match_limited_until(m, now), now + half);
    assert_null(tl_match_released(m, &got, now + half - 1));
    assert_ptr_equal(tl_match_released(m, &got, now + half), &t[3]);
    assert_ptr_equal(got, &p[3].base);
    assert_null(tl_match_released(m, &got, now + half));
    /* A task that comes when one might go stands behind those that wait. */
    assert_null(tl_match_offer(m, &act, &t[6], NULL, now + 2 * half));
    assert_ptr_equal(tl_match_released(m, &got, now + 2 * half), &t[5]); /* versions take turns */
    assert_ptr_equal(got, &p[5].base);
    p[4].dead = true;
    assert_int_equal(tl_match_limited_until(m, now), INT64_MAX); /* nobody is there for it */
    tl_match_poll_drop(m, &p[4].base);
    assert_null(poll_at(m, &act, &p[0], now + 2 * half));
    assert_int_equal(tl_match_limited_until(m, now), now + 3 * half);
}

static void test_limit_none_and_zero(void **state)
{
    struct tl_matcher *m = *state;
    static struct tl_match_task t[2];
    static struct my_poll p[2];
    struct tl_match_poll *got;
    int64_t now = 1000 * TL_NS_PER_S;
    limit(m, 0, now);
    for (int i = 0; i < 2; i++) {
        tl_match_task_init(&t[i], i);
        assert_null(poll_at(m, &act, &p[i], now));
        assert_null(tl_match_offer(m, &act, &t[i], NULL, now));
    }
    assert_int_equal(tl_match_limited_until(m, now), INT64_MAX);
    assert_null(tl_match_released(m, &got, now + 3600 * TL_NS_PER_S));
    limit(m, -1, now);
    assert_true(tl_match_limited_until(m, now) <= now);
    assert_ptr_equal(tl_match_released(m, &got, now), &t[0]);
    assert_ptr_equal(got, &p[0].base);
    assert_ptr_equal(tl_match_released(m, &got, now), &t[1]);
    assert_null(tl_match_released(m, &got, now));
    assert_int_equal(tl_match_limited_until(m, now), INT64_MAX);
    assert_int_equal(m->tasks_queued, 0);
    assert_int_equal(m->polls_parked, 0);
}

/* A poll that waited for a second is one too many; a task that waited for 200 ms wants another. */
static void test_advice(void **state)
{
    struct tl_matcher *m = *state;
    static struct tl_match_task t[64];
    static struct my_poll p;
    int64_t now = 1000 * TL_NS_PER_S, ms = TL_NS_PER_MS;
    assert_null(poll_at(m, &normal, &p, now));
    for (int i = 0; i < 64; i++) {
        tl_match_task_init(&t[i], i);
    }
    assert_ptr_equal(tl_match_offer(m, &normal, &t[0], NULL, now + 999 * ms), &p.base);
    assert_int_equal(tl_match_advice(m, &normal, &p.base, now + 999 * ms), 0);
    assert_int_equal(tl_match_advice(m, &normal, &p.base, now + 1000 * ms), -1);
    now += 100 * TL_NS_PER_S;
    for (int i = 1; i < 64; i++) {
        assert_null(tl_match_offer(m, &normal, &t[i], NULL, now));
    }
    now += 200 * ms;
    int more = 0;
    for (int i = 1; i < 40; i++) { /* no more than a burst of advice at one time */
        now += i == 1;
        assert_ptr_equal(poll_at(m, &normal, &p, now), &t[i]);
        int advice = tl_match_advice(m, &normal, &p.base, now);
        assert_true(advice >= 0);
        more += advice;
    }
    assert_in_range(more, 10, 11);
    now += 100 * ms;
    assert_ptr_equal(poll_at(m, &normal, &p, now), &t[40]);
    assert_int_equal(tl_match_advice(m, &normal, &p.base, now),
                     1); /* ten a second for one poller */
    assert_int_equal(tl_match_advice(m, &normal, &p.base, now), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fifo_backlog, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sync_match_skips_dead_polls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_put_back_keeps_its_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rates, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sticky_attended, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pollers_and_each, setup, teardown),
        cmocka_unit_test_setup_teardown(test_idle_queues_are_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit_none_and_zero, setup, teardown),
        cmocka_unit_test_setup_teardown(test_advice, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
