/* What operators do to pending activities: pause, unpause, reset, new options. No events are written;
 * a stamp goes up so that a task already given to matching is stale.
 * Thread: the run's owner. */
#include <string.h>

#include "server/history/execution.h"
#include "server/history/policy.h"
#include "server/history/priority.h"
#include "server/history/rs.h"

/* --- which activities ------------------------------------------------------------------------ */

static bool is_picked(const struct tl_tx *tx, const struct tl_act *act,
                      const struct tl_activity_pick *pick)
{
    if (pick->all) {
        return true;
    }
    if (pick->id.n) {
        return tl_str_eq(tl_str(act->activity_id), pick->id);
    }
    const TpHistory__ActivityTaskScheduledEventAttributes *attrs = tl_blob_decode(
        &act->attributes, &tp_history__activity_task_scheduled_event_attributes__descriptor,
        tx->arena);
    return attrs && attrs->activity_type && tl_str_eqc(pick->type, attrs->activity_type->name);
}

typedef tl_rc check_fn(const struct tl_tx *tx, const struct tl_act *act, const void *how,
                       struct tl_error *err);
typedef void change_fn(struct tl_tx *tx, struct tl_act *act, const void *how);

/* Asks `check` (may be NULL) about every activity that is picked; *n: how many those are. */
static tl_rc check_picked(struct tl_tx *tx, const struct tl_activity_pick *pick, check_fn *check,
                          const void *how, size_t *n, struct tl_error *err)
{
    tl_rc rc = TL_OK;
    TL_MAP_EACH (e, tx->rs->acts) {
        if (rc == TL_OK && is_picked(tx, e->value, pick)) {
            (*n)++;
            rc = check ? check(tx, e->value, how, err) : TL_OK;
        }
    }
    return rc;
}

/* Changes every activity that is picked, unless `check` refuses one. */
static tl_rc for_picked(struct tl_tx *tx, const struct tl_activity_pick *pick, check_fn *check,
                        change_fn *change, const void *how, struct tl_error *err)
{
    size_t n = 0;
    tx->error_kind = TL_ERR_PLAIN;
    tl_rc rc = tl_tx_need_open(tx, err);
    if (rc == TL_OK && tx->rs->acts) {
        rc = check_picked(tx, pick, check, how, &n, err);
    }
    if (rc != TL_OK) {
        return rc;
    }
    if (n == 0 && !pick->all) {
        return tl_tx_fail(tx, TL_ERR_NOT_FOUND, err, TL_ENOTFOUND,
                          "no pending activity with %s '%.*s'", pick->id.n ? "id" : "type",
                          TL_STR_FMT(pick->id.n ? pick->id : pick->type));
    }
    if (n > 0) {
        TL_MAP_EACH (e, tx->rs->acts) {
            if (is_picked(tx, e->value, pick)) {
                change(tx, e->value, how);
            }
        }
        if (!tl_pause_tell(tx->rs, tx->arena)) {
            tl_tx_break(tx, "the search attribute of pauses");
        }
    }
    return tl_tx_result(tx, err);
}

/* --- dispatch -------------------------------------------------------------------------------- */

/* The attempt that is not started goes to matching at this time, unless it is paused; the first one not
 * before its start delay is over. */
static void dispatch_at(struct tl_tx *tx, struct tl_act *act, int64_t at_ns)
{
    int64_t first_ns = tl_ns_add(act->scheduled_ns, act->start_delay_ns);
    if (!act->last_started_ns && first_ns > at_ns) {
        at_ns = first_ns;
    }
    act->stamp++;
    act->offered = false;
    act->attempt_ns = at_ns;
    tl_rs_act_arm(tx->rs, act);
    tl_tx_touch_act(tx, act);
    if (at_ns <= tx->now_ns && !act->paused) {
        tl_tx_offer_act(tx, act);
    }
}

static int64_t jittered_ns(const struct tl_tx *tx, int64_t jitter_ns)
{
    uint64_t random = jitter_ns > 0 ? tx->env->random(tx->env->ud) : 0;
    return tl_ns_add(tx->now_ns, jitter_ns > 0 ? (int64_t)(random % (uint64_t)jitter_ns) : 0);
}

static void forget_heartbeat(struct tl_act *act)
{
    tl_set_blob(&act->heartbeat, (struct tl_str){0});
    act->heartbeat_ns = 0;
}

/* --- pause ----------------------------------------------------------------------------------- */

struct pause {
    const char *identity, *reason, *request_id;
};

/* The same request again changes nothing. */
static bool is_repeated(const struct tl_act *act, const struct pause *p)
{
    return act->paused && tl_has_text(p->request_id) && act->pause_request_id &&
           strcmp(p->request_id, act->pause_request_id) == 0;
}

static tl_rc check_pause(const struct tl_tx *tx, const struct tl_act *act, const void *how,
                         struct tl_error *err)
{
    (void)tx;
    return !act->paused || is_repeated(act, how)
               ? TL_OK
               : tl_error_set(err, TL_EPRECONDITION, "activity is already paused");
}

static void pause_one(struct tl_tx *tx, struct tl_act *act, const void *how)
{
    const struct pause *p = how;
    if (is_repeated(act, p)) {
        return;
    }
    if (!act->started) { /* one that runs is let finish */
        act->stamp++;
        act->offered = false;
    }
    act->paused = true;
    act->pause_ns = tx->now_ns;
    tl_set_str(&act->pause_identity, p->identity);
    tl_set_str(&act->pause_reason, p->reason);
    tl_set_str(&act->pause_request_id, p->request_id);
    tl_rs_act_arm(tx->rs, act);
    tl_tx_touch_act(tx, act);
}

tl_rc tl_tx_activity_pause(struct tl_tx *tx, const struct tl_activity_pick *pick,
                           const char *identity, const char *reason, const char *request_id,
                           struct tl_error *err)
{
    const struct pause how = {identity, reason, request_id};
    return for_picked(tx, pick, check_pause, pause_one, &how, err);
}

static void clear_pause(struct tl_act *act)
{
    act->paused = false;
    act->pause_ns = 0;
    tl_set_str(&act->pause_identity, NULL);
    tl_set_str(&act->pause_reason, NULL);
    tl_set_str(&act->pause_request_id, NULL);
}

static void unpause_one(struct tl_tx *tx, struct tl_act *act, const void *how)
{
    const struct tl_activity_unpause *u = how;
    if (!act->paused) {
        return;
    }
    clear_pause(act);
    if (u->reset_attempts) {
        act->attempt = 1;
        act->reset = act->started; /* its token names the attempt it was */
    }
    if (u->reset_heartbeat) {
        forget_heartbeat(act);
    }
    if (act->started) {
        tl_rs_act_arm(tx->rs, act);
        tl_tx_touch_act(tx, act);
    } else {
        int64_t at_ns = jittered_ns(tx, u->jitter_ns);
        int64_t retry_ns = tl_ns_add(act->last_completed_ns, act->retry_interval_ns);
        bool backs_off =
            tx->rs->kind == TL_RUN_ACTIVITY && act->retry_interval_ns > 0 && retry_ns > at_ns;
        dispatch_at(tx, act, backs_off ? retry_ns : at_ns);
    }
}

tl_rc tl_tx_activity_unpause(struct tl_tx *tx, const struct tl_activity_pick *pick,
                             const struct tl_activity_unpause *how, struct tl_error *err)
{
    return for_picked(tx, pick, NULL, unpause_one, how, err);
}

/* --- reset ----------------------------------------------------------------------------------- */

static void restore_options(struct tl_tx *tx, struct tl_act *act)
{
    struct tl_blob original = act->original;
    if (!act->last_started_ns) { /* it is of no account later */
        act->start_delay_ns = act->original_delay_ns;
    }
    if (original.n == 0) {
        return;
    }
    const TpHistory__ActivityTaskScheduledEventAttributes *attrs = tl_blob_decode(
        &original, &tp_history__activity_task_scheduled_event_attributes__descriptor, tx->arena);
    if (!attrs) {
        tl_tx_break(tx, "the options of an activity");
        return;
    }
    act->original = (struct tl_blob){0};
    tl_mem_free(act->attributes.p);
    act->attributes = original;
    tl_act_set_options(act, attrs);
}

static void reset_one(struct tl_tx *tx, struct tl_act *act, const void *how)
{
    const struct tl_activity_reset *r = how;
    if (r->restore_options) {
        restore_options(tx, act);
    }
    act->attempt = 1;
    if (act->started) { /* told by its next heartbeat; it counts as the first attempt now */
        act->reset = true;
        act->reset_heartbeat = act->reset_heartbeat || r->reset_heartbeat;
        tl_rs_act_arm(tx->rs, act);
        tl_tx_touch_act(tx, act);
        return;
    }
    if (r->reset_heartbeat) {
        forget_heartbeat(act);
    }
    act->retry_interval_ns = 0;
    if (!r->keep_paused) {
        clear_pause(act);
    }
    dispatch_at(tx, act, jittered_ns(tx, r->jitter_ns));
}

tl_rc tl_tx_activity_reset(struct tl_tx *tx, const struct tl_activity_pick *pick,
                           const struct tl_activity_reset *how, struct tl_error *err)
{
    return for_picked(tx, pick, NULL, reset_one, how, err);
}

/* --- options --------------------------------------------------------------------------------- */

enum option {
    OPTION_TASK_QUEUE,
    OPTION_SCHEDULE_TO_CLOSE,
    OPTION_SCHEDULE_TO_START,
    OPTION_START_TO_CLOSE,
    OPTION_HEARTBEAT,
    OPTION_INITIAL_INTERVAL,
    OPTION_COEFFICIENT,
    OPTION_MAXIMUM_INTERVAL,
    OPTION_MAXIMUM_ATTEMPTS,
    OPTION_RETRY_POLICY,
    OPTION_START_DELAY,
    OPTION_PRIORITY,
    OPTION_PRIORITY_KEY,
    OPTION_FAIRNESS_KEY,
    OPTION_FAIRNESS_WEIGHT,
    OPTIONS
};

/* Paths of the mask as they are in messages and as JSON has them. */
static const struct {
    const char *path, *json_path, *alias;
} option_paths[OPTIONS] = {
    /* The alias is what Temporal's own command line sends. */
    [OPTION_TASK_QUEUE] = {"task_queue.name", "taskQueue.name", "task_queue_name"},
    [OPTION_SCHEDULE_TO_CLOSE] = {"schedule_to_close_timeout", "scheduleToCloseTimeout", NULL},
    [OPTION_SCHEDULE_TO_START] = {"schedule_to_start_timeout", "scheduleToStartTimeout", NULL},
    [OPTION_START_TO_CLOSE] = {"start_to_close_timeout", "startToCloseTimeout", NULL},
    [OPTION_HEARTBEAT] = {"heartbeat_timeout", "heartbeatTimeout", NULL},
    [OPTION_INITIAL_INTERVAL] = {"retry_policy.initial_interval", "retryPolicy.initialInterval",
                                 NULL},
    [OPTION_COEFFICIENT] = {"retry_policy.backoff_coefficient", "retryPolicy.backoffCoefficient",
                            NULL},
    [OPTION_MAXIMUM_INTERVAL] = {"retry_policy.maximum_interval", "retryPolicy.maximumInterval",
                                 NULL},
    [OPTION_MAXIMUM_ATTEMPTS] = {"retry_policy.maximum_attempts", "retryPolicy.maximumAttempts",
                                 NULL},
    [OPTION_RETRY_POLICY] = {"retry_policy", "retryPolicy", NULL},
    [OPTION_START_DELAY] = {"start_delay", "startDelay", NULL},
    [OPTION_PRIORITY] = {"priority", "priority", NULL},
    [OPTION_PRIORITY_KEY] = {"priority.priority_key", "priority.priorityKey", NULL},
    [OPTION_FAIRNESS_KEY] = {"priority.fairness_key", "priority.fairnessKey", NULL},
    [OPTION_FAIRNESS_WEIGHT] = {"priority.fairness_weight", "priority.fairnessWeight", NULL},
};

static bool is_path(size_t o, const char *path)
{
    const char *alias = option_paths[o].alias;
    return strcmp(path, option_paths[o].path) == 0 ||
           strcmp(path, option_paths[o].json_path) == 0 || (alias && strcmp(path, alias) == 0);
}

/* Which options the mask names. Errors: TL_EINVAL (none, or one that does not exist). */
static tl_rc read_mask(const struct tl_activity_options_change *ch, bool wanted[OPTIONS],
                       struct tl_error *err)
{
    memset(wanted, 0, OPTIONS * sizeof *wanted);
    if (!ch->options) {
        return tl_error_set(err, TL_EINVAL, "ActivityOptions are not provided");
    }
    if (ch->path_count == 0) {
        return tl_error_set(err, TL_EINVAL, "UpdateMask is not provided");
    }
    for (size_t i = 0; i < ch->path_count; i++) {
        size_t o = 0;
        while (o < OPTIONS && !is_path(o, ch->paths[i])) {
            o++;
        }
        if (o == OPTIONS) {
            return tl_error_set(err, TL_EINVAL, "UpdateMask names no activity option: '%.100s'",
                                ch->paths[i]);
        }
        wanted[o] = true;
    }
    if (wanted[OPTION_TASK_QUEUE] && !ch->options->task_queue) {
        return tl_error_set(err, TL_EINVAL, "TaskQueue is not provided");
    }
    bool retry = wanted[OPTION_INITIAL_INTERVAL] || wanted[OPTION_COEFFICIENT] ||
                 wanted[OPTION_MAXIMUM_INTERVAL] || wanted[OPTION_MAXIMUM_ATTEMPTS];
    if (retry && !ch->options->retry_policy) {
        return tl_error_set(err, TL_EINVAL, "RetryPolicy is not provided");
    }
    bool priority = wanted[OPTION_PRIORITY_KEY] || wanted[OPTION_FAIRNESS_KEY] ||
                    wanted[OPTION_FAIRNESS_WEIGHT];
    if (priority && !ch->options->priority) {
        return tl_error_set(err, TL_EINVAL, "Priority is not provided");
    }
    return TL_OK;
}

/* The priority with what the mask names; `into` starts as the present one. */
static TpCommon__Priority *merge_priority(const TpActivity__ActivityOptions *from,
                                          const bool wanted[OPTIONS], TpCommon__Priority *now,
                                          TpCommon__Priority *into)
{
    const TpCommon__Priority *p = from->priority;
    TpCommon__Priority *start = wanted[OPTION_PRIORITY] ? from->priority : now;
    bool part = wanted[OPTION_PRIORITY_KEY] || wanted[OPTION_FAIRNESS_KEY] ||
                wanted[OPTION_FAIRNESS_WEIGHT];
    if (!part) {
        return start;
    }
    *into = start ? *start : (TpCommon__Priority)TP_COMMON__PRIORITY__INIT;
    into->priority_key = wanted[OPTION_PRIORITY_KEY] ? p->priority_key : into->priority_key;
    into->fairness_key = wanted[OPTION_FAIRNESS_KEY] ? p->fairness_key : into->fairness_key;
    into->fairness_weight =
        wanted[OPTION_FAIRNESS_WEIGHT] ? p->fairness_weight : into->fairness_weight;
    return into;
}

/* The retry policy with what the mask names; `into` starts as the present one. */
static void merge_retry(const TpActivity__ActivityOptions *from, const bool wanted[OPTIONS],
                        TpCommon__RetryPolicy *into)
{
    const TpCommon__RetryPolicy *p = from->retry_policy;
    if (wanted[OPTION_INITIAL_INTERVAL]) {
        into->initial_interval = p->initial_interval;
    }
    if (wanted[OPTION_COEFFICIENT]) {
        into->backoff_coefficient = p->backoff_coefficient;
    }
    if (wanted[OPTION_MAXIMUM_INTERVAL]) {
        into->maximum_interval = p->maximum_interval;
    }
    if (wanted[OPTION_MAXIMUM_ATTEMPTS]) {
        into->maximum_attempts = p->maximum_attempts;
    }
}

/* The activity as a command that schedules it with the changed options: checks are those of commands. */
static void merge(const TpHistory__ActivityTaskScheduledEventAttributes *now,
                  const TpActivity__ActivityOptions *from, const bool wanted[OPTIONS],
                  TpCommon__RetryPolicy *retry, TpCommon__Priority *priority,
                  TpCommand__ScheduleActivityTaskCommandAttributes *c)
{
    if (wanted[OPTION_TASK_QUEUE]) {
        from->task_queue->kind = (TpEnums__TaskQueueKind)TASK_QUEUE_KIND_NORMAL;
    }
    c->activity_id = now->activity_id;
    c->activity_type = now->activity_type;
    c->task_queue = wanted[OPTION_TASK_QUEUE] ? from->task_queue : now->task_queue;
    c->schedule_to_close_timeout = wanted[OPTION_SCHEDULE_TO_CLOSE]
                                       ? from->schedule_to_close_timeout
                                       : now->schedule_to_close_timeout;
    c->schedule_to_start_timeout = wanted[OPTION_SCHEDULE_TO_START]
                                       ? from->schedule_to_start_timeout
                                       : now->schedule_to_start_timeout;
    c->start_to_close_timeout =
        wanted[OPTION_START_TO_CLOSE] ? from->start_to_close_timeout : now->start_to_close_timeout;
    c->heartbeat_timeout =
        wanted[OPTION_HEARTBEAT] ? from->heartbeat_timeout : now->heartbeat_timeout;
    c->priority = merge_priority(from, wanted, now->priority, priority);
    const TpCommon__RetryPolicy *policy =
        wanted[OPTION_RETRY_POLICY] ? from->retry_policy : now->retry_policy;
    *retry = policy ? *policy : (TpCommon__RetryPolicy)TP_COMMON__RETRY_POLICY__INIT;
    merge_retry(from, wanted, retry);
    c->retry_policy = retry;
}

struct options_how {
    const struct tl_activity_options_change *change;
    bool wanted[OPTIONS];
};

/* Only activity executions have a start delay, and only until their first attempt is dispatched. */
static tl_rc check_delay(const struct tl_tx *tx, const struct tl_act *act,
                         const struct options_how *h, struct tl_error *err)
{
    const char *problem = NULL;
    if (!h->wanted[OPTION_START_DELAY]) {
        return TL_OK;
    }
    if (tx->rs->kind != TL_RUN_ACTIVITY) {
        return tl_error_set(err, TL_EINVAL,
                            "UpdateMask names no option of a workflow's activity: 'start_delay'");
    }
    tl_duration_checked_ns(h->change->options->start_delay, &problem);
    if (problem) {
        return tl_error_set(err, TL_EINVAL, "invalid StartDelay: %s", problem);
    }
    bool waits = tl_ns_add(act->scheduled_ns, act->start_delay_ns) > tx->now_ns || act->paused;
    return waits && !act->last_started_ns
               ? TL_OK
               : tl_error_set(err, TL_EPRECONDITION,
                              "cannot update start_delay: the first activity attempt has already "
                              "been dispatched");
}

/* A waiting attempt goes by the new policy and queue; one that runs ends by the new timeouts. */
static void redispatch(struct tl_tx *tx, struct tl_act *act)
{
    int64_t at_ns = act->attempt_ns;
    if (act->started) {
        act->stamp++;
        tl_rs_act_arm(tx->rs, act);
        tl_tx_touch_act(tx, act);
        return;
    }
    if (tx->rs->kind == TL_RUN_ACTIVITY &&
        !act->last_started_ns) { /* or when the start delay is over */
        at_ns = tx->now_ns;
    }
    if (act->attempt > 1 && act->last_completed_ns > 0) {
        struct tl_backoff b =
            tl_retry_backoff(act->last_completed_ns, act->attempt - 1, 0, act->retry_initial_ns,
                             act->retry_max_ns, act->retry_coefficient, 0, -1);
        at_ns = tl_ns_add(act->last_completed_ns, b.interval_ns);
    }
    dispatch_at(tx, act, at_ns);
}

/* The attributes with the changed options, completed as a command's are; NULL: refused. They borrow
 * from `space` and the arena. */
struct changed {
    TpCommon__RetryPolicy retry;
    TpCommon__Priority priority;
    TpCommand__ScheduleActivityTaskCommandAttributes command;
    struct tl_activity_plan plan;
};

static TpHistory__ActivityTaskScheduledEventAttributes *
make_changed(const struct tl_tx *tx, const struct tl_act *act, const struct options_how *h,
             struct changed *space, struct tl_error *err)
{
    TpHistory__ActivityTaskScheduledEventAttributes *attrs = tl_blob_decode(
        &act->attributes, &tp_history__activity_task_scheduled_event_attributes__descriptor,
        tx->arena);
    if (!attrs) {
        tl_error_set(err, TL_ELIMIT, "no memory for the options of an activity");
        return NULL;
    }
    space->command = (TpCommand__ScheduleActivityTaskCommandAttributes)
        TP_COMMAND__SCHEDULE_ACTIVITY_TASK_COMMAND_ATTRIBUTES__INIT;
    merge(attrs, h->change->options, h->wanted, &space->retry, &space->priority, &space->command);
    if (tl_priority_check(space->command.priority, err) != TL_OK ||
        tl_activity_plan_check(tx->rs->run_timeout_ns, &space->command, &space->plan, err) !=
            TL_OK) {
        return NULL;
    }
    tl_activity_plan_fill(&space->plan, attrs);
    attrs->task_queue = space->command.task_queue;
    attrs->priority = space->command.priority;
    return attrs;
}

static tl_rc check_options(const struct tl_tx *tx, const struct tl_act *act, const void *how,
                           struct tl_error *err)
{
    const struct options_how *h = how;
    struct changed space;
    tl_rc rc = check_delay(tx, act, h, err);
    if (rc != TL_OK || h->change->restore_original) {
        return rc;
    }
    return make_changed(tx, act, h, &space, err) ? TL_OK : err->code;
}

static void change_options(struct tl_tx *tx, struct tl_act *act, const void *how)
{
    const struct options_how *h = how;
    struct changed space;
    struct tl_blob fresh = {0};
    struct tl_error err;
    const char *ignored = NULL;
    if (h->change->restore_original) {
        restore_options(tx, act);
        redispatch(tx, act);
        return;
    }
    if (h->wanted[OPTION_START_DELAY]) {
        act->start_delay_ns = tl_duration_checked_ns(h->change->options->start_delay, &ignored);
    }
    const TpHistory__ActivityTaskScheduledEventAttributes *attrs =
        make_changed(tx, act, h, &space, &err);
    if (!attrs || !tl_set_blob_message(&fresh, attrs)) {
        tl_tx_break(tx, "the options of an activity");
        return;
    }
    if (act->original.n == 0) {
        act->original = act->attributes;
    } else {
        tl_mem_free(act->attributes.p);
    }
    act->attributes = fresh;
    tl_act_set_options(act, attrs);
    redispatch(tx, act);
}

tl_rc tl_tx_activity_change_options(struct tl_tx *tx, const struct tl_activity_pick *pick,
                                    const struct tl_activity_options_change *change,
                                    struct tl_error *err)
{
    struct options_how how = {.change = change};
    tl_rc rc = TL_OK;
    tx->error_kind = TL_ERR_PLAIN;
    if (change->restore_original && (change->options || change->path_count)) {
        return tl_error_set(err, TL_EINVAL,
                            "RestoreOriginal excludes ActivityOptions and UpdateMask");
    }
    if (!change->restore_original) {
        rc = read_mask(change, how.wanted, err);
    }
    return rc == TL_OK ? for_picked(tx, pick, check_options, change_options, &how, err) : rc;
}

TpActivity__ActivityOptions *tl_rs_activity_options(const struct tl_rs *rs,
                                                    const struct tl_activity_pick *pick,
                                                    struct tl_arena *arena)
{
    const struct tl_tx view = {.rs = (struct tl_rs *)(uintptr_t)rs, .arena = arena};
    TpActivity__ActivityOptions *o =
        TL_PB_NEW(arena, TpActivity__ActivityOptions, tp_activity__activity_options);
    const TpHistory__ActivityTaskScheduledEventAttributes *attrs = NULL;
    if (rs->acts) {
        TL_MAP_EACH (e, rs->acts) {
            const struct tl_act *act = e->value;
            if (!attrs && is_picked(&view, act, pick)) {
                attrs = tl_blob_decode(
                    &act->attributes,
                    &tp_history__activity_task_scheduled_event_attributes__descriptor, arena);
            }
        }
    }
    if (!o || !attrs) {
        return NULL;
    }
    o->task_queue = attrs->task_queue;
    o->schedule_to_close_timeout = attrs->schedule_to_close_timeout;
    o->schedule_to_start_timeout = attrs->schedule_to_start_timeout;
    o->start_to_close_timeout = attrs->start_to_close_timeout;
    o->heartbeat_timeout = attrs->heartbeat_timeout;
    o->retry_policy = attrs->retry_policy;
    o->priority = attrs->priority;
    const struct tl_act *act = rs->kind == TL_RUN_ACTIVITY ? tl_execution_act(rs) : NULL;
    o->start_delay =
        act && act->start_delay_ns ? tl_pb_duration_ns(arena, act->start_delay_ns) : NULL;
    return o;
}
