/* Texts for the cells of print.h: times, durations, enums, messages. Pure but for the arena. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "base/world.h"
#include "cli/print.h"
#include "proto/payload.h"
#include "proto/pb.h"

#define MINUTE_S 60
#define HOUR_S 3600
#define DAY_S INT64_C(86400)
#define WEEK_S (7 * DAY_S)
#define MONTH_S (30 * DAY_S)
#define YEAR_S (12 * MONTH_S)

/* "5 minutes ago": the first row whose limit is above the distance tells. Without a unit the text
 * stands as it is. */
static const struct {
    int64_t below_s, unit_s;
    const char *text;
} distances[] = {
    {1, 0, "now"},
    {2, 0, "1 second"},
    {MINUTE_S, 1, "seconds"},
    {2 * MINUTE_S, 0, "1 minute"},
    {HOUR_S, MINUTE_S, "minutes"},
    {2 * HOUR_S, 0, "1 hour"},
    {DAY_S, HOUR_S, "hours"},
    {2 * DAY_S, 0, "1 day"},
    {WEEK_S, DAY_S, "days"},
    {2 * WEEK_S, 0, "1 week"},
    {MONTH_S, WEEK_S, "weeks"},
    {2 * MONTH_S, 0, "1 month"},
    {YEAR_S, MONTH_S, "months"},
    {18 * MONTH_S, 0, "1 year"},
    {2 * YEAR_S, 0, "2 years"},
    {37 * YEAR_S, YEAR_S, "years"},
    {INT64_MAX, 0, "a long while"},
};

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static const char *relative(struct tl_arena *arena, int64_t now_ns, int64_t ns)
{
    bool past = ns <= now_ns;
    int64_t s = (past ? now_ns - ns : ns - now_ns) / TL_NS_PER_S;
    size_t i = 0;
    const char *when = past ? "ago" : "from now";
    while (s >= distances[i].below_s) {
        i++;
    }
    if (i == 0) {
        return "now";
    }
    return or_empty(distances[i].unit_s
                        ? tl_arena_printf(arena, "%lld %s %s", (long long)(s / distances[i].unit_s),
                                          distances[i].text, when)
                        : tl_arena_printf(arena, "%s %s", distances[i].text, when));
}

static const char *formatted(struct tl_arena *arena, const Google__Protobuf__Timestamp *t,
                             const char *format)
{
    char text[64];
    struct tm tm;
    time_t s = (time_t)t->seconds;
    size_t n = gmtime_r(&s, &tm) ? strftime(text, sizeof text, format, &tm) : 0;
    return or_empty(tl_arena_cstr(arena, tl_str_n(text, n)));
}

const char *tl_print_time_iso(struct tl_arena *arena, const Google__Protobuf__Timestamp *t)
{
    return t ? formatted(arena, t, "%Y-%m-%dT%H:%M:%SZ") : "";
}

const char *tl_print_time(const struct tl_print *p, struct tl_arena *arena,
                          const Google__Protobuf__Timestamp *t)
{
    if (!t) {
        return "";
    }
    if (p->times == TL_PRINT_RELATIVE) {
        return relative(arena, p->now_ns, tl_pb_timestamp_ns_or(t, 0));
    }
    if (p->times == TL_PRINT_ISO) {
        return tl_print_time_iso(arena, t);
    }
    char fraction[16] = "";
    if (t->nanos > 0) {
        int n = snprintf(fraction, sizeof fraction, ".%09d", t->nanos);
        while (n > 0 && fraction[n - 1] == '0') {
            fraction[--n] = 0;
        }
    }
    return or_empty(tl_arena_printf(arena, "%s%s +0000 UTC",
                                    formatted(arena, t, "%Y-%m-%d %H:%M:%S"), fraction));
}

/* The fraction of v / unit without trailing zeros, "1.5". */
static const char *fraction_of(struct tl_arena *arena, int64_t v, int64_t unit, int digits)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%lld.%0*lld", (long long)(v / unit), digits,
                     (long long)(v % unit));
    while (text[n - 1] == '0') {
        text[--n] = 0;
    }
    if (text[n - 1] == '.') {
        text[--n] = 0;
    }
    return or_empty(tl_arena_cstr(arena, tl_str_n(text, (size_t)n)));
}

const char *tl_print_duration(struct tl_arena *arena, int64_t ns)
{
    const char *sign = ns < 0 ? "-" : "";
    int64_t v = ns < 0 ? -ns : ns, minutes = v / (60 * TL_NS_PER_S);
    if (v == 0) {
        return "0s";
    }
    if (v < TL_NS_PER_S) {
        bool us = v < TL_NS_PER_MS, tiny = v < 1000;
        return or_empty(
            tiny ? tl_arena_printf(arena, "%s%lldns", sign, (long long)v)
                 : tl_arena_printf(arena, "%s%s%s", sign,
                                   fraction_of(arena, v, us ? 1000 : TL_NS_PER_MS, us ? 3 : 6),
                                   us ? "us" : "ms"));
    }
    const char *seconds = fraction_of(arena, v % (60 * TL_NS_PER_S), TL_NS_PER_S, 9);
    if (minutes == 0) {
        return or_empty(tl_arena_printf(arena, "%s%ss", sign, seconds));
    }
    if (minutes < 60) {
        return or_empty(tl_arena_printf(arena, "%s%lldm%ss", sign, (long long)minutes, seconds));
    }
    return or_empty(tl_arena_printf(arena, "%s%lldh%lldm%ss", sign, (long long)(minutes / 60),
                                    (long long)(minutes % 60), seconds));
}

const char *tl_print_span(struct tl_arena *arena, const Google__Protobuf__Duration *d)
{
    int64_t ns = tl_pb_duration_ns_or(d, 0);
    return ns > 0 ? tl_print_duration(arena, ns) : "";
}

const char *tl_print_age(struct tl_arena *arena, int64_t ns)
{
    int64_t hours = ns / (3600 * TL_NS_PER_S), minutes = ns / (60 * TL_NS_PER_S) % 60;
    const char *seconds = fraction_of(arena, ns % (60 * TL_NS_PER_S), TL_NS_PER_S, 9);
    if (ns < 60 * TL_NS_PER_S) {
        return tl_print_duration(arena, ns);
    }
    if (hours == 0) {
        return or_empty(tl_arena_printf(arena, "%lldm %ss", (long long)minutes, seconds));
    }
    if (hours < 24) {
        return or_empty(tl_arena_printf(arena, "%lldh %lldm %ss", (long long)hours,
                                        (long long)minutes, seconds));
    }
    return or_empty(tl_arena_printf(arena, "%lldd %lldh %lldm %ss", (long long)(hours / 24),
                                    (long long)(hours % 24), (long long)minutes, seconds));
}

const char *tl_print_enum(struct tl_arena *arena, const ProtobufCEnumDescriptor *desc, int value)
{
    char text[96];
    size_t n = tl_json_enum_short(desc, value, text, sizeof text);
    return n ? or_empty(tl_arena_cstr(arena, tl_str_n(text, n))) : tl_print_number(arena, value);
}

const char *tl_print_number(struct tl_arena *arena, int64_t v)
{
    return or_empty(tl_arena_printf(arena, "%lld", (long long)v));
}

const char *tl_print_compact(const struct tl_print *p, struct tl_arena *arena, const void *msg)
{
    struct tl_json_write_options options = {.payload_shorthand = p->shorthand};
    struct tl_buf text;
    const char *out = "";
    tl_buf_init(&text, (size_t)tl_limit_request_bytes * 4);
    if (msg && tl_json_write(msg, &options, &text, NULL) == TL_OK) {
        out = or_empty(tl_arena_cstr(arena, tl_buf_str(&text)));
    }
    tl_buf_deinit(&text);
    return out;
}

const char *tl_print_payloads_text(const struct tl_print *p, struct tl_arena *arena,
                                   const TpCommon__Payloads *ps)
{
    if (!ps) {
        return "null";
    }
    return ps->n_payloads == 1 ? tl_print_compact(p, arena, ps->payloads[0])
                               : tl_print_compact(p, arena, ps);
}

/* Each cause a level deeper than what it caused, on lines of their own. */
static void put_failure(struct tl_buf *b, const TpFailure__Failure *f)
{
    for (int depth = 1; f; f = f->cause, depth++) {
        tl_buf_printf(b, "\n%*sMessage: %s", 4 * depth, "", f->message);
        if (*f->stack_trace) {
            tl_buf_printf(b, "\n%*sStackTrace:\n%*s", 4 * depth, "", 4 * depth + 4, "");
            for (const char *c = f->stack_trace; *c; c++) {
                tl_buf_putc(b, *c);
                if (*c == '\n') {
                    tl_buf_printf(b, "%*s", 4 * depth + 4, "");
                }
            }
        }
        if (f->cause) {
            tl_buf_printf(b, "\n%*sCause:", 4 * depth, "");
        }
    }
}

const char *tl_print_failure(struct tl_arena *arena, const TpFailure__Failure *f)
{
    struct tl_buf b;
    tl_buf_init(&b, (size_t)tl_limit_request_bytes);
    put_failure(&b, f);
    const char *out = or_empty(tl_arena_cstr(arena, tl_buf_str(&b)));
    tl_buf_deinit(&b);
    return out;
}

const char *tl_print_values(const struct tl_print *p, struct tl_arena *arena,
                            TpCommon__Payload *const *values, size_t n)
{
    const char *all = "";
    for (size_t i = 0; i < n; i++) {
        struct tl_str text;
        const char *value = tl_payload_text(values[i], arena, &text, NULL) == TL_OK
                                ? tl_arena_cstr(arena, text)
                                : tl_print_compact(p, arena, values[i]);
        all = or_empty(tl_arena_printf(arena, "%s%s%s", all, *all ? ", " : "", value ? value : ""));
    }
    return all;
}
