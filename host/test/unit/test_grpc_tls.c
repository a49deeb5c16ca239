/* Goal: TLS lets in who has the right certificates, tells the others what is wrong in words, and
 * takes renewed files without a restart.
 * Method: server and client in one process over a real port, certificates made by openssl, a service
 * that echoes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netdb.h>
#include <sys/socket.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "client/client.h"
#include "proto/pb.h"
#include "rpc/grpc.h"

static char folder[] = "/tmp/test_grpc_tls_XXXXXX";

static const char *file(const char *name)
{
    static char paths[8][128];
    static unsigned turn;
    char *path = paths[turn++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static int run(const char *command)
{
    char line[1024];
    snprintf(line, sizeof line, "cd %s && { %s; } >>openssl.log 2>&1", folder, command);
    return system(line);
}

static int make_certificates(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) {
        return -1;
    }
    int failed =
        run("for n in server client other expired; do openssl req -x509 -newkey ec -pkeyopt "
            "ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=$n -addext "
            "subjectAltName=DNS:localhost -keyout $n.key -out $n.pem || exit 1; done");
    /* Only `openssl ca` makes a certificate of the past. */
    return failed ? failed
                  : run("openssl req -new -key expired.key -subj /CN=expired -addext "
                        "subjectAltName=DNS:localhost -out expired.csr && printf '[ca]\\n"
                        "default_ca=d\\n[d]\\ndatabase=index\\nserial=serial\\nnew_certs_dir=.\\n"
                        "default_md=sha256\\npolicy=p\\ncopy_extensions=copy\\n[p]\\n"
                        "commonName=supplied\\n' >ca.cnf && : >index && echo 01 >serial && "
                        "openssl ca -batch -notext -config ca.cnf -selfsign -keyfile expired.key "
                        "-in expired.csr -startdate 20200101000000Z -enddate 20200102000000Z "
                        "-out expired.pem");
}

static int remove_certificates(void **state)
{
    (void)state;
    char command[256];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static void handle(void *ud, struct tl_rpc_request *req)
{
    (void)ud;
    tl_rpc_reply(req, 0, (struct tl_str){0}, (struct tl_str){0}, req->body);
}

static void cancelled(void *ud, struct tl_rpc_request *req)
{
    (void)ud;
    tl_rpc_request_release(req);
}

static const struct tl_rpc_service echo = {NULL, handle, cancelled};

static struct tl_grpc_server *open_server_at(const char *ip, const char *name, bool mutual)
{
    struct tl_grpc_server *server = NULL;
    struct tl_error err = {0};
    char cert[32], key[32];
    snprintf(cert, sizeof cert, "%s.pem", name);
    snprintf(key, sizeof key, "%s.key", name);
    struct tl_grpc_server_options o = {.ip = ip,
                                       .cert_path = file(cert),
                                       .key_path = file(key),
                                       .client_ca_path = mutual ? file("client.pem") : NULL};
    assert_int_equal(tl_grpc_server_open(&server, &o, &echo, &err), TL_OK);
    return server;
}

static struct tl_grpc_server *open_server(const char *name, bool mutual)
{
    return open_server_at("127.0.0.1", name, mutual);
}

/* One call on a connection of its own. Returns its status; *message as the client tells it. */
static int call_once(int port, struct tl_grpc_channel_options o, char *message, size_t cap)
{
    struct tl_channel *ch = NULL;
    struct tl_client_error err = {0};
    struct tl_arena arena;
    char address[64];
    TpWs__GetSystemInfoRequest req = TP_WS__GET_SYSTEM_INFO_REQUEST__INIT;
    snprintf(address, sizeof address, "%s:%d", o.address ? o.address : "localhost", port);
    o.address = address;
    assert_int_equal(tl_grpc_channel_open(&ch, &o, &err.error), TL_OK);
    struct tl_client_config config = {.channel = ch, .retry = {.limited = true}};
    struct tl_client *client = tl_client_new(&config);
    tl_arena_init(&arena, (size_t)1 << 20);
    tl_rc rc = tl_client_call(client, TL_M_GetSystemInfo, &req, &arena, NULL, 0, &err);
    snprintf(message, cap, "%s", rc == TL_OK ? "" : err.error.message);
    tl_arena_deinit(&arena);
    tl_client_free(client);
    tl_channel_close(ch);
    return err.grpc_status;
}

struct row {
    const char *ca, *cert, *key, *domain, *host; /* host NULL: localhost */
    bool plain, any;
    const char *message; /* part of it; NULL: the call is answered */
};

static void check(int port, const struct row *row)
{
    char message[1024];
    struct tl_grpc_channel_options o = {
        .tls = !row->plain, .domain = row->domain, .address = row->host};
    o.server_root_ca_cert.path = row->ca ? file(row->ca) : NULL;
    o.client_cert.path = row->cert ? file(row->cert) : NULL;
    o.client_private_key.path = row->key ? file(row->key) : NULL;
    o.disable_host_verification = row->any;
    int status = call_once(port, o, message, sizeof message);
    if (!row->message) {
        assert_string_equal(message, "");
        assert_int_equal(status, 0);
    } else {
        assert_int_equal(status, 14);
        if (!strstr(message, row->message)) {
            fail_msg("'%s' is not in '%s'", row->message, message);
        }
    }
}

static void tells_what_is_wrong_with_certificates(void **state)
{
    (void)state;
    static const struct row mutual[] = {
        {.ca = "server.pem", .cert = "client.pem", .key = "client.key"},
        {.ca = "server.pem", .cert = "other.pem", .key = "other.key", .message = "client_cert"},
        {.ca = "server.pem", .message = "client_cert"},
        {.ca = "server.pem",
         .cert = "client.pem",
         .key = "other.key",
         .message = "client_private_key does not fit client_cert"},
        {.ca = "server.pem",
         .cert = "client.key",
         .key = "client.pem",
         .message = "the two are not swapped"},
        {.ca = "other.pem",
         .cert = "client.pem",
         .key = "client.key",
         .message = "server_root_ca_cert"},
        {.ca = "server.pem",
         .cert = "client.pem",
         .key = "client.key",
         .domain = "elsewhere",
         .message = "domain"},
        {.plain = true, .message = "TLS"},
        {.any = true, .cert = "client.pem", .key = "client.key"},
    };
    static const struct row expired[] = {
        {.ca = "expired.pem", .message = "expired"},
        {.any = true},
    };
    struct tl_grpc_server *server = open_server("server", true);
    for (size_t i = 0; i < sizeof mutual / sizeof mutual[0]; i++) {
        check(tl_grpc_server_port(server), &mutual[i]);
    }
    tl_grpc_server_close(server);
    server = open_server("expired", false);
    for (size_t i = 0; i < sizeof expired / sizeof expired[0]; i++) {
        check(tl_grpc_server_port(server), &expired[i]);
    }
    tl_grpc_server_close(server);
}

static void plain_servers_are_told_from_tls(void **state)
{
    (void)state;
    struct tl_grpc_server *server = NULL;
    struct tl_grpc_server_options o = {.ip = "127.0.0.1"};
    struct tl_error err = {0};
    assert_int_equal(tl_grpc_server_open(&server, &o, &echo, &err), TL_OK);
    check(tl_grpc_server_port(server),
          &(struct row){.ca = "server.pem", .message = "does not talk TLS"});
    tl_grpc_server_close(server);
}

static char *read_text(const char *name)
{
    FILE *f = fopen(file(name), "rb");
    char *text = tl_mem_alloc(65536);
    assert_non_null(f);
    size_t n = fread(text, 1, 65535, f);
    fclose(f);
    text[n] = 0;
    return text;
}

static void takes_pem_as_text(void **state)
{
    (void)state;
    char message[1024];
    char *ca = read_text("server.pem"), *cert = read_text("client.pem"),
         *key = read_text("client.key");
    struct tl_grpc_server *server = open_server("server", true);
    struct tl_grpc_channel_options o = {.tls = true,
                                        .server_root_ca_cert.text = ca,
                                        .client_cert.text = cert,
                                        .client_private_key.text = key};
    int status = call_once(tl_grpc_server_port(server), o, message, sizeof message);
    assert_string_equal(message, "");
    assert_int_equal(status, 0);
    tl_grpc_server_close(server);
    tl_mem_free(ca);
    tl_mem_free(cert);
    tl_mem_free(key);
}

/* Between the two files of a renewal, and with a broken one, the old certificate serves. */
static void renewed_files_are_used_without_a_restart(void **state)
{
    (void)state;
    const struct row old = {.ca = "server.pem"}, new = {.ca = "other.pem"},
                     refused = {.ca = "server.pem", .message = "server_root_ca_cert"};
    assert_int_equal(run("cp server.pem live.pem; cp server.key live.key"), 0);
    struct tl_grpc_server *server = open_server("live", false);
    int port = tl_grpc_server_port(server);
    check(port, &old);
    assert_int_equal(run("echo nonsense >live.pem"), 0);
    check(port, &old);
    assert_int_equal(run("cp other.pem live.pem"), 0); /* with the key of the old one */
    check(port, &old);
    assert_int_equal(run("rm live.key"), 0);
    check(port, &old);
    assert_int_equal(run("cp other.key live.key"), 0);
    check(port, &new);
    check(port, &refused);
    tl_grpc_server_close(server);
}

/* localhost is two addresses on most machines: each has the certificates, the renewed ones too. */
static int call_on(struct tl_channel *ch)
{
    struct tl_client_error err = {0};
    struct tl_arena arena;
    TpWs__GetSystemInfoRequest req = TP_WS__GET_SYSTEM_INFO_REQUEST__INIT;
    struct tl_client_config config = {.channel = ch, .retry = {.limited = true}};
    struct tl_client *client = tl_client_new(&config);
    tl_arena_init(&arena, (size_t)1 << 20);
    tl_rc rc = tl_client_call(client, TL_M_GetSystemInfo, &req, &arena, NULL, 0, &err);
    tl_arena_deinit(&arena);
    tl_client_free(client);
    return rc == TL_OK ? 0 : err.grpc_status;
}

/* Calls until it goes well, for at most ten seconds. */
static int call_in_the_end(struct tl_channel *ch)
{
    int status = call_on(ch);
    for (int i = 0; status != 0 && i < 100; i++) {
        usleep(100000);
        status = call_on(ch);
    }
    return status;
}

/* A channel takes a client's certificate that is renewed while it lives, once both files are there; what is no
 * good leaves the connection alone. */
static void renewed_client_certificates_are_used_without_a_restart(void **state)
{
    (void)state;
    struct tl_channel *ch = NULL;
    struct tl_error err = {0};
    char address[64];
    assert_int_equal(run("cp client.pem mine.pem; cp client.key mine.key; cp client.pem who.pem"),
                     0);
    struct tl_grpc_server_options so = {.ip = "127.0.0.1",
                                        .cert_path = file("server.pem"),
                                        .key_path = file("server.key"),
                                        .client_ca_path = file("who.pem")};
    struct tl_grpc_server *server = NULL;
    assert_int_equal(tl_grpc_server_open(&server, &so, &echo, &err), TL_OK);
    so.port = tl_grpc_server_port(server);
    snprintf(address, sizeof address, "localhost:%d", so.port);
    struct tl_grpc_channel_options o = {.address = address, .tls = true};
    o.server_root_ca_cert.path = file("server.pem");
    o.client_cert.path = file("mine.pem");
    o.client_private_key.path = file("mine.key");
    assert_int_equal(tl_grpc_channel_open(&ch, &o, &err), TL_OK);
    assert_int_equal(call_on(ch), 0);

    static const char *const broken[] = {"echo nonsense >mine.pem", "cp other.pem mine.pem",
                                         "rm mine.key"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        assert_int_equal(run(broken[i]), 0);
        for (int k = 0; k < 12; k++) {
            usleep(100000);
            assert_int_equal(call_on(ch), 0);
        }
    }
    tl_grpc_server_close(server);
    assert_int_equal(run("cp other.pem who.pem"), 0); /* the old one is not known any more */
    assert_int_equal(tl_grpc_server_open(&server, &so, &echo, &err), TL_OK);
    assert_int_not_equal(call_on(ch), 0);
    assert_int_equal(run("cp other.key mine.key"), 0);
    assert_int_equal(call_in_the_end(ch), 0);
    tl_channel_close(ch);
    tl_grpc_server_close(server);
}

static void every_address_has_the_certificates(void **state)
{
    (void)state;
    const struct row four = {.ca = "server.pem", .domain = "localhost", .host = "127.0.0.1"},
                     six = {.ca = "server.pem", .domain = "localhost", .host = "[::1]"},
                     new_four = {.ca = "other.pem", .domain = "localhost", .host = "127.0.0.1"},
                     new_six = {.ca = "other.pem", .domain = "localhost", .host = "[::1]"};
    struct addrinfo *six_is_local = NULL, hints = {.ai_family = AF_INET6};
    if (getaddrinfo("localhost", NULL, &hints, &six_is_local) != 0) {
        print_message("localhost is one address here\n");
        skip();
    }
    freeaddrinfo(six_is_local);
    assert_int_equal(run("cp server.pem live.pem; cp server.key live.key"), 0);
    struct tl_grpc_server *server = open_server_at("localhost", "live", false);
    int port = tl_grpc_server_port(server);
    check(port, &four);
    check(port, &six);
    assert_int_equal(run("cp other.pem live.pem; cp other.key live.key"), 0);
    check(port, &new_six);
    check(port, &new_four);
    tl_grpc_server_close(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_what_is_wrong_with_certificates),
        cmocka_unit_test(plain_servers_are_told_from_tls),
        cmocka_unit_test(takes_pem_as_text),
        cmocka_unit_test(renewed_files_are_used_without_a_restart),
        cmocka_unit_test(renewed_client_certificates_are_used_without_a_restart),
        cmocka_unit_test(every_address_has_the_certificates),
    };
    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
