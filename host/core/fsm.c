/* The engine of the state machines' tables.
 * Ownership: none. Thread: any; a machine belongs to its run's thread. */
#include "core/fsm.h"

#include "core/run_int.h"

tl_rc tl_fsm_apply(const struct tl_fsm *fsm, struct tl_run *run, struct tl_machine *machine,
                   uint8_t event, const struct tl_fsm_input *input, struct tl_error *err)
{
    unsigned index = (unsigned)machine->state * fsm->event_count + event;
    const struct tl_fsm_edge *edge = &fsm->edges[index];
    if (!edge->next) {
        return tl_error_set(err, TL_ENONDETERMINISM, "%s %u does not expect %s in state %s",
                            fsm->name, machine->seq, fsm->events[event],
                            fsm->states[machine->state]);
    }
    if (edge->action) {
        /* An action may add machines, which moves the slots. */
        bool in_slot = machine->kind != TL_MACHINE_TASK;
        size_t slot = in_slot ? (size_t)(machine - run->machines) : 0;
        tl_rc rc = edge->action(run, machine, input, err);
        if (rc != TL_OK) {
            return rc;
        }
        machine = in_slot ? &run->machines[slot] : machine;
    }
    uint8_t next = (uint8_t)(edge->next - 1);
    if (run->trace) {
        run->trace(run->trace_ud, fsm->name, machine->seq, fsm->states[machine->state],
                   fsm->events[event], fsm->states[next]);
    }
    /* A mark, written once: the line stays shared between workflow threads. */
    if (!atomic_load_explicit(&fsm->taken[index], memory_order_relaxed)) {
        atomic_store_explicit(&fsm->taken[index], 1, memory_order_relaxed);
    }
    machine->state = next;
    return TL_OK;
}

const struct tl_fsm *tl_fsm_at(unsigned index)
{
    static const struct tl_fsm *const all[] = {
        &tl_task_fsm,   &tl_timer_fsm,           &tl_activity_fsm,
        &tl_oneway_fsm, &tl_patch_fsm,           &tl_close_fsm,
        &tl_child_fsm,  &tl_signal_external_fsm, &tl_cancel_external_fsm,
        &tl_local_fsm,  &tl_update_fsm,          &tl_nexus_fsm};
    return index < sizeof(all) / sizeof(all[0]) ? all[index] : NULL;
}
