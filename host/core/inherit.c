/* What continue-as-new takes along when the code does not say: memo and retry policy of the start,
 * search attributes as they are now. Kept encoded, and only when the run has any.
 * Ownership: the run owns the bytes. Thread: the run's. */
#include "core/run_int.h"

#include "base/limits.h"
#include "base/mem.h"

static tl_rc keep(struct tl_str *kept, const ProtobufCMessage *message, struct tl_error *err)
{
    struct tl_buf bytes;
    tl_buf_init(&bytes, (size_t)tl_limit_request_bytes);
    tl_rc rc = tl_pb_encode(message, &bytes, err);
    if (rc == TL_OK) {
        tl_mem_free((char *)(uintptr_t)kept->p);
        *kept = bytes.n ? tl_str_n(tl_mem_dup(tl_buf_str(&bytes)), bytes.n) : (struct tl_str){0};
    }
    tl_buf_deinit(&bytes);
    return rc;
}

tl_rc tl_core_inherit_start(struct tl_run *run,
                            const TpHistory__WorkflowExecutionStartedEventAttributes *attrs,
                            struct tl_error *err)
{
    tl_rc rc = TL_OK;
    if (attrs->memo && attrs->memo->n_fields) {
        rc = keep(&run->inherited.memo, &attrs->memo->base, err);
    }
    if (rc == TL_OK && attrs->search_attributes && attrs->search_attributes->n_indexed_fields) {
        rc = keep(&run->inherited.search_attributes, &attrs->search_attributes->base, err);
    }
    if (rc == TL_OK && attrs->retry_policy) {
        rc = keep(&run->inherited.retry_policy, &attrs->retry_policy->base, err);
    }
    return rc;
}

tl_rc tl_core_inherit_upsert(struct tl_run *run, const TpCommon__SearchAttributes *upserted,
                             struct tl_error *err)
{
    struct tl_arena *arena = run->task->current;
    TpCommon__SearchAttributes *now =
        TL_PB_NEW(arena, TpCommon__SearchAttributes, tp_common__search_attributes);
    if (!now) {
        return tl_error_set(err, TL_ELIMIT, "search attributes: the arena is full");
    }
    if (run->inherited.search_attributes.n) {
        tl_rc rc = tl_pb_decode(&tp_common__search_attributes__descriptor,
                                run->inherited.search_attributes, arena, &now, err);
        if (rc != TL_OK) {
            return rc;
        }
    }
    struct tl_pb_list merged = {0};
    for (size_t i = 0; i < now->n_indexed_fields; i++) {
        if (!tl_pb_map_find(upserted->indexed_fields, upserted->n_indexed_fields,
                            tl_str(now->indexed_fields[i]->key)) &&
            !tl_pb_push(arena, &merged, now->indexed_fields[i])) {
            return tl_error_set(err, TL_ELIMIT, "search attributes: the arena is full");
        }
    }
    for (size_t i = 0; i < upserted->n_indexed_fields; i++) {
        if (!tl_pb_push(arena, &merged, upserted->indexed_fields[i])) {
            return tl_error_set(err, TL_ELIMIT, "search attributes: the arena is full");
        }
    }
    now->indexed_fields = merged.items;
    now->n_indexed_fields = merged.n;
    return keep(&run->inherited.search_attributes, &now->base, err);
}

tl_rc tl_core_inherit_fill(struct tl_run *run,
                           TpCommand__ContinueAsNewWorkflowExecutionCommandAttributes *attrs,
                           struct tl_error *err)
{
    struct tl_arena *arena = run->task->current;
    const struct tl_inherited *kept = &run->inherited;
    tl_rc rc = TL_OK;
    if ((!attrs->memo || attrs->memo->n_fields == 0) && kept->memo.n) {
        rc = tl_pb_decode(&tp_common__memo__descriptor, kept->memo, arena, &attrs->memo, err);
    }
    if (rc == TL_OK && !attrs->retry_policy && kept->retry_policy.n) {
        rc = tl_pb_decode(&tp_common__retry_policy__descriptor, kept->retry_policy, arena,
                          &attrs->retry_policy, err);
    }
    if (rc == TL_OK && !attrs->search_attributes && kept->search_attributes.n) {
        rc = tl_pb_decode(&tp_common__search_attributes__descriptor, kept->search_attributes, arena,
                          &attrs->search_attributes, err);
    }
    return rc;
}

void tl_core_inherit_free(struct tl_run *run)
{
    tl_mem_free((char *)(uintptr_t)run->inherited.memo.p);
    tl_mem_free((char *)(uintptr_t)run->inherited.search_attributes.p);
    tl_mem_free((char *)(uintptr_t)run->inherited.retry_policy.p);
    run->inherited = (struct tl_inherited){0};
}
