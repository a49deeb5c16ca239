/* The gRPC library itself. Programs are linked with it; for the Lua C module, which many a process loads that never
 * talks gRPC, it and its fifty companions are loaded with the first channel or port. Thread: any. */
#pragma once

#include "base/error.h"

/* To be called before anything else of the library; it stays until the process ends. In the Lua C module made by
 * tools/gen/grpc_lazy.lua, elsewhere by library.c.
 * Errors: TL_EUNAVAILABLE (it is not there, or too old): the message names its file. */
tl_rc tl_grpc_library_load(struct tl_error *err) TL_MUST_USE;
