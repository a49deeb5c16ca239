/* Worker deployments: versions that polls make known, routing of tasks by version, transitions,
 * pinned runs and what follows them, overrides, drainage, deletion; all of it after a crash too. */
#include "test_server_fixture.h"

/* --- requests ----------------------------------------------------------------------------------------- */

static TpDeployment__WorkerDeploymentOptions *options(struct fx *f, const char *build)
{
    TpDeployment__WorkerDeploymentOptions *o = TL_PB_NEW(
        &f->arena, TpDeployment__WorkerDeploymentOptions, tp_deployment__worker_deployment_options);
    o->deployment_name = S("shop");
    o->build_id = tl_pb_cstr(&f->arena, tl_str(build));
    o->worker_versioning_mode = (TpEnums__WorkerVersioningMode)WORKER_VERSIONING_MODE_VERSIONED;
    return o;
}

/* One poll of a worker of this build (NULL: unversioned), for at most a second. NULL: no task. */
static TpWs__PollWorkflowTaskQueueResponse *poll_on(struct fx *f, const char *queue, bool sticky,
                                                    const char *build)
{
    struct fx_call c;
    TpWs__PollWorkflowTaskQueueRequest *r = fx_poll_request(f, queue, sticky);
    r->deployment_options = build ? options(f, build) : NULL;
    fx_start(f, &c, TL_M_PollWorkflowTaskQueue, r);
    if (!fx_wait(&c, TL_NS_PER_S)) {
        tl_rpc_cancel(c.handle);
        fx_wait(&c, TL_NS_PER_S);
        fx_end(&c, NULL, NULL, NULL);
        return NULL;
    }
    TpWs__PollWorkflowTaskQueueResponse *w = fx_end(&c, NULL, NULL, NULL);
    return w && w->task_token.len ? w : NULL;
}

static TpWs__PollWorkflowTaskQueueResponse *poll(struct fx *f, const char *build)
{
    return poll_on(f, "orders", false, build);
}

static TpWs__PollActivityTaskQueueResponse *poll_activity(struct fx *f, const char *build)
{
    struct fx_call c;
    TpWs__PollActivityTaskQueueRequest *r = fx_poll_activity_request(f, "orders");
    r->deployment_options = build ? options(f, build) : NULL;
    fx_start(f, &c, TL_M_PollActivityTaskQueue, r);
    if (!fx_wait(&c, TL_NS_PER_S)) {
        tl_rpc_cancel(c.handle);
        fx_wait(&c, TL_NS_PER_S);
        fx_end(&c, NULL, NULL, NULL);
        return NULL;
    }
    TpWs__PollActivityTaskQueueResponse *a = fx_end(&c, NULL, NULL, NULL);
    return a && a->task_token.len ? a : NULL;
}

static void complete(struct fx *f, const TpWs__PollWorkflowTaskQueueResponse *w, const char *build,
                     int behavior, TpCommand__Command *command, const char *sticky)
{
    TpWs__RespondWorkflowTaskCompletedRequest *r =
        fx_completion(f, w->task_token, command, NULL, sticky);
    r->deployment_options = build ? options(f, build) : NULL;
    r->versioning_behavior = (TpEnums__VersioningBehavior)behavior;
    fx_must(f, TL_M_RespondWorkflowTaskCompleted, r);
}

#define PINNED VERSIONING_BEHAVIOR_PINNED
#define AUTO VERSIONING_BEHAVIOR_AUTO_UPGRADE

/* Starts a run and completes its first task on the build. */
static void begin(struct fx *f, const char *id, const char *build, int behavior,
                  TpCommand__Command *command)
{
    fx_start_workflow(f, id);
    TpWs__PollWorkflowTaskQueueResponse *w = poll(f, build);
    assert_non_null(w);
    complete(f, w, build, behavior, command, NULL);
}

static int set_current(struct fx *f, const char *build, char **message)
{
    TpWs__SetWorkerDeploymentCurrentVersionRequest r =
        TP_WS__SET_WORKER_DEPLOYMENT_CURRENT_VERSION_REQUEST__INIT;
    int status;
    r.namespace_ = S("default");
    r.deployment_name = S("shop");
    r.build_id = tl_pb_cstr(&f->arena, tl_str(build));
    r.identity = S("tester");
    fx_try(f, TL_M_SetWorkerDeploymentCurrentVersion, &r, &status, message, NULL);
    return status;
}

static int set_ramping(struct fx *f, const char *build, float percentage)
{
    TpWs__SetWorkerDeploymentRampingVersionRequest r =
        TP_WS__SET_WORKER_DEPLOYMENT_RAMPING_VERSION_REQUEST__INIT;
    int status;
    r.namespace_ = S("default");
    r.deployment_name = S("shop");
    r.build_id = tl_pb_cstr(&f->arena, tl_str(build));
    r.percentage = percentage;
    fx_try(f, TL_M_SetWorkerDeploymentRampingVersion, &r, &status, NULL, NULL);
    return status;
}

static TpWs__DescribeWorkerDeploymentResponse *describe(struct fx *f)
{
    TpWs__DescribeWorkerDeploymentRequest r = TP_WS__DESCRIBE_WORKER_DEPLOYMENT_REQUEST__INIT;
    r.namespace_ = S("default");
    r.deployment_name = S("shop");
    return fx_must(f, TL_M_DescribeWorkerDeployment, &r);
}

static int status_of(struct fx *f, const char *build)
{
    const TpDeployment__WorkerDeploymentInfo *info = describe(f)->worker_deployment_info;
    for (size_t i = 0; i < info->n_version_summaries; i++) {
        if (strcmp(info->version_summaries[i]->deployment_version->build_id, build) == 0) {
            return (int)info->version_summaries[i]->status;
        }
    }
    return 0;
}

static int delete_version(struct fx *f, const char *build, bool skip_drainage)
{
    TpWs__DeleteWorkerDeploymentVersionRequest r =
        TP_WS__DELETE_WORKER_DEPLOYMENT_VERSION_REQUEST__INIT;
    TpDeployment__WorkerDeploymentVersion v = TP_DEPLOYMENT__WORKER_DEPLOYMENT_VERSION__INIT;
    int status;
    v.deployment_name = S("shop");
    v.build_id = S(build);
    r.namespace_ = S("default");
    r.deployment_version = &v;
    r.skip_drainage = skip_drainage;
    fx_try(f, TL_M_DeleteWorkerDeploymentVersion, &r, &status, NULL, NULL);
    return status;
}

/* --- cases --------------------------------------------------------------------------------------------- */

static void test_polls_make_versions_known(void **state)
{
    struct fx *f = *state;
    assert_null(poll(f, "1"));
    assert_null(poll_activity(f, "1"));
    assert_null(poll(f, "2"));
    fx_crash(f);
    const TpDeployment__WorkerDeploymentInfo *info = describe(f)->worker_deployment_info;
    assert_int_equal(info->n_version_summaries, 2);
    assert_string_equal(info->version_summaries[0]->deployment_version->build_id, "2");
    assert_int_equal(status_of(f, "1"), WORKER_DEPLOYMENT_VERSION_STATUS_INACTIVE);
    assert_string_equal(info->routing_config->current_version, "__unversioned__");
    TpWs__DescribeWorkerDeploymentVersionRequest r =
        TP_WS__DESCRIBE_WORKER_DEPLOYMENT_VERSION_REQUEST__INIT;
    r.namespace_ = S("default");
    r.version = S("shop.1");
    TpWs__DescribeWorkerDeploymentVersionResponse *v =
        fx_must(f, TL_M_DescribeWorkerDeploymentVersion, &r);
    assert_int_equal(v->n_version_task_queues, 2);
}

static void test_bad_names_are_refused(void **state)
{
    struct fx *f = *state;
    const char *const bad[] = {"", "a:b", "a.b", "__x"};
    for (size_t i = 0; i < 4; i++) {
        TpWs__PollWorkflowTaskQueueRequest *r = fx_poll_request(f, "orders", false);
        int status;
        r->deployment_options = options(f, "1");
        r->deployment_options->deployment_name = S(bad[i]);
        fx_try(f, TL_M_PollWorkflowTaskQueue, r, &status, NULL, NULL);
        assert_int_equal(status, tl_rc_grpc_status(TL_EINVAL));
    }
}

static void test_current_version_gets_new_runs(void **state)
{
    struct fx *f = *state;
    char *message;
    fx_start_workflow(f, "o-1");
    assert_null(poll(f, "1")); /* not current: the run is for unversioned workers */
    assert_null(poll(f, "2"));
    assert_int_equal(set_current(f, "9", &message), tl_rc_grpc_status(TL_ENOTFOUND));
    assert_int_equal(set_current(f, "1", NULL), 0); /* what waits is offered again */
    fx_crash(f);
    assert_null(poll(f, "2"));
    assert_null(poll(f, NULL));
    TpWs__PollWorkflowTaskQueueResponse *w = poll(f, "1");
    assert_non_null(w);
    complete(f, w, "1", AUTO, NULL, "sticky-1");
    /* Its worker keeps it while its version is current, and loses it with that. */
    assert_null(poll_on(f, "sticky-1", true, "1"));
    fx_signal(f, "o-1", "s");
    w = poll_on(f, "sticky-1", true, "1");
    assert_non_null(w);
    complete(f, w, "1", AUTO, NULL, "sticky-1");
    assert_null(poll_on(f, "sticky-1", true, "1"));
    assert_int_equal(set_current(f, "2", NULL), 0);
    fx_signal(f, "o-1", "s");
    assert_null(poll_on(f, "sticky-1", true, "1"));
    assert_null(poll(f, "1"));
    w = poll(f, "2");
    assert_non_null(w);
    assert_int_equal(w->history->events[0]->event_id, 1);
    assert_non_null(
        fx_describe(f, "o-1", "")->workflow_execution_info->versioning_info->version_transition);
    complete(f, w, "2", AUTO, NULL, NULL);
    const TpWorkflow__WorkflowExecutionVersioningInfo *v =
        fx_describe(f, "o-1", "")->workflow_execution_info->versioning_info;
    assert_null(v->version_transition);
    assert_string_equal(v->deployment_version->build_id, "2");
    assert_int_equal(set_current(f, "", NULL), 0); /* back to unversioned */
    fx_signal(f, "o-1", "s");
    assert_null(poll(f, "2"));
    assert_non_null(poll(f, NULL));
}

static void test_ramp(void **state)
{
    struct fx *f = *state;
    int on_ramp = 0;
    assert_null(poll(f, "1"));
    assert_null(poll(f, "2"));
    assert_int_equal(set_current(f, "1", NULL), 0);
    assert_int_equal(set_ramping(f, "1", 10), tl_rc_grpc_status(TL_EPRECONDITION));
    assert_int_equal(set_ramping(f, "2", 100.5F), tl_rc_grpc_status(TL_EINVAL));
    assert_int_equal(set_ramping(f, "2", 30), 0);
    assert_int_equal(status_of(f, "2"), WORKER_DEPLOYMENT_VERSION_STATUS_RAMPING);
    for (int i = 0; i < 100; i++) {
        char id[16];
        snprintf(id, sizeof id, "r-%d", i);
        fx_start_workflow(f, id);
    }
    for (TpWs__PollWorkflowTaskQueueResponse *w; (w = poll(f, "2")) != NULL; on_ramp++) {
        complete(f, w, "2", AUTO, fx_complete_command(f), NULL);
    }
    assert_in_range(on_ramp, 15, 45);
    assert_int_equal(set_ramping(f, "2", 100), 0); /* who waits for the current version moves too */
    for (; poll(f, "2"); on_ramp++) {
    }
    assert_int_equal(on_ramp, 100);
    assert_int_equal(set_ramping(f, "", 50), 0); /* to unversioned workers */
    assert_int_equal(status_of(f, "2"), WORKER_DEPLOYMENT_VERSION_STATUS_DRAINING);
    assert_int_equal(set_ramping(f, "", 0), 0);
    assert_int_equal((int)describe(f)->worker_deployment_info->routing_config->ramping_version[0],
                     0);
}

static void test_pinned_runs_stay(void **state)
{
    struct fx *f = *state;
    assert_null(poll(f, "1"));
    assert_null(poll_activity(f, "1"));
    assert_null(poll(f, "2"));
    assert_null(poll_activity(f, "2"));
    assert_int_equal(set_current(f, "1", NULL), 0);
    begin(f, "p-1", "1", PINNED, NULL);
    assert_int_equal(set_current(f, "2", NULL), 0);
    fx_crash(f);
    fx_signal(f, "p-1", "s");
    assert_null(poll(f, "2"));
    TpWs__PollWorkflowTaskQueueResponse *w = poll(f, "1");
    assert_non_null(w);
    complete(f, w, "1", PINNED, fx_activity_command(f, "a", 0), NULL);
    assert_null(poll_activity(f, "2"));
    TpWs__PollActivityTaskQueueResponse *a = poll_activity(f, "1");
    assert_non_null(a);
    fx_complete_activity(f, a->task_token);
    /* The next run of the chain is born pinned. */
    w = poll(f, "1");
    TpCommand__Command *c = fx_command(f, COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION);
    c->attributes_case =
        TP_COMMAND__COMMAND__ATTRIBUTES_CONTINUE_AS_NEW_WORKFLOW_EXECUTION_COMMAND_ATTRIBUTES;
    c->continue_as_new_workflow_execution_command_attributes =
        TL_PB_NEW(&f->arena, TpCommand__ContinueAsNewWorkflowExecutionCommandAttributes,
                  tp_command__continue_as_new_workflow_execution_command_attributes);
    complete(f, w, "1", PINNED, c, NULL);
    fx_crash(f);
    assert_null(poll(f, "2"));
    w = poll(f, "1");
    assert_non_null(w);
    assert_string_equal(
        w->history->events[0]
            ->workflow_execution_started_event_attributes->inherited_pinned_version->build_id,
        "1");
    /* Asked to, the one after that is not. */
    c->continue_as_new_workflow_execution_command_attributes->initial_versioning_behavior =
        (TpEnums__ContinueAsNewVersioningBehavior)CONTINUE_AS_NEW_VERSIONING_BEHAVIOR_AUTO_UPGRADE;
    complete(f, w, "1", PINNED, c, NULL);
    assert_null(poll(f, "1"));
    assert_non_null(poll(f, "2"));
}

static void test_activities_wait_for_the_transition(void **state)
{
    struct fx *f = *state;
    for (int i = 1; i <= 2; i++) {
        assert_null(poll(f, i == 1 ? "1" : "2"));
        assert_null(poll_activity(f, i == 1 ? "1" : "2"));
    }
    assert_int_equal(set_current(f, "1", NULL), 0);
    begin(f, "a-1", "1", AUTO, fx_activity_command(f, "a", 0));
    assert_int_equal(set_current(f, "2", NULL), 0);
    assert_null(poll_activity(f, "1"));
    assert_null(poll_activity(f, "2")); /* the run moves first */
    TpWs__PollWorkflowTaskQueueResponse *w = poll(f, "2");
    assert_non_null(w);
    assert_null(poll_activity(f, "2"));
    complete(f, w, "2", AUTO, NULL, NULL);
    TpWs__PollActivityTaskQueueResponse *a = poll_activity(f, "2");
    assert_non_null(a);
    fx_complete_activity(f, a->task_token);
    assert_string_equal(fx_history(f, "a-1", "", 0), "1 5 6 7 10 5 6 7 11 12 5");
}

/* Routing changes nothing about turns: what waits for another version stays where it is, what moves goes by age. */
static void test_turns_outlast_the_routing(void **state)
{
    struct fx *f = *state;
    static const char *const waiting[] = {"t-2", "t-3", "t-1"}; /* not as the runs began */
    assert_null(poll(f, "1"));
    assert_null(poll(f, "2"));
    assert_int_equal(set_current(f, "1", NULL), 0);
    begin(f, "t-1", "1", AUTO, NULL);
    begin(f, "t-2", "1", AUTO, NULL);
    begin(f, "t-3", "1", AUTO, NULL);
    for (int i = 0; i < 3; i++) {
        f->now_ns += TL_NS_PER_S;
        fx_signal(f, waiting[i], "s");
    }
    assert_null(poll(f, "3")); /* a version becomes known */
    TpWs__PollWorkflowTaskQueueResponse *w = poll(f, "1");
    assert_non_null(w);
    assert_string_equal(w->workflow_execution->workflow_id, "t-2");
    complete(f, w, "1", AUTO, NULL, NULL);
    f->now_ns += TL_NS_PER_S;
    fx_signal(f, "t-2", "s");
    assert_int_equal(set_current(f, "2", NULL), 0);
    for (int i = 1; i <= 3; i++) {
        w = poll(f, "2");
        assert_non_null(w);
        assert_string_equal(w->workflow_execution->workflow_id, waiting[i % 3]);
    }
}

/* A worker that tells no behavior leaves the run where it is: to move it again would go on for ever. */
static void test_a_run_that_does_not_move_is_not_asked_again(void **state)
{
    struct fx *f = *state;
    assert_null(poll(f, "1"));
    assert_null(poll_activity(f, "1"));
    assert_int_equal(set_current(f, "1", NULL), 0);
    begin(f, "a-1", "1", VERSIONING_BEHAVIOR_UNSPECIFIED, fx_activity_command(f, "a", 0));
    TpWs__PollActivityTaskQueueResponse *a = poll_activity(f, "1");
    assert_non_null(a);
    fx_complete_activity(f, a->task_token);
    assert_string_equal(fx_history(f, "a-1", "", 0), "1 5 6 7 10 11 12 5");
}

static TpWorkflow__VersioningOverride *pin_to(struct fx *f, const char *build)
{
    TpWorkflow__VersioningOverride *o =
        TL_PB_NEW(&f->arena, TpWorkflow__VersioningOverride, tp_workflow__versioning_override);
    o->override_case = TP_WORKFLOW__VERSIONING_OVERRIDE__OVERRIDE_PINNED;
    o->pinned = TL_PB_NEW(&f->arena, TpWorkflow__VersioningOverride__PinnedOverride,
                          tp_workflow__versioning_override__pinned_override);
    o->pinned->version = TL_PB_NEW(&f->arena, TpDeployment__WorkerDeploymentVersion,
                                   tp_deployment__worker_deployment_version);
    o->pinned->version->deployment_name = S("shop");
    o->pinned->version->build_id = tl_pb_cstr(&f->arena, tl_str(build));
    return o;
}

static int set_override(struct fx *f, const char *id, TpWorkflow__VersioningOverride *o,
                        const char *path)
{
    TpWs__UpdateWorkflowExecutionOptionsRequest r =
        TP_WS__UPDATE_WORKFLOW_EXECUTION_OPTIONS_REQUEST__INIT;
    TpWorkflow__WorkflowExecutionOptions x = TP_WORKFLOW__WORKFLOW_EXECUTION_OPTIONS__INIT;
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    char *paths[] = {S(path)};
    int status;
    x.versioning_override = o;
    mask.n_paths = *path ? 1 : 0;
    mask.paths = paths;
    r.namespace_ = S("default");
    r.workflow_execution = fx_execution(f, id, "");
    r.workflow_execution_options = &x;
    r.update_mask = &mask;
    fx_try(f, TL_M_UpdateWorkflowExecutionOptions, &r, &status, NULL, NULL);
    return status;
}

static void test_overrides(void **state)
{
    struct fx *f = *state;
    assert_null(poll(f, "1"));
    assert_null(poll(f, "2"));
    assert_int_equal(set_current(f, "2", NULL), 0);
    TpWs__StartWorkflowExecutionRequest *r = fx_start_request(f, "v-1");
    r->versioning_override = pin_to(f, "");
    int status;
    fx_try(f, TL_M_StartWorkflowExecution, r, &status, NULL, NULL);
    assert_int_equal(status, tl_rc_grpc_status(TL_EINVAL));
    r->versioning_override = pin_to(f, "1");
    fx_must(f, TL_M_StartWorkflowExecution, r);
    fx_crash(f);
    assert_null(poll(f, "2"));
    TpWs__PollWorkflowTaskQueueResponse *w = poll(f, "1");
    assert_non_null(w);
    complete(f, w, "1", AUTO, NULL, NULL);
    fx_signal(f, "v-1", "s");
    assert_int_equal(set_override(f, "v-1", NULL, ""), tl_rc_grpc_status(TL_EINVAL));
    assert_int_equal(set_override(f, "v-1", NULL, "priority"), tl_rc_grpc_status(TL_EINVAL));
    assert_null(poll(f, "2"));
    assert_int_equal(set_override(f, "v-1", NULL, "versioning_override"), 0);
    assert_int_equal(set_override(f, "v-1", NULL, "versioning_override"), 0); /* nothing to do */
    fx_crash(f);
    assert_null(poll(f, "1"));
    w = poll(f, "2"); /* the waiting task moved with the change */
    assert_non_null(w);
    complete(f, w, "2", AUTO, NULL, NULL);
    assert_string_equal(fx_history(f, "v-1", "", 0), "1 5 6 7 26 5 55 6 7");
    assert_int_equal(set_override(f, "v-1", pin_to(f, "1"), "versioning_override"), 0);
    fx_close(f, false); /* from the row this time, not from the log */
    fx_open(f);
    fx_signal(f, "v-1", "s");
    assert_null(poll(f, "2"));
    assert_non_null(poll(f, "1"));
}

static void test_drainage_and_deletion(void **state)
{
    struct fx *f = *state;
    TpWs__DeleteWorkerDeploymentRequest d = TP_WS__DELETE_WORKER_DEPLOYMENT_REQUEST__INIT;
    int status;
    d.namespace_ = S("default");
    d.deployment_name = S("shop");
    assert_null(poll(f, "1"));
    assert_null(poll(f, "2"));
    assert_int_equal(set_current(f, "1", NULL), 0);
    begin(f, "p-1", "1", PINNED, NULL);
    assert_int_equal(delete_version(f, "1", true), tl_rc_grpc_status(TL_EPRECONDITION));
    assert_int_equal(set_current(f, "2", NULL), 0);
    f->now_ns += 179 * TL_NS_PER_S;
    assert_int_equal(status_of(f, "1"), WORKER_DEPLOYMENT_VERSION_STATUS_DRAINING);
    fx_signal(f, "p-1", "s");
    TpWs__PollWorkflowTaskQueueResponse *w = poll(f, "1");
    f->now_ns += 2 * TL_NS_PER_S; /* the grace is over, the run is not */
    assert_int_equal(status_of(f, "1"), WORKER_DEPLOYMENT_VERSION_STATUS_DRAINING);
    complete(f, w, "1", PINNED, fx_complete_command(f), NULL);
    assert_int_equal(status_of(f, "1"), WORKER_DEPLOYMENT_VERSION_STATUS_DRAINING);
    assert_int_equal(delete_version(f, "1", true),
                     tl_rc_grpc_status(TL_EPRECONDITION)); /* polled */
    f->now_ns += 181 * TL_NS_PER_S;
    assert_int_equal(status_of(f, "1"), WORKER_DEPLOYMENT_VERSION_STATUS_DRAINED);
    assert_int_equal(delete_version(f, "1", false), tl_rc_grpc_status(TL_EPRECONDITION));
    f->now_ns += 301 * TL_NS_PER_S;
    fx_crash(f);
    assert_int_equal(status_of(f, "1"), WORKER_DEPLOYMENT_VERSION_STATUS_DRAINED);
    assert_int_equal(delete_version(f, "1", false), 0);
    assert_int_equal(delete_version(f, "1", false), tl_rc_grpc_status(TL_ENOTFOUND));
    fx_try(f, TL_M_DeleteWorkerDeployment, &d, &status, NULL, NULL);
    assert_int_equal(status, tl_rc_grpc_status(TL_EPRECONDITION));
    assert_int_equal(set_current(f, "", NULL), 0);
    assert_int_equal(delete_version(f, "2", false), tl_rc_grpc_status(TL_EPRECONDITION));
    assert_int_equal(delete_version(f, "2", true), 0);
    fx_must(f, TL_M_DeleteWorkerDeployment, &d);
    fx_crash(f);
    fx_try(f, TL_M_DeleteWorkerDeployment, &d, &status, NULL, NULL);
    assert_int_equal(status, tl_rc_grpc_status(TL_ENOTFOUND));
}

static void test_versions_drain_each_by_itself(void **state)
{
    struct fx *f = *state;
    for (char build[2] = "1"; build[0] <= '4'; build[0]++) {
        assert_null(poll(f, build));
    }
    assert_int_equal(set_current(f, "1", NULL), 0);
    begin(f, "p-1", "1", PINNED, NULL);
    assert_int_equal(set_current(f, "2", NULL), 0);
    begin(f, "a-2", "2", AUTO, NULL); /* moves on: its version drains without it */
    assert_int_equal(set_current(f, "3", NULL), 0);
    begin(f, "p-3", "3", PINNED, NULL);
    assert_int_equal(set_current(f, "4", NULL), 0);
    fx_start_workflow(f, "waits");
    f->now_ns += 181 * TL_NS_PER_S; /* all three are due at once */
    assert_int_equal(status_of(f, "1"), WORKER_DEPLOYMENT_VERSION_STATUS_DRAINING);
    assert_int_equal(status_of(f, "2"), WORKER_DEPLOYMENT_VERSION_STATUS_DRAINED);
    assert_int_equal(status_of(f, "3"), WORKER_DEPLOYMENT_VERSION_STATUS_DRAINING);
    assert_int_equal(status_of(f, "4"), WORKER_DEPLOYMENT_VERSION_STATUS_CURRENT);
    f->now_ns += 301 * TL_NS_PER_S;
    assert_int_equal(delete_version(f, "2", false), 0);
    assert_non_null(poll(f, "4")); /* what waited is where it was */
}

static void test_as_many_versions_as_allowed(void **state)
{
    struct fx *f = *state;
    int status;
    fx_close(f, false);
    f->o.deployment_versions_max = 2;
    fx_open(f);
    assert_null(poll(f, "1"));
    assert_null(poll(f, "2"));
    TpWs__PollWorkflowTaskQueueRequest *r = fx_poll_request(f, "orders", false);
    r->deployment_options = options(f, "3");
    fx_try(f, TL_M_PollWorkflowTaskQueue, r, &status, NULL, NULL);
    assert_int_equal(status, tl_rc_grpc_status(TL_ELIMIT));
    assert_int_equal(describe(f)->worker_deployment_info->n_version_summaries, 2);
    f->now_ns += 301 * TL_NS_PER_S; /* nobody polls for them: the oldest makes room */
    assert_null(poll(f, "3"));
    assert_int_equal(status_of(f, "1"), 0);
    assert_int_equal(status_of(f, "3"), WORKER_DEPLOYMENT_VERSION_STATUS_INACTIVE);
}

static void test_conflict_tokens_and_managers(void **state)
{
    struct fx *f = *state;
    TpWs__SetWorkerDeploymentManagerRequest m = TP_WS__SET_WORKER_DEPLOYMENT_MANAGER_REQUEST__INIT;
    TpWs__SetWorkerDeploymentCurrentVersionRequest r =
        TP_WS__SET_WORKER_DEPLOYMENT_CURRENT_VERSION_REQUEST__INIT;
    int status;
    char *message;
    assert_int_equal(set_current(f, "1", &message), tl_rc_grpc_status(TL_EPRECONDITION));
    assert_null(poll(f, "1"));
    r.namespace_ = m.namespace_ = S("default");
    r.deployment_name = m.deployment_name = S("shop");
    r.build_id = S("1");
    r.conflict_token = describe(f)->conflict_token;
    fx_must(f, TL_M_SetWorkerDeploymentCurrentVersion, &r);
    r.build_id = S("");
    fx_try(f, TL_M_SetWorkerDeploymentCurrentVersion, &r, &status, NULL, NULL); /* used up */
    assert_int_equal(status, tl_rc_grpc_status(TL_EPRECONDITION));
    m.new_manager_identity_case =
        TP_WS__SET_WORKER_DEPLOYMENT_MANAGER_REQUEST__NEW_MANAGER_IDENTITY_SELF;
    m.self = true;
    fx_try(f, TL_M_SetWorkerDeploymentManager, &m, &status, NULL, NULL);
    assert_int_equal(status, tl_rc_grpc_status(TL_EINVAL));
    m.identity = S("bob");
    fx_must(f, TL_M_SetWorkerDeploymentManager, &m);
    fx_crash(f);
    assert_int_equal(set_current(f, "", &message), tl_rc_grpc_status(TL_EPRECONDITION));
    assert_non_null(strstr(message, "bob"));
    m.new_manager_identity_case =
        TP_WS__SET_WORKER_DEPLOYMENT_MANAGER_REQUEST__NEW_MANAGER_IDENTITY_MANAGER_IDENTITY;
    m.manager_identity = S("");
    fx_must(f, TL_M_SetWorkerDeploymentManager, &m);
    assert_int_equal(set_current(f, "", NULL), 0);
}

/* A version that leaves a queue of the current one without workers. */
static void test_missing_task_queues(void **state)
{
    struct fx *f = *state;
    TpWs__SetWorkerDeploymentCurrentVersionRequest r =
        TP_WS__SET_WORKER_DEPLOYMENT_CURRENT_VERSION_REQUEST__INIT;
    char *message;
    assert_null(poll(f, "1"));
    assert_null(poll_on(f, "extra", false, "1"));
    assert_null(poll(f, "2"));
    assert_int_equal(set_current(f, "1", NULL), 0);
    assert_int_equal(set_current(f, "2", &message), tl_rc_grpc_status(TL_EPRECONDITION));
    assert_non_null(strstr(message, "\"extra\""));
    r.namespace_ = S("default");
    r.deployment_name = S("shop");
    r.build_id = S("2");
    r.ignore_missing_task_queues = true;
    TpWs__SetWorkerDeploymentCurrentVersionResponse *done =
        fx_must(f, TL_M_SetWorkerDeploymentCurrentVersion, &r);
    assert_string_equal(done->previous_deployment_version->build_id, "1");
    r.build_id = S("7"); /* not there yet */
    r.allow_no_pollers = true;
    fx_must(f, TL_M_SetWorkerDeploymentCurrentVersion, &r);
    assert_int_equal(status_of(f, "7"), WORKER_DEPLOYMENT_VERSION_STATUS_CURRENT);
    fx_start_workflow(f, "m-1");
    assert_non_null(poll(f, "7")); /* it serves the queue from its first poll on */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_polls_make_versions_known, fx_setup_file, fx_teardown),
        cmocka_unit_test_setup_teardown(test_bad_names_are_refused, fx_setup_file, fx_teardown),
        cmocka_unit_test_setup_teardown(test_current_version_gets_new_runs, fx_setup_file,
                                        fx_teardown),
        cmocka_unit_test_setup_teardown(test_ramp, fx_setup_file, fx_teardown),
        cmocka_unit_test_setup_teardown(test_pinned_runs_stay, fx_setup_file, fx_teardown),
        cmocka_unit_test_setup_teardown(test_turns_outlast_the_routing, fx_setup_file, fx_teardown),
        cmocka_unit_test_setup_teardown(test_a_run_that_does_not_move_is_not_asked_again,
                                        fx_setup_file, fx_teardown),
        cmocka_unit_test_setup_teardown(test_activities_wait_for_the_transition, fx_setup_file,
                                        fx_teardown),
        cmocka_unit_test_setup_teardown(test_overrides, fx_setup_file, fx_teardown),
        cmocka_unit_test_setup_teardown(test_drainage_and_deletion, fx_setup_file, fx_teardown),
        cmocka_unit_test_setup_teardown(test_versions_drain_each_by_itself, fx_setup_file,
                                        fx_teardown),
        cmocka_unit_test_setup_teardown(test_as_many_versions_as_allowed, fx_setup_file,
                                        fx_teardown),
        cmocka_unit_test_setup_teardown(test_conflict_tokens_and_managers, fx_setup_file,
                                        fx_teardown),
        cmocka_unit_test_setup_teardown(test_missing_task_queues, fx_setup_file, fx_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
