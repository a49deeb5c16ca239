/* The run's end: complete, fail, cancel, continue as new. The first closing command of the code
 * counts; the server writes its event last and nothing follows.
 * Thread: the run's. */
#include "core/run_int.h"

#include <tl_enums.h>

/* clang-format off */
#define CLOSE_STATES(S) S(NEW) S(CREATED) S(RECORDED)
#define CLOSE_EVENTS(E) E(CLOSE) E(RECORD)
#define CLOSE_TABLE(T)                                                                             \
    /* state   event   action  next    */                                                          \
    T(NEW,     CLOSE,  finish, CREATED)                                                            \
    T(CREATED, RECORD, NULL,   RECORDED)

enum {
#define S(name) CLOSE_S_##name,
    CLOSE_STATES(S)
#undef S
    CLOSE_S_COUNT,
};
enum {
#define E(name) CLOSE_E_##name,
    CLOSE_EVENTS(E)
#undef E
    CLOSE_E_COUNT,
};
/* clang-format on */

static tl_rc finish(struct tl_run *run, struct tl_machine *machine,
                    const struct tl_fsm_input *input, struct tl_error *err)
{
    (void)machine;
    run->finished = true;
    if (input->cmd->type != TL_CMD_CONTINUE_AS_NEW) {
        return TL_OK;
    }
    return tl_core_inherit_fill(
        run, (TpCommand__ContinueAsNewWorkflowExecutionCommandAttributes *)input->cmd->attrs, err);
}

#define T(state, event, action, next) TL_FSM_EDGE(CLOSE, state, event, action, next)
static const struct tl_fsm_edge edges[CLOSE_S_COUNT * CLOSE_E_COUNT] = {CLOSE_TABLE(T)};
#undef T
static _Atomic uint8_t taken[CLOSE_S_COUNT * CLOSE_E_COUNT];
#define NAME(name) #name,
static const char *const states[] = {CLOSE_STATES(NAME)};
static const char *const events[] = {CLOSE_EVENTS(NAME)};
#undef NAME
const struct tl_fsm tl_close_fsm = {
    "closing command",      states, events, CLOSE_S_COUNT, CLOSE_E_COUNT,
    1u << CLOSE_S_RECORDED, edges,  taken};

tl_rc tl_close_run(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err)
{
#define KIND(COMMAND, command)                                                                     \
    {                                                                                              \
        COMMAND_TYPE_##COMMAND, &tp_command__##command##_command_attributes__descriptor            \
    }
    static const struct {
        uint8_t command;
        const ProtobufCMessageDescriptor *descriptor;
    } kinds[TL_CMD_COUNT] = {
        [TL_CMD_COMPLETE] = KIND(COMPLETE_WORKFLOW_EXECUTION, complete_workflow_execution),
        [TL_CMD_FAIL] = KIND(FAIL_WORKFLOW_EXECUTION, fail_workflow_execution),
        [TL_CMD_CANCEL] = KIND(CANCEL_WORKFLOW_EXECUTION, cancel_workflow_execution),
        [TL_CMD_CONTINUE_AS_NEW] =
            KIND(CONTINUE_AS_NEW_WORKFLOW_EXECUTION, continue_as_new_workflow_execution),
    };
#undef KIND
    if (!cmd->attrs || cmd->attrs->descriptor != kinds[cmd->type].descriptor) {
        return tl_error_set(err, TL_EINVAL, "%s without attributes",
                            tl_command_info(kinds[cmd->type].command)->text);
    }
    uint32_t slot;
    struct tl_machine *machine = tl_core_add_machine(run, TL_MACHINE_CLOSE, 0, &slot);
    tl_core_push_command(run, slot, kinds[cmd->type].command, cmd->attrs, cmd);
    return tl_fsm_apply(&tl_close_fsm, run, machine, CLOSE_E_CLOSE,
                        &(struct tl_fsm_input){.cmd = cmd}, err);
}

tl_rc tl_close_event(struct tl_run *run, struct tl_machine *machine,
                     const TpHistory__HistoryEvent *event, struct tl_error *err)
{
    return tl_fsm_apply(&tl_close_fsm, run, machine, CLOSE_E_RECORD,
                        &(struct tl_fsm_input){.event = event}, err);
}
