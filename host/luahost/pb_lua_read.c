/* Lua table -> protobuf message. See pb_lua.h. Thread: the thread of the Lua state. */
#include <lauxlib.h>

#include "luahost/pb_lua.h"
#include "proto/pb.h"
#include "proto/reflect.h"

#define DEPTH_MAX 64

struct reader {
    lua_State *L;
    struct tl_arena *arena;
    struct tl_error *err;
    int depth;
};

static tl_rc read_message(struct reader *r, int index, const ProtobufCMessageDescriptor *desc,
                          ProtobufCMessage **out);

static tl_rc wrong(struct reader *r, const ProtobufCFieldDescriptor *f, int index, const char *want)
{
    return tl_error_set(r->err, TL_EINVAL, "field '%s' wants %s, got %s", f->name, want,
                        luaL_typename(r->L, index));
}

static tl_rc no_memory(struct reader *r)
{
    return tl_error_set(r->err, TL_ELIMIT, "request is larger than its memory limit");
}

static tl_rc read_integer(struct reader *r, int index, const ProtobufCFieldDescriptor *f,
                          lua_Integer *out)
{
    int ok;
    lua_Integer v = lua_tointegerx(r->L, index, &ok);
    if (!ok || lua_type(r->L, index) != LUA_TNUMBER) {
        return wrong(r, f, index, "an integer");
    }
    *out = v;
    return TL_OK;
}

static tl_rc read_enum(struct reader *r, int index, const ProtobufCFieldDescriptor *f, int32_t *out)
{
    if (lua_type(r->L, index) != LUA_TSTRING) {
        lua_Integer v;
        tl_rc rc = read_integer(r, index, f, &v);
        if (rc == TL_OK && (v < INT32_MIN || v > INT32_MAX)) {
            rc = tl_error_set(r->err, TL_EINVAL, "field '%s': enum number out of range", f->name);
        }
        *out = (int32_t)v;
        return rc;
    }
    const ProtobufCEnumValue *value =
        protobuf_c_enum_descriptor_get_value_by_name(f->descriptor, lua_tostring(r->L, index));
    if (!value) {
        return tl_error_set(r->err, TL_EINVAL, "field '%s': '%s' is not one of its names", f->name,
                            lua_tostring(r->L, index));
    }
    *out = value->value;
    return TL_OK;
}

static tl_rc read_bytes(struct reader *r, int index, const ProtobufCFieldDescriptor *f,
                        struct tl_str *out)
{
    size_t n;
    if (lua_type(r->L, index) != LUA_TSTRING) {
        return wrong(r, f, index, "a string");
    }
    const char *p = lua_tolstring(r->L, index, &n);
    *out = tl_arena_str(r->arena, tl_str_n(p, n));
    return out->p ? TL_OK : no_memory(r);
}

static tl_rc read_text(struct reader *r, int index, const ProtobufCFieldDescriptor *f, void *at)
{
    struct tl_str s;
    tl_rc rc = read_bytes(r, index, f, &s);
    if (rc != TL_OK) {
        return rc;
    }
    if (s.n && memchr(s.p, 0, s.n)) {
        return tl_error_set(r->err, TL_EINVAL, "field '%s' holds a NUL byte", f->name);
    }
    memcpy(at, &s.p, sizeof s.p);
    return TL_OK;
}

static tl_rc read_number(struct reader *r, int index, const ProtobufCFieldDescriptor *f,
                         double *out)
{
    int ok;
    *out = lua_tonumberx(r->L, index, &ok);
    return ok ? TL_OK : wrong(r, f, index, "a number");
}

static tl_rc read_32(struct reader *r, int index, const ProtobufCFieldDescriptor *f, bool is_signed,
                     void *at)
{
    lua_Integer v;
    tl_rc rc = read_integer(r, index, f, &v);
    if (rc != TL_OK) {
        return rc;
    }
    if (is_signed ? v < INT32_MIN || v > INT32_MAX : v < 0 || v > UINT32_MAX) {
        return tl_error_set(r->err, TL_EINVAL, "field '%s': %lld does not fit 32 bits", f->name,
                            (long long)v);
    }
    uint32_t bits = (uint32_t)v;
    memcpy(at, &bits, sizeof bits);
    return TL_OK;
}

/* One value of the field's type into *at (the storage of a singular field or an array element). */
static tl_rc read_value(struct reader *r, int index, const ProtobufCFieldDescriptor *f, void *at)
{
    lua_Integer i = 0;
    double d = 0;
    float single;
    int32_t e = 0;
    struct tl_str s;
    protobuf_c_boolean flag;
    tl_rc rc;
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return read_32(r, index, f, true, at);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return read_32(r, index, f, false, at);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        rc = read_integer(r, index, f, &i);
        memcpy(at, &i, sizeof i);
        return rc;
    case PROTOBUF_C_TYPE_FLOAT:
        rc = read_number(r, index, f, &d);
        single = (float)d;
        memcpy(at, &single, sizeof single);
        return rc;
    case PROTOBUF_C_TYPE_DOUBLE:
        rc = read_number(r, index, f, &d);
        memcpy(at, &d, sizeof d);
        return rc;
    case PROTOBUF_C_TYPE_BOOL:
        if (!lua_isboolean(r->L, index)) {
            return wrong(r, f, index, "a boolean");
        }
        flag = lua_toboolean(r->L, index);
        memcpy(at, &flag, sizeof flag);
        return TL_OK;
    case PROTOBUF_C_TYPE_ENUM:
        rc = read_enum(r, index, f, &e);
        memcpy(at, &e, sizeof e);
        return rc;
    case PROTOBUF_C_TYPE_STRING:
        return read_text(r, index, f, at);
    case PROTOBUF_C_TYPE_BYTES:
        rc = read_bytes(r, index, f, &s);
        if (rc == TL_OK) {
            ProtobufCBinaryData data = {s.n, (uint8_t *)(uintptr_t)s.p};
            memcpy(at, &data, sizeof data);
        }
        return rc;
    case PROTOBUF_C_TYPE_MESSAGE:
        return read_message(r, index, f->descriptor, (ProtobufCMessage **)at);
    }
    return tl_error_set(r->err, TL_EINVAL, "field '%s' has an unknown type", f->name);
}

static tl_rc add_entry(struct reader *r, const ProtobufCMessageDescriptor *desc, int key, int value,
                       ProtobufCMessage **out)
{
    ProtobufCMessage *entry = tl_arena_alloc(r->arena, desc->sizeof_message);
    if (!entry) {
        return no_memory(r);
    }
    protobuf_c_message_init(desc, entry);
    tl_rc rc = read_value(r, key, &desc->fields[0], (char *)entry + desc->fields[0].offset);
    if (rc == TL_OK) {
        rc = read_value(r, value, &desc->fields[1], (char *)entry + desc->fields[1].offset);
    }
    *out = entry;
    return rc;
}

/* Maps come out in the order of lua_next; a map has no order on the wire. */
static tl_rc read_map(struct reader *r, int index, const ProtobufCFieldDescriptor *f,
                      ProtobufCMessage *msg)
{
    lua_State *L = r->L;
    size_t count = 0, at = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        count++;
    }
    ProtobufCMessage **list = TL_ARENA_ARRAY(r->arena, ProtobufCMessage *, count);
    if (!list) {
        return no_memory(r);
    }
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        int top = lua_gettop(L);
        tl_rc rc = add_entry(r, f->descriptor, top - 1, top, &list[at++]);
        if (rc != TL_OK) {
            return rc;
        }
    }
    memcpy((char *)msg + f->quantifier_offset, &count, sizeof count);
    memcpy((char *)msg + f->offset, &list, sizeof list);
    return TL_OK;
}

static tl_rc read_repeated(struct reader *r, int index, const ProtobufCFieldDescriptor *f,
                           ProtobufCMessage *msg)
{
    if (!lua_istable(r->L, index)) {
        return wrong(r, f, index, "a list");
    }
    if (tl_pb_is_map(msg->descriptor, f)) {
        return read_map(r, index, f, msg);
    }
    size_t count = (size_t)lua_rawlen(r->L, index), size = tl_pb_element_size(f->type);
    char *list = tl_arena_alloc(r->arena, count * size);
    if (!list) {
        return no_memory(r);
    }
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(r->L, index, (lua_Integer)i + 1);
        tl_rc rc = read_value(r, lua_gettop(r->L), f, list + i * size);
        lua_pop(r->L, 1);
        if (rc != TL_OK) {
            return tl_error_wrap(r->err, rc, "element %zu", i + 1);
        }
    }
    memcpy((char *)msg + f->quantifier_offset, &count, sizeof count);
    memcpy((char *)msg + f->offset, &list, sizeof list);
    return TL_OK;
}

static tl_rc read_field(struct reader *r, int index, const ProtobufCFieldDescriptor *f,
                        ProtobufCMessage *msg)
{
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        return read_repeated(r, index, f, msg);
    }
    tl_rc rc = read_value(r, index, f, (char *)msg + f->offset);
    if (rc == TL_OK && (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)) {
        uint32_t which = f->id;
        memcpy((char *)msg + f->quantifier_offset, &which, sizeof which);
    }
    return rc;
}

static tl_rc read_fields(struct reader *r, int index, ProtobufCMessage *msg)
{
    lua_State *L = r->L;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING) {
            return tl_error_set(r->err, TL_EINVAL, "%s has a key that is not a field name",
                                msg->descriptor->short_name);
        }
        const char *key = lua_tostring(L, -2);
        const ProtobufCFieldDescriptor *f =
            protobuf_c_message_descriptor_get_field_by_name(msg->descriptor, key);
        if (!f) {
            return tl_error_set(r->err, TL_EINVAL, "%s has no field '%s'",
                                msg->descriptor->short_name, key);
        }
        tl_rc rc = read_field(r, lua_gettop(L), f, msg);
        if (rc != TL_OK) {
            return rc;
        }
    }
    return TL_OK;
}

static tl_rc read_message(struct reader *r, int index, const ProtobufCMessageDescriptor *desc,
                          ProtobufCMessage **out)
{
    if (lua_type(r->L, index) == LUA_TSTRING) {
        size_t n;
        const char *p = lua_tolstring(r->L, index, &n);
        struct tl_str bytes = tl_arena_str(r->arena, tl_str_n(p, n));
        return bytes.p ? tl_pb_decode(desc, bytes, r->arena, out, r->err) : no_memory(r);
    }
    if (!lua_istable(r->L, index)) {
        return tl_error_set(r->err, TL_EINVAL, "%s wants a table, got %s", desc->short_name,
                            luaL_typename(r->L, index));
    }
    if (r->depth >= DEPTH_MAX || !lua_checkstack(r->L, 8)) {
        return tl_error_set(r->err, TL_EINVAL, "%s is nested too deeply", desc->short_name);
    }
    ProtobufCMessage *msg = tl_arena_alloc(r->arena, desc->sizeof_message);
    if (!msg) {
        return no_memory(r);
    }
    protobuf_c_message_init(desc, msg);
    *out = msg;
    int top = lua_gettop(r->L);
    r->depth++;
    tl_rc rc = read_fields(r, index, msg);
    r->depth--;
    lua_settop(r->L, top);
    return rc;
}

tl_rc tl_pb_from_lua(lua_State *L, int index, const ProtobufCMessageDescriptor *desc,
                     struct tl_arena *arena, ProtobufCMessage **out, struct tl_error *err)
{
    struct reader r = {L, arena, err, 0};
    return read_message(&r, lua_absindex(L, index), desc, out);
}
