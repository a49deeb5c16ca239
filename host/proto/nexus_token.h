/* Tokens of Nexus operations that a workflow stands behind, in the form of all SDKs: base64url of a JSON
 * object with t (the kind, 1: a workflow), ns and wid. Handlers of one SDK can cancel what those of another
 * have started. Thread: any. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

/* NULL when the arena is full. */
char *tl_nexus_workflow_token(struct tl_arena *arena, struct tl_str namespace_,
                              struct tl_str workflow_id);

struct tl_nexus_workflow {
    struct tl_str namespace_, workflow_id;
};
/* The workflow that the token names, in the arena. Errors: TL_ENOTFOUND (it names none, with the reason). */
tl_rc tl_nexus_workflow_of_token(struct tl_str token, struct tl_arena *arena,
                                 struct tl_nexus_workflow *out, struct tl_error *err) TL_MUST_USE;
