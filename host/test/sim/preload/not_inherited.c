/* Ends the list of preloaded libraries at this process: what it starts is preloaded nothing. The runtime of
 * ThreadSanitizer has to be preloaded into an interpreter that is not instrumented, and no shell bears it.
 * Thread: before any other. */
#include <stdlib.h>

static void __attribute__((constructor)) end_preload(void)
{
    unsetenv("LD_PRELOAD");
}
