/* Sets of compatible builds: operations and their refusals, routing of new and old runs, of activities and of what
 * follows a run, workers of builds that are not the newest, restarts; and the refusal of all of it by default. */
#include "test_server_fixture.h"

static int setup_with(void **state, bool on_disk, bool allowed)
{
    struct fx *f = tl_mem_alloc(sizeof *f);
    fx_init(f, on_disk);
    f->o.version_sets = f->o.version_sets_workers = allowed;
    fx_open(f);
    *state = f;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, false, true);
}

static int setup_disk(void **state)
{
    return setup_with(state, true, true);
}

static int setup_refused(void **state)
{
    return setup_with(state, false, false);
}

typedef TpWs__UpdateWorkerBuildIdCompatibilityRequest update_request;

#define OPERATION(name) TP_WS__UPDATE_WORKER_BUILD_ID_COMPATIBILITY_REQUEST__OPERATION_##name

static update_request *operation(struct fx *f, int which)
{
    update_request *r =
        TL_PB_NEW(&f->arena, update_request, tp_ws__update_worker_build_id_compatibility_request);
    r->namespace_ = S("default");
    r->task_queue = S("orders");
    r->operation_case = which;
    return r;
}

static update_request *new_default(struct fx *f, const char *build)
{
    update_request *r = operation(f, OPERATION(ADD_NEW_BUILD_ID_IN_NEW_DEFAULT_SET));
    r->add_new_build_id_in_new_default_set = tl_pb_cstr(&f->arena, tl_str(build));
    return r;
}

static update_request *compatible(struct fx *f, const char *build, const char *with, bool promote)
{
    update_request *r = operation(f, OPERATION(ADD_NEW_COMPATIBLE_BUILD_ID));
    r->add_new_compatible_build_id =
        TL_PB_NEW(&f->arena, TpWs__UpdateWorkerBuildIdCompatibilityRequest__AddNewCompatibleVersion,
                  tp_ws__update_worker_build_id_compatibility_request__add_new_compatible_version);
    r->add_new_compatible_build_id->new_build_id = tl_pb_cstr(&f->arena, tl_str(build));
    r->add_new_compatible_build_id->existing_compatible_build_id =
        tl_pb_cstr(&f->arena, tl_str(with));
    r->add_new_compatible_build_id->make_set_default = promote;
    return r;
}

static update_request *promote_set(struct fx *f, const char *build)
{
    update_request *r = operation(f, OPERATION(PROMOTE_SET_BY_BUILD_ID));
    r->promote_set_by_build_id = tl_pb_cstr(&f->arena, tl_str(build));
    return r;
}

static update_request *promote_build(struct fx *f, const char *build)
{
    update_request *r = operation(f, OPERATION(PROMOTE_BUILD_ID_WITHIN_SET));
    r->promote_build_id_within_set = tl_pb_cstr(&f->arena, tl_str(build));
    return r;
}

static update_request *merge(struct fx *f, const char *primary, const char *secondary)
{
    update_request *r = operation(f, OPERATION(MERGE_SETS));
    r->merge_sets = TL_PB_NEW(&f->arena, TpWs__UpdateWorkerBuildIdCompatibilityRequest__MergeSets,
                              tp_ws__update_worker_build_id_compatibility_request__merge_sets);
    r->merge_sets->primary_set_build_id = tl_pb_cstr(&f->arena, tl_str(primary));
    r->merge_sets->secondary_set_build_id = tl_pb_cstr(&f->arena, tl_str(secondary));
    return r;
}

static void update(struct fx *f, update_request *r)
{
    fx_must(f, TL_M_UpdateWorkerBuildIdCompatibility, r);
}

static void refused(struct fx *f, update_request *r, int expected, const char *text)
{
    int status;
    char *message;
    assert_null(fx_try(f, TL_M_UpdateWorkerBuildIdCompatibility, r, &status, &message, NULL));
    assert_int_equal(status, expected);
    assert_non_null(strstr(message, text));
}

/* The sets as "1.0,1.1|2.0", the default one last. */
static void assert_sets(struct fx *f, int max_sets, const char *expected)
{
    TpWs__GetWorkerBuildIdCompatibilityRequest r =
        TP_WS__GET_WORKER_BUILD_ID_COMPATIBILITY_REQUEST__INIT;
    char text[256] = "";
    r.namespace_ = S("default");
    r.task_queue = S("orders");
    r.max_sets = max_sets;
    TpWs__GetWorkerBuildIdCompatibilityResponse *a =
        fx_must(f, TL_M_GetWorkerBuildIdCompatibility, &r);
    for (size_t i = 0; i < a->n_major_version_sets; i++) {
        for (size_t k = 0; k < a->major_version_sets[i]->n_build_ids; k++) {
            size_t n = strlen(text);
            snprintf(text + n, sizeof text - n, "%s%s",
                     k   ? ","
                     : i ? "|"
                         : "",
                     a->major_version_sets[i]->build_ids[k]);
        }
    }
    assert_string_equal(text, expected);
}

/* SDKs ask before they poll as builds. */
static void assert_capability(struct fx *f, bool there)
{
    TpWs__GetSystemInfoRequest r = TP_WS__GET_SYSTEM_INFO_REQUEST__INIT;
    TpWs__GetSystemInfoResponse *info = fx_must(f, TL_M_GetSystemInfo, &r);
    assert_int_equal(info->capabilities->build_id_based_versioning, there);
}

static void test_operations(void **state)
{
    struct fx *f = *state;
    assert_capability(f, true);
    assert_sets(f, 0, "");
    update(f, new_default(f, "1.0"));
    update(f, new_default(f, "1.0")); /* again is fine */
    update(f, new_default(f, "2.0"));
    update(f, compatible(f, "1.1", "1.0", false));
    assert_sets(f, 0, "1.0,1.1|2.0");
    update(f, compatible(f, "1.1", "1.0", false));
    update(f, compatible(f, "1.2", "1.0", true));
    assert_sets(f, 0, "2.0|1.0,1.1,1.2");
    update(f, promote_build(f, "1.0"));
    assert_sets(f, 0, "2.0|1.1,1.2,1.0");
    update(f, promote_set(f, "2.0"));
    assert_sets(f, 0, "1.1,1.2,1.0|2.0");
    assert_sets(f, 1, "2.0");
    update(f, new_default(f, "3.0"));
    update(f, merge(f, "1.0", "2.0"));
    assert_sets(f, 0, "2.0,1.1,1.2,1.0|3.0");
    update(f, merge(f, "1.1", "2.0"));
    assert_sets(f, 0, "2.0,1.1,1.2,1.0|3.0");
    fx_close(f, true);
    fx_open(f);
    assert_sets(f, 0, "2.0,1.1,1.2,1.0|3.0");
}

static void test_refusals(void **state)
{
    struct fx *f = *state;
    char long_id[300], id[8];
    memset(long_id, 'b', sizeof long_id - 1);
    long_id[sizeof long_id - 1] = 0;
    refused(f, promote_set(f, "1.0"), 5, "targeted version 1.0 not found");
    refused(f, compatible(f, "1.1", "1.0", false), 5, "1.0 not found");
    refused(f, merge(f, "1.0", "2.0"), 5, "primary version 1.0 not found");
    update(f, new_default(f, "1.0"));
    update(f, compatible(f, "1.1", "1.0", false));
    update(f, new_default(f, "2.0"));
    refused(f, merge(f, "1.0", "9.9"), 5, "secondary version 9.9 not found");
    refused(f, new_default(f, "1.0"), 3, "1.0 already exists");
    refused(f, compatible(f, "1.0", "1.1", false), 3, "not default in set");
    refused(f, compatible(f, "1.1", "1.0", true), 3, "not default for queue");
    refused(f, compatible(f, "2.0", "1.0", false), 3, "incompatible");
    refused(f, new_default(f, ""), 3, "to be set");
    refused(f, new_default(f, long_id), 3, "no larger than 255");
    refused(f, operation(f, 0), 3, "operation");
    update_request *r = new_default(f, "3.0");
    r->task_queue = S("");
    refused(f, r, 3, "TaskQueue");
    for (int i = 3; i <= 10; i++) {
        snprintf(id, sizeof id, "%d.0", i);
        update(f, new_default(f, id));
    }
    refused(f, new_default(f, "11.0"), 9, "(11/10)");
    assert_sets(f, 2, "9.0|10.0"); /* and nothing was changed */
}

/* --- routing ---------------------------------------------------------------------------------------------- */

static TpCommon__WorkerVersionCapabilities *capabilities(struct fx *f, const char *build)
{
    TpCommon__WorkerVersionCapabilities *caps = TL_PB_NEW(
        &f->arena, TpCommon__WorkerVersionCapabilities, tp_common__worker_version_capabilities);
    caps->build_id = tl_pb_cstr(&f->arena, tl_str(build));
    caps->use_versioning = true;
    return caps;
}

/* What a poll of a build gets at once; NULL: nothing. */
static TpWs__PollWorkflowTaskQueueResponse *poll(struct fx *f, const char *build)
{
    TpWs__PollWorkflowTaskQueueRequest *r = fx_poll_request(f, "orders", false);
    struct fx_call c;
    int status;
    r->worker_version_capabilities = build ? capabilities(f, build) : NULL;
    fx_start(f, &c, TL_M_PollWorkflowTaskQueue, r);
    fx_pump(f);
    if (!c.res) {
        tl_rpc_cancel(c.handle);
        fx_pump(f);
        fx_end(&c, &status, NULL, NULL);
        return NULL;
    }
    return fx_end(&c, &status, NULL, NULL);
}

static void assert_gets(struct fx *f, const char *build, const char *id)
{
    TpWs__PollWorkflowTaskQueueResponse *w = poll(f, build);
    assert_non_null(w);
    assert_non_null(w->workflow_execution);
    assert_string_equal(w->workflow_execution->workflow_id, id);
}

static void complete(struct fx *f, TpWs__PollWorkflowTaskQueueResponse *w, const char *build,
                     TpCommand__Command *a)
{
    TpWs__RespondWorkflowTaskCompletedRequest *r = fx_completion(f, w->task_token, a, NULL, NULL);
    r->worker_version_stamp =
        TL_PB_NEW(&f->arena, TpCommon__WorkerVersionStamp, tp_common__worker_version_stamp);
    r->worker_version_stamp->build_id = tl_pb_cstr(&f->arena, tl_str(build));
    r->worker_version_stamp->use_versioning = true;
    fx_must(f, TL_M_RespondWorkflowTaskCompleted, r);
}

static void signal(struct fx *f, const char *id)
{
    TpWs__SignalWorkflowExecutionRequest r = TP_WS__SIGNAL_WORKFLOW_EXECUTION_REQUEST__INIT;
    r.namespace_ = S("default");
    r.workflow_execution = fx_execution(f, id, "");
    r.signal_name = S("go");
    fx_must(f, TL_M_SignalWorkflowExecution, &r);
}

/* A new run goes to the default set, an old one stays with the set of its build, over restarts; of a set only the
 * newest build is served, and what waits follows a change. */
static void test_runs_stay_with_their_set(void **state)
{
    struct fx *f = *state;
    update(f, new_default(f, "1.0"));
    fx_start_workflow(f, "a");
    assert_null(poll(f, NULL)); /* not for workers without a build */
    TpWs__PollWorkflowTaskQueueResponse *w = poll(f, "1.0");
    assert_non_null(w);
    complete(f, w, "1.0", NULL);
    update(f, new_default(f, "2.0"));
    fx_start_workflow(f, "b");
    signal(f, "a");
    fx_close(f, true);
    fx_open(f);
    assert_gets(f, "2.0", "b");
    assert_null(poll(f, "2.0"));
    /* A compatible build takes the set over while the task waits. */
    update(f, compatible(f, "1.1", "1.0", false));
    int status;
    char *message;
    TpWs__PollWorkflowTaskQueueRequest *old = fx_poll_request(f, "orders", false);
    old->worker_version_capabilities = capabilities(f, "1.0");
    assert_null(fx_try(f, TL_M_PollWorkflowTaskQueue, old, &status, &message, NULL));
    assert_int_equal(status, 9);
    assert_non_null(strstr(message, "newer compatible build: \"1.1\""));
    assert_gets(f, "1.1", "a");
}

/* A set that goes into another one takes its waiting tasks along. */
static void test_merge_moves_what_waits(void **state)
{
    struct fx *f = *state;
    update(f, new_default(f, "1.0"));
    fx_start_workflow(f, "a");
    complete(f, poll(f, "1.0"), "1.0", NULL);
    update(f, new_default(f, "2.0"));
    signal(f, "a");
    assert_null(poll(f, "2.0"));
    update(f, merge(f, "2.0", "1.0"));
    assert_gets(f, "2.0", "a");
}

/* A run that workers without a build began stays with them; one that nobody began goes to the sets. */
static void test_unversioned_runs(void **state)
{
    struct fx *f = *state;
    fx_start_workflow(f, "begun");
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    fx_complete(f, w->task_token, NULL, NULL);
    fx_start_workflow(f, "waits");
    update(f, new_default(f, "1.0"));
    signal(f, "begun");
    assert_gets(f, "1.0", "waits");
    assert_null(poll(f, "1.0"));
    assert_gets(f, NULL, "begun");
}

static TpWs__PollActivityTaskQueueResponse *poll_activity(struct fx *f, const char *build)
{
    TpWs__PollActivityTaskQueueRequest *r = fx_poll_activity_request(f, "orders");
    struct fx_call c;
    int status;
    r->worker_version_capabilities = capabilities(f, build);
    fx_start(f, &c, TL_M_PollActivityTaskQueue, r);
    fx_pump(f);
    if (!c.res) {
        tl_rpc_cancel(c.handle);
        fx_pump(f);
        fx_end(&c, &status, NULL, NULL);
        return NULL;
    }
    return fx_end(&c, &status, NULL, NULL);
}

/* An activity that is for the run's build stays with its set, another goes to the default one. */
static void test_activities(void **state)
{
    struct fx *f = *state;
    update(f, new_default(f, "1.0"));
    fx_start_workflow(f, "a");
    TpWs__PollWorkflowTaskQueueResponse *w = poll(f, "1.0");
    update(f, new_default(f, "2.0"));
    TpCommand__Command *own = fx_activity_command(f, "own", 0);
    TpCommand__Command *any = fx_activity_command(f, "any", 0);
    own->schedule_activity_task_command_attributes->use_workflow_build_id = true;
    any->schedule_activity_task_command_attributes->request_eager_execution = true; /* in vain */
    TpWs__RespondWorkflowTaskCompletedRequest *r = fx_completion(f, w->task_token, own, any, NULL);
    r->worker_version_stamp =
        TL_PB_NEW(&f->arena, TpCommon__WorkerVersionStamp, tp_common__worker_version_stamp);
    r->worker_version_stamp->build_id = S("1.0");
    r->worker_version_stamp->use_versioning = true;
    fx_must(f, TL_M_RespondWorkflowTaskCompleted, r);
    TpWs__PollActivityTaskQueueResponse *a = poll_activity(f, "2.0");
    assert_non_null(a);
    assert_string_equal(a->activity_id, "any");
    assert_null(poll_activity(f, "2.0"));
    a = poll_activity(f, "1.0");
    assert_non_null(a);
    assert_string_equal(a->activity_id, "own");
}

/* A next run that inherits begins with the build of the one before, one that does not with the default set. */
static void continue_and_expect(struct fx *f, const char *id, bool inherits, const char *build)
{
    TpWs__PollWorkflowTaskQueueResponse *w = poll(f, "1.0");
    TpCommand__Command *c = fx_command(f, COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION);
    assert_non_null(w);
    assert_string_equal(w->workflow_execution->workflow_id, id);
    c->attributes_case =
        TP_COMMAND__COMMAND__ATTRIBUTES_CONTINUE_AS_NEW_WORKFLOW_EXECUTION_COMMAND_ATTRIBUTES;
    c->continue_as_new_workflow_execution_command_attributes =
        TL_PB_NEW(&f->arena, TpCommand__ContinueAsNewWorkflowExecutionCommandAttributes,
                  tp_command__continue_as_new_workflow_execution_command_attributes);
    c->continue_as_new_workflow_execution_command_attributes->inherit_build_id = inherits;
    complete(f, w, "1.0", c);
    f->now_ns += 10 * TL_NS_PER_S; /* runs of a chain do not follow at once */
    fx_pump(f);
    assert_gets(f, build, id);
}

static void test_continue_as_new(void **state)
{
    struct fx *f = *state;
    update(f, new_default(f, "1.0"));
    fx_start_workflow(f, "stays");
    fx_start_workflow(f, "moves");
    complete(f, poll(f, "1.0"), "1.0", NULL);
    complete(f, poll(f, "1.0"), "1.0", NULL);
    update(f, new_default(f, "2.0"));
    signal(f, "stays");
    continue_and_expect(f, "stays", true, "1.0");
    signal(f, "moves");
    continue_and_expect(f, "moves", false, "2.0");
}

/* What lists find runs by. */
static void test_build_ids_attribute(void **state)
{
    struct fx *f = *state;
    TpWs__CountWorkflowExecutionsRequest r = TP_WS__COUNT_WORKFLOW_EXECUTIONS_REQUEST__INIT;
    TpWs__CountWorkflowExecutionsResponse *n;
    update(f, new_default(f, "1.0"));
    fx_start_workflow(f, "a");
    complete(f, poll(f, "1.0"), "1.0", NULL);
    update(f, compatible(f, "1.1", "1.0", false));
    signal(f, "a");
    complete(f, poll(f, "1.1"), "1.1", NULL);
    r.namespace_ = S("default");
    r.query = S("BuildIds = 'versioned:1.0' AND BuildIds = 'versioned:1.1'");
    n = fx_must(f, TL_M_CountWorkflowExecutions, &r);
    assert_int_equal(n->count, 1);
    r.query = S("BuildIds = 'versioned:2.0'");
    n = fx_must(f, TL_M_CountWorkflowExecutions, &r);
    assert_int_equal(n->count, 0);
}

/* A server of the present refuses all of it. */
static void test_refused_by_default(void **state)
{
    struct fx *f = *state;
    assert_capability(f, false);
    int status;
    char *message;
    refused(f, new_default(f, "1.0"), 7, "Worker versioning v0.1");
    TpWs__GetWorkerBuildIdCompatibilityRequest get =
        TP_WS__GET_WORKER_BUILD_ID_COMPATIBILITY_REQUEST__INIT;
    get.namespace_ = S("default");
    get.task_queue = S("orders");
    assert_null(fx_try(f, TL_M_GetWorkerBuildIdCompatibility, &get, &status, &message, NULL));
    assert_int_equal(status, 7);
    TpWs__PollWorkflowTaskQueueRequest *poll = fx_poll_request(f, "orders", false);
    poll->worker_version_capabilities = capabilities(f, "1.0");
    assert_null(fx_try(f, TL_M_PollWorkflowTaskQueue, poll, &status, &message, NULL));
    assert_int_equal(status, 7);
    assert_non_null(strstr(message, "disabled on this namespace"));
    poll->worker_version_capabilities->use_versioning =
        false; /* a build that is only told is fine */
    fx_start_workflow(f, "a");
    TpWs__PollWorkflowTaskQueueResponse *w = fx_must(f, TL_M_PollWorkflowTaskQueue, poll);
    assert_string_equal(w->workflow_execution->workflow_id, "a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_operations, setup_disk, fx_teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, fx_teardown),
        cmocka_unit_test_setup_teardown(test_runs_stay_with_their_set, setup_disk, fx_teardown),
        cmocka_unit_test_setup_teardown(test_merge_moves_what_waits, setup, fx_teardown),
        cmocka_unit_test_setup_teardown(test_unversioned_runs, setup, fx_teardown),
        cmocka_unit_test_setup_teardown(test_activities, setup, fx_teardown),
        cmocka_unit_test_setup_teardown(test_continue_as_new, setup, fx_teardown),
        cmocka_unit_test_setup_teardown(test_build_ids_attribute, setup, fx_teardown),
        cmocka_unit_test_setup_teardown(test_refused_by_default, setup_refused, fx_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
