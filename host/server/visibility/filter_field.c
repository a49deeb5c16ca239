/* Names of the filter language: columns, indexed attributes, and what users call them. See
 * filter_int.h. */
#include "base/near.h"
#include "server/history/history.h"
#include "server/visibility/filter_int.h"
#include "tl_enums.h"

/* Of which kinds of executions a name speaks; a set. */
enum of {
    WORKFLOWS = 1 << TL_RUN_WORKFLOW,
    ACTIVITIES = 1 << TL_RUN_ACTIVITY,
    OPERATIONS = 1 << TL_RUN_OPERATION,
    ALL = WORKFLOWS | ACTIVITIES | OPERATIONS
};

static const struct column {
    const char *name;
    const char *sql;
    enum tl_field_kind kind;
    unsigned of;
} columns[] = {
    {"WorkflowId", "workflow_id", TL_FIELD_KEYWORD, WORKFLOWS},
    {"ActivityId", "workflow_id", TL_FIELD_KEYWORD, ACTIVITIES},
    {"OperationId", "workflow_id", TL_FIELD_KEYWORD, OPERATIONS},
    {"RunId", "run_id", TL_FIELD_KEYWORD, ALL},
    {"WorkflowType", "type", TL_FIELD_KEYWORD, WORKFLOWS},
    {"ActivityType", "type", TL_FIELD_KEYWORD, ACTIVITIES},
    {"Operation", "type", TL_FIELD_KEYWORD, OPERATIONS},
    {"TaskQueue", "task_queue", TL_FIELD_KEYWORD, WORKFLOWS | ACTIVITIES},
    {"Endpoint", "task_queue", TL_FIELD_KEYWORD, OPERATIONS},
    {"ExecutionStatus", "status", TL_FIELD_STATUS, ALL},
    {"StartTime", "start_ns", TL_FIELD_TIME, ALL},
    {"ExecutionTime", "execution_ns", TL_FIELD_TIME, ALL},
    {"CloseTime", "close_ns", TL_FIELD_TIME, ALL},
    {"ExecutionDuration", "(close_ns-execution_ns)", TL_FIELD_SPAN, WORKFLOWS},
    {"ExecutionDuration", "(close_ns-start_ns)", TL_FIELD_SPAN, ACTIVITIES | OPERATIONS},
    {"HistoryLength", "history_length", TL_FIELD_INT, WORKFLOWS},
    {"HistorySizeBytes", "history_bytes", TL_FIELD_INT, WORKFLOWS},
    {"StateTransitionCount", "state_transitions", TL_FIELD_INT, ALL},
    {"ParentWorkflowId", "parent_workflow_id", TL_FIELD_KEYWORD, WORKFLOWS},
    {"Service", "parent_workflow_id", TL_FIELD_KEYWORD, OPERATIONS},
    {"ParentRunId", "parent_run_id", TL_FIELD_KEYWORD, WORKFLOWS},
    {"RootWorkflowId", "coalesce(root_workflow_id,workflow_id)", TL_FIELD_KEYWORD, WORKFLOWS},
    {"RootRunId", "coalesce(root_run_id,run_id)", TL_FIELD_KEYWORD, WORKFLOWS},
    {"TemporalNamespaceDivision", "division", TL_FIELD_KEYWORD, WORKFLOWS},
};
#define COLUMNS (sizeof columns / sizeof columns[0])

static bool is_known(const struct tl_filter_parser *p, const struct column *c)
{
    return c->of >> p->scope->kind & 1;
}

static const struct {
    int type;
    enum tl_field_kind kind;
} kinds[] = {
    {INDEXED_VALUE_TYPE_TEXT, TL_FIELD_TEXT},
    {INDEXED_VALUE_TYPE_KEYWORD, TL_FIELD_KEYWORD},
    {INDEXED_VALUE_TYPE_INT, TL_FIELD_INT},
    {INDEXED_VALUE_TYPE_DOUBLE, TL_FIELD_DOUBLE},
    {INDEXED_VALUE_TYPE_BOOL, TL_FIELD_BOOL},
    {INDEXED_VALUE_TYPE_DATETIME, TL_FIELD_TIME},
    {INDEXED_VALUE_TYPE_KEYWORD_LIST, TL_FIELD_LIST},
};

const char *tl_filter_kind_name(enum tl_field_kind kind)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (kinds[i].kind == kind) {
            return tl_attr_type_name(kinds[i].type);
        }
    }
    return kind == TL_FIELD_STATUS ? "Keyword" : "Int";
}

static bool use_column(struct tl_filter_parser *p, struct tl_str name, struct tl_field *out)
{
    for (size_t i = 0; i < COLUMNS; i++) {
        if (is_known(p, &columns[i]) && tl_str_eqc(name, columns[i].name)) {
            out->kind = columns[i].kind;
            out->column = columns[i].sql;
            p->division = p->division || strcmp(columns[i].sql, "division") == 0;
            return true;
        }
    }
    return false;
}

/* A custom or predefined attribute. */
static bool use_indexed(struct tl_filter_parser *p, struct tl_str name, struct tl_field *out)
{
    int type = tl_attrs_type(p->scope->custom, name);
    for (size_t i = 0; type && i < sizeof kinds / sizeof kinds[0]; i++) {
        if (kinds[i].type == type) {
            out->kind = kinds[i].kind;
            out->key = tl_attr_key(p->scope->namespace_number, type, name, p->arena);
            return out->key != NULL;
        }
    }
    return false;
}

static bool use(struct tl_filter_parser *p, struct tl_str name, struct tl_field *out)
{
    return use_column(p, name, out) || use_indexed(p, name, out);
}

/* What Temporal's server lets stand for another name: ScheduleId is the workflow id of a schedule, and
 * the prefix Temporal may be added or left out. */
static bool use_alias(struct tl_filter_parser *p, struct tl_str name, struct tl_field *out)
{
    static const struct tl_str prefix = {"Temporal", 8};
    bool prefixed = name.n > prefix.n && memcmp(name.p, prefix.p, prefix.n) == 0;
    struct tl_str rest =
        prefixed ? tl_str_n(name.p + prefix.n, name.n - prefix.n) : (struct tl_str){NULL, 0};
    if (tl_str_eqc(prefixed ? rest : name, "ScheduleId")) {
        return use(p, TL_STR_LIT("WorkflowId"), out);
    }
    if (prefixed) {
        return use(p, rest, out);
    }
    char *longer = tl_arena_printf(p->arena, "Temporal%.*s", TL_STR_FMT(name));
    return longer && use(p, tl_str(longer), out);
}

/* --- near matches ---------------------------------------------------------------------------------- */

static tl_rc unknown(struct tl_filter_parser *p)
{
    struct tl_near near = {.wanted = p->word, .too_many = 4, .fold_case = true};
    struct tl_attr a;
    for (size_t i = 0; i < COLUMNS; i++) {
        if (is_known(p, &columns[i])) {
            tl_near_look(&near, tl_str(columns[i].name));
        }
    }
    for (size_t i = 0; (a = tl_attr_predefined(i)).name.p; i++) {
        tl_near_look(&near, a.name);
    }
    for (size_t i = 0; p->scope->custom && i < p->scope->custom->count; i++) {
        tl_near_look(&near, p->scope->custom->items[i].name);
    }
    return tl_error_set(p->err, TL_EINVAL,
                        "invalid query at position %zu: invalid search attribute: no search "
                        "attribute is called \"%.*s\"%s%.*s%s",
                        p->start + 1, p->word.n > 80 ? 80 : (int)p->word.n, p->word.p,
                        near.best.n ? "; did you mean \"" : "", TL_STR_FMT(near.best),
                        near.best.n ? "\"?" : "");
}

tl_rc tl_filter_field(struct tl_filter_parser *p, struct tl_field *out)
{
    if (p->token != TL_T_WORD && !(p->token == TL_T_TEXT && p->quoted && p->word.n)) {
        return tl_filter_fail(p, "the name of a search attribute");
    }
    *out = (struct tl_field){.name = p->word};
    if (!use(p, p->word, out) && !use_alias(p, p->word, out)) {
        return unknown(p);
    }
    tl_filter_next(p);
    return TL_OK;
}
