/* Memo and search attributes: what a run upserts, the keys and typed values of search attributes, and both
 * as options of calls. See sandbox.def.
 * Thread: the run's. Owner: commands are the activation arena's. */
#include <stdlib.h>
#include <string.h>

#include "luart/options.h"
#include "luart/wf.h"
#include "proto/pb.h"

#define META_SEARCH "temporal.search_attribute"
#define META_KEY "temporal.search_attribute_key"
#define META_UPDATE "temporal.search_attribute_update"

/* --- fields: memo and search attributes ------------------------------------------------------- */

/* Both maps have entries { base, char *key, Payload *value }. */
typedef TpCommon__Memo__FieldsEntry field_entry;
_Static_assert(sizeof(field_entry) == sizeof(TpCommon__SearchAttributes__IndexedFieldsEntry) &&
                   offsetof(field_entry, key) ==
                       offsetof(TpCommon__SearchAttributes__IndexedFieldsEntry, key) &&
                   offsetof(field_entry, value) ==
                       offsetof(TpCommon__SearchAttributes__IndexedFieldsEntry, value),
               "map entries have one layout");

struct fields {
    const ProtobufCMessageDescriptor *entry;
    struct tl_pb_list list;
};

static void add_field(lua_State *L, struct fields *f, struct tl_str key, TpCommon__Payload *value)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    field_entry **items = f->list.items;
    for (size_t i = 0; i < f->list.n; i++) {
        if (tl_str_eqc(key, items[i]->key)) {
            items[i]->value = value;
            return;
        }
    }
    field_entry *e = tl_cmd_need(L, tl_pb_new(arena, f->entry));
    e->key = tl_cmd_need(L, tl_pb_cstr(arena, key));
    e->value = value;
    if (!tl_pb_push(arena, &f->list, e)) {
        tl_cmd_need(L, NULL);
    }
}

static int field_cmp(const void *a, const void *b)
{
    const field_entry *const *x = a, *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

/* A removed field is binary/null. */
static bool is_removed(const TpCommon__Payload *p)
{
    TpCommon__Payload__MetadataEntry *e = TL_PB_MAP_GET(
        TpCommon__Payload__MetadataEntry, p->n_metadata, p->metadata, TL_STR_LIT("encoding"));
    return e && tl_str_eqc(tl_pb_str(e->value), "binary/null");
}

/* Merges what was upserted (kept in slot as name -> encoded payload), sorts, and drops removed. */
static void merge_upserted(lua_State *L, struct fields *f, enum tl_slot slot)
{
    struct tl_lua_run *run = tl_run_of(L);
    int top = lua_gettop(L);
    tl_slot_push(L, run, slot);
    if (lua_istable(L, -1)) {
        lua_pushnil(L);
        while (lua_next(L, top + 1)) {
            struct tl_str key, bytes;
            struct tl_error err;
            TpCommon__Payload *p = NULL;
            key.p = lua_tolstring(L, -2, &key.n);
            bytes.p = lua_tolstring(L, -1, &bytes.n);
            if (tl_pb_decode(&tp_common__payload__descriptor, bytes, tl_cmd_arena(L), &p, &err) !=
                TL_OK) {
                luaL_error(L, "%s", err.message);
            }
            add_field(L, f, key, p);
            lua_pop(L, 1);
        }
    }
    lua_settop(L, top);
    field_entry **items = f->list.items;
    size_t n = 0;
    for (size_t i = 0; i < f->list.n; i++) {
        if (!is_removed(items[i]->value)) {
            items[n++] = items[i];
        }
    }
    f->list.n = n;
    if (n) {
        qsort(items, n, sizeof *items, field_cmp);
    }
}

TpCommon__Memo *tl_wf_memo(lua_State *L)
{
    const TpCommon__Memo *from = tl_run_started(L)->memo;
    struct fields f = {&tp_common__memo__fields_entry__descriptor, {0}};
    for (size_t i = 0; from && i < from->n_fields; i++) {
        add_field(L, &f, tl_str(from->fields[i]->key), from->fields[i]->value);
    }
    merge_upserted(L, &f, TL_SLOT_MEMO);
    TpCommon__Memo *memo =
        tl_cmd_need(L, TL_PB_NEW(tl_cmd_arena(L), TpCommon__Memo, tp_common__memo));
    memo->n_fields = f.list.n;
    memo->fields = f.list.items;
    return memo;
}

TpCommon__SearchAttributes *tl_wf_search_attributes(lua_State *L)
{
    const TpCommon__SearchAttributes *from = tl_run_started(L)->search_attributes;
    struct fields f = {&tp_common__search_attributes__indexed_fields_entry__descriptor, {0}};
    for (size_t i = 0; from && i < from->n_indexed_fields; i++) {
        add_field(L, &f, tl_str(from->indexed_fields[i]->key), from->indexed_fields[i]->value);
    }
    merge_upserted(L, &f, TL_SLOT_SEARCH);
    TpCommon__SearchAttributes *out = tl_cmd_need(
        L, TL_PB_NEW(tl_cmd_arena(L), TpCommon__SearchAttributes, tp_common__search_attributes));
    out->n_indexed_fields = f.list.n;
    out->indexed_fields = f.list.items;
    return out;
}

/* --- typed search attributes ------------------------------------------------------------------ */

/* The protocol's names; behind them, in the same order, as enums are spelled in Lua. */
static const char *const search_types[] = {
    "Text",    "Keyword", "Int",    "Double", "Bool",     "Datetime",     "KeywordList", "text",
    "keyword", "int",     "double", "bool",   "datetime", "keyword_list", NULL};
#define SEARCH_TYPES 7

static bool has_meta(lua_State *L, int index, const char *name)
{
    if (!lua_istable(L, index) || !lua_getmetatable(L, index)) {
        return false;
    }
    luaL_getmetatable(L, name);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

/* Gives the table on top a metatable of this name, which scripts do not see. */
static void set_meta(lua_State *L, const char *name)
{
    if (luaL_newmetatable(L, name)) {
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
}

/* Pushes { type =, value = } for the value at index. */
static void push_typed(lua_State *L, int type, int index)
{
    lua_createtable(L, 0, 2);
    lua_pushstring(L, search_types[type]);
    lua_setfield(L, -2, "type");
    lua_pushvalue(L, index);
    lua_setfield(L, -2, "value");
    set_meta(L, META_SEARCH);
}

/* temporal.search_attribute(type, value): for types that a Lua value does not tell. */
int tl_lib_search_attribute(lua_State *L)
{
    int type = luaL_checkoption(L, 1, NULL, search_types) % SEARCH_TYPES;
    luaL_checkany(L, 2);
    lua_settop(L, 2);
    push_typed(L, type, 2);
    return 1;
}

/* --- keys of search attributes ---------------------------------------------------------------- */

/* The type of the key at index 1. */
static int key_type(lua_State *L, const char *method)
{
    if (!has_meta(L, 1, META_KEY)) {
        luaL_error(L, "key:%s: call it with a colon, on what temporal.search_attribute_key gave",
                   method);
    }
    lua_getfield(L, 1, "type");
    int type = luaL_checkoption(L, -1, NULL, search_types) % SEARCH_TYPES;
    lua_pop(L, 1);
    return type;
}

/* Pushes what changes the attribute of the key at index 1 to the value on top (popped). */
static int push_update(lua_State *L)
{
    lua_createtable(L, 0, 2);
    lua_insert(L, -2);
    lua_setfield(L, -2, "value");
    lua_getfield(L, 1, "name");
    lua_setfield(L, -2, "name");
    set_meta(L, META_UPDATE);
    return 1;
}

static bool value_fits(lua_State *L, int type)
{
    switch (type) {
    case 2: /* Int */
        return lua_isinteger(L, 2);
    case 3: /* Double */
        return lua_type(L, 2) == LUA_TNUMBER;
    case 4: /* Bool */
        return lua_isboolean(L, 2);
    case 6: /* KeywordList */
        return lua_istable(L, 2);
    default:
        return lua_type(L, 2) == LUA_TSTRING;
    }
}

static int key_value_set(lua_State *L)
{
    int type = key_type(L, "value_set");
    lua_settop(L, 2);
    if (!value_fits(L, type)) {
        lua_getfield(L, 1, "name");
        return luaL_error(L, "search attribute %s is of type %s, got a %s", lua_tostring(L, -1),
                          search_types[type + SEARCH_TYPES], luaL_typename(L, 2));
    }
    push_typed(L, type, 2);
    return push_update(L);
}

static int key_value_unset(lua_State *L)
{
    key_type(L, "value_unset");
    lua_settop(L, 1);
    tl_vm_push_null(L);
    return push_update(L);
}

/* key:get(search_attributes [, default]) */
static int key_get(lua_State *L)
{
    key_type(L, "get");
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 3);
    lua_getfield(L, 1, "name");
    if (lua_rawget(L, 2) == LUA_TNIL) {
        lua_pushvalue(L, 3);
    }
    return 1;
}

/* temporal.search_attribute_key(name, type) */
int tl_lib_search_attribute_key(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"value_set", key_value_set}, {"value_unset", key_value_unset}, {"get", key_get}};
    luaL_checkstring(L, 1);
    int type = luaL_checkoption(L, 2, NULL, search_types) % SEARCH_TYPES;
    lua_settop(L, 1);
    lua_createtable(L, 0, 5);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, search_types[type + SEARCH_TYPES]);
    lua_setfield(L, -2, "type");
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        lua_pushcfunction(L, methods[i].func);
        lua_setfield(L, -2, methods[i].name);
    }
    set_meta(L, META_KEY);
    return 1;
}

/* Key and value on top: a list item that a key made becomes its name and its value. */
static void open_update(lua_State *L)
{
    if (lua_isinteger(L, -2) && has_meta(L, -1, META_UPDATE)) {
        lua_getfield(L, -1, "name");
        lua_getfield(L, -2, "value");
        lua_replace(L, -3);
        lua_replace(L, -3);
    }
}

/* The type that the value on top has by itself. */
static const char *inferred_type(lua_State *L, const char *key)
{
    switch (lua_type(L, -1)) {
    case LUA_TBOOLEAN:
        return "Bool";
    case LUA_TNUMBER:
        return lua_isinteger(L, -1) ? "Int" : "Double";
    case LUA_TSTRING:
        return "Keyword";
    case LUA_TTABLE:
        return "KeywordList";
    default:
        luaL_error(L, "search attribute %s: a %s has no search attribute type", key,
                   luaL_typename(L, -1));
        return NULL;
    }
}

/* The payload for the value on top: JSON with the type beside it; null removes. */
static TpCommon__Payload *search_payload(lua_State *L, const char *key)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    const char *type = NULL;
    int top = lua_gettop(L);
    lua_pushvalue(L, -1);
    if (has_meta(L, -1, META_SEARCH)) {
        lua_getfield(L, -1, "type");
        type = lua_tostring(L, -1);
        lua_pop(L, 1); /* the table keeps it */
        lua_getfield(L, -1, "value");
    }
    TpCommon__Payload *p;
    if (tl_vm_is_null(L, -1)) {
        lua_pushnil(L);
        p = tl_vm_payload_encode_own(L, -1, arena, key);
    } else {
        type = type ? type : inferred_type(L, key);
        p = tl_vm_payload_encode_own(L, -1, arena, key);
    }
    if (type) {
        TpCommon__Payload__MetadataEntry **both =
            tl_cmd_need(L, TL_ARENA_ARRAY(arena, TpCommon__Payload__MetadataEntry *, 2));
        TpCommon__Payload__MetadataEntry *e =
            tl_cmd_need(L, TL_PB_NEW(arena, TpCommon__Payload__MetadataEntry,
                                     tp_common__payload__metadata_entry));
        bool ok = true;
        e->key = tl_cmd_need(L, tl_pb_cstr(arena, TL_STR_LIT("type")));
        e->value = tl_pb_bytes(arena, tl_str(type), &ok);
        tl_cmd_need(L, ok ? e : NULL);
        both[0] = p->metadata[0];
        both[1] = e;
        p->metadata = both;
        p->n_metadata = 2;
    }
    lua_settop(L, top);
    return p;
}

/* Collects the table at index 1 as fields, and keeps them in slot. Raises when it is empty. */
static void take_fields(lua_State *L, const char *what, struct fields *f, enum tl_slot slot,
                        bool search)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    tl_command_check(L, what);
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_pushcfunction(L, tl_lib_pairs); /* so that the first error is always the same one */
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    while (lua_pushvalue(L, 2), lua_call(L, 0, 2), !lua_isnil(L, -2)) {
        struct tl_str key, bytes;
        struct tl_error err;
        TpCommon__Payload *p;
        if (search) {
            open_update(L);
        }
        if (lua_type(L, 3) != LUA_TSTRING) {
            luaL_error(L, "%s: names must be strings, got a %s", what, luaL_typename(L, 3));
        }
        key.p = lua_tolstring(L, 3, &key.n);
        if (search) {
            p = search_payload(L, key.p);
        } else {
            if (tl_vm_is_null(L, -1)) {
                lua_pushnil(L);
            }
            p = tl_vm_payload_encode(L, -1, arena, key.p);
        }
        add_field(L, f, key, p);
        if (tl_pb_encode_arena(p, arena, &bytes, &err) != TL_OK) {
            luaL_error(L, "%s: %s", what, err.message);
        }
        lua_settop(L, 3);
        tl_slot_table(L, tl_run_of(L), slot);
        lua_pushvalue(L, 3);
        lua_pushlstring(L, bytes.p, bytes.n);
        lua_rawset(L, 4);
        lua_settop(L, 2);
    }
    luaL_argcheck(L, f->list.n > 0, 1, "no fields given");
}

int tl_lib_wf_upsert_memo(lua_State *L)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    struct fields f = {&tp_common__memo__fields_entry__descriptor, {0}};
    struct tl_event_groups groups = tl_event_groups_option(L, 2, "workflow.upsert_memo");
    take_fields(L, "workflow.upsert_memo", &f, TL_SLOT_MEMO, false);
    TpCommand__ModifyWorkflowPropertiesCommandAttributes *attrs =
        tl_cmd_need(L, TL_PB_NEW(arena, TpCommand__ModifyWorkflowPropertiesCommandAttributes,
                                 tp_command__modify_workflow_properties_command_attributes));
    attrs->upserted_memo = tl_cmd_need(L, TL_PB_NEW(arena, TpCommon__Memo, tp_common__memo));
    attrs->upserted_memo->n_fields = f.list.n;
    attrs->upserted_memo->fields = f.list.items;
    struct tl_cmd *cmd = tl_cmd_new(L, TL_CMD_MODIFY_PROPERTIES);
    cmd->attrs = &attrs->base;
    tl_event_groups_add(L, cmd, &groups);
    return 0;
}

int tl_lib_wf_upsert_search_attributes(lua_State *L)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    struct fields f = {&tp_common__search_attributes__indexed_fields_entry__descriptor, {0}};
    struct tl_event_groups groups =
        tl_event_groups_option(L, 2, "workflow.upsert_search_attributes");
    take_fields(L, "workflow.upsert_search_attributes", &f, TL_SLOT_SEARCH, true);
    TpCommand__UpsertWorkflowSearchAttributesCommandAttributes *attrs =
        tl_cmd_need(L, TL_PB_NEW(arena, TpCommand__UpsertWorkflowSearchAttributesCommandAttributes,
                                 tp_command__upsert_workflow_search_attributes_command_attributes));
    attrs->search_attributes =
        tl_cmd_need(L, TL_PB_NEW(arena, TpCommon__SearchAttributes, tp_common__search_attributes));
    attrs->search_attributes->n_indexed_fields = f.list.n;
    attrs->search_attributes->indexed_fields = f.list.items;
    struct tl_cmd *cmd = tl_cmd_new(L, TL_CMD_UPSERT_SEARCH_ATTRIBUTES);
    cmd->attrs = &attrs->base;
    tl_event_groups_add(L, cmd, &groups);
    return 0;
}

/* Collects field `key` of the options at index into f; false when it is not given. */
static bool option_fields(lua_State *L, int index, const char *what, const char *key,
                          struct fields *f, bool search)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    int top = lua_gettop(L);
    luaL_checkstack(L, 8, NULL);
    if (!lua_istable(L, index) || lua_getfield(L, index, key) == LUA_TNIL) {
        lua_settop(L, top);
        return false;
    }
    lua_pushnil(L);
    while (lua_next(L, top + 1)) {
        struct tl_str name;
        lua_pushvalue(L, -2); /* the key below stays for lua_next */
        lua_pushvalue(L, -2);
        if (search) {
            open_update(L);
        }
        if (lua_type(L, -2) != LUA_TSTRING) {
            luaL_error(L, "%s: %s: names must be strings", what, key);
        }
        name.p = lua_tolstring(L, -2, &name.n);
        add_field(L, f, name,
                  search ? search_payload(L, name.p) : tl_vm_payload_encode(L, -1, arena, name.p));
        lua_pop(L, 3);
    }
    if (f->list.n) {
        qsort(f->list.items, f->list.n, sizeof(void *), field_cmp);
    }
    lua_settop(L, top);
    return true;
}

TpCommon__Memo *tl_wf_option_memo(lua_State *L, int index, const char *what)
{
    struct fields f = {&tp_common__memo__fields_entry__descriptor, {0}};
    if (!option_fields(L, index, what, "memo", &f, false)) {
        return NULL;
    }
    TpCommon__Memo *memo =
        tl_cmd_need(L, TL_PB_NEW(tl_cmd_arena(L), TpCommon__Memo, tp_common__memo));
    memo->n_fields = f.list.n;
    memo->fields = f.list.items;
    return memo;
}

TpCommon__SearchAttributes *tl_wf_option_search_attributes(lua_State *L, int index,
                                                           const char *what)
{
    struct fields f = {&tp_common__search_attributes__indexed_fields_entry__descriptor, {0}};
    if (!option_fields(L, index, what, "search_attributes", &f, true)) {
        return NULL;
    }
    TpCommon__SearchAttributes *out = tl_cmd_need(
        L, TL_PB_NEW(tl_cmd_arena(L), TpCommon__SearchAttributes, tp_common__search_attributes));
    out->n_indexed_fields = f.list.n;
    out->indexed_fields = f.list.items;
    return out;
}
