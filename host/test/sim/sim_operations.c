/* The Nexus operations that the simulated workflows call. They run in the worker's step, on the one thread. */
#include <stdio.h>
#include <string.h>

#include "proto/nexus.h"
#include "proto/payload.h"
#include "proto/pb.h"
#include "sim/sim.h"
#include "worker/operation.h"

static int input_of(const TpNexus__StartOperationRequest *r)
{
    TpCommon__Payload *payload = r->payload;
    TpCommon__Payloads list = TP_COMMON__PAYLOADS__INIT;
    list.payloads = &payload;
    list.n_payloads = payload ? 1 : 0;
    return sim_integer(&list);
}

/* "double" answers at once; now and then it fails, and the server asks again. */
static void run_double(void *thread_state, void *ud, struct tl_operation *o)
{
    struct sim *s = ud;
    (void)thread_state;
    int n = input_of(o->request->start_operation);
    if (n <= 0) {
        sim_fail(s, "the operation 'double' has lost its input");
    }
    if (tl_rng_below(&s->rng, 5) == 0) {
        tl_operation_refuse(o, tl_nexus_handler_failure(o->arena, TL_STR_LIT("UNAVAILABLE"),
                                                        TL_STR_LIT("busy"), 0, NULL));
        return;
    }
    tl_operation_complete(
        o, tl_payload_json(o->arena, tl_str(tl_arena_printf(o->arena, "%d", n * 2))));
}

/* Whoever asks again has to be known by the same request ID. */
static void remember(struct sim_workflow *w, const TpNexus__StartOperationRequest *r)
{
    struct sim_later *later = &w->later;
    if (later->known && strcmp(later->request_id, r->request_id) != 0) {
        sim_fail(w->sim, "%s: its operation is asked for under another request ID", w->id);
    }
    later->known = true;
    snprintf(later->request_id, sizeof later->request_id, "%s", r->request_id);
    snprintf(later->url, sizeof later->url, "%s", r->callback);
    later->headers = 0;
    for (size_t i = 0; i < r->n_callback_header && i < SIM_HEADERS_MAX; i++) {
        snprintf(later->names[i], sizeof later->names[i], "%s", r->callback_header[i]->key);
        snprintf(later->values[i], sizeof later->values[i], "%s", r->callback_header[i]->value);
        later->headers++;
    }
}

/* "later" goes on: the client starts a workflow for it, whose end calls back. Its input is twice the
 * workflow's number. */
static void run_later(void *thread_state, void *ud, struct tl_operation *o)
{
    struct sim *s = ud;
    (void)thread_state;
    int number = input_of(o->request->start_operation) / 2 - 1;
    if (number < 0 || number >= s->options.workflows) {
        sim_fail(s, "the operation 'later' has lost its input");
        tl_operation_drop(o);
        return;
    }
    remember(&s->workflows[number], o->request->start_operation);
    tl_operation_started(o, tl_arena_printf(o->arena, "token-%d", number));
}

/* "endless" goes on until it is terminated. */
static void run_endless(void *thread_state, void *ud, struct tl_operation *o)
{
    (void)thread_state, (void)ud;
    if (o->request->start_operation) {
        tl_operation_started(o, "endless");
    } else {
        tl_operation_cancel_taken(o);
    }
}

bool sim_operations_add(struct sim *s)
{
    static const struct {
        const char *name;
        void (*run)(void *, void *, struct tl_operation *);
    } all[] = {{"double", run_double}, {"later", run_later}, {"endless", run_endless}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct tl_operation_impl impl = {all[i].run, s};
        struct tl_error err;
        if (tl_registry_add_operation(s->registry, TL_STR_LIT("Shop"), tl_str(all[i].name), &impl,
                                      &err) != TL_OK) {
            sim_fail(s, "operations: %s", err.message);
            return false;
        }
    }
    return true;
}
