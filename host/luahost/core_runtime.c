/* temporal.core, part: what temporal.runtime makes: a registry of metrics, and the ports that serve it and
 * the health of this state's workers. Thread: the state's; the ports have threads of their own. */
#include <lauxlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "http/pages.h"
#include "luahost/host.h"
#include "luart/measure.h"
#include "rpc/measured.h"
#include "worker/worker.h"

#define RUNTIME_TYPE "temporal.core.runtime"
#define TEXT_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define TAGS_MAX 64
#define OVERRIDES_MAX 64

struct runtime_box {
    bool open;
    struct tl_metrics *metrics; /* NULL: nothing is measured */
    struct tl_host *host;
    struct tl_http_monitor monitor, health;
    struct tl_http *metrics_port, *health_port;
};

static const char *not_well(void *ud)
{
    return tl_host_not_well(ud);
}

static const char *not_ready(void *ud)
{
    return tl_host_not_ready(ud);
}

static void close_ports(struct runtime_box *b)
{
    tl_http_close(b->metrics_port);
    tl_http_close(b->health_port);
    b->metrics_port = b->health_port = NULL;
}

struct tl_metrics *tl_host_opt_metrics(lua_State *L, int index)
{
    return lua_isnoneornil(L, index)
               ? NULL
               : ((struct runtime_box *)luaL_checkudata(L, index, RUNTIME_TYPE))->metrics;
}

/* [-0, +0, v] Name and value of each entry of the list field; borrowed from the table. */
static size_t read_tags(lua_State *L, int index, struct tl_label *out)
{
    size_t n = 0, size;
    lua_getfield(L, index, "tags");
    luaL_checktype(L, -1, LUA_TTABLE);
    for (; n < TAGS_MAX && lua_rawgeti(L, -1, (lua_Integer)n + 1) == LUA_TTABLE; n++) {
        lua_rawgeti(L, -1, 1);
        const char *name = luaL_checklstring(L, -1, &size);
        out[n].name = tl_str_n(name, size);
        lua_rawgeti(L, -2, 2);
        const char *value = luaL_checklstring(L, -1, &size);
        out[n].value = tl_str_n(value, size);
        lua_pop(L, 3);
    }
    lua_settop(L, index);
    return n;
}

/* Bounds by name, sorted by the Lua side. */
static size_t read_bounds(lua_State *L, int index, struct tl_metric_bounds *out,
                          double (*values)[TL_METRIC_BOUNDS_MAX])
{
    size_t n = 0;
    lua_getfield(L, index, "bounds");
    luaL_checktype(L, -1, LUA_TTABLE);
    for (; n < OVERRIDES_MAX && lua_rawgeti(L, -1, (lua_Integer)n + 1) == LUA_TTABLE; n++) {
        size_t count = (size_t)lua_rawlen(L, -1) - 1; /* the name is the first */
        lua_rawgeti(L, -1, 1);
        out[n] = (struct tl_metric_bounds){luaL_checkstring(L, -1), values[n], count};
        lua_pop(L, 1);
        luaL_argcheck(L, count > 0 && count <= TL_METRIC_BOUNDS_MAX, index, "too many bounds");
        for (size_t i = 0; i < count; i++) {
            lua_rawgeti(L, -1, (lua_Integer)i + 2);
            values[n][i] = luaL_checknumber(L, -1);
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    lua_settop(L, index);
    return n;
}

static bool flag(lua_State *L, int index, const char *name)
{
    lua_getfield(L, index, name);
    bool on = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return on;
}

/* "ip" and "port" below the field, when it is there. */
static struct tl_http *open_port(lua_State *L, const char *field, struct tl_http_monitor *monitor,
                                 struct tl_error *err)
{
    struct tl_http *http = NULL;
    if (lua_getfield(L, 1, field) == LUA_TTABLE) {
        lua_getfield(L, -1, "ip");
        lua_getfield(L, -2, "port");
        struct tl_http_options o = {
            .ip = luaL_checkstring(L, -2),
            .port = (int)luaL_checkinteger(L, -1),
            .handler = {monitor, tl_http_monitor_handle},
        };
        tl_rc rc = tl_http_open(&http, &o, err);
        if (rc != TL_OK) {
            (void)tl_error_wrap(err, rc, "temporal.runtime: %s", field);
            http = NULL;
        }
        lua_pop(L, 2);
    } else {
        err->code = TL_OK;
    }
    lua_pop(L, 1);
    return http;
}

static struct tl_metrics *make_registry(lua_State *L)
{
    struct tl_label tags[TAGS_MAX];
    struct tl_metric_bounds bounds[OVERRIDES_MAX];
    double values[OVERRIDES_MAX][TL_METRIC_BOUNDS_MAX];
    lua_getfield(L, 1, "prefix");
    struct tl_metrics_options o = {
        .prefix = luaL_checkstring(L, -1),
        .total_suffix = flag(L, 1, "counters_total_suffix"),
        .unit_suffix = flag(L, 1, "unit_suffix"),
        .seconds = flag(L, 1, "durations_as_seconds"),
        .labels = tags,
        .bounds = bounds,
    };
    lua_pop(L, 1); /* the table keeps it */
    o.label_count = read_tags(L, 1, tags);
    o.bounds_count = read_bounds(L, 1, bounds, values);
    struct tl_metrics *m = tl_metrics_new(&o);
    tl_measured_register(m);
    tl_meter_register(m);
    return m;
}

/* [-0, +1, v] core.runtime_open{ measured, prefix, counters_total_suffix, unit_suffix, durations_as_seconds,
 * tags = { { name, value } }, bounds = { { name, number... } }, metrics = { ip =, port = },
 * health = { ip =, port = } }; ports are left out when they are not there */
static int runtime_open(lua_State *L)
{
    struct tl_error err = {0};
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    struct tl_metrics *metrics = flag(L, 1, "measured") ? make_registry(L) : NULL;
    struct runtime_box *b = lua_newuserdatauv(L, sizeof *b, 0);
    memset(b, 0, sizeof *b);
    b->open = true;
    b->metrics = metrics;
    b->host = tl_host_get(L);
    luaL_setmetatable(L, RUNTIME_TYPE);
    b->monitor = (struct tl_http_monitor){metrics, b->host, not_well, not_ready};
    b->health = (struct tl_http_monitor){NULL, b->host, not_well, not_ready};
    b->metrics_port = open_port(L, "metrics", &b->monitor, &err);
    if (err.code == TL_OK) {
        b->health_port = open_port(L, "health", &b->health, &err);
    }
    if (err.code != TL_OK) {
        close_ports(b);
        return luaL_error(L, "%s", err.message);
    }
    return 1;
}

/* [-0, +0, v] core.runtime_close(runtime): closes its ports; what uses its metrics goes on. Idempotent */
static int runtime_close(lua_State *L)
{
    close_ports(luaL_checkudata(L, 1, RUNTIME_TYPE));
    return 0;
}

static int runtime_gc(lua_State *L)
{
    struct runtime_box *b = luaL_checkudata(L, 1, RUNTIME_TYPE);
    close_ports(b);
    tl_metrics_free(b->metrics);
    b->metrics = NULL;
    return 0;
}

static void push_port(lua_State *L, const struct tl_http *http)
{
    if (http) {
        lua_pushinteger(L, tl_http_port(http));
    } else {
        lua_pushnil(L);
    }
}

/* [-0, +2, v] core.runtime_ports(runtime): of metrics and of health; nil for none */
static int runtime_ports(lua_State *L)
{
    const struct runtime_box *b = luaL_checkudata(L, 1, RUNTIME_TYPE);
    push_port(L, b->metrics_port);
    push_port(L, b->health_port);
    return 2;
}

/* [-0, +1, v] core.runtime_metrics(runtime): the text that /metrics serves; "" when nothing is measured */
static int runtime_metrics(lua_State *L)
{
    struct tl_metrics *m = tl_host_opt_metrics(L, 1);
    struct tl_buf out;
    size_t n;
    tl_buf_init(&out, TEXT_BYTES_MAX);
    bool ok = !m || tl_metrics_write(m, &out);
    char *text = tl_buf_take(&out, &n);
    char *copy =
        lua_newuserdatauv(L, n + 1, 0); /* the state frees it when pushing the text raises */
    memcpy(copy, text ? text : "", n);
    tl_mem_free(text);
    if (!ok) {
        return luaL_error(L, "the metrics are too large");
    }
    lua_pushlstring(L, copy, n);
    return 1;
}

/* [-0, +1, v] core.runtime_meter(runtime) */
static int runtime_meter(lua_State *L)
{
    struct tl_metrics *m = tl_host_opt_metrics(L, 1);
    lua_newtable(L);
    tl_stock_push_meter(L, m);
    return 1;
}

/* [-0, +0, v] core.log_settings(level or nil, level of scripts or nil, "text", "json" or nil) */
static int log_settings(lua_State *L)
{
    enum tl_log_level level;
    const char *core = luaL_optstring(L, 1, ""), *other = luaL_optstring(L, 2, "");
    if (tl_log_level_parse(tl_str(core), &level)) {
        tl_log_core_level(level);
    }
    if (tl_log_level_parse(tl_str(other), &level)) {
        tl_log_script_level(level);
    }
    if (!lua_isnoneornil(L, 3)) {
        tl_log_json(strcmp(luaL_checkstring(L, 3), "json") == 0);
    }
    return 0;
}

static const luaL_Reg functions[] = {
    // clang-format off
    {"runtime_open", runtime_open},
    {"runtime_close", runtime_close},
    {"runtime_ports", runtime_ports},
    {"runtime_metrics", runtime_metrics},
    {"runtime_meter", runtime_meter},
    {"log_settings", log_settings},
    {NULL, NULL},
    // clang-format on
};

void tl_core_runtime(lua_State *L)
{
    luaL_newmetatable(L, RUNTIME_TYPE);
    lua_pushcfunction(L, runtime_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
