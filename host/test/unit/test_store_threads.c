/* Goal: writer, both readers and the checkpoint work at the same time; the log stays bounded under
 * load; what a killed process had acknowledged is there.
 * Method: threads on a real file; a forked child killed at random moments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "store/store.h"

#define COMMITS 3000
#define ITEM_BYTES 8192

static char folder[PATH_MAX], file[PATH_MAX + 16];

static int make_folder(void **state)
{
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/tl-store-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(folder)) {
        return -1;
    }
    snprintf(file, sizeof file, "%s/t.db", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[PATH_MAX + 16];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

struct shared {
    struct tl_store *st;
    _Atomic int64_t committed;
    atomic_bool stop;
    _Atomic int64_t bad, reads, lists, checkpoints;
};

static void *point_reader(void *ud)
{
    struct shared *s = ud;
    struct tl_arena arena;
    struct tl_rng rng;
    tl_arena_init(&arena, 1 << 20);
    tl_rng_seed(&rng, 1);
    while (!atomic_load(&s->stop)) {
        int64_t newest = atomic_load(&s->committed);
        if (newest == 0) {
            continue;
        }
        struct tl_log_row row;
        int64_t id = 1 + (int64_t)tl_rng_below(&rng, (uint64_t)newest);
        s->bad += tl_store_log_get(tl_store_point_reader(s->st), id, &arena, &row, NULL) != TL_OK ||
                  row.bytes.n != ITEM_BYTES;
        s->reads++;
        tl_arena_reset(&arena);
    }
    tl_arena_deinit(&arena);
    return NULL;
}

static void *list_reader(void *ud)
{
    struct shared *s = ud;
    struct tl_list_query q = {.namespace_number = 1};
    while (!atomic_load(&s->stop)) {
        int64_t before = atomic_load(&s->committed), count;
        s->bad += tl_store_count(tl_store_list_reader(s->st), &q, &count, NULL) != TL_OK ||
                  count < before;
        s->lists++;
    }
    return NULL;
}

static void *checkpointer(void *ud)
{
    struct shared *s = ud;
    while (!atomic_load(&s->stop)) {
        if (tl_store_checkpoint_due(s->st)) {
            s->bad += tl_store_checkpoint_step(s->st, NULL) != TL_OK;
            s->checkpoints++;
        }
        usleep(2000);
    }
    return NULL;
}

/* The log's header carries a salt that changes each time writing starts anew at its beginning. */
static uint64_t log_salt(const char *wal)
{
    uint64_t salt = 0;
    FILE *f = fopen(wal, "rb");
    if (f) {
        if (fseek(f, 16, SEEK_SET) != 0 || fread(&salt, sizeof salt, 1, f) != 1) {
            salt = 0;
        }
        fclose(f);
    }
    return salt;
}

static void all_at_once(void **state)
{
    (void)state;
    struct shared s = {0};
    pthread_t threads[3];
    struct tl_batch b;
    char *bytes = tl_mem_alloc(ITEM_BYTES);
    char wal[PATH_MAX + 32];
    uint64_t salt = 0;
    bool started_anew = false;
    assert_int_equal(tl_store_open(&s.st, &(struct tl_store_config){.path = file}, NULL), TL_OK);
    assert_int_equal(pthread_create(&threads[0], NULL, point_reader, &s), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, list_reader, &s), 0);
    assert_int_equal(pthread_create(&threads[2], NULL, checkpointer, &s), 0);
    snprintf(wal, sizeof wal, "%s-wal", file);
    tl_batch_init(&b, 1 << 26);
    /* Constant reading must not keep the log from starting anew; how soon it does is the machine's. */
    for (int64_t i = 1; i <= COMMITS || (!started_anew && i <= 5 * COMMITS); i++) {
        tl_batch_log(&b, 2 * i - 1, i, 0, 1, tl_str_n(bytes, ITEM_BYTES));
        tl_batch_log(&b, 2 * i, i, 0, 1, tl_str_n(bytes, ITEM_BYTES));
        tl_batch_run_put(&b, &(struct tl_run_row){.number = i, .namespace_number = 1});
        assert_int_equal(tl_store_commit(s.st, &b, NULL), TL_OK);
        atomic_store(&s.committed, i);
        tl_batch_reset(&b);
        uint64_t now = i % 50 == 0 ? log_salt(wal) : salt;
        started_anew = started_anew || (salt && now != salt);
        salt = now;
    }
    atomic_store(&s.stop, true);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(s.bad, 0);
    assert_true(s.reads > 0 && s.lists > 0 && s.checkpoints > 0);
    assert_true(started_anew);
    tl_batch_deinit(&b);
    tl_mem_free(bytes);
    tl_store_close(s.st);
    assert_int_equal(unlink(file), 0);
}

static void write_until_killed(int out)
{
    struct tl_store *st;
    struct tl_batch b;
    struct tl_max_ids max;
    tl_batch_init(&b, 1 << 24);
    if (tl_store_open(&st, &(struct tl_store_config){.path = file}, NULL) ||
        tl_store_max_ids(tl_store_point_reader(st), &max, NULL)) {
        _exit(1);
    }
    for (int64_t id = max.log_id + 1;; id += 2) {
        tl_batch_log(&b, id, 1, 0, 1, TL_STR_LIT("first half"));
        tl_batch_log(&b, id + 1, 1, 0, 1, TL_STR_LIT("second half"));
        if (tl_store_commit(st, &b, NULL) || write(out, &id, sizeof id) != sizeof id) {
            _exit(2);
        }
        tl_batch_reset(&b);
        if (id % 64 == 1 && tl_store_checkpoint_step(st, NULL)) {
            _exit(3);
        }
    }
}

static void killed_process_loses_nothing(void **state)
{
    (void)state;
    struct tl_rng rng;
    int64_t acknowledged = 0;
    tl_rng_seed(&rng, 3);
    for (int round = 0; round < 12; round++) {
        int pipes[2];
        assert_int_equal(pipe(pipes), 0);
        pid_t child = fork();
        if (child == 0) {
            close(pipes[0]);
            write_until_killed(pipes[1]);
        }
        close(pipes[1]);
        int64_t id;
        assert_int_equal(read(pipes[0], &id, sizeof id), sizeof id);
        usleep((useconds_t)tl_rng_below(&rng, 20000));
        assert_int_equal(kill(child, SIGKILL), 0);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        acknowledged = id;
        while (read(pipes[0], &id, sizeof id) == sizeof id) {
            acknowledged = id;
        }
        close(pipes[0]);
        struct tl_store *st;
        struct tl_max_ids max;
        assert_int_equal(tl_store_open(&st, &(struct tl_store_config){.path = file}, NULL), TL_OK);
        assert_int_equal(tl_store_max_ids(tl_store_point_reader(st), &max, NULL), TL_OK);
        assert_true(max.log_id >= acknowledged + 1);
        assert_int_equal(max.log_id % 2, 0); /* never half a batch */
        assert_int_equal(tl_store_check(st, NULL), TL_OK);
        tl_store_close(st);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_at_once),
        cmocka_unit_test(killed_process_loses_nothing),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
