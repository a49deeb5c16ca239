/* Measures list filters: bench_filters [runs]. A page of 100, and the count, for five filters over runs
 * with seven search attributes each. One line per figure: name, p50, p99, matches. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/world.h"
#include "server/visibility/attributes.h"
#include "server/visibility/filter.h"
#include "store/store.h"
#include "tl_enums.h"

#define RUNS 100000
#define RUN_BATCH 10000
#define ROUNDS 50

static struct tl_attr items[] = {
    {{"Who", 3}, INDEXED_VALUE_TYPE_KEYWORD},      {{"Note", 4}, INDEXED_VALUE_TYPE_TEXT},
    {{"Count", 5}, INDEXED_VALUE_TYPE_INT},        {{"Price", 5}, INDEXED_VALUE_TYPE_DOUBLE},
    {{"Paid", 4}, INDEXED_VALUE_TYPE_BOOL},        {{"Due", 3}, INDEXED_VALUE_TYPE_DATETIME},
    {{"Tags", 4}, INDEXED_VALUE_TYPE_KEYWORD_LIST}};
static const struct tl_attrs custom = {items, 7};
static const struct tl_filter_scope scope = {&custom, 1, 0, false};

static void must(tl_rc rc, const struct tl_error *err)
{
    if (rc) {
        fprintf(stderr, "bench_filters: %s\n", err->message);
        exit(1);
    }
}

static struct tl_search_value value(int i, struct tl_value v, struct tl_arena *arena)
{
    return (struct tl_search_value){tl_str(tl_attr_key(1, items[i].type, items[i].name, arena)), v};
}

static struct tl_value whole(int64_t n)
{
    return (struct tl_value){.kind = TL_VALUE_INT, .num = n};
}

static struct tl_value text(struct tl_arena *arena, const char *word, int64_t n)
{
    return (struct tl_value){.kind = TL_VALUE_TEXT,
                             .text = tl_str(tl_arena_printf(arena, "%s%" PRId64, word, n))};
}

static void put_run(struct tl_batch *b, int64_t n, struct tl_arena *arena)
{
    char id[32];
    snprintf(id, sizeof id, "order-%" PRId64, n);
    struct tl_search_value values[] = {
        value(0, text(arena, "customer-", n % 1000), arena),
        value(1, text(arena, "word", n % 50), arena),
        value(1, text(arena, "other", n % 7), arena),
        value(2, whole(n % 10000), arena),
        value(3, (struct tl_value){.kind = TL_VALUE_DOUBLE, .real = (double)n / 7}, arena),
        value(4, whole(n % 2), arena),
        value(5, whole(n * 1000000000), arena),
        value(6, text(arena, "tag", n % 20), arena),
    };
    tl_batch_run_put(b, &(struct tl_run_row){.number = n,
                                             .namespace_number = 1,
                                             .workflow_id = tl_str(id),
                                             .run_id = tl_str(id),
                                             .first_run_id = tl_str(id),
                                             .type = TL_STR_LIT("Order"),
                                             .task_queue = TL_STR_LIT("orders"),
                                             .status = n % 10 ? 2 : 1,
                                             .start_ns = n * 1000000,
                                             .execution_ns = n * 1000000,
                                             .close_ns = n % 10 ? n * 2000000 : 0,
                                             .values = values,
                                             .value_count = sizeof values / sizeof values[0]});
}

static void fill(struct tl_store *st, int64_t runs)
{
    struct tl_error err;
    struct tl_batch b;
    struct tl_arena arena;
    tl_batch_init(&b, (size_t)1 << 28);
    tl_arena_init(&arena, TL_ARENA_UNLIMITED);
    for (int64_t n = 1; n <= runs; n++) {
        put_run(&b, n, &arena);
        if (n % RUN_BATCH == 0 || n == runs) {
            must(tl_store_commit(st, &b, &err), &err);
            tl_batch_reset(&b);
            tl_arena_reset(&arena);
        }
    }
    tl_arena_deinit(&arena);
    tl_batch_deinit(&b);
}

static tl_rc each(void *ud, const struct tl_run_row *row, struct tl_error *err)
{
    (void)row;
    (void)err;
    ++*(int64_t *)ud;
    return TL_OK;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void measure(struct tl_store *st, const char *filter, bool count)
{
    struct tl_error err;
    int64_t took[ROUNDS], matches = 0;
    for (int i = 0; i < ROUNDS; i++) {
        struct tl_arena arena;
        struct tl_filter f;
        tl_arena_init(&arena, TL_ARENA_UNLIMITED);
        matches = 0;
        int64_t start = tl_world_mono_ns(tl_world_real());
        must(tl_filter_compile(tl_str(filter), &scope, &arena, &f, &err), &err);
        struct tl_list_query q = {.namespace_number = 1,
                                  .where = f.where,
                                  .binds = f.binds,
                                  .bind_count = f.bind_count,
                                  .limit = 100};
        struct tl_reader *r = tl_store_list_reader(st);
        must(count ? tl_store_count(r, &q, &matches, &err)
                   : tl_store_list(r, &q, each, &matches, &err),
             &err);
        took[i] = tl_world_mono_ns(tl_world_real()) - start;
        tl_arena_deinit(&arena);
    }
    qsort(took, ROUNDS, sizeof *took, by_value);
    printf("%s\t%s\tp50 %.2f ms\tp99 %.2f ms\t%" PRId64 "\n", count ? "count" : "list", filter,
           (double)took[ROUNDS / 2] / 1e6, (double)took[ROUNDS - 1] / 1e6, matches);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const char *const filters[] = {
        "Who = 'customer-7'",
        "Paid = true AND ExecutionStatus = 'Running'",
        "Count BETWEEN 100 AND 200 AND Price > 5000",
        "Tags IN ('tag3','tag4') AND NOT Who = 'customer-3'",
        "Note = 'word5' OR Due > '1970-01-02T00:00:00Z'",
    };
    struct tl_store *st;
    struct tl_error err;
    must(tl_store_open(&st, &(struct tl_store_config){0}, &err), &err);
    fill(st, argc > 1 ? strtoll(argv[1], NULL, 10) : RUNS);
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        measure(st, filters[i], false);
        measure(st, filters[i], true);
    }
    tl_store_close(st);
    return 0;
}
