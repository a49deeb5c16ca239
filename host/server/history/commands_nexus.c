/* ScheduleNexusOperation and RequestCancelNexusOperation.
 * Thread: the run's owner. */
#include <string.h>
#include <strings.h>

#include "server/history/commands.h"
#include "server/history/nexus_system.h"
#include "server/history/rs.h"

#define CAUSE WORKFLOW_TASK_FAILED_CAUSE_BAD_SCHEDULE_NEXUS_OPERATION_ATTRIBUTES
#define CAUSE_CANCEL WORKFLOW_TASK_FAILED_CAUSE_BAD_REQUEST_CANCEL_NEXUS_OPERATION_ATTRIBUTES
#define COMMAND "ScheduleNexusOperationCommandAttributes"

typedef TpCommand__ScheduleNexusOperationCommandAttributes attrs;

static struct tl_str endpoint_id(const struct tl_wft_done *d, const char *name)
{
    const struct tl_history_env *env = d->tx->env;
    return env->nexus_endpoint_id ? env->nexus_endpoint_id(env->ud, tl_str(name))
                                  : (struct tl_str){NULL, 0};
}

/* An operation of the service itself: what it would refuse is the workflow task's fault. */
static bool check_system(struct tl_wft_done *d, const attrs *a)
{
    const struct tl_rs *rs = d->tx->rs;
    struct tl_nexus_system_input in = {.service = a->service,
                                       .operation = a->operation,
                                       .payload = a->input,
                                       .namespace_ = tl_str(tl_or_empty(rs->namespace_name)),
                                       .namespace_number = rs->namespace_number};
    TpWs__SignalWithStartWorkflowExecutionRequest *r;
    struct tl_error err;
    if (a->n_nexus_header) {
        tl_refuse(d, CAUSE, COMMAND ".NexusHeader must be empty when using %s endpoint",
                  a->endpoint);
        return false;
    }
    if (tl_nexus_system_read(d->tx->env, &in, d->tx->arena, &r, &err) != TL_OK) {
        tl_refuse(d, CAUSE, "%s", err.message);
        return false;
    }
    return true;
}

static bool check_endpoint(struct tl_wft_done *d, const attrs *a)
{
    if (tl_nexus_is_system(a->endpoint)) {
        return check_system(d, a);
    }
    if (!endpoint_id(d, a->endpoint).n) {
        tl_refuse(d, CAUSE, "endpoint \"%.200s\" not found", a->endpoint);
        return false;
    }
    return true;
}

static bool check_names(struct tl_wft_done *d, const attrs *a)
{
    const struct {
        const char *name, *value;
    } names[] = {{"Service", a->service}, {"Operation", a->operation}};
    long long limit = (long long)d->tx->env->limits.id_bytes;
    if (!check_endpoint(d, a)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if ((long long)strlen(names[i].value) > limit) {
            tl_refuse(d, CAUSE, COMMAND ".%s exceeds length limit of %lld", names[i].name, limit);
            return false;
        }
    }
    return true;
}

static bool check_times(struct tl_wft_done *d, const attrs *a)
{
    const struct {
        const char *name;
        const Google__Protobuf__Duration *value;
    } times[] = {
        {"ScheduleToCloseTimeout", a->schedule_to_close_timeout},
        {"ScheduleToStartTimeout", a->schedule_to_start_timeout},
        {"StartToCloseTimeout", a->start_to_close_timeout},
    };
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        const char *problem = NULL;
        tl_duration_checked_ns(times[i].value, &problem);
        if (problem) {
            tl_refuse(d, CAUSE, COMMAND ".%s is invalid: %s", times[i].name, problem);
            return false;
        }
    }
    return true;
}

static bool check_header(struct tl_wft_done *d, const attrs *a)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < a->n_nexus_header; i++) {
        const char *key = a->nexus_header[i]->key;
        if (strcasecmp(key, "request-timeout") == 0) {
            tl_refuse(d, CAUSE, COMMAND ".NexusHeader contains a disallowed header key: \"%s\"",
                      key);
            return false;
        }
        bytes += (int64_t)(strlen(key) + strlen(a->nexus_header[i]->value));
    }
    if (bytes > d->tx->env->limits.nexus_header_bytes) {
        tl_refuse(d, CAUSE, COMMAND ".NexusHeader exceeds size limit");
        return false;
    }
    return true;
}

void tl_command_check_nexus(struct tl_wft_done *d, const TpCommand__Command *c)
{
    const attrs *a = c->schedule_nexus_operation_command_attributes;
    const struct tl_history_limits *limits = &d->tx->env->limits;
    if (!check_names(d, a) || !check_times(d, a) || !check_header(d, a)) {
        return;
    }
    /* The limits of what a request to the service holds were looked at with it. */
    bool system = tl_nexus_is_system(a->endpoint);
    if (!system && tl_message_bytes(a->input) > limits->blob_bytes) {
        tl_refuse_terminate(d, CAUSE, COMMAND ".Input exceeds size limit");
    } else if ((int64_t)d->pending_nexus >= limits->pending_nexus_operations) {
        tl_refuse(
            d, WORKFLOW_TASK_FAILED_CAUSE_PENDING_NEXUS_OPERATIONS_LIMIT_EXCEEDED,
            "workflow has reached the pending nexus operation limit of %lld for this namespace",
            (long long)limits->pending_nexus_operations);
    }
    d->pending_nexus++;
    d->next_id++;
}

/* Handlers see the names of headers in lower case. False without memory. */
static bool fill_header(struct tl_arena *arena, const attrs *in,
                        TpHistory__NexusOperationScheduledEventAttributes *out)
{
    struct tl_pb_list list = {0};
    for (size_t i = 0; i < in->n_nexus_header; i++) {
        TpHistory__NexusOperationScheduledEventAttributes__NexusHeaderEntry *h =
            TL_PB_NEW(arena, TpHistory__NexusOperationScheduledEventAttributes__NexusHeaderEntry,
                      tp_history__nexus_operation_scheduled_event_attributes__nexus_header_entry);
        char *key = tl_arena_cstr(arena, tl_str(in->nexus_header[i]->key));
        if (!h || !key || !tl_pb_push(arena, &list, h)) {
            return false;
        }
        for (char *p = key; *p; p++) {
            *p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 'a' - 'A') : *p;
        }
        h->key = key;
        h->value = in->nexus_header[i]->value;
    }
    out->n_nexus_header = list.n;
    out->nexus_header = list.items;
    return true;
}

/* An operation ends with its run, and its parts with the whole. */
static void fill_times(const struct tl_rs *rs, const attrs *in, Google__Protobuf__Duration times[3],
                       TpHistory__NexusOperationScheduledEventAttributes *out)
{
    const char *problem = NULL;
    int64_t close_ns = tl_duration_checked_ns(in->schedule_to_close_timeout, &problem);
    int64_t start_ns = tl_duration_checked_ns(in->schedule_to_start_timeout, &problem);
    int64_t run_ns = tl_duration_checked_ns(in->start_to_close_timeout, &problem);
    if (rs->run_timeout_ns > 0 && (close_ns == 0 || close_ns > rs->run_timeout_ns)) {
        close_ns = rs->run_timeout_ns;
    }
    start_ns = close_ns > 0 && start_ns > close_ns ? close_ns : start_ns;
    run_ns = close_ns > 0 && run_ns > close_ns ? close_ns : run_ns;
    times[0] = tl_duration_value(close_ns);
    times[1] = tl_duration_value(start_ns);
    times[2] = tl_duration_value(run_ns);
    out->schedule_to_close_timeout = close_ns > 0 ? &times[0] : NULL;
    out->schedule_to_start_timeout = start_ns > 0 ? &times[1] : NULL;
    out->start_to_close_timeout = run_ns > 0 ? &times[2] : NULL;
}

void tl_command_run_nexus(struct tl_wft_done *d, const TpCommand__Command *c)
{
    const attrs *in = c->schedule_nexus_operation_command_attributes;
    struct tl_tx *tx = d->tx;
    Google__Protobuf__Duration times[3];
    TpHistory__NexusOperationScheduledEventAttributes a =
        TP_HISTORY__NEXUS_OPERATION_SCHEDULED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    a.endpoint = in->endpoint;
    a.endpoint_id = tl_pb_cstr(tx->arena, endpoint_id(d, in->endpoint));
    a.service = in->service;
    a.operation = in->operation;
    a.input = in->input;
    a.request_id = tl_arena_printf(tx->arena, "%s:%lld", tl_or_empty(tx->rs->run_id),
                                   (long long)tx->rs->next_event_id);
    a.workflow_task_completed_event_id = d->completed_id;
    fill_times(tx->rs, in, times, &a);
    if (!a.endpoint_id || !a.request_id || !fill_header(tx->arena, in, &a)) {
        tl_tx_break(tx, "a Nexus operation");
        return;
    }
    TL_EV_SET(&ev, NEXUS_OPERATION_SCHEDULED, nexus_operation_scheduled, &a);
    tl_command_decorate(&ev, c);
    tl_tx_add(tx, &ev);
}

void tl_command_check_cancel_nexus(struct tl_wft_done *d, const TpCommand__Command *c)
{
    int64_t id = c->request_cancel_nexus_operation_command_attributes->scheduled_event_id;
    const struct tl_nexus_op *op = tl_rs_nexus(d->tx->rs, id);
    if (!op && !tl_buffer_has_nexus_close(d->tx, id)) {
        tl_refuse(d, CAUSE_CANCEL,
                  "requested cancelation for a non-existing or already completed operation with "
                  "scheduled event ID of %lld",
                  (long long)id);
        return;
    }
    if ((op && op->cancel_requested_id) || tl_map_get_num(&d->nexus_cancels, (uint64_t)id)) {
        tl_refuse(d, CAUSE_CANCEL,
                  "cancelation was already requested for an operation with scheduled event ID %lld",
                  (long long)id);
        return;
    }
    /* Only presence matters: any address that is not NULL will do. */
    tl_map_put_num(&d->nexus_cancels, (uint64_t)id, d);
    d->next_id++;
}

void tl_command_run_cancel_nexus(struct tl_wft_done *d, const TpCommand__Command *c)
{
    TpHistory__NexusOperationCancelRequestedEventAttributes a =
        TP_HISTORY__NEXUS_OPERATION_CANCEL_REQUESTED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, d->tx->now_ns);
    a.scheduled_event_id = c->request_cancel_nexus_operation_command_attributes->scheduled_event_id;
    a.workflow_task_completed_event_id = d->completed_id;
    TL_EV_SET(&ev, NEXUS_OPERATION_CANCEL_REQUESTED, nexus_operation_cancel_requested, &a);
    tl_command_decorate(&ev, c);
    tl_tx_add(d->tx, &ev);
}
