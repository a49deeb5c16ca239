/* One build as the host makes it: bundle, language, registry and Lua activities from a plan, which is a
 * table of worker.lua. It stands alone until a worker takes it.
 * Ownership: freed on the thread of the Lua state it was made in. */
#pragma once

#include <lua.h>

#include "base/list.h"
#include "crypto/digest.h"
#include "luahost/host.h"
#include "luahost/lua_activity.h"
#include "luahost/lua_extern.h"
#include "luart/bundle.h"
#include "worker/worker.h"

struct tl_host_build {
    struct tl_list garbage;   /* of the worker that let go of it, under its mutex */
    struct tl_list of_worker; /* in the list of its worker's builds; the state's thread's */
    void *worker_box;         /* for the worker's release */
    struct tl_registry *registry;
    struct tl_lua_activities *activities;
    struct tl_lua_externs *externs; /* NULL: no interceptor gives functions to workflows */
    struct tl_bundle *bundle;       /* NULL: activities only */
    struct tl_worker_lang *lang;    /* as the bundle */
    char digest[TL_SHA256_HEX]; /* of all scripts: workflows, activities, the plan's own texts */
};

/* [-0, +0, v] Loads everything that the plan at `plan` names. Errors: those of tl_bundle_open,
 * tl_native_load and tl_lua_activities_new. Owns: *out, tl_host_build_free. */
tl_rc tl_host_build_open(lua_State *L, int plan, struct tl_host_build **out, struct tl_error *err);
void tl_host_build_free(struct tl_host_build *b); /* NULL is fine */
/* What a worker is given of it; the digest is borrowed. */
struct tl_worker_build tl_host_build_view(struct tl_host_build *b);
/* [-0, +0, v] The build in the userdata at `index`; raises when it was given to a worker already.
 * take: the caller owns it from here on. */
struct tl_host_build *tl_host_check_build(lua_State *L, int index, bool take);
/* NULL when the value is no build. */
struct tl_host_build *tl_host_test_build(lua_State *L, int index);

void tl_core_build(lua_State *L); /* [-0, +0, m] */
