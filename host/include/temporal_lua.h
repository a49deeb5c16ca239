/* temporal_lua.h: the public C interface of temporal-lua. ABI version 1.
 *
 * Two uses:
 *   1. Native activities and Nexus operations: a shared object that exports one function,
 *      tlua_module_v1. It gets a table of functions (tlua_host_api) and registers what it has under
 *      names. It links against nothing.
 *   2. Embedding: a C or C++ program that runs an embedded server, workers and clients inside itself
 *      (link libtemporal_lua).
 *
 * Rules for all of it:
 *   - Text and bytes that come from here are borrowed views; each function says how long they live.
 *     What is passed in is copied before the function returns. Text is UTF-8 without NUL.
 *   - Structs that may grow begin with `size`; set it with the _INIT macro. New functions are only
 *     ever appended to tlua_host_api: compare `size` (TLUA_HAS) before calling a newer one.
 *   - Functions return TLUA_OK (0) or a negative code; nothing aborts, throws or long-jumps.
 *   - C11 and C++17; a C++ activity must catch its own exceptions. */
#ifndef TEMPORAL_LUA_H
#define TEMPORAL_LUA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TLUA_ABI_VERSION 1u

#if defined(__GNUC__) || defined(__clang__)
#define TLUA_EXPORT __attribute__((visibility("default")))
#else
#define TLUA_EXPORT
#endif

/* --- Common types ------------------------------------------------------------------------------ */

enum tlua_code {
    TLUA_OK = 0,
    TLUA_EINVAL = -1,
    TLUA_ENOTFOUND = -2,
    TLUA_EEXISTS = -3,
    TLUA_EPRECONDITION = -4,
    TLUA_ELIMIT = -5,
    TLUA_EUNAVAILABLE = -6,
    TLUA_EDEADLINE = -7,
    TLUA_ECANCELLED = -8,
    TLUA_EPERMISSION = -9,
    TLUA_EUNIMPLEMENTED = -10,
    TLUA_EINTERNAL = -11,
    TLUA_EIO = -13,
    TLUA_ESCRIPT = -31,  /* a script does not load or raised */
    TLUA_ESCHEMA = -901, /* the database has another schema */
    TLUA_ELOCKED = -902, /* the database is in use by another process */
    TLUA_ECORRUPT = -903 /* the database is damaged or no database */
};

/* A borrowed view of bytes; not NUL-terminated unless the function says so. */
typedef struct tlua_bytes {
    const char *data;
    size_t size;
} tlua_bytes;

/* One value as Temporal carries it: an encoding ("json/plain", "binary/plain", "binary/null",
 * "json/protobuf", "binary/protobuf", ...) and its bytes. */
typedef struct tlua_payload {
    tlua_bytes encoding;
    tlua_bytes data;
} tlua_payload;

typedef struct tlua_error {
    int code;          /* enum tlua_code */
    char message[504]; /* NUL-terminated */
} tlua_error;

typedef struct tlua_activity tlua_activity; /* one task in work */
typedef struct tlua_module tlua_module;     /* a module being registered */

/* --- Activities -------------------------------------------------------------------------------- */

/* Runs one activity task on an activity thread of the worker. To succeed: put results (or none) and
 * return. To fail: call fail. `ud` is what was registered. Calls of one function may run on several
 * threads at once. */
typedef void (*tlua_activity_fn)(tlua_activity *a, void *ud);

/* Times are nanoseconds since 1970, timeouts milliseconds (0: none). Views live while the task is in
 * work. */
typedef struct tlua_activity_info {
    size_t size;
    tlua_bytes activity_id, activity_type;
    tlua_bytes workflow_id, run_id, workflow_type, namespace_name, task_queue;
    int32_t attempt; /* from 1 */
    int64_t scheduled_time_ns, current_attempt_scheduled_time_ns, started_time_ns;
    int64_t schedule_to_close_timeout_ms, start_to_close_timeout_ms, heartbeat_timeout_ms;
    /* Of an activity that a client started without a workflow: workflow_id, run_id and workflow_type are
     * empty. Empty for those of workflows. */
    tlua_bytes activity_run_id;
} tlua_activity_info;

/* Why an activity should stop; a set. */
enum tlua_cancel_reason {
    TLUA_CANCEL_REQUESTED = 1,
    TLUA_CANCEL_NOT_FOUND = 2,
    TLUA_CANCEL_PAUSED = 4,
    TLUA_CANCEL_RESET = 8,
    TLUA_CANCEL_TIMED_OUT = 16,
    TLUA_CANCEL_WORKER_SHUTDOWN = 32
};

/* Where a value goes. */
enum tlua_target {
    TLUA_RESULT = 0,          /* the activity's result; usually one value */
    TLUA_HEARTBEAT = 1,       /* details of the next heartbeat */
    TLUA_FAILURE_DETAILS = 2, /* details of a following fail */
    TLUA_CANCEL_DETAILS = 3   /* details of a following cancelled */
};

typedef struct tlua_failure {
    size_t size;
    const char *type;    /* e.g. "CardDeclined"; NULL: none */
    const char *message; /* NULL: empty */
    bool non_retryable;
    int64_t next_retry_delay_ms; /* 0: by the retry policy */
} tlua_failure;

// clang-format off
#ifdef __cplusplus
#define TLUA_FAILURE_INIT {sizeof(tlua_failure), nullptr, nullptr, false, 0}
#else
#define TLUA_FAILURE_INIT {sizeof(tlua_failure), NULL, NULL, false, 0}
#endif
// clang-format on

enum tlua_log_level {
    TLUA_LOG_DEBUG = 1,
    TLUA_LOG_INFO = 2,
    TLUA_LOG_WARN = 3,
    TLUA_LOG_ERROR = 4
};

/* A metric of an activity. Counters take integers from 0 up, which are added; histograms numbers from 0 up;
 * durations are histograms of seconds. */
enum tlua_metric_kind {
    TLUA_METRIC_COUNTER = 1,
    TLUA_METRIC_GAUGE = 2,
    TLUA_METRIC_HISTOGRAM = 3,
    TLUA_METRIC_DURATION = 4
};

typedef struct tlua_metric {
    size_t size;
    int kind;                       /* enum tlua_metric_kind */
    const char *name;               /* letters, digits, '_', '-' and '.'; the last two become '_' */
    const char *description, *unit; /* NULL: none */
} tlua_metric;

typedef struct tlua_attribute {
    const char *name;
    tlua_bytes value;
} tlua_attribute;

// clang-format off
#define TLUA_METRIC_INIT {sizeof(tlua_metric), TLUA_METRIC_COUNTER, 0, 0, 0}
// clang-format on

/* --- Nexus operations -------------------------------------------------------------------------- */

typedef struct tlua_operation
    tlua_operation; /* one request in work: of a start or a cancellation */

/* Answers one request, on a thread of the worker where activities run too. `ud` is what was registered;
 * calls of one function may run on several threads at once. The server gives a request a few seconds,
 * and makes it again when that time is over. */
typedef void (*tlua_operation_fn)(tlua_operation *o, void *ud);

typedef struct tlua_operation_handler {
    size_t size;
    /* A start. Put a result (or none) and return: the operation is over. Or call one of operation_started,
     * operation_start_workflow, operation_fail, operation_refuse; the last call counts. */
    tlua_operation_fn start;
    /* A cancellation, of what has started and goes on: returning accepts it, operation_refuse does not.
     * NULL: a workflow of operation_start_workflow is cancelled, everything else is refused. */
    tlua_operation_fn cancel;
    void *ud;
} tlua_operation_handler;

/* Views live while the request is in work. */
typedef struct tlua_operation_info {
    size_t size;
    tlua_bytes service, operation, endpoint, namespace_name, task_queue;
    bool is_cancel;             /* the request asks for a cancellation */
    int64_t deadline_ns;        /* since 1970: when the server gives the request up; 0: not known */
    tlua_bytes request_id;      /* of a start: the same when it is made again */
    tlua_bytes callback_url;    /* of a start: where the end of an operation that goes on is told */
    tlua_bytes operation_token; /* of a cancellation */
} tlua_operation_info;

/* How an operation ends that did not succeed. */
typedef struct tlua_operation_failure {
    size_t size;
    bool canceled;       /* else it failed */
    const char *type;    /* of the failure, e.g. "CardDeclined"; NULL: none */
    const char *message; /* NULL: empty */
} tlua_operation_failure;

enum tlua_retry { TLUA_RETRY_BY_TYPE = 0, TLUA_RETRY_YES = 1, TLUA_RETRY_NO = 2 };

/* Why a request is refused. The operation lives on: the server makes the request again unless the type
 * or `retry` says that this is in vain; then a start has failed for good. */
typedef struct tlua_operation_refusal {
    size_t size;
    const char *type; /* "BAD_REQUEST", "UNAUTHENTICATED", "UNAUTHORIZED", "NOT_FOUND", "CONFLICT",
                       * "NOT_IMPLEMENTED": in vain; "REQUEST_TIMEOUT", "RESOURCE_EXHAUSTED", "INTERNAL",
                       * "UNAVAILABLE", "UPSTREAM_TIMEOUT": not; NULL: "INTERNAL" */
    const char *message;
    int retry; /* enum tlua_retry */
} tlua_operation_refusal;

/* A workflow that stands behind an operation. */
typedef struct tlua_operation_workflow {
    size_t size;
    const char *workflow_id;   /* required: a request that is made again finds what it started */
    const char *workflow_type; /* required */
    const char *task_queue;    /* NULL: the worker's */
    const tlua_payload *args;  /* args_count values */
    size_t args_count;
    int64_t execution_timeout_ms, run_timeout_ms; /* 0: none */
} tlua_operation_workflow;

// clang-format off
#define TLUA_OPERATION_HANDLER_INIT {sizeof(tlua_operation_handler), 0, 0, 0}
#define TLUA_OPERATION_FAILURE_INIT {sizeof(tlua_operation_failure), false, 0, 0}
#define TLUA_OPERATION_REFUSAL_INIT {sizeof(tlua_operation_refusal), 0, 0, TLUA_RETRY_BY_TYPE}
#define TLUA_OPERATION_WORKFLOW_INIT {sizeof(tlua_operation_workflow), 0, 0, 0, 0, 0, 0, 0}
// clang-format on

/* What the host offers. The table lives as long as the process. Functions that take a tlua_activity or
 * a tlua_operation may be called only until its function returns; those marked (any) also from threads
 * that it started itself and has joined before it returns. */
// clang-format off
typedef struct tlua_host_api {
    uint32_t abi; /* TLUA_ABI_VERSION of the host */
    size_t size;  /* bytes of this struct in the host */

    /* Only inside tlua_module_v1. Errors: EEXISTS, EINVAL. */
    int (*register_activity)(tlua_module *m, const char *name, tlua_activity_fn fn, void *ud);
    /* Only inside tlua_module_v1: fn(ud) runs once when the host lets go of the module. */
    int (*on_unload)(tlua_module *m, void (*fn)(void *ud), void *ud);
    /* Only inside tlua_module_v1: why it returns an error. */
    void (*set_error)(tlua_module *m, const char *message);

    const tlua_activity_info *(*info)(tlua_activity *a);                          /* (any) */
    size_t (*input_count)(tlua_activity *a);                                      /* (any) */
    /* Zero copy; lives while the task is in work. Errors: ENOTFOUND past the last. */
    int (*input)(tlua_activity *a, size_t index, tlua_payload *out);              /* (any) */
    /* Details that the previous attempt recorded with its last heartbeat. */
    size_t (*heartbeat_details_count)(tlua_activity *a);                          /* (any) */
    int (*heartbeat_details)(tlua_activity *a, size_t index, tlua_payload *out);  /* (any) */

    /* Append one value to a target. JSON must be one valid JSON text. Errors: ELIMIT, EINVAL. */
    int (*put_json)(tlua_activity *a, int target, const char *json, size_t size);
    int (*put_bytes)(tlua_activity *a, int target, const void *data, size_t size); /* binary/plain */
    int (*put_null)(tlua_activity *a, int target);                                 /* binary/null */
    int (*put_payload)(tlua_activity *a, int target, const char *encoding, const void *data,
                       size_t size);

    /* Records a heartbeat with the TLUA_HEARTBEAT values put since the last one. Sent at once or when
     * the throttle allows. Errors: ECANCELLED when the activity should stop, ELIMIT. */
    int (*heartbeat)(tlua_activity *a);
    /* Set of tlua_cancel_reason; 0 while not cancelled. */
    unsigned (*cancelled)(tlua_activity *a);                                      /* (any) */
    /* Waits at most timeout_ms for a cancellation; returns the reasons. */
    unsigned (*wait_cancelled)(tlua_activity *a, int64_t timeout_ms);             /* (any) */

    /* How the task ends when the function returns; the last call counts, results are dropped. */
    int (*fail)(tlua_activity *a, const tlua_failure *failure);
    int (*cancel)(tlua_activity *a);
    /* The task stays open after the function returned and is ended by this token through any client
     * (RespondActivityTaskCompleted and its kin). The token lives while the task is in work. */
    int (*complete_async)(tlua_activity *a, tlua_bytes *token);

    /* One structured line of the host's log with the ids of the activity. */
    void (*log)(tlua_activity *a, int level, const char *message);                /* (any) */

    /* fn(ud) runs once when the activity should stop, at once if it should already; on a thread of the
     * worker, so it may only set a flag, write to a pipe and the like. fn NULL takes it back and waits
     * for a call under way; the host does so when the activity function returns. */
    int (*on_cancel)(tlua_activity *a, void (*fn)(void *ud), void *ud);           /* (any) */
    /* From the begin of the worker's shutdown on; the activity has the rest of its grace to end. */
    bool (*worker_shutting_down)(tlua_activity *a);                               /* (any) */
    /* Waits at most timeout_ms for that; returns whether it has begun. */
    bool (*wait_worker_shutdown)(tlua_activity *a, int64_t timeout_ms);           /* (any) */

    /* Records a value in the metrics of the worker's runtime, with the labels namespace, task_queue and
     * activity_type and at most 29 attributes; nothing where it measures nothing. The metric is made at
     * its first use. Errors: EINVAL (name, kind, value, attributes, a name of the SDK's own), EEXISTS (it
     * is of another kind), ELIMIT (there are too many metrics). */
    int (*record_metric)(tlua_activity *a, const tlua_metric *metric, double value,
                         const tlua_attribute *attributes, size_t count);         /* (any) */

    /* Only inside tlua_module_v1: an operation of a Nexus service. Errors: EEXISTS, EINVAL. */
    int (*register_operation)(tlua_module *m, const char *service, const char *operation,
                              const tlua_operation_handler *handler);
    const tlua_operation_info *(*operation_info)(tlua_operation *o);              /* (any) */
    /* The input of a start. Errors: ENOTFOUND (there is none). */
    int (*operation_input)(tlua_operation *o, tlua_payload *out);                 /* (any) */
    /* Headers of the request, with names in lower case, and of the callback of a start; links of a start,
     * to the caller. Errors: ENOTFOUND past the last. */
    int (*operation_header)(tlua_operation *o, size_t index, tlua_bytes *name,
                            tlua_bytes *value);                                   /* (any) */
    int (*operation_callback_header)(tlua_operation *o, size_t index, tlua_bytes *name,
                                     tlua_bytes *value);                          /* (any) */
    int (*operation_link)(tlua_operation *o, size_t index, tlua_bytes *url,
                          tlua_bytes *type);                                      /* (any) */
    /* The result of a start (TLUA_RESULT, one value), or details of a following operation_fail
     * (TLUA_FAILURE_DETAILS). encoding: "json/plain", "binary/plain", ... Errors: ELIMIT, EINVAL. */
    int (*operation_put)(tlua_operation *o, int target, const char *encoding, const void *data,
                         size_t size);
    /* A start: the operation goes on under this token, which a cancellation will name. Its end has to
     * reach the callback. Errors: EINVAL (empty, or a cancellation), ELIMIT. */
    int (*operation_started)(tlua_operation *o, const char *token);
    /* A start: the operation goes on as this workflow, whose end is the operation's. Waits for the server's
     * answer; the start is linked with the caller. run_id (may be NULL) gets NUL-terminated text. Errors:
     * EINVAL, EEXISTS (another workflow holds the id), and what calls give; then nothing has started. */
    int (*operation_start_workflow)(tlua_operation *o, const tlua_operation_workflow *workflow,
                                    char run_id[64], tlua_error *err);
    int (*operation_fail)(tlua_operation *o, const tlua_operation_failure *failure);
    int (*operation_refuse)(tlua_operation *o, const tlua_operation_refusal *refusal);
    /* A start: a link that goes with its answer, to what the handler made. Errors: EINVAL, ELIMIT. */
    int (*operation_add_link)(tlua_operation *o, const char *url, const char *type);
    /* Set of TLUA_CANCEL_TIMED_OUT (the request's time is over) and TLUA_CANCEL_WORKER_SHUTDOWN (the grace
     * of the worker's shutdown is); 0: go on. */
    unsigned (*operation_cancelled)(tlua_operation *o);                           /* (any) */
    unsigned (*operation_wait_cancelled)(tlua_operation *o, int64_t timeout_ms);  /* (any) */
    /* Waits at most timeout_ms (0: not at all) for the begin of the worker's shutdown. */
    bool (*operation_wait_worker_shutdown)(tlua_operation *o, int64_t timeout_ms); /* (any) */
    /* One line of the host's log with service, operation and endpoint. */
    void (*operation_log)(tlua_operation *o, int level, const char *message);     /* (any) */
    /* As record_metric, with the labels namespace, task_queue, nexus_service and nexus_operation. */
    int (*operation_record_metric)(tlua_operation *o, const tlua_metric *metric, double value,
                                   const tlua_attribute *attributes, size_t count); /* (any) */
} tlua_host_api;
// clang-format on

#define TLUA_HAS(api, member)                                                                      \
    ((api)->size >= offsetof(tlua_host_api, member) + sizeof((api)->member))

/* The one symbol that a module exports: registers its activities and operations and returns TLUA_OK, or a
 * negative code to refuse (after set_error). Called once per load, before any of them runs. */
typedef int (*tlua_module_fn)(const tlua_host_api *api, tlua_module *m);
#define TLUA_MODULE_SYMBOL "tlua_module_v1"
TLUA_EXPORT int tlua_module_v1(const tlua_host_api *api, tlua_module *m);

/* --- Embedding: server ------------------------------------------------------------------------- */

typedef struct tlua_server tlua_server;

typedef struct tlua_server_options {
    size_t size;
    const char *db_path;        /* NULL: nothing is kept after close */
    const char *namespace_name; /* NULL: "default" */
} tlua_server_options;

// clang-format off
#define TLUA_SERVER_OPTIONS_INIT {sizeof(tlua_server_options), 0, 0}
// clang-format on

/* An embedded server with threads of its own; no port is opened.
 * Owns: *out, until tlua_server_close. Thread: any. Errors: ENOTFOUND (no such folder), EIO,
 * ESCHEMA, ELOCKED, ECORRUPT, EINVAL. */
TLUA_EXPORT int tlua_server_open(const tlua_server_options *options, tlua_server **out,
                                 tlua_error *err);
/* Clients and workers on it must be gone. NULL is fine. */
TLUA_EXPORT void tlua_server_close(tlua_server *server);

/* --- Embedding: client ------------------------------------------------------------------------- */

typedef struct tlua_client tlua_client;

/* A client inside the process of the server, which must outlive it.
 * Owns: *out. Thread: a client serves any number of threads at once. namespace_name NULL: "default". */
TLUA_EXPORT int tlua_client_open(tlua_server *server, const char *namespace_name, tlua_client **out,
                                 tlua_error *err);

typedef struct tlua_header {
    const char *name; /* lower case */
    tlua_bytes value; /* printable ASCII; any bytes under a name that ends in "-bin" */
} tlua_header;

/* Tells the API key now: NULL when it cannot (the last one stays). The text is copied before the function is called
 * again. Thread: any that makes a call, which waits for it; one at a time. */
typedef const char *(*tlua_api_key_fn)(void *user_data);

/* A server elsewhere. Certificates are PEM text, or files by the fields with _path. What is NULL or 0
 * has its default. */
typedef struct tlua_connect_options {
    size_t size;
    const char *address;        /* "host:port", required */
    const char *namespace_name; /* "default" */
    const char *identity;       /* "pid@host" */
    const char *api_key;
    bool tls;
    const char *client_cert, *client_cert_path;
    const char *client_private_key, *client_private_key_path;
    const char *server_root_ca_cert, *server_root_ca_cert_path; /* the system's authorities */
    const char *domain;             /* expected in the certificate; the host of the address */
    bool disable_host_verification; /* takes any certificate: for tests only */
    const tlua_header *metadata;
    size_t metadata_count;
    int64_t keepalive_interval_ms;  /* 30 s; negative: no pings */
    int64_t keepalive_timeout_ms;   /* 15 s */
    const char *http_connect_proxy; /* "host:port" of an HTTP proxy to connect through */
    const char *proxy_user, *proxy_password;
    bool grpc_gzip;                     /* requests are compressed */
    bool dns_load_balancing;            /* calls go round all addresses of the name */
    int64_t dns_resolution_interval_ms; /* least time between two look-ups; 30 s */
    const char *api_key_path;   /* instead of api_key: its file, read again when it changes */
    tlua_api_key_fn api_key_fn; /* or what tells it */
    void *api_key_user_data;
    int64_t api_key_refresh_ms; /* how long what it told is used; 60 s */
} tlua_connect_options;
#define TLUA_CONNECT_OPTIONS_INIT                                                                  \
    {                                                                                              \
        sizeof(tlua_connect_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  \
            0, 0, 0, 0, 0, 0, 0                                                                    \
    }

/* A client of a server elsewhere. It connects with the first call and again by itself.
 * Owns: *out. Thread: as above. Errors: TLUA_EINVAL (address, headers, certificates). */
TLUA_EXPORT int tlua_client_connect(const tlua_connect_options *options, tlua_client **out,
                                    tlua_error *err);
/* Replaces the API key of such a client (NULL: none): calls that start from now on, also those of its
 * workers, carry it. Thread: any. Errors: TLUA_EINVAL. */
TLUA_EXPORT int tlua_client_set_api_key(tlua_client *client, const char *api_key, tlua_error *err);
/* The same for the headers of metadata. */
TLUA_EXPORT int tlua_client_set_metadata(tlua_client *client, const tlua_header *metadata,
                                         size_t count, tlua_error *err);
TLUA_EXPORT void tlua_client_close(tlua_client *client); /* NULL is fine */

typedef struct tlua_start_options {
    size_t size;
    const char *workflow_id;   /* required */
    const char *workflow_type; /* required */
    const char *task_queue;    /* required */
    const tlua_payload *args;  /* args_count values */
    size_t args_count;
    int64_t execution_timeout_ms; /* 0: none */
    int64_t run_timeout_ms;       /* 0: none */
    /* Not 0: the first workflow task goes to a worker of this client, without a poll, when one has a slot and
     * the server can; else it is an ordinary start. */
    int request_eager_start;
} tlua_start_options;

// clang-format off
#define TLUA_START_OPTIONS_INIT {sizeof(tlua_start_options), 0, 0, 0, 0, 0, 0, 0, 0}
// clang-format on

/* Starts a workflow. run_id (may be NULL) gets the run id as NUL-terminated text.
 * Errors: EEXISTS when the workflow id is taken (run_id then tells by whom). */
TLUA_EXPORT int tlua_client_start(tlua_client *client, const tlua_start_options *options,
                                  char run_id[64], tlua_error *err);
/* run_id NULL or "": the current run. */
TLUA_EXPORT int tlua_client_signal(tlua_client *client, const char *workflow_id, const char *run_id,
                                   const char *signal, const tlua_payload *args, size_t args_count,
                                   tlua_error *err);
TLUA_EXPORT int tlua_client_cancel(tlua_client *client, const char *workflow_id, const char *run_id,
                                   tlua_error *err);
TLUA_EXPORT int tlua_client_terminate(tlua_client *client, const char *workflow_id,
                                      const char *run_id, const char *reason, tlua_error *err);

/* Makes a Nexus endpoint: workflows of the service call what workers on this task queue of the client's
 * namespace have registered, under this name. Errors: TLUA_EEXISTS, TLUA_EINVAL. */
TLUA_EXPORT int tlua_client_create_nexus_endpoint(tlua_client *client, const char *name,
                                                  const char *task_queue, tlua_error *err);

/* What a workflow or query answered. */
typedef struct tlua_reply tlua_reply;

/* Owns: *out, until tlua_reply_free. */
TLUA_EXPORT int tlua_client_query(tlua_client *client, const char *workflow_id, const char *run_id,
                                  const char *query, const tlua_payload *args, size_t args_count,
                                  tlua_reply **out, tlua_error *err);
/* Waits for the end of the workflow, through continue-as-new and retries. A workflow that did not
 * complete is TLUA_OK: look at tlua_reply_status. timeout_ms <= 0: wait for ever; else EDEADLINE.
 * Owns: *out, until tlua_reply_free. */
TLUA_EXPORT int tlua_client_result(tlua_client *client, const char *workflow_id, const char *run_id,
                                   int64_t timeout_ms, tlua_reply **out, tlua_error *err);

/* Temporal's numbers. */
enum tlua_workflow_status {
    TLUA_WORKFLOW_COMPLETED = 2,
    TLUA_WORKFLOW_FAILED = 3,
    TLUA_WORKFLOW_CANCELED = 4,
    TLUA_WORKFLOW_TERMINATED = 5,
    TLUA_WORKFLOW_TIMED_OUT = 7
};

/* Everything read from a reply lives as long as the reply. Thread: one at a time. */
TLUA_EXPORT int tlua_reply_status(const tlua_reply *reply); /* of a query: COMPLETED */
TLUA_EXPORT size_t tlua_reply_count(const tlua_reply *reply);
TLUA_EXPORT int tlua_reply_value(const tlua_reply *reply, size_t index, tlua_payload *out);
/* Of a workflow that failed; the innermost cause; NUL-terminated, "" when there is none. */
TLUA_EXPORT const char *tlua_reply_failure_type(const tlua_reply *reply);
TLUA_EXPORT const char *tlua_reply_failure_message(const tlua_reply *reply);
TLUA_EXPORT void tlua_reply_free(tlua_reply *reply); /* NULL is fine */

/* --- Embedding: metrics ------------------------------------------------------------------------ */

/* What workers measure: the SDK's metrics, and those that activities record. */
typedef struct tlua_metrics tlua_metrics;

typedef struct tlua_metrics_options {
    size_t size;
    const char *prefix;           /* of the names of SDK metrics; NULL: "temporal_" */
    const tlua_attribute *labels; /* of every metric; labels_count of them, at most 32 */
    size_t labels_count;
    bool counters_total_suffix; /* names of counters end in _total */
    bool unit_suffix;           /* names of histograms end in their unit */
    bool durations_as_seconds;  /* else milliseconds */
} tlua_metrics_options;

// clang-format off
#define TLUA_METRICS_OPTIONS_INIT {sizeof(tlua_metrics_options), 0, 0, 0, 0, 0, 0}
// clang-format on

/* options NULL: the defaults. Owns: *out, until tlua_metrics_free; workers keep what they use.
 * Errors: EINVAL (prefix, labels). */
TLUA_EXPORT int tlua_metrics_new(const tlua_metrics_options *options, tlua_metrics **out,
                                 tlua_error *err);
/* Its calls are measured from now on, and workers made of it from now on, too; what tlua_worker_options.metrics
 * says of a worker goes above that. No call may be under way. Errors: EINVAL, EPRECONDITION (it is measured). */
TLUA_EXPORT int tlua_client_measure(tlua_client *client, tlua_metrics *metrics, tlua_error *err);
/* Calls write(ud, text) once, with all metrics in the text format 0.0.4 of Prometheus; the view lives for
 * the call. To serve them is the program's. Thread: any. Errors: ELIMIT (64 MiB). */
TLUA_EXPORT int tlua_metrics_write(tlua_metrics *metrics, void (*write)(void *ud, tlua_bytes text),
                                   void *ud, tlua_error *err);
TLUA_EXPORT void tlua_metrics_free(tlua_metrics *metrics); /* NULL is fine */

/* --- Embedding: worker ------------------------------------------------------------------------- */

typedef struct tlua_worker tlua_worker;

typedef struct tlua_worker_options {
    size_t size;
    const char *task_queue;   /* required */
    const char *const *roots; /* folders searched for Lua modules; roots_count of them */
    size_t roots_count;
    const char *const *workflows; /* module names or patterns: "workflows.order", "workflows.*" */
    size_t workflows_count;
    int32_t max_cached_workflows;      /* 0: the default */
    int32_t max_concurrent_activities; /* 0: the default */
    tlua_metrics *metrics;             /* NULL: nothing is measured */
} tlua_worker_options;

/* Slots: how many tasks of one kind may be in work. A supplier decides when there is one more. */
enum tlua_slot_kind {
    TLUA_SLOT_WORKFLOW = 1,
    TLUA_SLOT_ACTIVITY = 2,
    TLUA_SLOT_LOCAL_ACTIVITY = 3,
    TLUA_SLOT_NEXUS = 4
};

/* What a slot is wanted for. Views live for the call. */
typedef struct tlua_slot_request {
    size_t size;
    int kind;       /* enum tlua_slot_kind */
    bool is_sticky; /* for runs that this worker has in its cache */
    tlua_bytes task_queue, worker_identity, worker_build_id;
    tlua_bytes worker_deployment_name; /* empty without worker versioning */
} tlua_slot_request;

/* What a slot is used for. Views live for the call. */
typedef struct tlua_slot_info {
    size_t size;
    int kind;
    bool is_sticky;
    tlua_bytes type;      /* of the workflow or activity; the Nexus service */
    tlua_bytes operation; /* of that service; else empty */
} tlua_slot_info;

typedef struct tlua_slot_wait tlua_slot_wait; /* one reservation under way */

/* A permit is the supplier's own; never NULL. Functions are called by several threads and return at once:
 * a supplier that has to wait returns from `reserve` and grants later. */
typedef struct tlua_slot_supplier {
    size_t size;
    void *ud;
    /* Wants a slot: call tlua_slot_grant(w, permit) once, now or later, on any thread. One reservation
     * at a time for each kind (workflow: two, one of them sticky). */
    void (*reserve)(void *ud, const tlua_slot_request *r, tlua_slot_wait *w);
    /* A slot if there is one now, else NULL. */
    void *(*try_reserve)(void *ud, const tlua_slot_request *r);
    /* A task has come for the slot. NULL: not told. */
    void (*mark_used)(void *ud, const tlua_slot_info *info, void *permit);
    /* The slot is given back; info NULL: it was never used. */
    void (*release)(void *ud, const tlua_slot_info *info, void *permit);
    /* The worker has gone: no reservation under way may be granted once this has returned. NULL: not
     * told. */
    void (*close)(void *ud);
} tlua_slot_supplier;

/* Thread: any, also inside `reserve`. A worker that stops gives the slot back at once. */
TLUA_EXPORT void tlua_slot_grant(tlua_slot_wait *w, void *permit);

// clang-format off
#define TLUA_WORKER_OPTIONS_INIT {sizeof(tlua_worker_options), 0, 0, 0, 0, 0, 0, 0, 0}
// clang-format on

/* Loads the workflows; polls nothing yet. The client must outlive the worker.
 * Owns: *out, until tlua_worker_free. Errors: EINVAL (bad options), ESCRIPT (a script that does
 * not load), ENOTFOUND (no such module). */
TLUA_EXPORT int tlua_worker_new(tlua_client *client, const tlua_worker_options *options,
                                tlua_worker **out, tlua_error *err);
/* Before start only. fn runs on activity threads. Errors: EEXISTS, EPRECONDITION. */
TLUA_EXPORT int tlua_worker_register(tlua_worker *worker, const char *name, tlua_activity_fn fn,
                                     void *ud, tlua_error *err);
/* The same for an operation of a Nexus service. Errors: EEXISTS, EINVAL, EPRECONDITION. */
TLUA_EXPORT int tlua_worker_register_operation(tlua_worker *worker, const char *service,
                                               const char *operation,
                                               const tlua_operation_handler *handler,
                                               tlua_error *err);
/* Before start only: activities and operations of a shared object. */
TLUA_EXPORT int tlua_worker_load(tlua_worker *worker, const char *path, tlua_error *err);
/* Before start only: slots of one kind (enum tlua_slot_kind) come from this supplier, which is copied; its
 * ud must live until `close`. Without it they are a fixed number. Errors: EINVAL, EPRECONDITION. */
TLUA_EXPORT int tlua_worker_set_slots(tlua_worker *worker, int kind,
                                      const tlua_slot_supplier *supplier, tlua_error *err);
/* Before start only: an option of docs/worker_options.md under its name there, as text: "5", "90s", "true",
 * "autoscaling:1-20:5". The value is copied. Errors: EINVAL (no such option, a value that is none; ranges and rules
 * between options are told by tlua_worker_start), EPRECONDITION. */
TLUA_EXPORT int tlua_worker_set_option(tlua_worker *worker, const char *name, const char *value,
                                       tlua_error *err);
/* Starts the threads. */
TLUA_EXPORT int tlua_worker_start(tlua_worker *worker, tlua_error *err);
/* Stops polling, lets work finish for grace_ms, then cancels activities, and waits until the worker
 * has left. Idempotent. Thread: not an activity of this worker. */
TLUA_EXPORT int tlua_worker_stop(tlua_worker *worker, int64_t grace_ms, tlua_error *err);
TLUA_EXPORT void tlua_worker_free(tlua_worker *worker); /* stops first; NULL is fine */
/* For activities registered with tlua_worker_register. */
TLUA_EXPORT const tlua_host_api *tlua_host(void);

#ifdef __cplusplus
}
#endif

#endif
