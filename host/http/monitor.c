/* The port of a worker process. See pages.h. */
#include <stdio.h>

#include "http/pages.h"

#define PLAIN "text/plain; charset=utf-8"

static void answer(struct tl_http_request *r, const char *problem)
{
    char text[400];
    int n = snprintf(text, sizeof text, "%s\n", problem ? problem : "ok");
    size_t size = n < (int)sizeof text ? (size_t)n : sizeof text - 1;
    tl_http_reply(r, problem ? 503 : 200, PLAIN, tl_str_n(text, size));
}

void tl_http_monitor_handle(void *ud, struct tl_http_request *r)
{
    const struct tl_http_monitor *m = ud;
    bool ready = tl_str_eqc(r->path, "/readyz");
    if (!ready && !tl_str_eqc(r->path, "/healthz")) {
        if (m->metrics && tl_str_eqc(r->path, "/metrics")) {
            tl_http_metrics_handle(m->metrics, r);
            return;
        }
        tl_http_reply(r, 404, PLAIN,
                      m->metrics ? TL_STR_LIT("there are /metrics, /healthz and /readyz\n")
                                 : TL_STR_LIT("there are /healthz and /readyz\n"));
        return;
    }
    if (!tl_str_eqc(r->method, "GET") && !tl_str_eqc(r->method, "HEAD")) {
        tl_http_reply(r, 405, PLAIN, TL_STR_LIT("GET only\n"));
        return;
    }
    answer(r, ready ? m->not_ready(m->ud) : m->not_well(m->ud));
}
