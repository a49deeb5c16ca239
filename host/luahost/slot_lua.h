/* Slot suppliers written in Lua: a module in a stock state of its own, on a thread of its own. One supplier
 * may serve several kinds of slots; its hooks are called one at a time, and `reserve` in a coroutine that may
 * wait.
 * Errors of a hook are logged: a reservation is made again a second later, a try finds no slot, and what
 * mark_used and release raise changes nothing. A hook that does not come back is interrupted when its worker
 * has gone, and left behind with its thread when it is in C.
 * Thread: any, for the suppliers' functions; new and kind belong to one owner. */
#pragma once

#include "base/error.h"
#include "include/temporal_lua.h"

struct tl_lua_slots;

/* Loads the module; config_json (NULL: none) goes to its function `setup` if it has one. path and cpath as
 * package.path and package.cpath. Errors: TL_ESCRIPT, TL_ELIMIT, TL_EUNAVAILABLE (no thread).
 * Owns: *out, by tl_lua_slots_release. */
tl_rc tl_lua_slots_new(struct tl_lua_slots **out, const char *module, const char *config_json,
                       const char *path, const char *cpath, struct tl_error *err);
/* The supplier for one kind (enum tlua_slot_kind), once for each. Its `close` ends that kind. */
const tlua_slot_supplier *tl_lua_slots_kind(struct tl_lua_slots *s, int kind);
/* Ends what was not closed; waits a second at most for a hook that does not come back. NULL is fine. */
void tl_lua_slots_release(struct tl_lua_slots *s);
