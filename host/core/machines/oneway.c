/* Commands that are recorded and never answered: upsert search attributes, modify properties,
 * record marker. Their events must come in the same order and, for markers, carry the same name.
 * Thread: the run's. */
#include "core/run_int.h"

#include <tl_enums.h>

/* clang-format off */
#define ONEWAY_STATES(S) S(NEW) S(CREATED) S(RECORDED)
#define ONEWAY_EVENTS(E) E(SEND) E(RECORD)
#define ONEWAY_TABLE(T)                                                                            \
    /* state   event   action      next    */                                                      \
    T(NEW,     SEND,   NULL,       CREATED)                                                        \
    T(CREATED, RECORD, check_name, RECORDED)

enum {
#define S(name) ONEWAY_S_##name,
    ONEWAY_STATES(S)
#undef S
    ONEWAY_S_COUNT,
};
enum {
#define E(name) ONEWAY_E_##name,
    ONEWAY_EVENTS(E)
#undef E
    ONEWAY_E_COUNT,
};
/* clang-format on */

static tl_rc check_name(struct tl_run *run, struct tl_machine *machine,
                        const struct tl_fsm_input *input, struct tl_error *err)
{
    (void)run;
    if ((int)input->event->event_type != EVENT_TYPE_MARKER_RECORDED) {
        return TL_OK;
    }
    struct tl_str recorded = tl_str(input->event->marker_recorded_event_attributes->marker_name);
    struct tl_str ours = tl_str(machine->text);
    if (!tl_str_eq(recorded, ours)) {
        return tl_error_set(err, TL_ENONDETERMINISM,
                            "history has the marker '%.*s', the code recorded '%.*s'",
                            TL_STR_FMT(recorded), TL_STR_FMT(ours));
    }
    return TL_OK;
}

#define T(state, event, action, next) TL_FSM_EDGE(ONEWAY, state, event, action, next)
static const struct tl_fsm_edge edges[ONEWAY_S_COUNT * ONEWAY_E_COUNT] = {ONEWAY_TABLE(T)};
#undef T
static _Atomic uint8_t taken[ONEWAY_S_COUNT * ONEWAY_E_COUNT];
#define NAME(name) #name,
static const char *const states[] = {ONEWAY_STATES(NAME)};
static const char *const events[] = {ONEWAY_EVENTS(NAME)};
#undef NAME
const struct tl_fsm tl_oneway_fsm = {
    "one-way command",       states, events, ONEWAY_S_COUNT, ONEWAY_E_COUNT,
    1u << ONEWAY_S_RECORDED, edges,  taken};

/* What the user may not write: the engine's own search attribute. The command stays, so that old
 * histories keep their shape, but changes nothing. */
static tl_rc check_upsert(struct tl_run *run, ProtobufCMessage *message, struct tl_error *err)
{
    TpCommand__UpsertWorkflowSearchAttributesCommandAttributes *attrs =
        (TpCommand__UpsertWorkflowSearchAttributesCommandAttributes *)message;
    TpCommon__SearchAttributes *fields = attrs->search_attributes;
    if (!fields) {
        return TL_OK;
    }
    bool ours =
        TL_PB_MAP_GET(TpCommon__SearchAttributes__IndexedFieldsEntry, fields->n_indexed_fields,
                      fields->indexed_fields, TL_STR_LIT(TL_PATCH_SEARCH_ATTRIBUTE)) != NULL;
    if (ours && tl_core_use_flag(run, TL_FLAG_UPSERT_ON_PATCH, !run->replaying)) {
        attrs->search_attributes =
            TL_PB_NEW(run->task->current, TpCommon__SearchAttributes, tp_common__search_attributes);
        return attrs->search_attributes ? TL_OK
                                        : tl_error_set(err, TL_ELIMIT, "upsert: the arena is full");
    }
    return tl_core_inherit_upsert(run, fields, err);
}

tl_rc tl_oneway_send(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err)
{
    static const struct {
        uint8_t command;
        const ProtobufCMessageDescriptor *descriptor;
    } kinds[TL_CMD_COUNT] = {
        [TL_CMD_UPSERT_SEARCH_ATTRIBUTES] =
            {COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
             &tp_command__upsert_workflow_search_attributes_command_attributes__descriptor},
        [TL_CMD_MODIFY_PROPERTIES] =
            {COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES,
             &tp_command__modify_workflow_properties_command_attributes__descriptor},
        [TL_CMD_RECORD_MARKER] = {COMMAND_TYPE_RECORD_MARKER,
                                  &tp_command__record_marker_command_attributes__descriptor},
    };
    if (!cmd->attrs || cmd->attrs->descriptor != kinds[cmd->type].descriptor) {
        return tl_error_set(err, TL_EINVAL, "%s without attributes",
                            tl_command_info(kinds[cmd->type].command)->text);
    }
    struct tl_str marker = {0};
    if (cmd->type == TL_CMD_RECORD_MARKER) {
        marker = tl_str(((TpCommand__RecordMarkerCommandAttributes *)cmd->attrs)->marker_name);
        if (marker.n == 0 || tl_str_eqc(marker, TL_PATCH_MARKER_NAME) ||
            tl_str_eqc(marker, TL_LOCAL_MARKER_NAME)) {
            return tl_error_set(err, TL_EINVAL, "a marker needs a name of its own, not '%.*s'",
                                TL_STR_FMT(marker));
        }
    } else if (cmd->type == TL_CMD_UPSERT_SEARCH_ATTRIBUTES) {
        tl_rc rc = check_upsert(run, cmd->attrs, err);
        if (rc != TL_OK) {
            return rc;
        }
    }
    uint32_t slot;
    struct tl_machine *machine = tl_core_add_machine(run, TL_MACHINE_ONEWAY, 0, &slot);
    if (marker.n) {
        tl_machine_set_text(machine, marker, (struct tl_str){0});
    }
    tl_core_push_command(run, slot, kinds[cmd->type].command, cmd->attrs, cmd);
    return tl_oneway_begin(run, machine, cmd, err);
}

tl_rc tl_oneway_begin(struct tl_run *run, struct tl_machine *machine, const struct tl_cmd *cmd,
                      struct tl_error *err)
{
    return tl_fsm_apply(&tl_oneway_fsm, run, machine, ONEWAY_E_SEND,
                        &(struct tl_fsm_input){.cmd = cmd}, err);
}

tl_rc tl_oneway_event(struct tl_run *run, struct tl_machine *machine,
                      const TpHistory__HistoryEvent *event, struct tl_error *err)
{
    return tl_fsm_apply(&tl_oneway_fsm, run, machine, ONEWAY_E_RECORD,
                        &(struct tl_fsm_input){.event = event}, err);
}
