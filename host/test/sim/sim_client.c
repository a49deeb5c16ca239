/* The clients: each workflow has one that starts it, sends its signals, asks queries, reads its history
 * and waits for its end, repeating a call until it is answered; afterwards it asks for all that must
 * stay true. */
#include <stdio.h>
#include <string.h>

#include "base/list.h"
#include "base/mem.h"
#include "sim/sim.h"

unsigned sim_asks_of(const struct sim_workflow *w)
{
    unsigned asks =
        SIM_ASK_LIST | SIM_ASK_COUNT | SIM_ASK_HISTORY | SIM_ASK_PAGES | SIM_ASK_DESCRIBE;
    if (w->kind == SIM_ORDER) {
        asks |= SIM_ASK_QUERY;
    }
    if (w->kind == SIM_PARENT) {
        asks |= SIM_ASK_CHILDREN;
    }
    if (w->updates) {
        asks |= SIM_ASK_UPDATE;
    }
    if (w->wants_delete && !w->deleted) {
        asks |= SIM_ASK_DELETE;
    }
    return asks;
}

void sim_client_open(struct sim *s)
{
    s->done_head = NULL;
    s->done_tail = &s->done_head;
    for (int i = 0; i < s->options.workflows; i++) {
        struct sim_workflow *w = &s->workflows[i];
        memset(w, 0, sizeof *w);
        w->sim = s;
        w->number = i;
        w->kind = tl_rng_below(&s->rng, 3) == 0 ? SIM_ORDER
                                                : (enum sim_kind)tl_rng_below(&s->rng, SIM_KINDS);
        bool signalled = w->kind == SIM_ORDER || w->kind == SIM_RESET;
        w->signals = signalled ? (int)tl_rng_below(&s->rng, SIM_SIGNALS_MAX + 1) : 0;
        w->pauses.steps = w->kind == SIM_PAUSED ? 2 + 2 * (int)tl_rng_below(&s->rng, 2) : 0;
        w->resets.wanted = w->kind == SIM_RESET ? 1 + (int)tl_rng_below(&s->rng, 2) : 0;
        /* With one signal only it could end before a repeated start comes: that would be a new run. */
        w->greeted = w->signals >= 2 && tl_rng_below(&s->rng, 2) == 0;
        w->updates = w->kind == SIM_UPDATED ? 1 + (int)tl_rng_below(&s->rng, SIM_UPDATES_MAX) : 0;
        w->wants_delete = tl_rng_below(&s->rng, 3) == 0;
        snprintf(w->id, sizeof w->id, "wf-%d", i);
        w->next_ns = s->now_ns + (int64_t)tl_rng_below(&s->rng, 5000) * TL_NS_PER_MS;
    }
    sim_alone_open(s);
    sim_batches_open(s);
    sim_deployment_open(s);
}

/* --- what to do next --------------------------------------------------------------------------------- */

/* Something to look at, whatever the workflow is. */
static enum sim_what any_look(struct sim *s, const struct sim_workflow *w)
{
    static const enum sim_what looks[] = {SIM_CALL_LIST,  SIM_CALL_COUNT, SIM_CALL_DESCRIBE,
                                          SIM_CALL_AGAIN, SIM_CALL_PAGE,  SIM_CALL_PAGE,
                                          SIM_CALL_AWAIT};
    enum sim_what what = looks[tl_rng_below(&s->rng, sizeof looks / sizeof looks[0])];
    return what == SIM_CALL_AWAIT && w->close_type ? SIM_CALL_HISTORY : what;
}

static enum sim_what next_while_open(struct sim *s, const struct sim_workflow *w)
{
    uint64_t dice = tl_rng_below(&s->rng, 12);
    if (w->resets.sent) { /* until it is known which run is the newest */
        return SIM_CALL_RESET;
    }
    if (w->later.known && !w->later.acked && dice < 5) {
        return SIM_CALL_BACK;
    }
    if (w->pauses.acked < w->pauses.steps && dice < 5) {
        return w->pauses.acked % 2 == 0 ? SIM_CALL_PAUSE : SIM_CALL_UNPAUSE;
    }
    if (w->resets.acked < w->resets.wanted && w->resets.point_count && dice < 3) {
        return SIM_CALL_RESET;
    }
    bool stops = w->kind == SIM_CANCELLED || w->kind == SIM_TERMINATED;
    if (w->signals_acked < w->signals && dice < 5) {
        return SIM_CALL_SIGNAL;
    }
    if (w->updates_acked < w->updates && dice < 7) {
        return SIM_CALL_UPDATE;
    }
    if (stops && !w->stop_acked && dice < 4) {
        return SIM_CALL_STOP;
    }
    if (w->manual.token_n && dice < 9) {
        return w->manual.beats_acked > 2 && dice < 2 ? SIM_CALL_DONE : SIM_CALL_BEAT;
    }
    if (w->kind == SIM_ORDER && dice < (s->quiet ? 4 : 8)) { /* at last it is to be seen to end */
        return SIM_CALL_QUERY;
    }
    return dice < 9 ? SIM_CALL_HISTORY : any_look(s, w);
}

static enum sim_what next_while_closed(struct sim *s, const struct sim_workflow *w)
{
    static const struct {
        enum sim_ask ask;
        enum sim_what what;
    } table[] = {{SIM_ASK_QUERY, SIM_CALL_QUERY},   {SIM_ASK_LIST, SIM_CALL_LIST},
                 {SIM_ASK_COUNT, SIM_CALL_COUNT},   {SIM_ASK_HISTORY, SIM_CALL_HISTORY},
                 {SIM_ASK_PAGES, SIM_CALL_PAGE},    {SIM_ASK_DESCRIBE, SIM_CALL_DESCRIBE},
                 {SIM_ASK_DELETE, SIM_CALL_DELETE}, {SIM_ASK_CHILDREN, SIM_CALL_CHILDREN},
                 {SIM_ASK_UPDATE, SIM_CALL_UPDATE}};
    size_t count = sizeof table / sizeof table[0], from = (size_t)tl_rng_below(&s->rng, count);
    for (size_t i = 0; i < count; i++) {
        size_t at = (from + i) % count;
        if (w->asks & (unsigned)table[at].ask) {
            return table[at].what;
        }
    }
    return SIM_CALLS;
}

static void act(struct sim_workflow *w)
{
    struct sim *s = w->sim;
    bool versioned = w->kind == SIM_PINNED || w->kind == SIM_MOVING;
    if (versioned && s->deployment.acked == SIM_BUILD_NONE) { /* nobody would take its tasks */
        w->next_ns = s->now_ns + TL_NS_PER_S;
        return;
    }
    if (!w->start_asked) {
        w->start_asked = true;
        w->builds_before = s->deployment.acked;
    }
    bool unreached = w->kind == SIM_NEXUS && !w->later.endpoint_acked;
    enum sim_what what = unreached         ? SIM_CALL_ENDPOINT
                         : !w->start_acked ? SIM_CALL_START
                         : w->closed       ? next_while_closed(s, w)
                                           : next_while_open(s, w);
    int64_t pause_ms = 1 + (int64_t)tl_rng_below(&s->rng, 3000);
    if (what == SIM_CALLS) { /* all was answered; while there is noise it is asked again */
        w->asks = sim_asks_of(w);
        pause_ms *= 5;
    } else {
        sim_call_make(w, what);
    }
    w->next_ns = s->now_ns + pause_ms * TL_NS_PER_MS;
}

/* --- steps ------------------------------------------------------------------------------------------ */

static bool take_replies(struct sim *s, bool look)
{
    struct tl_msg *m = s->done_head;
    bool did = m != NULL;
    s->done_head = NULL;
    s->done_tail = &s->done_head;
    while (m) {
        struct sim_call *c = TL_CONTAINER(m, struct sim_call, msg);
        m = m->next;
        if (look) {
            c->replied(c);
        }
        --*c->busy;
        tl_rpc_call_release(c->call);
        tl_rpc_result_free(c->result);
        tl_mem_free(c);
    }
    return did;
}

static bool rests(const struct sim_workflow *w)
{
    return w->busy > 0 || (w->closed && !w->asks && w->sim->quiet);
}

bool sim_client_step(struct sim *s, int64_t *next_ns)
{
    bool did = take_replies(s, true);
    *next_ns = INT64_MAX;
    for (int i = 0; i < s->options.workflows; i++) {
        struct sim_workflow *w = &s->workflows[i];
        if (!rests(w) && w->next_ns <= s->now_ns) {
            act(w);
            did = true;
        } else if (!rests(w) && w->next_ns < *next_ns) {
            *next_ns = w->next_ns;
        }
    }
    for (int i = 0; i < s->options.alone; i++) {
        struct sim_alone *a = &s->alone[i];
        if (!sim_alone_rests(a) && a->next_ns <= s->now_ns) {
            sim_alone_act(a);
            did = true;
        } else if (!sim_alone_rests(a) && a->next_ns < *next_ns) {
            *next_ns = a->next_ns;
        }
    }
    if (!sim_batches_rest(&s->batches)) {
        if (s->batches.next_ns <= s->now_ns) {
            sim_batches_act(&s->batches);
            did = true;
        } else if (s->batches.next_ns < *next_ns) {
            *next_ns = s->batches.next_ns;
        }
    }
    if (!sim_deployment_rests(&s->deployment)) {
        if (s->deployment.next_ns <= s->now_ns) {
            sim_deployment_act(&s->deployment);
            did = true;
        } else if (s->deployment.next_ns < *next_ns) {
            *next_ns = s->deployment.next_ns;
        }
    }
    return did;
}

void sim_client_close(struct sim *s)
{
    (void)take_replies(s, false);
}

bool sim_client_all_done(struct sim *s)
{
    for (int i = 0; i < s->options.workflows; i++) {
        const struct sim_workflow *w = &s->workflows[i];
        if (!w->closed || w->asks || w->busy > 0) {
            s->slowest = w->id;
            return false;
        }
    }
    for (int i = 0; i < s->options.alone; i++) {
        const struct sim_alone *a = &s->alone[i];
        if (!a->over || a->asks || a->busy > 0) {
            s->slowest = a->id;
            return false;
        }
    }
    s->slowest = s->batches.id;
    return sim_batches_done(&s->batches) && sim_deployment_done(&s->deployment);
}

void sim_client_ask_again(struct sim *s)
{
    for (int i = 0; i < s->options.workflows; i++) {
        s->workflows[i].asks = sim_asks_of(&s->workflows[i]);
    }
    for (int i = 0; i < s->options.alone; i++) {
        s->alone[i].asks = sim_alone_asks_of(&s->alone[i]);
    }
    sim_batches_ask_again(&s->batches);
    sim_deployment_ask_again(&s->deployment);
}
