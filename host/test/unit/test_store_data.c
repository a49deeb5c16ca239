/* Goal: what is put in comes out, lists page without gap or repeat, filters cannot become SQL
 * injection, and a query that looks at too much is stopped.
 * Method: temporary databases, every field of every row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/rng.h"
#include "store/store.h"
#include "store/store_int.h"

struct rig {
    struct tl_store *st;
    struct tl_reader *r, *list;
    struct tl_batch b;
    struct tl_arena arena;
};

static int rig_open(void **state)
{
    struct rig *g = TL_NEW(struct rig);
    *state = g;
    tl_batch_init(&g->b, 1 << 26);
    tl_arena_init(&g->arena, 1 << 26);
    if (tl_store_open(&g->st, &(struct tl_store_config){0}, NULL)) {
        return -1;
    }
    g->r = tl_store_point_reader(g->st);
    g->list = tl_store_list_reader(g->st);
    return 0;
}

static int rig_close(void **state)
{
    struct rig *g = *state;
    tl_store_close(g->st);
    tl_batch_deinit(&g->b);
    tl_arena_deinit(&g->arena);
    tl_mem_free(g);
    return 0;
}

static void commit(struct rig *g)
{
    struct tl_error err = {0};
    if (tl_store_commit(g->st, &g->b, &err)) {
        fail_msg("%s", err.message);
    }
    tl_batch_reset(&g->b);
}

/* Every column has a value of its own. */
static struct tl_run_row full_row(int64_t number, bool open)
{
    return (struct tl_run_row){
        .number = number,
        .namespace_number = 3,
        .workflow_id = TL_STR_LIT("order-1"),
        .run_id = TL_STR_LIT("run id"),
        .type = TL_STR_LIT("Order"),
        .task_queue = TL_STR_LIT("orders"),
        .status = open ? 1 : 2,
        .start_ns = 1001,
        .execution_ns = 1002,
        .close_ns = open ? 0 : 1003,
        .history_length = 1004,
        .history_bytes = 1005,
        .state_transitions = 1006,
        .last_log_id = 1007,
        .first_run_id = TL_STR_LIT("first"),
        .parent_workflow_id = TL_STR_LIT("parent"),
        .parent_run_id = TL_STR_LIT("parent run"),
        .root_workflow_id = TL_STR_LIT("root"),
        .root_run_id = TL_STR_LIT("root run"),
        .division = TL_STR_LIT("division"),
        .memo = TL_STR_LIT("me\0mo"),
        .search_attributes = TL_STR_LIT("search\0attributes"),
        .extra = TL_STR_LIT("ext\0ra"),
        .state = TL_STR_LIT("sta\0te"),
    };
}

static void assert_same_row(const struct tl_run_row *a, const struct tl_run_row *b)
{
    for (size_t i = 0; i < tl_run_column_count; i++) {
        const char *x = (const char *)a + tl_run_columns[i].offset;
        const char *y = (const char *)b + tl_run_columns[i].offset;
        bool same;
        switch (tl_run_columns[i].kind) {
        case TL_COL_TEXT:
        case TL_COL_TEXT0:
        case TL_COL_BLOB0: {
            struct tl_str s, t;
            memcpy(&s, x, sizeof s);
            memcpy(&t, y, sizeof t);
            same = tl_str_eq(s, t);
            break;
        }
        default:
            same = memcmp(x, y, sizeof(int64_t)) == 0;
        }
        if (!same) {
            fail_msg("column %s differs", tl_run_columns[i].name);
        }
    }
}

static void runs_come_back(void **state)
{
    struct rig *g = *state;
    struct tl_run_row open = full_row(7, true), closed = full_row(8, false), got;
    struct tl_run_row bare = {.number = 9, .namespace_number = 3, .status = 1};
    tl_batch_run_put(&g->b, &open);
    tl_batch_run_put(&g->b, &closed);
    tl_batch_run_put(&g->b, &bare);
    assert_int_equal(g->b.item_count, 3);
    commit(g);
    assert_int_equal(tl_store_run_by_number(g->r, 7, &g->arena, &got, NULL), TL_OK);
    assert_same_row(&got, &open);
    assert_int_equal(tl_store_run_by_number(g->r, 8, &g->arena, &got, NULL), TL_OK);
    assert_same_row(&got, &closed);
    assert_int_equal(tl_store_run_by_number(g->r, 9, &g->arena, &got, NULL), TL_OK);
    assert_same_row(&got, &bare);
    assert_int_equal(tl_store_run_by_number(g->r, 10, &g->arena, &got, NULL), TL_ENOTFOUND);
}

static tl_rc collect(void *ud, const struct tl_run_row *row, struct tl_error *err)
{
    (void)err;
    struct tl_buf *b = ud;
    tl_buf_printf(b, "%lld:%.*s ", (long long)row->number, TL_STR_FMT(row->state));
    return TL_OK;
}

static void assert_runs(struct tl_buf *b, const char *want)
{
    assert_string_equal(b->p ? b->p : "", want);
    tl_buf_clear(b);
}

static void checkpoints_follow_the_run(void **state)
{
    struct rig *g = *state;
    struct tl_buf out;
    struct tl_run_row row = {.number = 1, .namespace_number = 1, .state = TL_STR_LIT("one")}, got;
    tl_buf_init(&out, 4096);
    tl_batch_run_put(&g->b, &row);
    row.number = 2;
    row.state = TL_STR_LIT("two");
    tl_batch_run_put(&g->b, &row);
    tl_batch_run_state_put(&g->b, 1, 55, TL_STR_LIT("later"));
    commit(g);
    assert_int_equal(tl_store_open_runs(g->r, collect, &out, NULL), TL_OK);
    assert_runs(&out, "1:later 2:two ");
    assert_int_equal(tl_store_run_by_number(g->r, 1, &g->arena, &got, NULL), TL_OK);
    assert_int_equal(got.last_log_id, 55);
    /* Closing moves the state into the row. */
    row.close_ns = 5;
    row.state = TL_STR_LIT("end");
    tl_batch_run_put(&g->b, &row);
    commit(g);
    assert_int_equal(tl_store_open_runs(g->r, collect, &out, NULL), TL_OK);
    assert_runs(&out, "1:later ");
    assert_int_equal(tl_store_closed_before(g->r, 1, 4, 10, collect, &out, NULL), TL_OK);
    assert_runs(&out, "");
    assert_int_equal(tl_store_closed_before(g->r, 1, 5, 10, collect, &out, NULL), TL_OK);
    assert_runs(&out, "2:end ");
    /* And back, as a reset of the store's caller may want. */
    row.close_ns = 0;
    row.state = TL_STR_LIT("again");
    tl_batch_run_put(&g->b, &row);
    commit(g);
    assert_int_equal(tl_store_open_runs(g->r, collect, &out, NULL), TL_OK);
    assert_runs(&out, "1:later 2:again ");
    tl_buf_deinit(&out);
}

static void fixed_columns_stay(void **state)
{
    struct rig *g = *state;
    struct tl_run_row row = full_row(1, true), later = full_row(1, true), got;
    tl_batch_run_put(&g->b, &row);
    later.workflow_id = later.run_id = later.type = TL_STR_LIT("other");
    later.start_ns = 9999;
    later.namespace_number = 99;
    later.task_queue = TL_STR_LIT("moved");
    later.status = 3;
    tl_batch_run_put(&g->b, &later);
    commit(g);
    row.task_queue = later.task_queue;
    row.status = later.status;
    assert_int_equal(tl_store_run_by_number(g->r, 1, &g->arena, &got, NULL), TL_OK);
    assert_same_row(&got, &row);
}

static tl_rc collect_log(void *ud, const struct tl_log_row *row, struct tl_error *err)
{
    struct tl_buf *b = ud;
    tl_buf_printf(b, "%lld/%lld/%lld/%lld/%.*s ", (long long)row->id, (long long)row->run,
                  (long long)row->prev, (long long)row->first_event_id, TL_STR_FMT(row->bytes));
    return row->id == 99 ? tl_error_set(err, TL_EABORTED, "enough") : TL_OK;
}

static void log_rows_come_back(void **state)
{
    struct rig *g = *state;
    struct tl_buf out;
    struct tl_log_row row;
    struct tl_error err;
    tl_buf_init(&out, 4096);
    tl_batch_log(&g->b, 5, 1, 0, 1, TL_STR_LIT("a"));
    tl_batch_log(&g->b, 6, 2, 0, 1, TL_STR_LIT(""));
    tl_batch_log(&g->b, 99, 1, 5, 4, TL_STR_LIT("c"));
    tl_batch_log(&g->b, 100, 1, 99, 6, TL_STR_LIT("d"));
    commit(g);
    assert_int_equal(tl_store_log_get(g->r, 99, &g->arena, &row, NULL), TL_OK);
    assert_int_equal(row.prev, 5);
    assert_int_equal(row.first_event_id, 4);
    assert_string_equal(row.bytes.p, "c");
    assert_int_equal(tl_store_log_get(g->r, 6, &g->arena, &row, NULL), TL_OK);
    assert_int_equal(row.bytes.n, 0);
    assert_int_equal(tl_store_log_get(g->r, 7, &g->arena, &row, &err), TL_ENOTFOUND);
    /* The callback ends the walk; the reader is usable afterwards. */
    assert_int_equal(tl_store_log_after(g->r, 5, collect_log, &out, &err), TL_EABORTED);
    assert_string_equal(err.message, "enough");
    assert_runs(&out, "6/2/0/1/ 99/1/5/4/c ");
    tl_batch_log_delete(&g->b, 99);
    commit(g);
    assert_int_equal(tl_store_log_after(g->r, 0, collect_log, &out, NULL), TL_OK);
    assert_runs(&out, "5/1/0/1/a 6/2/0/1/ 100/1/99/6/d ");
    /* A taken id refuses the whole batch. */
    tl_batch_meta_put(&g->b, TL_STR_LIT("x"), TL_STR_LIT("y"));
    tl_batch_log(&g->b, 100, 1, 0, 1, TL_STR_LIT("e"));
    assert_int_equal(tl_store_commit(g->st, &g->b, &err), TL_EEXISTS);
    struct tl_str value;
    assert_int_equal(tl_store_meta_get(g->r, TL_STR_LIT("x"), &g->arena, &value, NULL),
                     TL_ENOTFOUND);
    struct tl_max_ids max;
    assert_int_equal(tl_store_max_ids(g->r, &max, NULL), TL_OK);
    assert_int_equal(max.log_id, 100);
    assert_int_equal(max.run_number, 0);
    tl_buf_deinit(&out);
}

static void small_arena_is_an_error(void **state)
{
    struct rig *g = *state;
    struct tl_arena small;
    struct tl_log_row row;
    char *bytes = tl_mem_alloc(100000);
    tl_arena_init(&small, 8192);
    tl_batch_log(&g->b, 1, 1, 0, 1, tl_str_n(bytes, 100000));
    commit(g);
    assert_int_equal(tl_store_log_get(g->r, 1, &small, &row, NULL), TL_EMEMORY);
    assert_int_equal(tl_store_log_get(g->r, 1, &g->arena, &row, NULL), TL_OK);
    assert_int_equal(row.bytes.n, 100000);
    tl_arena_deinit(&small);
    tl_mem_free(bytes);
}

static void full_batch_is_refused(void **state)
{
    struct rig *g = *state;
    struct tl_batch b;
    char bytes[1000] = {0};
    tl_batch_init(&b, 16384);
    for (int64_t id = 1; id <= 100; id++) {
        tl_batch_log(&b, id, 1, 0, 1, tl_str_n(bytes, sizeof bytes));
    }
    assert_true(b.failed);
    assert_int_equal(tl_store_commit(g->st, &b, NULL), TL_ELIMIT);
    tl_batch_reset(&b);
    tl_batch_log(&b, 1, 1, 0, 1, tl_str_n(bytes, sizeof bytes));
    assert_int_equal(tl_store_commit(g->st, &b, NULL), TL_OK);
    tl_batch_deinit(&b);
}

static tl_rc collect_namespace(void *ud, const struct tl_namespace_row *row, struct tl_error *err)
{
    (void)err;
    tl_buf_printf(ud, "%lld:%.*s:%.*s:%.*s ", (long long)row->number, TL_STR_FMT(row->name),
                  TL_STR_FMT(row->id), TL_STR_FMT(row->bytes));
    return TL_OK;
}

static tl_rc collect_meta(void *ud, struct tl_str key, struct tl_str value, struct tl_error *err)
{
    (void)err;
    tl_buf_printf(ud, "%.*s=%.*s ", TL_STR_FMT(key), TL_STR_FMT(value));
    return TL_OK;
}

static void namespaces_and_meta(void **state)
{
    struct rig *g = *state;
    struct tl_buf out;
    tl_buf_init(&out, 4096);
    tl_batch_namespace_put(&g->b, 1, TL_STR_LIT("default"), TL_STR_LIT("id1"), TL_STR_LIT("x"));
    tl_batch_namespace_put(&g->b, 2, TL_STR_LIT("other"), TL_STR_LIT("id2"), TL_STR_LIT("y"));
    tl_batch_namespace_put(&g->b, 1, TL_STR_LIT("renamed"), TL_STR_LIT("id1"), TL_STR_LIT("z"));
    tl_batch_meta_put(&g->b, TL_STR_LIT("q/a"), TL_STR_LIT("1"));
    tl_batch_meta_put(&g->b, TL_STR_LIT("q/b"), TL_STR_LIT("2"));
    tl_batch_meta_put(&g->b, TL_STR_LIT("q0"), TL_STR_LIT("3"));
    tl_batch_meta_put(&g->b, TL_STR_LIT("q/b"), TL_STR_LIT("4"));
    commit(g);
    assert_int_equal(tl_store_namespaces(g->r, collect_namespace, &out, NULL), TL_OK);
    assert_runs(&out, "1:renamed:id1:z 2:other:id2:y ");
    assert_int_equal(tl_store_meta_each(g->r, TL_STR_LIT("q/"), collect_meta, &out, NULL), TL_OK);
    assert_runs(&out, "q/a=1 q/b=4 ");
    tl_batch_namespace_put(&g->b, 3, TL_STR_LIT("other"), TL_STR_LIT("id3"), TL_STR_LIT(""));
    assert_int_equal(tl_store_commit(g->st, &g->b, NULL), TL_EEXISTS);
    tl_batch_reset(&g->b);
    tl_batch_namespace_delete(&g->b, 2);
    tl_batch_meta_delete(&g->b, TL_STR_LIT("q/a"));
    commit(g);
    assert_int_equal(tl_store_namespaces(g->r, collect_namespace, &out, NULL), TL_OK);
    assert_runs(&out, "1:renamed:id1:z ");
    assert_int_equal(tl_store_meta_each(g->r, TL_STR_LIT("q"), collect_meta, &out, NULL), TL_OK);
    assert_runs(&out, "q/b=4 q0=3 ");
    tl_buf_deinit(&out);
}

/* --- lists ------------------------------------------------------------------------------------ */

#define MANY 500

static void put_many(struct rig *g)
{
    struct tl_rng rng;
    tl_rng_seed(&rng, 1);
    for (int64_t i = 1; i <= MANY; i++) {
        char id[32];
        snprintf(id, sizeof id, "w-%lld", (long long)(i % 100));
        struct tl_search_value values[] = {
            {TL_STR_LIT("Customer"), {.kind = TL_VALUE_TEXT, .text = tl_str(i % 3 ? "b" : "a")}},
            {TL_STR_LIT("Amount"), {.kind = TL_VALUE_INT, .num = i}},
            {TL_STR_LIT("Tags"), {.kind = TL_VALUE_TEXT, .text = TL_STR_LIT("red")}},
            {TL_STR_LIT("Tags"), {.kind = TL_VALUE_TEXT, .text = TL_STR_LIT("green")}},
        };
        tl_batch_run_put(&g->b, &(struct tl_run_row){
                                    .number = i,
                                    .namespace_number = 1 + (i % 5 == 0),
                                    .workflow_id = tl_str(id),
                                    .type = tl_str(i % 2 ? "Odd" : "Even"),
                                    .status = i % 10 ? 2 : 1,
                                    /* Many runs share a start time. */
                                    .start_ns = (int64_t)tl_rng_below(&rng, 40),
                                    .close_ns = i % 10 ? 1000 + i : 0,
                                    .values = values,
                                    .value_count = 4,
                                });
    }
    commit(g);
}

struct page {
    int count;
    int64_t start_ns, number;
    bool in_order;
    bool seen[MANY * 2 + 1];
    int repeats;
};

static tl_rc collect_page(void *ud, const struct tl_run_row *row, struct tl_error *err)
{
    (void)err;
    struct page *p = ud;
    if (p->count++ > 0 && (row->start_ns > p->start_ns ||
                           (row->start_ns == p->start_ns && row->number >= p->number))) {
        p->in_order = false;
    }
    p->start_ns = row->start_ns;
    p->number = row->number;
    p->repeats += p->seen[row->number];
    p->seen[row->number] = true;
    return TL_OK;
}

static void pages_have_no_gap_and_no_repeat(void **state)
{
    struct rig *g = *state;
    put_many(g);
    struct page *p = TL_NEW(struct page);
    p->in_order = true;
    struct tl_list_query q = {.namespace_number = 1, .limit = 7};
    int before = -1;
    for (int64_t added = MANY + 1; before != p->count; added++) {
        before = p->count;
        assert_int_equal(tl_store_list(g->list, &q, collect_page, p, NULL), TL_OK);
        q.has_after = true;
        q.after_start_ns = p->start_ns;
        q.after_number = p->number;
        /* Runs started meanwhile come first: they disturb nothing. */
        tl_batch_run_put(
            &g->b, &(struct tl_run_row){.number = added, .namespace_number = 1, .start_ns = 1000});
        commit(g);
    }
    assert_int_equal(p->count, MANY - MANY / 5);
    assert_int_equal(p->repeats, 0);
    assert_true(p->in_order);
    tl_mem_free(p);
}

static int64_t count(struct rig *g, const char *where, const struct tl_value *binds, size_t n)
{
    struct tl_list_query q = {
        .namespace_number = 1, .where = where, .binds = binds, .bind_count = n};
    struct tl_error err = {0};
    int64_t got;
    if (tl_store_count(g->list, &q, &got, &err)) {
        fail_msg("%s: %s", where, err.message);
    }
    return got;
}

static void filters_select(void **state)
{
    struct rig *g = *state;
    put_many(g);
    struct tl_value one = {.kind = TL_VALUE_INT, .num = 1};
    struct tl_value odd = {.kind = TL_VALUE_TEXT, .text = TL_STR_LIT("Odd")};
    struct tl_value like = {.kind = TL_VALUE_TEXT, .text = TL_STR_LIT("w-1%")};
    struct tl_value tag[] = {{.kind = TL_VALUE_TEXT, .text = TL_STR_LIT("Tags")},
                             {.kind = TL_VALUE_TEXT, .text = TL_STR_LIT("green")}};
    struct tl_value amount[] = {{.kind = TL_VALUE_TEXT, .text = TL_STR_LIT("Amount")},
                                {.kind = TL_VALUE_DOUBLE, .real = 10.5}};
    struct tl_value both[] = {odd, one};
    /* By hand: 1..500 without the multiples of 5 are 400, of which none is a multiple of 10. */
    assert_int_equal(count(g, NULL, NULL, 0), 400);
    assert_int_equal(count(g, "status = ?", &one, 1), 0);
    assert_int_equal(count(g, "type = ?", &odd, 1), 200);
    assert_int_equal(count(g, "NOT (type = ? OR status <> ?)", both, 2), 0);
    assert_int_equal(count(g, "close_ns IS NULL", NULL, 0), 0);
    assert_int_equal(count(g, "workflow_id LIKE ?", &like, 1), 5 * 9);
    assert_int_equal(count(g,
                           "number IN (SELECT v.run FROM search_value v WHERE v.name = ? AND "
                           "v.value = ?)",
                           tag, 2),
                     400);
    assert_int_equal(count(g,
                           "EXISTS (SELECT 1 FROM search_value v WHERE v.run = run.number AND "
                           "v.name = ? AND v.value < ?)",
                           amount, 2),
                     8);
    assert_int_equal(count(g, "parent_workflow_id IS NULL", NULL, 0), 400);
    /* A later put replaces the values. */
    tl_batch_run_put(&g->b, &(struct tl_run_row){.number = 1, .namespace_number = 1});
    commit(g);
    assert_int_equal(count(g,
                           "number IN (SELECT v.run FROM search_value v WHERE v.name = ? AND "
                           "v.value = ?)",
                           tag, 2),
                     399);
}

static tl_rc collect_count(void *ud, const struct tl_value *group, int64_t n, struct tl_error *err)
{
    (void)err;
    if (group->kind == TL_VALUE_INT) {
        tl_buf_printf(ud, "%lld:%lld ", (long long)group->num, (long long)n);
    } else {
        tl_buf_printf(ud, "%.*s:%lld ", TL_STR_FMT(group->text), (long long)n);
    }
    return TL_OK;
}

static void counts_by_column(void **state)
{
    struct rig *g = *state;
    struct tl_buf out;
    tl_buf_init(&out, 4096);
    put_many(g);
    struct tl_list_query q = {.namespace_number = 2};
    assert_int_equal(tl_store_count_by(g->list, &q, "status", collect_count, &out, NULL), TL_OK);
    assert_runs(&out, "1:50 2:50 ");
    assert_int_equal(tl_store_count_by(g->list, &q, "type", collect_count, &out, NULL), TL_OK);
    assert_runs(&out, "Even:50 Odd:50 ");
    assert_int_equal(tl_store_count_by(g->list, &q, "memo", collect_count, &out, NULL), TL_EINVAL);
    tl_buf_deinit(&out);
}

static void filters_cannot_escape(void **state)
{
    struct rig *g = *state;
    put_many(g);
    static const char *const bad[] = {
        "1) OR (1",
        "type = 'x'",
        "type = \"x\"",
        "1; DROP TABLE run",
        "1 -- x",
        "1 /* x */",
        "memo IS NULL",
        "namespace_number = 2",
        "number IN (SELECT id FROM log)",
        "load_extension(?)",
        "type = $1",
        "(((",
        ")",
        "type = ?1",
        "type = :a",
        "randomblob(9)",
        "number = 99999999999",
        "[type] = 1",
        "`type` = 1",
        "type = x'00'",
        "frob",
    };
    struct tl_value one = {.kind = TL_VALUE_INT, .num = 1};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct tl_error err = {0};
        int64_t n;
        struct tl_list_query q = {.namespace_number = 1,
                                  .where = bad[i],
                                  .binds = &one,
                                  .bind_count = strchr(bad[i], '?') != NULL};
        tl_rc rc = tl_store_count(g->list, &q, &n, &err);
        if (rc != TL_EINVAL || err.code != TL_EINVAL) {
            fail_msg("\"%s\" gave %s %s", bad[i], tl_rc_name(rc), err.message);
        }
    }
    /* Allowed words that make no sense fail in SQLite, as the caller's mistake. */
    struct tl_list_query q = {.namespace_number = 1, .where = "AND AND", .limit = 1};
    int64_t n;
    assert_int_equal(tl_store_count(g->list, &q, &n, NULL), TL_EINVAL);
    q.where = "type = ?";
    assert_int_equal(tl_store_count(g->list, &q, &n, NULL), TL_EINVAL);
    assert_int_equal(count(g, NULL, NULL, 0), 400);
}

static void long_queries_are_stopped(void **state)
{
    struct rig *g = *state;
    put_many(g);
    struct tl_value like = {.kind = TL_VALUE_TEXT, .text = TL_STR_LIT("%zz%")};
    atomic_bool cancelled = false;
    int64_t n;
    struct tl_list_query q = {.namespace_number = 1,
                              .where = "workflow_id LIKE ?",
                              .binds = &like,
                              .bind_count = 1,
                              .limit = 10,
                              .steps_max = 1000,
                              .cancelled = &cancelled};
    assert_int_equal(tl_store_count(g->list, &q, &n, NULL), TL_ELIMIT);
    struct page *p = TL_NEW(struct page);
    assert_int_equal(tl_store_list(g->list, &q, collect_page, p, NULL), TL_ELIMIT);
    tl_mem_free(p);
    q.steps_max = 10000000;
    assert_int_equal(tl_store_count(g->list, &q, &n, NULL), TL_OK);
    atomic_store(&cancelled, true);
    assert_int_equal(tl_store_count(g->list, &q, &n, NULL), TL_ECANCELLED);
    /* The handler does not outlive its query. */
    q.cancelled = NULL;
    q.steps_max = 0;
    assert_int_equal(tl_store_count(g->list, &q, &n, NULL), TL_OK);
}

static void current_run_is_the_newest(void **state)
{
    struct rig *g = *state;
    int64_t number;
    put_many(g);
    assert_int_equal(tl_store_run_current(g->r, 1, TL_STR_LIT("w-7"), &number, NULL), TL_OK);
    assert_int_equal(number, 407);
    assert_int_equal(tl_store_run_current(g->r, 2, TL_STR_LIT("w-7"), &number, NULL), TL_ENOTFOUND);
    assert_int_equal(tl_store_run_current(g->r, 2, TL_STR_LIT("w-10"), &number, NULL), TL_OK);
    assert_int_equal(number, 410);
}

static void deleted_runs_leave_nothing(void **state)
{
    struct rig *g = *state;
    int64_t ids[] = {1, 2}, value;
    struct tl_run_row got;
    put_many(g);
    tl_batch_log(&g->b, 1, 10, 0, 1, TL_STR_LIT("a"));
    tl_batch_log(&g->b, 2, 10, 1, 2, TL_STR_LIT("b"));
    tl_batch_log(&g->b, 3, 11, 0, 1, TL_STR_LIT("c"));
    commit(g);
    tl_batch_run_delete(&g->b, 10, ids, 2);
    commit(g);
    assert_int_equal(tl_store_run_by_number(g->r, 10, &g->arena, &got, NULL), TL_ENOTFOUND);
    static const struct {
        const char *sql;
        int64_t want;
    } rows[] = {
        {"SELECT count(*) FROM log", 1},
        {"SELECT count(*) FROM open_run WHERE run = 10", 0},
        {"SELECT count(*) FROM search_value WHERE run = 10", 0},
        {"SELECT count(*) FROM search_value WHERE run = 11", 4},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(tl_conn_query_int(&g->r->conn, rows[i].sql, &value, NULL), TL_OK);
        assert_int_equal(value, rows[i].want);
    }
}

static void deleting_much_shrinks_the_file(void **state)
{
    struct rig *g = *state;
    char *bytes = tl_mem_alloc(40000);
    int64_t before, after;
    for (int64_t id = 1; id <= 400; id++) {
        tl_batch_log(&g->b, id, 1, 0, 1, tl_str_n(bytes, 40000));
    }
    commit(g);
    assert_int_equal(tl_conn_query_int(&g->st->writer, "PRAGMA page_count", &before, NULL), TL_OK);
    for (int64_t id = 1; id <= 400; id++) {
        tl_batch_run_delete(&g->b, 1, &id, 1);
    }
    commit(g);
    for (int i = 0; i < 20; i++) {
        tl_batch_run_delete(&g->b, 1, NULL, 0);
        commit(g);
    }
    assert_int_equal(tl_conn_query_int(&g->st->writer, "PRAGMA page_count", &after, NULL), TL_OK);
    assert_true(after < before / 2);
    assert_int_equal(tl_store_check(g->st, NULL), TL_OK);
    tl_mem_free(bytes);
}

/* The statements that run often must not walk tables. */
static void plans_use_indexes(void **state)
{
    struct rig *g = *state;
    static const struct {
        const char *sql, *want;
    } rows[] = {
        {"EXPLAIN QUERY PLAN SELECT max(number) FROM run WHERE namespace_number = 1 AND "
         "workflow_id = 'a'",
         "run_current"},
        {"EXPLAIN QUERY PLAN SELECT number, memo FROM run WHERE namespace_number = 1 AND "
         "(start_ns, number) < (5, 5) ORDER BY start_ns DESC, number DESC LIMIT 5",
         "run_start"},
        {"EXPLAIN QUERY PLAN SELECT number, memo FROM run WHERE namespace_number = 1 AND "
         "(status = 1) ORDER BY start_ns DESC, number DESC LIMIT 5",
         "run_status"},
        {"EXPLAIN QUERY PLAN SELECT number, memo FROM run WHERE namespace_number = 1 AND "
         "(type = 'a') ORDER BY start_ns DESC, number DESC LIMIT 5",
         "run_type"},
        {"EXPLAIN QUERY PLAN SELECT number, memo FROM run WHERE namespace_number = 1 AND "
         "(workflow_id = 'a') ORDER BY start_ns DESC, number DESC LIMIT 5",
         "run_current"},
        {"EXPLAIN QUERY PLAN SELECT number, memo FROM run WHERE namespace_number = 1 AND "
         "close_ns <= 5 ORDER BY close_ns LIMIT 5",
         "run_close"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        sqlite3_stmt *s;
        assert_int_equal(sqlite3_prepare_v2(g->r->conn.db, rows[i].sql, -1, &s, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(s), SQLITE_ROW);
        const char *plan = (const char *)sqlite3_column_text(s, 3);
        if (!strstr(plan, rows[i].want) || strstr(plan, "SCAN")) {
            fail_msg("wanted %s: %s", rows[i].want, plan);
        }
        sqlite3_finalize(s);
    }
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, rig_open, rig_close)
    const struct CMUnitTest tests[] = {
        T(runs_come_back),
        T(checkpoints_follow_the_run),
        T(fixed_columns_stay),
        T(log_rows_come_back),
        T(small_arena_is_an_error),
        T(full_batch_is_refused),
        T(namespaces_and_meta),
        T(pages_have_no_gap_and_no_repeat),
        T(filters_select),
        T(counts_by_column),
        T(filters_cannot_escape),
        T(long_queries_are_stopped),
        T(current_run_is_the_newest),
        T(deleted_runs_leave_nothing),
        T(deleting_much_shrinks_the_file),
        T(plans_use_indexes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
