/* Lists and counts. The engine compiles the filter and writes late rows; the reader runs the query
 * after that commit, so that a list shows everything that was answered before it.
 * Thread: engine; the jobs: reader. */
#include "base/limits.h"
#include "base/mem.h"
#include "server/api/api.h"
#include "server/history/activity_execution.h"
#include "server/history/operation_execution.h"
#include "server/visibility/attributes.h"
#include "server/visibility/filter.h"

/* SQLite steps before a list or count is given up: some seconds. */
#define STEPS_MAX INT64_C(2000000000)

enum what { LIST, SCAN, COUNT, LIST_OPEN, LIST_CLOSED };

/* One list or count. Owns everything. */
struct list_job {
    struct tl_job job;
    struct tl_rpc_request *rpc;
    struct tl_arena arena;
    enum what what;
    struct tl_attrs custom; /* of the namespace, to show what is still registered */
    struct tl_list_query q;
    const char *group_by;
    char *namespace_id;
    enum tl_run_kind kind;
    struct tl_pb_list items; /* what the kind's lists have, or AggregationGroup */
    TlV1__ListToken last;
};

static TpCommon__WorkflowExecution *execution(struct tl_arena *arena, struct tl_str workflow_id,
                                              struct tl_str run_id)
{
    TpCommon__WorkflowExecution *x =
        TL_PB_NEW(arena, TpCommon__WorkflowExecution, tp_common__workflow_execution);
    if (x) {
        x->workflow_id = tl_pb_cstr(arena, workflow_id);
        x->run_id = tl_pb_cstr(arena, run_id);
    }
    return x;
}

static tl_rc fill_info(struct list_job *j, const struct tl_run_row *row,
                       TpWorkflow__WorkflowExecutionInfo *i, struct tl_error *err)
{
    struct tl_arena *a = &j->arena;
    tl_rc rc = TL_OK;
    i->execution = execution(a, row->workflow_id, row->run_id);
    i->type = TL_PB_NEW(a, TpCommon__WorkflowType, tp_common__workflow_type);
    if (!i->execution || !i->type) {
        return tl_error_set(err, TL_ELIMIT, "the page is too large");
    }
    i->type->name = tl_pb_cstr(a, row->type);
    i->start_time = tl_pb_timestamp(a, row->start_ns);
    i->execution_time = tl_pb_timestamp(a, row->execution_ns);
    i->status = (TpEnums__WorkflowExecutionStatus)row->status;
    i->history_length = row->history_length;
    i->history_size_bytes = row->history_bytes;
    i->state_transition_count = row->state_transitions;
    i->task_queue = tl_pb_cstr(a, row->task_queue);
    i->first_run_id = tl_pb_cstr(a, row->first_run_id);
    bool rooted = row->root_workflow_id.n > 0;
    i->root_execution = execution(a, rooted ? row->root_workflow_id : row->workflow_id,
                                  rooted ? row->root_run_id : row->run_id);
    if (row->close_ns) {
        i->close_time = tl_pb_timestamp(a, row->close_ns);
        i->execution_duration = tl_pb_duration_ns(a, row->close_ns - row->execution_ns);
    }
    if (row->parent_workflow_id.n) {
        i->parent_execution = execution(a, row->parent_workflow_id, row->parent_run_id);
        i->parent_namespace_id = j->namespace_id;
    }
    /* Both are told even when they are empty. */
    rc = tl_pb_decode(&tp_common__memo__descriptor, row->memo, a, &i->memo, err);
    if (rc == TL_OK) {
        rc = tl_pb_decode(&tp_common__search_attributes__descriptor, row->search_attributes, a,
                          &i->search_attributes, err);
    }
    tl_attrs_visible(&j->custom, i->search_attributes);
    return rc;
}

static tl_rc add_activity(struct list_job *j, const struct tl_run_row *row, struct tl_error *err)
{
    struct tl_arena *a = &j->arena;
    TpActivity__ActivityExecutionListInfo *i = TL_PB_NEW(a, TpActivity__ActivityExecutionListInfo,
                                                         tp_activity__activity_execution_list_info);
    if (!i || !tl_pb_push(a, &j->items, i) ||
        !(i->activity_type = TL_PB_NEW(a, TpCommon__ActivityType, tp_common__activity_type))) {
        return tl_error_set(err, TL_ELIMIT, "the page is too large");
    }
    i->activity_id = tl_pb_cstr(a, row->workflow_id);
    i->run_id = tl_pb_cstr(a, row->run_id);
    i->activity_type->name = tl_pb_cstr(a, row->type);
    i->schedule_time = tl_pb_timestamp(a, row->start_ns);
    i->execution_time = tl_pb_timestamp(a, row->execution_ns);
    i->status = (TpEnums__ActivityExecutionStatus)tl_activity_execution_status(row->status);
    i->task_queue = tl_pb_cstr(a, row->task_queue);
    i->state_transition_count = row->state_transitions;
    i->state_size_bytes = row->history_bytes;
    if (row->close_ns) {
        i->close_time = tl_pb_timestamp(a, row->close_ns);
        i->execution_duration = tl_pb_duration_ns(a, row->close_ns - row->start_ns);
    }
    tl_rc rc = tl_pb_decode(&tp_common__search_attributes__descriptor, row->search_attributes, a,
                            &i->search_attributes, err);
    tl_attrs_visible(&j->custom, i->search_attributes);
    return rc;
}

static tl_rc add_operation(struct list_job *j, const struct tl_run_row *row, struct tl_error *err)
{
    struct tl_arena *a = &j->arena;
    TpNexus__NexusOperationExecutionListInfo *i = TL_PB_NEW(
        a, TpNexus__NexusOperationExecutionListInfo, tp_nexus__nexus_operation_execution_list_info);
    if (!i || !tl_pb_push(a, &j->items, i)) {
        return tl_error_set(err, TL_ELIMIT, "the page is too large");
    }
    i->operation_id = tl_pb_cstr(a, row->workflow_id);
    i->run_id = tl_pb_cstr(a, row->run_id);
    i->endpoint = tl_pb_cstr(a, row->task_queue);
    i->service = tl_pb_cstr(a, row->parent_workflow_id);
    i->operation = tl_pb_cstr(a, row->type);
    i->schedule_time = tl_pb_timestamp(a, row->start_ns);
    i->status = (TpEnums__NexusOperationExecutionStatus)tl_operation_status(row->status);
    i->state_transition_count = row->state_transitions;
    i->state_size_bytes = row->history_bytes;
    if (row->close_ns) {
        i->close_time = tl_pb_timestamp(a, row->close_ns);
        i->execution_duration = tl_pb_duration_ns(a, row->close_ns - row->start_ns);
    }
    tl_rc rc = tl_pb_decode(&tp_common__search_attributes__descriptor, row->search_attributes, a,
                            &i->search_attributes, err);
    tl_attrs_visible(&j->custom, i->search_attributes);
    return rc;
}

static tl_rc add_row(void *ud, const struct tl_run_row *row, struct tl_error *err)
{
    struct list_job *j = ud;
    j->last.start_ns = row->start_ns;
    j->last.number = row->number;
    if (j->kind != TL_RUN_WORKFLOW) {
        return j->kind == TL_RUN_ACTIVITY ? add_activity(j, row, err) : add_operation(j, row, err);
    }
    TpWorkflow__WorkflowExecutionInfo *i = TL_PB_NEW(&j->arena, TpWorkflow__WorkflowExecutionInfo,
                                                     tp_workflow__workflow_execution_info);
    if (!i || !tl_pb_push(&j->arena, &j->items, i)) {
        return tl_error_set(err, TL_ELIMIT, "the page is too large");
    }
    return fill_info(j, row, i, err);
}

/* A keyword payload as search attributes have it. */
static TpCommon__Payload *keyword(struct tl_arena *a, const char *text)
{
    TpCommon__Payload *p = TL_PB_NEW(a, TpCommon__Payload, tp_common__payload);
    struct tl_pb_list meta = {0};
    static const char *const entries[2][2] = {{"encoding", "json/plain"}, {"type", "Keyword"}};
    for (int i = 0; p && i < 2; i++) {
        TpCommon__Payload__MetadataEntry *m =
            TL_PB_NEW(a, TpCommon__Payload__MetadataEntry, tp_common__payload__metadata_entry);
        if (!m || !tl_pb_push(a, &meta, m)) {
            return NULL;
        }
        m->key = tl_pb_cstr(a, tl_str(entries[i][0]));
        m->value = tl_pb_bytes_view(tl_str(entries[i][1]));
    }
    if (p) {
        p->n_metadata = meta.n;
        p->metadata = meta.items;
        p->data = tl_pb_bytes_view(tl_str(tl_arena_printf(a, "\"%s\"", text)));
    }
    return p;
}

static tl_rc add_group(void *ud, const struct tl_value *group, int64_t count, struct tl_error *err)
{
    struct list_job *j = ud;
    struct tl_arena *a = &j->arena;
    const char *name = group->kind == TL_VALUE_INT    ? tl_filter_status_name(group->num)
                       : group->kind == TL_VALUE_TEXT ? tl_arena_cstr(a, group->text)
                                                      : "";
    TpWs__CountWorkflowExecutionsResponse__AggregationGroup *g =
        TL_PB_NEW(a, TpWs__CountWorkflowExecutionsResponse__AggregationGroup,
                  tp_ws__count_workflow_executions_response__aggregation_group);
    TpCommon__Payload **values = tl_arena_alloc(a, sizeof *values);
    if (!g || !values || !(values[0] = keyword(a, name ? name : "Unspecified")) ||
        !tl_pb_push(a, &j->items, g)) {
        return tl_error_set(err, TL_ELIMIT, "the page is too large");
    }
    g->count = count;
    g->n_group_values = 1;
    g->group_values = values;
    return TL_OK;
}

static void free_job(struct list_job *j)
{
    tl_attrs_deinit(&j->custom);
    tl_arena_deinit(&j->arena);
    tl_mem_free(j);
}

/* --- the jobs -------------------------------------------------------------------------------------------- */

static tl_rc run_count(struct list_job *j, struct tl_reader *reader, struct tl_str *body,
                       struct tl_error *err)
{
    /* The answers of all counts have the same shape: count = 1, groups = 2. */
    TpWs__CountWorkflowExecutionsResponse r = TP_WS__COUNT_WORKFLOW_EXECUTIONS_RESPONSE__INIT;
    tl_rc rc = tl_store_count(reader, &j->q, &r.count, err);
    if (rc == TL_OK && j->group_by) {
        rc = tl_store_count_by(reader, &j->q, j->group_by, add_group, j, err);
    }
    r.n_groups = j->items.n;
    r.groups = j->items.items;
    return rc == TL_OK ? tl_pb_encode_arena(&r, &j->arena, body, err) : rc;
}

static tl_rc run_list(struct list_job *j, struct tl_reader *reader, struct tl_str *body,
                      struct tl_error *err)
{
    /* The answers of all lists have the same shape: executions = 1, next_page_token = 2. */
    TpWs__ListWorkflowExecutionsResponse r = TP_WS__LIST_WORKFLOW_EXECUTIONS_RESPONSE__INIT;
    TpWs__ListActivityExecutionsResponse activities =
        TP_WS__LIST_ACTIVITY_EXECUTIONS_RESPONSE__INIT;
    TpWs__ListNexusOperationExecutionsResponse operations =
        TP_WS__LIST_NEXUS_OPERATION_EXECUTIONS_RESPONSE__INIT;
    struct tl_str token;
    tl_rc rc = tl_store_list(reader, &j->q, add_row, j, err);
    if (rc == TL_OK && (int64_t)j->items.n == j->q.limit) {
        rc = tl_pb_encode_arena(&j->last, &j->arena, &token, err);
        r.next_page_token = tl_pb_bytes_view(token);
    }
    if (j->kind == TL_RUN_OPERATION) {
        operations.n_operations = j->items.n;
        operations.operations = j->items.items;
        operations.next_page_token = r.next_page_token;
        return rc == TL_OK ? tl_pb_encode_arena(&operations, &j->arena, body, err) : rc;
    }
    if (j->kind == TL_RUN_ACTIVITY) {
        activities.n_executions = j->items.n;
        activities.executions = j->items.items;
        activities.next_page_token = r.next_page_token;
        return rc == TL_OK ? tl_pb_encode_arena(&activities, &j->arena, body, err) : rc;
    }
    r.n_executions = j->items.n;
    r.executions = j->items.items;
    return rc == TL_OK ? tl_pb_encode_arena(&r, &j->arena, body, err) : rc;
}

static void run_job(struct tl_server *s, struct tl_reader *reader, struct tl_job *job)
{
    struct list_job *j = TL_CONTAINER(job, struct list_job, job);
    struct tl_str body = {0};
    struct tl_error err = {.code = TL_EUNAVAILABLE, .message = "the list could not be read"};
    tl_rc rc = TL_EUNAVAILABLE;
    (void)s;
    if (reader) {
        rc =
            j->what == COUNT ? run_count(j, reader, &body, &err) : run_list(j, reader, &body, &err);
    }
    if (rc == TL_OK) {
        tl_rpc_reply(j->rpc, 0, (struct tl_str){0}, (struct tl_str){0}, body);
    } else {
        tl_rpc_reply(j->rpc, tl_rc_grpc_status(rc), tl_err_str(&err), (struct tl_str){0},
                     (struct tl_str){0});
    }
    free_job(j);
}

/* --- requests ---------------------------------------------------------------------------------------------- */

static bool read_token(struct tl_call *c, ProtobufCBinaryData bytes, struct tl_list_query *q)
{
    const TlV1__ListToken *t;
    struct tl_error err;
    if (!bytes.len) {
        return true;
    }
    if (tl_pb_decode(&tl_v1__list_token__descriptor, tl_pb_str(bytes), c->arena, &t, &err) !=
        TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "Invalid NextPageToken.");
        return false;
    }
    q->has_after = true;
    q->after_start_ns = t->start_ns;
    q->after_number = t->number;
    return true;
}

static void submit_of(struct tl_call *c, enum tl_run_kind kind, enum what what, const char *query,
                      int32_t page_size, ProtobufCBinaryData token)
{
    struct list_job *j = TL_NEW(struct list_job);
    struct tl_filter filter;
    struct tl_error err;
    tl_arena_init(&j->arena, (size_t)tl_limit_request_bytes);
    j->last = (TlV1__ListToken)TL_V1__LIST_TOKEN__INIT;
    j->job.run = run_job;
    j->what = what;
    struct tl_str text = tl_arena_str(&j->arena, tl_str(query));
    struct tl_filter_scope scope = {&c->ns->attrs, (int64_t)c->ns->number, tl_engine_now(c->s),
                                    (int)kind};
    tl_rc rc = tl_filter_compile(text, &scope, &j->arena, &filter, &err);
    if (rc == TL_OK && filter.group_by && what != COUNT) {
        rc = tl_error_set(&err, TL_EINVAL,
                          "invalid query: operation is not supported: 'GROUP BY' clause, but in "
                          "counts");
    }
    if (rc != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(rc), "%s", err.message);
        free_job(j);
        return;
    }
    if (!read_token(c, token, &j->q)) {
        free_job(j);
        return;
    }
    tl_attrs_copy(&j->custom, &c->ns->attrs);
    j->group_by = filter.group_by;
    j->namespace_id = tl_arena_cstr(&j->arena, c->ns->id);
    j->kind = kind;
    j->q.namespace_number = tl_ns_scope(c->ns, kind);
    j->q.where = filter.where;
    j->q.binds = filter.binds;
    j->q.bind_count = filter.bind_count;
    j->q.limit = page_size > 0 && page_size < tl_limit_list_page ? page_size : tl_limit_list_page;
    j->q.steps_max = STEPS_MAX;
    j->rpc = c->rpc;
    c->rpc->slot = NULL;
    tl_checkpoint_flush(c->s, SIZE_MAX);
    bool dirty = c->s->open->ops.item_count > 0;
    tl_job_at(c->s, dirty ? c->s->open->seq : c->s->in_flight ? c->s->in_flight->seq : 0, &j->job);
}

static void submit(struct tl_call *c, enum what what, const char *query, int32_t page_size,
                   ProtobufCBinaryData token)
{
    submit_of(c, TL_RUN_WORKFLOW, what, query, page_size, token);
}

void tl_api_list_workflow_executions(struct tl_call *c)
{
    const TpWs__ListWorkflowExecutionsRequest *req = c->req;
    submit(c, LIST, req->query, req->page_size, req->next_page_token);
}

/* No archive is configured, and none can be: what Temporal's server says then. */
void tl_api_list_archived_workflow_executions(struct tl_call *c)
{
    tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                   "Cluster is not configured for visibility archival.");
}

void tl_api_scan_workflow_executions(struct tl_call *c)
{
    const TpWs__ScanWorkflowExecutionsRequest *req = c->req;
    submit(c, SCAN, req->query, req->page_size, req->next_page_token);
}

void tl_api_count_workflow_executions(struct tl_call *c)
{
    const TpWs__CountWorkflowExecutionsRequest *req = c->req;
    submit(c, COUNT, req->query, 0, (ProtobufCBinaryData){0});
}

void tl_api_list_activity_executions(struct tl_call *c)
{
    const TpWs__ListActivityExecutionsRequest *req = c->req;
    submit_of(c, TL_RUN_ACTIVITY, LIST, req->query, req->page_size, req->next_page_token);
}

void tl_api_count_activity_executions(struct tl_call *c)
{
    const TpWs__CountActivityExecutionsRequest *req = c->req;
    submit_of(c, TL_RUN_ACTIVITY, COUNT, req->query, 0, (ProtobufCBinaryData){0});
}

void tl_api_list_nexus_operation_executions(struct tl_call *c)
{
    const TpWs__ListNexusOperationExecutionsRequest *req = c->req;
    submit_of(c, TL_RUN_OPERATION, LIST, req->query, req->page_size, req->next_page_token);
}

void tl_api_count_nexus_operation_executions(struct tl_call *c)
{
    const TpWs__CountNexusOperationExecutionsRequest *req = c->req;
    submit_of(c, TL_RUN_OPERATION, COUNT, req->query, 0, (ProtobufCBinaryData){0});
}

/* --- the old lists: their filters become queries ------------------------------------------------------------- */

static void put_quoted(struct tl_buf *b, const char *field, const char *value)
{
    tl_buf_printf(b, " AND %s = '", field);
    for (; *value; value++) {
        if (*value == '\'' || *value == '\\') {
            tl_buf_putc(b, *value == '\'' ? '\'' : '\\');
        }
        tl_buf_putc(b, *value);
    }
    tl_buf_putc(b, '\'');
}

static void put_times(struct tl_buf *b, const char *field, const TpFilter__StartTimeFilter *f)
{
    if (f && f->earliest_time) {
        tl_buf_printf(b, " AND %s >= %lld", field,
                      (long long)tl_pb_timestamp_ns_or(f->earliest_time, 0));
    }
    if (f && f->latest_time) {
        tl_buf_printf(b, " AND %s <= %lld", field,
                      (long long)tl_pb_timestamp_ns_or(f->latest_time, INT64_MAX));
    }
}

static void put_run_filter(struct tl_buf *b, const TpFilter__WorkflowExecutionFilter *f)
{
    if (f && *f->workflow_id) {
        put_quoted(b, "WorkflowId", f->workflow_id);
    }
    if (f && *f->run_id) {
        put_quoted(b, "RunId", f->run_id);
    }
}

void tl_api_list_open_workflow_executions(struct tl_call *c)
{
    const TpWs__ListOpenWorkflowExecutionsRequest *req = c->req;
    struct tl_buf b;
    tl_buf_init(&b, 65536);
    tl_buf_puts(&b, "ExecutionStatus = 'Running'");
    put_times(&b, "StartTime", req->start_time_filter);
    if (req->filters_case ==
        TP_WS__LIST_OPEN_WORKFLOW_EXECUTIONS_REQUEST__FILTERS_EXECUTION_FILTER) {
        put_run_filter(&b, req->execution_filter);
    } else if (req->filters_case ==
               TP_WS__LIST_OPEN_WORKFLOW_EXECUTIONS_REQUEST__FILTERS_TYPE_FILTER) {
        put_quoted(&b, "WorkflowType", req->type_filter->name);
    }
    submit(c, LIST_OPEN, b.p, req->maximum_page_size, req->next_page_token);
    tl_buf_deinit(&b);
}

void tl_api_list_closed_workflow_executions(struct tl_call *c)
{
    const TpWs__ListClosedWorkflowExecutionsRequest *req = c->req;
    struct tl_buf b;
    tl_buf_init(&b, 65536);
    tl_buf_puts(&b, "CloseTime IS NOT NULL");
    put_times(&b, "CloseTime", req->start_time_filter);
    if (req->filters_case ==
        TP_WS__LIST_CLOSED_WORKFLOW_EXECUTIONS_REQUEST__FILTERS_EXECUTION_FILTER) {
        put_run_filter(&b, req->execution_filter);
    } else if (req->filters_case ==
               TP_WS__LIST_CLOSED_WORKFLOW_EXECUTIONS_REQUEST__FILTERS_TYPE_FILTER) {
        put_quoted(&b, "WorkflowType", req->type_filter->name);
    } else if (req->filters_case ==
               TP_WS__LIST_CLOSED_WORKFLOW_EXECUTIONS_REQUEST__FILTERS_STATUS_FILTER) {
        tl_buf_printf(&b, " AND ExecutionStatus = %d", (int)req->status_filter->status);
    }
    submit(c, LIST_CLOSED, b.p, req->maximum_page_size, req->next_page_token);
    tl_buf_deinit(&b);
}
