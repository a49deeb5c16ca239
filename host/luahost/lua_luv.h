/* `require "luv"` in the state of coroutine activities: the library works on the activities' own loop.
 * Thread: the loop's. */
#pragma once

#include <lua.h>

#include "io/loop.h"

/* [-0, +0, m] Makes `require "luv"` find the luv of package.cpath and give it this loop. One that brings a libuv
 * of its own is refused with the reason, and so are its functions that run, stop or walk the loop. */
void tl_luv_share(lua_State *L, struct tl_loop *loop);
