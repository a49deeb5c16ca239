/* Who may start under a workflow id: what clients' starts and those of children share.
 * Thread: engine. */
#include "base/assert.h"
#include "server/engine.h"

#define REUSE(name) WORKFLOW_ID_REUSE_POLICY_##name
#define CONFLICT(name) WORKFLOW_ID_CONFLICT_POLICY_##name

static bool ended_well(int status)
{
    return status == WORKFLOW_EXECUTION_STATUS_COMPLETED ||
           status == WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW;
}

enum tl_id_verdict tl_id_judge(const struct tl_rs_info *current, struct tl_str request_id,
                               int reuse, int conflict)
{
    if (!current) {
        return TL_ID_FREE;
    }
    if (request_id.n && tl_str_eq(current->start_request_id, request_id)) {
        return TL_ID_SAME_REQUEST;
    }
    if (!current->closed) {
        switch (conflict) {
        case CONFLICT(USE_EXISTING):
            return TL_ID_USE_EXISTING;
        case CONFLICT(TERMINATE_EXISTING):
            return TL_ID_TERMINATE;
        default:
            return TL_ID_RUNNING;
        }
    }
    if (reuse == REUSE(REJECT_DUPLICATE)) {
        return TL_ID_USED;
    }
    return reuse == REUSE(ALLOW_DUPLICATE_FAILED_ONLY) && ended_well(current->status)
               ? TL_ID_USED_WELL
               : TL_ID_FREE;
}

static TpCommon__Payloads *text_payload(struct tl_arena *arena, const char *text)
{
    TpCommon__Payloads *all = TL_PB_NEW(arena, TpCommon__Payloads, tp_common__payloads);
    TpCommon__Payload *one = TL_PB_NEW(arena, TpCommon__Payload, tp_common__payload);
    TpCommon__Payload__MetadataEntry *m =
        TL_PB_NEW(arena, TpCommon__Payload__MetadataEntry, tp_common__payload__metadata_entry);
    struct tl_pb_list list = {0}, meta = {0};
    if (!all || !one || !m || !tl_pb_push(arena, &list, one) || !tl_pb_push(arena, &meta, m)) {
        return NULL;
    }
    m->key = tl_pb_cstr(arena, TL_STR_LIT("encoding"));
    m->value = tl_pb_bytes_view(TL_STR_LIT("json/plain"));
    one->n_metadata = 1;
    one->metadata = meta.items;
    one->data = tl_pb_bytes_view(tl_str(text));
    all->n_payloads = 1;
    all->payloads = list.items;
    return all;
}

tl_rc tl_id_terminate(struct tl_server *s, struct tl_exec *e, const char *new_run_id,
                      struct tl_arena *arena, struct tl_error *err)
{
    struct tl_tx tx;
    char *text = tl_arena_printf(arena, "\"terminated by new runID: %s\"", new_run_id);
    TL_ASSERT(!e->closed);
    tl_run_begin(s, e, &tx, arena);
    tl_rc rc = tl_tx_terminate(&tx, "TerminateIfRunning WorkflowIdReusePolicy",
                               text_payload(arena, text), "history-service", NULL, 0, err);
    if (rc != TL_OK && !tx.touched) {
        tl_tx_abort(&tx);
        return rc;
    }
    tl_rc ended = tl_run_end(s, e, &tx, err);
    return rc != TL_OK ? rc : ended;
}
