/* Fuzzer of the list filter: any text. What compiles must be accepted by the store, which checks it word
 * by word, and must run. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "server/visibility/attributes.h"
#include "server/visibility/filter.h"
#include "store/store.h"
#include "tl_enums.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tl_attr items[] = {
    {{"K", 1}, INDEXED_VALUE_TYPE_KEYWORD},     {{"T", 1}, INDEXED_VALUE_TYPE_TEXT},
    {{"I", 1}, INDEXED_VALUE_TYPE_INT},         {{"D", 1}, INDEXED_VALUE_TYPE_DOUBLE},
    {{"B", 1}, INDEXED_VALUE_TYPE_BOOL},        {{"W", 1}, INDEXED_VALUE_TYPE_DATETIME},
    {{"L", 1}, INDEXED_VALUE_TYPE_KEYWORD_LIST}};
static const struct tl_attrs custom = {items, sizeof items / sizeof items[0]};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tl_store *store;
    struct tl_filter_scope scope = {&custom, 1, INT64_C(1700000000000000000), false};
    struct tl_filter f;
    struct tl_error err;
    struct tl_arena arena;
    int64_t count;
    if (!store) {
        TL_ASSERT(tl_store_open(&store, &(struct tl_store_config){0}, &err) == TL_OK);
    }
    tl_arena_init(&arena, (size_t)64 * 1024 * 1024);
    if (tl_filter_compile(tl_str_n(data, size), &scope, &arena, &f, &err) == TL_OK) {
        struct tl_list_query q = {
            .namespace_number = 1, .where = f.where, .binds = f.binds, .bind_count = f.bind_count};
        tl_rc rc = tl_store_count(tl_store_list_reader(store), &q, &count, &err);
        TL_ASSERT(rc == TL_OK || rc == TL_ELIMIT);
    }
    tl_arena_deinit(&arena);
    return 0;
}
