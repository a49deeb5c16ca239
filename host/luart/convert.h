/* Lua values as Temporal's payloads and errors as its failures, both ways, and the data types that
 * scripts name in between: null, array, bytes, raw payloads, failures.
 *
 * convert.c is compiled twice: here for the sandbox VM (names tl_vm_*), and for the stock Lua by a
 * file of host/luahost that says `#define TL_STOCK_LUA` and includes luart/convert.c (names
 * tl_stock_*). This header follows the same switch and includes the Lua header that fits.
 *
 * JSON: integers as integers, floats with a fraction or exponent (1.0), so that both keep their type;
 * strings must be UTF-8 (temporal.bytes for anything else); keys sorted bytewise; empty tables are
 * objects unless made by temporal.array; holes, mixed tables, cycles, functions, NaN and infinities
 * are errors that name the path.
 *
 * Invariants: nothing here holds malloc'ed memory across a call into Lua (a run may be abandoned by
 * longjmp at any of them): all memory is the arena's or Lua's.
 * Errors: raised as Lua errors (strings with the path), so callers run under a protected call.
 * Thread: that of the lua_State. */
#pragma once

#include <temporal/api/common/v1/message.pb-c.h>
#include <temporal/api/failure/v1/message.pb-c.h>

#include "base/arena.h"
#include "base/buf.h"

#ifdef TL_STOCK_LUA
#include <lua.h>

#include <lauxlib.h>
#define TL_LUA_NAME(x) tl_stock_##x
#else
#include "luart/vm/vm.h"
#define TL_LUA_NAME(x) tl_vm_##x
#endif

/* --- types ------------------------------------------------------------------------------------ */

/* Pushes temporal.null: a light userdata that equals itself only. */
void TL_LUA_NAME(push_null)(lua_State *L);
bool TL_LUA_NAME(is_null)(lua_State *L, int index);
/* Pushes a bytes object (tostring gives its bytes). */
void TL_LUA_NAME(push_bytes)(lua_State *L, const char *p, size_t n);
/* The bytes of a bytes object, NULL when the value is none; borrowed from it. */
const char *TL_LUA_NAME(to_bytes)(lua_State *L, int index, size_t *n);
/* lua_CFunctions of the module `temporal`: null is pushed by push_null, the rest are calls. */
int TL_LUA_NAME(lib_array)(lua_State *L);        /* array([table]) -> table, encoded as [] */
int TL_LUA_NAME(lib_bytes)(lua_State *L);        /* bytes(string) */
int TL_LUA_NAME(lib_int)(lua_State *L);          /* int(number) -> integer, or an error */
int TL_LUA_NAME(lib_failure)(lua_State *L);      /* failure{ type =, message =, ... } */
int TL_LUA_NAME(lib_is_failure)(lua_State *L);   /* is_failure(err [, type]): through the causes */
int TL_LUA_NAME(lib_is_cancelled)(lua_State *L); /* is_cancelled(err): through the causes */
int TL_LUA_NAME(lib_is_array)(lua_State *L);     /* is_array(v) */
int TL_LUA_NAME(lib_json_encode)(lua_State *L);  /* json.encode(v) -> string */
int TL_LUA_NAME(lib_json_decode)(lua_State *L);  /* json.decode(s) -> value */

/* --- JSON ------------------------------------------------------------------------------------- */

/* Encodes the value at index into the arena. `what` opens the path in errors ("argument 1"). */
struct tl_str TL_LUA_NAME(json_encode)(lua_State *L, int index, struct tl_arena *arena,
                                       const char *what);
/* Pushes the decoded value. */
void TL_LUA_NAME(json_decode)(lua_State *L, struct tl_str text);

/* --- payloads --------------------------------------------------------------------------------- */

/* Encodes one value: raw payloads as they are, nil binary/null, what a user's converter takes as that
 * says, bytes binary/plain, else json/plain. Owns: the payload is the arena's. */
TpCommon__Payload *TL_LUA_NAME(payload_encode)(lua_State *L, int index, struct tl_arena *arena,
                                               const char *what);
/* Encodes the n values from stack index first on; n == 0 gives NULL. */
TpCommon__Payloads *TL_LUA_NAME(payloads_encode)(lua_State *L, int first, int n,
                                                 struct tl_arena *arena, const char *what);
/* Pushes the value of one payload; an encoding that nobody knows becomes a raw payload object. */
void TL_LUA_NAME(payload_decode)(lua_State *L, const TpCommon__Payload *payload);
/* The same without the user's converters, for what the server or the SDKs read: search attributes,
 * encoded attributes of failures. */
TpCommon__Payload *TL_LUA_NAME(payload_encode_own)(lua_State *L, int index, struct tl_arena *arena,
                                                   const char *what);
void TL_LUA_NAME(payload_decode_own)(lua_State *L, const TpCommon__Payload *payload);
/* Pushes the payload itself as a raw payload object: { metadata = { encoding = ... }, data = ... }. */
void TL_LUA_NAME(push_payload)(lua_State *L, const TpCommon__Payload *payload);
/* The payload that such a table at index stands for, which anybody may have made. */
TpCommon__Payload *TL_LUA_NAME(read_payload)(lua_State *L, int index, struct tl_arena *arena);
/* Pushes all values (NULL: none) and returns their number. */
int TL_LUA_NAME(payloads_decode)(lua_State *L, const TpCommon__Payloads *payloads);

/* --- converters of the user -----------------------------------------------------------------------
 * A payload converter is a table { encoding = text, to_payload = function(value, context) -> payload or
 * nil, from_payload = function(payload, context) -> value }, a failure converter { to_failure =
 * function(err, context) -> err or nil, from_failure = the same }. A list of them is kept per state; they
 * are called in the middle of encoding and decoding, and their errors are raised there, but for those of
 * to_failure, which become the failure. */

/* Appends what the module of this name returned (at index: a converter, or a list of them) to the list
 * table at `list`, empty before the first. Raises what is wrong with it. */
void TL_LUA_NAME(converters_add)(lua_State *L, int list, int index, const char *module);
/* [-1] The list on top, or nil, is what this state uses from now on. */
void TL_LUA_NAME(converters_use)(lua_State *L);
/* Whether this state has any. */
bool TL_LUA_NAME(converters_any)(lua_State *L);
#ifdef TL_STOCK_LUA
/* [-1] The table on top, or nil, is what they are told from now on of whose values they convert. Workflows:
 * tl_context_begin and its kin. */
void tl_stock_converters_context(lua_State *L);
#endif

/* --- failures --------------------------------------------------------------------------------- */

/* Pushes the failure as an error table: kind, type, message, cause, details, ... */
void TL_LUA_NAME(failure_decode)(lua_State *L, const TpFailure__Failure *failure);
/* The error value at index as a failure: error tables by their kind, anything else an application
 * failure with the text of the value (type "LuaError"). Owns: the arena's. */
TpFailure__Failure *TL_LUA_NAME(failure_encode)(lua_State *L, int index, struct tl_arena *arena);
/* Pushes a new error table of a kind ("CancelledError", "TimeoutError") with a message. */
void TL_LUA_NAME(push_error)(lua_State *L, const char *kind, const char *message);
/* [-1, +1] The same with the message on top, which may hold NUL bytes. */
void TL_LUA_NAME(wrap_error)(lua_State *L, const char *kind);
/* Whether the value is an error table made here. */
bool TL_LUA_NAME(is_error)(lua_State *L, int index);
/* Whether the value is an error of this kind or type, or has one among its causes. */
bool TL_LUA_NAME(error_has)(lua_State *L, int index, const char *kind);
