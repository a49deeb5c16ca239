/* Goal: a program that embeds a worker sets its options by name, with the errors that scripts get, and gives it
 * slots of its own, which bound what runs at once.
 * Method: a script is written to a folder, everything else goes through tlua_* functions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "include/temporal_lua.h"

static char folder[] = "test-embed-worker-XXXXXX";

static const char script[] =
    "local workflow = require 'temporal.workflow'\n"
    "local options = { start_to_close_timeout = '20s' }\n"
    "return workflow.define('Many', function(count)\n"
    "  local list = {}\n"
    "  for i = 1, count do list[i] = workflow.start_activity('work', options) end\n"
    "  local names = {}\n"
    "  for i, a in ipairs(list) do names[i] = a:result() end\n"
    "  return names\n"
    "end)\n";

static int write_script(void **state)
{
    char path[200];
    (void)state;
    if (!mkdtemp(folder)) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/many.lua", folder);
    FILE *f = fopen(path, "w");
    return f && fputs(script, f) >= 0 && fclose(f) == 0 ? 0 : -1;
}

static int remove_script(void **state)
{
    char command[200];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/* --- The program ------------------------------------------------------------------------------- */

struct program {
    tlua_server *server;
    tlua_client *client;
    tlua_worker *worker;
    atomic_int at_once, most; /* activities */
};

/* Stays for a moment, and returns the name of its thread. */
static void work(tlua_activity *a, void *ud)
{
    struct program *p = ud;
    char name[32] = "", text[40];
    struct timespec moment = {0, 20000000};
    int now = atomic_fetch_add(&p->at_once, 1) + 1, most = atomic_load(&p->most);
    while (now > most && !atomic_compare_exchange_weak(&p->most, &most, now)) {
    }
    nanosleep(&moment, NULL);
    atomic_fetch_sub(&p->at_once, 1);
    pthread_getname_np(pthread_self(), name, sizeof name);
    int n = snprintf(text, sizeof text, "\"%s\"", name);
    assert_int_equal(tlua_host()->put_json(a, TLUA_RESULT, text, (size_t)n), TLUA_OK);
}

static void make(struct program *p)
{
    tlua_error err;
    tlua_server_options so = TLUA_SERVER_OPTIONS_INIT;
    tlua_worker_options wo = TLUA_WORKER_OPTIONS_INIT;
    const char *roots[] = {folder}, *workflows[] = {"many"};
    wo.task_queue = "q";
    wo.roots = roots;
    wo.roots_count = 1;
    wo.workflows = workflows;
    wo.workflows_count = 1;
    assert_int_equal(tlua_server_open(&so, &p->server, &err), TLUA_OK);
    assert_int_equal(tlua_client_open(p->server, NULL, &p->client, &err), TLUA_OK);
    assert_int_equal(tlua_worker_new(p->client, &wo, &p->worker, &err), TLUA_OK);
    assert_int_equal(tlua_worker_register(p->worker, "work", work, p, &err), TLUA_OK);
}

static void set(struct program *p, const char *name, const char *value)
{
    tlua_error err;
    if (tlua_worker_set_option(p->worker, name, value, &err) != TLUA_OK) {
        fail_msg("%s", err.message);
    }
}

/* Runs that many activities side by side; their results as JSON text. */
static void run_many(struct program *p, const char *count, char *out, size_t cap)
{
    tlua_error err;
    tlua_reply *r;
    tlua_payload v, arg = {{"json/plain", 10}, {count, strlen(count)}};
    tlua_start_options o = TLUA_START_OPTIONS_INIT;
    o.workflow_id = "w";
    o.workflow_type = "Many";
    o.task_queue = "q";
    o.args = &arg;
    o.args_count = 1;
    assert_int_equal(tlua_client_start(p->client, &o, NULL, &err), TLUA_OK);
    assert_int_equal(tlua_client_result(p->client, "w", NULL, 20000, &r, &err), TLUA_OK);
    assert_int_equal(tlua_reply_status(r), TLUA_WORKFLOW_COMPLETED);
    assert_int_equal(tlua_reply_value(r, 0, &v), TLUA_OK);
    snprintf(out, cap, "%.*s", (int)v.data.size, v.data.data);
    tlua_reply_free(r);
}

static void end(struct program *p)
{
    tlua_worker_free(p->worker);
    tlua_client_close(p->client);
    tlua_server_close(p->server);
}

/* --- Options ----------------------------------------------------------------------------------- */

static void options_reach_the_worker(void **state)
{
    (void)state;
    struct program p = {0};
    tlua_error err;
    char names[200];
    make(&p);
    set(&p, "activity_threads", "1");
    set(&p, "activity_thread_name_prefix", "pay");
    set(&p, "max_concurrent_activities", "7");
    set(&p, "max_heartbeat_throttle_interval", "1m30s");
    set(&p, "nonsticky_to_sticky_poll_ratio", "0.25");
    set(&p, "disable_eager_activity_execution", "true");
    set(&p, "workflow_task_poller_behavior", "autoscaling:2-9:3");
    assert_int_equal(tlua_worker_start(p.worker, &err), TLUA_OK);
    run_many(&p, "3", names, sizeof names);
    assert_string_equal(names, "[\"pay-0\",\"pay-0\",\"pay-0\"]");
    assert_int_equal(atomic_load(&p.most), 1);
    assert_int_equal(tlua_worker_set_option(p.worker, "activity_threads", "2", &err),
                     TLUA_EPRECONDITION);
    end(&p);
}

static void keep_page(void *ud, tlua_bytes text)
{
    char **page = ud;
    *page = calloc(1, text.size + 1);
    memcpy(*page, text.data, text.size);
}

static bool page_has(tlua_metrics *m, const char *text)
{
    char *page = NULL;
    assert_int_equal(tlua_metrics_write(m, keep_page, &page, NULL), TLUA_OK);
    bool found = strstr(page, text) != NULL;
    free(page);
    return found;
}

static void calls_of_a_client_are_measured(void **state)
{
    (void)state;
    struct program p = {0};
    tlua_error err;
    tlua_metrics *metrics;
    tlua_metrics_options mo = TLUA_METRICS_OPTIONS_INIT;
    tlua_worker_options wo = TLUA_WORKER_OPTIONS_INIT;
    tlua_worker *second;
    char names[200];
    static const char start[] = "operation=\"StartWorkflowExecution\"";
    static const char started[] = "\ntemporal_worker_start{";
    make(&p);
    assert_int_equal(tlua_metrics_new(&mo, &metrics, &err), TLUA_OK);
    assert_int_equal(tlua_worker_start(p.worker, &err), TLUA_OK);
    assert_int_equal(tlua_client_terminate(p.client, "nobody", NULL, "", &err), TLUA_ENOTFOUND);
    assert_false(page_has(metrics, "operation="));
    assert_int_equal(tlua_client_measure(NULL, metrics, &err), TLUA_EINVAL);
    assert_int_equal(tlua_client_measure(p.client, NULL, &err), TLUA_EINVAL);
    assert_int_equal(tlua_client_measure(p.client, metrics, &err), TLUA_OK);
    assert_int_equal(tlua_client_measure(p.client, metrics, &err), TLUA_EPRECONDITION);
    run_many(&p, "1", names, sizeof names);
    assert_true(page_has(metrics, start));
    assert_false(page_has(metrics, started)); /* a worker from before */
    wo.task_queue = "second";
    wo.metrics = metrics; /* the client's own, counted once */
    assert_int_equal(tlua_worker_new(p.client, &wo, &second, &err), TLUA_OK);
    assert_int_equal(tlua_worker_register(second, "work", work, &p, &err), TLUA_OK);
    assert_int_equal(tlua_worker_start(second, &err), TLUA_OK);
    for (int i = 0; i < 2000 && !page_has(metrics, started); i++) {
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
    assert_true(page_has(metrics, started));
    tlua_worker_free(second);
    tlua_metrics_free(metrics); /* the client keeps it */
    end(&p);
}

static void wrong_options_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value, *message;
    } rows[] = {
        {"max_cached_workflow", "3", "did you mean 'max_cached_workflows'"},
        {"nothing_like_it", "3", "unknown option 'nothing_like_it'"},
        {"max_cached_workflows", "many", "max_cached_workflows wants an integer, got 'many'"},
        {"max_cached_workflows", "", "wants an integer"},
        {"max_cached_workflows", "99999999999999999999", "wants an integer"},
        {"max_activities_per_second", "0.5x", "wants a number, got '0.5x'"},
        {"max_activities_per_second", "nan", "wants a number"},
        {"graceful_shutdown_timeout", "3 parsecs", "graceful_shutdown_timeout"},
        {"debug_mode", "yes", "debug_mode wants true or false, got 'yes'"},
        {"activity_task_poller_behavior", "autoscaling:4", "autoscaling[:MIN-MAX[:INITIAL]]"},
        {"activity_task_poller_behavior", "autoscaling:1-4:", "autoscaling[:MIN-MAX[:INITIAL]]"},
        {"shared_state_manager", "1", "does not exist here: activities share a process"},
        {"task_queue", "other", "task_queue is what the worker was made with"},
        {NULL, "1", "a name and a value are required"},
        {"debug_mode", NULL, "a name and a value are required"},
    };
    struct program p = {0};
    tlua_error err;
    make(&p);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(tlua_worker_set_option(p.worker, rows[i].name, rows[i].value, &err),
                         TLUA_EINVAL);
        if (!strstr(err.message, rows[i].message)) {
            fail_msg("row %zu: %s", i, err.message);
        }
    }
    set(&p, "activity_thread_name_prefix", "far-too-long");
    assert_int_equal(tlua_worker_start(p.worker, &err), TLUA_EINVAL);
    assert_non_null(strstr(err.message, "at most 10 bytes"));
    set(&p, "activity_thread_name_prefix", "short");
    set(&p, "max_cached_workflows", "-1");
    assert_int_equal(tlua_worker_start(p.worker, &err), TLUA_EINVAL);
    assert_non_null(strstr(err.message, "max_cached_workflows must be from 0"));
    end(&p);
}

/* --- Slots ------------------------------------------------------------------------------------- */

/* Gives `limit` slots; a reservation beyond waits for a release. */
struct giver {
    pthread_mutex_t mutex;
    int kind, limit, given, released, used, closed;
    tlua_slot_wait *waiting;
};

static void on_reserve(void *ud, const tlua_slot_request *r, tlua_slot_wait *w)
{
    struct giver *g = ud;
    pthread_mutex_lock(&g->mutex);
    assert_int_equal(r->kind, g->kind);
    bool now = g->given - g->released < g->limit;
    g->given += now;
    g->waiting = now ? NULL : w;
    pthread_mutex_unlock(&g->mutex);
    if (now) {
        tlua_slot_grant(w, g);
    }
}

static void *on_try(void *ud, const tlua_slot_request *r)
{
    struct giver *g = ud;
    (void)r;
    pthread_mutex_lock(&g->mutex);
    bool now = g->given - g->released < g->limit;
    g->given += now;
    pthread_mutex_unlock(&g->mutex);
    return now ? g : NULL;
}

static void on_used(void *ud, const tlua_slot_info *info, void *permit)
{
    struct giver *g = ud;
    assert_ptr_equal(permit, g);
    assert_memory_equal(info->type.data, "work", 4);
    pthread_mutex_lock(&g->mutex);
    g->used++;
    pthread_mutex_unlock(&g->mutex);
}

static void on_release(void *ud, const tlua_slot_info *info, void *permit)
{
    struct giver *g = ud;
    (void)info;
    assert_ptr_equal(permit, g);
    pthread_mutex_lock(&g->mutex);
    g->released++;
    tlua_slot_wait *w = g->waiting;
    g->given += w != NULL;
    g->waiting = NULL;
    pthread_mutex_unlock(&g->mutex);
    if (w) {
        tlua_slot_grant(w, g);
    }
}

static void on_close(void *ud)
{
    struct giver *g = ud;
    pthread_mutex_lock(&g->mutex);
    g->closed++;
    pthread_mutex_unlock(&g->mutex);
}

static void a_supplier_bounds_what_runs(void **state)
{
    (void)state;
    struct program p = {0};
    struct giver g = {.kind = TLUA_SLOT_ACTIVITY, .limit = 2};
    tlua_slot_supplier s = {sizeof s, &g, on_reserve, on_try, on_used, on_release, on_close};
    tlua_error err;
    char names[400];
    pthread_mutex_init(&g.mutex, NULL);
    make(&p);
    assert_int_equal(tlua_worker_set_slots(p.worker, TLUA_SLOT_ACTIVITY, &s, &err), TLUA_OK);
    set(&p, "max_concurrent_workflow_tasks", "4"); /* the other kinds stay the options' */
    assert_int_equal(tlua_worker_start(p.worker, &err), TLUA_OK);
    run_many(&p, "8", names, sizeof names);
    assert_int_equal(atomic_load(&p.most), 2);
    assert_int_equal(tlua_worker_set_slots(p.worker, TLUA_SLOT_ACTIVITY, &s, &err),
                     TLUA_EPRECONDITION);
    end(&p);
    assert_int_equal(g.used, 8);
    assert_int_equal(g.given, g.released);
    assert_int_equal(g.closed, 1);
    pthread_mutex_destroy(&g.mutex);
}

static void wrong_suppliers_are_told(void **state)
{
    (void)state;
    struct program p = {0};
    struct giver g = {0};
    tlua_slot_supplier s = {sizeof s, &g, on_reserve, on_try, NULL, NULL, NULL};
    tlua_error err;
    make(&p);
    assert_int_equal(tlua_worker_set_slots(p.worker, TLUA_SLOT_NEXUS, &s, &err), TLUA_EINVAL);
    assert_non_null(strstr(err.message, "release"));
    s.release = on_release;
    assert_int_equal(tlua_worker_set_slots(p.worker, 0, &s, &err), TLUA_EINVAL);
    assert_int_equal(tlua_worker_set_slots(p.worker, TLUA_SLOT_NEXUS + 1, &s, &err), TLUA_EINVAL);
    assert_int_equal(tlua_worker_set_slots(p.worker, TLUA_SLOT_NEXUS, NULL, &err), TLUA_EINVAL);
    end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_reach_the_worker),
        cmocka_unit_test(calls_of_a_client_are_measured),
        cmocka_unit_test(wrong_options_are_told),
        cmocka_unit_test(a_supplier_bounds_what_runs),
        cmocka_unit_test(wrong_suppliers_are_told),
    };
    return cmocka_run_group_tests(tests, write_script, remove_script);
}
