/* See without.h. Part of the switch build only. Thread: any. Owner: nobody. */
#include "luart/vm/without.h"

#include <stdlib.h>

bool tl_without(int row)
{
    /* Read once: the environment of the test process does not change. */
    static int without = -1;
    if (without < 0) {
        const char *text = getenv("TEMPORAL_LUA_WITHOUT");
        without = text ? atoi(text) : 0;
    }
    return row == without;
}
