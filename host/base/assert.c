/* The one place where a broken invariant ends the process. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void tl_assert_failed(const char *file, int line, const char *expr)
{
    fprintf(stderr, "temporal-lua: assertion failed: %s (%s:%d)\n", expr, file, line);
    abort();
}
