/* Private to the folder: when something is tried again (retry.c), when the next run of a schedule is
 * due (cron.c), and what follows a run that ends (close.c).
 * Thread: the run's owner. */
#pragma once

#include "server/history/rs.h"

/* Fills what the server fills in; `out` lives on the caller's stack with its durations. */
struct tl_retry_policy {
    TpCommon__RetryPolicy policy;
    Google__Protobuf__Duration initial, max;
};
void tl_retry_policy_fill(struct tl_retry_policy *out, const TpCommon__RetryPolicy *in);
/* Errors: TL_EINVAL with the server's words. */
tl_rc tl_retry_policy_check(const TpCommon__RetryPolicy *p, struct tl_error *err) TL_MUST_USE;
/* Timeouts and retries of an activity as the server completes them. */
struct tl_activity_plan {
    int64_t schedule_to_close_ns, schedule_to_start_ns, start_to_close_ns, heartbeat_ns;
    struct tl_retry_policy retry;
    Google__Protobuf__Duration schedule_to_close, schedule_to_start, start_to_close, heartbeat;
};
/* Errors: TL_EINVAL, with the words that a command with such attributes is refused with. */
tl_rc tl_activity_plan_check(int64_t run_timeout_ns,
                             const TpCommand__ScheduleActivityTaskCommandAttributes *a,
                             struct tl_activity_plan *out, struct tl_error *err) TL_MUST_USE;
/* Timeouts and policy of the attributes; they borrow from the plan. */
void tl_activity_plan_fill(struct tl_activity_plan *plan,
                           TpHistory__ActivityTaskScheduledEventAttributes *attrs);
/* f, or when it is larger than bytes_max its head under a server failure, built in `space`. */
struct tl_failure_cut {
    TpFailure__Failure outer, inner;
    TpFailure__ServerFailureInfo info;
    char message[1024];
};
const TpFailure__Failure *tl_cut_failure(const TpFailure__Failure *f, int64_t bytes_max,
                                         bool non_retryable, struct tl_failure_cut *space);
/* A failure of the server's own. */
void tl_cut_server(struct tl_failure_cut *space, const char *message, bool non_retryable);
bool tl_failure_is_retryable(const TpFailure__Failure *f, char *const *types, size_t n_types);
struct tl_backoff {
    int retry_state; /* RETRY_STATE_IN_PROGRESS: interval_ns is valid */
    int64_t interval_ns;
};
/* delay_ns < 0: exponential. max_ns 0: no maximum. expiration_ns 0: none. */
struct tl_backoff tl_retry_backoff(int64_t now_ns, int32_t attempt, int32_t attempts_max,
                                   int64_t initial_ns, int64_t max_ns, double coefficient,
                                   int64_t expiration_ns, int64_t delay_ns);
int64_t tl_failure_retry_delay_ns(const TpFailure__Failure *f); /* -1 when it names none */
/* Another attempt of the activity, or why not. */
int tl_activity_retry(struct tl_tx *tx, struct tl_act *act, const TpFailure__Failure *failure);

tl_rc tl_cron_check(const char *schedule, struct tl_error *err) TL_MUST_USE;
/* Until the next run after one that was due at scheduled_ns; -1 when there is none. */
int64_t tl_cron_backoff_ns(const char *schedule, int64_t scheduled_ns, int64_t now_ns);

/* What follows a run that ends with this failure (NULL: success). */
struct tl_next_run {
    int initiator; /* 0: nothing follows */
    int retry_state;
    int64_t backoff_ns;
    char run_id[37];
    uint64_t run_number;
};
void tl_next_run_decide(struct tl_tx *tx, const TpFailure__Failure *failure, bool failed,
                        struct tl_next_run *out);
/* Emits NEW_RUN for a retry or a schedule. */
void tl_next_run_emit(struct tl_tx *tx, const struct tl_next_run *next,
                      const TpCommon__Payloads *last_result, const TpFailure__Failure *failure);
/* req: the request of the start; it, and start, live as long as the arena. */
void tl_emit_new_run(struct tl_tx *tx, struct tl_start *start,
                     TpWs__StartWorkflowExecutionRequest *req, const char *run_id,
                     uint64_t run_number);
int64_t tl_chain_min_backoff_ns(const struct tl_tx *tx, int64_t backoff_ns);
void tl_close_terminate(struct tl_tx *tx, const char *reason, const TpCommon__Payloads *details,
                        const char *identity, TpCommon__Link **links, size_t n_links);
void tl_close_time_out(struct tl_tx *tx);
