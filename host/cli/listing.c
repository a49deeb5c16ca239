/* Lists page by page, and the lines of counts. See listing.h. */
#include "cli/listing.h"
#include "proto/pb.h"

enum { PAGE_SIZE_MAX = 1000 };

static size_t count_columns(const struct tl_listing *l)
{
    size_t n = 0;
    while (n < TL_LISTING_COLUMNS_MAX && l->columns[n].name) {
        n++;
    }
    return n;
}

/* The first n rows of a page. */
static int print_page(struct tl_cli_session *s, const struct tl_listing *l,
                      const struct tl_listing_page *page, size_t n, bool first)
{
    struct tl_error err = {0};
    size_t columns = count_columns(l);
    const char **cells = TL_ARENA_ARRAY(page->arena, const char *, columns *n + 1);
    if (!cells) {
        return tl_cli_fail(1, "the list is too large");
    }
    for (size_t i = 0; i < n; i++) {
        const void *msg = l->row(s, page, i, cells + columns * i);
        int code = tl_print_is_json(&s->print)
                       ? tl_cli_printed(tl_print_message(&s->print, msg, &err), &err)
                       : 0;
        if (code) {
            return code;
        }
    }
    if (n) {
        tl_print_table(&s->print, l->columns, columns, cells, n, first, 1);
    }
    tl_print_flush(&s->print);
    return 0;
}

/* One page; page->token becomes the next page's. *left: rows that may still be printed, 0 for any number,
 * negative once there are enough. */
static int list_page(struct tl_cli_session *s, const struct tl_listing *l,
                     struct tl_listing_page *page, int64_t *left, bool first)
{
    struct tl_client_error err;
    int64_t size = tl_cli_integer(s->cli, "page-size");
    size = *left > 0 && (size == 0 || *left < size) ? *left : size;
    page->page_size = (int32_t)(size > PAGE_SIZE_MAX ? PAGE_SIZE_MAX : size);
    if (l->ask(s, page, &err) != TL_OK) {
        return tl_cli_call_failed(l->failed, &err);
    }
    size_t n = page->n;
    if (*left > 0) {
        n = (size_t)*left < n ? (size_t)*left : n;
        *left = (size_t)*left == n ? -1 : *left - (int64_t)n;
    }
    /* It is needed when the page's arena has begun anew. */
    page->token = tl_pb_bytes_view(tl_arena_str(&s->arena, tl_pb_str(page->token)));
    return print_page(s, l, page, n, first);
}

int tl_cli_list(struct tl_cli_session *s, const struct tl_listing *l)
{
    struct tl_arena arena;
    struct tl_listing_page page = {.query = tl_cli_field(s, "query"), .arena = &arena};
    int64_t left = tl_cli_integer(s->cli, "limit");
    int code;
    bool first = true;
    if (left < 0 || tl_cli_integer(s->cli, "page-size") < 0) {
        return tl_cli_fail(2, "--limit and --page-size want a number from 0 up");
    }
    tl_arena_init(&arena, s->arena.bytes_max);
    tl_print_list_begin(&s->print);
    do {
        tl_arena_reset(&arena);
        code = list_page(s, l, &page, &left, first);
        first = false;
    } while (code == 0 && page.token.len && left >= 0);
    tl_print_list_end(&s->print);
    tl_arena_deinit(&arena);
    return code;
}

void tl_cli_print_total(struct tl_cli_session *s, int64_t total)
{
    tl_print_line(&s->print, "Total: %lld", (long long)total);
}

void tl_cli_print_group(struct tl_cli_session *s, int64_t total, TpCommon__Payload *const *values,
                        size_t n_values)
{
    tl_print_line(&s->print, "Group total: %lld, values: %s", (long long)total,
                  tl_print_values(&s->print, &s->arena, values, n_values));
}
