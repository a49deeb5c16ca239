/* Whose payloads pass through a coding channel. See contexts.h. */
#include "codec/contexts.h"

#include <pthread.h>
#include <temporal/api/command/v1/message.pb-c.h>
#include <temporal/api/history/v1/message.pb-c.h>
#include <temporal/api/workflowservice/v1/request_response.pb-c.h>

#include "base/map.h"
#include "base/mem.h"
#include "proto/jsonv.h"
#include "proto/pb.h"

#define LOCAL_MARKER "core_local_activity"

/* --- what is remembered ----------------------------------------------------------------------- */

struct remembered {
    struct tl_payload_context context;
    size_t bytes;
    char texts[];
};

struct tl_contexts {
    pthread_mutex_t mutex;
    struct tl_map map; /* key -> struct remembered, oldest first */
    size_t bytes, bytes_max;
};

struct tl_contexts *tl_contexts_new(size_t bytes_max)
{
    struct tl_contexts *s = TL_NEW(struct tl_contexts);
    pthread_mutex_init(&s->mutex, NULL);
    tl_map_init(&s->map);
    s->bytes_max = bytes_max;
    return s;
}

/* Under the mutex. */
static void drop(struct tl_contexts *s, struct tl_str key)
{
    struct remembered *r = tl_map_del(&s->map, key);
    if (r) {
        s->bytes -= r->bytes;
        tl_mem_free(r);
    }
}

static void drop_down_to(struct tl_contexts *s, size_t bytes)
{
    TL_MAP_EACH (e, &s->map) {
        if (s->bytes <= bytes) {
            return;
        }
        drop(s, tl_map_key(e));
    }
}

void tl_contexts_free(struct tl_contexts *s)
{
    if (!s) {
        return;
    }
    drop_down_to(s, 0);
    tl_map_deinit(&s->map);
    pthread_mutex_destroy(&s->mutex);
    tl_mem_free(s);
}

static void remember(struct tl_contexts *s, struct tl_str key, const struct tl_payload_context *c)
{
    size_t texts = tl_payload_context_bytes(c);
    if (!key.n) {
        return;
    }
    struct remembered *r = tl_mem_alloc(sizeof *r + texts);
    r->bytes = sizeof *r + sizeof(struct tl_map_entry) + key.n + texts;
    tl_payload_context_pack(&r->context, c, r->texts);
    pthread_mutex_lock(&s->mutex);
    drop(s, key);
    (void)tl_map_put(&s->map, key, r);
    s->bytes += r->bytes;
    drop_down_to(s, s->bytes_max);
    pthread_mutex_unlock(&s->mutex);
}

/* *out is left alone when the key is empty or not known, or the arena is full. */
static void recall(struct tl_contexts *s, struct tl_str key, struct tl_payload_context *out,
                   struct tl_arena *arena)
{
    pthread_mutex_lock(&s->mutex);
    const struct remembered *r = key.n ? tl_map_get(&s->map, key) : NULL;
    char *room = r ? tl_arena_alloc(arena, tl_payload_context_bytes(&r->context) + 1) : NULL;
    if (room) {
        tl_payload_context_pack(out, &r->context, room);
    }
    pthread_mutex_unlock(&s->mutex);
}

/* --- keys ------------------------------------------------------------------------------------- */

/* Empty: there is no token, or no room. */
static struct tl_str token_key(const void *msg, struct tl_arena *arena)
{
    struct tl_str token = tl_payload_text_field(msg, "task_token");
    char *key = token.n ? tl_arena_alloc(arena, token.n + 1) : NULL;
    if (!key) {
        return (struct tl_str){NULL, 0};
    }
    key[0] = 'T';
    memcpy(key + 1, token.p, token.n);
    return tl_str_n(key, token.n + 1);
}

/* What an event of a run scheduled; of the run itself: 0. */
static struct tl_str event_key(const struct tl_payload_context *c, int64_t event_id,
                               struct tl_arena *arena)
{
    const char *key = tl_arena_printf(arena, "E%lld %zu %zu %.*s%.*s%.*s", (long long)event_id,
                                      c->namespace_.n, c->workflow_id.n, TL_STR_FMT(c->namespace_),
                                      TL_STR_FMT(c->workflow_id), TL_STR_FMT(c->run_id));
    return key ? tl_str(key) : (struct tl_str){NULL, 0};
}

/* An activity or an operation without a workflow, by its own id; empty: the request is of none. */
static struct tl_str execution_key(const struct tl_payload_context *c, const void *request,
                                   struct tl_arena *arena)
{
    struct tl_str operation_id = tl_payload_text_field(request, "operation_id");
    struct tl_str id = operation_id.n ? operation_id : c->activity_id;
    const char *key = NULL;
    if (id.n && !c->workflow_id.n) {
        key = tl_arena_printf(arena, "%c%zu %.*s%.*s", operation_id.n ? 'N' : 'A', c->namespace_.n,
                              TL_STR_FMT(c->namespace_), TL_STR_FMT(id));
    }
    return key ? tl_str(key) : (struct tl_str){NULL, 0};
}

/* --- the walk --------------------------------------------------------------------------------- */

static struct tl_payload_context *top(struct tl_context_walk *w)
{
    return &w->frames[w->depth];
}

/* What an earlier page of the history told of its workflow. */
static void recall_run(struct tl_context_walk *w, struct tl_payload_context *c,
                       struct tl_arena *arena)
{
    struct tl_payload_context run = {0};
    if (c->owner != TL_PAYLOAD_OF_WORKFLOW || c->workflow_type.n) {
        return;
    }
    recall(w->contexts, event_key(c, 0, arena), &run, arena);
    c->workflow_type = run.workflow_type;
    c->task_queue = run.task_queue;
}

void tl_context_walk_begin_with(struct tl_context_walk *w, struct tl_contexts *contexts,
                                enum tl_codec_way way, const struct tl_payload_context *context)
{
    w->contexts = contexts;
    w->way = way;
    w->depth = 0;
    w->frames[0] = *context;
}

void tl_context_walk_begin(struct tl_context_walk *w, struct tl_contexts *contexts,
                           enum tl_codec_way way, const void *request, struct tl_arena *arena)
{
    const struct tl_payload_context nothing = {0};
    tl_context_walk_begin_with(w, contexts, way, &nothing);
    tl_payload_context_read(top(w), request);
    recall(contexts, token_key(request, arena), top(w), arena);
    recall_run(w, top(w), arena);
    struct tl_str execution = execution_key(top(w), request, arena);
    if (top(w)->service.n || top(w)->activity_type.n) { /* a start */
        remember(contexts, execution, top(w));
    } else {
        recall(contexts, execution, top(w), arena);
    }
}

void tl_contexts_forget(struct tl_contexts *s, const void *request, struct tl_arena *arena)
{
    struct tl_str key = token_key(request, arena);
    pthread_mutex_lock(&s->mutex);
    drop(s, key);
    pthread_mutex_unlock(&s->mutex);
}

/* The workflow of the history that is being read, in all frames around: its type is known from the first
 * event on. */
static void learn_run(struct tl_context_walk *w, struct tl_arena *arena)
{
    struct tl_payload_context *c = top(w);
    remember(w->contexts, event_key(c, 0, arena), c);
    for (size_t i = w->depth; i-- > 0 && tl_str_eq(w->frames[i].workflow_id, c->workflow_id);) {
        w->frames[i].workflow_type = c->workflow_type;
        w->frames[i].task_queue = c->task_queue;
    }
}

static void enter_event(struct tl_context_walk *w, const TpHistory__HistoryEvent *event,
                        struct tl_arena *arena)
{
    struct tl_payload_context run = *top(w);
    const ProtobufCMessage *attributes = tl_payload_context_read_inner(top(w), event);
    if (!attributes) {
        return;
    }
    const ProtobufCMessageDescriptor *d = attributes->descriptor;
    if (d == &tp_history__workflow_execution_started_event_attributes__descriptor) {
        learn_run(w, arena);
    } else if (d == &tp_history__activity_task_scheduled_event_attributes__descriptor ||
               d == &tp_history__nexus_operation_scheduled_event_attributes__descriptor) {
        remember(w->contexts, event_key(&run, event->event_id, arena), top(w));
    } else {
        int64_t scheduled = tl_payload_int_field(attributes, "scheduled_event_id");
        if (scheduled > 0) {
            recall(w->contexts, event_key(&run, scheduled, arena), top(w), arena);
        }
    }
}

/* A local activity is known by the text in its marker. */
static void read_local(struct tl_payload_context *c, struct tl_str json, struct tl_arena *arena)
{
    struct tl_jreader r;
    struct tl_jtok t;
    tl_jreader_init(&r, json, 0, 8);
    tl_rc rc = tl_jtok_next(&r, &t, NULL);
    bool object = rc == TL_OK && t.kind == TL_J_OBJECT;
    while (object && tl_jtok_next(&r, &t, NULL) == TL_OK && t.kind == TL_J_NAME) {
        struct tl_str *to = tl_str_eqc(t.text, "activity_id")     ? &c->activity_id
                            : tl_str_eqc(t.text, "activity_type") ? &c->activity_type
                                                                  : NULL;
        object = tl_jtok_next(&r, &t, NULL) == TL_OK;
        if (object && to && t.kind == TL_J_STRING) {
            *to = tl_arena_str(arena, t.text);
        } else if (object) {
            object = tl_jtok_skip(&r, &t, NULL) == TL_OK;
        }
    }
    tl_jreader_deinit(&r);
    c->owner = TL_PAYLOAD_OF_ACTIVITY;
    c->is_local = true;
}

static void enter_marker(struct tl_payload_context *c, const char *name,
                         const TpCommon__Payloads *data, struct tl_arena *arena)
{
    if (strcmp(name, LOCAL_MARKER) == 0 && data && data->n_payloads) {
        read_local(c, tl_pb_str(data->payloads[0]->data), arena);
    }
}

static void enter_command_marker(struct tl_payload_context *c,
                                 const TpCommand__RecordMarkerCommandAttributes *a,
                                 struct tl_arena *arena)
{
    const TpCommand__RecordMarkerCommandAttributes__DetailsEntry *e =
        TL_PB_MAP_GET(TpCommand__RecordMarkerCommandAttributes__DetailsEntry, a->n_details,
                      a->details, TL_STR_LIT("data"));
    enter_marker(c, a->marker_name, e ? e->value : NULL, arena);
}

static void enter_event_marker(struct tl_payload_context *c,
                               const TpHistory__MarkerRecordedEventAttributes *a,
                               struct tl_arena *arena)
{
    const TpHistory__MarkerRecordedEventAttributes__DetailsEntry *e =
        TL_PB_MAP_GET(TpHistory__MarkerRecordedEventAttributes__DetailsEntry, a->n_details,
                      a->details, TL_STR_LIT("data"));
    enter_marker(c, a->marker_name, e ? e->value : NULL, arena);
}

tl_rc tl_context_walk_enter(struct tl_context_walk *w, const void *msg, struct tl_arena *arena,
                            struct tl_error *err)
{
    const ProtobufCMessageDescriptor *d = ((const ProtobufCMessage *)msg)->descriptor;
    if (w->depth == TL_PB_DEPTH_MAX) {
        return tl_error_set(err, TL_ELIMIT, "the payloads of a message are nested too deeply");
    }
    w->depth++;
    *top(w) = w->frames[w->depth - 1];
    if (d == &tp_history__history_event__descriptor) {
        enter_event(w, msg, arena);
    } else if (d == &tp_command__command__descriptor) {
        (void)tl_payload_context_read_inner(top(w), msg);
    } else if (d == &tp_command__record_marker_command_attributes__descriptor) {
        enter_command_marker(top(w), msg, arena);
    } else if (d == &tp_history__marker_recorded_event_attributes__descriptor) {
        enter_event_marker(top(w), msg, arena);
    } else {
        tl_payload_context_read(top(w), msg);
        recall_run(w, top(w), arena);
        if (w->way == TL_CODEC_DECODE) {
            remember(w->contexts, token_key(msg, arena), top(w));
        }
    }
    return TL_OK;
}

void tl_context_walk_leave(struct tl_context_walk *w)
{
    w->depth--;
}

const struct tl_payload_context *tl_context_walk_now(const struct tl_context_walk *w)
{
    const struct tl_payload_context *c = &w->frames[w->depth];
    return c->owner == TL_PAYLOAD_OF_NOTHING ? NULL : c;
}
