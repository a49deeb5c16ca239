/* A native activity: "ship" gets {"order_id": ..., "weight_g": ...} and answers a tracking number.
 * Built as a shared object; needs nothing but temporal_lua.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "temporal_lua.h"

static const tlua_host_api *host;

/* The text behind "key": in one flat JSON object. A real activity would use its JSON library. */
static size_t text_field(const char *json, const char *key, char *out, size_t cap)
{
    char pattern[64];
    snprintf(pattern, sizeof pattern, "\"%s\":\"", key);
    const char *at = strstr(json, pattern);
    size_t n = 0;
    if (at) {
        for (at += strlen(pattern); *at && *at != '"' && n + 1 < cap; at++) {
            out[n++] = *at;
        }
    }
    out[n] = 0;
    return n;
}

static long number_field(const char *json, const char *key)
{
    char pattern[64];
    snprintf(pattern, sizeof pattern, "\"%s\":", key);
    const char *at = strstr(json, pattern);
    return at ? strtol(at + strlen(pattern), NULL, 10) : 0;
}

static void refuse(tlua_activity *a, const char *type, const char *message)
{
    tlua_failure f = TLUA_FAILURE_INIT;
    f.type = type;
    f.message = message;
    f.non_retryable = true;
    host->fail(a, &f);
}

static void ship(tlua_activity *a, void *ud)
{
    (void)ud;
    tlua_payload input;
    char json[1024], order[128], reply[256];
    if (host->input(a, 0, &input) != TLUA_OK || input.data.size >= sizeof json) {
        refuse(a, "BadRequest", "ship wants one JSON object");
        return;
    }
    memcpy(json, input.data.data, input.data.size);
    json[input.data.size] = 0;
    if (!text_field(json, "order_id", order, sizeof order)) {
        refuse(a, "BadRequest", "ship: order_id is missing");
        return;
    }
    if (number_field(json, "weight_g") > 30000) {
        refuse(a, "TooHeavy", "no carrier takes more than 30 kg");
        return;
    }
    int n = snprintf(reply, sizeof reply, "{\"tracking\":\"TL-%s\"}", order);
    host->put_json(a, TLUA_RESULT, reply, (size_t)n);
}

int tlua_module_v1(const tlua_host_api *api, tlua_module *m)
{
    host = api;
    return api->register_activity(m, "ship", ship, NULL);
}
