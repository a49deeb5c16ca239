/* The host's functions that interceptors give to workflows (extern_functions): a pool of stock Lua states
 * with the interceptors' modules loaded.
 *
 * Invariants: a state serves one call at a time; values are copied both ways; a call that raises leaves its
 * state usable.
 * Ownership: the pool belongs to a build or a replayer and outlives its bundle's runs. Thread: calls on any
 * thread that runs workflows, which the call holds up. */
#pragma once

#include <lua.h>

#include "base/error.h"
#include "luart/bundle.h"

struct tl_lua_externs;

/* [-0, +0, v] Loads the interceptors of the plan at index. *out stays NULL when they give no functions.
 * Errors: TL_ESCRIPT, TL_EMEMORY. Owns: *out, tl_lua_externs_free. */
tl_rc tl_lua_externs_new(lua_State *L, int plan, struct tl_lua_externs **out, struct tl_error *err);
void tl_lua_externs_free(struct tl_lua_externs *e); /* NULL is fine */
/* What tl_bundle_set_extern takes. e may be NULL. */
struct tl_bundle_extern tl_lua_externs_view(struct tl_lua_externs *e);
