/* See dev_config.h. */
#include "cli/dev_config.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/duration.h"

enum kind { DURATION, COUNT };

static const struct key {
    const char *name;
    enum kind kind;
    size_t offset; /* of an int64_t in the server's options */
} keys[] = {
#define KEY(name, kind, field)                                                                     \
    {                                                                                              \
        name, kind, offsetof(struct tl_server_options, field)                                      \
    }
    KEY("history.workflowIdReuseMinimalInterval", DURATION, workflow_id_reuse_ns),
    KEY("history.longPollExpirationInterval", DURATION, long_poll_ns),
    KEY("matching.longPollExpirationInterval", DURATION, poll_expiry_ns),
    KEY("history.MaxBufferedQueryCount", COUNT, buffered_queries_max),
#undef KEY
};

static tl_rc set(const struct key *k, struct tl_str value, struct tl_server_options *o,
                 struct tl_error *err)
{
    int64_t *at = (int64_t *)(void *)((char *)o + k->offset);
    char text[32];
    char *end;
    if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"') {
        value = tl_str_n(value.p + 1, value.n - 2);
    }
    if (k->kind == DURATION) {
        tl_rc rc = tl_duration_parse(value, at, err);
        return rc == TL_OK ? rc : tl_error_wrap(err, rc, "%s", k->name);
    }
    if (value.n == 0 || value.n >= sizeof text) {
        return tl_error_set(err, TL_EINVAL, "%s wants a number", k->name);
    }
    memcpy(text, value.p, value.n);
    text[value.n] = 0;
    long long n = strtoll(text, &end, 10);
    if (*end || n < 0) {
        return tl_error_set(err, TL_EINVAL, "%s wants a number, got '%s'", k->name, text);
    }
    *at = n;
    return TL_OK;
}

/* Temporal compares the names of settings without regard to case. */
static const struct key *find(const char *text, size_t n)
{
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (strlen(keys[i].name) == n && strncasecmp(keys[i].name, text, n) == 0) {
            return &keys[i];
        }
    }
    return NULL;
}

tl_rc tl_dev_config_apply(const char *const *texts, struct tl_server_options *o,
                          struct tl_buf *idle, struct tl_error *err)
{
    for (size_t i = 0; texts[i]; i++) {
        const char *equals = strchr(texts[i], '=');
        if (!equals || equals == texts[i]) {
            return tl_error_set(err, TL_EINVAL, "--dynamic-config-value wants key=value, got '%s'",
                                texts[i]);
        }
        size_t n = (size_t)(equals - texts[i]);
        const struct key *k = find(texts[i], n);
        if (k) {
            tl_rc rc = set(k, tl_str(equals + 1), o, err);
            if (rc != TL_OK) {
                return rc;
            }
        } else {
            tl_buf_puts(idle, idle->n ? "," : "");
            tl_buf_put(idle, texts[i], n);
        }
    }
    return TL_OK;
}
