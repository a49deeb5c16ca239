/* torture: simulation seeds, power losses, real kills, and mutants that these must notice.
 *   torture sim --seeds N [--first S]     each seed twice: the trace must be the same
 *   torture --kills N --power M           N SIGKILLs of a real process, M power cuts spread over seeds
 *   torture mutants                       every mutant of fault.def must break a promise
 * Closing line: "N passed, N failed". Exit code 0 when nothing failed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "sim/kills.h"
#include "sim/sim.h"

static int passed, failed;

static void count(bool ok)
{
    passed += ok;
    failed += !ok;
}

static struct sim_options noisy(uint64_t seed, bool verbose)
{
    return (struct sim_options){
        .seed = seed,
        .workflows = 16,
        .power_cuts_max = 4,
        .kills_max = 3,
        .worker_restarts_max = 4,
        .commit_faults = seed % 3 == 0,
        .verbose = verbose,
    };
}

/* What the seeds did, all together. */
struct totals {
    long rounds, cuts, kills, restarts, calls[SIM_CALLS];
    uint64_t trace;
};

static void add_up(struct totals *t, const struct sim *s)
{
    t->rounds += s->rounds;
    t->cuts += s->power_cuts;
    t->kills += s->kills;
    t->restarts += s->worker_restarts;
    t->trace = t->trace * 31 + s->trace;
    for (int i = 0; i < SIM_CALLS; i++) {
        t->calls[i] += s->calls_answered[i];
    }
}

/* A kind of call that never succeeded was not tested. */
static void print_totals(const struct totals *t, uint64_t seeds)
{
    static const char *const names[SIM_CALLS] = {
        "start", "signal", "query",    "history", "stop",      "await", "list",
        "count", "describe", "again", "heartbeat", "complete", "delete",
    };
    printf("simulation: %llu seeds, %ld rounds, %ld power cuts, %ld kills, %ld worker restarts, "
           "trace %016llx\n",
           (unsigned long long)seeds, t->rounds, t->cuts, t->kills, t->restarts,
           (unsigned long long)t->trace);
    printf("answered:");
    for (int i = 0; i < SIM_CALLS; i++) {
        if (i != SIM_CALL_AGAIN) { /* the one that must be refused */
            printf(" %s %ld", names[i], t->calls[i]);
        }
        if (seeds >= 20 && !t->calls[i] && i != SIM_CALL_AGAIN) {
            count(false);
        }
    }
    printf("\n");
}

static void run_seeds(uint64_t first, uint64_t seeds)
{
    struct sim *s = TL_NEW(struct sim);
    struct totals totals = {0};
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        struct sim_options o = noisy(seed, true);
        bool ok = sim_run(s, &o);
        uint64_t trace = s->trace;
        add_up(&totals, s);
        if (ok && !(sim_run(s, &o) && s->trace == trace)) {
            fprintf(stderr, "seed %llu: the second run took another course\n",
                    (unsigned long long)seed);
            ok = false;
        }
        count(ok);
    }
    print_totals(&totals, seeds);
    tl_mem_free(s);
}

static void run_power(int cuts)
{
    struct sim *s = TL_NEW(struct sim);
    int done = 0;
    for (uint64_t seed = 1000000; done < cuts; seed++) {
        struct sim_options o = noisy(seed, true);
        o.power_cuts_max = 8;
        o.kills_max = 0;
        count(sim_run(s, &o));
        done += s->power_cuts;
        if (failed > 5) {
            break;
        }
    }
    printf("power: %d power cuts\n", done);
    tl_mem_free(s);
}

/* A mutant that no seed notices is a hole in the tests. */
static void run_mutant(enum tl_fault f)
{
    struct sim *s = TL_NEW(struct sim);
    uint64_t seed = 1;
    tl_fault_arm(f, true);
    for (; seed <= 60; seed++) {
        struct sim_options o = noisy(seed, false);
        o.power_cuts_max = 8;
        if (!sim_run(s, &o)) {
            break;
        }
    }
    tl_fault_arm(f, false);
    count(seed <= 60);
    printf("mutant %s: %s after %llu seeds%s%s\n", tl_fault_name(f),
           seed <= 60 ? "noticed" : "NOT NOTICED", (unsigned long long)(seed <= 60 ? seed : 60),
           seed <= 60 ? ": " : "", s->failure);
    tl_mem_free(s);
}

static void run_mutants(void)
{
    static const enum tl_fault mutants[] = {
#define X(name, kind, text) TL_IF_##kind(TL_FAULT_##name)
#define TL_IF_mutant(f) f,
#define TL_IF_fault(f)
#include "base/fault.def"
#undef X
    };
    for (size_t i = 0; i < sizeof mutants / sizeof mutants[0]; i++) {
        run_mutant(mutants[i]);
    }
}

static long number_after(int argc, char **argv, const char *option, long otherwise)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], option) == 0) {
            return strtol(argv[i + 1], NULL, 10);
        }
    }
    return otherwise;
}

static int usage(void)
{
    fputs("usage: torture sim [--seeds N] [--first S] | [--kills N] [--power N] [--first S] |"
          " mutants\n",
          stderr);
    return 2;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    int kills = (int)number_after(argc, argv, "--kills", 0);
    int power = (int)number_after(argc, argv, "--power", 0);
    uint64_t first = (uint64_t)number_after(argc, argv, "--first", 1);
    tl_log_level(TL_LOG_NEVER);
    if (strcmp(verb, "child") == 0 && argc == 5) {
        return sim_kills_child(argv[2], argv[3], argv[4]);
    }
    if (strcmp(verb, "sim") == 0) {
        run_seeds(first, (uint64_t)number_after(argc, argv, "--seeds", 50));
    } else if (kills > 0 || power > 0) {
        if (kills > 0) {
            count(sim_kills("/proc/self/exe", kills, first, true));
        }
        if (power > 0) {
            run_power(power);
        }
    } else if (strcmp(verb, "mutants") == 0) {
        run_mutants();
    } else {
        return usage();
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed ? 1 : 0;
}
