/* External storage written in Lua. Private to luahost. Thread: the coding thread that owns it. */
#pragma once

#include "codec/storage.h"

/* A driver: a module with store(bytes, context) -> claim, a table of texts, and retrieve(claim, context) ->
 * bytes; the context: tl_hook_push_context.
 * Errors: TL_ESCRIPT. */
tl_rc tl_storage_lua(struct tl_storage_driver **out, const char *module, const char *path,
                     const char *cpath, struct tl_error *err) TL_MUST_USE;
/* A selector: a module with select{ size =, metadata = { name = text }, context = } -> a driver's name, or nil. The
 * names are borrowed. Errors: TL_ESCRIPT. */
tl_rc tl_storage_selector_lua(struct tl_storage_selector *out, const char *module, const char *path,
                              const char *cpath, const char *const *names, size_t n,
                              struct tl_error *err) TL_MUST_USE;
