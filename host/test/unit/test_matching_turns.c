/* Turns of tasks: priorities, shares of fairness keys, limits of keys, weights by operators, order after a load. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/world.h"
#include "server/matching/backlog.h"

#define TASKS 4000

static const struct tl_match_key act = {1, TL_QUEUE_ACTIVITY, false, {"orders", 6}, {NULL, 0}};
static const struct tl_match_key act_v2 = {
    1, TL_QUEUE_ACTIVITY, false, {"orders", 6}, {"dep:2", 5}};

struct rig {
    struct tl_matcher m;
    int64_t now;
    struct tl_match_task tasks[TASKS];
    int n;
};

static int setup(void **state)
{
    struct rig *r = TL_NEW(struct rig);
    tl_matcher_init(&r->m, NULL, NULL, 10 * TL_NS_PER_S);
    r->now = 1000 * TL_NS_PER_S;
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    tl_matcher_deinit(&r->m);
    tl_mem_free(r);
    return 0;
}

/* A new task; its kind is `id`. */
static struct tl_match_task *offer_since(struct rig *r, int id, int priority, const char *key,
                                         double weight, int64_t since_ns)
{
    struct tl_match_terms terms = {
        .priority = priority, .fairness_key = tl_str(key), .weight = weight, .since_ns = since_ns};
    struct tl_match_task *t = &r->tasks[r->n++];
    assert_true(r->n <= TASKS);
    tl_match_task_init(t, id);
    assert_null(tl_match_offer(&r->m, &act, t, &terms, r->now));
    return t;
}

static struct tl_match_task *offer(struct rig *r, int id, int priority, const char *key,
                                   double weight)
{
    return offer_since(r, id, priority, key, weight, 0);
}

/* The task that a poll gets; the poll goes away when it gets none. */
static struct tl_match_task *take(struct rig *r)
{
    struct tl_match_poll p;
    tl_match_poll_init(&p);
    struct tl_match_task *t = tl_match_poll(&r->m, &act, &p, TL_STR_LIT("me"), r->now);
    tl_match_poll_drop(&r->m, &p);
    return t;
}

static int take_kind(struct rig *r)
{
    struct tl_match_task *t = take(r);
    return t ? t->kind : -1;
}

static void assert_order(struct rig *r, const int *kinds, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(take_kind(r), kinds[i]);
    }
    assert_null(take(r));
}

static void test_lower_priorities_first(void **state)
{
    struct rig *r = *state;
    static const int priorities[] = {5, 0, 3, 1, 99, 2, 1, 4};
    for (int i = 0; i < 8; i++) {
        offer(r, i, priorities[i], "", 0);
    }
    /* 0 is 3, what is beyond 5 is 5; equal ones by arrival. */
    assert_order(r, (const int[]){3, 6, 5, 1, 2, 7, 0, 4}, 8);
}

/* Weights are shares, however many tasks of a key came first. */
static void test_shares_by_weight(void **state)
{
    struct rig *r = *state;
    int got[2] = {0};
    for (int i = 0; i < 1000; i++) {
        offer(r, 0, 0, "light", 1);
    }
    for (int i = 0; i < 1000; i++) {
        offer(r, 1, 0, "heavy", 3);
    }
    for (int i = 0; i < 400; i++) {
        got[take_kind(r)]++;
    }
    assert_in_range(got[0], 99, 101);
    assert_in_range(got[1], 299, 301);
    /* A newcomer begins where the others are: it does not catch up on what it did not ask for. */
    for (int i = 0; i < 300; i++) {
        offer(r, 2, 0, "new", 1);
    }
    int late[3] = {0};
    for (int i = 0; i < 100; i++) {
        late[take_kind(r)]++;
    }
    assert_in_range(late[2], 18, 22);
    assert_in_range(late[0], 18, 22);
    assert_in_range(late[1], 58, 62);
}

/* Equal weights take turns; a key without tasks costs nobody anything; shares are within a priority. */
static void test_equal_keys_take_turns(void **state)
{
    struct rig *r = *state;
    for (int i = 0; i < 3; i++) {
        offer(r, 10 + i, 0, "a", 0);
    }
    for (int i = 0; i < 3; i++) {
        offer(r, 20 + i, 0, "b", 0);
    }
    offer(r, 30, 1, "a", 0);
    assert_order(r, (const int[]){30, 10, 20, 11, 21, 12, 22}, 7);
}

/* What comes back goes before what is behind it, with its key's other tasks still in order. */
static void test_put_back(void **state)
{
    struct rig *r = *state;
    struct tl_match_terms a = {.fairness_key = TL_STR_LIT("a")};
    for (int i = 0; i < 3; i++) {
        offer(r, 10 + i, 0, "a", 0);
        offer(r, 20 + i, 0, "b", 0);
    }
    struct tl_match_task *t = take(r);
    assert_int_equal(t->kind, 10);
    assert_int_equal(take_kind(r), 20);
    assert_int_equal(take_kind(r), 11);
    assert_null(tl_match_put_back(&r->m, &act, t, &a, r->now));
    assert_order(r, (const int[]){10, 21, 12, 22}, 4);
}

/* A task that is dropped takes nothing of its key's share, and moves nobody's beginning. */
static void test_dropped(void **state)
{
    struct rig *r = *state;
    struct tl_match_task *far = NULL;
    for (int i = 0; i < 50; i++) {
        far = offer(r, 1, 0, "a", 0);
    }
    tl_match_task_drop(&r->m, far);
    for (int i = 0; i < 10; i++) {
        offer(r, 2, 0, "b", 0);
    }
    int of_b = 0;
    for (int i = 0; i < 20; i++) {
        of_b += take_kind(r) == 2;
    }
    assert_in_range(of_b, 9, 10);
}

static void set_rules(struct rig *r, double per_s, double key_per_s,
                      const struct tl_match_weight *weights, size_t n)
{
    struct tl_match_rules rules = {per_s, key_per_s, weights, n};
    tl_match_limit(&r->m, &act, &rules, r->now);
}

static void test_operator_weights(void **state)
{
    struct rig *r = *state;
    const struct tl_match_weight heavy = {TL_STR_LIT("b"), 4};
    int got[2] = {0};
    set_rules(r, -1, -1, &heavy, 1);
    for (int i = 0; i < 100; i++) {
        offer(r, 0, 0, "a", 1);
        offer(r, 1, 0, "b", 1);
    }
    for (int i = 0; i < 100; i++) {
        got[take_kind(r)]++;
    }
    assert_in_range(got[1], 78, 82);
    /* Taken away: what comes from now on has its own weight. */
    set_rules(r, -1, -1, NULL, 0);
    while (take(r)) {
    }
    got[0] = got[1] = 0;
    for (int i = 0; i < 100; i++) {
        offer(r, 0, 0, "a", 1);
        offer(r, 1, 0, "b", 1);
    }
    for (int i = 0; i < 100; i++) {
        got[take_kind(r)]++;
    }
    assert_in_range(got[1], 48, 52);
}

/* The limit is of each key, times its weight, over versions and priorities; a key that has to wait holds up nobody. */
static void test_limit_of_keys(void **state)
{
    struct rig *r = *state;
    int a = 0, b = 0;
    set_rules(r, -1, 2, NULL, 0);
    for (int i = 0; i < 10; i++) {
        offer(r, 1, i % 2 ? 1 : 5, "a", 1);
        offer(r, 2, 0, "b", 2);
    }
    for (int kind; (kind = take_kind(r)) >= 0;) {
        a += kind == 1;
        b += kind == 2;
    }
    assert_int_equal(a, 3); /* a second's worth and the one that is due */
    assert_int_equal(b, 5);
    struct tl_match_poll p, *got = NULL;
    tl_match_poll_init(&p);
    assert_null(tl_match_poll(&r->m, &act, &p, TL_STR_LIT("me"), r->now));
    assert_int_equal(tl_match_limited_until(&r->m, r->now), r->now + TL_NS_PER_S / 4);
    assert_null(tl_match_released(&r->m, &got, r->now + TL_NS_PER_S / 4 - 1));
    r->now += TL_NS_PER_S / 4;
    assert_int_equal(tl_match_released(&r->m, &got, r->now)->kind, 2);
    assert_ptr_equal(got, &p);
    r->now += TL_NS_PER_S / 4; /* now both may have one */
    assert_int_equal(take_kind(r), 1);
    assert_int_equal(take_kind(r), 2);
    assert_null(take(r));
    /* A key that has not been seen yet is not held back by the others. */
    struct tl_match_terms c = {.fairness_key = TL_STR_LIT("c")};
    struct tl_match_poll q;
    static struct tl_match_task fresh;
    tl_match_poll_init(&q);
    tl_match_task_init(&fresh, 3);
    assert_null(tl_match_poll(&r->m, &act_v2, &q, TL_STR_LIT("me"), r->now));
    assert_ptr_equal(tl_match_offer(&r->m, &act_v2, &fresh, &c, r->now), &q);
    set_rules(r, -1, -1, NULL, 0);
    int rest = 0;
    while (take(r)) {
        rest++;
    }
    assert_int_equal(rest, 20 - 11);
}

static void test_limit_of_keys_zero_and_raised(void **state)
{
    struct rig *r = *state;
    struct tl_match_poll p, *got;
    tl_match_poll_init(&p);
    set_rules(r, -1, 0, NULL, 0);
    offer(r, 1, 0, "a", 1);
    assert_null(tl_match_poll(&r->m, &act, &p, TL_STR_LIT("me"), r->now));
    assert_int_equal(tl_match_limited_until(&r->m, r->now), INT64_MAX);
    set_rules(r, 0, 5, NULL, 0); /* the whole queue stands now */
    assert_int_equal(tl_match_limited_until(&r->m, r->now), INT64_MAX);
    set_rules(r, 5, 5, NULL, 0);
    assert_true(tl_match_limited_until(&r->m, r->now) <= r->now);
    assert_int_equal(tl_match_released(&r->m, &got, r->now)->kind, 1);
    assert_null(tl_match_released(&r->m, &got, r->now));
}

static void test_priority_info(void **state)
{
    struct rig *r = *state;
    struct tl_match_queue_info info;
    assert_false(tl_match_priority_info(&r->m, &act, 3, r->now, &info));
    offer(r, 1, 1, "a", 1);
    r->now += TL_NS_PER_S;
    offer(r, 2, 1, "b", 1);
    offer(r, 3, 0, "", 0);
    r->now += TL_NS_PER_S;
    assert_true(tl_match_priority_info(&r->m, &act, 1, r->now, &info));
    assert_int_equal(info.backlog, 2);
    assert_int_equal(info.oldest_ns, r->now - 2 * TL_NS_PER_S);
    assert_true(info.added_per_s > 0);
    assert_true(tl_match_priority_info(&r->m, &act, 3, r->now, &info));
    assert_int_equal(info.backlog, 1);
    assert_false(tl_match_priority_info(&r->m, &act, 5, r->now, &info));
    assert_int_equal(take_kind(r), 1);
    assert_true(tl_match_priority_info(&r->m, &act, 1, r->now, &info));
    assert_int_equal(info.oldest_ns, r->now - TL_NS_PER_S);
    assert_true(info.taken_per_s > 0);
    assert_true(tl_match_queue_info(&r->m, &act, r->now, &info));
    assert_int_equal(info.backlog, 2);
    assert_int_equal(info.oldest_ns, r->now - TL_NS_PER_S);
}

/* What is loaded goes by the time since when it waits, whatever the order of loading. */
static void test_order_after_a_load(void **state)
{
    struct rig *r = *state;
    static const int since_s[] = {500, 100, 400, 200, 300};
    for (int i = 0; i < 5; i++) {
        offer_since(r, since_s[i], 0, "", 0, since_s[i] * TL_NS_PER_S);
    }
    offer_since(r, 1, 1, "", 0, 900 * TL_NS_PER_S);
    offer_since(r, 250, 0, "b", 0, 250 * TL_NS_PER_S);
    offer_since(r, 150, 0, "b", 0, 150 * TL_NS_PER_S);
    tl_match_loaded(&r->m);
    struct tl_match_queue_info info;
    assert_true(tl_match_queue_info(&r->m, &act, r->now, &info));
    assert_int_equal(info.oldest_ns, 100 * TL_NS_PER_S);
    offer(r, 1000, 0, "", 0);
    assert_order(r, (const int[]){1, 100, 150, 200, 250, 300, 400, 500, 1000}, 9);
}

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * TL_NS_PER_S + t.tv_nsec;
}

/* Tasks that come in any order of age, as when a deployment is routed elsewhere, cost little each, however many
 * wait: the engine does nothing else meanwhile. */
static void test_ages_in_any_order(void **state)
{
    enum { MANY = 100000 };
    struct rig *r = *state;
    struct tl_match_task *tasks = TL_NEW_ARRAY(struct tl_match_task, MANY);
    struct tl_match_queue_info info;
    int64_t began_ns = cpu_ns();
    for (int i = 0; i < MANY; i++) {
        struct tl_match_terms terms = {.since_ns = 1 + (int64_t)i * 7919 % MANY};
        tl_match_task_init(&tasks[i], i);
        assert_null(tl_match_offer(&r->m, &act, &tasks[i], &terms, r->now));
    }
    for (int i = 0; i < MANY; i++) { /* they go as they were offered */
        if (i < 2) {
            assert_true(tl_match_queue_info(&r->m, &act, r->now, &info));
            assert_int_equal(info.oldest_ns, 1 + i);
        }
        assert_int_equal(take_kind(r), i);
    }
    assert_in_range(cpu_ns() - began_ns, 0, 3 * TL_NS_PER_S);
    tl_mem_free(tasks);
}

/* Keys that come and go leave nothing behind that grows. */
static void test_many_keys(void **state)
{
    struct rig *r = *state;
    struct tl_backlog b;
    char key[32];
    tl_backlog_init(&b);
    for (int i = 0; i < 20000; i++) {
        struct tl_match_terms terms = {.weight = 1};
        terms.fairness_key = tl_str_n(key, (size_t)snprintf(key, sizeof key, "tenant-%d", i));
        struct tl_match_task *t = &r->tasks[i % 10];
        tl_match_task_init(t, i);
        tl_backlog_push(&b, t, &terms, NULL);
        assert_ptr_equal(tl_backlog_next(&b, NULL, r->now), t);
        tl_backlog_remove(&b, t, i % 2);
    }
    assert_in_range(b.levels[2]->lanes.count, 1, 1100);
    tl_backlog_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lower_priorities_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shares_by_weight, setup, teardown),
        cmocka_unit_test_setup_teardown(test_equal_keys_take_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_put_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_operator_weights, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit_of_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit_of_keys_zero_and_raised, setup, teardown),
        cmocka_unit_test_setup_teardown(test_priority_info, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order_after_a_load, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ages_in_any_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_keys, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
