/* The older file of named environments: values of options, before connection profiles came
 * (config/profile.h). YAML: env: NAME: OPTION: VALUE. Thread: main. */
#pragma once

#include "base/arena.h"
#include "base/error.h"

#define TL_ENV_DEFAULT "default"

struct tl_env_file; /* lives in its arena, with every text that is given out */

/* path NULL: .config/temporalio/temporal.yaml of the user's home. A file that is not there is an empty
 * one. Errors: TL_EINVAL (not of that form), TL_EIO, TL_ELIMIT. */
tl_rc tl_env_file_open(const char *path, struct tl_arena *arena, struct tl_env_file **out,
                       struct tl_error *err) TL_MUST_USE;
/* Errors: TL_EINVAL (it has more than environments, which would be lost), TL_EIO, TL_ELIMIT. */
tl_rc tl_env_file_save(const struct tl_env_file *f, struct tl_error *err) TL_MUST_USE;

bool tl_env_file_has(const struct tl_env_file *f, const char *env);
/* NULL when it is not set. */
const char *tl_env_file_get(const struct tl_env_file *f, const char *env, const char *key);
/* The i-th environment, or the i-th key of one, in the order of names; NULL behind the last. */
const char *tl_env_file_name(struct tl_env_file *f, size_t i);
const char *tl_env_file_key(struct tl_env_file *f, const char *env, size_t i);
/* Makes the environment. Errors: TL_ELIMIT. */
tl_rc tl_env_file_set(struct tl_env_file *f, const char *env, const char *key, const char *value,
                      struct tl_error *err) TL_MUST_USE;
/* key NULL: the whole environment. False: it was not there. */
bool tl_env_file_remove(struct tl_env_file *f, const char *env, const char *key);
