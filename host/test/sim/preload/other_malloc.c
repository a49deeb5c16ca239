/* A malloc of another kind, to be preloaded: every block is new, at an address that the process id and the
 * number of blocks so far decide, is filled with garbage, and is never used again. Nothing that a workflow
 * does may depend on it. A process has 64 GB of addresses in all; large blocks give their pages back.
 * Thread: any. */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define REGION ((size_t)64 << 30)
#define ALIGN ((size_t)16)
#define PAGE ((size_t)4096)
#define GIVEN_BACK ((size_t)16 << 10)

static _Atomic(char *) region;
static atomic_size_t used;

struct head { /* in front of each block */
    size_t n;
    size_t unused;
};

static char *base(void)
{
    char *p = atomic_load(&region);
    if (!p) {
        char *none = NULL;
        p = mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                 -1, 0);
        if (p == MAP_FAILED) {
            abort();
        }
        if (!atomic_compare_exchange_strong(&region, &none, p)) {
            munmap(p, REGION);
            p = none;
        }
    }
    return p;
}

static void *take(size_t n, size_t align)
{
    char *from = base();
    size_t gap = ((size_t)getpid() * 48 + atomic_load(&used) / 7) % 256 / ALIGN * ALIGN;
    size_t room = n + align + gap + sizeof(struct head) + ALIGN;
    size_t at = n > REGION ? REGION : atomic_fetch_add(&used, room);
    if (at > REGION || room > REGION - at) {
        errno = ENOMEM;
        return NULL;
    }
    uintptr_t p = (uintptr_t)from + at + gap + sizeof(struct head);
    p = (p + align - 1) / align * align;
    ((struct head *)p)[-1] = (struct head){.n = n};
    return (void *)p;
}

void *malloc(size_t n)
{
    void *p = take(n, ALIGN);
    return p ? memset(p, 0xa5, n) : NULL;
}

void free(void *p)
{
    if (p) {
        size_t n = ((struct head *)p)[-1].n;
        if (n < GIVEN_BACK) {
            memset(p, 0x5a, n);
        } else {
            uintptr_t first = ((uintptr_t)p + PAGE - 1) & ~(PAGE - 1);
            madvise((void *)first, ((uintptr_t)p + n - first) & ~(PAGE - 1), MADV_DONTNEED);
        }
    }
}

void *calloc(size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size) {
        errno = ENOMEM;
        return NULL;
    }
    return take(count * size, ALIGN); /* a block is used once, so it is zero */
}

void *realloc(void *p, size_t n)
{
    void *to = malloc(n);
    if (to && p) {
        size_t old = ((struct head *)p)[-1].n;
        memcpy(to, p, old < n ? old : n);
        free(p);
    }
    return to;
}

int posix_memalign(void **out, size_t align, size_t n)
{
    *out = take(n, align < ALIGN ? ALIGN : align);
    return *out ? 0 : ENOMEM;
}

void *aligned_alloc(size_t align, size_t n)
{
    return take(n, align < ALIGN ? ALIGN : align);
}

void *memalign(size_t align, size_t n);
void *memalign(size_t align, size_t n)
{
    return aligned_alloc(align, n);
}

size_t malloc_usable_size(void *p);
size_t malloc_usable_size(void *p)
{
    return p ? ((struct head *)p)[-1].n : 0;
}
