/* See options.h. Thread: the run's. Owner: values are the arena's. */
#include "luart/options.h"

#include <stdio.h>
#include <string.h>

#include <temporal/api/common/v1/message.pb-c.h>
#include <temporal/api/taskqueue/v1/message.pb-c.h>

#include "base/duration.h"
#include "base/near.h"
#include "base/world.h"
#include "luart/convert.h"
#include "luart/wf.h"
#include "proto/pb.h"
#include "proto/utf8.h"

/* --- names ------------------------------------------------------------------------------------ */

static int unknown_option(lua_State *L, const char *what, const char *key,
                          const struct tl_opt *opts, size_t n)
{
    struct tl_near near = {.wanted = tl_str(key), .too_many = strlen(key) / 3 + 2};
    for (size_t i = 0; i < n; i++) {
        tl_near_look(&near, tl_str(opts[i].name));
    }
    if (near.best.p) {
        return luaL_error(L, "%s: unknown option '%s' (did you mean '%s'?)", what, key,
                          near.best.p);
    }
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (size_t i = 0; i < n; i++) {
        luaL_addstring(&b, i ? ", " : "");
        luaL_addstring(&b, opts[i].name);
    }
    luaL_pushresult(&b);
    return luaL_error(L, "%s: unknown option '%s' (known: %s)", what, key, lua_tostring(L, -1));
}

#define ROWS_KNOWN 64

/* Raises for the first key, in byte order, that no row has. Returns the rows that are given, a bit for each of
 * the first 64: most tables have one key or two, and looking for each row's name would make all of them. */
static uint64_t check_keys(lua_State *L, int index, const char *what, const struct tl_opt *opts,
                           size_t n)
{
    const char *bad = NULL;
    uint64_t given = 0;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) != LUA_TSTRING) {
            luaL_error(L,
                       "%s: option names are strings, got a %s; are the arguments in place of "
                       "the options?",
                       what, luaL_typename(L, -1));
        }
        const char *key = lua_tostring(L, -1);
        bool known = false;
        for (size_t i = 0; i < n && !known; i++) {
            known = strcmp(key, opts[i].name) == 0;
            given |= known && i < ROWS_KNOWN ? UINT64_C(1) << i : 0;
        }
        if (!known && (!bad || strcmp(key, bad) < 0)) {
            bad = key;
        }
    }
    if (bad) {
        unknown_option(L, what, bad, opts, n);
    }
    return given;
}

/* --- values ----------------------------------------------------------------------------------- */

int64_t tl_options_duration(lua_State *L, int index, const char *what)
{
    struct tl_error err;
    int64_t ns = 0;
    if (lua_type(L, index) == LUA_TSTRING) {
        if (tl_duration_parse(tl_str(lua_tostring(L, index)), &ns, &err) != TL_OK) {
            luaL_error(L, "%s: %s", what, err.message);
        }
        return ns;
    }
    if (lua_type(L, index) != LUA_TNUMBER) {
        luaL_error(L, "%s: a duration is a number of seconds or text like \"90s\", got a %s", what,
                   luaL_typename(L, index));
    }
    lua_Number seconds = lua_tonumber(L, index);
    if (!(seconds >= 0 && seconds <= 3155760000.0)) {
        luaL_error(L, "%s: a duration must be between 0 and 100 years", what);
    }
    if (lua_isinteger(L, index)) {
        return (int64_t)lua_tointeger(L, index) * TL_NS_PER_S;
    }
    return (int64_t)(seconds * 1e9);
}

char *tl_options_text(lua_State *L, int index, const char *what, struct tl_arena *arena)
{
    struct tl_str s;
    if (lua_type(L, index) != LUA_TSTRING) {
        luaL_error(L, "%s must be a string, got a %s", what, luaL_typename(L, index));
    }
    s.p = lua_tolstring(L, index, &s.n);
    if (!tl_utf8_ok(s) || strlen(s.p) != s.n) {
        luaL_error(L, "%s must be UTF-8 without zero bytes", what);
    }
    return tl_cmd_need(L, tl_pb_cstr(arena, s));
}

/* Upper case without '_', so that "try_cancel", "TRY_CANCEL" and "TryCancel" are one. */
static void plain_name(const char *name, char *out, size_t cap)
{
    size_t n = 0;
    for (; *name && n + 1 < cap; name++) {
        if (*name != '_') {
            out[n++] = (char)(*name >= 'a' && *name <= 'z' ? *name & ~0x20 : *name);
        }
    }
    out[n] = '\0';
}

static int read_enum(lua_State *L, int index, const char *what, const char *const *names)
{
    char given[80], known[80];
    if (lua_type(L, index) == LUA_TSTRING) {
        plain_name(lua_tostring(L, index), given, sizeof given);
        for (int i = 0; names[i]; i++) {
            plain_name(names[i], known, sizeof known);
            size_t gn = strlen(given), kn = strlen(known);
            /* The wire's spelling has the enum's name in front. */
            if (gn >= kn && strcmp(given + gn - kn, known) == 0) {
                return i;
            }
        }
    }
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (int i = 0; names[i]; i++) {
        luaL_addstring(&b, i ? ", \"" : "\"");
        luaL_addstring(&b, names[i]);
        luaL_addchar(&b, '"');
    }
    luaL_pushresult(&b);
    return luaL_error(L, "%s must be one of %s", what, lua_tostring(L, -1));
}

static int64_t read_integer(lua_State *L, int index, const char *what)
{
    int exact = 0;
    lua_Integer v = lua_tointegerx(L, index, &exact);
    if (!exact || lua_type(L, index) != LUA_TNUMBER || v < INT32_MIN || v > INT32_MAX) {
        luaL_error(L, "%s must be a whole number", what);
    }
    return v;
}

static double read_number(lua_State *L, int index, const char *what)
{
    if (lua_type(L, index) != LUA_TNUMBER) {
        luaL_error(L, "%s must be a number, got a %s", what, luaL_typename(L, index));
    }
    return lua_tonumber(L, index);
}

/* The layout of a repeated string field: count, then the array. */
struct strings {
    size_t n;
    char **items;
};

static struct strings read_strings(lua_State *L, int index, const char *what,
                                   struct tl_arena *arena)
{
    struct strings out = {0, NULL};
    if (!lua_istable(L, index)) {
        luaL_error(L, "%s must be a list of strings", what);
    }
    size_t n = lua_rawlen(L, index);
    out.items = tl_cmd_need(L, TL_ARENA_ARRAY(arena, char *, n ? n : 1));
    for (; out.n < n; out.n++) {
        lua_rawgeti(L, index, (lua_Integer)out.n + 1);
        out.items[out.n] = tl_options_text(L, -1, what, arena);
        lua_pop(L, 1);
    }
    return out;
}

static const struct tl_opt retry_opts[] = {
    TL_OPT("initial_interval", TL_OPT_DURATION, 0, TpCommon__RetryPolicy, initial_interval),
    TL_OPT("backoff_coefficient", TL_OPT_DOUBLE, 0, TpCommon__RetryPolicy, backoff_coefficient),
    TL_OPT("maximum_interval", TL_OPT_DURATION, 0, TpCommon__RetryPolicy, maximum_interval),
    TL_OPT("maximum_attempts", TL_OPT_INT, 0, TpCommon__RetryPolicy, maximum_attempts),
    TL_OPT("non_retryable_error_types", TL_OPT_STRINGS, 0, TpCommon__RetryPolicy,
           n_non_retryable_error_types),
};
_Static_assert(offsetof(TpCommon__RetryPolicy, non_retryable_error_types) ==
                   offsetof(TpCommon__RetryPolicy, n_non_retryable_error_types) + sizeof(size_t),
               "repeated fields: count, then array");

const char *const tl_versioning_intent_names[] = {"unspecified", "compatible", "default", NULL};

static const struct tl_opt priority_opts[] = {
    TL_OPT("priority_key", TL_OPT_INT, 0, TpCommon__Priority, priority_key),
    TL_OPT("fairness_key", TL_OPT_STRING, 0, TpCommon__Priority, fairness_key),
    TL_OPT("fairness_weight", TL_OPT_FLOAT, 0, TpCommon__Priority, fairness_weight),
};

static void need_table(lua_State *L, int index, const char *what)
{
    if (!lua_istable(L, index)) {
        luaL_error(L, "%s must be a table, got a %s", what, luaL_typename(L, index));
    }
}

static TpCommon__RetryPolicy *read_retry(lua_State *L, int index, const char *what,
                                         struct tl_arena *arena)
{
    need_table(L, index, what);
    TpCommon__RetryPolicy *policy =
        tl_cmd_need(L, TL_PB_NEW(arena, TpCommon__RetryPolicy, tp_common__retry_policy));
    TL_OPTIONS_READ(L, index, what, retry_opts, (void *[]){policy}, arena);
    if (policy->maximum_attempts < 0) {
        luaL_error(L, "%s: maximum_attempts must not be negative", what);
    }
    if (policy->backoff_coefficient != 0 && policy->backoff_coefficient < 1) {
        luaL_error(L, "%s: backoff_coefficient must be at least 1", what);
    }
    /* The server wants all of them once a policy is given; these are its own defaults. */
    if (!policy->initial_interval) {
        policy->initial_interval = tl_cmd_need(L, tl_pb_duration_ms(arena, 1000));
    }
    if (policy->backoff_coefficient == 0) {
        policy->backoff_coefficient = 2.0;
    }
    return policy;
}

void tl_options_check_retry(lua_State *L, const char *what, const TpCommon__RetryPolicy *policy)
{
    int64_t most = policy ? tl_pb_duration_ns_or(policy->maximum_interval, 0) : 0;
    if (most > 0 && most < tl_pb_duration_ns_or(policy->initial_interval, 0)) {
        luaL_error(L,
                   "%s: retry_policy: maximum_interval must not be less than initial_interval, "
                   "which is 1 second where it is not given",
                   what);
    }
}

static TpCommon__Priority *read_priority(lua_State *L, int index, const char *what,
                                         struct tl_arena *arena)
{
    need_table(L, index, what);
    TpCommon__Priority *priority =
        tl_cmd_need(L, TL_PB_NEW(arena, TpCommon__Priority, tp_common__priority));
    TL_OPTIONS_READ(L, index, what, priority_opts, (void *[]){priority}, arena);
    if (priority->priority_key < 0) {
        luaL_error(L, "%s: priority_key must not be negative, got %d", what,
                   (int)priority->priority_key);
    }
    return priority;
}

struct override_options {
    int behavior;
    char *deployment_name, *build_id;
};
enum { OVERRIDE_NONE, OVERRIDE_PINNED, OVERRIDE_AUTO_UPGRADE, OVERRIDE_ONE_TIME };
static const char *const override_names[] = {"unspecified", "pinned", "auto_upgrade", "one_time",
                                             NULL};
static const struct tl_opt override_opts[] = {
    {"behavior", TL_OPT_ENUM, 0, offsetof(struct override_options, behavior), override_names},
    TL_OPT("deployment_name", TL_OPT_STRING, 0, struct override_options, deployment_name),
    TL_OPT("build_id", TL_OPT_STRING, 0, struct override_options, build_id),
};

static TpDeployment__WorkerDeploymentVersion *version_of(lua_State *L, struct tl_arena *arena,
                                                         const struct override_options *o)
{
    TpDeployment__WorkerDeploymentVersion *v =
        tl_cmd_need(L, TL_PB_NEW(arena, TpDeployment__WorkerDeploymentVersion,
                                 tp_deployment__worker_deployment_version));
    v->deployment_name = o->deployment_name;
    v->build_id = o->build_id;
    return v;
}

static TpWorkflow__VersioningOverride *read_override(lua_State *L, int index, const char *what,
                                                     struct tl_arena *arena)
{
    struct override_options o = {0};
    need_table(L, index, what);
    TL_OPTIONS_READ(L, index, what, override_opts, (void *[]){&o}, arena);
    TpWorkflow__VersioningOverride *out = tl_cmd_need(
        L, TL_PB_NEW(arena, TpWorkflow__VersioningOverride, tp_workflow__versioning_override));
    bool named = o.deployment_name && *o.deployment_name && o.build_id && *o.build_id;
    if (o.behavior == OVERRIDE_NONE) {
        luaL_error(L, "%s: behavior is required: \"pinned\", \"auto_upgrade\" or \"one_time\"",
                   what);
    }
    if (o.behavior == OVERRIDE_AUTO_UPGRADE) {
        if (o.deployment_name || o.build_id) {
            luaL_error(L, "%s: auto_upgrade goes without deployment_name and build_id", what);
        }
        out->override_case = TP_WORKFLOW__VERSIONING_OVERRIDE__OVERRIDE_AUTO_UPGRADE;
        out->auto_upgrade = true;
        return out;
    }
    if (!named) {
        luaL_error(L, "%s: %s needs deployment_name and build_id", what,
                   override_names[o.behavior]);
    }
    if (o.behavior == OVERRIDE_ONE_TIME) {
        out->override_case = TP_WORKFLOW__VERSIONING_OVERRIDE__OVERRIDE_ONE_TIME;
        out->one_time =
            tl_cmd_need(L, TL_PB_NEW(arena, TpWorkflow__VersioningOverride__OneTimeOverride,
                                     tp_workflow__versioning_override__one_time_override));
        out->one_time->target_deployment_version = version_of(L, arena, &o);
        return out;
    }
    out->override_case = TP_WORKFLOW__VERSIONING_OVERRIDE__OVERRIDE_PINNED;
    out->pinned = tl_cmd_need(L, TL_PB_NEW(arena, TpWorkflow__VersioningOverride__PinnedOverride,
                                           tp_workflow__versioning_override__pinned_override));
    out->pinned->behavior =
        TP_WORKFLOW__VERSIONING_OVERRIDE__PINNED_OVERRIDE_BEHAVIOR__PINNED_OVERRIDE_BEHAVIOR_PINNED;
    out->pinned->version = version_of(L, arena, &o);
    return out;
}

static TpTq__TaskQueue *read_task_queue(lua_State *L, int index, const char *what,
                                        struct tl_arena *arena)
{
    TpTq__TaskQueue *queue = tl_cmd_need(L, TL_PB_NEW(arena, TpTq__TaskQueue, tp_tq__task_queue));
    queue->name = tl_options_text(L, index, what, arena);
    return queue;
}

/* An empty table is no header. Sorted by name: the same bytes each time. */
static TpCommon__Header *read_headers(lua_State *L, int index, const char *what,
                                      struct tl_arena *arena)
{
    need_table(L, index, what);
    TpCommon__Header *header =
        tl_cmd_need(L, TL_PB_NEW(arena, TpCommon__Header, tp_common__header));
    struct tl_pb_list list = {0};
    lua_pushcfunction(L, tl_lib_pairs);
    lua_pushvalue(L, index);
    lua_call(L, 1, 1);
    int next = lua_gettop(L);
    while (lua_pushvalue(L, next), lua_call(L, 0, 2), !lua_isnil(L, next + 1)) {
        char path[240];
        if (lua_type(L, next + 1) != LUA_TSTRING) {
            luaL_error(L, "%s: the names of headers are strings, got a %s", what,
                       luaL_typename(L, next + 1));
        }
        snprintf(path, sizeof path, "%.160s.%.60s", what, lua_tostring(L, next + 1));
        TpCommon__Header__FieldsEntry *entry = tl_cmd_need(
            L, TL_PB_NEW(arena, TpCommon__Header__FieldsEntry, tp_common__header__fields_entry));
        entry->key = tl_options_text(L, next + 1, what, arena);
        entry->value = tl_vm_payload_encode(L, next + 2, arena, path);
        if (!tl_pb_push(arena, &list, entry)) {
            tl_cmd_need(L, NULL);
        }
        lua_settop(L, next);
    }
    lua_settop(L, next - 1);
    header->fields = list.items;
    header->n_fields = list.n;
    return list.n ? header : NULL;
}

#define STORE(type, value) (*(type *)to = (value))

static void read_value(lua_State *L, int index, const char *what, const struct tl_opt *o, void *to,
                       struct tl_arena *arena)
{
    switch (o->kind) {
    case TL_OPT_STRING:
        STORE(char *, tl_options_text(L, index, what, arena));
        break;
    case TL_OPT_DURATION:
        STORE(Google__Protobuf__Duration *,
              tl_cmd_need(L, tl_pb_duration_ns(arena, tl_options_duration(L, index, what))));
        break;
    case TL_OPT_NS:
        STORE(int64_t, tl_options_duration(L, index, what));
        break;
    case TL_OPT_BOOL:
        if (!lua_isboolean(L, index)) {
            luaL_error(L, "%s must be true or false", what);
        }
        STORE(protobuf_c_boolean, lua_toboolean(L, index));
        break;
    case TL_OPT_INT:
        STORE(int32_t, (int32_t)read_integer(L, index, what));
        break;
    case TL_OPT_DOUBLE:
        STORE(double, read_number(L, index, what));
        break;
    case TL_OPT_FLOAT:
        STORE(float, (float)read_number(L, index, what));
        break;
    case TL_OPT_ENUM:
        STORE(int, read_enum(L, index, what, o->names));
        break;
    case TL_OPT_TASK_QUEUE:
        STORE(TpTq__TaskQueue *, read_task_queue(L, index, what, arena));
        break;
    case TL_OPT_RETRY:
        STORE(TpCommon__RetryPolicy *, read_retry(L, index, what, arena));
        break;
    case TL_OPT_PRIORITY:
        STORE(TpCommon__Priority *, read_priority(L, index, what, arena));
        break;
    case TL_OPT_PAYLOAD:
        STORE(TpCommon__Payload *, tl_vm_payload_encode(L, index, arena, what));
        break;
    case TL_OPT_STRINGS:
        STORE(struct strings, read_strings(L, index, what, arena));
        break;
    case TL_OPT_HEADERS:
        STORE(TpCommon__Header *, read_headers(L, index, what, arena));
        break;
    case TL_OPT_OVERRIDE:
        STORE(TpWorkflow__VersioningOverride *, read_override(L, index, what, arena));
        break;
    case TL_OPT_GROUPS:
        STORE(struct tl_event_groups, tl_event_groups_read(L, index, what));
        break;
    case TL_OPT_FUNCTION:
        if (!lua_isfunction(L, index)) {
            luaL_error(L, "%s must be a function, got a %s", what, luaL_typename(L, index));
        }
        break;
    case TL_OPT_TABLE:
        need_table(L, index, what);
        break;
    case TL_OPT_ANY:
        break;
    }
}

void tl_options_read(lua_State *L, int index, const char *what, const struct tl_opt *opts, size_t n,
                     void *const *targets, struct tl_arena *arena)
{
    if (lua_isnoneornil(L, index)) {
        return;
    }
    index = lua_absindex(L, index);
    luaL_checkstack(L, 12, NULL);
    if (!lua_istable(L, index)) {
        luaL_error(L, "%s: options must be a table, got a %s (options come second, arguments last)",
                   what, luaL_typename(L, index));
    }
    uint64_t given = check_keys(L, index, what, opts, n);
    for (size_t i = 0; i < n; i++) {
        if (i < ROWS_KNOWN && !(given >> i & 1)) {
            continue;
        }
        lua_pushstring(L, opts[i].name);
        if (lua_rawget(L, index) != LUA_TNIL) {
            char path[160];
            snprintf(path, sizeof path, "%s: %s", what, opts[i].name);
            void *to = targets && targets[opts[i].target]
                           ? (char *)targets[opts[i].target] + opts[i].offset
                           : NULL;
            read_value(L, lua_gettop(L), path, &opts[i], to, arena);
        }
        lua_pop(L, 1);
    }
}
