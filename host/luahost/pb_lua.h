/* Protobuf messages as Lua tables, by reflection, for host scripts: fields under their snake_case
 * proto names, enums as integers (names accepted too), 64-bit numbers as integers, bytes as strings,
 * maps as tables, oneofs as the field that is set. A message field may also be given as a string of
 * encoded bytes; payloads and failures always come out that way, because the data converter, not
 * this file, knows what they mean.
 * Thread: the thread of the Lua state. */
#pragma once

#include <lua.h>
#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/error.h"

/* Reads the table at `index` into a message of type desc. Unknown fields and wrong types are
 * TL_EINVAL with the path of the field. The message lives in the arena. Raises nothing. */
tl_rc tl_pb_from_lua(lua_State *L, int index, const ProtobufCMessageDescriptor *desc,
                     struct tl_arena *arena, ProtobufCMessage **out,
                     struct tl_error *err) TL_MUST_USE;

/* What a message looks like in Lua. */
enum tl_pb_lua_form {
    TL_PB_LUA_PLAIN, /* as the protocol has it: enums are numbers, times { seconds, nanos } */
    TL_PB_LUA_WORDS, /* as people read it: enums are words ("timed_out"), times and durations seconds */
};

/* [-0, +1, m] Pushes the message as a table. Default values of plain fields are pushed as they are
 * (0, "", false); unset messages and oneofs are absent; repeated fields are always tables. */
void tl_pb_to_lua(lua_State *L, const ProtobufCMessage *msg, enum tl_pb_lua_form form);
