/* Goal: whatever bytes arrive at the port of the embedded server, they are answered with an error that says
 * what is wrong, or not at all, and everybody else is served as before.
 * Method: the server with its threads behind gRPC, asked through a channel with bytes made by hand, and
 * through raw connections that speak just enough HTTP/2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "client/client.h"
#include "proto/pb.h"
#include "rpc/grpc.h"
#include "server/server.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define WS "temporal.api.workflowservice.v1.WorkflowService"

struct rig {
    struct tl_server *server;
    struct tl_grpc_server *port;
    struct tl_channel *channel;
    struct tl_arena arena;
    atomic_int lines; /* logged */
};

static void count_line(void *ud, enum tl_log_level level, struct tl_str line)
{
    struct rig *r = ud;
    (void)level;
    (void)line;
    atomic_fetch_add(&r->lines, 1);
}

static int setup(void **state)
{
    static struct rig rig;
    struct tl_server_options o;
    struct tl_grpc_server_options port = {.ip = "127.0.0.1", .request_bytes_max = 4 << 20};
    struct tl_error err = {0};
    char address[64];
    memset(&rig, 0, sizeof rig);
    tl_log_sink(count_line, &rig);
    tl_arena_init(&rig.arena, TL_ARENA_UNLIMITED);
    tl_server_options_default(&o);
    assert_int_equal(tl_server_open(&rig.server, &o, &err), TL_OK);
    assert_int_equal(tl_server_start(rig.server, &err), TL_OK);
    assert_int_equal(tl_grpc_server_open(&rig.port, &port, tl_server_service(rig.server), &err),
                     TL_OK);
    snprintf(address, sizeof address, "127.0.0.1:%d", tl_grpc_server_port(rig.port));
    struct tl_grpc_channel_options c = {.address = address, .namespace_name = "default"};
    assert_int_equal(tl_grpc_channel_open(&rig.channel, &c, &err), TL_OK);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    tl_channel_close(r->channel);
    tl_grpc_server_close(r->port);
    tl_server_stop(r->server);
    tl_server_close(r->server);
    tl_arena_deinit(&r->arena);
    tl_log_sink(NULL, NULL);
    return 0;
}

struct end {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    struct tl_rpc_result *result;
};

static void done(void *ud, struct tl_rpc_result *res)
{
    struct end *e = ud;
    pthread_mutex_lock(&e->mutex);
    e->result = res;
    pthread_cond_broadcast(&e->cond);
    pthread_mutex_unlock(&e->mutex);
}

/* The caller frees the result. */
static struct tl_rpc_result *ask(struct rig *r, enum tl_method m, struct tl_str bytes)
{
    struct end e = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL};
    struct tl_rpc_call *call = tl_channel_call(r->channel, m, bytes, 10 * TL_NS_PER_S, done, &e);
    pthread_mutex_lock(&e.mutex);
    while (!e.result) {
        pthread_cond_wait(&e.cond, &e.mutex);
    }
    pthread_mutex_unlock(&e.mutex);
    tl_rpc_call_release(call);
    return e.result;
}

static struct tl_str encoded(struct rig *r, const void *msg)
{
    struct tl_str bytes;
    assert_int_equal(tl_pb_encode_arena(msg, &r->arena, &bytes, NULL), TL_OK);
    return bytes;
}

static void is_served(struct rig *r)
{
    struct tl_rpc_result *res = ask(r, TL_M_GetSystemInfo, (struct tl_str){0});
    assert_int_equal(res->status, 0);
    tl_rpc_result_free(res);
}

static void is_refused(struct rig *r, enum tl_method m, struct tl_str bytes, const char *words)
{
    struct tl_rpc_result *res = ask(r, m, bytes);
    assert_int_equal(res->status, 3); /* INVALID_ARGUMENT */
    if (!memmem(res->message.p, res->message.n, words, strlen(words))) {
        fail_msg("'%s' is not in '%.*s'", words, TL_STR_FMT(res->message));
    }
    tl_rpc_result_free(res);
    is_served(r);
}

/* A field of bytes in front of what stands at *at already. */
static void prepend(char *buf, size_t *at, size_t end, int field)
{
    size_t n = end - *at;
    char length[8];
    size_t k = 0;
    do {
        length[k++] = (char)((n & 0x7f) | (n > 0x7f ? 0x80 : 0));
        n >>= 7;
    } while (n);
    *at -= k;
    memcpy(buf + *at, length, k);
    buf[--*at] = (char)(field << 3 | 2);
}

/* A failure in a failure in a failure ... */
static void deep_nesting_is_refused(void **state)
{
    struct rig *r = *state;
    enum { LEVELS = 100000, CAP = LEVELS * 5 + 64 };
    char *buf = tl_mem_alloc(CAP);
    size_t at = CAP;
    for (int i = 0; i < LEVELS; i++) {
        prepend(buf, &at, CAP, 4); /* Failure.cause */
    }
    prepend(buf, &at, CAP, 3); /* RespondWorkflowTaskFailedRequest.failure */
    is_refused(r, TL_M_RespondWorkflowTaskFailed, tl_str_n(buf + at, CAP - at), "nested");
    tl_mem_free(buf);
}

static void text_that_is_no_utf8_is_refused(void **state)
{
    struct rig *r = *state;
    TpWs__SignalWorkflowExecutionRequest req = TP_WS__SIGNAL_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpCommon__WorkflowExecution execution = TP_COMMON__WORKFLOW_EXECUTION__INIT;
    req.namespace_ = (char *)(uintptr_t) "default";
    req.signal_name = (char *)(uintptr_t) "go";
    req.workflow_execution = &execution;
    execution.workflow_id = (char *)(uintptr_t) "idXX";
    struct tl_str bytes = encoded(r, &req);
    char *id = memmem(bytes.p, bytes.n, "idXX", 4);
    assert_non_null(id);
    static const char *const wrong[] = {"\xff\xfe", "\xc0\xaf", "\xc3(", "\x80\x80"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        memcpy(id + 2, wrong[i], 2);
        is_refused(r, TL_M_SignalWorkflowExecution, bytes, "UTF-8");
    }
}

static void cut_messages_are_refused(void **state)
{
    struct rig *r = *state;
    TpWs__CountWorkflowExecutionsRequest req = TP_WS__COUNT_WORKFLOW_EXECUTIONS_REQUEST__INIT;
    req.namespace_ = (char *)(uintptr_t) "default";
    struct tl_str bytes = encoded(r, &req);
    for (size_t n = 1; n < bytes.n; n++) {
        is_refused(r, TL_M_CountWorkflowExecutions, tl_str_n(bytes.p, n), "");
    }
    is_refused(r, TL_M_CountWorkflowExecutions,
               TL_STR_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "");
}

static void a_namespace_that_is_not_there_is_told(void **state)
{
    struct rig *r = *state;
    TpWs__CountWorkflowExecutionsRequest req = TP_WS__COUNT_WORKFLOW_EXECUTIONS_REQUEST__INIT;
    struct tl_client_error err = {0};
    req.namespace_ = (char *)(uintptr_t) "nowhere";
    struct tl_rpc_result *res = ask(r, TL_M_CountWorkflowExecutions, encoded(r, &req));
    assert_int_equal(res->status, 5);
    tl_client_error_from_result(res, &r->arena, &err);
    assert_int_equal(err.kind, TL_CE_NAMESPACE_NOT_FOUND);
    assert_non_null(strstr(err.error.message, "nowhere"));
    tl_rpc_result_free(res);
}

/* --- raw connections ------------------------------------------------------------------------------ */

static int connect_raw(struct rig *r)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)tl_grpc_server_port(r->port)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void put_frame(struct tl_buf *b, int type, int flags, int stream, struct tl_str body)
{
    const char head[] = {
        (char)(body.n >> 16), (char)(body.n >> 8), (char)body.n, (char)type, (char)flags, 0, 0, 0,
        (char)stream};
    tl_buf_put_str(b, tl_str_n(head, sizeof head));
    tl_buf_put_str(b, body);
}

/* A header that goes into no table. */
static void put_header(struct tl_buf *b, const char *name, const char *value)
{
    tl_buf_putc(b, 0);
    tl_buf_putc(b, (char)strlen(name));
    tl_buf_puts(b, name);
    tl_buf_putc(b, (char)strlen(value));
    tl_buf_puts(b, value);
}

/* One unary call on a stream. */
static void put_call(struct tl_buf *all, int stream, const char *path, struct tl_str message)
{
    struct tl_buf part;
    tl_buf_init(&part, 1 << 20);
    put_header(&part, ":method", "POST");
    put_header(&part, ":scheme", "http");
    put_header(&part, ":path", path);
    put_header(&part, ":authority", "localhost");
    put_header(&part, "content-type", "application/grpc");
    put_header(&part, "te", "trailers");
    put_frame(all, 1, 4, stream, tl_buf_str(&part));
    tl_buf_clear(&part);
    const char prefix[] = {0, 0, 0, (char)(message.n >> 8), (char)message.n};
    tl_buf_put_str(&part, tl_str_n(prefix, sizeof prefix));
    tl_buf_put_str(&part, message);
    put_frame(all, 0, 1, stream, tl_buf_str(&part));
    tl_buf_deinit(&part);
}

/* The whole request of one unary call, from the connection's first byte. */
static struct tl_str raw_call(struct rig *r, const char *path, struct tl_str message)
{
    struct tl_buf all;
    tl_buf_init(&all, 1 << 20);
    tl_buf_puts(&all, PREFACE);
    put_frame(&all, 4, 0, 0, (struct tl_str){0});
    put_call(&all, 1, path, message);
    struct tl_str bytes = tl_arena_str(&r->arena, tl_buf_str(&all));
    tl_buf_deinit(&all);
    return bytes;
}

/* Sends and reads on until the words have come, which gRPC writes uncompressed the first time. */
static void is_answered(int fd, struct tl_str request, const char *words)
{
    char back[65536];
    size_t n = 0;
    assert_int_equal(send(fd, request.p, request.n, MSG_NOSIGNAL), request.n);
    while (!memmem(back, n, words, strlen(words))) {
        ssize_t part = recv(fd, back + n, sizeof back - n, 0);
        if (part <= 0) {
            fail_msg("'%s' did not come", words);
        }
        n += (size_t)part;
    }
}

/* Answered UNIMPLEMENTED with the name that was asked for, and the connection goes on. */
static void an_unknown_method_is_told_by_its_name(void **state)
{
    struct rig *r = *state;
    static const char *const paths[] = {"/" WS "/MakeCoffee", "/no.such.Service/GetSystemInfo", "/",
                                        "/a/b/c"};
    char words[256];
    struct tl_buf more;
    tl_buf_init(&more, 1 << 20);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        int fd = connect_raw(r);
        snprintf(words, sizeof words, "grpc-message%cunknown service or method: %s",
                 (int)(strlen("unknown service or method: ") + strlen(paths[i])), paths[i]);
        is_answered(fd, raw_call(r, paths[i], (struct tl_str){0}), words);
        tl_buf_clear(&more);
        put_call(&more, 3, "/" WS "/GetSystemInfo", (struct tl_str){0});
        is_answered(fd, tl_buf_str(&more),
                    "grpc-status\1"
                    "0");
        close(fd);
    }
    int fd = connect_raw(r);
    is_answered(fd, raw_call(r, paths[0], (struct tl_str){0}),
                "grpc-status\2"
                "12");
    close(fd);
    tl_buf_deinit(&more);
}

/* A method of the table that this server does not carry out. */
static void an_absent_method_is_told_by_its_name(void **state)
{
    struct rig *r = *state;
    struct tl_rpc_result *res = ask(r, TL_M_DeprecateNamespace, (struct tl_str){0});
    assert_int_equal(res->status, 12);
    assert_non_null(memmem(res->message.p, res->message.n, "DeprecateNamespace", 18));
    tl_rpc_result_free(res);
    is_served(r);
}

/* Fifty readers that ask for 1.9 MB and take none of it: the others are served, and the server ends. */
static void readers_that_do_not_read_hold_up_nobody(void **state)
{
    struct rig *r = *state;
    enum { READERS = 50, INPUT_BYTES = 1900000 };
    int fds[READERS];
    TpWs__StartWorkflowExecutionRequest start = TP_WS__START_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpCommon__WorkflowType type = TP_COMMON__WORKFLOW_TYPE__INIT;
    TpTq__TaskQueue queue = TP_TQ__TASK_QUEUE__INIT;
    TpCommon__Payloads input = TP_COMMON__PAYLOADS__INIT;
    TpCommon__Payload payload = TP_COMMON__PAYLOAD__INIT, *payloads[] = {&payload};
    char *big = tl_mem_alloc(INPUT_BYTES);
    start.namespace_ = (char *)(uintptr_t) "default";
    start.workflow_id = (char *)(uintptr_t) "big";
    start.request_id = (char *)(uintptr_t) "1";
    start.workflow_type = &type;
    type.name = (char *)(uintptr_t) "T";
    start.task_queue = &queue;
    queue.name = (char *)(uintptr_t) "q";
    start.input = &input;
    input.payloads = payloads;
    input.n_payloads = 1;
    payload.data = tl_pb_bytes_view(tl_str_n(big, INPUT_BYTES));
    struct tl_rpc_result *res = ask(r, TL_M_StartWorkflowExecution, encoded(r, &start));
    assert_int_equal(res->status, 0);
    tl_rpc_result_free(res);
    tl_mem_free(big);

    TpWs__GetWorkflowExecutionHistoryRequest get =
        TP_WS__GET_WORKFLOW_EXECUTION_HISTORY_REQUEST__INIT;
    TpCommon__WorkflowExecution execution = TP_COMMON__WORKFLOW_EXECUTION__INIT;
    get.namespace_ = start.namespace_;
    get.execution = &execution;
    execution.workflow_id = start.workflow_id;
    struct tl_str request = raw_call(r, "/" WS "/GetWorkflowExecutionHistory", encoded(r, &get));
    int64_t began = tl_world_mono_ns(tl_world_real());
    for (int i = 0; i < READERS; i++) {
        fds[i] = connect_raw(r);
        assert_true(send(fds[i], request.p, request.n, MSG_NOSIGNAL) > 0);
    }
    for (int i = 0; i < 50; i++) {
        is_served(r);
    }
    assert_true(tl_world_mono_ns(tl_world_real()) - began < 20 * TL_NS_PER_S);
    res =
        ask(r, TL_M_GetWorkflowExecutionHistory, encoded(r, &get)); /* one that reads has it all */
    assert_int_equal(res->status, 0);
    assert_true(res->body.n > INPUT_BYTES);
    tl_rpc_result_free(res);
    for (int i = 0; i < READERS; i++) {
        close(fds[i]);
    }
    is_served(r);
}

/* No line of log for each connection that brings garbage. */
static void garbage_does_not_fill_the_log(void **state)
{
    struct rig *r = *state;
    enum { CONNECTIONS = 300 };
    char bytes[256], back[4096];
    is_served(r);
    TL_LOG(TL_LOG_WARN, "test.line", TL_I("counted", 1));
    int before = atomic_load(&r->lines);
    assert_true(before > 0);
    for (unsigned round = 0; round < CONNECTIONS; round++) {
        for (size_t i = 0; i < sizeof bytes; i++) {
            bytes[i] = (char)((i + round + 1) * 2654435761u >> 11);
        }
        int fd = connect_raw(r);
        if (round % 3 == 0) { /* as a browser would */
            static const char http[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
            memcpy(bytes, http, sizeof http - 1);
        }
        assert_true(send(fd, bytes, sizeof bytes, MSG_NOSIGNAL) > 0);
        shutdown(fd, SHUT_WR);
        while (recv(fd, back, sizeof back, 0) > 0) {
        }
        close(fd);
    }
    is_served(r);
    int lines = atomic_load(&r->lines) - before;
    print_message("%d lines for %d connections\n", lines, CONNECTIONS);
    assert_in_range(lines, 0, 10);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(deep_nesting_is_refused),
        CASE(text_that_is_no_utf8_is_refused),
        CASE(cut_messages_are_refused),
        CASE(a_namespace_that_is_not_there_is_told),
        CASE(an_unknown_method_is_told_by_its_name),
        CASE(an_absent_method_is_told_by_its_name),
        CASE(readers_that_do_not_read_hold_up_nobody),
        CASE(garbage_does_not_fill_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
