/* libmicrohttpd, loaded with the first HTTP port. It brings GnuTLS and seven more libraries along,
 * which would cost each start of any command milliseconds; a process that opens no HTTP port pays
 * nothing, and does not even need the library. Private to this folder. Thread: any. */
#pragma once

#include <microhttpd.h>

#include "base/error.h"

#define TL_MHD_FUNCTIONS(X)                                                                        \
    X(start_daemon)                                                                                \
    X(quiesce_daemon)                                                                              \
    X(stop_daemon)                                                                                 \
    X(suspend_connection)                                                                          \
    X(resume_connection)                                                                           \
    X(get_connection_info)                                                                         \
    X(get_connection_values)                                                                       \
    X(lookup_connection_value)                                                                     \
    X(create_response_from_buffer_with_free_callback)                                              \
    X(add_response_header)                                                                         \
    X(queue_response)                                                                              \
    X(destroy_response)

struct tl_mhd {
#define X(name) __typeof__(&MHD_##name) name;
    TL_MHD_FUNCTIONS(X)
#undef X
};

/* Loads the library at the first call. *out lives as long as the process.
 * Errors: TL_EUNAVAILABLE (it is not there, or too old): the message names the package. */
tl_rc tl_mhd_load(const struct tl_mhd **out, struct tl_error *err) TL_MUST_USE;
