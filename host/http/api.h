/* The HTTP API: the public RPCs as JSON over HTTP, through the same service entry as gRPC.
 * Thread: open and close: the owner's; requests: the listener's. */
#pragma once

#include "http/http.h"
#include "rpc/rpc.h"

struct tl_http_api;

/* read_only: GET alone. Owns: the caller, until free. The service must outlive it. */
struct tl_http_api *tl_http_api_new(const struct tl_rpc_service *service, bool read_only);
/* Its listeners must be closed. NULL is fine. */
void tl_http_api_free(struct tl_http_api *a);
/* A handler of http.h; ud is the struct tl_http_api. */
void tl_http_api_handle(void *ud, struct tl_http_request *r);
