/* Commands that list what a query finds, page by page (--query, --limit, --page-size), and those that count
 * it. Thread: main. */
#pragma once

#include "cli/connect.h"

/* A page that is asked for, and its answer. */
struct tl_listing_page {
    char *query;
    int32_t page_size; /* 0: as many as the service likes */
    ProtobufCBinaryData
        token;              /* of this page; its answer puts the next one's here, empty for none */
    struct tl_arena *arena; /* for the answer and what is printed of it; ends with the page */
    const void *resp;
    size_t n; /* rows in resp */
};

enum { TL_LISTING_COLUMNS_MAX = 6 };

struct tl_listing {
    const char *failed; /* what is said when a page cannot be had: "failed listing workflows" */
    struct tl_print_column columns[TL_LISTING_COLUMNS_MAX]; /* those with a name */
    /* Sends the request; fills token, resp and n. */
    tl_rc (*ask)(struct tl_cli_session *s, struct tl_listing_page *page,
                 struct tl_client_error *err);
    /* Row i: its texts for the table. Returns its message, which is what JSON shows. */
    const void *(*row)(struct tl_cli_session *s, const struct tl_listing_page *page, size_t i,
                       const char **cells);
};

/* Prints all pages, at most --limit rows. Returns the exit code. */
int tl_cli_list(struct tl_cli_session *s, const struct tl_listing *l);

/* The lines of a count: all, and those of a group of it ("GROUP BY"). */
void tl_cli_print_total(struct tl_cli_session *s, int64_t total);
void tl_cli_print_group(struct tl_cli_session *s, int64_t total, TpCommon__Payload *const *values,
                        size_t n_values);
