/* bench: runs the figures that were asked for, each on a fresh database or against the server at an
 * address. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/bench.h"
#include "cli/cli.h"

int tl_cmd_bench(struct tl_cli *cli);

#define DEV_SERVER_ONE 39.0    /* workflows/s of the official development server 1.5.1 */
#define DEV_SERVER_START 268.0 /* starts/s */
#define DEV_SERVER_NOOP_MS 50.0
#define DEV_SERVER_READY_MS 215.0
#define DEV_SERVER_IDLE_MB 145.0

static tl_rc figure_noop(struct tl_bench *b, struct tl_error *err)
{
    struct tl_bench_load load;
    tl_rc rc = tl_bench_run_load(b, "noop", 1, true, &load, err);
    if (rc == TL_OK) {
        tl_bench_figure(b, "noop_p50_1_in_flight", load.p50_ms, "ms", "dev server",
                        DEV_SERVER_NOOP_MS, false);
        tl_bench_figure(b, "noop_p99_1_in_flight", load.p99_ms, "ms", "", 0, false);
    }
    return rc;
}

static tl_rc figure_workflow(struct tl_bench *b, struct tl_error *err)
{
    struct tl_bench_load load;
    tl_rc rc = tl_bench_run_load(b, "one", b->in_flight, true, &load, err);
    if (rc == TL_OK) {
        tl_bench_figure(b, "one_activity_workflows", load.per_second, "workflows/s",
                        "dev server 1.5.1", DEV_SERVER_ONE, true);
        tl_bench_figure(b, "one_activity_p50", load.p50_ms, "ms", "", 0, false);
        tl_bench_figure(b, "one_activity_p99", load.p99_ms, "ms", "", 0, false);
        tl_bench_figure(b, "one_activity_cpu", load.cpu_us_each, "us/workflow", "", 0, false);
        rc = tl_bench_run_load(b, "three", b->in_flight, true, &load, err);
    }
    if (rc == TL_OK) {
        tl_bench_figure(b, "three_activity_workflows", load.per_second, "workflows/s", "", 0, true);
    }
    return rc;
}

static tl_rc figure_start(struct tl_bench *b, struct tl_error *err)
{
    struct tl_bench_load load;
    tl_rc rc = tl_bench_run_load(b, "noop", b->in_flight, false, &load, err);
    if (rc == TL_OK) {
        tl_bench_figure(b, "starts", load.per_second, "starts/s", "dev server 1.5.1",
                        DEV_SERVER_START, true);
    }
    return rc;
}

static tl_rc figure_idle(struct tl_bench *b, struct tl_error *err)
{
    struct tl_bench_load load;
    int64_t duration_ns = b->duration_ns;
    b->duration_ns = 1;
    tl_rc rc = tl_bench_run_load(b, "noop", 1, true, &load, err);
    b->duration_ns = duration_ns;
    tl_bench_figure(b, "idle_rss", (double)tl_bench_resident_bytes() / 1e6, "MB", "dev server",
                    DEV_SERVER_IDLE_MB, false);
    return rc;
}

typedef tl_rc (*figure_fn)(struct tl_bench *b, struct tl_error *err);

static const struct {
    const char *name;
    figure_fn run;
    bool needs_server;
} figures[] = {
    // clang-format off
    {"idle", figure_idle, true},
    {"noop", figure_noop, true},
    {"workflow", figure_workflow, true},
    {"start", figure_start, true},
    {"density", tl_bench_density, false},
    {"replay", tl_bench_replay, false},
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
        tl_bench_figure(b, "ready", ms, "ms", "dev server", DEV_SERVER_READY_MS, false);
    }
    if (rc == TL_OK) {
        rc = run(b, err);
    }
    tl_bench_close(b);
    return rc;
}

static int check_names(const char *const *only)
{
    for (size_t i = 0; only[i]; i++) {
        bool known = false;
        for (size_t f = 0; f < sizeof figures / sizeof figures[0]; f++) {
            known = known || strcmp(only[i], figures[f].name) == 0;
        }
        if (!known) {
            return tl_cli_fail(2, "bench: --only %s: there is no such figure", only[i]);
        }
    }
    return 0;
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
    };
    char db[64];
    int code = check_names(only);
    if (code == 0) {
        code = tl_cli_address(cli, &b.address);
    }
    if (code) {
        return code;
    }
    if (b.in_flight < 1 || b.in_flight > 10000) {
        return tl_cli_fail(2, "bench: --in-flight wants 1 to 10000, got %d", b.in_flight);
    }
    snprintf(db, sizeof db, "temporal-lua-bench-%ld.db", (long)getpid());
    for (size_t i = 0; i < sizeof figures / sizeof figures[0] && code == 0; i++) {
        if (!wanted(only, figures[i].name)) {
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
