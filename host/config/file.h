/* Settings files as a whole: read at once, replaced at once. Thread: any. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

#define TL_CONFIG_FILE_BYTES_MAX ((size_t)4 << 20)

/* The content, in the arena. Errors: TL_ENOTFOUND, TL_EIO, TL_ELIMIT (the limit above). */
tl_rc tl_config_read(const char *path, struct tl_arena *arena, struct tl_str *out,
                     struct tl_error *err) TL_MUST_USE;
/* Puts a new file in the place of the old one, whose mode it keeps; a new one is for its owner only, and
 * so are folders that were missing. A reader sees the old content or the new. Errors: TL_EIO. */
tl_rc tl_config_replace(const char *path, struct tl_str content, struct tl_error *err) TL_MUST_USE;
