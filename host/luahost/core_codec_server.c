/* temporal.core, part: payload codecs served over HTTP, as the codec servers of other SDKs: POST of payloads as JSON to
 * .../encode and .../decode. Used by the web page, command lines and clients whose programs have not the codecs.
 *
 * Ownership: the userdata owns port, chain and texts; collecting it closes the port.
 * Thread: requests come on the port's threads, one at a time in the chain; open and close: the state's. */
#include <lauxlib.h>
#include <pthread.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "crypto/aead.h"
#include "http/http.h"
#include "luahost/coding.h"
#include "luahost/host.h"
#include "proto/json.h"

#define SERVER_TYPE "temporal.core.codec_server"
#define ORIGINS_MAX 32
#define PLAIN "text/plain; charset=utf-8"

struct codec_server {
    struct tl_http *http; /* NULL once closed */
    struct tl_codec_chain chain;
    pthread_mutex_t mutex; /* guards the chain */
    char *auth;            /* what Authorization must be; NULL: anything */
    char *origins[ORIGINS_MAX + 1];
};

/* --- requests ------------------------------------------------------------------------------------ */

static void refuse(struct tl_http_request *r, int status, const char *message)
{
    tl_http_reply(r, status, PLAIN, tl_str(message));
}

static bool ends_with(struct tl_str path, const char *end)
{
    size_t n = strlen(end);
    return path.n >= n && memcmp(path.p + path.n - n, end, n) == 0;
}

static tl_rc code(struct codec_server *s, enum tl_codec_way way, struct tl_http_request *r,
                  struct tl_buf *out, struct tl_error *err)
{
    TpCommon__Payloads *all;
    struct tl_arena arena;
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes * 4);
    tl_rc rc =
        tl_json_read(&tp_common__payloads__descriptor, r->body,
                     &(struct tl_json_read_options){.ignore_unknown = true}, &arena, &all, err);
    if (rc == TL_OK) {
        struct tl_payload_span span = {.items = all->payloads, .n = all->n_payloads};
        pthread_mutex_lock(&s->mutex);
        rc = tl_codec_chain_apply(&s->chain, way, &span, &arena, err);
        pthread_mutex_unlock(&s->mutex);
        all->payloads = span.items;
        all->n_payloads = span.n;
    }
    if (rc == TL_OK) {
        rc = tl_json_write(all, NULL, out, err);
    }
    tl_arena_deinit(&arena);
    return rc;
}

static void handle(void *ud, struct tl_http_request *r)
{
    struct codec_server *s = ud;
    struct tl_error err = {0};
    struct tl_buf out;
    bool encode = ends_with(r->path, "/encode");
    if (!encode && !ends_with(r->path, "/decode")) {
        refuse(r, 404, "payloads are posted to /encode and /decode\n");
        return;
    }
    if (!tl_str_eqc(r->method, "POST")) {
        refuse(r, 405, "POST only\n");
        return;
    }
    if (s->auth && !tl_secret_equal(tl_http_header(r, "Authorization"), tl_str(s->auth))) {
        refuse(r, 401, "the header Authorization does not fit\n");
        return;
    }
    tl_buf_init(&out, (size_t)tl_limit_request_bytes * 2); /* base64 */
    if (code(s, encode ? TL_CODEC_ENCODE : TL_CODEC_DECODE, r, &out, &err) == TL_OK) {
        tl_http_reply(r, 200, "application/json", tl_buf_str(&out));
    } else {
        refuse(r, 400, err.message);
    }
    tl_buf_deinit(&out);
}

/* --- life ---------------------------------------------------------------------------------------- */

static int close_server(lua_State *L)
{
    struct codec_server *s = luaL_checkudata(L, 1, SERVER_TYPE);
    tl_http_close(s->http);
    s->http = NULL;
    return 0;
}

static int collect(lua_State *L)
{
    struct codec_server *s = luaL_checkudata(L, 1, SERVER_TYPE);
    close_server(L);
    tl_codec_chain_deinit(&s->chain);
    pthread_mutex_destroy(&s->mutex);
    for (char **o = s->origins; *o; o++) {
        tl_mem_free(*o);
    }
    if (s->auth) {
        tl_secret_wipe(s->auth, strlen(s->auth));
        tl_mem_free(s->auth);
    }
    return 0;
}

static struct codec_server *push_server(lua_State *L)
{
    struct codec_server *s = lua_newuserdatauv(L, sizeof *s, 0);
    memset(s, 0, sizeof *s);
    pthread_mutex_init(&s->mutex, NULL);
    if (luaL_newmetatable(L, SERVER_TYPE)) {
        lua_pushcfunction(L, collect);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return s;
}

static void read_origins(lua_State *L, struct codec_server *s)
{
    lua_getfield(L, 1, "origins");
    size_t n = (size_t)lua_rawlen(L, -1);
    luaL_argcheck(L, n <= ORIGINS_MAX, 1, "too many origins");
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        s->origins[i] = tl_mem_dup(tl_str(luaL_checkstring(L, -1)));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/* [-0, +2, v] core.codec_server{ ip, port, origins = {}, auth = nil, namespace }, coding: the server and its port;
 * coding is the table of coding.h, nil: payloads pass as they are */
static int open_server(lua_State *L)
{
    struct tl_error err;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    struct codec_server *s = push_server(L); /* at 3: what raises from here on is collected */
    read_origins(L, s);
    lua_getfield(L, 1, "auth");
    s->auth = lua_isnil(L, -1) ? NULL : tl_mem_dup(tl_str(luaL_checkstring(L, -1)));
    lua_getfield(L, 1, "namespace");
    lua_getfield(L, 1, "ip");
    lua_getfield(L, 1, "port");
    struct tl_http_options o = {.ip = luaL_checkstring(L, -2),
                                .port = (int)luaL_checkinteger(L, -1),
                                .handler = {s, handle},
                                .origins = (const char *const *)s->origins};
    tl_rc rc = lua_isnil(L, 2)
                   ? TL_OK
                   : tl_host_coding_chain(L, 2, luaL_checkstring(L, -3), &s->chain, &err);
    if (rc == TL_OK) {
        rc = tl_http_open(&s->http, &o, &err);
    }
    if (rc != TL_OK) {
        s->http = NULL;
        return luaL_error(L, "codec.serve: %s", err.message);
    }
    lua_settop(L, 3);
    lua_pushinteger(L, tl_http_port(s->http));
    return 2;
}

static const luaL_Reg functions[] = {
    {"codec_server", open_server},
    {"codec_server_close", close_server},
    {NULL, NULL},
};

void tl_core_codec_server(lua_State *L)
{
    luaL_setfuncs(L, functions, 0);
}
