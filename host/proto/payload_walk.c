/* Walking the payloads of messages. See payload_walk.h. Which message types can hold any is computed
 * once, as a fixed point over all descriptors. */
#include "proto/payload_walk.h"

#include <google/protobuf/any.pb-c.h>
#include <pthread.h>
#include <stdlib.h>
#include <temporal/api/command/v1/message.pb-c.h>

#include "base/assert.h"
#include "proto/payload.h"
#include "proto/pb_int.h"

#define TYPES_MAX 4096
/* Markers of the core: only what user code made is user data. */
#define CORE_MARKER_PREFIX "core_"
#define CORE_MARKER_USER_KEY "result"

static const ProtobufCMessageDescriptor *concerned[TYPES_MAX]; /* in order of their addresses */
static size_t concerned_count;

static int by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)tl_pb_load_pointer(a), y = (uintptr_t)tl_pb_load_pointer(b);
    return (x > y) - (x < y);
}

static bool is_known(const ProtobufCMessageDescriptor *desc)
{
    return bsearch(&desc, concerned, concerned_count, sizeof concerned[0], by_address) != NULL;
}

static bool leads_to_payloads(const ProtobufCMessageDescriptor *desc)
{
    for (unsigned i = 0; i < desc->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &desc->fields[i];
        if (f->type == PROTOBUF_C_TYPE_MESSAGE && is_known(f->descriptor)) {
            return true;
        }
    }
    return false;
}

static void note(const ProtobufCMessageDescriptor *desc)
{
    TL_ASSERT(concerned_count < TYPES_MAX);
    concerned[concerned_count++] = desc;
    qsort(concerned, concerned_count, sizeof concerned[0], by_address);
}

static void find_concerned(void)
{
    note(&tp_common__payload__descriptor);
    note(&google__protobuf__any__descriptor);
    for (size_t before = 0; before != concerned_count;) {
        before = concerned_count;
        for (size_t i = 0; tl_pb_message_at(i); i++) {
            const ProtobufCMessageDescriptor *desc = tl_pb_message_at(i);
            if (desc != &tp_common__search_attributes__descriptor && !is_known(desc) &&
                leads_to_payloads(desc)) {
                note(desc);
            }
        }
    }
}

bool tl_payload_walk_concerns(const ProtobufCMessageDescriptor *desc)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_concerned);
    return is_known(desc);
}

struct walk {
    const struct tl_payload_visitor *v;
    struct tl_arena *arena;
    struct tl_error *err;
    unsigned depth;
};

static tl_rc walk_message(struct walk *w, ProtobufCMessage *msg);

static tl_rc full(struct walk *w)
{
    return tl_error_set(w->err, TL_ELIMIT, "the payloads of a message need too much memory");
}

static bool is_system(const TpCommon__Payload *p)
{
    return tl_str_eqc(tl_payload_metadata(p, TL_STR_LIT(TL_PAYLOAD_SYSTEM_KEY)),
                      TL_PAYLOAD_SYSTEM_VALUE) &&
           tl_payload_kind(p) == TL_PAYLOAD_PROTOBUF;
}

/* A message in the form of bytes, closed again after its payloads were visited. What is no message that is
 * known here is not ours to judge: it travels as it is. */
static tl_rc visit_bytes(struct walk *w, struct tl_str type, ProtobufCBinaryData *bytes)
{
    const ProtobufCMessageDescriptor *desc = tl_pb_find_message(type);
    struct tl_str closed;
    void *inner;
    if (!desc || !tl_payload_walk_concerns(desc) ||
        tl_pb_decode(desc, tl_pb_str(*bytes), w->arena, &inner, NULL) != TL_OK) {
        return TL_OK;
    }
    tl_rc rc = walk_message(w, inner);
    if (rc == TL_OK) {
        rc = tl_pb_encode_arena(inner, w->arena, &closed, w->err);
    }
    if (rc == TL_OK) {
        *bytes = tl_pb_bytes_view(closed);
    }
    return rc;
}

/* The payload that the pointer at p leads to. */
static tl_rc visit_one(struct walk *w, void *p)
{
    TpCommon__Payload *payload = tl_pb_load_pointer(p);
    if (is_system(payload)) {
        return visit_bytes(w, tl_payload_metadata(payload, TL_STR_LIT("messageType")),
                           &payload->data);
    }
    struct tl_payload_span span = {&payload, 1, true, NULL};
    tl_rc rc = w->v->payloads(w->v->ud, &span, w->arena, w->err);
    if (rc == TL_OK && span.n != 1) {
        return tl_error_set(w->err, TL_EINVAL, "a payload codec made %zu payloads of one", span.n);
    }
    if (rc == TL_OK) {
        tl_pb_store_pointer(p, span.items[0]);
    }
    return rc;
}

static tl_rc visit_list(struct walk *w, TpCommon__Payloads *list)
{
    struct tl_payload_span span = {list->payloads, list->n_payloads, false, NULL};
    tl_rc rc = span.n ? w->v->payloads(w->v->ud, &span, w->arena, w->err) : TL_OK;
    list->payloads = span.items;
    list->n_payloads = span.n;
    return rc;
}

static tl_rc visit_any(struct walk *w, Google__Protobuf__Any *any)
{
    struct tl_str url = tl_str(any->type_url);
    size_t slash = url.n;
    while (slash && url.p[slash - 1] != '/') {
        slash--;
    }
    return visit_bytes(w, tl_str_n(url.p + slash, url.n - slash), &any->value);
}

static tl_rc visit_marker(struct walk *w, TpCommand__RecordMarkerCommandAttributes *marker)
{
    bool core = strncmp(marker->marker_name, CORE_MARKER_PREFIX, strlen(CORE_MARKER_PREFIX)) == 0;
    tl_rc rc = TL_OK;
    for (size_t i = 0; i < marker->n_details && rc == TL_OK; i++) {
        bool users = !core || strcmp(marker->details[i]->key, CORE_MARKER_USER_KEY) == 0;
        if (users && marker->details[i]->value) {
            rc = visit_list(w, marker->details[i]->value);
        }
    }
    if (rc == TL_OK && marker->failure) {
        rc = walk_message(w, &marker->failure->base);
    }
    if (rc == TL_OK && marker->header && w->v->headers) {
        rc = walk_message(w, &marker->header->base);
    }
    return rc;
}

/* The value of a message type that the pointer at p leads to. */
static tl_rc visit_value(struct walk *w, void *p)
{
    ProtobufCMessage *msg = tl_pb_load_pointer(p);
    if (!msg || !is_known(msg->descriptor)) {
        return TL_OK;
    }
    return msg->descriptor == &tp_common__payload__descriptor ? visit_one(w, p)
                                                              : walk_message(w, msg);
}

static tl_rc walk_field(struct walk *w, ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f)
{
    if (f->type != PROTOBUF_C_TYPE_MESSAGE || !is_known(f->descriptor)) {
        return TL_OK;
    }
    if (!tl_pb_is_repeated(f)) {
        bool absent = tl_pb_is_oneof(f) && tl_pb_oneof_case(msg, f) != f->id;
        return absent ? TL_OK : visit_value(w, tl_pb_field_at(msg, f));
    }
    char *items = tl_pb_load_pointer(tl_pb_field_at(msg, f));
    for (size_t i = 0; i < tl_pb_count(msg, f); i++) {
        tl_rc rc = visit_value(w, items + i * sizeof(void *));
        if (rc != TL_OK) {
            return rc;
        }
    }
    return TL_OK;
}

static tl_rc walk_fields(struct walk *w, ProtobufCMessage *msg)
{
    const ProtobufCMessageDescriptor *desc = msg->descriptor;
    if (desc == &tp_common__header__descriptor && !w->v->headers) {
        return TL_OK;
    }
    if (desc == &tp_common__payloads__descriptor) {
        return visit_list(w, (TpCommon__Payloads *)msg);
    }
    if (desc == &google__protobuf__any__descriptor) {
        return visit_any(w, (Google__Protobuf__Any *)msg);
    }
    if (desc == &tp_command__record_marker_command_attributes__descriptor) {
        return visit_marker(w, (TpCommand__RecordMarkerCommandAttributes *)msg);
    }
    tl_rc rc = TL_OK;
    if (desc == &tp_failure__failure__descriptor && w->v->failure) {
        rc = w->v->failure(w->v->ud, (TpFailure__Failure *)msg, w->arena, w->err);
    }
    for (unsigned i = 0; i < desc->n_fields && rc == TL_OK; i++) {
        rc = walk_field(w, msg, &desc->fields[i]);
    }
    return rc;
}

static tl_rc walk_message(struct walk *w, ProtobufCMessage *msg)
{
    if (w->depth == TL_PB_DEPTH_MAX) {
        return full(w);
    }
    w->depth++;
    tl_rc rc = w->v->enter ? w->v->enter(w->v->ud, msg, w->arena, w->err) : TL_OK;
    if (rc == TL_OK) {
        rc = walk_fields(w, msg);
    }
    if (rc == TL_OK && w->v->leave) {
        w->v->leave(w->v->ud);
    }
    w->depth--;
    return rc;
}

tl_rc tl_payload_walk(void *msg, const struct tl_payload_visitor *v, struct tl_arena *arena,
                      struct tl_error *err)
{
    ProtobufCMessage *m = msg;
    struct walk w = {v, arena, err, 0};
    return tl_payload_walk_concerns(m->descriptor) ? walk_message(&w, m) : TL_OK;
}
