/* What a workflow knows of itself: info, time, random ids, the log. See sandbox.def.
 * Thread: the run's. Owner: Lua memory. */
#include <stdio.h>
#include <string.h>

#include "base/world.h"
#include "luart/intercept.h"
#include "luart/wf.h"
#include "proto/pb.h"

/* Raises outside of a run (while a bundle is opened). */
static struct tl_lua_run *need_run(lua_State *L, const char *what)
{
    struct tl_lua_run *run = tl_run_of(L);
    if (!run->activation) {
        luaL_error(L, "%s cannot be used while a module is loaded", what);
    }
    return run;
}

/* --- time and randomness ---------------------------------------------------------------------- */

int tl_lib_wf_now(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)need_run(L, "workflow.now")->now_ns / 1e9);
    return 1;
}

int tl_lib_wf_time(lua_State *L)
{
    lua_pushinteger(L, need_run(L, "workflow.time")->now_ns / TL_NS_PER_S);
    return 1;
}

int tl_lib_wf_time_ns(lua_State *L)
{
    lua_pushinteger(L, need_run(L, "workflow.time_ns")->now_ns);
    return 1;
}

static void write_uuid(uint64_t high, uint64_t low, char text[static 37])
{
    snprintf(text, 37, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(high >> 32),
             (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xffff), (unsigned)(low >> 48),
             (unsigned long long)(low & UINT64_C(0xffffffffffff)));
}

/* Milliseconds of the workflow's time first, so that they sort by it. */
int tl_lib_wf_uuid7(lua_State *L)
{
    struct tl_lua_run *run = need_run(L, "workflow.uuid7");
    uint64_t ms = (uint64_t)(run->now_ns / 1000000);
    uint64_t high = tl_rng_next(run->rng_now), low = tl_rng_next(run->rng_now);
    char text[37];
    write_uuid(ms << 16 | UINT64_C(0x7000) | (high & 0xfff),
               (low & ~(UINT64_C(3) << 62)) | (UINT64_C(2) << 62), text);
    lua_pushstring(L, text);
    return 1;
}

void tl_wf_uuid4(lua_State *L, char text[static 37])
{
    struct tl_rng *rng = need_run(L, "workflow.uuid4")->rng_now;
    uint64_t high = tl_rng_next(rng), low = tl_rng_next(rng);
    write_uuid((high & ~UINT64_C(0xf000)) | UINT64_C(0x4000),
               (low & ~(UINT64_C(3) << 62)) | (UINT64_C(2) << 62), text);
}

int tl_lib_wf_uuid4(lua_State *L)
{
    char text[37];
    tl_wf_uuid4(L, text);
    lua_pushstring(L, text);
    return 1;
}

int tl_lib_unsafe_is_replaying(lua_State *L)
{
    lua_pushboolean(L, need_run(L, "workflow.unsafe.is_replaying")->replaying);
    return 1;
}

int tl_lib_unsafe_is_replaying_history_events(lua_State *L)
{
    struct tl_lua_run *run = need_run(L, "workflow.unsafe.is_replaying_history_events");
    lua_pushboolean(L, run->replaying && !run->query);
    return 1;
}

int tl_lib_unsafe_in_sandbox(lua_State *L)
{
    lua_pushboolean(L, !tl_run_of(L)->unsandboxed);
    return 1;
}

int tl_lib_unsafe_is_read_only(lua_State *L)
{
    lua_pushboolean(L, need_run(L, "workflow.unsafe.is_read_only")->read_only != NULL);
    return 1;
}

int tl_lib_wf_in_workflow(lua_State *L)
{
    lua_pushboolean(L, tl_run_of(L)->phase == TL_PHASE_RUN);
    return 1;
}

/* register_random_seed_callback(fn): fn(seed) is called when a reset has given the run another seed. */
int tl_lib_wf_register_random_seed_callback(lua_State *L)
{
    struct tl_lua_run *run = need_run(L, "workflow.register_random_seed_callback");
    tl_command_check(L, "workflow.register_random_seed_callback");
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    tl_slot_table(L, run, TL_SLOT_SEED_CALLBACKS);
    lua_pushvalue(L, 1);
    lua_rawseti(L, 2, (lua_Integer)lua_rawlen(L, 2) + 1);
    return 0;
}

/* What init returned; nil without one. */
int tl_lib_wf_instance(lua_State *L)
{
    tl_slot_push(L, need_run(L, "workflow.instance"), TL_SLOT_SELF);
    return 1;
}

/* is_failure_error(err): whether it would fail the workflow, and not its task. */
int tl_lib_wf_is_failure_error(lua_State *L)
{
    struct tl_lua_run *run = need_run(L, "workflow.is_failure_error");
    luaL_checkany(L, 1);
    lua_settop(L, 1);
    tl_run_traceback(L); /* a plain error becomes what it would be if it went out */
    lua_pushboolean(L, tl_run_is_failure(L, run, 1));
    return 1;
}

/* The reason given with the request; nil when there was none. */
int tl_lib_wf_cancellation_reason(lua_State *L)
{
    tl_slot_push(L, need_run(L, "workflow.cancellation_reason"), TL_SLOT_CANCEL_REASON);
    return 1;
}

int tl_lib_wf_is_cancel_requested(lua_State *L)
{
    lua_pushboolean(L, need_run(L, "workflow.is_cancel_requested")->cancel_requested);
    return 1;
}

/* --- info ------------------------------------------------------------------------------------- */

static void set_text(lua_State *L, const char *key, const char *text)
{
    if (text && *text) {
        lua_pushstring(L, text);
        lua_setfield(L, -2, key);
    }
}

static void set_str(lua_State *L, const char *key, struct tl_str s)
{
    if (s.n) {
        lua_pushlstring(L, s.p, s.n);
        lua_setfield(L, -2, key);
    }
}

static void set_duration(lua_State *L, const char *key, const Google__Protobuf__Duration *d)
{
    int64_t ns = tl_pb_duration_ns_or(d, 0);
    if (ns > 0) {
        lua_pushnumber(L, (lua_Number)ns / 1e9);
        lua_setfield(L, -2, key);
    }
}

static void set_execution(lua_State *L, const char *key, const TpCommon__WorkflowExecution *e,
                          const char *namespace_)
{
    if (e) {
        lua_newtable(L);
        set_text(L, "workflow_id", e->workflow_id);
        set_text(L, "run_id", e->run_id);
        set_text(L, "namespace", namespace_);
        lua_setfield(L, -2, key);
    }
}

static void set_retry(lua_State *L, const TpCommon__RetryPolicy *p)
{
    if (!p) {
        return;
    }
    lua_newtable(L);
    set_duration(L, "initial_interval", p->initial_interval);
    set_duration(L, "maximum_interval", p->maximum_interval);
    lua_pushnumber(L, p->backoff_coefficient);
    lua_setfield(L, -2, "backoff_coefficient");
    lua_pushinteger(L, p->maximum_attempts);
    lua_setfield(L, -2, "maximum_attempts");
    lua_newtable(L);
    for (size_t i = 0; i < p->n_non_retryable_error_types; i++) {
        lua_pushstring(L, p->non_retryable_error_types[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "non_retryable_error_types");
    lua_setfield(L, -2, "retry_policy");
}

static void push_memo(lua_State *L)
{
    TpCommon__Memo *memo = tl_wf_memo(L);
    lua_newtable(L);
    for (size_t i = 0; memo && i < memo->n_fields; i++) {
        lua_pushstring(L, memo->fields[i]->key);
        tl_vm_payload_decode(L, memo->fields[i]->value);
        lua_rawset(L, -3);
    }
}

static void set_fields(lua_State *L)
{
    push_memo(L);
    lua_setfield(L, -2, "memo");
    TpCommon__SearchAttributes *search = tl_wf_search_attributes(L);
    lua_newtable(L);
    for (size_t i = 0; search && i < search->n_indexed_fields; i++) {
        lua_pushstring(L, search->indexed_fields[i]->key);
        tl_vm_payload_decode_own(L, search->indexed_fields[i]->value);
        lua_rawset(L, -3);
    }
    lua_setfield(L, -2, "search_attributes");
}

/* What changes from task to task. */
static void set_current(lua_State *L, struct tl_lua_run *run)
{
    static const char *const reasons[] = {NULL, "history_size_too_large", "too_many_history_events",
                                          "too_many_updates"};
    const struct tl_activation *a = run->activation;
    lua_pushinteger(L, a->history_length);
    lua_setfield(L, -2, "history_length");
    lua_pushinteger(L, a->history_bytes);
    lua_setfield(L, -2, "history_size");
    lua_pushboolean(L, a->continue_as_new_suggested);
    lua_setfield(L, -2, "continue_as_new_suggested");
    lua_newtable(L);
    for (size_t i = 1; i < sizeof reasons / sizeof *reasons; i++) {
        if (a->continue_as_new_reasons >> i & 1) {
            lua_pushstring(L, reasons[i]);
            lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
        }
    }
    lua_setfield(L, -2, "continue_as_new_suggested_reasons");
    lua_pushboolean(L, a->target_deployment_version_changed);
    lua_setfield(L, -2, "target_worker_deployment_version_changed");
    bool recorded = a->build_id.n || a->deployment_name.n;
    struct tl_str build = recorded ? a->build_id : run->config.build_id;
    struct tl_str deployment = recorded ? a->deployment_name : run->config.deployment_name;
    set_str(L, "current_build_id", build);
    if (deployment.n) {
        lua_createtable(L, 0, 2);
        set_str(L, "deployment_name", deployment);
        set_str(L, "build_id", build);
        lua_setfield(L, -2, "current_deployment_version");
    }
}

static int push_info(lua_State *L)
{
    struct tl_lua_run *run = need_run(L, "workflow.info");
    const TpHistory__WorkflowExecutionStartedEventAttributes *a = tl_run_started(L);
    lua_createtable(L, 0, 24);
    set_str(L, "namespace", run->config.namespace_);
    set_str(L, "run_id", run->config.run_id.n ? run->config.run_id : run->activation->run_id);
    if (run->config.workflow_id.n) {
        set_str(L, "workflow_id", run->config.workflow_id);
    } else {
        set_text(L, "workflow_id", a->workflow_id);
    }
    set_str(L, "workflow_type", run->workflow_type);
    set_text(L, "task_queue", a->task_queue ? a->task_queue->name : run->config.task_queue.p);
    lua_pushinteger(L, a->attempt > 0 ? a->attempt : 1);
    lua_setfield(L, -2, "attempt");
    set_text(L, "cron_schedule", a->cron_schedule);
    set_text(L, "continued_run_id", a->continued_execution_run_id);
    set_text(L, "first_execution_run_id", a->first_execution_run_id);
    set_text(L, "original_run_id", a->original_execution_run_id);
    set_text(L, "identity", a->identity);
    set_execution(L, "parent", a->parent_workflow_execution, a->parent_workflow_namespace);
    set_execution(L, "root", a->root_workflow_execution, NULL);
    set_duration(L, "workflow_execution_timeout", a->workflow_execution_timeout);
    set_duration(L, "workflow_run_timeout", a->workflow_run_timeout);
    set_duration(L, "workflow_task_timeout", a->workflow_task_timeout);
    set_retry(L, a->retry_policy);
    if (a->priority) {
        lua_newtable(L);
        lua_pushinteger(L, a->priority->priority_key);
        lua_setfield(L, -2, "priority_key");
        set_text(L, "fairness_key", a->priority->fairness_key);
        lua_pushnumber(L, (lua_Number)a->priority->fairness_weight);
        lua_setfield(L, -2, "fairness_weight");
        lua_setfield(L, -2, "priority");
    }
    set_fields(L);
    lua_pushnumber(L, (lua_Number)run->start_ns / 1e9);
    lua_setfield(L, -2, "start_time");
    tl_intercept_push_headers(L, a->header);
    lua_setfield(L, -2, "headers");
    set_current(L, run);
    return 1;
}

static int one_result(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    lua_settop(L, (int)(ctx >> 1) + 1);
    return 1;
}

int tl_lib_wf_info(lua_State *L)
{
    need_run(L, "workflow.info");
    if (!tl_intercept_has(L, TL_HOOK_INFO)) {
        return push_info(L);
    }
    int base = lua_gettop(L);
    lua_newtable(L);
    lua_pushcfunction(L, push_info);
    return tl_intercept_call(L, TL_HOOK_INFO, TL_INTERCEPT_CTX(base, false), one_result);
}

/* memo() -> table; memo_value(key [, default]) */
int tl_lib_wf_memo(lua_State *L)
{
    need_run(L, "workflow.memo");
    push_memo(L);
    return 1;
}

int tl_lib_wf_memo_value(lua_State *L)
{
    need_run(L, "workflow.memo_value");
    luaL_checkstring(L, 1);
    lua_settop(L, 2);
    push_memo(L);
    lua_pushvalue(L, 1);
    if (lua_rawget(L, 3) == LUA_TNIL) {
        lua_pushvalue(L, 2);
    }
    return 1;
}

/* Values of the last completed run of the chain (cron, continue-as-new); nothing when there is none. */
int tl_lib_wf_last_result(lua_State *L)
{
    need_run(L, "workflow.last_result");
    return tl_vm_payloads_decode(L, tl_run_started(L)->last_completion_result);
}

int tl_lib_wf_last_failure(lua_State *L)
{
    need_run(L, "workflow.last_failure");
    const TpFailure__Failure *failure = tl_run_started(L)->continued_failure;
    if (failure) {
        tl_vm_failure_decode(L, failure);
    } else {
        lua_pushnil(L);
    }
    return 1;
}

int tl_lib_wf_has_last_completion_result(lua_State *L)
{
    need_run(L, "workflow.has_last_completion_result");
    const TpCommon__Payloads *last = tl_run_started(L)->last_completion_result;
    lua_pushboolean(L, last && last->n_payloads > 0);
    return 1;
}

int tl_lib_wf_get_current_details(lua_State *L)
{
    need_run(L, "workflow.get_current_details");
    tl_slot_push(L, tl_run_of(L), TL_SLOT_DETAILS);
    return 1;
}

/* Shown by the metadata query. */
int tl_lib_wf_set_current_details(lua_State *L)
{
    tl_command_check(L, "workflow.set_current_details");
    luaL_checkstring(L, 1);
    lua_settop(L, 1);
    tl_slot_set(L, tl_run_of(L), TL_SLOT_DETAILS);
    return 0;
}
