/* Queries that wait on a run for a workflow task. They live in memory only.
 * Thread: the run's owner. Owns: copies of the queries. */
#include <stdlib.h>
#include <string.h>

#include "server/history/rs.h"

/* From this attempt on a query would only meet the same broken code. */
#define REFUSE_FROM_ATTEMPT 3

static enum tl_query_route not_ready(tl_rc *rc, enum tl_error_kind *kind, struct tl_error *err,
                                     const char *why)
{
    *kind = TL_ERR_WORKFLOW_NOT_READY;
    *rc = tl_error_set(err, TL_EPRECONDITION, "%s", why);
    return TL_QUERY_REFUSE;
}

enum tl_query_route tl_rs_query_route(const struct tl_rs *rs, int64_t deadline_ns,
                                      size_t buffered_max, tl_rc *rc, enum tl_error_kind *kind,
                                      struct tl_error *err)
{
    bool completed_one = rs->previous_started_id > 0;
    *rc = TL_OK;
    *kind = TL_ERR_PLAIN;
    if (!tl_rs_open(rs) && !completed_one) {
        return not_ready(rc, kind, err,
                         "Workflow execution closed before WorkflowTaskStarted event");
    }
    if (tl_rs_open(rs) && tl_rs_in_backoff(rs) &&
        tl_ns_add(rs->start_ns, rs->first_backoff_ns) > tl_rs_time_ns(rs, deadline_ns)) {
        return not_ready(rc, kind, err, "Workflow task is not scheduled yet.");
    }
    if (rs->wft.attempt >= REFUSE_FROM_ATTEMPT) {
        return not_ready(rc, kind, err,
                         "Unable to query workflow due to Workflow Task in failed state.");
    }
    if (completed_one && (!tl_rs_open(rs) || !rs->wft.scheduled_id)) {
        return TL_QUERY_DIRECT;
    }
    if (rs->query_n >= buffered_max) {
        *kind = TL_ERR_RESOURCE_EXHAUSTED;
        *rc =
            tl_error_set(err, TL_ELIMIT,
                         "consistent query buffer is full, this may be caused by too many queries "
                         "and workflow not able to process query fast enough");
        return TL_QUERY_REFUSE;
    }
    return TL_QUERY_BUFFER;
}

tl_rc tl_tx_query_buffer(struct tl_tx *tx, uint64_t id, struct tl_str query, struct tl_error *err)
{
    struct tl_rs *rs = tx->rs;
    tx->error_kind = TL_ERR_PLAIN;
    if ((int64_t)query.n > tx->env->limits.blob_bytes) {
        return tl_error_set(err, TL_EINVAL, "Blob data size exceeds limit.");
    }
    if (rs->query_n == rs->query_cap) {
        rs->query_cap = rs->query_cap ? rs->query_cap * 2 : 2;
        rs->queries = tl_mem_realloc(rs->queries, rs->query_cap * sizeof(rs->queries[0]));
    }
    struct tl_query_node *q = &rs->queries[rs->query_n++];
    *q = (struct tl_query_node){.id = id};
    tl_set_blob(&q->query, query);
    tx->touched = true;
    return TL_OK;
}

static void drop(struct tl_rs *rs, size_t index)
{
    tl_mem_free(rs->queries[index].query.p);
    rs->query_n--;
    memmove(&rs->queries[index], &rs->queries[index + 1],
            (rs->query_n - index) * sizeof(rs->queries[0]));
}

void tl_rs_query_forget(struct tl_rs *rs, uint64_t id)
{
    for (size_t i = 0; i < rs->query_n; i++) {
        if (rs->queries[i].id == id) {
            drop(rs, i);
            return;
        }
    }
}

void tl_rs_queries_free(struct tl_rs *rs)
{
    while (rs->query_n > 0) {
        drop(rs, rs->query_n - 1);
    }
    tl_mem_free(rs->queries);
    rs->queries = NULL;
    rs->query_cap = 0;
}

static bool is_waiting(const struct tl_rs *rs, uint64_t id)
{
    for (size_t i = 0; i < rs->query_n; i++) {
        if (rs->queries[i].id == id) {
            return true;
        }
    }
    return false;
}

static struct tl_effect *answer(struct tl_tx *tx, enum tl_effect_kind kind, uint64_t id)
{
    struct tl_effect *f = tl_effects_add(&tx->effects, kind);
    if (!f) {
        tl_tx_break(tx, "the answers of queries");
        return NULL;
    }
    f->u.query.id = id;
    return f;
}

void tl_query_answer(struct tl_tx *tx, const TpWs__RespondWorkflowTaskCompletedRequest *req)
{
    for (size_t i = 0; i < req->n_query_results; i++) {
        const char *key = req->query_results[i]->key;
        char *end = NULL;
        uint64_t id = strtoull(key, &end, 10);
        const TpQuery__WorkflowQueryResult *result = req->query_results[i]->value;
        if (end == key || *end || !result || !is_waiting(tx->rs, id)) {
            continue;
        }
        bool fits = tl_message_bytes(result->answer) <= tx->env->limits.blob_bytes;
        struct tl_effect *f = answer(tx, fits ? TL_FX_QUERY_ANSWERED : TL_FX_QUERY_FAILED, id);
        if (f && fits) {
            f->u.query.result = result;
        } else if (f) {
            f->u.query.rc = TL_EINVAL;
            f->u.query.message = tl_str("Blob data size exceeds limit.");
        }
        tl_rs_query_forget(tx->rs, id);
        tx->touched = true;
    }
}

/* No task is left for them to ride on: they go their own way. */
void tl_query_finish(struct tl_tx *tx)
{
    struct tl_rs *rs = tx->rs;
    if (tl_rs_open(rs) &&
        (rs->wft.scheduled_id || (rs->previous_started_id == 0 && !tl_rs_paused(rs)))) {
        return;
    }
    while (rs->query_n > 0) {
        answer(tx, TL_FX_QUERY_UNBLOCKED, rs->queries[0].id);
        drop(rs, 0);
    }
}
