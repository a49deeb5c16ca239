/* workflow.execute_local_activity, start_local_activity, local_activity (proxies). An activity with a
 * local future: it ends in a job of its own kind; after a pause that the worker leaves to the
 * workflow it is scheduled again under a new number. See sandbox.def.
 * Thread: the run's. Owner: commands are the activation arena's; what is needed to schedule it again
 * is kept, encoded, with the future. */
#include <string.h>

#include "luart/options.h"
#include "luart/run_jobs.h"
#include "luart/wf.h"
#include "proto/pb.h"

#define META_LOCAL "temporal.local_activity"

/* The attributes of the ordinary command hold all but this. */
typedef TpCommand__ScheduleActivityTaskCommandAttributes attributes;

struct extra {
    int cancellation_type;
    int64_t retry_threshold;
    TpCommon__Payload *summary;
    struct tl_event_groups groups;
};

static const char *const cancellation_names[] = {"try_cancel", "wait_cancellation_completed",
                                                 "abandon", NULL};

static const struct tl_opt local_opts[] = {
    TL_OPT("activity_id", TL_OPT_STRING, 0, attributes, activity_id),
    TL_OPT("schedule_to_close_timeout", TL_OPT_DURATION, 0, attributes, schedule_to_close_timeout),
    TL_OPT("schedule_to_start_timeout", TL_OPT_DURATION, 0, attributes, schedule_to_start_timeout),
    TL_OPT("start_to_close_timeout", TL_OPT_DURATION, 0, attributes, start_to_close_timeout),
    TL_OPT("retry_policy", TL_OPT_RETRY, 0, attributes, retry_policy),
    {"cancellation_type", TL_OPT_ENUM, 1, offsetof(struct extra, cancellation_type),
     cancellation_names},
    TL_OPT("local_retry_threshold", TL_OPT_NS, 1, struct extra, retry_threshold),
    TL_OPT("summary", TL_OPT_PAYLOAD, 1, struct extra, summary),
    TL_OPT("headers", TL_OPT_HEADERS, 0, attributes, header),
    TL_OPT("event_groups", TL_OPT_GROUPS, 1, struct extra, groups),
};

/* --- scheduling ------------------------------------------------------------------------------- */

/* Adds the command. Everything in attrs is the arena's. */
static struct tl_cmd *send_command(lua_State *L, const struct tl_future *future,
                                   const attributes *attrs, int64_t retry_threshold,
                                   TpSdk__UserMetadata *metadata, uint32_t attempt,
                                   int64_t original_schedule_ns)
{
    struct tl_local_activity *la =
        tl_cmd_need(L, TL_ARENA_NEW(tl_cmd_arena(L), struct tl_local_activity));
    *la = (struct tl_local_activity){
        .type = tl_str(attrs->activity_type->name),
        .id = tl_str(attrs->activity_id ? attrs->activity_id : ""),
        .input = attrs->input,
        .header = attrs->header,
        .schedule_to_close_ns = tl_pb_duration_ns_or(attrs->schedule_to_close_timeout, 0),
        .schedule_to_start_ns = tl_pb_duration_ns_or(attrs->schedule_to_start_timeout, 0),
        .start_to_close_ns = tl_pb_duration_ns_or(attrs->start_to_close_timeout, 0),
        .retry = attrs->retry_policy,
        .retry_threshold_ns = retry_threshold,
        .attempt = attempt,
        .original_schedule_ns = original_schedule_ns,
    };
    struct tl_cmd *cmd = tl_cmd_new(L, TL_CMD_SCHEDULE_LOCAL_ACTIVITY);
    cmd->seq = future->seq;
    cmd->u.local = la;
    cmd->metadata = metadata;
    cmd->cancellation = (enum tl_cancellation_type)future->cancellation;
    return cmd;
}

static void check_timeouts(lua_State *L, const char *what, struct tl_str name,
                           const attributes *attrs)
{
    if (tl_pb_duration_ns_or(attrs->start_to_close_timeout, 0) <= 0 &&
        tl_pb_duration_ns_or(attrs->schedule_to_close_timeout, 0) <= 0) {
        luaL_error(L,
                   "%s: local activity \"%s\" needs start_to_close_timeout (how long one attempt "
                   "may take) or schedule_to_close_timeout (all attempts together)",
                   what, name.p);
    }
}

/* Pushes those of a reference's own options that local activities have (it may be used both ways);
 * nil when it has none. */
static void push_own_options(lua_State *L)
{
    lua_pushliteral(L, "options");
    lua_rawget(L, 1);
    if (lua_istable(L, -1)) {
        lua_newtable(L);
        for (size_t i = 0; i < sizeof local_opts / sizeof *local_opts; i++) {
            lua_pushstring(L, local_opts[i].name);
            lua_pushvalue(L, -1);
            lua_rawget(L, -4);
            lua_rawset(L, -3);
        }
        lua_remove(L, -2);
    }
}

/* Keeps with the future what scheduling it again needs: { the ordinary command, threshold }. */
static void keep(lua_State *L, int future, attributes *attrs, TpSdk__UserMetadata *metadata,
                 int64_t retry_threshold)
{
    struct tl_str bytes;
    struct tl_error err;
    TpCommand__Command kept = TP_COMMAND__COMMAND__INIT;
    kept.attributes_case =
        TP_COMMAND__COMMAND__ATTRIBUTES_SCHEDULE_ACTIVITY_TASK_COMMAND_ATTRIBUTES;
    kept.schedule_activity_task_command_attributes = attrs;
    kept.user_metadata = metadata;
    if (tl_pb_encode_arena(&kept, tl_cmd_arena(L), &bytes, &err) != TL_OK) {
        luaL_error(L, "local activity: %s", err.message);
    }
    future = lua_absindex(L, future);
    lua_createtable(L, 2, 0);
    lua_pushlstring(L, bytes.p, bytes.n);
    lua_rawseti(L, -2, 1);
    lua_pushinteger(L, retry_threshold);
    lua_rawseti(L, -2, 2);
    lua_setiuservalue(L, future, 1);
}

/* Schedules the activity named at index 1 with the options at index `options` (0: none but the
 * reference's own) and the arguments from `first` on. Pushes its future. */
static void schedule(lua_State *L, const char *what, int options, int first)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    struct tl_str name = tl_wf_activity_name(L, 1, what);
    int top = lua_gettop(L);
    struct extra extra = {0};
    attributes *attrs =
        tl_cmd_need(L, TL_PB_NEW(arena, TpCommand__ScheduleActivityTaskCommandAttributes,
                                 tp_command__schedule_activity_task_command_attributes));
    void *targets[] = {attrs, &extra};
    if (lua_istable(L, 1)) {
        push_own_options(L);
        TL_OPTIONS_READ(L, lua_gettop(L), what, local_opts, targets, arena);
        lua_settop(L, top);
    }
    if (options) {
        TL_OPTIONS_READ(L, options, what, local_opts, targets, arena);
    }
    lua_settop(L, top);
    check_timeouts(L, what, name, attrs);
    attrs->activity_type =
        tl_cmd_need(L, TL_PB_NEW(arena, TpCommon__ActivityType, tp_common__activity_type));
    attrs->activity_type->name = tl_cmd_need(L, tl_pb_cstr(arena, name));
    tl_context_activity(L, name.p, attrs->activity_id, NULL, true);
    attrs->input = tl_vm_payloads_encode(L, first, top - first + 1, arena, "argument");
    TpSdk__UserMetadata *metadata = tl_wf_metadata(L, extra.summary, NULL);
    struct tl_future *future = tl_future_new(L, tl_run_of(L), TL_FUTURE_ACTIVITY);
    future->local = true;
    future->cancellation = (uint8_t)extra.cancellation_type;
    tl_context_keep(L);
    keep(L, -1, attrs, metadata, extra.retry_threshold);
    struct tl_cmd *cmd = send_command(L, future, attrs, extra.retry_threshold, metadata, 0, 0);
    tl_event_groups_add(L, cmd, &extra.groups);
    tl_event_groups_keep(L, cmd);
}

static bool push_proxy_options(lua_State *L)
{
    if (lua_istable(L, 1)) {
        push_own_options(L);
        return true;
    }
    return false;
}

static const struct tl_activity_kind local_kind = {TL_HOOK_START_LOCAL_ACTIVITY, schedule,
                                                   push_proxy_options};

static int call(lua_State *L, const char *what, int options, int first, bool await)
{
    return tl_wf_ask_activity(L, &local_kind, what, options, first, await);
}

int tl_lib_wf_start_local_activity(lua_State *L)
{
    tl_command_check(L, "workflow.start_local_activity");
    return call(L, "workflow.start_local_activity", 2, 3, false);
}

int tl_lib_wf_execute_local_activity(lua_State *L)
{
    tl_await_check(L, "workflow.execute_local_activity");
    return call(L, "workflow.execute_local_activity", 2, 3, true);
}

/* --- back-off --------------------------------------------------------------------------------- */

/* The worker leaves a long pause to the workflow: a timer, at whose end it is scheduled again. */
static void back_off(lua_State *L, struct tl_lua_run *run, struct tl_future *future,
                     const struct tl_job *job)
{
    int local = lua_gettop(L); /* its userdata */
    struct tl_event_groups groups = tl_event_groups_kept(L, future);
    tl_future_unlist(L, run, future);
    future->attempt = job->u.activity.attempt;
    future->original_schedule_ns = job->u.activity.original_schedule_ns;
    struct tl_future *timer = tl_wf_start_timer(L, job->u.activity.backoff_ns, NULL, &groups);
    timer->local = true;
    future->timer_seq = timer->seq;
    lua_pushvalue(L, local);
    lua_setiuservalue(L, -2, 1);
    lua_settop(L, local);
}

void tl_run_apply_local(struct tl_lua_run *run, const struct tl_job *job)
{
    lua_State *L = run->main;
    struct tl_future *future = tl_future_find(L, run, TL_FUTURE_ACTIVITY, job->u.activity.seq);
    if (!future) {
        return;
    }
    if (job->u.activity.status == TL_ACTIVITY_BACKOFF && !future->cancel_requested) {
        back_off(L, run, future, job);
        return;
    }
    tl_context_recall(L);
    if (job->u.activity.status == TL_ACTIVITY_COMPLETED) {
        tl_future_resolve(L, run, future, false, tl_vm_payloads_decode(L, job->u.activity.result));
    } else {
        tl_vm_failure_decode(L, job->u.activity.failure);
        tl_future_resolve(L, run, future, true, 1);
    }
}

void tl_run_local_again(struct tl_lua_run *run, struct tl_future *timer)
{
    lua_State *L = run->main;
    struct tl_error err;
    struct tl_str bytes;
    TpCommand__Command *kept = NULL;
    lua_getiuservalue(L, -1, 1);
    struct tl_future *future = lua_touserdata(L, -1);
    int local = lua_gettop(L);
    tl_future_unlist(L, run, timer);
    lua_pushvalue(L, local - 1); /* the timer */
    tl_event_groups_forget(L);
    lua_settop(L, local);
    lua_getiuservalue(L, local, 1);
    lua_rawgeti(L, -1, 2);
    int64_t retry_threshold = lua_tointeger(L, -1);
    lua_rawgeti(L, -2, 1);
    bytes.p = lua_tolstring(L, -1, &bytes.n);
    if (tl_pb_decode(&tp_command__command__descriptor, bytes, tl_cmd_arena(L), &kept, &err) !=
        TL_OK) {
        luaL_error(L, "local activity: %s", err.message);
    }
    lua_pushvalue(L, local);
    tl_future_relist(L, run, future);
    future->timer_seq = 0;
    struct tl_event_groups groups = tl_event_groups_kept(L, future);
    send_command(L, future, kept->schedule_activity_task_command_attributes, retry_threshold,
                 kept->user_metadata, future->attempt, future->original_schedule_ns)
        ->groups = groups;
    lua_settop(L, local);
}

void tl_wf_cancel_local(lua_State *L, struct tl_lua_run *run, struct tl_future *future)
{
    if (future->timer_seq) { /* nothing runs: the pause ends and the future with it */
        struct tl_future *timer = tl_future_find(L, run, TL_FUTURE_TIMER, future->timer_seq);
        lua_getiuservalue(L, -1, 1); /* keeps the future while the timer goes */
        struct tl_event_groups groups = tl_event_groups_kept(L, timer);
        struct tl_cmd *cmd = tl_cmd_new(L, TL_CMD_CANCEL_TIMER);
        cmd->seq = timer->seq;
        cmd->groups = groups;
        tl_future_unlist(L, run, timer);
        lua_pushvalue(L, -2);
        tl_event_groups_forget(L);
        lua_pop(L, 1);
        tl_future_relist(L, run, future);
        future->timer_seq = 0;
        tl_vm_push_error(L, "CancelledError", "the local activity was cancelled between attempts");
        tl_future_resolve(L, run, future, true, 1);
        lua_pop(L, 1);
    } else if (!future->cancel_requested) {
        tl_cmd_new(L, TL_CMD_CANCEL_LOCAL_ACTIVITY)->seq = future->seq;
    }
    future->cancel_requested = true;
}

/* --- proxies ---------------------------------------------------------------------------------- */

static int proxy_call(lua_State *L)
{
    tl_await_check(L, "the local activity");
    return call(L, "the local activity", 0, 2, true);
}

static int proxy_start(lua_State *L)
{
    luaL_argexpected(L, lua_istable(L, 1), 1, "local activity");
    tl_command_check(L, "start");
    return call(L, "start", 0, 2, false);
}

static int proxy_index(lua_State *L)
{
    if (lua_type(L, 2) == LUA_TSTRING && strcmp(lua_tostring(L, 2), "start") == 0) {
        lua_pushcfunction(L, proxy_start);
        return 1;
    }
    return 0;
}

bool tl_wf_is_local_proxy(lua_State *L, int index)
{
    bool same = false;
    if (lua_istable(L, index) && lua_getmetatable(L, index)) {
        luaL_getmetatable(L, META_LOCAL);
        same = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
    }
    return same;
}

/* workflow.local_activity(name or reference, options) -> proxy with the options of both. */
int tl_lib_wf_local_activity(lua_State *L)
{
    static const char what[] = "workflow.local_activity";
    struct tl_str name = tl_wf_activity_name(L, 1, what);
    attributes attrs = TP_COMMAND__SCHEDULE_ACTIVITY_TASK_COMMAND_ATTRIBUTES__INIT;
    struct extra extra = {0};
    lua_settop(L, 2);
    /* Wrong options raise where they are written, not where they are used. */
    TL_OPTIONS_READ(L, 2, what, local_opts, ((void *[]){&attrs, &extra}), tl_cmd_arena(L));
    lua_newtable(L); /* 3: the proxy */
    lua_pushlstring(L, name.p, name.n);
    lua_setfield(L, 3, "name");
    lua_newtable(L); /* 4: its options */
    for (size_t i = 0; i < sizeof local_opts / sizeof *local_opts; i++) {
        const char *key = local_opts[i].name;
        if (lua_istable(L, 2)) {
            lua_pushstring(L, key);
            lua_rawget(L, 2);
        } else {
            lua_pushnil(L);
        }
        if (lua_isnil(L, -1) && lua_istable(L, 1)) {
            lua_pop(L, 1);
            lua_pushliteral(L, "options");
            lua_rawget(L, 1);
            if (lua_istable(L, -1)) {
                lua_pushstring(L, key);
                lua_rawget(L, -2);
                lua_remove(L, -2);
            }
        }
        lua_setfield(L, 4, key);
    }
    lua_setfield(L, 3, "options");
    if (luaL_newmetatable(L, META_LOCAL)) {
        lua_pushcfunction(L, proxy_call);
        lua_setfield(L, -2, "__call");
        lua_pushcfunction(L, proxy_index);
        lua_setfield(L, -2, "__index");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, 3);
    return 1;
}
