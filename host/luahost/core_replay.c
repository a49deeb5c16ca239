/* temporal.core, part: histories as values and their replay. The Lua side is lua/temporal/replayer.lua
 * and history.lua.
 * Owns: a replayer userdata owns its bundle and its texts. Thread: the state's. */
#include <lauxlib.h>
#include <string.h>

#include "base/limits.h"
#include "luahost/build.h"
#include "luahost/coding.h"
#include "luahost/core_arena.h"
#include "luahost/host.h"
#include "luahost/plan.h"
#include "luart/replay.h"
#include "proto/history_json.h"
#include "proto/pb.h"

#define REPLAYER_TYPE "temporal.core.replayer"

struct replayer {
    struct tl_bundle *bundle;           /* NULL: that of the build, the second user value */
    struct tl_lua_externs *externs;     /* of the bundle; may be NULL */
    struct tl_lua_replay_config config; /* texts borrow from the options table, the first one */
};

static int replayer_gc(lua_State *L)
{
    struct replayer *r = luaL_checkudata(L, 1, REPLAYER_TYPE);
    tl_bundle_close(r->bundle);
    tl_lua_externs_free(r->externs);
    r->bundle = NULL;
    r->externs = NULL;
    return 0;
}

/* The text in a field of the table at `index`, which keeps it; empty when there is none. */
static struct tl_str text_field(lua_State *L, int index, const char *name)
{
    size_t n = 0;
    lua_getfield(L, index, name);
    const char *text = luaL_optlstring(L, -1, "", &n);
    struct tl_str s = n ? tl_str_n(text, n) : (struct tl_str){0};
    lua_pop(L, 1);
    return s;
}

/* [-0, +1, v] core.replayer_new(plan or build, options): options = { namespace, deployment_name, build_id,
 * failure_error_types: texts, debug: activations are not cut off }, not changed later. */
static int replayer_new(lua_State *L)
{
    struct tl_bundle_config config;
    struct tl_error err;
    bool build = tl_host_test_build(L, 1) != NULL;
    if (!build) {
        luaL_checktype(L, 1, LUA_TTABLE);
    }
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    struct replayer *r = lua_newuserdatauv(L, sizeof *r, 2);
    memset(r, 0, sizeof *r);
    luaL_setmetatable(L, REPLAYER_TYPE);
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, 3, 1);
    r->config.namespace_ = text_field(L, 2, "namespace");
    r->config.deployment_name = text_field(L, 2, "deployment_name");
    r->config.build_id = text_field(L, 2, "build_id");
    r->config.failure_error_types = text_field(L, 2, "failure_error_types");
    lua_getfield(L, 2, "debug");
    r->config.steps_max = lua_toboolean(L, -1) ? 0 : TL_LUA_REPLAY_STEPS_MAX;
    if (build) {
        lua_pushvalue(L, 1);
        lua_setiuservalue(L, 3, 2);
        lua_pushvalue(L, 3);
        return 1;
    }
    tl_host_bundle_plan(L, 1, &config);
    if (tl_bundle_open(&r->bundle, &config, &err) != TL_OK ||
        tl_lua_externs_new(L, 1, &r->externs, &err) != TL_OK) {
        return luaL_error(L, "%s", err.message);
    }
    tl_bundle_set_extern(r->bundle, tl_lua_externs_view(r->externs));
    lua_pushvalue(L, 3);
    return 1;
}

typedef bool (*render)(const struct tl_nde_report *report, struct tl_buf *out);

static void set_report(lua_State *L, const char *field, const struct tl_nde_report *report,
                       render write, struct tl_arena *arena)
{
    struct tl_buf text;
    tl_buf_init(&text, (size_t)tl_limit_blob_bytes);
    write(report, &text);
    struct tl_str copy = tl_arena_str(arena, tl_buf_str(&text)); /* so that a raise leaks nothing */
    tl_buf_deinit(&text);
    lua_pushlstring(L, copy.p ? copy.p : "", copy.n);
    lua_setfield(L, -2, field);
}

static void set_count(lua_State *L, const char *field, size_t n)
{
    lua_pushinteger(L, (lua_Integer)n);
    lua_setfield(L, -2, field);
}

/* [-0, +1, v] core.history_decode(history, coding, namespace, workflow_id, run_id): the encoded History
 * with its payloads as they were before the codecs of the table (coding.h) */
static int history_decode(lua_State *L)
{
    struct tl_str bytes, out;
    struct tl_error err;
    TpHistory__History *history;
    bytes.p = luaL_checklstring(L, 1, &bytes.n);
    luaL_checktype(L, 2, LUA_TTABLE);
    struct tl_payload_context whose = {.owner = TL_PAYLOAD_OF_WORKFLOW};
    whose.namespace_.p = luaL_checklstring(L, 3, &whose.namespace_.n);
    whose.workflow_id.p = luaL_checklstring(L, 4, &whose.workflow_id.n);
    whose.run_id.p = luaL_checklstring(L, 5, &whose.run_id.n);
    lua_settop(L, 5);
    struct tl_arena *arena = tl_core_push_arena(L);
    tl_rc rc = tl_history_read(bytes, arena, &history, &err);
    if (rc == TL_OK) {
        rc = tl_host_coding_decode(L, 2, &whose, history, arena, &err);
    }
    if (rc == TL_OK) {
        rc = tl_pb_encode_arena(history, arena, &out, &err);
    }
    if (rc != TL_OK) {
        return luaL_error(L, "%s", err.message);
    }
    lua_pushlstring(L, out.p, out.n);
    return 1;
}

/* What the calls of a replayer begin with. */
struct call {
    struct tl_bundle *bundle;
    struct tl_lua_replay_config config;
    struct tl_arena *arena; /* on the stack until the call ends */
    TpHistory__History *history;
};

/* Arguments: replayer, history (encoded or JSON), id, run_id ("": what it says). */
static tl_rc begin(lua_State *L, struct call *call, struct tl_error *err)
{
    struct replayer *r = luaL_checkudata(L, 1, REPLAYER_TYPE);
    struct tl_str bytes;
    call->config = r->config;
    bytes.p = luaL_checklstring(L, 2, &bytes.n);
    call->config.workflow_id.p = luaL_checklstring(L, 3, &call->config.workflow_id.n);
    call->config.run_id.p = luaL_checklstring(L, 4, &call->config.run_id.n);
    lua_getiuservalue(L, 1, 2);
    struct tl_host_build *build = tl_host_test_build(L, -1);
    call->bundle = build ? build->bundle : r->bundle;
    luaL_argcheck(L, call->bundle, 1, "the replayer is closed, or its build was given to a worker");
    call->arena = tl_core_push_arena(L);
    return tl_history_read(bytes, call->arena, &call->history, err);
}

/* Sets code, message and report of the table on top when rc is not TL_OK. */
static void set_failure(lua_State *L, tl_rc rc, const struct tl_error *err,
                        const struct tl_nde_report *report, struct tl_arena *arena)
{
    if (rc == TL_OK) {
        return;
    }
    lua_pushstring(L, tl_rc_name(rc));
    lua_setfield(L, -2, "code");
    lua_pushstring(L, err->message);
    lua_setfield(L, -2, "message");
    if (report) {
        set_report(L, "report", report, tl_nde_report_text, arena);
        set_report(L, "report_json", report, tl_nde_report_json, arena);
    }
}

/* [-0, +1, v] core.replayer_replay(replayer, history, id, run_id): a table { events, tasks,
 * activations: counts, finished, code: nil when it fits, message, report, report_json: texts }. */
static int replayer_replay(lua_State *L)
{
    struct tl_replay_result result = {0};
    struct tl_error err = {0};
    struct call call;
    tl_rc rc = begin(L, &call, &err);
    if (rc == TL_OK) {
        rc = tl_lua_replay(call.bundle, call.history, &call.config, call.arena, &result, &err);
    }
    lua_newtable(L);
    set_count(L, "events", result.event_count);
    set_count(L, "tasks", result.task_count);
    set_count(L, "activations", result.activation_count);
    lua_pushboolean(L, result.finished);
    lua_setfield(L, -2, "finished");
    set_failure(L, rc, &err, result.report, call.arena);
    return 1;
}

/* --- reruns ----------------------------------------------------------------------------------- */

struct answer {
    struct answer *next;
    int64_t started_event_id;
    struct tl_str bytes;
};

struct answers { /* in the call's arena: no Lua value is made while the engine runs */
    struct tl_arena *arena;
    struct answer *first, **end;
};

static tl_rc answered(void *ud, int64_t started_event_id, struct tl_str bytes, struct tl_error *err)
{
    struct answers *a = ud;
    struct answer *answer = TL_ARENA_NEW(a->arena, struct answer);
    struct tl_str copy = tl_arena_str(a->arena, bytes);
    if (!answer || !copy.p) {
        return tl_error_set(err, TL_ELIMIT, "the answers of all tasks together are too large");
    }
    *answer = (struct answer){.started_event_id = started_event_id, .bytes = copy};
    *a->end = answer;
    a->end = &answer->next;
    return TL_OK;
}

/* [-0, +1, v] core.replayer_rerun(replayer, history, id, run_id, cache_size, seed): a table { answers:
 * encoded RespondWorkflowTaskCompletedRequests, started: the ids of their tasks' started events, fresh: how
 * many came from a new run, code: nil when all were answered, message, report, report_json }. */
static int replayer_rerun(lua_State *L)
{
    struct tl_rerun_result result = {0};
    struct tl_error err = {0};
    struct call call;
    lua_Integer cache_size = luaL_checkinteger(L, 5), seed = luaL_checkinteger(L, 6);
    tl_rc rc = begin(L, &call, &err);
    struct tl_arena *tasks = tl_core_push_arena(L);
    struct answers answers = {.arena = call.arena, .end = &answers.first};
    if (rc == TL_OK) {
        struct tl_lua_rerun_config config = {
            .replay = call.config,
            .cache_size = cache_size < 0 ? 0 : (size_t)cache_size,
            .seed = (uint64_t)seed,
            .ud = &answers,
            .answered = answered,
        };
        rc = tl_lua_rerun(call.bundle, call.history, &config, tasks, &result, &err);
    }
    lua_newtable(L);
    set_count(L, "fresh", result.fresh_count);
    set_failure(L, rc, &err, result.report, call.arena);
    lua_newtable(L);
    lua_newtable(L);
    lua_Integer n = 0;
    for (const struct answer *a = answers.first; a; a = a->next) {
        lua_pushinteger(L, a->started_event_id);
        lua_rawseti(L, -3, ++n);
        lua_pushlstring(L, a->bytes.p, a->bytes.n);
        lua_rawseti(L, -2, n);
    }
    lua_setfield(L, -3, "answers");
    lua_setfield(L, -2, "started");
    return 1;
}

static void set_text(lua_State *L, const char *field, const char *text)
{
    lua_pushstring(L, text ? text : "");
    lua_setfield(L, -2, field);
}

/* [-0, +2, v] core.history_read(text): an encoded History from a file's text (JSON of any spelling, or
 * encoded) and { workflow_type, workflow_id, run_id, events }; or nil and what is wrong. */
static int history_read(lua_State *L)
{
    struct tl_str text, bytes;
    struct tl_error err;
    TpHistory__History *history;
    text.p = luaL_checklstring(L, 1, &text.n);
    struct tl_arena *arena = tl_core_push_arena(L);
    tl_rc rc = tl_history_read(text, arena, &history, &err);
    if (rc == TL_OK) {
        rc = tl_pb_encode_arena(history, arena, &bytes, &err);
    }
    if (rc != TL_OK) {
        lua_pushnil(L);
        lua_pushstring(L, err.message);
        return 2;
    }
    lua_pushlstring(L, bytes.p, bytes.n);
    lua_newtable(L);
    set_count(L, "events", history->n_events);
    if (tl_replay_workflow_type(history).n) {
        const TpHistory__WorkflowExecutionStartedEventAttributes *a =
            history->events[0]->workflow_execution_started_event_attributes;
        set_text(L, "workflow_type", a->workflow_type->name);
        set_text(L, "workflow_id", a->workflow_id);
        set_text(L, "run_id", a->original_execution_run_id);
    }
    return 2;
}

static const luaL_Reg functions[] = {
    {"replayer_new", replayer_new},     {"replayer_replay", replayer_replay},
    {"replayer_rerun", replayer_rerun}, {"history_read", history_read},
    {"history_decode", history_decode}, {NULL, NULL},
};

void tl_core_replay(lua_State *L)
{
    luaL_newmetatable(L, REPLAYER_TYPE);
    lua_pushcfunction(L, replayer_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
