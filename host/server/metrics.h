/* What the server counts, under the names that Temporal's own server uses where one fits. Without a
 * registry (tl_server_options.metrics) everything here does nothing.
 * Cost: two relaxed atomic adds per request and per answer; gauges are stored once per round of the
 * engine. Thread: as each function says. */
#pragma once

#include <stdatomic.h>

#include "base/metrics.h"
#include "rpc/rpc.h"

struct tl_server;

enum { TL_POLLS_WORKFLOW, TL_POLLS_ACTIVITY, TL_POLLS_COUNT };
#define TL_CLOSE_STATUSES 8

struct tl_server_metrics {
    struct tl_metrics *registry; /* NULL: nothing is counted */
    struct tl_metric *requests, *latency, *errors, *commands;
    struct tl_metric *closes[TL_CLOSE_STATUSES]; /* by WORKFLOW_EXECUTION_STATUS_* */
    /* Made with the first request of the method; any thread may be first. */
    struct tl_series *_Atomic request_series[TL_METHOD_COUNT];
    struct tl_series *_Atomic latency_series[TL_METHOD_COUNT];
    struct tl_series *poll_success[TL_POLLS_COUNT], *poll_timeouts[TL_POLLS_COUNT];
    struct tl_series *pending, *open, *held, *parked, *backlog;
    struct tl_series *commit_latency, *commit_operations, *commits_failed;
};

void tl_server_metrics_init(struct tl_server_metrics *m, struct tl_metrics *registry);
/* A request has come; its answer will be counted. Thread: any. */
void tl_server_metrics_request(struct tl_server *s, struct tl_rpc_request *req);
/* A run has ended with this status. Thread: engine. */
void tl_server_metrics_closed(struct tl_server *s, struct tl_str namespace_name, int status);
/* Commands to a worker have come to an end: "success", "worker_error" or "max_attempts_exceeded".
 * Thread: engine. */
void tl_server_metrics_command(struct tl_server *s, struct tl_str namespace_name,
                               const char *outcome);
/* A transaction has been tried. Thread: store. */
void tl_server_metrics_commit(struct tl_server *s, int64_t took_ns, size_t operations, bool ok);
/* Stores the gauges. Thread: engine. */
void tl_server_metrics_round(struct tl_server *s);
