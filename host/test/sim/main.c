/* torture: simulation seeds, power losses, real kills, and mutants that these must notice.
 *   torture sim --seeds N [--first S] [--cuts C] [--crashes K] [--story 1]
 *                                         each seed twice: the trace must be the same
 *   torture --kills N --power M           N SIGKILLs of a real process, M power cuts spread over seeds
 *   torture mutants                       every mutant of fault.def must break a promise
 *   torture determinism ...               one process of the proof of determinism (determinism.c)
 * Closing line: "N passed, N failed". Exit code 0 when nothing failed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "sim/determinism.h"
#include "sim/kills.h"
#include "sim/sim.h"

#define MUTANT_SEEDS 1000

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
        .alone = 6,
        .power_cuts_max = 8,
        .kills_max = 6,
        .worker_restarts_max = 8,
        .commit_faults = seed % 2 == 0,
        .verbose = verbose,
    };
}

/* What the seeds did, all together. */
struct totals {
    long rounds, cuts, kills, restarts, lost, commands, calls[SIM_CALLS];
    uint64_t trace;
};

static void add_up(struct totals *t, const struct sim *s)
{
    t->rounds += s->rounds;
    t->cuts += s->power_cuts;
    t->kills += s->kills;
    t->restarts += s->worker_restarts;
    t->lost += s->answers_lost;
    t->commands += s->commands;
    t->trace = t->trace * 31 + s->trace;
    for (int i = 0; i < SIM_CALLS; i++) {
        t->calls[i] += s->calls_answered[i];
    }
}

/* A kind of call that never succeeded was not tested. */
static void print_totals(const struct totals *t, uint64_t seeds)
{
    static const char *const names[SIM_CALLS] = {
        "start",
        "signal",
        "query",
        "history",
        "stop",
        "page",
        "await",
        "list",
        "count",
        "describe",
        "again",
        "heartbeat",
        "complete",
        "delete",
        "children",
        "update",
        "pause",
        "unpause",
        "reset",
        "endpoint",
        "back",
        "activity-start",
        "activity-again",
        "activity-outcome",
        "activity-describe",
        "activity-count",
        "activity-stop",
        "activity-delete",
        "batch-start",
        "batch-describe",
        "rollout",
        "routing",
    };
    printf("simulation: %llu seeds, %ld rounds, %ld power cuts, %ld kills, %ld worker restarts, "
           "%ld lost answers, trace %016llx\n",
           (unsigned long long)seeds, t->rounds, t->cuts, t->kills, t->restarts, t->lost,
           (unsigned long long)t->trace);
    printf("%ld commands to workers\n", t->commands);
    if (seeds >= 20 && !t->commands) {
        count(false);
    }
    printf("answered:");
    for (int i = 0; i < SIM_CALLS; i++) {
        if (i == SIM_CALL_AGAIN || i == SIM_CALL_ALONE_AGAIN) {
            continue; /* it must be refused */
        }
        printf(" %s %ld", names[i], t->calls[i]);
        if (seeds >= 20 && !t->calls[i]) {
            count(false);
        }
    }
    printf("\n");
}

static void run_seeds(uint64_t first, uint64_t seeds, int cuts, int crashes, bool story)
{
    struct sim *s = TL_NEW(struct sim);
    struct totals totals = {0};
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        struct sim_options o = noisy(seed, true);
        o.power_cuts_max = cuts;
        o.kills_max = crashes;
        o.story = story;
        tl_log_level(story ? TL_LOG_INFO : TL_LOG_NEVER);
        bool ok = sim_run(s, &o);
        uint64_t trace = s->trace;
        add_up(&totals, s);
        o.story = false;
        tl_log_level(TL_LOG_NEVER);
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

static struct sim_options mutant_options(uint64_t seed)
{
    struct sim_options o = noisy(seed, false);
    o.power_cuts_max = o.kills_max = 12;
    return o;
}

/* A mutant that no seed notices is a hole in the tests. What a seed reports without the mutant, too,
 * is not the mutant's doing. */
static void run_mutant(enum tl_fault f)
{
    struct sim *s = TL_NEW(struct sim);
    struct sim *control = TL_NEW(struct sim);
    uint64_t seed = 1;
    bool noticed = false;
    for (; seed <= MUTANT_SEEDS && !noticed; seed++) {
        struct sim_options o = mutant_options(seed);
        tl_fault_arm(f, true);
        noticed = !sim_run(s, &o);
        tl_fault_arm(f, false);
    }
    struct sim_options o = mutant_options(seed - 1);
    bool healthy = sim_run(control, &o);
    if (!noticed) {
        printf("mutant %s: NOT NOTICED after %d seeds\n", tl_fault_name(f), MUTANT_SEEDS);
    } else if (!healthy) {
        printf("mutant %s: seed %llu fails without it, too: %s\n", tl_fault_name(f),
               (unsigned long long)(seed - 1), control->failure);
    } else {
        printf("mutant %s: noticed by seed %llu: %s\n", tl_fault_name(f),
               (unsigned long long)(seed - 1), s->failure);
    }
    count(noticed && healthy);
    tl_mem_free(control);
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
    fputs("usage: torture sim [--seeds N] [--first S] [--cuts C] [--crashes K] [--story 1] | "
          "[--kills N] "
          "[--power N] [--first S] |"
          " mutants | determinism ...\n",
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
    if (strcmp(verb, "determinism") == 0) {
        return sim_determinism(argc - 2, argv + 2);
    }
    if (strcmp(verb, "sim") == 0) {
        run_seeds(first, (uint64_t)number_after(argc, argv, "--seeds", 50),
                  (int)number_after(argc, argv, "--cuts", 8),
                  (int)number_after(argc, argv, "--crashes", 6),
                  number_after(argc, argv, "--story", 0) != 0);
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
