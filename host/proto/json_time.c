/* RFC 3339 timestamps and "1.5s" durations of the JSON mapping. See json_int.h. Thread: any. */
#include "proto/json_int.h"

#include <stdio.h>

#define NS_PER_S 1000000000
#define DAY_S 86400
/* 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z */
#define TIMESTAMP_S_MIN INT64_C(-62135596800)
#define TIMESTAMP_S_MAX INT64_C(253402300799)
#define DURATION_S_MAX INT64_C(315576000000)

/* Fraction with 0, 3, 6 or 9 digits, point included. out has room for 11 bytes. */
static void fraction_text(int32_t nanos, char *out)
{
    if (nanos == 0) {
        out[0] = 0;
    } else if (nanos % 1000000 == 0) {
        snprintf(out, 11, ".%03d", nanos / 1000000);
    } else if (nanos % 1000 == 0) {
        snprintf(out, 11, ".%06d", nanos / 1000);
    } else {
        snprintf(out, 11, ".%09d", nanos);
    }
}

/* Days since 1970-01-01 of a date of the Gregorian calendar; March is the first month, so that the
 * leap day ends the year. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month > 2 ? year : year - 1;
    int64_t m = month > 2 ? month - 3 : month + 9;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * m + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of(int64_t days, int *year, int *month, int *day)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t of_era = z - era * 146097;
    int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * y + y / 4 - y / 100);
    int64_t m = (5 * of_year + 2) / 153;
    *day = (int)(of_year - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = (int)(y + era * 400 + (*month <= 2));
}

tl_rc tl_json_timestamp_text(int64_t seconds, int32_t nanos, char *out, struct tl_error *err)
{
    if (seconds < TIMESTAMP_S_MIN || seconds > TIMESTAMP_S_MAX || nanos < 0 || nanos >= NS_PER_S) {
        return tl_error_set(err, TL_EINVAL, "timestamp is outside the years 1 to 9999");
    }
    int64_t days = (seconds - TIMESTAMP_S_MIN) / DAY_S + TIMESTAMP_S_MIN / DAY_S;
    int rest = (int)(seconds - days * DAY_S);
    int year;
    int month;
    int day;
    char fraction[11];
    date_of(days, &year, &month, &day);
    fraction_text(nanos, fraction);
    snprintf(out, 64, "%04d-%02d-%02dT%02d:%02d:%02d%sZ", year, month, day, rest / 3600,
             rest / 60 % 60, rest % 60, fraction);
    return TL_OK;
}

tl_rc tl_json_duration_text(int64_t seconds, int32_t nanos, char *out, struct tl_error *err)
{
    bool mixed = (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0);
    if (seconds > DURATION_S_MAX || seconds < -DURATION_S_MAX || nanos <= -NS_PER_S ||
        nanos >= NS_PER_S || mixed) {
        return tl_error_set(err, TL_EINVAL, "duration is out of range");
    }
    bool negative = seconds < 0 || nanos < 0;
    char fraction[11];
    fraction_text(nanos < 0 ? -nanos : nanos, fraction);
    snprintf(out, 64, "%s%lld%ss", negative ? "-" : "",
             (long long)(seconds < 0 ? -seconds : seconds), fraction);
    return TL_OK;
}

/* Takes exactly `count` digits from the front. */
static bool take_digits(struct tl_str *s, size_t count, int64_t *v)
{
    *v = 0;
    if (s->n < count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        char c = *s->p++;
        s->n--;
        if (c < '0' || c > '9') {
            return false;
        }
        *v = *v * 10 + (c - '0');
    }
    return true;
}

static bool take_char(struct tl_str *s, char c)
{
    if (s->n == 0 || *s->p != c) {
        return false;
    }
    s->p++;
    s->n--;
    return true;
}

/* An optional fraction of 1 to 9 digits. */
static bool take_fraction(struct tl_str *s, int32_t *nanos)
{
    *nanos = 0;
    if (!take_char(s, '.')) {
        return true;
    }
    int32_t scale = NS_PER_S;
    while (s->n > 0 && *s->p >= '0' && *s->p <= '9' && scale > 1) {
        scale /= 10;
        *nanos += (*s->p - '0') * scale;
        s->p++;
        s->n--;
    }
    return scale < NS_PER_S;
}

static bool take_zone(struct tl_str *s, int64_t *offset_s)
{
    *offset_s = 0;
    if (take_char(s, 'Z')) {
        return true;
    }
    bool west = take_char(s, '-');
    int64_t hours;
    int64_t minutes;
    if ((!west && !take_char(s, '+')) || !take_digits(s, 2, &hours) || !take_char(s, ':') ||
        !take_digits(s, 2, &minutes) || hours > 23 || minutes > 59) {
        return false;
    }
    *offset_s = (hours * 3600 + minutes * 60) * (west ? -1 : 1);
    return true;
}

bool tl_json_timestamp_value(struct tl_str s, int64_t *seconds, int32_t *nanos)
{
    int64_t year, month, day, hour, minute, second, offset_s;
    if (!take_digits(&s, 4, &year) || !take_char(&s, '-') || !take_digits(&s, 2, &month) ||
        !take_char(&s, '-') || !take_digits(&s, 2, &day) || !take_char(&s, 'T') ||
        !take_digits(&s, 2, &hour) || !take_char(&s, ':') || !take_digits(&s, 2, &minute) ||
        !take_char(&s, ':') || !take_digits(&s, 2, &second) || !take_fraction(&s, nanos) ||
        !take_zone(&s, &offset_s) || s.n > 0) {
        return false;
    }
    if (month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    int64_t days = days_of(year, month, day);
    int check_year;
    int check_month;
    int check_day;
    date_of(days, &check_year, &check_month, &check_day);
    if (check_day != day) {
        return false; /* the month has fewer days */
    }
    *seconds = days * DAY_S + hour * 3600 + minute * 60 + second - offset_s;
    return *seconds >= TIMESTAMP_S_MIN && *seconds <= TIMESTAMP_S_MAX;
}

bool tl_json_duration_value(struct tl_str s, int64_t *seconds, int32_t *nanos)
{
    bool negative = take_char(&s, '-');
    int64_t v = 0;
    size_t count = 0;
    for (; s.n > 0 && *s.p >= '0' && *s.p <= '9'; s.p++, s.n--) {
        if (++count > 15) {
            return false;
        }
        v = v * 10 + (*s.p - '0');
    }
    if (count == 0 || !take_fraction(&s, nanos) || !take_char(&s, 's') || s.n > 0 ||
        v > DURATION_S_MAX) {
        return false;
    }
    *seconds = negative ? -v : v;
    *nanos = negative ? -*nanos : *nanos;
    return true;
}
