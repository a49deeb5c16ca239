/* The list filter language over what workers tell of themselves, decided in memory:
 *   or = and {OR and}     and = not {AND not}     not = {NOT} primary
 *   primary = "(" or ")" | field operator value | field [NOT] IN "(" value {"," value} ")"
 *           | field [NOT] STARTS_WITH value | field BETWEEN value AND value
 * Fields: WorkerInstanceKey, WorkerIdentity, HostName, TaskQueue, DeploymentName, BuildId, SdkName,
 * SdkVersion (texts), StartTime, LastHeartbeatTime (times, RFC 3339), Status (Running, ShuttingDown, Shutdown).
 * Thread: any. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "temporal/api/worker/v1/message.pb-c.h"

/* Whether the worker is one that the filter describes; the empty filter describes all. Errors:
 * TL_EINVAL with the position and what was expected. */
tl_rc tl_worker_filter(struct tl_str text, const TpWorker__WorkerHeartbeat *worker,
                       struct tl_arena *arena, bool *out, struct tl_error *err) TL_MUST_USE;
