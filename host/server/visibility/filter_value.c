/* Values of the filter language: times, durations, statuses, numbers. See filter_int.h. */
#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "base/duration.h"
#include <temporal/api/enums/v1/activity.pb-c.h>
#include <temporal/api/enums/v1/nexus.pb-c.h>
#include <temporal/api/enums/v1/workflow.pb-c.h>

#include "server/visibility/filter_int.h"
#include "tl_enums.h"

/* Rows have the numbers of workflows; `numbers` is what they are of each kind, 0: it has it not. */
#define SAME(name) WORKFLOW_EXECUTION_STATUS_##name
#define OF(name)                                                                                   \
    SAME(name),                                                                                    \
    {                                                                                              \
        SAME(name), ACTIVITY_EXECUTION_STATUS_##name, NEXUS_OPERATION_EXECUTION_STATUS_##name      \
    }
static const struct {
    const char *name;
    int value;
    int numbers[3]; /* by enum tl_run_kind */
} statuses[] = {
    {"Running", OF(RUNNING)},
    {"Completed", OF(COMPLETED)},
    {"Failed", OF(FAILED)},
    {"Canceled", OF(CANCELED)},
    {"Terminated", OF(TERMINATED)},
    {"ContinuedAsNew", SAME(CONTINUED_AS_NEW), {SAME(CONTINUED_AS_NEW), 0, 0}},
    {"TimedOut", OF(TIMED_OUT)},
    {"Paused", SAME(PAUSED), {SAME(PAUSED), ACTIVITY_EXECUTION_STATUS_PAUSED, 0}},
};
#define STATUSES (sizeof statuses / sizeof statuses[0])

const char *tl_filter_status_name(int64_t status)
{
    for (size_t i = 0; i < STATUSES; i++) {
        if (statuses[i].value == status) {
            return statuses[i].name;
        }
    }
    return NULL;
}

static bool two_digits(const char *s, int *out)
{
    *out = (s[0] - '0') * 10 + (s[1] - '0');
    return isdigit((unsigned char)s[0]) && isdigit((unsigned char)s[1]);
}

/* Days since the epoch of a date of the proleptic Gregorian calendar. */
static int64_t days_of(int64_t y, int m, int d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static bool read_zone(const char *s, size_t n, int64_t *offset_s)
{
    int h, m;
    *offset_s = 0;
    if (n == 1 && (*s == 'Z' || *s == 'z')) {
        return true;
    }
    if (n != 6 || (*s != '+' && *s != '-') || s[3] != ':' || !two_digits(s + 1, &h) ||
        !two_digits(s + 4, &m)) {
        return false;
    }
    *offset_s = (*s == '-' ? -1 : 1) * (h * 3600 + m * 60);
    return h < 24 && m < 60;
}

tl_rc tl_filter_time(struct tl_str t, int64_t *ns, struct tl_error *err)
{
    int c1, c2, mo, d, h, mi, s;
    int64_t fraction = 0, scale = 100000000, offset;
    size_t i = 19;
    bool ok = t.n >= 20 && two_digits(t.p, &c1) && two_digits(t.p + 2, &c2) && t.p[4] == '-' &&
              two_digits(t.p + 5, &mo) && t.p[7] == '-' && two_digits(t.p + 8, &d) &&
              (t.p[10] == 'T' || t.p[10] == 't' || t.p[10] == ' ') && two_digits(t.p + 11, &h) &&
              t.p[13] == ':' && two_digits(t.p + 14, &mi) && t.p[16] == ':' &&
              two_digits(t.p + 17, &s) && mo >= 1 && mo <= 12 && d >= 1 && d <= 31 && h < 24 &&
              mi < 60 && s < 61;
    if (ok && t.p[i] == '.') {
        for (i++; i < t.n && isdigit((unsigned char)t.p[i]); i++, scale /= 10) {
            fraction += (t.p[i] - '0') * scale;
        }
    }
    if (!ok || !read_zone(t.p + i, t.n - i, &offset) || c1 * 100 + c2 < 1678 ||
        c1 * 100 + c2 > 2261) {
        return tl_error_set(err, TL_EINVAL, "not a time: \"%.*s\" (like 2026-11-21T10:00:00Z)",
                            TL_STR_FMT(t));
    }
    int64_t seconds = days_of(c1 * 100 + c2, mo, d) * 86400 + h * 3600 + mi * 60 + s - offset;
    *ns = seconds * 1000000000 + fraction;
    return TL_OK;
}

static bool whole_number(struct tl_str s, int64_t *out)
{
    char text[24], *end;
    if (s.n == 0 || s.n >= sizeof text) {
        return false;
    }
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    *out = strtoll(text, &end, 10);
    return *end == 0;
}

/* "Running" or "WORKFLOW_EXECUTION_STATUS_RUNNING", in either case. */
static bool find_status(int kind, struct tl_str s, int64_t *out)
{
    static const ProtobufCEnumDescriptor *const names[] = {
        &tp_enums__workflow_execution_status__descriptor,
        &tp_enums__activity_execution_status__descriptor,
        &tp_enums__nexus_operation_execution_status__descriptor};
    for (size_t i = 0; i < STATUSES; i++) {
        int number = statuses[i].numbers[kind];
        const char *long_name = number ? tl_pb_enum_name(names[kind], number) : NULL;
        if (!number) {
            continue;
        }
        if ((s.n == strlen(statuses[i].name) && strncasecmp(s.p, statuses[i].name, s.n) == 0) ||
            (long_name && tl_str_eqc(s, long_name))) {
            *out = statuses[i].value;
            return true;
        }
    }
    return false;
}

/* A status by its number, to that of rows. */
static bool numbered_status(int kind, int64_t number, int64_t *out)
{
    for (size_t i = 0; number && i < STATUSES; i++) {
        if (statuses[i].numbers[kind] == number) {
            *out = statuses[i].value;
            return true;
        }
    }
    return false;
}

static tl_rc status_value(struct tl_filter_parser *p, bool whole, struct tl_value *v)
{
    static const char *const wanted[] = {
        ("a status (Running, Completed, Failed, Canceled, Terminated, ContinuedAsNew, TimedOut, "
         "Paused)"),
        "a status (Running, Completed, Failed, Canceled, Terminated, TimedOut, Paused)",
        "a status (Running, Completed, Failed, Canceled, Terminated, TimedOut)"};
    int kind = p->scope->kind;
    bool found = whole ? numbered_status(kind, v->num, &v->num)
                       : p->token == TL_T_TEXT && find_status(kind, p->word, &v->num);
    return found ? TL_OK : tl_filter_fail(p, wanted[kind]);
}

/* A number with a fraction or an exponent, or one that is too large to be whole. */
static bool real_number(struct tl_str s, double *out)
{
    char text[64], *end;
    if (s.n == 0 || s.n >= sizeof text) {
        return false;
    }
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    *out = strtod(text, &end);
    return *end == 0 && *out - *out == 0;
}

/* "hh:mm:ss" to nanoseconds. */
static bool clock_span(struct tl_str s, int64_t *ns)
{
    int64_t h = 0;
    int m, sec;
    size_t n = s.n > 6 ? s.n - 6 : 0;
    if (n == 0 || n > 6 || s.p[n] != ':' || s.p[n + 3] != ':' || !two_digits(s.p + n + 1, &m) ||
        !two_digits(s.p + n + 4, &sec) || m > 59 || sec > 59) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!isdigit((unsigned char)s.p[i])) {
            return false;
        }
        h = h * 10 + (s.p[i] - '0');
    }
    *ns = ((h * 60 + m) * 60 + sec) * INT64_C(1000000000);
    return true;
}

static bool read_span(struct tl_str s, int64_t *ns)
{
    bool negative = s.n > 1 && s.p[0] == '-';
    if (whole_number(s, ns) || clock_span(s, ns)) {
        return true;
    }
    if (negative) {
        s = tl_str_n(s.p + 1, s.n - 1);
    }
    if (tl_duration_parse(s, ns, NULL) != TL_OK) {
        return false;
    }
    *ns = negative ? -*ns : *ns;
    return true;
}

/* A time, a date, or how long ago. */
static bool read_time(const struct tl_filter_parser *p, struct tl_str s, int64_t *ns)
{
    char day[24];
    int64_t ago;
    if (tl_filter_time(s, ns, NULL) == TL_OK) {
        return true;
    }
    if (s.n == 10) {
        memcpy(day, s.p, 10);
        memcpy(day + 10, "T00:00:00Z", 10);
        if (tl_filter_time(tl_str_n(day, 20), ns, NULL) == TL_OK) {
            return true;
        }
    }
    bool unit = s.n && isalpha((unsigned char)s.p[s.n - 1]);
    if (!unit || tl_duration_parse(s, &ago, NULL) != TL_OK) {
        return false;
    }
    *ns = p->scope->now_ns - ago;
    return true;
}

static tl_rc number_value(struct tl_filter_parser *p, struct tl_value *v)
{
    if (p->token == TL_T_NUMBER && whole_number(p->word, &v->num)) {
        return TL_OK;
    }
    v->kind = TL_VALUE_DOUBLE;
    return p->token == TL_T_NUMBER && real_number(p->word, &v->real)
               ? TL_OK
               : tl_filter_fail(p, "a number");
}

static tl_rc bool_value(struct tl_filter_parser *p, struct tl_value *v)
{
    v->num = tl_filter_is_word(p, "TRUE");
    return v->num || tl_filter_is_word(p, "FALSE") ? TL_OK
                                                   : tl_filter_fail(p, "TRUE or FALSE, unquoted");
}

static tl_rc read_value(struct tl_filter_parser *p, enum tl_field_kind kind, struct tl_value *v)
{
    bool text = p->token == TL_T_TEXT;
    *v = (struct tl_value){.kind = TL_VALUE_INT};
    bool whole = p->token == TL_T_NUMBER && whole_number(p->word, &v->num);
    switch (kind) {
    case TL_FIELD_KEYWORD:
    case TL_FIELD_LIST:
    case TL_FIELD_TEXT:
        *v = (struct tl_value){.kind = TL_VALUE_TEXT, .text = p->word};
        return text ? TL_OK : tl_filter_fail(p, "a text in quotes");
    case TL_FIELD_INT:
    case TL_FIELD_DOUBLE:
        return number_value(p, v);
    case TL_FIELD_BOOL:
        return bool_value(p, v);
    case TL_FIELD_STATUS:
        return status_value(p, whole, v);
    case TL_FIELD_TIME:
        return whole || (text && read_time(p, p->word, &v->num))
                   ? TL_OK
                   : tl_filter_fail(p, "a time like \"2026-11-21T10:00:00Z\", or a duration for "
                                       "that long ago");
    case TL_FIELD_SPAN:
        return whole || (text && read_span(p->word, &v->num))
                   ? TL_OK
                   : tl_filter_fail(p, "a duration like \"1h30m\" or \"01:30:00\"");
    }
    return tl_filter_fail(p, "a value");
}

tl_rc tl_filter_value(struct tl_filter_parser *p, const struct tl_field *f, struct tl_value *out)
{
    tl_rc rc = read_value(p, f->kind, out);
    if (rc == TL_OK) {
        tl_filter_next(p);
    }
    return rc;
}
