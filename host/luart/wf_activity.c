/* workflow.execute_activity, start_activity, activity (proxies), and activity.define as workflows
 * see it: a name with options. See sandbox.def.
 * Thread: the run's. Owner: commands are the activation arena's. */
#include "luart/wf.h"

#include <string.h>

#include "luart/options.h"
#include "proto/pb.h"

#define META_ACTIVITY "temporal.activity"

/* Options that are no field of the command's attributes. */
struct extra {
    int cancellation_type, versioning_intent;
    TpCommon__Payload *summary;
    protobuf_c_boolean disable_eager_execution;
    struct tl_event_groups groups;
};

static const char *const cancellation_names[] = {"try_cancel", "wait_cancellation_completed",
                                                 "abandon", NULL};

#define ATTR(name, kind, member)                                                                   \
    TL_OPT(name, kind, 0, TpCommand__ScheduleActivityTaskCommandAttributes, member)

static const struct tl_opt activity_opts[] = {
    ATTR("activity_id", TL_OPT_STRING, activity_id),
    ATTR("task_queue", TL_OPT_TASK_QUEUE, task_queue),
    ATTR("schedule_to_close_timeout", TL_OPT_DURATION, schedule_to_close_timeout),
    ATTR("schedule_to_start_timeout", TL_OPT_DURATION, schedule_to_start_timeout),
    ATTR("start_to_close_timeout", TL_OPT_DURATION, start_to_close_timeout),
    ATTR("heartbeat_timeout", TL_OPT_DURATION, heartbeat_timeout),
    ATTR("retry_policy", TL_OPT_RETRY, retry_policy),
    ATTR("priority", TL_OPT_PRIORITY, priority),
    ATTR("headers", TL_OPT_HEADERS, header),
    {"cancellation_type", TL_OPT_ENUM, 1, offsetof(struct extra, cancellation_type),
     cancellation_names},
    {"versioning_intent", TL_OPT_ENUM, 1, offsetof(struct extra, versioning_intent),
     tl_versioning_intent_names},
    TL_OPT("summary", TL_OPT_PAYLOAD, 1, struct extra, summary),
    TL_OPT("event_groups", TL_OPT_GROUPS, 1, struct extra, groups),
    TL_OPT("disable_eager_execution", TL_OPT_BOOL, 1, struct extra, disable_eager_execution),
};

/* --- references ------------------------------------------------------------------------------- */

static int ref_call(lua_State *L);
static int ref_start(lua_State *L);

static int ref_index(lua_State *L)
{
    if (lua_type(L, 2) == LUA_TSTRING && strcmp(lua_tostring(L, 2), "start") == 0) {
        lua_pushcfunction(L, ref_start);
        return 1;
    }
    return 0;
}

void tl_wf_push_activity(lua_State *L, struct tl_str name, int options)
{
    options = options ? lua_absindex(L, options) : 0;
    lua_createtable(L, 0, 2);
    lua_pushlstring(L, name.p, name.n);
    lua_setfield(L, -2, "name");
    if (options && !lua_isnil(L, options)) {
        lua_pushvalue(L, options);
        lua_setfield(L, -2, "options");
    }
    if (luaL_newmetatable(L, META_ACTIVITY)) {
        lua_pushcfunction(L, ref_call);
        lua_setfield(L, -2, "__call");
        lua_pushcfunction(L, ref_index);
        lua_setfield(L, -2, "__index");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
}

/* Whether the value is a reference made by tl_wf_push_activity. */
static bool is_ref(lua_State *L, int index)
{
    bool same = false;
    if (lua_istable(L, index) && lua_getmetatable(L, index)) {
        luaL_getmetatable(L, META_ACTIVITY);
        same = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
    }
    return same;
}

struct tl_str tl_wf_activity_name(lua_State *L, int index, const char *what)
{
    struct tl_str name = {NULL, 0};
    if (is_ref(L, index) || tl_wf_is_local_proxy(L, index)) {
        lua_pushliteral(L, "name");
        lua_rawget(L, index);
        name.p = lua_tolstring(L, -1, &name.n);
        lua_pop(L, 1); /* the reference keeps it */
    } else if (lua_type(L, index) == LUA_TSTRING) {
        name.p = lua_tolstring(L, index, &name.n);
    }
    if (!name.p || name.n == 0) {
        luaL_error(L,
                   "%s: the activity is a name, or a reference from the module that defines it, "
                   "got a %s",
                   what, luaL_typename(L, index));
    }
    return name;
}

/* --- scheduling ------------------------------------------------------------------------------- */

TpSdk__UserMetadata *tl_wf_metadata(lua_State *L, TpCommon__Payload *summary,
                                    TpCommon__Payload *details)
{
    if (!summary && !details) {
        return NULL;
    }
    TpSdk__UserMetadata *metadata =
        tl_cmd_need(L, TL_PB_NEW(tl_cmd_arena(L), TpSdk__UserMetadata, tp_sdk__user_metadata));
    metadata->summary = summary;
    metadata->details = details;
    return metadata;
}

static void check_timeouts(lua_State *L, const char *what, struct tl_str name,
                           const TpCommand__ScheduleActivityTaskCommandAttributes *attrs)
{
    if (tl_pb_duration_ns_or(attrs->start_to_close_timeout, 0) <= 0 &&
        tl_pb_duration_ns_or(attrs->schedule_to_close_timeout, 0) <= 0) {
        luaL_error(L,
                   "%s: activity \"%s\" needs start_to_close_timeout (how long one attempt may "
                   "take) or schedule_to_close_timeout (all attempts together)",
                   what, name.p);
    }
}

/* Schedules the activity named at index 1 with the options at index `options` (0: none
 * but the reference's own) and the arguments from `first` on. Pushes its future. */
static void schedule(lua_State *L, const char *what, int options, int first)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    struct tl_lua_run *run = tl_run_of(L);
    struct tl_str name = tl_wf_activity_name(L, 1, what);
    int top = lua_gettop(L);
    struct extra extra = {0};
    TpCommand__ScheduleActivityTaskCommandAttributes *attrs =
        tl_cmd_need(L, TL_PB_NEW(arena, TpCommand__ScheduleActivityTaskCommandAttributes,
                                 tp_command__schedule_activity_task_command_attributes));
    void *targets[] = {attrs, &extra};
    if (is_ref(L, 1)) {
        lua_pushliteral(L, "options");
        lua_rawget(L, 1);
        TL_OPTIONS_READ(L, lua_gettop(L), what, activity_opts, targets, arena);
    }
    if (options) {
        TL_OPTIONS_READ(L, options, what, activity_opts, targets, arena);
    }
    lua_settop(L, top);
    check_timeouts(L, what, name, attrs);
    tl_options_check_retry(L, what, attrs->retry_policy);
    if (attrs->task_queue && !*attrs->task_queue->name) {
        luaL_error(L, "%s: task_queue must not be empty; leave it out for the workflow's own",
                   what);
    }
    attrs->activity_type =
        tl_cmd_need(L, TL_PB_NEW(arena, TpCommon__ActivityType, tp_common__activity_type));
    attrs->activity_type->name = tl_cmd_need(L, tl_pb_cstr(arena, name));
    bool own_queue =
        !attrs->task_queue || tl_str_eqc(run->config.task_queue, attrs->task_queue->name);
    bool eager = !attrs->task_queue && !extra.disable_eager_execution;
    if (!attrs->task_queue) {
        attrs->task_queue = tl_cmd_need(L, TL_PB_NEW(arena, TpTq__TaskQueue, tp_tq__task_queue));
        attrs->task_queue->name = tl_cmd_need(L, tl_pb_cstr(arena, run->config.task_queue));
    }
    attrs->request_eager_execution = eager;
    attrs->use_workflow_build_id = tl_intent_is_compatible(extra.versioning_intent, own_queue);
    tl_context_activity(L, name.p, attrs->activity_id, attrs->task_queue->name, false);
    attrs->input = tl_vm_payloads_encode(L, first, top - first + 1, arena, "argument");
    TpSdk__UserMetadata *metadata = tl_wf_metadata(L, extra.summary, NULL);
    struct tl_future *future = tl_future_new(L, run, TL_FUTURE_ACTIVITY);
    future->cancellation = (uint8_t)extra.cancellation_type;
    tl_context_keep(L);
    struct tl_cmd *cmd = tl_cmd_new(L, TL_CMD_SCHEDULE_ACTIVITY);
    cmd->seq = future->seq;
    cmd->attrs = &attrs->base;
    cmd->metadata = metadata;
    cmd->cancellation = (enum tl_cancellation_type)extra.cancellation_type;
    tl_event_groups_add(L, cmd, &extra.groups);
    tl_event_groups_keep(L, cmd);
}

/* --- asking for one ---------------------------------------------------------------------------- */

/* The end of a chain. Upvalues: the name of the call, the kind of activity. */
static int schedule_last(lua_State *L)
{
    const char *what = lua_tostring(L, lua_upvalueindex(1));
    const struct tl_activity_kind *kind = lua_touserdata(L, lua_upvalueindex(2));
    tl_intercept_open_outbound(L, "activity");
    tl_command_check(L, what);
    kind->schedule(L, what, 2, 3);
    return 1;
}

int tl_wf_ask_activity(lua_State *L, const struct tl_activity_kind *kind, const char *what,
                       int options, int first, bool await)
{
    if (!tl_intercept_has(L, kind->hook)) {
        kind->schedule(L, what, options, first);
        return await ? tl_wf_await_top(L) : 1;
    }
    int base = lua_gettop(L), own = 0;
    struct tl_str name = tl_wf_activity_name(L, 1, what);
    if (kind->push_own_options(L)) {
        lua_insert(L, 2); /* before the arguments */
        own = 2;
        options += options ? 1 : 0;
        first++;
        base++;
    }
    tl_intercept_push_outbound(L, "activity", name, own, options, first);
    lua_pushstring(L, what);
    lua_pushlightuserdata(L, (void *)(uintptr_t)kind);
    lua_pushcclosure(L, schedule_last, 2);
    return tl_intercept_call(L, kind->hook, TL_INTERCEPT_CTX(base, await), tl_intercept_future);
}

static bool push_own_options(lua_State *L)
{
    if (!is_ref(L, 1)) {
        return false;
    }
    lua_pushliteral(L, "options");
    lua_rawget(L, 1);
    return true;
}

static const struct tl_activity_kind remote_kind = {TL_HOOK_START_ACTIVITY, schedule,
                                                    push_own_options};

static int call(lua_State *L, const char *what, int options, int first, bool await)
{
    return tl_wf_ask_activity(L, &remote_kind, what, options, first, await);
}

int tl_lib_wf_start_activity(lua_State *L)
{
    tl_command_check(L, "workflow.start_activity");
    return call(L, "workflow.start_activity", 2, 3, false);
}

int tl_lib_wf_execute_activity(lua_State *L)
{
    tl_await_check(L, "workflow.execute_activity");
    return call(L, "workflow.execute_activity", 2, 3, true);
}

/* --- proxies ---------------------------------------------------------------------------------- */

/* proxy(...) */
static int ref_call(lua_State *L)
{
    tl_await_check(L, "the activity");
    return call(L, "the activity", 0, 2, true);
}

/* proxy:start(...) */
static int ref_start(lua_State *L)
{
    luaL_argexpected(L, is_ref(L, 1), 1, "activity reference");
    tl_command_check(L, "start");
    return call(L, "start", 0, 2, false);
}

/* Wrong options raise where they are written, not where they are used. */
static void check_options(lua_State *L, int index, const char *what)
{
    struct extra extra = {0};
    TpCommand__ScheduleActivityTaskCommandAttributes attrs =
        TP_COMMAND__SCHEDULE_ACTIVITY_TASK_COMMAND_ATTRIBUTES__INIT;
    void *targets[] = {&attrs, &extra};
    TL_OPTIONS_READ(L, index, what, activity_opts, targets, tl_cmd_arena(L));
}

/* workflow.activity(name or reference, options) -> proxy with the options of both. */
int tl_lib_wf_activity(lua_State *L)
{
    struct tl_str name = tl_wf_activity_name(L, 1, "workflow.activity");
    lua_settop(L, 2);
    check_options(L, 2, "workflow.activity");
    lua_newtable(L);
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 0 && is_ref(L, 1)) {
            lua_pushliteral(L, "options");
            lua_rawget(L, 1);
        } else {
            lua_pushvalue(L, pass == 0 ? 3 : 2);
        }
        if (lua_istable(L, 4)) {
            lua_pushnil(L);
            while (lua_next(L, 4)) {
                lua_pushvalue(L, -2);
                lua_insert(L, -2);
                lua_rawset(L, 3);
            }
        }
        lua_settop(L, 3);
    }
    tl_wf_push_activity(L, name, 3);
    return 1;
}

/* Pushes those of a definition's options that say how to call the activity; nil when there are none. */
static void push_call_options(lua_State *L, int index)
{
    bool any = false;
    lua_newtable(L);
    for (size_t i = 0; i < sizeof activity_opts / sizeof *activity_opts; i++) {
        lua_pushstring(L, activity_opts[i].name);
        lua_pushvalue(L, -1);
        if (lua_rawget(L, index) == LUA_TNIL) {
            lua_pop(L, 2);
            continue;
        }
        any = true;
        lua_rawset(L, -3);
    }
    if (!any) {
        lua_pop(L, 1);
        lua_pushnil(L);
    }
}

/* activity.define(name, function, options): here a reference to the activity. */
int tl_lib_activity_define(lua_State *L)
{
    struct tl_str name;
    if (lua_istable(L, 1)) { /* dynamic = true: there is no name by which it could be called */
        tl_wf_push_activity(L, TL_STR_LIT(""), 0);
        return 1;
    }
    luaL_checktype(L, 1, LUA_TSTRING);
    lua_settop(L, 3);
    name.p = lua_tolstring(L, 1, &name.n);
    if (lua_istable(L, 3)) {
        push_call_options(L, 3);
    } else {
        lua_pushnil(L);
    }
    tl_bundle_record_activity(L, tl_run_of(L), name, 4);
    tl_wf_push_activity(L, name, 4);
    return 1;
}

/* activity.object(name, object): here a table method -> reference to the activity "name.method". */
int tl_lib_activity_object(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TSTRING);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    lua_newtable(L);
    lua_pushcfunction(L, tl_lib_pairs);
    lua_pushvalue(L, 2);
    lua_call(L, 1, 1);
    while (lua_pushvalue(L, 4), lua_call(L, 0, 2), !lua_isnil(L, 5)) {
        const char *key = lua_type(L, 5) == LUA_TSTRING ? lua_tostring(L, 5) : "_";
        bool activity = lua_isfunction(L, 6) || is_ref(L, 6);
        if (activity && key[0] != '_' && !tl_wf_is_hook(tl_str(key))) {
            struct tl_str name;
            lua_pushfstring(L, "%s.%s", lua_tostring(L, 1), key);
            name.p = lua_tolstring(L, -1, &name.n);
            if (is_ref(L, 6)) {
                lua_getfield(L, 6, "options");
            } else {
                lua_pushnil(L);
            }
            tl_bundle_record_activity(L, tl_run_of(L), name, 8);
            tl_wf_push_activity(L, name, 8);
            lua_pushvalue(L, 5);
            lua_insert(L, -2);
            lua_rawset(L, 3);
        }
        lua_settop(L, 4);
    }
    lua_settop(L, 3);
    return 1;
}

bool tl_wf_is_hook(struct tl_str key)
{
    return tl_str_eqc(key, "setup") || tl_str_eqc(key, "teardown");
}

bool tl_wf_is_activity(lua_State *L, int index)
{
    return is_ref(L, index);
}
