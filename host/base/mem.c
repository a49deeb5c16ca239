/* malloc's only user. See mem.h. */
#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"

static atomic_long fail_after;

void tl_mem_fail_after(long n)
{
    atomic_store(&fail_after, n);
}

static bool injected_failure(void)
{
    if (atomic_load_explicit(&fail_after, memory_order_relaxed) <= 0) {
        return false;
    }
    return atomic_fetch_sub(&fail_after, 1) == 1;
}

void *tl_mem_alloc(size_t n)
{
    void *p = calloc(1, n ? n : 1);
    TL_ASSERT(p != NULL);
    return p;
}

void *tl_mem_try(size_t n)
{
    return injected_failure() ? NULL : calloc(1, n ? n : 1);
}

void *tl_mem_realloc(void *p, size_t n)
{
    void *q = realloc(p, n ? n : 1);
    TL_ASSERT(q != NULL);
    return q;
}

void tl_mem_free(void *p)
{
    free(p);
}

char *tl_mem_dup(struct tl_str s)
{
    char *p = tl_mem_alloc(s.n + 1);
    if (s.n) {
        memcpy(p, s.p, s.n);
    }
    return p;
}
