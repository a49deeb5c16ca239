/* temporal.core, part: the options of workers, with slot suppliers that are modules. See worker_options.h.
 * Thread: the state's. */
#include <lauxlib.h>

#include "luahost/host.h"
#include "luahost/worker_options.h"

static const char *const kind_names[] = {"integer", "duration", "real", "boolean",
                                         "text",    "poller",   "none"};

/* [-0, +1, m] core.worker_options(): the rows of the option table */
static int worker_options(lua_State *L)
{
    lua_newtable(L);
    lua_Integer i = 0;
    for (const struct tl_option_row *r = tl_worker_option_rows(); r->name; r++) {
        lua_createtable(L, 0, 6);
        lua_pushstring(L, r->name);
        lua_setfield(L, -2, "name");
        lua_pushstring(L, kind_names[r->kind]);
        lua_setfield(L, -2, "kind");
        lua_pushnumber(L, r->def);
        lua_setfield(L, -2, "default");
        lua_pushnumber(L, r->min);
        lua_setfield(L, -2, "min");
        lua_pushnumber(L, r->max);
        lua_setfield(L, -2, "max");
        lua_pushstring(L, r->text);
        lua_setfield(L, -2, "text");
        lua_rawseti(L, -2, ++i);
    }
    return 1;
}

/* [-0, +1, v] core.poller_behavior(text): as options take it, nil when the text is none */
static int poller_behavior(lua_State *L)
{
    struct tl_poller_behavior b;
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    if (!tl_poller_behavior_parse(tl_str_n(text, n), &b)) {
        lua_pushnil(L);
        return 1;
    }
    lua_createtable(L, 0, 4);
    lua_pushstring(L, b.autoscaling ? "autoscaling" : "simple_maximum");
    lua_setfield(L, -2, "kind");
    lua_pushinteger(L, b.maximum);
    lua_setfield(L, -2, "maximum");
    if (b.autoscaling) {
        lua_pushinteger(L, b.minimum);
        lua_setfield(L, -2, "minimum");
        lua_pushinteger(L, b.initial);
        lua_setfield(L, -2, "initial");
    }
    return 1;
}

/* The checked table on top; what it leaves out keeps its default. */
static void read_poller(lua_State *L, struct tl_poller_behavior *b)
{
    lua_getfield(L, -1, "autoscaling");
    b->autoscaling = lua_toboolean(L, -1);
    lua_getfield(L, -2, "minimum");
    b->minimum = luaL_optinteger(L, -1, b->minimum);
    lua_getfield(L, -3, "maximum");
    b->maximum = luaL_optinteger(L, -1, b->maximum);
    lua_getfield(L, -4, "initial");
    b->initial = luaL_optinteger(L, -1, b->initial);
    lua_pop(L, 4);
}

/* The value on top goes where the row says. Texts stay borrowed from the options table. */
static void set_option(lua_State *L, const struct tl_option_row *r, struct tl_worker_options *o)
{
    char *at = (char *)o + r->offset;
    size_t n;
    switch (r->kind) {
    case TL_OPT_INT:
        *(int64_t *)(void *)at = luaL_checkinteger(L, -1);
        break;
    case TL_OPT_DURATION: /* checked durations are nanoseconds; the worker's are milliseconds */
        *(int64_t *)(void *)at = (luaL_checkinteger(L, -1) + TL_NS_PER_MS - 1) / TL_NS_PER_MS;
        break;
    case TL_OPT_REAL:
        *(double *)(void *)at = luaL_checknumber(L, -1);
        break;
    case TL_OPT_BOOL:
        *(bool *)(void *)at = lua_toboolean(L, -1);
        break;
    case TL_OPT_TEXT: {
        const char *p = luaL_checklstring(L, -1, &n);
        *(struct tl_str *)(void *)at = tl_str_n(p, n);
        break;
    }
    case TL_OPT_POLLER:
        read_poller(L, (struct tl_poller_behavior *)(void *)at);
        break;
    case TL_OPT_NONE: /* refused by the Lua side, which tells why */
        break;
    }
}

/* [-0, +0, v] Slots of one kind from a field of the table on top, as lua/temporal/tuner.lua makes it. */
static void read_slots(lua_State *L, const char *field, struct tl_slot_config *c)
{
    lua_getfield(L, -1, field);
    lua_getfield(L, -1, "resource_based");
    c->resource_based = lua_toboolean(L, -1);
    lua_getfield(L, -2, "minimum");
    c->minimum = luaL_optinteger(L, -1, 0);
    lua_getfield(L, -3, "maximum");
    c->maximum = luaL_optinteger(L, -1, 0); /* the worker checks it */
    lua_getfield(L, -4, "ramp_throttle");
    c->ramp_throttle_ms = luaL_optinteger(L, -1, 0) / TL_NS_PER_MS;
    lua_pop(L, 5);
}

static void read_tuner(lua_State *L, int index, struct tl_tuner_options *t)
{
    t->given = lua_getfield(L, index, "tuner") != LUA_TNIL;
    if (t->given) {
        read_slots(L, "workflow", &t->workflow);
        read_slots(L, "activity", &t->activity);
        read_slots(L, "local_activity", &t->local_activity);
        read_slots(L, "nexus", &t->nexus);
        lua_getfield(L, -1, "target_memory_usage");
        t->target_memory_usage = luaL_optnumber(L, -1, 0);
        lua_getfield(L, -2, "target_cpu_usage");
        t->target_cpu_usage = luaL_optnumber(L, -1, 0);
        lua_pop(L, 2);
    }
    lua_pop(L, 1);
}

static const char *const kind_fields[] = {"workflow", "activity", "local_activity", "nexus"};
enum { KINDS = sizeof kind_fields / sizeof kind_fields[0] };

/* Each once, with the kinds that it serves. */
tl_rc tl_host_open_suppliers(lua_State *L, int index, struct tl_lua_slots *slots[TLUA_SLOT_NEXUS],
                             struct tl_tuner_options *t, struct tl_error *err)
{
    struct tl_slot_config *configs[KINDS] = {&t->workflow, &t->activity, &t->local_activity,
                                             &t->nexus};
    const void *seen[KINDS] = {NULL};
    int top = lua_gettop(L);
    tl_rc rc = TL_OK;
    lua_getfield(L, index, "tuner");
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "path");
    lua_getfield(L, -2, "cpath");
    for (int i = 0; t->given && i < KINDS && rc == TL_OK; i++) {
        lua_settop(L, top + 4);
        lua_getfield(L, top + 1, kind_fields[i]);
        if (lua_getfield(L, -1, "custom") != LUA_TTABLE) {
            continue;
        }
        const void *self = lua_topointer(L, -1);
        int at = 0;
        while (seen[at] && seen[at] != self) {
            at++;
        }
        lua_getfield(L, -1, "module");
        lua_getfield(L, -2, "config");
        if (!seen[at]) {
            rc = tl_lua_slots_new(&slots[at], lua_tostring(L, -2), lua_tostring(L, -1),
                                  lua_tostring(L, top + 3), lua_tostring(L, top + 4), err);
        }
        seen[at] = self;
        if (rc == TL_OK) {
            configs[i]->supplier = tl_lua_slots_kind(slots[at], TLUA_SLOT_WORKFLOW + i);
        }
    }
    lua_settop(L, top);
    return rc;
}

void tl_host_read_worker_options(lua_State *L, int index, struct tl_worker_options *o)
{
    tl_worker_options_init(o);
    read_tuner(L, index, &o->tuner);
    for (const struct tl_option_row *r = tl_worker_option_rows(); r->name; r++) {
        if (lua_getfield(L, index, r->name) != LUA_TNIL) {
            set_option(L, r, o);
        }
        lua_pop(L, 1);
    }
}

static const luaL_Reg functions[] = {
    {"worker_options", worker_options},
    {"poller_behavior", poller_behavior},
    {NULL, NULL},
};

void tl_core_worker_options(lua_State *L)
{
    luaL_setfuncs(L, functions, 0);
}
