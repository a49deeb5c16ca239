/* The sandbox VM in one translation unit: the .c files of Debian's Lua 5.4.4, unchanged, under the
 * macros of vm_macros.h. The io, os, package and debug libraries are left out, so that no mistake
 * can open them. Everything but the prefixed public API is static.
 *
 * Private Lua headers are used at the end of this file and nowhere else. */
#include "luart/vm/vm_prefix.h"

/* What each Lua source defines for itself, before luaconf.h is read once for all of them. */
#define LUA_CORE
#define LUA_LIB

#include "lprefix.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "luaconf.h"

#include "luart/vm/vm_macros.h"

/* Core. */
#include "lzio.c"
#include "lctype.c"
#include "lopcodes.c"
#include "lmem.c"
#include "lundump.c"
#include "ldump.c"
#include "lstate.c"
#include "lgc.c"
#include "llex.c"
#include "lcode.c"
#include "lparser.c"
#include "ldebug.c"
#include "lfunc.c"
#include "lobject.c"
#include "ltm.c"
#include "lstring.c"

/* The stock border of a table depends on how its array part happens to be sized; ours follows. */
#define luaH_getn stock_luaH_getn
static lua_Unsigned stock_luaH_getn(Table *t);
#include "ltable.c"
#undef luaH_getn

#include "ldo.c"
#include "lvm.c"
#include "lapi.c"

/* Libraries. The growing buffers of lauxlib.c ask the allocator themselves, and would raise an error
 * that a script can catch where the VM's own allocations collect garbage and ask again. */
static void *buffer_alloc(void *ud, void *block, size_t old_size, size_t new_size)
{
    lua_State *L = ud;
    global_State *g = G(L);
    void *to = g->frealloc(g->ud, block, old_size, new_size);
    if (!to && new_size > 0) {
        luaC_fullgc(L, 1);
        to = g->frealloc(g->ud, block, old_size, new_size);
    }
    return to;
}

static lua_Alloc buffer_allocator(lua_State *L, void **ud)
{
    *ud = L;
    return buffer_alloc;
}

/* Messages and tracebacks name a C function after a look into the table of loaded modules, with the
 * function on top. The sandbox has no such table: one with just this function takes its place. */
static tl_vm_push_name push_name;

void tl_vm_set_names(tl_vm_push_name fn)
{
    push_name = fn;
}

static int get_registry_field(lua_State *L, int index, const char *name)
{
    lua_CFunction f = index == LUA_REGISTRYINDEX ? lua_tocfunction(L, -1) : NULL;
    if (!f || !push_name || strcmp(name, LUA_LOADED_TABLE) != 0) {
        return lua_getfield(L, index, name);
    }
    int function = lua_gettop(L);
    lua_createtable(L, 0, 1);
    if (push_name(L, f)) {
        lua_pushvalue(L, function);
        lua_rawset(L, -3);
    }
    return LUA_TTABLE;
}

#pragma push_macro("lua_getallocf")
#pragma push_macro("lua_getfield")
#undef lua_getallocf
#undef lua_getfield
#define lua_getallocf(L, ud) buffer_allocator((L), (ud))
#define lua_getfield(L, index, name) get_registry_field((L), (index), (name))
#include "lauxlib.c"
#pragma pop_macro("lua_getfield")
#pragma pop_macro("lua_getallocf")
#include "lbaselib.c"
#include "lcorolib.c"
#include "ltablib.c"
#include "lutf8lib.c"

/* A NaN has a sign and a payload that differ between CPUs; string.pack would show them. */
static lua_Number check_canonical_number(lua_State *L, int argument)
{
    return tl_det_canonical_nan(luaL_checknumber(L, argument));
}

#pragma push_macro("luaL_checknumber")
#undef luaL_checknumber
#define luaL_checknumber(L, argument) check_canonical_number((L), (argument))
#include "lstrlib.c"
#pragma pop_macro("luaL_checknumber")

#define sin tl_det_sin
#define cos tl_det_cos
#define tan tl_det_tan
#define asin tl_det_asin
#define acos tl_det_acos
#define atan2 tl_det_atan2
#define exp tl_det_exp
#define log tl_det_log
#define log2 tl_det_log2
#define log10 tl_det_log10
#include "lmathlib.c"
#undef sin
#undef cos
#undef tan
#undef asin
#undef acos
#undef atan2
#undef exp
#undef log
#undef log2
#undef log10

/* --- private to this file: the two uses of Lua's internals ------------------------------------ */

static bool present(Table *t, lua_Unsigned key)
{
    return !isempty(luaH_getint(t, l_castU2S(key)));
}

/* A border of the table that depends on its contents only: doubling from 1 to the first absent
 * index, then bisecting between the last present one and it. For a sequence it is the length. */
static lua_Unsigned luaH_getn(Table *t)
{
    lua_Unsigned low = 0;
    lua_Unsigned high = 1;
    if (TL_WITHOUT(9)) {
        return stock_luaH_getn(t);
    }
    while (present(t, high)) {
        low = high;
        if (high > (lua_Unsigned)LUA_MAXINTEGER / 2) {
            high = (lua_Unsigned)LUA_MAXINTEGER;
            if (present(t, high)) {
                return high;
            }
            break;
        }
        high *= 2;
    }
    while (high - low > 1) {
        lua_Unsigned middle = low + (high - low) / 2;
        if (present(t, middle)) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Strings above LUAI_MAXSHORTLEN are never interned, and metamethods are looked up by the address
 * of an interned string: a long name in its place is found in no table. */
static void seal_names(lua_State *L, void *unused)
{
    static const TMS sealed[] = {TM_GC, TM_MODE};
    char name[LUAI_MAXSHORTLEN + 2];
    memset(name, ' ', sizeof name);
    for (size_t i = 0; i < sizeof sealed / sizeof sealed[0]; i++) {
        if (TL_WITHOUT(sealed[i] == TM_GC ? 15 : 16)) {
            continue;
        }
        TString *text = luaS_newlstr(L, name, sizeof name);
        luaC_fix(L, obj2gco(text));
        G(L)->tmname[sealed[i]] = text;
    }
    (void)unused;
}

#ifdef TL_SANDBOX_SWITCH
void tl_vm_nest(lua_State *L, int calls)
{
    L->nCcalls += (l_uint32)calls;
}
#endif

bool tl_vm_seal(lua_State *L)
{
    return luaD_rawrunprotected(L, seal_names, NULL) == LUA_OK;
}
