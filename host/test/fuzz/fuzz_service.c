/* Fuzzer of the service entry: any bytes as requests of any method, one after another on one server, as
 * they come from the network. Each call ends exactly once, and the server lives on.
 * Input: method (1 byte), length (2 bytes, little end first), that many bytes; again until the end. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/world.h"
#include "rpc/rpc.h"
#include "server/server.h"

#define CALLS_MAX 32
#define INPUTS_PER_SERVER 500

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int64_t now_ns = INT64_C(1700000000) * TL_NS_PER_S;
static struct tl_rng rng;
static struct tl_server *server;
static struct tl_channel *channel;

static int64_t now(void *ud)
{
    (void)ud;
    return now_ns;
}

static uint64_t random_number(void *ud)
{
    (void)ud;
    return tl_rng_next(&rng);
}

static void open_server(void)
{
    static const struct tl_world world = {NULL, now, now, random_number};
    struct tl_server_options o;
    struct tl_error err;
    tl_log_level(TL_LOG_ERROR);
    tl_rng_seed(&rng, 42);
    tl_server_options_default(&o);
    o.world = &world;
    TL_ASSERT(tl_server_open(&server, &o, &err) == TL_OK);
    channel = tl_local_channel_open(tl_server_service(server));
}

static void pump(void)
{
    do {
        tl_server_step(server);
    } while (tl_server_commit_step(server));
    tl_server_step(server);
}

static void done(void *ud, struct tl_rpc_result *res)
{
    int *ends = ud;
    TL_ASSERT(++*ends == 1);
    tl_rpc_result_free(res);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned inputs;
    struct tl_rpc_call *calls[CALLS_MAX];
    int ends[CALLS_MAX] = {0}, count = 0;
    if (!server) {
        open_server();
    }
    while (size >= 3 && count < CALLS_MAX) {
        size_t n = data[1] | (size_t)data[2] << 8;
        enum tl_method m = (enum tl_method)(data[0] % TL_METHOD_COUNT);
        n = n < size - 3 ? n : size - 3;
        calls[count] = tl_channel_call(channel, m, tl_str_n(data + 3, n), 60 * TL_NS_PER_S, done,
                                       &ends[count]);
        count++;
        data += 3 + n;
        size -= 3 + n;
        pump();
        now_ns += TL_NS_PER_MS;
    }
    for (int i = 0; i < count; i++) {
        tl_rpc_cancel(calls[i]);
    }
    pump();
    now_ns += 100 * TL_NS_PER_S; /* what a cancellation does not end, its deadline does */
    pump();
    pump();
    for (int i = 0; i < count; i++) {
        TL_ASSERT(ends[i] == 1);
        tl_rpc_call_release(calls[i]);
    }
    if (++inputs % INPUTS_PER_SERVER == 0) {
        tl_channel_close(channel);
        tl_server_close(server);
        server = NULL;
    }
    return 0;
}
