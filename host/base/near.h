/* How near two names are: for "did you mean" in messages. Thread: any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/* Edits (change, drop or add a byte) that turn a into b; with fold_case, ASCII letters of either case
 * are the same. SIZE_MAX when either is longer than 60 bytes: no name is. */
size_t tl_edit_distance(struct tl_str a, struct tl_str b, bool fold_case);

/* The nearest of some names. Made with what is wanted and the number of edits that are too many; every
 * name is then shown to it. Of names that are equally near the first stays. */
struct tl_near {
    struct tl_str wanted;
    size_t too_many;
    bool fold_case;
    struct tl_str best; /* a view of a name that was shown; p == NULL: none is near */
};
void tl_near_look(struct tl_near *near, struct tl_str name);
