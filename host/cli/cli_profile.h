/* Values of options from the configuration file (config/profile.h), for commands that lead to a server.
 * Thread: main. */
#pragma once

#include "base/error.h"
#include "config/profile.h"

struct tl_cli_profile;

/* Owns: *out (tl_cli_profile_close). Errors: as tl_profile_load. */
tl_rc tl_cli_profile_open(struct tl_cli_profile **out, const struct tl_profile_source *source,
                          struct tl_error *err) TL_MUST_USE;
void tl_cli_profile_close(struct tl_cli_profile *p); /* NULL is fine */
/* Whether an option is one that the file or its variables can set. */
bool tl_cli_profile_knows(const char *option);
/* What the file says about an option; NULL: nothing. Borrowed from *p. */
const char *tl_cli_profile_text(const struct tl_cli_profile *p, const char *option);
/* The i-th header of grpc_meta as "name=value"; NULL behind the last. Borrowed from *p. */
const char *tl_cli_profile_meta(struct tl_cli_profile *p, size_t i);
