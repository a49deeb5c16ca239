/* Measures the store: bench_store [directory]. One line per figure: name, number, unit.
 * An item is what one workflow task completion writes: a log row of 300 bytes (with its batch
 * built from scratch); run rows carry five indexes and are written in sorted batches. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/world.h"
#include "store/store.h"

#define ITEM_BYTES 300
#define RUN_BATCH 16384
#define RUNS 200000

static int64_t now(void)
{
    return tl_world_mono_ns(tl_world_real());
}

static void print(const char *name, int64_t param, double value, const char *unit)
{
    printf("%s_%" PRId64 "\t%.1f\t%s\n", name, param, value, unit);
    fflush(stdout);
}

static void must(tl_rc rc, const struct tl_error *err)
{
    if (rc) {
        fprintf(stderr, "bench_store: %s\n", err->message);
        exit(1);
    }
}

static void checkpoint(struct tl_store *st)
{
    struct tl_error err;
    if (tl_store_checkpoint_due(st)) {
        must(tl_store_checkpoint_step(st, &err), &err);
    }
}

static int64_t bench_log(struct tl_store *st, int64_t id, int per_commit, int64_t items)
{
    struct tl_error err;
    struct tl_batch b;
    char bytes[ITEM_BYTES];
    memset(bytes, 'x', sizeof bytes);
    tl_batch_init(&b, 1 << 26);
    int64_t start = now(), worst = 0;
    for (int64_t done = 0; done < items; done += per_commit) {
        int64_t begin = now();
        for (int i = 0; i < per_commit; i++) {
            id++;
            tl_batch_log(&b, id, 1 + id % 1000, id - 1000, id, tl_str_n(bytes, sizeof bytes));
        }
        must(tl_store_commit(st, &b, &err), &err);
        tl_batch_reset(&b);
        checkpoint(st);
        int64_t took = now() - begin;
        worst = took > worst ? took : worst;
    }
    double seconds = (double)(now() - start) / 1e9;
    print("log_items_per_second_batch", per_commit, (double)items / seconds, "items/s");
    print("log_slowest_commit_and_checkpoint_batch", per_commit, (double)worst / 1e6, "ms");
    tl_batch_deinit(&b);
    return id;
}

static void put_run(struct tl_batch *b, int64_t number)
{
    char workflow_id[48], run_id[48];
    /* Spread like hashed ids: the worst case for the index by workflow id. */
    uint64_t spread = (uint64_t)number * UINT64_C(0x9e3779b97f4a7c15);
    snprintf(workflow_id, sizeof workflow_id, "order-%016" PRIx64, spread);
    snprintf(run_id, sizeof run_id, "01890000-0000-7000-8000-%012" PRIx64, number);
    tl_batch_run_put(b,
                     &(struct tl_run_row){
                         .number = number,
                         .namespace_number = 1,
                         .workflow_id = tl_str(workflow_id),
                         .run_id = tl_str(run_id),
                         .first_run_id = tl_str(run_id),
                         .type = tl_str(number % 3 ? "Order" : "Invoice"),
                         .task_queue = TL_STR_LIT("orders"),
                         .status = number % 100 ? 2 : 1,
                         .start_ns = number * 1000000,
                         .execution_ns = number * 1000000,
                         .close_ns = number % 100 ? number * 1000000 + 5000000 : 0,
                         .history_length = 11,
                         .history_bytes = 1500,
                         .last_log_id = number * 3,
                         .state = TL_STR_LIT("a closed run keeps some eighty bytes of state: its "
                                             "log ids, its close event"),
                     });
}

static void bench_runs(struct tl_store *st)
{
    struct tl_error err;
    struct tl_batch b;
    tl_batch_init(&b, (size_t)1 << 30);
    int64_t start = now(), number = 0, part = start;
    while (number < RUNS) {
        for (int i = 0; i < RUN_BATCH && number < RUNS; i++) {
            put_run(&b, ++number);
        }
        must(tl_store_commit(st, &b, &err), &err);
        tl_batch_reset(&b);
        checkpoint(st);
        if (number == RUN_BATCH) {
            part = now();
            print("run_row_first_batch", RUN_BATCH, (double)(part - start) / 1e3 / RUN_BATCH,
                  "us/row");
        }
    }
    print("run_row_batch", RUN_BATCH, (double)(now() - part) / 1e3 / (double)(RUNS - RUN_BATCH),
          "us/row");
    tl_batch_deinit(&b);
}

static tl_rc ignore_log(void *ud, const struct tl_log_row *row, struct tl_error *err)
{
    (void)err;
    *(int64_t *)ud += row->id > 0;
    return TL_OK;
}

static tl_rc ignore_run(void *ud, const struct tl_run_row *row, struct tl_error *err)
{
    (void)err;
    *(int64_t *)ud += row->number > 0;
    return TL_OK;
}

static void bench_reads(struct tl_store *st, int64_t last_id)
{
    struct tl_reader *r = tl_store_point_reader(st), *list = tl_store_list_reader(st);
    struct tl_error err;
    struct tl_arena arena;
    struct tl_log_row row;
    int64_t start = now(), n = 20000, rows = 0;
    tl_arena_init(&arena, 1 << 24);
    for (int64_t i = 0; i < n; i++) {
        must(tl_store_log_get(r, 1 + (i * 7919) % last_id, &arena, &row, &err), &err);
        tl_arena_reset(&arena);
    }
    print("log_get_random_of", last_id, (double)(now() - start) / 1e3 / (double)n, "us");
    start = now();
    must(tl_store_log_after(r, 0, ignore_log, &rows, &err), &err);
    print("log_walk_of", rows, (double)(now() - start) / 1e3 / (double)rows, "us/row");
    start = now();
    rows = 0;
    must(tl_store_open_runs(r, ignore_run, &rows, &err), &err);
    print("open_runs_walk_of", rows, (double)(now() - start) / 1e3 / (double)rows, "us/row");
    struct tl_value type = {.kind = TL_VALUE_TEXT, .text = TL_STR_LIT("Invoice")};
    struct tl_list_query q = {.namespace_number = 1, .limit = 1000};
    start = now();
    must(tl_store_list(list, &q, ignore_run, &rows, &err), &err);
    print("list_page", q.limit, (double)(now() - start) / 1e6, "ms");
    q.where = "type = ?";
    q.binds = &type;
    q.bind_count = 1;
    start = now();
    must(tl_store_count(list, &q, &rows, &err), &err);
    print("count_by_type_of", RUNS, (double)(now() - start) / 1e6, "ms");
    q.where = "history_bytes < ?";
    type = (struct tl_value){.kind = TL_VALUE_INT, .num = 5};
    start = now();
    must(tl_store_count(list, &q, &rows, &err), &err);
    print("count_walk_of", RUNS, (double)(now() - start) / 1e6, "ms");
    tl_arena_deinit(&arena);
}

int main(int argc, char **argv)
{
    char folder[PATH_MAX], path[PATH_MAX + 16], command[PATH_MAX + 16];
    struct tl_store *st;
    struct tl_error err;
    snprintf(folder, sizeof folder, "%s/bench-store-XXXXXX", argc > 1 ? argv[1] : ".");
    if (!mkdtemp(folder)) {
        perror(folder);
        return 1;
    }
    snprintf(path, sizeof path, "%s/store.db", folder);
    must(tl_store_open(&st, &(struct tl_store_config){.path = path}, &err), &err);
    int64_t id = bench_log(st, 0, 1, 20000);
    id = bench_log(st, id, 16, 160000);
    id = bench_log(st, id, 64, 320000);
    bench_runs(st);
    bench_reads(st, id);
    tl_store_close(st);
    must(tl_store_open(&st, &(struct tl_store_config){.path = NULL}, &err), &err);
    bench_log(st, 0, 1, 50000);
    tl_store_close(st);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) == 0 ? 0 : 1;
}
