/* One seed: a noisy phase with faults, then a quiet one in which everything must end. */
#include "sim/sim.h"

#include <stdio.h>
#include <string.h>

#include "base/fault.h"

#define ROUNDS_MAX 200000
#define QUIET_AFTER_NS (60 * TL_NS_PER_S)
/* Two attempts of an activity that were lost, their pauses, the clients' own pauses. */
#define QUIET_MAX_NS (300 * TL_NS_PER_S)

/* Does something break in this round? */
static void maybe_fault(struct sim *s)
{
    const struct sim_options *o = &s->options;
    /* Crashes are worth most while the others have gone on and the disk has not. */
    unsigned one_in = s->fragile ? 8 : s->commit_waits ? 60 : 240;
    if (s->quiet || tl_rng_below(&s->rng, one_in) != 0) {
        return;
    }
    uint64_t which = tl_rng_below(&s->rng, s->fragile ? 2 : 4);
    if (which == 0 && s->power_cuts < o->power_cuts_max && s->server) {
        sim_server_crash(s, true);
    } else if (which == 1 && s->kills < o->kills_max && s->server) {
        sim_server_crash(s, false);
    } else if (which == 2 && s->worker_restarts < o->worker_restarts_max) {
        int worker = (int)tl_rng_below(&s->rng, SIM_WORKERS);
        s->worker_restarts++;
        sim_worker_close(s, worker, tl_rng_below(&s->rng, 2) == 0);
        sim_worker_open(s, worker);
    } else if (which == 3 && o->commit_faults) {
        tl_fault_arm(TL_FAULT_sometimes_fail_commit, tl_rng_below(&s->rng, 2) == 0);
    }
}

enum { SERVER, COMMIT, CLIENTS, WORKERS, ACTORS = WORKERS + SIM_WORKERS };

static bool step_one(struct sim *s, int actor, int64_t *client_next_ns)
{
    if (actor == SERVER) {
        if (s->server) {
            s->server_next_ns = tl_server_step(s->server);
        }
        return false;
    }
    if (actor == COMMIT) {
        return s->server && tl_server_commit_step(s->server);
    }
    if (actor == CLIENTS) {
        return sim_client_step(s, client_next_ns);
    }
    return tl_worker_step(s->workers[actor - WORKERS], &s->workers_next_ns[actor - WORKERS]);
}

/* The actors take their steps in seeded order; now and then one is slow. */
static bool step_all(struct sim *s, int64_t *client_next_ns)
{
    int order[ACTORS];
    bool did = false;
    for (int i = 0; i < ACTORS; i++) {
        int j = (int)tl_rng_below(&s->rng, (uint64_t)i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    for (int i = 0; i < ACTORS && !s->failure[0]; i++) {
        bool slow = tl_rng_below(&s->rng, 4) == 0;
        if (slow) {
            continue;
        }
        did = step_one(s, order[i], client_next_ns) || did;
        s->fragile = s->fragile && order[i] != COMMIT;
        s->commit_waits = order[i] == SERVER || (s->commit_waits && order[i] != COMMIT);
    }
    return did;
}

static int64_t min_ns(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Nobody has work: time goes on to whoever wants it first. */
static void advance_clock(struct sim *s, int64_t client_next_ns)
{
    int64_t next = client_next_ns;
    for (int i = 0; i < SIM_WORKERS; i++) {
        next = min_ns(next, s->workers_next_ns[i]);
    }
    if (s->server) {
        next = min_ns(next, s->server_next_ns);
    }
    if (next == INT64_MAX) {
        next = s->now_ns + TL_NS_PER_S;
    }
    s->now_ns = next > s->now_ns ? next : s->now_ns + TL_NS_PER_MS;
}

/* True when there is nothing left to do. All must be there after a last power cut, too. */
static bool finished(struct sim *s)
{
    if (!s->quiet || !s->server || !sim_client_all_done(s)) {
        return false;
    }
    if (!s->last_cut) {
        s->last_cut = true;
        sim_server_crash(s, true);
        sim_client_ask_again(s);
        return false;
    }
    if (s->now_ns - s->quiet_since_ns > QUIET_MAX_NS) {
        sim_fail(s, "it took %lld s without faults until all had ended, last %s",
                 (long long)((s->now_ns - s->quiet_since_ns) / TL_NS_PER_S), s->slowest);
    }
    return true;
}

static void complain(struct sim *s)
{
    for (int i = 0; i < s->options.workflows; i++) {
        const struct sim_workflow *w = &s->workflows[i];
        if (!w->closed || w->asks) {
            sim_fail(s, "%s (kind %d) %s after %d rounds; %zu events were read, asks %#x", w->id,
                     (int)w->kind, w->closed ? "was not answered" : "has not ended", s->rounds,
                     w->seen_count, w->asks);
        }
    }
    sim_fail(s, "%s was not done after %d rounds", s->slowest ? s->slowest : "", s->rounds);
}

static void run_rounds(struct sim *s)
{
    int64_t client_next_ns = 0, began_ns = s->now_ns;
    int idle = 0;
    for (s->rounds = 0; s->rounds < ROUNDS_MAX && !s->failure[0]; s->rounds++) {
        if (!s->quiet && s->now_ns - began_ns > QUIET_AFTER_NS) {
            s->quiet = true;
            s->quiet_since_ns = s->now_ns;
            tl_fault_arm(TL_FAULT_sometimes_fail_commit, false);
        }
        maybe_fault(s);
        if (!s->server && (s->quiet || tl_rng_below(&s->rng, 10) == 0)) {
            sim_server_open(s);
        }
        bool did = step_all(s, &client_next_ns);
        if (finished(s)) {
            return;
        }
        s->now_ns++; /* no two moments are the same */
        idle = did ? 0 : idle + 1;
        if (idle >= 3) {
            idle = 0;
            advance_clock(s, client_next_ns);
        }
    }
    if (!s->failure[0]) {
        complain(s);
    }
}

static bool open_all(struct sim *s)
{
    bool ok = sim_scripts_open(s) && sim_server_open(s);
    for (int i = 0; i < SIM_WORKERS && ok; i++) {
        ok = sim_worker_open(s, i);
    }
    return ok;
}

bool sim_run(struct sim *s, const struct sim_options *options)
{
    memset(s, 0, sizeof *s);
    s->options = *options;
    sim_world_open(s);
    sim_client_open(s);
    if (open_all(s)) {
        run_rounds(s);
    }
    tl_fault_arm(TL_FAULT_sometimes_fail_commit, false);
    sim_close(s);
    if (s->failure[0] && options->verbose) {
        fprintf(stderr, "seed %llu: %s\n", (unsigned long long)options->seed, s->failure);
    }
    return !s->failure[0];
}
