/* Arenas that a raise cannot leak. Thread: that of the lua_State. */
#pragma once

#include <lua.h>

#include "base/arena.h"

/* [-0, +1, m] Pushes an arena (limited) that is freed when the C function that called this returns
 * or raises. What is returned to Lua must have been copied out of it. */
struct tl_arena *tl_core_push_arena(lua_State *L);
