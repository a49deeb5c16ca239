/* Patch and numbered version (versioning of running workflows). The first call for a patch id records a marker
 * `core_patch` and beside it an upsert of TemporalChangeVersion; later calls do nothing. On replay
 * the engine looks ahead for markers and tells the code before it runs.
 *
 *   history has         the code calls     outcome
 *   marker              patched            true, matched
 *   marker              nothing            non-determinism
 *   deprecated marker   nothing            ignored, with its upsert
 *   any marker          deprecate_patch    matched
 *   no marker, replay   either             no command: history has none
 * A numbered version is the same with the marker `Version`, as Go writes it; as there, a recorded one
 * may be without its call.
 * Thread: the run's. */
#include "core/run_int.h"

#include <tl_enums.h>

#include "base/mem.h"
#include "proto/utf8.h"

/* clang-format off */
#define PATCH_STATES(S) S(NEW) S(MARKER_CREATED) S(RECORDED)
#define PATCH_EVENTS(E) E(SET) E(RECORD)
#define PATCH_TABLE(T)                                                                             \
    /* state          event   action    next          */                                           \
    T(NEW,            SET,    NULL,     MARKER_CREATED)                                            \
    T(MARKER_CREATED, RECORD, check_id, RECORDED)

enum {
#define S(name) PATCH_S_##name,
    PATCH_STATES(S)
#undef S
    PATCH_S_COUNT,
};
enum {
#define E(name) PATCH_E_##name,
    PATCH_EVENTS(E)
#undef E
    PATCH_E_COUNT,
};
/* clang-format on */

static tl_rc check_id(struct tl_run *run, struct tl_machine *machine,
                      const struct tl_fsm_input *input, struct tl_error *err)
{
    struct tl_patch_marker marker;
    struct tl_str ours = tl_str(run->patches[machine->seq].id);
    bool numbered = run->patches[machine->seq].numbered;
    if (!tl_patch_marker_read(input->event, run->task->current, &marker) ||
        marker.numbered != numbered) {
        return tl_error_set(err, TL_ENONDETERMINISM, "the code made %s '%.*s', history does not",
                            numbered ? "version" : "patch", TL_STR_FMT(ours));
    }
    if (!tl_str_eq(marker.id, ours)) {
        return tl_error_set(err, TL_ENONDETERMINISM,
                            "history has the patch '%.*s', the code made '%.*s'",
                            TL_STR_FMT(marker.id), TL_STR_FMT(ours));
    }
    return TL_OK;
}

#define T(state, event, action, next) TL_FSM_EDGE(PATCH, state, event, action, next)
static const struct tl_fsm_edge edges[PATCH_S_COUNT * PATCH_E_COUNT] = {PATCH_TABLE(T)};
#undef T
static _Atomic uint8_t taken[PATCH_S_COUNT * PATCH_E_COUNT];
#define NAME(name) #name,
static const char *const states[] = {PATCH_STATES(NAME)};
static const char *const events[] = {PATCH_EVENTS(NAME)};
#undef NAME
const struct tl_fsm tl_patch_fsm = {
    "patch", states, events, PATCH_S_COUNT, PATCH_E_COUNT, 1u << PATCH_S_RECORDED, edges, taken};

uint32_t tl_patch_index(struct tl_run *run, struct tl_str id, bool numbered)
{
    for (uint32_t i = 0; i < run->patch_count; i++) {
        if (run->patches[i].numbered == numbered && tl_str_eq(tl_str(run->patches[i].id), id)) {
            return i;
        }
    }
    if (run->patch_count == run->patch_cap) {
        run->patch_cap = run->patch_cap ? run->patch_cap * 2 : 2;
        run->patches = tl_mem_realloc(run->patches, run->patch_cap * sizeof(*run->patches));
    }
    run->patches[run->patch_count] = (struct tl_patch){.id = tl_mem_dup(id), .numbered = numbered};
    return run->patch_count++;
}

static tl_rc emit_upsert(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err)
{
    bool too_big = false;
    TpCommand__UpsertWorkflowSearchAttributesCommandAttributes *attrs =
        tl_patch_upsert_make(run, run->task->current, &too_big);
    if (too_big) {
        return TL_OK; /* the server would refuse the value; the marker alone does the work */
    }
    if (!attrs) {
        return tl_error_set(err, TL_ELIMIT, "patch: the arena is full");
    }
    const struct tl_cmd upsert = {
        .type = TL_CMD_UPSERT_SEARCH_ATTRIBUTES, .attrs = &attrs->base, .where = cmd->where};
    uint32_t slot;
    struct tl_machine *machine = tl_core_add_machine(run, TL_MACHINE_ONEWAY, 0, &slot);
    tl_core_push_command(run, slot, COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES, upsert.attrs,
                         &upsert);
    return tl_oneway_begin(run, machine, &upsert, err);
}

tl_rc tl_patch_set(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err)
{
    struct tl_str id = cmd->u.patch.id;
    if (id.n == 0 || memchr(id.p, 0, id.n) || !tl_utf8_ok(id)) {
        return tl_error_set(err, TL_EINVAL, "a patch id must be UTF-8 text, not empty");
    }
    uint32_t index = tl_patch_index(run, id, cmd->u.patch.numbered);
    struct tl_patch *patch = &run->patches[index];
    if (patch->created) {
        return TL_OK;
    }
    patch->created = true;
    if (run->replaying && !patch->announced) {
        return TL_OK; /* not in history: the call changes nothing */
    }
    bool upserts = tl_core_use_flag(run, TL_FLAG_UPSERT_ON_PATCH, !run->replaying);
    if (patch->numbered) { /* other SDKs have flags of their own for this: history decides */
        upserts = run->replaying ? patch->upserted : upserts;
        patch->version = run->replaying ? patch->version : cmd->u.patch.version;
    }
    const struct tl_patch_marker marker = {tl_str(patch->id), cmd->u.patch.deprecated,
                                           patch->numbered, patch->version};
    TpCommand__RecordMarkerCommandAttributes *attrs =
        tl_patch_marker_make(run->task->current, &marker);
    if (!attrs) {
        return tl_error_set(err, TL_ELIMIT, "patch: the arena is full");
    }
    uint32_t slot;
    struct tl_machine *machine = tl_core_add_machine(run, TL_MACHINE_PATCH, index, &slot);
    tl_core_push_command(run, slot, COMMAND_TYPE_RECORD_MARKER, &attrs->base, cmd);
    tl_rc rc = tl_fsm_apply(&tl_patch_fsm, run, machine, PATCH_E_SET,
                            &(struct tl_fsm_input){.cmd = cmd}, err);
    return rc == TL_OK && upserts ? emit_upsert(run, cmd, err) : rc;
}

tl_rc tl_patch_event(struct tl_run *run, struct tl_machine *machine,
                     const TpHistory__HistoryEvent *event, struct tl_error *err)
{
    return tl_fsm_apply(&tl_patch_fsm, run, machine, PATCH_E_RECORD,
                        &(struct tl_fsm_input){.event = event}, err);
}
