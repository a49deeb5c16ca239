/* Event groups: workflow.create_event_group, and which groups a command's event belongs to. See
 * sandbox.def.
 * A command carries, in this order: the signal or update whose handler made it, the groups of the scopes
 * around it, those of its option event_groups. One id is there once; the last label stays.
 * Sets are kept encoded, as a Command that has nothing else, by whom they belong to: a coroutine (the
 * scopes it is in), a future (for the command that cancels it).
 * Thread: the run's. Owner: sets are Lua memory of the run, what a command gets is the arena's. */
#include <string.h>

#include "luart/options.h"
#include "luart/sync.h"
#include "proto/pb.h"

#define META_GROUP "workflow.event_group"
#define META_GUARD "workflow.event_group.scope"

typedef TpSdk__EventGroupMarker marker;

/* --- sets --------------------------------------------------------------------------------------- */

static bool is_label(const marker *m)
{
    return (int)m->variant_case == TP_SDK__EVENT_GROUP_MARKER__VARIANT_LABEL;
}

/* Adds m; it takes the place of one with its id. */
static void add(lua_State *L, struct tl_pb_list *set, marker *m)
{
    marker **items = set->items;
    for (size_t i = 0; i < set->n; i++) {
        if (is_label(items[i]) && is_label(m) && strcmp(items[i]->label->id, m->label->id) == 0) {
            items[i] = m;
            return;
        }
    }
    if (!tl_pb_push(tl_cmd_arena(L), set, m)) {
        tl_cmd_need(L, NULL);
    }
}

static void add_all(lua_State *L, struct tl_pb_list *set, const struct tl_event_groups *groups)
{
    for (size_t i = 0; groups && i < groups->n; i++) {
        add(L, set, groups->items[i]);
    }
}

static struct tl_event_groups groups_of(const struct tl_pb_list *set)
{
    return (struct tl_event_groups){set->n, (marker **)set->items};
}

/* Pushes the set encoded; nil when it is empty. */
static void push_set(lua_State *L, const struct tl_event_groups *groups)
{
    TpCommand__Command set = TP_COMMAND__COMMAND__INIT;
    struct tl_str bytes;
    struct tl_error err;
    set.n_event_group_markers = groups->n;
    set.event_group_markers = groups->items;
    if (!groups->n) {
        lua_pushnil(L);
        return;
    }
    if (tl_pb_encode_arena(&set, tl_cmd_arena(L), &bytes, &err) != TL_OK) {
        luaL_error(L, "event groups: %s", err.message);
    }
    lua_pushlstring(L, bytes.p, bytes.n);
}

/* [-1] The set on top decoded; what is no text is the empty one. */
static struct tl_event_groups pop_set(lua_State *L)
{
    struct tl_event_groups groups = {0};
    struct tl_str bytes;
    struct tl_error err;
    TpCommand__Command *set = NULL;
    if (lua_type(L, -1) == LUA_TSTRING) {
        bytes.p = lua_tolstring(L, -1, &bytes.n);
        if (tl_pb_decode(&tp_command__command__descriptor, bytes, tl_cmd_arena(L), &set, &err) !=
            TL_OK) {
            luaL_error(L, "event groups: %s", err.message);
        }
        groups = (struct tl_event_groups){set->n_event_group_markers, set->event_group_markers};
    }
    lua_pop(L, 1);
    return groups;
}

/* --- whose they are ----------------------------------------------------------------------------- */

/* [-1, +1] What is kept for the value on top; nil when nothing is. */
static void get_kept(lua_State *L)
{
    tl_slot_push(L, tl_run_of(L), TL_SLOT_GROUPS);
    if (lua_istable(L, -1)) {
        lua_insert(L, -2);
        lua_rawget(L, -2);
        lua_remove(L, -2);
    } else {
        lua_remove(L, -2);
    }
}

/* [-2] Keeps the set on top for the value below it. */
static void keep(lua_State *L)
{
    luaL_checkstack(L, 4, NULL);
    tl_slot_table(L, tl_run_of(L), TL_SLOT_GROUPS);
    lua_insert(L, -3);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

static bool any_kept(lua_State *L)
{
    tl_slot_push(L, tl_run_of(L), TL_SLOT_GROUPS);
    bool any = lua_istable(L, -1);
    lua_pop(L, 1);
    return any;
}

void tl_event_groups_forget(lua_State *L)
{
    if (any_kept(L)) {
        luaL_checkstack(L, 4, NULL);
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        keep(L);
    }
}

void tl_event_groups_forget_thread(lua_State *L, lua_State *co)
{
    if (any_kept(L)) {
        luaL_checkstack(L, 4, NULL);
        lua_pushthread(co);
        lua_xmove(co, L, 1);
        lua_pushnil(L);
        keep(L);
    }
}

void tl_event_groups_inherit(lua_State *L, lua_State *co)
{
    if (any_kept(L)) {
        luaL_checkstack(L, 8, NULL);
        lua_pushthread(co);
        lua_xmove(co, L, 1);
        lua_pushthread(L);
        get_kept(L);
        keep(L);
    }
}

/* --- of commands -------------------------------------------------------------------------------- */

/* The signal or the update that the fiber handles; NULL: it is the workflow's own. */
static marker *handled(lua_State *L, struct tl_lua_run *run)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    struct tl_fiber *f = run->current;
    if (!f) {
        return NULL;
    }
    int top = lua_gettop(L);
    marker *m = NULL;
    if (f->signal_event_id > 0) {
        m = tl_cmd_need(L, TL_PB_NEW(arena, marker, tp_sdk__event_group_marker));
        m->variant_case = TP_SDK__EVENT_GROUP_MARKER__VARIANT_INBOUND_EVENT;
        m->inbound_event = tl_cmd_need(L, TL_PB_NEW(arena, TpSdk__EventGroupMarker__InboundEvent,
                                                    tp_sdk__event_group_marker__inbound_event));
        m->inbound_event->inbound_event_id = f->signal_event_id;
        return m;
    }
    tl_fiber_push(L, run, f);
    if (lua_getiuservalue(L, -1, TL_FIBER_UPDATE_INFO) == LUA_TTABLE) {
        struct tl_str id;
        lua_getfield(L, -1, "id");
        id.p = lua_tolstring(L, -1, &id.n);
        m = tl_cmd_need(L, TL_PB_NEW(arena, marker, tp_sdk__event_group_marker));
        m->variant_case = TP_SDK__EVENT_GROUP_MARKER__VARIANT_INBOUND_UPDATE;
        m->inbound_update = tl_cmd_need(L, TL_PB_NEW(arena, TpSdk__EventGroupMarker__InboundUpdate,
                                                     tp_sdk__event_group_marker__inbound_update));
        m->inbound_update->inbound_update_id = tl_cmd_need(L, tl_pb_cstr(arena, id));
    }
    lua_settop(L, top);
    return m;
}

/* Those of whose event nobody would look at: how the workflow ended, and answers. */
static bool carries_none(enum tl_cmd_type type)
{
    return type == TL_CMD_COMPLETE || type == TL_CMD_FAIL || type == TL_CMD_CANCEL ||
           type == TL_CMD_UPDATE_RESPONSE || type == TL_CMD_QUERY_RESULT;
}

struct tl_event_groups tl_event_groups_now(lua_State *L, enum tl_cmd_type type)
{
    struct tl_pb_list set = {0};
    if (carries_none(type)) {
        return (struct tl_event_groups){0};
    }
    luaL_checkstack(L, 8, NULL);
    marker *m = handled(L, tl_run_of(L));
    if (m) {
        add(L, &set, m);
    }
    if (any_kept(L)) {
        lua_pushthread(L);
        get_kept(L);
        struct tl_event_groups scopes = pop_set(L);
        add_all(L, &set, &scopes);
    }
    return groups_of(&set);
}

void tl_event_groups_add(lua_State *L, struct tl_cmd *cmd, const struct tl_event_groups *direct)
{
    struct tl_pb_list set = {0};
    if (direct && direct->n) {
        add_all(L, &set, &cmd->groups);
        add_all(L, &set, direct);
        cmd->groups = groups_of(&set);
    }
}

void tl_event_groups_keep(lua_State *L, const struct tl_cmd *cmd)
{
    if (cmd->groups.n) {
        lua_pushvalue(L, -1);
        push_set(L, &cmd->groups);
        keep(L);
    }
}

struct tl_event_groups tl_event_groups_kept(lua_State *L, const struct tl_future *future)
{
    if (any_kept(L) &&
        tl_future_find(L, tl_run_of(L), (enum tl_future_kind)future->kind, future->seq)) {
        get_kept(L);
        return pop_set(L);
    }
    return (struct tl_event_groups){0};
}

/* --- the script's calls ------------------------------------------------------------------------- */

struct group_options {
    char *label;
};

static const struct tl_opt group_opts[] = {
    TL_OPT("label", TL_OPT_STRING, 0, struct group_options, label),
};

static bool test_group(lua_State *L, int index)
{
    return luaL_testudata(L, index, META_GROUP) != NULL;
}

struct tl_event_groups tl_event_groups_read(lua_State *L, int index, const char *what)
{
    struct tl_pb_list set = {0};
    index = lua_absindex(L, index);
    if (!lua_istable(L, index)) {
        luaL_error(L, "%s must be a list of event groups, got a %s", what, luaL_typename(L, index));
    }
    lua_Integer n = (lua_Integer)lua_rawlen(L, index);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, index, i);
        if (!test_group(L, -1)) {
            luaL_error(L, "%s[%I] must be what workflow.create_event_group gave, got a %s", what,
                       (LUAI_UACINT)i, luaL_typename(L, -1));
        }
        lua_getiuservalue(L, -1, 1);
        struct tl_event_groups one = pop_set(L);
        add_all(L, &set, &one);
        lua_pop(L, 1);
    }
    return groups_of(&set);
}

/* The scope's end: its coroutine has again what it had before. */
static int guard_close(lua_State *L)
{
    lua_pushthread(L);
    lua_getiuservalue(L, 1, 1);
    keep(L);
    return 0;
}

/* Pushes what puts back the set that is kept for this coroutine. */
static void push_guard(lua_State *L)
{
    lua_newuserdatauv(L, 0, 1);
    lua_pushthread(L);
    get_kept(L);
    lua_setiuservalue(L, -2, 1);
    if (luaL_newmetatable(L, META_GUARD)) {
        lua_pushcfunction(L, guard_close);
        lua_setfield(L, -2, "__close");
    }
    lua_setmetatable(L, -2);
}

enum { SCOPE_BELOW = 1 }; /* values under the results: the guard */

static int scope_done(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    return lua_gettop(L) - (int)ctx;
}

/* group:scope(function, ...) -> its results. Whatever it asks for belongs to the group, and what
 * coroutines ask for that it makes. */
static int group_scope(lua_State *L)
{
    struct tl_pb_list set = {0};
    luaL_argexpected(L, test_group(L, 1), 1, "event group");
    luaL_checktype(L, 2, LUA_TFUNCTION);
    tl_command_check(L, "scope");
    luaL_checkstack(L, 8, NULL);
    push_guard(L);
    lua_pushthread(L);
    get_kept(L);
    struct tl_event_groups now = pop_set(L);
    add_all(L, &set, &now);
    lua_getiuservalue(L, 1, 1);
    struct tl_event_groups own = pop_set(L);
    add_all(L, &set, &own);
    now = groups_of(&set);
    lua_pushthread(L);
    push_set(L, &now);
    keep(L);
    lua_replace(L, 1); /* the guard in the group's place */
    lua_toclose(L, 1);
    lua_callk(L, lua_gettop(L) - 2, LUA_MULTRET, SCOPE_BELOW, scope_done);
    return scope_done(L, LUA_OK, SCOPE_BELOW);
}

/* create_event_group(id [, { label = }]) -> group. The label goes through codecs, the id is read as it
 * is. Groups of one id are one. */
int tl_lib_wf_create_event_group(lua_State *L)
{
    static const luaL_Reg methods[] = {{"scope", group_scope}, {NULL, NULL}};
    static const char what[] = "workflow.create_event_group";
    struct tl_arena *arena = tl_cmd_arena(L);
    struct group_options o = {NULL};
    tl_command_check(L, what);
    luaL_argexpected(L, lua_type(L, 1) == LUA_TSTRING, 1, "the id of the group");
    lua_settop(L, 2);
    TL_OPTIONS_READ(L, 2, what, group_opts, (void *[]){&o}, arena);
    if (o.label && !*o.label) {
        return luaL_error(L, "%s: label is empty; leave it out for a group without one", what);
    }
    marker *m = tl_cmd_need(L, TL_PB_NEW(arena, marker, tp_sdk__event_group_marker));
    m->variant_case = TP_SDK__EVENT_GROUP_MARKER__VARIANT_LABEL;
    m->label = tl_cmd_need(
        L, TL_PB_NEW(arena, TpSdk__EventGroupMarker__Label, tp_sdk__event_group_marker__label));
    m->label->id = tl_options_text(L, 1, "workflow.create_event_group: the id", arena);
    if (!*m->label->id) {
        return luaL_error(L, "%s: a group has an id", what);
    }
    if (o.label) {
        lua_pushstring(L, o.label);
        m->label->label = tl_vm_payload_encode_own(L, -1, arena, "label");
    }
    lua_newuserdatauv(L, 0, 1);
    push_set(L, &(struct tl_event_groups){1, &m});
    lua_setiuservalue(L, -2, 1);
    tl_sync_meta(L, META_GROUP, methods, NULL);
    return 1;
}

struct groups_only {
    struct tl_event_groups groups;
};

/* The options of calls that have no others. */
static const struct tl_opt groups_only_opts[] = {
    TL_OPT("event_groups", TL_OPT_GROUPS, 0, struct groups_only, groups),
};

struct tl_event_groups tl_event_groups_option(lua_State *L, int index, const char *what)
{
    struct groups_only o = {0};
    TL_OPTIONS_READ(L, index, what, groups_only_opts, (void *[]){&o}, tl_cmd_arena(L));
    return o.groups;
}
