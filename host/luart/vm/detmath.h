/* Mathematical functions that give the same double on every CPU and libc: correctly rounded to
 * nearest, subnormals and special values as IEEE 754 and C (Annex F) define them.
 *
 * Thread: any; each thread keeps caches of constants (see tl_det_thread_end). Owner: nobody. */
#pragma once

/* Owns: nothing. Thread: any. Errors: none; a domain error gives the canonical NaN. */
double tl_det_sin(double x);
double tl_det_cos(double x);
double tl_det_tan(double x);
double tl_det_asin(double x);
double tl_det_acos(double x);
double tl_det_atan2(double y, double x);
double tl_det_exp(double x);
double tl_det_log(double x);
double tl_det_log2(double x);
double tl_det_log10(double x);
double tl_det_pow(double x, double y);

/* x, or the one NaN (positive, quiet, no payload) when x is any NaN.
 * Owns: nothing. Thread: any. Errors: none. */
double tl_det_canonical_nan(double x);

/* Frees what the functions above cached for the calling thread. A thread that ran Lua calls it
 * before it ends. Owns: nothing. Thread: the one that ends. Errors: none. */
void tl_det_thread_end(void);
