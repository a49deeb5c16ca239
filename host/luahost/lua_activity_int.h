/* Inside of Lua activities; private to lua_activity.c, lua_call.c and what runs activities in another way
 * than on a pool thread. See lua_activity.h. */
#pragma once

#include <pthread.h>

#include "luahost/lua_activity.h"
#include "luahost/lua_operation.h"

/* What runs an activity of a module. */
enum tl_lua_kind { TL_LUA_THREAD, TL_LUA_COROUTINE, TL_LUA_PROCESS, TL_LUA_KINDS };

struct tl_lua_entry {
    struct tl_lua_activities *owner;
    char *name;
    enum tl_lua_kind kind;
    int function_ref; /* in the host's registry; LUA_NOREF for an activity of a module */
};

struct tl_lua_activities {
    struct tl_host *host;
    char *path, *cpath;
    char **modules;
    size_t module_count;
    char **nexus_modules;
    size_t nexus_module_count;
    struct tl_lua_operations *operations;
    char *
        *converters; /* modules with payload converters; each state keeps what they gave under this
                          struct's address in its registry */
    size_t converter_count;
    char *plan; /* JSON of what temporal.internal.activities and nexus_services are told */
    struct tl_lua_entry **entries;
    size_t entry_count, kind_counts[TL_LUA_KINDS];
    struct tl_str sources; /* of the modules, from the first state; owned */
    bool own_process;      /* it may end; else it is the worker's */

    pthread_mutex_t mutex;
    lua_State *spare;         /* set up for the first thread that wants one; guarded */
    struct tl_lua_loop *loop; /* of coroutine activities, from the first use on; guarded */
    int64_t block_limit_ns;
    struct tl_lua_processes *processes; /* of process activities; NULL: there are none */
};

/* --- states ----------------------------------------------------------------------------------- */

/* A state with all modules loaded and those set up that have activities of this kind: their functions by
 * name are on its stack at 1, the handlers of Nexus operations at TL_LUA_OPERATIONS_INDEX.
 * Errors: TL_ESCRIPT, TL_EMEMORY. Owns: the caller, tl_lua_state_close. */
tl_rc tl_lua_state_open(struct tl_lua_activities *a, enum tl_lua_kind kind, lua_State **out,
                        struct tl_error *err);
void tl_lua_state_close(lua_State *L); /* tears down; NULL is fine */
/* The parts of it. Loading leaves the functions at 1 and more at 2 and at
 * TL_LUA_OPERATIONS_INDEX. */
tl_rc tl_lua_state_load(struct tl_lua_activities *a, lua_State **out, struct tl_error *err);
tl_rc tl_lua_state_setup(lua_State *L, enum tl_lua_kind kind, struct tl_error *err);
void tl_lua_state_teardown(lua_State *L);

/* --- calls (lua_call.c) ----------------------------------------------------------------------- */

struct tl_lua_call {
    struct tl_activity *activity;
    TpFailure__Failure *failure; /* set when the function raised */
    bool cancelled;
};

/* [-0, +0, e] Begins as a Lua function: the activity's function is at 1, a light userdata with the call at
 * 2. Decodes the input, calls, completes the activity; the function may yield where it runs as a coroutine. */
int tl_lua_call_body(lua_State *L);
/* [-1, +0, -] Ends the activity with the error on top, unless it has ended. */
void tl_lua_call_failed(lua_State *L, struct tl_activity *a);
/* [-1, +1, e] What a raised text becomes: an error with that message, and `trace`, a stack trace, or one of
 * L's own stack from `level` on when it is NULL. Errors that are tables stay. */
void tl_lua_call_describe(lua_State *L, lua_State *from, int level);
/* Ends the activity with a retryable failure of the worker's. */
void tl_lua_fail_plainly(struct tl_activity *a, const char *message);
