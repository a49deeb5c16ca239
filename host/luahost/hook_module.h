/* Modules of the user that C calls on threads of its own: each in a stock state that nothing else uses.
 * Private to luahost. Thread: the one that calls. */
#pragma once

#include <lua.h>

#include "base/error.h"
#include "proto/payload_context.h"

/* A new state with the module loaded, its only value on the stack: a table with these functions (a
 * NULL-terminated list). `what` is what the module is, for messages: "codec". path and cpath as
 * package.path and package.cpath. NULL: TL_ESCRIPT or TL_ELIMIT in err. Owns: the caller, lua_close. */
lua_State *tl_hook_open(const char *what, const char *module, const char *path, const char *cpath,
                        const char *const *functions, struct tl_error *err);
/* Whether the module's function takes that many arguments; one written in C may. */
bool tl_hook_takes(lua_State *L, const char *function, int arguments);
/* [-0, +1, m] Whose payload it is, as payload converters are told: a table, nil for NULL. `whole`: also what only
 * some messages tell: run_id and workflow_type of a workflow, run_id of an activity without one. */
void tl_hook_push_context(lua_State *L, const struct tl_payload_context *context, bool whole);
/* After a lua_pcall of the module's function failed: "module: message"; leaves the module alone on the
 * stack. Returns TL_ESCRIPT. */
tl_rc tl_hook_error(lua_State *L, const char *module, struct tl_error *err);
