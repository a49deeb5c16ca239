/* The sandbox Lua VM, as the rest of host/luart sees it: the vendored Lua 5.4.4 under private
 * symbol names, plus the few things its public API does not offer. The only Lua header that code
 * in host/luart may include; never together with the stock lua.h in one file.
 *
 * Thread: a lua_State belongs to one thread at a time; the VM keeps no global state.
 * Owner: the caller of lua_newstate, through its allocator. */
#pragma once

#include "luart/vm/vm_prefix.h"

#include "tlvm/lua.h"

#include "tlvm/lauxlib.h"
#include "tlvm/lualib.h"

#include "luart/vm/detmath.h"
#include "luart/vm/without.h"

#include <stdbool.h>
#include <stddef.h>

/* Number of the VM's observable behaviour (library results, number text, borders, comparison).
 * Part of a build ID; raised by any change after which an old history could replay differently. */
#define TL_VM_SEMANTICS_VERSION 1

/* The seed of every string hash: the same in every process, though nothing that a script sees depends on
 * it. Only the proof of that (torture determinism) sets another, before the first state is made. */
extern unsigned tl_vm_hash_seed;

/* Room that tl_vm_format_number needs, with its final NUL. */
#define TL_VM_NUMBER_TEXT_SIZE 48

/* Makes `__gc` and `__mode` unspellable in this state: no metatable made afterwards, by script or
 * host, has finalizers or weak references. Call it once, right after lua_newstate and before any
 * table gets a metatable.
 * Owns: nothing. Thread: the state's. Errors: false when the allocator refused memory. */
bool tl_vm_seal(lua_State *L);

/* Pushes the name that messages and tracebacks give to a C function; false: none, no push. */
typedef bool (*tl_vm_push_name)(lua_State *L, lua_CFunction function);
/* For all states. Owns: nothing. Thread: once, before any script runs. Errors: none. */
void tl_vm_set_names(tl_vm_push_name fn);

/* Makes all that the state holds immutable: states made with tl_vm_newstate take its strings for
 * theirs, its functions by tl_vm_push_frozen and its values by tl_vm_push_shared. Nothing else may be
 * done with it afterwards but to free its memory, by its allocator, when no such state is left.
 * Owns: nothing. Thread: no other may use the state; afterwards any reads it. Errors: none. */
void tl_vm_freeze(lua_State *L);

/* As lua_newstate; `frozen` may be NULL. No state of this VM can have a function for warnings
 * (lua_setwarnf).
 * Owns: the new state. Thread: any. Errors: NULL when the allocator refused memory. */
lua_State *tl_vm_newstate(lua_Alloc alloc, void *ud, const lua_State *frozen);

/* Pushes a new instance of the Lua function at an index of the frozen state that L was made on: its
 * code is shared, its first upvalue is L's table of globals, as after lua_load.
 * Owns: L's. Thread: L's. Errors: raises when memory is refused. */
void tl_vm_push_frozen(lua_State *L, lua_State *frozen, int index);

/* Pushes the value at an index of the frozen state itself. Tables refuse to be written to; what else could
 * change in it the caller has looked at: upvalues that a function assigns, userdata, coroutines.
 * Owns: nothing. Thread: L's. Errors: none. */
void tl_vm_push_shared(lua_State *L, lua_State *frozen, int index);
/* Whether the value at the index is a table of a frozen state.
 * Owns: nothing. Thread: L's. Errors: none. */
bool tl_vm_is_frozen(lua_State *L, int index);
/* Whether the Lua function at the index, or one that it makes, assigns to its upvalue (from 1).
 * Owns: nothing. Thread: L's. Errors: none. */
bool tl_vm_assigns_upvalue(lua_State *L, int index, int upvalue);

/* Pushes { io = , os = }: the whole libraries, with files, programs and the environment.
 * Owns: L's. Thread: L's. Errors: raises when memory is refused. */
void tl_vm_push_host(lua_State *L);
/* What scripts open from now on is listed there; NULL: nowhere.
 * Owns: the list is the caller's, until tl_vm_close_files. Thread: its own list each. Errors: none. */
struct tl_vm_file;
void tl_vm_use_files(struct tl_vm_file **list);
/* Owns: closes what is listed. Thread: any, when no script of the list runs. Errors: none. */
void tl_vm_close_files(struct tl_vm_file **list);

#ifdef TL_SANDBOX_SWITCH
/* As if C calls were nested that much deeper than they are.
 * Owns: nothing. Thread: the state's. Errors: none. */
void tl_vm_nest(lua_State *L, int calls);
#endif

/* Writes the text that the VM's tostring gives for a float ("%.14g", ".0" added to integral values,
 * nan without a sign, inf and -inf), whatever the locale. Returns its length.
 * Owns: nothing. Thread: any. Errors: none. */
size_t tl_vm_format_number(char text[TL_VM_NUMBER_TEXT_SIZE], double number);

/* strtod in the C locale, hexadecimal floats included.
 * Owns: nothing. Thread: any. Errors: as strtod (*end == text when nothing was read). */
double tl_vm_parse_number(const char *text, char **end);
