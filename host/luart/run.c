/* One run: jobs in, fibers run, commands out. See luart.h.
 * Thread: the run's. Owner: commands live in the activation's arena. */
#include "luart/run_int.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "luart/run_jobs.h"
#include "luart/wf.h"
#include "proto/pb.h"

/* --- life cycle ------------------------------------------------------------------------------- */

static void unknown_type(const struct tl_bundle *b, struct tl_str type, struct tl_error *err)
{
    char known[300] = "";
    size_t n = 0;
    for (size_t i = 0; tl_bundle_workflow_at(b, i) && n + 40 < sizeof known; i++) {
        struct tl_str t = tl_bundle_workflow_at(b, i)->type;
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%.*s", i ? ", " : "",
                              (int)(t.n < 32 ? t.n : 32), t.p);
    }
    tl_error_set(err, TL_ENOTFOUND, "workflow type \"%.*s\" is not defined here; known are: %s",
                 (int)(type.n < 100 ? type.n : 100), type.p, n ? known : "none");
}

tl_rc tl_lua_run_new(struct tl_lua_run **out, struct tl_bundle *bundle, struct tl_str workflow_type,
                     const struct tl_lua_run_config *config, struct tl_error *err)
{
    const struct tl_bundle_workflow *type = tl_bundle_workflow_find(bundle, workflow_type);
    if (!type) {
        unknown_type(bundle, workflow_type, err);
        return TL_ENOTFOUND;
    }
    struct tl_lua_run *run = tl_state_new(config, tl_bundle_code(bundle), err);
    if (!run) {
        return TL_EMEMORY;
    }
    if (type->unsandboxed) {
        tl_bundle_warn_unsandboxed(bundle, type);
    }
    run->bundle = bundle;
    run->type = type;
    run->unsandboxed = type->unsandboxed;
    run->workflow_type = type->type;
    if (type->dynamic) {
        run->workflow_type = workflow_type;
    }
    if (type->dynamic && !tl_state_copy_text(run, &run->workflow_type)) {
        tl_state_free(run);
        return tl_error_set(err, TL_EMEMORY, "a workflow state needs more memory than it may have");
    }
    run->phase = TL_PHASE_LOAD;
    tl_bundle_take_shared(run);
    *out = run;
    return TL_OK;
}

void tl_lua_run_free(struct tl_lua_run *run)
{
    tl_state_free(run);
}

size_t tl_lua_run_bytes(const struct tl_lua_run *run)
{
    return run->heap.held + sizeof *run;
}

bool tl_lua_run_dead(const struct tl_lua_run *run)
{
    return run->dead;
}

/* --- commands --------------------------------------------------------------------------------- */

bool tl_run_uses_flag(struct tl_lua_run *run, int flag)
{
    uint64_t bit = UINT64_C(1) << flag;
    if (run->replaying) {
        return (run->activation->lang_flags & bit) != 0;
    }
    run->out->lang_flags_used |= bit;
    return true;
}

void *tl_cmd_need(lua_State *L, void *p)
{
    if (!p) {
        luaL_error(L, "the workflow task has no room for more commands");
    }
    return p;
}

struct tl_arena *tl_cmd_arena(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    if (!run->arena) {
        luaL_error(L, "this cannot be used while a module is loaded");
    }
    return run->arena;
}

struct tl_cmd *tl_cmd_new(lua_State *L, enum tl_cmd_type type)
{
    struct tl_lua_run *run = tl_run_of(L);
    struct tl_arena *arena = tl_cmd_arena(L);
    char where[96];
    tl_state_where(L, where, sizeof where);
    struct tl_str place = {NULL, 0};
    if (where[0]) {
        place = tl_arena_str(arena, tl_str(where));
        tl_cmd_need(L, (void *)(uintptr_t)place.p);
    }
    struct tl_event_groups groups = tl_event_groups_now(L, type);
    struct tl_cmd *cmd = tl_cmd_need(L, tl_completion_add(run->out, type));
    cmd->where = place;
    cmd->groups = groups;
    return cmd;
}

/* For who takes texts alone: the message and the fields as key=value. */
static void log_as_text(lua_State *L, enum tl_log_level level, struct tl_str message,
                        const struct tl_log_field *own, const char *where)
{
    const struct tl_lua_run_config *c = &tl_run_of(L)->config;
    int top = lua_gettop(L);
    lua_pushlstring(L, message.p, message.n);
    for (const struct tl_log_field *f = own; f->kind != TL_F_END; f++) {
        lua_pushfstring(L, "%s %s=%s", lua_tostring(L, -1), f->key, f->str.p);
    }
    message.p = lua_tolstring(L, -1, &message.n);
    c->log(c->log_ud, level, message, tl_str(where));
    lua_settop(L, top);
}

void tl_run_log_fields(lua_State *L, enum tl_log_level level, struct tl_str message,
                       const struct tl_log_field *own, bool on_replay)
{
    struct tl_lua_run *run = tl_run_of(L);
    char where[96];
    if ((run->replaying && !on_replay && !TL_WITHOUT(38)) || run->phase == TL_PHASE_PROBE) {
        return;
    }
    tl_state_where(L, where, sizeof where);
    if (run->config.log) {
        luaL_checkstack(L, 128, "log");
        log_as_text(L, level, message, own, where);
    } else if (tl_log_script_on(level)) {
        const struct tl_log_field fields[] = {
            TL_S("message", message),
            TL_C("where", where),
            TL_S("workflow_type", run->workflow_type),
            TL_S("workflow_id", run->config.workflow_id),
            TL_S("run_id", run->config.run_id),
            TL_S("namespace", run->config.namespace_),
            TL_S("task_queue", run->config.task_queue),
            TL_I("attempt", run->attempt),
            {.kind = TL_F_END},
        };
        tl_log_write_script(level, "workflow.logged", fields, own);
    }
}

void tl_run_log(lua_State *L, enum tl_log_level level, struct tl_str message)
{
    static const struct tl_log_field none = {.kind = TL_F_END};
    tl_run_log_fields(L, level, message, &none, false);
}

const TpHistory__WorkflowExecutionStartedEventAttributes *tl_run_started(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    TpHistory__WorkflowExecutionStartedEventAttributes *attrs = NULL;
    struct tl_error err;
    struct tl_str bytes;
    tl_slot_push(L, run, TL_SLOT_STARTED);
    bytes.p = lua_tolstring(L, -1, &bytes.n);
    if (!bytes.p ||
        tl_pb_decode(&tp_history__workflow_execution_started_event_attributes__descriptor, bytes,
                     tl_cmd_arena(L), &attrs, &err) != TL_OK) {
        luaL_error(L, "the workflow has not started");
    }
    lua_pop(L, 1);
    return attrs;
}

/* --- the end of fibers ------------------------------------------------------------------------ */

/* Replaces the plain error value at index 1 by an error table of kind LuaError. A table of the
 * script's own with fields type and message keeps both. */
static void make_error(lua_State *L)
{
    lua_settop(L, 1);
    lua_pushliteral(L, "LuaError"); /* 2: the type */
    lua_pushnil(L);                 /* 3: the message */
    if (lua_istable(L, 1)) {
        static const char *const fields[] = {"type", "message"};
        for (int i = 0; i < 2; i++) {
            lua_pushstring(L, fields[i]);
            if (lua_rawget(L, 1) == LUA_TSTRING) {
                lua_copy(L, -1, 2 + i);
            }
            lua_pop(L, 1);
        }
    }
    if (lua_isnil(L, 3)) {
        tl_sandbox_tostring(L, 1, NULL);
        lua_replace(L, 3);
    }
    tl_vm_wrap_error(L, "LuaError");
    lua_pushliteral(L, "type");
    lua_pushvalue(L, 2);
    lua_rawset(L, 3);
    lua_replace(L, 1);
    lua_settop(L, 1);
}

int tl_run_traceback(lua_State *L)
{
    lua_settop(L, 1);
    if (!tl_vm_is_error(L, 1)) {
        make_error(L);
    }
    lua_pushliteral(L, "stack_trace");
    if (lua_rawget(L, 1) == LUA_TNIL && !tl_vm_is_frozen(L, 1)) {
        lua_pushliteral(L, "stack_trace");
        luaL_traceback(L, L, NULL, 1);
        lua_rawset(L, 1);
    }
    lua_settop(L, 1);
    return 1;
}

int tl_run_call_apart(lua_State *L, int n, const char *what)
{
    struct tl_lua_run *run = tl_run_of(L);
    const char *before = run->read_only;
    int fn = lua_gettop(L) - n;
    lua_pushcfunction(L, tl_run_traceback);
    lua_insert(L, fn);
    tl_rng_seed(&run->query_rng, (uint64_t)run->now_ns ^ (uint64_t)run->side_effect_seq++ << 32 ^
                                     UINT64_C(0x736964655f656666));
    run->rng_now = &run->query_rng;
    run->query_id_seq = 0;
    run->read_only = what;
    int status = lua_pcall(L, n, LUA_MULTRET, fn);
    run->read_only = before;
    run->rng_now = &run->rng;
    lua_pushnil(L);
    tl_slot_set(L, run, TL_SLOT_QUERY_IDS);
    lua_remove(L, fn);
    return status;
}

void tl_run_fail_task(lua_State *L, struct tl_lua_run *run, int index)
{
    TpFailure__Failure *failure = tl_vm_failure_encode(L, index, tl_cmd_arena(L));
    run->task_rc = TL_ESCRIPT;
    run->out->task_failure = failure;
    tl_error_set(run->task_error, TL_ESCRIPT, "%s", failure->message);
}

/* Whether the worker's list of error types (separated by commas) has one that the error is. */
static bool in_worker_types(lua_State *L, struct tl_lua_run *run, int index)
{
    struct tl_str rest = run->config.failure_error_types;
    while (rest.n) {
        const char *comma = memchr(rest.p, ',', rest.n);
        size_t n = comma ? (size_t)(comma - rest.p) : rest.n;
        lua_pushlstring(L, rest.p, n);
        bool found = n && tl_vm_error_has(L, index, lua_tostring(L, -1));
        lua_pop(L, 1);
        if (found) {
            return true;
        }
        rest.p += comma ? n + 1 : n;
        rest.n -= comma ? n + 1 : n;
    }
    return false;
}

static bool in_definition_types(lua_State *L, struct tl_lua_run *run, int index)
{
    int top = lua_gettop(L);
    bool found = false;
    tl_slot_push(L, run, TL_SLOT_DEFINITION);
    if (lua_istable(L, -1)) {
        lua_pushliteral(L, "failure_error_types");
        if (lua_rawget(L, -2) == LUA_TTABLE) {
            for (lua_Integer i = 1; !found && lua_rawgeti(L, top + 2, i) == LUA_TSTRING; i++) {
                found = tl_vm_error_has(L, index, lua_tostring(L, -1));
                lua_settop(L, top + 2);
            }
        }
    }
    lua_settop(L, top);
    return found;
}

bool tl_run_is_failure(lua_State *L, struct tl_lua_run *run, int index)
{
    index = lua_absindex(L, index);
    if (tl_vm_is_error(L, index)) {
        lua_pushliteral(L, "kind");
        lua_rawget(L, index);
        bool plain = lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "LuaError") == 0;
        lua_pop(L, 1);
        if (!plain) {
            return true;
        }
    }
    return in_definition_types(L, run, index) || in_worker_types(L, run, index);
}

struct fails_on {
    struct tl_str type;
    bool yes;
};

static tl_rc find_type(struct tl_lua_run *run, void *ud)
{
    struct fails_on *f = ud;
    lua_State *L = tl_state_aux(run);
    int top = lua_gettop(L);
    char name[64];
    TpFailure__ApplicationFailureInfo info = TP_FAILURE__APPLICATION_FAILURE_INFO__INIT;
    TpFailure__Failure failure = TP_FAILURE__FAILURE__INIT;
    snprintf(name, sizeof name, "%.*s", TL_STR_FMT(f->type));
    info.type = name;
    failure.failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO;
    failure.application_failure_info = &info;
    tl_vm_failure_decode(L, &failure);
    f->yes = in_definition_types(L, run, top + 1) || in_worker_types(L, run, top + 1);
    lua_settop(L, top);
    return TL_OK;
}

bool tl_lua_run_fails_on(struct tl_lua_run *run, struct tl_str type)
{
    struct fails_on f = {type, false};
    return !run->dead && tl_state_enter(run, find_type, &f, NULL) == TL_OK && f.yes;
}

/* The error at index lets the workflow fail, end cancelled, or fails the task: a plain Lua error is
 * a bug to be mended, after which the run goes on. */
static void end_with_error(lua_State *L, struct tl_lua_run *run, int index)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    if (!tl_run_is_failure(L, run, index)) {
        tl_run_fail_task(L, run, index);
        return;
    }
    if (run->cancel_requested && tl_vm_error_has(L, index, "CancelledError")) {
        TpCommand__CancelWorkflowExecutionCommandAttributes *attrs =
            tl_cmd_need(L, TL_PB_NEW(arena, TpCommand__CancelWorkflowExecutionCommandAttributes,
                                     tp_command__cancel_workflow_execution_command_attributes));
        tl_cmd_new(L, TL_CMD_CANCEL)->attrs = &attrs->base;
    } else {
        TpCommand__FailWorkflowExecutionCommandAttributes *attrs =
            tl_cmd_need(L, TL_PB_NEW(arena, TpCommand__FailWorkflowExecutionCommandAttributes,
                                     tp_command__fail_workflow_execution_command_attributes));
        attrs->failure = tl_vm_failure_encode(L, index, arena);
        tl_cmd_new(L, TL_CMD_FAIL)->attrs = &attrs->base;
    }
    run->finished = true;
}

static void warn_text(lua_State *L, const char *text)
{
    tl_run_log(L, TL_LOG_WARN, tl_str(text));
}

/* A coroutine that failed while nobody waited for it: its error may never be seen otherwise. */
static void warn_unseen(lua_State *L, struct tl_fiber *f, int index)
{
    if (!f->future.waits && !f->owned) {
        lua_pushfstring(L, "a coroutine of workflow.spawn failed: %s",
                        tl_sandbox_tostring(L, index, NULL));
        warn_text(L, lua_tostring(L, -1));
        lua_pop(L, 2);
    }
}

static void complete(lua_State *L, struct tl_lua_run *run, int first)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    TpCommand__CompleteWorkflowExecutionCommandAttributes *attrs =
        tl_cmd_need(L, TL_PB_NEW(arena, TpCommand__CompleteWorkflowExecutionCommandAttributes,
                                 tp_command__complete_workflow_execution_command_attributes));
    attrs->result = tl_vm_payloads_encode(L, first, lua_gettop(L) - first + 1, arena, "result");
    tl_cmd_new(L, TL_CMD_COMPLETE)->attrs = &attrs->base;
    run->finished = true;
}

void tl_run_fiber_ended(lua_State *L, struct tl_lua_run *run, struct tl_fiber *f, bool failed,
                        int first)
{
    switch ((enum tl_fiber_kind)f->kind) {
    case TL_FIBER_QUERY:
        tl_run_answer_query(L, run, failed, first);
        break;
    case TL_FIBER_SPAWN:
        if (f->future.state == TL_FUTURE_PENDING) {
            if (failed && !tl_vm_error_has(L, first, "CancelledError")) {
                warn_unseen(L, f, first);
            }
            tl_future_resolve(L, run, &f->future, failed, failed ? 1 : lua_gettop(L) - first + 1);
        }
        break;
    case TL_FIBER_SIGNAL:
        run->handlers_running--;
        if (failed) {
            end_with_error(L, run, first);
        }
        break;
    case TL_FIBER_UPDATE:
        tl_run_update_ended(L, run, f, failed, first);
        break;
    case TL_FIBER_MAIN:
        if (failed) {
            end_with_error(L, run, first);
        } else {
            complete(L, run, first);
        }
        break;
    }
}

/* --- activation ------------------------------------------------------------------------------- */

static tl_rc do_activate(struct tl_lua_run *run, void *ud)
{
    const struct tl_activation *a = ud;
    run->now_ns = a->now_ns;
    run->replaying = a->is_replaying;
    bool queries = a->job_count > 0 && a->jobs[0].type == TL_JOB_QUERY;
    if (!queries && a->history_length != run->history_length) {
        run->history_length = a->history_length;
        run->side_effect_seq = 0;
    }
    if (!a->is_replaying) {
        run->out->lang_flags_used |= UINT64_C(1) << TL_LANG_FLAG_FIFO;
    }
    for (size_t i = 0; i < a->job_count && run->task_rc == TL_OK; i++) {
        tl_run_apply_job(run, &a->jobs[i]);
        lua_settop(run->main, TL_SLOT_COUNT);
    }
    if (!queries) {
        tl_sched_run(run);
    }
    return run->task_rc;
}

/* What an abandoned run leaves: made without Lua, as its state is not to be touched. */
static const TpFailure__Failure *plain_failure(struct tl_arena *arena, tl_rc rc,
                                               const struct tl_error *err)
{
    TpFailure__Failure *f = TL_PB_NEW(arena, TpFailure__Failure, tp_failure__failure);
    TpFailure__ApplicationFailureInfo *info =
        TL_PB_NEW(arena, TpFailure__ApplicationFailureInfo, tp_failure__application_failure_info);
    if (!f || !info) {
        return NULL;
    }
    f->message = tl_pb_cstr(arena, tl_str(err->message));
    f->source = tl_pb_cstr(arena, TL_STR_LIT("LuaSDK"));
    info->type = tl_pb_cstr(arena, rc == TL_EDEADLOCK ? TL_STR_LIT("DeadlockError")
                                   : rc == TL_EMEMORY ? TL_STR_LIT("MemoryLimitError")
                                                      : TL_STR_LIT("LuaError"));
    if (!f->message || !f->source || !info->type) {
        return NULL;
    }
    f->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO;
    f->application_failure_info = info;
    return f;
}

static tl_rc activate(void *ud, const struct tl_activation *activation, struct tl_completion *out,
                      struct tl_error *err)
{
    struct tl_lua_run *run = ud;
    struct tl_error own;
    if (!err) {
        err = &own;
    }
    run->activation = activation;
    run->out = out;
    run->arena = activation->arena;
    tl_rc rc = tl_state_enter(run, do_activate, (void *)(uintptr_t)activation, err);
    run->activation = NULL;
    run->out = NULL;
    run->arena = NULL;
    if (rc != TL_OK) {
        run->dead = true;
        if (!out->task_failure) {
            out->task_failure = plain_failure(activation->arena, rc, err);
        }
    }
    return rc;
}

struct tl_lang tl_lua_run_lang(struct tl_lua_run *run)
{
    return (struct tl_lang){run, activate};
}
