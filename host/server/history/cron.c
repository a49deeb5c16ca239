/* Cron schedules of workflows: five fields (minute hour day-of-month month day-of-week) with lists,
 * ranges and steps, names of months and days, the @ descriptors and "@every <duration>". All in UTC.
 * Thread: any. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/duration.h"
#include "server/history/policy.h"
#include "server/history/rs.h"

/* Bit sets of allowed values; a star is remembered because day-of-month and day-of-week are OR-ed
 * unless one of them is a star. */
struct cron {
    uint64_t minute, hour, day, month, weekday;
    bool any_day, any_weekday;
    int64_t every_s; /* > 0: @every */
};

static const char *const MONTHS[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                     "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const DAYS[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

struct field {
    unsigned min, max;
    const char *const *names;
    size_t name_count;
};

/* --- parsing --------------------------------------------------------------------------------- */

static bool parse_value(const char **s, const struct field *f, unsigned *out)
{
    for (size_t i = 0; i < f->name_count; i++) {
        if (strncasecmp(*s, f->names[i], 3) == 0) {
            *out = (unsigned)i + f->min;
            *s += 3;
            return true;
        }
    }
    if (**s < '0' || **s > '9') {
        return false;
    }
    char *end = NULL;
    unsigned long v = strtoul(*s, &end, 10);
    if (v > 1000) {
        return false;
    }
    *s = end;
    *out = (unsigned)v;
    return true;
}

/* One element of a list: `*`, `a`, `a-b`, each with an optional `/step`. */
static bool parse_part(const char **s, const struct field *f, uint64_t *bits, bool *star)
{
    unsigned low = f->min, high = f->max, step = 1;
    bool single = false;
    if (**s == '*' || **s == '?') {
        (*s)++;
        *star = true;
    } else {
        if (!parse_value(s, f, &low)) {
            return false;
        }
        single = **s != '-';
        high = low;
        if (!single) {
            (*s)++;
            if (!parse_value(s, f, &high)) {
                return false;
            }
        }
    }
    if (**s == '/') {
        const struct field number = {0, 1000, NULL, 0};
        (*s)++;
        if (!parse_value(s, &number, &step) || step == 0) {
            return false;
        }
        *star = *star && step == 1;
        high = single ? f->max : high; /* "a/step": from a to the end */
    }
    if (low < f->min || high > f->max || low > high) {
        return false;
    }
    for (unsigned v = low; v <= high; v += step) {
        *bits |= UINT64_C(1) << v;
    }
    return true;
}

static bool parse_field(const char **s, const struct field *f, uint64_t *bits, bool *star)
{
    *bits = 0;
    *star = false;
    while (**s == ' ' || **s == '\t') {
        (*s)++;
    }
    for (;;) {
        if (!parse_part(s, f, bits, star)) {
            return false;
        }
        if (**s != ',') {
            return **s == 0 || **s == ' ' || **s == '\t';
        }
        (*s)++;
    }
}

static bool parse_fields(const char *s, struct cron *c)
{
    static const struct field MINUTE = {0, 59, NULL, 0}, HOUR = {0, 23, NULL, 0},
                              DAY = {1, 31, NULL, 0}, MONTH = {1, 12, MONTHS, 12},
                              WEEKDAY = {0, 7, DAYS, 7};
    bool ignored = false;
    if (!parse_field(&s, &MINUTE, &c->minute, &ignored) ||
        !parse_field(&s, &HOUR, &c->hour, &ignored) ||
        !parse_field(&s, &DAY, &c->day, &c->any_day) ||
        !parse_field(&s, &MONTH, &c->month, &ignored) ||
        !parse_field(&s, &WEEKDAY, &c->weekday, &c->any_weekday)) {
        return false;
    }
    if (c->weekday & (UINT64_C(1) << 7)) { /* 7 is Sunday, too */
        c->weekday |= 1;
    }
    while (*s == ' ' || *s == '\t') {
        s++;
    }
    return *s == 0;
}

static bool parse(const char *s, struct cron *c)
{
    static const struct {
        const char *name, *fields;
    } NAMES[] = {
        {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
        {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
        {"@hourly", "0 * * * *"},
    };
    *c = (struct cron){0};
    if (strncmp(s, "CRON_TZ=UTC ", 12) == 0) {
        s += 12;
    } else if (strncmp(s, "TZ=UTC ", 7) == 0) {
        s += 7;
    }
    if (strncmp(s, "@every ", 7) == 0) {
        int64_t ns = 0;
        if (tl_duration_parse(tl_str(s + 7), &ns, NULL) != TL_OK) {
            return false;
        }
        c->every_s = ns / TL_NS_IN_S > 0 ? ns / TL_NS_IN_S : 1;
        return true;
    }
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        if (strcmp(s, NAMES[i].name) == 0) {
            return parse_fields(NAMES[i].fields, c);
        }
    }
    return parse_fields(s, c);
}

/* --- the next time --------------------------------------------------------------------------- */

static bool has(uint64_t bits, int v)
{
    return (bits >> v) & 1;
}

static bool day_fits(const struct cron *c, const struct tm *t)
{
    bool day = has(c->day, t->tm_mday), weekday = has(c->weekday, t->tm_wday);
    return c->any_day || c->any_weekday ? day && weekday : day || weekday;
}

/* First matching second after `after_s`; -1 when none within five years. */
static int64_t next_after(const struct cron *c, int64_t after_s)
{
    if (c->every_s > 0) {
        return after_s + c->every_s;
    }
    time_t at = (time_t)(after_s / 60 * 60 + 60);
    const int64_t limit_s = after_s + INT64_C(5) * 366 * 86400;
    struct tm t;
    while ((int64_t)at <= limit_s && gmtime_r(&at, &t)) {
        if (!has(c->month, t.tm_mon + 1) || !day_fits(c, &t)) {
            at += 86400 - (t.tm_hour * 3600 + t.tm_min * 60);
        } else if (!has(c->hour, t.tm_hour)) {
            at += 3600 - t.tm_min * 60;
        } else if (!has(c->minute, t.tm_min)) {
            at += 60;
        } else {
            return (int64_t)at;
        }
    }
    return -1;
}

tl_rc tl_cron_check(const char *schedule, struct tl_error *err)
{
    struct cron c;
    if (!parse(schedule, &c)) {
        return tl_error_set(err, TL_EINVAL, "invalid CronSchedule.");
    }
    /* Any start will do: a schedule that fits no day of some five years fits none. */
    if (next_after(&c, 0) < 0) {
        return tl_error_set(err, TL_EINVAL,
                            "invalid CronSchedule, no time can be found to satisfy the schedule");
    }
    return TL_OK;
}

int64_t tl_cron_backoff_ns(const char *schedule, int64_t scheduled_ns, int64_t now_ns)
{
    struct cron c;
    int64_t scheduled_s = scheduled_ns / TL_NS_IN_S, at_s = scheduled_s;
    if (!parse(schedule, &c)) {
        return -1;
    }
    if (now_ns >= scheduled_ns) {
        if (c.every_s > 0) { /* in one step: the gap may be long */
            int64_t behind_s = now_ns / TL_NS_IN_S - scheduled_s;
            at_s = scheduled_s + (behind_s / c.every_s) * c.every_s;
        } else if (now_ns / TL_NS_IN_S - 60 > scheduled_s) {
            at_s = now_ns / TL_NS_IN_S - 60;
        }
        do {
            at_s = next_after(&c, at_s);
        } while (at_s >= 0 && at_s * TL_NS_IN_S < now_ns);
    }
    if (at_s < 0) {
        return -1;
    }
    int64_t gap_ns = at_s * TL_NS_IN_S - now_ns;
    return gap_ns <= 0 ? 0 : (gap_ns + TL_NS_IN_S - 1) / TL_NS_IN_S * TL_NS_IN_S;
}
