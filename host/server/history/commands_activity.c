/* ScheduleActivityTask and RequestCancelActivityTask.
 * Thread: the run's owner. */
#include <string.h>

#include "server/history/commands.h"
#include "server/history/policy.h"
#include "server/history/priority.h"
#include "server/history/rs.h"

/* --- what the server makes of the attributes ------------------------------------------------- */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Missing timeouts come from the others; none exceeds the run timeout. False: not enough is set. */
static bool complete_timeouts(struct tl_activity_plan *p, int64_t run_ns)
{
    bool close_set = p->schedule_to_close_ns > 0, start_set = p->schedule_to_start_ns > 0;
    bool run_set = p->start_to_close_ns > 0;
    if (close_set) {
        p->schedule_to_start_ns = start_set
                                      ? least(p->schedule_to_start_ns, p->schedule_to_close_ns)
                                      : p->schedule_to_close_ns;
        p->start_to_close_ns = run_set ? least(p->start_to_close_ns, p->schedule_to_close_ns)
                                       : p->schedule_to_close_ns;
    } else if (run_set) {
        p->schedule_to_close_ns = run_ns;
        if (!start_set) {
            p->schedule_to_start_ns = run_ns;
        }
    } else {
        return false;
    }
    if (run_ns > 0) {
        p->schedule_to_close_ns = least(p->schedule_to_close_ns, run_ns);
        p->schedule_to_start_ns = least(p->schedule_to_start_ns, run_ns);
        p->start_to_close_ns = least(p->start_to_close_ns, run_ns);
        p->heartbeat_ns = least(p->heartbeat_ns, run_ns);
    }
    p->heartbeat_ns = least(p->heartbeat_ns, p->start_to_close_ns);
    return true;
}

static const char *make_plan(int64_t run_timeout_ns,
                             const TpCommand__ScheduleActivityTaskCommandAttributes *a,
                             struct tl_activity_plan *p)
{
    const char *problem = NULL;
    p->schedule_to_close_ns = tl_duration_checked_ns(a->schedule_to_close_timeout, &problem);
    if (problem) {
        return "ScheduleToCloseTimeout";
    }
    p->schedule_to_start_ns = tl_duration_checked_ns(a->schedule_to_start_timeout, &problem);
    if (problem) {
        return "ScheduleToStartTimeout";
    }
    p->start_to_close_ns = tl_duration_checked_ns(a->start_to_close_timeout, &problem);
    if (problem) {
        return "StartToCloseTimeout";
    }
    p->heartbeat_ns = tl_duration_checked_ns(a->heartbeat_timeout, &problem);
    if (problem) {
        return "HeartbeatTimeout";
    }
    tl_retry_policy_fill(&p->retry, a->retry_policy);
    return complete_timeouts(p, run_timeout_ns) ? NULL : "";
}

/* --- schedule -------------------------------------------------------------------------------- */

static bool check_names(struct tl_wft_done *d,
                        const TpCommand__ScheduleActivityTaskCommandAttributes *a)
{
    const int cause = WORKFLOW_TASK_FAILED_CAUSE_BAD_SCHEDULE_ACTIVITY_ATTRIBUTES;
    const char *type = a->activity_type ? a->activity_type->name : NULL;
    const char *queue = a->task_queue ? a->task_queue->name : NULL;
    const long long id_bytes = (long long)d->tx->env->limits.id_bytes;
    struct tl_error err;
    if (!a->task_queue) {
        tl_refuse(d, cause, "taskQueue is not set");
    } else if (!tl_has_text(queue)) {
        tl_refuse(d, cause, "missing task queue name");
    } else if ((long long)strlen(queue) > id_bytes) {
        tl_refuse(d, cause, "taskQueue length exceeds limit. Length=%zu Limit=%lld", strlen(queue),
                  id_bytes);
    } else if (!tl_has_text(a->activity_id)) {
        tl_refuse(d, cause, "activityId is not set");
    } else if (!tl_has_text(type)) {
        tl_refuse(d, cause, "activityType is not set");
    } else if ((long long)strlen(a->activity_id) > id_bytes) {
        tl_refuse(d, cause, "activityId exceeds length limit. Length=%zu Limit=%lld",
                  strlen(a->activity_id), id_bytes);
    } else if ((long long)strlen(type) > id_bytes) {
        tl_refuse(d, cause, "activityType exceeds length limit. Length=%zu Limit=%lld",
                  strlen(type), id_bytes);
    } else if (tl_priority_check(a->priority, &err) != TL_OK) {
        tl_refuse(d, cause, "invalid priorities: %s", err.message);
    }
    return !d->no.cause;
}

tl_rc tl_activity_plan_check(int64_t run_timeout_ns,
                             const TpCommand__ScheduleActivityTaskCommandAttributes *a,
                             struct tl_activity_plan *out, struct tl_error *err)
{
    const char *bad = make_plan(run_timeout_ns, a, out);
    if (bad && *bad) {
        return tl_error_set(err, TL_EINVAL, "invalid %s: negative duration", bad);
    }
    tl_rc rc = tl_retry_policy_check(&out->retry.policy, err);
    if (rc == TL_OK && bad) {
        rc =
            tl_error_set(err, TL_EINVAL,
                         "a valid StartToCloseTimeout or ScheduleToCloseTimeout must be set on the "
                         "activity. ActivityId=%.100s ActivityType=%.100s",
                         a->activity_id, a->activity_type->name);
    }
    return rc;
}

void tl_activity_plan_fill(struct tl_activity_plan *plan,
                           TpHistory__ActivityTaskScheduledEventAttributes *attrs)
{
    plan->schedule_to_close = tl_duration_value(plan->schedule_to_close_ns);
    plan->schedule_to_start = tl_duration_value(plan->schedule_to_start_ns);
    plan->start_to_close = tl_duration_value(plan->start_to_close_ns);
    plan->heartbeat = tl_duration_value(plan->heartbeat_ns);
    attrs->schedule_to_close_timeout = &plan->schedule_to_close;
    attrs->schedule_to_start_timeout = &plan->schedule_to_start;
    attrs->start_to_close_timeout = &plan->start_to_close;
    attrs->heartbeat_timeout = &plan->heartbeat;
    attrs->retry_policy = &plan->retry.policy;
}

static bool check_policies(struct tl_wft_done *d,
                           const TpCommand__ScheduleActivityTaskCommandAttributes *a)
{
    struct tl_activity_plan p;
    struct tl_error e = {0};
    if (tl_activity_plan_check(d->tx->rs->run_timeout_ns, a, &p, &e) != TL_OK) {
        tl_refuse(d, WORKFLOW_TASK_FAILED_CAUSE_BAD_SCHEDULE_ACTIVITY_ATTRIBUTES, "%s", e.message);
    }
    return !d->no.cause;
}

static bool is_pending(const struct tl_wft_done *d, const char *activity_id)
{
    enum tl_overlay over = tl_over_get(&d->act_ids, activity_id);
    return over == TL_OVER_NONE ? tl_rs_act_by_id(d->tx->rs, tl_str(activity_id)) != NULL
                                : over != TL_OVER_GONE;
}

void tl_command_check_activity(struct tl_wft_done *d, const TpCommand__Command *c)
{
    const TpCommand__ScheduleActivityTaskCommandAttributes *a =
        c->schedule_activity_task_command_attributes;
    const struct tl_history_limits *limits = &d->tx->env->limits;
    if (!check_names(d, a) || !check_policies(d, a)) {
        return;
    }
    if (tl_message_bytes(a->input) > limits->blob_bytes) {
        tl_refuse_terminate(d, WORKFLOW_TASK_FAILED_CAUSE_BAD_SCHEDULE_ACTIVITY_ATTRIBUTES,
                            "ScheduleActivityTaskCommandAttributes.Input exceeds size limit.");
        return;
    }
    if ((int64_t)d->pending_acts >= limits->pending_activities) {
        tl_refuse(
            d, WORKFLOW_TASK_FAILED_CAUSE_PENDING_ACTIVITIES_LIMIT_EXCEEDED,
            "the number of pending activities, %zu, has reached the per-workflow limit of %lld",
            d->pending_acts, (long long)limits->pending_activities);
        return;
    }
    if (is_pending(d, a->activity_id)) {
        tl_refuse(d, WORKFLOW_TASK_FAILED_CAUSE_SCHEDULE_ACTIVITY_DUPLICATE_ID,
                  "an activity with this id is pending already, ActivityID: %.200s",
                  a->activity_id);
        return;
    }
    struct tl_over_act *over = TL_ARENA_NEW(d->tx->arena, struct tl_over_act);
    if (!over) {
        tl_tx_break(d->tx, "the commands");
        return;
    }
    *over = (struct tl_over_act){TL_OVER_RUNNING, a->activity_id};
    tl_map_put(&d->act_ids, tl_str(a->activity_id), tl_over(TL_OVER_RUNNING));
    tl_map_put_num(&d->acts, (uint64_t)d->next_id, over);
    d->pending_acts++;
    d->next_id++;
}

static bool goes_eagerly(const struct tl_wft_done *d,
                         const TpCommand__ScheduleActivityTaskCommandAttributes *a)
{
    /* The worker that asks is of the run's set of builds, which is not where this one goes. */
    bool elsewhere = d->tx->rs->set_build && !a->use_workflow_build_id;
    return a->request_eager_execution && !elsewhere && !tl_rs_paused(d->tx->rs) &&
           (int64_t)d->eager_n < d->tx->env->limits.eager_activities_max &&
           tl_str_eqc(tl_str(a->task_queue->name), tl_or_empty(d->tx->rs->task_queue));
}

void tl_command_run_activity(struct tl_wft_done *d, const TpCommand__Command *c)
{
    const TpCommand__ScheduleActivityTaskCommandAttributes *in =
        c->schedule_activity_task_command_attributes;
    struct tl_activity_plan p;
    make_plan(d->tx->rs->run_timeout_ns, in, &p);
    TpTq__TaskQueue queue = TP_TQ__TASK_QUEUE__INIT;
    TpHistory__ActivityTaskScheduledEventAttributes a =
        TP_HISTORY__ACTIVITY_TASK_SCHEDULED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    queue.name = in->task_queue->name;
    queue.kind = (TpEnums__TaskQueueKind)TASK_QUEUE_KIND_NORMAL;
    tl_ev_init(&ev, d->tx->now_ns);
    a.activity_id = in->activity_id;
    a.activity_type = in->activity_type;
    a.task_queue = &queue;
    a.header = in->header;
    a.input = in->input;
    tl_activity_plan_fill(&p, &a);
    a.workflow_task_completed_event_id = d->completed_id;
    a.use_workflow_build_id = in->use_workflow_build_id;
    a.priority = in->priority;
    TL_EV_SET(&ev, ACTIVITY_TASK_SCHEDULED, activity_task_scheduled, &a);
    tl_command_decorate(&ev, c);
    int64_t id = tl_tx_add(d->tx, &ev);
    struct tl_act *act = tl_rs_act(d->tx->rs, id);
    if (!act) {
        return; /* the transaction is broken and says so at its end */
    }
    if (goes_eagerly(d, in)) {
        d->eager[d->eager_n++] = id;
    }
    tl_tx_offer_act(d->tx, act); /* an eager one will have started when offers are made */
}

/* --- request cancel -------------------------------------------------------------------------- */

static void refuse_cancel(struct tl_wft_done *d, const char *why, int64_t scheduled_id)
{
    tl_refuse(d, WORKFLOW_TASK_FAILED_CAUSE_BAD_REQUEST_CANCEL_ACTIVITY_ATTRIBUTES,
              "%s, ScheduledEventID: %lld", why, (long long)scheduled_id);
}

/* The activity as this command meets it; NONE when there is no such pending activity. */
static struct tl_over_act look_up(struct tl_wft_done *d, int64_t scheduled_id)
{
    const struct tl_over_act *over = tl_map_get_num(&d->acts, (uint64_t)scheduled_id);
    if (over) {
        return *over;
    }
    const struct tl_act *act = tl_rs_act(d->tx->rs, scheduled_id);
    if (!act) {
        return (struct tl_over_act){TL_OVER_NONE, NULL};
    }
    return (struct tl_over_act){act->cancel_requested ? TL_OVER_CANCELLING : TL_OVER_RUNNING,
                                act->activity_id};
}

void tl_command_check_cancel_activity(struct tl_wft_done *d, const TpCommand__Command *c)
{
    int64_t scheduled_id = c->request_cancel_activity_task_command_attributes->scheduled_event_id;
    if (scheduled_id <= 0) {
        tl_refuse(d, WORKFLOW_TASK_FAILED_CAUSE_BAD_REQUEST_CANCEL_ACTIVITY_ATTRIBUTES,
                  "ScheduledEventId is not set on RequestCancelActivityTaskCommand.");
        return;
    }
    struct tl_over_act seen = look_up(d, scheduled_id);
    if (seen.state == TL_OVER_NONE && !tl_buffer_has_activity_close(d->tx, scheduled_id)) {
        refuse_cancel(d, "no such activity is pending", scheduled_id);
        return;
    }
    if (seen.state == TL_OVER_CANCELLING) {
        refuse_cancel(d, "the activity is being cancelled already", scheduled_id);
        return;
    }
    d->next_id++;
    if (seen.state != TL_OVER_RUNNING) {
        return; /* it closed meanwhile: only the request goes into the history */
    }
    struct tl_over_act *over = TL_ARENA_NEW(d->tx->arena, struct tl_over_act);
    if (!over) {
        tl_tx_break(d->tx, "the commands");
        return;
    }
    const struct tl_act *act = tl_rs_act(d->tx->rs, scheduled_id);
    bool started = act && act->started;
    *over = (struct tl_over_act){started ? TL_OVER_CANCELLING : TL_OVER_GONE, seen.activity_id};
    tl_map_put_num(&d->acts, (uint64_t)scheduled_id, over);
    if (!started) { /* nobody has it: it is cancelled at once */
        tl_map_put(&d->act_ids, tl_str(seen.activity_id), tl_over(TL_OVER_GONE));
        d->pending_acts--;
    }
}

/* Its event waits until all commands have theirs, which a worker that replays expects in one row. */
static void cancel_unstarted(struct tl_wft_done *d, struct tl_act *act, int64_t request_event_id)
{
    TpCommon__Payload__MetadataEntry encoding = TP_COMMON__PAYLOAD__METADATA_ENTRY__INIT;
    TpCommon__Payload__MetadataEntry *metadata[] = {&encoding};
    TpCommon__Payload payload = TP_COMMON__PAYLOAD__INIT;
    TpCommon__Payload *items[] = {&payload};
    TpCommon__Payloads details = TP_COMMON__PAYLOADS__INIT;
    TpHistory__ActivityTaskCanceledEventAttributes a =
        TP_HISTORY__ACTIVITY_TASK_CANCELED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    encoding.key = (char *)(uintptr_t) "encoding";
    encoding.value = tl_pb_bytes_view(TL_STR_LIT("json/plain"));
    payload.n_metadata = 1;
    payload.metadata = metadata;
    payload.data = tl_pb_bytes_view(TL_STR_LIT("\"ACTIVITY_ID_NOT_STARTED\""));
    details.n_payloads = 1;
    details.payloads = items;
    tl_ev_init(&ev, d->tx->now_ns);
    a.details = &details;
    a.latest_cancel_requested_event_id = request_event_id;
    a.scheduled_event_id = act->scheduled_id;
    a.identity = d->req->identity;
    TL_EV_SET(&ev, ACTIVITY_TASK_CANCELED, activity_task_canceled, &a);
    tl_tx_buffer(d->tx, &ev);
}

void tl_command_run_cancel_activity(struct tl_wft_done *d, const TpCommand__Command *c)
{
    TpHistory__ActivityTaskCancelRequestedEventAttributes a =
        TP_HISTORY__ACTIVITY_TASK_CANCEL_REQUESTED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, d->tx->now_ns);
    a.scheduled_event_id = c->request_cancel_activity_task_command_attributes->scheduled_event_id;
    a.workflow_task_completed_event_id = d->completed_id;
    TL_EV_SET(&ev, ACTIVITY_TASK_CANCEL_REQUESTED, activity_task_cancel_requested, &a);
    tl_command_decorate(&ev, c);
    int64_t id = tl_tx_add(d->tx, &ev);
    struct tl_act *act = tl_rs_act(d->tx->rs, a.scheduled_event_id);
    if (!act) {
        return;
    }
    struct tl_effect *f = tl_effects_add(&d->tx->effects, TL_FX_CANCEL_ACTIVITY);
    if (!f) {
        tl_tx_break(d->tx, "the effects");
        return;
    }
    f->u.activity.task_queue = tl_arena_str(d->tx->arena, tl_str(act->task_queue));
    f->u.activity.activity_id = tl_arena_str(d->tx->arena, tl_str(act->activity_id));
    f->u.activity.scheduled_id = act->scheduled_id;
    f->u.activity.attempt = act->attempt;
    f->u.activity.stamp = act->stamp;
    if (act->started) {
        tl_activity_tell_worker(d->tx, act);
    } else {
        cancel_unstarted(d, act, id);
    }
}
