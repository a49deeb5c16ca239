/* Signals to other workflows and their cancellation: workflow.external_workflow. See sandbox.def.
 * Thread: the run's. Owner: commands are the activation arena's. */
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

int tl_wf_signal_target(lua_State *L, const struct tl_wf_target *target)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    struct tl_str name;
    int top = lua_gettop(L);
    tl_await_check(L, "signal");
    luaL_argexpected(L, lua_type(L, 2) == LUA_TSTRING, 2, "name of a signal");
    name.p = lua_tolstring(L, 2, &name.n);
    luaL_argcheck(L, name.n > 0, 2, "a signal has a name");
    TpCommand__SignalExternalWorkflowExecutionCommandAttributes *attrs = tl_cmd_need(
        L, TL_PB_NEW(arena, TpCommand__SignalExternalWorkflowExecutionCommandAttributes,
                     tp_command__signal_external_workflow_execution_command_attributes));
    attrs->execution = tl_cmd_need(
        L, TL_PB_NEW(arena, TpCommon__WorkflowExecution, tp_common__workflow_execution));
    attrs->execution->workflow_id = arena_text(L, target->workflow_id);
    attrs->execution->run_id = arena_text(L, target->run_id);
    attrs->namespace_ = arena_text(L, namespace_of(L, target));
    attrs->signal_name = arena_text(L, name);
    attrs->child_workflow_only = target->child_only;
    attrs->input = top > 2 ? tl_vm_payloads_encode(L, 3, top - 2, arena, "argument") : NULL;
    struct tl_future *future = tl_future_new(L, tl_run_of(L), TL_FUTURE_SIGNAL);
    struct tl_cmd *cmd = tl_cmd_new(L, TL_CMD_SIGNAL_EXTERNAL);
    cmd->seq = future->seq;
    cmd->attrs = &attrs->base;
    return tl_wf_await_top(L);
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
    return tl_wf_signal_target(L, &target);
}

/* handle:cancel([reason]): waits until the request was passed on. */
static int handle_cancel(lua_State *L)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    struct tl_str reason = {NULL, 0};
    struct tl_wf_target target = target_of(L);
    tl_await_check(L, "cancel");
    lua_settop(L, 2);
    if (!lua_isnil(L, 2)) {
        reason.p = luaL_checklstring(L, 2, &reason.n);
    }
    TpCommand__RequestCancelExternalWorkflowExecutionCommandAttributes *attrs = tl_cmd_need(
        L, TL_PB_NEW(arena, TpCommand__RequestCancelExternalWorkflowExecutionCommandAttributes,
                     tp_command__request_cancel_external_workflow_execution_command_attributes));
    attrs->workflow_id = arena_text(L, target.workflow_id);
    attrs->run_id = arena_text(L, target.run_id);
    attrs->namespace_ = arena_text(L, namespace_of(L, &target));
    attrs->reason = arena_text(L, reason);
    struct tl_future *future = tl_future_new(L, tl_run_of(L), TL_FUTURE_CANCEL);
    struct tl_cmd *cmd = tl_cmd_new(L, TL_CMD_CANCEL_EXTERNAL);
    cmd->seq = future->seq;
    cmd->attrs = &attrs->base;
    return tl_wf_await_top(L);
}

static void set_meta(lua_State *L)
{
    if (luaL_newmetatable(L, META_EXTERNAL)) {
        lua_createtable(L, 0, 2);
        lua_pushcfunction(L, handle_signal);
        lua_setfield(L, -2, "signal");
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

/* external_workflow(id [, { run_id =, namespace = }]) -> handle. Nothing is looked up. */
int tl_lib_wf_external_workflow(lua_State *L)
{
    struct external_options options = {NULL, NULL};
    luaL_argexpected(L, lua_type(L, 1) == LUA_TSTRING, 1, "workflow id");
    luaL_argcheck(L, lua_rawlen(L, 1) > 0, 1, "a workflow has an id");
    lua_settop(L, 2);
    TL_OPTIONS_READ(L, 2, "workflow.external_workflow", external_opts, (void *[]){&options},
                    tl_cmd_arena(L));
    lua_createtable(L, 0, 3);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "id");
    set_text(L, "run_id", options.run_id);
    set_text(L, "namespace", options.namespace_);
    set_meta(L);
    return 1;
}
