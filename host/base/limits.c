/* The limits table as rows, for documents, option checks and the simulator. */
#include "base/limits.h"

#include <stddef.h>

static const struct tl_limit_row rows[] = {
#define X(name, def, min, max, unit, consequence)                                                  \
    {#name, (def), (min), (max), (unit), (consequence)},
#include "base/limits.def"
#undef X
    {NULL, 0, 0, 0, NULL, NULL},
};

const struct tl_limit_row *tl_limit_rows(void)
{
    return rows;
}
