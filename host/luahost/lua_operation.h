/* Handlers of Nexus operations written in Lua, beside the activities: those of modules run in the states of
 * the activity threads, those of the host script in its own state, on its own thread.
 *
 * A handler is a function without arguments that answers the request by functions of temporal.core
 * (core_operation.c); lua/temporal/internal/nexus_services.lua makes them of what users define.
 * Invariants: a request is answered exactly once, whatever the handler does.
 * Ownership: freed with the activities that they came with. */
#pragma once

#include <lua.h>

#include "base/error.h"
#include "luahost/host.h"
#include "worker/operation.h"

/* Where the state of an activity thread has its list of handlers. */
#define TL_LUA_OPERATIONS_INDEX 3

struct tl_lua_operations;

/* data_key: the registry key of the payload converters. Owns: the caller. */
struct tl_lua_operations *tl_lua_operations_new(struct tl_host *host, const void *data_key);
void tl_lua_operations_free(struct tl_lua_operations *ops); /* NULL is fine; on the host's thread */
/* Registers the handlers of the list of { service, operation, run } at `list`. `own`: L is the host script's
 * and keeps the functions; else every thread's state has a list of the same order. Errors: TL_EEXISTS. */
tl_rc tl_lua_operations_add(struct tl_lua_operations *ops, lua_State *L, int list, bool own,
                            struct tl_registry *registry, struct tl_error *err);
