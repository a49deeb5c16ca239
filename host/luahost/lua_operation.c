/* See lua_operation.h. Threads: new, add and free on the host script's; run_module on activity threads;
 * run_own posts to the host script's thread and waits for it. */
#include "luahost/lua_operation.h"

#include <lauxlib.h>

#include "base/mem.h"
#include "proto/nexus.h"
#include "tl_enums.h"

struct handler {
    struct tl_lua_operations *owner;
    lua_Integer place; /* in the list of a thread's state; of the host script: a reference */
};

struct tl_lua_operations {
    struct tl_host *host;
    const void *data_key;
    struct handler **own, **others; /* of the host script, of modules */
    size_t own_count, other_count;
};

/* --- calling ---------------------------------------------------------------------------------- */

static void refuse_plainly(struct tl_operation *o, const char *message)
{
    TpFailure__Failure *f =
        tl_nexus_handler_failure(o->arena, TL_STR_LIT("INTERNAL"), tl_str(message),
                                 NEXUS_HANDLER_ERROR_RETRY_BEHAVIOR_UNSPECIFIED, NULL);
    if (f) { /* without memory the worker says so itself */
        tl_operation_refuse(o, f);
    }
}

/* Calls the handler on top of the stack (which is popped). What it raises is not the user's code's any
 * more: that was caught, described and told. */
static void call(struct tl_host *h, const struct tl_lua_operations *ops, struct tl_operation *o)
{
    lua_State *L = h->L;
    int base = lua_gettop(L) - 1;
    struct tl_activity *activity = h->current;
    struct tl_operation *operation = h->operation;
    const void *data = h->current_data;
    h->current = NULL;
    h->operation = o;
    h->current_data = ops->data_key;
    bool ok = lua_pcall(L, 0, 0, 0) == LUA_OK;
    if (!tl_operation_ended(o)) {
        bool text = !ok && lua_type(L, -1) == LUA_TSTRING;
        refuse_plainly(o, text ? lua_tostring(L, -1) : "the handler's answer cannot be sent");
    }
    lua_settop(L, base);
    h->current = activity;
    h->operation = operation;
    h->current_data = data;
}

static void run_module(void *thread_state, void *ud, struct tl_operation *o)
{
    struct handler *handler = ud;
    lua_State *L = thread_state;
    if (!L) {
        refuse_plainly(o, "the service's module is not loaded in this thread");
        return;
    }
    lua_rawgeti(L, TL_LUA_OPERATIONS_INDEX, handler->place);
    lua_getfield(L, -1, "run");
    lua_remove(L, -2);
    call(tl_host_get(L), handler->owner, o);
}

struct own_call {
    struct handler *handler;
    struct tl_operation *operation;
};

static void serve_own(struct tl_host *h, void *ud)
{
    struct own_call *c = ud;
    lua_rawgeti(h->L, LUA_REGISTRYINDEX, c->handler->place);
    call(h, c->handler->owner, c->operation);
}

static void run_own(void *thread_state, void *ud, struct tl_operation *o)
{
    (void)thread_state;
    struct own_call c = {ud, o};
    if (!tl_host_run(c.handler->owner->host, serve_own, &c)) {
        refuse_plainly(o, "the script that gave this service has ended");
    }
}

/* --- making ----------------------------------------------------------------------------------- */

struct tl_lua_operations *tl_lua_operations_new(struct tl_host *host, const void *data_key)
{
    struct tl_lua_operations *ops = TL_NEW(struct tl_lua_operations);
    ops->host = host;
    ops->data_key = data_key;
    return ops;
}

static struct handler *keep(struct tl_lua_operations *ops, struct handler ***list, size_t *n,
                            lua_Integer place)
{
    struct handler *h = TL_NEW(struct handler);
    *h = (struct handler){ops, place};
    *list = tl_mem_realloc(*list, (*n + 1) * sizeof **list);
    (*list)[(*n)++] = h;
    return h;
}

/* The entry is on top. */
static tl_rc add(struct tl_lua_operations *ops, lua_State *L, lua_Integer index, bool own,
                 struct tl_registry *registry, struct tl_error *err)
{
    struct tl_operation_impl impl;
    lua_getfield(L, -1, "service");
    lua_getfield(L, -2, "operation");
    if (own) {
        lua_getfield(L, -3, "run");
        int ref = luaL_ref(L, LUA_REGISTRYINDEX);
        impl = (struct tl_operation_impl){run_own, keep(ops, &ops->own, &ops->own_count, ref)};
    } else {
        impl = (struct tl_operation_impl){run_module,
                                          keep(ops, &ops->others, &ops->other_count, index)};
    }
    tl_rc rc = tl_registry_add_operation(registry, tl_str(lua_tostring(L, -2)),
                                         tl_str(lua_tostring(L, -1)), &impl, err);
    lua_pop(L, 2);
    return rc;
}

tl_rc tl_lua_operations_add(struct tl_lua_operations *ops, lua_State *L, int list, bool own,
                            struct tl_registry *registry, struct tl_error *err)
{
    tl_rc rc = TL_OK;
    lua_Integer n = (lua_Integer)lua_rawlen(L, list);
    for (lua_Integer i = 1; i <= n && rc == TL_OK; i++) {
        lua_rawgeti(L, list, i);
        rc = add(ops, L, i, own, registry, err);
        lua_pop(L, 1);
    }
    return rc;
}

void tl_lua_operations_free(struct tl_lua_operations *ops)
{
    if (!ops) {
        return;
    }
    for (size_t i = 0; i < ops->own_count; i++) {
        luaL_unref(ops->host->L, LUA_REGISTRYINDEX, (int)ops->own[i]->place);
        tl_mem_free(ops->own[i]);
    }
    for (size_t i = 0; i < ops->other_count; i++) {
        tl_mem_free(ops->others[i]);
    }
    tl_mem_free(ops->own);
    tl_mem_free(ops->others);
    tl_mem_free(ops);
}
