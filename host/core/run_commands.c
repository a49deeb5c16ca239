/* What the language answered becomes machines and outgoing commands; outgoing commands become the
 * protocol's.
 * Ownership: commands live in the group's or the task's arena. Thread: the run's. */
#include "core/run_int.h"

#include <tl_enums.h>

static const struct tl_command_info commands[] = {
#define X(command, name, event, machine_name, is_closing, is_first)                                \
    [COMMAND_TYPE_##command] = {                                                                   \
        .text = #name,                                                                             \
        .event_type = EVENT_TYPE_##event,                                                          \
        .machine = TL_MACHINE_##machine_name,                                                      \
        .attributes_case = TP_COMMAND__COMMAND__ATTRIBUTES_##command##_COMMAND_ATTRIBUTES,         \
        .closes = (is_closing),                                                                    \
        .initiates = (is_first)},
#include "core/commands.def"
#undef X
};

const struct tl_command_info *tl_command_info(int command_type)
{
    return &commands[command_type];
}

int tl_outgoing_event(const struct tl_outgoing *out)
{
    return out->answers ? EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED
                        : commands[out->command].event_type;
}

bool tl_outgoing_initiates(const struct tl_outgoing *out)
{
    return commands[out->command].initiates && !out->answers;
}

struct tl_cmd *tl_completion_add(struct tl_completion *completion, enum tl_cmd_type type)
{
    if (completion->cmd_count == completion->cmd_cap) {
        size_t cap = completion->cmd_cap ? completion->cmd_cap * 2 : 8;
        struct tl_cmd *cmds = TL_ARENA_ARRAY(completion->arena, struct tl_cmd, cap);
        if (!cmds) {
            return NULL;
        }
        if (completion->cmd_count) {
            memcpy(cmds, completion->cmds, completion->cmd_count * sizeof(*cmds));
        }
        completion->cmds = cmds;
        completion->cmd_cap = cap;
    }
    struct tl_cmd *cmd = &completion->cmds[completion->cmd_count++];
    *cmd = (struct tl_cmd){.type = type};
    return cmd;
}

static bool is_closing(enum tl_cmd_type type)
{
    return type == TL_CMD_COMPLETE || type == TL_CMD_FAIL || type == TL_CMD_CANCEL ||
           type == TL_CMD_CONTINUE_AS_NEW;
}

static tl_rc take_command(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err)
{
    static tl_rc (*const take[TL_CMD_COUNT])(struct tl_run *, const struct tl_cmd *,
                                             struct tl_error *) = {
        [TL_CMD_START_TIMER] = tl_timer_start,
        [TL_CMD_CANCEL_TIMER] = tl_timer_cancel,
        [TL_CMD_SCHEDULE_ACTIVITY] = tl_activity_schedule,
        [TL_CMD_REQUEST_CANCEL_ACTIVITY] = tl_activity_cancel,
        [TL_CMD_START_CHILD] = tl_child_start,
        [TL_CMD_CANCEL_CHILD] = tl_child_cancel,
        [TL_CMD_SIGNAL_EXTERNAL] = tl_signal_external_send,
        [TL_CMD_CANCEL_SIGNAL] = tl_signal_external_cancel,
        [TL_CMD_CANCEL_EXTERNAL] = tl_cancel_external_send,
        [TL_CMD_SCHEDULE_NEXUS] = tl_nexus_schedule,
        [TL_CMD_CANCEL_NEXUS] = tl_nexus_cancel,
        [TL_CMD_COMPLETE] = tl_close_run,
        [TL_CMD_FAIL] = tl_close_run,
        [TL_CMD_CANCEL] = tl_close_run,
        [TL_CMD_CONTINUE_AS_NEW] = tl_close_run,
        [TL_CMD_SET_PATCH] = tl_patch_set,
        [TL_CMD_SCHEDULE_LOCAL_ACTIVITY] = tl_local_schedule,
        [TL_CMD_CANCEL_LOCAL_ACTIVITY] = tl_local_cancel,
        [TL_CMD_UPSERT_SEARCH_ATTRIBUTES] = tl_oneway_send,
        [TL_CMD_MODIFY_PROPERTIES] = tl_oneway_send,
        [TL_CMD_RECORD_MARKER] = tl_oneway_send,
        [TL_CMD_UPDATE_RESPONSE] = tl_update_respond,
    };
    if ((unsigned)cmd->type >= TL_CMD_COUNT || !take[cmd->type]) {
        return tl_error_set(err, TL_EINVAL, "the language sent command %d outside its place",
                            (int)cmd->type);
    }
    return take[cmd->type](run, cmd, err);
}

tl_rc tl_core_take_completion(struct tl_run *run, const struct tl_completion *completion,
                              struct tl_error *err)
{
    /* Old histories of the core, and those of other SDKs, end a task at its first closing command;
     * now what was called after it is kept and the closing command goes last. */
    bool move = !run->replaying || tl_core_use_flag(run, TL_FLAG_MOVE_TERMINAL, false);
    const struct tl_cmd *closing = NULL;
    tl_rc rc = TL_OK;
    for (size_t i = 0; i < completion->cmd_count && rc == TL_OK; i++) {
        const struct tl_cmd *cmd = &completion->cmds[i];
        if (is_closing(cmd->type)) {
            closing = closing ? closing : cmd;
            if (!move) {
                break;
            }
            continue;
        }
        rc = take_command(run, cmd, err);
    }
    if (rc == TL_OK && closing && !run->finished) {
        rc = take_command(run, closing, err);
    }
    if (!run->replaying) {
        run->lang_flags_used |= completion->lang_flags_used;
    }
    tl_core_sweep_commands(run);
    return rc;
}

tl_rc tl_core_encode_commands(struct tl_run *run, struct tl_wft_result *out, struct tl_error *err)
{
    struct tl_arena *arena = run->task->arena;
    uint32_t count = tl_core_outgoing_count(run);
    if (count == 0) {
        return TL_OK;
    }
    TpCommand__Command **list = TL_ARENA_ARRAY(arena, TpCommand__Command *, count);
    struct tl_str *places = TL_ARENA_ARRAY(arena, struct tl_str, count);
    for (uint32_t i = 0; list && places && i < count; i++) {
        uint32_t at = run->outgoing_first + i;
        const struct tl_outgoing_body *body = &run->bodies[at];
        TpCommand__Command *command = TL_PB_NEW(arena, TpCommand__Command, tp_command__command);
        if (!command) {
            list = NULL;
            break;
        }
        int type = run->outgoing[at].command;
        command->command_type = (TpEnums__CommandType)type;
        command->user_metadata = body->metadata;
        command->n_event_group_markers = body->groups.n;
        command->event_group_markers = body->groups.items;
        command->attributes_case =
            (TpCommand__Command__AttributesCase)tl_command_info(type)->attributes_case;
        /* All members of the union are pointers to attributes messages. */
        command->start_timer_command_attributes =
            (TpCommand__StartTimerCommandAttributes *)(void *)body->attrs;
        list[i] = command;
        places[i] = tl_arena_str(arena, body->where);
    }
    if (!list || !places) {
        return tl_error_set(err, TL_ELIMIT, "commands: the arena is full");
    }
    out->commands = list;
    out->places = places;
    out->command_count = count;
    return TL_OK;
}
