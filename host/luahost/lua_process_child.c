/* An activity process: one Lua state, one task at a time, its worker at the other end of a socket. See lua_process.h.
 * Threads: the main one runs Lua and sends; a reader takes what the worker sends meanwhile. */
#include <fcntl.h>
#include <lauxlib.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "luahost/lua_process.h"
#include "luahost/process_calls.h"
#include "luart/measure.h"
#include "proto/pb.h"

struct child {
    struct tl_lua_activities activities; /* what a state needs of them */
    lua_State *L;
    struct tl_buf out;
    struct tl_process_channel channel; /* through the worker */

    pthread_mutex_t mutex; /* guards the rest */
    pthread_cond_t cond;
    struct tl_buf task; /* fields of the frame, while there is one */
    bool has_task, running, gone;
    unsigned reasons;
    bool shutting_down;
};

struct remote {
    struct tl_activity pub;
    struct child *child;
    enum tl_act_end how;
    const void *body;
    struct tl_str identity;   /* of the worker */
    struct tl_client *client; /* made when the activity asks for it */
};

static struct remote *remote_of(const struct tl_activity *a)
{
    return TL_CONTAINER((uintptr_t)a, struct remote, pub);
}

/* --- what the running activity calls ---------------------------------------------------------- */

static tl_rc heartbeat(struct tl_activity *a, const TpCommon__Payloads *details,
                       struct tl_error *err)
{
    struct child *c = remote_of(a)->child;
    struct tl_buf bytes;
    tl_rc rc = TL_OK;
    if (!a->is_local) {
        tl_buf_init(&bytes, (size_t)tl_limit_blob_bytes);
        rc = details ? tl_pb_encode(details, &bytes, err) : TL_OK;
        if (rc == TL_OK) {
            tl_process_begin(&c->out, TL_PF_BEAT);
            tl_process_put(&c->out, tl_buf_str(&bytes));
            (void)tl_process_send(TL_PROCESS_FD,
                                  &c->out); /* the reader notices when the worker is gone */
        }
        tl_buf_deinit(&bytes);
    }
    return rc == TL_OK && tl_activity_cancel_reasons(a)
               ? tl_error_set(err, TL_ECANCELLED, "the activity should stop")
               : rc;
}

static unsigned reasons(const struct tl_activity *a)
{
    struct child *c = remote_of(a)->child;
    pthread_mutex_lock(&c->mutex);
    unsigned set = c->reasons;
    pthread_mutex_unlock(&c->mutex);
    return set;
}

static bool shutting_down(const struct tl_activity *a)
{
    struct child *c = remote_of(a)->child;
    pthread_mutex_lock(&c->mutex);
    bool on = c->shutting_down;
    pthread_mutex_unlock(&c->mutex);
    return on;
}

static void wait_for(struct tl_activity *a, bool shutdown, int64_t deadline_ns)
{
    struct child *c = remote_of(a)->child;
    struct timespec ts = {deadline_ns / TL_NS_PER_S, deadline_ns % TL_NS_PER_S};
    int rc = 0;
    pthread_mutex_lock(&c->mutex);
    while (!(shutdown ? c->shutting_down : c->reasons != 0) && rc == 0) {
        rc = deadline_ns == INT64_MAX ? pthread_cond_wait(&c->cond, &c->mutex)
                                      : pthread_cond_timedwait(&c->cond, &c->mutex, &ts);
    }
    pthread_mutex_unlock(&c->mutex);
}

static void end(struct tl_activity *a, enum tl_act_end how, const void *body)
{
    struct remote *r = remote_of(a);
    r->how = how;
    r->body = body;
}

static bool ended(const struct tl_activity *a)
{
    return remote_of(a)->how != TL_ACT_OPEN;
}

static const struct tl_client *client(const struct tl_activity *a)
{
    struct remote *r = remote_of(a);
    if (!r->client) {
        const struct tl_client_config config = {.channel = &r->child->channel.base,
                                                .namespace_name = a->namespace_name,
                                                .identity = r->identity};
        r->client = tl_client_new(&config);
    }
    return r->client;
}

static const struct tl_activity_ops ops = {
    .heartbeat = heartbeat,
    .cancel_reasons = reasons,
    .shutting_down = shutting_down,
    .wait = wait_for,
    .end = end,
    .ended = ended,
    .client = client,
};

/* --- frames of the worker --------------------------------------------------------------------- */

/* The worker has closed its end, or has died: a process that is idle tears down, a running one ends. */
static void worker_gone(struct child *c)
{
    pthread_mutex_lock(&c->mutex);
    if (c->running || c->has_task) {
        _exit(EXIT_FAILURE);
    }
    c->gone = true;
    pthread_cond_broadcast(&c->cond);
    pthread_mutex_unlock(&c->mutex);
}

static void *read_frames(void *ud)
{
    struct child *c = ud;
    struct tl_buf b;
    enum tl_process_frame kind;
    struct tl_str fields;
    tl_buf_init(&b, TL_PROCESS_FRAME_MAX);
    while (tl_process_receive(TL_PROCESS_FD, &b, &kind, &fields)) {
        if (kind == TL_PF_ANSWER) {
            tl_process_channel_answer(&c->channel, fields);
            continue;
        }
        pthread_mutex_lock(&c->mutex);
        if (kind == TL_PF_TASK) {
            struct tl_buf taken = c->task;
            c->task = b;
            b = taken;
            c->has_task = true;
            c->reasons = 0;
            c->shutting_down = false;
        } else if (kind == TL_PF_CHANGE) {
            c->reasons = tl_process_take_u32(&fields);
            c->shutting_down = tl_process_take_u32(&fields) != 0;
        }
        pthread_cond_broadcast(&c->cond);
        pthread_mutex_unlock(&c->mutex);
    }
    tl_buf_deinit(&b);
    worker_gone(c);
    return NULL;
}

/* A metric is the worker's, which knows whether anybody measures. */
static void send_metric(void *ud, const struct tl_metric_record *m)
{
    struct child *c = ud;
    tl_process_begin(&c->out, TL_PF_METRIC);
    tl_process_put_u32(&c->out, (uint32_t)m->type);
    tl_process_put(&c->out, tl_str(m->name));
    tl_process_put(&c->out, tl_str(m->description));
    tl_process_put(&c->out, tl_str(m->unit));
    tl_process_put(&c->out, tl_str_n((const char *)&m->whole, sizeof m->whole));
    tl_process_put(&c->out, tl_str_n((const char *)&m->real, sizeof m->real));
    tl_process_put_u32(&c->out, (uint32_t)m->n);
    for (size_t i = 0; i < m->n; i++) {
        tl_process_put(&c->out, m->labels[i].name);
        tl_process_put(&c->out, m->labels[i].value);
    }
    pthread_mutex_lock(&c->mutex);
    bool running = c->running;
    pthread_mutex_unlock(&c->mutex);
    if (running) { /* the worker listens */
        (void)tl_process_send(TL_PROCESS_FD, &c->out);
    }
}

/* --- tasks ------------------------------------------------------------------------------------ */

static void send_end(struct child *c, const struct remote *r)
{
    struct tl_buf bytes;
    tl_buf_init(&bytes, TL_PROCESS_FRAME_MAX);
    static const TpCommon__Payloads nothing = TP_COMMON__PAYLOADS__INIT;
    tl_rc rc = tl_pb_encode(r->body ? r->body : &nothing, &bytes, NULL);
    if (rc != TL_OK) {
        TL_LOG(TL_LOG_ERROR, "activity_process.result_too_large", TL_I("rc", rc));
        _exit(EXIT_FAILURE); /* the worker tells of it */
    }
    tl_process_begin(&c->out, TL_PF_END);
    tl_process_put_u32(&c->out, (uint32_t)r->how);
    tl_process_put(&c->out, tl_buf_str(&bytes));
    pthread_mutex_lock(&c->mutex);
    c->running = false; /* before the worker hears of it and may close */
    pthread_mutex_unlock(&c->mutex);
    (void)tl_process_send(TL_PROCESS_FD, &c->out);
    tl_buf_deinit(&bytes);
}

static void run_task(struct child *c, struct tl_str fields)
{
    struct tl_arena arena;
    struct tl_error err;
    TpWs__PollActivityTaskQueueResponse *task = NULL;
    struct tl_str name = tl_process_take(&fields);
    struct remote r = {.child = c};
    tl_arena_init(&arena, TL_PROCESS_FRAME_MAX);
    r.pub.ops = &ops;
    r.pub.arena = &arena;
    r.pub.is_local = tl_process_take_u32(&fields) != 0;
    r.pub.namespace_name = tl_process_take(&fields);
    r.pub.task_queue = tl_process_take(&fields);
    r.identity = tl_process_take(&fields);
    tl_rc rc = tl_pb_decode(&tp_ws__poll_activity_task_queue_response__descriptor,
                            tl_process_take(&fields), &arena, &task, &err);
    r.pub.task = task;
    tl_process_channel_listen(&c->channel, true);
    lua_pushlstring(c->L, name.p, name.n);
    if (rc != TL_OK) {
        tl_lua_fail_plainly(&r.pub, err.message);
        lua_pop(c->L, 1);
    } else if (lua_rawget(c->L, 1) != LUA_TFUNCTION) {
        tl_lua_fail_plainly(&r.pub, "the activity's module is not loaded in this process");
        lua_pop(c->L, 1);
    } else {
        tl_lua_activity_call(tl_host_get(c->L), &r.pub, &c->activities);
    }
    if (!ended(&r.pub)) {
        tl_lua_fail_plainly(&r.pub, "the activity returned without an end");
    }
    tl_process_channel_listen(&c->channel, false); /* before the worker hears of the end */
    send_end(c, &r);
    tl_client_free(r.client);
    tl_arena_deinit(&arena);
}

static void serve(struct child *c)
{
    struct tl_buf fields;
    tl_buf_init(&fields, TL_PROCESS_FRAME_MAX);
    for (;;) {
        pthread_mutex_lock(&c->mutex);
        while (!c->has_task && !c->gone) {
            pthread_cond_wait(&c->cond, &c->mutex);
        }
        if (c->gone) {
            pthread_mutex_unlock(&c->mutex);
            break;
        }
        struct tl_buf taken = c->task;
        c->task = fields;
        fields = taken;
        c->has_task = false;
        c->running = true;
        pthread_mutex_unlock(&c->mutex);
        run_task(c, tl_buf_str(&fields));
    }
    tl_buf_deinit(&fields);
}

/* --- life ------------------------------------------------------------------------------------- */

static char *text(struct tl_str *fields)
{
    return tl_mem_dup(tl_process_take(fields));
}

static char **texts(struct tl_str *fields, size_t n)
{
    char **list = TL_NEW_ARRAY(char *, n);
    for (size_t i = 0; i < n; i++) {
        list[i] = text(fields);
    }
    return list;
}

/* What the worker says of its activities; false: there is no worker. */
static bool hear(struct child *c)
{
    struct tl_lua_activities *a = &c->activities;
    enum tl_process_frame kind;
    struct tl_str fields;
    if (!tl_process_receive(TL_PROCESS_FD, &c->task, &kind, &fields) || kind != TL_PF_HELLO) {
        return false;
    }
    tl_log_level((enum tl_log_level)tl_process_take_u32(&fields));
    tl_log_json(tl_process_take_u32(&fields) != 0);
    a->own_process = true;
    a->path = text(&fields);
    a->cpath = text(&fields);
    a->plan = text(&fields);
    struct tl_str sources = tl_process_take(&fields);
    a->sources = tl_str_n(tl_mem_dup(sources), sources.n);
    a->module_count = tl_process_take_u32(&fields);
    a->converter_count = tl_process_take_u32(&fields);
    a->modules = texts(&fields, a->module_count);
    a->converters = texts(&fields, a->converter_count);
    return true;
}

static bool greet(struct child *c)
{
    struct tl_error err;
    tl_rc rc = tl_lua_state_open(&c->activities, TL_LUA_PROCESS, &c->L, &err);
    tl_process_begin(&c->out, rc == TL_OK ? TL_PF_READY : TL_PF_ERROR);
    if (rc != TL_OK) {
        tl_process_put(&c->out, tl_str(err.message));
    }
    return tl_process_send(TL_PROCESS_FD, &c->out) && rc == TL_OK;
}

int tl_lua_process_main(void)
{
    static struct child c; /* the process ends with it */
    pthread_t reader;
    pthread_condattr_t attr;
    (void)fcntl(TL_PROCESS_FD, F_SETFD,
                FD_CLOEXEC); /* what the activities start does not keep it open */
    tl_buf_init(&c.out, TL_PROCESS_FRAME_MAX);
    tl_buf_init(&c.task, TL_PROCESS_FRAME_MAX);
    tl_process_channel_init(&c.channel);
    pthread_mutex_init(&c.mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c.cond, &attr);
    pthread_condattr_destroy(&attr);
    if (!hear(&c)) {
        static const char words[] = "this is started by a worker, for its activities\n";
        ssize_t n = write(STDERR_FILENO, words, sizeof words - 1);
        (void)n;
        return EXIT_FAILURE;
    }
    tl_stock_metric_sink(send_metric, &c);
    if (!greet(&c) || pthread_create(&reader, NULL, read_frames, &c) != 0) {
        return EXIT_FAILURE;
    }
    serve(&c);
    pthread_join(reader, NULL);
    tl_lua_state_close(c.L);
    return EXIT_SUCCESS;
}
