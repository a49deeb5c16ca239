/* The code of a bundle: one Lua state that holds the functions of every module and is then frozen
 * (vm/vm.h), so that a run pays for its values only, not for code, constants and names.
 * Thread: made on the one that opens the bundle, read on any. Owner: the bundle. */
#include "luart/bundle_int.h"

#include <stdint.h>

#include "base/mem.h"

/* Strings that every run makes: the names of the sandbox, in lists that stay on the stack. */
static void keep_names(lua_State *L)
{
    for (int lib = 0; lib < TL_LIB_COUNT; lib++) {
        tl_sandbox_push_names(L, lib);
    }
}

/* Leaves tables of names and the chunk of each module that runs evaluate on the stack. */
static int load_all(lua_State *L)
{
    struct tl_bundle *b = lua_touserdata(L, 1);
    lua_settop(L, 0);
    luaL_checkstack(L, (int)b->modules.count + TL_LIB_COUNT + 1, NULL);
    keep_names(L);
    TL_MAP_EACH (e, &b->modules) {
        struct tl_bundle_module *m = e->value;
        if (m->code.p && !m->shared_index) {
            tl_module_load(L, m);
            m->frozen_index = lua_gettop(L);
        }
    }
    return lua_gettop(L);
}

tl_rc tl_bundle_freeze(struct tl_bundle *b, struct tl_error *err)
{
    lua_State *code = b->code_run->main;
    int below = lua_gettop(code); /* values that are there already */
    b->code_run->heap.used_max = SIZE_MAX;
    bool well = lua_checkstack(code, 3);
    if (well) {
        lua_pushcfunction(code, load_all);
        lua_pushlightuserdata(code, b);
        well = lua_pcall(code, 1, LUA_MULTRET, 0) == LUA_OK && lua_checkstack(code, 1);
    }
    if (!well) {
        return tl_error_set(err, TL_EMEMORY, "there is no memory for the code of the modules");
    }
    for (int slot = 1; slot <= TL_SLOT_COUNT; slot++) {
        if (slot != TL_SLOT_LIBS) { /* whose tables are known by their addresses */
            lua_pushnil(code);
            lua_replace(code, slot);
        }
    }
    tl_vm_freeze(code);
    TL_MAP_EACH (e, &b->modules) {
        struct tl_bundle_module *m = e->value;
        tl_mem_free((void *)(uintptr_t)m->code.p);
        m->code = (struct tl_str){NULL, 0};
        m->frozen_index += m->frozen_index ? below : 0;
    }
    b->frozen = true;
    return TL_OK;
}

lua_State *tl_bundle_code(const struct tl_bundle *b)
{
    return b->frozen ? b->code_run->main : NULL;
}
