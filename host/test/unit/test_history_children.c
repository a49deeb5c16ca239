/* Goal: what a run remembers of its children and of its requests to other runs survives a crash at any
 * point, is asked again after it, and takes no answer twice.
 * Method: the history rig plays the parent and compares it with its recovered self after every
 * transaction; the test carries out what the effects ask for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <tl_enums.h>

#include "proto/pb.h"
#include "test/support/history_rig.h"

static TpCommand__Command *child_command(struct history_rig *r, const char *id, int policy)
{
    TpCommand__Command *c = TL_PB_NEW(&r->arena, TpCommand__Command, tp_command__command);
    TpCommand__StartChildWorkflowExecutionCommandAttributes *a =
        TL_PB_NEW(&r->arena, TpCommand__StartChildWorkflowExecutionCommandAttributes,
                  tp_command__start_child_workflow_execution_command_attributes);
    a->workflow_id = tl_pb_cstr(&r->arena, tl_str(id));
    a->workflow_type = TL_PB_NEW(&r->arena, TpCommon__WorkflowType, tp_common__workflow_type);
    a->workflow_type->name = tl_pb_cstr(&r->arena, TL_STR_LIT("Child"));
    a->parent_close_policy = (TpEnums__ParentClosePolicy)policy;
    c->command_type = (TpEnums__CommandType)COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION;
    c->attributes_case =
        TP_COMMAND__COMMAND__ATTRIBUTES_START_CHILD_WORKFLOW_EXECUTION_COMMAND_ATTRIBUTES;
    c->start_child_workflow_execution_command_attributes = a;
    return c;
}

static size_t regenerated(struct history_rig *r, enum tl_effect_kind kind)
{
    struct tl_effects fx = {.arena = &r->arena};
    size_t n = 0;
    assert_int_equal(tl_rs_regenerate(r->rs, &r->env, r->now_ns, &fx, &r->err), TL_OK);
    for (size_t i = 0; i < fx.n; i++) {
        n += fx.items[i].kind == kind;
    }
    return n;
}

static tl_rc started(struct history_rig *r, int64_t id)
{
    return rig_end(r, tl_tx_child_started(rig_begin(r), id, TL_STR_LIT("child-run"), &r->err));
}

static tl_rc completed(struct history_rig *r, int64_t id)
{
    TpHistory__HistoryEvent e = TP_HISTORY__HISTORY_EVENT__INIT;
    TpHistory__WorkflowExecutionCompletedEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_COMPLETED_EVENT_ATTRIBUTES__INIT;
    e.event_type = (TpEnums__EventType)EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED;
    e.attributes_case =
        TP_HISTORY__HISTORY_EVENT__ATTRIBUTES_WORKFLOW_EXECUTION_COMPLETED_EVENT_ATTRIBUTES;
    e.workflow_execution_completed_event_attributes = &a;
    struct tl_child_closed closed = {.initiated_id = id,
                                     .workflow_id = TL_STR_LIT("c"),
                                     .run_id = TL_STR_LIT("last-run"),
                                     .first_run_id = TL_STR_LIT("child-run"),
                                     .event = &e};
    return rig_end(r, tl_tx_child_closed(rig_begin(r), &closed, &r->err));
}

/* 1-4: start and task 5: Initiated */
static void begin(struct history_rig *r, int policy)
{
    history_rig_open(r);
    rig_start(r);
    rig_poll(r);
    assert_int_equal(rig_complete(r, child_command(r, "c", policy)), TL_OK);
    assert_int_equal(rig_effect_count(r, TL_FX_START_CHILD), 1);
    assert_int_equal(rig_effect(r, TL_FX_START_CHILD)->u.initiated_id, 5);
}

/* Asked for until it is answered; each answer counts once. */
static void child_is_asked_for_again(void **state)
{
    struct history_rig r;
    struct tl_child_request q;
    (void)state;
    begin(&r, 0);
    rig_crash(&r);
    assert_int_equal(regenerated(&r, TL_FX_START_CHILD), 1);
    assert_int_equal(tl_rs_child_request(r.rs, 5, &r.arena, &q, &r.err), TL_OK);
    assert_string_equal(q.req->workflow_id, "c");
    assert_int_equal(q.parent.initiated_id, 5);
    assert_int_equal(started(&r, 5), TL_OK);
    assert_int_equal(started(&r, 5), TL_OK);
    assert_string_equal(rig_types(&r, 6), "ChildWorkflowExecutionStarted WorkflowTaskScheduled");
    rig_crash(&r);
    assert_int_equal(regenerated(&r, TL_FX_START_CHILD), 0);
    assert_int_equal(tl_rs_child_request(r.rs, 5, &r.arena, &q, &r.err), TL_ENOTFOUND);
    assert_int_equal(completed(&r, 5), TL_OK);
    assert_int_equal(completed(&r, 5), TL_OK);
    assert_string_equal(rig_types(&r, 8), "ChildWorkflowExecutionCompleted");
    assert_int_equal(
        rig_event(&r, 8)->child_workflow_execution_completed_event_attributes->started_event_id, 6);
    assert_int_equal(rig_info(&r).pending_children, 0);
    history_rig_close(&r);
}

/* Both come while a task is started: ids and their order are given at its end. */
static void child_ends_while_buffered(void **state)
{
    struct history_rig r;
    (void)state;
    begin(&r, 0);
    assert_int_equal(rig_signal(&r, "s", ""), TL_OK);
    rig_poll(&r);
    assert_int_equal(started(&r, 5), TL_OK);
    rig_crash(&r);
    assert_int_equal(completed(&r, 5), TL_OK);
    assert_int_equal(rig_signal(&r, "t", ""), TL_OK);
    assert_int_equal(rig_complete(&r, NULL), TL_OK);
    assert_string_equal(rig_types(&r, 10), "ChildWorkflowExecutionStarted "
                                           "WorkflowExecutionSignaled "
                                           "ChildWorkflowExecutionCompleted WorkflowTaskScheduled");
    assert_int_equal(
        rig_event(&r, 12)->child_workflow_execution_completed_event_attributes->started_event_id,
        10);
    history_rig_close(&r);
}

/* What the close leaves to a started child; nothing to one that has not started. */
static void closing_leaves_children(void **state)
{
    static const int policies[] = {PARENT_CLOSE_POLICY_TERMINATE,
                                   PARENT_CLOSE_POLICY_REQUEST_CANCEL, PARENT_CLOSE_POLICY_ABANDON};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        for (int has_started = 0; has_started < 2; has_started++) {
            struct history_rig r;
            begin(&r, policies[i]);
            if (has_started) {
                assert_int_equal(started(&r, 5), TL_OK);
            }
            assert_int_equal(rig_terminate(&r), TL_OK);
            const struct tl_effect *f = rig_effect(&r, TL_FX_CLOSE_CHILD);
            assert_int_equal(f != NULL, has_started && i < 2);
            if (f) {
                assert_int_equal(f->u.child.terminate, i == 0);
                assert_true(tl_str_eqc(f->u.child.first_run_id, "child-run"));
            }
            assert_int_equal(started(&r, 5), TL_OK);
            assert_int_equal(regenerated(&r, TL_FX_START_CHILD), 0);
            history_rig_close(&r);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(child_is_asked_for_again),
                                       cmocka_unit_test(child_ends_while_buffered),
                                       cmocka_unit_test(closing_leaves_children)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
