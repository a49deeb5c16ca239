/* Native activities for hosts that register functions of their own (the embedder's interface).
 * Thread: before a worker uses the registry. */
#pragma once

#include "include/temporal_lua.h"
#include "worker/activity.h"

/* Adds one C function. Errors: TL_EINVAL, TL_EEXISTS. */
tl_rc tl_native_add(struct tl_registry *r, struct tl_str name, tlua_activity_fn fn, void *ud,
                    struct tl_error *err) TL_MUST_USE;
/* tlua_host_api.record_metric. Thread: any. */
int tl_native_record_metric(const struct tl_activity *a, const tlua_metric *metric, double value,
                            const tlua_attribute *attributes, size_t count);
/* Views encoding and data; borrowed from p. */
void tl_native_view(const TpCommon__Payload *p, tlua_payload *out);
/* A payload in the arena, copies both; NULL when the arena is full. */
TpCommon__Payload *tl_native_payload(struct tl_arena *arena, struct tl_str encoding,
                                     struct tl_str data);
