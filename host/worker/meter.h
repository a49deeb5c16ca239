/* Private to worker/: what a worker measures (meter.def), each number where it comes into being. Without a
 * registry (tl_client_metrics) everything here does nothing.
 * Cost: one look-up without a lock and one atomic add for each number; gauges are read when somebody wants
 * them. Thread: any, unless a function says otherwise. */
#pragma once

#include "base/metrics.h"
#include "core/activation.h"
#include "proto/pb.h"
#include "temporal/api/workflowservice/v1/request_response.pb-c.h"

struct tl_act;
struct tl_op;
struct tl_wf_run;
struct tl_wf_task;
struct tl_wft_result;
struct tl_worker;

enum tl_meter_id {
#define M(id, kind, name, help, ...) TL_METER_##id,
#include "worker/meter.def"
#undef M
    TL_METER_COUNT
};

enum { TL_METER_POLLERS = 4, TL_METER_SLOTS = 4 }; /* kinds of polls and slots that gauges tell */

struct tl_meter {
    struct tl_metrics *registry; /* NULL: nothing is measured */
    struct tl_worker *worker;
    struct tl_metric *metrics[TL_METER_COUNT];
    struct tl_metrics_source source;
    /* What this worker's part of the gauges is: workers of one queue share them. Under the registry's
     * lock. */
    int64_t pollers[TL_METER_POLLERS], used[TL_METER_SLOTS], available[TL_METER_SLOTS], cached;
};

/* Finds out when a run without state has caught up with its history. Part of the run. */
struct tl_meter_replay {
    struct tl_lang lang; /* what core gets instead of `inner` */
    const struct tl_lang *inner;
    struct tl_worker *worker;
    int64_t begun_ns, caught_up_ns; /* 0: not yet */
    bool replayed;
};

/* On the owner's thread, when all else of the worker is there; and before it goes. */
void tl_meter_open(struct tl_worker *w);
void tl_meter_close(struct tl_worker *w);

void tl_meter_worker_started(struct tl_worker *w);
/* kind: enum tl_poll_kind. */
void tl_meter_poll(struct tl_worker *w, int kind, bool task);

/* --- workflow tasks, on their actor --------------------------------------------------------------- */

void tl_meter_task_taken(const struct tl_wf_task *t);
void tl_meter_cache(const struct tl_wf_task *t, bool hit);
void tl_meter_evicted(struct tl_worker *w);
/* The language for the first task of a run: the one that is given, or one that watches it. */
const struct tl_lang *tl_meter_replay_begins(struct tl_wf_run *r, const struct tl_lang *lang);
void tl_meter_replay_ended(struct tl_wf_run *r, const struct tl_wf_task *t);
/* failure_reason: as the SDKs call it. */
void tl_meter_task_failed(const struct tl_wf_task *t, const char *failure_reason);
/* The command type that ends the run with this result, 0 when it goes on; a benign failure is none. */
int tl_meter_ending(const struct tl_wft_result *result);
/* The server has taken the answer. */
void tl_meter_task_answered(const struct tl_wf_task *t);

/* --- activities ----------------------------------------------------------------------------------- */

/* body: the encoded task. */
void tl_meter_activity_received(struct tl_worker *w, struct tl_str body, bool eager);
void tl_meter_activity_started(const struct tl_act *a);
void tl_meter_activity_unregistered(const struct tl_act *a);
/* It has ended, and before the server is told. */
void tl_meter_activity_ended(const struct tl_act *a);

/* Attempts of local activities; `started_ns`: monotonic. */
void tl_meter_local_began(const struct tl_act *a);
enum tl_meter_local { TL_METER_LOCAL_SUCCEEDED, TL_METER_LOCAL_FAILED, TL_METER_LOCAL_CANCELED };
void tl_meter_local_ended(struct tl_worker *w, const TpWs__PollActivityTaskQueueResponse *task,
                          int64_t started_ns, enum tl_meter_local how,
                          const TpFailure__Failure *failure);

/* --- Nexus tasks ---------------------------------------------------------------------------------- */

void tl_meter_nexus_started(const struct tl_op *op);
/* It has ended, and before the server is told. */
void tl_meter_nexus_ended(const struct tl_op *op);
