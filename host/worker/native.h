/* Native activities and operations for hosts that register functions of their own (the embedder's interface).
 * Thread: before a worker uses the registry. */
#pragma once

#include "base/log.h"
#include "base/metrics.h"
#include "include/temporal_lua.h"
#include "worker/activity.h"

/* Adds one C function. Errors: TL_EINVAL, TL_EEXISTS. */
tl_rc tl_native_add(struct tl_registry *r, struct tl_str name, tlua_activity_fn fn, void *ud,
                    struct tl_error *err) TL_MUST_USE;
/* tlua_host_api.record_metric of what has these labels of its own. Thread: any. */
int tl_native_record(const struct tl_client *client, const struct tl_label *own, size_t own_count,
                     const tlua_metric *metric, double value, const tlua_attribute *attributes,
                     size_t count);
/* A time that is so far away, on the monotonic clock. */
int64_t tl_native_deadline_ns(int64_t timeout_ms);
/* enum tlua_log_level, or anything else, as a level of the log. */
enum tl_log_level tl_native_log_level(int level);
/* Values as a message in the arena; *out is NULL for none. Errors: TL_ELIMIT. */
tl_rc tl_native_payloads(struct tl_arena *arena, const tlua_payload *values, size_t count,
                         TpCommon__Payloads **out) TL_MUST_USE;
/* Views encoding and data; borrowed from p. */
void tl_native_view(const TpCommon__Payload *p, tlua_payload *out);
/* A payload in the arena, copies both; NULL when the arena is full. */
TpCommon__Payload *tl_native_payload(struct tl_arena *arena, struct tl_str encoding,
                                     struct tl_str data);
