/* Durations as text. See duration.h. */
#include "base/duration.h"

#include <stdio.h>
#include <string.h>

#include "base/world.h"

static const struct {
    const char *name;
    int64_t ns;
} units[] = {
    {"ns", 1},
    {"us", 1000},
    {"ms", TL_NS_PER_MS},
    {"s", TL_NS_PER_S},
    {"m", 60 * TL_NS_PER_S},
    {"h", 3600 * TL_NS_PER_S},
    {"d", 86400 * TL_NS_PER_S},
};

#define NS_MAX (INT64_C(36525) * 86400 * TL_NS_PER_S)

/* Decimal digits with an optional fraction, as thousandths of a nano-unit-free rational: value is
 * returned as integer part and fraction in 1e-9. */
static size_t number(struct tl_str t, size_t i, int64_t *whole, int64_t *nano)
{
    size_t start = i;
    int64_t scale = 100000000;
    *whole = *nano = 0;
    for (; i < t.n && t.p[i] >= '0' && t.p[i] <= '9'; i++) {
        *whole = *whole > NS_MAX / 10 ? NS_MAX + 1 : *whole * 10 + (t.p[i] - '0');
    }
    if (i < t.n && t.p[i] == '.' && i > start) {
        for (i++; i < t.n && t.p[i] >= '0' && t.p[i] <= '9'; i++, scale /= 10) {
            *nano += (t.p[i] - '0') * scale;
        }
    }
    return i;
}

static int64_t unit_at(struct tl_str t, size_t *i)
{
    size_t best = 0;
    int64_t ns = 0;
    for (size_t u = 0; u < sizeof units / sizeof units[0]; u++) {
        size_t n = strlen(units[u].name);
        if (n > best && *i + n <= t.n && memcmp(t.p + *i, units[u].name, n) == 0) {
            best = n;
            ns = units[u].ns;
        }
    }
    *i += best;
    return ns;
}

tl_rc tl_duration_parse(struct tl_str text, int64_t *ns, struct tl_error *err)
{
    size_t i = 0;
    __int128 total = 0;
    bool any = false;
    while (i < text.n) {
        int64_t whole, nano;
        size_t after = number(text, i, &whole, &nano);
        if (after == i) {
            any = false;
            break;
        }
        i = after;
        bool bare = i == text.n && !any;
        int64_t unit = bare ? TL_NS_PER_S : unit_at(text, &i);
        if (unit == 0) {
            any = false;
            break;
        }
        total += (__int128)whole * unit + (__int128)nano * unit / 1000000000;
        total = total > NS_MAX ? (__int128)NS_MAX + 1 : total;
        any = true;
    }
    if (!any) {
        return tl_error_set(err, TL_EINVAL,
                            "'%.*s' is not a duration: use a number of seconds or text like "
                            "\"90s\", \"5m\", \"1h30m\", \"7d\"",
                            TL_STR_FMT(text));
    }
    if (total > NS_MAX) {
        return tl_error_set(err, TL_EINVAL, "duration '%.*s' is longer than 100 years",
                            TL_STR_FMT(text));
    }
    *ns = (int64_t)total;
    return TL_OK;
}

size_t tl_duration_format(int64_t ns, char *out, size_t cap)
{
    size_t n = 0;
    if (ns <= 0) {
        return (size_t)snprintf(out, cap, "0s");
    }
    for (size_t u = sizeof units / sizeof units[0]; u-- > 0 && ns > 0;) {
        int64_t count = ns / units[u].ns;
        if (count > 0 && n < cap) {
            n += (size_t)snprintf(out + n, cap - n, "%lld%s", (long long)count, units[u].name);
            ns -= count * units[u].ns;
        }
    }
    return n < cap ? n : cap - 1;
}
