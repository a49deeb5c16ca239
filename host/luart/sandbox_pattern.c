/* See sandbox_pattern.h. Thread: the run's. Owner: nothing is allocated. */
#include "luart/sandbox_pattern.h"

#include <string.h>

#include "luart/run_int.h"

enum { DEPTH_MAX = 200, STEPS_PER_TICK = 4096 };
enum { CAPTURE_OPEN = -1, CAPTURE_POSITION = -2 };

void tl_pattern_init(struct tl_match *m, lua_State *L, const char *s, size_t n, const char *p,
                     size_t pattern_n)
{
    m->L = L;
    m->src = s;
    m->src_end = s + n;
    m->pat_end = p + pattern_n;
    m->steps = 0;
    m->depth = 0;
    m->level = 0;
}

static void step(struct tl_match *m)
{
    if (++m->steps >= STEPS_PER_TICK) {
        m->steps = 0;
        tl_state_tick(m->L, STEPS_PER_TICK);
    }
}

/* --- single characters ------------------------------------------------------------------------ */

static bool in_range(int c, int low, int high)
{
    return c >= low && c <= high;
}

/* Whether c belongs to the class of a letter (%a, %D ...); another letter stands for itself. */
static bool class_has(int c, int letter)
{
    bool upper = in_range(c, 'A', 'Z'), lower = in_range(c, 'a', 'z'),
         digit = in_range(c, '0', '9');
    bool graph = in_range(c, 0x21, 0x7e), in;
    switch (letter | 0x20) {
    case 'a':
        in = upper || lower;
        break;
    case 'c':
        in = c < 0x20 || c == 0x7f;
        break;
    case 'd':
        in = digit;
        break;
    case 'g':
        in = graph;
        break;
    case 'l':
        in = lower;
        break;
    case 'p':
        in = graph && !upper && !lower && !digit;
        break;
    case 's':
        in = c == ' ' || in_range(c, '\t', '\r');
        break;
    case 'u':
        in = upper;
        break;
    case 'w':
        in = upper || lower || digit;
        break;
    case 'x':
        in = digit || in_range(c | 0x20, 'a', 'f');
        break;
    default:
        return letter == c;
    }
    if (!in_range(letter | 0x20, 'a', 'z')) {
        return letter == c;
    }
    return in_range(letter, 'A', 'Z') ? !in : in;
}

/* The first position behind the single-character item that starts at p. */
static const char *item_end(struct tl_match *m, const char *p)
{
    char first = *p++;
    if (first == '%') {
        if (p == m->pat_end) {
            luaL_error(m->L, "malformed pattern (ends with '%%')");
        }
        return p + 1;
    }
    if (first != '[') {
        return p;
    }
    if (p < m->pat_end && *p == '^') {
        p++;
    }
    do { /* a ']' in first place stands for itself */
        if (p == m->pat_end) {
            luaL_error(m->L, "malformed pattern (missing ']')");
        }
        if (*p++ == '%') {
            if (p == m->pat_end) {
                luaL_error(m->L, "malformed pattern (missing ']')");
            }
            p++;
        }
    } while (p == m->pat_end || *p != ']');
    return p + 1;
}

/* Whether c is in the set from p ('[') to last (its ']'). */
static bool set_has(int c, const char *p, const char *last)
{
    bool found = true;
    p++;
    if (*p == '^') {
        found = false;
        p++;
    }
    for (; p < last; p++) {
        if (*p == '%') {
            p++;
            if (class_has(c, (unsigned char)*p)) {
                return found;
            }
        } else if (p + 2 < last && p[1] == '-') {
            if (in_range(c, (unsigned char)p[0], (unsigned char)p[2])) {
                return found;
            }
            p += 2;
        } else if ((unsigned char)*p == c) {
            return found;
        }
    }
    return !found;
}

static bool item_matches(struct tl_match *m, const char *s, const char *p, const char *end)
{
    step(m);
    if (s >= m->src_end) {
        return false;
    }
    int c = (unsigned char)*s;
    switch (*p) {
    case '.':
        return true;
    case '%':
        return class_has(c, (unsigned char)p[1]);
    case '[':
        return set_has(c, p, end - 1);
    default:
        return (unsigned char)*p == c;
    }
}

/* --- items with a meaning of their own -------------------------------------------------------- */

static const char *match_balance(struct tl_match *m, const char *s, const char *p)
{
    if (m->pat_end - p < 2) {
        luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
    }
    if (s >= m->src_end || *s != p[0]) {
        return NULL;
    }
    int open = 1;
    for (s++; s < m->src_end; s++) {
        step(m);
        if (*s == p[1]) {
            if (--open == 0) {
                return s + 1;
            }
        } else if (*s == p[0]) {
            open++;
        }
    }
    return NULL;
}

static int closed_capture(struct tl_match *m, char digit)
{
    int i = digit - '1';
    if (i < 0 || i >= m->level || m->capture[i].n == CAPTURE_OPEN) {
        luaL_error(m->L, "invalid capture index %%%d", i + 1);
    }
    return i;
}

static const char *open_capture(struct tl_match *m, const char *s, const char *p, ptrdiff_t kind)
{
    if (m->level >= TL_PATTERN_CAPTURES) {
        luaL_error(m->L, "too many captures");
    }
    m->capture[m->level].p = s;
    m->capture[m->level].n = kind;
    m->level++;
    const char *end = tl_pattern_match(m, s, p);
    if (!end) {
        m->level--;
    }
    return end;
}

static const char *close_capture(struct tl_match *m, const char *s, const char *p)
{
    int i = m->level - 1;
    while (i >= 0 && m->capture[i].n != CAPTURE_OPEN) {
        i--;
    }
    if (i < 0) {
        luaL_error(m->L, "invalid pattern capture");
    }
    m->capture[i].n = s - m->capture[i].p;
    const char *end = tl_pattern_match(m, s, p);
    if (!end) {
        m->capture[i].n = CAPTURE_OPEN;
    }
    return end;
}

/* Item repeated as often as possible (at least `least` times), then the rest. */
static const char *match_greedy(struct tl_match *m, const char *s, const char *p, const char *end,
                                ptrdiff_t least)
{
    ptrdiff_t n = 0;
    while (item_matches(m, s + n, p, end)) {
        n++;
    }
    for (; n >= least; n--) {
        const char *e = tl_pattern_match(m, s + n, end + 1);
        if (e) {
            return e;
        }
    }
    return NULL;
}

static const char *match_lazy(struct tl_match *m, const char *s, const char *p, const char *end)
{
    for (;; s++) {
        const char *e = tl_pattern_match(m, s, end + 1);
        if (e || !item_matches(m, s, p, end)) {
            return e;
        }
    }
}

/* %f[set]: the empty string between a character outside the set and one inside. */
static bool match_frontier(struct tl_match *m, const char *s, const char *p, const char *end)
{
    int before = s == m->src ? 0 : (unsigned char)s[-1];
    int here = s < m->src_end ? (unsigned char)*s : 0;
    return !set_has(before, p, end - 1) && set_has(here, p, end - 1);
}

/* --- the matcher ------------------------------------------------------------------------------ */

enum outcome { GO_ON, ENDED };

/* Items that begin with '%' and are no class. ENDED: *result is the answer; GO_ON: *s and *p moved,
 * or *plain says that the item is a single character. */
static enum outcome match_special(struct tl_match *m, const char **s, const char **p, bool *plain,
                                  const char **result)
{
    const char *at = *p;
    char kind = at + 1 < m->pat_end ? at[1] : '\0';
    *plain = false;
    *result = NULL;
    if (kind == 'b') {
        *s = match_balance(m, *s, at + 2);
        *p = at + 4;
        return *s ? GO_ON : ENDED;
    }
    if (kind == 'f') {
        if (at + 2 >= m->pat_end || at[2] != '[') {
            luaL_error(m->L, "missing '[' after '%%f' in pattern");
        }
        const char *end = item_end(m, at + 2);
        *p = end;
        return match_frontier(m, *s, at + 2, end) ? GO_ON : ENDED;
    }
    if (kind >= '0' && kind <= '9') {
        int i = closed_capture(m, kind);
        size_t n = m->capture[i].n > 0 ? (size_t)m->capture[i].n : 0;
        if ((size_t)(m->src_end - *s) < n || memcmp(m->capture[i].p, *s, n) != 0) {
            return ENDED;
        }
        *s += n;
        *p = at + 2;
        return GO_ON;
    }
    *plain = true;
    return GO_ON;
}

/* One single-character item with its repetition. */
static enum outcome match_item(struct tl_match *m, const char **s, const char **p,
                               const char **result)
{
    const char *end = item_end(m, *p);
    char repetition = end < m->pat_end ? *end : '\0';
    *result = NULL;
    switch (repetition) {
    case '*':
        *result = match_greedy(m, *s, *p, end, 0);
        return ENDED;
    case '+':
        *result = match_greedy(m, *s, *p, end, 1);
        return ENDED;
    case '-':
        *result = match_lazy(m, *s, *p, end);
        return ENDED;
    case '?':
        if (item_matches(m, *s, *p, end)) {
            *result = tl_pattern_match(m, *s + 1, end + 1);
            if (*result) {
                return ENDED;
            }
        }
        *p = end + 1;
        return GO_ON;
    default:
        if (!item_matches(m, *s, *p, end)) {
            return ENDED;
        }
        ++*s;
        *p = end;
        return GO_ON;
    }
}

const char *tl_pattern_match(struct tl_match *m, const char *s, const char *p)
{
    const char *result = NULL;
    if (++m->depth > DEPTH_MAX) {
        luaL_error(m->L, "pattern too complex");
    }
    for (;;) {
        enum outcome outcome;
        bool plain = true;
        if (p == m->pat_end) {
            result = s;
            break;
        }
        step(m);
        if (*p == '(') {
            bool position = p + 1 < m->pat_end && p[1] == ')';
            result = position ? open_capture(m, s, p + 2, CAPTURE_POSITION)
                              : open_capture(m, s, p + 1, CAPTURE_OPEN);
            break;
        }
        if (*p == ')') {
            result = close_capture(m, s, p + 1);
            break;
        }
        if (*p == '$' && p + 1 == m->pat_end) {
            result = s == m->src_end ? s : NULL;
            break;
        }
        if (*p == '%') {
            outcome = match_special(m, &s, &p, &plain, &result);
            if (outcome == ENDED) {
                break;
            }
        }
        if (plain && match_item(m, &s, &p, &result) == ENDED) {
            break;
        }
    }
    m->depth--;
    return result;
}

/* --- captures --------------------------------------------------------------------------------- */

void tl_pattern_push_capture(struct tl_match *m, int i, const char *s, const char *e)
{
    if (i >= m->level) {
        if (i != 0) {
            luaL_error(m->L, "invalid capture index %%%d", i + 1);
        }
        lua_pushlstring(m->L, s, (size_t)(e - s));
    } else if (m->capture[i].n == CAPTURE_POSITION) {
        lua_pushinteger(m->L, (lua_Integer)(m->capture[i].p - m->src) + 1);
    } else if (m->capture[i].n == CAPTURE_OPEN) {
        luaL_error(m->L, "unfinished capture");
    } else {
        lua_pushlstring(m->L, m->capture[i].p, (size_t)m->capture[i].n);
    }
}

int tl_pattern_push_captures(struct tl_match *m, const char *s, const char *e)
{
    int n = m->level == 0 && s ? 1 : m->level;
    luaL_checkstack(m->L, n, "too many captures");
    for (int i = 0; i < n; i++) {
        tl_pattern_push_capture(m, i, s, e);
    }
    return n;
}
