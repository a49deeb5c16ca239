/* Retry policies: defaults, checks, intervals; retries of activities.
 * Thread: the run's owner. */
#include <math.h>
#include <string.h>

#include "server/history/policy.h"
#include "server/history/rs.h"

#define INITIAL_DEFAULT_NS TL_NS_IN_S
#define COEFFICIENT_DEFAULT 2.0
#define MAX_FACTOR_DEFAULT 100
#define TIMEOUT_PREFIX "TemporalTimeout:"

/* --- policy ---------------------------------------------------------------------------------- */

void tl_retry_policy_fill(struct tl_retry_policy *out, const TpCommon__RetryPolicy *in)
{
    const TpCommon__RetryPolicy none = TP_COMMON__RETRY_POLICY__INIT;
    out->policy = in ? *in : none;
    TpCommon__RetryPolicy *p = &out->policy;
    if (tl_pb_duration_ns_or(p->initial_interval, 0) == 0) {
        out->initial = tl_duration_value(INITIAL_DEFAULT_NS);
        p->initial_interval = &out->initial;
    }
    if (tl_pb_duration_ns_or(p->maximum_interval, 0) == 0) {
        int64_t max_ns = 0;
        if (__builtin_mul_overflow(tl_pb_duration_ns_or(p->initial_interval, 0),
                                   (int64_t)MAX_FACTOR_DEFAULT, &max_ns) ||
            max_ns > TL_DURATION_MAX_NS) {
            max_ns = TL_DURATION_MAX_NS;
        }
        out->max = tl_duration_value(max_ns);
        p->maximum_interval = &out->max;
    }
    if (p->backoff_coefficient == 0) {
        p->backoff_coefficient = COEFFICIENT_DEFAULT;
    }
}

static bool is_timeout_name(const char *name)
{
    static const char *const NAMES[] = {"StartToClose", "ScheduleToStart", "ScheduleToClose",
                                        "Heartbeat"};
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        if (strcmp(NAMES[i], name) == 0) {
            return true;
        }
    }
    return false;
}

tl_rc tl_retry_policy_check(const TpCommon__RetryPolicy *p, struct tl_error *err)
{
    const char *problem = NULL;
    if (p->maximum_attempts == 1) { /* no retries: the rest does not matter */
        return TL_OK;
    }
    int64_t initial_ns = tl_duration_checked_ns(p->initial_interval, &problem);
    if (problem) {
        return tl_error_set(err, TL_EINVAL, "invalid InitialInterval set on retry policy: %s",
                            problem);
    }
    if (!(p->backoff_coefficient >= 1)) {
        return tl_error_set(err, TL_EINVAL,
                            "BackoffCoefficient cannot be less than 1 on retry policy.");
    }
    int64_t max_ns = tl_duration_checked_ns(p->maximum_interval, &problem);
    if (problem) {
        return tl_error_set(err, TL_EINVAL, "invalid MaximumInterval set on retry policy: %s",
                            problem);
    }
    if (max_ns > 0 && max_ns < initial_ns) {
        return tl_error_set(err, TL_EINVAL,
                            "MaximumInterval cannot be less than InitialInterval on retry policy.");
    }
    if (p->maximum_attempts < 0) {
        return tl_error_set(err, TL_EINVAL, "MaximumAttempts cannot be negative on retry policy.");
    }
    for (size_t i = 0; i < p->n_non_retryable_error_types; i++) {
        const char *type = p->non_retryable_error_types[i];
        size_t n = strlen(TIMEOUT_PREFIX);
        if (strncmp(type, TIMEOUT_PREFIX, n) == 0 && !is_timeout_name(type + n)) {
            return tl_error_set(err, TL_EINVAL, "Invalid timeout type value: %.200s.", type + n);
        }
    }
    return TL_OK;
}

/* --- failures -------------------------------------------------------------------------------- */

void tl_cut_server(struct tl_failure_cut *space, const char *message, bool non_retryable)
{
    space->outer = (TpFailure__Failure)TP_FAILURE__FAILURE__INIT;
    space->info = (TpFailure__ServerFailureInfo)TP_FAILURE__SERVER_FAILURE_INFO__INIT;
    space->outer.message = (char *)(uintptr_t)message;
    space->outer.source = (char *)(uintptr_t) "Server";
    space->outer.failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_SERVER_FAILURE_INFO;
    space->outer.server_failure_info = &space->info;
    space->info.non_retryable = non_retryable;
}

const TpFailure__Failure *tl_cut_failure(const TpFailure__Failure *f, int64_t bytes_max,
                                         bool non_retryable, struct tl_failure_cut *space)
{
    if (tl_message_bytes(f) <= bytes_max) {
        return f;
    }
    size_t n = tl_str(f->message).n, room = (size_t)bytes_max / 2;
    if (room > sizeof(space->message) - 1) {
        room = sizeof(space->message) - 1;
    }
    if (n > room) {
        n = room;
        while (n > 0 && ((unsigned char)f->message[n] & 0xC0) == 0x80) {
            n--; /* not in the middle of a character */
        }
    }
    memcpy(space->message, f->message, n);
    space->message[n] = 0;
    tl_cut_server(space, "Failure exceeds size limit.", non_retryable);
    space->inner = (TpFailure__Failure)TP_FAILURE__FAILURE__INIT;
    space->inner.message = space->message;
    if (tl_str(f->source).n <= 100) {
        space->inner.source = f->source;
    }
    space->outer.cause = &space->inner;
    return &space->outer;
}

static bool contains(char *const *types, size_t n, const char *prefix, const char *name)
{
    size_t prefix_n = strlen(prefix);
    for (size_t i = 0; i < n; i++) {
        if (strncmp(types[i], prefix, prefix_n) == 0 && strcmp(types[i] + prefix_n, name) == 0) {
            return true;
        }
    }
    return false;
}

bool tl_failure_is_retryable(const TpFailure__Failure *f, char *const *types, size_t n_types)
{
    if (!f) {
        return true;
    }
    switch ((int)f->failure_info_case) {
    case TP_FAILURE__FAILURE__FAILURE_INFO_TERMINATED_FAILURE_INFO:
    case TP_FAILURE__FAILURE__FAILURE_INFO_CANCELED_FAILURE_INFO:
        return false;
    case TP_FAILURE__FAILURE__FAILURE_INFO_TIMEOUT_FAILURE_INFO:
        switch ((int)f->timeout_failure_info->timeout_type) {
        case TIMEOUT_TYPE_START_TO_CLOSE:
            return !contains(types, n_types, TIMEOUT_PREFIX, "StartToClose");
        case TIMEOUT_TYPE_HEARTBEAT:
            return !contains(types, n_types, TIMEOUT_PREFIX, "Heartbeat");
        default:
            return false;
        }
    case TP_FAILURE__FAILURE__FAILURE_INFO_SERVER_FAILURE_INFO:
        return !f->server_failure_info->non_retryable;
    case TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO:
        return !f->application_failure_info->non_retryable &&
               !contains(types, n_types, "", f->application_failure_info->type);
    default:
        return true;
    }
}

int64_t tl_failure_retry_delay_ns(const TpFailure__Failure *f)
{
    if (!f ||
        (int)f->failure_info_case != TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO ||
        !f->application_failure_info->next_retry_delay) {
        return -1;
    }
    int64_t ns = tl_pb_duration_ns_or(f->application_failure_info->next_retry_delay, 0);
    return ns > 0 ? ns : 0;
}

/* --- intervals ------------------------------------------------------------------------------- */

static int64_t exponential_ns(int64_t initial_ns, double coefficient, int32_t attempt)
{
    double ns = (double)initial_ns * pow(coefficient, (double)(attempt - 1));
    if (!(ns < (double)TL_DURATION_MAX_NS)) {
        return TL_DURATION_MAX_NS;
    }
    return ns > 0 ? (int64_t)ns : 0;
}

struct tl_backoff tl_retry_backoff(int64_t now_ns, int32_t attempt, int32_t attempts_max,
                                   int64_t initial_ns, int64_t max_ns, double coefficient,
                                   int64_t expiration_ns, int64_t delay_ns)
{
    if (attempt < 1) {
        attempt = 1;
    }
    if (attempts_max > 0 && attempt >= attempts_max) {
        return (struct tl_backoff){RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED, 0};
    }
    int64_t interval_ns =
        delay_ns >= 0 ? delay_ns : exponential_ns(initial_ns, coefficient, attempt);
    if (max_ns == 0 && interval_ns <= 0) {
        return (struct tl_backoff){RETRY_STATE_TIMEOUT, 0};
    }
    if (max_ns > 0 && (interval_ns <= 0 || interval_ns > max_ns)) {
        interval_ns = max_ns;
    }
    if (expiration_ns > 0 && tl_ns_add(now_ns, interval_ns) > expiration_ns) {
        return (struct tl_backoff){RETRY_STATE_TIMEOUT, 0};
    }
    return (struct tl_backoff){RETRY_STATE_IN_PROGRESS, interval_ns};
}

/* --- activities ------------------------------------------------------------------------------ */

static void next_attempt(struct tl_tx *tx, struct tl_act *act, const TpFailure__Failure *failure,
                         int64_t interval_ns)
{
    struct tl_failure_cut space;
    if (!tl_set_blob_message(
            &act->last_failure,
            tl_cut_failure(failure, tx->env->limits.activity_failure_bytes, false, &space))) {
        tl_tx_break(tx, "the failure of an activity");
    }
    act->attempt++;
    if (act->reset_heartbeat) {
        tl_set_blob(&act->heartbeat, (struct tl_str){0});
        act->heartbeat_ns = 0;
    }
    act->reset = act->reset_heartbeat = false;
    act->stamp++;
    act->retry_interval_ns = interval_ns;
    act->attempt_ns = tl_ns_add(tx->now_ns, interval_ns);
    act->started = false;
    act->started_ns = 0;
    act->offered = false;
    tl_set_str(&act->request_id, NULL);
    tl_set_str(&act->last_identity, act->identity);
    tl_rs_act_arm(tx->rs, act);
    tl_tx_touch_act(tx, act);
    if (interval_ns <= 0 && !act->paused) {
        tl_tx_offer_act(tx, act);
    }
}

int tl_activity_retry(struct tl_tx *tx, struct tl_act *act, const TpFailure__Failure *failure)
{
    if (act->cancel_requested) {
        return RETRY_STATE_CANCEL_REQUESTED;
    }
    if (tx->rs->kind == TL_RUN_ACTIVITY &&
        act->reset) { /* attempts begin again, however this one ended */
        act->attempt = 0;
        next_attempt(tx, act, failure, 0);
        return RETRY_STATE_IN_PROGRESS;
    }
    if (failure &&
        (int)failure->failure_info_case == TP_FAILURE__FAILURE__FAILURE_INFO_TIMEOUT_FAILURE_INFO) {
        int type = (int)failure->timeout_failure_info->timeout_type;
        if (type == TIMEOUT_TYPE_SCHEDULE_TO_START || type == TIMEOUT_TYPE_SCHEDULE_TO_CLOSE) {
            return RETRY_STATE_TIMEOUT;
        }
    }
    TpHistory__ActivityTaskScheduledEventAttributes *attrs = tl_blob_decode(
        &act->attributes, &tp_history__activity_task_scheduled_event_attributes__descriptor,
        tx->arena);
    if (!attrs) {
        tl_tx_break(tx, "the retry of an activity");
        return RETRY_STATE_INTERNAL_SERVER_ERROR;
    }
    if (!attrs->retry_policy) {
        return RETRY_STATE_RETRY_POLICY_NOT_SET;
    }
    if (!tl_failure_is_retryable(failure, attrs->retry_policy->non_retryable_error_types,
                                 attrs->retry_policy->n_non_retryable_error_types)) {
        return RETRY_STATE_NON_RETRYABLE_FAILURE;
    }
    /* The application's own delay is not held to the policy's maximum interval. */
    int64_t delay_ns = tl_failure_retry_delay_ns(failure);
    int64_t expiration_ns = act->schedule_to_close_ns > 0
                                ? tl_ns_add(tl_ns_add(act->scheduled_ns, act->start_delay_ns),
                                            act->schedule_to_close_ns)
                                : 0;
    struct tl_backoff b =
        tl_retry_backoff(tx->now_ns, act->attempt, act->retry_attempts_max, act->retry_initial_ns,
                         delay_ns >= 0 ? delay_ns : act->retry_max_ns, act->retry_coefficient,
                         expiration_ns, delay_ns);
    if (b.retry_state == RETRY_STATE_IN_PROGRESS) {
        next_attempt(tx, act, failure, b.interval_ns);
    }
    return b.retry_state;
}
