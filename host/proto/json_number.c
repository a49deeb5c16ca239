/* Doubles as JSON text and back, whatever the locale of the process. See jsonv.h. Thread: any. */
#include "proto/jsonv.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

static const double POWERS_OF_TEN[] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
};

/* strtod in the C locale. text is NUL-terminated. */
static double parse_exact(const char *text)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c) {
        return HUGE_VAL;
    }
    double v = strtod_l(text, NULL, c);
    freelocale(c);
    return v;
}

/* Numbers of at most 15 digits and a small exponent are one exact multiplication or division away
 * from their double. */
static bool parse_fast(struct tl_str text, double *v)
{
    uint64_t digits = 0;
    int count = 0;
    int exponent = 0;
    size_t i = text.n > 0 && text.p[0] == '-' ? 1 : 0;
    bool negative = i == 1;
    bool point = false;
    for (; i < text.n && ((text.p[i] >= '0' && text.p[i] <= '9') || text.p[i] == '.'); i++) {
        if (text.p[i] == '.') {
            point = true;
            continue;
        }
        digits = digits * 10 + (uint64_t)(text.p[i] - '0');
        if (++count > 15) {
            return false;
        }
        exponent -= point;
    }
    if (i < text.n) {
        return false; /* an exponent is rare enough for the slow way */
    }
    double value = exponent < 0 ? (double)digits / POWERS_OF_TEN[-exponent] : (double)digits;
    *v = negative ? -value : value;
    return true;
}

bool tl_json_double_value(struct tl_str text, double *v)
{
    if (parse_fast(text, v)) {
        return true;
    }
    char small[64];
    char *copy = small;
    if (text.n >= sizeof small) {
        copy = tl_mem_try(text.n + 1);
        if (!copy) {
            return false;
        }
    }
    memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    *v = parse_exact(copy);
    if (copy != small) {
        tl_mem_free(copy);
    }
    return isfinite(*v);
}

/* %.*g with the locale's decimal point, which may be several bytes, turned into '.'. */
static size_t format(double v, int precision, char out[32])
{
    char raw[64];
    int n = snprintf(raw, sizeof raw, "%.*g", precision, v);
    size_t used = 0;
    bool point = false;
    for (int i = 0; i < n && used < 31; i++) {
        char c = raw[i];
        if ((c >= '0' && c <= '9') || c == '-' || c == '+' || c == 'e') {
            out[used++] = c;
        } else if (!point) {
            out[used++] = '.';
            point = true;
        }
    }
    out[used] = 0;
    return used;
}

size_t tl_json_double_text(double v, char out[32])
{
    double magnitude = fabs(v);
    if (magnitude < 1e15 && v == floor(v) && !(v == 0 && signbit(v))) {
        return (size_t)snprintf(out, 32, "%lld", (long long)v);
    }
    /* 15 digits always suffice when fewer do, except where doubles are denormal. */
    size_t n = 0;
    for (int precision = magnitude < DBL_MIN ? 1 : 15; precision <= 17; precision++) {
        n = format(v, precision, out);
        double back;
        if (tl_json_double_value(tl_str_n(out, n), &back) && back == v) {
            break;
        }
    }
    return n;
}

size_t tl_json_float_text(float v, char out[32])
{
    size_t n = 0;
    for (int precision = fabsf(v) < FLT_MIN ? 1 : 6; precision <= 9; precision++) {
        n = format((double)v, precision, out);
        double back;
        if (tl_json_double_value(tl_str_n(out, n), &back) && (float)back == v) {
            break;
        }
    }
    return n;
}
