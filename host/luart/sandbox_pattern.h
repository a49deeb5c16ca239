/* Lua patterns, matched with a step count, so that a pathological pattern is stopped by the budget
 * like any other loop. Thread: the run's. Owner: nothing is allocated. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "luart/vm/vm.h"

#define TL_PATTERN_CAPTURES 32

struct tl_match {
    lua_State *L;
    const char *src, *src_end, *pat_end;
    uint32_t steps;
    int depth;
    int level; /* captures so far, closed or open */
    struct {
        const char *p;
        ptrdiff_t n; /* CAPTURE_OPEN, CAPTURE_POSITION or a length */
    } capture[TL_PATTERN_CAPTURES];
};

void tl_pattern_init(struct tl_match *m, lua_State *L, const char *s, size_t n, const char *p,
                     size_t pattern_n);
/* Matches the pattern from p at exactly s; the end of the match, or NULL. Errors: Lua errors. */
const char *tl_pattern_match(struct tl_match *m, const char *s, const char *p);
/* Pushes all captures; the whole match when there are none and s is given. Returns their number. */
int tl_pattern_push_captures(struct tl_match *m, const char *s, const char *e);
/* Pushes capture i (0-based); the whole match for 0 when there are none. */
void tl_pattern_push_capture(struct tl_match *m, int i, const char *s, const char *e);
