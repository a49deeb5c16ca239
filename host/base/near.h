/* How near two names are: for "did you mean" in messages. Thread: any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/* Edits (change, drop or add a byte) that turn a into b; with fold_case, ASCII letters of either case
 * are the same. SIZE_MAX when either is longer than 60 bytes: no name is. */
size_t tl_edit_distance(struct tl_str a, struct tl_str b, bool fold_case);
