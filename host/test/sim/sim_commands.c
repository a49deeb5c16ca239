/* Commands to workers, as they pass by on the link: none names an attempt of an activity that is not the newest
 * one which a worker was given. What the newest one is, is read off the tasks that pass.
 * Ownership: the table of attempts is freed with the sim. */
#include <stdio.h>
#include <string.h>

#include <temporal/api/nexusservices/workerservice/v1/request_response.pb-c.h>
#include <temporal_lua/v1/state.pb-c.h>

#include "base/mem.h"
#include "proto/pb.h"
#include "sim/sim.h"

#define ARENA_BYTES_MAX ((size_t)64 << 20)

/* The newest attempt of an activity that was given out, by the start that its token names. */
struct attempt {
    int64_t started_ns;
    int32_t number;
};

void sim_commands_open(struct sim *s)
{
    tl_map_init(&s->attempts);
}

void sim_commands_close(struct sim *s)
{
    TL_MAP_EACH (e, &s->attempts) {
        tl_mem_free(e->value);
    }
    tl_map_deinit(&s->attempts);
}

/* NULL, and the seed has failed: it is no token of an activity. key: what the activity is found under. */
static TlV1__TaskToken *read_token(struct sim *s, ProtobufCBinaryData bytes, struct tl_arena *arena,
                                   char key[64])
{
    TlV1__TaskToken *t = NULL;
    if (tl_pb_decode(&tl_v1__task_token__descriptor, tl_pb_str(bytes), arena, &t, NULL) != TL_OK ||
        !t->is_activity) {
        sim_fail(s, "a token of an activity is none");
        return NULL;
    }
    snprintf(key, 64, "%llu/%lld", (unsigned long long)t->run_number,
             (long long)t->scheduled_event_id);
    return t;
}

static void given_out(struct sim *s, const TpWs__PollActivityTaskQueueResponse *task,
                      struct tl_arena *arena)
{
    char key[64];
    TlV1__TaskToken *t = task->task_token.len ? read_token(s, task->task_token, arena, key) : NULL;
    struct attempt *a = t ? tl_map_get(&s->attempts, tl_str(key)) : NULL;
    if (t && !a) {
        a = TL_NEW(struct attempt);
        tl_map_put(&s->attempts, tl_str(key), a);
    }
    if (a && t->started_ns > a->started_ns) {
        *a = (struct attempt){t->started_ns, t->attempt};
    }
}

/* A start that got lost on its way may be newer than what a worker has; none is older. */
static void command_came(struct sim *s, const TpWorker__WorkerCommand *command,
                         struct tl_arena *arena)
{
    char key[64];
    if (command->type_case != TP_WORKER__WORKER_COMMAND__TYPE_CANCEL_ACTIVITY) {
        sim_fail(s, "a command is of no kind that there is");
        return;
    }
    TlV1__TaskToken *t = read_token(s, command->cancel_activity->task_token, arena, key);
    const struct attempt *a = t ? tl_map_get(&s->attempts, tl_str(key)) : NULL;
    s->commands++;
    if (a && (t->started_ns < a->started_ns ||
              (t->started_ns == a->started_ns && t->attempt != a->number))) {
        sim_fail(s, "activity %s: attempt %d is to be cancelled, %d runs", key, (int)t->attempt,
                 (int)a->number);
    }
}

static void commands_came(struct sim *s, const TpWs__PollNexusTaskQueueResponse *task,
                          struct tl_arena *arena)
{
    const TpNexus__Request *r = task->request;
    const TpNexus__StartOperationRequest *start =
        r && r->variant_case == TP_NEXUS__REQUEST__VARIANT_START_OPERATION ? r->start_operation
                                                                           : NULL;
    TpWorkersvc__ExecuteCommandsRequest *commands = NULL;
    if (!start || strcmp(start->operation, "ExecuteCommands") != 0) {
        return; /* an operation of a workflow */
    }
    if (!s->worker_commands) {
        sim_fail(s, "a command comes from a server that sends none");
    } else if (tl_pb_decode(&tp_workersvc__execute_commands_request__descriptor,
                            tl_pb_str(start->payload->data), arena, &commands, NULL) != TL_OK) {
        sim_fail(s, "commands cannot be read");
    } else {
        for (size_t i = 0; i < commands->n_commands; i++) {
            command_came(s, commands->commands[i], arena);
        }
    }
}

void sim_commands_passed(struct sim *s, const struct tl_rpc_result *res)
{
    struct tl_arena arena;
    void *m = NULL;
    if (res->status != 0 || (res->method != TL_M_PollActivityTaskQueue &&
                             res->method != TL_M_RespondWorkflowTaskCompleted &&
                             res->method != TL_M_PollNexusTaskQueue)) {
        return;
    }
    tl_arena_init(&arena, ARENA_BYTES_MAX);
    if (tl_pb_decode(tl_method_info(res->method)->output, res->body, &arena, &m, NULL) != TL_OK) {
        sim_fail(s, "an answer of %s cannot be read", tl_method_info(res->method)->name);
    } else if (res->method == TL_M_PollActivityTaskQueue) {
        given_out(s, m, &arena);
    } else if (res->method == TL_M_PollNexusTaskQueue) {
        commands_came(s, m, &arena);
    } else {
        const TpWs__RespondWorkflowTaskCompletedResponse *r = m;
        for (size_t i = 0; i < r->n_activity_tasks; i++) {
            given_out(s, r->activity_tasks[i], &arena);
        }
    }
    tl_arena_deinit(&arena);
}
