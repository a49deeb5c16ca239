/* The settings of --dynamic-config-value. Thread: main. */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "server/server.h"

/* Applies key=value texts (NULL-terminated list). Values are JSON or bare words, as the SDKs' test
 * environments write them. The keys without effect here are appended to `idle`, separated by commas.
 * Errors: TL_EINVAL for a text without '=' and for a value that a key with effect cannot take. */
tl_rc tl_dev_config_apply(const char *const *texts, struct tl_server_options *o,
                          struct tl_buf *idle, struct tl_error *err) TL_MUST_USE;
/* Appends every setting that has an effect with the value it has, one line each. */
void tl_dev_config_print(const struct tl_server_options *o, struct tl_buf *out);
