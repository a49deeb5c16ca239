/* Eager start: a client that starts a workflow asks a worker of the same process for a place for the
 * first workflow task, and gives it the task that comes with the server's answer. No poll is needed then.
 *
 * A set holds the workers of one connection; the clients of that connection share it.
 * Thread: any. */
#pragma once

#include <stdbool.h>

#include "base/list.h"
#include "base/str.h"
#include "rpc/rpc.h"
#include "temporal/api/deployment/v1/message.pb-c.h"

/* A worker as its clients see it. Owned by the worker, which stays until each place has been ended. */
struct tl_eager_worker {
    struct tl_list node;
    struct tl_str namespace_name, task_queue;
    /* A place for one first task, or NULL when there is none now; must not block. *deployment: the version
     * it is for, as long as the place; NULL: none. */
    void *(*reserve)(struct tl_eager_worker *w,
                     const TpDeployment__WorkerDeploymentOptions **deployment);
    /* Ends a place: with a task (an encoded PollWorkflowTaskQueueResponse, copied), or with p NULL. */
    void (*end)(struct tl_eager_worker *w, void *place, struct tl_str task);
};

struct tl_eager_set;
/* Owns: the caller, one use. */
struct tl_eager_set *tl_eager_set_new(void);
struct tl_eager_set *tl_eager_set_retain(struct tl_eager_set *s);
void tl_eager_set_release(struct tl_eager_set *s); /* NULL is fine */

/* Each worker is in at most one set; `node` is initialised by the worker. */
void tl_eager_set_add(struct tl_eager_set *s, struct tl_eager_worker *w);
/* No place is asked for any more when it returns. Fine for one that is not in the set. */
void tl_eager_set_remove(struct tl_eager_set *s, struct tl_eager_worker *w);

/* What one call has reserved, and what it has changed in the request for as long as it runs. */
struct tl_eager_call {
    void *request; /* NULL: the call does not ask for an eager start */
    TpDeployment__WorkerDeploymentOptions *old_deployment;
    struct tl_eager_worker *worker; /* NULL: no place */
    void *place;
};
/* Before the request is encoded: a start that asks for it gets a place, or asks no more. `namespace_name`
 * holds for a request that names none. */
void tl_eager_begin(struct tl_eager_call *e, struct tl_eager_set *s, enum tl_method method,
                    void *request, struct tl_str namespace_name);
/* After the call: the request is as it was, the place has its task or is given back. body: the encoded
 * answer; p NULL when there is none. */
void tl_eager_end(struct tl_eager_call *e, struct tl_str body);
