/* temporal.core, part: the activity that runs on this state. Thread: the state's. */
#include <errno.h>
#include <lauxlib.h>
#include <time.h>

#include "base/log.h"
#include "luahost/core_arena.h"
#include "luahost/host.h"
#include "luahost/lua_loop.h"
#include "luart/convert.h"
#include "luart/measure.h"
#include "proto/pb.h"

static struct tl_activity *running(lua_State *L)
{
    struct tl_activity *a = tl_host_get(L)->current;
    if (!a) {
        luaL_error(L, "no activity is running here");
    }
    return a;
}

static void set_text(lua_State *L, const char *name, const char *text)
{
    lua_pushstring(L, text ? text : "");
    lua_setfield(L, -2, name);
}

/* What payload converters are told of the activity's values; nil outside of one. */
static void push_context(lua_State *L, const struct tl_activity *a)
{
    if (!a) {
        lua_pushnil(L);
        return;
    }
    const TpWs__PollActivityTaskQueueResponse *t = a->task;
    lua_createtable(L, 0, 8);
    set_text(L, "kind", "activity");
    lua_pushlstring(L, a->namespace_name.p, a->namespace_name.n);
    lua_setfield(L, -2, "namespace");
    if (t->workflow_execution && *t->workflow_execution->workflow_id) {
        set_text(L, "workflow_id", t->workflow_execution->workflow_id);
        set_text(L, "workflow_type", t->workflow_type ? t->workflow_type->name : "");
    }
    set_text(L, "activity_type", t->activity_type ? t->activity_type->name : "");
    set_text(L, "activity_id", t->activity_id);
    lua_pushlstring(L, a->task_queue.p, a->task_queue.n);
    lua_setfield(L, -2, "activity_task_queue");
    lua_pushboolean(L, a->is_local);
    lua_setfield(L, -2, "is_local");
}

void tl_host_use_activity_data(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, tl_host_get(L)->current_data);
    bool any = !lua_isnil(L, -1);
    tl_stock_converters_use(L);
    if (any) {
        push_context(L, tl_host_get(L)->current);
        tl_stock_converters_context(L);
    }
}

static void set_seconds(lua_State *L, const char *name, int64_t ns)
{
    if (ns >= 0) {
        lua_pushnumber(L, (lua_Number)ns / 1e9);
        lua_setfield(L, -2, name);
    }
}

static void set_texts(lua_State *L, const char *name, char *const *texts, size_t n)
{
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_pushstring(L, texts[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, name);
}

/* The retry policy that the server applies, under the names of the option. */
static void set_retry_policy(lua_State *L, const TpCommon__RetryPolicy *p)
{
    if (!p) {
        return;
    }
    lua_createtable(L, 0, 5);
    set_seconds(L, "initial_interval", tl_pb_duration_ns_or(p->initial_interval, -1));
    set_seconds(L, "maximum_interval", tl_pb_duration_ns_or(p->maximum_interval, -1));
    lua_pushnumber(L, p->backoff_coefficient);
    lua_setfield(L, -2, "backoff_coefficient");
    lua_pushinteger(L, p->maximum_attempts);
    lua_setfield(L, -2, "maximum_attempts");
    set_texts(L, "non_retryable_error_types", p->non_retryable_error_types,
              p->n_non_retryable_error_types);
    lua_setfield(L, -2, "retry_policy");
}

static void set_priority(lua_State *L, const TpCommon__Priority *p)
{
    if (!p) {
        return;
    }
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, p->priority_key);
    lua_setfield(L, -2, "priority_key");
    set_text(L, "fairness_key", p->fairness_key);
    lua_pushnumber(L, (lua_Number)p->fairness_weight);
    lua_setfield(L, -2, "fairness_weight");
    lua_setfield(L, -2, "priority");
}

static void set_headers(lua_State *L, const TpCommon__Header *header)
{
    size_t n = header ? header->n_fields : 0;
    lua_createtable(L, 0, (int)n);
    for (size_t i = 0; i < n; i++) {
        lua_pushstring(L, header->fields[i]->key);
        tl_stock_payload_decode(L, header->fields[i]->value);
        lua_rawset(L, -3);
    }
    lua_setfield(L, -2, "headers");
}

/* [-0, +1, m] core.activity_info(): a table, nil outside an activity */
static int info(lua_State *L)
{
    struct tl_activity *a = tl_host_get(L)->current;
    if (!a) {
        return 0;
    }
    const TpWs__PollActivityTaskQueueResponse *t = a->task;
    bool in_workflow = t->workflow_execution && *t->workflow_execution->workflow_id;
    lua_createtable(L, 0, 20);
    set_text(L, "activity_id", t->activity_id);
    set_text(L, "activity_type", t->activity_type ? t->activity_type->name : "");
    if (in_workflow) {
        set_text(L, "workflow_id", t->workflow_execution->workflow_id);
        set_text(L, "workflow_run_id", t->workflow_execution->run_id);
        set_text(L, "workflow_type", t->workflow_type ? t->workflow_type->name : "");
    } else {
        set_text(L, "activity_run_id", t->activity_run_id);
    }
    set_text(L, "workflow_namespace", t->workflow_namespace);
    lua_pushlstring(L, a->namespace_name.p, a->namespace_name.n);
    lua_setfield(L, -2, "namespace");
    lua_pushlstring(L, a->task_queue.p, a->task_queue.n);
    lua_setfield(L, -2, "task_queue");
    lua_pushlstring(L, (const char *)t->task_token.data, t->task_token.len);
    lua_setfield(L, -2, "task_token");
    lua_pushinteger(L, t->attempt);
    lua_setfield(L, -2, "attempt");
    lua_pushboolean(L, a->is_local);
    lua_setfield(L, -2, "is_local");
    set_seconds(L, "scheduled_time", tl_pb_timestamp_ns_or(t->scheduled_time, -1));
    set_seconds(L, "current_attempt_scheduled_time",
                tl_pb_timestamp_ns_or(t->current_attempt_scheduled_time, -1));
    set_seconds(L, "started_time", tl_pb_timestamp_ns_or(t->started_time, -1));
    set_seconds(L, "schedule_to_close_timeout",
                tl_pb_duration_ns_or(t->schedule_to_close_timeout, -1));
    set_seconds(L, "start_to_close_timeout", tl_pb_duration_ns_or(t->start_to_close_timeout, -1));
    set_seconds(L, "heartbeat_timeout", tl_pb_duration_ns_or(t->heartbeat_timeout, -1));
    lua_pushboolean(L, in_workflow);
    lua_setfield(L, -2, "in_workflow");
    set_retry_policy(L, t->retry_policy);
    set_priority(L, t->priority);
    set_headers(L, t->header);
    return 1;
}

/* [-0, +1, v] core.activity_heartbeat(...): the cancel reasons, 0 to go on */
static int heartbeat(lua_State *L)
{
    struct tl_activity *a = running(L);
    struct tl_error err;
    int n = lua_gettop(L);
    struct tl_arena *arena = tl_core_push_arena(L);
    tl_host_use_activity_data(L);
    TpCommon__Payloads *details = tl_stock_payloads_encode(L, 1, n, arena, "detail");
    tl_rc rc = tl_activity_heartbeat(a, details, &err);
    if (rc != TL_OK && rc != TL_ECANCELLED) {
        return luaL_error(L, "%s", err.message);
    }
    lua_pushinteger(L, (lua_Integer)tl_activity_cancel_reasons(a));
    return 1;
}

/* [-0, +n, v] core.activity_heartbeat_details() */
static int heartbeat_details(lua_State *L)
{
    struct tl_activity *a = running(L);
    tl_host_use_activity_data(L);
    return tl_stock_payloads_decode(L, a->task->heartbeat_details);
}

/* [-0, +1, v] core.activity_cancel_reasons() */
static int cancel_reasons(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)tl_activity_cancel_reasons(running(L)));
    return 1;
}

/* [-0, +0, v] The end of a wait: argument 1 is a span in ns, or nil for ever. */
static int64_t deadline_of(lua_State *L)
{
    int64_t now = tl_world_mono_ns(tl_world_real());
    int64_t span = luaL_optinteger(L, 1, INT64_MAX);
    return span < INT64_MAX - now ? now + span : INT64_MAX;
}

/* What one of the waits below waits for: whether it has come, and then pushes its result. */
typedef bool (*come_fn)(lua_State *L, struct tl_activity *a, bool over);

static bool cancellation_came(lua_State *L, struct tl_activity *a, bool over)
{
    unsigned reasons = tl_activity_cancel_reasons(a);
    if (reasons || over) {
        lua_pushinteger(L, (lua_Integer)reasons);
        return true;
    }
    return false;
}

static bool shutdown_came(lua_State *L, struct tl_activity *a, bool over)
{
    bool begun = tl_activity_worker_shutting_down(a);
    if (begun || over) {
        lua_pushboolean(L, begun);
        return true;
    }
    return false;
}

static bool end_came(lua_State *L, struct tl_activity *a, bool over)
{
    (void)a;
    if (over) {
        lua_pushnil(L);
    }
    return over;
}

/* A wait of a coroutine activity: looks, and lets the others run as long as it has not come. ctx: the deadline. */
static int wait_on(lua_State *L, lua_KContext ctx, come_fn come, lua_KFunction again)
{
    bool over = ctx != INT64_MAX && tl_world_mono_ns(tl_world_real()) >= ctx;
    if (come(L, running(L), over)) {
        return 1;
    }
    return tl_lua_task_wait(L, tl_lua_task_of(L), ctx, ctx, again);
}

static int wait_cancelled_on(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    return wait_on(L, ctx, cancellation_came, wait_cancelled_on);
}

/* [-0, +1, v] core.activity_wait_cancelled(ns or nil): the cancel reasons */
static int wait_cancelled(lua_State *L)
{
    struct tl_activity *a = running(L);
    if (tl_lua_task_of(L)) {
        return wait_cancelled_on(L, LUA_OK, deadline_of(L));
    }
    lua_pushinteger(L, (lua_Integer)tl_activity_wait_cancelled(a, deadline_of(L)));
    return 1;
}

static int wait_shutdown_on(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    return wait_on(L, ctx, shutdown_came, wait_shutdown_on);
}

/* [-0, +1, v] core.activity_wait_shutdown(ns or nil): whether the worker is shutting down */
static int wait_shutdown(lua_State *L)
{
    struct tl_activity *a = running(L);
    if (tl_lua_task_of(L)) {
        return wait_shutdown_on(L, LUA_OK, deadline_of(L));
    }
    lua_pushboolean(L, tl_activity_wait_shutdown(a, deadline_of(L)));
    return 1;
}

static int sleep_on(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    return wait_on(L, ctx, end_came, sleep_on);
}

/* [-0, +1, v] core.activity_sleep(ns): to its end, whatever happens */
static int sleep_through(lua_State *L)
{
    int64_t ns = luaL_checkinteger(L, 1);
    struct timespec left = {ns / TL_NS_PER_S, ns % TL_NS_PER_S};
    if (tl_lua_task_of(L)) {
        return sleep_on(L, LUA_OK, deadline_of(L));
    }
    while (ns > 0 && nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
    return 0;
}

/* [-0, +1, v] core.activity_shield(change): adds it to the number of open shields, which it returns */
static int shield(lua_State *L)
{
    struct tl_host *h = tl_host_get(L);
    running(L);
    h->shields += (int)luaL_checkinteger(L, 1);
    lua_pushinteger(L, h->shields);
    return 1;
}

/* [-0, +4, v] core.activity_client(): a connection as the worker has it, its namespace, its identity, its
 * payload converters as core.data gives them */
static int client(lua_State *L)
{
    tl_host_push_client(L, tl_activity_client(running(L)));
    return 4;
}

/* [-0, +0, v] core.activity_complete_async() */
static int complete_async(lua_State *L)
{
    tl_activity_complete_async(running(L));
    return 0;
}

/* [-0, +1, v] core.cancel_text(reasons) */
static int cancel_text(lua_State *L)
{
    lua_Integer r = luaL_checkinteger(L, 1);
    const char *text = (r & TL_CANCEL_WORKER_SHUTDOWN) ? "the worker is shutting down"
                       : (r & TL_CANCEL_NOT_FOUND) ? "the server does not know the task any more"
                       : (r & TL_CANCEL_TIMED_OUT) ? "the activity has timed out"
                       : (r & TL_CANCEL_PAUSED)    ? "the activity was paused"
                       : (r & TL_CANCEL_RESET)     ? "the activity was reset"
                                                   : "the activity was cancelled";
    lua_pushstring(L, text);
    return 1;
}

/* The fields of the table at 3, in order of their names; what is no text, number or boolean becomes JSON.
 * The texts are on the stack. */
static void read_log_fields(lua_State *L, struct tl_log_field *out)
{
    size_t n = 0;
    luaL_checkstack(L, 4 * TL_HOST_LOG_FIELDS_MAX, "too many fields");
    for (lua_pushnil(L); lua_istable(L, 3) && lua_next(L, 3);) {
        int type = lua_type(L, -1);
        lua_Number number = lua_tonumber(L, -1);
        bool raw = type == LUA_TBOOLEAN || (type == LUA_TNUMBER && number - number == 0);
        if (n == TL_HOST_LOG_FIELDS_MAX) {
            luaL_error(L, "log: at most %d fields", TL_HOST_LOG_FIELDS_MAX);
        }
        if (type != LUA_TBOOLEAN && type != LUA_TNUMBER && type != LUA_TSTRING) {
            lua_pushcfunction(L, tl_stock_lib_json_encode);
            lua_insert(L, -2);
            lua_call(L, 1, 1);
        }
        struct tl_str text;
        text.p = luaL_tolstring(L, -1, &text.n);
        lua_replace(L, -2);
        lua_pushvalue(L, -2);
        const char *key = luaL_tolstring(L, -1, NULL);
        lua_remove(L, -2);
        size_t at = n++;
        for (; at > 0 && strcmp(out[at - 1].key, key) > 0; at--) {
            out[at] = out[at - 1];
        }
        out[at] = (struct tl_log_field){raw ? TL_F_RAW : TL_F_STR, key, text, 0};
        lua_pushvalue(L, -3); /* the key that lua_next goes on from; the texts stay below */
    }
    out[n] = (struct tl_log_field){.kind = TL_F_END};
}

enum tl_log_level tl_host_read_log_line(lua_State *L, struct tl_str *message,
                                        struct tl_log_field own[TL_HOST_LOG_FIELDS_MAX + 1])
{
    enum tl_log_level level;
    const char *name = luaL_checkstring(L, 1);
    if (!tl_log_level_parse(tl_str(name), &level) || level == TL_LOG_NEVER) {
        luaL_error(L, "'%s' is not a log level: trace, debug, info, warn, error", name);
    }
    message->p = luaL_checklstring(L, 2, &message->n);
    lua_settop(L, 3);
    read_log_fields(L, own);
    return level;
}

/* [-0, +0, v] core.activity_log(level, message, fields): fields is ignored when it is no table */
static int log_line(lua_State *L)
{
    struct tl_activity *a = running(L);
    struct tl_log_field own[TL_HOST_LOG_FIELDS_MAX + 1];
    const TpWs__PollActivityTaskQueueResponse *t = a->task;
    struct tl_str message;
    enum tl_log_level level = tl_host_read_log_line(L, &message, own);
    if (tl_log_script_on(level)) {
        const TpCommon__WorkflowExecution *e = t->workflow_execution;
        const struct tl_log_field fields[] = {
            TL_S("message", message),
            TL_C("activity_type", t->activity_type->name),
            TL_C("activity_id", t->activity_id),
            TL_C("workflow_type", t->workflow_type ? t->workflow_type->name : ""),
            TL_C("workflow_id", e ? e->workflow_id : ""),
            TL_C("run_id", e ? e->run_id : t->activity_run_id),
            TL_S("namespace", a->namespace_name),
            TL_S("task_queue", a->task_queue),
            TL_I("attempt", t->attempt),
            {.kind = TL_F_END},
        };
        tl_log_write_script(level, "activity.logged", fields, own);
    }
    return 0;
}

/* [-0, +1, v] core.activity_meter(): with the attributes namespace, task_queue, activity_type */
static int meter(lua_State *L)
{
    struct tl_activity *a = running(L);
    lua_createtable(L, 0, 3);
    lua_pushlstring(L, a->namespace_name.p, a->namespace_name.n);
    lua_setfield(L, -2, "namespace");
    lua_pushlstring(L, a->task_queue.p, a->task_queue.n);
    lua_setfield(L, -2, "task_queue");
    set_text(L, "activity_type", a->task->activity_type->name);
    tl_stock_push_meter(L, tl_client_metrics(tl_activity_client(a)));
    return 1;
}

/* [-0, +1, v] core.activity_to_payload(value): { metadata =, data = }, as a result of this activity would travel */
static int to_payload(lua_State *L)
{
    luaL_checkany(L, 1);
    tl_host_use_activity_data(L);
    struct tl_arena *arena = tl_core_push_arena(L);
    tl_stock_push_payload(L, tl_stock_payload_encode(L, 1, arena, "value"));
    return 1;
}

/* [-0, +1, v] core.activity_from_payload({ metadata =, data = }): the value */
static int from_payload(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_getfield(L, 1, "data");
    lua_getfield(L, 1, "metadata");
    if (lua_type(L, -2) != LUA_TSTRING || !lua_istable(L, -1)) {
        return luaL_error(L,
                          "from_payload: a payload is a table with the text 'data' and the table "
                          "'metadata'");
    }
    tl_host_use_activity_data(L);
    struct tl_arena *arena = tl_core_push_arena(L);
    tl_stock_payload_decode(L, tl_stock_read_payload(L, 1, arena));
    return 1;
}

static const luaL_Reg functions[] = {
    {"activity_info", info},
    {"activity_heartbeat", heartbeat},
    {"activity_heartbeat_details", heartbeat_details},
    {"activity_cancel_reasons", cancel_reasons},
    {"activity_wait_cancelled", wait_cancelled},
    {"activity_wait_shutdown", wait_shutdown},
    {"activity_sleep", sleep_through},
    {"activity_shield", shield},
    {"activity_to_payload", to_payload},
    {"activity_from_payload", from_payload},
    {"activity_client", client},
    {"activity_complete_async", complete_async},
    {"activity_log", log_line},
    {"activity_meter", meter},
    {"cancel_text", cancel_text},
    {NULL, NULL},
};

void tl_core_activity(lua_State *L)
{
    luaL_setfuncs(L, functions, 0);
}
