/* Workers as they tell of themselves: heartbeats, lists, descriptions. Thread: engine. */
#include "server/workers.h"

#include "server/api/api.h"
#include "server/visibility/worker_filter.h"

#define PAGE_MAX 1000

void tl_api_record_worker_heartbeat(struct tl_call *c)
{
    const TpWs__RecordWorkerHeartbeatRequest *req = c->req;
    TpWs__RecordWorkerHeartbeatResponse r = TP_WS__RECORD_WORKER_HEARTBEAT_RESPONSE__INIT;
    tl_workers_record(c->s, c->ns, req->worker_heartbeat, req->n_worker_heartbeat);
    tl_call_reply(c, 0, &r);
}

void tl_api_describe_worker(struct tl_call *c)
{
    const TpWs__DescribeWorkerRequest *req = c->req;
    TpWs__DescribeWorkerResponse r = TP_WS__DESCRIBE_WORKER_RESPONSE__INIT;
    TpWorker__WorkerInfo info = TP_WORKER__WORKER_INFO__INIT;
    if (!tl_api_check_id(c, "WorkerInstanceKey", req->worker_instance_key, true)) {
        return;
    }
    info.worker_heartbeat =
        tl_workers_find(c->s, c->ns, tl_str(req->worker_instance_key), c->arena);
    if (!info.worker_heartbeat) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_ENOTFOUND), "Worker %s not found",
                       req->worker_instance_key);
        return;
    }
    r.worker_info = &info;
    tl_call_reply(c, 0, &r);
}

/* --- lists --------------------------------------------------------------------------------------- */

struct list {
    struct tl_call *c;
    struct tl_str query;
    size_t most; /* 0: all are counted, none kept */
    size_t n;
    struct tl_pb_list infos, workers;
    const char *last; /* key of the last one that is on the page */
    bool more;
    tl_rc rc;
    struct tl_error err;
};

/* What a list tells of a worker, borrowed from its heartbeat; NULL without memory. */
static TpWorker__WorkerListInfo *list_info(struct tl_arena *arena, TpWorker__WorkerHeartbeat *h)
{
    TpWorker__WorkerListInfo *i =
        TL_PB_NEW(arena, TpWorker__WorkerListInfo, tp_worker__worker_list_info);
    if (!i) {
        return NULL;
    }
    i->worker_instance_key = h->worker_instance_key;
    i->worker_identity = h->worker_identity;
    i->task_queue = h->task_queue;
    i->deployment_version = h->deployment_version;
    i->sdk_name = h->sdk_name;
    i->sdk_version = h->sdk_version;
    i->status = h->status;
    i->start_time = h->start_time;
    if (h->host_info) {
        i->host_name = h->host_info->host_name;
        i->worker_grouping_key = h->host_info->worker_grouping_key;
        i->process_id = h->host_info->process_id;
    }
    i->n_plugins = h->n_plugins;
    i->plugins = h->plugins;
    i->n_drivers = h->n_drivers;
    i->drivers = h->drivers;
    return i;
}

static bool keep(struct list *l, TpWorker__WorkerHeartbeat *h)
{
    struct tl_arena *arena = l->c->arena;
    TpWorker__WorkerListInfo *worker = list_info(arena, h);
    TpWorker__WorkerInfo *info = TL_PB_NEW(arena, TpWorker__WorkerInfo, tp_worker__worker_info);
    if (!worker || !info || !tl_pb_push(arena, &l->workers, worker) ||
        !tl_pb_push(arena, &l->infos, info)) {
        l->rc = tl_error_set(&l->err, TL_ELIMIT, "too many workers for one answer");
        return false;
    }
    info->worker_heartbeat = h;
    l->last = h->worker_instance_key;
    return true;
}

static bool look_at(void *ud, TpWorker__WorkerHeartbeat *h)
{
    struct list *l = ud;
    bool is_meant = false;
    l->rc = tl_worker_filter(l->query, h, l->c->arena, &is_meant, &l->err);
    if (l->rc != TL_OK || !is_meant) {
        return l->rc == TL_OK;
    }
    if (l->most && l->n == l->most) {
        l->more = true;
        return false;
    }
    l->n++;
    return l->most ? keep(l, h) : true;
}

/* Walks the workers that the list's query describes; false: the call is answered. */
static bool walk(struct list *l, struct tl_str after)
{
    const TpWorker__WorkerHeartbeat nobody = TP_WORKER__WORKER_HEARTBEAT__INIT;
    bool ignored;
    /* A bad query is one whoever there is. */
    l->rc = tl_worker_filter(l->query, &nobody, l->c->arena, &ignored, &l->err);
    if (l->rc == TL_OK && !tl_workers_each(l->c->s, l->c->ns, after, l->c->arena, look_at, l)) {
        l->rc = tl_error_set(&l->err, TL_ELIMIT, "too many workers for one answer");
    }
    if (l->rc != TL_OK) {
        tl_call_errorf(l->c, tl_rc_grpc_status(l->rc), "%s", l->err.message);
    }
    return l->rc == TL_OK;
}

void tl_api_list_workers(struct tl_call *c)
{
    const TpWs__ListWorkersRequest *req = c->req;
    TpWs__ListWorkersResponse r = TP_WS__LIST_WORKERS_RESPONSE__INIT;
    size_t size = req->page_size > 0 ? (size_t)req->page_size : PAGE_MAX;
    struct list l = {
        .c = c, .query = tl_str(req->query), .most = size < PAGE_MAX ? size : PAGE_MAX};
    if (!walk(&l, tl_pb_str(req->next_page_token))) {
        return;
    }
    r.n_workers_info = l.infos.n;
    r.workers_info = l.infos.items;
    r.n_workers = l.workers.n;
    r.workers = l.workers.items;
    if (l.more) {
        r.next_page_token = tl_pb_bytes_view(tl_str(l.last));
    }
    tl_call_reply(c, 0, &r);
}

void tl_api_count_workers(struct tl_call *c)
{
    const TpWs__CountWorkersRequest *req = c->req;
    TpWs__CountWorkersResponse r = TP_WS__COUNT_WORKERS_RESPONSE__INIT;
    struct list l = {.c = c, .query = tl_str(req->query)};
    if (walk(&l, (struct tl_str){0})) {
        r.count = (int64_t)l.n;
        tl_call_reply(c, 0, &r);
    }
}
