/* From the table of a data converter to a coding channel. See coding.h. The table was checked by
 * lua/temporal/converter.lua; what is missing here is that file's mistake and raises. */
#include "luahost/coding.h"

#include <lauxlib.h>
#include <string.h>

#include "codec/channel.h"
#include "codec/contexts.h"
#include "luahost/coding_lua.h"
#include "luahost/host.h"
#include "luahost/storage_lua.h"

#define KEYS_MAX 64
#define HEADERS_MAX 60

static const char *field_text(lua_State *L, int index, const char *name, size_t *n)
{
    lua_getfield(L, index, name);
    const char *text = luaL_checklstring(L, -1, n);
    lua_pop(L, 1);
    return text; /* the table holds it */
}

static lua_Integer field_integer(lua_State *L, int index, const char *name)
{
    lua_getfield(L, index, name);
    lua_Integer n = luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    return n;
}

static tl_rc make_aes(lua_State *L, int index, struct tl_codec **out, struct tl_error *err)
{
    struct tl_codec_key keys[KEYS_MAX];
    size_t n = 0, active_n;
    const char *active = field_text(L, index, "active", &active_n);
    lua_getfield(L, index, "keys");
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (n == KEYS_MAX) {
            return tl_error_set(err, TL_EINVAL, "at most %d keys", KEYS_MAX);
        }
        struct tl_codec_key *k = &keys[n++];
        k->id.p = lua_tolstring(L, -2, &k->id.n);
        k->key.p = lua_tolstring(L, -1, &k->key.n);
    }
    lua_pop(L, 1);
    return tl_codec_aes_gcm(out, keys, n, tl_str_n(active, active_n), err);
}

/* The list of texts in a field, NULL-terminated; the table holds them. */
static void field_texts(lua_State *L, int index, const char *name, const char **out, size_t most)
{
    lua_getfield(L, index, name);
    size_t n = (size_t)lua_rawlen(L, -1);
    luaL_argcheck(L, n <= most, index, "too many texts");
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        out[i] = luaL_checkstring(L, -1);
        lua_pop(L, 1);
    }
    out[n] = NULL;
    lua_pop(L, 1);
}

static const char *optional_text(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    const char *text = luaL_optstring(L, -1, NULL);
    lua_pop(L, 1);
    return text; /* the table on top holds it */
}

/* The options under `tls`, whose table holds the texts; NULL when there are none. */
static const struct tl_fetch_tls_options *read_tls(lua_State *L, int index,
                                                   struct tl_fetch_tls_options *out)
{
    bool given = lua_getfield(L, index, "tls") == LUA_TTABLE;
    if (given) {
        *out = (struct tl_fetch_tls_options){
            .server_root_ca_cert = {optional_text(L, "server_root_ca_cert"),
                                    optional_text(L, "server_root_ca_cert_path")},
            .client_cert = {optional_text(L, "client_cert"), optional_text(L, "client_cert_path")},
            .client_private_key = {optional_text(L, "client_private_key"),
                                   optional_text(L, "client_private_key_path")},
            .domain = optional_text(L, "domain"),
        };
        lua_getfield(L, -1, "disable_host_verification");
        out->disable_host_verification = lua_toboolean(L, -1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return given ? out : NULL;
}

static tl_rc make_remote(lua_State *L, int index, const char *ns, struct tl_codec **out,
                         struct tl_error *err)
{
    size_t endpoint_n, auth_n;
    const char *headers[HEADERS_MAX + 1];
    struct tl_fetch_tls_options tls;
    const char *endpoint = field_text(L, index, "endpoint", &endpoint_n);
    const char *auth = field_text(L, index, "auth", &auth_n);
    field_texts(L, index, "headers", headers, HEADERS_MAX);
    struct tl_codec_remote o = {.endpoint = tl_str_n(endpoint, endpoint_n),
                                .namespace_name = tl_str(ns),
                                .auth = tl_str_n(auth, auth_n),
                                .headers = headers,
                                .timeout_ms = field_integer(L, index, "timeout_ms"),
                                .tls = read_tls(L, index, &tls)};
    return tl_codec_remote(out, &o, err);
}

static const char *package_text(lua_State *L, const char *field)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, field);
    const char *text = lua_tostring(L, -1);
    lua_pop(L, 2);
    return text; /* package holds it */
}

/* The storage driver that the table on top describes. */
static tl_rc make_driver(lua_State *L, const char *ns, struct tl_storage_driver **out,
                         struct tl_error *err)
{
    size_t n, bucket_n;
    int index = lua_gettop(L);
    const char *headers[HEADERS_MAX + 1];
    struct tl_fetch_tls_options tls;
    struct tl_str kind = tl_str(field_text(L, index, "kind", &n));
    if (tl_str_eqc(kind, "file")) {
        return tl_storage_file(out, field_text(L, index, "folder", &n), err);
    }
    if (tl_str_eqc(kind, "lua")) {
        return tl_storage_lua(out, field_text(L, index, "module", &n), package_text(L, "path"),
                              package_text(L, "cpath"), err);
    }
    const char *endpoint = field_text(L, index, "endpoint", &n);
    const char *bucket = field_text(L, index, "bucket", &bucket_n);
    field_texts(L, index, "headers", headers, HEADERS_MAX);
    struct tl_storage_http_options o = {.endpoint = tl_str_n(endpoint, n),
                                        .bucket = tl_str_n(bucket, bucket_n),
                                        .namespace_name = tl_str(ns),
                                        .headers = headers,
                                        .timeout_ms = field_integer(L, index, "timeout_ms"),
                                        .tls = read_tls(L, index, &tls)};
    return tl_storage_http(out, &o, err);
}

static tl_rc make_storage(lua_State *L, int index, const char *ns, struct tl_codec **out,
                          struct tl_error *err)
{
    struct tl_storage_options o = {.threshold_bytes = (size_t)field_integer(L, index, "threshold")};
    size_t selector_n;
    const char *selector = field_text(L, index, "selector", &selector_n);
    lua_getfield(L, index, "drivers");
    size_t n = (size_t)lua_rawlen(L, -1);
    luaL_argcheck(L, n >= 1 && n <= TL_STORAGE_DRIVERS_MAX, index, "1 to 16 storage drivers");
    tl_rc rc = TL_OK;
    for (size_t i = 0; i < n && rc == TL_OK; i++) {
        size_t name_n;
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        o.names[i] = field_text(L, lua_gettop(L), "name", &name_n);
        rc = make_driver(L, ns, &o.drivers[i], err);
        lua_pop(L, 1);
        if (rc == TL_OK) {
            o.n++;
        } else {
            tl_error_wrap(err, rc, "external_storage: driver '%s'", o.names[i]);
        }
    }
    if (rc == TL_OK && selector_n) {
        rc = tl_storage_selector_lua(&o.selector, selector, package_text(L, "path"),
                                     package_text(L, "cpath"), o.names, n, err);
    }
    lua_pop(L, 1);
    if (rc == TL_OK) {
        *out = tl_codec_storage(&o);
    } else {
        tl_storage_options_free(&o);
    }
    return rc;
}

/* The codec that the table on top describes. */
static tl_rc make_codec(lua_State *L, const char *ns, struct tl_codec **out, struct tl_error *err)
{
    size_t n;
    int index = lua_gettop(L);
    struct tl_str kind = tl_str(field_text(L, index, "kind", &n));
    if (tl_str_eqc(kind, "aes_gcm")) {
        return make_aes(L, index, out, err);
    }
    if (tl_str_eqc(kind, "zlib")) {
        return tl_codec_zlib(out, (int)field_integer(L, index, "level"),
                             (size_t)field_integer(L, index, "min_size"), err);
    }
    if (tl_str_eqc(kind, "remote")) {
        return make_remote(L, index, ns, out, err);
    }
    return tl_codec_lua(out, field_text(L, index, "module", &n), package_text(L, "path"),
                        package_text(L, "cpath"), err);
}

/* External storage, when there is some: before all codecs, so that it gets what they have encoded. */
static tl_rc add_storage(lua_State *L, int index, const char *ns, struct tl_codec_chain *chain,
                         struct tl_error *err)
{
    tl_rc rc = TL_OK;
    if (lua_getfield(L, index, "storage") == LUA_TTABLE) {
        struct tl_codec *codec;
        rc = make_storage(L, lua_gettop(L), ns, &codec, err);
        if (rc == TL_OK) {
            (void)tl_codec_chain_add(chain, codec); /* the first one fits */
        }
    }
    lua_pop(L, 1);
    return rc;
}

/* The list of codecs on top. */
static tl_rc make_chain(lua_State *L, const char *ns, struct tl_codec_chain *chain,
                        struct tl_error *err)
{
    size_t n = (size_t)lua_rawlen(L, -1);
    for (size_t i = 0; i < n; i++) {
        struct tl_codec *codec;
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        tl_rc rc = make_codec(L, ns, &codec, err);
        lua_pop(L, 1);
        if (rc != TL_OK) {
            return tl_error_wrap(err, rc, "payload_codecs[%zu]", i + 1);
        }
        if (!tl_codec_chain_add(chain, codec)) {
            return tl_error_set(err, TL_EINVAL, "payload_codecs: at most %d", TL_CODECS_MAX - 1);
        }
    }
    return TL_OK;
}

tl_rc tl_host_coding_open(lua_State *L, int index, const char *ns, struct tl_channel *inner,
                          struct tl_channel **out, struct tl_error *err)
{
    static const char *const headers[] = {"no_codec", "codec", "workflow_only_codec", NULL};
    struct tl_codec_chain chains[TL_CODING_THREADS_MAX] = {0};
    *out = NULL;
    if (lua_isnoneornil(L, index)) {
        return TL_OK;
    }
    size_t n;
    int top = lua_gettop(L);
    struct tl_coding_options o = {.chains = chains,
                                  .thread_count = (size_t)field_integer(L, index, "threads")};
    luaL_argcheck(L, o.thread_count >= 1 && o.thread_count <= TL_CODING_THREADS_MAX, index,
                  "threads of a data converter are 1 to 64");
    lua_getfield(L, index, "encode_common_attributes");
    o.encode_common_attributes = lua_toboolean(L, -1);
    lua_pushstring(L, field_text(L, index, "headers", &n));
    o.headers = (enum tl_header_codec)luaL_checkoption(L, -1, NULL, headers);
    lua_getfield(L, index, "codecs");
    tl_rc rc = TL_OK;
    for (size_t i = 0; i < o.thread_count && rc == TL_OK; i++) {
        rc = add_storage(L, index, ns, &chains[i], err);
        rc = rc == TL_OK ? make_chain(L, ns, &chains[i], err) : rc;
    }
    if (rc == TL_OK) {
        rc = tl_coding_channel_open(out, inner, &o, err);
    } else {
        for (size_t i = 0; i < o.thread_count; i++) {
            tl_codec_chain_deinit(&chains[i]);
        }
    }
    lua_settop(L, top);
    return rc;
}

tl_rc tl_host_coding_chain(lua_State *L, int index, const char *ns, struct tl_codec_chain *out,
                           struct tl_error *err)
{
    *out = (struct tl_codec_chain){0};
    tl_rc rc = add_storage(L, index, ns, out, err);
    if (rc == TL_OK) {
        lua_getfield(L, index, "codecs");
        rc = make_chain(L, ns, out, err);
        lua_pop(L, 1);
    }
    if (rc != TL_OK) {
        tl_codec_chain_deinit(out);
        *out = (struct tl_codec_chain){0};
    }
    return rc;
}

/* --- recorded histories ----------------------------------------------------------------------- */

struct history_decoder {
    struct tl_codec_chain chain;
    struct tl_contexts *contexts;
    struct tl_context_walk walk;
};

static tl_rc decode_payloads(void *ud, struct tl_payload_span *span, struct tl_arena *arena,
                             struct tl_error *err)
{
    struct history_decoder *d = ud;
    span->context = tl_context_walk_now(&d->walk);
    return tl_codec_chain_apply(&d->chain, TL_CODEC_DECODE, span, arena, err);
}

static tl_rc enter(void *ud, const void *msg, struct tl_arena *arena, struct tl_error *err)
{
    return tl_context_walk_enter(&((struct history_decoder *)ud)->walk, msg, arena, err);
}

static void leave(void *ud)
{
    tl_context_walk_leave(&((struct history_decoder *)ud)->walk);
}

tl_rc tl_host_coding_decode(lua_State *L, int index, const struct tl_payload_context *context,
                            void *msg, struct tl_arena *arena, struct tl_error *err)
{
    int top = lua_gettop(L);
    struct history_decoder d;
    size_t n;
    struct tl_payload_visitor v = {
        .ud = &d,
        .headers = strcmp(field_text(L, index, "headers", &n), "no_codec") != 0,
        .payloads = decode_payloads,
        .enter = enter,
        .leave = leave,
    };
    char *ns = tl_arena_cstr(arena, context->namespace_);
    if (!ns) {
        return tl_error_set(err, TL_ELIMIT, "a history is too large");
    }
    tl_rc rc = tl_host_coding_chain(L, index, ns, &d.chain, err);
    if (rc == TL_OK) {
        d.contexts = tl_contexts_new(TL_CONTEXTS_BYTES);
        tl_context_walk_begin_with(&d.walk, d.contexts, TL_CODEC_DECODE, context);
        rc = tl_payload_walk(msg, &v, arena, err);
        tl_contexts_free(d.contexts);
    }
    tl_codec_chain_deinit(&d.chain);
    lua_settop(L, top);
    return rc;
}
