/* Protobuf message -> Lua table. See pb_lua.h. Thread: the thread of the Lua state. */
#include <lauxlib.h>

#include "luahost/pb_lua.h"
#include "proto/json.h"
#include "proto/pb.h"
#include "proto/reflect.h"

/* What the data converter reads goes to Lua as encoded bytes. */
static bool stays_encoded(const ProtobufCMessageDescriptor *d)
{
    return strcmp(d->name, "temporal.api.common.v1.Payload") == 0 ||
           strcmp(d->name, "temporal.api.common.v1.Payloads") == 0 ||
           strcmp(d->name, "temporal.api.failure.v1.Failure") == 0;
}

static void push_encoded(lua_State *L, const ProtobufCMessage *msg)
{
    size_t n = protobuf_c_message_get_packed_size(msg);
    luaL_Buffer b;
    uint8_t *at = (uint8_t *)luaL_buffinitsize(L, &b, n);
    luaL_pushresultsize(&b, protobuf_c_message_pack(msg, at));
}

static void write_message(lua_State *L, const ProtobufCMessage *msg, enum tl_pb_lua_form form);

/* Timestamps and durations, which have the same fields, as seconds. */
static bool push_seconds(lua_State *L, const ProtobufCMessage *msg)
{
    if (strcmp(msg->descriptor->name, "google.protobuf.Timestamp") == 0) {
        const Google__Protobuf__Timestamp *t = (const Google__Protobuf__Timestamp *)msg;
        lua_pushnumber(L, (lua_Number)t->seconds + t->nanos / 1e9);
        return true;
    }
    if (strcmp(msg->descriptor->name, "google.protobuf.Duration") == 0) {
        const Google__Protobuf__Duration *d = (const Google__Protobuf__Duration *)msg;
        lua_pushnumber(L, (lua_Number)d->seconds + d->nanos / 1e9);
        return true;
    }
    return false;
}

static void push_message(lua_State *L, const ProtobufCMessage *msg, enum tl_pb_lua_form form)
{
    if (stays_encoded(msg->descriptor)) {
        push_encoded(L, msg);
    } else if (form == TL_PB_LUA_PLAIN || !push_seconds(L, msg)) {
        write_message(L, msg, form);
    }
}

/* Values that this program does not know stay numbers. */
static void push_enum(lua_State *L, const ProtobufCEnumDescriptor *desc, int value,
                      enum tl_pb_lua_form form)
{
    char word[128];
    size_t n = form == TL_PB_LUA_WORDS ? tl_json_enum_word(desc, value, word, sizeof word) : 0;
    if (n) {
        lua_pushlstring(L, word, n);
    } else {
        lua_pushinteger(L, value);
    }
}

#define AT(type) (*(const type *)at)

static void push_value(lua_State *L, const ProtobufCFieldDescriptor *f, const void *at,
                       enum tl_pb_lua_form form)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        lua_pushinteger(L, AT(int32_t));
        break;
    case PROTOBUF_C_TYPE_ENUM:
        push_enum(L, f->descriptor, AT(int32_t), form);
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        lua_pushinteger(L, AT(uint32_t));
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        lua_pushinteger(L, AT(lua_Integer));
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        lua_pushnumber(L, (lua_Number)AT(float));
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        lua_pushnumber(L, AT(double));
        break;
    case PROTOBUF_C_TYPE_BOOL:
        lua_pushboolean(L, AT(protobuf_c_boolean));
        break;
    case PROTOBUF_C_TYPE_STRING:
        lua_pushstring(L, AT(char *) ? AT(char *) : "");
        break;
    case PROTOBUF_C_TYPE_BYTES:
        lua_pushlstring(L, (const char *)AT(ProtobufCBinaryData).data, AT(ProtobufCBinaryData).len);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        push_message(L, AT(ProtobufCMessage *), form);
        break;
    }
}

/* A map entry without a value stands for the default (facts of protobuf-c: value may be NULL). */
static void push_map(lua_State *L, size_t count, ProtobufCMessage *const *entries,
                     enum tl_pb_lua_form form)
{
    lua_createtable(L, 0, (int)count);
    for (size_t i = 0; i < count; i++) {
        const ProtobufCMessageDescriptor *d = entries[i]->descriptor;
        const char *base = (const char *)entries[i];
        const void *value = base + d->fields[1].offset;
        if (d->fields[1].type == PROTOBUF_C_TYPE_MESSAGE && !*(ProtobufCMessage *const *)value) {
            continue;
        }
        push_value(L, &d->fields[0], base + d->fields[0].offset, form);
        push_value(L, &d->fields[1], value, form);
        lua_rawset(L, -3);
    }
}

static void push_repeated(lua_State *L, const ProtobufCMessage *msg,
                          const ProtobufCFieldDescriptor *f, enum tl_pb_lua_form form)
{
    size_t count = *(const size_t *)((const char *)msg + f->quantifier_offset);
    const char *list = *(const char *const *)((const char *)msg + f->offset);
    if (tl_pb_is_map(msg->descriptor, f)) {
        push_map(L, count, (ProtobufCMessage *const *)list, form);
        return;
    }
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        push_value(L, f, list + i * tl_pb_element_size(f->type), form);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static bool is_set(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f)
{
    const char *base = (const char *)msg;
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
        *(const uint32_t *)(base + f->quantifier_offset) != f->id) {
        return false;
    }
    return f->type != PROTOBUF_C_TYPE_MESSAGE ||
           *(ProtobufCMessage *const *)(base + f->offset) != NULL;
}

static void write_message(lua_State *L, const ProtobufCMessage *msg, enum tl_pb_lua_form form)
{
    const ProtobufCMessageDescriptor *d = msg->descriptor;
    luaL_checkstack(L, 8, "message nested too deeply");
    lua_createtable(L, 0, (int)d->n_fields);
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            push_repeated(L, msg, f, form);
        } else if (is_set(msg, f)) {
            push_value(L, f, (const char *)msg + f->offset, form);
        } else {
            continue;
        }
        lua_setfield(L, -2, f->name);
    }
}

void tl_pb_to_lua(lua_State *L, const ProtobufCMessage *msg, enum tl_pb_lua_form form)
{
    write_message(L, msg, form);
}
