/* One call of a Lua function with an activity's input. See lua_activity_int.h. Thread: the state's. */
#include <lauxlib.h>

#include "base/log.h"
#include "luahost/lua_activity_int.h"
#include "luart/convert.h"

void tl_lua_call_describe(lua_State *L, lua_State *from, int level)
{
    if (lua_type(L, -1) == LUA_TSTRING) {
        tl_stock_wrap_error(L, "ApplicationError");
        lua_pushliteral(L, "LuaError");
        lua_setfield(L, -2, "type");
        luaL_traceback(L, from, NULL, level);
        lua_setfield(L, -2, "stack_trace");
    }
}

/* [-1, +1, e] message handler */
static int add_traceback(lua_State *L)
{
    tl_lua_call_describe(L, L, 1);
    return 1;
}

/* [-0, +0, e] The results are above the call at 2. */
static int complete(lua_State *L, int status, lua_KContext context)
{
    struct tl_lua_call *f = lua_touserdata(L, 1);
    (void)status;
    (void)context;
    if (!tl_activity_ended(f->activity)) {
        tl_host_use_activity_data(L); /* the function may have used clients */
        TpCommon__Payloads *out =
            tl_stock_payloads_encode(L, 2, lua_gettop(L) - 1, f->activity->arena, "result");
        tl_activity_complete(f->activity, out);
    }
    return 0;
}

int tl_lua_call_body(lua_State *L)
{
    struct tl_lua_call *f = lua_touserdata(L, 2);
    lua_insert(L, 1); /* below the function */
    lua_settop(L, 2);
    tl_host_use_activity_data(L);
    int n = tl_stock_payloads_decode(L, f->activity->task->input);
    lua_callk(L, n, LUA_MULTRET, 0, complete);
    return complete(L, LUA_OK, 0);
}

/* [-1, +0, e] The error value is at 1, the frame at 2. */
static int describe_error(lua_State *L)
{
    struct tl_lua_call *f = lua_touserdata(L, 2);
    f->cancelled = tl_stock_error_has(L, 1, "CancelledError");
    tl_host_use_activity_data(L);
    f->failure = tl_stock_failure_encode(L, 1, f->activity->arena);
    return 0;
}

void tl_lua_call_failed(lua_State *L, struct tl_activity *a)
{
    struct tl_lua_call f = {a, NULL, false};
    lua_pushcfunction(L, describe_error);
    lua_insert(L, -2);
    lua_pushlightuserdata(L, &f);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
        lua_pop(L, 1);
    }
    if (tl_activity_ended(a)) { /* as complete_async has said: this error reaches nobody else */
        TL_LOG(TL_LOG_WARN, "activity.error_after_end",
               TL_C("activity_type", a->task->activity_type->name),
               TL_C("activity_id", a->task->activity_id),
               TL_C("error", f.failure ? f.failure->message : ""));
        return;
    }
    if (f.cancelled && tl_activity_cancel_reasons(a)) {
        tl_activity_end_canceled(a, NULL);
        return;
    }
    if (!f.failure) {
        f.failure = tl_activity_failure(
            a->arena, TL_STR_LIT("LuaError"),
            TL_STR_LIT("the activity raised an error that cannot be sent"), false);
    }
    tl_activity_fail(a, f.failure);
}

void tl_lua_activity_call(struct tl_host *h, struct tl_activity *a,
                          const struct tl_lua_activities *of)
{
    lua_State *L = h->L;
    int base = lua_gettop(L) - 1;
    struct tl_lua_call f = {a, NULL, false};
    struct tl_activity *outer = h->current;
    struct tl_operation *outer_operation = h->operation;
    int outer_shields = h->shields;
    h->current = a;
    h->operation = NULL;
    h->shields = 0;
    const void *outer_data = h->current_data;
    h->current_data = of;
    lua_pushcfunction(L, add_traceback);
    lua_insert(L, base + 1);
    lua_pushcfunction(L, tl_lua_call_body);
    lua_insert(L, base + 2);
    lua_pushlightuserdata(L, &f);
    if (lua_pcall(L, 2, 0, base + 1) != LUA_OK) {
        tl_lua_call_failed(L, a);
    }
    lua_settop(L, base);
    h->current = outer;
    h->operation = outer_operation;
    h->shields = outer_shields;
    h->current_data = outer_data;
}

void tl_lua_fail_plainly(struct tl_activity *a, const char *message)
{
    tl_activity_fail(
        a, tl_activity_failure(a->arena, TL_STR_LIT("WorkerError"), tl_str(message), false));
}
