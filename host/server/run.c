/* Runs in memory: finding, loading, dropping, and transactions on them. Open runs are always here;
 * closed ones until their row is written, and a while longer. Thread: engine. */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/worker_commands.h"

/* An open run without a transaction for so long keeps its state, but not its events, in memory. */
#define COOL_NS (15 * TL_NS_PER_S)
#define LOAD_BYTES_MAX ((size_t)1 << 30)
/* Field number of FirstRecord.identity: a number that LogRecord does not use. */
#define FIRST_RECORD_IDENTITY 15

/* --- run ids -------------------------------------------------------------------------------------- */

/* UUID version 7: 48 bits of milliseconds, 12 random bits, 6 random bits, 48 bits of run number, 8
 * random bits. So ids sort by time and lead to their run without an index. */
void tl_run_new_id(void *server, char out[37], uint64_t *run_number)
{
    struct tl_server *s = server;
    uint64_t ms = (uint64_t)(tl_engine_now(s) / TL_NS_PER_MS);
    uint64_t random = tl_world_random(s->world);
    uint64_t n = s->next_run_number++;
    snprintf(out, 37,
             "%08" PRIx64 "-%04" PRIx64 "-7%03" PRIx64 "-%02" PRIx64 "%02" PRIx64 "-%010" PRIx64
             "%02" PRIx64,
             (ms >> 16) & 0xffffffff, ms & 0xffff, random & 0xfff, 0x80 | ((random >> 12) & 0x3f),
             (n >> 40) & 0xff, n & UINT64_C(0xffffffffff), (random >> 18) & 0xff);
    *run_number = n;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

uint64_t tl_run_id_number(struct tl_str run_id)
{
    static const char shape[] = "xxxxxxxx-xxxx-7xxx-xxnn-nnnnnnnnnnxx";
    uint64_t n = 0;
    if (run_id.n != 36) {
        return 0;
    }
    for (size_t i = 0; i < 36; i++) {
        int digit = hex_digit(run_id.p[i]);
        if (shape[i] == '-' || shape[i] == '7' ? run_id.p[i] != shape[i] : digit < 0) {
            return 0;
        }
        if (shape[i] == 'n') {
            n = n << 4 | (uint64_t)digit;
        }
    }
    return n;
}

/* --- tables ---------------------------------------------------------------------------------------- */

static struct tl_str make_key(struct tl_server *s, int64_t scope, struct tl_str workflow_id)
{
    tl_buf_clear(&s->scratch);
    tl_buf_put(&s->scratch, &scope, sizeof scope);
    tl_buf_put_str(&s->scratch, workflow_id);
    return tl_buf_str(&s->scratch);
}

static struct tl_str key_of(const struct tl_exec *e)
{
    return (struct tl_str){e->key, e->key_n};
}

static void fire_run(struct tl_server *s, struct tl_due *due)
{
    struct tl_exec *e = TL_CONTAINER(due, struct tl_exec, due);
    struct tl_tx tx;
    struct tl_error err;
    tl_arena_reset(&s->arena);
    tl_run_begin(s, e, &tx, &s->arena);
    tl_rc rc = tl_tx_fire_due(&tx, &err);
    if (rc != TL_OK) {
        TL_LOG(TL_LOG_ERROR, "server.deadline_failed", TL_C("cause", err.message),
               TL_I("run", e->number));
    }
    if (tl_run_end(s, e, &tx, &err) != TL_OK) {
        TL_LOG(TL_LOG_ERROR, "server.deadline_failed", TL_C("cause", err.message),
               TL_I("run", e->number));
    }
}

void tl_run_arm(struct tl_server *s, struct tl_exec *e)
{
    int64_t at = e->closed ? TL_NS_NEVER : tl_rs_deadline_ns(e->rs);
    if (at == TL_NS_NEVER) {
        tl_heap_remove(&s->timers, &e->due.node);
    } else if (!tl_heap_has(&e->due.node) || e->due.node.deadline_ns != at) {
        tl_due_set(&s->timers, &e->due, at);
    }
}

/* The newest run of a workflow id is the one with the largest number. */
static void make_current(struct tl_server *s, struct tl_exec *e)
{
    struct tl_exec *old = tl_map_get(&s->current, key_of(e));
    if (old && old->number > e->number) {
        return;
    }
    if (old && old != e) {
        old->current = false;
        e->previous = old->number;
    }
    tl_map_put(&s->current, key_of(e), e);
    e->current = true;
}

static struct tl_exec *exec_new(struct tl_server *s, struct tl_namespace *ns, struct tl_rs *rs,
                                const struct tl_rs_identity *id)
{
    int64_t scope = tl_ns_scope(ns, id->kind);
    struct tl_exec *e = tl_mem_alloc(sizeof *e + sizeof scope + id->workflow_id.n + 1);
    e->number = id->run_number;
    e->rs = rs;
    e->ns = ns;
    e->due.fire = fire_run;
    tl_list_init(&e->lru);
    tl_list_init(&e->dirty);
    tl_list_init(&e->warm);
    tl_match_task_init(&e->wft.task, TL_OFFER_WORKFLOW);
    tl_list_init(&e->activities);
    tl_list_init(&e->nexus);
    tl_list_init(&e->waiters);
    memcpy(e->key, &scope, sizeof scope);
    memcpy(e->key + sizeof scope, id->workflow_id.p, id->workflow_id.n);
    e->key_n = sizeof scope + id->workflow_id.n;
    TL_ASSERT(!tl_map_put_num(&s->runs, e->number, e));
    make_current(s, e);
    return e;
}

static struct tl_exec *make(struct tl_server *s, struct tl_namespace *ns,
                            const struct tl_rs_identity *id)
{
    struct tl_exec *e = exec_new(s, ns, tl_rs_new(id), id);
    tl_known_add(&s->known, key_of(e));
    s->open_count++;
    return e;
}

struct tl_exec *tl_run_make_execution(struct tl_server *s, struct tl_namespace *ns,
                                      enum tl_run_kind kind, struct tl_str id, struct tl_str run_id,
                                      uint64_t number)
{
    return make(s, ns,
                &(struct tl_rs_identity){number, ns->number, ns->name, ns->id, id, run_id, kind});
}

struct tl_exec *tl_run_make(struct tl_server *s, struct tl_namespace *ns, struct tl_str workflow_id,
                            struct tl_str run_id, uint64_t number)
{
    return tl_run_make_execution(s, ns, TL_RUN_WORKFLOW, workflow_id, run_id, number);
}

struct tl_exec *tl_run_adopt(struct tl_server *s, struct tl_namespace *ns, struct tl_rs *rs)
{
    struct tl_rs_info info;
    tl_rs_info(rs, &info);
    struct tl_exec *e = exec_new(s, ns, rs, &info.id);
    e->closed = info.closed;
    e->visibility_stored = info.visibility_version;
    s->open_count += !e->closed;
    return e;
}

/* Moves it to the end of the LRU. */
static void touch(struct tl_server *s, struct tl_exec *e)
{
    if (tl_list_linked(&e->lru)) {
        tl_list_remove(&e->lru);
        tl_list_push(&s->lru, &e->lru);
    }
}

void tl_run_drop(struct tl_server *s, struct tl_exec *e, bool refuse)
{
    tl_dispatch_drop(s, e);
    tl_heap_remove(&s->timers, &e->due.node);
    while (!tl_list_empty(&e->waiters)) {
        struct tl_parked *p = TL_CONTAINER(tl_list_first(&e->waiters), struct tl_parked, link);
        tl_parked_refuse(s, p, tl_rc_grpc_status(TL_EUNAVAILABLE), "the run had to be read again");
    }
    if (tl_list_linked(&e->lru)) {
        tl_list_remove(&e->lru);
        s->lru_count--;
    }
    if (tl_list_linked(&e->dirty)) {
        tl_list_remove(&e->dirty);
        s->dirty_count--;
    }
    if (tl_list_linked(&e->warm)) {
        tl_list_remove(&e->warm);
    }
    tl_map_del_num(&s->runs, e->number);
    if (e->current) {
        struct tl_exec *before = refuse ? tl_map_get_num(&s->runs, e->previous) : NULL;
        tl_map_del(&s->current, key_of(e));
        if (before && tl_str_eq(key_of(before), key_of(e))) {
            make_current(s, before);
        }
    }
    s->open_count -= !e->closed;
    tl_rs_free(e->rs);
    tl_mem_free((void *)(uintptr_t)e->wft.queue.p);
    tl_mem_free(e);
}

void tl_run_trim(struct tl_server *s)
{
    while (s->lru_count > s->o.closed_runs_kept) {
        struct tl_exec *e = TL_CONTAINER(tl_list_first(&s->lru), struct tl_exec, lru);
        if (e->seq > s->durable_seq || e->row_seq > s->durable_seq || !tl_list_empty(&e->waiters)) {
            return;
        }
        tl_run_drop(s, e, false);
    }
}

int64_t tl_run_cool(struct tl_server *s)
{
    while (!tl_list_empty(&s->warm)) {
        struct tl_exec *e = TL_CONTAINER(tl_list_first(&s->warm), struct tl_exec, warm);
        if (e->touched_ns + COOL_NS > s->round_mono_ns) {
            return e->touched_ns + COOL_NS + TL_NS_PER_S; /* a few together */
        }
        tl_rs_shrink(e->rs, s->durable_log_id, 0);
        tl_list_remove(&e->warm);
    }
    return INT64_MAX;
}

/* --- finding ---------------------------------------------------------------------------------------- */

/* Reads a run from its row. Only runs that are not in memory: those that are open, or whose row is
 * behind, are here by invariant. */
static struct tl_exec *load(struct tl_server *s, uint64_t number, struct tl_error *err)
{
    struct tl_arena arena;
    struct tl_run_row row;
    struct tl_rs *rs = NULL;
    struct tl_exec *e = NULL;
    if (tl_map_get_num(&s->erased, number)) {
        tl_error_set(err, TL_ENOTFOUND, "the run was deleted");
        return NULL;
    }
    tl_arena_init(&arena, LOAD_BYTES_MAX);
    tl_rc rc =
        tl_store_run_by_number(tl_store_point_reader(s->store), (int64_t)number, &arena, &row, err);
    struct tl_namespace *ns =
        rc == TL_OK ? tl_map_get_num(&s->namespace_numbers,
                                     (uint64_t)tl_scope_namespace(row.namespace_number))
                    : NULL;
    if (rc == TL_OK && !ns) {
        tl_error_set(err, TL_ENOTFOUND, "the run's namespace does not exist any more");
    } else if (rc == TL_OK) {
        struct tl_rs_identity id = {number,
                                    ns->number,
                                    ns->name,
                                    ns->id,
                                    row.workflow_id,
                                    row.run_id,
                                    tl_scope_kind(row.namespace_number)};
        rc = tl_rs_load(&rs, &id, row.state, err);
    }
    if (rs) {
        e = tl_run_adopt(s, ns, rs);
        e->stored = true;
        tl_list_push(&s->lru, &e->lru);
        s->lru_count++;
    }
    tl_arena_deinit(&arena);
    return e;
}

struct tl_exec *tl_run_by_number(struct tl_server *s, uint64_t number, struct tl_error *err)
{
    struct tl_exec *e = tl_map_get_num(&s->runs, number);
    if (e) {
        touch(s, e);
        return e;
    }
    return load(s, number, err);
}

static const char *const kind_names[] = {"workflow", "activity", "operation"};

/* The newest run under the id. */
static struct tl_exec *newest(struct tl_server *s, int64_t scope, struct tl_str workflow_id,
                              struct tl_error *err)
{
    struct tl_str key = make_key(s, scope, workflow_id);
    struct tl_exec *e = tl_map_get(&s->current, key);
    int64_t number = 0;
    if (e) {
        touch(s, e);
        return e;
    }
    tl_rc rc = TL_ENOTFOUND;
    if (tl_known_maybe(&s->known, key)) {
        rc =
            tl_store_run_current(tl_store_point_reader(s->store), scope, workflow_id, &number, err);
    }
    if (rc == TL_ENOTFOUND) {
        tl_error_set(err, TL_ENOTFOUND, "%s not found for ID: %.*s",
                     kind_names[tl_scope_kind(scope)], TL_STR_FMT(workflow_id));
        return NULL;
    }
    return rc == TL_OK ? tl_run_by_number(s, (uint64_t)number, err) : NULL;
}

struct tl_exec *tl_run_current(struct tl_server *s, struct tl_namespace *ns,
                               struct tl_str workflow_id, struct tl_error *err)
{
    return newest(s, tl_ns_scope(ns, TL_RUN_WORKFLOW), workflow_id, err);
}

/* A run of these ids; NULL with err set when there is none, unless the disk said something else. */
static struct tl_exec *by_ids(struct tl_server *s, struct tl_namespace *ns, enum tl_run_kind kind,
                              struct tl_str id, struct tl_str run_id, struct tl_error *err)
{
    uint64_t number = tl_run_id_number(run_id);
    struct tl_exec *e = number ? tl_run_by_number(s, number, err) : NULL;
    struct tl_rs_info info;
    if (e) {
        tl_rs_info(e->rs, &info);
        if (e->ns == ns && info.id.kind == kind && tl_str_eq(info.id.workflow_id, id) &&
            tl_str_eq(info.id.run_id, run_id)) {
            return e;
        }
    } else if (number && err->code != TL_ENOTFOUND) {
        return NULL;
    }
    tl_error_set(err, TL_ENOTFOUND, "%s execution not found for %s ID \"%.*s\" and run ID \"%.*s\"",
                 kind_names[kind], kind_names[kind], TL_STR_FMT(id), TL_STR_FMT(run_id));
    return NULL;
}

struct tl_exec *tl_run_find_execution(struct tl_server *s, struct tl_namespace *ns,
                                      enum tl_run_kind kind, struct tl_str id, struct tl_str run_id,
                                      struct tl_error *err)
{
    return run_id.n ? by_ids(s, ns, kind, id, run_id, err)
                    : newest(s, tl_ns_scope(ns, kind), id, err);
}

struct tl_exec *tl_run_find(struct tl_server *s, struct tl_namespace *ns,
                            const TpCommon__WorkflowExecution *execution, struct tl_error *err)
{
    struct tl_str workflow_id = tl_str(execution->workflow_id), run_id = tl_str(execution->run_id);
    if (!run_id.n) {
        return tl_run_current(s, ns, workflow_id, err);
    }
    return by_ids(s, ns, TL_RUN_WORKFLOW, workflow_id, run_id, err);
}

/* --- deleting ------------------------------------------------------------------------------------------ */

tl_rc tl_run_erase(struct tl_server *s, struct tl_exec *e, struct tl_error *err)
{
    struct tl_arena arena;
    struct tl_rs_info info;
    tl_rc rc = TL_OK;
    tl_arena_init(&arena, LOAD_BYTES_MAX);
    tl_rs_info(e->rs, &info);
    int64_t *list = NULL;
    size_t n = 0, cap = 0;
    for (int64_t id = info.last_log_id; rc == TL_OK && id;) {
        struct tl_log_row row;
        if (n == cap) {
            cap = cap ? cap * 2 : 64;
            list = tl_mem_realloc(list, cap * sizeof *list);
        }
        list[n++] = id;
        tl_arena_reset(&arena);
        rc = tl_store_log_get(tl_store_point_reader(s->store), id, &arena, &row, err);
        id = rc == TL_OK ? row.prev : 0;
    }
    if (rc == TL_OK) {
        tl_batch_run_delete(&s->open->ops, (int64_t)e->number, list, n);
        tl_map_put_num(&s->erased, e->number, (void *)(uintptr_t)s->open->seq);
        tl_run_drop(s, e, false);
    }
    tl_mem_free(list);
    tl_arena_deinit(&arena);
    return rc;
}

void tl_run_erased_settle(struct tl_server *s)
{
    TL_MAP_EACH (entry, &s->erased) {
        if ((uintptr_t)entry->value <= s->durable_seq) {
            tl_map_del_num(&s->erased, entry->num);
        }
    }
}

/* --- transactions ------------------------------------------------------------------------------------- */

void tl_run_begin(struct tl_server *s, struct tl_exec *e, struct tl_tx *tx, struct tl_arena *arena)
{
    tl_tx_begin(tx, e->rs, &s->env, tl_engine_now(s), arena);
    e->touched_ns = s->round_mono_ns;
    if (tl_list_linked(&e->warm)) {
        tl_list_remove(&e->warm);
    }
    tl_list_push(&s->warm, &e->warm);
}

/* The first record of a run names it: the log alone must tell whose it is. */
static struct tl_str with_identity(struct tl_exec *e, struct tl_str record, struct tl_arena *arena,
                                   struct tl_error *err)
{
    TlV1__RunIdentity id = TL_V1__RUN_IDENTITY__INIT;
    struct tl_rs_info info;
    struct tl_buf b;
    tl_rs_info(e->rs, &info);
    id.namespace_number = e->ns->number;
    id.workflow_id = tl_pb_cstr(arena, info.id.workflow_id);
    id.run_id = tl_pb_cstr(arena, info.id.run_id);
    id.is_activity = info.id.kind == TL_RUN_ACTIVITY;
    id.is_operation = info.id.kind == TL_RUN_OPERATION;
    tl_buf_init(&b, LOAD_BYTES_MAX);
    tl_buf_put_str(&b, record);
    struct tl_str out = {0};
    if (tl_pb_put_message(&b, FIRST_RECORD_IDENTITY, &id, err) == TL_OK && !tl_buf_failed(&b)) {
        out = tl_arena_str(arena, tl_buf_str(&b));
    }
    tl_buf_deinit(&b);
    return out;
}

static tl_rc write_record(struct tl_server *s, struct tl_exec *e, const struct tl_record *r,
                          struct tl_arena *arena, struct tl_error *err)
{
    struct tl_str bytes = r->bytes;
    if (r->prev_log_id == 0) {
        bytes = with_identity(e, bytes, arena, err);
        if (!bytes.p) {
            return tl_error_set(err, TL_EMEMORY, "a record is too large");
        }
    }
    tl_batch_log(&s->open->ops, r->log_id, (int64_t)e->number, r->prev_log_id, r->first_event_id,
                 bytes);
    s->next_log_id = r->log_id + 1;
    e->seq = s->open->seq;
    tl_checkpoint_dirty(s, e, r->log_id);
    return TL_OK;
}

tl_rc tl_run_end(struct tl_server *s, struct tl_exec *e, struct tl_tx *tx, struct tl_error *err)
{
    struct tl_record record = {0};
    if (!tx->touched) {
        tl_tx_abort(tx);
        return TL_OK;
    }
    tl_rc rc = tl_tx_finish(tx, s->next_log_id, &record, err);
    if (rc == TL_OK && record.bytes.n) {
        rc = write_record(s, e, &record, tx->arena, err);
    }
    if (rc != TL_OK) {
        /* The run in memory is half changed and its record is lost: nothing of the open commit may
         * become durable, and what it touched is read again. */
        e->seq = s->open->seq;
        s->poisoned = true;
        return rc;
    }
    tl_run_effects(s, e, &tx->effects, tx->arena);
    tl_nexus_settle(s, e);
    tl_run_arm(s, e);
    return TL_OK;
}

/* --- effects -------------------------------------------------------------------------------------------- */

static void start_next_run(struct tl_server *s, struct tl_exec *e, const struct tl_effect *fx,
                           struct tl_arena *arena)
{
    struct tl_rs_info info;
    struct tl_tx tx;
    struct tl_error err;
    tl_rs_info(e->rs, &info);
    struct tl_exec *next =
        tl_run_make(s, e->ns, info.id.workflow_id, fx->u.new_run.run_id, fx->u.new_run.run_number);
    tl_run_begin(s, next, &tx, arena);
    tl_rc rc = tl_tx_start(&tx, fx->u.new_run.start, &err);
    if (rc == TL_OK) {
        rc = tl_run_end(s, next, &tx, &err);
    } else if (!tx.touched) {
        tl_tx_abort(&tx);
    }
    if (rc != TL_OK) {
        /* The close of the first run says that this one follows: both or none. */
        TL_LOG(TL_LOG_ERROR, "server.next_run_failed", TL_C("cause", err.message),
               TL_I("run", e->number));
        next->seq = s->open->seq;
        s->poisoned = true;
    }
}

static void drop_activity(struct tl_server *s, struct tl_exec *e, int64_t scheduled_id)
{
    TL_LIST_EACH (it, &e->activities) {
        struct tl_activity_task *t = TL_CONTAINER(it, struct tl_activity_task, link);
        if (t->scheduled_id == scheduled_id) {
            tl_activity_task_free(s, t);
        }
    }
}

static void run_closed(struct tl_server *s, struct tl_exec *e)
{
    if (!e->closed) {
        struct tl_rs_info info;
        tl_rs_info(e->rs, &info);
        if (info.id.kind == TL_RUN_WORKFLOW) {
            tl_server_metrics_closed(s, e->ns->name, info.status);
        }
        e->closed = true;
        s->open_count--;
    }
    if (tl_list_linked(&e->warm)) {
        tl_list_remove(&e->warm);
    }
    tl_dispatch_drop(s, e);
    tl_waiters_changed(s, e, true);
}

void tl_run_effects(struct tl_server *s, struct tl_exec *e, const struct tl_effects *fx,
                    struct tl_arena *arena)
{
    bool told = false;
    for (size_t i = 0; i < fx->n; i++) {
        const struct tl_effect *x = &fx->items[i];
        switch (x->kind) {
        case TL_FX_DISPATCH_WFT:
            tl_dispatch_workflow_task(s, e, x, arena);
            break;
        case TL_FX_DISPATCH_ACTIVITY:
            tl_dispatch_activity(s, e, x, arena);
            break;
        case TL_FX_CANCEL_ACTIVITY:
            drop_activity(s, e, x->u.activity.scheduled_id);
            break;
        case TL_FX_TELL_WORKER:
            told = true;
            break;
        case TL_FX_START_CHILD:
        case TL_FX_SIGNAL_OTHER:
        case TL_FX_CANCEL_OTHER:
        case TL_FX_CLOSE_CHILD:
        case TL_FX_TELL_PARENT:
        case TL_FX_DISPATCH_NEXUS:
        case TL_FX_CALLBACK:
            tl_cross_add(s, e, x);
            break;
        case TL_FX_NEW_RUN:
            start_next_run(s, e, x, arena);
            break;
        case TL_FX_CLOSED:
            run_closed(s, e);
            break;
        case TL_FX_HISTORY_CHANGED:
            tl_waiters_changed(s, e, false);
            break;
        case TL_FX_VISIBILITY_CHANGED:
            break; /* the row is dirty anyway; visibility_version tells what to write */
        case TL_FX_QUERY_ANSWERED:
        case TL_FX_QUERY_UNBLOCKED:
        case TL_FX_QUERY_FAILED:
            tl_query_effect(s, e, x, arena);
            break;
        case TL_FX_UPDATE_CHANGED:
        case TL_FX_UPDATE_REJECTED:
        case TL_FX_UPDATE_ABORTED:
        case TL_FX_UPDATE_RETRY:
            tl_update_effect(s, e, x, arena);
            break;
        }
    }
    if (told) {
        tl_worker_commands_send(s, e, fx, arena);
    }
}
