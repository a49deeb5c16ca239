/* Goal: what the store has acknowledged survives power cuts, kills, I/O errors and a full disk, and
 * nothing is ever half there; and this test notices when a commit forgets to sync.
 * Method: a workload that is a function of (seed, number of commits) on the simulated disk, cut at
 * a random operation; afterwards the database must equal the model after the acknowledged commits,
 * or after one more where a commit was under way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/mem.h"
#include "store/store.h"
#include "store/vfs_fault.h"

#define SEEDS 200
#define ROUNDS 4
#define COMMITS_MAX 40
#define RUNS 12
#define LOGS_MAX (ROUNDS * COMMITS_MAX * 5 + 16)
#define VFS "crash"

/* What the database must hold after a number of commits. */
struct model {
    int64_t commits;
    int64_t log_count;            /* ids 1..log_count were written */
    uint32_t log_bytes[LOGS_MAX]; /* 0: deleted */
    int64_t run_commit[RUNS + 1]; /* commit of the newest put; 0: none */
    bool run_closed[RUNS + 1];
};

static void fill(char *p, size_t n, int64_t salt)
{
    struct tl_rng rng;
    tl_rng_seed(&rng, (uint64_t)salt);
    for (size_t i = 0; i < n; i++) {
        p[i] = (char)tl_rng_next(&rng);
    }
}

/* Adds commit number m->commits + 1 to the model, and to the batch where one is given. */
static void next_commit(struct model *m, uint64_t seed, struct tl_batch *b)
{
    static char bytes[8192];
    struct tl_rng rng;
    int64_t k = ++m->commits;
    tl_rng_seed(&rng, seed * 1000003 + (uint64_t)k);
    for (uint64_t logs = 1 + tl_rng_below(&rng, 4); logs > 0; logs--) {
        int64_t id = ++m->log_count, run = 1 + (int64_t)tl_rng_below(&rng, RUNS);
        size_t n = 1 + (size_t)tl_rng_below(&rng, tl_rng_below(&rng, 8) ? 600 : 8000);
        m->log_bytes[id] = (uint32_t)n;
        if (b) {
            fill(bytes, n, id);
            tl_batch_log(b, id, run, 0, id, tl_str_n(bytes, n));
        }
    }
    if (tl_rng_below(&rng, 3) == 0) {
        int64_t number = 1 + (int64_t)tl_rng_below(&rng, RUNS);
        m->run_commit[number] = k;
        m->run_closed[number] = tl_rng_below(&rng, 2);
        if (b) {
            fill(bytes, 900, k);
            tl_batch_run_put(b, &(struct tl_run_row){
                                    .number = number,
                                    .namespace_number = 1,
                                    .workflow_id = TL_STR_LIT("id"),
                                    .start_ns = number,
                                    .close_ns = m->run_closed[number] ? k : 0,
                                    .history_length = k,
                                    .state = tl_str_n(bytes, 900),
                                });
        }
    }
    if (tl_rng_below(&rng, 4) == 0) {
        int64_t id = 1 + (int64_t)tl_rng_below(&rng, (uint64_t)m->log_count);
        m->log_bytes[id] = 0;
        if (b) {
            tl_batch_log_delete(b, id);
        }
    }
    if (b) {
        char text[24];
        int n = snprintf(text, sizeof text, "%lld", (long long)k);
        tl_batch_meta_put(b, TL_STR_LIT("commits"), tl_str_n(text, (size_t)n));
    }
}

/* --- comparing -------------------------------------------------------------------------------- */

struct compare {
    const struct model *m;
    int64_t last_id;
    int runs;
    bool ok;
};

static tl_rc compare_log(void *ud, const struct tl_log_row *row, struct tl_error *err)
{
    (void)err;
    static char bytes[8192];
    struct compare *c = ud;
    for (int64_t id = c->last_id + 1; id < row->id; id++) {
        c->ok = c->ok && id <= c->m->log_count && c->m->log_bytes[id] == 0;
    }
    c->last_id = row->id;
    c->ok = c->ok && row->id <= c->m->log_count && row->bytes.n == c->m->log_bytes[row->id];
    if (c->ok) {
        fill(bytes, row->bytes.n, row->id);
        c->ok = tl_str_eq(row->bytes, tl_str_n(bytes, row->bytes.n));
    }
    return TL_OK;
}

static bool compare_run(struct tl_reader *r, const struct model *m, int64_t number)
{
    char bytes[900];
    struct tl_arena arena;
    struct tl_run_row row;
    tl_arena_init(&arena, 1 << 20);
    tl_rc rc = tl_store_run_by_number(r, number, &arena, &row, NULL);
    int64_t k = m->run_commit[number];
    bool ok = k == 0 ? rc == TL_ENOTFOUND : rc == TL_OK;
    if (ok && k) {
        fill(bytes, sizeof bytes, k);
        ok = row.history_length == k && row.close_ns == (m->run_closed[number] ? k : 0) &&
             tl_str_eq(row.state, tl_str_n(bytes, sizeof bytes));
    }
    tl_arena_deinit(&arena);
    return ok;
}

static tl_rc count_open(void *ud, const struct tl_run_row *row, struct tl_error *err)
{
    (void)row;
    (void)err;
    ((struct compare *)ud)->runs++;
    return TL_OK;
}

static bool equals(struct tl_store *st, const struct model *m)
{
    struct tl_reader *r = tl_store_point_reader(st);
    struct compare c = {.m = m, .ok = true};
    if (tl_store_check(st, NULL) || tl_store_log_after(r, 0, compare_log, &c, NULL) || !c.ok) {
        return false;
    }
    for (int64_t id = c.last_id + 1; id <= m->log_count; id++) {
        c.ok = c.ok && m->log_bytes[id] == 0;
    }
    int open = 0;
    for (int64_t number = 1; number <= RUNS; number++) {
        c.ok = c.ok && compare_run(r, m, number);
        open += m->run_commit[number] && !m->run_closed[number];
    }
    return tl_store_open_runs(r, count_open, &c, NULL) == TL_OK && c.ok && c.runs == open;
}

/* How many commits the database says it has; -1 when it cannot be read. */
static int64_t stored_commits(struct tl_store *st)
{
    struct tl_arena arena;
    struct tl_str text;
    tl_arena_init(&arena, 4096);
    tl_rc rc =
        tl_store_meta_get(tl_store_point_reader(st), TL_STR_LIT("commits"), &arena, &text, NULL);
    int64_t n = rc == TL_OK ? strtoll(text.p, NULL, 10) : rc == TL_ENOTFOUND ? 0 : -1;
    tl_arena_deinit(&arena);
    return n;
}

/* --- the workload ----------------------------------------------------------------------------- */

struct rig {
    struct tl_vfs *vfs;
    struct tl_rng rng;
    uint64_t seed;
    struct model m; /* what was acknowledged */
    bool under_way; /* the next commit was tried and not acknowledged */
};

static tl_rc rig_open(struct tl_store **st, struct tl_error *err)
{
    /* A tiny cache spills pages into the log in the middle of a transaction. */
    return tl_store_open(
        st, &(struct tl_store_config){.path = "db", .vfs = VFS, .cache_bytes = 32768}, err);
}

static void work(struct rig *g, struct tl_store *st, int64_t commits)
{
    struct tl_batch b;
    tl_batch_init(&b, 1 << 24);
    for (int64_t i = 0; i < commits; i++) {
        struct model next = g->m;
        next_commit(&next, g->seed, &b);
        tl_rc rc = tl_store_commit(st, &b, NULL);
        tl_batch_reset(&b);
        g->under_way = rc != TL_OK;
        if (rc) {
            break;
        }
        g->m = next;
        if (tl_rng_below(&g->rng, 6) == 0) {
            tl_rc harmless = tl_store_checkpoint_step(st, NULL); /* may meet the fault */
            (void)harmless;
        }
    }
    tl_batch_deinit(&b);
}

/* Opens, compares with what must be there, and takes over what is there. */
static struct tl_store *recover(struct rig *g)
{
    struct tl_store *st;
    struct tl_error err = {0};
    if (rig_open(&st, &err)) {
        return NULL;
    }
    int64_t have = stored_commits(st);
    if (have == g->m.commits + 1 && g->under_way) {
        next_commit(&g->m, g->seed, NULL);
    }
    g->under_way = false;
    if (have != g->m.commits || !equals(st, &g->m)) {
        tl_store_close(st);
        return NULL;
    }
    return st;
}

/* One seed: several lives of a database. False: something acknowledged was lost, or torn. */
static bool live(uint64_t seed, struct tl_disk_stats *stats)
{
    struct rig *g = TL_NEW(struct rig);
    g->vfs = tl_vfs_new(VFS, seed);
    g->seed = seed;
    tl_rng_seed(&g->rng, seed);
    bool ok = true;
    for (int round = 0; ok && round < ROUNDS; round++) {
        bool early = tl_rng_below(&g->rng, 4) == 0; /* the cut may hit opening or recovery */
        int64_t after = (int64_t)tl_rng_below(&g->rng, early ? 40 : 400);
        struct tl_store *st = NULL;
        if (early) {
            tl_vfs_fail(g->vfs, TL_VFS_CHANGES, after, -1);
            (void)rig_open(&st, NULL);
        } else {
            st = recover(g);
            ok = st != NULL;
            tl_vfs_fail(g->vfs, TL_VFS_CHANGES, after, -1);
        }
        if (st) {
            work(g, st, (int64_t)tl_rng_below(&g->rng, COMMITS_MAX));
        }
        if (tl_rng_below(&g->rng, 4) == 0) {
            tl_vfs_kill(g->vfs);
        } else {
            tl_vfs_power_cut(g->vfs, &g->rng);
        }
        tl_store_close(st);
    }
    struct tl_store *st = ok ? recover(g) : NULL;
    ok = st != NULL;
    tl_store_close(st);
    *stats = tl_vfs_stats(g->vfs);
    tl_vfs_free(g->vfs);
    tl_mem_free(g);
    return ok;
}

static void acknowledged_survives(void **state)
{
    (void)state;
    int64_t cuts = 0, lost = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct tl_disk_stats stats;
        if (!live(seed, &stats)) {
            fail_msg("seed %llu lost or tore something", (unsigned long long)seed);
        }
        cuts += stats.power_cuts;
        lost += stats.sectors_lost;
    }
    /* The disk did take something away, else this proves nothing. */
    assert_true(cuts > SEEDS && lost > SEEDS);
}

static void forgotten_sync_is_noticed(void **state)
{
    (void)state;
    int noticed = 0;
    tl_fault_arm(TL_FAULT_skip_fsync, true);
    for (uint64_t seed = 1; seed <= SEEDS && noticed < 5; seed++) {
        struct tl_disk_stats stats;
        noticed += !live(seed, &stats);
    }
    tl_fault_arm(TL_FAULT_skip_fsync, false);
    assert_int_equal(noticed, 5);
}

/* --- errors that pass -------------------------------------------------------------------------- */

static void each_operation_may_fail_once(void **state)
{
    (void)state;
    struct rig *g = TL_NEW(struct rig);
    g->seed = 77;
    g->vfs = tl_vfs_new(VFS, 77);
    tl_rng_seed(&g->rng, 77);
    struct tl_store *st = recover(g);
    assert_non_null(st);
    int failed = 0;
    for (int64_t after = 0; after < 60; after++) {
        tl_vfs_fail(g->vfs, after % 3 ? TL_VFS_CHANGES : TL_VFS_ALL, after % 20, 1);
        work(g, st, 3);
        failed += g->under_way;
        tl_vfs_fail(g->vfs, 0, 0, 0);
        /* In the running process a failed commit has left nothing. */
        assert_int_equal(stored_commits(st), g->m.commits);
        assert_true(equals(st, &g->m));
        g->under_way = false;
    }
    assert_true(failed > 10);
    tl_store_close(st);
    st = recover(g);
    assert_non_null(st);
    tl_store_close(st);
    tl_vfs_free(g->vfs);
    tl_mem_free(g);
}

static void injected_commit_failures_leave_nothing(void **state)
{
    (void)state;
    struct rig *g = TL_NEW(struct rig);
    g->seed = 78;
    g->vfs = tl_vfs_new(VFS, 78);
    tl_rng_seed(&g->rng, 78);
    struct tl_store *st = recover(g);
    assert_non_null(st);
    tl_fault_arm(TL_FAULT_sometimes_fail_commit, true);
    int failed = 0;
    for (int i = 0; i < 100; i++) {
        work(g, st, 1);
        failed += g->under_way;
        g->under_way = false;
    }
    tl_fault_arm(TL_FAULT_sometimes_fail_commit, false);
    assert_true(failed > 0 && failed < 50);
    assert_int_equal(g->m.commits, 100 - failed);
    assert_true(equals(st, &g->m));
    tl_store_close(st);
    tl_vfs_free(g->vfs);
    tl_mem_free(g);
}

static void full_disk_is_told_apart(void **state)
{
    (void)state;
    struct rig *g = TL_NEW(struct rig);
    struct tl_error err = {0};
    g->seed = 79;
    g->vfs = tl_vfs_new(VFS, 79);
    tl_rng_seed(&g->rng, 79);
    struct tl_store *st = recover(g);
    assert_non_null(st);
    work(g, st, 5);
    tl_vfs_set_capacity(g->vfs, 0);
    struct tl_batch b;
    tl_batch_init(&b, 1 << 24);
    char *bytes = tl_mem_alloc(1 << 20);
    tl_batch_log(&b, 100000, 1, 0, 1, tl_str_n(bytes, 1 << 20));
    assert_int_equal(tl_store_commit(st, &b, &err), TL_EDISKFULL);
    assert_int_equal(err.code, TL_EDISKFULL);
    assert_non_null(strstr(err.message, "make room"));
    assert_true(equals(st, &g->m));
    tl_vfs_set_capacity(g->vfs, -1);
    assert_int_equal(tl_store_commit(st, &b, &err), TL_OK);
    tl_vfs_fail(g->vfs, TL_VFS_WRITE, 0, 1);
    tl_batch_reset(&b);
    tl_batch_log(&b, 100001, 1, 0, 1, tl_str_n(bytes, 10));
    assert_int_equal(tl_store_commit(st, &b, &err), TL_EIO);
    assert_int_equal(tl_store_commit(st, &b, &err), TL_OK);
    tl_mem_free(bytes);
    tl_batch_deinit(&b);
    tl_store_close(st);
    tl_vfs_free(g->vfs);
    tl_mem_free(g);
}

/* The power cuts themselves are a function of the seed. */
static void same_seed_same_disk(void **state)
{
    (void)state;
    struct tl_disk_stats a, b;
    assert_true(live(5, &a));
    assert_true(live(5, &b));
    assert_memory_equal(&a, &b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acknowledged_survives),
        cmocka_unit_test(forgotten_sync_is_noticed),
        cmocka_unit_test(each_operation_may_fail_once),
        cmocka_unit_test(injected_commit_failures_leave_nothing),
        cmocka_unit_test(full_disk_is_told_apart),
        cmocka_unit_test(same_seed_same_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
