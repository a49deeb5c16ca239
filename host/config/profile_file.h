/* The file of profile.h in memory, to be shown and changed: `profile` and a property name a value, as
 * "address", "tls.server_name", "grpc_meta.NAME"; "tls" is true when the profile has that table.
 * Writing keeps keys that are not known, but no comments. Thread: any. */
#pragma once

#include "config/profile.h"

struct tl_profile_file; /* lives in its arena, with every text that is given out */

enum tl_prop_kind { TL_PROP_UNKNOWN, TL_PROP_TEXT, TL_PROP_SWITCH };

/* A file that is not there is an empty one. Errors: TL_EINVAL (no TOML), TL_EIO, TL_ELIMIT. */
tl_rc tl_profile_file_open(const char *path, struct tl_arena *arena, struct tl_profile_file **out,
                           struct tl_error *err) TL_MUST_USE;
/* Errors: TL_EIO, TL_ELIMIT. */
tl_rc tl_profile_file_save(const struct tl_profile_file *f, struct tl_error *err) TL_MUST_USE;

/* The i-th profile in the order of names; NULL behind the last. */
const char *tl_profile_file_name(struct tl_profile_file *f, size_t i);
bool tl_profile_file_has(const struct tl_profile_file *f, const char *profile);
enum tl_prop_kind tl_profile_prop_kind(const char *property);
/* A property with a name near this one; NULL: none. */
const char *tl_profile_prop_near(const char *property);
/* The i-th property that the profile sets, in the order of names; NULL behind the last. */
const char *tl_profile_file_prop(struct tl_profile_file *f, const char *profile, size_t i);
/* "true", "false" or the text; NULL when it is not set ("tls": never NULL). */
const char *tl_profile_file_get(struct tl_profile_file *f, const char *profile,
                                const char *property);
/* The property must be known; makes the profile. Errors: TL_EINVAL (a switch that is neither true nor
 * false), TL_ELIMIT. */
tl_rc tl_profile_file_set(struct tl_profile_file *f, const char *profile, const char *property,
                          const char *text, struct tl_error *err) TL_MUST_USE;
/* False: it was not set. */
bool tl_profile_file_unset(struct tl_profile_file *f, const char *profile, const char *property);
void tl_profile_file_remove(struct tl_profile_file *f, const char *profile);
