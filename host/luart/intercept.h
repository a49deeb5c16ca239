/* Interceptors inside the sandbox: modules of the bundle whose hooks stand around what comes to a
 * workflow and what it asks for. A hook is called as hook(input, next); next(input) calls the next
 * one, the last one does the thing itself. See hooks.def and docs/interceptors.md.
 *
 * Invariants: every run has its own instance of the modules, loaded before the workflow's; a run
 * without interceptors takes no other path than before and holds nothing; hooks run on the fiber of
 * what they stand around and may wait where that may.
 * Thread: the run's. Owner: everything is in the run's heap. */
#pragma once

#include "luart/run_int.h"

enum tl_hook {
#define HOOK(name, text, inbound) TL_HOOK_##name,
#include "luart/hooks.def"
#undef HOOK
    TL_HOOK_COUNT
};

/* Loads the bundle's interceptor modules and keeps their hooks. Raises what is wrong with them. */
void tl_intercept_load(lua_State *L, struct tl_lua_run *run);
/* wf_extern.c: keeps proxies for the host's functions that the table on top names. */
void tl_extern_add(lua_State *L, struct tl_lua_run *run);
/* Whether some interceptor has the hook. */
bool tl_intercept_has(lua_State *L, enum tl_hook hook);
/* [-1, +1] Replaces the function on top, the last one of the chain, by the whole chain. */
void tl_intercept_chain(lua_State *L, enum tl_hook hook);
/* [-2, +n] Calls the chain with the input below the last function on top. Use as
 * `return tl_intercept_call(...)`: k is called with the results above index `ctx` >> 1 (the caller
 * builds ctx with TL_INTERCEPT_CTX). */
int tl_intercept_call(lua_State *L, enum tl_hook hook, lua_KContext ctx, lua_KFunction k);
#define TL_INTERCEPT_CTX(base, flag) (((lua_KContext)(base) << 1) | ((flag) ? 1 : 0))

/* --- inputs ------------------------------------------------------------------------------------ */

/* [-0, +1] The input of something that comes in: { [key] = name, args = { n = , ... }, headers = },
 * of the n values on top (popped) and the header. */
void tl_intercept_push_inbound(lua_State *L, const char *key, struct tl_str name, int n,
                               const TpCommon__Header *header);
/* [-1, +1] Makes the function on top a last one: it calls the function with the input's args. With
 * `key` the value under that key goes before them (dynamic handlers). */
void tl_intercept_last(lua_State *L, const char *key);
/* [-0, +1] The input of something that is asked for: the options of the tables at `own` (of a
 * reference) and `options` in one table (0: none), `key` = name, args = the values from `first` to
 * the top. */
void tl_intercept_push_outbound(lua_State *L, const char *key, struct tl_str name, int own,
                                int options, int first);
/* In the last function of something that is asked for: the stack, which is the input, becomes what
 * was under `key`, a table of the options, and the arguments. */
void tl_intercept_open_outbound(lua_State *L, const char *key);
/* [-0, +1] A table name -> value of the header's fields; empty for NULL. */
void tl_intercept_push_headers(lua_State *L, const TpCommon__Header *header);
/* The continuation of what makes a future: with the flag of ctx it is awaited. */
int tl_intercept_future(lua_State *L, int status, lua_KContext ctx);
