/* See measure.h. A meter's userdata has its attributes as user value 1; an instrument's likewise, and a table
 * of name, description and unit as user value 2. */
#include "luart/measure.h"

#include <string.h>

#include "base/duration.h"
#include "base/log.h"

#ifndef TL_STOCK_LUA
#include "luart/run_int.h"
#endif

#define DURATION_S_MAX 3153600000.0 /* 100 years, as of durations in texts */
#define META_METER "temporal.Meter"
#define META_INSTRUMENT "temporal.Metric"
#define LABELS_MAX TL_METRIC_CUSTOM_LABELS_MAX

struct meter {
    struct tl_metrics *registry; /* NULL: records nothing */
};

enum value_kind { COUNT, WHOLE, REAL, WHOLE_FROM_0, REAL_FROM_0, DURATION };

struct instrument {
    struct tl_metrics *registry;
    struct tl_metric *metric; /* NULL: records nothing */
    uint8_t type;             /* index in types */
};

static const struct {
    const char *create, *verb;
    struct tl_metric_def def;
    enum value_kind value;
} types[] = {
    {"create_counter", "add", {.kind = TL_METRIC_COUNTER}, COUNT},
    {"create_gauge", "set", {.kind = TL_METRIC_GAUGE}, WHOLE},
    {"create_gauge_float", "set", {.kind = TL_METRIC_GAUGE, .real = true}, REAL},
    {"create_histogram", "record", {.kind = TL_METRIC_HISTOGRAM, .real = true}, WHOLE_FROM_0},
    {"create_histogram_float", "record", {.kind = TL_METRIC_HISTOGRAM, .real = true}, REAL_FROM_0},
    {"create_histogram_timedelta",
     "record",
     {.kind = TL_METRIC_HISTOGRAM, .duration = true},
     DURATION},
};
#define TYPES (sizeof types / sizeof types[0])

/* --- what the two Luas do differently ---------------------------------------------------------------- */

#ifdef TL_STOCK_LUA
static bool is_silent(lua_State *L)
{
    (void)L;
    return false;
}

static struct tl_metrics *keep(struct tl_metrics *registry)
{
    return tl_metrics_retain(registry);
}

static void cannot_be(lua_State *L, const struct tl_error *err)
{
    luaL_error(L, "%s", err->message);
}

/* The registry is the first member of both. */
static int collect(lua_State *L)
{
    struct meter *m = lua_touserdata(L, 1);
    tl_metrics_free(m->registry);
    m->registry = NULL;
    return 0;
}
#else
static bool is_silent(lua_State *L)
{
    const struct tl_lua_run *run = tl_run_of(L);
    return run->replaying || run->phase == TL_PHASE_PROBE;
}

static struct tl_metrics *keep(struct tl_metrics *registry)
{
    return registry;
}

static void cannot_be(lua_State *L, const struct tl_error *err)
{
    tl_run_log(L, TL_LOG_WARN, tl_str(err->message));
}
#endif

/* --- attributes --------------------------------------------------------------------------------------- */

static struct tl_str text_at(lua_State *L, int index)
{
    struct tl_str s;
    s.p = lua_tolstring(L, index, &s.n);
    return s;
}

/* The attribute's value on top becomes text. */
static void value_text(lua_State *L, const char *what, const char *name)
{
    int type = lua_type(L, -1);
    if (type == LUA_TBOOLEAN) {
        lua_pushstring(L, lua_toboolean(L, -1) ? "true" : "false");
        lua_replace(L, -2);
    } else if (type != LUA_TSTRING && type != LUA_TNUMBER) {
        luaL_error(L, "%s: attribute '%s' wants a text, a number or a boolean, got a %s", what,
                   name, luaL_typename(L, -1));
    }
    lua_tolstring(L, -1, NULL); /* a number in its place */
}

/* Adds the attributes of the table at `from` to the one at `to`. */
static void add_attributes(lua_State *L, int from, int to, const char *what)
{
    luaL_checktype(L, from, LUA_TTABLE);
    lua_pushnil(L);
    while (lua_next(L, from)) {
        if (lua_type(L, -2) != LUA_TSTRING || !tl_metric_name_ok(text_at(L, -2)) ||
            strcmp(lua_tostring(L, -2), "le") == 0) {
            luaL_error(L, "%s: attributes have names of letters, digits and '_', and not 'le'",
                       what);
        }
        value_text(L, what, lua_tostring(L, -2));
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, to);
    }
    size_t n = 0;
    for (lua_pushnil(L); lua_next(L, to); lua_pop(L, 1)) {
        n++;
    }
    if (n > LABELS_MAX) {
        luaL_error(L, "%s: at most %d attributes", what, LABELS_MAX);
    }
}

/* Pushes the attributes of the userdata at 1 and those of the table at `more` together. */
static void push_joined(lua_State *L, int more, const char *what)
{
    lua_newtable(L);
    int to = lua_gettop(L);
    lua_getiuservalue(L, 1, 1);
    add_attributes(L, to + 1, to, what);
    lua_settop(L, to);
    add_attributes(L, more, to, what);
}

/* --- instruments -------------------------------------------------------------------------------------- */

static struct instrument *check_instrument(lua_State *L)
{
    return luaL_checkudata(L, 1, META_INSTRUMENT);
}

/* The number at 2 as the kind of metric wants it; of a duration its nanoseconds. */
static void read_value(lua_State *L, const struct instrument *in, int64_t *whole, double *real)
{
    const char *verb = types[in->type].verb;
    struct tl_error err;
    int ok = 1;
    switch (types[in->type].value) {
    case COUNT:
    case WHOLE:
    case WHOLE_FROM_0:
        *whole = lua_isnumber(L, 2) ? (int64_t)lua_tointegerx(L, 2, &ok) : 0;
        *real = (double)*whole;
        if (!lua_isnumber(L, 2) || !ok || (*whole < 0 && types[in->type].value != WHOLE)) {
            luaL_error(L, "metric:%s wants an integer%s, got %s", verb,
                       types[in->type].value == WHOLE ? "" : " from 0 up", luaL_typename(L, 2));
        }
        break;
    case REAL:
    case REAL_FROM_0:
        *real = luaL_checknumber(L, 2);
        if (types[in->type].value == REAL_FROM_0 && !(*real >= 0)) {
            luaL_error(L, "metric:%s wants a number from 0 up", verb);
        }
        break;
    case DURATION:
        if (lua_type(L, 2) == LUA_TNUMBER) {
            *real = lua_tonumber(L, 2);
            if (!(*real >= 0 && *real <= DURATION_S_MAX)) {
                luaL_error(L, "metric:%s wants a duration from 0 to 100 years", verb);
            }
            *whole = (int64_t)(*real * 1e9);
        } else {
            luaL_checktype(L, 2, LUA_TSTRING);
            if (tl_duration_parse(text_at(L, 2), whole, &err) != TL_OK) {
                luaL_error(L, "metric:%s: %s", verb, err.message);
            }
        }
        break;
    }
}

static void store(const struct instrument *in, struct tl_series *s, int64_t whole, double real)
{
    switch (types[in->type].value) {
    case COUNT:
        tl_series_add(s, whole);
        break;
    case WHOLE:
        tl_series_set(s, whole);
        break;
    case REAL:
        tl_series_set_real(s, real);
        break;
    case WHOLE_FROM_0:
    case REAL_FROM_0:
        tl_series_observe_real(s, real);
        break;
    case DURATION:
        tl_series_observe(s, whole);
        break;
    }
}

#ifdef TL_STOCK_LUA
static struct {
    void (*fn)(void *ud, const struct tl_metric_record *r);
    void *ud;
} sink;

void tl_stock_metric_sink(void (*fn)(void *ud, const struct tl_metric_record *r), void *ud)
{
    sink.fn = fn;
    sink.ud = ud;
}

tl_rc tl_stock_metric_record(struct tl_metrics *registry, const struct tl_metric_record *r,
                             struct tl_error *err)
{
    struct tl_metric *metric;
    if (r->type < 0 || r->type >= (int)TYPES || !tl_metric_name_ok(tl_str(r->name)) ||
        r->n > LABELS_MAX) {
        return tl_error_set(err, TL_EINVAL, "this is no record of a metric");
    }
    const struct instrument in = {.type = (uint8_t)r->type};
    struct tl_metric_def def = types[r->type].def;
    def.name = r->name;
    def.help = r->description;
    def.unit_name = r->unit;
    tl_rc rc = tl_metric_custom(&metric, registry, &def, err);
    if (rc == TL_OK) {
        store(&in, tl_metric_labelled(metric, r->labels, r->n), r->whole, r->real);
    }
    return rc;
}

static const char *about(lua_State *L, const char *field)
{
    lua_getfield(L, -1, field);
    const char *text = lua_tostring(L, -1);
    lua_pop(L, 1); /* the table keeps it */
    return text ? text : "";
}

/* Attributes are at 4. */
static void hand_over(lua_State *L, const struct instrument *in, struct tl_label *labels, size_t n,
                      int64_t whole, double real)
{
    lua_getiuservalue(L, 1, 2);
    const struct tl_metric_record r = {
        in->type, about(L, "name"), about(L, "description"), about(L, "unit"), labels, n, whole,
        real,
    };
    sink.fn(sink.ud, &r);
}

static bool is_handed_over(const struct instrument *in)
{
    return !in->registry && sink.fn;
}
#else
static bool is_handed_over(const struct instrument *in)
{
    (void)in;
    return false;
}
#endif

/* add, set, record (value [, attributes]). What can be wrong is wrong on replay, too. */
static int record(lua_State *L)
{
    struct instrument *in = check_instrument(L);
    struct tl_label labels[LABELS_MAX];
    int64_t whole = 0;
    double real = 0;
    size_t n = 0;
    lua_settop(L, 3);
    read_value(L, in, &whole, &real);
    if (lua_isnil(L, 3)) {
        lua_getiuservalue(L, 1, 1);
    } else {
        push_joined(L, 3, "metric");
    }
    bool passed_on = is_handed_over(in);
    if ((!in->metric && !passed_on) || is_silent(L)) {
        return 0;
    }
    for (lua_pushnil(L); lua_next(L, 4); lua_pop(L, 1)) {
        labels[n++] = (struct tl_label){text_at(L, -2), text_at(L, -1)};
    }
#ifdef TL_STOCK_LUA
    if (passed_on) {
        hand_over(L, in, labels, n, whole, real);
        return 0;
    }
#endif
    store(in, tl_metric_labelled(in->metric, labels, n), whole, real);
    return 0;
}

/* with_additional_attributes(attributes) */
static int instrument_with(lua_State *L)
{
    const struct instrument *from = check_instrument(L);
    lua_settop(L, 2);
    push_joined(L, 2, "with_additional_attributes");
    struct instrument *in = lua_newuserdatauv(L, sizeof *in, 2);
    *in = *from;
    in->registry = keep(from->registry);
    luaL_setmetatable(L, META_INSTRUMENT);
    lua_insert(L, -2);
    lua_setiuservalue(L, -2, 1);
    lua_getiuservalue(L, 1, 2);
    lua_setiuservalue(L, -2, 2);
    return 1;
}

/* name, description, unit, and the methods that this kind of metric has */
static int instrument_index(lua_State *L)
{
    const struct instrument *in = check_instrument(L);
    const char *key = luaL_checkstring(L, 2);
    if (strcmp(key, types[in->type].verb) == 0) {
        lua_pushcfunction(L, record);
    } else if (strcmp(key, "with_additional_attributes") == 0) {
        lua_pushcfunction(L, instrument_with);
    } else {
        lua_getiuservalue(L, 1, 2);
        lua_pushvalue(L, 2);
        lua_rawget(L, -2);
        if (lua_isnil(L, -1) && strcmp(key, "description") != 0 && strcmp(key, "unit") != 0) {
            return luaL_error(L, "a metric of %s has no '%s'; it has %s", types[in->type].create,
                              key, types[in->type].verb);
        }
    }
    return 1;
}

/* --- meters ------------------------------------------------------------------------------------------- */

static void push_type(lua_State *L, const char *name, lua_CFunction index)
{
    if (luaL_newmetatable(L, name)) {
        lua_pushcfunction(L, index);
        lua_setfield(L, -2, "__index");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
#ifdef TL_STOCK_LUA
        lua_pushcfunction(L, collect);
        lua_setfield(L, -2, "__gc");
#endif
    }
}

/* create_...(name [, description [, unit]]); upvalue: the type */
static int create(lua_State *L)
{
    const struct meter *m = luaL_checkudata(L, 1, META_METER);
    int type = (int)lua_tointeger(L, lua_upvalueindex(1));
    struct tl_error err;
    static const char *const fields[] = {"name", "description", "unit"};
    lua_settop(L, 4);
    struct tl_metric_def def = types[type].def;
    def.name = luaL_checkstring(L, 2);
    def.help = luaL_optstring(L, 3, "");
    def.unit_name = luaL_optstring(L, 4, "");
    if (!tl_metric_name_ok(tl_str(def.name)) ||
        (*def.unit_name && !tl_metric_name_ok(tl_str(def.unit_name)))) {
        return luaL_error(L, "%s: '%s' is no name of a metric: letters, digits, '_', '-' and '.'",
                          types[type].create, def.name);
    }
    struct instrument *in = lua_newuserdatauv(L, sizeof *in, 2);
    *in = (struct instrument){.type = (uint8_t)type};
    push_type(L, META_INSTRUMENT, instrument_index);
    lua_setmetatable(L, 5);
    in->registry = keep(m->registry);
    lua_getiuservalue(L, 1, 1);
    lua_setiuservalue(L, 5, 1);
    lua_createtable(L, 0, 3);
    for (int i = 0; i < 3; i++) {
        lua_pushvalue(L, 2 + i);
        lua_setfield(L, 6, fields[i]);
    }
    lua_setiuservalue(L, 5, 2);
    if (tl_metric_custom(&in->metric, m->registry, &def, &err) != TL_OK) {
        cannot_be(L, &err);
    }
    return 1;
}

static int meter_with(lua_State *L)
{
    const struct meter *m = luaL_checkudata(L, 1, META_METER);
    lua_settop(L, 2);
    push_joined(L, 2, "with_additional_attributes");
    TL_LUA_NAME(push_meter)(L, m->registry);
    return 1;
}

static int meter_index(lua_State *L)
{
    luaL_checkudata(L, 1, META_METER);
    const char *key = luaL_checkstring(L, 2);
    if (strcmp(key, "with_additional_attributes") == 0) {
        lua_pushcfunction(L, meter_with);
        return 1;
    }
    for (size_t i = 0; i < TYPES; i++) {
        if (strcmp(key, types[i].create) == 0) {
            lua_pushinteger(L, (lua_Integer)i);
            lua_pushcclosure(L, create, 1);
            return 1;
        }
    }
    return luaL_error(
        L,
        "a meter has no '%s'; it has create_counter, create_gauge, create_gauge_float, "
        "create_histogram, create_histogram_float, create_histogram_timedelta and "
        "with_additional_attributes",
        key);
}

void TL_LUA_NAME(push_meter)(lua_State *L, struct tl_metrics *registry)
{
    struct meter *m = lua_newuserdatauv(L, sizeof *m, 1);
    m->registry = NULL;
    push_type(L, META_METER, meter_index);
    lua_setmetatable(L, -2);
    m->registry = keep(registry);
    lua_insert(L, -2);
    lua_setiuservalue(L, -2, 1);
}
