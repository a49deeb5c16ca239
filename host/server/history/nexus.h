/* The part of history.h about Nexus operations: their requests to handlers and what those answer.
 * Rules of history.h hold: operations validate first, results live in the transaction's arena.
 * Thread: the run's owner. */
#pragma once

#include "server/history/history.h"

enum tl_nexus_request { TL_NEXUS_START = 1, TL_NEXUS_CANCEL = 2 };

/* Which attempt of which request of an operation. */
struct tl_nexus_ref {
    int64_t scheduled_id;
    enum tl_nexus_request request;
    int32_t attempt;
};
/* The request that is to be made now. Views of the run. False: none. */
struct tl_nexus_due {
    struct tl_nexus_ref ref;
    struct tl_str endpoint, endpoint_id;
};
bool tl_rs_nexus_due(const struct tl_rs *rs, int64_t scheduled_id, struct tl_nexus_due *out);
/* The endpoint lets nobody through until then: the request waits. */
void tl_rs_nexus_block(struct tl_rs *rs, const struct tl_nexus_ref *ref, int64_t until_ns);
/* A worker takes the request: memory only, lost with a crash, then it is made again. `callback_token` goes
 * with a start. Errors: TL_ENOTFOUND (it is another one by now), TL_ELIMIT. */
tl_rc tl_rs_nexus_deliver(struct tl_rs *rs, const struct tl_history_env *env,
                          const struct tl_nexus_ref *ref, struct tl_str callback_token,
                          int64_t now_ns, struct tl_arena *arena, TpNexus__Request **out,
                          struct tl_error *err) TL_MUST_USE;
/* The delivery failed: as if it had not been. */
void tl_rs_nexus_undeliver(struct tl_rs *rs, const struct tl_nexus_ref *ref);
/* Of an operation: the request id of its start (a copy, NULL without memory), the name of its endpoint (a
 * view). Empty when it has ended. */
char *tl_rs_nexus_request_id(const struct tl_rs *rs, int64_t scheduled_id, struct tl_arena *arena);
struct tl_str tl_rs_nexus_endpoint(const struct tl_rs *rs, int64_t scheduled_id);
/* Whether a worker has a request of the run. */
bool tl_rs_nexus_delivered(const struct tl_rs *rs);

enum tl_nexus_outcome {
    TL_NEXUS_STARTED,   /* token */
    TL_NEXUS_COMPLETED, /* result */
    TL_NEXUS_FAILED,    /* failure; of a cancellation: it is given up */
    TL_NEXUS_CANCELED,  /* failure */
    TL_NEXUS_RETRY,     /* failure: another attempt follows */
    TL_NEXUS_PASSED_ON, /* a cancellation reached its handler */
};
struct tl_nexus_answer {
    enum tl_nexus_outcome outcome;
    char *token;
    TpCommon__Payload *result; /* may be NULL */
    TpFailure__Failure *failure;
    TpCommon__Link **links;
    size_t n_links;
};
/* What the handler said to a request. Errors: TL_ENOTFOUND (nobody waits for that answer). */
tl_rc tl_tx_nexus_answer(struct tl_tx *tx, const struct tl_nexus_ref *ref,
                         const struct tl_nexus_answer *answer, struct tl_error *err) TL_MUST_USE;
/* How an operation ended that its handler carried on with: COMPLETED, FAILED or CANCELED. When the answer to
 * its start is still on its way, `token` and the links tell what it would have said. Errors: TL_ENOTFOUND. */
tl_rc tl_tx_nexus_complete(struct tl_tx *tx, int64_t scheduled_id, const char *request_id,
                           const struct tl_nexus_answer *answer, int64_t started_ns,
                           struct tl_error *err) TL_MUST_USE;
/* What a worker answered. Errors: TL_EINVAL, TL_ELIMIT. */
tl_rc tl_nexus_read_response(const TpNexus__Response *r, const struct tl_nexus_ref *ref,
                             const struct tl_history_limits *limits, struct tl_arena *arena,
                             struct tl_nexus_answer *out, struct tl_error *err) TL_MUST_USE;
tl_rc tl_nexus_read_failed(const TpWs__RespondNexusTaskFailedRequest *r, struct tl_arena *arena,
                           struct tl_nexus_answer *out, struct tl_error *err) TL_MUST_USE;
/* What the end of a run is for who waits for it as an operation. Errors: TL_ELIMIT. */
tl_rc tl_nexus_read_close(const TpHistory__HistoryEvent *e, struct tl_arena *arena,
                          struct tl_nexus_answer *out, struct tl_error *err) TL_MUST_USE;
