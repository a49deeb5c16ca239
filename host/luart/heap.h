/* A run's own memory: what its lua_State and its records are made of. Small blocks come from 2 KB
 * chunks by size class, large ones from malloc; dropping the heap frees all of it at once.
 *
 * Over the limit an allocation is refused once, which makes Lua collect; a second refusal in a row
 * calls `exhausted`, which does not return (it abandons the run). Shrinking is never refused.
 * Owner: whoever holds the struct. Thread: one at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TL_HEAP_SMALL_MAX 512 /* larger blocks have a malloc of their own */
#define TL_HEAP_STEP 16
#define TL_HEAP_CLASSES (TL_HEAP_SMALL_MAX / TL_HEAP_STEP)

struct tl_heap_large;

struct tl_vm_heap {
    void *chunks;                /* private: linked through their first word */
    char *next, *end;            /* private: unused part of the newest chunk */
    void *free[TL_HEAP_CLASSES]; /* private */
    uint32_t free_mask;          /* private: classes with free blocks */
    struct tl_heap_large *large; /* private */
    size_t used;                 /* read-only: bytes of live blocks, rounded to their class */
    size_t held;                 /* read-only: bytes taken from malloc */
    size_t used_max;             /* read-only: the limit */
    bool refused;                /* private: the last growth was refused */
    void (*exhausted)(void *ud); /* must not return; NULL: refuse again */
    void *exhausted_ud;
};

void tl_vm_heap_init(struct tl_vm_heap *h, size_t used_max);
void tl_vm_heap_drop(struct tl_vm_heap *h);
/* A lua_Alloc; ud is the heap. */
void *tl_vm_heap_alloc(void *ud, void *p, size_t old_size, size_t new_size);
