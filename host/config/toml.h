/* A strict reader of TOML 1.0: tables, dotted and quoted keys, the four forms of strings, booleans,
 * numbers and dates (as their text), arrays and inline tables. It reports each value with its path; what
 * is no TOML is an error with its line.
 * Arrays of tables are refused: nothing that is read with it has them. Thread: any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

/* TABLE: a header, or an inline table with nothing in it; it has no text. */
enum tl_toml_kind { TL_TOML_STRING, TL_TOML_BOOLEAN, TL_TOML_OTHER, TL_TOML_TABLE };

#define TL_TOML_DEPTH_MAX 16

struct tl_toml_value {
    const struct tl_str *path; /* of its keys, outermost first; texts live in the arena */
    size_t depth;
    enum tl_toml_kind kind;
    struct tl_str text; /* of a string its content; else as it stands; in the arena or the input */
    int line;
};

/* Anything but TL_OK ends the reading with that. */
typedef tl_rc (*tl_toml_fn)(void *ud, const struct tl_toml_value *value, struct tl_error *err);

/* Errors: TL_EINVAL with the line; what fn returns; TL_ELIMIT. */
tl_rc tl_toml_read(struct tl_str text, struct tl_arena *arena, tl_toml_fn fn, void *ud,
                   struct tl_error *err) TL_MUST_USE;
