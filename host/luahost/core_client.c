/* temporal.core, part: the embedded server, connections to it and calls. Thread: the state's. */
#include <lauxlib.h>

#include "base/mem.h"
#include "luahost/coding.h"
#include "luahost/core_arena.h"
#include "luahost/host.h"
#include "luahost/pb_lua.h"
#include "proto/pb.h"
#include "rpc/grpc.h"
#include "server/server.h"

#define SERVER_TYPE "temporal.core.server"
#define CONNECTION_TYPE "temporal.core.connection"
#define TEXTS_MAX 64

struct server_box {
    struct tl_host_server *server; /* NULL once closed */
};

void tl_host_server_release(struct tl_host_server *s)
{
    if (s && --s->holds == 0) {
        tl_server_stop(s->server);
        tl_server_close(s->server);
        tl_mem_free(s);
    }
}

struct tl_host_server *tl_host_check_server(lua_State *L, int index)
{
    struct server_box *box = luaL_checkudata(L, index, SERVER_TYPE);
    if (!box->server) {
        luaL_argerror(L, index, "the embedded server is closed");
    }
    return box->server;
}

struct tl_host_connection *tl_host_check_connection(lua_State *L, int index)
{
    struct tl_host_connection *c = luaL_checkudata(L, index, CONNECTION_TYPE);
    if (!c->channel) {
        luaL_argerror(L, index, "the connection is closed");
    }
    return c;
}

/* Texts of the list field `name` of the table at 1; borrowed from the table. */
static size_t text_list(lua_State *L, const char *name, const char **out)
{
    size_t n = 0;
    lua_getfield(L, 1, name);
    if (!lua_isnil(L, -1)) {
        luaL_checktype(L, -1, LUA_TTABLE);
        n = (size_t)lua_rawlen(L, -1);
        if (n > TEXTS_MAX) {
            luaL_error(L, "%s: at most %d entries", name, TEXTS_MAX);
        }
        for (size_t i = 0; i < n; i++) {
            lua_rawgeti(L, -1, (lua_Integer)i + 1);
            out[i] = luaL_checkstring(L, -1);
            lua_pop(L, 1);
        }
    }
    lua_pop(L, 1);
    return n;
}

static const char *text_field(lua_State *L, const char *name)
{
    lua_getfield(L, 1, name);
    const char *text = luaL_optstring(L, -1, NULL);
    lua_pop(L, 1);
    return text; /* still referenced by the table */
}

static bool flag_field(lua_State *L, const char *name)
{
    lua_getfield(L, 1, name);
    bool on = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return on;
}

/* [-0, +1, v] core.server_open{ db_filename, namespace, namespaces, sqlite_pragmas, search_attributes,
 * time_skipping, run_time_skipping } */
static int server_open(lua_State *L)
{
    const char *namespaces[TEXTS_MAX + 1], *pragmas[TEXTS_MAX], *attributes[TEXTS_MAX];
    struct tl_server_options o;
    struct tl_error err;
    luaL_checktype(L, 1, LUA_TTABLE);
    tl_server_options_default(&o);
    o.db_path = text_field(L, "db_filename");
    o.namespaces = namespaces;
    o.namespace_count = text_list(L, "namespaces", namespaces);
    const char *own = text_field(L, "namespace");
    if (own) {
        namespaces[o.namespace_count++] = own;
    }
    o.pragmas = pragmas;
    o.pragma_count = text_list(L, "sqlite_pragmas", pragmas);
    o.search_attributes = attributes;
    o.search_attribute_count = text_list(L, "search_attributes", attributes);
    o.time_skipping = flag_field(L, "time_skipping");
    o.time_skipping_locked = o.time_skipping;
    o.run_time_skipping = flag_field(L, "run_time_skipping");
    if (o.time_skipping || o.run_time_skipping) {
        o.workflow_id_reuse_ns = 0;
    }
    struct server_box *box = lua_newuserdatauv(L, sizeof *box, 0);
    box->server = NULL;
    luaL_setmetatable(L, SERVER_TYPE);
    struct tl_server *s;
    tl_rc rc = tl_server_open(&s, &o, &err);
    if (rc == TL_OK && (rc = tl_server_start(s, &err)) != TL_OK) {
        tl_server_close(s);
    }
    if (rc != TL_OK) {
        return luaL_error(L, "%s", err.message);
    }
    box->server = TL_NEW(struct tl_host_server);
    *box->server = (struct tl_host_server){s, 1};
    return 1;
}

/* [-0, +0, -] core.server_close(server); idempotent, also __gc */
static int server_close(lua_State *L)
{
    struct server_box *box = luaL_checkudata(L, 1, SERVER_TYPE);
    tl_host_server_release(box->server);
    box->server = NULL;
    return 0;
}

static struct tl_host_connection *push_connection(lua_State *L)
{
    struct tl_host_connection *c = lua_newuserdatauv(L, sizeof *c, 0);
    memset(c, 0, sizeof *c);
    luaL_setmetatable(L, CONNECTION_TYPE);
    return c;
}

static void close_connection(struct tl_host_connection *c)
{
    tl_client_free(c->client);
    if (c->channel && c->channel != c->transport && !c->borrowed) {
        tl_channel_close(c->channel);
    }
    if (c->transport) {
        tl_channel_close(c->transport);
    }
    tl_host_server_release(c->server);
    tl_metrics_free(c->metrics);
    memset(c, 0, sizeof *c);
}

/* [-0, +0, v] The transport is open: puts the codecs of the table at `coding` (or none) above it. */
static void wrap_channel(lua_State *L, struct tl_host_connection *c, const char *ns, int coding)
{
    struct tl_error err;
    struct tl_channel *coded;
    if (tl_host_coding_open(L, coding, ns, c->transport, &coded, &err) != TL_OK) {
        close_connection(c);
        luaL_error(L, "temporal.connect: data_converter: %s", err.message);
    }
    c->channel = coded ? coded : c->transport;
}

static void make_client(lua_State *L, struct tl_host_connection *c, const char *ns,
                        const char *identity, const struct tl_client_retry *retry)
{
    struct tl_client_config config = {
        .channel = c->channel,
        .namespace_name = tl_str(ns),
        .identity = tl_str(identity),
        .pump = tl_host_pump(tl_host_get(L)),
        .metrics = c->metrics,
    };
    if (retry) {
        config.retry = *retry;
    }
    c->client = tl_client_new(&config);
}

void tl_host_push_connection(lua_State *L, const struct tl_client *client)
{
    struct tl_host_connection *c = push_connection(L);
    struct tl_client_config config = {
        .channel = tl_client_channel(client),
        .namespace_name = tl_client_namespace(client),
        .identity = tl_client_identity(client),
        .pump = tl_host_pump(tl_host_get(L)),
        .eager = tl_client_eager(client),
    };
    c->channel = config.channel;
    c->borrowed = true;
    c->client = tl_client_new(&config);
}

void tl_host_push_client(lua_State *L, const struct tl_client *client)
{
    struct tl_str ns = tl_client_namespace(client), identity = tl_client_identity(client);
    tl_host_push_connection(L, client);
    lua_pushlstring(L, ns.p, ns.n);
    lua_pushlstring(L, identity.p, identity.n);
    lua_rawgetp(L, LUA_REGISTRYINDEX, tl_host_get(L)->current_data);
    tl_host_push_data(L);
}

/* [-0, +1, v] core.connect(server, namespace, identity, coding, runtime) */
static int connect(lua_State *L)
{
    struct tl_host_server *server = tl_host_check_server(L, 1);
    const char *ns = luaL_checkstring(L, 2), *identity = luaL_checkstring(L, 3);
    lua_settop(L, 5);
    struct tl_metrics *metrics = tl_host_opt_metrics(L, 5);
    struct tl_host_connection *c = push_connection(L);
    c->metrics = tl_metrics_retain(metrics);
    server->holds++;
    c->server = server;
    c->transport = tl_local_channel_open(tl_server_service(server->server));
    wrap_channel(L, c, ns, 4);
    make_client(L, c, ns, identity, NULL);
    return 1;
}

/* Names and values of the table on top; borrowed from it. */
static size_t header_list(lua_State *L, struct tl_grpc_header *out)
{
    size_t n = 0, size;
    luaL_checktype(L, -1, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (n == TEXTS_MAX || lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING) {
            luaL_error(L, "metadata: at most %d names with texts as values", TEXTS_MAX);
        }
        const char *value = lua_tolstring(L, -1, &size);
        out[n++] = (struct tl_grpc_header){lua_tostring(L, -2), tl_str_n(value, size)};
    }
    return n;
}

static int64_t integer_field(lua_State *L, const char *name)
{
    lua_getfield(L, 1, name);
    int64_t n = luaL_optinteger(L, -1, 0);
    lua_pop(L, 1);
    return n;
}

static double number_field(lua_State *L, const char *name, double standard)
{
    lua_getfield(L, 1, name);
    double n = luaL_optnumber(L, -1, standard);
    lua_pop(L, 1);
    return n;
}

static struct tl_client_retry retry_fields(lua_State *L)
{
    lua_getfield(L, 1, "retry_max_retries");
    struct tl_client_retry r = {
        .pauses = {.initial_ns = integer_field(L, "retry_initial_interval"),
                   .max_ns = integer_field(L, "retry_max_interval"),
                   .factor = number_field(L, "retry_multiplier", 0),
                   .jitter = number_field(L, "retry_randomization_factor", 0)},
        .total_ns = integer_field(L, "retry_max_elapsed_time"),
        .limited = !lua_isnil(L, -1),
        .retries_max = (uint32_t)luaL_optinteger(L, -1, 0),
    };
    lua_pop(L, 1);
    return r;
}

/* [-0, +1, v] core.connect_address{ address, namespace, identity, authority, api_key[_path], metadata, tls,
 * client_cert[_path], client_private_key[_path], server_root_ca_cert[_path], domain,
 * disable_host_verification, keepalive_ms, keepalive_timeout_ms, proxy, proxy_user, proxy_password, compress,
 * round_robin, resolution_ms, retry_... }, coding, runtime */
static int connect_address(lua_State *L)
{
    struct tl_grpc_header metadata[TEXTS_MAX];
    struct tl_error err;
    luaL_checktype(L, 1, LUA_TTABLE);
    struct tl_grpc_channel_options o = {
        .address = text_field(L, "address"),
        .namespace_name = text_field(L, "namespace"),
        .authority = text_field(L, "authority"),
        .api_key = text_field(L, "api_key"),
        .api_key_path = text_field(L, "api_key_path"),
        .tls = flag_field(L, "tls"),
        .client_cert = {text_field(L, "client_cert"), text_field(L, "client_cert_path")},
        .client_private_key = {text_field(L, "client_private_key"),
                               text_field(L, "client_private_key_path")},
        .server_root_ca_cert = {text_field(L, "server_root_ca_cert"),
                                text_field(L, "server_root_ca_cert_path")},
        .domain = text_field(L, "domain"),
        .disable_host_verification = flag_field(L, "disable_host_verification"),
        .keepalive_ms = integer_field(L, "keepalive_ms"),
        .keepalive_timeout_ms = integer_field(L, "keepalive_timeout_ms"),
        .metadata = metadata,
        .proxy = text_field(L, "proxy"),
        .proxy_user = text_field(L, "proxy_user"),
        .proxy_password = text_field(L, "proxy_password"),
        .compress = flag_field(L, "compress"),
        .round_robin = flag_field(L, "round_robin"),
        .resolution_ms = integer_field(L, "resolution_ms"),
    };
    struct tl_client_retry retry = retry_fields(L);
    if (lua_getfield(L, 1, "metadata") != LUA_TNIL) {
        o.metadata_count = header_list(L, metadata);
    }
    lua_pop(L, 1);
    lua_settop(L, 3);
    struct tl_metrics *runtime_metrics = tl_host_opt_metrics(L, 3);
    struct tl_host_connection *c = push_connection(L);
    c->metrics = tl_metrics_retain(runtime_metrics);
    if (tl_grpc_channel_open(&c->transport, &o, &err) != TL_OK) {
        c->transport = NULL;
        return luaL_error(L, "temporal.connect: %s", err.message);
    }
    wrap_channel(L, c, o.namespace_name, 2);
    make_client(L, c, o.namespace_name, text_field(L, "identity"), &retry);
    return 1;
}

static struct tl_channel *check_remote(lua_State *L)
{
    struct tl_host_connection *c = tl_host_check_connection(L, 1);
    luaL_argcheck(L, c->transport && !c->server, 1, "a connection to a server elsewhere expected");
    return c->transport;
}

/* [-0, +0, v] core.set_api_key(connection, api_key or nil) */
static int set_api_key(lua_State *L)
{
    struct tl_error err;
    if (tl_grpc_channel_set_api_key(check_remote(L), luaL_optstring(L, 2, NULL), &err) != TL_OK) {
        return luaL_error(L, "%s", err.message);
    }
    return 0;
}

/* [-0, +0, v] core.set_metadata(connection, { name = value }) */
static int set_metadata(lua_State *L)
{
    struct tl_grpc_header metadata[TEXTS_MAX];
    struct tl_error err;
    struct tl_channel *ch = check_remote(L);
    lua_settop(L, 2);
    size_t n = header_list(L, metadata);
    if (tl_grpc_channel_set_metadata(ch, metadata, n, &err) != TL_OK) {
        return luaL_error(L, "%s", err.message);
    }
    return 0;
}

/* [-0, +0, -] core.disconnect(connection); idempotent, also __gc */
static int disconnect(lua_State *L)
{
    struct tl_host_connection *c = luaL_checkudata(L, 1, CONNECTION_TYPE);
    close_connection(c);
    return 0;
}

/* [-0, +4, m] nil, status, message, details: the answer of a call that failed */
static int push_failure(lua_State *L, int status, const char *message, struct tl_str details)
{
    lua_pushnil(L);
    lua_pushinteger(L, status);
    lua_pushstring(L, message);
    lua_pushlstring(L, details.p ? details.p : "", details.n);
    return 4;
}

/* [-0, +1|+4, v] core.call(connection, method, request, timeout_ns, words): the response as a table
 * (enums as words and times as seconds when `words` is true), or nil, status, message, details */
static int call(lua_State *L)
{
    struct tl_host_connection *c = tl_host_check_connection(L, 1);
    size_t n;
    const char *name = luaL_checklstring(L, 2, &n);
    luaL_checktype(L, 3, LUA_TTABLE);
    int64_t timeout_ns = luaL_optinteger(L, 4, 0);
    enum tl_method method;
    struct tl_client_error err = {0};
    if (!tl_method_find(tl_str_n(name, n), &method)) {
        return luaL_error(L, "'%s' is not a method of Temporal's services", name);
    }
    tl_host_look_at_alarm(tl_host_get(L)); /* an API key perhaps, which this call is to carry */
    const struct tl_method_info *info = tl_method_info(method);
    struct tl_arena *arena = tl_core_push_arena(L);
    ProtobufCMessage *request, *response;
    tl_rc rc = tl_pb_from_lua(L, 3, info->input, arena, &request, &err.error);
    if (rc != TL_OK) {
        return luaL_error(L, "%s: %s", name, err.error.message);
    }
    rc = tl_client_call(c->client, method, request, arena, &response, timeout_ns, &err);
    if (rc != TL_OK) {
        return push_failure(L, err.grpc_status ? err.grpc_status : tl_rc_grpc_status(rc),
                            err.error.message, err.details);
    }
    tl_pb_to_lua(L, response, lua_toboolean(L, 5) ? TL_PB_LUA_WORDS : TL_PB_LUA_PLAIN);
    return 1;
}

/* [-0, +2|+4, v] core.history_page(connection, workflow_id, run_id, token): encoded events, next
 * token; or as call */
static int history_page(lua_State *L)
{
    struct tl_host_connection *c = tl_host_check_connection(L, 1);
    struct tl_client_error err = {0};
    size_t token_n;
    TpWs__GetWorkflowExecutionHistoryRequest request;
    TpCommon__WorkflowExecution execution;
    TpWs__GetWorkflowExecutionHistoryResponse *response;
    tp_ws__get_workflow_execution_history_request__init(&request);
    tp_common__workflow_execution__init(&execution);
    execution.workflow_id = (char *)(uintptr_t)luaL_checkstring(L, 2);
    execution.run_id = (char *)(uintptr_t)luaL_checkstring(L, 3);
    request.execution = &execution;
    request.next_page_token.data = (uint8_t *)(uintptr_t)luaL_checklstring(L, 4, &token_n);
    request.next_page_token.len = token_n;
    struct tl_arena *arena = tl_core_push_arena(L);
    tl_rc rc = tl_client_call(c->client, TL_M_GetWorkflowExecutionHistory, &request, arena,
                              &response, 0, &err);
    struct tl_str bytes = {NULL, 0};
    if (rc == TL_OK && response->history) {
        rc = tl_pb_encode_arena(response->history, arena, &bytes, &err.error);
    }
    if (rc != TL_OK) {
        return push_failure(L, err.grpc_status ? err.grpc_status : tl_rc_grpc_status(rc),
                            err.error.message, err.details);
    }
    lua_pushlstring(L, bytes.p ? bytes.p : "", bytes.n);
    lua_pushlstring(L, (const char *)response->next_page_token.data, response->next_page_token.len);
    return 2;
}

/* [-0, +1, m] core.identity(): "pid@host" */
static int identity(lua_State *L)
{
    char text[256];
    tl_client_default_identity(text, sizeof text);
    lua_pushstring(L, text);
    return 1;
}

static const luaL_Reg functions[] = {
    {"server_open", server_open},
    {"server_close", server_close},
    {"connect", connect},
    {"connect_address", connect_address},
    {"set_api_key", set_api_key},
    {"set_metadata", set_metadata},
    {"disconnect", disconnect},
    {"call", call},
    {"history_page", history_page},
    {"identity", identity},
    {NULL, NULL},
};

static void new_type(lua_State *L, const char *name, lua_CFunction gc)
{
    luaL_newmetatable(L, name);
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}

void tl_core_client(lua_State *L)
{
    new_type(L, SERVER_TYPE, server_close);
    new_type(L, CONNECTION_TYPE, disconnect);
    luaL_setfuncs(L, functions, 0);
}
