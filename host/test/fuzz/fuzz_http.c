/* Fuzzer of the HTTP API's requests: any verb, path, query and body as a request message. What is accepted is
 * a message of the route's type, the same twice, and can be written as an answer.
 * Input: flags (1 byte), verb, line feed, path, line feed, query (NAME=VALUE&...), line feed, body. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "http/routes.h"
#include "http/transcode.h"
#include "proto/pb.h"

#define PARAMS_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The text up to the mark, which is taken from *rest together with it. */
static struct tl_str cut(struct tl_str *rest, char mark)
{
    const char *end = rest->n ? memchr(rest->p, mark, rest->n) : NULL;
    size_t n = end ? (size_t)(end - rest->p) : rest->n;
    struct tl_str first = tl_str_n(rest->p, n);
    *rest = tl_str_n(rest->p + n + (end ? 1 : 0), rest->n - n - (end ? 1 : 0));
    return first;
}

static struct tl_http_param *read_query(struct tl_str query, struct tl_http_param *params)
{
    size_t n = 0;
    while (query.n && n < PARAMS_MAX) {
        struct tl_str value = cut(&query, '&');
        params[n].name = cut(&value, '=');
        params[n].value = value;
        params[n].next = NULL;
        if (n) {
            params[n - 1].next = &params[n];
        }
        n++;
    }
    return n ? params : NULL;
}

static void check_request(struct tl_http_request *r, const struct tl_http_match *match,
                          struct tl_http_json form)
{
    const ProtobufCMessageDescriptor *type = tl_method_info(match->route->method)->input;
    struct tl_str once, again;
    struct tl_error err;
    struct tl_buf json;
    tl_rc rc = tl_http_read_request(r, match, form, &once, &err);
    TL_ASSERT(rc == TL_OK || *err.message);
    TL_ASSERT(tl_http_read_request(r, match, form, &again, &err) == rc);
    if (rc != TL_OK) {
        return;
    }
    TL_ASSERT(tl_str_eq(once, again) && tl_pb_check(type, once, &err) == TL_OK);
    tl_buf_init(&json, (size_t)64 << 20);
    rc = tl_http_write_message(type, once, form, &r->arena, &json, &err);
    TL_ASSERT(rc == TL_OK ? json.n > 0 : *err.message != 0);
    tl_buf_deinit(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tl_http_param params[PARAMS_MAX];
    struct tl_http_request r = {0};
    struct tl_http_match match;
    struct tl_error err;
    if (size < 1) {
        return 0;
    }
    struct tl_str rest = tl_str_n((const char *)data + 1, size - 1);
    tl_arena_init(&r.arena, (size_t)64 << 20);
    r.method = cut(&rest, '\n');
    r.path = cut(&rest, '\n');
    r.params = read_query(cut(&rest, '\n'), params);
    r.body = rest;
    tl_rc rc = tl_http_route_find(r.method, r.path, &match, &err);
    TL_ASSERT(rc == TL_OK || *err.message);
    if (rc == TL_OK) {
        check_request(&r, &match, (struct tl_http_json){data[0] & 1, data[0] & 2});
    }
    tl_arena_deinit(&r.arena);
    return 0;
}
