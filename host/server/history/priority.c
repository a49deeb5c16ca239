/* Priorities and fairness keys. See priority.h. */
#include "server/history/priority.h"

#define FAIRNESS_KEY_BYTES_MAX 64

tl_rc tl_priority_check(const TpCommon__Priority *p, struct tl_error *err)
{
    if (!p) {
        return TL_OK;
    }
    if (p->priority_key < 0) {
        return tl_error_set(err, TL_EINVAL, "priority key can't be negative");
    }
    if (p->fairness_key && strlen(p->fairness_key) > FAIRNESS_KEY_BYTES_MAX) {
        return tl_error_set(err, TL_EINVAL, "fairness key length exceeds limit");
    }
    if (!(p->fairness_weight >= 0)) { /* a NaN, too */
        return tl_error_set(err, TL_EINVAL, "must be greater than zero");
    }
    return TL_OK;
}

TpCommon__Priority *tl_priority_merge(const struct tl_rs *rs, TpCommon__Priority *own,
                                      struct tl_arena *arena)
{
    TpCommon__Priority *p = tl_blob_decode(&rs->priority, &tp_common__priority__descriptor, arena);
    if (!p || !own) {
        return p ? p : own;
    }
    p->priority_key = own->priority_key ? own->priority_key : p->priority_key;
    p->fairness_key = tl_has_text(own->fairness_key) ? own->fairness_key : p->fairness_key;
    p->fairness_weight = own->fairness_weight > 0 ? own->fairness_weight : p->fairness_weight;
    return p;
}
