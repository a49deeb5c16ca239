/* The border between channels and workflow.select. Thread: the run's. */
#pragma once

#include "luart/sync.h"

/* Whether the value at index is a channel. */
bool tl_channel_is(lua_State *L, int index);
/* Receives without waiting: pushes value and ok (false: closed). False: it would wait, no push. */
bool tl_channel_take(lua_State *L, int index);
/* Sends the value on top (popped) without waiting. False: it would wait, nothing is popped. Raises
 * when the channel is closed. */
bool tl_channel_give(lua_State *L, int index);
/* Lets the waiter on top (popped) receive from the channel at index; it is resolved with `tag`, the
 * value and ok. */
void tl_channel_await_take(lua_State *L, int index, lua_Integer tag);
/* Lets the waiter below the value on top (both popped) send it; it is resolved with `tag` and
 * whether the value was taken (false: the channel was closed). */
void tl_channel_await_give(lua_State *L, int index, lua_Integer tag);
