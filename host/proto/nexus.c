/* See nexus.h. */
#include "proto/nexus.h"

#include <stdlib.h>
#include <string.h>

#include "proto/failure.h"
#include "proto/json.h"
#include "proto/pb.h"
#include "tl_enums.h"

#define SCHEME "temporal://"
#define LINK_TYPE "temporal.api.common.v1.Link.WorkflowEvent"
#define OPERATION_LINK_TYPE "temporal.api.common.v1.Link.NexusOperation"
#define OPERATIONS "nexus-operations/"
#define ACTIVITY_LINK_TYPE "temporal.api.common.v1.Link.Activity"
#define ACTIVITIES "activities/"
#define FAILURE_TYPE "temporal.api.failure.v1.Failure"
#define URL_BYTES_MAX ((size_t)16 * 1024)

/* --- links ------------------------------------------------------------------------------------ */

static void put_escaped(struct tl_buf *b, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     strchr("-_.~", c);
        if (plain) {
            tl_buf_putc(b, *s);
        } else {
            tl_buf_printf(b, "%%%02X", c);
        }
    }
}

static void put_event_type(struct tl_buf *b, int type)
{
    char name[80];
    tl_json_enum_short(&tp_enums__event_type__descriptor, type, name, sizeof name);
    tl_buf_puts(b, name);
}

static void put_reference(struct tl_buf *b, const TpCommon__Link__WorkflowEvent *e)
{
    if (e->reference_case == TP_COMMON__LINK__WORKFLOW_EVENT__REFERENCE_EVENT_REF) {
        if (e->event_ref->event_id) {
            tl_buf_printf(b, "eventID=%lld&", (long long)e->event_ref->event_id);
        }
        tl_buf_puts(b, "eventType=");
        put_event_type(b, (int)e->event_ref->event_type);
        tl_buf_puts(b, "&referenceType=EventReference");
    } else if (e->reference_case == TP_COMMON__LINK__WORKFLOW_EVENT__REFERENCE_REQUEST_ID_REF) {
        tl_buf_puts(b, "eventType=");
        put_event_type(b, (int)e->request_id_ref->event_type);
        tl_buf_puts(b, "&referenceType=RequestIdReference&requestID=");
        put_escaped(b, e->request_id_ref->request_id);
    }
}

/* ".../<folder>/<id>/<run>/details": executions without a workflow. */
static TpNexus__Link *details_url(struct tl_arena *arena, const char *type, const char *namespace_,
                                  const char *folder, const char *id, const char *run_id)
{
    TpNexus__Link *out = TL_PB_NEW(arena, TpNexus__Link, tp_nexus__link);
    struct tl_buf b;
    tl_buf_init(&b, URL_BYTES_MAX);
    tl_buf_puts(&b, SCHEME "/namespaces/");
    put_escaped(&b, namespace_);
    tl_buf_puts(&b, folder);
    put_escaped(&b, id);
    tl_buf_puts(&b, "/");
    put_escaped(&b, run_id);
    tl_buf_puts(&b, "/details");
    if (out) {
        out->type = (char *)(uintptr_t)type;
        out->url = tl_buf_failed(&b) ? NULL : tl_pb_cstr(arena, tl_buf_str(&b));
    }
    tl_buf_deinit(&b);
    return out && out->url ? out : NULL;
}

TpNexus__Link *tl_nexus_link_of(struct tl_arena *arena, const TpCommon__Link *link)
{
    if (link->variant_case == TP_COMMON__LINK__VARIANT_NEXUS_OPERATION) {
        const TpCommon__Link__NexusOperation *o = link->nexus_operation;
        return details_url(arena, OPERATION_LINK_TYPE, o->namespace_, "/" OPERATIONS,
                           o->operation_id, o->run_id);
    }
    if (link->variant_case == TP_COMMON__LINK__VARIANT_ACTIVITY) {
        const TpCommon__Link__Activity *a = link->activity;
        return details_url(arena, ACTIVITY_LINK_TYPE, a->namespace_, "/" ACTIVITIES, a->activity_id,
                           a->run_id);
    }
    if (link->variant_case != TP_COMMON__LINK__VARIANT_WORKFLOW_EVENT) {
        return NULL;
    }
    const TpCommon__Link__WorkflowEvent *e = link->workflow_event;
    TpNexus__Link *out = TL_PB_NEW(arena, TpNexus__Link, tp_nexus__link);
    struct tl_buf b;
    tl_buf_init(&b, URL_BYTES_MAX);
    tl_buf_puts(&b, SCHEME "/namespaces/");
    put_escaped(&b, e->namespace_);
    tl_buf_puts(&b, "/workflows/");
    put_escaped(&b, e->workflow_id);
    tl_buf_puts(&b, "/");
    put_escaped(&b, e->run_id);
    tl_buf_puts(&b, "/history?");
    put_reference(&b, e);
    if (out) {
        out->type = (char *)(uintptr_t)LINK_TYPE;
        out->url = tl_buf_failed(&b) ? NULL : tl_pb_cstr(arena, tl_buf_str(&b));
    }
    tl_buf_deinit(&b);
    return out && out->url ? out : NULL;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* NULL for a bad escape. */
static char *unescape(struct tl_arena *arena, struct tl_str s)
{
    char *out = tl_arena_alloc(arena, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; out && i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            int high = i + 2 < s.n ? hex(s.p[i + 1]) : -1;
            int low = i + 2 < s.n ? hex(s.p[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return NULL;
            }
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        if (c == 0) {
            return NULL;
        }
        out[n++] = c;
    }
    return out;
}

static bool eat(struct tl_str *s, struct tl_str head)
{
    if (s->n < head.n || memcmp(s->p, head.p, head.n) != 0) {
        return false;
    }
    *s = (struct tl_str){s->p + head.n, s->n - head.n};
    return true;
}

/* Up to the next `end`, which goes too; everything when there is none. */
static struct tl_str take_until(struct tl_str *s, char end)
{
    const char *at = s->n ? memchr(s->p, end, s->n) : NULL;
    struct tl_str out = {s->p, at ? (size_t)(at - s->p) : s->n};
    size_t used = at ? out.n + 1 : out.n;
    *s = (struct tl_str){s->p + used, s->n - used};
    return out;
}

struct query {
    char *event_id, *event_type, *kind, *request_id;
};

static void read_query(struct tl_arena *arena, struct tl_str rest, struct query *q)
{
    while (rest.n) {
        struct tl_str value = take_until(&rest, '&');
        struct tl_str key = take_until(&value, '=');
        char **slot = tl_str_eqc(key, "eventID")         ? &q->event_id
                      : tl_str_eqc(key, "eventType")     ? &q->event_type
                      : tl_str_eqc(key, "referenceType") ? &q->kind
                      : tl_str_eqc(key, "requestID")     ? &q->request_id
                                                         : NULL;
        if (slot) {
            *slot = unescape(arena, value);
        }
    }
}

static bool set_reference(struct tl_arena *arena, const struct query *q,
                          TpCommon__Link__WorkflowEvent *e)
{
    int type = 0;
    if (!q->kind || !q->event_type ||
        !tl_json_enum_value(&tp_enums__event_type__descriptor, tl_str(q->event_type), &type)) {
        return false;
    }
    if (strcmp(q->kind, "EventReference") == 0) {
        TpCommon__Link__WorkflowEvent__EventReference *ref =
            TL_PB_NEW(arena, TpCommon__Link__WorkflowEvent__EventReference,
                      tp_common__link__workflow_event__event_reference);
        if (!ref) {
            return false;
        }
        ref->event_id = q->event_id ? strtoll(q->event_id, NULL, 10) : 0;
        ref->event_type = (TpEnums__EventType)type;
        e->reference_case = TP_COMMON__LINK__WORKFLOW_EVENT__REFERENCE_EVENT_REF;
        e->event_ref = ref;
        return true;
    }
    TpCommon__Link__WorkflowEvent__RequestIdReference *ref =
        TL_PB_NEW(arena, TpCommon__Link__WorkflowEvent__RequestIdReference,
                  tp_common__link__workflow_event__request_id_reference);
    if (!ref || !q->request_id || strcmp(q->kind, "RequestIdReference") != 0) {
        return false;
    }
    ref->request_id = q->request_id;
    ref->event_type = (TpEnums__EventType)type;
    e->reference_case = TP_COMMON__LINK__WORKFLOW_EVENT__REFERENCE_REQUEST_ID_REF;
    e->request_id_ref = ref;
    return true;
}

static TpCommon__Link *new_link(struct tl_arena *arena, char *namespace_, char *workflow_id,
                                char *run_id)
{
    TpCommon__Link *l = TL_PB_NEW(arena, TpCommon__Link, tp_common__link);
    TpCommon__Link__WorkflowEvent *e =
        TL_PB_NEW(arena, TpCommon__Link__WorkflowEvent, tp_common__link__workflow_event);
    if (!l || !e || !namespace_ || !workflow_id || !run_id) {
        return NULL;
    }
    l->variant_case = TP_COMMON__LINK__VARIANT_WORKFLOW_EVENT;
    l->workflow_event = e;
    e->namespace_ = namespace_;
    e->workflow_id = workflow_id;
    e->run_id = run_id;
    return l;
}

static TpCommon__Link *operation_link(struct tl_arena *arena, char *namespace_, char *operation_id,
                                      char *run_id)
{
    TpCommon__Link *l = TL_PB_NEW(arena, TpCommon__Link, tp_common__link);
    TpCommon__Link__NexusOperation *o =
        TL_PB_NEW(arena, TpCommon__Link__NexusOperation, tp_common__link__nexus_operation);
    if (!l || !o || !namespace_ || !operation_id || !run_id) {
        return NULL;
    }
    o->namespace_ = namespace_;
    o->operation_id = operation_id;
    o->run_id = run_id;
    l->variant_case = TP_COMMON__LINK__VARIANT_NEXUS_OPERATION;
    l->nexus_operation = o;
    return l;
}

static TpCommon__Link *activity_link(struct tl_arena *arena, char *namespace_, char *activity_id,
                                     char *run_id)
{
    TpCommon__Link *l = TL_PB_NEW(arena, TpCommon__Link, tp_common__link);
    TpCommon__Link__Activity *a =
        TL_PB_NEW(arena, TpCommon__Link__Activity, tp_common__link__activity);
    if (!l || !a || !namespace_ || !activity_id || !run_id) {
        return NULL;
    }
    a->namespace_ = namespace_;
    a->activity_id = activity_id;
    a->run_id = run_id;
    l->variant_case = TP_COMMON__LINK__VARIANT_ACTIVITY;
    l->activity = a;
    return l;
}

/* What details_url has written, behind the namespace. */
static TpCommon__Link *read_details(struct tl_arena *arena, struct tl_str namespace_,
                                    struct tl_str url, bool operation)
{
    if (!eat(&url, operation ? TL_STR_LIT(OPERATIONS) : TL_STR_LIT(ACTIVITIES))) {
        return NULL;
    }
    struct tl_str id = take_until(&url, '/');
    struct tl_str run_id = take_until(&url, '/');
    if (!namespace_.n || !id.n || !run_id.n || !tl_str_eqc(url, "details")) {
        return NULL;
    }
    TpCommon__Link *(*make)(struct tl_arena *, char *, char *, char *) =
        operation ? operation_link : activity_link;
    return make(arena, unescape(arena, namespace_), unescape(arena, id), unescape(arena, run_id));
}

TpCommon__Link *tl_nexus_link_read(struct tl_arena *arena, struct tl_str url, struct tl_str type)
{
    struct query q = {0};
    bool operation = tl_str_eqc(type, OPERATION_LINK_TYPE);
    bool activity = tl_str_eqc(type, ACTIVITY_LINK_TYPE);
    if ((!operation && !activity && !tl_str_eqc(type, LINK_TYPE)) ||
        !eat(&url, TL_STR_LIT(SCHEME "/namespaces/"))) {
        return NULL;
    }
    struct tl_str namespace_ = take_until(&url, '/');
    if (operation || activity) {
        return read_details(arena, namespace_, url, operation);
    }
    if (!eat(&url, TL_STR_LIT("workflows/"))) {
        return NULL;
    }
    struct tl_str workflow_id = take_until(&url, '/');
    struct tl_str run_id = take_until(&url, '/');
    if (!namespace_.n || !workflow_id.n || !run_id.n ||
        !tl_str_eqc(take_until(&url, '?'), "history")) {
        return NULL;
    }
    TpCommon__Link *l = new_link(arena, unescape(arena, namespace_), unescape(arena, workflow_id),
                                 unescape(arena, run_id));
    read_query(arena, url, &q);
    return l && set_reference(arena, &q, l->workflow_event) ? l : NULL;
}

TpCommon__Link *tl_nexus_event_link(struct tl_arena *arena, struct tl_str namespace_,
                                    struct tl_str workflow_id, struct tl_str run_id,
                                    int64_t event_id, int event_type)
{
    TpCommon__Link *l = new_link(arena, tl_pb_cstr(arena, namespace_),
                                 tl_pb_cstr(arena, workflow_id), tl_pb_cstr(arena, run_id));
    TpCommon__Link__WorkflowEvent__EventReference *ref =
        TL_PB_NEW(arena, TpCommon__Link__WorkflowEvent__EventReference,
                  tp_common__link__workflow_event__event_reference);
    if (!l || !ref) {
        return NULL;
    }
    ref->event_id = event_id;
    ref->event_type = (TpEnums__EventType)event_type;
    l->workflow_event->reference_case = TP_COMMON__LINK__WORKFLOW_EVENT__REFERENCE_EVENT_REF;
    l->workflow_event->event_ref = ref;
    return l;
}

TpCommon__Link *tl_nexus_operation_link(struct tl_arena *arena, struct tl_str namespace_,
                                        struct tl_str operation_id, struct tl_str run_id)
{
    return operation_link(arena, tl_pb_cstr(arena, namespace_), tl_pb_cstr(arena, operation_id),
                          tl_pb_cstr(arena, run_id));
}

TpCommon__Link *tl_nexus_activity_link(struct tl_arena *arena, struct tl_str namespace_,
                                       struct tl_str activity_id, struct tl_str run_id)
{
    return activity_link(arena, tl_pb_cstr(arena, namespace_), tl_pb_cstr(arena, activity_id),
                         tl_pb_cstr(arena, run_id));
}

/* --- failures --------------------------------------------------------------------------------- */

bool tl_nexus_handler_retryable(const char *type, int retry_behavior)
{
    static const char *const FINAL[] = {"BAD_REQUEST", "UNAUTHENTICATED", "UNAUTHORIZED",
                                        "NOT_FOUND",   "CONFLICT",        "NOT_IMPLEMENTED"};
    if (retry_behavior != NEXUS_HANDLER_ERROR_RETRY_BEHAVIOR_UNSPECIFIED) {
        return retry_behavior == NEXUS_HANDLER_ERROR_RETRY_BEHAVIOR_RETRYABLE;
    }
    for (size_t i = 0; i < sizeof FINAL / sizeof FINAL[0]; i++) {
        if (strcmp(type, FINAL[i]) == 0) {
            return false;
        }
    }
    return true;
}

TpFailure__Failure *tl_nexus_handler_failure(struct tl_arena *arena, struct tl_str type,
                                             struct tl_str message, int retry_behavior,
                                             TpFailure__Failure *cause)
{
    TpFailure__Failure *f = TL_PB_NEW(arena, TpFailure__Failure, tp_failure__failure);
    TpFailure__NexusHandlerFailureInfo *info = TL_PB_NEW(arena, TpFailure__NexusHandlerFailureInfo,
                                                         tp_failure__nexus_handler_failure_info);
    if (!f || !info || !(f->message = tl_pb_cstr(arena, message)) ||
        !(info->type = tl_pb_cstr(arena, type))) {
        return NULL;
    }
    info->retry_behavior = (TpEnums__NexusHandlerErrorRetryBehavior)retry_behavior;
    f->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_NEXUS_HANDLER_FAILURE_INFO;
    f->nexus_handler_failure_info = info;
    f->cause = cause;
    return f;
}

static const char *metadata_type(const TpNexus__Failure *in)
{
    const TpNexus__Failure__MetadataEntry *m = TL_PB_MAP_GET(
        TpNexus__Failure__MetadataEntry, in->n_metadata, in->metadata, TL_STR_LIT("type"));
    return m ? m->value : "";
}

/* A failure that no Temporal SDK made: its text, and its details as they are. */
static tl_rc read_foreign(const TpNexus__Failure *in, struct tl_arena *arena,
                          TpFailure__Failure **out, struct tl_error *err)
{
    TpCommon__Payloads *details = NULL;
    if (in->details.len) {
        details = TL_PB_NEW(arena, TpCommon__Payloads, tp_common__payloads);
        TpCommon__Payload *p = TL_PB_NEW(arena, TpCommon__Payload, tp_common__payload);
        TpCommon__Payload__MetadataEntry *m =
            TL_PB_NEW(arena, TpCommon__Payload__MetadataEntry, tp_common__payload__metadata_entry);
        struct tl_pb_list list = {0}, meta = {0};
        if (!details || !p || !m || !tl_pb_push(arena, &list, p) || !tl_pb_push(arena, &meta, m)) {
            return tl_error_set(err, TL_ELIMIT, "no memory for a failure");
        }
        m->key = (char *)(uintptr_t) "encoding";
        m->value = tl_pb_bytes_view(TL_STR_LIT("json/plain"));
        p->n_metadata = meta.n;
        p->metadata = meta.items;
        p->data = in->details;
        details->n_payloads = list.n;
        details->payloads = list.items;
    }
    struct tl_failure_application o = {.message = tl_str(in->message),
                                       .stack_trace = tl_str(in->stack_trace),
                                       .type = TL_STR_LIT("NexusFailure"),
                                       .details = details};
    *out = tl_failure_application(arena, &o);
    return *out ? TL_OK : tl_error_set(err, TL_ELIMIT, "no memory for a failure");
}

static tl_rc read_failure(const TpNexus__Failure *in, int depth, struct tl_arena *arena,
                          TpFailure__Failure **out, struct tl_error *err)
{
    static const struct tl_json_read_options OPTIONS = {.ignore_unknown = true};
    tl_rc rc = TL_OK;
    if (depth > TL_PB_DEPTH_MAX) {
        return tl_error_set(err, TL_ELIMIT, "the causes of a Nexus failure nest too deeply");
    }
    if (strcmp(metadata_type(in), FAILURE_TYPE) == 0) {
        rc = tl_json_read(&tp_failure__failure__descriptor, tl_pb_str(in->details), &OPTIONS, arena,
                          out, err);
        if (rc == TL_OK) {
            (*out)->message = in->message;
            (*out)->stack_trace = *in->stack_trace ? in->stack_trace : (*out)->stack_trace;
        }
    } else {
        rc = read_foreign(in, arena, out, err);
    }
    return rc == TL_OK && in->cause ? read_failure(in->cause, depth + 1, arena, &(*out)->cause, err)
                                    : rc;
}

tl_rc tl_nexus_failure_read(const TpNexus__Failure *in, struct tl_arena *arena,
                            TpFailure__Failure **out, struct tl_error *err)
{
    return read_failure(in, 0, arena, out, err);
}

tl_rc tl_nexus_handler_error_read(const TpNexus__HandlerError *in, struct tl_arena *arena,
                                  TpFailure__Failure **out, struct tl_error *err)
{
    TpFailure__Failure *cause = NULL;
    tl_rc rc = in->failure ? tl_nexus_failure_read(in->failure, arena, &cause, err) : TL_OK;
    if (rc == TL_OK) {
        *out = tl_nexus_handler_failure(arena, tl_str(in->error_type),
                                        tl_str(in->failure ? in->failure->message : ""),
                                        (int)in->retry_behavior, cause);
        rc = *out ? TL_OK : tl_error_set(err, TL_ELIMIT, "no memory for a failure");
    }
    return rc;
}

/* Takes what a payload codec should have seen out of the chain. */
static void strip_payloads(TpFailure__Failure *f)
{
    for (; f; f = f->cause) {
        f->encoded_attributes = NULL;
        switch (f->failure_info_case) {
        case TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO:
            f->application_failure_info->details = NULL;
            break;
        case TP_FAILURE__FAILURE__FAILURE_INFO_CANCELED_FAILURE_INFO:
            f->canceled_failure_info->details = NULL;
            break;
        case TP_FAILURE__FAILURE__FAILURE_INFO_TIMEOUT_FAILURE_INFO:
            f->timeout_failure_info->last_heartbeat_details = NULL;
            break;
        case TP_FAILURE__FAILURE__FAILURE_INFO_RESET_WORKFLOW_FAILURE_INFO:
            f->reset_workflow_failure_info->last_heartbeat_details = NULL;
            break;
        default:
            break;
        }
    }
}

TpNexus__Failure *tl_nexus_failure_write(struct tl_arena *arena, const TpFailure__Failure *failure)
{
    TpFailure__Failure *copy = tl_pb_clone(failure, arena);
    TpNexus__Failure *out = TL_PB_NEW(arena, TpNexus__Failure, tp_nexus__failure);
    TpNexus__Failure__MetadataEntry *type =
        TL_PB_NEW(arena, TpNexus__Failure__MetadataEntry, tp_nexus__failure__metadata_entry);
    struct tl_pb_list metadata = {0};
    struct tl_buf text;
    bool ok = copy && out && type && tl_pb_push(arena, &metadata, type);
    if (!ok) {
        return NULL;
    }
    strip_payloads(copy);
    out->message = copy->message;
    out->stack_trace = copy->stack_trace;
    copy->message = (char *)(uintptr_t) "";
    type->key = (char *)(uintptr_t) "type";
    type->value = (char *)(uintptr_t)FAILURE_TYPE;
    out->metadata = metadata.items;
    out->n_metadata = metadata.n;
    tl_buf_init(&text, (size_t)1 << 24);
    ok = tl_json_write(copy, NULL, &text, NULL) == TL_OK;
    if (ok) {
        out->details = tl_pb_bytes(arena, tl_buf_str(&text), &ok);
    }
    tl_buf_deinit(&text);
    return ok ? out : NULL;
}

/* --- headers ---------------------------------------------------------------------------------- */

bool tl_nexus_timeout_read(struct tl_str text, int64_t *ms)
{
    static const struct {
        const char *name;
        double ms;
    } UNITS[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}};
    char number[32], *end = NULL;
    if (!text.n || text.n >= sizeof number) {
        return false;
    }
    memcpy(number, text.p, text.n);
    number[text.n] = 0;
    size_t digits = strspn(number, "0123456789.");
    for (size_t i = 0; i < sizeof UNITS / sizeof UNITS[0]; i++) {
        if (digits && strcmp(number + digits, UNITS[i].name) == 0) {
            int64_t whole = strtoll(number, &end, 10);
            double fraction = 0, scale = 0.1;
            if (*end == '.') {
                for (end++; *end >= '0' && *end <= '9'; end++, scale /= 10) {
                    fraction += (*end - '0') * scale;
                }
            }
            double value = ((double)whole + fraction) * UNITS[i].ms;
            *ms = value < 1e15 ? (int64_t)value : INT64_C(1000000000000000);
            return end == number + digits;
        }
    }
    return false;
}
