/* What a workflow records with its history and reads from there when it is replayed: side effects,
 * mutable side effects, numbered versions. The formats of the markers are Go's; see core/markers.c.
 * Thread: the run's. Owner: commands are the activation arena's, recorded values the run's heap's. */
#include <stdio.h>
#include <string.h>

#include "luart/options.h"
#include "luart/run_jobs.h"
#include "luart/wf.h"
#include "proto/pb.h"

/* --- what history has ------------------------------------------------------------------------- */

/* Pushes the sub-table of a slot's table, made when needed. */
static void push_entry(lua_State *L, struct tl_lua_run *run, enum tl_slot slot, struct tl_str key)
{
    tl_slot_table(L, run, slot);
    lua_pushlstring(L, key.p, key.n);
    if (lua_rawget(L, -2) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushlstring(L, key.p, key.n);
        lua_pushvalue(L, -2);
        lua_rawset(L, -4);
    }
    lua_remove(L, -2);
}

static lua_Integer entry_integer(lua_State *L, int index, const char *key)
{
    lua_getfield(L, index, key);
    lua_Integer n = lua_tointeger(L, -1); /* absent: 0 */
    lua_pop(L, 1);
    return n;
}

static void set_integer(lua_State *L, int index, const char *key, lua_Integer value)
{
    index = lua_absindex(L, index);
    lua_pushinteger(L, value);
    lua_setfield(L, index, key);
}

static void push_encoded(lua_State *L, const TpCommon__Payloads *values)
{
    struct tl_str bytes;
    struct tl_error err;
    if (tl_pb_encode_arena(values, tl_cmd_arena(L), &bytes, &err) != TL_OK) {
        luaL_error(L, "recorded value: %s", err.message);
    }
    lua_pushlstring(L, bytes.p, bytes.n);
}

/* A plain one goes to the end of the list. A mutable one is kept under the number of its call; its
 * entry is { calls =, announced =, value =, [call] = value }. */
void tl_run_apply_side_effect(struct tl_lua_run *run, struct tl_str id, uint32_t call,
                              const TpCommon__Payloads *value)
{
    lua_State *L = run->main;
    if (id.n == 0) {
        tl_slot_table(L, run, TL_SLOT_SIDE_EFFECTS);
        lua_Integer last = entry_integer(L, -1, "last") + 1;
        push_encoded(L, value);
        lua_rawseti(L, -2, last);
        set_integer(L, -1, "last", last);
        return;
    }
    push_entry(L, run, TL_SLOT_MUTABLE, id);
    lua_Integer announced = entry_integer(L, -1, "announced");
    lua_Integer at = call ? (lua_Integer)call : announced + 1;
    push_encoded(L, value);
    lua_rawseti(L, -2, at);
    set_integer(L, -1, "announced", at > announced ? at : announced);
}

void tl_run_apply_version(struct tl_lua_run *run, struct tl_str id, int32_t version)
{
    lua_State *L = run->main;
    tl_slot_table(L, run, TL_SLOT_VERSIONS);
    lua_pushlstring(L, id.p, id.n);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, -3) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_pushfstring(L, "%d", (int)version); /* text: in history, not called yet */
        lua_rawset(L, -3);
    }
}

/* --- markers ---------------------------------------------------------------------------------- */

typedef TpCommand__RecordMarkerCommandAttributes marker_attrs;

static void add_detail(lua_State *L, struct tl_pb_list *list, const char *key,
                       TpCommon__Payloads *values)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    TpCommand__RecordMarkerCommandAttributes__DetailsEntry *entry =
        tl_cmd_need(L, TL_PB_NEW(arena, TpCommand__RecordMarkerCommandAttributes__DetailsEntry,
                                 tp_command__record_marker_command_attributes__details_entry));
    entry->key = tl_cmd_need(L, tl_pb_cstr(arena, tl_str(key)));
    entry->value = values;
    if (!tl_pb_push(arena, list, entry)) {
        tl_cmd_need(L, NULL);
    }
}

/* Encodes the one value on top and pops it. */
static TpCommon__Payloads *encode_top(lua_State *L)
{
    TpCommon__Payloads *values =
        tl_vm_payloads_encode(L, lua_gettop(L), 1, tl_cmd_arena(L), "marker");
    lua_pop(L, 1);
    return values;
}

struct effect_options {
    TpCommon__Payload *summary;
};

static const struct tl_opt effect_opts[] = {
    TL_OPT("summary", TL_OPT_PAYLOAD, 0, struct effect_options, summary),
};

/* Records a side effect; id empty: a plain one, `number` counts those or the calls with this id. */
static void record(lua_State *L, struct tl_str id, lua_Integer number, TpCommon__Payloads *values,
                   TpCommon__Payload *summary)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    struct tl_pb_list details = {0};
    marker_attrs *attrs = tl_cmd_need(L, TL_PB_NEW(arena, TpCommand__RecordMarkerCommandAttributes,
                                                   tp_command__record_marker_command_attributes));
    const char *name = id.n ? "MutableSideEffect" : "SideEffect";
    attrs->marker_name = tl_cmd_need(L, tl_pb_cstr(arena, tl_str(name)));
    if (id.n) {
        lua_pushlstring(L, id.p, id.n);
        add_detail(L, &details, "side-effect-id", encode_top(L));
        lua_pushinteger(L, number);
        add_detail(L, &details, "mutable-side-effect-call-counter", encode_top(L));
    } else {
        lua_pushinteger(L, number);
        add_detail(L, &details, "side-effect-id", encode_top(L));
    }
    add_detail(L, &details, "data", values);
    attrs->details = details.items;
    attrs->n_details = details.n;
    TpSdk__UserMetadata *metadata = tl_wf_metadata(L, summary, NULL);
    struct tl_cmd *cmd = tl_cmd_new(L, TL_CMD_RECORD_MARKER);
    cmd->attrs = &attrs->base;
    cmd->metadata = metadata;
}

/* --- the function ----------------------------------------------------------------------------- */

static int never(lua_State *L, int status, lua_KContext ctx)
{
    (void)status, (void)ctx;
    return luaL_error(L, "this workflow task has failed");
}

/* Nothing of the script runs any more: what the task is to fail with is known. */
static int stop_here(lua_State *L, const char *what)
{
    if (!tl_run_of(L)->current || !lua_isyieldable(L)) {
        return luaL_error(L, "%s: this workflow task has failed", what);
    }
    return tl_await_yield(L, 0, never);
}

/* Calls the function at index `fn` with the n values on top (popped) and leaves its values. False: it
 * raised, and the task has failed. */
static bool call_apart(lua_State *L, int fn, int n, const char *what)
{
    lua_pushvalue(L, fn);
    lua_insert(L, -n - 1);
    if (tl_run_call_apart(L, n, what) == LUA_OK) {
        return true;
    }
    tl_run_fail_task(L, tl_run_of(L), lua_gettop(L));
    return false;
}

/* Pushes the decoded values; the same come on replay. */
static int push_values(lua_State *L, const TpCommon__Payloads *values)
{
    return tl_vm_payloads_decode(L, values);
}

/* The encoded values on top (popped), decoded into the arena. */
static TpCommon__Payloads *take_encoded(lua_State *L)
{
    TpCommon__Payloads *values = NULL;
    struct tl_error err;
    struct tl_str bytes;
    bytes.p = lua_tolstring(L, -1, &bytes.n);
    if (tl_pb_decode(&tp_common__payloads__descriptor, bytes, tl_cmd_arena(L), &values, &err) !=
        TL_OK) {
        luaL_error(L, "recorded value: %s", err.message);
    }
    lua_pop(L, 1);
    return values;
}

static TpCommon__Payloads *no_values(lua_State *L)
{
    return tl_cmd_need(L, TL_PB_NEW(tl_cmd_arena(L), TpCommon__Payloads, tp_common__payloads));
}

/* Values from index `first` to the top, as they are recorded. */
static TpCommon__Payloads *encode_values(lua_State *L, int first, const char *what)
{
    TpCommon__Payloads *values =
        tl_vm_payloads_encode(L, first, lua_gettop(L) - first + 1, tl_cmd_arena(L), what);
    return values ? values : no_values(L);
}

/* side_effect(fn [, options]): the values of fn(), which is not called again on replay. */
int tl_lib_wf_side_effect(lua_State *L)
{
    static const char what[] = "workflow.side_effect";
    struct tl_lua_run *run = tl_run_of(L);
    struct effect_options options = {NULL};
    tl_command_check(L, what);
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 2);
    TL_OPTIONS_READ(L, 2, what, effect_opts, (void *[]){&options}, tl_cmd_arena(L));
    tl_slot_table(L, run, TL_SLOT_SIDE_EFFECTS); /* index 3 */
    lua_Integer number = entry_integer(L, 3, "calls") + 1;
    set_integer(L, 3, "calls", number);
    TpCommon__Payloads *values;
    if (!run->replaying) {
        if (!call_apart(L, 1, 0, "the function of workflow.side_effect")) {
            return stop_here(L, what);
        }
        values = encode_values(L, 4, "side effect");
    } else if (lua_rawgeti(L, 3, number) == LUA_TSTRING) {
        values = take_encoded(L);
        lua_pushnil(L);
        lua_rawseti(L, 3, number);
    } else { /* the engine finds the command that history does not have */
        record(L, (struct tl_str){NULL, 0}, number, no_values(L), NULL);
        return stop_here(L, what);
    }
    record(L, (struct tl_str){NULL, 0}, number, values, options.summary);
    if (!run->replaying) {
        set_integer(L, 3, "last", number); /* what history tells later comes behind it */
    }
    return push_values(L, values);
}

/* Whether the new values are the old ones: by the function at index 3, else by their encoding. -1: the
 * function raised, and the task has failed. */
static int same_values(lua_State *L, const char *what, TpCommon__Payloads *values, int encoded_old)
{
    if (lua_isnil(L, 3)) {
        push_encoded(L, values);
        bool same = lua_rawequal(L, -1, encoded_old);
        lua_pop(L, 1);
        return same;
    }
    int top = lua_gettop(L);
    lua_pushvalue(L, encoded_old);
    TpCommon__Payloads *old = take_encoded(L);
    push_values(L, old);
    lua_settop(L, top + 1);
    push_values(L, values);
    lua_settop(L, top + 2);
    if (!call_apart(L, 3, 2, what)) {
        return -1;
    }
    int same = lua_toboolean(L, top + 1);
    lua_settop(L, top);
    return same;
}

/* On replay: the recorded value of this call, else that of the last one. Entry at index 5. */
static int replay_mutable(lua_State *L, struct tl_str id, lua_Integer call,
                          TpCommon__Payload *summary)
{
    if (lua_rawgeti(L, 5, call) == LUA_TSTRING) {
        lua_pushvalue(L, -1);
        lua_setfield(L, 5, "value");
        lua_pushnil(L);
        lua_rawseti(L, 5, call);
        TpCommon__Payloads *values = take_encoded(L);
        record(L, id, call, values, summary);
        return push_values(L, values);
    }
    lua_pop(L, 1);
    if (lua_getfield(L, 5, "value") == LUA_TSTRING) {
        return push_values(L, take_encoded(L));
    }
    record(L, id, call, no_values(L), NULL);
    return stop_here(L, "workflow.mutable_side_effect");
}

/* mutable_side_effect(id, fn [, equals [, options]]): the value of fn(), recorded when it is another
 * than the last one with this id. */
int tl_lib_wf_mutable_side_effect(lua_State *L)
{
    static const char what[] = "workflow.mutable_side_effect";
    struct tl_lua_run *run = tl_run_of(L);
    struct effect_options options = {NULL};
    struct tl_str id;
    tl_command_check(L, what);
    luaL_checktype(L, 1, LUA_TSTRING);
    id.p = lua_tolstring(L, 1, &id.n);
    luaL_argcheck(L, id.n > 0, 1, "a mutable side effect has an id");
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 4);
    if (!lua_isnil(L, 3)) {
        luaL_checktype(L, 3, LUA_TFUNCTION);
    }
    TL_OPTIONS_READ(L, 4, what, effect_opts, (void *[]){&options}, tl_cmd_arena(L));
    push_entry(L, run, TL_SLOT_MUTABLE, id); /* index 5 */
    lua_Integer call = entry_integer(L, 5, "calls") + 1;
    set_integer(L, 5, "calls", call);
    if (run->replaying) {
        return replay_mutable(L, id, call, options.summary);
    }
    if (!call_apart(L, 2, 0, "the function of workflow.mutable_side_effect")) {
        return stop_here(L, what);
    }
    TpCommon__Payloads *values = encode_values(L, 6, "mutable side effect");
    lua_settop(L, 5);
    if (lua_getfield(L, 5, "value") == LUA_TSTRING) {
        int same = same_values(L, "the comparison of workflow.mutable_side_effect", values, 6);
        if (same < 0) {
            return stop_here(L, what);
        }
        if (same) {
            return push_values(L, take_encoded(L));
        }
    }
    push_encoded(L, values);
    lua_setfield(L, 5, "value");
    record(L, id, call, values, options.summary);
    return push_values(L, values);
}

/* --- versions --------------------------------------------------------------------------------- */

static lua_Integer check_version(lua_State *L, int arg)
{
    lua_Integer v = luaL_checkinteger(L, arg);
    luaL_argcheck(L, v >= TL_DEFAULT_VERSION && v <= INT32_MAX, arg,
                  "a version is a whole number from workflow.default_version (-1) on");
    return v;
}

static void record_version(lua_State *L, struct tl_str id, lua_Integer version)
{
    struct tl_cmd *cmd = tl_cmd_new(L, TL_CMD_SET_PATCH);
    cmd->u.patch.id = tl_arena_str(tl_cmd_arena(L), id);
    cmd->u.patch.numbered = true;
    cmd->u.patch.version = (int32_t)version;
    tl_cmd_need(L, (void *)(uintptr_t)cmd->u.patch.id.p);
}

/* version(id, min, max): the version of this change that the run began with; max for a run that gets
 * here for the first time. */
int tl_lib_wf_version(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    struct tl_str id;
    luaL_checktype(L, 1, LUA_TSTRING);
    id.p = lua_tolstring(L, 1, &id.n);
    luaL_argcheck(L, id.n > 0, 1, "a change has an id");
    lua_Integer least = check_version(L, 2), most = check_version(L, 3);
    luaL_argcheck(L, least <= most, 3, "the highest version is below the lowest");
    lua_settop(L, 3);
    tl_slot_table(L, run, TL_SLOT_VERSIONS);
    lua_pushvalue(L, 1);
    int kind = lua_rawget(L, 4);
    if (kind != LUA_TNUMBER) {
        tl_command_check(L, "workflow.version");
        lua_Integer version = kind == LUA_TSTRING ? lua_tointeger(L, -1)
                              : run->replaying    ? TL_DEFAULT_VERSION
                                                  : most;
        lua_pushinteger(L, version);
        lua_replace(L, 5);
        lua_pushvalue(L, 1);
        lua_pushvalue(L, 5);
        lua_rawset(L, 4);
        if (kind == LUA_TSTRING || !run->replaying) {
            record_version(L, id, version);
        }
    }
    lua_Integer version = lua_tointeger(L, 5);
    if (version < least || version > most) {
        return luaL_error(
            L,
            "workflow.version: this run has version %I of the change \"%s\", the code "
            "supports versions %I to %I; keep the code of that version until no run "
            "needs it",
            version, id.p, least, most);
    }
    return 1;
}
