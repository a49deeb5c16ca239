/* Queries: those of the script's handlers and the built-in ones (stacks, metadata).
 * Thread: the run's. Owner: answers are the activation arena's. */
#include <stdio.h>
#include <string.h>

#include "base/version.h"
#include "luart/intercept.h"
#include "luart/run_jobs.h"
#include "proto/pb.h"
#include "proto/utf8.h"

/* --- stacks ----------------------------------------------------------------------------------- */

/* Pushes "coroutine 3 (signal approve)". */
static void push_title(lua_State *L, struct tl_lua_run *run, struct tl_fiber *f)
{
    tl_fiber_push(L, run, f);
    lua_getiuservalue(L, -1, 3);
    const char *name = lua_tostring(L, -1);
    lua_pushfstring(L, "coroutine %d (%s)", (int)f->future.seq,
                    name                       ? name
                    : f->kind == TL_FIBER_MAIN ? "workflow"
                                               : "spawned");
    lua_replace(L, -3);
    lua_pop(L, 1);
}

/* Pushes traceback text of all blocked fibers. */
static void push_stacks(lua_State *L, struct tl_lua_run *run)
{
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (struct tl_fiber *f = run->fibers; f; f = f->next) {
        if (f->kind == TL_FIBER_QUERY || f == run->current) {
            continue;
        }
        push_title(L, run, f);
        luaL_traceback(L, f->await_co ? f->await_co : f->co, lua_tostring(L, -1), 0);
        lua_remove(L, -2);
        luaL_addvalue(&b);
        if (f->await_co && f->await_co != f->co) {
            luaL_addchar(&b, '\n');
            luaL_traceback(L, f->co, "resumed from", 0);
            luaL_addvalue(&b);
        }
        luaL_addstring(&b, "\n\n");
    }
    luaL_pushresult(&b);
}

/* Appends the Lua functions on the stack of `co` to the list of locations on top of L; their files
 * become keys of the table at index `files`. */
static void add_locations(lua_State *L, lua_State *co, int files)
{
    lua_Debug ar;
    int list = lua_gettop(L);
    for (int level = 0; lua_getstack(co, level, &ar); level++) {
        lua_getinfo(co, "nSl", &ar);
        if (ar.currentline <= 0) {
            continue; /* the library's own functions */
        }
        const char *file = ar.source[0] == '=' ? ar.source + 1 : ar.short_src;
        lua_createtable(L, 0, 3);
        lua_pushstring(L, file);
        lua_setfield(L, -2, "filePath");
        lua_pushinteger(L, ar.currentline);
        lua_setfield(L, -2, "line");
        if (ar.name) {
            lua_pushstring(L, ar.name);
            lua_setfield(L, -2, "functionName");
        }
        lua_rawseti(L, list, (lua_Integer)lua_rawlen(L, list) + 1);
        lua_pushboolean(L, 1);
        lua_setfield(L, files, file);
    }
}

static void push_list(lua_State *L)
{
    lua_newtable(L);
    lua_pushcfunction(L, tl_vm_lib_array);
    lua_pushvalue(L, -2);
    lua_call(L, 1, 0);
}

struct sources {
    lua_State *L;
    int files, out;
};

/* Adds a module's text when it is on some stack; JSON cannot hold what is not UTF-8. */
static void add_source(void *ud, struct tl_str module, struct tl_str file, struct tl_str text)
{
    struct sources *s = ud;
    lua_State *L = s->L;
    (void)module;
    lua_pushlstring(L, file.p, file.n);
    if (lua_rawget(L, s->files) == LUA_TBOOLEAN && tl_utf8_ok(text)) {
        lua_pushlstring(L, file.p, file.n);
        lua_createtable(L, 0, 1);
        lua_pushlstring(L, text.p, text.n);
        lua_setfield(L, -2, "content");
        lua_rawset(L, s->out);
    }
    lua_pop(L, 1);
}

/* Pushes a temporal.api.sdk.v1.EnhancedStackTrace under its JSON names. */
static void push_enhanced_stacks(lua_State *L, struct tl_lua_run *run)
{
    luaL_checkstack(L, 12, NULL);
    lua_createtable(L, 0, 3);
    int out = lua_gettop(L);
    lua_newtable(L);
    int files = lua_gettop(L);
    push_list(L);
    for (struct tl_fiber *f = run->fibers; f; f = f->next) {
        if (f->kind == TL_FIBER_QUERY || f == run->current) {
            continue;
        }
        lua_createtable(L, 0, 1);
        push_list(L);
        if (f->await_co && f->await_co != f->co) {
            add_locations(L, f->await_co, files);
        }
        add_locations(L, f->co, files);
        lua_setfield(L, -2, "locations");
        lua_rawseti(L, files + 1, (lua_Integer)lua_rawlen(L, files + 1) + 1);
    }
    lua_setfield(L, out, "stacks");
    lua_newtable(L);
    struct sources s = {L, files, lua_gettop(L)};
    tl_bundle_each_source(run->bundle, add_source, &s);
    lua_setfield(L, out, "sources");
    lua_createtable(L, 0, 2);
    lua_pushliteral(L, TL_SDK_NAME);
    lua_setfield(L, -2, "name");
    lua_pushliteral(L, TL_VERSION);
    lua_setfield(L, -2, "version");
    lua_setfield(L, out, "sdk");
    lua_settop(L, out);
}

/* --- metadata --------------------------------------------------------------------------------- */

static const char *const built_ins[] = {"__stack_trace", "__enhanced_stack_trace",
                                        "__temporal_workflow_metadata"};

/* Pushes a temporal.api.sdk.v1.WorkflowMetadata under its JSON names. */
static void push_metadata(lua_State *L, struct tl_lua_run *run)
{
    lua_newtable(L);
    lua_newtable(L);
    lua_pushlstring(L, run->workflow_type.p, run->workflow_type.n);
    lua_setfield(L, -2, "type");
    tl_handlers_push_list(L, run, TL_SLOT_QUERIES);
    for (size_t i = 0; i < sizeof built_ins / sizeof *built_ins; i++) {
        lua_createtable(L, 0, 1);
        lua_pushstring(L, built_ins[i]);
        lua_setfield(L, -2, "name");
        lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    }
    lua_setfield(L, -2, "queryDefinitions");
    tl_handlers_push_list(L, run, TL_SLOT_SIGNALS);
    lua_setfield(L, -2, "signalDefinitions");
    tl_handlers_push_list(L, run, TL_SLOT_UPDATES);
    lua_setfield(L, -2, "updateDefinitions");
    lua_setfield(L, -2, "definition");
    tl_slot_push(L, run, TL_SLOT_DETAILS);
    lua_setfield(L, -2, "currentDetails");
}

/* The message that the answer of a built-in query is; NULL: it is a plain value. */
static const char *message_type(struct tl_str query)
{
    return tl_str_eqc(query, "__enhanced_stack_trace") ? "temporal.api.sdk.v1.EnhancedStackTrace"
           : tl_str_eqc(query, "__temporal_workflow_metadata")
               ? "temporal.api.sdk.v1.WorkflowMetadata"
               : NULL;
}

static TpCommon__Payload__MetadataEntry *new_entry(lua_State *L, const char *key, const char *value)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    TpCommon__Payload__MetadataEntry *e = tl_cmd_need(
        L, TL_PB_NEW(arena, TpCommon__Payload__MetadataEntry, tp_common__payload__metadata_entry));
    bool ok = true;
    e->key = tl_cmd_need(L, tl_pb_cstr(arena, tl_str(key)));
    e->value = tl_pb_bytes(arena, tl_str(value), &ok);
    return tl_cmd_need(L, ok ? e : NULL);
}

/* Marks a payload of plain JSON as the JSON of a protobuf message. */
static void mark_message(lua_State *L, TpCommon__Payloads *result, const char *type)
{
    TpCommon__Payload__MetadataEntry **both =
        tl_cmd_need(L, TL_ARENA_ARRAY(tl_cmd_arena(L), TpCommon__Payload__MetadataEntry *, 2));
    both[0] = new_entry(L, "encoding", "json/protobuf");
    both[1] = new_entry(L, "messageType", type);
    result->payloads[0]->metadata = both;
    result->payloads[0]->n_metadata = 2;
}

/* --- all -------------------------------------------------------------------------------------- */

/* First function of a query's fiber. */
static int query_entry(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    struct tl_str name = tl_str(run->query->query_type);
    struct tl_handler handler;
    if (tl_str_eqc(name, "__stack_trace")) {
        push_stacks(L, run);
        return 1;
    }
    if (tl_str_eqc(name, "__enhanced_stack_trace")) {
        push_enhanced_stacks(L, run);
        return 1;
    }
    if (tl_str_eqc(name, "__temporal_workflow_metadata")) {
        push_metadata(L, run);
        return 1;
    }
    if (!tl_handler_push(L, run, TL_SLOT_QUERIES, name, &handler)) {
        return tl_handlers_unknown(L, run, TL_SLOT_QUERIES, name.p);
    }
    if (tl_intercept_has(L, TL_HOOK_HANDLE_QUERY)) {
        int args = tl_vm_payloads_decode(L, run->query->query_args);
        tl_intercept_push_inbound(L, "query", name, args, run->query->header);
        lua_pushlstring(L, run->query_id.p, run->query_id.n);
        lua_setfield(L, -2, "id");
        lua_insert(L, 1);
        tl_intercept_last(L, handler.dynamic ? "query" : NULL);
        tl_intercept_chain(L, TL_HOOK_HANDLE_QUERY);
        lua_insert(L, 1);
        lua_call(L, 1, LUA_MULTRET);
        return lua_gettop(L);
    }
    if (handler.dynamic) {
        lua_pushlstring(L, name.p, name.n);
    }
    int n = tl_vm_payloads_decode(L, run->query->query_args);
    lua_call(L, n + handler.dynamic, LUA_MULTRET);
    return lua_gettop(L);
}

void tl_run_answer_query(lua_State *L, struct tl_lua_run *run, bool failed, int first)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    TpCommon__Payloads *result = NULL;
    TpFailure__Failure *failure = NULL;
    if (failed) {
        failure = tl_vm_failure_encode(L, first, arena);
    } else {
        const char *type = message_type(tl_str(run->query->query_type));
        result = tl_vm_payloads_encode(L, first, lua_gettop(L) - first + 1, arena, "query result");
        if (type && result) {
            mark_message(L, result, type);
        }
    }
    struct tl_cmd *cmd = tl_cmd_need(L, tl_completion_add(run->out, TL_CMD_QUERY_RESULT));
    cmd->u.query.id = run->query_id;
    cmd->u.query.result = result;
    cmd->u.query.failure = failure;
    if (failure) {
        cmd->u.query.error = tl_str(failure->message);
    }
}

void tl_run_apply_query(struct tl_lua_run *run, const struct tl_job *job)
{
    lua_State *L = run->main;
    struct tl_fiber *ready = run->ready, *ready_last = run->ready_last;
    /* A stream of its own: what a query draws must not move the workflow's. */
    tl_rng_seed(&run->query_rng, (uint64_t)run->now_ns ^ UINT64_C(0x71756572795f7267));
    run->rng_now = TL_WITHOUT(39) ? &run->rng : &run->query_rng;
    run->read_only = "a query handler";
    run->query_id = job->u.query.id;
    run->query = job->u.query.query;
    run->query_id_seq = 0;
    run->ready = run->ready_last = NULL;
    lua_pushcfunction(L, query_entry);
    tl_fiber_new(L, run, TL_FIBER_QUERY, 0, run->query->query_type);
    tl_sched_run_ready(run);
    run->ready = ready;
    run->ready_last = ready_last;
    run->query = NULL;
    run->read_only = NULL;
    run->rng_now = &run->rng;
    lua_pushnil(L);
    tl_slot_set(L, run, TL_SLOT_QUERY_IDS);
}
