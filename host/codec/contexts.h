/* Whose payloads pass through a coding channel. Most messages say it themselves; what they leave to an
 * earlier message (the token of a task, the number of the event that scheduled an activity) is remembered
 * here, for all threads of a channel. Private to host/codec but for recorded histories and tests.
 *
 * What was remembered first is forgotten first, when it takes more than TL_CONTEXTS_BYTES: the payloads are
 * then said to be of the workflow, or of nothing. */
#pragma once

#include "codec/codec.h"
#include "proto/payload_context.h"
#include "proto/pb.h"

#define TL_CONTEXTS_BYTES ((size_t)16 << 20)

struct tl_contexts; /* Thread: any */

/* Owns: the caller, tl_contexts_free. */
struct tl_contexts *tl_contexts_new(size_t bytes_max);
void tl_contexts_free(struct tl_contexts *s); /* NULL is fine */

/* One walk over a message. Thread: the one that walks. */
struct tl_context_walk {
    struct tl_contexts *contexts; /* borrowed */
    enum tl_codec_way way;
    struct tl_payload_context frames[TL_PB_DEPTH_MAX + 2];
    size_t depth;
};

/* Begins with what the request of a call tells of its payloads, and of those of its answer. `request`: any
 * decoded message, which must outlive the walk. */
void tl_context_walk_begin(struct tl_context_walk *w, struct tl_contexts *contexts,
                           enum tl_codec_way way, const void *request, struct tl_arena *arena);
/* The same for payloads of which it is known whose they are. */
void tl_context_walk_begin_with(struct tl_context_walk *w, struct tl_contexts *contexts,
                                enum tl_codec_way way, const struct tl_payload_context *context);
/* The task that this request answered is done: its token will not be asked for again. */
void tl_contexts_forget(struct tl_contexts *s, const void *request, struct tl_arena *arena);
/* For tl_payload_visitor. */
tl_rc tl_context_walk_enter(struct tl_context_walk *w, const void *msg, struct tl_arena *arena,
                            struct tl_error *err) TL_MUST_USE;
void tl_context_walk_leave(struct tl_context_walk *w);
/* NULL: nothing tells. */
const struct tl_payload_context *tl_context_walk_now(const struct tl_context_walk *w);
