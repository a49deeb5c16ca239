/* One row of the distance table is enough. See near.h. */
#include "base/near.h"

#define NAME_BYTES_MAX 60

static char fold(char c, bool fold_case)
{
    return fold_case && c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

size_t tl_edit_distance(struct tl_str a, struct tl_str b, bool fold_case)
{
    size_t row[NAME_BYTES_MAX + 1];
    if (a.n > NAME_BYTES_MAX || b.n > NAME_BYTES_MAX) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= b.n; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a.n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            bool same = fold(a.p[i - 1], fold_case) == fold(b.p[j - 1], fold_case);
            size_t change = diagonal + !same;
            size_t other = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = change < other ? change : other;
        }
    }
    return row[b.n];
}

void tl_near_look(struct tl_near *near, struct tl_str name)
{
    size_t edits = tl_edit_distance(near->wanted, name, near->fold_case);
    if (edits < near->too_many) {
        near->too_many = edits;
        near->best = name;
    }
}
