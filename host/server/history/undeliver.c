/* Taking back what no worker has seen: starts of tasks whose delivery failed, and whole transactions
 * on runs that will not exist. Thread: the run's owner. */
#include "server/history/rs.h"

tl_rc tl_tx_wft_unstart(struct tl_tx *tx, const struct tl_task_ref *ref, struct tl_error *err)
{
    struct tl_wft *w = &tx->rs->wft;
    if (!tl_wft_matches(tx->rs, ref) || !w->started_volatile) {
        return tl_tx_fail(tx, TL_ERR_STALE_TASK, err, TL_ENOTFOUND, "Workflow task not found.");
    }
    w->started_id = 0;
    w->started_ns = 0;
    w->history_bytes = 0;
    w->suggest_reasons = 0;
    w->use_versioning = false;
    w->started_volatile = false;
    w->drops_sticky = false;
    tl_set_str(&w->request_id, NULL);
    tl_set_str(&w->identity, NULL);
    tl_set_str(&w->build_id, NULL);
    tx->p->offer_wft = true;
    tx->touched = true;
    return tl_tx_result(tx, err);
}

tl_rc tl_tx_activity_unstart(struct tl_tx *tx, const struct tl_task_ref *ref, struct tl_error *err)
{
    struct tl_act *act = tl_rs_open(tx->rs) ? tl_rs_act(tx->rs, ref->scheduled_id) : NULL;
    if (!act || !act->started || act->attempt != ref->attempt ||
        act->started_ns != ref->started_ns) {
        return tl_tx_fail(tx, TL_ERR_STALE_TASK, err, TL_ENOTFOUND, "Activity task not found.");
    }
    act->started = false;
    act->started_ns = 0;
    act->offered = false;
    tl_set_str(&act->request_id, NULL);
    tl_set_str(&act->identity, NULL);
    tl_rs_act_arm(tx->rs, act);
    tl_tx_touch_act(tx, act);
    tl_tx_offer_act(tx, act);
    return tl_tx_result(tx, err);
}

void tl_tx_discard(struct tl_tx *tx)
{
    tl_buf_deinit(&tx->p->events);
    tl_mem_free(tx->p);
    tx->p = NULL;
}
