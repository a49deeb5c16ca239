/* See api.h. A request waits while its call is under way; the answer is turned into JSON on the
 * listener's thread, not on that of the service. */
#include "http/api.h"

#include <string.h>

#include "base/mem.h"
#include "base/world.h"
#include "http/transcode.h"

#define ANSWER_BYTES_MAX ((size_t)512 * 1024 * 1024)

struct tl_http_api {
    struct tl_channel *channel;
    bool read_only;
};

/* In the request's arena. */
struct call {
    struct tl_rpc_call *rpc;
    struct tl_rpc_result *result;
    struct tl_http_json form;
    enum tl_method method;
    bool closing;
};

struct tl_http_api *tl_http_api_new(const struct tl_rpc_service *service, bool read_only)
{
    struct tl_http_api *a = TL_NEW(struct tl_http_api);
    a->channel = tl_local_channel_open(service);
    a->read_only = read_only;
    return a;
}

void tl_http_api_free(struct tl_http_api *a)
{
    if (a) {
        tl_channel_close(a->channel);
        tl_mem_free(a);
    }
}

static void reply_status(struct tl_http_request *r, struct tl_http_json form, int http_status,
                         int status, struct tl_str message, struct tl_str details)
{
    struct tl_buf out;
    tl_buf_init(&out, ANSWER_BYTES_MAX);
    tl_http_write_status(status, message, details, form, &r->arena, &out);
    tl_http_reply(r, http_status, tl_http_json_type(form), tl_buf_str(&out));
    tl_buf_deinit(&out);
}

static void reply_error(struct tl_http_request *r, struct tl_http_json form,
                        const struct tl_error *err)
{
    int status = tl_rc_grpc_status(err->code);
    reply_status(r, form, tl_http_status_of(status), status, tl_str(err->message),
                 (struct tl_str){0});
}

static void reply_message(struct tl_http_request *r, const struct call *c)
{
    struct tl_error err;
    struct tl_buf out;
    tl_buf_init(&out, ANSWER_BYTES_MAX);
    tl_rc rc = tl_http_write_message(tl_method_info(c->method)->output, c->result->body, c->form,
                                     &r->arena, &out, &err);
    if (rc == TL_OK) {
        tl_http_reply(r, 200, tl_http_json_type(c->form), tl_buf_str(&out));
    } else {
        err.code = TL_EINTERNAL;
        reply_error(r, c->form, &err);
    }
    tl_buf_deinit(&out);
}

static void resumed(struct tl_http_request *r)
{
    struct call *c = r->slot;
    if (c->result->status == 0) {
        reply_message(r, c);
    } else if (c->closing && c->result->status == tl_rc_grpc_status(TL_ECANCELLED)) {
        struct tl_error err;
        (void)tl_error_set(&err, TL_EUNAVAILABLE, "the server is shutting down");
        reply_error(r, c->form, &err);
    } else {
        reply_status(r, c->form, tl_http_status_of(c->result->status), c->result->status,
                     c->result->message, c->result->details);
    }
    tl_rpc_result_free(c->result);
    tl_rpc_call_release(c->rpc);
}

static void cancel(struct tl_http_request *r)
{
    struct call *c = r->slot;
    c->closing = true;
    tl_rpc_cancel(c->rpc);
}

static void done(void *ud, struct tl_rpc_result *result)
{
    struct tl_http_request *r = ud;
    struct call *c = r->slot;
    c->result = result;
    tl_http_wake(r);
}

/* "Grpc-Timeout: 10S", as the gateway of other servers takes it; 0: none, or not understood. */
static int64_t timeout_ns(struct tl_str text)
{
    static const char units[] = "HMSmun";
    static const int64_t ns[] = {
        INT64_C(3600000000000), INT64_C(60000000000), 1000000000, 1000000, 1000, 1};
    int64_t n = 0;
    if (text.n < 2 || text.n > 9) {
        return 0;
    }
    for (size_t i = 0; i + 1 < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9') {
            return 0;
        }
        n = n * 10 + (text.p[i] - '0');
    }
    const char *unit = memchr(units, text.p[text.n - 1], sizeof units - 1);
    return unit ? (n < INT64_MAX / ns[unit - units] ? n * ns[unit - units] : 0) : 0;
}

static struct tl_http_json answer_form(struct tl_http_request *r)
{
    struct tl_http_json form = tl_http_json_of(tl_http_header(r, "Accept"));
    bool pretty = tl_http_param(r, "pretty") != NULL;
    bool long_payloads = tl_http_param(r, "noPayloadShorthand") != NULL;
    return pretty || long_payloads ? (struct tl_http_json){pretty, long_payloads} : form;
}

void tl_http_api_handle(void *ud, struct tl_http_request *r)
{
    static const struct tl_http_wait wait = {resumed, cancel};
    struct tl_http_api *a = ud;
    struct tl_http_match match;
    struct tl_error err;
    struct tl_str bytes;
    struct tl_http_json form = answer_form(r);
    struct call *c = TL_ARENA_NEW(&r->arena, struct call);
    tl_rc rc = c ? tl_http_route_find(r->method, r->path, &match, &err)
                 : tl_error_set(&err, TL_ELIMIT, "the request is too large");
    if (rc == TL_EUNIMPLEMENTED || (rc == TL_OK && a->read_only && !tl_str_eqc(r->method, "GET"))) {
        reply_status(r, form, 405, tl_rc_grpc_status(TL_EUNIMPLEMENTED),
                     TL_STR_LIT("Method Not Allowed"), (struct tl_str){0});
        return;
    }
    if (rc == TL_OK) {
        struct tl_http_json body = tl_http_json_of(tl_http_header(r, "Content-Type"));
        rc = tl_http_read_request(r, &match, body, &bytes, &err);
    }
    if (rc != TL_OK) {
        reply_error(r, form, &err);
        return;
    }
    c->form = form;
    c->method = match.route->method;
    r->slot = c;
    tl_http_wait(r, &wait);
    c->rpc = tl_channel_call(a->channel, c->method, bytes,
                             timeout_ns(tl_http_header(r, "Grpc-Timeout")), done, r);
}
