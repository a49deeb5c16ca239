/* See slot_lua.h. The thread owns the Lua state; the worker's calls become messages, and all but a try return
 * at once. What may raise runs inside a pcall. */
#include "luahost/slot_lua.h"

#include <errno.h>
#include <lauxlib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/inbox.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/world.h"
#include "luahost/hook_module.h"
#include "luart/convert.h"

#define KINDS TLUA_SLOT_NEXUS
#define INBOX_MAX ((size_t)1 << 20)
#define TRY_WAIT_NS (100 * TL_NS_PER_MS) /* a workflow thread waits no longer for a try */
#define AGAIN_NS (100 * TL_NS_PER_MS)    /* after a reservation that gave nothing */
#define ERROR_PAUSE_NS TL_NS_PER_S
#define STOP_WAIT_S 1
#define MODULE 1 /* index of the module in the state */

enum message { RESERVE, TRY, USED, RELEASE, STOP };

/* What one of the worker's calls asks for. */
struct request {
    struct tl_msg msg;
    struct tl_lua_slots *slots;
    int kind;
    bool sticky, has_info;
    char *task_queue, *identity, *build_id, *deployment; /* owned */
    char *type, *operation;                              /* of has_info; owned */
    int permit;                                          /* reference in the registry */
    /* RESERVE */
    tlua_slot_wait *wait;
    struct tl_list node; /* while it waits */
    int coroutine;       /* reference; LUA_NOREF: to be called from the start */
    int64_t again_ns;
    bool on_release; /* go on when a slot is released, too */
    /* TRY: shared with the caller, by whom it is freed unless he has given up; under the mutex */
    bool done, given_up;
};

struct kind {
    struct tl_lua_slots *slots;
    int kind;
    bool open; /* under the mutex: grants are passed on */
    tlua_slot_supplier supplier;
};

struct tl_lua_slots {
    atomic_int holds; /* owner, thread */
    char *module;
    struct kind kinds[KINDS + 1];
    struct tl_inbox inbox;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t cond; /* a try is done; the thread has ended */
    bool ended, stopping;
    atomic_bool stuck;  /* a try was not answered in time */
    lua_State *running; /* under the mutex: what an interrupt is set on */
    struct request stop;
    /* the thread's */
    lua_State *L;
    struct tl_list waiting; /* of struct request: reservations */
};

/* --- requests ------------------------------------------------------------------------------------ */

static char *copy(tlua_bytes b)
{
    return b.size ? tl_mem_dup(tl_str_n(b.data, b.size)) : NULL;
}

static void request_free(struct request *r)
{
    tl_mem_free(r->task_queue);
    tl_mem_free(r->identity);
    tl_mem_free(r->build_id);
    tl_mem_free(r->deployment);
    tl_mem_free(r->type);
    tl_mem_free(r->operation);
    tl_mem_free(r);
}

static struct request *request_new(struct kind *k, enum message what)
{
    struct request *r = TL_NEW(struct request);
    r->msg.kind = (int)what;
    r->slots = k->slots;
    r->kind = k->kind;
    r->coroutine = LUA_NOREF;
    tl_list_init(&r->node);
    return r;
}

static struct request *reservation(struct kind *k, enum message what, const tlua_slot_request *q)
{
    struct request *r = request_new(k, what);
    r->sticky = q->is_sticky;
    r->task_queue = copy(q->task_queue);
    r->identity = copy(q->worker_identity);
    r->build_id = copy(q->worker_build_id);
    r->deployment = copy(q->worker_deployment_name);
    return r;
}

static void *permit_of(int reference)
{
    return (void *)(intptr_t)reference;
}

static struct request *usage(struct kind *k, enum message what, const tlua_slot_info *info,
                             void *permit)
{
    struct request *r = request_new(k, what);
    r->permit = (int)(intptr_t)permit;
    r->has_info = info != NULL;
    r->sticky = info && info->is_sticky;
    r->type = info ? copy(info->type) : NULL;
    r->operation = info ? copy(info->operation) : NULL;
    return r;
}

static void post(struct request *r)
{
    if (!tl_inbox_send_always(&r->slots->inbox, &r->msg)) {
        request_free(r); /* the thread has ended */
    }
}

/* --- calls into Lua ------------------------------------------------------------------------------ */

static void set_text(lua_State *L, const char *name, const char *text)
{
    lua_pushstring(L, text ? text : "");
    lua_setfield(L, -2, name);
}

static const char *kind_name(int kind)
{
    static const char *const names[] = {"", "workflow", "activity", "local_activity", "nexus"};
    return names[kind];
}

/* [-0, +0, e] ctx:wait(seconds): until a slot is released, or so long */
static int ctx_wait(lua_State *L)
{
    lua_Number seconds = luaL_optnumber(L, 2, 3600);
    luaL_argcheck(L, seconds >= 0 && seconds <= 86400, 2, "a number of seconds from 0 to 86400");
    lua_settop(L, 0);
    lua_pushnumber(L, seconds);
    return lua_yield(L, 1);
}

static void push_reserve_context(lua_State *L, const struct request *r)
{
    lua_createtable(L, 0, 7);
    set_text(L, "slot_type", kind_name(r->kind));
    set_text(L, "task_queue", r->task_queue);
    set_text(L, "worker_identity", r->identity);
    set_text(L, "worker_build_id", r->build_id);
    lua_pushboolean(L, r->sticky);
    lua_setfield(L, -2, "is_sticky");
    if (r->deployment) {
        lua_createtable(L, 0, 2);
        set_text(L, "deployment_name", r->deployment);
        set_text(L, "build_id", r->build_id);
        lua_setfield(L, -2, "worker_deployment_version");
    }
    if (r->msg.kind == RESERVE) {
        lua_pushcfunction(L, ctx_wait);
        lua_setfield(L, -2, "wait");
    }
}

static void push_usage_context(lua_State *L, const struct request *r)
{
    lua_createtable(L, 0, 3);
    set_text(L, "slot_type", kind_name(r->kind));
    lua_rawgeti(L, LUA_REGISTRYINDEX, r->permit);
    lua_setfield(L, -2, "permit");
    if (r->has_info) {
        lua_createtable(L, 0, 2);
        set_text(L,
                 r->kind == TLUA_SLOT_WORKFLOW ? "workflow_type"
                 : r->kind == TLUA_SLOT_NEXUS  ? "service"
                                               : "activity_type",
                 r->type);
        if (r->kind == TLUA_SLOT_NEXUS) {
            set_text(L, "operation", r->operation);
        }
        if (r->kind == TLUA_SLOT_WORKFLOW) {
            lua_pushboolean(L, r->sticky);
            lua_setfield(L, -2, "is_sticky");
        }
        lua_setfield(L, -2, "slot_info");
    }
}

static void log_error(const struct tl_lua_slots *s, const char *hook, lua_State *L)
{
    const char *text = lua_tostring(L, -1); /* in place: nothing that raises */
    TL_LOG(TL_LOG_ERROR, "slot_supplier.failed", TL_C("module", s->module), TL_C("hook", hook),
           TL_C("error", text ? text : "an error that is not a text"));
}

/* Around every call: what an interrupt finds. False: the supplier stops. */
static bool begin(struct tl_lua_slots *s, lua_State *L)
{
    pthread_mutex_lock(&s->mutex);
    bool go = !s->stopping;
    s->running = go ? L : NULL;
    pthread_mutex_unlock(&s->mutex);
    return go;
}

static void end(struct tl_lua_slots *s)
{
    pthread_mutex_lock(&s->mutex);
    s->running = NULL;
    pthread_mutex_unlock(&s->mutex);
}

/* (module, request): calls try_reserve; returns its value as a reference, or LUA_NOREF */
static int call_try(lua_State *L)
{
    struct request *r = lua_touserdata(L, 2);
    lua_getfield(L, 1, "try_reserve");
    push_reserve_context(L, r);
    lua_call(L, 1, 1);
    r->permit = lua_toboolean(L, -1) ? luaL_ref(L, LUA_REGISTRYINDEX) : 0;
    return 0;
}

static int call_usage(lua_State *L)
{
    struct request *r = lua_touserdata(L, 2);
    lua_getfield(L, 1, r->msg.kind == USED ? "mark_used" : "release");
    push_usage_context(L, r);
    lua_call(L, 1, 0);
    return 0;
}

static bool call(struct tl_lua_slots *s, lua_CFunction fn, const char *hook, struct request *r)
{
    lua_State *L = s->L;
    if (!begin(s, L)) {
        return false;
    }
    lua_pushcfunction(L, fn);
    lua_pushvalue(L, MODULE);
    lua_pushlightuserdata(L, r);
    bool ok = lua_pcall(L, 2, 0, 0) == LUA_OK;
    end(s);
    if (!ok) {
        log_error(s, hook, L);
    }
    lua_settop(L, MODULE);
    return ok;
}

/* --- the thread ---------------------------------------------------------------------------------- */

static int64_t now_ns(void)
{
    return tl_world_mono_ns(tl_world_real());
}

static void wait_again(struct request *r, int64_t ns, bool on_release)
{
    r->again_ns = now_ns() + ns;
    r->on_release = on_release;
    tl_list_push(&r->slots->waiting, &r->node);
}

/* A slot that nobody takes. */
static void give_back(struct request *r)
{
    struct tl_lua_slots *s = r->slots;
    r->msg.kind = RELEASE;
    r->has_info = false;
    call(s, call_usage, "release", r);
    luaL_unref(s->L, LUA_REGISTRYINDEX, r->permit);
}

static void granted(struct request *r, int permit)
{
    struct tl_lua_slots *s = r->slots;
    pthread_mutex_lock(&s->mutex);
    bool open = s->kinds[r->kind].open;
    if (open) {
        tlua_slot_grant(r->wait, permit_of(permit));
    }
    pthread_mutex_unlock(&s->mutex);
    if (!open) {
        r->permit = permit;
        give_back(r);
    }
    request_free(r);
}

static int make_coroutine(lua_State *L)
{
    struct request *r = lua_touserdata(L, 2);
    lua_State *co = lua_newthread(L);
    lua_getfield(L, 1, "reserve");
    lua_xmove(L, co, 1);
    push_reserve_context(L, r);
    lua_xmove(L, co, 1);
    r->coroutine = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static int keep_value(lua_State *L)
{
    int *reference = lua_touserdata(L, 2);
    lua_settop(L, 1);
    *reference = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

/* The value on top of a coroutine as a reference; 0: no memory for it. */
static int keep(lua_State *L, lua_State *co)
{
    int reference = 0;
    lua_pushcfunction(L, keep_value);
    lua_xmove(co, L, 1);
    lua_pushlightuserdata(L, &reference);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
        reference = 0;
    }
    lua_settop(L, MODULE);
    return reference;
}

/* Begins a reservation or goes on with one that waited. */
static void reserve(struct request *r)
{
    struct tl_lua_slots *s = r->slots;
    lua_State *L = s->L;
    bool fresh = r->coroutine == LUA_NOREF;
    if (fresh && !call(s, make_coroutine, "reserve", r)) {
        wait_again(r, ERROR_PAUSE_NS, false);
        return;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, r->coroutine);
    lua_State *co = lua_tothread(L, -1);
    lua_settop(L, MODULE);
    int values = 0, status = LUA_OK;
    if (begin(s, co)) {
        status = lua_resume(co, L, fresh ? 1 : 0, &values);
        end(s);
    }
    if (status == LUA_YIELD) {
        double seconds = values ? lua_tonumber(co, -1) : 0;
        lua_pop(co, values);
        wait_again(r, (int64_t)(seconds * (double)TL_NS_PER_S), true);
        return;
    }
    int permit = status == LUA_OK && values && lua_toboolean(co, -values)
                     ? (lua_pop(co, values - 1), keep(L, co))
                     : 0;
    if (status != LUA_OK) {
        log_error(s, "reserve", co);
        lua_resetthread(co);
    }
    luaL_unref(L, LUA_REGISTRYINDEX, r->coroutine);
    r->coroutine = LUA_NOREF;
    if (permit > 0) {
        granted(r, permit);
    } else {
        wait_again(r, status == LUA_OK ? AGAIN_NS : ERROR_PAUSE_NS, status == LUA_OK);
    }
}

static void answer_try(struct request *r)
{
    struct tl_lua_slots *s = r->slots;
    r->permit = 0;
    call(s, call_try, "try_reserve", r);
    atomic_store(&s->stuck, false);
    pthread_mutex_lock(&s->mutex);
    bool given_up = r->given_up;
    r->done = true;
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->mutex);
    if (given_up) {
        if (r->permit > 0) {
            give_back(r);
        }
        request_free(r);
    }
}

/* Reservations whose time has come, or all that wait for a release. */
static void go_on(struct tl_lua_slots *s, bool released)
{
    int64_t now = now_ns();
    struct tl_list ready;
    tl_list_init(&ready);
    TL_LIST_EACH (n, &s->waiting) {
        struct request *r = TL_CONTAINER(n, struct request, node);
        if (r->again_ns <= now || (released && r->on_release)) {
            tl_list_remove(&r->node);
            tl_list_push(&ready, &r->node);
        }
    }
    for (struct tl_list *n; (n = tl_list_pop(&ready));) {
        reserve(TL_CONTAINER(n, struct request, node));
    }
}

static int64_t next_ns(const struct tl_lua_slots *s)
{
    int64_t next = INT64_MAX;
    TL_LIST_EACH (n, &s->waiting) {
        const struct request *r = TL_CONTAINER(n, struct request, node);
        next = r->again_ns < next ? r->again_ns : next;
    }
    return next;
}

static void take(struct tl_lua_slots *s, struct request *r)
{
    switch ((enum message)r->msg.kind) {
    case RESERVE:
        reserve(r);
        break;
    case TRY:
        answer_try(r);
        break;
    case USED:
        call(s, call_usage, "mark_used", r);
        request_free(r);
        break;
    case RELEASE:
        call(s, call_usage, "release", r);
        luaL_unref(s->L, LUA_REGISTRYINDEX, r->permit);
        request_free(r);
        go_on(s, true);
        break;
    case STOP:
        break;
    }
}

static void slots_free(struct tl_lua_slots *s)
{
    if (atomic_fetch_sub(&s->holds, 1) == 1) {
        tl_inbox_deinit(&s->inbox);
        pthread_cond_destroy(&s->cond);
        pthread_mutex_destroy(&s->mutex);
        tl_mem_free(s->module);
        tl_mem_free(s);
    }
}

/* What is still there when the thread ends. */
static void drop_all(struct tl_lua_slots *s)
{
    tl_inbox_close(&s->inbox);
    for (struct tl_msg *m; (m = tl_inbox_take_one(&s->inbox, 0));) {
        struct request *r = TL_CONTAINER(m, struct request, msg);
        if (r == &s->stop) {
            continue;
        }
        pthread_mutex_lock(&s->mutex);
        bool waited_for = m->kind == TRY && !r->given_up;
        r->done = true;
        r->permit = 0;
        pthread_cond_broadcast(&s->cond);
        pthread_mutex_unlock(&s->mutex);
        if (!waited_for) {
            request_free(r);
        }
    }
    for (struct tl_list *n; (n = tl_list_pop(&s->waiting));) {
        request_free(TL_CONTAINER(n, struct request, node));
    }
}

static void *run(void *ud)
{
    struct tl_lua_slots *s = ud;
    bool stop = false;
    while (!stop) {
        struct tl_msg *m = tl_inbox_take_one(&s->inbox, next_ns(s));
        stop = m == &s->stop.msg;
        if (m && !stop) {
            take(s, TL_CONTAINER(m, struct request, msg));
        }
        go_on(s, false);
    }
    drop_all(s);
    lua_close(s->L);
    pthread_mutex_lock(&s->mutex);
    s->ended = true;
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->mutex);
    slots_free(s);
    return NULL;
}

/* --- the supplier, any thread -------------------------------------------------------------------- */

static void on_reserve(void *ud, const tlua_slot_request *q, tlua_slot_wait *w)
{
    struct request *r = reservation(ud, RESERVE, q);
    r->wait = w;
    post(r);
}

static struct timespec after(int64_t ns)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t sum = (int64_t)t.tv_sec * TL_NS_PER_S + t.tv_nsec + ns;
    return (struct timespec){sum / TL_NS_PER_S, sum % TL_NS_PER_S};
}

static void *on_try_reserve(void *ud, const tlua_slot_request *q)
{
    struct kind *k = ud;
    struct tl_lua_slots *s = k->slots;
    if (atomic_load(&s->stuck)) {
        return NULL;
    }
    struct request *r = reservation(k, TRY, q);
    if (!tl_inbox_send_always(&s->inbox, &r->msg)) {
        request_free(r);
        return NULL;
    }
    struct timespec until = after(TRY_WAIT_NS);
    int rc = 0;
    pthread_mutex_lock(&s->mutex);
    while (!r->done && rc != ETIMEDOUT) {
        rc = pthread_cond_timedwait(&s->cond, &s->mutex, &until);
    }
    bool done = r->done;
    r->given_up = !done;
    atomic_store(&s->stuck, !done);
    void *permit = done && r->permit > 0 ? permit_of(r->permit) : NULL;
    pthread_mutex_unlock(&s->mutex);
    if (done) {
        request_free(r);
    }
    return permit;
}

static void on_used(void *ud, const tlua_slot_info *info, void *permit)
{
    post(usage(ud, USED, info, permit));
}

static void on_release(void *ud, const tlua_slot_info *info, void *permit)
{
    post(usage(ud, RELEASE, info, permit));
}

static void on_close(void *ud)
{
    struct kind *k = ud;
    pthread_mutex_lock(&k->slots->mutex);
    k->open = false;
    pthread_mutex_unlock(&k->slots->mutex);
}

const tlua_slot_supplier *tl_lua_slots_kind(struct tl_lua_slots *s, int kind)
{
    struct kind *k = &s->kinds[kind];
    k->open = true;
    return &k->supplier;
}

/* --- life ---------------------------------------------------------------------------------------- */

struct set_up {
    const char *config;
};

static int call_setup(lua_State *L)
{
    const struct set_up *u = lua_touserdata(L, 2);
    if (lua_getfield(L, 1, "setup") != LUA_TFUNCTION) {
        return u->config ? luaL_error(L, "there is a config, but no function 'setup' to take it")
                         : 0;
    }
    if (u->config) {
        lua_pushcfunction(L, tl_stock_lib_json_decode);
        lua_pushstring(L, u->config);
        lua_call(L, 1, 1);
    } else {
        lua_pushnil(L);
    }
    lua_call(L, 1, 0);
    return 0;
}

tl_rc tl_lua_slots_new(struct tl_lua_slots **out, const char *module, const char *config_json,
                       const char *path, const char *cpath, struct tl_error *err)
{
    static const char *const functions[] = {"reserve", "try_reserve", "mark_used", "release", NULL};
    struct set_up setup = {config_json};
    *out = NULL;
    lua_State *L = tl_hook_open("slot supplier", module, path, cpath, functions, err);
    if (!L) {
        return err->code;
    }
    lua_settop(L, MODULE);
    lua_pushcfunction(L, call_setup);
    lua_pushvalue(L, MODULE);
    lua_pushlightuserdata(L, &setup);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
        tl_hook_error(L, module, err);
        lua_close(L);
        return err->code;
    }
    struct tl_lua_slots *s = TL_NEW(struct tl_lua_slots);
    pthread_condattr_t attr;
    atomic_store(&s->holds, 2);
    s->module = tl_mem_dup(tl_str(module));
    s->L = L;
    s->stop.msg.kind = STOP;
    tl_inbox_init(&s->inbox, INBOX_MAX);
    tl_list_init(&s->waiting);
    pthread_mutex_init(&s->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->cond, &attr);
    pthread_condattr_destroy(&attr);
    for (int i = 1; i <= KINDS; i++) {
        struct kind *k = &s->kinds[i];
        *k = (struct kind){.slots = s, .kind = i};
        k->supplier = (tlua_slot_supplier){sizeof(tlua_slot_supplier),
                                           k,
                                           on_reserve,
                                           on_try_reserve,
                                           on_used,
                                           on_release,
                                           on_close};
    }
    if (pthread_create(&s->thread, NULL, run, s) != 0) {
        lua_close(L);
        atomic_store(&s->holds, 1);
        slots_free(s);
        return tl_error_set(err, TL_EUNAVAILABLE, "no thread for a slot supplier can be started");
    }
    *out = s;
    return TL_OK;
}

static void interrupt(lua_State *L, lua_Debug *d)
{
    (void)d; /* the hook stays: a pcall of the module must not catch it and go on */
    luaL_error(L, "the worker has gone");
}

void tl_lua_slots_release(struct tl_lua_slots *s)
{
    if (!s) {
        return;
    }
    struct timespec until = after(STOP_WAIT_S * TL_NS_PER_S);
    int rc = 0;
    pthread_mutex_lock(&s->mutex);
    s->stopping = true;
    for (int i = 1; i <= KINDS; i++) {
        s->kinds[i].open = false;
    }
    if (s->running) { /* as a signal handler may */
        lua_sethook(s->running, interrupt, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
    }
    pthread_mutex_unlock(&s->mutex);
    if (!tl_inbox_send_always(&s->inbox, &s->stop.msg)) {
        TL_LOG(TL_LOG_ERROR, "slot_supplier.not_stopped", TL_C("module", s->module));
    }
    pthread_mutex_lock(&s->mutex);
    while (!s->ended && rc != ETIMEDOUT) {
        rc = pthread_cond_timedwait(&s->cond, &s->mutex, &until);
    }
    bool ended = s->ended;
    pthread_mutex_unlock(&s->mutex);
    if (ended) {
        pthread_join(s->thread, NULL);
    } else {
        TL_LOG(TL_LOG_WARN, "slot_supplier.left_behind", TL_C("module", s->module),
               TL_C("reason", "a hook does not return"));
        pthread_detach(s->thread);
    }
    slots_free(s);
}
