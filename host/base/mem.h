/* The only door to malloc. Allocation failure of small bookkeeping objects aborts (there is no way
 * on, and Linux overcommits); sizes that a peer or a script chooses go through tl_mem_try or an
 * arena with a limit, whose failure is an error value. Thread: any. */
#pragma once

#include <stddef.h>

#include "base/str.h"

void *tl_mem_alloc(size_t n);            /* zeroed; aborts when out of memory */
void *tl_mem_try(size_t n);              /* zeroed; NULL when out of memory */
void *tl_mem_realloc(void *p, size_t n); /* aborts when out of memory */
void tl_mem_free(void *p);               /* NULL is fine */
char *tl_mem_dup(struct tl_str s);       /* NUL-terminated copy */

#define TL_NEW(type) ((type *)tl_mem_alloc(sizeof(type)))
#define TL_NEW_ARRAY(type, n) ((type *)tl_mem_alloc(sizeof(type) * (n)))

/* Allocation-failure injection for torture tests: the N-th following tl_mem_try / arena growth
 * returns NULL (0: off). Thread: tests only. */
void tl_mem_fail_after(long n);
