/* Task tokens: which run and which task a worker speaks of. They name runs by number, survive a
 * restart, and are checked against the run's state before they count.
 * Thread: any. */
#include "server/history/rs.h"

tl_rc tl_work_token_encode(const struct tl_work_token *token, struct tl_arena *arena,
                           struct tl_str *out, struct tl_error *err)
{
    TlV1__TaskToken t = TL_V1__TASK_TOKEN__INIT;
    t.namespace_number = token->namespace_number;
    t.run_number = token->run_number;
    t.is_activity = token->is_activity;
    t.nexus_request = token->nexus_request;
    t.worker_command = token->worker_command;
    t.scheduled_event_id = token->ref.scheduled_id;
    t.started_event_id = token->ref.started_id;
    t.started_ns = token->ref.started_ns;
    t.attempt = token->ref.attempt;
    if (token->activity_id.n > 0 && !(t.activity_id = tl_pb_cstr(arena, token->activity_id))) {
        return tl_error_set(err, TL_ELIMIT, "no memory for a task token");
    }
    return tl_pb_encode_arena(&t, arena, out, err);
}

tl_rc tl_work_token_decode(struct tl_str bytes, struct tl_arena *arena, struct tl_work_token *out,
                           struct tl_error *err)
{
    TlV1__TaskToken *t = NULL;
    if (bytes.n == 0) {
        return tl_error_set(err, TL_EINVAL, "Task token not set on request.");
    }
    if (tl_pb_decode(&tl_v1__task_token__descriptor, bytes, arena, &t, NULL) != TL_OK ||
        (t->run_number == 0) != (t->worker_command != 0)) {
        return tl_error_set(err, TL_EINVAL, "Error deserializing task token.");
    }
    *out = (struct tl_work_token){
        .namespace_number = t->namespace_number,
        .run_number = t->run_number,
        .is_activity = t->is_activity,
        .nexus_request = t->nexus_request,
        .worker_command = t->worker_command,
        .ref = {t->scheduled_event_id, t->started_event_id, t->started_ns, t->attempt},
        .activity_id = tl_str(t->activity_id),
    };
    return TL_OK;
}
