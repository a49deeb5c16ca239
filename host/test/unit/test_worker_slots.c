/* Goal: slots follow memory and CPU between their limits; the readings are the container's where it
 * has limits.
 * Method: files of proc and sys made by the test, times of the test; then a stepped worker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test/support/worker_env.h"
#include "worker/worker_int.h"

#define MS TL_NS_PER_MS
#define HALF_FREE "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 500 kB\n"

static char root[64];

static int make_root(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/test_worker_slots.XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", root);
    return system(command);
}

static void put(const char *path, const char *text)
{
    char full[256];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *f = fopen(full, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void forget(const char *path)
{
    char full[256];
    snprintf(full, sizeof full, "%s%s", root, path);
    assert_int_equal(remove(full), 0);
}

static void begin(struct tl_resource *r, double memory, double cpu)
{
    put("/proc/meminfo", HALF_FREE);
    put("/proc/stat", "cpu  0 0 0 0 0 0 0 0\n");
    assert_int_equal(tl_resource_init(r, root, memory, cpu, NULL), TL_OK);
}

static void memory_near_its_target_gives_no_slot(void **state)
{
    (void)state;
    struct tl_resource r;
    begin(&r, 0.8, 0.9);
    assert_true(tl_resource_allows(&r, 1 * MS));
    assert_true(r.memory > 0.499 && r.memory < 0.501);
    put("/proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 220 kB\n"); /* 0.78 of 0.8 */
    assert_true(tl_resource_allows(&r, 90 * MS));                      /* not read again so soon */
    assert_false(tl_resource_allows(&r, 101 * MS));
    put("/proc/meminfo", HALF_FREE);
    assert_true(tl_resource_allows(&r, 202 * MS));
    forget("/proc/meminfo");
    assert_false(tl_resource_allows(&r, 303 * MS)); /* what cannot be read is full */
    tl_resource_deinit(&r);
}

static void a_busy_cpu_gives_no_slot(void **state)
{
    (void)state;
    struct tl_resource r;
    begin(&r, 0.9, 0.9);
    put("/sys/fs/cgroup/cpu.max", "200000 100000\n"); /* two cores */
    put("/sys/fs/cgroup/cpu.stat", "usage_usec 0\nuser_usec 0\n");
    assert_true(tl_resource_allows(&r, 100 * MS));
    put("/sys/fs/cgroup/cpu.stat",
        "usage_usec 1950000\n"); /* 1.95 of 2 CPU seconds in one second */
    assert_false(tl_resource_allows(&r, 1100 * MS));
    assert_true(r.cpu > 0.97 && r.cpu < 0.98);
    put("/sys/fs/cgroup/cpu.stat", "usage_usec 2050000\n");
    assert_true(tl_resource_allows(&r, 2100 * MS));
    put("/sys/fs/cgroup/cpu.max", "max 100000\n"); /* no limit: the machine counts */
    put("/proc/stat", "cpu  0 0 0 9 0 0 0 0\n");
    assert_true(tl_resource_allows(&r, 3100 * MS));
    forget("/sys/fs/cgroup/cpu.max");
    forget("/sys/fs/cgroup/cpu.stat");
    tl_resource_deinit(&r);
}

static void a_limit_of_the_own_cgroup_counts(void **state)
{
    (void)state;
    struct tl_resource r;
    begin(&r, 0.8, 0.9);
    put("/proc/self/cgroup", "0::/app.slice/worker\n");
    put("/sys/fs/cgroup/app.slice/worker/memory.max", "100000\n");
    put("/sys/fs/cgroup/app.slice/worker/memory.current", "90000\n");
    put("/sys/fs/cgroup/app.slice/worker/memory.stat", "anon 5\ninactive_file 30000\n");
    put("/sys/fs/cgroup/memory.max", "max\n");
    assert_true(tl_resource_allows(&r, 1 * MS));
    assert_true(r.memory > 0.599 && r.memory < 0.601); /* 60000 of 100000 */
    put("/sys/fs/cgroup/app.slice/worker/memory.max", "max\n");
    assert_true(tl_resource_allows(&r, 200 * MS));
    assert_true(r.memory > 0.499 && r.memory < 0.501);
    forget("/proc/self/cgroup");
    tl_resource_deinit(&r);
}

static void a_system_that_tells_nothing_is_an_error(void **state)
{
    (void)state;
    struct tl_resource r;
    struct tl_error err;
    assert_int_equal(tl_resource_init(&r, "/nowhere", 0.8, 0.8, &err), TL_EUNAVAILABLE);
    assert_non_null(strstr(err.message, "temporal.tuner.fixed"));
}

static void slots_grow_beyond_the_minimum_one_ramp_at_a_time(void **state)
{
    (void)state;
    struct fake_service clock;
    struct tl_resource r;
    begin(&r, 0.8, 0.9);
    fake_service_init(&clock);
    struct tl_slots s = {
        .min = 2, .max = 4, .resource = &r, .world = &clock.world, .ramp_ns = 50 * MS};
    s.plain.of = &s;
    assert_non_null(tl_slots_try(&s));
    assert_non_null(tl_slots_try(&s));
    assert_non_null(tl_slots_try(&s)); /* the first beyond */
    assert_null(tl_slots_try(&s));
    assert_true(tl_slots_held_back(&s));
    clock.now_ns += 51 * MS;
    assert_non_null(tl_slots_try(&s));
    clock.now_ns += 51 * MS;
    assert_null(tl_slots_try(&s)); /* the maximum */
    assert_false(tl_slots_held_back(&s));
    put("/proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 10 kB\n");
    clock.now_ns += 200 * MS;
    for (int i = 0; i < 4; i++) {
        tl_slot_give(&s.plain);
    }
    assert_non_null(tl_slots_try(&s)); /* the minimum is always given */
    assert_non_null(tl_slots_try(&s));
    assert_null(tl_slots_try(&s));
    fake_service_deinit(&clock);
    tl_resource_deinit(&r);
}

static void nothing_to_do(void *thread_state, void *ud, struct tl_activity *a)
{
    (void)thread_state;
    (void)ud;
    tl_activity_complete(a, NULL);
}

/* Polls that found no slot go out later, without a task that wakes the worker. */
static void a_worker_asks_again(void **state)
{
    (void)state;
    struct env e;
    struct tl_activity_impl impl = {nothing_to_do, NULL};
    env_init(&e, NULL);
    assert_int_equal(tl_registry_add(e.registry, TL_STR_LIT("act"), &impl, NULL), TL_OK);
    e.config.options.tuner = (struct tl_tuner_options){
        .given = true,
        .target_memory_usage = 1, /* of the machine that runs the test */
        .target_cpu_usage = 1,
        .workflow = {.maximum = 5},
        .activity = {true, 1, 3, 1000},
        .local_activity = {.maximum = 1},
        .nexus = {.maximum = 1},
    };
    env_start(&e);
    int before = fake_waiting(&e.fake, TL_M_PollActivityTaskQueue);
    assert_in_range(before, 1, 2);
    for (int i = 0; i < 40 && fake_waiting(&e.fake, TL_M_PollActivityTaskQueue) < 3; i++) {
        env_pass(&e, 1100);
    }
    assert_int_equal(fake_waiting(&e.fake, TL_M_PollActivityTaskQueue), 3);
    env_end(&e);
}

static void a_tuner_is_checked(void **state)
{
    (void)state;
    struct tl_worker_options o;
    struct tl_error err;
    tl_worker_options_init(&o);
    o.task_queue = TL_STR_LIT("q");
    o.tuner = (struct tl_tuner_options){.given = true,
                                        .target_memory_usage = 0.5,
                                        .target_cpu_usage = 0.5,
                                        .workflow = {.maximum = 5},
                                        .activity = {true, 1, 3, 1000},
                                        .local_activity = {.maximum = 1},
                                        .nexus = {.maximum = 1}};
    const struct tl_tuner_options good = o.tuner;
    assert_int_equal(tl_worker_options_check(&o, &err), TL_OK);
    o.tuner.workflow.maximum = 1;
    assert_int_equal(tl_worker_options_check(&o, &err), TL_EINVAL);
    assert_non_null(strstr(err.message, "workflow tasks must be at least 2"));
    o.tuner = good;
    o.tuner.activity.minimum = 4;
    assert_int_equal(tl_worker_options_check(&o, &err), TL_EINVAL);
    assert_non_null(strstr(err.message, "slots of activities"));
    o.tuner = good;
    o.tuner.activity.ramp_throttle_ms = -1;
    assert_int_equal(tl_worker_options_check(&o, &err), TL_EINVAL);
    o.tuner = good;
    o.tuner.nexus.maximum = 0;
    assert_int_equal(tl_worker_options_check(&o, &err), TL_EINVAL);
    assert_non_null(strstr(err.message, "slots of Nexus tasks"));
    o.tuner = good;
    o.tuner.target_cpu_usage = 0.0 / 0.0;
    assert_int_equal(tl_worker_options_check(&o, &err), TL_EINVAL);
    assert_non_null(strstr(err.message, "target_cpu_usage"));
}

/* --- a supplier of the user's own ----------------------------------------------------------------- */

struct record {
    char text[2048]; /* what it was told, a word for each */
    size_t n;
    tlua_slot_wait *waits[8];
    int wait_count, tries, try_limit, closed;
};

static void say(struct record *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    r->n += (size_t)vsnprintf(r->text + r->n, sizeof r->text - r->n, fmt, ap);
    va_end(ap);
}

static void on_reserve(void *ud, const tlua_slot_request *q, tlua_slot_wait *w)
{
    struct record *r = ud;
    assert_int_equal(q->size, sizeof *q);
    assert_true(q->task_queue.size == 1 && q->worker_identity.size > 0);
    say(r, "reserve%d%s ", q->kind, q->is_sticky ? "s" : "");
    r->waits[r->wait_count++] = w;
}

static void *on_try(void *ud, const tlua_slot_request *q)
{
    struct record *r = ud;
    say(r, "try%d ", q->kind);
    return r->tries++ < r->try_limit ? r : NULL;
}

static void on_used(void *ud, const tlua_slot_info *i, void *permit)
{
    say(ud, "used%d:%.*s:%td ", i->kind, (int)i->type.size, i->type.data,
        (char *)permit - ((struct record *)ud)->text);
}

static void on_release(void *ud, const tlua_slot_info *i, void *permit)
{
    (void)permit;
    say(ud, "release:%.*s ", i ? (int)i->type.size : 4, i ? i->type.data : "none");
}

static void on_close(void *ud)
{
    ((struct record *)ud)->closed++;
}

static void expect_text(struct record *r, const char *text)
{
    assert_string_equal(r->text, text);
    r->n = 0;
    r->text[0] = 0;
}

static void completes(void *thread_state, void *ud, struct tl_activity *a)
{
    (void)thread_state;
    (void)ud;
    tl_activity_complete(a, NULL);
}

/* No poll leaves without a slot; the supplier hears what becomes of each. */
static void a_supplier_decides(void **state)
{
    (void)state;
    struct env e;
    struct record r = {0};
    struct tl_activity_impl impl = {completes, NULL};
    struct tl_rpc_request *req;
    tlua_slot_supplier supplier = {sizeof supplier, &r,         on_reserve, on_try,
                                   on_used,         on_release, on_close};
    env_init(&e, NULL);
    assert_int_equal(tl_registry_add(e.registry, TL_STR_LIT("act"), &impl, NULL), TL_OK);
    e.config.options.tuner = (struct tl_tuner_options){
        .given = true, .workflow.maximum = 4, .local_activity.maximum = 1, .nexus.maximum = 1};
    e.config.options.tuner.activity.supplier = &supplier;
    env_start(&e);
    expect_text(&r, "reserve2 "); /* one at a time */
    assert_int_equal(fake_waiting(&e.fake, TL_M_PollActivityTaskQueue), 0);
    tlua_slot_grant(r.waits[0], r.text + 1);
    env_settle(&e);
    assert_int_equal(fake_waiting(&e.fake, TL_M_PollActivityTaskQueue), 1);
    expect_text(&r, "reserve2 ");
    tlua_slot_grant(r.waits[1], r.text + 2);
    env_settle(&e);
    assert_int_equal(fake_waiting(&e.fake, TL_M_PollActivityTaskQueue), 2);
    expect_text(&r, "reserve2 ");
    env_give_activity(&e, env_activity(&e, "act", 1, 0));
    env_expect(&e, TL_M_RespondActivityTaskCompleted, &req);
    fake_reply_empty(req);
    env_settle(&e);
    expect_text(&r, "used2:act:1 release:act ");
    assert_int_equal(fake_waiting(&e.fake, TL_M_PollActivityTaskQueue), 1);
    assert_int_equal(env_stats(&e).activity_slots_used, 1);
    /* A grant after the begin of the shutdown goes back at once, as does what waits with a poll. */
    tl_worker_shutdown(e.worker, 0);
    env_settle(&e);
    tlua_slot_grant(r.waits[2], r.text + 3);
    assert_int_equal(env_logged(&e, "worker.failed"), 0);
    env_end(&e);
    assert_non_null(strstr(r.text, "release:none release:none "));
    assert_int_equal(r.closed, 1);
}

static void a_supplier_needs_its_functions(void **state)
{
    (void)state;
    struct tl_worker_options o;
    struct tl_error err;
    tlua_slot_supplier supplier = {.size = sizeof supplier, .reserve = on_reserve};
    tl_worker_options_init(&o);
    o.task_queue = TL_STR_LIT("q");
    o.tuner = (struct tl_tuner_options){
        .given = true, .workflow.maximum = 4, .local_activity.maximum = 1, .nexus.maximum = 1};
    o.tuner.activity.supplier = &supplier;
    assert_int_equal(tl_worker_options_check(&o, &err), TL_EINVAL);
    assert_non_null(strstr(err.message, "try_reserve"));
    supplier.try_reserve = on_try;
    supplier.release = on_release;
    assert_int_equal(tl_worker_options_check(&o, &err), TL_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(memory_near_its_target_gives_no_slot, make_root,
                                        remove_root),
        cmocka_unit_test_setup_teardown(a_busy_cpu_gives_no_slot, make_root, remove_root),
        cmocka_unit_test_setup_teardown(a_limit_of_the_own_cgroup_counts, make_root, remove_root),
        cmocka_unit_test(a_system_that_tells_nothing_is_an_error),
        cmocka_unit_test_setup_teardown(slots_grow_beyond_the_minimum_one_ramp_at_a_time, make_root,
                                        remove_root),
        cmocka_unit_test(a_worker_asks_again),
        cmocka_unit_test(a_tuner_is_checked),
        cmocka_unit_test(a_supplier_decides),
        cmocka_unit_test(a_supplier_needs_its_functions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
