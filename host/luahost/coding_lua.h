/* Payload codecs written in Lua. Private to luahost. Thread: the coding thread that owns the codec. */
#pragma once

#include "codec/codec.h"

/* Loads the module into a stock state of its own; path and cpath as package.path and package.cpath.
 * The module is a table of functions encode(payloads) and decode(payloads), which take and return a
 * list of { metadata = { name = text }, data = text }. Errors: TL_ESCRIPT. */
tl_rc tl_codec_lua(struct tl_codec **out, const char *module, const char *path, const char *cpath,
                   struct tl_error *err) TL_MUST_USE;
