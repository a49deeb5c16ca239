/* Updates: the fiber of an update looks for its handler, runs the validator, accepts or rejects, and
 * answers when the handler has ended. What goes wrong before the acceptance is a rejection.
 * Thread: the run's. Owner: what the job points to is the engine's; values are copied into Lua. */
#include "luart/intercept.h"
#include "luart/run_jobs.h"
#include "luart/wf.h"
#include "proto/pb.h"

/* Stack of an update's fiber. */
enum { AT_INFO = 1, AT_INPUT, AT_VALIDATE };

static int all_results(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    return lua_gettop(L) - (int)ctx;
}

/* A view into the info table at index; the table keeps the text. */
static struct tl_str info_text(lua_State *L, int info, const char *key)
{
    struct tl_str s;
    lua_getfield(L, info, key);
    s.p = lua_tolstring(L, -1, &s.n);
    lua_pop(L, 1);
    return s;
}

static struct tl_cmd *respond(lua_State *L, int info, enum tl_update_answer answer)
{
    struct tl_cmd *cmd = tl_cmd_new(L, TL_CMD_UPDATE_RESPONSE);
    cmd->u.update.instance_id = tl_arena_str(tl_cmd_arena(L), info_text(L, info, "instance"));
    cmd->u.update.answer = answer;
    tl_cmd_need(L, (void *)(uintptr_t)cmd->u.update.instance_id.p);
    return cmd;
}

/* Behind the function on top pushes its arguments; where there are hooks the function is their chain, and
 * the argument its input. Returns how many. */
static int push_arguments(lua_State *L, bool dynamic, enum tl_hook hook)
{
    TpUpdate__Input *input = NULL;
    struct tl_error err;
    struct tl_str bytes;
    int top = lua_gettop(L);
    bytes.p = lua_tolstring(L, AT_INPUT, &bytes.n);
    if (tl_pb_decode(&tp_update__input__descriptor, bytes, tl_cmd_arena(L), &input, &err) !=
        TL_OK) {
        luaL_error(L, "update arguments: %s", err.message);
    }
    if (tl_intercept_has(L, hook)) {
        tl_intercept_last(L, dynamic ? "update" : NULL);
        tl_intercept_chain(L, hook);
        int n = tl_vm_payloads_decode(L, input->args);
        tl_intercept_push_inbound(L, "update", info_text(L, AT_INFO, "name"), n, input->header);
        lua_getfield(L, AT_INFO, "id");
        lua_setfield(L, -2, "id");
        return 1;
    }
    if (dynamic) {
        lua_getfield(L, AT_INFO, "name");
    }
    tl_vm_payloads_decode(L, input->args);
    return lua_gettop(L) - top;
}

/* What happens before the acceptance, in a protected call; returns the handler and its arguments. */
static int prepare(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    struct tl_str name = info_text(L, AT_INFO, "name");
    struct tl_handler handler;
    if (!tl_handler_push(L, run, TL_SLOT_UPDATES, name, &handler)) {
        return tl_handlers_unknown(L, run, TL_SLOT_UPDATES, name.p);
    }
    run->current->abandon = handler.abandon;
    if (lua_toboolean(L, AT_VALIDATE) && tl_handler_push_validator(L, run, name, handler.dynamic)) {
        int n = push_arguments(L, handler.dynamic, TL_HOOK_HANDLE_UPDATE_VALIDATOR);
        if (tl_run_call_apart(L, n, "an update's validator") != LUA_OK) {
            return lua_error(L);
        }
        lua_settop(L, AT_VALIDATE + 1);
    }
    return 1 + push_arguments(L, handler.dynamic, TL_HOOK_HANDLE_UPDATE_HANDLER);
}

/* First function of an update's fiber: info, encoded input, whether to validate. */
static int update_entry(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    lua_settop(L, AT_VALIDATE);
    lua_pushcfunction(L, tl_run_traceback);
    int handler = lua_gettop(L);
    lua_pushcfunction(L, prepare);
    for (int i = AT_INFO; i <= AT_VALIDATE; i++) {
        lua_pushvalue(L, i);
    }
    if (lua_pcall(L, AT_VALIDATE, LUA_MULTRET, handler) != LUA_OK) {
        TpFailure__Failure *failure = tl_vm_failure_encode(L, -1, tl_cmd_arena(L));
        respond(L, AT_INFO, TL_UPDATE_REJECT)->u.update.failure = failure;
        run->current->rejected = true;
        return 0;
    }
    respond(L, AT_INFO, TL_UPDATE_ACCEPT);
    lua_callk(L, lua_gettop(L) - handler - 1, LUA_MULTRET, handler, all_results);
    return all_results(L, LUA_OK, handler);
}

void tl_run_update_ended(lua_State *L, struct tl_lua_run *run, struct tl_fiber *f, bool failed,
                         int first)
{
    int last = lua_gettop(L);
    TpFailure__Failure *failure = NULL;
    TpCommon__Payloads *result = NULL;
    if (failed && !tl_run_is_failure(L, run, first)) {
        tl_run_fail_task(L, run, first);
    } else if (failed) {
        failure = tl_vm_failure_encode(L, first, tl_cmd_arena(L));
    } else if (!f->rejected) { /* may raise: then it comes again, failed */
        result =
            tl_vm_payloads_encode(L, first, last - first + 1, tl_cmd_arena(L), "update result");
    }
    run->handlers_running--;
    if (f->rejected || run->task_rc != TL_OK) {
        return;
    }
    tl_fiber_push(L, run, f);
    lua_getiuservalue(L, -1, TL_FIBER_UPDATE_INFO);
    struct tl_cmd *cmd = respond(L, lua_gettop(L), failed ? TL_UPDATE_FAILED : TL_UPDATE_COMPLETE);
    cmd->u.update.failure = failure;
    cmd->u.update.result = result;
    lua_settop(L, last);
}

static void set_text(lua_State *L, const char *key, struct tl_str s)
{
    lua_pushlstring(L, s.p, s.n);
    lua_setfield(L, -2, key);
}

void tl_run_apply_update(struct tl_lua_run *run, const struct tl_job *job)
{
    lua_State *L = run->main;
    struct tl_str bytes = {NULL, 0};
    struct tl_error err;
    luaL_checkstack(L, 10, NULL);
    TpUpdate__Input input = TP_UPDATE__INPUT__INIT;
    input.args = (TpCommon__Payloads *)(uintptr_t)job->u.update.input;
    input.header = (TpCommon__Header *)(uintptr_t)job->u.update.header;
    if (tl_pb_encode_arena(&input, run->activation->arena, &bytes, &err) != TL_OK) {
        luaL_error(L, "update arguments: %s", err.message);
    }
    lua_createtable(L, 0, 3);
    set_text(L, "instance", job->u.update.instance_id);
    set_text(L, "id", job->u.update.id);
    set_text(L, "name", job->u.update.name);
    int info = lua_gettop(L);
    lua_pushcfunction(L, update_entry);
    lua_pushvalue(L, info);
    lua_pushlstring(L, bytes.p, bytes.n);
    lua_pushboolean(L, job->u.update.run_validator);
    tl_handler_start(L, run, TL_FIBER_UPDATE, AT_VALIDATE, "update", job->u.update.name, false);
    lua_pushvalue(L, info);
    lua_setiuservalue(L, -2, TL_FIBER_UPDATE_INFO);
    lua_settop(L, info - 1);
}

int tl_lib_wf_current_update_info(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    if (!run->current) {
        lua_pushnil(L);
        return 1;
    }
    tl_fiber_push(L, run, run->current);
    if (lua_getiuservalue(L, -1, TL_FIBER_UPDATE_INFO) != LUA_TTABLE) {
        lua_pushnil(L);
        return 1;
    }
    int info = lua_gettop(L);
    lua_createtable(L, 0, 2);
    lua_getfield(L, info, "id");
    lua_setfield(L, -2, "id");
    lua_getfield(L, info, "name");
    lua_setfield(L, -2, "name");
    return 1;
}
