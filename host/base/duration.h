/* Text durations as users write them: "90s", "1h30m", "7d", "1.5s", "250ms", or a bare number of
 * seconds. Thread: any. */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

/* Result in nanoseconds; negative, overflowing (> 100 years) or malformed text is TL_EINVAL. */
tl_rc tl_duration_parse(struct tl_str text, int64_t *ns, struct tl_error *err) TL_MUST_USE;
/* Shortest text that parses back: "1h30m", "250ms", "0s". Returns bytes written (< cap). */
size_t tl_duration_format(int64_t ns, char *out, size_t cap);
