/* See measured.h. */
#include "rpc/measured.h"

#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/world.h"
#include "proto/wire.h"

#define TASK_QUEUE_NAME 1 /* fields of TaskQueue */
#define TASK_QUEUE_NORMAL_NAME 3

enum {
#define M(id, kind, name, help, ...) METRIC_##id,
#include "rpc/measured.def"
#undef M
    METRIC_COUNT,
    LONG = METRIC_LONG_REQUEST - METRIC_REQUEST, /* from a metric to that of long polls */
};

#define KIND_COUNTER .kind = TL_METRIC_COUNTER
#define KIND_DURATION .kind = TL_METRIC_HISTOGRAM, .duration = true
static const struct tl_metric_def defs[METRIC_COUNT] = {
#define M(id, kind_, name_, help_, ...)                                                            \
    {.name = name_, .help = help_, .sdk = true, KIND_##kind_, .labels = {__VA_ARGS__}},
#include "rpc/measured.def"
#undef M
};

/* What of a method's requests is a label. */
struct method_labels {
    bool has_namespace;
    uint32_t task_queue; /* number of the field; 0: none */
    bool plain_name;     /* it is a text, not a TaskQueue */
};

struct measured_channel {
    struct tl_channel base;
    struct tl_channel *inner; /* borrowed */
    char *namespace_name;
    struct tl_metric *metrics[METRIC_COUNT];
    struct method_labels methods[TL_METHOD_COUNT];
};

/* A call under way. */
struct measured_call {
    struct measured_channel *channel;
    tl_rpc_done_fn done;
    void *ud;
    int64_t begun_ns;
    bool is_long;
    size_t task_queue_n;
    char task_queue[];
};

static const char *status_text(int status)
{
    static const char *const names[] = {
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    };
    return status >= 0 && status < (int)(sizeof names / sizeof names[0]) ? names[status]
                                                                         : "UNKNOWN";
}

static struct tl_series *series(const struct measured_call *c, int metric, enum tl_method m,
                                const char *status)
{
    const struct measured_channel *ch = c->channel;
    struct tl_str none = TL_STR_LIT("");
    struct tl_str values[] = {
        ch->methods[m].has_namespace ? tl_str(ch->namespace_name) : none,
        tl_str(tl_method_info(m)->name),
        tl_str_n(c->task_queue, c->task_queue_n),
        tl_str(status),
    };
    return tl_metric_get(ch->metrics[metric + (c->is_long ? LONG : 0)], values);
}

static void measured_done(void *ud, struct tl_rpc_result *res)
{
    struct measured_call *c = ud;
    int64_t took = tl_world_mono_ns(tl_world_real()) - c->begun_ns;
    tl_series_observe(series(c, METRIC_REQUEST_LATENCY, res->method, NULL), took);
    if (res->status != 0) {
        tl_series_add(series(c, METRIC_REQUEST_FAILURE, res->method, status_text(res->status)), 1);
    }
    tl_rpc_done_fn done = c->done;
    void *caller = c->ud;
    tl_mem_free(c);
    res->ud = caller;
    done(caller, res);
}

/* The queue that a request names; of a sticky one the queue it belongs to. */
static struct tl_str task_queue_of(const struct method_labels *l, struct tl_str request)
{
    if (!l->task_queue) {
        return (struct tl_str){0};
    }
    struct tl_str queue = tl_wire_find(request, l->task_queue);
    if (l->plain_name) {
        return queue;
    }
    struct tl_str normal = tl_wire_find(queue, TASK_QUEUE_NORMAL_NAME);
    return normal.n ? normal : tl_wire_find(queue, TASK_QUEUE_NAME);
}

/* A history is waited for only where the request says so. */
static bool is_long(enum tl_method m, struct tl_str request)
{
    struct tl_wire_field f;
    if (m != TL_M_GetWorkflowExecutionHistory) {
        return tl_method_info(m)->class == TL_METHOD_LONG && m != TL_M_QueryWorkflow &&
               m != TL_M_ExecuteMultiOperation;
    }
    while (tl_wire_next(&request, &f)) {
        if (f.number == 5 && f.type == 0) { /* wait_new_event */
            return f.value != 0;
        }
    }
    return false;
}

static struct tl_rpc_call *measured_call(struct tl_channel *base, enum tl_method m,
                                         struct tl_str request, int64_t timeout_ns,
                                         tl_rpc_done_fn done, void *ud)
{
    struct measured_channel *ch = TL_CONTAINER(base, struct measured_channel, base);
    struct tl_str queue = task_queue_of(&ch->methods[m], request);
    struct measured_call *c = tl_mem_alloc(sizeof *c + queue.n);
    c->channel = ch;
    c->done = done;
    c->ud = ud;
    c->is_long = is_long(m, request);
    c->task_queue_n = queue.n;
    if (queue.n) {
        memcpy(c->task_queue, queue.p, queue.n);
    }
    c->begun_ns = tl_world_mono_ns(tl_world_real());
    tl_series_add(series(c, METRIC_REQUEST, m, NULL), 1);
    return tl_channel_call(ch->inner, m, request, timeout_ns, measured_done, c);
}

static void measured_close(struct tl_channel *base)
{
    struct measured_channel *ch = TL_CONTAINER(base, struct measured_channel, base);
    tl_mem_free(ch->namespace_name);
    tl_mem_free(ch);
}

static struct method_labels labels_of(enum tl_method m)
{
    const ProtobufCMessageDescriptor *d = tl_method_info(m)->input;
    const ProtobufCFieldDescriptor *queue =
        protobuf_c_message_descriptor_get_field_by_name(d, "task_queue");
    bool message = queue && queue->type == PROTOBUF_C_TYPE_MESSAGE;
    return (struct method_labels){
        .has_namespace = protobuf_c_message_descriptor_get_field_by_name(d, "namespace") != NULL,
        .task_queue = queue ? queue->id : 0,
        .plain_name = !message,
    };
}

void tl_measured_register(struct tl_metrics *metrics)
{
    for (int i = 0; i < METRIC_COUNT; i++) {
        (void)tl_metric_new(metrics, &defs[i]);
    }
}

/* Calls that are cancelled or released go straight to the inner channel: the handle is its own. */
struct tl_channel *tl_measured_channel_open(struct tl_channel *inner, struct tl_metrics *metrics,
                                            struct tl_str namespace_name)
{
    struct measured_channel *ch = TL_NEW(struct measured_channel);
    ch->base = (struct tl_channel){.call = measured_call, .close = measured_close};
    ch->inner = inner;
    ch->namespace_name = tl_mem_dup(namespace_name);
    for (int i = 0; i < METRIC_COUNT; i++) {
        ch->metrics[i] = tl_metric_new(metrics, &defs[i]);
    }
    for (int m = 0; m < TL_METHOD_COUNT; m++) {
        ch->methods[m] = labels_of((enum tl_method)m);
    }
    return &ch->base;
}
