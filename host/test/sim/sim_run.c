/* One seed: a noisy phase with faults, then a quiet one in which everything must end. */
#include "sim/sim.h"

#include <stdio.h>
#include <string.h>

#define ROUNDS_MAX 200000
#define QUIET_AFTER_NS (60 * TL_NS_PER_S)

/* Does something break in this round? */
static void maybe_fault(struct sim *s)
{
    const struct sim_options *o = &s->options;
    if (s->quiet || tl_rng_below(&s->rng, 60) != 0) {
        return;
    }
    uint64_t which = tl_rng_below(&s->rng, 3);
    if (which == 0 && s->power_cuts < o->power_cuts_max && s->server) {
        sim_server_crash(s, true);
    } else if (which == 1 && s->kills < o->kills_max && s->server) {
        sim_server_crash(s, false);
    } else if (which == 2 && s->worker_restarts < o->worker_restarts_max) {
        s->worker_restarts++;
        sim_worker_close(s, tl_rng_below(&s->rng, 2) == 0);
        sim_worker_open(s);
    }
}

/* The actors take their steps in seeded order. */
static bool step_all(struct sim *s, int64_t *client_next_ns)
{
    bool did = false;
    uint64_t order = tl_rng_below(&s->rng, 4);
    for (uint64_t i = 0; i < 4 && !s->failure[0]; i++) {
        switch ((order + i) % 4) {
        case 0:
            if (s->server) {
                s->server_next_ns = tl_server_step(s->server);
            }
            break;
        case 1:
            did = (s->server && tl_server_commit_step(s->server)) || did;
            break;
        case 2:
            did = (s->worker && tl_worker_step(s->worker, &s->worker_next_ns)) || did;
            break;
        default:
            did = sim_client_step(s, client_next_ns) || did;
        }
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
    int64_t next = min_ns(client_next_ns, s->worker_next_ns);
    if (s->server) {
        next = min_ns(next, s->server_next_ns);
    }
    if (next == INT64_MAX) {
        next = s->now_ns + TL_NS_PER_S;
    }
    s->now_ns = next > s->now_ns ? next : s->now_ns + TL_NS_PER_MS;
}

static void run_rounds(struct sim *s)
{
    int64_t client_next_ns = 0, began_ns = s->now_ns;
    int idle = 0;
    for (s->rounds = 0; s->rounds < ROUNDS_MAX && !s->failure[0]; s->rounds++) {
        if (s->now_ns - began_ns > QUIET_AFTER_NS) {
            s->quiet = true;
        }
        maybe_fault(s);
        if (!s->server && (s->quiet || tl_rng_below(&s->rng, 10) == 0)) {
            sim_server_open(s);
        }
        bool did = step_all(s, &client_next_ns);
        if (s->quiet && sim_client_all_closed(s)) {
            return;
        }
        idle = did ? 0 : idle + 1;
        if (idle >= 3) {
            idle = 0;
            advance_clock(s, client_next_ns);
        }
    }
    for (int i = 0; i < s->options.workflows && !s->failure[0]; i++) {
        if (!s->workflows[i].closed) {
            sim_fail(s, "%s (kind %d) has not ended after %d quiet rounds; %zu events were read",
                     s->workflows[i].id, s->workflows[i].kind, s->rounds,
                     s->workflows[i].seen_count);
        }
    }
}

bool sim_run(struct sim *s, const struct sim_options *options)
{
    memset(s, 0, sizeof *s);
    s->options = *options;
    sim_world_open(s);
    sim_client_open(s);
    if (sim_scripts_open(s) && sim_server_open(s) && sim_worker_open(s)) {
        run_rounds(s);
    }
    sim_close(s);
    if (s->failure[0] && options->verbose) {
        fprintf(stderr, "seed %llu: %s\n", (unsigned long long)options->seed, s->failure);
    }
    return !s->failure[0];
}
