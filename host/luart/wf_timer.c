/* workflow.sleep, start_timer, wait_condition. See sandbox.def.
 * Thread: the run's. Owner: commands are the activation arena's. */
#include "luart/intercept.h"
#include "luart/options.h"
#include "luart/wf.h"
#include "proto/pb.h"

struct timer_options {
    TpCommon__Payload *summary;
    struct tl_event_groups groups;
};

static const struct tl_opt timer_opts[] = {
    TL_OPT("summary", TL_OPT_PAYLOAD, 0, struct timer_options, summary),
    TL_OPT("event_groups", TL_OPT_GROUPS, 0, struct timer_options, groups),
};

struct tl_future *tl_wf_start_timer(lua_State *L, int64_t ns, TpCommon__Payload *summary,
                                    const struct tl_event_groups *groups)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    TpCommand__StartTimerCommandAttributes *attrs =
        tl_cmd_need(L, TL_PB_NEW(arena, TpCommand__StartTimerCommandAttributes,
                                 tp_command__start_timer_command_attributes));
    attrs->start_to_fire_timeout = tl_cmd_need(L, tl_pb_duration_ns(arena, ns));
    TpSdk__UserMetadata *metadata = tl_wf_metadata(L, summary, NULL);
    struct tl_future *future = tl_future_new(L, tl_run_of(L), TL_FUTURE_TIMER);
    struct tl_cmd *cmd = tl_cmd_new(L, TL_CMD_START_TIMER);
    cmd->seq = future->seq;
    cmd->attrs = &attrs->base;
    cmd->metadata = metadata;
    tl_event_groups_add(L, cmd, groups);
    tl_event_groups_keep(L, cmd);
    return future;
}

static int slept(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    if (tl_await_end(L) == TL_WAKE_CANCEL) {
        return tl_await_raise_cancelled(L);
    }
    return 0;
}

/* Starts the timer of the duration at index 1 with the options at index 2; pushes its future. */
static void start(lua_State *L, const char *what)
{
    struct timer_options options = {0};
    int64_t ns = tl_options_duration(L, 1, what);
    TL_OPTIONS_READ(L, 2, what, timer_opts, (void *[]){&options}, tl_cmd_arena(L));
    tl_wf_start_timer(L, ns, options.summary, &options.groups);
}

/* The end of a chain. */
static int start_last(lua_State *L)
{
    tl_intercept_open_outbound(L, "call");
    tl_command_check(L, "start_timer");
    lua_getfield(L, 2, "duration");
    lua_replace(L, 1);
    lua_pushnil(L);
    lua_setfield(L, 2, "duration");
    luaL_argexpected(L, !lua_isnil(L, 1), 1, "input with a duration");
    start(L, "start_timer");
    return 1;
}

struct tl_future *tl_wf_start_timeout(lua_State *L, const char *call, int64_t ns,
                                      TpCommon__Payload *summary,
                                      const struct tl_event_groups *groups, int groups_of)
{
    int top = lua_gettop(L), own = top + 1;
    if (!tl_intercept_has(L, TL_HOOK_START_TIMER) ||
        !tl_run_uses_flag(tl_run_of(L), TL_LANG_FLAG_TIMEOUT_HOOKS)) {
        return tl_wf_start_timer(L, ns, summary, groups);
    }
    luaL_checkstack(L, 8, "a timeout");
    lua_newtable(L);
    if (summary) {
        tl_vm_payload_decode(L, summary);
        lua_setfield(L, own, "summary");
    }
    if (groups_of) {
        lua_getfield(L, groups_of, "event_groups");
        lua_setfield(L, own, "event_groups");
    }
    tl_intercept_push_outbound(L, "call", tl_str(call), 0, own, own + 1);
    lua_pushnumber(L, (lua_Number)ns / 1e9);
    lua_setfield(L, -2, "duration");
    lua_pushnil(L);
    lua_setfield(L, -2, "headers");
    lua_pushcfunction(L, start_last);
    tl_intercept_chain(L, TL_HOOK_START_TIMER);
    lua_insert(L, -2);
    lua_call(L, 1, 1); /* so that nothing waits in between */
    struct tl_future *timer = tl_future_test(L, -1);
    if (!timer || timer->kind != TL_FUTURE_TIMER) {
        luaL_error(L,
                   "a hook of an interceptor must return what next(input) returned: a handle that "
                   "can be waited for");
    }
    lua_replace(L, own);
    lua_settop(L, own);
    return timer;
}

/* The duration is at index 1, the options are at 2 (the top): starts the timer, through the
 * interceptors, and gives its future or waits for it. */
static int call(lua_State *L, const char *name, const char *what, bool await)
{
    if (!tl_intercept_has(L, TL_HOOK_START_TIMER)) {
        start(L, what);
        return await ? tl_wf_await_top(L) : 1;
    }
    tl_intercept_push_outbound(L, "call", tl_str(name), 0, 2, 3);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "duration");
    lua_pushnil(L);
    lua_setfield(L, -2, "headers"); /* a timer has none */
    lua_pushcfunction(L, start_last);
    return tl_intercept_call(L, TL_HOOK_START_TIMER, TL_INTERCEPT_CTX(2, await),
                             tl_intercept_future);
}

int tl_lib_wf_sleep(lua_State *L)
{
    struct timer_options options = {0};
    tl_await_check(L, "workflow.sleep");
    luaL_checkany(L, 1);
    lua_settop(L, 2);
    if (tl_options_duration(L, 1, "workflow.sleep") ==
        0) { /* no timer: the others get their turn */
        TL_OPTIONS_READ(L, 2, "workflow.sleep", timer_opts, (void *[]){&options}, tl_cmd_arena(L));
        tl_await_turn(L);
        return tl_await_yield(L, 0, slept);
    }
    return call(L, "sleep", "workflow.sleep", true);
}

int tl_lib_wf_start_timer(lua_State *L)
{
    tl_command_check(L, "workflow.start_timer");
    luaL_checkany(L, 1);
    tl_options_duration(L, 1, "workflow.start_timer");
    lua_settop(L, 2);
    return call(L, "start_timer", "workflow.start_timer", false);
}

/* --- wait_condition --------------------------------------------------------------------------- */

struct condition_options {
    int64_t timeout;
    TpCommon__Payload *summary;
    struct tl_event_groups groups;
};

static const struct tl_opt condition_opts[] = {
    TL_OPT("timeout", TL_OPT_NS, 0, struct condition_options, timeout),
    TL_OPT("timeout_summary", TL_OPT_PAYLOAD, 0, struct condition_options, summary),
    TL_OPT("event_groups", TL_OPT_GROUPS, 0, struct condition_options, groups),
};

/* Calls the predicate at index 1; raises its error. */
static bool holds(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    const char *before = run->read_only;
    run->read_only = "a predicate of wait_condition";
    lua_pushvalue(L, 1);
    int status = lua_pcall(L, 0, 1, 0);
    run->read_only = before;
    if (status != LUA_OK) {
        lua_error(L);
    }
    bool yes = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return yes;
}

/* The timer is at index 2, or nil. */
static int condition_woken(lua_State *L, int status, lua_KContext ctx)
{
    struct tl_lua_run *run = tl_run_of(L);
    enum tl_wake reason = tl_await_end(L);
    struct tl_future *timer = tl_future_test(L, 2);
    (void)status;
    (void)ctx;
    if (timer && timer->state == TL_FUTURE_PENDING) {
        tl_future_cancel(L, run, timer);
    }
    switch (reason) {
    case TL_WAKE_CANCEL:
        return tl_await_raise_cancelled(L);
    case TL_WAKE_ERROR:
        tl_fiber_push(L, run, run->current);
        lua_getiuservalue(L, -1, 1);
        return lua_error(L);
    case TL_WAKE_FUTURE: /* time is up; what ran since may have made it true */
        lua_pushboolean(L, holds(L));
        return 1;
    default:
        lua_pushboolean(L, 1);
        return 1;
    }
}

int tl_lib_wf_wait_condition(lua_State *L)
{
    struct condition_options options = {.timeout = -1};
    luaL_checktype(L, 1, LUA_TFUNCTION);
    tl_await_check(L, "workflow.wait_condition");
    lua_settop(L, 2);
    TL_OPTIONS_READ(L, 2, "workflow.wait_condition", condition_opts, (void *[]){&options},
                    tl_cmd_arena(L));
    if (holds(L)) {
        lua_pushboolean(L, 1);
        return 1;
    }
    if (options.timeout == 0) {
        lua_pushboolean(L, 0);
        return 1;
    }
    struct tl_future *timer = NULL;
    if (options.timeout > 0) {
        timer = tl_wf_start_timeout(L, "wait_condition", options.timeout, options.summary,
                                    &options.groups, 2);
    } else {
        lua_pushnil(L);
    }
    lua_replace(L, 2); /* in place of the options */
    tl_await_room(L, 1);
    if (timer) {
        tl_await_add(L, timer);
    }
    tl_await_condition(L, 1, NULL, NULL);
    return tl_await_yield(L, 0, condition_woken);
}
