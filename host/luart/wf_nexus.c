/* workflow.nexus_client: operations of a Nexus service, started and awaited, and their handles.
 * See sandbox.def.
 * An operation is one future: its end. Waiting for its start is a second one, whose value is the first;
 * an operation that its handler ends at once starts and ends together.
 * Thread: the run's. Owner: commands are the activation arena's. */
#include <stdlib.h>
#include <string.h>

#include "luart/intercept.h"
#include "luart/options.h"
#include "luart/wf.h"
#include "proto/pb.h"

#define META_CLIENT "temporal.nexus_client"

typedef TpCommand__ScheduleNexusOperationCommandAttributes nexus_attrs;

/* Options that are no field of the command's attributes. */
struct extra {
    int cancellation_type;
    TpCommon__Payload *summary;
    struct tl_event_groups groups;
};

/* In the order of enum tl_cancellation_type. */
static const char *const cancellation_names[] = {"try_cancel", "wait_completed", "abandon",
                                                 "wait_requested", NULL};

static const struct tl_opt operation_opts[] = {
    TL_OPT("schedule_to_close_timeout", TL_OPT_DURATION, 0, nexus_attrs, schedule_to_close_timeout),
    TL_OPT("schedule_to_start_timeout", TL_OPT_DURATION, 0, nexus_attrs, schedule_to_start_timeout),
    TL_OPT("start_to_close_timeout", TL_OPT_DURATION, 0, nexus_attrs, start_to_close_timeout),
    {"cancellation_type", TL_OPT_ENUM, 1, offsetof(struct extra, cancellation_type),
     cancellation_names},
    TL_OPT("summary", TL_OPT_PAYLOAD, 1, struct extra, summary),
    TL_OPT("event_groups", TL_OPT_GROUPS, 1, struct extra, groups),
    TL_OPT_CHECKED("headers", TL_OPT_TABLE),
};

static const struct tl_opt client_opts[] = {
    TL_OPT("endpoint", TL_OPT_STRING, 0, nexus_attrs, endpoint),
    TL_OPT("service", TL_OPT_STRING, 0, nexus_attrs, service),
};

/* --- scheduling ------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    const TpCommand__ScheduleNexusOperationCommandAttributes__NexusHeaderEntry *const *x = a;
    const TpCommand__ScheduleNexusOperationCommandAttributes__NexusHeaderEntry *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

/* The table of texts in field `headers` of the options at index; in order of names, so that the command
 * is the same on every machine. */
static void read_headers(lua_State *L, int index, const char *what, nexus_attrs *attrs)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    struct tl_pb_list list = {0};
    int top = lua_gettop(L);
    if (lua_isnoneornil(L, index)) {
        return;
    }
    lua_getfield(L, index, "headers");
    lua_pushnil(L);
    while (lua_istable(L, top + 1) && lua_next(L, top + 1)) {
        TpCommand__ScheduleNexusOperationCommandAttributes__NexusHeaderEntry *h = tl_cmd_need(
            L,
            TL_PB_NEW(arena, TpCommand__ScheduleNexusOperationCommandAttributes__NexusHeaderEntry,
                      tp_command__schedule_nexus_operation_command_attributes__nexus_header_entry));
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING) {
            luaL_error(L, "%s: headers: names and values are texts", what);
        }
        h->key = tl_cmd_need(L, tl_pb_cstr(arena, tl_str(lua_tostring(L, -2))));
        h->value = tl_cmd_need(L, tl_pb_cstr(arena, tl_str(lua_tostring(L, -1))));
        if (!tl_pb_push(arena, &list, h)) {
            tl_cmd_need(L, NULL);
        }
        lua_pop(L, 1);
    }
    lua_settop(L, top);
    if (list.n) {
        qsort(list.items, list.n, sizeof(void *), compare);
    }
    attrs->n_nexus_header = list.n;
    attrs->nexus_header = list.items;
}

static char *client_field(lua_State *L, const char *name)
{
    size_t n = 0;
    lua_getfield(L, 1, name);
    if (lua_type(L, -1) != LUA_TSTRING) {
        luaL_error(L, "the %s of the client is no text any more", name);
    }
    const char *text = lua_tolstring(L, -1, &n);
    char *copy = tl_cmd_need(L, tl_pb_cstr(tl_cmd_arena(L), tl_str_n(text, n)));
    lua_pop(L, 1);
    return copy;
}

static void check_operation(lua_State *L, const char *what)
{
    if (lua_type(L, 2) != LUA_TSTRING || !*lua_tostring(L, 2)) {
        luaL_error(L, "%s: the operation's name is expected, got %s", what, luaL_typename(L, 2));
    }
}

struct tl_future *tl_wf_nexus_schedule(lua_State *L, const struct tl_wf_nexus_op *op)
{
    struct tl_future *future = tl_future_new(L, tl_run_of(L), TL_FUTURE_NEXUS);
    future->cancellation = (uint8_t)op->cancellation;
    struct tl_cmd *cmd = tl_cmd_new(L, TL_CMD_SCHEDULE_NEXUS);
    cmd->seq = future->seq;
    cmd->attrs = &op->attrs->base;
    cmd->metadata = op->metadata;
    cmd->cancellation = op->cancellation;
    tl_event_groups_add(L, cmd, &op->groups);
    tl_event_groups_keep(L, cmd);
    return future;
}

/* client:xxx(operation, options, input): pushes the future of the end. */
static struct tl_future *schedule(lua_State *L, const char *what)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    struct extra extra = {.cancellation_type = TL_CANCEL_WAIT};
    nexus_attrs *attrs = tl_cmd_need(
        L, TL_PB_NEW(arena, nexus_attrs, tp_command__schedule_nexus_operation_command_attributes));
    void *targets[] = {attrs, &extra};
    if (lua_gettop(L) > 4) {
        luaL_error(L, "%s: an operation has one input, got %d: put them in a table", what,
                   lua_gettop(L) - 3);
    }
    lua_settop(L, 4);
    luaL_checktype(L, 1, LUA_TTABLE);
    check_operation(L, what);
    TL_OPTIONS_READ(L, 3, what, operation_opts, targets, arena);
    read_headers(L, 3, what, attrs);
    attrs->endpoint = client_field(L, "endpoint");
    attrs->service = client_field(L, "service");
    attrs->operation = tl_cmd_need(L, tl_pb_cstr(arena, tl_str(lua_tostring(L, 2))));
    tl_context_nexus(L, attrs->endpoint, attrs->service, attrs->operation);
    attrs->input = tl_vm_payload_encode(L, 4, arena, "input");
    struct tl_wf_nexus_op op = {.attrs = attrs,
                                .cancellation = (enum tl_cancellation_type)extra.cancellation_type,
                                .metadata = tl_wf_metadata(L, extra.summary, NULL),
                                .groups = extra.groups};
    struct tl_future *future = tl_wf_nexus_schedule(L, &op);
    tl_context_keep(L);
    return future;
}

/* The same, and waits until it has started; the result is its handle. */
static int start_and_wait(lua_State *L, const char *what)
{
    struct tl_lua_run *run = tl_run_of(L);
    struct tl_future *operation = schedule(L, what);
    /* Starts that nobody waits for have no future: the numbers follow the operations'. */
    run->future_seq[TL_FUTURE_NEXUS_START] = operation->seq - 1;
    tl_future_new(L, run, TL_FUTURE_NEXUS_START);
    return tl_wf_await_top(L);
}

/* The stack, which is the input of a chain, becomes the arguments of the call again: a client, the
 * operation, its options, its input. */
static void open_input(lua_State *L)
{
    static const char *const names[] = {"endpoint", "service"};
    tl_intercept_open_outbound(L, "operation");
    lua_createtable(L, 0, 2);
    lua_insert(L, 1);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        lua_getfield(L, 3, names[i]);
        lua_setfield(L, 1, names[i]);
        lua_pushnil(L);
        lua_setfield(L, 3, names[i]);
    }
}

/* The end of a chain. Upvalues: the name of the call, whether its end is waited for: then the start is
 * not. */
static int start_last(lua_State *L)
{
    const char *what = lua_tostring(L, lua_upvalueindex(1));
    open_input(L);
    tl_await_check(L, what);
    if (!lua_toboolean(L, lua_upvalueindex(2))) {
        return start_and_wait(L, what);
    }
    schedule(L, what);
    return 1;
}

/* await: the end is waited for, else the start. Through the interceptors when there are any. */
static int call(lua_State *L, const char *what, bool await)
{
    tl_await_check(L, what);
    if (!tl_intercept_has(L, TL_HOOK_START_NEXUS_OPERATION)) {
        if (!await) {
            return start_and_wait(L, what);
        }
        schedule(L, what);
        return tl_wf_await_top(L);
    }
    int top = lua_gettop(L);
    struct tl_str name = {0};
    luaL_checktype(L, 1, LUA_TTABLE);
    check_operation(L, what);
    name.p = lua_tolstring(L, 2, &name.n);
    lua_settop(L, top < 3 ? 3 : top);
    int base = lua_gettop(L);
    tl_intercept_push_outbound(L, "operation", name, 1, 3, 4);
    lua_pushstring(L, what);
    lua_pushboolean(L, await);
    lua_pushcclosure(L, start_last, 2);
    return tl_intercept_call(L, TL_HOOK_START_NEXUS_OPERATION, TL_INTERCEPT_CTX(base, await),
                             tl_intercept_future);
}

/* client:start_operation(name, options, input) -> handle, once the operation has started. */
static int client_start(lua_State *L)
{
    return call(L, "client:start_operation", false);
}

/* client:execute_operation(name, options, input) -> its result. */
static int client_execute(lua_State *L)
{
    return call(L, "client:execute_operation", true);
}

/* --- the client ------------------------------------------------------------------------------- */

static const luaL_Reg client_methods[] = {{"start_operation", client_start},
                                          {"execute_operation", client_execute}};

static int client_index(lua_State *L)
{
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    for (size_t i = 0; i < sizeof client_methods / sizeof *client_methods; i++) {
        if (strcmp(key, client_methods[i].name) == 0) {
            lua_pushcfunction(L, client_methods[i].func);
            return 1;
        }
    }
    return luaL_error(L,
                      "a Nexus client has no '%s' (it has start_operation, execute_operation, "
                      "endpoint and service)",
                      key);
}

/* nexus_client{ endpoint = , service = } -> client */
int tl_lib_wf_nexus_client(lua_State *L)
{
    nexus_attrs attrs = TP_COMMAND__SCHEDULE_NEXUS_OPERATION_COMMAND_ATTRIBUTES__INIT;
    void *targets[] = {&attrs};
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    TL_OPTIONS_READ(L, 1, "workflow.nexus_client", client_opts, targets, tl_cmd_arena(L));
    if (!*attrs.endpoint || !*attrs.service) {
        return luaL_error(L, "workflow.nexus_client: %s is required",
                          *attrs.endpoint ? "service" : "endpoint");
    }
    lua_createtable(L, 0, 2);
    lua_pushstring(L, attrs.endpoint);
    lua_setfield(L, -2, "endpoint");
    lua_pushstring(L, attrs.service);
    lua_setfield(L, -2, "service");
    if (luaL_newmetatable(L, META_CLIENT)) {
        lua_pushcfunction(L, client_index);
        lua_setfield(L, -2, "__index");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
    return 1;
}

/* --- the handle ------------------------------------------------------------------------------- */

int tl_wf_nexus_index(lua_State *L, const char *key)
{
    if (strcmp(key, "operation_token") != 0) {
        return luaL_error(L,
                          "a Nexus operation's handle has no '%s' (it has operation_token, result, "
                          "cancel, done and error)",
                          key);
    }
    lua_getiuservalue(L, 1, 2);
    return 1;
}

/* --- jobs ------------------------------------------------------------------------------------- */

/* Whoever waits for the start gets the handle, which is on top (stays). */
static void tell_start(struct tl_lua_run *run, uint32_t seq)
{
    lua_State *L = run->main;
    int handle = lua_gettop(L);
    struct tl_future *start = tl_future_find(L, run, TL_FUTURE_NEXUS_START, seq);
    if (start) {
        lua_pushvalue(L, handle);
        tl_future_resolve(L, run, start, false, 1);
    }
    lua_settop(L, handle);
}

void tl_run_apply_nexus_started(struct tl_lua_run *run, const struct tl_job *job)
{
    lua_State *L = run->main;
    uint32_t seq = job->u.nexus_started.seq;
    if (tl_future_find(L, run, TL_FUTURE_NEXUS, seq)) {
        lua_pushlstring(L, job->u.nexus_started.token.p, job->u.nexus_started.token.n);
        lua_setiuservalue(L, -2, 2);
        tell_start(run, seq);
        lua_pop(L, 1);
    }
}

/* Ends the wait for the start and the operation itself with the error on top (popped). */
static void lose(struct tl_lua_run *run, uint32_t seq)
{
    static const enum tl_future_kind kinds[] = {TL_FUTURE_NEXUS_START, TL_FUTURE_NEXUS};
    lua_State *L = run->main;
    int error = lua_gettop(L);
    for (int i = 0; i < 2; i++) {
        struct tl_future *future = tl_future_find(L, run, kinds[i], seq);
        if (future) {
            lua_pushvalue(L, error);
            tl_future_resolve(L, run, future, true, 1);
        }
    }
    lua_settop(L, error - 1);
}

void tl_run_apply_nexus(struct tl_lua_run *run, const struct tl_job *job)
{
    lua_State *L = run->main;
    uint32_t seq = job->u.nexus.seq;
    if (tl_future_find(L, run, TL_FUTURE_NEXUS, seq)) {
        tl_context_recall(L);
        lua_pop(L, 1);
    }
    if (job->u.nexus.failure) {
        tl_vm_failure_decode(L, job->u.nexus.failure);
        lose(run, seq);
        return;
    }
    struct tl_future *future = tl_future_find(L, run, TL_FUTURE_NEXUS, seq);
    if (!future) {
        return;
    }
    int handle = lua_gettop(L);
    tell_start(run, seq);
    bool failed = false;
    if (future->signal_start) {
        failed = !tl_wf_signal_start_result(L, job->u.nexus.result);
    } else if (job->u.nexus.result) {
        tl_vm_payload_decode(L, job->u.nexus.result);
    } else {
        lua_pushnil(L);
    }
    tl_future_resolve(L, run, future, failed, 1);
    lua_settop(L, handle - 1);
}
