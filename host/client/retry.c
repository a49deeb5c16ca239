/* Temporal's rules for trying a call again: which statuses are transient, and how long to wait. */
#include "client/client.h"

#define INITIAL_NS (100 * TL_NS_PER_MS)
#define MAX_NS (5 * TL_NS_PER_S)
#define EXHAUSTED_INITIAL_NS TL_NS_PER_S
#define FACTOR 1.7
#define JITTER 0.2

enum {
    CANCELLED = 1,
    UNKNOWN = 2,
    DEADLINE_EXCEEDED = 4,
    RESOURCE_EXHAUSTED = 8,
    ABORTED = 10,
    OUT_OF_RANGE = 11,
    INTERNAL = 13,
    UNAVAILABLE = 14,
    DATA_LOSS = 15
};

bool tl_retry_allowed(const struct tl_rpc_result *res)
{
    if (res->final) {
        return false;
    }
    switch (res->status) {
    case UNKNOWN:
    case RESOURCE_EXHAUSTED:
    case ABORTED:
    case OUT_OF_RANGE:
    case INTERNAL:
    case UNAVAILABLE:
    case DATA_LOSS:
        return true;
    case CANCELLED:
    case DEADLINE_EXCEEDED: /* of one attempt: a long poll simply goes on */
        return tl_method_info(res->method)->class == TL_METHOD_LONG &&
               (res->method == TL_M_GetWorkflowExecutionHistory ||
                res->method == TL_M_PollWorkflowTaskQueue ||
                res->method == TL_M_PollActivityTaskQueue);
    default:
        return false;
    }
}

int64_t tl_retry_next_ns(struct tl_retry *r, int grpc_status, const struct tl_world *world)
{
    int64_t max = r->max_ns > 0 ? r->max_ns : MAX_NS;
    int64_t initial = r->initial_ns > 0 ? r->initial_ns : INITIAL_NS;
    if (grpc_status == RESOURCE_EXHAUSTED && initial < EXHAUSTED_INITIAL_NS) {
        initial = EXHAUSTED_INITIAL_NS;
    }
    double factor = r->factor > 0 ? r->factor : FACTOR;
    double jitter = r->jitter > 0 ? r->jitter : r->jitter < 0 ? 0 : JITTER;
    double pause = (double)initial;
    for (uint32_t i = 0; i < r->attempt && pause < (double)max; i++) {
        pause *= factor;
    }
    if (pause > (double)max) {
        pause = (double)max;
    }
    double unit = (double)(tl_world_random(world) >> 11) / 9007199254740992.0;
    pause *= 1.0 - jitter + 2.0 * jitter * unit;
    r->attempt++;
    return (int64_t)pause;
}
