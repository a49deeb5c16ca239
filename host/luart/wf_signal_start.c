/* workflow.signal_with_start_workflow: signals another workflow, which is started when it does not run.
 * On the wire it is a Nexus operation of the service itself, whose input is the request that a client would
 * send and whose result is the response. See sandbox.def.
 * Thread: the run's. Owner: commands are the activation arena's. */
#include <string.h>

#include <temporal/api/workflowservice/v1/request_response.pb-c.h>

#include "luart/intercept.h"
#include "luart/options.h"
#include "luart/wf.h"
#include "proto/payload.h"
#include "proto/payload_walk.h"
#include "proto/pb.h"

#define ENDPOINT "__temporal_system"
#define SERVICE "temporal.api.workflowservice.v1.WorkflowService"
#define OPERATION "SignalWithStartWorkflowExecution"
#define CALL "workflow.signal_with_start_workflow"

typedef TpWs__SignalWithStartWorkflowExecutionRequest request;

/* Options that are no field of the request, or whose type there is another one. */
struct extra {
    int id_reuse_policy, id_conflict_policy;
    TpCommon__Payload *summary, *details;
};

/* In the order of the protocol's enums. */
static const char *const reuse_names[] = {
    "unspecified",      "allow_duplicate",      "allow_duplicate_failed_only",
    "reject_duplicate", "terminate_if_running", NULL};
enum { CONFLICT_FAIL = 1 };
static const char *const conflict_names[] = {"unspecified", "fail", "use_existing",
                                             "terminate_existing", NULL};

#define FIELD(name, kind, member) TL_OPT(name, kind, 0, request, member)
#define CHOICE(name, member, names)                                                                \
    {                                                                                              \
        name, TL_OPT_ENUM, 1, offsetof(struct extra, member), names                                \
    }

static const struct tl_opt opts[] = {
    FIELD("id", TL_OPT_STRING, workflow_id),
    FIELD("task_queue", TL_OPT_TASK_QUEUE, task_queue),
    FIELD("signal", TL_OPT_STRING, signal_name),
    FIELD("execution_timeout", TL_OPT_DURATION, workflow_execution_timeout),
    FIELD("run_timeout", TL_OPT_DURATION, workflow_run_timeout),
    FIELD("task_timeout", TL_OPT_DURATION, workflow_task_timeout),
    FIELD("start_delay", TL_OPT_DURATION, workflow_start_delay),
    FIELD("retry_policy", TL_OPT_RETRY, retry_policy),
    FIELD("cron_schedule", TL_OPT_STRING, cron_schedule),
    FIELD("priority", TL_OPT_PRIORITY, priority),
    FIELD("headers", TL_OPT_HEADERS, header),
    FIELD("versioning_override", TL_OPT_OVERRIDE, versioning_override),
    CHOICE("id_reuse_policy", id_reuse_policy, reuse_names),
    CHOICE("id_conflict_policy", id_conflict_policy, conflict_names),
    TL_OPT("static_summary", TL_OPT_PAYLOAD, 1, struct extra, summary),
    TL_OPT("static_details", TL_OPT_PAYLOAD, 1, struct extra, details),
    TL_OPT_CHECKED("signal_args", TL_OPT_TABLE),
    TL_OPT_CHECKED("memo", TL_OPT_TABLE),
    TL_OPT_CHECKED("search_attributes", TL_OPT_TABLE),
};

/* --- the request ------------------------------------------------------------------------------ */

static TpCommon__Payloads *signal_input(lua_State *L, int options)
{
    int top = lua_gettop(L);
    TpCommon__Payloads *input = NULL;
    lua_getfield(L, options, "signal_args");
    if (lua_istable(L, -1)) {
        int n = tl_wf_spread(L, top + 1, CALL ": signal_args");
        input = n ? tl_vm_payloads_encode(L, top + 2, n, tl_cmd_arena(L), "signal argument") : NULL;
    }
    lua_settop(L, top);
    return input;
}

static void check(lua_State *L, const request *r, const struct extra *extra)
{
    if (!*r->workflow_id || !*r->signal_name) {
        luaL_error(L, CALL ": option '%s' is required", *r->workflow_id ? "signal" : "id");
    }
    if (extra->id_conflict_policy == CONFLICT_FAIL) {
        luaL_error(L, CALL ": id_conflict_policy \"fail\" cannot be: a workflow that runs is "
                           "signalled, or is terminated (\"terminate_existing\")");
    }
}

/* Of the workflow at 1, the options at 2 and the arguments from 3 on. */
static request *read_request(lua_State *L)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    const struct tl_lua_run *run = tl_run_of(L);
    struct extra extra = {0};
    int top = lua_gettop(L);
    request *r = tl_cmd_need(
        L, TL_PB_NEW(arena, request, tp_ws__signal_with_start_workflow_execution_request));
    luaL_checktype(L, 2, LUA_TTABLE);
    TL_OPTIONS_READ(L, 2, CALL, opts, ((void *[]){r, &extra}), arena);
    check(L, r, &extra);
    r->workflow_type =
        tl_cmd_need(L, TL_PB_NEW(arena, TpCommon__WorkflowType, tp_common__workflow_type));
    r->workflow_type->name = tl_cmd_need(L, tl_pb_cstr(arena, tl_wf_type_name(L, 1, CALL)));
    r->namespace_ = tl_cmd_need(L, tl_pb_cstr(arena, run->config.namespace_));
    if (!r->task_queue) {
        r->task_queue = tl_cmd_need(L, TL_PB_NEW(arena, TpTq__TaskQueue, tp_tq__task_queue));
        r->task_queue->name = tl_cmd_need(L, tl_pb_cstr(arena, run->config.task_queue));
    }
    r->workflow_id_reuse_policy = (TpEnums__WorkflowIdReusePolicy)extra.id_reuse_policy;
    r->workflow_id_conflict_policy = (TpEnums__WorkflowIdConflictPolicy)extra.id_conflict_policy;
    r->memo = tl_wf_option_memo(L, 2, CALL);
    r->search_attributes = tl_wf_option_search_attributes(L, 2, CALL);
    r->user_metadata = tl_wf_metadata(L, extra.summary, extra.details);
    r->signal_input = signal_input(L, 2);
    r->input = top > 2 ? tl_vm_payloads_encode(L, 3, top - 2, arena, "argument") : NULL;
    return r;
}

static TpCommon__Payload *envelope(lua_State *L, const request *r)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    struct tl_error err;
    struct tl_str bytes;
    if (tl_pb_encode_arena(r, arena, &bytes, &err) != TL_OK) {
        luaL_error(L, CALL ": %s", err.message);
    }
    TpCommon__Payload *p = tl_cmd_need(L, tl_payload_new(arena, TL_ENCODING_PROTOBUF, bytes));
    bool whole = tl_payload_set_metadata(arena, p, TL_STR_LIT("messageType"),
                                         tl_str(r->base.descriptor->name)) &&
                 tl_payload_set_metadata(arena, p, TL_STR_LIT(TL_PAYLOAD_SYSTEM_KEY),
                                         TL_STR_LIT(TL_PAYLOAD_SYSTEM_VALUE));
    return tl_cmd_need(L, whole ? p : NULL);
}

/* Of the workflow at 1, the options at 2 and the arguments from 3 on. Pushes the future of its end. */
static void schedule(lua_State *L)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    const request *r = read_request(L);
    struct tl_wf_nexus_op op = {.cancellation = TL_CANCEL_WAIT};
    op.attrs = tl_cmd_need(L, TL_PB_NEW(arena, TpCommand__ScheduleNexusOperationCommandAttributes,
                                        tp_command__schedule_nexus_operation_command_attributes));
    op.attrs->endpoint = tl_cmd_need(L, tl_pb_cstr(arena, TL_STR_LIT(ENDPOINT)));
    op.attrs->service = tl_cmd_need(L, tl_pb_cstr(arena, TL_STR_LIT(SERVICE)));
    op.attrs->operation = tl_cmd_need(L, tl_pb_cstr(arena, TL_STR_LIT(OPERATION)));
    op.attrs->input = envelope(L, r);
    struct tl_future *future = tl_wf_nexus_schedule(L, &op);
    future->signal_start = true;
    lua_pushstring(L, r->workflow_id);
    lua_setiuservalue(L, -2, 3);
}

/* --- the call --------------------------------------------------------------------------------- */

/* The end of a chain of interceptors. */
static int last(lua_State *L)
{
    tl_intercept_open_outbound(L, "workflow");
    tl_await_check(L, CALL);
    schedule(L);
    return 1;
}

/* signal_with_start_workflow(workflow, options, ...) -> a handle of the workflow that has the signal. */
int tl_lib_wf_signal_with_start_workflow(lua_State *L)
{
    tl_await_check(L, CALL);
    lua_settop(L, lua_gettop(L) < 2 ? 2 : lua_gettop(L));
    struct tl_str name = tl_wf_type_name(L, 1, CALL);
    if (!tl_intercept_has(L, TL_HOOK_SIGNAL_WITH_START_WORKFLOW)) {
        schedule(L);
        return tl_wf_await_top(L);
    }
    int base = lua_gettop(L);
    tl_intercept_push_outbound(L, "workflow", name, 0, 2, 3);
    lua_pushcfunction(L, last);
    return tl_intercept_call(L, TL_HOOK_SIGNAL_WITH_START_WORKFLOW, TL_INTERCEPT_CTX(base, true),
                             tl_intercept_future);
}

bool tl_wf_signal_start_result(lua_State *L, const TpCommon__Payload *result)
{
    TpWs__SignalWithStartWorkflowExecutionResponse *r = NULL;
    int future = lua_gettop(L);
    struct tl_error err = {0};
    if (tl_payload_kind(result) != TL_PAYLOAD_PROTOBUF ||
        tl_pb_decode(&tp_ws__signal_with_start_workflow_execution_response__descriptor,
                     tl_payload_data(result), tl_cmd_arena(L), &r, &err) != TL_OK) {
        lua_pushfstring(L, CALL ": the service's answer is no response of that operation: %s",
                        *err.message ? err.message : "it is not protobuf");
        return false;
    }
    lua_getiuservalue(L, future, 3);
    tl_wf_push_external(L, lua_gettop(L), r->run_id, NULL);
    lua_replace(L, future + 1);
    lua_settop(L, future + 1);
    return true;
}
