/* Whose payloads a message holds. See payload_context.h. */
#include "proto/payload_context.h"

#include <stddef.h>
#include <temporal/api/activity/v1/message.pb-c.h>
#include <temporal/api/nexus/v1/message.pb-c.h>
#include <temporal/api/taskqueue/v1/message.pb-c.h>
#include <temporal/api/update/v1/message.pb-c.h>
#include <temporal/api/workflow/v1/message.pb-c.h>

#include "proto/pb_int.h"

/* The texts of a context, and the fields that hold them. A field run_id is the workflow's or the activity's,
 * by its company. */
static const struct {
    const char *name;
    size_t at;
} texts[] = {
    {"namespace", offsetof(struct tl_payload_context, namespace_)},
    {"workflow_namespace", offsetof(struct tl_payload_context, namespace_)},
    {"workflow_id", offsetof(struct tl_payload_context, workflow_id)},
    {"activity_id", offsetof(struct tl_payload_context, activity_id)},
    {"activity_run_id", offsetof(struct tl_payload_context, activity_run_id)},
    {"endpoint", offsetof(struct tl_payload_context, endpoint)},
    {"service", offsetof(struct tl_payload_context, service)},
    {"operation", offsetof(struct tl_payload_context, operation)},
    {"task_queue", offsetof(struct tl_payload_context, task_queue)},
    {NULL, offsetof(struct tl_payload_context, run_id)},
    {NULL, offsetof(struct tl_payload_context, workflow_type)},
    {NULL, offsetof(struct tl_payload_context, activity_type)},
};
#define TEXTS (sizeof texts / sizeof texts[0])

static struct tl_str *text_at(struct tl_payload_context *c, size_t i)
{
    return (struct tl_str *)(void *)((char *)c + texts[i].at);
}

static void set(struct tl_str *to, const char *text)
{
    if (text && *text) {
        *to = tl_str(text);
    }
}

static void read_fields(struct tl_payload_context *c, const ProtobufCMessage *msg);

/* What a field that holds a message says; most say nothing. */
static void read_message(struct tl_payload_context *c, const char *name,
                         const ProtobufCMessage *value)
{
    const ProtobufCMessageDescriptor *d = value->descriptor;
    if (d == &tp_common__workflow_execution__descriptor &&
        (strcmp(name, "workflow_execution") == 0 || strcmp(name, "execution") == 0)) {
        const TpCommon__WorkflowExecution *e = (const TpCommon__WorkflowExecution *)value;
        set(&c->workflow_id, e->workflow_id);
        set(&c->run_id, e->run_id);
    } else if (d == &tp_common__workflow_type__descriptor) {
        set(&c->workflow_type, ((const TpCommon__WorkflowType *)value)->name);
    } else if (d == &tp_common__activity_type__descriptor) {
        set(&c->activity_type, ((const TpCommon__ActivityType *)value)->name);
    } else if (d == &tp_tq__task_queue__descriptor) {
        const TpTq__TaskQueue *q = (const TpTq__TaskQueue *)value;
        set(&c->task_queue, q->normal_name && *q->normal_name ? q->normal_name : q->name);
    } else if (d == &tp_update__update_ref__descriptor ||
               d == &tp_workflow__workflow_execution_info__descriptor ||
               d == &tp_activity__activity_options__descriptor ||
               d == &tp_nexus__request__descriptor ||
               d == &tp_nexus__start_operation_request__descriptor) {
        read_fields(c, value);
    }
}

static void read_text(struct tl_payload_context *c, const char *name, const char *text)
{
    for (size_t i = 0; i < TEXTS; i++) {
        if (texts[i].name && strcmp(name, texts[i].name) == 0) {
            set(text_at(c, i), text);
        }
    }
}

static bool is_set(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f)
{
    return !tl_pb_is_repeated(f) && (!tl_pb_is_oneof(f) || tl_pb_oneof_case(msg, f) == f->id);
}

static void read_fields(struct tl_payload_context *c, const ProtobufCMessage *msg)
{
    const ProtobufCMessageDescriptor *desc = msg->descriptor;
    for (unsigned i = 0; i < desc->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &desc->fields[i];
        if (!is_set(msg, f)) {
            continue;
        }
        if (f->type == PROTOBUF_C_TYPE_STRING) {
            read_text(c, f->name, tl_pb_load_pointer(tl_pb_field_at(msg, f)));
        } else if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
            const ProtobufCMessage *value = tl_pb_load_pointer(tl_pb_field_at(msg, f));
            if (value) {
                read_message(c, f->name, value);
            }
        }
    }
}

void tl_payload_context_read(struct tl_payload_context *c, const void *msg)
{
    struct tl_payload_context own = {0};
    struct tl_str run_id = tl_payload_text_field(msg, "run_id");
    read_fields(&own, msg);
    bool of_workflow = own.workflow_id.n > 0;
    if (of_workflow && c->workflow_id.n && !tl_str_eq(own.workflow_id, c->workflow_id)) {
        *c = (struct tl_payload_context){.namespace_ = c->namespace_};
    }
    for (size_t i = 0; i < TEXTS; i++) {
        struct tl_str text = *text_at(&own, i);
        if (text.n) {
            *text_at(c, i) = text;
        }
    }
    if (own.activity_id.n || own.activity_type.n) {
        c->owner = TL_PAYLOAD_OF_ACTIVITY;
        c->is_local = false;
    } else if (own.service.n || own.operation.n || own.endpoint.n) {
        c->owner = TL_PAYLOAD_OF_NEXUS;
    } else if (of_workflow) {
        c->owner = TL_PAYLOAD_OF_WORKFLOW;
    }
    if (run_id.n) {
        *(c->workflow_id.n ? &c->run_id : &c->activity_run_id) = run_id;
    }
}

const ProtobufCMessage *tl_payload_context_read_inner(struct tl_payload_context *c,
                                                      const void *outer)
{
    const ProtobufCMessage *msg = outer;
    for (unsigned i = 0; i < msg->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &msg->descriptor->fields[i];
        if (f->type == PROTOBUF_C_TYPE_MESSAGE && tl_pb_is_oneof(f) && is_set(msg, f)) {
            const ProtobufCMessage *inner = tl_pb_load_pointer(tl_pb_field_at(msg, f));
            if (inner) {
                tl_payload_context_read(c, inner);
            }
            return inner;
        }
    }
    return NULL;
}

static const ProtobufCFieldDescriptor *field_of(const ProtobufCMessage *msg, const char *name)
{
    return protobuf_c_message_descriptor_get_field_by_name(msg->descriptor, name);
}

struct tl_str tl_payload_text_field(const void *msg, const char *name)
{
    const struct tl_str none = {NULL, 0};
    const ProtobufCFieldDescriptor *f = field_of(msg, name);
    if (!f || !is_set(msg, f)) {
        return none;
    }
    if (f->type == PROTOBUF_C_TYPE_STRING) {
        const char *text = tl_pb_load_pointer(tl_pb_field_at(msg, f));
        return text ? tl_str(text) : none;
    }
    if (f->type == PROTOBUF_C_TYPE_BYTES) {
        ProtobufCBinaryData bytes;
        memcpy(&bytes, tl_pb_field_at(msg, f), sizeof bytes);
        return tl_pb_str(bytes);
    }
    return none;
}

int64_t tl_payload_int_field(const void *msg, const char *name)
{
    const ProtobufCFieldDescriptor *f = field_of(msg, name);
    return f && f->type == PROTOBUF_C_TYPE_INT64 && is_set(msg, f)
               ? (int64_t)tl_pb_load_64(tl_pb_field_at(msg, f))
               : 0;
}

size_t tl_payload_context_bytes(const struct tl_payload_context *c)
{
    struct tl_payload_context view = *c;
    size_t n = 0;
    for (size_t i = 0; i < TEXTS; i++) {
        n += text_at(&view, i)->n;
    }
    return n;
}

void tl_payload_context_pack(struct tl_payload_context *out, const struct tl_payload_context *c,
                             char *room)
{
    *out = *c;
    for (size_t i = 0; i < TEXTS; i++) {
        struct tl_str *text = text_at(out, i);
        if (text->n) {
            memcpy(room, text->p, text->n);
            text->p = room;
            room += text->n;
        }
    }
}
