/* The sandbox VM in one translation unit: the .c files of Debian's Lua 5.4.4, unchanged, under the
 * macros of vm_macros.h. The package and debug libraries are left out, so that no mistake can
 * open them; io and os stand in lua_host.c. Everything but the prefixed public API is static.
 *
 * States made on a frozen state (vm.h) take its strings and functions as their own. What makes that
 * safe: a frozen object is black and old, so no collector marks it, and it is in no list that
 * another state sweeps; a frozen string is found before a state's own strings are looked at, so two
 * equal short strings are one object in every state; and nothing is written to either again.
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

unsigned tl_vm_hash_seed = 0x7e3f01a5u;

/* Core. */
#include "lzio.c"
#include "lctype.c"
#include "lopcodes.c"
#include "lmem.c"
#include "lundump.c"
#include "ldump.c"

/* A state's frozen one. No state has a function for warnings, so its data has a free place. */
static const global_State *frozen_of(const global_State *g)
{
    return g->ud_warn;
}

static unsigned int begin_state(global_State *g, const lua_State *frozen)
{
    g->ud_warn = frozen ? G(frozen) : NULL;
    return tl_vm_hash_seed;
}

/* lua_newstate makes strings while it runs: it is compiled with a parameter more. Asking for the
 * seed is the last thing it does before. */
#define luai_makeseed(L) begin_state(g, frozen)
#pragma push_macro("lua_newstate")
#undef lua_newstate
#define lua_newstate(f, ud) tl_vm_newstate(f, ud, const lua_State *frozen)
#include "lstate.c"
#pragma pop_macro("lua_newstate")

LUA_API lua_State *lua_newstate(lua_Alloc f, void *ud)
{
    return tl_vm_newstate(f, ud, NULL);
}

/* Only a string made just now can be taken off the list of what is collected; a frozen one is in
 * no list of this state. */
#define luaC_fix stock_luaC_fix
static void stock_luaC_fix(lua_State *L, GCObject *o);
#include "lgc.c"
#undef luaC_fix
static void luaC_fix(lua_State *L, GCObject *o)
{
    if (iswhite(o)) {
        stock_luaC_fix(L, o);
    }
}

#define luaX_init stock_luaX_init
static void stock_luaX_init(lua_State *L);
#include "llex.c"
#undef luaX_init
/* The frozen state has all reserved words, marked as such. */
static void luaX_init(lua_State *L)
{
    if (!frozen_of(G(L))) {
        stock_luaX_init(L);
    }
}

#include "lcode.c"
#include "lparser.c"
#include "ldebug.c"
#include "lfunc.c"
#include "lobject.c"
#include "ltm.c"

#define luaS_newlstr stock_luaS_newlstr
#define luaS_new stock_luaS_new
#define luaS_init stock_luaS_init
static TString *stock_luaS_newlstr(lua_State *L, const char *str, size_t l);
static TString *stock_luaS_new(lua_State *L, const char *str);
static void stock_luaS_init(lua_State *L);
#include "lstring.c"
#undef luaS_newlstr
#undef luaS_new
#undef luaS_init

static TString *find_frozen(const global_State *frozen, const char *str, size_t l)
{
    const stringtable *tb = &frozen->strt;
    unsigned int h = luaS_hash(str, l, frozen->seed);
    for (TString *ts = tb->hash[lmod(h, tb->size)]; ts; ts = ts->u.hnext) {
        if (ts->hash == h && ts->shrlen == l && memcmp(str, getstr(ts), l) == 0) {
            return ts;
        }
    }
    return NULL;
}

static TString *luaS_newlstr(lua_State *L, const char *str, size_t l)
{
    const global_State *frozen = frozen_of(G(L));
    TString *found = frozen && l <= LUAI_MAXSHORTLEN ? find_frozen(frozen, str, l) : NULL;
    return found ? found : stock_luaS_newlstr(L, str, l);
}

/* Without the stock function's cache by address: it costs more than it saves in states so small. */
static TString *luaS_new(lua_State *L, const char *str)
{
    return luaS_newlstr(L, str, strlen(str));
}

/* The message that it makes by the stock luaS_newlstr gives way to the frozen one. */
static void luaS_init(lua_State *L)
{
    global_State *g = G(L);
    const global_State *frozen = frozen_of(g);
    stock_luaS_init(L);
    if (frozen) {
        TString *own = g->memerrmsg;
        g->fixedgc = own->next;
        luaS_remove(L, own);
        luaM_freemem(L, own, sizelstring(own->shrlen));
        g->memerrmsg = frozen->memerrmsg;
        g->strcache[0][0] = g->memerrmsg;
    }
}

/* A frozen table. Lua's own code leaves this bit of an object's mark to its tests. */
enum { FROZEN_TABLE_BIT = TESTBIT };

static const char refused_write[] =
    "attempt to change a table that is shared by all runs (of a pass-through module)";

/* Raises when the table is frozen. pc: that of the Lua function that writes, where it alone knows it. */
static void check_writable(lua_State *L, const Table *t, const Instruction *pc)
{
    if (l_likely(!testbit(t->marked, FROZEN_TABLE_BIT))) {
        return;
    }
    if (!isLua(L->ci)) {
        luaL_error(L, refused_write);
    }
    if (pc) {
        L->ci->u.l.savedpc = pc;
        L->top = L->ci->top;
    }
    luaG_runerror(L, refused_write);
}

/* The stock border of a table depends on how its array part happens to be sized; ours follows. What
 * writes into tables from outside of ltable.c looks first whether it may. */
#define luaH_getn stock_luaH_getn
#define luaH_finishset stock_luaH_finishset
#define luaH_set stock_luaH_set
#define luaH_setint stock_luaH_setint
static lua_Unsigned stock_luaH_getn(Table *t);
static void stock_luaH_finishset(lua_State *L, Table *t, const TValue *key, const TValue *slot,
                                 TValue *value);
static void stock_luaH_set(lua_State *L, Table *t, const TValue *key, TValue *value);
static void stock_luaH_setint(lua_State *L, Table *t, lua_Integer key, TValue *value);
#include "ltable.c"
#undef luaH_getn
#undef luaH_finishset
#undef luaH_set
#undef luaH_setint

static void luaH_finishset(lua_State *L, Table *t, const TValue *key, const TValue *slot,
                           TValue *value)
{
    check_writable(L, t, NULL);
    stock_luaH_finishset(L, t, key, slot, value);
}

static void luaH_set(lua_State *L, Table *t, const TValue *key, TValue *value)
{
    check_writable(L, t, NULL);
    stock_luaH_set(L, t, key, value);
}

static void luaH_setint(lua_State *L, Table *t, lua_Integer key, TValue *value)
{
    check_writable(L, t, NULL);
    stock_luaH_setint(L, t, key, value);
}

/* Assignments to a field that is there: in luaV_execute, which has not saved its place by then and
 * where `pc` is its own variable; everywhere else it is this one. */
static const Instruction *const pc = NULL;
#undef luaV_finishfastset
#define luaV_finishfastset(L, t, slot, v)                                                          \
    {                                                                                              \
        check_writable(L, hvalue(t), pc);                                                          \
        setobj2t(L, cast(TValue *, slot), v);                                                      \
        luaC_barrierback(L, gcvalue(t), v);                                                        \
    }

#include "ldo.c"
#include "lvm.c"
#pragma push_macro("lua_setmetatable")
#undef lua_setmetatable
#define lua_setmetatable stock_lua_setmetatable
static int stock_lua_setmetatable(lua_State *L, int index);
#include "lapi.c"
#pragma pop_macro("lua_setmetatable")

LUA_API int lua_setmetatable(lua_State *L, int index)
{
    const TValue *o = index2value(L, index);
    if (ttistable(o)) {
        check_writable(L, hvalue(o), NULL);
    }
    return stock_lua_setmetatable(L, index);
}

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
    bool on_top = index == LUA_REGISTRYINDEX && lua_gettop(L) > 0;
    lua_CFunction f = on_top ? lua_tocfunction(L, -1) : NULL;
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

/* --- private to this file: the uses of Lua's internals ---------------------------------------- */

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
    const global_State *frozen = frozen_of(G(L));
    memset(name, ' ', sizeof name);
    for (size_t i = 0; i < sizeof sealed / sizeof sealed[0]; i++) {
        if (TL_WITHOUT(sealed[i] == TM_GC ? 15 : 16)) {
            continue;
        }
        if (frozen) {
            G(L)->tmname[sealed[i]] = frozen->tmname[sealed[i]];
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

static void freeze_list(lua_State *L, GCObject *list)
{
    for (GCObject *o = list; o; o = o->next) {
        if (o->tt == LUA_VLNGSTR) {
            luaS_hashlongstr(gco2ts(o)); /* else the first table it is a key in writes it */
        }
        if (o->tt == LUA_VTABLE) {
            for (int e = 0; e <= TM_EQ; e++) { /* else the first look for a metamethod writes it */
                luaT_gettm(gco2t(o), (TMS)e, G(L)->tmname[e]);
            }
            o->marked = cast_byte(bit2mask(BLACKBIT, FROZEN_TABLE_BIT) | G_OLD);
            continue;
        }
        o->marked = cast_byte(bitmask(BLACKBIT) | G_OLD);
    }
}

void tl_vm_freeze(lua_State *L)
{
    luaC_fullgc(L, 0);
    G(L)->gcstp = GCSTPUSR;
    freeze_list(L, G(L)->allgc);
    freeze_list(L, G(L)->fixedgc);
}

void tl_vm_push_frozen(lua_State *L, lua_State *frozen, int index)
{
    const LClosure *from = clLvalue(index2value(frozen, index));
    LClosure *cl = luaF_newLclosure(L, from->nupvalues);
    cl->p = from->p;
    setclLvalue2s(L, L->top, cl);
    api_incr_top(L);
    luaF_initupvals(L, cl);
    if (cl->nupvalues >= 1) { /* as lua_load: the first one is _ENV */
        const TValue *globals = getGtable(L);
        setobj(L, cl->upvals[0]->v, globals);
        luaC_barrier(L, cl->upvals[0], globals);
    }
    luaC_checkGC(L);
}

void tl_vm_push_shared(lua_State *L, lua_State *frozen, int index)
{
    setobj2s(L, L->top, index2value(frozen, index));
    api_incr_top(L);
}

bool tl_vm_is_frozen(lua_State *L, int index)
{
    const TValue *o = index2value(L, index);
    return ttistable(o) && testbit(hvalue(o)->marked, FROZEN_TABLE_BIT);
}

/* Whether the code, or that of a function made in it, assigns to its upvalue. */
static bool assigns(const Proto *p, int upvalue)
{
    for (int i = 0; i < p->sizecode; i++) {
        if (GET_OPCODE(p->code[i]) == OP_SETUPVAL && GETARG_B(p->code[i]) == upvalue) {
            return true;
        }
    }
    for (int i = 0; i < p->sizep; i++) {
        for (int u = 0; u < p->p[i]->sizeupvalues; u++) {
            const Upvaldesc *d = &p->p[i]->upvalues[u];
            if (!d->instack && d->idx == upvalue && assigns(p->p[i], u)) {
                return true;
            }
        }
    }
    return false;
}

bool tl_vm_assigns_upvalue(lua_State *L, int index, int upvalue)
{
    const TValue *o = index2value(L, index);
    return ttisLclosure(o) && assigns(clLvalue(o)->p, upvalue - 1);
}
