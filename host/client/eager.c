/* The workers of a connection that take first workflow tasks from its clients. */
#include "client/eager.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "proto/wire.h"
#include "temporal/api/workflowservice/v1/request_response.pb-c.h"

#define EAGER_TASK_FIELD 2 /* of StartWorkflowExecutionResponse */

struct tl_eager_set {
    atomic_int uses;
    pthread_mutex_t mutex;
    struct tl_list workers; /* of struct tl_eager_worker; who was asked last stands last */
};

struct tl_eager_set *tl_eager_set_new(void)
{
    struct tl_eager_set *s = TL_NEW(struct tl_eager_set);
    atomic_store(&s->uses, 1);
    pthread_mutex_init(&s->mutex, NULL);
    tl_list_init(&s->workers);
    return s;
}

struct tl_eager_set *tl_eager_set_retain(struct tl_eager_set *s)
{
    atomic_fetch_add(&s->uses, 1);
    return s;
}

void tl_eager_set_release(struct tl_eager_set *s)
{
    if (s && atomic_fetch_sub(&s->uses, 1) == 1) {
        pthread_mutex_destroy(&s->mutex);
        tl_mem_free(s);
    }
}

void tl_eager_set_add(struct tl_eager_set *s, struct tl_eager_worker *w)
{
    pthread_mutex_lock(&s->mutex);
    tl_list_push(&s->workers, &w->node);
    pthread_mutex_unlock(&s->mutex);
}

void tl_eager_set_remove(struct tl_eager_set *s, struct tl_eager_worker *w)
{
    pthread_mutex_lock(&s->mutex);
    tl_list_remove(&w->node);
    pthread_mutex_unlock(&s->mutex);
}

/* The first worker of the queue that has a place. Under the mutex, so that none leaves meanwhile. */
static void reserve(struct tl_eager_call *e, struct tl_eager_set *s, struct tl_str namespace_name,
                    struct tl_str task_queue,
                    const TpDeployment__WorkerDeploymentOptions **deployment)
{
    pthread_mutex_lock(&s->mutex);
    TL_LIST_EACH (n, &s->workers) {
        struct tl_eager_worker *w = TL_CONTAINER(n, struct tl_eager_worker, node);
        if (tl_str_eq(w->namespace_name, namespace_name) && tl_str_eq(w->task_queue, task_queue)) {
            e->place = w->reserve(w, deployment);
            e->worker = e->place ? w : NULL;
        }
        if (e->worker) {
            break;
        }
    }
    if (e->worker) {
        tl_list_remove(&e->worker->node);
        tl_list_push(&s->workers, &e->worker->node);
    }
    pthread_mutex_unlock(&s->mutex);
}

void tl_eager_begin(struct tl_eager_call *e, struct tl_eager_set *s, enum tl_method method,
                    void *request, struct tl_str namespace_name)
{
    TpWs__StartWorkflowExecutionRequest *req = request;
    const TpDeployment__WorkerDeploymentOptions *deployment = NULL;
    *e = (struct tl_eager_call){0};
    if (method != TL_M_StartWorkflowExecution || !req->request_eager_execution) {
        return;
    }
    e->request = req;
    e->old_deployment = req->eager_worker_deployment_options;
    if (req->task_queue) {
        reserve(e, s, *req->namespace_ ? tl_str(req->namespace_) : namespace_name,
                tl_str(req->task_queue->name), &deployment);
    }
    req->request_eager_execution = e->worker != NULL;
    req->eager_worker_deployment_options =
        (TpDeployment__WorkerDeploymentOptions *)(uintptr_t)deployment;
}

void tl_eager_end(struct tl_eager_call *e, struct tl_str body)
{
    TpWs__StartWorkflowExecutionRequest *req = e->request;
    if (!req) {
        return;
    }
    req->request_eager_execution = true;
    req->eager_worker_deployment_options = e->old_deployment;
    if (e->worker) {
        struct tl_str task = tl_wire_find(body, EAGER_TASK_FIELD);
        e->worker->end(e->worker, e->place, task.n ? task : (struct tl_str){0});
    }
    *e = (struct tl_eager_call){0};
}
