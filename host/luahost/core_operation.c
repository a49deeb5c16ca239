/* temporal.core, part: the Nexus request that this state answers. Thread: the state's. */
#include <lauxlib.h>

#include "base/log.h"
#include "luahost/core_arena.h"
#include "luahost/host.h"
#include "luahost/pb_lua.h"
#include "luart/convert.h"
#include "luart/measure.h"
#include "proto/nexus.h"
#include "proto/pb.h"

static struct tl_operation *running(lua_State *L)
{
    struct tl_operation *o = tl_host_get(L)->operation;
    if (!o) {
        luaL_error(L, "no Nexus request is answered here");
    }
    return o;
}

/* The same before an end: a request is answered once. */
static struct tl_operation *open_one(lua_State *L)
{
    struct tl_operation *o = running(L);
    if (tl_operation_ended(o)) {
        luaL_error(L, "the Nexus request has been answered");
    }
    return o;
}

static const TpNexus__StartOperationRequest *start_of(const struct tl_operation *o)
{
    return o->request->variant_case == TP_NEXUS__REQUEST__VARIANT_START_OPERATION
               ? o->request->start_operation
               : NULL;
}

/* --- the request ------------------------------------------------------------------------------ */

static void set_text(lua_State *L, const char *name, const char *text)
{
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

static void push_links(lua_State *L, TpNexus__Link *const *links, size_t n)
{
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_createtable(L, 0, 2);
        set_text(L, "url", links[i]->url);
        set_text(L, "type", links[i]->type);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static void set_start(lua_State *L, const TpNexus__StartOperationRequest *s)
{
    lua_createtable(L, 0, (int)s->n_callback_header);
    for (size_t i = 0; i < s->n_callback_header; i++) {
        set_text(L, s->callback_header[i]->key, s->callback_header[i]->value);
    }
    lua_setfield(L, -2, "callback_headers");
    set_text(L, "request_id", s->request_id);
    if (*s->callback) {
        set_text(L, "callback_url", s->callback);
    }
    push_links(L, s->links, s->n_links);
    lua_setfield(L, -2, "links");
}

/* [-0, +1, v] core.nexus_info(): what is known of the request; nil outside of one */
static int info(lua_State *L)
{
    const struct tl_operation *o = tl_host_get(L)->operation;
    if (!o) {
        return 0;
    }
    const TpNexus__Request *r = o->request;
    lua_createtable(L, 0, 14);
    set_text(L, "endpoint", r->endpoint);
    lua_pushlstring(L, o->namespace_name.p, o->namespace_name.n);
    lua_setfield(L, -2, "namespace");
    lua_pushlstring(L, o->task_queue.p, o->task_queue.n);
    lua_setfield(L, -2, "task_queue");
    set_text(L, "service", tl_operation_service(o));
    set_text(L, "operation", tl_operation_name(o));
    lua_createtable(L, 0, (int)r->n_header);
    for (size_t i = 0; i < r->n_header; i++) {
        set_text(L, r->header[i]->key, r->header[i]->value);
    }
    lua_setfield(L, -2, "headers");
    if (o->deadline_ns) {
        lua_pushnumber(L, (lua_Number)o->deadline_ns / 1e9);
        lua_setfield(L, -2, "deadline");
    }
    if (start_of(o)) {
        set_start(L, start_of(o));
    } else {
        set_text(L, "operation_token",
                 *r->cancel_operation->operation_token ? r->cancel_operation->operation_token
                                                       : r->cancel_operation->operation_id);
    }
    return 1;
}

/* The conversions from here on are of the operation's values. */
static void use_data(lua_State *L, const struct tl_operation *o)
{
    tl_host_use_activity_data(L);
    lua_createtable(L, 0, 5);
    set_text(L, "kind", "nexus");
    lua_pushlstring(L, o->namespace_name.p, o->namespace_name.n);
    lua_setfield(L, -2, "namespace");
    set_text(L, "endpoint", o->request->endpoint);
    set_text(L, "service", tl_operation_service(o));
    set_text(L, "operation", tl_operation_name(o));
    tl_stock_converters_context(L);
}

/* [-0, +1, v] core.nexus_input(): the value that the operation was started with */
static int input(lua_State *L)
{
    const TpNexus__StartOperationRequest *s = start_of(running(L));
    use_data(L, running(L));
    if (s && s->payload) {
        tl_stock_payload_decode(L, s->payload);
    } else {
        lua_pushnil(L);
    }
    return 1;
}

/* [-0, +1, m] core.nexus_request_links(): the links of the request as tables of the message Link, as calls
 * of the service carry them; those of other kinds are left out */
static int request_links(lua_State *L)
{
    const TpNexus__StartOperationRequest *s = start_of(running(L));
    struct tl_arena *arena = tl_core_push_arena(L);
    lua_Integer n = 0;
    lua_newtable(L);
    for (size_t i = 0; s && i < s->n_links; i++) {
        const TpNexus__Link *l = s->links[i];
        TpCommon__Link *link = tl_nexus_link_read(arena, tl_str(l->url), tl_str(l->type));
        if (link) {
            tl_pb_to_lua(L, &link->base, TL_PB_LUA_PLAIN);
            lua_rawseti(L, -2, ++n);
        }
    }
    return 1;
}

static void add_link(lua_State *L, struct tl_operation *o, const char *url, const char *type)
{
    struct tl_error err;
    if (tl_operation_add_link(o, tl_str(url), tl_str(type), &err) != TL_OK) {
        luaL_error(L, "%s", err.message);
    }
}

/* [-0, +0, v] core.nexus_add_link(url, type) */
static int add_link_text(lua_State *L)
{
    add_link(L, open_one(L), luaL_checkstring(L, 1), luaL_checkstring(L, 2));
    return 0;
}

/* [-0, +0, v] core.nexus_add_response_link(link): a table of the message Link, which a call answered; of
 * another kind than links to events it is left out */
static int add_response_link(lua_State *L)
{
    struct tl_operation *o = open_one(L);
    struct tl_error err;
    ProtobufCMessage *link;
    luaL_checktype(L, 1, LUA_TTABLE);
    struct tl_arena *arena = tl_core_push_arena(L);
    if (tl_pb_from_lua(L, 1, &tp_common__link__descriptor, arena, &link, &err) != TL_OK) {
        return luaL_error(L, "%s", err.message);
    }
    const TpNexus__Link *l = tl_nexus_link_of(arena, (const TpCommon__Link *)(const void *)link);
    if (l) {
        add_link(L, o, l->url, l->type);
    }
    return 0;
}

/* --- the worker ------------------------------------------------------------------------------- */

/* [-0, +0, v] The end of a wait: argument 1 is a span in ns, or nil for ever. */
static int64_t deadline_of(lua_State *L)
{
    int64_t now = tl_world_mono_ns(tl_world_real());
    int64_t span = luaL_optinteger(L, 1, INT64_MAX);
    return span < INT64_MAX - now ? now + span : INT64_MAX;
}

/* [-0, +1, m] The reasons as a text for users; nil for none. */
static int push_reason(lua_State *L, unsigned reasons)
{
    if (!reasons) {
        return 0;
    }
    lua_pushstring(L, reasons & TL_CANCEL_TIMED_OUT ? "timed_out" : "worker_shutdown");
    return 1;
}

/* [-0, +1, v] core.nexus_cancel_reason(): "timed_out", "worker_shutdown" or nil */
static int cancel_reason(lua_State *L)
{
    return push_reason(L, tl_operation_cancel_reasons(running(L)));
}

/* [-0, +1, v] core.nexus_wait_cancelled(ns or nil): the same */
static int wait_cancelled(lua_State *L)
{
    struct tl_operation *o = running(L);
    return push_reason(L, tl_operation_wait_cancelled(o, deadline_of(L)));
}

/* [-0, +1, v] core.nexus_wait_shutdown(ns or nil): whether the worker is shutting down */
static int wait_shutdown(lua_State *L)
{
    struct tl_operation *o = running(L);
    lua_pushboolean(L, tl_operation_wait_shutdown(o, deadline_of(L)));
    return 1;
}

/* [-0, +4, v] core.nexus_client(): as core.activity_client */
static int client(lua_State *L)
{
    tl_host_push_client(L, tl_operation_client(running(L)));
    return 4;
}

/* [-0, +0, v] core.nexus_log(level, message, fields): as core.activity_log */
static int log_line(lua_State *L)
{
    const struct tl_operation *o = running(L);
    struct tl_log_field own[TL_HOST_LOG_FIELDS_MAX + 1];
    struct tl_str message;
    enum tl_log_level level = tl_host_read_log_line(L, &message, own);
    if (tl_log_script_on(level)) {
        const struct tl_log_field fields[] = {
            TL_S("message", message),
            TL_C("service", tl_operation_service(o)),
            TL_C("operation", tl_operation_name(o)),
            TL_C("endpoint", o->request->endpoint),
            TL_S("namespace", o->namespace_name),
            TL_S("task_queue", o->task_queue),
            {.kind = TL_F_END},
        };
        tl_log_write_script(level, "nexus.logged", fields, own);
    }
    return 0;
}

/* [-0, +1, v] core.nexus_meter(): with the attributes namespace, task_queue, nexus_service, nexus_operation */
static int meter(lua_State *L)
{
    const struct tl_operation *o = running(L);
    lua_createtable(L, 0, 4);
    lua_pushlstring(L, o->namespace_name.p, o->namespace_name.n);
    lua_setfield(L, -2, "namespace");
    lua_pushlstring(L, o->task_queue.p, o->task_queue.n);
    lua_setfield(L, -2, "task_queue");
    set_text(L, "nexus_service", tl_operation_service(o));
    set_text(L, "nexus_operation", tl_operation_name(o));
    tl_stock_push_meter(L, tl_client_metrics(tl_operation_client(o)));
    return 1;
}

/* --- ends ------------------------------------------------------------------------------------- */

/* [-0, +0, v] core.nexus_complete(value) */
static int complete(lua_State *L)
{
    struct tl_operation *o = open_one(L);
    lua_settop(L, 1);
    use_data(L, o);
    tl_operation_complete(o, tl_stock_payload_encode(L, 1, o->arena, "result"));
    return 0;
}

/* [-0, +0, v] core.nexus_started(token) */
static int started(lua_State *L)
{
    struct tl_operation *o = open_one(L);
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    char *token = tl_pb_cstr(o->arena, tl_str_n(text, n));
    if (!token) {
        return luaL_error(L, "an operation's token must be a text without NUL bytes");
    }
    tl_operation_started(o, token);
    return 0;
}

/* [-0, +0, v] core.nexus_cancel_taken() */
static int cancel_taken(lua_State *L)
{
    tl_operation_cancel_taken(open_one(L));
    return 0;
}

/* [-0, +0, v] core.nexus_fail(error): the operation failed; the error is of kind ApplicationError or
 * CancelledError */
static int fail(lua_State *L)
{
    struct tl_operation *o = open_one(L);
    use_data(L, o);
    tl_operation_fail(o, tl_stock_failure_encode(L, 1, o->arena));
    return 0;
}

/* [-0, +0, v] core.nexus_refuse(error): the request failed; the error is of kind NexusHandlerError */
static int refuse(lua_State *L)
{
    struct tl_operation *o = open_one(L);
    use_data(L, o);
    tl_operation_refuse(o, tl_stock_failure_encode(L, 1, o->arena));
    return 0;
}

/* [-0, +0, v] core.nexus_drop(): no answer */
static int drop(lua_State *L)
{
    tl_operation_drop(open_one(L));
    return 0;
}

static const luaL_Reg functions[] = {
    // clang-format off
    {"nexus_info", info},
    {"nexus_input", input},
    {"nexus_request_links", request_links},
    {"nexus_add_link", add_link_text},
    {"nexus_add_response_link", add_response_link},
    {"nexus_cancel_reason", cancel_reason},
    {"nexus_wait_cancelled", wait_cancelled},
    {"nexus_wait_shutdown", wait_shutdown},
    {"nexus_client", client},
    {"nexus_log", log_line},
    {"nexus_meter", meter},
    {"nexus_complete", complete},
    {"nexus_started", started},
    {"nexus_cancel_taken", cancel_taken},
    {"nexus_fail", fail},
    {"nexus_refuse", refuse},
    {"nexus_drop", drop},
    {NULL, NULL},
    // clang-format on
};

void tl_core_operation(lua_State *L)
{
    luaL_setfuncs(L, functions, 0);
}
