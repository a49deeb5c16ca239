/* A native activity that works for a while: "checksum" takes bytes, adds them up in pieces, tells after each
 * piece how far it is, goes on where the attempt before it was, and stops when it is cancelled.
 * Built as a shared object; needs nothing but temporal_lua.h. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "temporal_lua.h"

#define PIECE ((size_t)64 * 1024)

static const tlua_host_api *host;

static void fail(tlua_activity *a, const char *type, const char *message)
{
    tlua_failure f = TLUA_FAILURE_INIT;
    f.type = type;
    f.message = message;
    f.non_retryable = true;
    host->fail(a, &f);
}

/* Called on a thread of the worker: it only leaves a mark. */
static void stop(void *ud)
{
    atomic_store((atomic_bool *)ud, true);
}

/* "[bytes done,sum]", which the last heartbeat of the attempt before said. */
static void resume(tlua_activity *a, size_t *at, unsigned long *sum)
{
    tlua_payload last;
    char text[64];
    if (host->heartbeat_details(a, 0, &last) == TLUA_OK && last.data.size < sizeof text) {
        memcpy(text, last.data.data, last.data.size);
        text[last.data.size] = 0;
        if (sscanf(text, "[%zu,%lu]", at, sum) != 2) {
            *at = 0;
            *sum = 0;
        }
    }
}

static void beat(tlua_activity *a, size_t at, unsigned long sum)
{
    char text[64];
    int n = snprintf(text, sizeof text, "[%zu,%lu]", at, sum);
    host->put_json(a, TLUA_HEARTBEAT, text, (size_t)n);
    host->heartbeat(a);
}

static void checksum(tlua_activity *a, void *ud)
{
    atomic_bool stopped = false;
    tlua_payload in;
    size_t at = 0;
    unsigned long sum = 0;
    char text[64];
    (void)ud;
    if (host->input(a, 0, &in) != TLUA_OK || in.encoding.size != strlen("binary/plain") ||
        memcmp(in.encoding.data, "binary/plain", in.encoding.size) != 0) {
        fail(a, "BadRequest", "checksum wants bytes");
        return;
    }
    host->on_cancel(a, stop, &stopped);
    resume(a, &at, &sum);
    if (at > in.data.size) {
        at = 0;
        sum = 0;
    }
    while (at < in.data.size && !atomic_load(&stopped)) {
        size_t end = in.data.size - at > PIECE ? at + PIECE : in.data.size;
        for (; at < end; at++) {
            sum += (unsigned char)in.data.data[at];
        }
        beat(a, at, sum);
    }
    if (at < in.data.size) {
        host->log(a, TLUA_LOG_WARN, "stopped before the end");
        host->cancel(a);
        return;
    }
    int n = snprintf(text, sizeof text, "%lu", sum);
    host->put_json(a, TLUA_RESULT, text, (size_t)n);
}

int tlua_module_v1(const tlua_host_api *api, tlua_module *m)
{
    if (!TLUA_HAS(api, on_cancel)) {
        api->set_error(m, "checksum wants a newer temporal-lua: one that tells of cancellations");
        return TLUA_EUNIMPLEMENTED;
    }
    host = api;
    return api->register_activity(m, "checksum", checksum, NULL);
}
