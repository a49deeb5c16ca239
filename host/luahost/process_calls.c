/* See process_calls.h. */
#include "luahost/process_calls.h"

#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"

#define STATUS_FAILED_PRECONDITION 9
#define STATUS_UNIMPLEMENTED 12

/* --- in the process ------------------------------------------------------------------------------ */

struct remote_call {
    struct tl_rpc_call base;
    struct tl_list node; /* in open, until it is answered */
    uint32_t id;
    enum tl_method method;
    tl_rpc_done_fn done;
    void *ud;
    int holds; /* the caller's and the answer's; guarded by the channel's mutex */
};

static struct tl_process_channel *channel_of(struct tl_channel *ch)
{
    return TL_CONTAINER(ch, struct tl_process_channel, base);
}

static struct remote_call *remote_of(struct tl_rpc_call *call)
{
    return TL_CONTAINER(call, struct remote_call, base);
}

static void let_go(struct tl_process_channel *ch, struct remote_call *r)
{
    pthread_mutex_lock(&ch->mutex);
    bool last = --r->holds == 0;
    pthread_mutex_unlock(&ch->mutex);
    if (last) {
        tl_mem_free(r);
    }
}

static bool send_call(const struct remote_call *r, struct tl_str request, int64_t timeout_ns)
{
    struct tl_buf b;
    tl_buf_init(&b, TL_PROCESS_FRAME_MAX);
    tl_process_begin(&b, TL_PF_CALL);
    tl_process_put_u32(&b, r->id);
    tl_process_put(&b, tl_str(tl_method_info(r->method)->path));
    tl_process_put(&b, tl_str_n((const char *)&timeout_ns, sizeof timeout_ns));
    tl_process_put(&b, request);
    bool sent = tl_process_send(TL_PROCESS_FD, &b);
    tl_buf_deinit(&b);
    return sent;
}

static struct tl_rpc_call *call(struct tl_channel *base, enum tl_method m, struct tl_str request,
                                int64_t timeout_ns, tl_rpc_done_fn done, void *ud)
{
    struct tl_process_channel *ch = channel_of(base);
    struct remote_call *r = TL_NEW(struct remote_call);
    r->base.channel = base;
    r->method = m;
    r->done = done;
    r->ud = ud;
    r->holds = 2;
    tl_list_init(&r->node);
    pthread_mutex_lock(&ch->mutex);
    bool listening = ch->listening;
    if (listening) {
        r->id = ++ch->last_id;
        tl_list_push(&ch->open, &r->node);
    }
    pthread_mutex_unlock(&ch->mutex);
    /* When the worker is gone, so is this process: its reader ends it. */
    if (!listening || !send_call(r, request, timeout_ns)) {
        static const char why[] =
            "an activity process has a connection while an activity runs in it: call "
            "activity.client() in the activity";
        pthread_mutex_lock(&ch->mutex);
        tl_list_remove(&r->node);
        pthread_mutex_unlock(&ch->mutex);
        struct tl_rpc_result *res = tl_rpc_result_new(
            m, ud, STATUS_FAILED_PRECONDITION, tl_str(why), (struct tl_str){0}, (struct tl_str){0});
        res->final = true;
        done(ud, res);
        let_go(ch, r);
    }
    return &r->base;
}

static void cancel(struct tl_rpc_call *base)
{
    struct remote_call *r = remote_of(base);
    struct tl_process_channel *ch = channel_of(base->channel);
    struct tl_buf b;
    pthread_mutex_lock(&ch->mutex);
    bool told = ch->listening && r->holds == 2;
    pthread_mutex_unlock(&ch->mutex);
    if (told) {
        tl_buf_init(&b, TL_PROCESS_FRAME_MAX);
        tl_process_begin(&b, TL_PF_HANG_UP);
        tl_process_put_u32(&b, r->id);
        (void)tl_process_send(TL_PROCESS_FD, &b);
        tl_buf_deinit(&b);
    }
}

static void release(struct tl_rpc_call *base)
{
    let_go(channel_of(base->channel), remote_of(base));
}

static void close_nothing(struct tl_channel *ch)
{
    (void)ch;
}

void tl_process_channel_init(struct tl_process_channel *ch)
{
    memset(ch, 0, sizeof *ch);
    ch->base = (struct tl_channel){call, cancel, release, close_nothing};
    pthread_mutex_init(&ch->mutex, NULL);
    tl_list_init(&ch->open);
}

void tl_process_channel_listen(struct tl_process_channel *ch, bool on)
{
    pthread_mutex_lock(&ch->mutex);
    ch->listening = on;
    pthread_mutex_unlock(&ch->mutex);
}

static struct remote_call *take_open(struct tl_process_channel *ch, uint32_t id)
{
    struct remote_call *found = NULL;
    pthread_mutex_lock(&ch->mutex);
    TL_LIST_EACH (n, &ch->open) {
        struct remote_call *r = TL_CONTAINER(n, struct remote_call, node);
        if (r->id == id) {
            tl_list_remove(&r->node);
            found = r;
        }
    }
    pthread_mutex_unlock(&ch->mutex);
    return found;
}

void tl_process_channel_answer(struct tl_process_channel *ch, struct tl_str fields)
{
    struct remote_call *r = take_open(ch, tl_process_take_u32(&fields));
    if (!r) {
        return;
    }
    int status = (int)tl_process_take_u32(&fields);
    bool final = tl_process_take_u32(&fields) != 0;
    struct tl_str message = tl_process_take(&fields);
    struct tl_str details = tl_process_take(&fields);
    struct tl_rpc_result *res =
        tl_rpc_result_new(r->method, r->ud, status, message, details, tl_process_take(&fields));
    res->final = final;
    r->done(r->ud, res);
    let_go(ch, r);
}

/* --- in the worker --------------------------------------------------------------------------------- */

struct relayed {
    struct tl_list node; /* in open */
    struct tl_process_calls *of;
    uint32_t id;
    struct tl_rpc_call *call;
    struct tl_rpc_result *result; /* guarded */
};

void tl_process_calls_init(struct tl_process_calls *c, struct tl_channel *channel, int fd, int wake)
{
    memset(c, 0, sizeof *c);
    c->channel = channel;
    c->fd = fd;
    c->wake = wake;
    tl_list_init(&c->open);
    pthread_mutex_init(&c->mutex, NULL);
    pthread_cond_init(&c->cond, NULL);
}

/* Thread: the transport's. The descriptor is open as long as a call is under way. */
static void came(void *ud, struct tl_rpc_result *res)
{
    struct relayed *r = ud;
    struct tl_process_calls *c = r->of;
    const uint64_t one = 1;
    pthread_mutex_lock(&c->mutex);
    r->result = res;
    c->under_way--;
    ssize_t n = write(c->wake, &one, sizeof one);
    (void)n; /* full: it is awake */
    pthread_cond_signal(&c->cond);
    pthread_mutex_unlock(&c->mutex);
}

bool tl_process_calls_begin(struct tl_process_calls *c, struct tl_str fields)
{
    int64_t timeout_ns = 0;
    enum tl_method m = 0;
    uint32_t id = tl_process_take_u32(&fields);
    struct tl_str path = tl_process_take(&fields), timeout = tl_process_take(&fields);
    if (timeout.n != sizeof timeout_ns) {
        return false;
    }
    memcpy(&timeout_ns, timeout.p, sizeof timeout_ns);
    struct relayed *r = TL_NEW(struct relayed);
    r->of = c;
    r->id = id;
    tl_list_push(&c->open, &r->node);
    pthread_mutex_lock(&c->mutex);
    c->under_way++;
    pthread_mutex_unlock(&c->mutex);
    if (!c->channel || !tl_method_find(path, &m)) {
        came(r, tl_rpc_result_new(m, r, STATUS_UNIMPLEMENTED, TL_STR_LIT("no such method"),
                                  (struct tl_str){0}, (struct tl_str){0}));
        return true;
    }
    r->call = tl_channel_call(c->channel, m, tl_process_take(&fields), timeout_ns, came, r);
    return true;
}

void tl_process_calls_hang_up(struct tl_process_calls *c, struct tl_str fields)
{
    uint32_t id = tl_process_take_u32(&fields);
    TL_LIST_EACH (n, &c->open) {
        struct relayed *r = TL_CONTAINER(n, struct relayed, node);
        if (r->id == id && r->call) {
            tl_rpc_cancel(r->call);
        }
    }
}

static void drop(struct relayed *r)
{
    tl_list_remove(&r->node);
    tl_rpc_result_free(r->result);
    tl_rpc_call_release(r->call);
    tl_mem_free(r);
}

static bool send_answer(const struct tl_process_calls *c, const struct relayed *r,
                        struct tl_buf *out)
{
    const struct tl_rpc_result *res = r->result;
    tl_process_begin(out, TL_PF_ANSWER);
    tl_process_put_u32(out, r->id);
    tl_process_put_u32(out, (uint32_t)res->status);
    tl_process_put_u32(out, res->final);
    tl_process_put(out, res->message);
    tl_process_put(out, res->details);
    tl_process_put(out, res->body);
    return tl_process_send(c->fd, out);
}

bool tl_process_calls_answer(struct tl_process_calls *c, struct tl_buf *out)
{
    bool alive = true;
    TL_LIST_EACH (n, &c->open) {
        struct relayed *r = TL_CONTAINER(n, struct relayed, node);
        pthread_mutex_lock(&c->mutex);
        bool over = r->result != NULL;
        pthread_mutex_unlock(&c->mutex);
        if (over) {
            alive = alive && send_answer(c, r, out);
            drop(r);
        }
    }
    return alive;
}

void tl_process_calls_deinit(struct tl_process_calls *c)
{
    TL_LIST_EACH (n, &c->open) {
        struct relayed *r = TL_CONTAINER(n, struct relayed, node);
        if (r->call) {
            tl_rpc_cancel(r->call);
        }
    }
    pthread_mutex_lock(&c->mutex);
    while (c->under_way) {
        pthread_cond_wait(&c->cond, &c->mutex);
    }
    pthread_mutex_unlock(&c->mutex);
    TL_LIST_EACH (n, &c->open) {
        drop(TL_CONTAINER(n, struct relayed, node));
    }
    pthread_cond_destroy(&c->cond);
    pthread_mutex_destroy(&c->mutex);
}
