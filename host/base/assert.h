/* Assertions for programming errors. They stay on in release builds: a broken invariant must stop
 * the process before it writes a wrong history. What network, disk or script can cause is an error
 * value (error.h), never an assertion. */
#pragma once

/* Prints file, line and expression to stderr and aborts. Thread: any. */
_Noreturn void tl_assert_failed(const char *file, int line, const char *expr);

#define TL_ASSERT(cond) ((cond) ? (void)0 : tl_assert_failed(__FILE__, __LINE__, #cond))
#define TL_UNREACHABLE() tl_assert_failed(__FILE__, __LINE__, "unreachable")

#ifdef TL_DEBUG_CHECKS
#define TL_DCHECK(cond) TL_ASSERT(cond)
#else
#define TL_DCHECK(cond) ((void)0)
#endif
