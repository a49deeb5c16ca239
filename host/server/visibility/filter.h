/* The list filter language, compiled to a parameterised SQL expression over runs and their indexed
 * search attributes.
 *
 *   filter   = or [GROUP BY field]                      (GROUP BY for counts only)
 *   or       = and {OR and}        and = not {AND not}        not = {NOT} primary
 *   primary  = "(" or ")" | field operator value | field [NOT] IN "(" value {"," value} ")"
 *            | field [NOT] BETWEEN value AND value | field [NOT] STARTS_WITH value
 *            | field IS [NOT] NULL
 *   operator = "=" | "!=" | "<>" | "<" | "<=" | ">" | ">="
 *   field    = Name | `Name` | "Name"
 *   value    = 'text' | "text" | number | TRUE | FALSE
 *
 * Times are RFC 3339 texts, dates, nanoseconds since the epoch, or a duration: that long ago. Durations
 * are "1h30m", "01:30:00" or nanoseconds; statuses names as users see them ("Running"), those of the
 * protocol, or numbers. An attribute that a run does not have is NULL and compares to nothing, but a
 * keyword list or a text without a value does differ (!=, NOT IN) from every value: as in Temporal's
 * SQL visibility. A text is found by any word of the value.
 * Every value is bound, never spelled into the SQL. A filter that does not name
 * TemporalNamespaceDivision sees no run that has one.
 * Ownership: the result lives in the arena. Thread: any. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "store/store.h"

struct tl_attrs;

/* What names and times of a filter mean. */
struct tl_filter_scope {
    const struct tl_attrs *custom; /* NULL: none */
    int64_t namespace_number;
    int64_t now_ns;
    int kind; /* enum tl_run_kind: what names and statuses there are */
};

struct tl_filter {
    const char *where; /* never NULL */
    struct tl_value *binds;
    size_t bind_count;
    const char *group_by; /* column, NULL: none */
};

/* Errors: TL_EINVAL with the position, what was expected, and the near match of a misspelt name. */
tl_rc tl_filter_compile(struct tl_str text, const struct tl_filter_scope *scope,
                        struct tl_arena *arena, struct tl_filter *out,
                        struct tl_error *err) TL_MUST_USE;
/* "2026-11-21T10:00:00.5+01:00" to nanoseconds since the epoch. Errors: TL_EINVAL. */
tl_rc tl_filter_time(struct tl_str text, int64_t *ns, struct tl_error *err) TL_MUST_USE;
/* "Running" for WORKFLOW_EXECUTION_STATUS_RUNNING; NULL for an unknown number. */
const char *tl_filter_status_name(int64_t status);
