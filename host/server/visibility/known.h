/* Which workflow ids may exist in the database: a filter that never says no wrongly, so that starting
 * a workflow under a fresh id needs no read. It grows by layers of double size, each with its own
 * number of entries at which it is full; about one question in two hundred is a false "maybe".
 * While the ids of an old database are still being collected every answer is "maybe".
 * Ownership: its bit arrays. Thread: one at a time; a filter may move between threads. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define TL_KNOWN_LAYERS 24

struct tl_known {
    struct tl_known_layer {
        uint64_t *bits;
        uint64_t mask; /* bits - 1 */
        size_t count, count_max;
    } layers[TL_KNOWN_LAYERS];
    size_t layer_count;
    bool complete; /* every id of the database has been added */
};

void tl_known_init(struct tl_known *k, bool complete);
void tl_known_deinit(struct tl_known *k);
/* key: as tl_exec.key. */
void tl_known_add(struct tl_known *k, struct tl_str key);
bool tl_known_maybe(const struct tl_known *k, struct tl_str key);
/* Takes over the layers of `other`, which is empty afterwards; the union is complete. */
void tl_known_merge(struct tl_known *k, struct tl_known *other);
