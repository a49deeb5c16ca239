/* Activities of unit tests that follow a script of the test, in a stepped worker. The test plays service
 * and clock. Include after cmocka.h. */
#pragma once

#include "test/support/worker_env.h"

/* What the next activity does. It runs inside a step: between heartbeats it moves the clock itself,
 * and steps the worker, as an activity in a test environment does when it waits. */
struct plan {
    struct env *env;
    void (*run)(struct plan *p, struct tl_activity *a);
    unsigned reasons;
    tl_rc last_rc;
    int cancel_calls;
    size_t result_bytes;
};

/* The function of a registered activity; ud is a struct plan. */
void plan_run(void *thread_state, void *ud, struct tl_activity *a);
/* Opens the environment with the activity "act", which runs the plan. */
void plan_setup(struct env *e, struct plan *p, void (*run)(struct plan *, struct tl_activity *));
/* Payloads with one payload of these bytes, in the arena. */
TpCommon__Payloads *plan_payloads(struct tl_arena *a, struct tl_str data);
/* The service takes the request that the worker has sent. */
void plan_accept(struct env *e, enum tl_method m);
/* A script: */
void plan_completes(struct plan *p, struct tl_activity *a);
