/* Nexus endpoints: named targets of operations, the same for all namespaces. All are in memory; a change
 * writes the whole endpoint into the open commit.
 * Thread: engine. */
#pragma once

#include <temporal/api/nexus/v1/message.pb-c.h>

#include "server/engine.h"

struct tl_nexus_endpoint {
    struct tl_arena arena; /* of e */
    TpNexus__Endpoint *e;  /* its target is a worker's task queue */
    struct tl_str id;      /* of e */
    uint64_t seq;          /* commit that holds its newest write */
    /* Its circuit, not stored: failures in a row that may be the handler's being away; opens beyond a
     * few, and then lets one request through each time open_ns is over. */
    int failures;
    int64_t open_ns; /* 0: closed */
};

void tl_nexus_endpoints_init(struct tl_server *s);
void tl_nexus_endpoints_free(struct tl_server *s);
/* Forgets and reads again what is stored. */
tl_rc tl_nexus_endpoints_load(struct tl_server *s, struct tl_error *err) TL_MUST_USE;
/* NULL when there is none. */
struct tl_nexus_endpoint *tl_nexus_endpoint_by_id(struct tl_server *s, struct tl_str id);
struct tl_nexus_endpoint *tl_nexus_endpoint_by_name(struct tl_server *s, struct tl_str name);
/* Makes it, or replaces what it is; `e` is copied and names its id. NULL without memory. */
struct tl_nexus_endpoint *tl_nexus_endpoint_put(struct tl_server *s, const TpNexus__Endpoint *e,
                                                struct tl_error *err);
void tl_nexus_endpoint_delete(struct tl_server *s, struct tl_nexus_endpoint *e);
/* For tl_history_env.nexus_endpoint_id. */
struct tl_str tl_nexus_endpoint_id_of(void *server, struct tl_str name);
