/* Which RPC a verb and a path mean: the HTTP bindings of the public API, from proto/http_paths.tsv.
 * Private to this folder. Thread: any. */
#pragma once

#include "base/error.h"
#include "base/str.h"
#include "rpc/rpc.h"

#define TL_HTTP_VARS_MAX 6

struct tl_http_route {
    enum tl_method method;
    const char *verb;
    const char *path; /* "/api/v1/namespaces/{namespace}" */
    bool body;        /* the request message is the body, but for what stands in the path */
};

/* Generated. */
extern const struct tl_http_route tl_http_routes[];
extern const size_t tl_http_route_count;

/* A variable of the path and the segment that stands in its place, still percent-encoded. */
struct tl_http_var {
    struct tl_str field; /* "workflow_execution.workflow_id" */
    struct tl_str text;
};

struct tl_http_match {
    const struct tl_http_route *route;
    struct tl_http_var vars[TL_HTTP_VARS_MAX];
    size_t var_count;
};

/* The most literal route for the path: a fixed segment goes before a variable.
 * Errors: TL_ENOTFOUND; TL_EUNIMPLEMENTED when the path exists with other verbs only. */
tl_rc tl_http_route_find(struct tl_str verb, struct tl_str path, struct tl_http_match *out,
                         struct tl_error *err) TL_MUST_USE;
