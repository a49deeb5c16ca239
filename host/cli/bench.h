/* The benchmark inside the binary: an embedded server on a file, a worker and a load generator in C in
 * one process. Each figure is a line: name, value, unit; bench/ sets them beside those of peers.
 * Thread: main drives; the generator's callbacks only post. */
#pragma once

#include "cli/embedded_server.h"
#include "luart/bundle.h"
#include "worker/worker.h"

struct tl_bench {
    bool json;
    struct tl_cli *cli;
    const char *address; /* NULL: an embedded server */
    struct tl_cli_server server;
    struct tl_bundle *bundle;
    struct tl_worker_lang *lang;
    struct tl_registry *registry;
    struct tl_worker *worker;
    int64_t duration_ns;
    int in_flight;
    int64_t server_pid; /* process whose CPU time is told too, 0: none */
    /* Workflows of another process's worker; NULL: our own. */
    const char *workflow_type, *task_queue;
    const char *input; /* JSON of their one argument; NULL: none */
    double rate;       /* starts a second; 0: as many as there are slots for */
    bool no_eager;     /* activities come by polls only */
    bool leave_open;   /* what was started is left alone */
};

/* Prints one figure. */
void tl_bench_figure(const struct tl_bench *b, const char *name, double value, const char *unit);

/* Resident bytes of this process. */
int64_t tl_bench_resident_bytes(void);

/* The server at the address, or one with a file (or db NULL: a temporary file in the current
 * folder's file system that is removed) plus worker on queue "bench", unless a task queue is given. */
tl_rc tl_bench_open(struct tl_bench *b, const char *db, struct tl_error *err) TL_MUST_USE;
void tl_bench_close(struct tl_bench *b);
/* The worker alone, on queue "bench" of the client, with the activities of b->registry (NULL: one that
 * does nothing). Owns: what it makes, and the registry, is freed by tl_bench_close_worker. */
tl_rc tl_bench_open_worker(struct tl_bench *b, struct tl_client *client,
                           struct tl_error *err) TL_MUST_USE;
void tl_bench_close_worker(struct tl_bench *b);

/* What a load run measured. */
struct tl_bench_load {
    uint64_t completed, failed;
    double seconds, per_second, cpu_us_each;
    double server_cpu_us_each; /* of server_pid */
    double p50_ms, p99_ms;
};
enum tl_bench_kind {
    TL_BENCH_RUNS,    /* workflows from start to close event */
    TL_BENCH_STARTS,  /* starts alone */
    TL_BENCH_SIGNALS, /* signals to one open workflow for each slot */
    TL_BENCH_QUERIES
};
/* Keeps in_flight calls or workflows of a type under way for the duration. */
tl_rc tl_bench_run_load(struct tl_bench *b, const char *workflow_type, enum tl_bench_kind kind,
                        struct tl_bench_load *out, struct tl_error *err) TL_MUST_USE;

/* User and system time of this process so far. */
double tl_bench_cpu_seconds(void);

/* Unary calls a second between our own gRPC client and a server that does nothing, and the CPU time of each:
 * what the transport itself can carry and takes. With an address: of the client's end alone, on calls to
 * the server there. */
tl_rc tl_bench_echo(struct tl_bench *b, struct tl_error *err) TL_MUST_USE;

/* Times from an activity task in the transport's hands to the activity, in C and in Lua. */
tl_rc tl_bench_dispatch(struct tl_bench *b, struct tl_error *err) TL_MUST_USE;

/* The history of a run of type `type` that executes so many activities one after the other, ended or
 * with its last workflow task open. Owns: the arena's. */
TpHistory__History *tl_bench_history(struct tl_arena *arena, const char *type, int activities,
                                     bool end);
/* One value, its JSON, as the argument of a call. Owns: the arena's. */
TpCommon__Payloads *tl_bench_payloads(struct tl_arena *arena, const char *json);
/* A bundle of the benchmark's workflows. Owns: *bundle. */
tl_rc tl_bench_bundle(struct tl_bundle **bundle, struct tl_error *err) TL_MUST_USE;

/* Memory of blocked runs, and replay speed. */
tl_rc tl_bench_density(struct tl_bench *b, struct tl_error *err) TL_MUST_USE;
tl_rc tl_bench_replay(struct tl_bench *b, struct tl_error *err) TL_MUST_USE;

/* The workflows of the benchmark, as source text of one module. */
extern const char tl_bench_workflows[];
