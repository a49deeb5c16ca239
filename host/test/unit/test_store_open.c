/* Goal: opening says clearly what is wrong, takes the lock that dies with the process, migrates, and
 * honours the user's pragmas. Method: real files in a temporary folder, forked processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "store/store.h"
#include "store/store_int.h"

static char folder[PATH_MAX];

static const char *path(const char *name)
{
    static char paths[4][PATH_MAX + 64];
    static int turn;
    char *p = paths[turn++ % 4];
    snprintf(p, sizeof paths[0], "%s/%s", folder, name);
    return p;
}

static int make_folder(void **state)
{
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/tl-store-XXXXXX", base ? base : "/tmp");
    /* Another user must be able to look inside: one test gives up its rights. */
    return mkdtemp(folder) && chmod(folder, 0755) == 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[PATH_MAX + 16];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static tl_rc open_path(struct tl_store **st, const char *p, struct tl_error *err)
{
    return tl_store_open(st, &(struct tl_store_config){.path = p}, err);
}

static void put_meta(struct tl_store *st, const char *key, const char *value)
{
    struct tl_batch b;
    tl_batch_init(&b, 1 << 20);
    tl_batch_meta_put(&b, tl_str(key), tl_str(value));
    assert_int_equal(tl_store_commit(st, &b, NULL), TL_OK);
    tl_batch_deinit(&b);
}

static bool has_meta(struct tl_store *st, const char *key, const char *value)
{
    struct tl_arena arena;
    struct tl_str got;
    tl_arena_init(&arena, 1 << 20);
    bool ok =
        tl_store_meta_get(tl_store_point_reader(st), tl_str(key), &arena, &got, NULL) == TL_OK &&
        tl_str_eqc(got, value);
    tl_arena_deinit(&arena);
    return ok;
}

static void expect_error(const char *p, tl_rc want, const char *part)
{
    struct tl_store *st;
    struct tl_error err = {0};
    tl_rc rc = open_path(&st, p, &err);
    if (rc != want || !strstr(err.message, part)) {
        fail_msg("%s: %s \"%s\", wanted %s \"%s\"", p, tl_rc_name(rc), err.message,
                 tl_rc_name(want), part);
    }
    assert_null(st);
    assert_int_equal(err.code, want);
}

static void write_file(const char *p, const void *bytes, size_t n)
{
    FILE *f = fopen(p, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

/* Runs SQL on a file behind the store's back. */
static void sql(const char *p, const char *text)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(p, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int64_t sql_int(const char *p, const char *text)
{
    struct tl_conn c;
    int64_t out = -1;
    assert_int_equal(tl_conn_open(&c, p, NULL, NULL), TL_OK);
    assert_int_equal(tl_conn_query_int(&c, text, &out, NULL), TL_OK);
    tl_conn_close(&c);
    return out;
}

static void creates_and_reopens(void **state)
{
    (void)state;
    struct tl_store *st;
    const char *p = path("a.db");
    assert_int_equal(open_path(&st, p, NULL), TL_OK);
    put_meta(st, "k", "v");
    assert_int_equal(tl_store_check(st, NULL), TL_OK);
    tl_store_close(st);
    /* A clean end leaves one file. */
    assert_int_equal(access(path("a.db-wal"), F_OK), -1);
    assert_int_equal(access(path("a.db.lock"), F_OK), -1);
    assert_int_equal(open_path(&st, p, NULL), TL_OK);
    assert_true(has_meta(st, "k", "v"));
    tl_store_close(st);
    assert_int_equal(sql_int(p, "PRAGMA application_id"), TL_APPLICATION_ID);
    assert_int_equal(sql_int(p, "PRAGMA auto_vacuum"), 2);
    assert_int_equal(sql_int(p, "SELECT max(version) FROM schema_version"),
                     sql_int(p, "PRAGMA user_version"));
    /* An empty file is a new database. */
    write_file(path("empty.db"), "", 0);
    assert_int_equal(open_path(&st, path("empty.db"), NULL), TL_OK);
    tl_store_close(st);
}

static void temporary_database_leaves_no_name(void **state)
{
    (void)state;
    struct tl_store *a, *b;
    char command[PATH_MAX + 64];
    assert_int_equal(setenv("TMPDIR", folder, 1), 0);
    assert_int_equal(open_path(&a, NULL, NULL), TL_OK);
    assert_int_equal(open_path(&b, NULL, NULL), TL_OK);
    snprintf(command, sizeof command, "test -z \"$(ls -A '%s' | grep temporal-lua)\"", folder);
    assert_int_equal(system(command), 0);
    put_meta(a, "k", "a");
    put_meta(b, "k", "b");
    assert_true(has_meta(a, "k", "a"));
    assert_true(has_meta(b, "k", "b"));
    /* More than a log is worth: it is copied and starts anew without its name, too. */
    struct tl_batch batch;
    char *bytes = calloc(1, 1 << 20);
    tl_batch_init(&batch, 1 << 24);
    for (int64_t id = 1; id <= 48; id++) {
        tl_batch_reset(&batch);
        tl_batch_log(&batch, id, 1, id - 1, id, tl_str_n(bytes, 1 << 20));
        assert_int_equal(tl_store_commit(a, &batch, NULL), TL_OK);
        if (tl_store_checkpoint_due(a)) {
            assert_int_equal(tl_store_checkpoint_step(a, NULL), TL_OK);
            assert_false(tl_store_checkpoint_due(a));
        }
    }
    free(bytes);
    tl_batch_deinit(&batch);
    assert_int_equal(tl_store_check(a, NULL), TL_OK);
    tl_store_close(a);
    tl_store_close(b);
    assert_int_equal(system(command), 0);
    unsetenv("TMPDIR");
}

static void bad_paths_are_explained(void **state)
{
    (void)state;
    expect_error(path("none/x.db"), TL_ENOTFOUND, "create it");
    expect_error(folder, TL_EINVAL, "not a regular file");
    expect_error("", TL_EINVAL, "empty");
    write_file(path("text.db"),
               "this is a text file, long enough to have a header of 100 bytes "
               "and then some more of it, so that nothing is short",
               113);
    expect_error(path("text.db"), TL_ECORRUPT, "text.db");
    assert_int_equal(access(path("text.db.lock"), F_OK), -1);
}

static void foreign_and_newer_are_refused(void **state)
{
    (void)state;
    struct tl_store *st;
    sql(path("other.db"), "CREATE TABLE t(x)");
    expect_error(path("other.db"), TL_ESCHEMA, "another program");
    assert_int_equal(sql_int(path("other.db"), "PRAGMA application_id"), 0);
    assert_int_equal(open_path(&st, path("new.db"), NULL), TL_OK);
    tl_store_close(st);
    sql(path("new.db"), "PRAGMA user_version = 4000");
    expect_error(path("new.db"), TL_ESCHEMA, "schema version 4000");
    expect_error(path("new.db"), TL_ESCHEMA, "at least as new");
    sql(path("new.db"), "PRAGMA user_version = 0");
    expect_error(path("new.db"), TL_ECORRUPT, "no schema version");
}

static void damage_is_found(void **state)
{
    (void)state;
    struct tl_store *st;
    struct tl_error err;
    const char *p = path("damaged.db");
    assert_int_equal(open_path(&st, p, NULL), TL_OK);
    for (int i = 0; i < 200; i++) {
        char key[16];
        snprintf(key, sizeof key, "key %d", i);
        put_meta(st, key, "a value that fills some pages, a value that fills some pages");
    }
    tl_store_close(st);
    int fd = open(p, O_RDWR);
    struct stat info;
    assert_int_equal(fstat(fd, &info), 0);
    char junk[4096];
    memset(junk, 0xA5, sizeof junk);
    for (off_t at = 8192; at < info.st_size; at += 4096) {
        assert_int_equal(pwrite(fd, junk, sizeof junk, at), sizeof junk);
    }
    close(fd);
    if (open_path(&st, p, &err) == TL_OK) {
        assert_int_equal(tl_store_check(st, &err), TL_ECORRUPT);
        tl_store_close(st);
    }
    assert_int_equal(err.code, TL_ECORRUPT);
    assert_non_null(strstr(err.message, "damaged.db"));
}

static void no_permission_is_explained(void **state)
{
    (void)state;
    struct tl_store *st;
    assert_int_equal(open_path(&st, path("mine.db"), NULL), TL_OK);
    tl_store_close(st);
    assert_int_equal(chmod(path("mine.db"), 0400), 0);
    assert_int_equal(mkdir(path("closed"), 0555), 0);
    pid_t child = fork();
    if (child == 0) {
        struct tl_error err;
        /* The superuser may do everything: become nobody. */
        if (geteuid() == 0 && setuid(65534)) {
            _exit(10);
        }
        bool file = open_path(&st, path("mine.db"), &err) == TL_EPERMISSION;
        bool dir = open_path(&st, path("closed/x.db"), &err) == TL_EPERMISSION &&
                   strstr(err.message, "must be writable");
        _exit(file && dir ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* A child that holds the store open, commits, says so, and waits to be killed. */
static pid_t holder(const char *p, int *ready)
{
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        struct tl_store *st;
        if (open_path(&st, p, NULL)) {
            _exit(1);
        }
        put_meta(st, "from", "the child");
        if (write(pipes[1], "x", 1) != 1) {
            _exit(2);
        }
        for (;;) {
            pause();
        }
    }
    close(pipes[1]);
    *ready = pipes[0];
    return child;
}

static void lock_dies_with_its_process(void **state)
{
    (void)state;
    struct tl_store *st;
    int ready;
    char c;
    const char *p = path("locked.db");
    pid_t child = holder(p, &ready);
    assert_int_equal(read(ready, &c, 1), 1);
    close(ready);
    char pid[32];
    snprintf(pid, sizeof pid, "process %ld", (long)child);
    expect_error(p, TL_ELOCKED, pid);
    /* Another name of the same file is the same database. */
    assert_int_equal(symlink(p, path("link.db")), 0);
    expect_error(path("link.db"), TL_ELOCKED, "in use");
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(access(path("locked.db.lock"), F_OK), 0);
    assert_int_equal(open_path(&st, p, NULL), TL_OK);
    assert_true(has_meta(st, "from", "the child"));
    /* Within one process, too. */
    expect_error(p, TL_ELOCKED, "in use");
    put_meta(st, "still", "mine");
    tl_store_close(st);
}

static int warnings;
static void count_warnings(void *ud, enum tl_log_level level, struct tl_str line)
{
    (void)ud;
    (void)line;
    warnings += level == TL_LOG_WARN;
}

static void pragmas_of_the_user_win(void **state)
{
    (void)state;
    struct tl_store *st;
    struct tl_error err;
    const char *good[] = {"synchronous=NORMAL", "mmap_size=1048576", "secure_delete=off"};
    struct tl_store_config config = {.path = path("p.db"), .pragmas = good, .pragma_count = 3};
    warnings = 0;
    tl_log_sink(count_warnings, NULL);
    assert_int_equal(tl_store_open(&st, &config, &err), TL_OK);
    tl_log_sink(NULL, NULL);
    assert_int_equal(warnings, 1);
    int64_t value;
    assert_int_equal(tl_conn_query_int(&st->writer, "PRAGMA synchronous", &value, NULL), TL_OK);
    assert_int_equal(value, 1);
    assert_int_equal(tl_conn_query_int(&st->list.conn, "PRAGMA mmap_size", &value, NULL), TL_OK);
    assert_int_equal(value, 1048576);
    tl_store_close(st);
    static const char *const bad[] = {"locking_mode=exclusive",      "no value", "a;b=1",
                                      "cache_size=1;DROP TABLE log", "=1",       "user_version=3"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        config.pragmas = &bad[i];
        config.pragma_count = 1;
        assert_int_equal(tl_store_open(&st, &config, &err), TL_EINVAL);
    }
    /* A rollback journal is slower and works; without a file it cannot. */
    static const char *const journal[] = {"journal_mode=delete"};
    config.pragmas = journal;
    config.path = path("journal.db");
    assert_int_equal(tl_store_open(&st, &config, &err), TL_OK);
    put_meta(st, "k", "v");
    assert_true(has_meta(st, "k", "v"));
    assert_int_equal(tl_store_checkpoint_step(st, &err), TL_OK);
    tl_store_close(st);
    config.path = NULL;
    assert_int_equal(tl_store_open(&st, &config, &err), TL_EINVAL);
    /* SQLite's own checkpoints, where the user wants them. */
    static const char *const automatic[] = {"wal_autocheckpoint=1"};
    config.pragmas = automatic;
    config.path = path("automatic.db");
    assert_int_equal(tl_store_open(&st, &config, &err), TL_OK);
    put_meta(st, "k", "v");
    assert_true(atomic_load(&st->copied_frames) > 0);
    tl_store_close(st);
}

static void our_pragmas_are_in_force(void **state)
{
    (void)state;
    struct tl_store *st;
    assert_int_equal(open_path(&st, path("ours.db"), NULL), TL_OK);
    static const struct {
        const char *sql;
        int64_t want;
    } rows[] = {
        {"SELECT journal_mode = 'wal' FROM pragma_journal_mode", 1},
        {"PRAGMA synchronous", 2},
        {"PRAGMA secure_delete", 0},
        {"PRAGMA wal_autocheckpoint", 0},
        {"PRAGMA cache_size", -65536},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t value;
        assert_int_equal(tl_conn_query_int(&st->writer, rows[i].sql, &value, NULL), TL_OK);
        assert_int_equal(value, rows[i].want);
    }
    tl_store_close(st);
}

static void migrations_are_whole_or_nothing(void **state)
{
    (void)state;
    static const struct tl_migration rows[] = {
        {1, "CREATE TABLE schema_version(version INTEGER PRIMARY KEY, statements INTEGER)"},
        {1, "CREATE TABLE a(x)"},
        {2, "ALTER TABLE a ADD COLUMN y DEFAULT 7"},
        {2, "INSERT INTO a(x) VALUES(1)"},
        {3, "CREATE TABLE b(x)"},
        {3, "CREATE TABLE b(x)"}, /* fails */
    };
    struct tl_conn c;
    struct tl_error err;
    int64_t value;
    assert_int_equal(tl_conn_open(&c, path("m.db"), NULL, NULL), TL_OK);
    assert_int_equal(tl_schema_migrate(&c, rows, 2, &err), TL_OK);
    assert_int_equal(tl_schema_migrate(&c, rows, 6, &err), TL_EINTERNAL);
    assert_non_null(strstr(err.message, "schema version 3"));
    /* Version 2 stands, of version 3 there is nothing. */
    assert_int_equal(tl_conn_query_int(&c, "PRAGMA user_version", &value, NULL), TL_OK);
    assert_int_equal(value, 2);
    assert_int_equal(tl_conn_query_int(&c, "SELECT sum(y) FROM a", &value, NULL), TL_OK);
    assert_int_equal(value, 7);
    assert_int_equal(
        tl_conn_query_int(&c, "SELECT count(*) FROM sqlite_master WHERE name = 'b'", &value, NULL),
        TL_OK);
    assert_int_equal(value, 0);
    assert_int_equal(tl_schema_migrate(&c, rows, 5, &err), TL_OK);
    assert_int_equal(tl_schema_migrate(&c, rows, 5, &err), TL_OK);
    assert_int_equal(tl_conn_query_int(&c, "SELECT count(*) FROM schema_version", &value, NULL),
                     TL_OK);
    assert_int_equal(value, 3);
    assert_int_equal(tl_schema_migrate(&c, rows, 4, &err), TL_ESCHEMA);
    tl_conn_close(&c);
}

/* A file of the first released schema is brought up to date and keeps what it has. */
static void old_files_open(void **state)
{
    (void)state;
    struct tl_conn c;
    struct tl_store *st;
    struct tl_error err;
    const char *p = path("old.db");
    size_t first = 0;
    while (first < tl_schema_row_count && tl_schema_rows[first].version == 1) {
        first++;
    }
    assert_true(first < tl_schema_row_count);
    assert_int_equal(tl_conn_open(&c, p, NULL, NULL), TL_OK);
    assert_int_equal(tl_schema_migrate(&c, tl_schema_rows, first, &err), TL_OK);
    assert_int_equal(tl_conn_exec(&c, "INSERT INTO meta(key, value) VALUES('k', 'v')", &err),
                     TL_OK);
    tl_conn_close(&c);
    assert_int_equal(sql_int(p, "PRAGMA user_version"), 1);
    assert_int_equal(open_path(&st, p, &err), TL_OK);
    assert_true(has_meta(st, "k", "v"));
    tl_store_close(st);
    assert_int_equal(sql_int(p, "PRAGMA user_version"),
                     tl_schema_rows[tl_schema_row_count - 1].version);
    assert_int_equal(sql_int(p, "SELECT count(*) FROM sqlite_master WHERE name = 'run_parent'"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(creates_and_reopens),
        cmocka_unit_test(temporary_database_leaves_no_name),
        cmocka_unit_test(bad_paths_are_explained),
        cmocka_unit_test(foreign_and_newer_are_refused),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(no_permission_is_explained),
        cmocka_unit_test(lock_dies_with_its_process),
        cmocka_unit_test(pragmas_of_the_user_win),
        cmocka_unit_test(our_pragmas_are_in_force),
        cmocka_unit_test(migrations_are_whole_or_nothing),
        cmocka_unit_test(old_files_open),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
