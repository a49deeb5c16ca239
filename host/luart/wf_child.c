/* workflow.start_child_workflow, execute_child_workflow, child (proxies), and the handle of a child.
 * See sandbox.def.
 * A child is one future: its end. Waiting for its start is a second one, whose value is the first.
 * Thread: the run's. Owner: commands are the activation arena's. */
#include <string.h>

#include "luart/intercept.h"
#include "luart/options.h"
#include "luart/wf.h"
#include "proto/pb.h"

#define META_CHILD "temporal.child_workflow"

typedef TpCommand__StartChildWorkflowExecutionCommandAttributes child_attrs;

/* Options that are no field of the command's attributes, or whose type there is another one. */
struct extra {
    int cancellation_type, parent_close_policy, id_reuse_policy, versioning_intent;
    TpCommon__Payload *summary, *details;
    struct tl_event_groups groups;
};

/* In the order of enum tl_cancellation_type. */
static const char *const cancellation_names[] = {"try_cancel", "wait_cancellation_completed",
                                                 "abandon", "wait_cancellation_requested", NULL};
/* In the order of the protocol's enums. */
static const char *const close_names[] = {"unspecified", "terminate", "abandon", "request_cancel",
                                          NULL};
static const char *const reuse_names[] = {
    "unspecified",      "allow_duplicate",      "allow_duplicate_failed_only",
    "reject_duplicate", "terminate_if_running", NULL};

#define ATTR(name, kind, member) TL_OPT(name, kind, 0, child_attrs, member)
#define CHOICE(name, member, names)                                                                \
    {                                                                                              \
        name, TL_OPT_ENUM, 1, offsetof(struct extra, member), names                                \
    }

static const struct tl_opt child_opts[] = {
    ATTR("id", TL_OPT_STRING, workflow_id),
    ATTR("namespace", TL_OPT_STRING, namespace_),
    ATTR("task_queue", TL_OPT_TASK_QUEUE, task_queue),
    ATTR("execution_timeout", TL_OPT_DURATION, workflow_execution_timeout),
    ATTR("run_timeout", TL_OPT_DURATION, workflow_run_timeout),
    ATTR("task_timeout", TL_OPT_DURATION, workflow_task_timeout),
    ATTR("retry_policy", TL_OPT_RETRY, retry_policy),
    ATTR("cron_schedule", TL_OPT_STRING, cron_schedule),
    ATTR("priority", TL_OPT_PRIORITY, priority),
    ATTR("headers", TL_OPT_HEADERS, header),
    CHOICE("cancellation_type", cancellation_type, cancellation_names),
    CHOICE("parent_close_policy", parent_close_policy, close_names),
    CHOICE("id_reuse_policy", id_reuse_policy, reuse_names),
    CHOICE("versioning_intent", versioning_intent, tl_versioning_intent_names),
    TL_OPT("static_summary", TL_OPT_PAYLOAD, 1, struct extra, summary),
    TL_OPT("static_details", TL_OPT_PAYLOAD, 1, struct extra, details),
    TL_OPT("event_groups", TL_OPT_GROUPS, 1, struct extra, groups),
    TL_OPT("versioning_override", TL_OPT_OVERRIDE, 0, child_attrs, versioning_override),
    TL_OPT_CHECKED("memo", TL_OPT_TABLE),
    TL_OPT_CHECKED("search_attributes", TL_OPT_TABLE),
};

/* --- references ------------------------------------------------------------------------------- */

static bool is_ref(lua_State *L, int index)
{
    bool same = false;
    if (lua_istable(L, index) && lua_getmetatable(L, index)) {
        luaL_getmetatable(L, META_CHILD);
        same = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
    }
    return same;
}

/* --- starting --------------------------------------------------------------------------------- */

/* What is not given comes from the workflow itself. */
static void fill_defaults(lua_State *L, child_attrs *attrs, const struct extra *extra)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    const struct tl_lua_run *run = tl_run_of(L);
    bool own_queue =
        !attrs->task_queue || tl_str_eqc(run->config.task_queue, attrs->task_queue->name);
    if (!*attrs->workflow_id) {
        char id[37];
        tl_wf_uuid4(L, id);
        attrs->workflow_id = tl_cmd_need(L, tl_pb_cstr(arena, tl_str(id)));
    }
    if (!*attrs->namespace_) {
        attrs->namespace_ = tl_cmd_need(L, tl_pb_cstr(arena, run->config.namespace_));
    }
    if (!attrs->task_queue) {
        attrs->task_queue = tl_cmd_need(L, TL_PB_NEW(arena, TpTq__TaskQueue, tp_tq__task_queue));
        attrs->task_queue->name = tl_cmd_need(L, tl_pb_cstr(arena, run->config.task_queue));
    }
    attrs->parent_close_policy = (TpEnums__ParentClosePolicy)extra->parent_close_policy;
    attrs->workflow_id_reuse_policy = (TpEnums__WorkflowIdReusePolicy)extra->id_reuse_policy;
    attrs->inherit_build_id = tl_intent_is_compatible(extra->versioning_intent, own_queue);
}

/* Reads the options at index into attrs and extra; nil: nothing. */
static void read_options(lua_State *L, int index, const char *what, child_attrs *attrs,
                         struct extra *extra)
{
    void *targets[] = {attrs, extra};
    if (lua_isnoneornil(L, index)) {
        return;
    }
    index = lua_absindex(L, index);
    TL_OPTIONS_READ(L, index, what, child_opts, targets, tl_cmd_arena(L));
    tl_options_check_retry(L, what, attrs->retry_policy);
    TpCommon__Memo *memo = tl_wf_option_memo(L, index, what);
    TpCommon__SearchAttributes *search = tl_wf_option_search_attributes(L, index, what);
    attrs->memo = memo ? memo : attrs->memo;
    attrs->search_attributes = search ? search : attrs->search_attributes;
}

static void init_options(child_attrs *attrs, struct extra *extra)
{
    *attrs = (child_attrs)TP_COMMAND__START_CHILD_WORKFLOW_EXECUTION_COMMAND_ATTRIBUTES__INIT;
    *extra = (struct extra){.cancellation_type = TL_CANCEL_WAIT};
}

/* Starts the child named at index 1 (text, definition or proxy) with the options at index `options`
 * (0: none but the proxy's own) and the arguments from `first` on. Pushes its future. */
static struct tl_future *start(lua_State *L, const char *what, int options, int first)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    int top = lua_gettop(L);
    struct extra extra;
    child_attrs *attrs =
        tl_cmd_need(L, TL_PB_NEW(arena, child_attrs,
                                 tp_command__start_child_workflow_execution_command_attributes));
    init_options(attrs, &extra);
    struct tl_str type;
    if (is_ref(L, 1)) {
        lua_getfield(L, 1, "name");
        type = tl_wf_type_name(L, top + 1, what);
        lua_getfield(L, 1, "options");
        read_options(L, top + 2, what, attrs, &extra);
    } else {
        type = tl_wf_type_name(L, 1, what);
    }
    if (options) {
        read_options(L, options, what, attrs, &extra);
    }
    attrs->workflow_type =
        tl_cmd_need(L, TL_PB_NEW(arena, TpCommon__WorkflowType, tp_common__workflow_type));
    attrs->workflow_type->name = tl_cmd_need(L, tl_pb_cstr(arena, type));
    lua_settop(L, top);
    fill_defaults(L, attrs, &extra);
    tl_context_workflow(L, tl_str(attrs->namespace_), tl_str(attrs->workflow_id));
    attrs->input = tl_vm_payloads_encode(L, first, top - first + 1, arena, "argument");
    TpSdk__UserMetadata *metadata = tl_wf_metadata(L, extra.summary, extra.details);
    struct tl_future *child = tl_future_new(L, tl_run_of(L), TL_FUTURE_CHILD);
    child->cancellation = (uint8_t)extra.cancellation_type;
    tl_context_keep(L);
    lua_pushstring(L, attrs->workflow_id);
    lua_setiuservalue(L, -2, 2);
    struct tl_cmd *cmd = tl_cmd_new(L, TL_CMD_START_CHILD);
    cmd->seq = child->seq;
    cmd->attrs = &attrs->base;
    cmd->metadata = metadata;
    cmd->cancellation = (enum tl_cancellation_type)extra.cancellation_type;
    tl_event_groups_add(L, cmd, &extra.groups);
    tl_event_groups_keep(L, cmd);
    return child;
}

/* The same, and waits until it has started; the result is its handle. */
static int start_and_wait(lua_State *L, const char *what, int options, int first)
{
    struct tl_lua_run *run = tl_run_of(L);
    struct tl_future *child = start(L, what, options, first);
    /* Starts that nobody waits for have no future: the numbers follow the children's. */
    run->future_seq[TL_FUTURE_CHILD_START] = child->seq - 1;
    tl_future_new(L, run, TL_FUTURE_CHILD_START);
    return tl_wf_await_top(L);
}

/* The end of a chain. Upvalues: the name of the call, whether its end is waited for: then the start is
 * not. */
static int start_last(lua_State *L)
{
    const char *what = lua_tostring(L, lua_upvalueindex(1));
    tl_intercept_open_outbound(L, "workflow");
    tl_await_check(L, what);
    if (!lua_toboolean(L, lua_upvalueindex(2))) {
        return start_and_wait(L, what, 2, 3);
    }
    start(L, what, 2, 3);
    return 1;
}

/* The same through the interceptors. */
static int call(lua_State *L, const char *what, int options, int first, bool await)
{
    if (!tl_intercept_has(L, TL_HOOK_START_CHILD_WORKFLOW)) {
        if (!await) {
            return start_and_wait(L, what, options, first);
        }
        start(L, what, options, first);
        return tl_wf_await_top(L);
    }
    int base = lua_gettop(L), own = 0;
    struct tl_str name;
    if (is_ref(L, 1)) {
        lua_getfield(L, 1, "name");
        name = tl_wf_type_name(L, -1, what);
        lua_pop(L, 1); /* the reference keeps it */
        lua_getfield(L, 1, "options");
        lua_insert(L, 2); /* before the arguments */
        own = 2;
        options += options ? 1 : 0;
        first++;
        base++;
    } else {
        name = tl_wf_type_name(L, 1, what);
    }
    tl_intercept_push_outbound(L, "workflow", name, own, options, first);
    lua_pushstring(L, what);
    lua_pushboolean(L, await);
    lua_pushcclosure(L, start_last, 2);
    return tl_intercept_call(L, TL_HOOK_START_CHILD_WORKFLOW, TL_INTERCEPT_CTX(base, await),
                             tl_intercept_future);
}

/* start_child_workflow(name, options, ...) -> handle, once the child has started. */
int tl_lib_wf_start_child_workflow(lua_State *L)
{
    tl_await_check(L, "workflow.start_child_workflow");
    return call(L, "workflow.start_child_workflow", 2, 3, false);
}

/* execute_child_workflow(name, options, ...) -> its results. */
int tl_lib_wf_execute_child_workflow(lua_State *L)
{
    tl_await_check(L, "workflow.execute_child_workflow");
    return call(L, "workflow.execute_child_workflow", 2, 3, true);
}

/* --- proxies ---------------------------------------------------------------------------------- */

/* proxy(...) */
static int ref_call(lua_State *L)
{
    tl_await_check(L, "the child workflow");
    return call(L, "the child workflow", 0, 2, true);
}

/* proxy:start(...) */
static int ref_start(lua_State *L)
{
    luaL_argexpected(L, is_ref(L, 1), 1, "child workflow reference");
    tl_await_check(L, "start");
    return call(L, "start", 0, 2, false);
}

static int ref_index(lua_State *L)
{
    if (lua_type(L, 2) == LUA_TSTRING && strcmp(lua_tostring(L, 2), "start") == 0) {
        lua_pushcfunction(L, ref_start);
        return 1;
    }
    return 0;
}

/* child(name or definition, options) -> proxy: called it executes, its start method starts. */
int tl_lib_wf_child(lua_State *L)
{
    struct extra extra;
    child_attrs attrs;
    lua_settop(L, 2);
    struct tl_str name = tl_wf_type_name(L, 1, "workflow.child");
    init_options(&attrs, &extra); /* wrong options raise where they are written */
    read_options(L, 2, "workflow.child", &attrs, &extra);
    lua_createtable(L, 0, 2);
    lua_pushlstring(L, name.p, name.n);
    lua_setfield(L, -2, "name");
    lua_pushvalue(L, 2);
    lua_setfield(L, -2, "options");
    if (luaL_newmetatable(L, META_CHILD)) {
        lua_pushcfunction(L, ref_call);
        lua_setfield(L, -2, "__call");
        lua_pushcfunction(L, ref_index);
        lua_setfield(L, -2, "__index");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
    return 1;
}

/* --- the handle ------------------------------------------------------------------------------- */

static struct tl_wf_target target_of(lua_State *L)
{
    struct tl_future *child = tl_future_check(L, 1);
    luaL_argexpected(L, child->kind == TL_FUTURE_CHILD, 1, "child workflow handle");
    struct tl_wf_target target = {.child_only = true};
    lua_getiuservalue(L, 1, 2);
    target.workflow_id.p = lua_tolstring(L, -1, &target.workflow_id.n);
    lua_pop(L, 1); /* the handle keeps it */
    return target;
}

/* handle:signal(name, ...): waits until the child has it. It reaches whatever run of the child's
 * chain is the current one. */
static int handle_signal(lua_State *L)
{
    struct tl_wf_target target = target_of(L);
    return tl_wf_signal_target(L, &target, false);
}

/* handle:signal_with(options, name, ...) */
static int handle_signal_with(lua_State *L)
{
    struct tl_wf_target target = target_of(L);
    return tl_wf_signal_target(L, &target, true);
}

int tl_wf_child_index(lua_State *L, const char *key)
{
    if (strcmp(key, "id") == 0) {
        lua_getiuservalue(L, 1, 2);
    } else if (strcmp(key, "run_id") == 0) {
        lua_getiuservalue(L, 1, 3);
    } else if (strcmp(key, "signal") == 0) {
        lua_pushcfunction(L, handle_signal);
    } else if (strcmp(key, "signal_with") == 0) {
        lua_pushcfunction(L, handle_signal_with);
    } else {
        return luaL_error(L,
                          "a child workflow's handle has no '%s' (it has id, run_id, signal, "
                          "signal_with, result, cancel, done and error)",
                          key);
    }
    return 1;
}
