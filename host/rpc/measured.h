/* A channel that counts: every call through it, its latency and its failures, under the names of the SDKs
 * (measured.def). Each attempt is a call of its own; what the channel below does with payloads is in the
 * latency.
 *
 * Ownership: the inner channel is borrowed and must outlive this one, the registry must outlive both.
 * Handles of calls are the inner channel's. Thread: as rpc.h says of every channel. */
#pragma once

#include "base/metrics.h"
#include "rpc/rpc.h"

/* namespace_name: the label of methods whose requests name one. */
struct tl_channel *tl_measured_channel_open(struct tl_channel *inner, struct tl_metrics *metrics,
                                            struct tl_str namespace_name);
/* Takes the names of these metrics in a registry, so that no program can. */
void tl_measured_register(struct tl_metrics *metrics);
