/* The limits table (limits.def) as constants: TL_LIMIT_<name> is the default. Settable ones are
 * carried in the options of the module that enforces them and checked against MIN and MAX here. */
#pragma once

#include <stdint.h>

#define X(name, def, min, max, unit, consequence)                                                  \
    static const int64_t tl_limit_##name = (def);                                                  \
    _Static_assert((min) <= (def) && (def) <= (max), "limit " #name);
#include "base/limits.def"
#undef X

struct tl_limit_row {
    const char *name;
    int64_t def, min, max;
    const char *unit, *consequence;
};

/* All rows; the last has name NULL. */
const struct tl_limit_row *tl_limit_rows(void);
