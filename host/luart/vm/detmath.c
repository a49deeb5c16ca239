/* Correctly rounded functions over MPFR: 53 bits of precision and the exponent range of an IEEE
 * double, so that the one rounding MPFR does is the final one; subnormal results are rounded a
 * second time by mpfr_subnormalize, which knows the direction of the first. */
#include "luart/vm/detmath.h"

#include "luart/vm/without.h"

#include <math.h>
#include <mpfr.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* MPFR's significand lies in [1/2, 1): its exponents are one above the IEEE ones. */
#define EXPONENT_MIN (-1073)
#define EXPONENT_MAX 1024
#define PRECISION 53

/* Products of integers up to here are exact. */
#define EXACT_INTEGER_MAX 9007199254740992.0

struct range {
    mpfr_exp_t min;
    mpfr_exp_t max;
};

typedef int (*unary_fn)(mpfr_ptr, mpfr_srcptr, mpfr_rnd_t);
typedef int (*binary_fn)(mpfr_ptr, mpfr_srcptr, mpfr_srcptr, mpfr_rnd_t);

double tl_det_canonical_nan(double x)
{
    static const uint64_t bits = UINT64_C(0x7ff8000000000000);
    if (x != x && !TL_WITHOUT(31)) {
        memcpy(&x, &bits, sizeof x);
    }
    return x;
}

/* The embedder may use MPFR too: its exponent range is put back afterwards. */
static struct range enter(void)
{
    struct range before = {mpfr_get_emin(), mpfr_get_emax()};
    mpfr_set_emin(EXPONENT_MIN);
    mpfr_set_emax(EXPONENT_MAX);
    return before;
}

static double leave(struct range before, mpfr_ptr result, int ternary)
{
    mpfr_subnormalize(result, ternary, MPFR_RNDN);
    double value = mpfr_get_d(result, MPFR_RNDN);
    mpfr_set_emin(before.min);
    mpfr_set_emax(before.max);
    return tl_det_canonical_nan(value);
}

static double unary(unary_fn function, double x)
{
    MPFR_DECL_INIT(argument, PRECISION);
    MPFR_DECL_INIT(result, PRECISION);
    struct range before = enter();
    mpfr_set_d(argument, x, MPFR_RNDN);
    int ternary = function(result, argument, MPFR_RNDN);
    return leave(before, result, ternary);
}

static double binary(binary_fn function, double x, double y)
{
    MPFR_DECL_INIT(first, PRECISION);
    MPFR_DECL_INIT(second, PRECISION);
    MPFR_DECL_INIT(result, PRECISION);
    struct range before = enter();
    mpfr_set_d(first, x, MPFR_RNDN);
    mpfr_set_d(second, y, MPFR_RNDN);
    int ternary = function(result, first, second, MPFR_RNDN);
    return leave(before, result, ternary);
}

double tl_det_sin(double x)
{
    return TL_WITHOUT(30) ? sin(x) : unary(mpfr_sin, x);
}

double tl_det_cos(double x)
{
    return TL_WITHOUT(30) ? cos(x) : unary(mpfr_cos, x);
}

double tl_det_tan(double x)
{
    return TL_WITHOUT(30) ? tan(x) : unary(mpfr_tan, x);
}

double tl_det_asin(double x)
{
    return TL_WITHOUT(30) ? asin(x) : unary(mpfr_asin, x);
}

double tl_det_acos(double x)
{
    return TL_WITHOUT(30) ? acos(x) : unary(mpfr_acos, x);
}

double tl_det_atan2(double y, double x)
{
    return TL_WITHOUT(30) ? atan2(y, x) : binary(mpfr_atan2, y, x);
}

double tl_det_exp(double x)
{
    return TL_WITHOUT(30) ? exp(x) : unary(mpfr_exp, x);
}

double tl_det_log(double x)
{
    return TL_WITHOUT(30) ? log(x) : unary(mpfr_log, x);
}

double tl_det_log2(double x)
{
    return TL_WITHOUT(30) ? log2(x) : unary(mpfr_log2, x);
}

double tl_det_log10(double x)
{
    return TL_WITHOUT(30) ? log10(x) : unary(mpfr_log10, x);
}

/* Integral powers of integers, while every product is exact: the common case of scripts, and the
 * same value MPFR would give at a fiftieth of the price. */
static bool exact_power(double x, double y, double *out)
{
    if (!(y >= 0 && y <= EXACT_INTEGER_MAX) || y != floor(y)) {
        return false;
    }
    if (!(fabs(x) >= 2 && fabs(x) <= EXACT_INTEGER_MAX) || x != floor(x)) {
        return false;
    }
    double product = 1;
    for (double n = 0; n < y; n++) {
        product *= x;
        if (fabs(product) > EXACT_INTEGER_MAX) {
            return false;
        }
    }
    *out = product;
    return true;
}

double tl_det_pow(double x, double y)
{
    double exact = 0;
    if (TL_WITHOUT(30)) {
        return pow(x, y);
    }
    if (exact_power(x, y, &exact)) {
        return exact;
    }
    if (y == 0.5 && x > 0) {
        return sqrt(x); /* correctly rounded by IEEE 754 itself */
    }
    return binary(mpfr_pow, x, y);
}

void tl_det_thread_end(void)
{
    mpfr_free_cache2(MPFR_FREE_LOCAL_CACHE);
}
