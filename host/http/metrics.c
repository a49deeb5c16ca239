/* The metrics port. See pages.h. */
#include "http/pages.h"

#define TEXT_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define PLAIN "text/plain; charset=utf-8"

void tl_http_metrics_handle(void *ud, struct tl_http_request *r)
{
    struct tl_buf out;
    if (!tl_str_eqc(r->path, "/metrics")) {
        tl_http_reply(r, 404, PLAIN, TL_STR_LIT("metrics are at /metrics\n"));
        return;
    }
    if (!tl_str_eqc(r->method, "GET")) {
        tl_http_reply(r, 405, PLAIN, TL_STR_LIT("GET only\n"));
        return;
    }
    tl_buf_init(&out, TEXT_BYTES_MAX);
    if (tl_metrics_write(ud, &out)) {
        tl_http_reply(r, 200, "text/plain; version=0.0.4; charset=utf-8", tl_buf_str(&out));
    } else {
        tl_http_reply(r, 500, PLAIN, TL_STR_LIT("the metrics are too large\n"));
    }
    tl_buf_deinit(&out);
}
