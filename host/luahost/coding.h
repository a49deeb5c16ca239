/* The codec chains of a connection, from the table that lua/temporal/converter.lua makes; and codecs
 * written in Lua. Thread: tl_host_coding_open on that of the lua_State. */
#pragma once

#include <lua.h>

#include "base/arena.h"
#include "base/error.h"
#include "codec/codec.h"
#include "proto/payload_context.h"
#include "rpc/rpc.h"

/* [-0, +0, v] Wraps the channel as the table at `index` says; nil: *out is NULL, nothing is wrapped.
 * The table: { codecs = { { kind = "aes_gcm" | "zlib" | "remote" | "lua", ... } }, storage = nil or
 * { drivers = { { kind = "file" | "http" | "lua", name, ... } }, selector, threshold }, threads,
 * headers, encode_common_attributes }; ns is the namespace of the connection. Modules of Lua codecs are loaded
 * now, once per coding thread, each into a stock state of its own with this state's package paths.
 * Errors: those of a codec's options, TL_ESCRIPT (a module does not load). */
tl_rc tl_host_coding_open(lua_State *L, int index, const char *ns, struct tl_channel *inner,
                          struct tl_channel **out, struct tl_error *err) TL_MUST_USE;
/* [-0, +0, v] The chain of codecs of such a table alone. Owns: *out, tl_codec_chain_deinit; on an error it is
 * empty. Errors: as above. */
tl_rc tl_host_coding_chain(lua_State *L, int index, const char *ns, struct tl_codec_chain *out,
                           struct tl_error *err) TL_MUST_USE;
/* [-0, +0, v] Decodes the payloads of a message that was recorded, with the codecs of such a table, in
 * place; context: whose it is, with the namespace; new parts come from the arena. May wait. Errors: as
 * above, those of the codecs. */
tl_rc tl_host_coding_decode(lua_State *L, int index, const struct tl_payload_context *context,
                            void *msg, struct tl_arena *arena, struct tl_error *err) TL_MUST_USE;
