/* A run's machines: slots, lookup by sequence number and by event, and the commands on their way.
 * Small arrays only: an idle run with one timer holds a few hundred bytes.
 * Ownership: the run owns all of it. Thread: the run's. */
#include "base/assert.h"
#include "base/mem.h"
#include "core/run_int.h"

#include <stdio.h>
#include <tl_enums.h>

/* --- ordered index ---------------------------------------------------------------------------- */

static void index_compact(struct tl_slot_index *ix)
{
    uint32_t to = 0;
    for (uint32_t i = ix->first; i < ix->count; i++) {
        if (ix->entries[i].slot != TL_SLOT_NONE) {
            ix->entries[to++] = ix->entries[i];
        }
    }
    ix->first = 0;
    ix->count = to;
}

static void index_append(struct tl_slot_index *ix, int64_t key, uint32_t slot)
{
    TL_ASSERT(ix->count == ix->first || ix->entries[ix->count - 1].key < key);
    if (ix->count == ix->cap) {
        if (ix->live <= ix->cap / 2 && ix->cap > 4) {
            index_compact(ix);
        } else {
            ix->cap = ix->cap ? ix->cap * 2 : 2;
            ix->entries = tl_mem_realloc(ix->entries, ix->cap * sizeof(*ix->entries));
        }
    }
    ix->entries[ix->count++] = (struct tl_slot_entry){key, slot};
    ix->live++;
}

static struct tl_slot_entry *index_find(const struct tl_slot_index *ix, int64_t key)
{
    uint32_t low = ix->first, high = ix->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ix->entries[middle].key < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < ix->count && ix->entries[low].key == key && ix->entries[low].slot != TL_SLOT_NONE) {
        return &ix->entries[low];
    }
    return NULL;
}

static void index_delete(struct tl_slot_index *ix, int64_t key)
{
    struct tl_slot_entry *entry = index_find(ix, key);
    if (!entry) {
        return;
    }
    entry->slot = TL_SLOT_NONE;
    ix->live--;
    while (ix->first < ix->count && ix->entries[ix->first].slot == TL_SLOT_NONE) {
        ix->first++;
    }
    while (ix->count > ix->first && ix->entries[ix->count - 1].slot == TL_SLOT_NONE) {
        ix->count--;
    }
    if (ix->first == ix->count) {
        ix->first = ix->count = 0;
    }
}

static void index_trim(struct tl_slot_index *ix)
{
    if (ix->cap > 4 && ix->live * 4 <= ix->cap) {
        index_compact(ix);
        ix->cap = ix->live * 2;
        if (ix->cap == 0) {
            tl_mem_free(ix->entries);
            ix->entries = NULL;
        } else {
            ix->entries = tl_mem_realloc(ix->entries, ix->cap * sizeof(*ix->entries));
        }
    }
}

static struct tl_slot_index *index_of(struct tl_run *run, enum tl_machine_kind kind)
{
    return kind == TL_MACHINE_TIMER             ? &run->timers
           : kind == TL_MACHINE_ACTIVITY        ? &run->activities
           : kind == TL_MACHINE_LOCAL           ? &run->locals
           : kind == TL_MACHINE_CHILD           ? &run->children
           : kind == TL_MACHINE_SIGNAL_EXTERNAL ? &run->signals
           : kind == TL_MACHINE_NEXUS           ? &run->nexus
                                                : NULL;
}

/* --- machines --------------------------------------------------------------------------------- */

static void add_slots(struct tl_run *run)
{
    uint32_t old = run->machine_cap, cap = old ? old * 2 : 2;
    run->machines = tl_mem_realloc(run->machines, cap * sizeof(*run->machines));
    memset(run->machines + old, 0, (cap - old) * sizeof(*run->machines));
    for (uint32_t i = cap; i-- > old;) {
        run->machines[i].seq = run->machine_free;
        run->machine_free = i;
    }
    run->machine_cap = cap;
}

struct tl_machine *tl_core_add_machine(struct tl_run *run, enum tl_machine_kind kind, uint32_t seq,
                                       uint32_t *slot)
{
    if (run->machine_free == TL_SLOT_NONE) {
        add_slots(run);
    }
    *slot = run->machine_free;
    struct tl_machine *machine = &run->machines[*slot];
    run->machine_free = machine->seq;
    *machine = (struct tl_machine){.kind = (uint8_t)kind, .seq = seq};
    run->machine_live++;
    struct tl_slot_index *ix = index_of(run, kind);
    if (ix) {
        index_append(ix, seq, *slot);
    }
    return machine;
}

void tl_core_drop_machine(struct tl_run *run, uint32_t slot)
{
    struct tl_machine *machine = &run->machines[slot];
    TL_ASSERT(machine->kind != TL_MACHINE_NONE);
    struct tl_slot_index *ix = index_of(run, machine->kind);
    if (ix) {
        index_delete(ix, machine->seq);
    }
    if (machine->event_id) {
        index_delete(&run->by_event, machine->event_id);
    }
    tl_mem_free(machine->text);
    *machine = (struct tl_machine){.seq = run->machine_free};
    run->machine_free = slot;
    run->machine_live--;
}

struct tl_machine *tl_core_find(struct tl_run *run, enum tl_machine_kind kind, uint32_t seq,
                                uint32_t *slot)
{
    struct tl_slot_entry *entry = index_find(index_of(run, kind), seq);
    if (!entry) {
        return NULL;
    }
    *slot = entry->slot;
    return &run->machines[entry->slot];
}

struct tl_machine *tl_core_find_event(struct tl_run *run, int64_t event_id, uint32_t *slot)
{
    struct tl_slot_entry *entry = index_find(&run->by_event, event_id);
    if (!entry) {
        return NULL;
    }
    *slot = entry->slot;
    return &run->machines[entry->slot];
}

void tl_core_record_event(struct tl_run *run, uint32_t slot, int64_t event_id)
{
    run->machines[slot].event_id = event_id;
    index_append(&run->by_event, event_id, slot);
}

const struct tl_fsm *tl_machine_fsm(const struct tl_machine *machine)
{
    static const struct tl_fsm *const fsms[TL_MACHINE_COUNT] = {
        [TL_MACHINE_TASK] = &tl_task_fsm,
        [TL_MACHINE_TIMER] = &tl_timer_fsm,
        [TL_MACHINE_ACTIVITY] = &tl_activity_fsm,
        [TL_MACHINE_ONEWAY] = &tl_oneway_fsm,
        [TL_MACHINE_LOCAL] = &tl_local_fsm,
        [TL_MACHINE_PATCH] = &tl_patch_fsm,
        [TL_MACHINE_CLOSE] = &tl_close_fsm,
        [TL_MACHINE_CHILD] = &tl_child_fsm,
        [TL_MACHINE_SIGNAL_EXTERNAL] = &tl_signal_external_fsm,
        [TL_MACHINE_CANCEL_EXTERNAL] = &tl_cancel_external_fsm,
        [TL_MACHINE_UPDATE] = &tl_update_fsm,
        [TL_MACHINE_NEXUS] = &tl_nexus_fsm,
    };
    return fsms[machine->kind];
}

struct tl_str tl_machine_id(const struct tl_run *run, const struct tl_machine *machine,
                            char seq_text[static 16], struct tl_str *name)
{
    struct tl_str id = {0};
    *name = (struct tl_str){0};
    switch ((enum tl_machine_kind)machine->kind) {
    case TL_MACHINE_PATCH:
        return tl_str(run->patches[machine->seq].id);
    case TL_MACHINE_ACTIVITY:
    case TL_MACHINE_LOCAL:
    case TL_MACHINE_CHILD:
    case TL_MACHINE_SIGNAL_EXTERNAL:
    case TL_MACHINE_NEXUS:
        *name = tl_machine_text(machine, 0);
        id = tl_machine_text(machine, 1);
        break;
    default:
        id = tl_machine_text(machine, 0);
        break;
    }
    if (id.n == 0 && (machine->kind == TL_MACHINE_ACTIVITY || machine->kind == TL_MACHINE_LOCAL ||
                      machine->kind == TL_MACHINE_TIMER)) {
        int n = snprintf(seq_text, 16, "%u", machine->seq);
        id = tl_str_n(seq_text, (size_t)n);
    }
    return id;
}

/* How many strings a kind of machine keeps, when it has a text. */
static unsigned text_count(const struct tl_machine *machine)
{
    return machine->kind == TL_MACHINE_CHILD || machine->kind == TL_MACHINE_NEXUS ? 4 : 2;
}

struct tl_str tl_machine_text(const struct tl_machine *machine, unsigned index)
{
    const char *text = machine->text;
    if (!text) {
        return (struct tl_str){0};
    }
    while (index-- > 0) {
        text += strlen(text) + 1;
    }
    return tl_str(text);
}

size_t tl_machine_text_bytes(const struct tl_machine *machine)
{
    struct tl_str last = tl_machine_text(machine, text_count(machine) - 1);
    return machine->text ? (size_t)(last.p - machine->text) + last.n + 1 : 0;
}

void tl_machine_set_texts(struct tl_machine *machine, const struct tl_str *strings, unsigned n)
{
    size_t bytes = 0, at = 0;
    TL_ASSERT(n == text_count(machine));
    for (unsigned i = 0; i < n; i++) {
        bytes += strings[i].n + 1;
    }
    char *text = tl_mem_alloc(bytes);
    for (unsigned i = 0; i < n; i++) {
        if (strings[i].n) {
            memcpy(text + at, strings[i].p, strings[i].n);
        }
        at += strings[i].n + 1;
    }
    tl_mem_free(machine->text); /* the new text may borrow from the old one */
    machine->text = text;
}

void tl_machine_set_text(struct tl_machine *machine, struct tl_str first, struct tl_str second)
{
    tl_machine_set_texts(machine, (struct tl_str[]){first, second}, 2);
}

/* --- commands on their way -------------------------------------------------------------------- */

void tl_core_push_command(struct tl_run *run, uint32_t slot, int command_type,
                          ProtobufCMessage *attrs, const struct tl_cmd *cmd)
{
    if (run->outgoing_first == run->outgoing_count) {
        run->outgoing_first = run->outgoing_count = 0;
    }
    bool full = run->outgoing_count == run->outgoing_cap;
    if (full) {
        run->outgoing_cap = run->outgoing_cap ? run->outgoing_cap * 2 : 2;
        run->outgoing = tl_mem_realloc(run->outgoing, run->outgoing_cap * sizeof(*run->outgoing));
    }
    if (full || !run->bodies) {
        bool fresh = !run->bodies;
        run->bodies = tl_mem_realloc(run->bodies, run->outgoing_cap * sizeof(*run->bodies));
        if (fresh) {
            memset(run->bodies, 0, run->outgoing_count * sizeof(*run->bodies));
        }
    }
    run->outgoing[run->outgoing_count] =
        (struct tl_outgoing){.slot = slot, .command = (uint8_t)command_type};
    run->bodies[run->outgoing_count] = (struct tl_outgoing_body){
        .attrs = attrs,
        .metadata = cmd ? cmd->metadata : NULL,
        .groups = cmd ? cmd->groups : (struct tl_event_groups){0},
        .where = cmd ? cmd->where : (struct tl_str){0},
    };
    run->outgoing_count++;
}

void tl_core_pop_command(struct tl_run *run)
{
    TL_ASSERT(run->outgoing_first < run->outgoing_count);
    run->outgoing_first++;
}

void tl_core_sweep_commands(struct tl_run *run)
{
    if (!run->dropped_count) {
        return;
    }
    uint32_t to = run->outgoing_first;
    for (uint32_t i = run->outgoing_first; i < run->outgoing_count; i++) {
        uint32_t slot = run->outgoing[i].slot;
        if (run->machines[slot].dropped) {
            tl_core_drop_machine(run, slot);
            continue;
        }
        run->outgoing[to] = run->outgoing[i];
        if (run->bodies) {
            run->bodies[to] = run->bodies[i];
        }
        to++;
    }
    run->outgoing_count = to;
    run->dropped_count = 0;
}

void tl_core_trim(struct tl_run *run)
{
    tl_mem_free(run->bodies);
    run->bodies = NULL;
    uint32_t count = tl_core_outgoing_count(run);
    if (run->outgoing_first) {
        memmove(run->outgoing, run->outgoing + run->outgoing_first, count * sizeof(*run->outgoing));
        run->outgoing_first = 0;
        run->outgoing_count = count;
    }
    if (run->outgoing_cap > 4 && count * 4 <= run->outgoing_cap) {
        run->outgoing_cap = count ? count * 2 : 2;
        run->outgoing = tl_mem_realloc(run->outgoing, run->outgoing_cap * sizeof(*run->outgoing));
    }
    index_trim(&run->timers);
    index_trim(&run->activities);
    index_trim(&run->locals);
    index_trim(&run->children);
    index_trim(&run->nexus);
    index_trim(&run->signals);
    index_trim(&run->by_event);
    if (run->machine_live == 0 && run->machine_cap > 4) {
        tl_mem_free(run->machines);
        run->machines = NULL;
        run->machine_cap = 0;
        run->machine_free = TL_SLOT_NONE;
    }
}
