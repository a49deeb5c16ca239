/* What HTTP ports serve besides the API: metrics for Prometheus, health, and the status page.
 * Thread: making and freeing: the owner's; requests: the listener's. */
#pragma once

#include "base/metrics.h"
#include "http/http.h"
#include "rpc/rpc.h"

/* A handler of http.h: GET /metrics; ud is a struct tl_metrics. */
void tl_http_metrics_handle(void *ud, struct tl_http_request *r);

/* What a worker process serves: /metrics, /healthz (the process works) and /readyz (it takes tasks; an
 * orchestrator waits for it, and sends nobody while it fails). The functions return NULL, or a text that
 * says what is missing and lives until the next call; on the listener's threads. */
struct tl_http_monitor {
    struct tl_metrics *metrics; /* NULL: without /metrics */
    void *ud;
    const char *(*not_well)(void *ud);
    const char *(*not_ready)(void *ud);
};
/* A handler of http.h; ud is a struct tl_http_monitor, which must outlive the listener. */
void tl_http_monitor_handle(void *ud, struct tl_http_request *r);

struct tl_http_page_options {
    const char *public_path; /* "/temporal": what stands before every path; NULL or "": nothing */
    const char *asset_path;  /* folder whose files are served instead of the page; NULL: none */
    const char *codec_endpoint; /* shown; NULL: none */
};

struct tl_http_page;

/* The status page and, for its links, the GET half of the HTTP API below it. Owns: the caller until
 * free; the service must outlive it. Errors: TL_EINVAL (public path, asset folder). */
tl_rc tl_http_page_new(struct tl_http_page **out, const struct tl_http_page_options *o,
                       const struct tl_rpc_service *service, struct tl_error *err) TL_MUST_USE;
/* Its listeners must be closed. NULL is fine. */
void tl_http_page_free(struct tl_http_page *p);
/* A handler of http.h; ud is the struct tl_http_page. */
void tl_http_page_handle(void *ud, struct tl_http_request *r);
