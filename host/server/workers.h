/* What workers last told of themselves (RecordWorkerHeartbeat, ShutdownWorker). Memory only: a worker tells
 * again within a minute. One that has been silent for five is forgotten.
 * Ownership: the server's. Thread: engine. */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "server/engine.h"
#include "temporal/api/worker/v1/message.pb-c.h"

/* Keeps the newest word of each; those without an instance key are passed over. */
void tl_workers_record(struct tl_server *s, const struct tl_namespace *ns,
                       TpWorker__WorkerHeartbeat *const *heartbeats, size_t n);
/* Calls fn with each worker of the namespace, in order of the instance keys after `after` (may be
 * empty), until it returns false. The heartbeat lives in the arena. False: the arena is full. */
bool tl_workers_each(struct tl_server *s, const struct tl_namespace *ns, struct tl_str after,
                     struct tl_arena *arena,
                     bool (*fn)(void *ud, TpWorker__WorkerHeartbeat *heartbeat), void *ud);
/* NULL: no worker of that key. In the arena. */
TpWorker__WorkerHeartbeat *tl_workers_find(struct tl_server *s, const struct tl_namespace *ns,
                                           struct tl_str instance_key, struct tl_arena *arena);
void tl_workers_free(struct tl_server *s);
