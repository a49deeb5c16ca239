/* Priorities and fairness keys: what is accepted, and what is taken over from a run. Private to history/. */
#pragma once

#include "server/history/rs.h"

/* Errors: TL_EINVAL, in the service's words. NULL is fine. */
tl_rc tl_priority_check(const TpCommon__Priority *p, struct tl_error *err) TL_MUST_USE;
/* What activities and children of the run have: where they say nothing, what the run has. In the arena or
 * `own`; NULL when neither says anything. */
TpCommon__Priority *tl_priority_merge(const struct tl_rs *rs, TpCommon__Priority *own,
                                      struct tl_arena *arena);
