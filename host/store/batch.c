/* Building batches: a list of operations whose bytes live in the batch's arena. See store.h. */
#include "store/store_int.h"

#include "base/assert.h"

void tl_batch_init(struct tl_batch *b, size_t bytes_max)
{
    *b = (struct tl_batch){0};
    tl_arena_init(&b->arena, bytes_max);
}

void tl_batch_deinit(struct tl_batch *b)
{
    size_t bytes_max = b->arena.bytes_max;
    tl_arena_deinit(&b->arena);
    tl_batch_init(b, bytes_max);
}

void tl_batch_reset(struct tl_batch *b)
{
    tl_arena_reset(&b->arena);
    b->first = b->last = NULL;
    b->item_count = 0;
    b->bytes = 0;
    b->failed = false;
}

/* An operation at the end of the list, or NULL when the batch has failed. */
static struct tl_batch_op *add(struct tl_batch *b, enum tl_batch_op_kind kind)
{
    struct tl_batch_op *op = b->failed ? NULL : TL_ARENA_NEW(&b->arena, struct tl_batch_op);
    if (!op) {
        b->failed = true;
        return NULL;
    }
    op->kind = kind;
    if (b->last) {
        b->last->next = op;
    } else {
        b->first = op;
    }
    b->last = op;
    b->item_count++;
    return op;
}

static struct tl_str keep(struct tl_batch *b, struct tl_str s)
{
    if (s.n == 0) {
        return (struct tl_str){0};
    }
    char *p = tl_arena_copy(&b->arena, s.p, s.n);
    if (!p) {
        b->failed = true;
        return (struct tl_str){0};
    }
    b->bytes += s.n;
    return tl_str_n(p, s.n);
}

void tl_batch_log(struct tl_batch *b, int64_t log_id, int64_t run_number, int64_t prev_log_id,
                  int64_t first_event_id, struct tl_str bytes)
{
    TL_ASSERT(log_id > 0 && run_number > 0);
    struct tl_batch_op *op = add(b, TL_OP_LOG);
    if (op) {
        op->u.log =
            (struct tl_log_row){log_id, run_number, prev_log_id, first_event_id, keep(b, bytes)};
    }
}

void tl_batch_log_delete(struct tl_batch *b, int64_t log_id)
{
    struct tl_batch_op *op = add(b, TL_OP_LOG_DELETE);
    if (op) {
        op->u.log.id = log_id;
    }
}

void tl_batch_run_put(struct tl_batch *b, const struct tl_run_row *row)
{
    TL_ASSERT(row->number > 0 && row->namespace_number != 0);
    struct tl_batch_op *op = add(b, TL_OP_RUN_PUT);
    if (!op) {
        return;
    }
    struct tl_run_row *copy = TL_ARENA_NEW(&b->arena, struct tl_run_row);
    struct tl_search_value *values =
        row->value_count ? TL_ARENA_ARRAY(&b->arena, struct tl_search_value, row->value_count)
                         : NULL;
    if (!copy || (row->value_count && !values) || !tl_run_row_copy(&b->arena, row, copy)) {
        b->failed = true;
        return;
    }
    for (size_t i = 0; i < row->value_count; i++) {
        values[i].name = keep(b, row->values[i].name);
        values[i].value = row->values[i].value;
        values[i].value.text = keep(b, row->values[i].value.text);
    }
    copy->values = values;
    copy->value_count = row->value_count;
    b->bytes += row->memo.n + row->search_attributes.n + row->extra.n + row->state.n +
                row->workflow_id.n + row->run_id.n + row->type.n + row->task_queue.n;
    op->u.run = copy;
}

void tl_batch_run_state_put(struct tl_batch *b, int64_t run_number, int64_t last_log_id,
                            struct tl_str state)
{
    struct tl_batch_op *op = add(b, TL_OP_RUN_STATE_PUT);
    if (op) {
        op->u.checkpoint.run = run_number;
        op->u.checkpoint.last_log_id = last_log_id;
        op->u.checkpoint.state = keep(b, state);
    }
}

void tl_batch_run_delete(struct tl_batch *b, int64_t run_number, const int64_t *log_ids,
                         size_t log_id_count)
{
    struct tl_batch_op *op = add(b, TL_OP_RUN_DELETE);
    if (op) {
        const int64_t *copy = tl_arena_copy(&b->arena, log_ids, sizeof *log_ids * log_id_count);
        b->failed = b->failed || !copy;
        op->u.run_delete.run = run_number;
        op->u.run_delete.log_ids = copy;
        op->u.run_delete.log_id_count = copy ? log_id_count : 0;
    }
}

void tl_batch_namespace_put(struct tl_batch *b, int64_t number, struct tl_str name,
                            struct tl_str id, struct tl_str bytes)
{
    struct tl_batch_op *op = add(b, TL_OP_NAMESPACE_PUT);
    if (op) {
        op->u.ns = (struct tl_namespace_row){number, keep(b, name), keep(b, id), keep(b, bytes)};
    }
}

void tl_batch_namespace_delete(struct tl_batch *b, int64_t number)
{
    struct tl_batch_op *op = add(b, TL_OP_NAMESPACE_DELETE);
    if (op) {
        op->u.ns.number = number;
    }
}

void tl_batch_meta_put(struct tl_batch *b, struct tl_str key, struct tl_str value)
{
    struct tl_batch_op *op = add(b, TL_OP_META_PUT);
    if (op) {
        op->u.meta.key = keep(b, key);
        op->u.meta.value = keep(b, value);
    }
}

void tl_batch_meta_delete(struct tl_batch *b, struct tl_str key)
{
    struct tl_batch_op *op = add(b, TL_OP_META_DELETE);
    if (op) {
        op->u.meta.key = keep(b, key);
    }
}
