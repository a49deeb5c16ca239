/* Goal: both ends of gRPC carry bytes, errors with details, deadlines and cancellations as the
 * in-process transport does, refuse what they must, and leave nothing behind.
 * Method: server and channel in one process over a real port, with a service played by hand;
 * certificates made by openssl for TLS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/world.h"
#include "rpc/grpc.h"

#define WAIT_MS 5000

/* A service that echoes unary calls at once and parks long polls until they are cancelled. */
struct service {
    struct tl_rpc_service face;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    int parked, cancelled;
    bool answer_error;
    int64_t timeout_ns;
    struct tl_rpc_request *held;
};

static void handle(void *ud, struct tl_rpc_request *req)
{
    struct service *s = ud;
    struct tl_str none = {0};
    pthread_mutex_lock(&s->mutex);
    s->timeout_ns = req->timeout_ns;
    bool many = req->method == TL_M_PollActivityTaskQueue; /* answered by their cancellation */
    bool park = many || req->method == TL_M_PollWorkflowTaskQueue;
    s->parked += park;
    s->held = park && !many ? req : NULL;
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->mutex);
    if (park) {
        return;
    }
    if (s->answer_error) {
        tl_rpc_reply(req, 5, TL_STR_LIT("no such thing: \xc3\xa4"), tl_str_n("\0\1\2\xff", 4),
                     none);
    } else {
        tl_rpc_reply(req, 0, none, none, req->body);
    }
}

static void cancelled(void *ud, struct tl_rpc_request *req)
{
    struct service *s = ud;
    struct tl_str none = {0};
    pthread_mutex_lock(&s->mutex);
    s->cancelled++;
    bool answer = s->held == req || req->method == TL_M_PollActivityTaskQueue;
    s->held = NULL;
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->mutex);
    if (answer) {
        tl_rpc_reply(req, 1, TL_STR_LIT("the call was cancelled"), none, none);
    }
    tl_rpc_request_release(req);
}

static int64_t last_timeout_ns(struct service *s)
{
    pthread_mutex_lock(&s->mutex);
    int64_t ns = s->timeout_ns;
    pthread_mutex_unlock(&s->mutex);
    return ns;
}

static void service_init(struct service *s)
{
    memset(s, 0, sizeof *s);
    s->face = (struct tl_rpc_service){s, handle, cancelled};
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->cond, NULL);
}

static bool wait_for(struct service *s, const int *value, int at_least)
{
    for (int i = 0; i < WAIT_MS; i++) {
        pthread_mutex_lock(&s->mutex);
        bool there = *value >= at_least;
        pthread_mutex_unlock(&s->mutex);
        if (there) {
            return true;
        }
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    return false;
}

/* What a call ended with. */
struct end {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    struct tl_rpc_result *result;
    int count;
};

static void done(void *ud, struct tl_rpc_result *res)
{
    struct end *e = ud;
    pthread_mutex_lock(&e->mutex);
    e->result = res;
    e->count++;
    pthread_cond_broadcast(&e->cond);
    pthread_mutex_unlock(&e->mutex);
}

/* For many calls whose results say nothing. */
static void done_many(void *ud, struct tl_rpc_result *res)
{
    struct end *e = ud;
    pthread_mutex_lock(&e->mutex);
    e->count++;
    pthread_mutex_unlock(&e->mutex);
    tl_rpc_result_free(res);
}

static void end_init(struct end *e)
{
    memset(e, 0, sizeof *e);
    pthread_mutex_init(&e->mutex, NULL);
    pthread_cond_init(&e->cond, NULL);
}

static struct tl_rpc_result *end_wait(struct end *e)
{
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += 60;
    pthread_mutex_lock(&e->mutex);
    while (!e->result && pthread_cond_timedwait(&e->cond, &e->mutex, &at) == 0) {
    }
    struct tl_rpc_result *r = e->result;
    e->result = NULL;
    assert_int_equal(e->count, 1);
    e->count = 0;
    pthread_mutex_unlock(&e->mutex);
    assert_non_null(r);
    return r;
}

static struct tl_grpc_server *open_server(struct service *s)
{
    struct tl_grpc_server *server = NULL;
    struct tl_error err;
    struct tl_grpc_server_options o = {.ip = "127.0.0.1"};
    assert_int_equal(tl_grpc_server_open(&server, &o, &s->face, &err), TL_OK);
    assert_true(tl_grpc_server_port(server) > 0);
    return server;
}

static struct tl_channel *open_channel_with(int port, struct tl_grpc_channel_options o)
{
    struct tl_channel *ch = NULL;
    struct tl_error err = {0};
    char address[64];
    snprintf(address, sizeof address, "localhost:%d", port);
    o.address = address;
    tl_rc rc = tl_grpc_channel_open(&ch, &o, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(rc, TL_OK);
    return ch;
}

static struct tl_channel *open_channel(int port)
{
    return open_channel_with(
        port, (struct tl_grpc_channel_options){.namespace_name = "default", .api_key = "secret"});
}

static struct tl_rpc_result *call(struct tl_channel *ch, enum tl_method m, struct tl_str body,
                                  int64_t timeout_ns)
{
    struct end e;
    end_init(&e);
    struct tl_rpc_call *c = tl_channel_call(ch, m, body, timeout_ns, done, &e);
    struct tl_rpc_result *r = end_wait(&e);
    tl_rpc_cancel(c); /* too late: no second end */
    tl_rpc_call_release(c);
    return r;
}

/* --- cases ------------------------------------------------------------------------------------- */

static void carries_bytes_of_every_size(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 200, 70000, 5 * 1024 * 1024, 40 * 1024 * 1024};
    struct service s;
    service_init(&s);
    struct tl_grpc_server *server = open_server(&s);
    struct tl_channel *ch = open_channel(tl_grpc_server_port(server));
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *bytes = tl_mem_alloc(sizes[i] + 1);
        for (size_t k = 0; k < sizes[i]; k++) {
            bytes[k] = (char)(k * 31 + i);
        }
        struct tl_rpc_result *r =
            call(ch, TL_M_GetSystemInfo, tl_str_n(bytes, sizes[i]), 20 * TL_NS_PER_S);
        assert_int_equal(r->status, 0);
        assert_int_equal(r->method, TL_M_GetSystemInfo);
        assert_true(tl_str_eq(r->body, tl_str_n(bytes, sizes[i])));
        tl_rpc_result_free(r);
        tl_mem_free(bytes);
    }
    tl_channel_close(ch);
    tl_grpc_server_close(server);
}

static void errors_keep_status_message_and_details(void **state)
{
    (void)state;
    struct service s;
    service_init(&s);
    s.answer_error = true;
    struct tl_grpc_server *server = open_server(&s);
    struct tl_channel *ch = open_channel(tl_grpc_server_port(server));
    struct tl_rpc_result *r = call(ch, TL_M_DescribeNamespace, TL_STR_LIT("x"), 0);
    assert_int_equal(r->status, 5);
    assert_true(tl_str_eqc(r->message, "no such thing: \xc3\xa4"));
    assert_true(tl_str_eq(r->details, tl_str_n("\0\1\2\xff", 4)));
    assert_int_equal(last_timeout_ns(&s), 0);
    tl_rpc_result_free(r);
    tl_channel_close(ch);
    tl_grpc_server_close(server);
}

static void deadline_and_cancel_reach_the_service(void **state)
{
    (void)state;
    struct service s;
    struct end e;
    service_init(&s);
    end_init(&e);
    struct tl_grpc_server *server = open_server(&s);
    struct tl_channel *ch = open_channel(tl_grpc_server_port(server));
    struct tl_rpc_result *r =
        call(ch, TL_M_PollWorkflowTaskQueue, TL_STR_LIT("x"), 300 * TL_NS_PER_MS);
    assert_int_equal(r->status, 4);
    tl_rpc_result_free(r);
    assert_true(wait_for(&s, &s.cancelled, 1));
    /* The wire carries it in milliseconds, rounded up at both ends. */
    assert_true(last_timeout_ns(&s) > 0 && last_timeout_ns(&s) <= 305 * TL_NS_PER_MS);

    struct tl_rpc_call *c =
        tl_channel_call(ch, TL_M_PollWorkflowTaskQueue, TL_STR_LIT("x"), 0, done, &e);
    assert_true(wait_for(&s, &s.parked, 2));
    assert_false(tl_rpc_request_is_cancelled(s.held));
    tl_rpc_cancel(c);
    tl_rpc_cancel(c);
    r = end_wait(&e);
    assert_int_equal(r->status, 1);
    tl_rpc_result_free(r);
    tl_rpc_call_release(c);
    assert_true(wait_for(&s, &s.cancelled, 2));
    tl_channel_close(ch);
    tl_grpc_server_close(server);
    assert_int_equal(s.cancelled, 2);
}

static void closing_answers_parked_polls(void **state)
{
    (void)state;
    struct service s;
    struct end e;
    service_init(&s);
    end_init(&e);
    struct tl_grpc_server *server = open_server(&s);
    int port = tl_grpc_server_port(server);
    struct tl_channel *ch = open_channel(port);
    struct tl_rpc_call *c =
        tl_channel_call(ch, TL_M_PollWorkflowTaskQueue, TL_STR_LIT("x"), 0, done, &e);
    assert_true(wait_for(&s, &s.parked, 1));
    int64_t began = tl_world_mono_ns(tl_world_real());
    tl_grpc_server_close(server);
    assert_true(tl_world_mono_ns(tl_world_real()) - began < 900 * TL_NS_PER_MS);
    struct tl_rpc_result *r = end_wait(&e);
    assert_int_equal(r->status, 14);
    assert_true(tl_str_eqc(r->message, "the server is shutting down"));
    tl_rpc_result_free(r);
    tl_rpc_call_release(c);
    r = call(ch, TL_M_GetSystemInfo, TL_STR_LIT("x"), 5 * TL_NS_PER_S);
    assert_int_equal(r->status, 14);
    tl_rpc_result_free(r);
    tl_channel_close(ch);
}

static void a_port_in_use_is_told(void **state)
{
    (void)state;
    struct service s;
    struct tl_error err;
    struct tl_grpc_server *server = NULL, *second = NULL;
    service_init(&s);
    server = open_server(&s);
    struct tl_grpc_server_options o = {.ip = "127.0.0.1", .port = tl_grpc_server_port(server)};
    assert_int_equal(tl_grpc_server_open(&second, &o, &s.face, &err), TL_EUNAVAILABLE);
    assert_non_null(strstr(err.message, "in use"));
    o = (struct tl_grpc_server_options){.ip = "192.0.2.1"};
    assert_int_equal(tl_grpc_server_open(&second, &o, &s.face, &err), TL_EINVAL);
    o = (struct tl_grpc_server_options){.ip = "no.such.host.invalid"};
    assert_int_equal(tl_grpc_server_open(&second, &o, &s.face, &err), TL_EINVAL);
    o = (struct tl_grpc_server_options){.cert_path = "/no/such/file", .key_path = "/no/such/file"};
    assert_int_equal(tl_grpc_server_open(&second, &o, &s.face, &err), TL_EINVAL);
    assert_non_null(strstr(err.message, "/no/such/file"));
    o = (struct tl_grpc_server_options){.cert_path = "/no/such/file"};
    assert_int_equal(tl_grpc_server_open(&second, &o, &s.face, &err), TL_EINVAL);
    tl_grpc_server_close(server);
}

static void wrong_options_are_told(void **state)
{
    (void)state;
    static const char *const bad[] = {NULL,  "",           "host",     "host:", ":7233",
                                      "h:0", "http://h:1", "h:123456", "h:x"};
    struct tl_channel *ch = NULL;
    struct tl_error err;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct tl_grpc_channel_options o = {.address = bad[i]};
        assert_int_equal(tl_grpc_channel_open(&ch, &o, &err), TL_EINVAL);
    }
    static const struct tl_grpc_header upper = {"Upper", {"x", 1}}, line = {"fine", {"a\nb", 3}},
                                       own = {"grpc-timeout", {"1S", 2}},
                                       both = {"authorization", {"Basic x", 7}};
    static const struct {
        struct tl_grpc_channel_options o;
        const char *message;
    } rows[] = {
        {{.metadata = &upper, .metadata_count = 1}, "'Upper'"},
        {{.metadata = &line, .metadata_count = 1}, "'fine'"},
        {{.metadata = &own, .metadata_count = 1}, "'grpc-timeout'"},
        {{.metadata = &both, .metadata_count = 1, .api_key = "k"}, "not both"},
        {{.api_key = "key\n"}, "API key"},
        {{.tls = true, .server_root_ca_cert.path = "/none"}, "server_root_ca_cert '/none'"},
        {{.tls = true, .server_root_ca_cert.text = "/a/file.pem"}, "server_root_ca_cert_path"},
        {{.tls = true, .server_root_ca_cert = {"a", "b"}}, "not both"},
        {{.tls = true, .client_cert.text = "-----BEGIN "}, "client_private_key is missing"},
        {{.tls = true, .client_private_key.text = "-----BEGIN "}, "client_cert is missing"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tl_grpc_channel_options o = rows[i].o;
        o.address = "localhost:1";
        assert_int_equal(tl_grpc_channel_open(&ch, &o, &err), TL_EINVAL);
        assert_non_null(strstr(err.message, rows[i].message));
    }
}

static const char *tell_key(void *ud)
{
    int *asked = ud;
    return ++*asked == 2 ? NULL : "key";
}

/* Each call looks whether it is time; a function that cannot tell leaves the last key. */
static void an_api_key_is_asked_for_again(void **state)
{
    (void)state;
    struct service s;
    struct tl_error err;
    struct tl_channel *ch;
    char address[64];
    int asked = 0;
    service_init(&s);
    struct tl_grpc_server *server = open_server(&s);
    snprintf(address, sizeof address, "127.0.0.1:%d", tl_grpc_server_port(server));
    struct tl_grpc_channel_options o = {
        .address = address, .api_key_fn = tell_key, .api_key_ud = &asked, .api_key_refresh_ms = 1};
    assert_int_equal(tl_grpc_channel_open(&ch, &o, &err), TL_OK);
    assert_int_equal(asked, 1);
    for (int i = 0; i < 3; i++) {
        usleep(5000);
        struct tl_rpc_result *r = call(ch, TL_M_GetSystemInfo, TL_STR_LIT("x"), 5 * TL_NS_PER_S);
        assert_int_equal(r->status, 0);
        tl_rpc_result_free(r);
    }
    assert_int_equal(asked, 4);
    tl_channel_close(ch);
    tl_grpc_server_close(server);
    o.api_key_path = "/no/such.key";
    assert_int_equal(tl_grpc_channel_open(&ch, &o, &err), TL_EINVAL);
    assert_non_null(strstr(err.message, "not two of them"));
    o.api_key_fn = NULL;
    assert_int_equal(tl_grpc_channel_open(&ch, &o, &err), TL_EINVAL);
    assert_non_null(strstr(err.message, "cannot read the API key '/no/such.key'"));
}

/* A key is never cut: what cannot be one is refused, with the file's name and without its text. */
static void an_api_key_file_is_taken_whole_or_refused(void **state)
{
    (void)state;
    enum { MAX = 64 * 1024 };
    static const struct {
        size_t bytes;
        const char *tail;
        size_t tail_bytes;
        const char *message; /* NULL: fine */
    } rows[] = {
        {MAX, "\n", 1, NULL},
        {MAX - 1, "k\r\n \n", 5, NULL},
        {MAX + 1, "", 0, "is longer than 65536 bytes"},
        {MAX - 10, "\nanother key", 12, "is longer than 65536 bytes"},
        {10, "\0more", 5, "characters that cannot be sent"},
        {0, " \n", 2, "is empty"},
    };
    char path[] = "/tmp/api-key-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    static char text[MAX + 64];
    memset(text, 'k', sizeof text);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(pwrite(fd, text, rows[i].bytes, 0), (ssize_t)rows[i].bytes);
        assert_int_equal(pwrite(fd, rows[i].tail, rows[i].tail_bytes, (off_t)rows[i].bytes),
                         (ssize_t)rows[i].tail_bytes);
        struct tl_grpc_channel_options o = {.address = "localhost:1", .api_key_path = path};
        struct tl_channel *ch = NULL;
        struct tl_error err = {0};
        tl_rc rc = tl_grpc_channel_open(&ch, &o, &err);
        if (!rows[i].message) {
            assert_int_equal(rc, TL_OK);
            tl_channel_close(ch);
            continue;
        }
        assert_int_equal(rc, TL_EINVAL);
        if (!strstr(err.message, rows[i].message) || !strstr(err.message, path) ||
            strstr(err.message, "kkk")) {
            fail_msg("row %zu: %s", i, err.message);
        }
    }
    struct tl_grpc_channel_options o = {.address = "localhost:1", .api_key_path = "/tmp"};
    struct tl_channel *ch = NULL;
    struct tl_error err;
    assert_int_equal(tl_grpc_channel_open(&ch, &o, &err), TL_EINVAL);
    assert_non_null(strstr(err.message, "cannot read the API key '/tmp': Is a directory"));
    close(fd);
    unlink(path);
}

/* What cannot be sent leaves what was there; calls go on all the while. */
static void api_key_and_metadata_can_change(void **state)
{
    (void)state;
    struct service s;
    struct tl_error err;
    service_init(&s);
    struct tl_grpc_server *server = open_server(&s);
    struct tl_channel *ch = open_channel(tl_grpc_server_port(server));
    struct tl_grpc_header many[80];
    for (size_t i = 0; i < 80; i++) {
        many[i] = (struct tl_grpc_header){"x-many", {"v", 1}};
    }
    const struct tl_grpc_header good = {"x-trace-bin", {"\0\xff", 2}},
                                key = {"authorization", {"Basic x", 7}};
    assert_int_equal(tl_grpc_channel_set_api_key(ch, "bad\n", &err), TL_EINVAL);
    assert_int_equal(tl_grpc_channel_set_metadata(ch, &key, 1, &err), TL_EINVAL);
    assert_int_equal(tl_grpc_channel_set_metadata(ch, many, 80, &err), TL_EINVAL);
    assert_int_equal(tl_grpc_channel_set_metadata(ch, &good, 1, &err), TL_OK);
    assert_int_equal(tl_grpc_channel_set_api_key(ch, NULL, &err), TL_OK);
    assert_int_equal(tl_grpc_channel_set_metadata(ch, &key, 1, &err), TL_OK);
    assert_int_equal(tl_grpc_channel_set_api_key(ch, "again", &err), TL_EINVAL);
    assert_int_equal(tl_grpc_channel_set_metadata(ch, many, 60, &err), TL_OK);
    assert_int_equal(tl_grpc_channel_set_api_key(ch, "again", &err), TL_OK);
    struct tl_rpc_result *r = call(ch, TL_M_GetSystemInfo, TL_STR_LIT("x"), 5 * TL_NS_PER_S);
    assert_int_equal(r->status, 0);
    tl_rpc_result_free(r);
    tl_channel_close(ch);
    tl_grpc_server_close(server);
}

/* Bytes that are no HTTP/2 close their own connection and disturb nobody. */
static void garbage_disturbs_nobody(void **state)
{
    (void)state;
    struct service s;
    char back[4096];
    service_init(&s);
    struct tl_grpc_server *server = open_server(&s);
    struct tl_channel *ch = open_channel(tl_grpc_server_port(server));
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)tl_grpc_server_port(server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (unsigned round = 0; round < 20; round++) {
        char bytes[512];
        for (size_t i = 0; i < sizeof bytes; i++) {
            bytes[i] = (char)((i + 1) * 2654435761u >> (round % 13));
        }
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
        assert_true(send(fd, bytes, sizeof bytes, MSG_NOSIGNAL) > 0);
        shutdown(fd, SHUT_WR);
        while (recv(fd, back, sizeof back, 0) > 0) {
        }
        close(fd);
        struct tl_rpc_result *r = call(ch, TL_M_GetSystemInfo, TL_STR_LIT("x"), 5 * TL_NS_PER_S);
        assert_int_equal(r->status, 0);
        tl_rpc_result_free(r);
    }
    tl_channel_close(ch);
    tl_grpc_server_close(server);
}

/* What 300 parked polls hold at both ends, in a process that holds nothing else meanwhile. */
static void a_parked_poll_is_small(void **state)
{
    (void)state;
    enum { POLLS = 300, BYTES_MAX = 40 * 1024 };
    struct service s;
    struct end e;
    struct tl_rpc_call *calls[POLLS];
    service_init(&s);
    end_init(&e);
    struct tl_grpc_server *server = open_server(&s);
    struct tl_channel *ch = open_channel(tl_grpc_server_port(server));
    tl_rpc_result_free(call(ch, TL_M_GetSystemInfo, TL_STR_LIT("x"), 5 * TL_NS_PER_S));
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < POLLS; i++) {
        calls[i] =
            tl_channel_call(ch, TL_M_PollActivityTaskQueue, TL_STR_LIT("queue"), 0, done_many, &e);
    }
    assert_true(wait_for(&s, &s.parked, POLLS));
    size_t each = (mallinfo2().uordblks - before) / POLLS;
    print_message("%zu bytes for a parked poll, both ends\n", each);
    assert_true(each < BYTES_MAX);
    for (int i = 0; i < POLLS; i++) {
        tl_rpc_cancel(calls[i]);
        tl_rpc_call_release(calls[i]);
    }
    assert_true(wait_for(&s, &s.cancelled, POLLS));
    tl_channel_close(ch);
    tl_grpc_server_close(server);
    assert_int_equal(e.count, POLLS);
}

/* Refused with both sizes, by a server that lives on. */
static void a_large_request_is_refused_by_size(void **state)
{
    (void)state;
    struct service s;
    struct tl_error err = {0};
    struct tl_grpc_server *server = NULL;
    service_init(&s);
    struct tl_grpc_server_options o = {.ip = "127.0.0.1", .request_bytes_max = 4 * 1024 * 1024};
    assert_int_equal(tl_grpc_server_open(&server, &o, &s.face, &err), TL_OK);
    struct tl_channel *ch = open_channel(tl_grpc_server_port(server));
    size_t n = 5 * 1024 * 1024;
    char *bytes = tl_mem_alloc(n);
    struct tl_rpc_result *r = call(ch, TL_M_GetSystemInfo, tl_str_n(bytes, n), 5 * TL_NS_PER_S);
    assert_int_equal(r->status, 8);
    assert_non_null(memmem(r->message.p, r->message.n, "5242880 vs. 4194304", 19));
    assert_true(tl_rpc_result_is_too_large(r));
    tl_rpc_result_free(r);
    r = call(ch, TL_M_GetSystemInfo, tl_str_n(bytes, (size_t)4 * 1024 * 1024), 5 * TL_NS_PER_S);
    assert_int_equal(r->status, 0);
    assert_false(tl_rpc_result_is_too_large(r));
    tl_rpc_result_free(r);
    tl_mem_free(bytes);
    tl_channel_close(ch);
    tl_grpc_server_close(server);
}

static int connect_raw(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* Connections that say nothing, or stop in the middle of a frame, hold up neither calls nor the end. */
static void silent_and_broken_connections_hold_up_nobody(void **state)
{
    (void)state;
    /* The preface, SETTINGS, and a HEADERS frame of 100 bytes of which 3 come. */
    static const char cut[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
                              "\0\0\x64\1\4\0\0\0\1xyz";
    enum { CONNECTIONS = 50 };
    struct service s;
    int fds[CONNECTIONS];
    service_init(&s);
    struct tl_grpc_server *server = open_server(&s);
    struct tl_channel *ch = open_channel(tl_grpc_server_port(server));
    for (int i = 0; i < CONNECTIONS; i++) {
        fds[i] = connect_raw(tl_grpc_server_port(server));
        if (i % 2) {
            assert_true(send(fds[i], cut, sizeof cut - 1, MSG_NOSIGNAL) > 0);
        }
        if (i % 3 == 2) {
            close(fds[i]);
        }
    }
    struct tl_rpc_result *r = call(ch, TL_M_GetSystemInfo, TL_STR_LIT("x"), 5 * TL_NS_PER_S);
    assert_int_equal(r->status, 0);
    tl_rpc_result_free(r);
    tl_channel_close(ch);
    int64_t began = tl_world_mono_ns(tl_world_real());
    tl_grpc_server_close(server);
    assert_true(tl_world_mono_ns(tl_world_real()) - began < 3 * TL_NS_PER_S);
    for (int i = 0; i < CONNECTIONS; i++) {
        if (i % 3 != 2) {
            close(fds[i]);
        }
    }
}

/* Many calls from several threads, polls among them that are cancelled. */
#define CALLERS 4
#define CALLS_EACH 300

static void *caller(void *ud)
{
    struct tl_channel *ch = ud;
    for (int i = 0; i < CALLS_EACH; i++) {
        struct tl_rpc_result *r =
            call(ch, TL_M_GetSystemInfo, TL_STR_LIT("ping"), 20 * TL_NS_PER_S);
        bool good = r->status == 0 && tl_str_eqc(r->body, "ping");
        tl_rpc_result_free(r);
        if (!good) {
            return NULL;
        }
    }
    return ch;
}

static void many_calls_at_once(void **state)
{
    (void)state;
    struct service s;
    pthread_t threads[CALLERS];
    service_init(&s);
    struct tl_grpc_server *server = open_server(&s);
    struct tl_channel *ch = open_channel(tl_grpc_server_port(server));
    for (int i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, caller, ch), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        void *good = NULL;
        pthread_join(threads[i], &good);
        assert_ptr_equal(good, ch);
    }
    tl_channel_close(ch);
    tl_grpc_server_close(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(carries_bytes_of_every_size),
        cmocka_unit_test(errors_keep_status_message_and_details),
        cmocka_unit_test(deadline_and_cancel_reach_the_service),
        cmocka_unit_test(closing_answers_parked_polls),
        cmocka_unit_test(a_port_in_use_is_told),
        cmocka_unit_test(wrong_options_are_told),
        cmocka_unit_test(garbage_disturbs_nobody),
        cmocka_unit_test(a_parked_poll_is_small),
        cmocka_unit_test(a_large_request_is_refused_by_size),
        cmocka_unit_test(silent_and_broken_connections_hold_up_nobody),
        cmocka_unit_test(many_calls_at_once),
        cmocka_unit_test(api_key_and_metadata_can_change),
        cmocka_unit_test(an_api_key_is_asked_for_again),
        cmocka_unit_test(an_api_key_file_is_taken_whole_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
