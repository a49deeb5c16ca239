/* The transport interface: how a client reaches a server. Requests and replies cross it as encoded
 * bytes, each encoded once and decoded once, so that the in-process transport, the simulated one and
 * gRPC are the same to both sides, and nothing that crosses a thread points into another's arena.
 *
 *   client                      transport                       server
 *   tl_channel_call  ------->   (copies the bytes)  ------->    service->handle(request)
 *   done(result)     <-------                       <-------    tl_rpc_reply(request, ...)
 *   tl_rpc_cancel    ------->                       ------->    service->cancelled(request)
 *
 * Ownership: a call belongs to its maker until tl_rpc_call_release; a result belongs to the receiver
 * of done; a request belongs to the server until tl_rpc_reply consumes it.
 * Threads: everything here may be called from any thread. done, handle and cancelled run on whatever
 * thread the transport uses (in-process: the peer's), and must only post to an inbox. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "base/error.h"
#include "base/inbox.h"
#include "base/str.h"

/* --- Methods --------------------------------------------------------------------------------- */

enum tl_method {
#define X(service, name, class) TL_M_##name,
#include "rpc/methods.def"
#undef X
    TL_METHOD_COUNT
};

enum tl_service_id { TL_SERVICE_WORKFLOW, TL_SERVICE_OPERATOR, TL_SERVICE_TEST, TL_SERVICE_COUNT };
enum tl_method_class { TL_METHOD_UNARY, TL_METHOD_LONG };

struct tl_method_info {
    enum tl_method method;
    enum tl_service_id service;
    enum tl_method_class class;
    const char *name; /* "StartWorkflowExecution" */
    const char *path; /* "/temporal.api.workflowservice.v1.WorkflowService/" and the name */
    const ProtobufCMessageDescriptor *input;
    const ProtobufCMessageDescriptor *output;
};

/* Never NULL for a valid method. */
const struct tl_method_info *tl_method_info(enum tl_method m);
/* By short name or by full path; false when there is none. */
bool tl_method_find(struct tl_str name, enum tl_method *out);
const char *tl_service_name(enum tl_service_id s); /* full proto name */

/* --- Client side ------------------------------------------------------------------------------ */

/* The end of a call: one heap block, freed with tl_rpc_result_free. */
struct tl_rpc_result {
    struct tl_msg msg;     /* free for the receiver: lets it post the result to an inbox */
    void *ud;              /* the caller's */
    enum tl_method method; /* of the call */
    int status;            /* gRPC status, 0 = OK */
    bool final; /* made on the way, not by the server: the same call would end the same way */
    struct tl_str message; /* status message */
    struct tl_str details; /* google.rpc.Status bytes, may be empty */
    struct tl_str body;    /* encoded response when status is 0 */
};

typedef void (*tl_rpc_done_fn)(void *ud, struct tl_rpc_result *res);

struct tl_rpc_result *tl_rpc_result_new(enum tl_method method, void *ud, int status,
                                        struct tl_str message, struct tl_str details,
                                        struct tl_str body);
/* One of status 0 whose body the caller writes to *body, so that a large one is copied once. NULL: there is
 * no memory for it. */
struct tl_rpc_result *tl_rpc_result_with_room(enum tl_method method, void *ud, size_t body_bytes,
                                              char **body);
void tl_rpc_result_free(struct tl_rpc_result *r); /* NULL is fine */
/* Whether the call was refused because its message is larger than the peer takes: the same bytes would
 * be refused again, although RESOURCE_EXHAUSTED is a status that passes as a rule. */
bool tl_rpc_result_is_too_large(const struct tl_rpc_result *r);

struct tl_rpc_call; /* opaque: one per transport */

/* A transport's client end; transports embed this struct. */
struct tl_channel {
    struct tl_rpc_call *(*call)(struct tl_channel *ch, enum tl_method m, struct tl_str request,
                                int64_t timeout_ns, tl_rpc_done_fn done, void *ud);
    void (*cancel)(struct tl_rpc_call *call);
    void (*release)(struct tl_rpc_call *call);
    void (*close)(struct tl_channel *ch);
};

/* Every call made through a channel starts with this header. */
struct tl_rpc_call {
    struct tl_channel *channel;
};

/* Starts a call; the request bytes are copied before it returns. timeout_ns <= 0: no deadline. done
 * fires exactly once, possibly before this returns. The returned handle must be released once, also
 * after done has fired. */
struct tl_rpc_call *tl_channel_call(struct tl_channel *ch, enum tl_method m, struct tl_str request,
                                    int64_t timeout_ns, tl_rpc_done_fn done, void *ud);
/* Asks for an early end: done fires with status CANCELLED unless the reply won the race. Idempotent. */
void tl_rpc_cancel(struct tl_rpc_call *call);
void tl_rpc_call_release(struct tl_rpc_call *call);
/* All calls must have ended and been released. */
void tl_channel_close(struct tl_channel *ch);

/* --- Server side ------------------------------------------------------------------------------ */

struct tl_rpc_request {
    struct tl_msg msg;        /* free for the server: its way into an inbox */
    struct tl_msg cancel_msg; /* free for the server's `cancelled` */
    enum tl_method method;
    struct tl_str body; /* encoded request; lives as long as the request */
    int64_t timeout_ns; /* what the caller allows, 0 = no deadline */
    void *slot;         /* the server's own */
    int64_t begun_ns;   /* the server's own */
    /* Told of the answer before it goes out; NULL: nobody is. The server's own. */
    void (*answered)(void *ud, struct tl_rpc_request *req, int status, struct tl_str body);
    void *answered_ud;
    const struct tl_rpc_request_ops *ops; /* private: the transport's */
};

struct tl_rpc_request_ops {
    void (*reply)(struct tl_rpc_request *req, int status, struct tl_str message,
                  struct tl_str details, struct tl_str body);
    bool (*is_cancelled)(struct tl_rpc_request *req);
    void (*retain)(struct tl_rpc_request *req);
    void (*release)(struct tl_rpc_request *req);
};

struct tl_rpc_service {
    void *ud;
    /* A request has come; it must be answered exactly once with tl_rpc_reply. */
    void (*handle)(void *ud, struct tl_rpc_request *req);
    /* Its caller went away. At most once per request, never before handle, possibly after the reply.
     * The transport has retained the request for this notice: the server releases it
     * (tl_rpc_request_release) when it has looked. A cancelled request is still answered once. */
    void (*cancelled)(void *ud, struct tl_rpc_request *req);
};

/* Answers and gives up the server's hold on the request. The bytes are copied before it returns. */
void tl_rpc_reply(struct tl_rpc_request *req, int status, struct tl_str message,
                  struct tl_str details, struct tl_str body);
/* Whether the caller has gone: a poll whose caller has gone must not be given a task. */
bool tl_rpc_request_is_cancelled(struct tl_rpc_request *req);
void tl_rpc_request_release(struct tl_rpc_request *req);

/* --- In-process transport --------------------------------------------------------------------- */

/* A channel straight into a service of the same process: one copy of the bytes each way, no socket,
 * no HTTP/2. The service must outlive the channel. Deadlines are kept by the service, which knows
 * timeout_ns. */
struct tl_channel *tl_local_channel_open(const struct tl_rpc_service *service);
