/* bench: runs the figures that were asked for, each on a fresh database or against the server at an
 * address. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/bench.h"
#include "cli/cli.h"

int tl_cmd_bench(struct tl_cli *cli);

/* Figures of one load: NAME_rate, and with `more` its latencies and CPU. */
static tl_rc load_figures(struct tl_bench *b, const char *name, const char *unit, const char *type,
                          enum tl_bench_kind kind, struct tl_error *err)
{
    struct tl_bench_load load;
    char text[64];
    tl_rc rc = tl_bench_run_load(b, type, kind, &load, err);
    if (rc != TL_OK) {
        return rc;
    }
    const struct {
        const char *suffix, *unit;
        double value;
    } rows[] = {
        {"p50", "ms", load.p50_ms},
        {"p99", "ms", load.p99_ms},
        {"cpu", "us each", load.cpu_us_each},
        {"server_cpu", "us each", load.server_cpu_us_each},
        {"count", "", (double)load.completed},
    };
    tl_bench_figure(b, name, load.per_second, unit);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].value > 0) {
            snprintf(text, sizeof text, "%s_%s", name, rows[i].suffix);
            tl_bench_figure(b, text, rows[i].value, rows[i].unit);
        }
    }
    return rc;
}

#define RUNS_FIGURE(name)                                                                          \
    static tl_rc figure_##name(struct tl_bench *b, struct tl_error *err)                           \
    {                                                                                              \
        return load_figures(b, #name, "workflows/s", #name, TL_BENCH_RUNS, err);                   \
    }
RUNS_FIGURE(noop)
RUNS_FIGURE(one)
RUNS_FIGURE(three)
RUNS_FIGURE(ten)

static tl_rc figure_run(struct tl_bench *b, struct tl_error *err)
{
    return load_figures(b, "run", "workflows/s", b->workflow_type, TL_BENCH_RUNS, err);
}

static tl_rc figure_start(struct tl_bench *b, struct tl_error *err)
{
    const char *type = b->workflow_type ? b->workflow_type : "noop";
    return load_figures(b, "starts", "starts/s", type, TL_BENCH_STARTS, err);
}

static tl_rc figure_signal(struct tl_bench *b, struct tl_error *err)
{
    return load_figures(b, "signals", "signals/s", "waits", TL_BENCH_SIGNALS, err);
}

static tl_rc figure_query(struct tl_bench *b, struct tl_error *err)
{
    return load_figures(b, "queries", "queries/s", "waits", TL_BENCH_QUERIES, err);
}

static tl_rc figure_idle(struct tl_bench *b, struct tl_error *err)
{
    struct tl_bench_load load;
    int64_t duration_ns = b->duration_ns;
    int in_flight = b->in_flight;
    b->duration_ns = 1;
    b->in_flight = 1;
    tl_rc rc = tl_bench_run_load(b, "noop", TL_BENCH_RUNS, &load, err);
    b->duration_ns = duration_ns;
    b->in_flight = in_flight;
    tl_bench_figure(b, "idle_rss", (double)tl_bench_resident_bytes() / 1e6, "MB");
    return rc;
}

typedef tl_rc (*figure_fn)(struct tl_bench *b, struct tl_error *err);

static const struct {
    const char *name;
    figure_fn run;
    bool needs_server;
    bool of_others; /* can be of another process's workflows */
} figures[] = {
    // clang-format off
    {"idle", figure_idle, true, false},
    {"noop", figure_noop, true, false},
    {"one", figure_one, true, false},
    {"three", figure_three, true, false},
    {"ten", figure_ten, true, false},
    {"run", figure_run, true, true},
    {"start", figure_start, true, true},
    {"signal", figure_signal, true, false},
    {"query", figure_query, true, false},
    {"echo", tl_bench_echo, false, false},
    {"density", tl_bench_density, false, false},
    {"replay", tl_bench_replay, false, false},
    {"dispatch", tl_bench_dispatch, false, false},
    // clang-format on
};

static void remove_database(const char *db)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    char path[4096];
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        snprintf(path, sizeof path, "%s%s", db, suffixes[i]);
        unlink(path);
    }
}

static bool wanted(const char *const *only, const char *name)
{
    for (size_t i = 0; only[i]; i++) {
        if (strcmp(only[i], name) == 0) {
            return true;
        }
    }
    return !only[0];
}

static tl_rc run_with_server(struct tl_bench *b, const char *db, figure_fn run, bool tell_ready,
                             struct tl_error *err)
{
    int64_t began = tl_world_mono_ns(tl_world_real());
    tl_rc rc = tl_bench_open(b, db, err);
    if (rc == TL_OK && tell_ready) {
        double ms = (double)(tl_world_mono_ns(tl_world_real()) - began) / 1e6;
        tl_bench_figure(b, "ready", ms, "ms");
    }
    if (rc == TL_OK) {
        rc = run(b, err);
    }
    tl_bench_close(b);
    return rc;
}

static int check_name(const struct tl_bench *b, const char *name)
{
    for (size_t f = 0; f < sizeof figures / sizeof figures[0]; f++) {
        if (strcmp(name, figures[f].name) != 0) {
            continue;
        }
        if (b->workflow_type && !figures[f].of_others) {
            return tl_cli_fail(2, "bench: --workflow-type is for --only start and --only run");
        }
        if (!b->workflow_type && figures[f].run == figure_run) {
            return tl_cli_fail(2, "bench: --only run wants --workflow-type and --task-queue");
        }
        return 0;
    }
    return tl_cli_fail(2, "bench: --only %s: there is no such figure", name);
}

static int check(const struct tl_bench *b, const char *const *only)
{
    int code = 0;
    if (!b->workflow_type != !b->task_queue) {
        return tl_cli_fail(2, "bench: --workflow-type and --task-queue go together");
    }
    if (b->workflow_type && (!b->address || !only[0])) {
        return tl_cli_fail(2, "bench: --workflow-type wants --address, and --only start or run");
    }
    if ((b->input || b->leave_open) && !b->workflow_type) {
        return tl_cli_fail(2, "bench: --input and --leave-open go with --workflow-type");
    }
    if (b->rate < 0 || b->rate > 1e6) {
        return tl_cli_fail(2, "bench: --rate wants 0 to 1000000, got %g", b->rate);
    }
    if (b->in_flight < 1 || b->in_flight > 10000) {
        return tl_cli_fail(2, "bench: --in-flight wants 1 to 10000, got %d", b->in_flight);
    }
    for (size_t i = 0; only[i] && code == 0; i++) {
        code = check_name(b, only[i]);
    }
    return code;
}

int tl_cmd_bench(struct tl_cli *cli)
{
    struct tl_error err = {0};
    const char *const *only = tl_cli_texts(cli, "only");
    const char *given = tl_cli_text(cli, "db-filename");
    struct tl_bench b = {
        .cli = cli,
        .json = tl_cli_flag(cli, "json"),
        .duration_ns = tl_cli_duration_ns(cli, "duration"),
        .in_flight = (int)tl_cli_integer(cli, "in-flight"),
        .server_pid = tl_cli_integer(cli, "server-pid"),
        .workflow_type = tl_cli_text(cli, "workflow-type"),
        .task_queue = tl_cli_text(cli, "task-queue"),
        .input = tl_cli_text(cli, "input"),
        .leave_open = tl_cli_flag(cli, "leave-open"),
        .rate = (double)tl_cli_integer(cli, "rate"),
    };
    char db[64];
    int code = tl_cli_address(cli, &b.address);
    code = code ? code : check(&b, only);
    if (code) {
        return code;
    }
    snprintf(db, sizeof db, "temporal-lua-bench-%ld.db", (long)getpid());
    for (size_t i = 0; i < sizeof figures / sizeof figures[0] && code == 0; i++) {
        if (!wanted(only, figures[i].name) || (!only[0] && figures[i].run == figure_run)) {
            continue;
        }
        tl_rc rc = figures[i].needs_server
                       ? run_with_server(&b, given ? given : db, figures[i].run, i == 0, &err)
                       : figures[i].run(&b, &err);
        if (!given && !b.address) {
            remove_database(db);
        }
        code = rc == TL_OK ? 0 : tl_cli_fail(1, "bench %s: %s", figures[i].name, err.message);
    }
    return code;
}
