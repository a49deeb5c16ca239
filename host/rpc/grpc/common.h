/* What both ends share: completion tags, bytes in and out of gRPC's buffers, PEM files.
 * Thread: any. */
#pragma once

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <grpc/support/time.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/str.h"

#define TL_GRPC_MESSAGE_BYTES_MAX (128 * 1024 * 1024)
#define TL_GRPC_METADATA_BYTES_MAX (256 * 1024)
#define TL_GRPC_DETAILS_KEY "grpc-status-details-bin"
#define TL_GRPC_CLIENT_NAME "temporal-lua"
#define TL_GRPC_CLIENT_VERSION "0.1.0"

/* Starts the library, or counts one more user of it; its log lines go to ours, at most one a second.
 * Each start is ended by grpc_shutdown_blocking. Errors: those of tl_grpc_library_load. */
tl_rc tl_grpc_start(struct tl_error *err) TL_MUST_USE;

/* What comes out of a completion queue: the operation embeds it. */
struct tl_grpc_tag {
    void (*done)(struct tl_grpc_tag *tag, bool ok);
};

/* Serves completions until the queue is shut down and empty. */
void tl_grpc_serve(grpc_completion_queue *cq);

/* ThreadSanitizer does not see into the library: what a tag points to is handed over by these. */
void *tl_grpc_tag_sent(struct tl_grpc_tag *tag);

struct tl_str tl_grpc_slice_str(const grpc_slice *s); /* borrowed */
grpc_slice tl_grpc_slice(struct tl_str s);            /* a copy; owns: the caller */
grpc_byte_buffer *tl_grpc_buffer(struct tl_str s);    /* a copy; owns: the caller */
/* Begins to read a message, decompressed, of *n bytes. TL_EDECODE when it cannot be decompressed: nothing is
 * open then. Owns: the reader, until tl_grpc_reader_close. */
tl_rc tl_grpc_reader_open(grpc_byte_buffer_reader *reader, grpc_byte_buffer *b,
                          size_t *n) TL_MUST_USE;
/* Copies the message to where there is room for its *n bytes (NULL: it is dropped). */
void tl_grpc_reader_close(grpc_byte_buffer_reader *reader, char *to);
/* Copies a message, decompressed, into one block. TL_EMEMORY when there is no room, TL_EDECODE when
 * it cannot be decompressed. Owns: *out (tl_mem_free). */
tl_rc tl_grpc_buffer_read(grpc_byte_buffer *b, char **out, size_t *n) TL_MUST_USE;

/* Errors: TL_EINVAL names what and says what is wrong with it: host:port is wanted. */
tl_rc tl_grpc_check_address(const char *what, const char *address,
                            struct tl_error *err) TL_MUST_USE;

/* Whether two looks at a path saw the same file with the same content, as far as its times tell. */
bool tl_grpc_same_file(const struct stat *a, const struct stat *b);

/* Reads a PEM file. Owns: *out (tl_mem_free). Errors: TL_EINVAL names the file. */
tl_rc tl_grpc_read_pem(const char *what, const char *path, char **out,
                       struct tl_error *err) TL_MUST_USE;
