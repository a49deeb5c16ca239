/* Table-driven state machines. Each machine's file opens with its transition table, an X-macro
 *   #define TIMER_TABLE(T) T(state, event, action, next) ...
 * that expands to a dense array; a duplicate edge does not compile (-Woverride-init), an absent
 * edge is an error value with both names. Only tl_fsm_apply assigns a state.
 * Coverage: every edge taken is marked in the machine's table, process-wide.
 * Ownership: tables are static. Thread: applying is the run's; marks may be read on any thread. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct tl_run;
struct tl_machine;
struct tl_fsm_input;

/* Appends commands or jobs to the run; never calls out. Runs before the state changes. */
typedef tl_rc (*tl_fsm_action)(struct tl_run *run, struct tl_machine *machine,
                               const struct tl_fsm_input *input, struct tl_error *err);

struct tl_fsm_edge {
    tl_fsm_action action; /* NULL: none */
    uint8_t next;         /* next state + 1; 0: there is no such edge */
};

struct tl_fsm {
    const char *name;
    const char *const *states;
    const char *const *events;
    uint8_t state_count, event_count;
    uint32_t final_states;           /* bit per state: the machine is done and may be dropped */
    const struct tl_fsm_edge *edges; /* [state * event_count + event] */
    _Atomic uint8_t *taken;          /* the same shape: 1 once the edge was taken */
};

/* For machine files: one row of the dense table. */
// clang-format off
#define TL_FSM_EDGE(prefix, state, event, act, next_state)                                         \
    [prefix##_S_##state * prefix##_E_COUNT + prefix##_E_##event] = {                               \
        .action = (act), .next = prefix##_S_##next_state + 1},
// clang-format on

/* Applies one event: action first, then the new state. Errors: TL_ENONDETERMINISM for an absent
 * edge (the caller adds what it knows), or the action's. */
tl_rc tl_fsm_apply(const struct tl_fsm *fsm, struct tl_run *run, struct tl_machine *machine,
                   uint8_t event, const struct tl_fsm_input *input,
                   struct tl_error *err) TL_MUST_USE;

static inline bool tl_fsm_final(const struct tl_fsm *fsm, uint8_t state)
{
    return (fsm->final_states >> state & 1u) != 0;
}

/* All machines of the engine; NULL past the last. For coverage reports and diagrams. */
const struct tl_fsm *tl_fsm_at(unsigned index);
