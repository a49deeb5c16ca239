/* Dispatch: the time from an activity task in the transport's hands to the first instruction of the
 * activity, in C and in Lua. A channel in front of the server's notes when a poll was answered; the
 * activities return when they were entered. One activity at a time, so that nothing waits for anything else.
 * Thread: main waits; the notes are made on the transport's and the activity's thread. */
#include <lauxlib.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/bench.h"
#include "include/temporal_lua.h"
#include "luahost/lua_activity.h"
#include "proto/payload.h"
#include "proto/pb.h"
#include "tl_enums.h"
#include "worker/native.h"

#define SAMPLES 2000
#define WARM 200 /* not counted */
#define ARENA_BYTES_MAX ((size_t)64 << 20)

/* The module of the activity in Lua, and where it lies while it is measured. */
static const char lua_module[] = "local core = require 'temporal.core'\n"
                                 "return { lua = function() return core.mono_ns() end }\n";
#define MODULE_NAME "bench_entered"

struct stamps {
    struct tl_channel base;
    struct tl_channel *inner;
    atomic_llong taken_ns;
    atomic_int count;
    double us[SAMPLES];
};

/* A poll under way. */
struct stamped {
    struct stamps *stamps;
    tl_rpc_done_fn done;
    void *ud;
};

static int64_t mono(void)
{
    return tl_world_mono_ns(tl_world_real());
}

/* --- The channel ------------------------------------------------------------------------------- */

static void poll_done(void *ud, struct tl_rpc_result *res)
{
    struct stamped *p = ud;
    tl_rpc_done_fn done = p->done;
    if (res->status == 0 && res->body.n) {
        atomic_store(&p->stamps->taken_ns, mono());
    }
    res->ud = p->ud;
    tl_mem_free(p);
    done(res->ud, res);
}

/* The result of the activity is the time at which it was entered. */
static void take_sample(struct stamps *s, struct tl_str request)
{
    struct tl_arena arena;
    TpWs__RespondActivityTaskCompletedRequest *r;
    tl_arena_init(&arena, ARENA_BYTES_MAX);
    if (tl_pb_decode(&tp_ws__respond_activity_task_completed_request__descriptor, request, &arena,
                     &r, NULL) == TL_OK &&
        r->result && r->result->n_payloads == 1 && r->result->payloads[0]->data.len < 32) {
        char text[32] = "";
        int n = atomic_load(&s->count);
        memcpy(text, r->result->payloads[0]->data.data, r->result->payloads[0]->data.len);
        if (n < SAMPLES) {
            s->us[n] = (double)(strtoll(text, NULL, 10) - atomic_load(&s->taken_ns)) / 1e3;
            atomic_store(&s->count, n + 1);
        }
    }
    tl_arena_deinit(&arena);
}

/* The handle that it returns is the inner channel's: cancelling and releasing lead there. */
static struct tl_rpc_call *call(struct tl_channel *ch, enum tl_method m, struct tl_str request,
                                int64_t timeout_ns, tl_rpc_done_fn done, void *ud)
{
    struct stamps *s = TL_CONTAINER(ch, struct stamps, base);
    if (m == TL_M_PollActivityTaskQueue) {
        struct stamped *p = TL_NEW(struct stamped);
        *p = (struct stamped){s, done, ud};
        return tl_channel_call(s->inner, m, request, timeout_ns, poll_done, p);
    }
    if (m == TL_M_RespondActivityTaskCompleted) {
        take_sample(s, request);
    }
    return tl_channel_call(s->inner, m, request, timeout_ns, done, ud);
}

/* --- The activities ---------------------------------------------------------------------------- */

static void native_entered(tlua_activity *a, void *ud)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%lld", (long long)mono());
    const tlua_host_api *api = ud;
    api->put_json(a, TLUA_RESULT, text, (size_t)n);
}

static bool write_module(const char *folder, struct tl_error *err)
{
    char path[128];
    snprintf(path, sizeof path, "%s/" MODULE_NAME ".lua", folder);
    FILE *f = fopen(path, "w");
    bool ok = f && fputs(lua_module, f) >= 0;
    ok = f && fclose(f) == 0 && ok;
    if (!ok) {
        tl_error_set(err, TL_EIO, "%s cannot be written", path);
    }
    return ok;
}

static void remove_module(const char *folder)
{
    char path[128];
    snprintf(path, sizeof path, "%s/" MODULE_NAME ".lua", folder);
    unlink(path);
    rmdir(folder);
}

static tl_rc add_lua(lua_State *L, const char *folder, struct tl_registry *registry,
                     struct tl_lua_activities **out, struct tl_error *err)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "path");
    lua_pushfstring(L, "%s/?.lua;%s", folder, lua_tostring(L, -1));
    lua_setfield(L, -3, "path");
    lua_settop(L, 0);
    lua_createtable(L, 1, 0);
    lua_pushliteral(L, MODULE_NAME);
    lua_rawseti(L, 1, 1);
    lua_newtable(L);
    lua_newtable(L);
    const struct tl_lua_activity_sources from = {
        .modules = 1,
        .functions = 2,
        .converters = 3,
        .block_limit_ns = TL_NS_PER_S,
        .plan = TL_STR_LIT("{\"interceptors\":[],\"roots\":[]}"),
    };
    return tl_lua_activities_new(L, &from, registry, out, err);
}

/* --- One run ----------------------------------------------------------------------------------- */

/* A workflow that calls the activity over and over, until its end. */
static tl_rc run_workflow(struct tl_client *client, const char *activity, struct tl_error *err)
{
    struct tl_arena arena;
    struct tl_client_error problem;
    struct tl_client_result result;
    TpWs__StartWorkflowExecutionRequest request;
    TpWs__StartWorkflowExecutionResponse *response;
    TpCommon__WorkflowType type;
    TpTq__TaskQueue queue;
    TpCommon__Payloads input;
    TpCommon__Payload *values[2];
    char text[64], id[64];
    tl_arena_init(&arena, ARENA_BYTES_MAX);
    tp_ws__start_workflow_execution_request__init(&request);
    tp_common__workflow_type__init(&type);
    tp_tq__task_queue__init(&queue);
    tp_common__payloads__init(&input);
    snprintf(id, sizeof id, "dispatch-%s-%ld", activity, (long)getpid());
    snprintf(text, sizeof text, "\"%s\"", activity);
    values[0] = tl_payload_json(&arena, tl_str(text));
    snprintf(text, sizeof text, "%d", WARM + SAMPLES);
    values[1] = tl_payload_json(&arena, tl_str(text));
    input.payloads = values;
    input.n_payloads = 2;
    type.name = (char *)(uintptr_t) "calls";
    queue.name = (char *)(uintptr_t) "bench";
    request.workflow_id = id;
    request.workflow_type = &type;
    request.task_queue = &queue;
    request.input = &input;
    const struct tl_client_result_query query = {.workflow_id = tl_str(id)};
    tl_rc rc = tl_client_call(client, TL_M_StartWorkflowExecution, &request, &arena, &response, 0,
                              &problem);
    if (rc == TL_OK) {
        rc = tl_client_result(client, &query, &arena, &result, &problem);
    }
    if (rc != TL_OK) {
        *err = problem.error;
    } else if ((int)result.status != WORKFLOW_EXECUTION_STATUS_COMPLETED) {
        rc = tl_error_set(err, TL_EINTERNAL, "the workflow '%s' did not complete", id);
    }
    tl_arena_deinit(&arena);
    return rc;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static tl_rc measure(struct tl_bench *b, struct stamps *s, struct tl_client *client,
                     const char *activity, struct tl_error *err)
{
    char name[64];
    atomic_store(&s->count, 0);
    tl_rc rc = run_workflow(client, activity, err);
    int n = atomic_load(&s->count) - WARM;
    if (rc == TL_OK && n < SAMPLES / 2) {
        rc = tl_error_set(err, TL_EINTERNAL, "%d samples of %s", n + WARM, activity);
    }
    if (rc != TL_OK) {
        return rc;
    }
    qsort(s->us + WARM, (size_t)n, sizeof *s->us, by_value);
    snprintf(name, sizeof name, "dispatch_%s_p50", activity);
    tl_bench_figure(b, name, s->us[WARM + n / 2], "us");
    snprintf(name, sizeof name, "dispatch_%s_p99", activity);
    tl_bench_figure(b, name, s->us[WARM + n * 99 / 100], "us");
    return rc;
}

static tl_rc measure_both(struct tl_bench *b, struct stamps *s, struct tl_client *client,
                          struct tl_error *err)
{
    tl_rc rc = measure(b, s, client, "native", err);
    return rc == TL_OK ? measure(b, s, client, "lua", err) : rc;
}

tl_rc tl_bench_dispatch(struct tl_bench *b, struct tl_error *err)
{
    char folder[] = "/tmp/temporal-lua-bench-XXXXXX";
    struct tl_cli_server server = {0};
    struct tl_lua_activities *activities = NULL;
    struct stamps *s = TL_NEW(struct stamps);
    struct tl_client *client = NULL;
    lua_State *L = tl_host_state_new(NULL, NULL);
    tl_rc rc = tl_cli_server_open(&server, NULL, "default", false, err);
    b->registry = tl_registry_new();
    b->no_eager = true;
    if (rc == TL_OK && (!L || !mkdtemp(folder))) {
        rc = tl_error_set(err, TL_EIO, "no Lua state, or no folder below /tmp");
    }
    if (rc == TL_OK && !write_module(folder, err)) {
        rc = TL_EIO;
    }
    if (rc == TL_OK) {
        rc = tl_native_add(b->registry, TL_STR_LIT("native"), native_entered,
                           (void *)(uintptr_t)tl_native_host_api(), err);
    }
    rc = rc == TL_OK ? add_lua(L, folder, b->registry, &activities, err) : rc;
    if (rc == TL_OK) {
        s->base.call = call;
        s->inner = tl_client_channel(server.client);
        struct tl_client_config config = {.channel = &s->base};
        client = tl_client_new(&config);
        rc = tl_bench_open_worker(b, client, err);
    }
    rc = rc == TL_OK ? measure_both(b, s, client, err) : rc;
    tl_bench_close_worker(b);
    tl_lua_activities_free(activities);
    tl_client_free(client);
    tl_cli_server_close(&server);
    if (L) {
        remove_module(folder);
        lua_close(L);
    }
    tl_mem_free(s);
    return rc;
}
