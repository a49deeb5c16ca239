/* Private to worker/: the answer of an activity or a Nexus task on its way to the service, which gets it
 * again until it takes it, refuses it for good, or nobody waits for it any more. */
#pragma once

#include "worker/worker_int.h"

struct tl_answer_kind {
    int64_t timeout_ns; /* of one call */
    /* On control: no request carries the answer (too_large; its length and the limit are in `words`), or the
     * codecs cannot code it, and say why. Puts one in its place that can be sent; false: there is none. Called
     * once at most. */
    bool (*replace)(struct tl_answer *a, struct tl_str words, bool too_large);
    /* On control: it was refused for good; logs it. */
    void (*refused)(struct tl_answer *a, const struct tl_rpc_result *res);
    /* The last word on the answer, which may free it. On control or the transport's thread. */
    void (*ended)(struct tl_answer *a);
};

/* Encodes the request into the arena. Errors: TL_ELIMIT. */
tl_rc tl_answer_encode(struct tl_answer *a, enum tl_method method, const void *req,
                       struct tl_arena *arena, struct tl_error *err) TL_MUST_USE;
/* Whether the service takes a result of so many bytes; `what` names it in the message. Errors: TL_ELIMIT. */
tl_rc tl_answer_check_size(const struct tl_worker *w, const char *what, size_t bytes,
                           struct tl_error *err) TL_MUST_USE;
/* Sends what is encoded, once. The worker does not stop before `ended`. until_mono_ns: later nobody waits for
 * it; INT64_MAX: no end. Thread: any. */
void tl_answer_send(struct tl_answer *a, const struct tl_answer_kind *kind, struct tl_worker *w,
                    int64_t until_mono_ns);
