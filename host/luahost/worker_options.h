/* Options of workers as Lua gives them: checked tables of lua/temporal/worker.lua. Thread: the state's. */
#pragma once

#include <lua.h>

#include "luahost/slot_lua.h"
#include "worker/worker.h"

/* [-0, +0, v] The table at index; its texts stay borrowed. What it does not have keeps its default. */
void tl_host_read_worker_options(lua_State *L, int index, struct tl_worker_options *o);
/* [-0, +0, v] Opens the suppliers that are modules in option tuner of the table at index, and puts their kinds
 * into t. Owns: what is in slots is the caller's, also after an error. Errors: those of tl_lua_slots_new. */
tl_rc tl_host_open_suppliers(lua_State *L, int index, struct tl_lua_slots *slots[TLUA_SLOT_NEXUS],
                             struct tl_tuner_options *t, struct tl_error *err) TL_MUST_USE;
