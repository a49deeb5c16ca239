/* Goal: native modules load, run and fail with clear errors; the host API does what its header says.
 * Method: modules are compiled by the system's compiler from text in this file; activities run in a
 * stepped worker against a service that the test plays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/metrics.h"
#include "client/client_int.h"
#include "include/temporal_lua.h"
#include "proto/pb.h"
#include "test/support/worker_env.h"
#include "worker/native.h"

static char folder[] = "test-native-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[200];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* Compiles text to a shared object; its path is in `path`. */
static void compile(const char *name, const char *text, char path[200])
{
    char source[200], command[800];
    snprintf(source, sizeof source, "%s/%s.c", folder, name);
    snprintf(path, 200, "%s/%s.so", folder, name);
    FILE *f = fopen(source, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    snprintf(command, sizeof command,
             "cc -std=c11 -Wall -Wextra -Werror -fPIC -shared -I%s/host/include -o %s %s",
             TL_SOURCE_DIR, path, source);
    assert_int_equal(system(command), 0);
}

static const char echo_text[] =
    "#include <string.h>\n"
    "#include \"temporal_lua.h\"\n"
    "static const tlua_host_api *api;\n"
    "static void echo(tlua_activity *a, void *ud) {\n"
    "    tlua_payload p; (void)ud;\n"
    "    for (size_t i = 0; i < api->input_count(a); i++)\n"
    "        if (api->input(a, i, &p) == TLUA_OK)\n"
    "            api->put_payload(a, TLUA_RESULT, \"json/plain\", p.data.data, p.data.size);\n"
    "    api->put_bytes(a, TLUA_RESULT, \"raw\", 3);\n"
    "    api->put_null(a, TLUA_RESULT);\n"
    "    api->log(a, TLUA_LOG_INFO, \"echoed\");\n"
    "}\n"
    "static void decline(tlua_activity *a, void *ud) {\n"
    "    tlua_failure f = TLUA_FAILURE_INIT; (void)ud;\n"
    "    if (api->info(a)->attempt != 3) return;\n"
    "    f.type = \"CardDeclined\"; f.message = \"no money\"; f.non_retryable = true;\n"
    "    f.next_retry_delay_ms = 1500;\n"
    "    api->put_json(a, TLUA_FAILURE_DETAILS, \"{\\\"n\\\":1}\", 7);\n"
    "    api->fail(a, &f);\n"
    "}\n"
    "int tlua_module_v1(const tlua_host_api *host, tlua_module *m) {\n"
    "    if (host->abi != TLUA_ABI_VERSION || !TLUA_HAS(host, log)) return TLUA_EINVAL;\n"
    "    api = host;\n"
    "    int rc = host->register_activity(m, \"echo\", echo, 0);\n"
    "    return rc ? rc : host->register_activity(m, \"decline\", decline, 0);\n"
    "}\n";

static TpCommon__Payloads *json_input(struct tl_arena *a, const char *text)
{
    TpCommon__Payloads *list = TL_PB_NEW(a, TpCommon__Payloads, tp_common__payloads);
    TpCommon__Payload *p = tl_native_payload(a, TL_STR_LIT("json/plain"), tl_str(text));
    list->n_payloads = 1;
    list->payloads = tl_arena_copy(a, &p, sizeof p);
    return list;
}

static const char measure_text[] =
    "#include <stdio.h>\n"
    "#include \"temporal_lua.h\"\n"
    "static const tlua_host_api *api;\n"
    "static int record(tlua_activity *a, int kind, const char *name, double value) {\n"
    "    tlua_metric m = TLUA_METRIC_INIT;\n"
    "    m.kind = kind; m.name = name;\n"
    "    return api->record_metric(a, &m, value, 0, 0);\n"
    "}\n"
    "static void measure(tlua_activity *a, void *ud) {\n"
    "    tlua_metric m = TLUA_METRIC_INIT; char text[80]; int n; (void)ud;\n"
    "    tlua_attribute shelf = {\"shelf\", {\"7\", 1}}, wrong = {\"a b\", {\"7\", 1}};\n"
    "    m.name = \"boxes\"; m.description = \"Boxes\";\n"
    "    api->record_metric(a, &m, 2, &shelf, 1);\n"
    "    api->record_metric(a, &m, 3, &shelf, 1);\n"
    "    record(a, TLUA_METRIC_GAUGE, \"level\", -0.5);\n"
    "    record(a, TLUA_METRIC_HISTOGRAM, \"size\", 70);\n"
    "    record(a, TLUA_METRIC_DURATION, \"took\", 1.5);\n"
    "    n = snprintf(text, sizeof text, \"[%d,%d,%d,%d,%d,%d,%d]\",\n"
    "        record(a, TLUA_METRIC_COUNTER, \"boxes\", -1), record(a, TLUA_METRIC_COUNTER, "
    "\"boxes\", 0.5),\n"
    "        record(a, TLUA_METRIC_COUNTER, \"a b\", 1), record(a, 9, \"boxes\", 1),\n"
    "        api->record_metric(a, &m, 1, &wrong, 1),\n"
    "        record(a, TLUA_METRIC_GAUGE, \"boxes\", 1),\n"
    "        record(a, TLUA_METRIC_COUNTER, \"worker_start\", 1));\n"
    "    api->put_json(a, TLUA_RESULT, text, (size_t)n);\n"
    "}\n"
    "int tlua_module_v1(const tlua_host_api *host, tlua_module *m) {\n"
    "    api = host;\n"
    "    return TLUA_HAS(host, record_metric) ? host->register_activity(m, \"measure\", measure, "
    "0)\n"
    "                                         : TLUA_EINVAL;\n"
    "}\n";

/* Runs the activity of measure_text and compares the codes that it got for wrong calls. */
static void run_measure(struct env *e, const char *codes)
{
    struct tl_rpc_request *req;
    struct tl_error err = {0};
    tlua_payload view;
    char path[200];
    compile("measure", measure_text, path);
    assert_int_equal(tl_native_load(e->registry, tl_str(path), &err), TL_OK);
    env_start(e);
    env_give_activity(e, env_activity(e, "measure", 1, 0));
    TpWs__RespondActivityTaskCompletedRequest *r =
        env_expect(e, TL_M_RespondActivityTaskCompleted, &req);
    tl_native_view(r->result->payloads[0], &view);
    assert_int_equal(view.data.size, strlen(codes));
    assert_memory_equal(view.data.data, codes, view.data.size);
    fake_reply_empty(req);
}

static void a_module_measures(void **state)
{
    (void)state;
    struct env e;
    struct tl_buf page;
    struct tl_metrics *m = tl_metrics_new(NULL);
    env_init(&e, NULL);
    e.fake.client->metrics = m;
    run_measure(&e, "[-1,-1,-1,-1,-1,-3,-1]");
    tl_buf_init(&page, 1 << 20);
    assert_true(tl_metrics_write(m, &page));
    assert_non_null(strstr(
        page.p, "# HELP boxes Boxes\n# TYPE boxes counter\nboxes{activity_type=\"measure\","));
    assert_non_null(strstr(page.p, ",shelf=\"7\",task_queue="));
    assert_non_null(strstr(page.p, "} 5\n"));
    assert_non_null(strstr(page.p, "} -0.5\n"));
    assert_non_null(strstr(page.p, "# TYPE took histogram\n"));
    assert_non_null(strstr(page.p, "} 1500\n"));
    tl_buf_deinit(&page);
    env_end(&e);
    tl_metrics_free(m);
}

/* Without a registry the calls are checked as far as they tell something, and record nothing. */
static void a_module_measures_nothing(void **state)
{
    (void)state;
    struct env e;
    env_init(&e, NULL);
    run_measure(&e, "[-1,-1,-1,-1,-1,0,0]");
    env_end(&e);
}

static void a_module_runs(void **state)
{
    (void)state;
    struct env e;
    char path[200];
    struct tl_rpc_request *req;
    struct tl_error err = {0};
    tlua_payload view;
    compile("echo", echo_text, path);
    env_init(&e, NULL);
    assert_int_equal(tl_native_load(e.registry, tl_str(path), &err), TL_OK);
    assert_int_equal(tl_registry_count(e.registry), 2);
    env_start(&e);

    TpWs__PollActivityTaskQueueResponse *task = env_activity(&e, "echo", 1, 0);
    task->input = json_input(&e.arena, "{\"a\":1}");
    env_give_activity(&e, task);
    TpWs__RespondActivityTaskCompletedRequest *r =
        env_expect(&e, TL_M_RespondActivityTaskCompleted, &req);
    assert_int_equal(r->result->n_payloads, 3);
    tl_native_view(r->result->payloads[0], &view);
    assert_int_equal(view.data.size, 7);
    assert_memory_equal(view.data.data, "{\"a\":1}", 7);
    assert_memory_equal(view.encoding.data, "json/plain", 10);
    tl_native_view(r->result->payloads[1], &view);
    assert_memory_equal(view.encoding.data, "binary/plain", 12);
    tl_native_view(r->result->payloads[2], &view);
    assert_memory_equal(view.encoding.data, "binary/null", 11);
    assert_int_equal(env_logged(&e, "echoed"), 1);
    fake_reply_empty(req);

    env_give_activity(&e, env_activity(&e, "decline", 3, 0));
    TpWs__RespondActivityTaskFailedRequest *f =
        env_expect(&e, TL_M_RespondActivityTaskFailed, &req);
    TpFailure__ApplicationFailureInfo *info = f->failure->application_failure_info;
    assert_string_equal(f->failure->message, "no money");
    assert_string_equal(info->type, "CardDeclined");
    assert_true(info->non_retryable);
    assert_int_equal(info->details->n_payloads, 1);
    assert_int_equal(tl_pb_duration_ms_or(info->next_retry_delay, 0), 1500);
    fake_reply_empty(req);
    env_end(&e);
}

/* --- Loading that fails ------------------------------------------------------------------------ */

static void refuse(const char *path, tl_rc rc, const char *message)
{
    struct tl_registry *r = tl_registry_new();
    struct tl_error err = {0};
    assert_int_equal(tl_native_load(r, tl_str(path), &err), rc);
    if (!strstr(err.message, message)) {
        print_error("message: %s\n", err.message);
    }
    assert_non_null(strstr(err.message, message));
    assert_non_null(strstr(err.message, path));
    assert_int_equal(tl_registry_count(r), 0);
    tl_registry_free(r);
}

static void errors_say_what_is_wrong(void **state)
{
    (void)state;
    char path[200];
    refuse("/nowhere/libx.so", TL_ENOTFOUND, "No such file");
    refuse("libthatdoesnotexist.so", TL_ENOTFOUND, "cannot be loaded");
    snprintf(path, sizeof path, "%s/text.so", folder);
    FILE *f = fopen(path, "w");
    fputs("not a shared object", f);
    fclose(f);
    refuse(path, TL_EINVAL, "cannot be loaded");
    compile("nothing", "int answer(void);\nint answer(void) { return 42; }\n", path);
    refuse(path, TL_EINVAL, "exports no tlua_module_v1");
    compile("empty",
            "#include \"temporal_lua.h\"\n"
            "int tlua_module_v1(const tlua_host_api *h, tlua_module *m)"
            " { (void)h; (void)m; return 0; }\n",
            path);
    refuse(path, TL_EINVAL, "registered no activity");
}

static void a_module_that_refuses_leaves_nothing_behind(void **state)
{
    (void)state;
    char path[200];
    compile("refuses",
            "#include \"temporal_lua.h\"\n"
            "static void f(tlua_activity *a, void *ud) { (void)a; (void)ud; }\n"
            "int tlua_module_v1(const tlua_host_api *h, tlua_module *m) {\n"
            "    if (h->register_activity(m, \"x\", f, 0)) return TLUA_EINVAL;\n"
            "    h->set_error(m, \"no licence file\");\n"
            "    return TLUA_EPRECONDITION;\n"
            "}\n",
            path);
    refuse(path, TL_EINVAL, "no licence file");
}

static void one_name_belongs_to_one_module(void **state)
{
    (void)state;
    char path[200];
    struct tl_registry *r = tl_registry_new();
    struct tl_error err = {0};
    compile("twice", echo_text, path);
    assert_int_equal(tl_native_load(r, tl_str(path), NULL), TL_OK);
    assert_int_equal(tl_native_load(r, tl_str(path), &err), TL_EEXISTS);
    assert_non_null(strstr(err.message, "echo"));
    assert_int_equal(tl_registry_count(r), 2);
    tl_registry_free(r);
}

static int unloads;

static void count_unload(void *ud)
{
    ++*(int *)ud;
}

/* The module calls back into the test: the executable is no shared object, but its address is. */
static void unloading_is_announced(void **state)
{
    (void)state;
    char path[200], text[1200];
    snprintf(text, sizeof text,
             "#include \"temporal_lua.h\"\n"
             "static void f(tlua_activity *a, void *ud) { (void)a; (void)ud; }\n"
             "int tlua_module_v1(const tlua_host_api *h, tlua_module *m) {\n"
             "    h->on_unload(m, (void (*)(void *))%pUL, (void *)%pUL);\n"
             "    return h->register_activity(m, \"x\", f, 0);\n"
             "}\n",
             (void *)(uintptr_t)count_unload, (void *)&unloads);
    compile("unload", text, path);
    struct tl_registry *r = tl_registry_new();
    assert_int_equal(tl_native_load(r, tl_str(path), NULL), TL_OK);
    assert_int_equal(unloads, 0);
    tl_registry_free(r);
    assert_int_equal(unloads, 1);
}

static void the_header_is_c_and_cplusplus(void **state)
{
    (void)state;
    char command[400];
    const char *const compilers[] = {"cc -std=c11 -x c", "c++ -std=c++17 -x c++"};
    for (int i = 0; i < 2; i++) {
        snprintf(command, sizeof command,
                 "echo '#include \"temporal_lua.h\"' | %s -Wall -Wextra -pedantic -Werror "
                 "-fsyntax-only -I%s/host/include -",
                 compilers[i], TL_SOURCE_DIR);
        assert_int_equal(system(command), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_module_runs),
        cmocka_unit_test(a_module_measures),
        cmocka_unit_test(a_module_measures_nothing),
        cmocka_unit_test(errors_say_what_is_wrong),
        cmocka_unit_test(a_module_that_refuses_leaves_nothing_behind),
        cmocka_unit_test(one_name_belongs_to_one_module),
        cmocka_unit_test(unloading_is_announced),
        cmocka_unit_test(the_header_is_c_and_cplusplus),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
