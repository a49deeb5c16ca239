/* Modules of the user that C calls on threads of its own: each in a stock state that nothing else uses.
 * Private to luahost. Thread: the one that calls. */
#pragma once

#include <lua.h>

#include "base/error.h"

/* A new state with the module loaded, its only value on the stack: a table with these functions (a
 * NULL-terminated list). `what` is what the module is, for messages: "codec". path and cpath as
 * package.path and package.cpath. NULL: TL_ESCRIPT or TL_ELIMIT in err. Owns: the caller, lua_close. */
lua_State *tl_hook_open(const char *what, const char *module, const char *path, const char *cpath,
                        const char *const *functions, struct tl_error *err);
/* After a lua_pcall of the module's function failed: "module: message"; leaves the module alone on the
 * stack. Returns TL_ESCRIPT. */
tl_rc tl_hook_error(lua_State *L, const char *module, struct tl_error *err);
