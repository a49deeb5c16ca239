/* Signals to other workflows and their cancellation: workflow.external_workflow. See sandbox.def.
 * Thread: the run's. Owner: commands are the activation arena's. */
#include "luart/intercept.h"
#include "luart/options.h"
#include "luart/wf.h"
#include "proto/pb.h"

#define META_EXTERNAL "temporal.external_workflow"

struct external_options {
    char *run_id, *namespace_;
};

static const struct tl_opt external_opts[] = {
    TL_OPT("run_id", TL_OPT_STRING, 0, struct external_options, run_id),
    TL_OPT("namespace", TL_OPT_STRING, 0, struct external_options, namespace_),
};

static char *arena_text(lua_State *L, struct tl_str s)
{
    return tl_cmd_need(L, tl_pb_cstr(tl_cmd_arena(L), s));
}

static struct tl_str namespace_of(lua_State *L, const struct tl_wf_target *target)
{
    return target->namespace_.n ? target->namespace_ : tl_run_of(L)->config.namespace_;
}

struct signal_options {
    TpCommon__Header *header;
    struct tl_event_groups groups;
    char *child_workflow_id, *workflow_id, *workflow_run_id, *namespace_;
};

#define SIGNAL_OPT(name, member) TL_OPT(name, TL_OPT_STRING, 0, struct signal_options, member)

/* What an interceptor's input has; the script's calls have the first two only. */
static const struct tl_opt signal_opts[] = {
    TL_OPT("headers", TL_OPT_HEADERS, 0, struct signal_options, header),
    TL_OPT("event_groups", TL_OPT_GROUPS, 0, struct signal_options, groups),
    SIGNAL_OPT("child_workflow_id", child_workflow_id),
    SIGNAL_OPT("workflow_id", workflow_id),
    SIGNAL_OPT("workflow_run_id", workflow_run_id),
    SIGNAL_OPT("namespace", namespace_),
};
enum { SIGNAL_OPTS_OF_CALLS = 2 };

/* Sends the signal with its name at index 1 and its arguments from index 3 on. Pushes the future of its
 * delivery. Texts are the arena's. */
static void send_signal(lua_State *L, const struct tl_wf_target *target,
                        const struct signal_options *o)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    struct tl_str name;
    int top = lua_gettop(L);
    name.p = lua_tolstring(L, 1, &name.n);
    TpCommand__SignalExternalWorkflowExecutionCommandAttributes *attrs = tl_cmd_need(
        L, TL_PB_NEW(arena, TpCommand__SignalExternalWorkflowExecutionCommandAttributes,
                     tp_command__signal_external_workflow_execution_command_attributes));
    attrs->execution = tl_cmd_need(
        L, TL_PB_NEW(arena, TpCommon__WorkflowExecution, tp_common__workflow_execution));
    attrs->execution->workflow_id = arena_text(L, target->workflow_id);
    attrs->execution->run_id = arena_text(L, target->run_id);
    attrs->namespace_ = arena_text(L, namespace_of(L, target));
    attrs->signal_name = arena_text(L, name);
    attrs->header = o->header;
    attrs->child_workflow_only = target->child_only;
    tl_context_workflow(L, tl_str(attrs->namespace_), tl_str(attrs->execution->workflow_id));
    attrs->input = tl_vm_payloads_encode(L, 3, top - 2, arena, "argument");
    struct tl_future *future = tl_future_new(L, tl_run_of(L), TL_FUTURE_SIGNAL);
    struct tl_cmd *cmd = tl_cmd_new(L, TL_CMD_SIGNAL_EXTERNAL);
    cmd->seq = future->seq;
    cmd->attrs = &attrs->base;
    tl_event_groups_add(L, cmd, &o->groups);
}

static void check_name(lua_State *L)
{
    luaL_argexpected(L, lua_type(L, 1) == LUA_TSTRING, 2, "name of a signal");
    luaL_argcheck(L, lua_rawlen(L, 1) > 0, 2, "a signal has a name");
}

/* The end of a chain. Upvalue: whether the target is a child. */
static int signal_last(lua_State *L)
{
    struct signal_options o = {0};
    struct tl_wf_target target = {.child_only = lua_toboolean(L, lua_upvalueindex(1))};
    tl_intercept_open_outbound(L, "signal");
    check_name(L);
    tl_await_check(L, "signal");
    TL_OPTIONS_READ(L, 2, "signal", signal_opts, (void *[]){&o}, tl_cmd_arena(L));
    target.workflow_id = tl_str(target.child_only ? o.child_workflow_id : o.workflow_id);
    target.run_id = tl_str(o.workflow_run_id);
    target.namespace_ = tl_str(o.namespace_);
    send_signal(L, &target, &o);
    return tl_wf_await_top(L);
}

static void set_field(lua_State *L, const char *key, struct tl_str value)
{
    if (value.n) {
        lua_pushlstring(L, value.p, value.n);
        lua_setfield(L, -2, key);
    }
}

static int all_results(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    return lua_gettop(L) - (int)(ctx >> 1);
}

int tl_wf_signal_target(lua_State *L, const struct tl_wf_target *given, bool with_options)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    struct signal_options o = {0};
    struct tl_wf_target target = {.namespace_ = tl_arena_str(arena, given->namespace_),
                                  .workflow_id = tl_arena_str(arena, given->workflow_id),
                                  .run_id = tl_arena_str(arena, given->run_id),
                                  .child_only = given->child_only};
    enum tl_hook hook =
        target.child_only ? TL_HOOK_SIGNAL_CHILD_WORKFLOW : TL_HOOK_SIGNAL_EXTERNAL_WORKFLOW;
    tl_await_check(L, "signal");
    lua_remove(L, 1);   /* the handle: index 1 is the name now, 2 the options, then the arguments */
    if (with_options) { /* they came before the name */
        lua_settop(L, lua_gettop(L) < 2 ? 2 : lua_gettop(L));
        lua_pushvalue(L, 1);
        lua_remove(L, 1);
    } else {
        lua_settop(L, lua_gettop(L) < 1 ? 1 : lua_gettop(L));
        lua_pushnil(L);
    }
    lua_insert(L, 2);
    check_name(L);
    tl_options_read(L, 2, "signal", signal_opts, SIGNAL_OPTS_OF_CALLS, (void *[]){&o}, arena);
    if (!tl_intercept_has(L, hook)) {
        send_signal(L, &target, &o);
        return tl_wf_await_top(L);
    }
    int base = lua_gettop(L);
    struct tl_str name;
    name.p = lua_tolstring(L, 1, &name.n);
    tl_intercept_push_outbound(L, "signal", name, 0, 2, 3);
    set_field(L, target.child_only ? "child_workflow_id" : "workflow_id", target.workflow_id);
    set_field(L, "workflow_run_id", target.run_id);
    set_field(L, "namespace", target.namespace_);
    lua_pushboolean(L, target.child_only);
    lua_pushcclosure(L, signal_last, 1);
    return tl_intercept_call(L, hook, TL_INTERCEPT_CTX(base, false), all_results);
}

/* --- handles ---------------------------------------------------------------------------------- */

static struct tl_str text_field(lua_State *L, const char *key)
{
    struct tl_str s = {NULL, 0};
    lua_pushstring(L, key);
    if (lua_rawget(L, 1) == LUA_TSTRING) {
        s.p = lua_tolstring(L, -1, &s.n);
    }
    lua_pop(L, 1); /* the handle keeps it */
    return s;
}

static struct tl_wf_target target_of(lua_State *L)
{
    bool same = false;
    if (lua_istable(L, 1) && lua_getmetatable(L, 1)) {
        luaL_getmetatable(L, META_EXTERNAL);
        same = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
    }
    luaL_argexpected(L, same, 1, "handle of an external workflow");
    return (struct tl_wf_target){.namespace_ = text_field(L, "namespace"),
                                 .workflow_id = text_field(L, "id"),
                                 .run_id = text_field(L, "run_id")};
}

/* handle:signal(name, ...): waits until the workflow has it. */
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

struct cancel_options {
    struct tl_event_groups groups;
    char *reason, *workflow_run_id, *namespace_;
};

/* What an interceptor's input has; the script's calls have the first one only. */
static const struct tl_opt cancel_opts[] = {
    TL_OPT("event_groups", TL_OPT_GROUPS, 0, struct cancel_options, groups),
    TL_OPT("reason", TL_OPT_STRING, 0, struct cancel_options, reason),
    TL_OPT("workflow_run_id", TL_OPT_STRING, 0, struct cancel_options, workflow_run_id),
    TL_OPT("namespace", TL_OPT_STRING, 0, struct cancel_options, namespace_),
};
enum { CANCEL_OPTS_OF_CALLS = 1 };

/* Asks for the cancellation and pushes the future of its delivery. Texts are the arena's. */
static void send_cancel(lua_State *L, const struct tl_wf_target *target, struct tl_str reason,
                        const struct tl_event_groups *groups)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    TpCommand__RequestCancelExternalWorkflowExecutionCommandAttributes *attrs = tl_cmd_need(
        L, TL_PB_NEW(arena, TpCommand__RequestCancelExternalWorkflowExecutionCommandAttributes,
                     tp_command__request_cancel_external_workflow_execution_command_attributes));
    attrs->workflow_id = arena_text(L, target->workflow_id);
    attrs->run_id = arena_text(L, target->run_id);
    attrs->namespace_ = arena_text(L, namespace_of(L, target));
    attrs->reason = arena_text(L, reason);
    struct tl_future *future = tl_future_new(L, tl_run_of(L), TL_FUTURE_CANCEL);
    struct tl_cmd *cmd = tl_cmd_new(L, TL_CMD_CANCEL_EXTERNAL);
    cmd->seq = future->seq;
    cmd->attrs = &attrs->base;
    tl_event_groups_add(L, cmd, groups);
}

/* The end of a chain. */
static int cancel_last(lua_State *L)
{
    struct cancel_options o = {0};
    struct tl_wf_target target = {.child_only = false};
    tl_intercept_open_outbound(L, "workflow_id");
    luaL_argexpected(L, lua_type(L, 1) == LUA_TSTRING, 1, "input with a workflow_id");
    tl_await_check(L, "cancel");
    TL_OPTIONS_READ(L, 2, "cancel", cancel_opts, (void *[]){&o}, tl_cmd_arena(L));
    target.workflow_id = tl_str(tl_options_text(L, 1, "workflow_id", tl_cmd_arena(L)));
    target.run_id = tl_str(o.workflow_run_id);
    target.namespace_ = tl_str(o.namespace_);
    send_cancel(L, &target, tl_str(o.reason), &o.groups);
    return tl_wf_await_top(L);
}

/* handle:cancel([reason [, { event_groups = }]]): waits until the request was passed on. */
static int handle_cancel(lua_State *L)
{
    struct tl_str reason = {NULL, 0};
    struct cancel_options o = {0};
    struct tl_wf_target target = target_of(L);
    tl_await_check(L, "cancel");
    lua_settop(L, 3);
    if (!lua_isnil(L, 2)) {
        reason.p = luaL_checklstring(L, 2, &reason.n);
    }
    tl_options_read(L, 3, "cancel", cancel_opts, CANCEL_OPTS_OF_CALLS, (void *[]){&o},
                    tl_cmd_arena(L));
    if (!tl_intercept_has(L, TL_HOOK_CANCEL_EXTERNAL_WORKFLOW)) {
        send_cancel(L, &target, reason, &o.groups);
        return tl_wf_await_top(L);
    }
    tl_intercept_push_outbound(L, "workflow_id", target.workflow_id, 0, 3, 4);
    set_field(L, "workflow_run_id", target.run_id);
    set_field(L, "namespace", target.namespace_);
    set_field(L, "reason", reason);
    lua_pushnil(L);
    lua_setfield(L, -2, "headers"); /* a cancellation has none */
    lua_pushcfunction(L, cancel_last);
    return tl_intercept_call(L, TL_HOOK_CANCEL_EXTERNAL_WORKFLOW, TL_INTERCEPT_CTX(3, false),
                             all_results);
}

static void set_meta(lua_State *L)
{
    if (luaL_newmetatable(L, META_EXTERNAL)) {
        lua_createtable(L, 0, 3);
        lua_pushcfunction(L, handle_signal);
        lua_setfield(L, -2, "signal");
        lua_pushcfunction(L, handle_signal_with);
        lua_setfield(L, -2, "signal_with");
        lua_pushcfunction(L, handle_cancel);
        lua_setfield(L, -2, "cancel");
        lua_setfield(L, -2, "__index");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
}

static void set_text(lua_State *L, const char *key, const char *text)
{
    if (text && *text) {
        lua_pushstring(L, text);
        lua_setfield(L, -2, key);
    }
}

void tl_wf_push_external(lua_State *L, int id, const char *run_id, const char *namespace_)
{
    id = lua_absindex(L, id);
    lua_createtable(L, 0, 3);
    lua_pushvalue(L, id);
    lua_setfield(L, -2, "id");
    set_text(L, "run_id", run_id);
    set_text(L, "namespace", namespace_);
    set_meta(L);
}

/* external_workflow(id [, { run_id =, namespace = }]) -> handle. Nothing is looked up. */
int tl_lib_wf_external_workflow(lua_State *L)
{
    struct external_options options = {NULL, NULL};
    luaL_argexpected(L, lua_type(L, 1) == LUA_TSTRING, 1, "workflow id");
    luaL_argcheck(L, lua_rawlen(L, 1) > 0, 1, "a workflow has an id");
    lua_settop(L, 2);
    TL_OPTIONS_READ(L, 2, "workflow.external_workflow", external_opts, (void *[]){&options},
                    tl_cmd_arena(L));
    tl_wf_push_external(L, 1, options.run_id, options.namespace_);
    return 1;
}
