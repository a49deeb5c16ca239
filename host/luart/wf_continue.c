/* workflow.continue_as_new. See sandbox.def.
 * Thread: the run's. Owner: commands are the activation arena's. */
#include "luart/intercept.h"
#include "luart/options.h"
#include "luart/wf.h"
#include "proto/pb.h"

typedef TpCommand__ContinueAsNewWorkflowExecutionCommandAttributes can_attrs;

/* Options that are no field of the command's attributes. */
struct can_extra {
    int behavior, intent;
    struct tl_event_groups groups;
};

/* By the numbers of TpEnums__ContinueAsNewVersioningBehavior. */
static const char *const behavior_names[] = {"unspecified", "auto_upgrade", "use_ramping_version",
                                             NULL};

static const struct tl_opt can_opts[] = {
    TL_OPT_CHECKED("workflow_type", TL_OPT_ANY),
    TL_OPT("task_queue", TL_OPT_TASK_QUEUE, 0, can_attrs, task_queue),
    TL_OPT("workflow_run_timeout", TL_OPT_DURATION, 0, can_attrs, workflow_run_timeout),
    TL_OPT("workflow_task_timeout", TL_OPT_DURATION, 0, can_attrs, workflow_task_timeout),
    TL_OPT("backoff_start_interval", TL_OPT_DURATION, 0, can_attrs, backoff_start_interval),
    TL_OPT("retry_policy", TL_OPT_RETRY, 0, can_attrs, retry_policy),
    TL_OPT_CHECKED("memo", TL_OPT_TABLE),
    TL_OPT_CHECKED("search_attributes", TL_OPT_TABLE),
    {"initial_versioning_behavior", TL_OPT_ENUM, 1, offsetof(struct can_extra, behavior),
     behavior_names},
    {"versioning_intent", TL_OPT_ENUM, 1, offsetof(struct can_extra, intent),
     tl_versioning_intent_names},
    TL_OPT("headers", TL_OPT_HEADERS, 0, can_attrs, header),
    TL_OPT("event_groups", TL_OPT_GROUPS, 1, struct can_extra, groups),
};

/* What is not given stays as it is in this run. */
static void can_defaults(lua_State *L, can_attrs *attrs)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    const TpHistory__WorkflowExecutionStartedEventAttributes *a = tl_run_started(L);
    struct tl_lua_run *run = tl_run_of(L);
    if (!attrs->task_queue) {
        attrs->task_queue = tl_cmd_need(L, TL_PB_NEW(arena, TpTq__TaskQueue, tp_tq__task_queue));
        attrs->task_queue->name = a->task_queue && a->task_queue->name
                                      ? a->task_queue->name
                                      : tl_cmd_need(L, tl_pb_cstr(arena, run->config.task_queue));
    }
    if (!attrs->workflow_run_timeout) {
        attrs->workflow_run_timeout = a->workflow_run_timeout;
    }
    if (!attrs->workflow_task_timeout) {
        attrs->workflow_task_timeout = a->workflow_task_timeout;
    }
    if (!attrs->retry_policy) {
        attrs->retry_policy = a->retry_policy;
    }
    attrs->memo = tl_wf_option_memo(L, 1, "workflow.continue_as_new");
    if (!attrs->memo) {
        attrs->memo = tl_wf_memo(L);
    }
    attrs->search_attributes = tl_wf_option_search_attributes(L, 1, "workflow.continue_as_new");
    if (!attrs->search_attributes) {
        attrs->search_attributes = tl_wf_search_attributes(L);
    }
}

static int never(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    return luaL_error(L, "the workflow has ended");
}

/* A hook that does not call next: nothing can be given back, the workflow goes on no further. */
static int unended(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    return luaL_error(L,
                      "an interceptor's continue_as_new returned: it must call next(input), which "
                      "ends the run, or raise an error");
}

static void can_check(lua_State *L)
{
    tl_command_check(L, "workflow.continue_as_new");
    if (!tl_run_of(L)->current || !lua_isyieldable(L)) {
        luaL_error(L, "workflow.continue_as_new cannot be used inside a comparator, a gsub "
                      "callback, a metamethod called from C or an init function");
    }
}

/* Options at index 1, arguments behind. */
static int continue_now(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    struct tl_arena *arena = tl_cmd_arena(L);
    int top = lua_gettop(L);
    can_attrs *attrs = tl_cmd_need(
        L, TL_PB_NEW(arena, TpCommand__ContinueAsNewWorkflowExecutionCommandAttributes,
                     tp_command__continue_as_new_workflow_execution_command_attributes));
    struct can_extra extra = {0};
    void *targets[] = {attrs, &extra};
    TL_OPTIONS_READ(L, 1, "workflow.continue_as_new", can_opts, targets, arena);
    attrs->initial_versioning_behavior = (TpEnums__ContinueAsNewVersioningBehavior)extra.behavior;
    attrs->inherit_build_id = tl_intent_is_compatible(
        extra.intent,
        !attrs->task_queue || tl_str_eqc(run->config.task_queue, attrs->task_queue->name));
    struct tl_str type = run->workflow_type;
    if (lua_istable(L, 1) && lua_getfield(L, 1, "workflow_type") != LUA_TNIL) {
        type = tl_wf_type_name(L, lua_gettop(L), "workflow.continue_as_new: workflow_type");
    }
    attrs->workflow_type =
        tl_cmd_need(L, TL_PB_NEW(arena, TpCommon__WorkflowType, tp_common__workflow_type));
    attrs->workflow_type->name = tl_cmd_need(L, tl_pb_cstr(arena, type));
    lua_settop(L, top);
    can_defaults(L, attrs);
    attrs->input = top > 1 ? tl_vm_payloads_encode(L, 2, top - 1, arena, "argument") : NULL;
    struct tl_cmd *cmd = tl_cmd_new(L, TL_CMD_CONTINUE_AS_NEW);
    cmd->attrs = &attrs->base;
    tl_event_groups_add(L, cmd, &extra.groups);
    run->finished = true;
    tl_handlers_warn_unfinished(L, run);
    return tl_await_yield(L, 0, never);
}

/* The end of a chain: input.workflow is option workflow_type. */
static int continue_last(lua_State *L)
{
    tl_intercept_open_outbound(L, "workflow");
    can_check(L);
    lua_pushvalue(L, 1);
    lua_setfield(L, 2, "workflow_type");
    lua_remove(L, 1);
    return continue_now(L);
}

/* continue_as_new([options], ...): ends the run. Nothing of the script runs afterwards, so no pcall
 * sees it and no clean-up is called. */
int tl_lib_wf_continue_as_new(lua_State *L)
{
    struct tl_str type = tl_run_of(L)->workflow_type;
    can_check(L);
    if (!tl_intercept_has(L, TL_HOOK_CONTINUE_AS_NEW)) {
        return continue_now(L);
    }
    if (lua_istable(L, 1)) {
        lua_getfield(L, 1, "workflow_type");
        if (!lua_isnil(L, -1)) {
            type = tl_wf_type_name(L, -1, "workflow.continue_as_new: workflow_type");
        }
        lua_pop(L, 1); /* the options keep it */
    }
    int base = lua_gettop(L);
    tl_intercept_push_outbound(L, "workflow", type, 0, 1, 2);
    lua_pushnil(L);
    lua_setfield(L, -2, "workflow_type");
    lua_pushcfunction(L, continue_last);
    return tl_intercept_call(L, TL_HOOK_CONTINUE_AS_NEW, TL_INTERCEPT_CTX(base, false), unended);
}
