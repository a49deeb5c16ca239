/* See dev_config.h. */
#include "cli/dev_config.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/duration.h"
#include "base/world.h"

enum kind { DURATION, MILLISECONDS, COUNT, SWITCH_OFF, SWITCH_ON };

/* SWITCH_OFF: false sets the field to 0, true leaves it. SWITCH_ON: true sets it to 1, false to 0. */
static const struct key {
    const char *name;
    enum kind kind;
    size_t offset; /* of an int64_t in the server's options */
    int64_t min, max;
} keys[] = {
#define KEY(name, kind, field, min, max)                                                           \
    {                                                                                              \
        name, kind, offsetof(struct tl_server_options, field), min, max                            \
    }
#define TIME(name, field) KEY(name, DURATION, field, 0, INT64_MAX)
#define BYTES(name, field) KEY(name, COUNT, field, 1024, INT64_C(1) << 30)
#define NUMBER(name, field, min) KEY(name, COUNT, field, min, 10000000)
    TIME("history.workflowIdReuseMinimalInterval", workflow_id_reuse_ns),
    TIME("history.longPollExpirationInterval", long_poll_ns),
    TIME("matching.longPollExpirationInterval", poll_expiry_ns),
    TIME("matching.stickyPollerUnavailableWindow", sticky_absent_ns),
    TIME("matching.wv.VersionDrainageStatusVisibilityGracePeriod", drainage_grace_ns),
    TIME("matching.wv.VersionDrainageStatusRefreshInterval", drainage_refresh_ns),
    NUMBER("matching.maxVersionsInDeployment", deployment_versions_max, 1),
    NUMBER("matching.maxTaskQueuesInDeploymentVersion", deployment_queues_max, 1),
    NUMBER("history.MaxBufferedQueryCount", buffered_queries_max, 0),
    BYTES("limit.blobSize.error", limits.blob_bytes),
    BYTES("limit.memoSize.error", limits.memo_bytes),
    BYTES("limit.historySize.error", limits.history_bytes),
    BYTES("limit.historySize.suggestContinueAsNew", limits.history_bytes_suggest),
    NUMBER("limit.historyCount.error", limits.history_count, 10),
    NUMBER("limit.historyCount.suggestContinueAsNew", limits.history_count_suggest, 1),
    NUMBER("limit.numPendingActivities.error", limits.pending_activities, 1),
    NUMBER("history.maximumSignalsPerExecution", limits.signals_per_run, 1),
    NUMBER("history.maximumBufferedEventsBatch", limits.buffered_events, 1),
    KEY("limit.maxIDLength", COUNT, limits.id_bytes, 10, 1000),
    KEY("history.workflowTaskHeartbeatTimeout", MILLISECONDS, limits.wft_heartbeat_timeout_ms, 1,
        INT64_MAX),
    KEY("frontend.WorkflowTimeSkippingEnabled", SWITCH_ON, run_time_skipping, 0, 1),
    NUMBER("frontend.WorkflowTimeSkippingMaxSkipPerSession", run_time_skips_max, 1),
    KEY("frontend.workerVersioningDataAPIs", SWITCH_ON, version_sets, 0, 1),
    KEY("frontend.workerVersioningWorkflowAPIs", SWITCH_ON, version_sets_workers, 0, 1),
    KEY("frontend.WorkerCommandsEnabled", SWITCH_ON, worker_commands, 0, 1),
    KEY("system.enableCancelActivityWorkerCommand", SWITCH_ON, worker_command_cancels, 0, 1),
    KEY("system.enableActivityEagerExecution", SWITCH_OFF, limits.eager_activities_max, 0, 0),
#undef NUMBER
#undef BYTES
#undef TIME
#undef KEY
};

static tl_rc read_number(const struct key *k, struct tl_str value, int64_t *out,
                         struct tl_error *err)
{
    char text[32];
    char *end;
    if (value.n == 0 || value.n >= sizeof text) {
        return tl_error_set(err, TL_EINVAL, "%s wants a number", k->name);
    }
    memcpy(text, value.p, value.n);
    text[value.n] = 0;
    errno = 0;
    *out = strtoll(text, &end, 10);
    if (*end || errno) {
        return tl_error_set(err, TL_EINVAL, "%s wants a number, got '%s'", k->name, text);
    }
    return TL_OK;
}

static tl_rc read_value(const struct key *k, struct tl_str value, int64_t *out,
                        struct tl_error *err)
{
    tl_rc rc;
    switch (k->kind) {
    case DURATION:
    case MILLISECONDS:
        rc = tl_duration_parse(value, out, err);
        *out /= k->kind == MILLISECONDS ? TL_NS_PER_MS : 1;
        return rc == TL_OK ? rc : tl_error_wrap(err, rc, "%s", k->name);
    case COUNT:
        return read_number(k, value, out, err);
    case SWITCH_ON:
        *out = tl_str_eqc(value, "true");
        return *out || tl_str_eqc(value, "false")
                   ? TL_OK
                   : tl_error_set(err, TL_EINVAL, "%s wants true or false", k->name);
    case SWITCH_OFF:
        if (tl_str_eqc(value, "true")) {
            return TL_OK;
        }
        *out = 0;
        return tl_str_eqc(value, "false")
                   ? TL_OK
                   : tl_error_set(err, TL_EINVAL, "%s wants true or false", k->name);
    }
    TL_UNREACHABLE();
}

static tl_rc set(const struct key *k, struct tl_str value, struct tl_server_options *o,
                 struct tl_error *err)
{
    int64_t *at = (int64_t *)(void *)((char *)o + k->offset), wanted = *at;
    if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"') {
        value = tl_str_n(value.p + 1, value.n - 2);
    }
    tl_rc rc = read_value(k, value, &wanted, err);
    if (rc != TL_OK) {
        return rc;
    }
    if (k->kind != SWITCH_OFF && (wanted < k->min || wanted > k->max)) {
        return tl_error_set(err, TL_EINVAL, "%s wants %lld to %lld, got '%.*s'", k->name,
                            (long long)k->min, (long long)k->max, TL_STR_FMT(value));
    }
    *at = wanted;
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

void tl_dev_config_print(const struct tl_server_options *o, struct tl_buf *out)
{
    tl_buf_puts(out, "dynamicConfig:\n");
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const struct key *k = &keys[i];
        long long v = *(const int64_t *)(const void *)((const char *)o + k->offset);
        if (k->kind == SWITCH_OFF || k->kind == SWITCH_ON) {
            tl_buf_printf(out, "  %s: %s\n", k->name, v ? "true" : "false");
        } else if (k->kind == COUNT) {
            tl_buf_printf(out, "  %s: %lld\n", k->name, v);
        } else {
            long long ms = k->kind == DURATION ? v / TL_NS_PER_MS : v;
            tl_buf_printf(out, "  %s: %lldms\n", k->name, ms);
        }
    }
}
