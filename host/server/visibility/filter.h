/* The list filter language, compiled to a parameterised SQL expression over the columns of a run.
 *
 *   filter   = or [GROUP BY field]                      (GROUP BY for counts only)
 *   or       = and {OR and}        and = not {AND not}        not = [NOT] primary
 *   primary  = "(" or ")" | field operator value | field [NOT] IN "(" value {"," value} ")"
 *            | field [NOT] BETWEEN value AND value | field [NOT] STARTS_WITH value
 *            | field IS [NOT] NULL
 *   operator = "=" | "!=" | "<" | "<=" | ">" | ">="
 *   value    = 'text' | "text" | number
 *
 * Times are RFC 3339 texts or nanoseconds, durations "1h30m" or nanoseconds, statuses names as users
 * see them ("Running") or their numbers. Every value is bound, never spelled into the SQL.
 * Ownership: the result lives in the arena. Thread: any. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "store/store.h"

struct tl_filter {
    const char *where; /* "" when the filter is empty */
    struct tl_value *binds;
    size_t bind_count;
    const char *group_by; /* column, NULL: none */
};

/* Errors: TL_EINVAL with the position, what was expected, and the near match of a misspelt name. */
tl_rc tl_filter_compile(struct tl_str text, struct tl_arena *arena, struct tl_filter *out,
                        struct tl_error *err) TL_MUST_USE;
/* "2026-11-21T10:00:00.5+01:00" to nanoseconds since the epoch. Errors: TL_EINVAL. */
tl_rc tl_filter_time(struct tl_str text, int64_t *ns, struct tl_error *err) TL_MUST_USE;
/* "Running" for WORKFLOW_EXECUTION_STATUS_RUNNING; NULL for an unknown number. */
const char *tl_filter_status_name(int64_t status);
