/* Timestamps and durations. See pb.h. Thread: any. */
#include "proto/pb.h"

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
/* google.protobuf.Duration spans 10,000 years either way. */
#define DURATION_S_MAX INT64_C(315576000000)

/* Splits so that nanos is 0..999999999, as Timestamp wants it for times before the epoch too. */
static void split_floor(int64_t ns, int64_t *seconds, int32_t *nanos)
{
    int64_t s = ns / NS_PER_S;
    int64_t rest = ns % NS_PER_S;
    if (rest < 0) {
        rest += NS_PER_S;
        s--;
    }
    *seconds = s;
    *nanos = (int32_t)rest;
}

Google__Protobuf__Timestamp *tl_pb_timestamp(struct tl_arena *arena, int64_t ns)
{
    Google__Protobuf__Timestamp *t =
        TL_PB_NEW(arena, Google__Protobuf__Timestamp, google__protobuf__timestamp);
    if (t) {
        split_floor(ns, &t->seconds, &t->nanos);
    }
    return t;
}

tl_rc tl_pb_ns_from_timestamp(const Google__Protobuf__Timestamp *t, int64_t *ns,
                              struct tl_error *err)
{
    *ns = 0;
    if (!t) {
        return TL_OK;
    }
    if (t->nanos < 0 || t->nanos >= NS_PER_S) {
        return tl_error_set(err, TL_EINVAL, "timestamp has %d nanoseconds; give 0 to 999999999",
                            t->nanos);
    }
    int64_t v;
    /* For times before the epoch the plain product can overflow although the sum does not. */
    int64_t seconds = t->seconds < 0 ? t->seconds + 1 : t->seconds;
    int64_t nanos = t->seconds < 0 ? t->nanos - NS_PER_S : t->nanos;
    if (__builtin_mul_overflow(seconds, NS_PER_S, &v) || __builtin_add_overflow(v, nanos, &v)) {
        return tl_error_set(err, TL_EINVAL, "timestamp is outside the years 1678 to 2262");
    }
    *ns = v;
    return TL_OK;
}

int64_t tl_pb_timestamp_ns_or(const Google__Protobuf__Timestamp *t, int64_t absent)
{
    int64_t ns;
    return t && tl_pb_ns_from_timestamp(t, &ns, NULL) == TL_OK ? ns : absent;
}

Google__Protobuf__Duration *tl_pb_duration_ns(struct tl_arena *arena, int64_t ns)
{
    Google__Protobuf__Duration *d =
        TL_PB_NEW(arena, Google__Protobuf__Duration, google__protobuf__duration);
    if (d) {
        d->seconds = ns / NS_PER_S;
        d->nanos = (int32_t)(ns % NS_PER_S);
    }
    return d;
}

Google__Protobuf__Duration *tl_pb_duration_ms(struct tl_arena *arena, int64_t ms)
{
    Google__Protobuf__Duration *d =
        TL_PB_NEW(arena, Google__Protobuf__Duration, google__protobuf__duration);
    if (d) {
        d->seconds = ms / 1000;
        d->nanos = (int32_t)(ms % 1000 * NS_PER_MS);
    }
    return d;
}

static tl_rc check_duration(const Google__Protobuf__Duration *d, struct tl_error *err)
{
    if (d->nanos <= -NS_PER_S || d->nanos >= NS_PER_S || (d->seconds > 0 && d->nanos < 0) ||
        (d->seconds < 0 && d->nanos > 0)) {
        return tl_error_set(err, TL_EINVAL, "duration has %d nanoseconds beside %lld seconds",
                            d->nanos, (long long)d->seconds);
    }
    if (d->seconds > DURATION_S_MAX || d->seconds < -DURATION_S_MAX) {
        return tl_error_set(err, TL_EINVAL, "duration of %lld seconds is out of range",
                            (long long)d->seconds);
    }
    return TL_OK;
}

tl_rc tl_pb_ms_from_duration(const Google__Protobuf__Duration *d, int64_t *ms, struct tl_error *err)
{
    *ms = 0;
    if (!d) {
        return TL_OK;
    }
    tl_rc rc = check_duration(d, err);
    if (rc) {
        return rc;
    }
    int64_t part = d->nanos / NS_PER_MS;
    int64_t rest = d->nanos % NS_PER_MS;
    *ms = d->seconds * 1000 + part + (rest > 0) - (rest < 0);
    return TL_OK;
}

tl_rc tl_pb_ns_from_duration(const Google__Protobuf__Duration *d, int64_t *ns, struct tl_error *err)
{
    *ns = 0;
    if (!d) {
        return TL_OK;
    }
    tl_rc rc = check_duration(d, err);
    if (rc) {
        return rc;
    }
    int64_t v;
    if (__builtin_mul_overflow(d->seconds, NS_PER_S, &v) ||
        __builtin_add_overflow(v, (int64_t)d->nanos, &v)) {
        return tl_error_set(err, TL_EINVAL, "duration of %lld seconds is too long",
                            (long long)d->seconds);
    }
    *ns = v;
    return TL_OK;
}

static bool is_well_formed(const Google__Protobuf__Duration *d)
{
    Google__Protobuf__Duration near = *d;
    if (near.seconds > DURATION_S_MAX) {
        near.seconds = DURATION_S_MAX;
    } else if (near.seconds < -DURATION_S_MAX) {
        near.seconds = -DURATION_S_MAX;
    }
    return check_duration(&near, NULL) == TL_OK;
}

int64_t tl_pb_duration_ms_or(const Google__Protobuf__Duration *d, int64_t absent)
{
    if (!d || !is_well_formed(d)) {
        return absent;
    }
    int64_t ms;
    if (tl_pb_ms_from_duration(d, &ms, NULL) != TL_OK) {
        ms = (d->seconds < 0 ? -DURATION_S_MAX : DURATION_S_MAX) * 1000;
    }
    return ms;
}

int64_t tl_pb_duration_ns_or(const Google__Protobuf__Duration *d, int64_t absent)
{
    if (!d || !is_well_formed(d)) {
        return absent;
    }
    int64_t ns;
    if (tl_pb_ns_from_duration(d, &ns, NULL) != TL_OK) {
        ns = d->seconds < 0 ? INT64_MIN : INT64_MAX;
    }
    return ns;
}
