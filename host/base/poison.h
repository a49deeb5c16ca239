/* What AddressSanitizer is told about memory that is handed out in pieces: a piece that nobody holds
 * is as forbidden as memory that was freed. Without the sanitizer both do nothing. Thread: any. */
#pragma once

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define TL_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TL_POISON 1
#endif
#endif

#ifdef TL_POISON
void __asan_poison_memory_region(void const volatile *p, size_t n);
void __asan_unpoison_memory_region(void const volatile *p, size_t n);
#define TL_REDZONE ((size_t)16) /* forbidden bytes behind each piece */
#else
#define TL_REDZONE ((size_t)0)
#endif

/* Nobody may touch [p, p + n) from now on. */
static inline void tl_poison(const void *p, size_t n)
{
#ifdef TL_POISON
    __asan_poison_memory_region(p, n);
#else
    (void)p;
    (void)n;
#endif
}

/* [p, p + n) is handed out; p is 8-byte aligned. */
static inline void tl_unpoison(const void *p, size_t n)
{
#ifdef TL_POISON
    __asan_unpoison_memory_region(p, n);
#else
    (void)p;
    (void)n;
#endif
}
