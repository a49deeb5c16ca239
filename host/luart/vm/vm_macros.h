/* What makes the vendored Lua deterministic without a change to its sources: the macros it lets an
 * embedder override, and replacements of the libc functions whose results depend on the locale,
 * the clock or the CPU. Included by lua_all.c only, after the libc headers and luaconf.h and
 * before the first Lua source. */
#pragma once

#include "luart/vm/detmath.h"
#include "luart/vm/numtext.h"
#include "luart/vm/vm.h"
#include "luart/vm/without.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/* --- linkage: one translation unit, nothing but the prefixed API leaves it --- */
#undef LUAI_FUNC
#undef LUAI_DDEC
#undef LUAI_DDEF
#define LUAI_FUNC static
#define LUAI_DDEC(dec) static dec
#define LUAI_DDEF static

/* --- seeds (that of hashes is in lua_all.c) --- */
#define l_randomizePivot() 0u

/* --- memory: small states (a cached run costs little) --- */
#define STRCACHE_N 1
#define STRCACHE_M 1
#define MINSTRTABSIZE 32

/* --- floats: powers correctly rounded, text independent of the locale --- */
#define luai_numpow(L, a, b) ((void)(L), ((b) == 2) ? (a) * (a) : tl_det_pow((a), (b)))

#undef lua_getlocaledecpoint
#define lua_getlocaledecpoint() '.'
#undef lua_number2str
#define lua_number2str(s, sz, n) tl_vm_print_double((s), (sz), LUA_NUMBER_FMT, (n))
#undef lua_str2number
#define lua_str2number(s, p) tl_vm_parse_number((s), (p))
/* Lua's one snprintf macro takes numbers, strings and pointers. Addresses never become text. */
#undef l_sprintf
#define l_sprintf(s, sz, f, i)                                                                     \
    _Generic((i), double: tl_vm_print_double, long long: tl_vm_print_integer,                      \
             int: tl_vm_print_int, const char *: tl_vm_print_string, char *: tl_vm_print_string,   \
             const void *: tl_vm_print_pointer, void *: tl_vm_print_pointer)((s), (sz), (f), (i))

/* --- strings: bytewise comparison, ASCII classes --- */
static inline int compare_text(const char *a, const char *b)
{
    return TL_WITHOUT(29) ? strcoll(a, b) : strcmp(a, b);
}
#undef strcoll
#define strcoll(a, b) compare_text((a), (b))

static inline bool ascii_between(int c, int low, int high)
{
    return c >= low && c <= high;
}

#undef isalpha
#undef isdigit
#undef isalnum
#undef isspace
#undef iscntrl
#undef isgraph
#undef isprint
#undef ispunct
#undef islower
#undef isupper
#undef isxdigit
#undef tolower
#undef toupper
#define isdigit(c) ascii_between((c), '0', '9')
#define islower(c) ascii_between((c), 'a', 'z')
#define isupper(c) ascii_between((c), 'A', 'Z')
#define isalpha(c) (islower((c) | 0x20) && (c) < 0x80)
#define isalnum(c) (isalpha(c) || isdigit(c))
#define isspace(c) ((c) == ' ' || ascii_between((c), '\t', '\r'))
#define iscntrl(c) (ascii_between((c), 0, 0x1f) || (c) == 0x7f)
#define isgraph(c) ascii_between((c), 0x21, 0x7e)
#define isprint(c) ascii_between((c), 0x20, 0x7e)
#define ispunct(c) (isgraph(c) && !isalnum(c))
#define isxdigit(c) (isdigit(c) || ascii_between((c) | 0x20, 'a', 'f'))
#define tolower(c) (isupper(c) ? (c) + ('a' - 'A') : (c))
#define toupper(c) (islower(c) ? (c) - ('a' - 'A') : (c))

/* --- time: the VM reads no clock (math.random's first seed; the host seeds it again) --- */
#undef time
#define time(unused) ((void)(unused), (time_t)0)
